"""``nc.ntk``: the empirical neural tangent kernel of a network on some examples.

For parameters w and outputs ``f_1 .. f_C`` of an example x (Jacot, Gabriel and Hongler, NeurIPS 2018)::

    trace   K_ij = sum_c <df_c(x_i)/dw, df_c(x_j)/dw>
    signs   K_ij = <ds(x_i)/dw, ds(x_j)/dw>,   s = e_1 f_1 + ... + e_C f_C,  e_c = -1 or 1, fixed by the seed

The second one takes one gradient an example in place of C; over the draw of the signs its mean is the first one. (The
plain sum of logits, which is common, is the one direction in which cross-entropy never pulls: it would show least of a
training.) Outputs are the scores of a classification or the values of a regression; of tokens, the mean of each score
over the tokens of an example that are no padding.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float64, Int, Shaped
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from netcaliper.errors import DataError, InputError
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.outputs import Prediction, prediction, weights
from netcaliper.feed.sample import Sample, hold
from netcaliper.trace.batches import Batch
from netcaliper.trace.export import device_of
from netcaliper.trace.form import form_of
from netcaliper.trace.wrappers import unwrapped

Outputs = Literal["trace", "signs"]

EXAMPLES = 200
TRACED = 32
"""Outputs of an example up to which the trace is taken by default."""

MEMORY = 2**29
"""Bytes of gradients that are held at a time by default."""

LANES = 64
"""Backward passes, examples times outputs, that run together."""

COLUMNS = 2**15
"""Parameters whose products are added up in the gradients' own dtype; sums of these are float64."""


@dataclass(frozen=True)
class Ntk:
    """A tangent kernel on some examples.

    Attributes:
        matrix: K, symmetric and positive semidefinite.
        index: of every example in the data.
        outputs: which of the two kernels.
        count: outputs of an example.
        parameters: number of parameters that require a gradient.
    """

    matrix: Float64[np.ndarray, "n n"]
    index: Int[np.ndarray, " n"]
    outputs: Outputs
    count: int
    parameters: int


def ntk(
    model: Any,
    data: Iterable[Any],
    *,
    outputs: Outputs | None = None,
    examples: int = EXAMPLES,
    seed: int = 0,
    memory: int = MEMORY,
    device: str | torch.device | None = None,
    progress: Tell | None = None,
) -> Ntk:
    """Return the empirical tangent kernel of a network in eval mode on some examples.

    Gradients are those of ``torch.func``, for some parameters and examples at a time, in the dtype of the network; the
    kernel is added up in float64. BatchNorm is the fixed affine map of eval mode. The model is left as it was.

    Args:
        model: any module; parameters that require no gradient count as constants.
        data: any re-iterable of batches. Labels are not read.
        outputs: ``"trace"`` or ``"signs"``; by default the trace up to ``TRACED`` outputs, random signs above.
        examples: so many of the data, chosen by (seed, index).
        seed: of the choice and of the signs.
        memory: bytes of gradients that are held at a time. Less takes longer.
        device: where to run; a copy of the model runs on another device than its own.
        progress: called with ``("tangent kernel", done, total)``.

    Raises:
        InputError: an argument cannot be used, the model has no parameter that requires a gradient, its output is no
            prediction, or torch.func cannot differentiate it example by example.
        DataError: too few examples, or a gradient is not finite.
    """
    check_outputs(outputs)
    if not isinstance(model, nn.Module):
        raise InputError(f"`model` must be a torch module, got {type(model).__name__}; pass the module.")
    model = unwrapped(model)
    if device is not None:
        model = deepcopy(model).to(device)
    sample = hold(data, form_of(model), examples=examples, seed=seed, limit=None)
    return kernel(model, sample, outputs, memory=memory, tell=progress or (lambda phase, done, total: None))


def check_outputs(outputs: Any) -> None:
    """Refuse what is no kind of kernel.

    Raises:
        InputError: ``outputs`` is neither ``None`` nor one of ``Outputs``.
    """
    if outputs is not None and outputs not in get_args(Outputs):
        raise InputError(
            f"`outputs` must be one of {', '.join(map(repr, get_args(Outputs)))}, or None, got {outputs!r}."
        )


def kernel(model: nn.Module, sample: Sample, outputs: Outputs | None, *, memory: int = MEMORY, tell: Tell) -> Ntk:
    """Return the tangent kernel of a network on examples that are held; see ``ntk``."""
    if memory < 1:
        raise InputError(f"`memory` must be a positive number of bytes, got {memory}.")
    parameters = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    if not parameters:
        raise InputError(
            "`model` has no parameter that requires a gradient, so that its tangent kernel is 0; call "
            "requires_grad_() on those that count."
        )
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        device = device_of(model)
        groups = [_examples(model, group.to(device)) for group in sample.groups]
        count = max(group.count for group in groups)
        kind: Outputs = outputs or ("trace" if count <= TRACED else "signs")
        if kind == "trace" and any(group.count != count for group in groups):
            raise InputError(
                f"`outputs` = 'trace' needs as many outputs for each example, got {min(g.count for g in groups)} to "
                f"{count}; use 'signs'."
            )
        signs = None if kind == "trace" else _signs(count, sample.seed).to(device)
        matrix = _matrix(model, parameters, groups, signs, memory, tell)
    except (RuntimeError, NotImplementedError) as failure:
        words = (str(failure).splitlines() or [type(failure).__name__])[0]
        raise InputError(
            f"`model` cannot be differentiated example by example with torch.func: {words}; a tangent kernel needs a "
            "forward pass that torch.func.vmap and jacrev take."
        ) from failure
    finally:
        for module, training in modes.items():
            module.training = training
    if not bool(torch.isfinite(matrix).all()):
        raise DataError("a gradient of the network is not finite; the tangent kernel cannot be computed.")
    number = sum(value.numel() for value in parameters.values())
    return Ntk(matrix.cpu().numpy(), sample.index, kind, count, number)


# ---- gradients


@dataclass(frozen=True)
class _Examples:
    """Examples of one shape.

    Attributes:
        batch: they.
        plain: what the network predicts for them; which tokens count is in ``weight``.
        weight: of every token in the mean over those of its example, ``[n, tokens]``; 1 without tokens.
        count: outputs of an example.
    """

    batch: Batch
    plain: Prediction
    weight: Shaped[Tensor, "n ..."]
    count: int

    def take(self, start: int, stop: int) -> "_Examples":
        rows = torch.arange(start, stop)
        return _Examples(self.batch.take(rows), self.plain, self.weight[rows.to(self.weight.device)], self.count)


def _examples(model: nn.Module, batch: Batch) -> _Examples:
    with torch.no_grad():
        found = prediction(model(*batch.args, **batch.kwargs), batch)
    if isinstance(found, str):
        raise InputError(f"`model` has no outputs that a tangent kernel could be of: {found}.")
    weight = weights(found).to(found.scores.dtype)
    return _Examples(batch, replace(found, valid=None), weight, found.scores.shape[-1])


def _signs(count: int, seed: int) -> Float64[Tensor, " count"]:
    return torch.randint(2, (count,), generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


def _gradients(
    model: nn.Module, block: Mapping[str, Tensor], examples: _Examples, signs: Tensor | None, out: Shaped[Tensor, "n _"]
) -> None:
    """Write the derivatives of each example's outputs with respect to a block of parameters, one row an example."""
    batch, start = examples.batch, 0
    constant = {name: value.detach() for name, value in model.named_parameters() if name not in block}

    def values(parameters: Mapping[str, Tensor], inputs: Any, weight: Tensor) -> Tensor:
        args, kwargs = tree_map(lambda value, axis: value if axis is None else value[None], inputs, axes)
        output = functional_call(model, constant | dict(parameters), args, kwargs)
        scores = examples.plain.of(output).scores[0]
        vector = weight @ scores if examples.plain.task == "tokens" else scores
        return vector if signs is None else (signs[: len(vector)].to(vector.dtype) @ vector)[None]

    inputs = (batch.args, dict(batch.kwargs))
    axes = tree_map(lambda value: 0 if _by_example(value, batch.size) else None, inputs)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no rule for vmap
        found = vmap(jacrev(values, chunk_size=LANES), in_dims=(None, axes, 0))(dict(block), inputs, examples.weight)
    for name in block:
        rows = found[name].flatten(1)
        out[:, start : start + rows.shape[1]] = rows
        start += rows.shape[1]


def _by_example(value: Any, size: int) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == size


# ---- products


def _matrix(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    groups: Sequence[_Examples],
    signs: Tensor | None,
    memory: int,
    tell: Tell,
) -> Float64[Tensor, "n n"]:
    """Add the kernel up over blocks of parameters, and over pairs of parts of the examples where these are too many."""
    total = sum(group.batch.size for group in groups)
    each = 1 if signs is not None else groups[0].count  # rows of derivatives an example
    K = torch.zeros(total, total, dtype=torch.float64, device=groups[0].weight.device)
    blocks = list(_blocks(parameters, memory // (total * each)))
    for done, block in enumerate(blocks):
        tell("tangent kernel", done, len(blocks))
        width = each * sum(value.numel() for value in block.values())
        wide = each * sum(value.nbytes for value in block.values())
        size = total if total * wide <= memory else max(1, memory // (2 * wide))
        parts = [range(start, min(start + size, total)) for start in range(0, total, size)]
        held = torch.empty(size, width, dtype=next(iter(block.values())).dtype, device=K.device)
        other = held if len(parts) == 1 else torch.empty_like(held)
        for i, mine in enumerate(parts):
            ours = _rows(model, block, groups, mine, signs, held)
            K[mine.start : mine.stop, mine.start : mine.stop] += _product(ours, ours)
            for theirs in parts[i + 1 :]:
                product = _product(ours, _rows(model, block, groups, theirs, signs, other))
                K[mine.start : mine.stop, theirs.start : theirs.stop] += product
    tell("tangent kernel", len(blocks), len(blocks))
    return K.triu() + K.triu(1).T


def _blocks(parameters: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    """Give the parameters in blocks of one dtype and at most ``limit`` bytes; a larger one is a block by itself."""
    block: dict[str, Tensor] = {}
    for name, value in parameters.items():
        if block:
            full = sum(held.nbytes for held in block.values()) + value.nbytes > limit
            if full or any(held.dtype is not value.dtype for held in block.values()):
                yield block
                block = {}
        block[name] = value
    yield block


def _rows(
    model: nn.Module,
    block: Mapping[str, Tensor],
    groups: Sequence[_Examples],
    wanted: range,
    signs: Tensor | None,
    out: Shaped[Tensor, "most width"],
) -> Shaped[Tensor, "n width"]:
    """Return the derivatives of the wanted examples, written into ``out``."""
    begin = 0
    for group in groups:
        step = max(1, LANES // (1 if signs is not None else group.count))
        first, last = max(wanted.start, begin), min(wanted.stop, begin + group.batch.size)
        for start in range(first, last, step):
            stop = min(start + step, last)
            rows = out[start - wanted.start : stop - wanted.start]
            _gradients(model, block, group.take(start - begin, stop - begin), signs, rows)
        begin += group.batch.size
    return out[: len(wanted)]


def _product(a: Shaped[Tensor, "n width"], b: Shaped[Tensor, "m width"]) -> Float64[Tensor, "n m"]:
    found = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    for ours, theirs in zip(a.split(COLUMNS, 1), b.split(COLUMNS, 1), strict=True):
        found += ours @ theirs.T
    return found
