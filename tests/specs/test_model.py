"""What stands on the command line becomes a model or data, or a message that says what would."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from netcaliper.errors import CorruptReading, SpecError
from netcaliper.specs.data import data_options, load_data
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
        ("x" * 10_000, "not a model spec or an existing folder"),
        ("a\0b", "not a model spec or an existing folder"),
        ("zoo:mlp(widht=[3])", "did you mean `widths`"),
        ("zoo:mlp(widths=[0])", "`widths`"),
        ("zoo:mlp(seed=-1)", "`seed` must be an integer from 0"),
        ("zoo:mlp(seed=True)", "`seed` must be an integer"),
        ("timm:resnet18", "supported are `zoo:NAME"),
        ("hf:gpt2", "supported are `zoo:NAME"),
        ("model.pt2", "supported are `zoo:NAME"),
        ("model.pt", "pickled weights, which are never loaded"),
        ("", "supported are"),
        ("no such folder", "not a model spec or an existing folder"),
        ("nowhere_at_all:make", "there is no module"),
    ],
)
def test_model_specs_that_cannot_be_resolved(spec, message):
    with pytest.raises(SpecError, match=message):
        load_model(spec)


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


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self): super().__init__(3, 2)\n"
        "instance = Net()\n"
        "def number(): return 3\n"
        "def broken(): raise RuntimeError('no GPU here')\n"
        "def data(): return [torch.zeros(2, 3)]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_factories(factories):
    state = torch.get_rng_state()
    loaded = load_model("my_models:Net")
    assert torch.equal(state, torch.get_rng_state())
    assert not loaded.model.training
    assert (loaded.name, loaded.example_shape, loaded.twin) == ("my_models:Net", None, None)
    assert equal(loaded.model, load_model("my_models:Net").model)  # one command, one model

    weights = nn.Linear(3, 2)
    save_file(weights.state_dict(), factories / "w.safetensors")
    trained = load_model("my_models:Net", factories / "w.safetensors")
    assert equal(trained.model, weights)
    assert trained.twin is not None
    assert equal(trained.twin(0), loaded.model)
    assert not equal(trained.twin(1), loaded.model)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("my_models:instance", "is a Net; name a function or class"),
        ("my_models:number", "returned a int, not a torch.nn.Module"),
        ("my_models:broken", "RuntimeError: no GPU here"),
        ("my_models:Nett", "did you mean 'Net'"),
    ],
)
def test_factories_that_cannot_be_used(spec, message):
    with pytest.raises(SpecError, match=message):
        load_model(spec)


def test_data_specs(tmp_path, factories):
    assert len(load_data("digits", split="test", batch_size=100).dataset) == 450  # pyright: ignore
    import numpy as np

    np.savez(tmp_path / "d.npz", x=np.zeros((5, 2)))
    assert [len(batch) for batch in load_data(f"npz:{tmp_path / 'd.npz'}", batch_size=3)] == [3, 2]
    assert [tuple(batch.shape) for batch in load_data("my_models:data")] == [(2, 3)]


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "digit",
        "npz:",
        "cifar10",
        "cifar10:",
        "zoo:mlp",
        "digits:train:x",
        "teacher:3",
        "teacher:x",
        "imagefolder:a/b",
    ],
)
def test_data_specs_that_cannot_be_resolved(spec):
    with pytest.raises(SpecError, match="supported are `digits`, `npz:FILE`, `cifar10:FOLDER`"):
        load_data(spec)


@pytest.mark.parametrize(
    ("spec", "examples", "first"),
    [
        ("digits(examples=30)", 30, (30, 1, 8, 8)),
        ("digits( examples = 30 , seed=2 ) ", 30, (30, 1, 8, 8)),
        ("digits()", 1797, (256, 1, 8, 8)),
        ("teacher", 2000, (256, 10)),
        ("teacher(inputs=7, examples=20)", 1020, (256, 7)),
    ],
)
def test_options_of_data_specs(spec, examples, first):
    data = load_data(spec)
    assert len(data.dataset) == examples  # pyright: ignore[reportAttributeAccessIssue]
    assert next(iter(data))[0].shape == first


def test_options_given_beside_the_spec():
    def labels(spec, **options):
        return torch.cat([y for _, y in load_data(spec, split="train", **options)])

    assert torch.equal(labels("digits(examples=40)"), labels("digits", examples=40))
    assert torch.equal(labels("digits(random_labels=True)"), labels("digits", random_labels=True))
    assert len(labels("digits(examples=40)", examples=50)) == 50
    with pytest.raises(SpecError, match="a factory chooses its own examples and labels"):
        load_data("my_models:data", examples=3)


def test_parentheses_in_a_path_are_no_options(tmp_path):
    import numpy as np

    np.savez(tmp_path / "run (1).npz", x=np.zeros((5, 2)), y=np.arange(5) % 2)
    np.savez(tmp_path / "run(2)", x=np.zeros((7, 2)))
    assert len(load_data(f"npz:{tmp_path / 'run (1).npz'}").dataset) == 5  # pyright: ignore
    assert len(load_data(f"npz:{tmp_path / 'run (1).npz'}(examples=2)").dataset) == 2  # pyright: ignore
    assert len(load_data(f"npz:{tmp_path / 'run(2).npz'}").dataset) == 7  # pyright: ignore


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digits(exampels=3)", "did you mean `examples`"),
        ("digits(examples=0)", "`examples` = 0"),
        ("digits(examples=open)", "`examples` = open is not a plain value"),
        ("teacher(inputs=10, inputs=9)", "`inputs` is given twice"),
    ],
)
def test_bad_options_of_data_specs(spec, message):
    with pytest.raises(SpecError, match=message):
        load_data(spec)


def test_the_seed_beside_the_spec_draws_weights_only_where_the_spec_has_none():
    assert equal(load_model("zoo:mlp", seed=5).model, build("mlp", {}, seed=5))
    assert equal(load_model("zoo:mlp(seed=2)", seed=5).model, build("mlp", {}, seed=2))


def test_options_of_data_are_those_of_the_spec_and_beside_it():
    options = data_options("digits(examples=30, seed=2)", examples=40, random_labels=True)
    assert options is not None
    assert (options.examples, options.seed, options.random_labels) == (40, 2, True)
    crop = data_options("cifar10:/no/where(crop=28)")
    assert getattr(crop, "crop", None) == 28
    assert data_options("package.module:factory") is None
    with pytest.raises(SpecError, match="a factory chooses its own examples and labels"):
        data_options("package.module:factory", random_labels=True)
