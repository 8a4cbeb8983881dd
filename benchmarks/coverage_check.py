"""A second computation of what a reading says of a site: from eager activations, in float64, in plain numpy.

The model runs as it is, operation by operation, without any graph; the value that an operation returns is copied before
anything can overwrite it. A site is found again by module path, operation and call number. Where eager execution and
the graph do not make the same number of such calls (operations that one of them takes apart), the value comes from the
graph instead, and the table says so.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from netcaliper.feed.protocol import Plan
from netcaliper.reading.reading import Reading
from netcaliper.stats.sampling import CALIBRATE, SELECT
from netcaliper.trace.graph import Graph
from netcaliper.trace.names import module_path, operation
from netcaliper.trace.site import Site

Place = tuple[str, str, int]
"""Module path, operation, call number."""

CLOSE = 1e-5
"""Largest difference of a float32 value, relative to the largest of its array."""


class Eager(TorchDispatchMode):
    """Counts the calls of every operation in every module, and copies what the wanted ones return."""

    def __init__(self, model: nn.Module, wanted: set[Place]) -> None:
        super().__init__()
        self.wanted = wanted
        self.calls: Counter[tuple[str, str]] = Counter()
        self.values: dict[Place, Tensor] = {}
        self._path = [""]
        self._hooks = []
        for name, module in model.named_modules():
            if name:
                self._hooks.append(module.register_forward_pre_hook(lambda *_, name=name: self._path.append(name)))
                self._hooks.append(module.register_forward_hook(lambda *_: self._leave(), always_call=True))

    def _leave(self) -> None:
        self._path.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        key = (self._path[-1], ".".join(str(func).split(".")[:2]).rstrip("_"))
        place = (*key, self.calls[key])
        self.calls[key] += 1
        if place in self.wanted and isinstance(out, Tensor):
            self.values[place] = out.detach().clone()
        return out

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for hook in self._hooks:
            hook.remove()


def places(graph: Graph) -> tuple[dict[str, Place], Counter[tuple[str, str]]]:
    """Return where every node of the graph is called, and how often every operation is in every module."""
    found, calls = {}, Counter()
    for node in graph.program.steps[0].node.graph.nodes:
        if node.op == "call_function":
            key = (module_path(node), operation(node))
            found[node.name] = (*key, calls[key])
            calls[key] += 1
    return found, calls


def site_values(
    model: nn.Module, graph: Graph, sites: Sequence[Site], data: Sequence[Any], plan: Plan
) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Return for every site ``eager`` or ``graph``, its value ``[examples, positions, units]``, and their indices."""
    place, of_graph = places(graph)
    parts: dict[str, list[Tensor]] = {site.name: [] for site in sites}
    source = dict.fromkeys(parts, "eager")
    index: list[np.ndarray] = []
    start = 0
    for raw in data:
        size = len(next(iter(raw.values())) if isinstance(raw, dict) else raw)
        chosen = np.flatnonzero(plan.split[start : start + size] <= SELECT)
        index.append(start + chosen)
        start += size
        batch = {key: value[chosen] for key, value in raw.items()} if isinstance(raw, dict) else raw[chosen]
        settings = {key: value for key, value in graph.example.kwargs.items() if not isinstance(value, Tensor)}
        with torch.no_grad(), Eager(model, {place[site.node] for site in sites}) as eager:
            model(**(settings | batch)) if isinstance(batch, dict) else model(batch)
        taps = {}
        for site in sites:
            where = place[site.node]
            value = eager.values.get(where)
            if value is not None and eager.calls[where[:2]] == of_graph[where[:2]]:
                parts[site.name].append(_laid_out(value, site, len(chosen)))
            else:
                source[site.name] = "graph"
                taps[site.node] = partial(_keep, parts[site.name], site, len(chosen))
        if taps:
            graph.run(batch, taps=taps)
    rows = np.concatenate(index)
    return {name: (source[name], torch.cat(values).double().numpy(), rows) for name, values in parts.items()}


def _keep(into: list[Tensor], site: Site, examples: int, value: Tensor, *_: Tensor) -> None:
    into.append(_laid_out(value.clone(), site, examples))


def _laid_out(value: Tensor, site: Site, examples: int) -> Tensor:
    """Units last, examples first, everything else between; written without ``site.rows``."""
    units_last = value.movedim(site.axis, -1)
    batch = site.batch_axis - (site.batch_axis > site.axis)
    return units_last.movedim(batch, 0).reshape(examples, -1, value.shape[site.axis])


def differences(
    site: Site, number: int, value: np.ndarray, index: np.ndarray, reading: Reading, plan: Plan
) -> list[str]:
    """Compare what the reading says of a site with its value; return what differs, in words."""
    record = reading.sites[number]
    wrong: list[str] = []

    def same(what: str, said: object, found: object) -> None:
        if said != found:
            wrong.append(f"{site.name} {what}: reading {said}, directly {found}")

    def close(what: str, said: np.ndarray, found: np.ndarray, size: float, rounding: float = 0.0) -> None:
        gap = float(np.max(np.abs(said - found), initial=0.0))
        if gap > CLOSE * size + rounding:
            wrong.append(f"{site.name} {what}: largest difference {gap:.3g} of {size:.3g}")

    flat = value.reshape(-1, site.units)
    size = float(np.abs(flat).max())
    low, high = flat.min(0), flat.max(0)
    dead = (low == 0) & (high == 0)
    constant = (high - low <= 8 * np.finfo(np.float32).eps * np.maximum(abs(low), abs(high))) & ~dead
    same("units", record.units, flat.shape[1])
    same("positions", record.positions, value.shape[1])
    same("dead", record.dead, int(dead.sum()))
    same("constant", record.constant, int(constant.sum()))
    close("mean", reading.array(number, "mean"), flat.mean(0), size)  # type: ignore[arg-type]
    close("std", reading.array(number, "std"), flat.std(0, ddof=1), size)  # type: ignore[arg-type]

    def sampled(part: int) -> np.ndarray:
        example, position = plan.sample(index, part, site.units, value.shape[1])
        return value[example, position]

    calibrate, select = sampled(CALIBRATE), sampled(SELECT)
    spectrum = reading.array(number, "spectrum")
    if spectrum is None:  # a wide site whose rows were not going to outnumber its units: they are only counted
        same("rows expected", record.rows, len(calibrate))
        same("too few rows", "too few rows" in (record.reason or ""), len(calibrate) <= site.units + 1)
        return wrong
    same("rows", (record.rows, record.select_rows), (len(calibrate), len(select)))
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(calibrate.T).reshape(site.units, site.units)))[::-1]
    # in batches of another size values are rounded differently; where they hardly vary, that shows in the spectrum
    noise = 8 * np.finfo(np.float32).eps * size * np.sqrt(site.units)
    largest = float(eigenvalues[0])
    rounding = 2 * np.sqrt(max(largest, 0)) * noise + noise**2
    close("spectrum", spectrum, np.maximum(eigenvalues, 0), largest, rounding)
    verdict = reading.array(number, "verdict")
    if verdict is not None and record.duplicate is not None:
        wrong += _removed(site, verdict, calibrate, select)
    return wrong


def _removed(site: Site, verdict: np.ndarray, calibrate: np.ndarray, select: np.ndarray) -> list[str]:
    """Fit every duplicate and dependent unit on the units that stay, with numpy's least squares."""
    gone = np.flatnonzero((verdict == 2) | (verdict == 3))
    kept = np.flatnonzero((verdict == 4) | (verdict == 5))
    if not len(gone):
        return []
    if not len(kept):
        return [f"{site.name} removed: nothing is left that could say what {len(gone)} removed units said"]
    mean = calibrate.mean(0)
    scale = calibrate[:, kept].std(0)
    kept, scale = kept[scale > 0], scale[scale > 0]
    x = (calibrate[:, kept] - mean[kept]) / scale
    y = calibrate[:, gone] - mean[gone]
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    wrong = []
    for part, rows in (("calibrate", calibrate), ("select", select)):
        target = rows[:, gone] - mean[gone]
        left = target - ((rows[:, kept] - mean[kept]) / scale) @ weights
        share = (left**2).sum(0) / np.maximum((target**2).sum(0), 1e-300)
        # reading's own tolerance is 1e-6; what float32 leaves of the fit comes on top
        if bool((share > 2e-6).any()):
            wrong.append(f"{site.name} removed: {share.max():.3g} of the variance unexplained on {part} rows")
    return wrong
