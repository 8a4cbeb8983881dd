"""From a candidate to the module and its proof."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from netcaliper.shrink.candidate import Candidate, Candidates
from netcaliper.shrink.descent import Place
from netcaliper.shrink.finished import finish, prove
from netcaliper.shrink.judge import without
from netcaliper.shrink.paths import UnitPath
from shrinking_digits import data, network, prepared


@pytest.fixture(scope="module")
def made() -> tuple[Candidates, Candidate]:
    known = prepared("cnn")
    paths = [UnitPath(d, np.arange(d.units - 1), np.linspace(0, 1, d.units)) for d in known.dimensions]
    candidates = Candidates(known.graph, known.exact, known.calls, paths, known.parts.calibrate, known.judge)
    return candidates, candidates.at(Place((3, 4), 0.0, 200, 200))


def test_the_module_is_the_candidate(made):
    candidates, chosen = made
    found = finish(prepared("cnn"), chosen, norms=False)
    assert found.norms is None
    assert found.plain is None
    x = data()[0][0]
    with torch.no_grad():
        own = found.network.module(x)
    assert torch.allclose(own, without(candidates.graph.with_state(chosen.state))(prepared_batch(x)), atol=1e-5)
    assert found.graph is not None
    assert [site.units for site in found.graph.sites] == [5, 8]


def prepared_batch(x):
    from netcaliper.trace.batches import as_batch

    return as_batch(x, form=prepared("cnn").graph.form)


def test_norm_statistics_are_kept_where_they_help_or_where_told(made):
    _, chosen = made
    known = prepared("cnn")
    told = finish(known, chosen, norms=True)
    assert told.norms is not None
    assert told.norms.status == "kept"
    assert told.plain is not None
    never = finish(known, replace(chosen, judgment=replace(chosen.judgment, divergence=0.0)), norms=None)
    assert never.norms is not None
    assert never.norms.status == "rolled back"
    assert never.norms.reason is not None
    assert never.plain is None
    always = finish(known, replace(chosen, judgment=replace(chosen.judgment, divergence=1e9)), norms=None)
    assert always.norms is not None
    assert always.norms.status == "kept"


def test_where_nothing_was_fitted_no_statistics_are_tried(made):
    candidates, _ = made
    found = finish(prepared("cnn"), candidates.at(Place((0, 0), 0.0, 300, 300)), norms=None)
    assert found.norms is None


def test_the_proof_compares_with_baselines_of_the_same_size(made):
    candidates, chosen = made
    known = prepared("cnn")
    proof = prove(known, candidates, chosen, finish(known, chosen, norms=True), target=(True, "so it is"), seed=0)
    assert proof.tier == "verified"
    assert {(b.name, b.refitted) for b in proof.baselines} == {
        ("random", False),
        ("random", True),
        ("magnitude", False),
    }
    assert proof.without_norm_statistics is not None
    assert proof.examples == known.parts.sizes.verify
    assert sum(each.examples for each in proof.per_class.values()) == proof.examples
    assert proof.metric is not None
    assert proof.latency is not None
    assert proof.parameters_before == sum(p.numel() for p in network("cnn").parameters())
    assert (proof.target_met, proof.target_words) == (True, "so it is")
