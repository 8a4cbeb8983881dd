"""The descent: from the whole network to the smallest one, at each step where least is lost for what is saved.

Along the way the expected losses of all dimensions are summed. A step takes one dimension to the place further along
its path (not only the next one: the loss of a path may wait and then jump) where expected loss over what is saved is
least; what is saved depends on how far all others have gone, since a weight shrinks along both of its axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netcaliper.shrink.paths import Path
from netcaliper.shrink.sizes import Sizes


@dataclass(frozen=True)
class Place:
    """A network on the way.

    Attributes:
        steps: how far every path has gone.
        loss: expected divergence.
        parameters: of the network.
        macs: multiply-adds of an example.
    """

    steps: tuple[int, ...]
    loss: float
    parameters: int
    macs: int


def descend(paths: Sequence[Path], sizes: Sizes, *, parameters: float, macs: float, multiple: int = 1) -> list[Place]:
    """Return all networks on the way, first the one that is left by the exact steps.

    Args:
        paths: of the dimensions.
        sizes: over these paths.
        parameters: what the share of parameters saved counts.
        macs: what the share of multiply-adds saved counts.
        multiple: units that stay are a multiple of it (heads are not rounded).
    """
    whole = sizes.of([0] * len(paths))
    now = [path.start for path in paths]
    grids = [path.places(multiple) for path in paths]
    way = [Place(tuple(now), 0.0, *sizes.of(now))]
    while True:
        best: tuple[float, int, int] | None = None
        for number, (path, grid) in enumerate(zip(paths, grids, strict=True)):
            to = grid[grid > now[number]]
            if not len(to):
                continue
            saved = sizes.saved(number, now, to)
            gain = parameters * saved[0] / max(whole[0], 1) + macs * saved[1] / max(whole[1], 1)
            rate = (path.loss[to] - path.loss[now[number]]) / np.maximum(gain, 1e-12)
            choice = int(np.argmin(rate))
            if best is None or rate[choice] < best[0]:
                best = float(rate[choice]), number, int(to[choice])
        if best is None:
            return way
        now[best[1]] = best[2]
        loss = sum(float(path.loss[steps]) for path, steps in zip(paths, now, strict=True))
        way.append(Place(tuple(now), loss, *sizes.of(now)))
