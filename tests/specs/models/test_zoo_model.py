"""Networks of the zoo by name, and the checkpoint folders that hold them."""

import json

import pytest
import torch
from safetensors.torch import save_file

from netcaliper.errors import CorruptReading, SpecError
from netcaliper.specs.model import load_model
from netcaliper.zoo.checkpoint import save_checkpoint
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.models import build


def equal(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


@pytest.mark.parametrize(
    ("spec", "arguments"),
    [
        ("zoo:mlp", {}),
        ("zoo:mlp()", {}),
        ("zoo: mlp ( widths = [3, 4] , classes=2 )", {"widths": (3, 4), "classes": 2}),
        ("zoo:mlp(widths=(5,), activation='gelu')", {"widths": (5,), "activation": "gelu"}),
    ],
)
def test_zoo_specs(spec, arguments):
    loaded = load_model(spec)
    expected = build("mlp", arguments)
    assert isinstance(loaded.model, MLP)
    assert loaded.model.config == expected.config
    assert equal(loaded.model, expected)
    assert loaded.name == spec
    assert not loaded.model.training
    assert loaded.example_shape == (64,)


def test_zoo_seed_draws_the_weights():
    assert equal(load_model("zoo:cnn(seed=5)").model, build("cnn", {}, seed=5))
    assert not equal(load_model("zoo:cnn(seed=5)").model, load_model("zoo:cnn").model)


def test_example_shape_fits_the_model():
    loaded = load_model("zoo:cnn(channels=3, size=32)")
    assert loaded.example_shape is not None
    assert loaded.model(torch.zeros(2, *loaded.example_shape)).shape == (2, 10)


def test_a_twin_is_the_same_architecture_drawn_anew():
    loaded = load_model("zoo:mlp(widths=[3])")
    assert loaded.twin is not None
    twin = loaded.twin(0)
    assert isinstance(twin, MLP)
    assert twin.config == loaded.model.config
    assert not equal(twin, loaded.model)
    assert equal(twin, loaded.twin(0))
    assert not equal(twin, loaded.twin(1))


def test_the_seed_beside_the_spec_draws_weights_only_where_the_spec_has_none():
    assert equal(load_model("zoo:mlp", seed=5).model, build("mlp", {}, seed=5))
    assert equal(load_model("zoo:mlp(seed=2)", seed=5).model, build("mlp", {}, seed=2))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("zoo:mpl", "did you mean 'mlp'"),
        ("zoo:", "cannot be read; a zoo spec reads"),
        ("zoo:mlp(", "cannot be read; a zoo spec reads"),
        ("zoo:mlp().eval", "cannot be read"),
        ("zoo:mlp([3])", "every argument needs its name"),
        ("zoo:mlp(**{'widths': [3]})", "every argument needs its name"),
        ("zoo:mlp(widths=open('x'))", "`widths` = open.* is not a plain value"),
        ("zoo:mlp(widths={[1]: 2})", "is not a plain value"),
        ("zoo:mlp(widths=[99999999999999999999])", "less than 2147483648"),
        ("zoo:mlp(widht=[3])", "did you mean `widths`"),
        ("zoo:mlp(widths=[0])", "`widths`"),
        ("zoo:mlp(seed=-1)", "`seed` must be an integer from 0"),
        ("zoo:mlp(seed=True)", "`seed` must be an integer"),
    ],
)
def test_specs_that_cannot_be_resolved(spec, message):
    with pytest.raises(SpecError, match=message):
        load_model(spec)


def test_weights_of_a_file(tmp_path):
    source = MLP(4, [3])
    save_file({f"module.{name}": tensor for name, tensor in source.state_dict().items()}, tmp_path / "w.safetensors")
    loaded = load_model("zoo:mlp(inputs=4, widths=[3])", tmp_path / "w.safetensors")
    assert equal(loaded.model, source)
    with pytest.raises(SpecError, match=r"'w.safetensors' does not fit the model: .* has shape \[3, 4\] in the file"):
        load_model("zoo:mlp(inputs=4, widths=[5])", tmp_path / "w.safetensors")


def test_checkpoint_folders(tmp_path):
    model = MLP(4, [3])
    folder = save_checkpoint(model, tmp_path / "my net")
    loaded = load_model(str(folder))
    assert equal(loaded.model, model)
    assert (loaded.name, loaded.example_shape) == ("my net", (4,))
    assert loaded.twin is not None
    assert not equal(loaded.twin(0), model)
    with pytest.raises(SpecError, match="holds its own weights"):
        load_model(str(folder), tmp_path / "w.safetensors")
    with pytest.raises(SpecError, match="not a checkpoint: it has no config.json"):
        load_model(str(tmp_path))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CorruptReading):
        load_model(str(folder))


@pytest.mark.parametrize("network", ["../../etc/passwd", "os:system", "mlp/../mlp", "__import__('os')", 3])
def test_a_checkpoint_names_nothing_but_a_network_of_the_zoo(network, tmp_path):
    folder = save_checkpoint(MLP(4, [3]), tmp_path / "net")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"network": network}))
    with pytest.raises(CorruptReading):
        load_model(str(folder))


def test_arguments_of_a_checkpoint_are_plain_numbers(tmp_path):
    folder = save_checkpoint(MLP(4, [3]), tmp_path / "net")
    config = json.loads((folder / "config.json").read_text())
    for arguments in ({"weights": "../secret.safetensors"}, {"widths": "../secret"}, {"widths": [0]}):
        changed = config | {"arguments": config["arguments"] | arguments}
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(CorruptReading, match="does not describe a network of the zoo"):
            load_model(str(folder))
