"""Models of timm by name: built, filled from a file or the hub, or refused with the nearest name and the remedy."""

import pytest
import torch
from safetensors.torch import save_file

import netcaliper as nc
from netcaliper.errors import SpecError
from netcaliper.specs.model import load_model
from netcaliper.specs.models import timm_model as source
from timm_models import import_timm

timm = import_timm()

SMALL = "test_resnet"  # timm's own model for tests
TAGGED = f"{SMALL}.r160_in1k"
ARCHITECTURE = "test_vit3"


def equal(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


def test_an_untrained_model():
    spec = f"timm:{SMALL}(pretrained=False, num_classes=5, in_chans=1)"
    state = torch.get_rng_state()
    loaded = load_model(spec)
    assert torch.equal(state, torch.get_rng_state())
    assert not loaded.model.training
    assert (loaded.name, loaded.example_shape) == (spec, (1, 160, 160))
    assert loaded.data_config is not None
    assert loaded.data_config["source"] == "timm"
    assert loaded.data_config["interpolation"] == "bilinear"
    assert loaded.data_config["mean"] == (0.5,)
    assert loaded.model(torch.randn(2, 1, 160, 160)).shape == (2, 5)
    assert equal(loaded.model, load_model(spec).model)
    assert not equal(loaded.model, load_model(spec, seed=1).model)


def test_a_twin_is_the_same_architecture_drawn_anew():
    loaded = load_model(f"timm:{SMALL}(pretrained=False, num_classes=5)")
    assert loaded.twin is not None
    twin = loaded.twin(0)
    assert twin.state_dict().keys() == loaded.model.state_dict().keys()
    assert not twin.training
    assert not equal(twin, loaded.model)
    assert equal(twin, loaded.twin(0))
    assert not equal(twin, loaded.twin(1))


def test_a_model_traces_on_its_own_input_size():
    assert load_model(f"timm:{ARCHITECTURE}(pretrained=False)").example_shape == (3, 160, 160)
    loaded = load_model(f"timm:{ARCHITECTURE}(pretrained=False, img_size=96)")
    assert loaded.example_shape == (3, 96, 96)
    graph = nc.trace(loaded.model, torch.randn(2, 3, 96, 96))
    assert graph.sites


def test_weights_of_a_file_need_no_download(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "fetched", lambda *_, **__: pytest.fail("something was to be downloaded"))
    trained = timm.create_model(SMALL, num_classes=5)
    torch.save({"state_dict": {f"module.{n}": t for n, t in trained.state_dict().items()}}, tmp_path / "w.pth.tar")
    loaded = load_model(f"timm:{SMALL}(num_classes=5)", tmp_path / "w.pth.tar")
    assert equal(loaded.model, trained)
    message = r"'fc.weight' has shape \[5, 96\] in the file and \[1000, 96\] in the model"
    with pytest.raises(SpecError, match=message):
        load_model(f"timm:{SMALL}", tmp_path / "w.pth.tar")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The hub's client, replaced by a folder; returns the folder and what was asked for."""
    asked = []

    def fetched(spec, name, patterns, **_):
        asked.append((name, *patterns))
        return tmp_path

    monkeypatch.setattr(source, "fetched", fetched)
    return tmp_path, asked


@pytest.mark.parametrize("name", [SMALL, TAGGED])
def test_pretrained_weights_come_from_the_hub(name, repository):
    folder, asked = repository
    trained = timm.create_model(SMALL)
    save_file(trained.state_dict(), folder / "model.safetensors")
    loaded = load_model(f"timm:{name}")
    assert asked == [(f"timm/{TAGGED}", "model.safetensors")]
    assert equal(loaded.model, trained)
    assert loaded.twin is not None
    assert not equal(loaded.twin(0), trained)


def test_the_older_form_of_weights(repository):
    folder, asked = repository
    trained = timm.create_model(SMALL)
    torch.save(trained.state_dict(), folder / "pytorch_model.bin")
    assert equal(load_model(f"timm:{SMALL}").model, trained)
    assert [files for _, *files in asked] == [["model.safetensors"], ["pytorch_model.bin"]]


def test_weights_that_cannot_be_used(repository):
    folder, asked = repository
    with pytest.raises(SpecError, match="holds no weights that timm reads; give its weights with --weights FILE"):
        load_model(f"timm:{SMALL}")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(SpecError, match=f"were to be loaded from timm/{TAGGED}, which failed"):
        load_model(f"timm:{SMALL}")
    asked.clear()
    with pytest.raises(SpecError, match="`num_classes` = 7, but its weights have 1000 classes, so that the classifier"):
        load_model(f"timm:{SMALL}(num_classes=7)")
    with pytest.raises(SpecError, match="timm has no weights for it; add `pretrained=False`"):
        load_model("timm:botnet50ts_256")
    assert asked == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:resnt18", "timm has no model 'resnt18'; did you mean `timm:resnet18`"),
        ("timm:Resnet18", "did you mean `timm:resnet18`"),
        ("timm:", "timm has no model ''"),
        ("timm:qqqqqqqqq", r"`timm.list_models\(\)` lists them"),
        ("timm:resnet18.a9_in1k", "has no weights 'resnet18.a9_in1k'; its weights are resnet18.a1_in1k, resnet18.a2"),
        ("timm:resnet18(pretrained=False, widht=3)", "timm cannot build it: TypeError: .* 'widht'"),
        ("timm:resnet18(pretrained=False, num_classes='x')", "timm cannot build it: TypeError"),
        ("timm:resnet18(pretrained='yes')", "`pretrained` must be True or False, got 'yes'"),
        ("timm:resnet18(open('x'))", "a parenthesis is not closed|every argument needs its name|has no model"),
        ("timm:resnet18(num_classes=open('x'))", "`num_classes` = open.* is not a plain value"),
        ("timm:resnet18(pretrained=False", "a parenthesis is not closed"),
    ],
)
def test_what_timm_does_not_have(spec, message):
    with pytest.raises(SpecError, match=message):
        load_model(spec)
