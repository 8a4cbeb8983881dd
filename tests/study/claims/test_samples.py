import numpy as np
import pytest

from netcaliper.study.claims.claim_schema import Claim
from netcaliper.study.claims.samples import Side, effect_of, sample_of, unscaled

CLAIM = {"name": "a", "sentence": "s", "statistic": "mean", "column": "y", "above": 0.0}


def rows(values):
    return [{"cell": f"{seed}", "seed": seed, "y": value} for seed, value in enumerate(values)]


def test_differences_and_ratios_are_taken_within_a_repetition():
    main, other = Side("y", rows([1.0, 2.0, 4.0])), Side("y", rows([0.5, 1.0, 4.0]))
    minus = Claim.model_validate(CLAIM | {"minus": {"where": {"a": 1}}})
    assert sample_of(minus, main, other, []).values == {"0": 0.5, "1": 1.0, "2": 0.0}
    over = Claim.model_validate(CLAIM | {"over": {"where": {"a": 1}}})
    sample = sample_of(over, main, other, [])
    assert sample.values == {"0": 1.0, "1": 1.0, "2": 0.0}
    effect = effect_of(over, sample, logarithmic=True)
    assert effect is not None
    assert effect.value == pytest.approx(2 ** (2 / 3))
    zero = sample_of(over, main, Side("y", rows([0.0, 1.0, 4.0])), [])
    assert zero.left_out == ("seed 0: 1 over 0 is no ratio of numbers above 0",)


def test_no_repetition_has_no_effect_and_one_no_interval():
    claim = Claim.model_validate(CLAIM)
    assert effect_of(claim, sample_of(claim, Side("y", rows([])), None, []), logarithmic=False) is None
    one = effect_of(claim, sample_of(claim, Side("y", rows([3.0])), None, []), logarithmic=False)
    assert one is not None
    assert (one.value, one.low, one.high) == (3.0, None, None)


def test_a_core_without_an_answer_in_one_fold_has_no_interval():
    claim = Claim.model_validate(
        CLAIM | {"statistic": "core", "along": "x", "reference": {"where": {"omega": 0}}, "drop": 0.1}
    )

    def sample(best):
        curve = [
            {"cell": f"{seed}{x}", "seed": seed, "x": x, "y": y, "omega": 2 - x}
            for seed in (0, 1)
            for x, y in ((0.5, 0.8), (1.1, best[seed]))
        ]
        references = [{"cell": f"r{seed}", "seed": seed, "x": 1.0, "y": 1.0, "omega": 0} for seed in (0, 1)]
        return sample_of(claim, Side("y", curve, references), None, ["omega"])

    sound = sample([1.0, 0.95])
    assert sound.whole == pytest.approx(0.75)
    assert sound.values == pytest.approx({"0": 0.75, "1": 0.75})
    effect = effect_of(claim, sound, logarithmic=False)
    assert effect is not None
    assert effect.low == pytest.approx(0.75)
    torn = sample([1.0, 0.85])  # good enough together, not without seed 0
    assert torn.whole == pytest.approx(0.75)
    assert len(torn.left_out) == 1
    assert torn.left_out[0].startswith("without seed 0: already the largest `x`")
    effect = effect_of(claim, torn, logarithmic=False)
    assert effect is not None
    assert effect.low is None


def test_logarithms_are_undone():
    assert unscaled(3.0, logarithmic=True) == 8.0
    assert unscaled(3.0, logarithmic=False) == 3.0
    assert np.isclose(unscaled(-1.0, logarithmic=True), 0.5)
