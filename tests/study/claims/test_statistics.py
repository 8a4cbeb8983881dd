import numpy as np
import pytest
from scipy.stats import rankdata

from netcaliper.study.claims.claim_schema import Claim
from netcaliper.study.claims.statistics import NoNumber, core_of, gap_of, gathered, number_of, numbers_in


def claim(statistic, **more):
    along = {} if statistic in ("mean", "flat") else {"along": "x"}
    return Claim.model_validate(
        {"name": "a", "sentence": "s", "statistic": statistic, "column": "y", "above": 1.0} | along | more
    )


def rows(x, y, **more):
    return [{"cell": f"{i}", "x": a, "y": b} | more for i, (a, b) in enumerate(zip(x, y, strict=True))]


def test_every_statistic_gives_what_is_planted():
    x = [1, 2, 4, 8]
    assert number_of(claim("mean"), rows(x, [1, 2, 3, 4]), "y") == 2.5
    assert number_of(claim("growth"), rows(x, [5, 10, 20, 40]), "y") == pytest.approx(1)
    assert number_of(claim("slope"), rows(x, [0.1, 0.3, 0.5, 0.7]), "y") == pytest.approx(0.2)
    assert number_of(claim("rank"), rows(x, [1, 5, 7, 9]), "y") == pytest.approx(1)
    assert number_of(claim("flat", along="x"), rows([1, 1, 2], [1, 3, 2.5]), "y") == pytest.approx(0.5)


def test_what_the_readings_say_of_a_missing_number_is_told_with_it():
    row = {"x": 1, "z": float("inf"), "width_note": "y: too few rows.", "twin_width_note": "y: one class."}
    whole = {"x": 2, "y": 3, "twin_y": 4}
    with pytest.raises(NoNumber, match=r"^there is no `y` where x = 1 \(y: too few rows\)$"):
        numbers_in([row, whole], "y", "x")
    with pytest.raises(NoNumber, match=r"^there is no `twin_y` \(y: one class\)$"):
        numbers_in([row, whole], "twin_y")
    with pytest.raises(NoNumber, match=r"^there is no column `twin_y` \(y: one class\)$"):
        numbers_in([row, row], "twin_y")
    with pytest.raises(NoNumber, match=r"^`z` is inf, no finite number$"):
        numbers_in([row], "z")


def test_ranks_are_spearmans():
    generator = np.random.default_rng(0)
    x, y = generator.random(9), generator.integers(0, 4, 9).astype(float)
    slow = np.corrcoef(rankdata(x), rankdata(y))[0, 1]
    assert number_of(claim("rank"), rows(x.tolist(), y.tolist()), "y") == pytest.approx(slow)


@pytest.mark.parametrize(
    ("statistic", "x", "y", "words"),
    [
        ("growth", [1, 2], [0, 3], "`y` is 0 where x = 1, and a logarithm needs more than 0"),
        ("growth", [0, 2], [1, 3], "`x` is 0, and a logarithm needs more than 0"),
        ("growth", [1, 2], [None, 3], "there is no `y` where x = 1"),
        ("slope", [2, 2], [1, 3], "1 different `x` where at least 2 are needed"),
        ("rank", [1, 2], [1, 3], "2 different `x` where at least 3 are needed"),
        ("rank", [1, 2, 3], [4, 4, 4], "`y` is 4 everywhere, and has no ranks"),
        ("mean", [1], ["much"], "`y` is 'much', no finite number"),
        ("mean", [1], [float("inf")], "`y` is inf, no finite number"),
    ],
)
def test_what_gives_no_number_says_why(statistic, x, y, words):
    with pytest.raises(NoNumber, match="^" + words + "$"):
        number_of(claim(statistic), rows(x, y), "y")


def test_a_missing_column_is_named_with_its_neighbor():
    with pytest.raises(NoNumber, match="there is no column `prunable_unit`.*`prunable_units`"):
        numbers_in([{"prunable_units": 1}], "prunable_unit")


def test_a_gap_is_the_distance_of_two_curves():
    one = claim("gap", minus={"where": {"a": 1}})
    assert gap_of(one, rows([0, 1], [1, 3]), "y", rows([0, 1], [0.5, 2.5]), "y") == pytest.approx(0.5)
    with pytest.raises(NoNumber, match="share no `x`"):
        gap_of(one, rows([0, 1], [1, 3]), "y", rows([2, 3], [1, 1]), "y")


def core_claim(**more):
    return claim("core", reference={"where": {"omega": 0}}, **more)


def test_a_core_is_read_on_the_mean_of_points_that_every_repetition_has():
    curve = [
        {"cell": f"{seed}{omega}", "seed": seed, "omega": omega, "x": 1 - omega, "y": 0.9 - drop + 0.02 * seed}
        for seed in (0, 1)
        for omega, drop in ((0.2, 0.0), (0.5, 0.0), (0.7, 0.02))
    ]
    references = [{"cell": f"{seed}0", "seed": seed, "omega": 0, "x": 1.0, "y": 0.9 + 0.02 * seed} for seed in (0, 1)]
    middle = core_of(core_claim(), [*curve, *references], references, "y", ["omega"])
    assert middle == pytest.approx(0.4)  # halfway between 0.5 and 0.3
    # without one repetition at 0.7 the curve ends at 0.5
    assert core_of(core_claim(), curve[:-1], references, "y", ["omega"]) == pytest.approx(0.5)
    with pytest.raises(NoNumber, match="already the largest `x` of the mean curve has a `y` more than 0.01 below"):
        core_of(core_claim(), [row | {"x": row["x"] + 1} for row in curve[2::3]], references, "y", ["omega"])


def test_repetitions_without_a_number_are_left_out_by_name():
    def number(label):
        if label == "2":
            raise NoNumber("there is no `y`")
        return float(label)

    assert gathered(["1", "2", "3"], number, "seed") == ({"1": 1.0, "3": 3.0}, ("seed 2: there is no `y`",))
