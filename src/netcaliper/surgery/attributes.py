"""Sizes in attributes of the user's own modules: which of them must follow a cut is found out by running the module.

``num_heads``, ``split_size``, ``intermediate_size`` ... are integers (or tuples of them) that somebody wrote into a
module and that its ``forward`` may read. Attributes with a name that says what they are follow if they hold the old
size of a dimension that was cut. If the module then still fails or answers differently, further attributes that hold
such a size are tried, the fewest first, the same ones in all modules of a class.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from re import compile as pattern
from typing import Any, cast

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from netcaliper.surgery.cuts import CONFIG, Value, set_attribute
from netcaliper.surgery.masking import Removed
from netcaliper.surgery.module_sizes import is_conv1d
from netcaliper.trace.structure import Dimension

Problem = Callable[[nn.Module], str | None]

_NAMED = {
    "heads": pattern(
        r"(n|num|nr|number_of)?_?((attention|attn|query|q|key_value|kv|key|value|k|v)_?)*heads?"
        r"|all_head_size|total_head_dim|attn_dim|attention_dim|inner_dim|split_size|qkv_dim|kv_dim|q_dim"
    ),
    "inner": pattern(
        r"intermediate_(size|dim)|(hidden|mid|inner)_(features|channels)|inner_dim|n_inner|ffn_(dim|size|width)"
        r"|mlp_(dim|size|width)|ff_dim|dim_feedforward|d_ff|d_inner|hidden_units"
    ),
    "stream": pattern(
        r"embed_dims?|hidden_size|d_model|model_dim|dim|width|n_embd|num_features|head_hidden_size|in_features"
        r"|out_features|in_channels|out_channels|in_chs|out_chs|normalized_shape"
    ),
}
"""Names that say which dimension an attribute is the size of."""

_KNOWN = (nn.Linear, _ConvNd, _NormBase, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.Embedding, nn.EmbeddingBag)
_MOST_TRIES = 200


@dataclass
class _Choice:
    """One attribute of the modules of one class, which follows in all of them or in none."""

    name: str
    named: bool
    near: int
    values: list[tuple[str, Value]] = field(default_factory=list)


def following(
    module: nn.Module, dimensions: Sequence[Dimension], removed: Removed, problem: Problem
) -> tuple[dict[str, dict[str, Value]], str | None]:
    """Let attributes of a cut module follow until it has no problem.

    Args:
        module: the cut module; its attributes are changed.
        dimensions: those that lost units.
        removed: the units.
        problem: says what is wrong with a module, ``None`` if nothing is.

    Returns:
        The new values by module path and attribute; and what is wrong whatever follows, ``None`` if nothing is. In the
        latter case the module is left as it was given.
    """
    choices = _choices(module, dimensions, removed)
    named = tuple(choice for choice in choices if choice.named)
    first: str | None = None
    tried: set[frozenset[int]] = set()
    for chosen in _sets(named, choices):
        key = frozenset(map(id, chosen))
        if key in tried:
            continue
        tried.add(key)
        if len(tried) > _MOST_TRIES:
            break
        undo = _set(module, chosen)
        words = problem(module)
        if words is None:
            found: dict[str, dict[str, Value]] = {}
            for choice in chosen:
                for path, value in choice.values:
                    found.setdefault(path, {})[choice.name] = value
            return found, None
        first = first or words
        for back in reversed(undo):
            back()
    return {}, first


def _sets(named: tuple[_Choice, ...], choices: Sequence[_Choice]) -> Iterator[tuple[_Choice, ...]]:
    """Give what to try: names that say what they are, with the fewest others; then without them; then fewer of them."""
    rest = sorted((choice for choice in choices if not choice.named), key=lambda choice: choice.near)
    for number in range(3):
        for others in itertools.combinations(rest, number):
            yield (*named, *others)
            yield others
    for number in range(1, len(named)):
        yield from itertools.combinations(named, number)


def _set(module: nn.Module, chosen: Sequence[_Choice]) -> list[Callable[[], None]]:
    """Set the attributes; return what sets them back."""
    undo: list[Callable[[], None]] = []
    for choice in chosen:
        for path, value in choice.values:
            owner = module.get_submodule(path)
            attribute = choice.name.partition(".")[0]
            old = getattr(owner, attribute)
            undo.append(lambda owner=owner, attribute=attribute, old=old: setattr(owner, attribute, old))
            set_attribute(owner, choice.name, value)
    return undo


def _choices(module: nn.Module, dimensions: Sequence[Dimension], removed: Removed) -> list[_Choice]:
    """Return all attributes that hold an old size of a dimension near to where it lies, by class, name and factor."""
    found: dict[Any, _Choice] = {}
    taken: set[tuple[str, str, Any]] = set()
    for dimension in dimensions:
        sizes = _sizes(dimension, removed[dimension.name])
        for near, path, part in _places(module, dimension):
            for name, old in _numbers(part):
                for size, (new, factor) in sizes.items():
                    if not _holds(old, size) or (path, name, new) in taken:
                        continue
                    short = name.removeprefix(CONFIG)
                    named = near < 2 and name == short and bool(_NAMED[dimension.kind].fullmatch(short))
                    key = (type(part).__name__, name, dimension.kind, factor)
                    choice = found.setdefault(key, _Choice(name, named, near + 2 * (name != short)))
                    choice.values.append((path, _with(old, size, new)))
                    taken.add((path, name, new))
    return list(found.values())


def _sizes(dimension: Dimension, gone: np.ndarray) -> dict[int, tuple[int, Any]]:
    """Return the sizes that hold the units of a dimension, each with what it becomes and how many units make it."""
    before, after = dimension.units, int((~gone).sum())
    sizes: dict[int, tuple[int, Any]] = {before: (after, 1)}
    for holder in dimension.holders:
        each = np.bincount(holder.unit[holder.unit >= 0], minlength=dimension.units)
        if len(each) and each.min() == each.max() > 0:
            for factor in range(1, int(each[0]) + 1):
                if each[0] % factor == 0:
                    sizes.setdefault(before * factor, (after * factor, factor))
        kept = len(holder.unit) - int(np.isin(holder.unit, np.flatnonzero(gone)).sum())
        sizes.setdefault(len(holder.unit), (kept, "axis"))
    return sizes


def _places(module: nn.Module, dimension: Dimension) -> Iterator[tuple[int, str, nn.Module]]:
    """Give the modules that own a cut tensor, those around them up to the one around all, then all others in that."""
    modules = dict(module.named_modules())
    owners = dict.fromkeys(name.rpartition(".")[0] for holder in dimension.holders for name in holder.names)
    lines = [[*_around(path)] for path in owners]
    common = max(set.intersection(*map(set, lines)), key=len) if lines else ""
    near = dict.fromkeys(path for line in lines for path in line if path in owners or len(path) >= len(common))
    for path in near:
        if path in modules:
            yield 0, path, modules[path]
    for path, part in modules.items():
        if path not in near and (not common or path.startswith(f"{common}.")):
            yield 2, path, part


def _around(path: str) -> Iterator[str]:
    """Give a path and those of the modules around it, the root last."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _numbers(part: nn.Module) -> Iterator[tuple[str, Value]]:
    """Give the attributes of a module that hold integers, and those of its ``config``."""
    if isinstance(part, _KNOWN) or is_conv1d(part):
        return
    config = getattr(part, "config", None)
    for prefix, place in (("", vars(part)), (CONFIG, getattr(config, "__dict__", {}))):
        for name, value in place.items():
            numbers = value if isinstance(value, tuple | list) else (value,)
            integers = bool(numbers) and all(type(one) is int for one in numbers)
            if integers and not name.startswith("_"):
                yield f"{prefix}{name}", tuple(numbers) if isinstance(value, tuple | list) else value


def _holds(value: Value, size: int) -> bool:
    return size in value if isinstance(value, tuple) else value == size


def _with(value: Value, size: int, new: int) -> Value:
    return tuple(new if one == size else one for one in value) if isinstance(value, tuple) else cast(Value, new)
