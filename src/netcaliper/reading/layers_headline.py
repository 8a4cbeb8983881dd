"""What a reading of layers says, in sentences: how deep the network really is, and how networks differ."""

import math

from netcaliper.reading.layers import ClassDifference, Estimator, GroupDifference, LayersOf, LayersRecord
from netcaliper.reading.layers_names import everyone, labels, twin_label
from netcaliper.reading.numerals import count, percent, plural

SIGNIFICANT = 0.05
MOST_NAMES = 3
IN_HEADLINE = 2
"""Pairs of groups that the headline speaks of."""


def headline(record: LayersRecord) -> str:
    """Say the main thing in one or two sentences.

    For one network how deep it really is; for several whether their answers are the same; for groups of seeds whether
    accuracy and answers are.
    """
    if record.differences:
        return " ".join(difference_sentence(found) for found in record.differences[:IN_HEADLINE])
    if len(record.networks) == 1:
        network = record.networks[0]
        return f"{network.name}: {depth_sentence(network)}"
    return _several(record)


def lead(record: LayersRecord) -> str:
    """Say what stands below the headline: the blocks, the twin, and the depth where several networks are compared."""
    parts = []
    if len(record.networks) == 1:
        network = record.networks[0]
        parts += [block.sentence for block in network.blocks if block.sentence]
        if not network.blocks and network.layers:
            parts.append("No block structure: no contiguous layers stand out as nearly the same.")
        if record.twin is not None:
            parts.append(f"{twin_label(record).capitalize()}, the same network: {depth_sentence(record.twin)}")
    else:
        with_blocks = sum(bool(network.blocks) for network in record.networks)
        parts.append(f"{with_blocks} of {len(record.networks)} networks have a block structure.")
        parts += [f"{label}: {depth_sentence(network)}" for _, label, network in everyone(record)][:3]
    if record.trajectory is not None:
        parts.append(record.trajectory.sentence)
    return " ".join(parts)


def depth_sentence(network: LayersOf) -> str:
    """Say how deep a network really is, e.g. ``40 layers, 29 of them distinct; ...``."""
    depth = network.depth
    if depth.sentence:
        return depth.sentence
    parts = [f"{plural(depth.layers, 'layer')}, {count(depth.distinct)} of them distinct"]
    if depth.sufficient is not None:
        parts.append(f"a linear classifier needs only the first {count(depth.sufficient)}")
    if depth.droppable is not None and depth.residual_blocks is not None:
        parts.append(f"{count(depth.droppable)} of {plural(depth.residual_blocks, 'residual block')} can go")
    return "; ".join(parts) + "."


def _several(record: LayersRecord) -> str:
    if not record.agreements:
        return f"{plural(len(record.networks), 'network')}: {', '.join(labels(record)[:4])}."
    if len(record.agreements) == 1:
        found = record.agreements[0]
        names = labels(record)
        return (
            f"{names[found.first]} and {names[found.second]} give the same answer on "
            f"{percent(found.agreement.value)} of {plural(found.agreement.sample, 'example')}."
        )
    values = [found.agreement.value for found in record.agreements]
    return (
        f"{plural(len(record.networks), 'network')}: two of them give the same answer on {percent(min(values))} to "
        f"{percent(max(values))} of {plural(record.agreements[0].agreement.sample, 'example')}."
    )


def difference_sentence(difference: GroupDifference) -> str:
    """Say whether two groups have the same accuracy, and the same answers."""
    who = f"{difference.first} against {difference.second}"
    parts = [part for part in (equivalence_words(difference), spread_words(difference)) if part]
    return f"{who}: {'; '.join(parts) or 'nothing could be tested'}."


def equivalence_words(difference: GroupDifference) -> str:
    """Say what the two one-sided tests say, in words; nothing if they were not made."""
    found = difference.equivalence
    if found is None:
        return ""
    span = f"difference {found.difference:+.2f} points, 90 % interval {found.low:+.2f} to {found.high:+.2f}"
    if found.equivalent:
        return f"the same accuracy within {found.margin:.1f} points ({span})"
    return f"not shown to have the same accuracy within {found.margin:.1f} points ({span})"


def spread_words(difference: GroupDifference) -> str:
    """Say how far apart the groups are on single examples, beside what seeds alone give; nothing if not measured."""
    found = difference.spread
    if found is None:
        return ""
    apart = f"standard deviation {100 * found.observed:.1f} points, {100 * found.chance:.1f} by chance"
    if found.low > 0:
        return f"on single examples they differ more than seeds alone explain ({apart})"
    if math.isfinite(found.low):
        return f"on single examples they differ no more than seeds alone may explain ({apart})"
    return f"on single examples they differ by a {apart}; too few networks for an interval"


def class_words(difference: GroupDifference) -> str:
    """Say how many classes differ after adjusting for all of them; nothing if none was tested."""
    tested = difference.classes
    if not tested:
        return ""
    holm, fdr = (sum(getattr(found, by) < SIGNIFICANT for found in tested) for by in ("holm", "fdr"))
    raw = sum(found.p < SIGNIFICANT for found in tested)
    classes = f"{count(len(tested))} {'class' if len(tested) == 1 else 'classes'}"
    return (
        f"{count(holm)} of {classes} differ at 5 % for all together (Holm), {count(fdr)} at a false discovery rate of "
        f"5 %; {count(raw)} each by itself, where {SIGNIFICANT * len(tested):.1f} are expected by chance"
    )


def favored(difference: GroupDifference, most: int = 3) -> tuple[list[ClassDifference], list[ClassDifference]]:
    """Return the classes that favor the first group most, and those that favor the second."""
    ranked = sorted(difference.classes, key=lambda found: -found.difference)
    return (
        [found for found in ranked[:most] if found.difference > 0],
        [found for found in ranked[::-1][:most] if found.difference < 0],
    )


def estimator_line(estimator: Estimator) -> str:
    """Say how representations were compared, in one line."""
    passes = plural(estimator.passes, "pass").replace("passs", "passes")
    batches = plural(estimator.batches, "batch").replace("batchs", "batches")
    return (
        f"{estimator.name}: {count(estimator.examples)} examples, {batches} of {count(estimator.batch)}, {passes}; "
        f"features: {estimator.features}; precision: {estimator.precision}; layers: {estimator.chosen}; "
        f"{count(estimator.held)} examples held."
    )


def all_warnings(record: LayersRecord) -> list[str]:
    """Return every warning once, with the networks that it is about."""
    whose: dict[str, list[str]] = {}
    for _, label, network in everyone(record):
        for warning in network.warnings:
            whose.setdefault(warning, []).append(label)
    found = [
        f"{', '.join(names) if len(names) <= MOST_NAMES else plural(len(names), 'network')}: {warning}"
        for warning, names in whose.items()
    ]
    return list(dict.fromkeys([*record.warnings, *found]))
