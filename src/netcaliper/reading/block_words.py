"""A block structure in words: where it is, how clear it is, and whether one direction or a few examples make it."""

from collections.abc import Sequence

from netcaliper.reading.layers import Block
from netcaliper.reading.numerals import decimal, percent

FALLS = 0.3
"""Fall of the mean CKA from which on what was taken away made the block (notes: collapse of the block)."""

SHARED = 0.9
"""Mean squared cosine from which on the layers of a block have one first principal component in common."""


def sentence(block: Block, names: Sequence[str]) -> str:
    """Say what a block is, with those of its signatures that were measured.

    Args:
        block: as recorded; its own ``sentence`` is not read.
        names: of all layers, in order. Layers are numbered from 0 as in the matrices.

    Returns:
        For instance ``"layers 31 to 58 (stages.1.4 to stages.2.7) say nearly the same: CKA 0.97 inside against 0.71 at
        equal distance across its borders; their first principal component carries 83 % of the variance (12 % outside)
        and is shared (cos^2 0.95); without it CKA falls to 0.41"``.
    """
    what = "layers" if block.stratum == "all" else "residual sums among layers"
    said = [
        f"{what} {block.first} to {block.last} ({names[block.first]} to {names[block.last]}) say nearly the same: CKA "
        f"{decimal(block.mean)} inside against {decimal(block.mean - block.contrast)} at equal distance across its "
        "borders"
    ]
    said += _component(block)
    if block.without_first_pc is not None:
        subject = "without it" if len(said) > 1 else "without their first principal component"
        said.append(f"{subject} CKA {_change(block.mean, block.without_first_pc)}")
    if block.without_dominant is not None:
        said.append(f"without the dominant examples CKA {_change(block.mean, block.without_dominant)}")
    return "; ".join(said)


def _component(block: Block) -> list[str]:
    """Describe the first principal component."""
    parts = []
    if block.first_pc_share is not None:
        outside = block.first_pc_share_outside
        beside = "" if outside is None else f" ({percent(outside, digits=0)} outside)"
        parts.append(f"carries {percent(block.first_pc_share, digits=0)} of the variance{beside}")
    if block.first_pc_cosine is not None:
        shared = "is shared" if block.first_pc_cosine >= SHARED else "is not the same throughout"
        parts.append(f"{shared} (cos^2 {decimal(block.first_pc_cosine)})")
    return [f"their first principal component {' and '.join(parts)}"] if parts else []


def _change(before: float, after: float) -> str:
    if before - after >= FALLS:
        return f"falls to {decimal(after)}"
    return f"stays at {decimal(after)}" if abs(before - after) < FALLS / 3 else f"is {decimal(after)}"
