"""A tiny network that bends, and one whole linearization, made once for all tests of this folder."""

import pytest
import torch

import netcaliper as nc
from linearizing import tiny
from netcaliper.bending.bending import Bending
from netcaliper.fit.train import fit
from netcaliper.zoo.data import Options, digits
from netcaliper.zoo.models import build

WIDTHS = [12, 8]


@pytest.fixture
def bending():
    return Bending(tiny(), torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), omega=0.0)


@pytest.fixture(scope="package")
def train():
    return digits("train", batch_size=32, options=Options(examples=256))


@pytest.fixture(scope="package")
def tests():
    return digits("test", batch_size=128)


@pytest.fixture(scope="package")
def network(train):
    model = build("mlp", {"widths": WIDTHS})
    fit(model, train, epochs=25, learning_rate=0.1, optimizer="sgd")
    return model


@pytest.fixture(scope="package")
def swept(network, train, tests, tmp_path_factory):
    """A sweep of two penalties with every baseline, its folder, and the phases that were told."""
    folder, told = tmp_path_factory.mktemp("swept") / "work", []
    found = nc.linearize(
        network,
        train,
        eval_data=tests,
        omega=(0.05, 0.08),
        epochs=5,
        finetune=2,
        learning_rate=0.02,
        baselines=("random", "layer", "one_shot", "shallow"),
        shallow=(build("mlp", {"widths": [14]}),),
        trained_epochs=25,
        folder=folder,
        progress=lambda phase, done, total: told.append((phase, done, total)),
    )
    return found, folder, told
