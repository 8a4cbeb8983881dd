"""What stands on the command line is taken to the source it names, or to a message with the nearest form."""

import pytest

import netcaliper as nc
from netcaliper.errors import SpecError
from netcaliper.specs.model import load_model


def test_the_facade_has_it():
    assert nc.load_model is load_model


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "is not a model spec or an existing folder; supported are `zoo:NAME"),
        ("no such folder", "is not a model spec or an existing folder"),
        ("x" * 10_000, "is not a model spec or an existing folder"),
        ("a\0b", "is not a model spec or an existing folder"),
        ("nowhere_at_all:make", "there is no module 'nowhere_at_all'"),
        ("tim:resnet18", r"there is no module 'tim'.* Did you mean `timm:resnet18`\?"),
        ("tmm:resnet18(pretrained=False)", r"did you mean `timm:resnet18\(pretrained=False\)`\?"),
        ("timm/resnet18", "did you mean `timm:resnet18`"),
        ("TIMM:resnet18", "Did you mean `timm:resnet18`"),
        ("resnet18", "did you mean `timm:resnet18`"),
        ("huggingface:gpt2", "Did you mean `hf:gpt2`"),
        ("google/bert", "did you mean `hf:google/bert`"),
        ("mlp", "did you mean `zoo:mlp`"),
        ("mlp(widths=[3])", r"did you mean `zoo:mlp\(widths=\[3\]\)`"),
        ("zo:mlp(widths=[3])", r"did you mean `zoo:mlp\(widths=\[3\]\)`"),
        ("resnet18.safetensors", "is a file of weights, .* `package.module:factory --weights resnet18.safetensors`"),
        ("runs/model.safetensors.index.json", "is a file of weights"),
        ("model.pt", "is a file of weights"),
        ("MODEL.CKPT", "is a file of weights"),
        ("model.pt2", "there is no such file"),
        ("model.onnx", "is not a model spec"),
    ],
)
def test_specs_that_cannot_be_resolved(spec, message):
    with pytest.raises(SpecError, match=message):
        load_model(spec)


def test_a_module_whose_name_is_near_a_source_is_what_it_is(tmp_path, monkeypatch):
    (tmp_path / "tims.py").write_text("import torch\ndef net(): return torch.nn.Linear(2, 2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_model("tims:net").name == "tims:net"
    with pytest.raises(SpecError, match="did you mean 'net'") as caught:
        load_model("tims:nett")
    assert "timm" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.ckpt"])
def test_an_existing_file_of_weights_needs_its_model(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(SpecError, match="says nothing of the network they belong to; name the function that builds it"):
        load_model(str(tmp_path / name))
