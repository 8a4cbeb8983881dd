"""A plan or a proof that does not fit together is told by name."""

import pytest

import shrinking_readings as made
from netcaliper.reading.shrinking import ClassAgreement, Latency, SiteSize, Target
from netcaliper.reading.shrinking_contradiction import plan_contradiction, proof_contradiction


@pytest.mark.parametrize("make", [made.halved, made.proved, made.bare, made.untouched])
def test_what_fits_together_has_none(make):
    assert plan_contradiction(make().plan) is None
    assert proof_contradiction(make().proof) is None


def step(**more):
    return (made.steps()[0].model_copy(update=more),)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"tolerance": 1.2}, "`tolerance` must be in"),
        ({"target": Target(kind="parameters")}, "`target` parameters has the value None"),
        ({"target": Target(kind="knee", value=0.5)}, "only a knee has none"),
        ({"steps": step(number=2)}, "number 2 stands where 1 is expected"),
        ({"steps": step(removed=(3, 3))}, "each once"),
        ({"steps": step(removed=(5, 3))}, "in ascending order"),
        ({"steps": step(removed=(1, 2), units_before=1)}, "units of 1"),
        ({"removed": {"relu": (-1, 2)}}, "`removed` 'relu'"),
        ({"sites": (SiteSize(name="relu", before=3, after=4),)}, "has 4 units of 3"),
        ({"curve": tuple(point.model_copy(update={"chosen": True}) for point in made.curve())}, "24 chosen points"),
    ],
)
def test_contradictions_of_a_plan(update, words):
    assert words in (plan_contradiction(made.plan().model_copy(update=update)) or "")


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"agreement_low": 0.999}, "is above `agreement`"),
        ({"disagreements": 5001}, "`disagreements` 5001 of 5000"),
        ({"disagreements": 60}, "is not what 60 disagreements of 5000 examples leave"),
        ({"per_class": {"cat": ClassAgreement(agree=4, examples=3)}}, "'cat' has 4 agreements on 3"),
        ({"latency": Latency(ratio=0.5, low=0.6, high=0.7, pairs=41)}, "lies outside of 0.6 to 0.7"),
    ],
)
def test_contradictions_of_a_proof(update, words):
    assert words in (proof_contradiction(made.proof().model_copy(update=update)) or "")
