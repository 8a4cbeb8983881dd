import json

import numpy as np
import pytest
from scipy.stats import linregress, t

from made_studies import made_cells, made_table
from netcaliper.reading.study import Effect
from netcaliper.study.claims.claim_schema import Claim
from netcaliper.study.claims.judge import judge
from netcaliper.study.claims.rows import Rows

NOISE = np.random.default_rng(0).normal(0, 0.05, 1000)


def claim(statistic="growth", **more):
    along = {} if statistic in ("mean", "flat", "reported") else {"along": "width"}
    threshold = {} if {"above", "below", "within"} & set(more) else {"above": 1.0}
    return Claim.model_validate(
        {"name": "a", "sentence": "s", "statistic": statistic, "column": "y"} | along | threshold | more
    )


def power(s, labels=None):
    """Return y = 10 width^s, with noise by cell; another exponent where the labels are random; a flat twin."""

    def number(width, seed, **point):
        own = labels if point.get("labels") == "random" and labels is not None else s
        noise = NOISE[int(10 * width) + 100 * seed]
        return {"y": 10 * width**own * 2**noise, "twin_y": 10 * width**0.5 * 2**noise, "status": "ok"}

    return number


CELLS = made_cells(width=[0.5, 1, 2, 4], labels=["true", "random"], seed=[0, 1, 2])
TABLE = made_table(CELLS, power(1.0, 0.2))
TRUE = {"labels": "true"}


def test_growth_is_two_to_the_mean_slope_with_the_t_interval_of_slopes():
    found = judge(claim(where=TRUE, above=1.5), TABLE, CELLS)
    slopes = []
    for seed in (0, 1, 2):
        own = [row for row in TABLE.rows if row["seed"] == seed and row["labels"] == "true"]
        slopes.append(linregress(np.log2([r["width"] for r in own]), np.log2([r["y"] for r in own]))[0])
    half = t.ppf(0.975, 2) * np.std(slopes, ddof=1) / np.sqrt(3)
    assert found.effect is not None
    assert found.effect.value == pytest.approx(2 ** np.mean(slopes))
    assert found.effect.low == pytest.approx(2 ** (np.mean(slopes) - half))
    assert found.effect.high == pytest.approx(2 ** (np.mean(slopes) + half))
    assert found.values == pytest.approx({str(seed): 2**s for seed, s in enumerate(slopes)})
    assert (found.verdict, found.reason, found.unit, found.repetitions) == ("holds", None, "g", 3)
    assert (found.cells, found.cells_missing, found.cells_failed) == (12, 0, 0)
    assert found.interval == "95 % t interval over 3 seeds"
    assert json.loads(found.model_dump_json())["effect"]["value"] == found.effect.value


@pytest.mark.parametrize(
    ("threshold", "verdict"),
    [
        ({"above": 1.5}, "holds"),
        ({"above": 3.0}, "contradicted"),
        ({"above": 2.0}, "undecided"),
        ({"below": 3.0}, "holds"),
        ({"below": 1.5}, "contradicted"),
        ({"below": 2.0}, "undecided"),
        ({"within": [1.5, 2.5]}, "holds"),
        ({"within": [3.0, 4.0]}, "contradicted"),
        ({"within": [0.5, 1.0]}, "contradicted"),
        ({"within": [2.0, 3.0]}, "undecided"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(threshold, verdict):
    found = judge(claim(where=TRUE, **threshold), TABLE, CELLS)
    assert found.verdict == verdict
    assert (found.reason is not None) == (verdict == "undecided")


def test_two_growths_are_compared_repetition_by_repetition():
    found = judge(claim(where=TRUE, minus={"where": {"labels": "random"}}, above=1.3), TABLE, CELLS)
    assert found.verdict == "holds"
    assert found.unit == "ratio of g"
    assert found.effect is not None
    assert found.effect.value == pytest.approx(2**0.8, rel=1e-6)  # the noise of a cell is the same on both sides
    assert found.cells == 24


def test_a_claim_beside_its_twin_needs_both():
    both = judge(claim(where=TRUE, above=1.5, beside_twin=True), TABLE, CELLS)
    assert both.verdict == "holds"
    assert both.twin is not None
    assert both.twin.value == pytest.approx(2**0.5, rel=1e-6)
    slow = made_table(CELLS, power(0.3))
    shown = judge(claim(where=TRUE, above=1.05, beside_twin=True), slow, CELLS)
    assert shown.verdict == "contradicted"
    assert shown.reason is not None
    assert "the untrained twin shows it at least as much" in shown.reason
    same = made_table(CELLS, lambda **point: {"y": (y := power(1.0)(**point)["y"]), "twin_y": y * 2 ** NOISE[int(y)]})
    across = judge(claim(where=TRUE, above=1.2, beside_twin=True), same, CELLS)
    assert across.verdict == "undecided"
    assert "beside the untrained twin" in str(across.reason)
    bare = made_table(CELLS, lambda **point: {"y": power(1.0)(**point)["y"]})
    none = judge(claim(where=TRUE, above=1.2, beside_twin=True), bare, CELLS)
    assert none.verdict == "undecided"
    assert "there is no column `twin_y`" in str(none.reason)
    assert (none.beside_twin, none.twin) == (True, None)
    wrong = judge(claim(where=TRUE, above=3.0, beside_twin=True), bare, CELLS)
    assert (wrong.verdict, wrong.reason) == ("contradicted", None)


def test_a_zero_leaves_the_repetition_out_by_name():
    def number(width, seed, **point):
        return {"y": 0 if seed == 2 and width == 1 else 10 * width * 2 ** NOISE[int(10 * width) + seed]}

    cells = made_cells(width=[0.5, 1, 2, 4], seed=[0, 1, 2, 3])
    found = judge(claim(above=1.5), made_table(cells, number), cells)
    assert found.verdict == "holds"
    assert list(found.values) == ["0", "1", "3"]
    assert found.left_out == ("seed 2: `y` is 0 where width = 1, and a logarithm needs more than 0",)
    few = judge(claim(above=1.5, seeds=4), made_table(cells, number), cells)
    assert few.verdict == "undecided"
    assert few.effect is not None
    assert str(few.reason).startswith("3 repetitions where at least 4 are asked for (seed 2: `y` is 0")


@pytest.mark.parametrize("status", ["missing", "failed"])
def test_cells_that_are_not_there_leave_it_undecided(status):
    cells = [c.model_copy(update={"status": status}) if c.columns == {"width": 4, "seed": 1} else c for c in made()]
    found = judge(claim(above=1.5), made_table(cells, power(1.0)), cells)
    assert found.verdict == "undecided"
    assert found.reason == ("1 of 16 cells is not computed yet" if status == "missing" else "1 of 16 cells failed")
    assert (found.cells_missing, found.cells_failed) == ((1, 0) if status == "missing" else (0, 1))
    assert found.effect is not None


def made():
    return made_cells(width=[0.5, 1, 2, 4], seed=[0, 1, 2, 3])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"where": {"labels": "false"}}, "no cell has labels = false: there are random, true"),
        (
            {"minus": {"where": {"width": 7}}},
            "minus: no cell has width = 7 among those with labels = true: there are 0.5, 1, 2, 4",
        ),
        ({"column": "yy"}, "there is no column `yy`"),
        ({"per": "lottery"}, "there is no column `lottery`"),
        ({"along": "depth"}, "there is no column `depth`"),
    ],
)
def test_what_cannot_be_read_is_undecided_and_said(more, words):
    found = judge(claim(**{"where": TRUE} | more), TABLE, CELLS)
    assert found.verdict == "undecided"
    assert found.effect is None
    assert words in str(found.reason)


def test_one_problem_of_several_parts_is_told_once():
    found = judge(claim(where={"labels": "false"}, minus={"where": {"width": 1}}), TABLE, CELLS)
    assert found.reason == "no cell has labels = false: there are random, true"
    other = judge(claim(where={"width": 9}, minus={"where": {"width": 8}}), TABLE, CELLS)
    assert str(other.reason).startswith("no cell has width = 9: there are 0.5, 1, 2, 4; minus: no cell has width = 8")


def test_nothing_computed_yet_is_undecided():
    cells = made_cells(status="missing", width=[1, 2], seed=[0, 1])
    found = judge(claim(), Rows([], ()), cells)
    assert (found.verdict, found.reason) == ("undecided", "none of the 4 cells is done")
    assert found.cells_missing == 4


def test_a_mean_and_a_ratio_of_means():
    cells = made_cells(size=[1, 2], seed=[0, 1, 2])
    table = made_table(cells, lambda size, seed: {"y": 0.1 * size + 0.001 * seed})
    found = judge(claim("mean", where={"size": 2}, above=0.19), table, cells)
    assert found.effect is not None
    assert found.effect.value == pytest.approx(0.201)
    assert found.verdict == "holds"
    less = judge(claim("mean", where={"size": 2}, minus={"where": {"size": 1}}, within=[0.09, 0.11]), table, cells)
    assert less.verdict == "holds"
    times = judge(claim("mean", where={"size": 2}, over={"where": {"size": 1}}, above=1.9), table, cells)
    assert times.effect is not None
    assert times.effect.value == pytest.approx(2 * np.prod([1, 0.1005 / 0.101, 0.101 / 0.102]) ** (1 / 3), rel=1e-6)
    assert times.unit == "ratio"
    other = judge(claim("mean", where={"size": 2}, minus={"column": "z"}), table, cells)
    assert "there is no column `z`" in str(other.reason)


def test_repetitions_that_only_one_side_has_are_named():
    cells = [*made_cells(size=[1], seed=[0, 1, 2]), *made_cells(size=[2], seed=[0, 1, 2, 3])]
    table = made_table(cells, lambda size, seed: {"y": size + 0.1 * seed})
    found = judge(claim("mean", where={"size": 2}, minus={"where": {"size": 1}}, above=0.5), table, cells)
    assert found.verdict == "holds"
    assert found.left_out == ("seed 3: only one of the two sides has it",)


def test_what_a_span_leaves_out_is_told_and_is_no_missing_cell():
    cells = made_cells(size=[1, 2], seed=[0, 1, 2, 3])

    def blocks(size, seed):
        return {"blocks": 1, "inside": 0.3 + 0.01 * seed} if (size + seed) % 3 else {"blocks": 0}

    having = {"blocks": {"above": 0}}
    found = judge(claim("mean", column="inside", where=having, above=0.2), made_table(cells, blocks), cells)
    assert found.verdict == "holds"
    assert found.values == pytest.approx({str(seed): 0.3 + 0.01 * seed for seed in range(4)})
    assert found.left_out == ("2 of 8 rows without blocks above 0",)
    assert found.reads == "mean of inside, where blocks above 0"
    assert found.cells_missing == 0
    few = judge(
        claim("mean", column="inside", where=having | {"size": 2}, above=0.2, seeds=4), made_table(cells, blocks), cells
    )
    assert few.reason == "3 repetitions where at least 4 are asked for (1 of 4 rows without blocks above 0)"


def test_flat_looks_at_all_epochs():
    cells = made_cells(seed=[0, 1, 2])
    table = made_table(cells, lambda seed, epoch: {"y": 0.5 + 0.01 * epoch}, epochs=[8, 9, 10])
    found = judge(claim("flat", below=0.05), table, cells)
    assert found.effect is not None
    assert found.effect.value == pytest.approx(0.02)
    assert found.verdict == "holds"
    some = judge(claim("flat", below=0.05, where={"epoch": [9, 10]}), table, cells)
    assert some.effect is not None
    assert some.effect.value == pytest.approx(0.01)


def test_eight_repetitions_are_bootstrapped_and_a_rank_stays_a_rank():
    cells = made_cells(width=[1, 2, 3, 4, 5], seed=list(range(8)))
    table = made_table(cells, lambda width, seed: {"y": width + 40 * NOISE[width + 10 * seed]})
    found = judge(claim("rank", above=0.0), table, cells)
    assert found.effect is not None
    assert found.effect.high is not None
    assert found.effect.high <= 1
    assert "bootstrap" in found.interval
    few = judge(claim("rank", above=0.0, where={"seed": [0, 1]}, seeds=2), table, cells)
    assert few.effect is not None
    assert few.effect.low is not None
    assert few.effect.low >= -1


def bent(seeds=(0, 1, 2), families=("narrow", "wide")):
    """Plant curves that fall below the reference where x is 0.3 (narrow) or 0.2 (wide), a little off in every seed."""
    cells = [
        cell
        for family in families
        for cell in made_cells(family, "bend", omega=[0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45], seed=list(seeds))
    ]

    def number(omega, seed):
        x = 1 - 2 * omega + 0.01 * seed
        return {"x": x, "omega_seen": omega}

    table = made_table(cells, number)
    rows = []
    for row in table.rows:
        core = 0.3 if row["family"] == "narrow" else 0.2
        y = 0.9 - max(0.0, core - (row["x"] - 0.01 * row["seed"])) * 0.2 + 0.001 * row["seed"]
        rows.append({**row, "y": y})
    return cells, Rows(rows, (*table.columns, "y"))


def core_claim(**more):
    return claim("core", **{"along": "x", "reference": {"where": {"omega": 0.0}}, "below": 0.3} | more)


def test_a_core_is_read_on_the_mean_curve_with_a_jackknife():
    cells, table = bent()
    found = judge(core_claim(where={"family": "narrow"}), table, cells)
    assert found.effect is not None
    # 0.9 - 0.2 (0.3 - x) = 0.89 at x = 0.25, shifted by the mean of 0, 0.01 and 0.02
    assert found.effect.value == pytest.approx(0.26)
    assert found.values == pytest.approx({"0": 0.265, "1": 0.26, "2": 0.255})
    left = np.array(list(found.values.values()))
    half = t.ppf(0.975, 2) * np.sqrt(2 / 3 * np.sum((left - left.mean()) ** 2))
    assert found.effect.low == pytest.approx(found.effect.value - half)
    assert found.verdict == "holds"
    assert found.interval == "95 % delete-one jackknife with Student's t over 3 seeds"
    ratio = judge(core_claim(where={"family": "wide"}, over={"where": {"family": "narrow"}}, below=1.0), table, cells)
    assert ratio.effect is not None
    assert ratio.effect.value == pytest.approx(0.16 / 0.26, rel=1e-6)
    assert ratio.verdict == "holds"


def test_a_repetition_without_its_reference_is_left_out_by_name():
    cells, table = bent(seeds=(0, 1, 2, 3))
    rows = [row for row in table.rows if not (row["seed"] == 3 and row["omega"] == 0.0)]
    found = judge(core_claim(where={"family": "narrow"}), Rows(rows, table.columns), cells)
    assert found.left_out == ("seed 3: there is no reference of it",)
    assert found.repetitions == 3
    low = [{**row, "y": row["y"] - (0.5 if row["omega"] else 0)} for row in table.rows]
    never = judge(core_claim(where={"family": "narrow", "omega": [0.1, 0.2]}), Rows(low, table.columns), cells)
    assert never.effect is not None  # the reference is a point of the curve
    assert never.effect.value > 0.9


def test_a_core_can_be_set_against_a_mean():
    """Networks of width 1 and more are as good as the widest; the widest says that it needs half of its units."""
    cells = made_cells(width=[0.25, 0.5, 1, 2], seed=[0, 1, 2])
    table = made_table(cells, lambda width, seed: {"y": 0.9 if width >= 1 else 0.8, "needed": 0.5 + 0.01 * seed})
    found = judge(
        claim(
            "core",
            reference={"where": {"width": 2}},
            over={"statistic": "mean", "column": "needed", "where": {"width": 2}},
            within=[1.0, 4.0],
        ),
        table,
        cells,
    )
    assert found.effect is not None
    assert found.effect.value == pytest.approx((0.5 + 0.5 * 0.09 / 0.1) / 0.51)
    assert found.verdict == "holds"
    assert found.reads == ("smallest width within 0.01 of the reference's y; over the mean of needed, width = 2")


def test_a_gap_lies_between_two_curves_of_one_repetition():
    cells, table = bent()
    found = judge(
        claim("gap", along="x", where={"family": "wide"}, minus={"where": {"family": "narrow"}}, above=0.0),
        table,
        cells,
    )
    assert found.effect is not None
    assert found.effect.value > 0
    assert found.repetitions == 3


def test_a_comparison_reports_its_own_interval():
    cells = made_cells("uniqueness", "compare", width=[1, 2])
    table = made_table(cells, lambda width: {"y": 0.1 * width, "y_low": 0.05 * width, "y_high": 0.2 * width})
    found = judge(claim("reported", where={"width": 2}, above=0.08), table, cells)
    assert (found.verdict, found.repetitions) == ("holds", 1)
    of_ten = made_table(cells, lambda width: {"y": 1, "y_low": 1, "y_high": 1, "networks": 10})
    assert judge(claim("reported", where={"width": 2}, above=0.08), of_ten, cells).repetitions == 10
    assert judge(claim("reported", above=0.08), table, cells).reason == (
        "`reported` takes one row, and 2 are selected; narrow `where`"
    )
    bare = made_table(cells, lambda width: {"y": 0.1, "y_note": "two networks are too few"})
    without = judge(claim("reported", where={"width": 2}), bare, cells)
    assert without.verdict == "undecided"
    assert without.reason == "`y` is reported without an interval (two networks are too few)"
    assert without.effect == Effect(value=0.1)
    assert without.interval == ""
    endless = made_table(cells, lambda width: {"y": 0.1, "y_low": 0.05, "y_high": float("inf")})
    assert "`y_high` is inf" in str(judge(claim("reported", where={"width": 2}), endless, cells).reason)
    assert "there is no column `z`" in str(judge(claim("reported", column="z", where={"width": 2}), bare, cells).reason)
    per_seed = judge(claim("mean", where={"width": 2}), table, cells)
    assert "there is no column `seed`" in str(per_seed.reason)


def test_rows_without_a_repetition_are_not_passed_over():
    cells = [*made_cells(seed=[0, 1, 2]), *made_cells("all", "compare")]
    found = judge(claim("mean", above=0.0), made_table(cells, lambda **_: {"y": 1.0}), cells)
    assert "rows without a `seed` are among them" in str(found.reason)


def test_only_verified_values_of_papers_are_shown():
    paper = {"value": 2.69, "where": "Figure 1"}
    shown = judge(claim(where=TRUE, paper=paper | {"verified": True}), TABLE, CELLS).paper
    assert shown is not None
    assert (shown.value, shown.where) == (2.69, "Figure 1")
    assert judge(claim(where=TRUE, paper=paper | {"verified": False}), TABLE, CELLS).paper is None


def test_a_true_threshold_is_contradicted_about_as_seldom_as_the_interval_says():
    generator = np.random.default_rng(3)
    cells = made_cells(width=[1, 2, 4], seed=[0, 1, 2, 3])
    wrong = 0
    draws = 200
    for _ in range(draws):
        table = made_table(cells, lambda width, seed: {"y": width**1.0 * 2 ** generator.normal(0, 0.1)})
        wrong += judge(claim(where={"seed": [0, 1, 2, 3]}, above=2.0), table, cells).verdict != "undecided"
    assert 0.01 <= wrong / draws <= 0.10  # 5 % in both directions together
