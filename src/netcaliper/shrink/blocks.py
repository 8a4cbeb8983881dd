"""Whole residual blocks as something that can go: in one step, with everything that only they use."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64
from torch.fx import Node

from netcaliper.shrink.judge import Judge, without
from netcaliper.shrink.paths import Cut, UnitPath
from netcaliper.trace.graph import Graph
from netcaliper.trace.residual import ResidualBlock, residual_blocks


@dataclass(frozen=True, eq=False)
class BlockPath:
    """A residual block that can be left out.

    Attributes:
        block: the block.
        loss: expected divergence of the answers with it and without it.
        tensors: names and first sizes of the tensors that only its branch reads.
    """

    block: ResidualBlock
    loss: Float64[np.ndarray, " places"]
    tensors: tuple[tuple[str, int], ...] = field(default=())

    @property
    def name(self) -> str:
        """Of the block's residual sum."""
        return self.block.name

    @property
    def start(self) -> int:
        """No block goes in any case."""
        return 0

    def cuts(self) -> list[Cut]:
        """Return that all of its tensors go in one step."""
        return [(name, 0, np.array([0, size])) for name, size in self.tensors]

    def places(self, multiple: int) -> np.ndarray:
        """Return the one step, whatever the multiple."""
        return np.array([1])


def find_blocks(graph: Graph, judge: Judge) -> tuple[tuple[BlockPath, ...], tuple[tuple[str, str], ...]]:
    """Find the residual blocks that can be left out, and measure what the answers lose without each.

    Args:
        graph: the network.
        judge: holds examples to measure on.

    Returns:
        The blocks; and those that have to stay, by name with the reason.
    """
    found = []
    stay = []
    for block in residual_blocks(graph).blocks:
        if block.reason is not None:
            stay.append((block.name, block.reason))
            continue
        divergence = judge.judge(without(graph, [block.branch])).divergence
        found.append(BlockPath(block, np.array([0.0, divergence]), _own(graph, block)))
    return tuple(found), tuple(stay)


def blocks_named(graph: Graph, names: Collection[str]) -> tuple[BlockPath, ...]:
    """Return blocks that can be left out by name, without measuring what the answers lose; unknown names are left out.

    Args:
        graph: the network.
        names: of residual sums.
    """
    blocks = (block for block in residual_blocks(graph).blocks if block.reason is None and block.name in names)
    return tuple(BlockPath(block, np.zeros(2), _own(graph, block)) for block in blocks)


def _own(graph: Graph, block: ResidualBlock) -> tuple[tuple[str, int], ...]:
    """Return the tensors that nothing but the branch of a block reads."""
    steps = {step.name: step for step in graph.program.steps}
    branch = steps[block.branch]
    inside: set[Node] = {branch.node}
    for step in reversed(graph.program.steps[: branch.index]):
        readers = [user for user in step.node.users if user.name in steps]
        if readers and all(user in inside for user in readers):
            inside.add(step.node)
    live = graph.program.fixed
    names = graph.program.parameters
    found: dict[str, int] = {}
    for node in inside:
        for read in node.all_input_nodes:
            tensor = live(read.name) if read.op == "placeholder" else None
            if tensor is None or read.name not in names or tensor.dim() == 0:
                continue
            if all(user in inside for user in read.users if user.name in steps):
                found[names[read.name]] = tensor.shape[0]
    return tuple(sorted(found.items()))


def inside_blocks(paths: Sequence[UnitPath], dropped: Sequence[BlockPath]) -> set[str]:
    """Return the names of the dimensions all of whose tensors go with dropped blocks: nothing is left to cut there."""
    gone = {name for block in dropped for name, _ in block.tensors}
    return {
        path.name
        for path in paths
        if all(name in gone for holder in path.dimension.holders for name in holder.names[:1])
    }
