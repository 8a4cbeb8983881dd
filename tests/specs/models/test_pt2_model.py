"""An archive of torch.export is read as a module, and only if it is trusted."""

import io
import json
import os
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim

import netcaliper as nc
from netcaliper.errors import SpecError
from netcaliper.specs.model import load_model


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.conv(x)))).mean((2, 3)))


class BatchInside(nn.Module):
    """A network whose outputs for an example depend on the others in the batch."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return torch.relu(self.head(x - x.mean(0)))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, a, b):
        return self.second(torch.relu(self.first(a) + b))


def written(file, model, *args, kwargs=None, **options):
    with torch.no_grad():
        program = torch.export.export(model, args, kwargs, **options)
    torch.export.save(program, file)
    return str(file)


X = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "dynamic"), [(1, None), (2, None), (4, None), (2, ({0: Dim("batch")},))], ids=["1", "2", "4", "dynamic"]
)
def test_an_archive_computes_and_traces_what_the_module_does(size, dynamic, tmp_path):
    model = Net().eval()
    loaded = load_model(written(tmp_path / "net.pt2", model, X[:size], dynamic_shapes=dynamic), trust_pickle=True)
    assert (loaded.name, loaded.twin, loaded.data_config) == ("net.pt2", None, None)
    torch.testing.assert_close(loaded.model(X), model(X))
    assert loaded.example_batch is not None
    assert torch.equal(loaded.example_batch(), X[:size])
    graph = nc.trace(loaded.model, loaded.example_batch())
    assert [(site.units, [c.name for c in site.consumers]) for site in graph.sites] == [(4, ["head"])]
    assert graph.dynamic_batch


def test_a_batch_that_is_read_as_a_whole_keeps_its_size(tmp_path):
    model = BatchInside().eval()
    loaded = load_model(written(tmp_path / "net.pt2", model, torch.randn(4, 4)), trust_pickle=True)
    with pytest.raises(AssertionError, match="Guard failed"):
        loaded.model(torch.randn(3, 4))


def test_several_inputs(tmp_path):
    model, a, b = Two().eval(), torch.randn(2, 4), torch.randn(2, 3)
    loaded = load_model(written(tmp_path / "args.pt2", model, a, b), trust_pickle=True)
    assert loaded.example_batch is not None
    assert [tensor.shape for tensor in loaded.example_batch()] == [a.shape, b.shape]
    loaded = load_model(written(tmp_path / "kwargs.pt2", model, kwargs={"a": a, "b": b}), trust_pickle=True)
    assert loaded.example_batch is not None
    assert torch.equal(loaded.example_batch()["b"], b)
    torch.testing.assert_close(loaded.model(a=a, b=b), model(a, b))


def test_a_program_exported_in_train_mode_is_refused(tmp_path):
    file = written(tmp_path / "net.pt2", Net().train(), X)
    with pytest.raises(SpecError, match=r"was exported in train mode.*call `model\.eval\(\)` before"):
        load_model(file, trust_pickle=True)


class Marker:
    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


def crafted(source, target, change):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return str(target)


def pickled_inputs(marker):
    buffer = io.BytesIO()
    torch.save({"args": Marker(marker)}, buffer)
    return lambda name, data: buffer.getvalue() if "sample_inputs" in name else data


def evaluated_shape(marker):
    """Symbolic sizes are given to sympy as text, which evaluates it as Python."""

    def change(name, data):
        if not name.endswith("models/model.json"):
            return data
        code = f"__import__('os').mkdir({str(marker)!r})"

        def walk(value):
            if isinstance(value, dict):
                return {k: code if k == "expr_str" else walk(v) for k, v in value.items()}
            return [walk(v) for v in value] if isinstance(value, list) else value

        return json.dumps(walk(json.loads(data))).encode()

    return change


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attack", [pickled_inputs, evaluated_shape])
def test_nothing_in_an_archive_runs_unless_it_is_trusted(attack, tmp_path, capfd):
    source = written(tmp_path / "net.pt2", Net().eval(), X[:2], dynamic_shapes=({0: Dim("batch")},))
    marker = tmp_path / "marker"
    file = crafted(source, tmp_path / "crafted.pt2", attack(marker))
    with pytest.raises(SpecError, match=r"is refused: reading a \.pt2 archive can run any code.*--trust-pickle"):
        load_model(file)
    assert not marker.exists()
    with pytest.raises(SpecError, match="cannot be loaded as an archive of torch.export"):
        load_model(file, trust_pickle=True)
    assert marker.exists()  # the attack is one: without trust it must not even be begun
    capfd.readouterr()


def test_what_is_no_archive(tmp_path):
    (tmp_path / "a.pt2").write_bytes(b"PK nothing")
    with pytest.raises(SpecError, match="cannot be loaded as an archive of torch.export"):
        load_model(str(tmp_path / "a.pt2"), trust_pickle=True)
    with pytest.raises(SpecError, match="there is no such file"):
        load_model(str(tmp_path / "b.pt2"))
    with pytest.raises(SpecError, match="holds its own weights; leave `weights` out"):
        load_model(str(tmp_path / "a.pt2"), "w.safetensors", trust_pickle=True)
