"""Random networks of channels, and all their paths one by one: the slow, obvious way to average path lengths.

A network is a list of nodes, each a small tuple: what it does, and which earlier nodes it reads. ``Network`` runs the
list as a torch module; ``enumerate_paths`` never looks at that module or at its graph. It walks back from every output
channel and writes each path down with its probability and the sites of the active units on it.
"""

import random
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor, nn

MOST_PATHS = 3000


@dataclass(frozen=True)
class Node:
    """One node: ``sources`` are indices of earlier nodes, ``channels`` how many it has.

    Kinds: ``input``; ``dense`` (a layer with ``groups``; two with the same ``tied`` share their weights); ``act`` (a
    normalization and a ReLU); ``add``; ``cat``; ``slice`` (from ``start`` on); ``pool``.
    """

    kind: str
    channels: int
    sources: tuple[int, ...] = ()
    groups: int = 1
    start: int = 0
    tied: int | None = None


@dataclass
class Spec:
    """Nodes in order; the last one is the output."""

    nodes: list[Node] = field(default_factory=list)
    spatial: bool = False


class Network(nn.Module):
    """Runs a spec; the sites of its activations are called ``act.<node>``."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.layer, self.norm, self.act = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for number, node in enumerate(spec.nodes):
            if node.kind == "dense" and node.tied is None:
                read = spec.nodes[node.sources[0]].channels
                self.layer[str(number)] = (
                    nn.Conv2d(read, node.channels, 3, padding=1, groups=node.groups)
                    if spec.spatial
                    else nn.Linear(read, node.channels)
                )
            if node.kind == "act":
                norm = nn.BatchNorm2d if spec.spatial else nn.BatchNorm1d
                self.norm[str(number)], self.act[str(number)] = norm(node.channels), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        values: list[Tensor] = []
        for number, node in enumerate(self.spec.nodes):
            read = [values[source] for source in node.sources]
            if node.kind == "input":
                value = x
            elif node.kind == "dense":
                value = self.layer[str(number if node.tied is None else node.tied)](read[0])
            elif node.kind == "act":
                value = self.act[str(number)](self.norm[str(number)](read[0]))
            elif node.kind == "add":
                value = read[0]
                for other in read[1:]:
                    value = value + other if number % 2 else other - value
            elif node.kind == "cat":
                value = torch.cat(read, 1)
            elif node.kind == "slice":
                value = read[0][:, node.start : node.start + node.channels]
            else:
                value = nn.functional.max_pool2d(read[0], 3, 1, 1) if self.spec.spatial else read[0] * 2 + 1
            values.append(value)
        return values[-1]


def example(spec: Spec) -> Tensor:
    """Return a batch that the network takes."""
    shape = (2, spec.nodes[0].channels) + ((4, 4) if spec.spatial else ())
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def random_spec(seed: int) -> Spec:
    """Draw chains, nested residual sums, k-way sums, concatenations, slices, grouped and reused layers.

    Only layers read the input, since units that no weight makes are no site.
    """
    rng = random.Random(seed)
    spec = Spec(spatial=rng.random() < 0.4)
    nodes = spec.nodes
    nodes.append(Node("input", rng.randint(1, 4)))
    _dense(rng, spec, 0)
    for _ in range(rng.randint(4, 11)):
        kind = rng.choice(["dense", "dense", "act", "act", "act", "add", "add", "cat", "slice", "pool"])
        source = rng.randrange(max(1, len(nodes) - 3), len(nodes))
        channels = nodes[source].channels
        if kind == "dense":
            _dense(rng, spec, source if rng.random() < 0.9 else 0)
        elif kind == "act":
            nodes.append(Node("act", channels, (source,)))
        elif kind == "add":
            same = [n for n in range(1, len(nodes)) if nodes[n].channels == channels and _apart(nodes, n, source)]
            others = rng.sample(same, min(len(same), rng.choice([1, 1, 1, 2, 3])))
            chosen = [source]
            for other in others:
                if all(_apart(nodes, other, one) for one in chosen):
                    chosen.append(other)
            if len(chosen) > 1:
                nodes.append(Node("add", channels, tuple(chosen)))
        elif kind == "cat":
            parts = [source, rng.randrange(1, len(nodes))]
            if parts[0] != parts[1] and sum(nodes[n].channels for n in parts) <= 8:
                nodes.append(Node("cat", sum(nodes[n].channels for n in parts), tuple(parts)))
        elif kind == "slice" and channels > 1:
            start = rng.randrange(channels - 1)
            nodes.append(Node("slice", rng.randint(1, channels - start - 1) or 1, (source,), start=start))
        elif kind == "pool":
            nodes.append(Node("pool", channels, (source,)))
    loose = [n for n in range(len(nodes)) if not any(n in node.sources for node in nodes)]
    if len(loose) > 1:
        nodes.append(Node("cat", sum(nodes[n].channels for n in loose), tuple(loose)))
    if rng.random() < 0.7:
        nodes.append(Node("dense", rng.randint(1, 3), (len(nodes) - 1,)))
    return spec


def random_sets(spec: Spec, seed: int) -> tuple[dict[str, list[bool]], dict[str, list[bool]]]:
    """Draw which units are active and which are absent; some sites are not named."""
    rng = random.Random(seed)
    active, absent = {}, {}
    often = rng.choice([0.2, 0.5, 0.9])
    for number, node in enumerate(spec.nodes):
        if node.kind == "act":
            if rng.random() < 0.8:
                active[f"act.{number}"] = [rng.random() < often for _ in range(node.channels)]
            if rng.random() < 0.3:
                absent[f"act.{number}"] = [rng.random() < 0.4 for _ in range(node.channels)]
    return active, absent


Path = tuple[Fraction, tuple[str, ...]]


def enumerate_paths(spec: Spec, active: dict[str, list[bool]], absent: dict[str, list[bool]]) -> list[Path] | None:
    """Return every path from the input to any output channel: its probability, and the active sites on it.

    ``None`` if there are more than ``MOST_PATHS``.
    """
    known: dict[tuple[int, int], list[Path]] = {}

    def ending(number: int, channel: int) -> list[Path]:
        if (number, channel) not in known:
            known[number, channel] = _ending(number, channel)
        return known[number, channel]

    def _ending(number: int, channel: int) -> list[Path]:
        node = spec.nodes[number]
        if node.kind == "input":
            return [(Fraction(1), ())]
        first = node.sources[0]
        if node.kind == "dense":
            each = spec.nodes[first].channels // node.groups
            group = channel // (node.channels // node.groups)
            return _drawn([ending(first, group * each + i) for i in range(each)])
        if node.kind == "add":
            return _drawn([ending(branch, channel) for branch in _branches(spec, number)])
        if node.kind == "cat":
            for source in node.sources:
                if channel < spec.nodes[source].channels:
                    return ending(source, channel)
                channel -= spec.nodes[source].channels
        if node.kind == "slice":
            return ending(first, node.start + channel)
        if node.kind == "pool":
            return ending(first, channel)
        site = f"act.{number}"
        if site in absent and absent[site][channel]:
            return []
        counts = site not in active or active[site][channel]
        return [(chance, (*sites, site) if counts else sites) for chance, sites in ending(first, channel)]

    for number, node in enumerate(
        spec.nodes
    ):  # from the input on, so that too many paths are seen before they are made
        if sum(len(ending(number, channel)) for channel in range(node.channels)) > MOST_PATHS:
            return None
    last = len(spec.nodes) - 1
    return _drawn([ending(last, channel) for channel in range(spec.nodes[last].channels)])


def _drawn(choices: list[list[Path]]) -> list[Path]:
    """Choose with equal chance among those that have a path."""
    present = [paths for paths in choices if paths]
    return [(chance / len(present), sites) for paths in present for chance, sites in paths]


def _branches(spec: Spec, number: int) -> list[int]:
    """Return what a sum adds up: a sum that nothing else reads is part of this one."""
    found = []
    for source in spec.nodes[number].sources:
        readers = [reader for reader, node in enumerate(spec.nodes) for s in node.sources if s == source]
        if spec.nodes[source].kind == "add" and readers == [number]:
            found += _branches(spec, source)
        else:
            found.append(source)
    return found


def _dense(rng: random.Random, spec: Spec, source: int) -> None:
    channels, nodes = spec.nodes[source].channels, spec.nodes
    shaped = [
        n for n, node in enumerate(nodes)
        if node.kind == "dense" and node.tied is None and nodes[node.sources[0]].channels == channels
    ]  # fmt: skip
    if shaped and rng.random() < 0.2:
        again = rng.choice(shaped)
        nodes.append(Node("dense", nodes[again].channels, (source,), nodes[again].groups, tied=again))
        return
    groups = rng.choice([g for g in range(1, channels + 1) if channels % g == 0]) if spec.spatial else 1
    nodes.append(Node("dense", groups * rng.randint(1, max(1, 4 // groups)), (source,), groups))


def _apart(nodes: list[Node], a: int, b: int) -> bool:
    """Tell whether two values are no elementwise functions of one another: the graph knows ``x + 2 x`` as one value."""
    return _origin(nodes, a) != _origin(nodes, b)


def _origin(nodes: list[Node], number: int) -> int:
    while nodes[number].kind in ("pool",):
        number = nodes[number].sources[0]
    return number
