"""What stands in for ablated units, and in which order units are ablated.

Everything is drawn by (seed, name of the site, number of the permutation, example index), so that neither batches nor
other sites make a difference.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.protocol import Plan
from netcaliper.feed.ranks import ALONE, Ranks
from netcaliper.stats.covariance import Covariance
from netcaliper.stats.sampling import CALIBRATE
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph, Override
from netcaliper.trace.site import Site

Perturbation = Literal["zero", "mean", "noise"]
Order = Literal["random", "correlated"]


@dataclass(frozen=True)
class UnitStatistics:
    """What an ablation may have to know of the units of a site, from calibrate examples.

    Attributes:
        mean: over all positions of all calibrate examples that are no padding.
        correlation: absolute Pearson correlation over the sampled calibrate rows, 0 for units that do not vary.
    """

    mean: Float64[np.ndarray, " units"]
    correlation: Float64[np.ndarray, "units units"]


def unit_statistics(
    graph: Graph, data: Iterable[Any], plan: Plan, sites: Sequence[Site], ranks: Ranks = ALONE
) -> dict[str, UnitStatistics]:
    """Read the calibrate examples once; sites where padding cannot be told from data are left out.

    Args:
        graph: the network.
        data: any re-iterable of batches.
        plan: which examples and rows are read.
        sites: the sites to read.
        ranks: the processes that share the batches.
    """
    seen = {site.name: _Seen(site.units, graph.device) for site in sites}

    def tap(site: Site, batch: Batch) -> Callable[..., None]:
        def feed(value: Tensor, *_: Tensor) -> None:
            valid, mine = graph.valid(site, batch, value), seen[site.name]
            if isinstance(valid, str):
                mine.unread = True
                return
            laid = site.rows(value.detach(), batch.size)
            counted = laid if valid is None else laid.masked_fill(~valid[..., None], 0.0)
            mine.total += counted.sum((0, 1), dtype=torch.float64)
            mine.rows += laid.shape[0] * laid.shape[1] if valid is None else int(valid.sum())
            chosen = plan.sample(batch.indices.numpy(), CALIBRATE, site.units, laid.shape[1], valid)
            example, position = (torch.from_numpy(part).to(laid.device) for part in chosen)
            mine.covariance.update(laid[example, position])

        return feed

    for number, batch in enumerate(chosen_examples(graph, data, plan.split == CALIBRATE)):
        if ranks.runs(number):
            graph.run(batch, taps={site.name: tap(site, batch) for site in sites})
    found = {}
    for site in sites:
        whole = ranks.merged(seen.pop(site.name))
        if whole.unread:
            continue
        moments = whole.covariance.finish()
        correlation = np.zeros((site.units, site.units))
        correlation[np.ix_(moments.live, moments.live)] = np.abs(moments.correlation)
        found[site.name] = UnitStatistics((whole.total / whole.rows).cpu().numpy(), correlation)
    return found


class _Seen:
    """What was read of one site: the sum over rows, their number, the covariance of the sampled ones."""

    def __init__(self, units: int, device: torch.device) -> None:
        self.total = torch.zeros(units, dtype=torch.float64, device=device)
        self.rows = 0
        self.covariance = Covariance(units, device)
        self.unread = False

    def merge(self, other: "_Seen") -> None:
        """Take in what was read of other examples."""
        self.total += other.total
        self.rows += other.rows
        self.covariance.merge(other.covariance)
        self.unread |= other.unread


def order_of_units(
    site: Site, number: int, seed: int, statistics: UnitStatistics | None = None
) -> Int[np.ndarray, " units"]:
    """Return the order in which one permutation ablates the units of a site.

    Args:
        site: the site.
        number: of the permutation.
        seed: of the run.
        statistics: order by correlation: the first unit of a random order stays first, then come the units most
            correlated with it; ties, and units that do not vary, as in the random order.
    """
    order = _generator(site, number, seed).permutation(site.units)
    if statistics is None:
        return order
    rest = order[1:]
    most = np.argsort(-statistics.correlation[order[0], rest], kind="stable")
    return np.concatenate([order[:1], rest[most]])


def taken_away(site: Site, gone: Int[np.ndarray, " ablated"], graph: Graph, mean: np.ndarray | None) -> Override:
    """Return what a site's value becomes without some units: times 0, or the mean of each in its place.

    Args:
        site: the site.
        gone: the ablated units.
        graph: the network.
        mean: of every unit; ``None`` for zeros.
    """
    keep = np.ones(site.units)
    keep[gone] = 0
    mask = torch.from_numpy(keep).to(graph.device, graph.dtype)
    fill = None if mean is None else torch.from_numpy(mean * (1 - keep)).to(graph.device, graph.dtype)

    def override(value: Tensor) -> Tensor:
        shape = [1] * value.dim()
        shape[site.axis] = site.units
        kept = value * mask.view(shape)
        return kept if fill is None else kept + fill.view(shape)

    return override


class Noise:
    """Gaussian noise for the examples of one batch: the same draw at every level, scaled.

    ``level * s * z`` is added with s the standard deviation of an example's own activations at the site (over all its
    positions and units) and z standard normal. Padding gets none, and is not counted.

    Args:
        graph: the network.
        batch: that is run.
        distinct: number of different examples; the batch goes through them again and again.
        seed: of the run.
    """

    def __init__(self, graph: Graph, batch: Batch, distinct: int, seed: int) -> None:
        self.graph, self.batch, self.distinct, self.seed = graph, batch, distinct, seed
        self._drawn: dict[str, tuple[int, Tensor]] = {}

    def added(self, site: Site, repeat: int, level: float) -> Override:
        """Return what a site's value becomes with the noise of one repeat."""

        def override(value: Tensor) -> Tensor:
            return value + level * self._noise(site, repeat, value)

        return override

    def _noise(self, site: Site, repeat: int, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return ``s z`` in the layout of the value; the last draw of every site is held, for the other levels."""
        if site.name not in self._drawn or self._drawn[site.name][0] != repeat:
            rows = site.rows(value, self.batch.size)
            valid = self.graph.valid(site, self.batch, value)
            if isinstance(valid, str):
                raise DataError(f"noise cannot be added at site `{site.name}`: {valid}, or name other sites.")
            if valid is None:
                valid = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
            sd = torch.stack([own[mine].double().std(correction=0) for own, mine in zip(rows, valid, strict=True)])
            index = self.batch.indices[: self.distinct].tolist()
            z = torch.zeros(self.distinct, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
            for place, example in enumerate(index):
                drawn = self._draw(site, repeat, example, int(valid[place].sum()))
                z[place, valid[place]] = torch.from_numpy(drawn).to(z)
            z, sd = z[torch.arange(self.batch.size) % self.distinct], sd.to(rows.dtype)
            moved = value.movedim((site.batch_axis, site.axis), (0, -1)).shape
            noise = (sd[:, None, None] * z).reshape(moved).movedim((0, -1), (site.batch_axis, site.axis))
            self._drawn[site.name] = repeat, noise
        return self._drawn[site.name][1]

    def _draw(self, site: Site, repeat: int, example: int, positions: int) -> Float[np.ndarray, "positions units"]:
        generator = _generator(site, repeat, self.seed, example)
        return generator.standard_normal((positions, site.units), dtype=np.float32)


def _generator(site: Site, number: int, seed: int, *more: int) -> np.random.Generator:
    return np.random.default_rng([seed % 2**64, crc32(site.name.encode()), number, *more])
