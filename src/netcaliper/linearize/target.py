"""How little of a network is to bend, and whether that is reached."""

from collections.abc import Callable
from dataclasses import dataclass

from netcaliper.bending.bending import Bending
from netcaliper.linearize.sizes import lengths
from netcaliper.measure.path_length import path_length

NEAR = 1.05
"""Below so many times the target the path length is walked exactly; before, it is estimated site by site."""


@dataclass(frozen=True)
class Target:
    """What the penalty rises to meet; at most one of them, ``None`` for none.

    Attributes:
        active: share of the units that bend at most.
        path_length: normalized average path length at most.
    """

    active: float | None = None
    path_length: float | None = None

    def test(self, bending: Bending) -> Callable[[], bool] | None:
        """Return what tells whether the target is met, ``None`` without a target.

        The normalized path length is linear in which units are active: with ``m_s`` active units of site s expected on
        a random walk through the whole network, and a share ``a_s`` of them active, it is about ``sum a_s m_s``
        (exactly, if the walk meets the units of a site equally often). The walk itself is made only near the target.
        """
        if self.active is not None:
            most = self.active
            return lambda: _share(bending) <= most
        if self.path_length is None:
            return None
        longest, profile = self.path_length, path_length(bending.graph).profile

        def short_enough() -> bool:
            active = bending.active()
            about = sum(profile.get(name, 0.0) * float(mine.float().mean()) for name, mine in active.items())
            if about > NEAR * longest:
                return False
            exact = lengths(bending.graph, active)[0].normalized
            return exact is not None and exact <= longest

        return short_enough


def _share(bending: Bending) -> float:
    active = bending.active().values()
    return sum(int(mine.sum()) for mine in active) / sum(len(mine) for mine in active)
