"""A study with everything a page has to show: claims of all verdicts, figures of all kinds, cells that failed."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

import layers_readings
from made_studies import made_cells, made_table
from netcaliper.reading.study import StudyCell, StudyReading
from netcaliper.study.claims.claim_schema import Claim, FigureSpec
from netcaliper.study.claims.figures import figure_of
from netcaliper.study.claims.judge import judge
from netcaliper.study.claims.rows import Rows

SITES = ("features.1", "features.4", "features.7", "classifier.2")
ALEX = {"family": "alexnet", "labels": "true"}
CLAIMS: list[dict[str, Any]] = [
    {"name": "prunable_grows", "sentence": "Prunable units grow faster than the network gets wider.",
     "statistic": "growth", "column": "prunable_units", "along": "width", "where": ALEX, "above": 2.0,
     "beside_twin": True, "why": "Null: g = 2, in step with width.",
     "paper": {"value": 2.69, "where": "Figure 1", "verified": True}},
    {"name": "redundant_grows", "sentence": "Redundant units grow faster than the network gets wider.",
     "statistic": "growth", "column": "redundant_units", "along": "width", "where": ALEX, "above": 2.0,
     "paper": {"value": 2.17, "where": "Figure 1", "verified": True}},
    {"name": "true_over_random", "sentence": "Prunable units grow faster on true labels than on random ones.",
     "statistic": "growth", "column": "prunable_units", "along": "width", "where": ALEX,
     "over": {"where": {"labels": "random"}}, "above": 1.0},
    {"name": "needed_share", "sentence": "The share of units that is needed falls by at least five points a doubling.",
     "statistic": "slope", "column": "needed", "along": "width", "where": ALEX, "below": -0.05},
    {"name": "accuracy_rises", "sentence": "Wider networks are more accurate.", "statistic": "rank",
     "column": "test_accuracy", "along": "width", "where": ALEX, "above": 0.0},
    {"name": "blocks_with_depth", "sentence": "Deep networks have a block structure that covers a third of the layers.",
     "statistic": "mean", "column": "block_share", "where": {"family": "resnet", "depth": 38}, "above": 0.33},
    {"name": "wide_blocks", "sentence": "So do wide ones.", "statistic": "mean", "column": "block_share",
     "where": {"family": "resnet", "depth": 50}, "above": 0.33},
    {"name": "within_noise", "sentence": "Labels do not change the accuracy on the training examples by more than a "
     "tenth.", "statistic": "mean", "column": "train_accuracy", "where": ALEX,
     "minus": {"where": {"labels": "random"}}, "within": [-0.1, 0.1]},
]  # fmt: skip
FIGURES: list[dict[str, Any]] = [
    {"name": "prunable", "title": "Prunable units against width", "answers": "Figure 1 of the paper", "kind": "lines",
     "x": "width", "y": "prunable_units", "color": "labels", "where": {"family": "alexnet"}, "twin": True,
     "log": ["x", "y"]},
    {"name": "layers", "title": "Prunable share of every layer", "answers": "Figure 9", "kind": "profile",
     "column": "prunable:", "color": "width", "where": ALEX, "caption": "Later layers have more"},
    {"name": "maps", "title": "Similarity of layers", "answers": "Figure 2", "kind": "maps", "columns": "depth",
     "where": {"family": "resnet"}, "seed": 0},
    {"name": "unread", "title": "What nobody measured", "kind": "lines", "x": "width", "y": "sharpness"},
]  # fmt: skip


def made_study(root: Path) -> StudyReading:
    """Return the reading of a study of 30 cells; readings of layers are written below ``root``."""
    cells = made_cells("alexnet", width=[0.5, 1, 2, 4], labels=["true", "random"], seed=[0, 1, 2])
    failed = {"width": 4, "labels": "random", "seed": 1}
    why = "Diverged: the loss of epoch 3 is no longer finite"
    cells = [
        cell.model_copy(update={"status": "failed", "error": why} if cell.columns == failed else {}) for cell in cells
    ]
    deep = made_cells("resnet", depth=[14, 26, 38], seed=[0, 1])
    cells += [cell.model_copy(update={"status": "missing"}) if cell.columns["depth"] == 26 else cell for cell in deep]
    table = _rows(cells)
    for cell in deep:
        if cell.columns["seed"] == 0 and cell.columns["depth"] != 26:
            layers_readings.one(40 if cell.columns["depth"] == 14 else 90).save(
                root / "cells" / cell.name / "readings" / "layers"
            )
    return StudyReading(
        title="Frivolous units: wider networks are not really that wide",
        paper="Casper et al., AAAI 2021",
        about="Wider networks grow units that can be taken away or are said twice, and so the part that is needed "
        "grows more slowly than the network.",
        name="frivolous_units",
        scale="small",
        command="netcaliper study run studies/frivolous_units.toml --scale small -o frivolous --workers 2",
        versions={"netcaliper": "0.1.0", "torch": "2.13.0", "numpy": "2.4.0"},
        claims=tuple(judge(Claim.model_validate(claim), table, cells) for claim in CLAIMS),
        figures=tuple(
            figure_of(TypeAdapter(FigureSpec).validate_python(figure), table, cells, root) for figure in FIGURES
        ),
        cells=tuple(cell.model_copy(update={"numbers": _told(cell, table)}) for cell in cells),
    )


def _told(cell: StudyCell, table: Rows) -> dict[str, Any]:
    row = next((row for row in table.rows if row["cell"] == cell.name), {})
    return {name: row[name] for name in ("test_accuracy", "parameters", "prunable_units", "needed") if name in row}


def _rows(cells: list[StudyCell]) -> Rows:
    noise = np.random.default_rng(0)

    def alexnet(width: float, labels: str, seed: int) -> dict[str, Any]:
        s = 1.35 if labels == "true" else 1.1
        units = 200 * width**s * 2 ** noise.normal(0, 0.05)
        sites = {
            f"prunable:{site}": 0.2 + 0.1 * k + 0.1 * np.log2(width) + noise.normal(0, 0.02)
            for k, site in enumerate(SITES)
        }
        return {
            "test_accuracy": 0.6 + 0.05 * np.log2(width) + noise.normal(0, 0.01) if labels == "true" else 0.1,
            "train_accuracy": 1.0 if labels == "true" else 0.99 - 0.01 * seed,
            "parameters": int(40_000 * width**2),
            "prunable_units": units,
            "twin_prunable_units": 90 * width**1.02 * 2 ** noise.normal(0, 0.03),
            "redundant_units": 120 * width**0.8 * 2 ** noise.normal(0, 0.04),
            "needed": 0.6 - 0.04 * np.log2(width) + noise.normal(0, 0.012),
            **sites,
        }

    def resnet(depth: int, seed: int) -> dict[str, Any]:
        return {"test_accuracy": 0.7 + 0.01 * seed, "parameters": 1000 * depth, "block_share": 0.01 * depth}

    wide, deep = (
        made_table([cell for cell in cells if cell.family == family], number)
        for family, number in (("alexnet", alexnet), ("resnet", resnet))
    )
    return Rows([*wide.rows, *deep.rows], tuple(dict.fromkeys([*wide.columns, *deep.columns])))
