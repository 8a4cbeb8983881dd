"""Which activation call of a module is which site of its graph.

The graph is what the model computes, written flat; the module is what runs. Both are run once on the same example, and
a call belongs to the site whose pre-activation and whose value it reads and makes. A call without a site, and a site
without a call, are left as they are and named.
"""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from netcaliper.bending.calls import WHOLE, Framed, Path, Reading
from netcaliper.bending.functions import works_in_place
from netcaliper.bending.slot import TargetKind
from netcaliper.fit.seeds import seeded
from netcaliper.trace.activations import ACTIVATIONS
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.names import operation
from netcaliper.trace.replay import TOLERANCE
from netcaliper.trace.site import Site

_SAMPLE = 4096
"""Entries of a value that are compared; evenly spaced."""

_FAR = 1e4
"""Where a function of which only the code is known is looked at: one that is bounded saturates."""

_BOUNDED = frozenset({"tanh", "sigmoid", "softsign"})
_RANDOM = frozenset({"rrelu"})


@dataclass(frozen=True)
class Print:
    """Enough of a value to tell it from others."""

    shape: tuple[int, ...]
    sample: Tensor
    tolerance: float

    def same(self, other: "Print") -> bool:
        """Tell whether two values are the same up to rounding."""
        if self.shape != other.shape:
            return False
        scale = max(float(self.sample.abs().max()), float(other.sample.abs().max())) if len(self.sample) else 0.0
        return torch.allclose(self.sample, other.sample, rtol=0.0, atol=self.tolerance * scale, equal_nan=True)


def _print(value: Tensor) -> Print:
    flat = value.detach().reshape(-1)
    places = torch.linspace(0, max(len(flat) - 1, 0), min(len(flat), _SAMPLE), device=flat.device).long()
    sample = flat[places].to("cpu", torch.float64)
    return Print(tuple(value.shape), sample, TOLERANCE.get(value.dtype, 0.0))


@dataclass(frozen=True)
class Seen:
    """One activation call of the module, as it ran."""

    module: str
    path: Path
    name: str
    number: int
    before: Print
    after: Print
    in_place: bool
    function: Callable[..., Any]


@dataclass(frozen=True)
class Planned:
    """One call that is to be bent, with its site."""

    site: Site
    seen: Seen
    target: TargetKind


@dataclass
class Plan:
    """What is bent, what is not and why, and the module calls that have to be framed.

    Attributes:
        planned: the calls to bend, in the order of the graph.
        skipped: name and reason of everything that stays as it is.
        calls: for every module on the way its paths, with all its activation calls on each.
    """

    planned: list[Planned]
    skipped: list[tuple[str, str]]
    calls: dict[str, dict[Path, list[tuple[str, int]]]]


@dataclass
class _Recorded:
    """Notes the module calls and activation calls of one run."""

    values: bool
    paths: list[tuple[str, Path]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    functions: list[tuple[str, Path, str, int]] = field(default_factory=list)

    def open(self, module: Framed, path: Path) -> None:
        self.paths.append((module.name, path))
        module.calls.setdefault(path, {})

    def call(
        self, module: Framed, path: Path, name: str, number: int, function: Callable[..., Any],
        args: tuple[Any, ...], kwargs: dict[str, Any],
    ) -> Any:  # fmt: skip
        if name != WHOLE:
            self.functions.append((module.name, path, name, number))
        x = args[0] if args else kwargs.get("input", kwargs.get("self"))
        if not self.values or not isinstance(x, Tensor) or not x.is_floating_point():
            return function(*args, **kwargs)
        before, version = _print(x), x._version
        y = function(*args, **kwargs)
        if not isinstance(y, Tensor) or "out" in kwargs:
            return y
        whole = name == WHOLE
        written = x._version != version
        if whole and written and y is not x:
            return y  # it spoils its input without returning it: no function of a value
        in_place = written if whole else works_in_place(function, args, kwargs)
        self.seen.append(Seen(module.name, path, name, number, before, _print(y), in_place, function))
        return y


def _bounded(seen: Seen) -> bool:
    """Tell whether a module that is one function as a whole stays small far from zero."""
    far = [torch.full(seen.before.shape, sign * _FAR) for sign in (-1.0, 1.0)]
    with torch.no_grad():
        return all(bool((seen.function(value).abs() < _FAR / 10).all()) for value in far)


def make_plan(model: nn.Module, graph: Graph) -> Plan:
    """Match the activation calls of ``model`` with the sites of ``graph``.

    Args:
        model: a copy of the traced module that may be run and changed.
        graph: its graph.
    """
    evaluated = _record(model.eval(), graph.example, values=True)
    try:
        trained = _record(model.train(), graph.example, values=False)
    except Exception:  # the example is too small to train on, say: what train mode calls is not known then
        trained = evaluated
    wanted, skipped = _wanted(graph)
    prints = _prints(graph, wanted)
    planned: list[Planned] = []
    done = 0
    for seen in evaluated.seen:
        for place in range(done, len(wanted)):
            site, before, after, target = wanted[place]
            if seen.name == WHOLE and not site.op.startswith("composite"):
                continue
            if prints[after].same(seen.after) and (before not in prints or prints[before].same(seen.before)):
                if target == "identity" and (seen.name in _BOUNDED or (seen.name == WHOLE and _bounded(seen))):
                    target = "fit"
                planned.append(Planned(site, seen, target))
                done = place + 1
                break
    changed = _changes(evaluated, trained)
    kept = [
        p for p in planned if (p.seen.module, p.seen.path, p.seen.name) not in changed and p.seen.name not in _RANDOM
    ]
    matched = {p.site.name for p in planned}
    for plan in planned:
        if plan.seen.name in _RANDOM:
            skipped.append((plan.site.name, f"{plan.seen.name} is random in train mode"))
        elif plan not in kept:
            skipped.append((plan.site.name, f"its module calls {plan.seen.name} otherwise in train mode than in eval"))
    skipped += [(site.name, _unmatched(site)) for site, *_ in wanted if site.name not in matched]
    skipped += _without_site(evaluated, planned, graph, {name for name, _ in skipped})
    return Plan(kept, skipped, _calls(evaluated, trained, kept))


def _record(model: nn.Module, example: Batch, *, values: bool) -> _Recorded:
    recorded = _Recorded(values)
    reading = Reading(recorded)
    frames = [Framed(module, name, reading) for name, module in model.named_modules()]
    for frame in frames:
        frame.install()
    try:
        with torch.no_grad(), seeded(0):
            model(*copy.deepcopy(example.args), **copy.deepcopy(dict(example.kwargs)))
    finally:
        for frame in frames:
            frame.remove()
    return recorded


_Wanted = tuple[Site, str, str, TargetKind]
"""A site, the nodes of the pre-activation and of the value of its activation, and what its units become."""


def _wanted(graph: Graph) -> tuple[list[_Wanted], list[tuple[str, str]]]:
    nodes = {step.name: step.node for step in graph.program.steps}
    order = {step.name: step.index for step in graph.program.steps}
    wanted: list[_Wanted] = []
    skipped = list(graph.skipped)
    for site in graph.sites:
        if site.kind == "activation":
            assert site.activation is not None
            wanted.append((site, site.inputs[0], site.node, "fit" if _saturates(site) else "identity"))
        elif site.kind == "gate" and operation(nodes[site.node]) == "aten.glu":
            wanted.append((site, site.inputs[0], site.node, "glu"))
        elif site.kind == "gate":
            inner = [name for name in site.inputs if name in nodes and operation(nodes[name]) in ACTIVATIONS]
            if inner:
                wanted.append((site, nodes[inner[0]].all_input_nodes[0].name, inner[0], "gate"))
            else:
                skipped.append((site.name, f"{site.op}: a product of two values, neither of which is an activation"))
    return sorted(wanted, key=lambda of: order[of[2]]), skipped


def _saturates(site: Site) -> bool:
    """Tell whether a function is bounded, so that the identity would be far from it; ReLU6 only has its cap lifted."""
    assert site.activation is not None
    ends = {end for interval in site.activation.flat for end in interval}
    return site.op in _BOUNDED or ({float("-inf"), float("inf")} <= ends and site.op != "relu6")


def _prints(graph: Graph, wanted: list[_Wanted]) -> Mapping[str, Print]:
    prints: dict[str, Print] = {}

    def keep(node: str) -> Callable[..., None]:
        def tap(value: Tensor, *_: Tensor) -> None:
            prints[node] = _print(value)

        return tap

    nodes = {name for _, before, after, _ in wanted for name in (before, after) if graph.program.makes(name)}
    graph.run(graph.example, taps={NODE + node: keep(node) for node in nodes})
    return prints


def _unmatched(site: Site) -> str:
    if site.op.startswith("composite"):
        return f"{site.op}: written out inside a larger forward; write it as a module of its own, e.g. nn.SiLU()"
    return f"{site.op}: no call of an activation function makes its value"


def _changes(evaluated: _Recorded, trained: _Recorded) -> set[tuple[str, Path, str]]:
    """Return the functions that a module calls another number of times in train mode, so that calls would shift."""
    counts = [Counter(call[:3] for call in recorded.functions) for recorded in (evaluated, trained)]
    opened = set(trained.paths)
    return {call for call, times in counts[0].items() if call[:2] in opened and counts[1][call] != times}


def _without_site(recorded: _Recorded, planned: list[Planned], graph: Graph, named: set[str]) -> list[tuple[str, str]]:
    """Name the calls of activation functions that no site stands for."""
    matched = {id(p.seen) for p in planned}
    whole = {p.seen.path for p in planned if p.seen.name == WHOLE}
    missing = []
    for seen in recorded.seen:
        if seen.name == WHOLE or id(seen) in matched or seen.path in whole:
            continue
        name = f"{seen.module}.{seen.name}".lstrip(".")
        if name not in named and seen.module not in named:
            named.add(name)
            missing.append((name, f"{seen.name}: the graph lists no units for this call"))
    return missing


def _calls(
    evaluated: _Recorded, trained: _Recorded, planned: list[Planned]
) -> dict[str, dict[Path, list[tuple[str, int]]]]:
    """Return every module that calls an activation function, or is on the way to one, with its paths and calls."""
    functions = [*evaluated.functions, *trained.functions]
    functions += [(p.seen.module, p.seen.path, WHOLE, 0) for p in planned if p.seen.name == WHOLE]
    names = {"", *(name for _, path, _, _ in functions for name, _ in path)}
    calls: dict[str, dict[Path, list[tuple[str, int]]]] = {name: {} for name in names}
    for name, path in (*evaluated.paths, *trained.paths):
        if name in names:
            calls[name].setdefault(path, [])
    for module, path, name, number in functions:
        if (name, number) not in calls[module][path]:
            calls[module][path].append((name, number))
    return calls
