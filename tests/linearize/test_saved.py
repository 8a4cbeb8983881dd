"""A bent network on disk can be loaded again into a Bending of the same network."""

import json

import pytest
import torch
from safetensors.torch import load_file

from netcaliper.bending.bending import Bending
from netcaliper.errors import OutputExists
from netcaliper.linearize.saved import save_bent


def test_what_was_saved_computes_the_same(swept, network, tests, tmp_path):
    found = swept[0]
    folder = save_bent(found, tmp_path / "model")
    x, _ = next(iter(tests))
    again = Bending(network, x)
    again.load_state_dict(load_file(folder / "model.safetensors"))
    with torch.no_grad():
        assert torch.equal(again.model.eval()(x), found.model(x))
    facts = json.loads((folder / "bending.json").read_text())
    core = found.reading.points[found.reading.core.point]
    assert facts["point"] == core.name
    assert sum(site["active"] for site in facts["sites"]) == core.active
    assert [site["units"] for site in facts["sites"]] == [12, 8]


def test_nothing_is_overwritten(swept, tmp_path):
    with pytest.raises(OutputExists, match="already exists and is not overwritten"):
        save_bent(swept[0], tmp_path)
