"""Networks of any source come back as they were kept, and have an untrained twin."""

import json

import pytest
import torch

from netcaliper.errors import SpecError
from netcaliper.specs.loaded import TWIN_SEEDS
from netcaliper.specs.model import load_model
from netcaliper.study.cells.networks import KeptNetworks, build_network, keep_network, load_network
from netcaliper.zoo.models import build
from readings import there
from timm_models import import_timm

ZOO = ("zoo:mlp", {"inputs": 6, "widths": [5], "classes": 3})
MODULE = """
from torch import nn

def make(width=4, flat=True):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_networks:make", {"width": 7}


def equal(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_initial_weights_come_from_the_seed():
    loaded = build_network(*ZOO, seed=3)
    assert equal(loaded.model, build("mlp", ZOO[1], seed=3))
    assert not equal(loaded.model, build_network(*ZOO, seed=4).model)
    assert equal(there(loaded.twin)(3), build("mlp", ZOO[1], seed=TWIN_SEEDS + 3))


def test_a_zoo_network_is_kept_as_a_checkpoint(tmp_path):
    model = build_network(*ZOO, seed=3).model
    keep_network(model, tmp_path / "kept", *ZOO)
    assert equal(load_model(str(tmp_path / "kept")).model, model)
    assert equal(load_network(*ZOO, tmp_path / "kept").model, model)
    assert not model.training
    # What is there is the same, and stays.
    keep_network(build_network(*ZOO, seed=4).model, tmp_path / "kept", *ZOO)
    assert equal(load_network(*ZOO, tmp_path / "kept").model, model)


def test_a_factory_is_given_arguments_and_a_seed(factory, tmp_path):
    state = torch.get_rng_state()
    first, again, other = (build_network(*factory, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.model.get_parameter("0.weight").shape == (7, 6)
    assert equal(first.model, again.model)
    assert not equal(first.model, other.model)
    assert not equal(first.model, there(first.twin)(1))
    keep_network(first.model, tmp_path / "kept", factory[0], factory[1])
    assert equal(load_network(factory[0], factory[1], tmp_path / "kept").model, first.model)
    facts = json.loads((tmp_path / "kept" / "model.json").read_text(encoding="utf-8"))
    assert facts == {"model": "own_networks:make", "arguments": {"width": 7}}


def test_a_model_of_timm(tmp_path):
    import_timm()
    spec = ("timm:test_resnet", {"num_classes": 3})
    loaded = build_network(*spec, seed=1)
    keep_network(loaded.model, tmp_path / "kept", *spec)
    back = load_network(*spec, tmp_path / "kept")
    assert equal(back.model, loaded.model)
    assert not equal(there(back.twin)(1), loaded.model)


def test_kept_networks_are_read_when_they_are_asked_for(tmp_path):
    folders = {f"epoch-{seed:04d}": tmp_path / str(seed) for seed in (1, 2)}
    for seed, folder in enumerate(folders.values(), 1):
        keep_network(build_network(*ZOO, seed=seed).model, folder, *ZOO)
    kept = KeptNetworks(*ZOO, folders)
    assert list(kept) == list(folders)
    assert len(kept) == 2
    assert equal(kept["epoch-0002"], build_network(*ZOO, seed=2).model)


def test_what_cannot_be_built(factory, tmp_path):
    with pytest.raises(SpecError, match="`width` is not an argument"):
        build_network("zoo:mlp", {"width": 3}, seed=0)
    with pytest.raises(SpecError, match="the call make"):
        build_network(factory[0], {"wdth": 3}, seed=0)
    with pytest.raises(SpecError, match="returned a dict"):
        build_network("builtins:dict", {}, seed=0)
    with pytest.raises(SpecError, match="there is no file"):
        load_network(*ZOO, tmp_path)
