"""Random networks (float64) with units of known use: dead, constant, duplicate, unread, and what follows.

Every network is a function of (family, seed). What the weights prove must go, and nothing else; constants that cannot
be put into a bias stay and are named.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.shrink.calls import find_calls
from netcaliper.shrink.exact import Exact, find_exact
from netcaliper.shrink.held import Held
from netcaliper.surgery.cut import cut_checked
from netcaliper.trace.batches import as_batch
from netcaliper.trace.graph import Graph
from networks import randomized

FAMILIES = ("mlp", "conv", "residual", "concat", "depthwise", "gated", "shared")


@dataclass(eq=False)
class Units:
    """Units that are planted into: everything that makes and reads them, as views whose first axis is the unit.

    Attributes:
        where: weight and first row that make them.
        rows: weights that make them.
        rides: one number (or filter) a unit: biases, BatchNorm, depthwise filters.
        zeros: those of them that are 0 for a unit of value 0.
        level: that of them which gives a unit without inputs its value; ``None`` for none.
        columns: weights that read them.
        stays: why a constant stays, as a part of the reason; empty if it goes.
        merges: whether duplicates are taken.
        read: whether an unread unit is taken (a normalization counts it).
        norm: a BatchNorm right behind the only rows, whose weight of 0 hides them.
    """

    where: tuple[str, int]
    rows: list[Tensor]
    rides: list[Tensor]
    zeros: list[Tensor]
    level: Tensor | None
    columns: list[Tensor]
    stays: str = ""
    merges: bool = True
    read: bool = True
    norm: nn.Module | None = None
    free: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows[0])


@dataclass(eq=False)
class Slack:
    """A network with planted units: by kind (weight, row); of duplicates both, of those that stay the reason too."""

    model: nn.Module
    example: Tensor
    data: Tensor
    planted: list[tuple[str, str, tuple[int, ...], str]] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        return Counter(kind for kind, *_ in self.planted)


@dataclass(frozen=True, eq=False)
class Checked:
    """What came of a network.

    Attributes: error: largest difference of the cut module relative to the largest output; wrong: in words;
        removed: units that went.
    """

    error: float
    wrong: list[str]
    removed: int


def build(family: str, seed: int) -> Slack:
    """Return a network of a family with planted units."""
    rng = random.Random(f"slack {family} {seed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.randrange(2**31))
        model, example, data, groups = _FAMILIES[family](rng)
        found = Slack(model.double().eval(), example, data)
        with torch.no_grad():
            plants = groups()
            for units in plants:
                units.free = rng.sample(range(len(units)), len(units))
            for units in plants:
                _plant(units, found, rng)
            for first, second in itertools.pairwise(plants):
                _follow(first, second, found, rng)
    return found


# ---- planting


def _plant(units: Units, found: Slack, rng: random.Random) -> None:
    kinds = ["dead", "constant", "duplicate", "unread"]
    for kind in rng.sample(kinds, len(kinds)):
        if len(units.free) <= 3 or rng.random() < 0.25:
            continue
        if kind == "dead":
            unit = units.free.pop()
            _silence(units, unit, rng)
            _note(found, "dead", units, unit)
        elif kind == "constant" and units.level is not None:
            unit = units.free.pop()
            _silence(units, unit, rng)
            units.level[unit] = rng.uniform(0.5, 2.0)
            _note(found, "stays" if units.stays else "constant", units, unit, why=units.stays)
        elif kind == "duplicate" and units.merges:
            first, copy = units.free.pop(), units.free.pop()
            for tensor in (*units.rows, *units.rides):
                tensor[copy] = tensor[first]
            _note(found, "duplicate", units, first, copy)
        elif kind == "unread" and units.read:
            unit = units.free.pop()
            for tensor in units.columns:
                tensor[unit] = 0
            _note(found, "unread", units, unit)


def _silence(units: Units, unit: int, rng: random.Random) -> None:
    hidden = units.norm is not None and rng.random() < 0.5
    for tensor in (*([units.norm.weight] if units.norm is not None and hidden else units.rows), *units.zeros):
        tensor[unit] = 0  # type: ignore[operator]


def _follow(first: Units, second: Units, found: Slack, rng: random.Random) -> None:
    """Let a unit of the first be read by one of the second only that nothing reads: both go, the first one after."""
    alone = len(first.columns) == 1 and len(second.rows) == 1 and first.columns[0].shape[1] == len(second)
    if not alone or not first.read or not second.read or min(len(first.free), len(second.free)) <= 3:
        return
    mine, reader = first.free.pop(), second.free.pop()
    first.columns[0][mine] *= (torch.arange(len(second)) == reader).reshape(-1, *[1] * (first.columns[0].dim() - 2))
    for tensor in second.columns:
        tensor[reader] = 0
    _note(found, "unread", second, reader)
    _note(found, "follows", first, mine)


def _note(found: Slack, kind: str, units: Units, *which: int, why: str = "") -> None:
    name, start = units.where
    found.planted.append((kind, name, tuple(start + unit for unit in which), why))


# ---- what came of it


def exact_of(graph: Graph, data: Any, skip: tuple[str, ...] = ()) -> Exact:
    """Return what the weights prove, with constants read on some data."""
    calls, _ = find_calls(graph)
    dimensions = [d for d in graph.structure.dimensions if d.kind != "heads"]
    return find_exact(graph, dimensions, {c.node: c for c in calls}, Held((as_batch(data, form=graph.form),), 0), skip)


def unit_at(graph: Graph, name: str, row: int) -> tuple[str, int]:
    """Return the dimension and the unit of a row (of an embedding: a column)."""
    for dimension in graph.structure.dimensions:
        for holder in dimension.holders:
            if name in holder.names and holder.role != "column" and holder.unit[row] >= 0:
                return dimension.name, int(holder.unit[row])
    raise LookupError(f"{name} row {row} is in no dimension")


def check(slack: Slack) -> Checked:
    """Take out what is proved, cut, and compare with what was planted."""
    graph = nc.trace(slack.model, slack.example)
    found = exact_of(graph, slack.data[:8])
    expected: dict[str, set[int]] = {}
    wrong: list[str] = []
    stay = dict(found.stay)
    for kind, name, rows, why in slack.planted:
        where = [unit_at(graph, name, row) for row in rows]
        if kind == "stays":
            said = stay.get(f"unit {where[0][1]} of {where[0][0]}", "")
            wrong += [] if why in said and said else [f"unit {where[0]} stays because {said!r}, not {why!r}"]
        else:
            expected.setdefault(where[0][0], set()).add(max(unit for _, unit in where))
    for dimension in graph.structure.dimensions:
        gone = set(np.flatnonzero(found.removed.get(dimension.name, np.zeros(0))).tolist())
        planted = expected.get(dimension.name, set())
        wrong += [f"{dimension.name}: units {sorted(gone)} went, not {sorted(planted)}"] if gone != planted else []
    network = cut_checked(graph, found.removed, found.state)
    with torch.no_grad():
        before, after = slack.model(slack.data), network.module(slack.data)
    error = float((before - after).abs().max() / before.abs().max())
    wrong += [f"differs by {error:.1e}"] if error > 1e-9 else []
    removed = sum(int(gone.sum()) for gone in found.removed.values())
    lost = [p.numel() for p in slack.model.parameters()], [p.numel() for p in network.module.parameters()]
    wrong += ["is not smaller"] if removed and sum(lost[1]) >= sum(lost[0]) else []
    return Checked(error, wrong, removed)


# ---- families

Family = tuple[nn.Module, Tensor, Tensor, Callable[[], list[Units]]]

PADS, NO_BIAS, COUNTS, BORDER = "puts zeros around it", "has no bias", "counts its value", "differs between positions"


def _activation(rng: random.Random) -> nn.Module:
    """Return a function that is 0 at 0 and not at what is planted."""
    return rng.choice([nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, lambda: nn.LeakyReLU(0.1), nn.ELU])()


def _bias(*modules: nn.Module) -> list[Tensor]:
    return [m.bias for m in modules if isinstance(m.bias, Tensor)]


def _norm(norm: nn.Module | None) -> list[Tensor]:
    return [] if norm is None else [norm.weight, norm.bias, norm.running_mean, norm.running_var]  # type: ignore[list-item]


def _zeros(norm: nn.Module | None) -> list[Tensor]:
    return [] if norm is None else [norm.bias, norm.running_mean]  # type: ignore[list-item]


def _columns(module: nn.Module, start: int = 0, size: int | None = None) -> Tensor:
    """Return the weight with its input channels first."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.transpose(0, 1)[start : None if size is None else start + size]


def _mlp(rng: random.Random) -> Family:
    sizes = [rng.randint(3, 6), *(rng.randint(7, 12) for _ in range(rng.randint(1, 3)))]
    linear = [nn.Linear(a, b, bias=i == 0 or rng.random() < 0.8) for i, (a, b) in enumerate(itertools.pairwise(sizes))]
    norms = [nn.BatchNorm1d(m.out_features) if rng.random() < 0.3 else None for m in linear]
    head = nn.Linear(sizes[-1], 3, bias=rng.random() < 0.8)
    layers = [part for m, norm in zip(linear, norms, strict=True) for part in (m, norm, _activation(rng)) if part]
    model = randomized(nn.Sequential(*layers, head).double(), rng.randrange(2**31))

    def groups() -> list[Units]:
        found = []
        for m, norm, reader, after in zip(linear, norms, [*linear[1:], head], [*norms[1:], None], strict=True):
            bias = _bias(m)
            level = _zeros(norm)[0] if norm is not None else bias[0] if bias else None
            stays = "" if reader.bias is not None or after is not None else NO_BIAS
            rides, zeros = [*bias, *_norm(norm)], [*bias, *_zeros(norm)]
            found.append(
                Units((_name(model, m), 0), [m.weight], rides, zeros, level, [_columns(reader)], stays, norm=norm)
            )
        return found

    return model, torch.randn(4, sizes[0]).double(), torch.randn(32, sizes[0]).double(), groups


def _name(model: nn.Module, module: nn.Module) -> str:
    return next(name for name, part in model.named_modules() if part is module) + ".weight"


def _conv(rng: random.Random) -> Family:
    widths = [3, *(rng.randint(6, 9) for _ in range(rng.randint(2, 3)))]
    kernels = [rng.choice([(1, 0), (3, 0), (3, 1)]) for _ in widths[1:]]
    convs = [
        nn.Conv2d(a, b, k, padding=p, bias=rng.random() < 0.6)
        for a, b, (k, p) in zip(widths, widths[1:], kernels, strict=False)
    ]
    norms = [nn.BatchNorm2d(m.out_channels) if rng.random() < 0.7 else None for m in convs]
    flat = rng.random() < 0.5
    head = nn.Linear(widths[-1] * (4 if flat else 1), 4)
    pool = nn.AdaptiveAvgPool2d(2 if flat else 1)
    layers = [part for m, norm in zip(convs, norms, strict=True) for part in (m, norm, _activation(rng)) if part]
    if rng.random() < 0.5:
        layers.insert(layers.index(convs[1]), nn.MaxPool2d(2, 1))
    model = randomized(nn.Sequential(*layers, pool, nn.Flatten(), head).double(), rng.randrange(2**31))

    def groups() -> list[Units]:
        found = []
        for i, (m, norm) in enumerate(zip(convs, norms, strict=True)):
            last = i + 1 == len(convs)
            columns = head.weight.reshape(4, widths[-1], -1).transpose(0, 1) if last else _columns(convs[i + 1])
            stays = ""
            if not last:
                stays = PADS if kernels[i + 1][1] else ""
                if convs[i + 1].bias is None and norms[i + 1] is None:
                    stays = NO_BIAS
            bias = _bias(m)
            level = _zeros(norm)[0] if norm is not None else bias[0] if bias else None
            rides, zeros = [*bias, *_norm(norm)], [*bias, *_zeros(norm)]
            found.append(Units((_name(model, m), 0), [m.weight], rides, zeros, level, [columns], stays, norm=norm))
        return found

    return model, torch.randn(2, 3, 8, 8).double(), torch.randn(16, 3, 8, 8).double(), groups


class _Block(nn.Module):
    def __init__(self, rng: random.Random, width: int, padded: bool) -> None:
        super().__init__()
        inner = rng.randint(6, 8)
        self.conv1 = nn.Conv2d(width, inner, 3 if padded else 1, padding=int(padded), bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.act = _activation(rng)
        self.conv2 = nn.Conv2d(inner, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.after = nn.ReLU() if rng.random() < 0.5 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))


def _residual(rng: random.Random) -> Family:
    width, padded = rng.randint(7, 10), rng.random() < 0.5
    stem, norm, head = nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.Linear(width, 4)
    blocks = [_Block(rng, width, padded) for _ in range(rng.randint(1, 3))]
    parts = [stem, norm, _activation(rng), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head]
    model = randomized(nn.Sequential(*parts).double(), rng.randrange(2**31))

    def groups() -> list[Units]:
        rides, zeros = [stem.bias, *_norm(norm)], [stem.bias, *_zeros(norm)]
        for block in blocks:
            rides, zeros = [*rides, *_norm(block.norm2)], [*zeros, *_zeros(block.norm2)]
        rows = [stem.weight, *(block.conv2.weight for block in blocks)]
        columns = [head.weight.T, *(_columns(block.conv1) for block in blocks)]
        stays = PADS if padded else ""
        found = [Units((_name(model, stem), 0), rows, rides, zeros, norm.bias, columns, stays)]  # type: ignore[list-item]
        for block in blocks:
            inner = block.norm1
            found.append(
                Units((_name(model, block.conv1), 0), [block.conv1.weight], _norm(inner), _zeros(inner), inner.bias,
                      [_columns(block.conv2)], norm=inner)
            )  # fmt: skip
        return found

    return model, torch.randn(2, 3, 6, 6).double(), torch.randn(12, 3, 6, 6).double(), groups


class _Dense(nn.Module):
    def __init__(self, rng: random.Random, channels: int, growth: int, padded: bool) -> None:
        super().__init__()
        self.norm, self.act = nn.BatchNorm2d(channels), _activation(rng)
        self.conv = nn.Conv2d(channels, growth, 3 if padded else 1, padding=int(padded))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(self.act(self.norm(x)))], 1)


def _concat(rng: random.Random) -> Family:
    parts, padded = [rng.randint(6, 8)], rng.random() < 0.4
    stem, dense = nn.Conv2d(3, parts[0], 3, padding=1), []
    for _ in range(rng.randint(1, 3)):
        parts.append(rng.randint(6, 7))
        dense.append(_Dense(rng, sum(parts[:-1]), parts[-1], padded))
    head = nn.Linear(sum(parts), 4)
    layers = [stem, *dense, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head]
    model = randomized(nn.Sequential(*layers).double(), rng.randrange(2**31))

    def groups() -> list[Units]:
        found = []
        for i, m in enumerate([stem, *(layer.conv for layer in dense)]):
            start, size, later = sum(parts[:i]), parts[i], dense[i:]
            rides = [t[start : start + size] for layer in later for t in _norm(layer.norm)]
            zeros = [t[start : start + size] for layer in later for t in _zeros(layer.norm)]
            columns = [_columns(module, start, size) for module in (*(layer.conv for layer in later), head)]
            stays = PADS if padded and later else ""
            found.append(
                Units(
                    (_name(model, m), 0), [m.weight], [*_bias(m), *rides], [*_bias(m), *zeros], m.bias, columns, stays
                )
            )
        return found

    return model, torch.randn(2, 3, 6, 6).double(), torch.randn(12, 3, 6, 6).double(), groups


class _Inverted(nn.Module):
    def __init__(self, rng: random.Random, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand, self.norm = nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden)
        self.act, self.act2 = _activation(rng), _activation(rng)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.act2(self.depthwise(self.act(self.norm(self.expand(x))))))


def _depthwise(rng: random.Random) -> Family:
    channels = rng.randint(4, 6)
    blocks = [_Inverted(rng, channels, rng.randint(8, 10)) for _ in range(rng.randint(1, 2))]
    stem, head = nn.Conv2d(3, channels, 3, padding=1), nn.Linear(channels, 4)
    layers = [stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head]
    model = randomized(nn.Sequential(*layers).double(), rng.randrange(2**31))
    border = [rng.random() < 0.4 for _ in blocks]

    def groups() -> list[Units]:
        found = []
        for block, before in zip(blocks, border, strict=True):
            bias = _bias(block.expand, block.depthwise)
            rides = [*bias, *_norm(block.norm), block.depthwise.weight]
            level = block.norm.bias if before else block.depthwise.bias
            zeros, stays = [*bias, *_zeros(block.norm)], BORDER if before else ""  # type: ignore[list-item]
            where = (_name(model, block.expand), 0)
            found.append(Units(where, [block.expand.weight], rides, zeros, level, [_columns(block.project)], stays))  # type: ignore[arg-type]
        return found

    return model, torch.randn(2, 3, 6, 6).double(), torch.randn(12, 3, 6, 6).double(), groups


class _Grouped(nn.Module):
    """Attention in which several queries share a key and a value."""

    def __init__(self, width: int, heads: int, shared: int, each: int, bias: bool) -> None:
        super().__init__()
        self.heads, self.shared, self.each = heads, shared, each
        self.q = nn.Linear(width, heads * each, bias=False)
        self.k, self.v = (nn.Linear(width, shared * each, bias=False) for _ in range(2))
        self.out = nn.Linear(heads * each, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (m(x).unflatten(-1, (-1, self.each)).transpose(1, 2) for m in (self.q, self.k, self.v))
        k, v = (t.repeat_interleave(self.heads // self.shared, 1) for t in (k, v))
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), 1e-5

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class _Layer(nn.Module):
    def __init__(self, rng: random.Random, width: int, bias: bool) -> None:
        super().__init__()
        hidden = rng.randint(7, 10)
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attention = _Grouped(width, 4, rng.choice([1, 2]), 2, bias)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class _Decoder(nn.Module):
    def __init__(self, rng: random.Random, width: int, bias: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(13, width)
        self.layers = nn.ModuleList(_Layer(rng, width, bias) for _ in range(rng.randint(1, 2)))
        self.norm, self.head = RMSNorm(width), nn.Linear(width, 13, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def _gated(rng: random.Random) -> Family:
    bias = rng.random() < 0.4
    model: Any = randomized(_Decoder(rng, rng.randint(8, 11), bias).double(), rng.randrange(2**31))

    def groups() -> list[Units]:
        layers = list(model.layers)
        rows = [model.embed.weight.T, *(w for layer in layers for w in (layer.attention.out.weight, layer.down.weight))]
        biases = [layer.attention.out.bias for layer in layers] if bias else []
        norms = [n.weight for layer in layers for n in (layer.norm1, layer.norm2)] + [model.norm.weight]
        reads = [
            m
            for layer in layers
            for m in (layer.attention.q, layer.attention.k, layer.attention.v, layer.gate, layer.up)
        ]
        columns = [_columns(m) for m in (*reads, model.head)]
        level = biases[0] if bias else None
        found = [
            Units(
                ("embed.weight", 0), rows, [*biases, *norms], biases, level, columns, COUNTS, merges=False, read=False
            )
        ]
        for i, layer in enumerate(layers):
            own = [layer.gate.weight, layer.up.weight]
            found.append(Units((f"layers.{i}.gate.weight", 0), own, [], [], None, [_columns(layer.down)]))
        return found

    return model, torch.randint(0, 13, (2, 6)), torch.randint(0, 13, (16, 6)), groups


class _Twice(nn.Module):
    """One layer is called again and again; or one head reads two layers."""

    def __init__(self, rng: random.Random, inputs: int, width: int, loop: bool) -> None:
        super().__init__()
        self.loop, self.act = loop, _activation(rng)
        self.first, self.again = nn.Linear(inputs, width), nn.Linear(width if loop else inputs, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.loop:
            h = self.act(self.first(x))
            return self.head(self.act(self.again(self.act(self.again(h)))))
        return self.head(self.act(self.first(x))) + self.head(self.act(self.again(x)))


def _shared(rng: random.Random) -> Family:
    inputs, loop = rng.randint(4, 6), rng.random() < 0.5
    model: Any = randomized(_Twice(rng, inputs, rng.randint(8, 12), loop).double(), rng.randrange(2**31))

    def groups() -> list[Units]:
        biases = [model.first.bias, model.again.bias]
        columns = [_columns(model.head), *([_columns(model.again)] if loop else [])]
        why = "no bias of its own"
        rows = [model.first.weight, model.again.weight]
        return [Units(("first.weight", 0), rows, biases, biases, model.again.bias, columns, why)]

    return model, torch.randn(4, inputs).double(), torch.randn(32, inputs).double(), groups


_FAMILIES: dict[str, Callable[[random.Random], Family]] = {
    "mlp": _mlp, "conv": _conv, "residual": _residual, "concat": _concat, "depthwise": _depthwise, "gated": _gated,
    "shared": _shared,
}  # fmt: skip
