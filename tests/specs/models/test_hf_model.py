"""Transformers models of local folders: read bit for bit, traced, and never by running what the folder holds."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

import netcaliper as nc
from netcaliper.errors import SpecError
from netcaliper.fit.seeds import seeded
from netcaliper.specs.model import load_model
from timm_models import import_transformers

transformers = import_transformers()

TEXT = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 1}


def llama(**changes):
    config = transformers.LlamaConfig(**TEXT | {"num_key_value_heads": 1, "tie_word_embeddings": True} | changes)
    return transformers.LlamaForCausalLM(config)


def bert(**changes):
    return transformers.BertForMaskedLM(transformers.BertConfig(**TEXT | changes))


def vit():
    config = transformers.ViTConfig(**TEXT, image_size=16, patch_size=8, num_labels=3)
    return transformers.ViTForImageClassification(config)


def t5():
    config = transformers.T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    return transformers.T5ForConditionalGeneration(config)


def saved(model, folder, **options):
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder, **options)
    return folder


def edited(folder, **changes):
    file = folder / "config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    return folder


def equal(a, b):
    theirs = b.state_dict()
    return a.state_dict().keys() == theirs.keys() and all(torch.equal(t, theirs[n]) for n, t in a.state_dict().items())


@pytest.mark.parametrize("make", [llama, bert, vit, t5], ids=lambda make: make.__name__)
def test_a_folder_is_read_bit_for_bit(make, tmp_path):
    with seeded(3):
        model = make()
    folder = saved(model, tmp_path / "my model")
    state = torch.get_rng_state()
    loaded = load_model(f"hf:{folder}")
    assert torch.equal(state, torch.get_rng_state())
    assert type(loaded.model) is type(model)
    assert equal(loaded.model, model)
    assert not loaded.model.training
    assert loaded.name == "hf:my model"
    assert loaded.data_config == {"source": "hf", "folder": str(folder), "main_input": model.main_input_name}
    assert loaded.example_batch is not None
    assert loaded.model(**loaded.example_batch()).logits.shape[0] == 2
    assert loaded.twin is not None
    twin = loaded.twin(0)
    assert type(twin) is type(model)
    assert not twin.training
    assert not equal(twin, model)
    assert equal(twin, loaded.twin(0))
    assert not equal(twin, loaded.twin(1))


def test_a_model_traces_on_its_own_example(tmp_path):
    loaded = load_model(f"hf:{saved(bert(), tmp_path)}")
    assert loaded.example_batch is not None
    graph = nc.trace(loaded.model, loaded.example_batch())
    assert [site.units for site in graph.sites if site.op == "gelu"] == [24, 16]


def test_numbers_stay_as_they_are_stored(tmp_path):
    folder = saved(llama().to(torch.bfloat16), tmp_path / "m")
    loaded = load_model(f"hf:{folder}")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert loaded.twin is not None
    assert {parameter.dtype for parameter in loaded.twin(0).parameters()} == {torch.bfloat16}
    wide = load_model(f"hf:{folder}(dtype='float32')").model
    assert {parameter.dtype for parameter in wide.parameters()} == {torch.float32}
    assert torch.equal(wide.lm_head.weight, loaded.model.lm_head.weight.float())  # pyright: ignore


def test_shards(tmp_path):
    model = llama(tie_word_embeddings=False)
    folder = saved(model, tmp_path / "m", max_shard_size="4KB")
    assert (folder / "model.safetensors.index.json").exists()
    assert equal(load_model(f"hf:{folder}").model, model)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shard = next(iter(index["weight_map"].values()))
    (folder / shard).rename(tmp_path / "moved.safetensors")
    places = {n: "../moved.safetensors" if s == shard else s for n, s in index["weight_map"].items()}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index | {"weight_map": places}))
    with pytest.raises(SpecError, match="nothing outside its folder is read"):
        load_model(f"hf:{folder}")


def test_a_configuration_alone(tmp_path):
    source = llama(tie_word_embeddings=False)
    source.config.architectures = ["LlamaForCausalLM"]
    source.config.save_pretrained(tmp_path)
    with pytest.raises(SpecError, match=r"no weights as safetensors .*`\(pretrained=False\)` for an untrained"):
        load_model(f"hf:{tmp_path}")
    loaded = load_model(f"hf:{tmp_path}(pretrained=False)")
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    assert equal(loaded.model, load_model(f"hf:{tmp_path}(pretrained=False)").model)
    assert not equal(loaded.model, load_model(f"hf:{tmp_path}(pretrained=False)", seed=1).model)
    save_file(source.state_dict(), tmp_path / "mine.safetensors")
    assert equal(load_model(f"hf:{tmp_path}", tmp_path / "mine.safetensors").model, source)


@pytest.mark.parametrize("architectures", [None, ["NoSuchClass"], ["os"], ["pipeline"]])
def test_a_class_that_transformers_does_not_have(architectures, tmp_path):
    model = transformers.LlamaModel(transformers.LlamaConfig(**TEXT))
    folder = edited(saved(model, tmp_path), architectures=architectures)
    assert type(load_model(f"hf:{folder}").model) is transformers.LlamaModel


def test_weights_that_do_not_fit(tmp_path):
    folder = saved(llama(), tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    save_file({n: t for n, t in tensors.items() if n != "model.norm.weight"}, folder / "model.safetensors")
    with pytest.raises(
        SpecError, match="do not fit LlamaForCausalLM: the model's 'model.norm.weight' is not in the fi"
    ):
        load_model(f"hf:{folder}")
    save_file(tensors | {"model.norm.weight": torch.zeros(9)}, folder / "model.safetensors")
    with pytest.raises(SpecError, match=r"'model.norm.weight' has shape \[9\] in the file and \[16\] in the model"):
        load_model(f"hf:{folder}")
    other = saved(bert(), tmp_path / "other")
    with pytest.raises(SpecError, match=r"do not fit LlamaForCausalLM: .*; and \d+ more\. What is not in the file"):
        load_model(f"hf:{folder}", other / "model.safetensors")


class Marker:
    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


def test_pickled_weights_are_refused_and_nothing_runs(tmp_path):
    model, marker = llama(), tmp_path / "marker"
    folder = saved(model, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": model.state_dict(), "extra": Marker(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(SpecError, match=r"only as pytorch_model\.bin, a pickle, which can run code.*--trust-pickle"):
        load_model(f"hf:{folder}")
    assert not marker.exists()
    assert equal(load_model(f"hf:{folder}", trust_pickle=True).model, model)
    assert marker.exists()


def test_code_in_a_folder_is_never_run(tmp_path):
    marker = tmp_path / "marker"
    folder = saved(llama(), tmp_path / "m")
    for name in ("configuration_mine", "modeling_mine"):
        (folder / f"{name}.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    code = {"AutoConfig": "configuration_mine.MyConfig", "AutoModelForCausalLM": "modeling_mine.MyModel"}
    assert type(load_model(f"hf:{edited(folder, auto_map=code)}").model) is transformers.LlamaForCausalLM
    edited(folder, model_type="mine", architectures=["MyModel"])
    for trust in (False, True):
        with pytest.raises(SpecError, match=r"type 'mine' need code .*\(configuration_mine\.MyConfig, modeling_mine"):
            load_model(f"hf:{folder}", trust_pickle=trust)
    assert not marker.exists()


@pytest.mark.parametrize(
    "extra",
    [
        {"attn_implementation": "kernels-community/anything"},
        {"_attn_implementation": "someone/kernel"},
        {"transformers_weights": "../../secret.safetensors"},
        {"name_or_path": "/etc"},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_a_configuration_names_nothing_that_is_fetched(extra, tmp_path):
    model = llama()
    folder = edited(saved(model, tmp_path / "m"), **extra)
    assert equal(load_model(f"hf:{folder}").model, model)


def test_pickled_metadata_of_distributed_checkpoints_is_not_read(tmp_path):
    model, marker = llama(), tmp_path / "marker"
    folder = saved(model, tmp_path / "m")
    (folder / ".metadata").write_bytes(pickle.dumps(Marker(marker)))
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else", "peft_type": "LORA"}')
    assert equal(load_model(f"hf:{folder}").model, model)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": None}, "names no `model_type`"),
        ({"model_type": 3}, "names no `model_type`"),
        ({"model_type": "lama"}, "knows no models of type 'lama'; install a later one"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "its weights are quantized"),
        ({"architectures": ["BertModel"]}, "names the class BertModel, which is not of its type 'llama'"),
        ({"num_attention_heads": 0}, "cannot be (used|built)"),
        ({"hidden_act": "nonsense"}, "cannot be (used|built)"),
        ({"hidden_size": "wide"}, "cannot be (used|built)"),
    ],
)
def test_configurations_that_cannot_be_used(changes, message, tmp_path):
    folder = edited(saved(llama(), tmp_path / "m"), **changes)
    with pytest.raises(SpecError, match=message):
        load_model(f"hf:{folder}")


@pytest.mark.parametrize("text", ["", "[]", "{", "3"])
def test_a_damaged_configuration(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SpecError, match="its config.json (cannot be read|names no)"):
        load_model(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("(task='x')", "`task` is not an argument of hf specs; they take dtype, pretrained, revision"),
        ("(dtype='int8')", "`dtype` must be one of float32, bfloat16, float16, got 'int8'"),
        ("(dtype=['float32'])", "`dtype` must be one of"),
        ("(pretrained='no')", "`pretrained` must be True or False"),
        ("(revision='v2')", "is for repositories"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, message, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SpecError, match=message):
        load_model(f"hf:{tmp_path}{arguments}")


def test_a_folder_without_its_prefix(tmp_path):
    with pytest.raises(SpecError, match=r"holds a transformers model; did you mean `hf:.*m`\?"):
        load_model(str(saved(llama(), tmp_path / "m")))


def test_nothing_is_said_besides_errors(tmp_path, capfd):
    folder = saved(llama(), tmp_path / "m")
    capfd.readouterr()
    load_model(f"hf:{folder}")
    assert capfd.readouterr() == ("", "")
