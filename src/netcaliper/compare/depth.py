"""Effective depth: how many of a network's layers are distinct, enough, and not to be left out."""

from collections.abc import Sequence

from netcaliper.reading.layers import Block, Deletion, Depth, Layer, Probing


def effective_depth(
    layers: Sequence[Layer],
    blocks: Sequence[Block],
    probing: Probing | None = None,
    deletion: Deletion | None = None,
) -> Depth:
    """Count layers in the residual stream if there is one, else all; layers that are gaps do not count.

    With b blocks of nearly equal layers that cover m of the L layers, ``distinct = L - m + b``. ``sufficient`` counts
    the layers up to the first probe that is as good as the best; where that lies inside a branch, the layers of the
    stream before it.

    Args:
        layers: that were compared.
        blocks: block structures of any stratum; those of the other one are left aside.
        probing: where the probes saturate, if there were any.
        deletion: how many residual blocks can go, if that was asked.
    """
    compared = [number for number, layer in enumerate(layers) if layer.reason is None]
    stream = [number for number in compared if layers[number].kind == "stream"]
    counted = stream or compared
    found = [block for block in blocks if block.stratum == ("stream" if stream else "all")]
    members = [{number for number in counted if block.first <= number <= block.last} for block in found]
    covered = set().union(*members)
    saturation = None if probing is None else probing.saturation
    depth = Depth(
        layers=len(counted),
        distinct=len(counted) - len(covered) + sum(bool(inside) for inside in members),
        sufficient=None if saturation is None else sum(number <= saturation for number in counted),
        residual_blocks=None if deletion is None else sum(block.reason is None for block in deletion.blocks),
        droppable=None if deletion is None else deletion.droppable,
    )
    return depth.model_copy(update={"sentence": _sentence(depth, "of the residual stream" if stream else "compared")})


def _sentence(depth: Depth, what: str) -> str:
    """Return the numbers in words."""
    said = [f"Of {depth.layers} layers {what} {depth.distinct} are distinct"]
    if depth.sufficient is not None:
        said.append(f"a linear classifier is as good as anywhere after {depth.sufficient}")
    if depth.residual_blocks:
        if depth.droppable is None:
            said.append(f"how many of {depth.residual_blocks} residual blocks can go cannot be said")
        else:
            said.append(f"{depth.droppable} of {depth.residual_blocks} residual blocks can go")
    return "; ".join(said) + "."
