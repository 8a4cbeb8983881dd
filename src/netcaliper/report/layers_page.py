"""The page of a reading of layers: matrices, curves, dominant examples, and how networks differ."""

from dataclasses import dataclass

import numpy as np

from netcaliper.reading.layers import LayersOf
from netcaliper.reading.layers_frame import rows as frame_rows
from netcaliper.reading.layers_headline import (
    all_warnings,
    class_words,
    equivalence_words,
    estimator_line,
    headline,
    lead,
    spread_words,
)
from netcaliper.reading.layers_names import Place, everyone, labels
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import MISSING, count, decimal, percent, plural
from netcaliper.report.figures import draw_all
from netcaliper.report.figures.layer_matrices import MOST_CROSSINGS, MOST_DETAILED, MOST_NETWORKS
from netcaliper.report.layers_tables import Table, class_table, tables, without_value
from netcaliper.report.png import data_uri
from netcaliper.report.skeleton import Layout, Section, fill

MOST_ROWS = 700
MOST_CELLS = 60
"""Rows of one plain table; the record has them all."""

MOST_IMAGES = 24
"""Pictures a network."""

SECTIONS: tuple[tuple[str, str, Layout, tuple[str, ...]], ...] = (
    ("similarity", "Which layers say the same", "grid", ("cka-",)),
    (
        "controls",
        "What the similarity is made of",
        "grid",
        ("cka_normalized-", "cka_without_pc-", "cka_without_dominant-", "pc_cosine-", "neighbors-", "procrustes-"),
    ),
    ("crossings", "Layers of one network against another", "grid", ("cross-",)),
    ("components", "How much is one direction", "stack", ("pc_share",)),
    ("probe", "Where the answer can be read", "stack", ("probe",)),
    ("deletion", "Which residual blocks can go", "stack", ("deletion-", "deletion_together-")),
    ("training", "Over training", "stack", ("training_",)),
    ("answers", "The same answers?", "grid", ("agreement", "examples-")),
)
"""Sections in order: (id, title, layout, how the names of its figures begin)."""


@dataclass(frozen=True)
class Example:
    """One dominant example.

    Attributes:
        index: in the data.
        picture: address of its picture, ``None`` if there is none.
        share: of the first principal component that it carries, in words.
    """

    index: int
    picture: str | None
    share: str


@dataclass(frozen=True)
class Strip:
    """The dominant examples of one network.

    Attributes:
        label: of the network.
        words: what they are.
        examples: most dominant first.
        left: number of further ones.
    """

    label: str
    words: str
    examples: tuple[Example, ...]
    left: int


@dataclass(frozen=True)
class Comparison:
    """Two groups of seeds.

    Attributes:
        title: their names.
        sentences: what the tests say.
        tables: classes and superclasses.
        reasons: what was not tested.
    """

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    reasons: tuple[str, ...]


def render(reading: LayersReading) -> str:
    """Render a reading of layers as one HTML page without any outside reference; every word of it is escaped."""
    figures = draw_all(reading, "container")
    sections = [
        Section(id, title, shown, "pair" if layout == "grid" and len(shown) == 2 else layout)
        for id, title, layout, begins in SECTIONS
        if (shown := tuple(figure for figure in figures if figure.name.startswith(begins)))
    ]
    layers = frame_rows(reading)
    networks, *more = tables(reading)
    return fill(
        "layers.html",
        figures,
        kind="layers",
        title=" · ".join(labels(reading)[:3]) + (" …" if len(reading.networks) > 3 else ""),
        data=reading.origin.data,
        headline=headline(reading),
        lead=lead(reading),
        keys=_keys(reading),
        warnings=all_warnings(reading),
        estimator=estimator_line(reading.estimator),
        networks=networks,
        tables=more,
        most=MOST_CELLS,
        comparisons=_comparisons(reading),
        sections=sections,
        notes=_notes(reading),
        strips=_strips(reading),
        rows=layers[:MOST_ROWS],
        rows_left=max(len(layers) - MOST_ROWS, 0),
        several=len(everyone(reading)) > 1,
        skipped=without_value(reading),
        facts=_facts(reading),
        twin_kind=reading.twin_kind,
    )


def _notes(reading: LayersReading) -> dict[str, str]:
    """Say by section what is not drawn."""
    limits = (
        ("similarity", MOST_NETWORKS, len(reading.networks), "networks"),
        ("controls", MOST_DETAILED, len(reading.networks), "networks"),
        ("crossings", MOST_CROSSINGS, len(reading.crossings), "pairs"),
    )
    return {
        id: f"The first {most} of {number:,} {noun} are drawn; the arrays of the reading have them all."
        for id, most, number, noun in limits
        if number > most
    }


def _keys(reading: LayersReading) -> list[dict[str, str]]:
    """Choose the numbers at the top: the depth of one network, or what several have in common."""
    if reading.differences:
        return _group_keys(reading)
    return _depth_keys(reading, reading.networks[0]) if len(reading.networks) == 1 else _pair_keys(reading)


def _depth_keys(reading: LayersReading, network: LayersOf) -> list[dict[str, str]]:
    depth, beside = network.depth, reading.twin.depth if reading.twin else None
    keys = [
        _key("Layers", count(depth.layers), f"of {plural(len(network.layers), 'compared value')}"),
        _key("Distinct", count(depth.distinct), _beside(beside and beside.distinct)),
        _key("Enough for a linear classifier", count(depth.sufficient), _beside(beside and beside.sufficient)),
    ]
    if depth.residual_blocks is not None:
        keys.append(_key("Residual blocks that can go", count(depth.droppable), f"of {count(depth.residual_blocks)}"))
    if network.blocks:
        block = network.blocks[0]
        keys.append(
            _key("Largest block", percent(block.share, digits=0), f"of the layers; mean CKA {decimal(block.mean)}")
        )
    if network.dominant is not None:
        found = network.dominant
        note = f"of its variance on {percent(found.share)} of the examples"
        keys.append(_key("Dominant examples", percent(found.variance, digits=0), note))
    if network.accuracy is not None:
        keys.append(
            _key("Accuracy", percent(network.accuracy), _beside(reading.twin and percent(reading.twin.accuracy)))
        )
    return keys


def _beside(value: int | str | None) -> str:
    return "" if value is None else f"untrained {count(value) if isinstance(value, int) else value}"


def _pair_keys(reading: LayersReading) -> list[dict[str, str]]:
    keys = [_key("Networks", count(len(reading.networks)), "")]
    if reading.agreements:
        values = [found.agreement.value for found in reading.agreements]
        spread = percent(values[0]) if len(values) == 1 else f"{percent(min(values))} to {percent(max(values))}"
        keys.append(_key("Same answer", spread, plural(len(values), "pair")))
    insides = [found.inside for found in reading.crossings if found.inside is not None]
    outsides = [found.outside for found in reading.crossings if found.outside is not None]
    for label, values in (("CKA inside blocks", insides), ("CKA outside of blocks", outsides)):
        if values:
            keys.append(_key(label, decimal(float(np.mean(values))), "at equal depth, mean over pairs"))
    blocks = sum(bool(network.blocks) for network in reading.networks)
    keys.append(_key("With a block structure", count(blocks), f"of {plural(len(reading.networks), 'network')}"))
    return keys


def _group_keys(reading: LayersReading) -> list[dict[str, str]]:
    difference = reading.differences[0]
    sizes = f"{plural(difference.sizes[0], 'network')} against {difference.sizes[1]}"
    keys = [_key("Groups", f"{difference.first} / {difference.second}", sizes)]
    if difference.equivalence is not None:
        found = difference.equivalence
        note = f"points; 90 % interval {found.low:+.2f} to {found.high:+.2f}, margin {found.margin:.1f}"
        keys.append(_key("Difference in accuracy", f"{found.difference:+.2f}", note))
    if difference.spread is not None:
        found = difference.spread
        keys.append(
            _key(
                "Spread over examples",
                f"{100 * found.observed:.1f}",
                f"points; {100 * found.chance:.1f} by chance alone",
            )
        )
    if difference.classes:
        holm = sum(one.holm < 0.05 for one in difference.classes)
        keys.append(_key("Classes that differ", count(holm), f"of {len(difference.classes)}, Holm at 5 %"))
    return keys


def _key(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _comparisons(reading: LayersReading) -> list[Comparison]:
    found = []
    for number, difference in enumerate(reading.differences):
        words = (equivalence_words(difference), spread_words(difference), class_words(difference))
        made = [
            class_table(f"{kind}-{number}", title, difference.first, difference.second, classes)
            for kind, title, classes in (
                ("classes", "Classes, most different first", difference.classes),
                ("superclasses", "Superclasses", difference.superclasses),
            )
            if classes
        ]
        found.append(
            Comparison(
                f"{difference.first} against {difference.second}",
                tuple(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in words if sentence),
                tuple(made),
                difference.reasons,
            )
        )
    return found


def _strips(reading: LayersReading) -> list[Strip]:
    images = reading.arrays.get("images")
    pictures = {} if images is None else dict(zip(reading.pictured, images, strict=True))
    strips = []
    for place, label, network in everyone(reading):
        dominant = network.dominant
        if dominant is None or not dominant.examples:
            continue
        shares = _carried(reading, place, network)
        shown = dominant.examples[:MOST_IMAGES]
        layer = network.layers[dominant.layer].name
        words = (
            f"{plural(len(dominant.examples), 'example')} ({percent(dominant.share)} of the held ones) carry "
            f"{percent(dominant.variance)} of the variance of {layer}. Between layers the sets overlap by "
            f"{percent(dominant.stability, digits=0)} (Jaccard; "
            f"{percent(dominant.chance, digits=0)} by chance). Below each: its share of the first component."
        )
        examples = tuple(
            Example(
                index,
                data_uri(pictures[index]) if index in pictures else None,
                percent(shares[index]) if index in shares else MISSING,
            )
            for index in shown
        )
        strips.append(Strip(label, words, examples, len(dominant.examples) - len(shown)))
    return strips


def _carried(reading: LayersReading, place: Place, network: LayersOf) -> dict[int, float]:
    """Return the share of the first principal component on each held example, at the layer of the dominant ones."""
    scores, held = reading.array(place, "pc_scores"), reading.array(place, "held")
    if scores is None or held is None or network.dominant is None:
        return {}
    at = scores[network.dominant.layer]
    return {int(index): float(score) ** 2 for index, score in zip(held, at, strict=True) if np.isfinite(score)}


def _facts(reading: LayersReading) -> list[tuple[str, str]]:
    origin, cost = reading.origin, reading.cost
    facts = [
        *((f"Network {label}", f"fingerprint {found.fingerprint[:16]}") for _, label, found in everyone(reading)[:12]),
        ("Data", f"{origin.data} (fingerprint {origin.data_fingerprint[:16]})"),
        ("Similarity", estimator_line(reading.estimator)),
        ("Seed", str(origin.seed)),
        ("Device", origin.device),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(origin.versions.items()))),
        ("Schema", str(reading.schema_version)),
    ]
    if cost.seconds:
        phases = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in sorted(cost.seconds.items()))
        facts.append(("Cost", f"{phases}; {cost.passes:.2f} forward passes"))
    return facts
