"""Weights come out of the files that training loops write, and nothing in a file runs while it is read."""

import io
import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from netcaliper.errors import SpecError
from netcaliper.specs.models.weights_file import fill, read_weights


class Marker:
    """Something that leaves a file behind when it is unpickled."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


def net(width=5):
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))


def prefixed(prefix, model):
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def equal(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


SOURCE = net()
OTHER = prefixed("criterion.", nn.Linear(4, 4))
WRITTEN = {
    "a state dict": SOURCE.state_dict(),
    "under state_dict": {"state_dict": SOURCE.state_dict(), "epoch": 3},
    "under model, beside a tensor": {"model": SOURCE.state_dict(), "step": torch.tensor(3)},
    "under model_state_dict": {"model_state_dict": SOURCE.state_dict(), "optimizer": {"state": {}}},
    "twice nested": {"model": {"state_dict": SOURCE.state_dict()}},
    "only the moving average": {"model_ema": SOURCE.state_dict()},
    "the weights, not their moving average": {"model_ema": net().state_dict(), "state_dict": SOURCE.state_dict()},
    "DataParallel": prefixed("module.", SOURCE),
    "compiled": prefixed("_orig_mod.", SOURCE),
    "compiled inside DataParallel": prefixed("module._orig_mod.", SOURCE),
    "Lightning": {"state_dict": prefixed("net.", SOURCE) | OTHER, "hyper_parameters": {"width": 5}},
    "Lightning, another net beside it": {"state_dict": prefixed("student.", SOURCE) | prefixed("teacher.", net(9))},
}


@pytest.mark.parametrize("case", WRITTEN)
@pytest.mark.parametrize("ending", ["pt", "ckpt"])
def test_what_training_loops_write(case, ending, tmp_path):
    file = tmp_path / f"w.{ending}"
    torch.save(WRITTEN[case], file)
    model = net()
    assert not equal(model, SOURCE)
    fill(model, file)
    assert equal(model, SOURCE)


def test_a_model_that_has_the_prefix_itself(tmp_path):
    wrapped = nn.ModuleDict({"net": net()})
    torch.save(prefixed("net.", SOURCE), tmp_path / "w.pth")
    fill(wrapped, tmp_path / "w.pth")
    assert equal(wrapped["net"], SOURCE)


def test_two_fitting_prefixes_are_listed(tmp_path):
    torch.save({"state_dict": prefixed("student.", SOURCE) | prefixed("teacher.", net())}, tmp_path / "w.ckpt")
    model = net()
    before = model.state_dict()[("0.weight")].clone()
    with pytest.raises(
        SpecError, match=r"2 sets of weights that fit the model, under the prefixes 'student\.', 'teach"
    ):
        fill(model, tmp_path / "w.ckpt")
    assert torch.equal(model.state_dict()["0.weight"], before)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_another_architecture_is_said_with_both_shapes(prefix, tmp_path):
    save_file(prefixed(prefix, net(width=7)), tmp_path / "w.safetensors")
    message = (
        r"'0.weight' has shape \[7, 3\] in the file and \[5, 3\] in the model; '0.bias' has shape \[7\].*Build the"
    )
    with pytest.raises(SpecError, match=message):
        fill(net(), tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "holds a dict with 'epoch'; it must hold a state dict"),
        ({}, "holds a dict with nothing in it"),
        ([1, 2], "holds a list"),
        (torch.zeros(2), "holds a Tensor"),
    ],
)
def test_files_without_a_state_dict(content, message, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(SpecError, match=message):
        fill(net(), tmp_path / "w.pt")


def test_a_dict_that_holds_itself_ends(tmp_path):
    knot: dict = {"epoch": 1}
    knot["optimizer"] = knot
    torch.save(knot, tmp_path / "w.pt")
    with pytest.raises(SpecError, match="it must hold a state dict"):
        fill(net(), tmp_path / "w.pt")


def zipped(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def legacy(content):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize("written", [zipped, legacy, pickle.dumps], ids=["zip", "legacy", "pickle"])
@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "ckpt", "pkl"])
def test_nothing_in_a_pickle_runs(written, ending, tmp_path):
    marker = tmp_path / "marker"
    file = tmp_path / f"w.{ending}"
    file.write_bytes(written({"state_dict": SOURCE.state_dict(), "extra": Marker(marker)}))
    model = net()
    with pytest.raises(SpecError, match=r"is refused: it would run or build `posix\.mkdir`.*--trust-pickle"):
        fill(model, file)
    assert not marker.exists()
    assert not equal(model, SOURCE)


@pytest.mark.parametrize("written", [zipped, legacy], ids=["zip", "legacy"])
def test_a_trusted_pickle_runs(written, tmp_path):
    """Without this the test above could pass because the file is no threat at all."""
    marker = tmp_path / "marker"
    (tmp_path / "w.pt").write_bytes(written({"state_dict": SOURCE.state_dict(), "extra": Marker(marker)}))
    model = net()
    fill(model, tmp_path / "w.pt", trust_pickle=True)
    assert marker.exists()
    assert equal(model, SOURCE)


def test_a_whole_module_needs_trust(tmp_path):
    torch.save(SOURCE, tmp_path / "w.pt")
    with pytest.raises(SpecError, match=r"would run or build `torch\.nn\.modules"):
        fill(net(), tmp_path / "w.pt")
    model = net()
    fill(model, tmp_path / "w.pt", trust_pickle=True)
    assert equal(model, SOURCE)


@pytest.mark.parametrize("trust", [False, True])
def test_damaged_files(trust, tmp_path):
    (tmp_path / "w.pt").write_bytes(zipped(SOURCE.state_dict())[:300])
    with pytest.raises(SpecError, match=r"'w\.pt' (cannot be read|is refused)"):
        fill(net(), tmp_path / "w.pt", trust_pickle=trust)
    (tmp_path / "e.pt").write_bytes(b"")
    with pytest.raises(SpecError, match=r"'e\.pt' (cannot be read|is refused)"):
        fill(net(), tmp_path / "e.pt", trust_pickle=trust)
    with pytest.raises(SpecError, match="there is no file"):
        fill(net(), tmp_path / "none.pt", trust_pickle=trust)
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(SpecError, match="a name of no known kind; `weights` takes"):
        fill(net(), tmp_path / "w.onnx", trust_pickle=trust)


def shards(folder, places):
    state = SOURCE.state_dict()
    for shard in set(places.values()):
        save_file({n: state[n] for n, place in places.items() if place == shard}, folder / shard)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


PLACES = {"0.weight": "m-1.safetensors", "0.bias": "m-1.safetensors", "2.weight": "m-2.safetensors",
          "2.bias": "m-2.safetensors"}  # fmt: skip


def test_shards(tmp_path):
    model = net()
    index = shards(tmp_path, PLACES)
    fill(model, index)
    assert equal(model, SOURCE)
    assert read_weights(index).keys() == PLACES.keys()


@pytest.mark.parametrize(
    "shard",
    ["../secret.safetensors", "/etc/secret.safetensors", "sub/secret.safetensors", "..\\secret.safetensors", "..", 3,
     "C:secret.safetensors", "secret.pt", "secret.safetensors\n"],
)  # fmt: skip
def test_an_index_stays_in_its_folder(shard, tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "sub"):
        save_file(SOURCE.state_dict(), place / "secret.safetensors")
        torch.save(SOURCE.state_dict(), place / "secret.pt")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(SOURCE.state_dict(), shard)}))
    with pytest.raises(SpecError, match="nothing outside its folder is read"):
        fill(net(), index)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": null}', "\ud800"])
def test_indices_that_are_none(text, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SpecError, match="is not an index of safetensors shards"):
        fill(net(), index)


def test_an_index_that_is_wrong_about_its_shards(tmp_path):
    index = shards(tmp_path, PLACES)
    index.write_text(json.dumps({"weight_map": PLACES | {"2.bias": "m-1.safetensors"}}))
    with pytest.raises(SpecError, match=r"says that '2.bias' is in 'm-1.safetensors', where it is not"):
        fill(net(), index)
