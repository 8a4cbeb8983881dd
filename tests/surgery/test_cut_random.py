"""Random networks of every family, cut at random wherever their traced structure allows it."""

from typing import Any

import numpy as np
import pytest

import netcaliper as nc
from netcaliper.errors import CutRefused
from netcaliper.surgery.cut import cut_checked
from networks import FAMILIES, build


def attempt(graph, removed) -> tuple[Any, CutRefused | None]:
    try:
        return cut_checked(graph, removed), None
    except CutRefused as refusal:
        return None, refusal


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(1))
def test_what_is_cut_computes_the_same_and_the_rest_is_refused_by_name(family, seed):
    """A refusal names dimensions that were asked for; without them it is cut, exactly."""
    model, example = build(family, seed)
    graph = nc.trace(model, example)
    rng = np.random.default_rng(seed)
    removed = {}
    for dimension in graph.structure.dimensions:
        free = np.flatnonzero(~dimension.frozen)
        gone = np.zeros(dimension.units, dtype=bool)
        gone[rng.permutation(free)[: len(free) // 2]] = True
        removed[dimension.name] = gone
    while True:
        found, refusal = attempt(graph, removed)
        if refusal is None:
            break
        assert refusal.dimensions
        assert all(f"`{name}`" in str(refusal) for name in refusal.dimensions)
        removed = {name: gone for name, gone in removed.items() if name not in refusal.dimensions}
    assert found.differences["float64"] <= 1e-9
    assert found.differences["own"] <= 1e-9
    lost = sum(int(gone.sum()) for gone in removed.values())
    before, after = (sum(p.numel() for p in m.parameters()) for m in (model, found.module))
    assert after < before if lost else after == before
    assert lost or family in ("concat", "attention_ffn")
