"""The tables of a reading of layers, the same for the terminal and the page."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from netcaliper.reading.layers import ClassDifference, LayersOf
from netcaliper.reading.layers_names import everyone, labels
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import MISSING, count, decimal, interval, percent, plural, points


@dataclass(frozen=True)
class Table:
    """Rows of text under heads, the most important columns first: a narrow terminal shows as many as it can hold.

    Attributes:
        name: of the table, for addresses.
        title: above it.
        heads: of the columns.
        rows: of cells.
        words: number of leading columns that are words; the rest are numbers.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int


def tables(reading: LayersReading) -> list[Table]:
    """Lay out everything but the classes; tables without a row are left out."""
    found = [_networks(reading), _blocks(reading), _groups(reading), _pairs(reading), _crossings(reading)]
    return [table for table in found if table.rows]


def _table(name: str, title: str, heads: str, rows: Iterable[tuple[str, ...]], words: int) -> Table:
    return Table(name, title, tuple(heads.split("|")), tuple(rows), words)


def _networks(reading: LayersReading) -> Table:
    return _table(
        "networks",
        "How deep they really are",
        "network|layers|distinct|sufficient|can go|accuracy|blocks|compared",
        (
            (
                label,
                count(network.depth.layers),
                count(network.depth.distinct),
                count(network.depth.sufficient),
                _droppable(network),
                percent(network.accuracy),
                count(len(network.blocks)),
                count(len(network.layers)),
            )
            for _, label, network in everyone(reading)
        ),
        1,
    )


def _droppable(network: LayersOf) -> str:
    depth = network.depth
    if depth.residual_blocks is None:
        return count(None)
    return f"{count(depth.droppable)} of {count(depth.residual_blocks)}"


def _blocks(reading: LayersReading) -> Table:
    several = len(everyone(reading)) > 1
    return _table(
        "blocks",
        "Block structures",
        "from|to|mean CKA|contrast|layers|10 % quantile|1st PC inside|outside|cos²|without 1st PC|without dominant"
        "|among" + ("|network" if several else ""),
        (
            (
                network.layers[block.first].name,
                network.layers[block.last].name,
                decimal(block.mean),
                decimal(block.contrast),
                f"{count(block.layers)} ({percent(block.share, digits=0)})",
                decimal(block.low),
                percent(block.first_pc_share),
                percent(block.first_pc_share_outside),
                decimal(block.first_pc_cosine),
                decimal(block.without_first_pc),
                decimal(block.without_dominant),
                "all layers" if block.stratum == "all" else "residual sums",
                *([label] if several else []),
            )
            for _, label, network in everyone(reading)
            for block in network.blocks
        ),
        2,
    )


def _groups(reading: LayersReading) -> Table:
    return _table(
        "groups",
        "Groups of seeds",
        "group|networks|accuracy|95 % over networks|ensemble|same answer, two seeds|seed variance",
        (
            (
                group.name,
                count(len(group.networks)),
                percent(group.accuracy.value if group.accuracy else None),
                interval(group.accuracy),
                percent(group.ensemble),
                percent(group.agreement),
                decimal(group.seed_variance),
            )
            for group in reading.groups
        ),
        1,
    )


def _pairs(reading: LayersReading) -> Table:
    names = labels(reading)
    return _table(
        "pairs",
        "Answers of two networks",
        "first|second|same answer|kappa|churn|95 % interval|both wrong|same wrong answer|logit distance",
        (
            (
                names[found.first],
                names[found.second],
                percent(found.agreement.value),
                decimal(found.kappa),
                percent(found.churn),
                interval(found.agreement),
                percent(found.both_wrong),
                percent(found.same_wrong),
                decimal(found.logit_distance),
            )
            for found in reading.agreements
        ),
        2,
    )


def _crossings(reading: LayersReading) -> Table:
    names = labels(reading)
    return _table(
        "crossings",
        "Layers of two networks",
        "first|second|CKA inside blocks|outside of blocks|same best match",
        (
            (
                names[found.first],
                names[found.second],
                decimal(found.inside),
                decimal(found.outside),
                percent(found.matched),
            )
            for found in reading.crossings
        ),
        2,
    )


def without_value(reading: LayersReading) -> list[dict[str, str]]:
    """List what was not compared or has no number: ``name``, ``whose`` and ``reason``, networks with one together."""
    found: dict[tuple[str, str], list[str]] = {}
    for _, label, network in everyone(reading):
        pairs = [(item.name, item.reason) for item in network.skipped]
        for pair in pairs + [(layer.name, layer.reason) for layer in network.layers if layer.reason]:
            found.setdefault(pair, []).append(label)
    return [
        {"name": name, "whose": ", ".join(whose) if len(whose) < 4 else plural(len(whose), "network"), "reason": reason}
        for (name, reason), whose in found.items()
    ]


def class_table(name: str, title: str, first: str, second: str, classes: Iterable[ClassDifference]) -> Table:
    """Lay out classes (or superclasses) in two groups.

    Args:
        name: of the table.
        title: above it.
        first: name of a group.
        second: name of the other one.
        classes: most different first.
    """
    found = tuple(classes)
    several = any(one.classes > 1 for one in found)
    return _table(
        name,
        title,
        f"class|difference|Holm|{first}|{second}|p|false discovery|permutation|examples"
        + ("|classes" if several else ""),
        (
            (
                one.name,
                points(one.difference),
                probability(one.holm),
                percent(one.first),
                percent(one.second),
                probability(one.p),
                probability(one.fdr),
                probability(one.permutation),
                count(one.examples),
                *([count(one.classes)] if several else []),
            )
            for one in found
        ),
        1,
    )


def probability(p: float) -> str:
    """Write a p value with three decimals, small ones as ``<0.001``; an en dash where there is none."""
    if math.isnan(p):
        return MISSING
    return "<0.001" if p < 0.0005 else f"{p:.3f}"
