"""What ``benchmarks/linearization_study.py`` concludes from its runs, and a small grid of them on digits."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmark_script import imported


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    with imported("linearization_study") as module:
        yield module


@pytest.fixture(scope="module")
def digits() -> Iterator[ModuleType]:
    with imported("linearization_digits") as module:
        yield module


def row(
    share: float, length: float, accuracy: float, *, kind: str = "learned", start: int = 20, **other: object
) -> dict:
    return {
        "network": "net",
        "seed": 0,
        "kind": kind,
        "start": start,
        "status": "ok",
        "share": share,
        "active": round(100 * share),
        "path_length_normalized": length,
        "select": accuracy,
        "verify": accuracy,
        "by_class": [accuracy, accuracy],
    } | other


def test_a_curve_crosses_where_the_line_between_two_points_does(study: ModuleType) -> None:
    shares, right = [1.0, 0.5, 0.3, 0.1], [0.90, 0.91, 0.90, 0.80]
    assert study.crossing(shares, right, 0.89) == pytest.approx(0.3 - 0.2 * 0.01 / 0.10)
    assert study.crossing(shares[::-1], right[::-1], 0.89) == study.crossing(shares, right, 0.89)
    assert study.crossing(shares, right, 0.7) == 0.1  # never below: the smallest that was tried
    assert study.crossing(shares, right, 0.95) is None


def test_a_curve_that_recovers_is_cut_where_it_first_falls(study: ModuleType) -> None:
    assert study.crossing([1.0, 0.6, 0.2], [0.9, 0.8, 0.9], 0.85) == pytest.approx(0.8)


def test_the_gap_is_that_of_two_parallel_lines(study: ModuleType) -> None:
    reference = row(1.0, 4.0, 0.9, kind="reference")
    late = study.Curve(reference, [row(0.5, 2.0, 0.90), row(0.2, 1.0, 0.85)])
    early = study.Curve(reference, [row(0.5, 2.0, 0.87, start=0), row(0.1, 0.8, 0.81, start=0)])
    assert study.gap(late, early) == pytest.approx(0.03)
    beyond = study.Curve(reference, [row(0.01, 0.1, 0.3, start=0)])
    assert study.gap(late, beyond) is None


def test_the_core_is_judged_on_select_and_told_on_verify(study: ModuleType) -> None:
    reference = row(1.0, 4.0, 0.90, kind="reference")
    good, bad = row(0.4, 2.0, 0.90, verify=0.80), row(0.2, 1.0, 0.80)
    core = study.Curve(reference, [good, bad, row(0.1, 0.5, 0.99, status="diverged")]).core()
    assert core["share"] == pytest.approx(0.38)
    assert core["verify"] == pytest.approx(0.80)
    assert core["drop"] == pytest.approx(0.10)


def test_the_core_of_several_seeds_is_that_of_their_mean_curve(study: ModuleType) -> None:
    def seed(up: float) -> Any:
        reference = row(1.0, 4.0, 0.90 + up, kind="reference", omega=0.0)
        rows = [row(0.4 - up, 2.0, 0.91 - up, omega=1.0), row(0.2, 1.0, 0.80, omega=2.0)]
        return study.Curve(reference, [*rows, row(0.1, 0.1, 0.1, omega=3.0, status="diverged" if up else "ok")])

    found = study.core_over_seeds([seed(0.0), seed(0.02)])
    mean = study.Curve(row(1.0, 4.0, 0.91, kind="reference"), [row(0.39, 2.0, 0.90), row(0.2, 1.0, 0.80)])
    assert found["core"]["share"] == pytest.approx(mean.core()["share"])
    alone = sorted(seed(up).core()["share"] for up in (0.0, 0.02))
    assert found["without one seed"]["share"] == pytest.approx(alone)


def test_over_seeds_leaves_out_what_is_not_known(study: ModuleType) -> None:
    found = study.over_seeds([0.1, None, 0.3])
    assert found["mean"] == pytest.approx(0.2)
    assert found["seeds"] == 2
    assert found["high"] - found["mean"] == pytest.approx(12.706 * 0.1, rel=1e-4)
    assert study.over_seeds([None])["mean"] is None


def test_half_of_the_units_of_a_trained_network_need_not_bend(
    study: ModuleType, digits: ModuleType, tmp_path: Path
) -> None:
    """A small grid: what holds on digits in seconds. The whole one stands in ``results/linearization_digits.json``."""
    plan = dataclasses.replace(
        digits.plan(1),
        networks={"mlp": ("mlp", {"widths": [64, 64], "initializer": "he_normal"})},
        starts=("mlp",),
        plain=10,
        penalty=10,
        final=5,
        omegas=(0.003, 0.006),
        rate=0.02,
        alpha_rate=20.0,
    )
    made = study.Study(plan, tmp_path)
    rows = made.run()
    assert len(rows) == 1 + 3 * 2 + 2 * 2
    late = study.curve(rows, "mlp", 0, "learned", plan.plain)
    assert min(row["share"] for row in late.rows) < 0.5
    assert all(row["verify"] > late.reference["verify"] - 0.04 for row in late.rows if row["share"] > 0)
    for learned, random in zip(
        *([r for r in rows if r["kind"] == kind and r["start"] == plan.plain] for kind in ("learned", "random")),
        strict=True,
    ):
        assert learned["sites"] == random["sites"]  # as many channels of every site
        assert learned["path_length_normalized"] == pytest.approx(random["path_length_normalized"])
    told = study.summary(plan, rows)
    assert told["core"]["mlp"]["core"] == late.core()  # of one seed the mean curve is its own
    files = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert made.run() == rows
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files  # nothing is made twice
    assert rows[0]["path_length_normalized"] == pytest.approx(2.0)
    pace = made.kernel_velocity("mlp")
    assert len(pace) == plan.plain
    assert pace[0]["velocity"] > 5 * pace[-1]["velocity"] > 0  # the kernel moves first, and settles
