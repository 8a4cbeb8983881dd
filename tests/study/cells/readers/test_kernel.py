"""The kernel's velocity: at the epoch where a stretch ends, over the epochs of the stretch."""

import pytest

from netcaliper.compare.ntk_velocity import ntk_velocity
from netcaliper.errors import StudyError
from netcaliper.study.cells.cell_data import CellData
from netcaliper.study.cells.networks import KeptNetworks, build_network, keep_network
from netcaliper.study.cells.readers import kernel
from netcaliper.study.cells.readers.subject import Subject
from netcaliper.zoo.data import digits

SPEC = ("zoo:mlp", {"inputs": 64, "widths": [5], "classes": 3})


def test_velocity_of_kept_networks(tmp_path):
    folders = {f"epoch-{epoch:04d}": tmp_path / str(epoch) for epoch in (0, 1, 4)}
    models = {name: build_network(*SPEC, seed=seed).model for seed, name in enumerate(folders)}
    for name, model in models.items():
        keep_network(model, folders[name], *SPEC)
    data = CellData(digits("test"), digits("test"), "digits (test)")
    subject = Subject(build_network(*SPEC, seed=0), data, 3, tmp_path / "kernel", lambda *step: None)
    found = kernel.read(subject, {"examples": 20}, KeptNetworks(*SPEC, folders))
    direct = ntk_velocity(models, data.test, examples=20, seed=3).distance
    assert {epoch: row["kernel_velocity"] for epoch, row in found.items()} == {
        0: None, 1: pytest.approx(direct[0]), 4: pytest.approx(direct[1] / 3),
    }  # fmt: skip
    with pytest.raises(StudyError, match="compares epochs, there is 1"):
        kernel.read(subject, {}, KeptNetworks(*SPEC, {"epoch-0000": tmp_path / "0"}))
