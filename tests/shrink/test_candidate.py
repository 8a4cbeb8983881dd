"""Candidates: made once, fitted and judged."""

import numpy as np
import pytest
import torch

from netcaliper.shrink.candidate import Candidates
from netcaliper.shrink.descent import Place
from netcaliper.shrink.judge import without
from netcaliper.shrink.paths import UnitPath
from netcaliper.surgery.cut import cut_checked
from shrinking_digits import prepared


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    known = prepared("mlp")
    (dimension,) = known.dimensions
    path = UnitPath(dimension, np.arange(40), np.linspace(0, 1, 41))
    return Candidates(known.graph, known.exact, known.calls, [path], known.parts.calibrate, known.judge)


def place(steps: int) -> Place:
    return Place((steps,), 0.0, 1000 - steps, 1000 - steps)


def test_a_place_is_made_once(candidates):
    assert candidates.at(place(10)) is candidates.at(place(10))
    candidates.at(place(5))
    sizes = [made.place.parameters for made in candidates.made]
    assert sizes == sorted(sizes, reverse=True)


def test_a_candidate_is_what_its_module_computes(candidates):
    made = candidates.at(place(10))
    ((name, gone),) = made.removed.items()
    assert gone.sum() == 10
    module = cut_checked(candidates.graph, made.removed, made.state).module
    batch = candidates.judge.held.batches[0]
    with torch.no_grad():
        assert torch.allclose(module(*batch.args), without(candidates.graph.with_state(made.state))(batch), atol=1e-5)
    assert made.fitted
    assert made.judgment.agreement.examples == candidates.judge.held.examples
    assert name == candidates.paths[0].name


def test_fitting_helps(candidates):
    from netcaliper.surgery.masking import masked

    made = candidates.at(place(30))
    plain = masked(candidates.graph.program.tensors, candidates.graph.structure, made.removed)
    assert made.judgment.divergence < candidates.judge.judge(without(candidates.graph.with_state(plain))).divergence


def test_without_any_step_nothing_is_fitted(candidates):
    made = candidates.at(place(0))
    assert not made.fitted
    assert made.judgment.divergence == 0
    assert made.branches == ()
