"""Bad input: each kind gives a message that names the argument, what is wrong, and the remedy; never a traceback."""

# ruff: noqa: E501 (one case a line)

import errno
import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import netcaliper as nc
from command_line import netcaliper, refused, small_data, small_net
from netcaliper.errors import (
    CorruptReading,
    DataError,
    InputError,
    NetcaliperError,
    NewerSchema,
    OutputExists,
    ReadingError,
    TraceError,
)
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import SCHEMA_VERSION
from netcaliper.reading.store import load_as
from netcaliper.trace.batches import check_reiterable
from netcaliper.trace.export import check_model

X = torch.randn(48, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def good():
    return list(X.split(16))


def changed_weight(value):
    model = small_net()
    with torch.no_grad():
        model.get_parameter("conv.weight")[0, 0, 0, 0] = value
    return model


def changed_data(value, example):
    x = X.clone()
    x[example, 0, 2, 3] = value
    return list(x.split(16))


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(36, 3)

    def forward(self, x):
        return self.layer(nn.functional.dropout(x.flatten(1).relu(), 0.5))  # on whatever the mode


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, its modules are still around
        return torch.jit.trace(small_net(), X[:2])


class Promises:
    """A loader whose length promises five batches of which three come."""

    def __len__(self):
        return 5

    def __iter__(self):
        return iter(good())


class Stream(IterableDataset):
    """A stream that says that it has 48 examples and ends after 20."""

    def __len__(self):
        return 48

    def __iter__(self):
        return iter(X[:20])


class Shrinking:
    """One batch less on every pass."""

    def __init__(self):
        self.left = 48

    def __iter__(self):
        self.left -= 1
        return iter(X.split(1)[: self.left])


class Lying(Dataset):
    """A data set that says that it has 48 examples and has 20."""

    def __len__(self):
        return 48

    def __getitem__(self, index):
        return X[:20][index]


MODELS = {
    "nan weight": (lambda: changed_weight(float("nan")), InputError, "weight `conv.weight` of `model` has 1 of 144", "load a checkpoint"),
    "infinite weight": (lambda: changed_weight(float("inf")), InputError, "weight `conv.weight`", "load a checkpoint"),
    "random in eval mode": (lambda: Noisy().eval(), InputError, "`model` is random in eval mode", "self.training"),
    "train mode": (lambda: small_net().train(), InputError, "`model` is in train mode", "`model.eval()`"),
    "meta device": (lambda: small_net().to("meta"), InputError, "`model` has weights on the meta device", "load its weights"),
    "scripted": (scripted, TraceError, "`model` is a TorchScript module", "pass the eager nn.Module"),
}  # fmt: skip

DATA = {
    "empty loader": (list, "`data` has no batches", "check the path"),
    "empty data set": (lambda: DataLoader(TensorDataset(X[:0]), batch_size=4), "`data` has no batches", "check the path"),
    "batch of nothing": (lambda: [X[:0]], "0 examples", "leave empty batches out"),
    "one example": (lambda: [X[:1]], "at least 2 calibrate and 1 select examples", "give more examples"),
    "nan": (lambda: changed_data(float("nan"), 5), "batch 0 of `data` holds NaN", "clean the data"),
    "late infinity": (lambda: changed_data(-float("inf"), 37), "first in example 37", "clean the data"),
    "labels too high": (lambda: [(X[:24], torch.arange(24) % 3), (X[24:], torch.full((24,), 3))], "got 3 in example 24", "renumber"),
    "negative labels": (lambda: [(X, torch.full((48,), -1))], "must lie in 0 .. 2", "renumber the labels"),
    "wrong channels": (lambda: [X.expand(-1, 2, -1, -1)], "does not take `example`", "pass a batch of the shape"),
    "wrong dtype": (lambda: [X.double()], "does not take `example`", "dtype that the model was made for"),
    "dtype that changes": (lambda: [X[:24], X[24:].double()], "batch 1 of `data` has dtype torch.float64", "convert all"),
    "shape that changes": (lambda: [X[:24], X[24:, :, :, :5].repeat(1, 2, 1, 1)], "has shape (", "resize the data"),
    "form that changes": (lambda: [X[:24], {"x": X[24:]}], "batch 1 of `data`", "all batches must have the same form"),
    "one tensor": (lambda: X, "`data` is one tensor", "`list(tensor.split(128))`"),
    "a generator": (lambda: (x for x in good()), "one-shot", "`list(data)`"),
    "batches of words": (lambda: [["a", "b"]], "at least one tensor", "yield tensors"),
    "ends early": (Promises, "the 5 batches that `len(data)` promises, got 3", "correct its `__len__`"),
    "stream that ends early": (lambda: DataLoader(Stream(), batch_size=8), "the 6 batches that `len(data)` promises, got 3", "__len__"),
    "ends earlier every time": (Shrinking, "on every pass", "make it a list"),
    "loader that fails": (lambda: DataLoader(Lying(), batch_size=8), "batch 2 of `data` could not be read: IndexError", "loader"),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_models(case):
    make, kind, said, remedy = MODELS[case]
    with pytest.raises(kind) as caught:
        nc.measure(make(), good())
    assert said in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("case", DATA)
def test_data(case):
    make, said, remedy = DATA[case]
    with pytest.raises(DataError) as caught:
        nc.measure(small_net(), make())
    assert said in str(caught.value)
    assert remedy in str(caught.value)


def test_what_is_no_model_and_no_data():
    with pytest.raises(InputError, match="`model` must be a torch.nn.Module, got str; call the factory first"):
        check_model("resnet")
    with pytest.raises(DataError, match="`data` must be an iterable of batches, got int; pass a list of batches"):
        check_reiterable(7)
    assert "not a torch.nn.Module" in refused("measure", "command_line:small_data", "--data", "digits")


def test_a_device_that_is_not_here():
    with pytest.raises(InputError, match="`device` must be one that torch can use here"):
        nc.measure(small_net(), good(), device="cuda:77")


def test_an_example_on_another_device():
    with pytest.raises(InputError, match="`example` is on meta, `model` is on cpu; move one of them"):
        nc.trace(small_net(), X.to("meta"))


def test_good_input_is_not_refused():
    """The table above would pass if everything were refused."""
    assert nc.measure(small_net(), good()).network.sites == 3


NPZ = {
    "nan": ({"x": np.full((9, 1, 6, 6), np.nan)}, "`x` is not finite", "remove or repair"),
    "no example": ({"x": np.zeros((0, 1, 6, 6), np.float32)}, "holds no example", "shape"),
    "no x": ({"z": np.zeros((9, 2))}, "must hold an array `x`", "numpy.savez"),
    "bytes": ({"x": np.zeros((9, 1, 6, 6), np.uint8)}, "`x` is uint8", "store images as float32"),
    "labels of another length": ({"x": np.zeros((9, 1, 6, 6)), "y": np.zeros(8, int)}, "`y` must have shape [9]", "one label"),
    "labels out of range": ({"x": X.numpy(), "y": np.full(48, 12)}, "must lie in 0 .. 2", "renumber the labels"),
}  # fmt: skip


@pytest.mark.parametrize("case", NPZ)
def test_files_on_the_command_line(case, tmp_path):
    arrays, said, remedy = NPZ[case]
    np.savez(tmp_path / "data.npz", **arrays)
    line = refused("measure", "command_line:small_net", "--data", f"npz:{tmp_path / 'data.npz'}", code=1)
    assert said in line
    assert remedy in line


@pytest.fixture(scope="module")
def reading():
    return nc.measure(small_net(), small_data(), name="small")


def test_a_full_disk(reading, tmp_path, monkeypatch):
    folder = reading.save(tmp_path / "reading")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ReadingError, match="No space left on device; nothing was changed there; free some space"):
        reading.save(folder, replace=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    result = netcaliper(
        "measure", "command_line:small_net", "--data", "command_line:small_data", "-o", tmp_path / "new"
    )
    assert result.exit_code == 1
    assert "free some space" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["reading"]


def test_an_existing_folder(reading, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputExists, match="`folder` must not exist yet.*choose another folder"):
        reading.save(tmp_path / "mine")


DAMAGE = {
    "not JSON": ("reading.json", lambda text: text[:-9], CorruptReading, "Make it again"),
    "another record": ("reading.json", lambda text: b"{}", CorruptReading, "is not a netcaliper reading"),
    "a field that no reading has": ("reading.json", lambda text: text.replace(b'"skipped"', b'"skiped"'), CorruptReading, "skiped`"),
    "arrays of another reading": ("arrays.safetensors", lambda text: text[:-1] + b"x", CorruptReading, "SHA-256"),
    "no arrays": ("arrays.safetensors", None, CorruptReading, "the file is missing"),
    "from the future": (
        "reading.json",
        lambda text: json.dumps(json.loads(text) | {"schema_version": SCHEMA_VERSION + 1}).encode(),
        NewerSchema,
        "update netcaliper",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_and_newer_readings(case, reading, tmp_path):
    name, damage, kind, said = DAMAGE[case]
    file = reading.save(tmp_path / "reading") / name
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(kind, match=said):
        load_as(Reading, tmp_path / "reading")
    assert name in refused("report", tmp_path / "reading", code=1)
    assert name in refused("diff", tmp_path / "reading", tmp_path / "reading", code=1)


HOSTILE = "<script>alert(1)</script><b>&amp;[red]"


def test_layer_names_with_html_in_them(tmp_path):
    model = nn.Sequential()
    model.add_module("flat", nn.Flatten())
    model.add_module("first", nn.Linear(36, 5))
    model.add_module(HOSTILE, nn.ReLU())
    model.add_module("last", nn.Linear(5, 2))
    reading = nc.measure(model.eval(), good())
    assert reading.sites[0].name == HOSTILE
    folder = reading.save(tmp_path / "reading")
    assert load_as(Reading, folder).sites[0].name == HOSTILE
    result = netcaliper("report", folder)
    assert result.exit_code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in (page, reading._repr_html_()):
        assert "<script>alert(1)" not in text
        assert "<b>&amp;" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_every_error_has_one_root():
    for kind in (DataError, TraceError, CorruptReading, NewerSchema, OutputExists):
        assert issubclass(kind, NetcaliperError)
