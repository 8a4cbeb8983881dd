"""What a plan and its proof say in sentences: never faster, met or the same when it is not."""

import pytest

import shrinking_readings as made
from netcaliper.reading.shrinking import Latency, ShrinkReading, Target, TaskMetric
from netcaliper.reading.shrinking_headline import (
    all_warnings,
    headline,
    kept,
    lead,
    metric_value,
    metric_words,
    same_words,
    sizes,
    speed_words,
    target_words,
    tier_words,
)


def test_the_headlines():
    assert headline(made.halved()) == (
        "resnet20: 49.6 % fewer parameters (272 k to 137 k), the same answer on 4,939 of 5,000 verify examples "
        "(at least 98.5 % at 95 %), 1.35 times as fast."
    )
    assert headline(made.proved()) == (
        "resnet20: 0.3 % fewer parameters (272,474 to 271,601), the same answer on all 5,000 verify examples "
        "(at least 99.9 % at 95 %), but NOT measurably faster (0.99 times the time, 0.96 to 1.03)."
    )
    assert "its output off by 1.8 % of its variance on 50 verify examples, its time not measured" in headline(
        made.bare()
    )
    assert headline(made.untouched()) == "mlp: nothing could be taken away; it is what it was."


def test_a_linear_map_in_the_place_of_a_block_may_make_it_larger():
    reading = made.halved()
    larger = reading.model_copy(update={"proof": made.proof(parameters_after=300_000)})
    assert "10.1 % more parameters (272 k to 300 k)" in headline(larger)


def test_the_lead():
    said = lead(made.halved())
    for words in (
        "Verified on held-back examples (read once, after the plan was frozen).",
        "Asked for: at most 51 % of the parameters; met: 137,210 parameters are 50.4 %.",
        "The largest network on the way",
        "Accuracy 92.04 % before and 91.86 % after (-0.18 points, -0.41 to +0.05 at 95 %).",
        "taken away by another rule, the best has an agreement of 95.1 %.",
    ):
        assert words in said, words
    assert "No size was asked for." in lead(made.proved())
    assert "NOT met: the smallest network" in lead(made.bare())


@pytest.mark.parametrize(
    ("latency", "words"),
    [
        (None, "its time not measured"),
        (Latency(ratio=0.5, low=0.45, high=0.55, pairs=41), "2.00 times as fast"),
        (Latency(ratio=0.97, low=0.93, high=1.01, pairs=41), "NOT measurably faster (0.97 times the time"),
        (Latency(ratio=1.2, low=1.1, high=1.3, pairs=41), "slower (1.20 times the time, 1.10 to 1.30)"),
    ],
)
def test_faster_only_if_it_is(latency, words):
    assert words in speed_words(latency)


def test_how_sure_it_is():
    assert tier_words(made.proved().proof).startswith("Proved: every step is exact (off by 3e-14 in float64)")
    assert "also chosen on (forced)" in tier_words(made.bare().proof)
    assert "read 2 times" in tier_words(made.proof(verification_reads=2))
    assert same_words(made.proof(task="tokens")).startswith("the same next token on 4,939")


def test_targets_metrics_sizes_and_steps():
    assert target_words(Target(kind="agreement", value=0.995)) == "at least 99.5 % of the answers stay"
    assert target_words(Target(kind="knee")) == "the knee of the curve"
    loss = TaskMetric(name="cross-entropy", before=2.1513, after=2.2013, difference=0.05, low=0.01, high=0.09)
    assert metric_words(loss) == "Cross-entropy 2.151 before and 2.201 after (+0.05, +0.01 to +0.09 at 95 %)"
    plain = TaskMetric(name="r2", before=0.9, after=0.89, difference=-0.01)
    assert metric_words(plain) == "R² 0.9 before and 0.89 after (-0.01)"
    assert metric_value(plain, None) == "–"
    assert [row[0] for row in sizes(made.bare().proof)] == ["parameters", "multiply-adds an example"]
    assert sizes(made.proof())[2][3:] == ("1.05 MiB", "540 KiB")
    assert kept(made.plan()) == "9 steps: 7 kept, 1 rolled back, 1 refused"
    assert kept(made.plan(steps=())) == "0 steps"


def test_warnings_follow_from_the_record():
    assert all_warnings(made.halved()) == []
    target, forced, own = all_warnings(made.bare())
    assert target.startswith("The target is not met (at most 30 % of the time): the smallest")
    assert "forced" in forced
    assert own == "an epoch of data is small"
    twice = ShrinkReading(plan=made.plan(), proof=made.proof(verification_reads=2))
    assert all_warnings(twice) == ["The verify examples were read 2 times."]
