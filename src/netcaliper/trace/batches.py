"""Batches: what users bring, brought into one shape, checked before a model sees it.

A batch is ``inputs`` or ``(inputs, labels)``; ``inputs`` is a tensor, a tuple of tensors (positional arguments) or a
mapping of tensors (keyword arguments, whose ``labels`` are taken out).

Tokens that are only there to fill up a batch are told by the inputs ``attention_mask`` and ``decoder_attention_mask``
(``[examples, tokens]``, 1 for tokens and 0 for padding), by key or by the name of the parameter at their place.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from numbers import Number
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from netcaliper.errors import DataError, NetcaliperError
from netcaliper.trace.form import UNKNOWN, Form

_LABEL_KEYS = (
    "labels", "label", "label_ids", "target", "targets", "start_positions", "end_positions", "next_sentence_label"
)  # fmt: skip

MASKS = ("attention_mask", "decoder_attention_mask")
DECODER = "decoder_"
"""How the names of a decoder's inputs begin, in a model that has an encoder too."""

IGNORED = -100
"""The label that torch's cross-entropy leaves out."""

_EXAMPLES = 32
"""Examples a batch that are read of a data set that comes without batches."""


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
        names: of the positional arguments, as the model calls them; empty if not known.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    labels: Any
    size: int
    start: int = 0
    indices: Int[Tensor, " size"] = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    names: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, Any]:
        """All inputs by name; a positional one without a name by its place."""
        places = tuple(str(place) for place in range(len(self.names), len(self.args)))
        return dict(zip(self.names + places, self.args, strict=True)) | dict(self.kwargs)

    def mask(self, name: str) -> Int[Tensor, "size tokens"] | None:
        """Return one of ``MASKS``, as int64, if the batch has it."""
        value = self.named.get(name)
        if not isinstance(value, Tensor) or value.dim() != 2:
            return None
        return (value != 0).to(torch.int64)

    def output_mask(self) -> Int[Tensor, "size tokens"] | None:
        """Return the mask of the tokens that outputs are about: the decoder's, if there is one."""
        return self.mask(MASKS[1] if any(name.startswith(DECODER) for name in self.named) else MASKS[0])

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
        """Return the length of the token sequences (the decoder's if there is one), ``None`` if there are no tokens."""
        lengths = {
            name: t.shape[1]
            for name, t in self.named.items()
            if isinstance(t, Tensor) and t.dim() == 2 and not t.is_floating_point()
        }
        return next((lengths[name] for name in lengths if name.startswith(DECODER)), next(iter(lengths.values()), None))

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


def as_batch(raw: Any, *, form: Form = UNKNOWN, start: int = 0) -> Batch:
    """Bring one raw batch into shape.

    Args:
        raw: a tensor, ``(inputs, labels)``, a tuple of positional tensors, or a mapping; arrays and lists of numbers
            stand for tensors.
        form: what the model takes. If it requires two or more inputs, a tuple of so many tensors is taken as positional
            inputs, not as ``(inputs, labels)``. If its decoder takes inputs that the batch does not have, they are made
            from labels ``[examples, tokens]``, as the model itself does in training; labels of -100 are padding.
        start: index of its first example in the data.

    Raises:
        DataError: the batch has no tensor, no example, or keys that do not fit the model.
    """
    if isinstance(raw, Batch):
        return raw
    labels, required = None, form.inputs_required
    listed = isinstance(raw, (list, tuple))
    if listed and len(raw) == 2 and (_is_group(raw[0]) or required < 2 or not _is_tensor(raw[1])):
        _check_labels_are_no_mask(raw, form)
        raw, labels = raw
    elif listed and len(raw) == required + 1 and required >= 2:
        *inputs, labels = raw
        raw = tuple(inputs)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if _is_mapping(raw):
        kwargs = {str(key): _tensor(value, f"key `{key}`") for key, value in dict(raw).items()}
        for key in reversed(_LABEL_KEYS):
            if key in kwargs and key not in form.required:
                labels = kwargs.pop(key)
    elif isinstance(raw, (list, tuple)):
        args = tuple(_tensor(value, f"input {place}") for place, value in enumerate(raw))
    else:
        args = (_tensor(raw, "the input"),)
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
    labels = _tensor(labels, "the labels")
    if form.shift is not None and kwargs:
        kwargs |= _decoder_inputs(form, kwargs, labels)
    form.check(len(args), kwargs)
    index = torch.arange(start, start + size)
    return Batch(args, kwargs, labels, size, start, index, form.names[: len(args)])


def _check_labels_are_no_mask(pair: Any, form: Form) -> None:
    """Refuse ``(ids, mask)``: read as ``(inputs, labels)`` it would count the padding.

    Raises:
        DataError: the second tensor looks like a mask of the first one, and the model takes one there.
    """
    ids, second = (_tensor(value, "the batch") if _is_tensor(value) else None for value in pair)
    if ids is None or second is None or "mask" not in "".join(form.names[1:2]) or ids.dim() != 2:
        return
    if ids.shape == second.shape and not ids.is_floating_point() and bool(((second == 0) | (second == 1)).all()):
        raise DataError(
            f"a batch of two tensors is read as `(inputs, labels)`, got a second one of shape {tuple(second.shape)} "
            f"that holds 0 and 1 like `{form.names[1]}`; give ((ids, mask), labels), or a dict with that key or "
            "`labels`"
        )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) or isinstance(getattr(value, "data", None), Mapping)  # dicts, BatchEncoding


def _is_group(value: Any) -> bool:
    """Tell whether these are several inputs of one batch."""
    return _is_mapping(value) or (isinstance(value, (list, tuple)) and any(_is_tensor(item) for item in value))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _tensor(value: Any, what: str) -> Any:
    """Return an array or a list of numbers as a tensor; what is neither stays as it is.

    Raises:
        DataError: lists of unequal length, or text.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.from_numpy(value if value.flags.writeable else value.copy())
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    listed = isinstance(value, (list, tuple))
    if isinstance(value, np.ndarray) or (listed and isinstance(first, (str, bytes))):
        kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else "list of text"
        raise DataError(f"{what} of a batch must be numbers, got {kind}; encode it, or leave it out of the batches")
    if not listed or not isinstance(first, Number):
        return value
    try:
        return torch.tensor(value)
    except (ValueError, TypeError) as problem:
        raise DataError(
            f"{what} of a batch must be numbers in rows of equal length, got {problem}; pad them, e.g. with the "
            "tokenizer (`padding=True`)"
        ) from None


def _decoder_inputs(form: Form, kwargs: Mapping[str, Any], labels: Any) -> dict[str, Tensor]:
    """Return the inputs of the decoder that a batch with labels leaves to the model.

    Raises:
        DataError: the model cannot make them.
    """
    given = any(name.startswith(DECODER) and name != MASKS[1] for name in kwargs)
    if given or not isinstance(labels, Tensor) or labels.dim() != 2 or labels.is_floating_point():
        return {}
    assert form.shift is not None
    try:
        ids = form.shift(labels)
    except Exception as problem:  # whatever the model's own code raises
        words = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise DataError(
            f"`decoder_input_ids` could not be made from the labels by {form.model}: {words}; give them in the batch"
        ) from None
    return {MASKS[1]: (labels != IGNORED).to(torch.int64), **kwargs, f"{DECODER}input_ids": ids}


def labels_are_inputs(batch: Batch, labels: Tensor) -> bool:
    """Tell whether the labels of tokens are the input tokens themselves: nobody has shifted them.

    A label stands at the token whose scores predict it, so such labels leave nothing to predict.

    Args:
        batch: whose inputs are compared.
        labels: one a token; those that are ``IGNORED`` do not count.
    """
    inputs = batch.named.get("decoder_input_ids", batch.named.get("input_ids"))
    kept = labels != IGNORED
    return (
        isinstance(inputs, Tensor)
        and inputs.shape == labels.shape
        and torch.equal(inputs.to(labels.device)[kept], labels[kept])
    )


def check_values(batch: Batch, where: str) -> None:
    """Refuse inputs that are not finite, and examples that are all padding.

    Raises:
        DataError: an input holds NaN or infinity, or a mask leaves no token of an example; the message names the first
            one.
    """
    for name in MASKS:
        mask = batch.mask(name)
        if mask is not None and batch.named[name].is_floating_point() and bool((batch.named[name] != mask).any()):
            raise DataError(
                f"`{name}` in {where} must be 1 for tokens and 0 for padding, got other numbers; give the mask as the "
                "tokenizer makes it"
            )
        if mask is not None and not bool(mask.any(1).all()):
            first = batch.start + int((~mask.any(1)).nonzero()[0])
            raise DataError(
                f"`{name}` in {where} must leave a token of every example, got none in example {first}; leave examples "
                "that are empty (or that were cut to nothing) out of the data"
            )
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
    if isinstance(data, Mapping):
        raise DataError(
            f"`data` is a mapping with the keys {', '.join(map(str, data))}; pass one of its data sets, or `[data]` if "
            "it is a batch"
        )
    if isinstance(data, torch.utils.data.Dataset) and not isinstance(data, Iterable):
        raise DataError(
            f"`data` is a data set of single examples ({type(data).__name__}), not of batches; pass "
            "`DataLoader(data, batch_size=128)`"
        )
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
    data = _in_batches(data)
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


class _Columns:
    """A Hugging Face data set, read in batches of tensors; columns that were chosen for its format stay chosen."""

    def __init__(self, rows: Any) -> None:
        chosen = getattr(rows, "format", {})  # a stream has none, and takes no columns
        columns = {"columns": chosen["columns"]} if "columns" in chosen else {}
        self.rows = rows if chosen.get("type") == "torch" else rows.with_format("torch", **columns)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.rows.iter(batch_size=_EXAMPLES):
            for name, column in batch.items():
                shapes = {str(tuple(getattr(row, "shape", ()))) for row in column}
                if isinstance(column, list) and len(shapes) > 1:
                    raise DataError(
                        f"column `{name}` of `data` must have rows of one shape, got {', '.join(sorted(shapes)[:4])}; "
                        "pad them with the tokenizer (`padding=True`), or leave the column out (`data.remove_columns`)"
                    )
            yield batch


def _in_batches(data: Any) -> Any:
    """Return the batches of a Hugging Face data set; anything else as it is."""
    return _Columns(data) if hasattr(data, "features") and hasattr(data, "with_format") else data


def _promised(data: Any) -> int | None:
    try:
        return len(data)
    except (TypeError, NotImplementedError):  # a loader over a stream has no length
        return None


def first_batch(data: Any, *, form: Form = UNKNOWN) -> Batch:
    """Return the first batch of ``data``.

    Raises:
        DataError: ``data`` is empty, or not batches.
    """
    batch = as_batch(next(raw_batches(data)), form=form)
    check_values(batch, "batch 0 of `data`")
    return batch


def batches(data: Any, *, form: Form = UNKNOWN) -> Iterator[Batch]:
    """Go through ``data`` once, numbering the examples.

    Raises:
        DataError: empty data, values that are not finite, a batch of another kind than the first one, or a loader that
            ends early.
    """
    start, template = 0, None
    for number, raw in enumerate(raw_batches(data)):
        batch = as_batch(raw, form=form, start=start)
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
    return [tensor.shape[1:] for tensor in (*batch.tensors(), batch.labels) if isinstance(tensor, Tensor)]


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


def count_examples(data: Any, *, form: Form = UNKNOWN) -> int:
    """Return the number of examples: from the loader's data set where it knows, else by going through once.

    Raises:
        DataError: ``data`` cannot be read more than once, or is empty.
    """
    data = _in_batches(data)
    check_reiterable(data)
    loader = data if isinstance(data, torch.utils.data.DataLoader) else None
    if loader is not None and not loader.drop_last and loader.batch_sampler is not None:
        sampler = getattr(loader.batch_sampler, "sampler", None)
        if sampler is not None and hasattr(sampler, "__len__"):
            return len(sampler)
    counted = getattr(data, "dataset", None)
    if isinstance(counted, range):  # batches that are made from disk anew in every pass, and know how many there are
        return len(counted)
    return sum(as_batch(raw, form=form).size for raw in raw_batches(data))
