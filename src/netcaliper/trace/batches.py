"""Batches: what users bring, brought into one shape, checked before a model sees it.

A batch is ``inputs`` or ``(inputs, labels)``; ``inputs`` is a tensor, a tuple of tensors (positional arguments) or a
mapping of tensors (keyword arguments, whose ``labels`` are taken out).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from netcaliper.errors import DataError, NetcaliperError

_LABEL_KEYS = ("labels", "label", "target", "targets")


@dataclass(frozen=True)
class Batch:
    """Inputs of one forward pass.

    Attributes:
        args: positional arguments of the model.
        kwargs: keyword arguments of the model.
        labels: labels of the examples, if there are any.
        size: number of examples.
        start: index of the first example in the data.
        indices: index of every example in the data.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    labels: Any
    size: int
    start: int = 0
    indices: Int[Tensor, " size"] = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def take(self, examples: Int[Tensor, " n"]) -> "Batch":
        """Return the batch of these examples only, in this order; their indices in the data stay with them."""

        def rows(value: Any) -> Any:
            whole = isinstance(value, Tensor) and value.dim() and value.shape[0] == self.size
            return value[examples.to(value.device)] if whole else value

        return replace(
            self,
            args=tuple(rows(value) for value in self.args),
            kwargs={key: rows(value) for key, value in self.kwargs.items()},
            labels=rows(self.labels),
            size=len(examples),
            indices=self.indices[examples],
        )

    def joined(self, other: "Batch") -> "Batch":
        """Return one batch with the examples of both."""

        def rows(mine: Any, theirs: Any) -> Any:
            whole = isinstance(mine, Tensor) and mine.dim() and mine.shape[0] == self.size
            return torch.cat([mine, theirs]) if whole else mine

        return replace(
            self,
            args=tuple(rows(a, b) for a, b in zip(self.args, other.args, strict=True)),
            kwargs={key: rows(value, other.kwargs[key]) for key, value in self.kwargs.items()},
            labels=rows(self.labels, other.labels),
            size=self.size + other.size,
            indices=torch.cat([self.indices, other.indices]),
        )

    def first(self, count: int) -> "Batch":
        """Return the first ``count`` examples."""
        return self if count >= self.size else self.take(torch.arange(count))

    def repeated(self, size: int) -> "Batch":
        """Return a batch of exactly ``size`` examples that goes through the examples again and again."""
        return self.take(torch.arange(size) % self.size)

    def shortened(self, length: int) -> "Batch":
        """Return the batch with token inputs (2-D integers, and tensors of their shape) cut to ``length``."""
        shapes = {t.shape for t in self.tensors() if t.dim() == 2 and not t.is_floating_point()}

        def cut(value: Any) -> Any:
            return value[:, :length] if isinstance(value, Tensor) and value.shape in shapes else value

        return replace(self, args=tuple(cut(v) for v in self.args), kwargs={k: cut(v) for k, v in self.kwargs.items()})

    def token_length(self) -> int | None:
        """Return the length of the token sequences, ``None`` if the inputs are not tokens."""
        return next((t.shape[1] for t in self.tensors() if t.dim() == 2 and not t.is_floating_point()), None)

    def tensors(self) -> list[Tensor]:
        """Return all input tensors."""
        return [value for value in (*self.args, *self.kwargs.values()) if isinstance(value, Tensor)]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its inputs on ``device``."""

        def move(value: Any) -> Any:
            return value.to(device) if isinstance(value, Tensor) else value

        return replace(
            self, args=tuple(move(v) for v in self.args), kwargs={k: move(v) for k, v in self.kwargs.items()}
        )


def as_batch(raw: Any, *, inputs_required: int = 1, start: int = 0) -> Batch:
    """Bring one raw batch into shape.

    Args:
        raw: a tensor, ``(inputs, labels)``, a tuple of positional tensors, or a mapping.
        inputs_required: number of positional inputs that the model requires; from two on, a tuple of so many tensors is
            taken as positional inputs, not as ``(inputs, labels)``.
        start: index of its first example in the data.

    Raises:
        DataError: the batch has no tensor, no example, or values that are not finite.
    """
    if isinstance(raw, Batch):
        return raw
    labels = None
    if isinstance(raw, (list, tuple)) and len(raw) == 2 and not (inputs_required >= 2 and _is_tensor(raw[1])):
        raw, labels = raw
    elif isinstance(raw, (list, tuple)) and len(raw) == inputs_required + 1 and inputs_required >= 2:
        *inputs, labels = raw
        raw = tuple(inputs)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(raw, Mapping) or isinstance(getattr(raw, "data", None), Mapping):  # dicts, BatchEncoding
        kwargs = {str(key): _tensor(value) for key, value in dict(raw).items()}
        for key in _LABEL_KEYS:
            if key in kwargs:
                labels = kwargs.pop(key)
    elif isinstance(raw, (list, tuple)):
        args = tuple(_tensor(value) for value in raw)
    else:
        args = (_tensor(raw),)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.dim()]
    if not tensors:
        raise DataError(
            f"a batch must hold at least one tensor with a batch axis, got {type(raw).__name__}; yield tensors, "
            "(inputs, labels) or"
            " dicts of tensors"
        )
    size = tensors[0].shape[0]
    if size == 0:
        raise DataError("a batch has 0 examples; leave empty batches out of the loader")
    return Batch(args, kwargs, _tensor(labels), size, start, torch.arange(start, start + size))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def check_values(batch: Batch, where: str) -> None:
    """Refuse inputs that are not finite.

    Raises:
        DataError: an input holds NaN or infinity; the message names the first example.
    """
    for tensor in batch.tensors():
        if tensor.is_floating_point():
            finite = torch.isfinite(tensor)
            if not bool(finite.all()):
                bad = (~finite).reshape(tensor.shape[0], -1).any(1).nonzero()[0].item() if tensor.dim() else 0
                raise DataError(
                    f"{where} holds NaN or infinite values (first in example {batch.start + int(bad)}); clean the "
                    "data, nothing was measured on it"
                )


def check_reiterable(data: Any) -> None:
    """Refuse one-shot generators and things that are no batches at all.

    Raises:
        DataError: ``data`` can be read only once, or not at all.
    """
    if isinstance(data, Tensor):
        raise DataError("`data` is one tensor; pass a list of batches, e.g. `list(tensor.split(128))`, or a DataLoader")
    if not isinstance(data, Iterable):
        raise DataError(
            f"`data` must be an iterable of batches, got {type(data).__name__}; pass a list of batches or a DataLoader"
        )
    if isinstance(data, Iterator):
        raise DataError(
            f"`data` is a one-shot {type(data).__name__} and must be read more than once; pass `list(data)` or an "
            "object whose __iter__"
            " starts anew"
        )


def raw_batches(data: Any) -> Iterator[Any]:
    """Go through ``data`` once, as it comes, and refuse what is no honest list of batches.

    Raises:
        DataError: not re-iterable, empty, fewer batches than ``len(data)`` promises, or the loader itself fails.
    """
    check_reiterable(data)
    read = 0
    iterator = iter(data)
    while True:
        try:
            raw = next(iterator)
        except StopIteration:
            break
        except NetcaliperError:
            raise
        except Exception as failure:
            words = (str(failure).splitlines() or [""])[0]
            raise DataError(
                f"batch {read} of `data` could not be read: {type(failure).__name__}: {words}; the fault is in the "
                "loader or its"
                " data set, `list(data)` shows it too"
            ) from failure
        read += 1
        yield raw
    if read == 0:
        raise DataError("`data` has no batches; check the path, the filter and `drop_last` of the loader")
    promised = _promised(data)
    if promised is not None and read < promised:
        raise DataError(
            f"`data` must give the {promised} batches that `len(data)` promises, got {read}; the loader ends early: "
            "correct its"
            " `__len__`, or read what is missing"
        )


def _promised(data: Any) -> int | None:
    try:
        return len(data)
    except (TypeError, NotImplementedError):  # a loader over a stream has no length
        return None


def first_batch(data: Any, *, inputs_required: int = 1) -> Batch:
    """Return the first batch of ``data``.

    Raises:
        DataError: ``data`` is empty, or not batches.
    """
    batch = as_batch(next(raw_batches(data)), inputs_required=inputs_required)
    check_values(batch, "batch 0 of `data`")
    return batch


def batches(data: Any, *, inputs_required: int = 1) -> Iterator[Batch]:
    """Go through ``data`` once, numbering the examples.

    Raises:
        DataError: empty data, values that are not finite, a batch of another kind than the first one, or a loader that
            ends early.
    """
    start, template = 0, None
    for number, raw in enumerate(raw_batches(data)):
        batch = as_batch(raw, inputs_required=inputs_required, start=start)
        check_values(batch, f"batch {number} of `data`")
        template = template or batch
        _check_same_kind(batch, template, number)
        start += batch.size
        yield batch


def regrouped(source: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Bring the examples of batches of any size into batches of one size, in order; the last one may be smaller.

    Equal sizes keep the allocator's memory from growing: what one batch gave back fits the next one exactly. Batches
    whose examples have another shape (longer sequences) are not joined, so that a smaller batch goes before them.
    """
    held: Batch | None = None
    for batch in source:
        if batch.size == 0:
            continue
        if held is not None and _example_shapes(held) != _example_shapes(batch):
            yield held
            held = None
        held = batch if held is None else held.joined(batch)
        while held is not None and held.size >= size:
            yield held.first(size)
            held = held.take(torch.arange(size, held.size)) if held.size > size else None
    if held is not None:
        yield held


def _example_shapes(batch: Batch) -> list[torch.Size]:
    return [tensor.shape[1:] for tensor in batch.tensors()]


def _check_same_kind(batch: Batch, template: Batch, number: int) -> None:
    if len(batch.args) != len(template.args) or set(batch.kwargs) != set(template.kwargs):
        raise DataError(
            f"batch {number} of `data` has {len(batch.args)} positional inputs and keys {sorted(batch.kwargs)}, batch "
            "0 had"
            f" {len(template.args)} and {sorted(template.kwargs)}; all batches must have the same form"
        )
    for ours, theirs in zip(batch.tensors(), template.tensors(), strict=True):
        if ours.dtype != theirs.dtype:
            raise DataError(
                f"batch {number} of `data` has dtype {ours.dtype}, batch 0 had {theirs.dtype}; convert all batches to "
                "one dtype"
            )


def count_examples(data: Any, *, inputs_required: int = 1) -> int:
    """Return the number of examples: from the loader's data set where it knows, else by going through once.

    Raises:
        DataError: ``data`` cannot be read more than once, or is empty.
    """
    check_reiterable(data)
    loader = data if isinstance(data, torch.utils.data.DataLoader) else None
    if loader is not None and not loader.drop_last and loader.batch_sampler is not None:
        sampler = getattr(loader.batch_sampler, "sampler", None)
        if sampler is not None and hasattr(sampler, "__len__"):
            return len(sampler)
    return sum(as_batch(raw, inputs_required=inputs_required).size for raw in raw_batches(data))
