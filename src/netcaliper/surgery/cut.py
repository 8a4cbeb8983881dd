"""The smaller module: a copy of the user's own, out of which the entries of removed units are sliced."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NoReturn, cast

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from netcaliper.errors import CutRefused, InputError
from netcaliper.surgery.answers import answer, difference, in_float64
from netcaliper.surgery.attributes import following
from netcaliper.surgery.cuts import (
    Cuts,
    TensorCut,
    Value,
    add_bias,
    apply_cuts,
    ranges,
    shown_numbers,
    tensor_at,
    tensors_by_name,
)
from netcaliper.surgery.dropped_blocks import replacements
from netcaliper.surgery.masking import Removed, checked, entries, masked
from netcaliper.surgery.module_sizes import output_axis
from netcaliper.surgery.norms import NormOverKept, rescale
from netcaliper.surgery.stand_ins import Replacement, put_in
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.program import tensors_of
from netcaliper.trace.replay import TOLERANCE
from netcaliper.trace.residual import residual_blocks
from netcaliper.trace.structure import Dimension, Structure
from netcaliper.trace.wrappers import unwrapped

EXACT = 1e-9
"""Largest difference in float64, relative to the largest output."""
PARTLY_SINGLE = 1e-5
"""The same where the model's own code computes parts in float32 whatever its weights are."""
FRAGILE, LARGEST = 4, 1e-2
"""In the model's own dtype: how many times the rounding of the masked network, and at most how much."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class CutNetwork:
    """A smaller network.

    Attributes:
        module: of the class of the one that was cut, with weights of its own.
        cuts: what was done, to do it again with ``apply_cuts``.
        differences: from the masked network on the traced example, relative to the largest output, in ``float64`` and
            in the model's own dtype (``own``); empty if it was not compared.
    """

    module: nn.Module
    cuts: Cuts
    differences: Mapping[str, float] = field(default_factory=dict)


def cut(
    model: nn.Module,
    structure: Structure,
    removed: Removed,
    state: Mapping[str, Tensor] | None = None,
    dropped: Mapping[str, Replacement] = NOTHING,
) -> CutNetwork:
    """Copy a module and slice removed units out of the copy.

    The sizes that torch's own modules keep (``out_features``, ``groups``, ...) follow; those in attributes of the
    user's modules do so in ``cut_checked``. An RMSNorm over n units of which k stay divides by a root mean square over
    n in the masked network and over k in the small one; with its weight times ``sqrt(n / k)`` and its eps times
    ``n / k`` both give the same.

    Args:
        model: the module; it is only read.
        structure: of its graph.
        removed: units by dimension.
        state: weights by state-dict name, at full size; the module's own where not given. ``<module>.bias`` may be
            given for a linear layer or convolution without one, which then gets one.
        dropped: what stands in the place of which module, from ``replacements``.

    Raises:
        InputError: the removed units or the state do not fit the structure or the module.
        CutRefused: the module cannot be copied, a tensor cannot be cut, or a normalization cannot follow.
    """
    dimensions = checked(structure, removed)
    module = copied(model)
    biases = load(module, state or {})
    kept = _kept(module, dimensions, removed)
    tensors = {name: _tensor_cut(module, name, axes, dimensions) for name, axes in kept.items()}
    for name in biases:
        weight = f"{name.removesuffix('bias')}weight"
        axis = output_axis(module.get_submodule(name.removesuffix(".bias")))
        if axis in kept.get(weight, {}):
            stays = kept[weight][axis]
            tensors[name] = TensorCut((len(stays),), {0: ranges(stays)})
    attributes: dict[str, dict[str, Value]] = {}
    for dimension in dimensions:
        for norm in dimension.norms:
            if norm.kind == "rms_norm" and norm.module not in attributes:
                name, stays = _norm_units(norm.module, dimension, kept, removed)
                problem, eps = rescale(module, norm.module, name, stays)
                if problem:
                    raise CutRefused(
                        f"`{dimension.name}`: the RMSNorm `{norm.name}` cannot follow: {problem}; the units stay",
                        (dimension.name,),
                    )
                attributes[norm.module] = dict(eps)
            elif norm.kind == "layer_norm" and norm.module:
                owner = module.get_submodule(norm.module)
                if isinstance(owner, nn.LayerNorm) and not owner.elementwise_affine:
                    stays = _norm_units(norm.module, dimension, kept, removed)[1]
                    if owner.normalized_shape == (len(stays),):
                        attributes[norm.module] = {"normalized_shape": (int(stays.sum()),)}
    cuts = Cuts(tensors, attributes, dict(dropped), tuple(biases))
    without_biases = replace(cuts, biases=())  # they are there, with the numbers of the state
    apply_cuts(module, without_biases)
    return CutNetwork(module, cuts)


def cut_checked(
    graph: Graph,
    removed: Removed,
    state: Mapping[str, Tensor] | None = None,
    dropped: Sequence[str] = (),
) -> CutNetwork:
    """Cut a traced network, let the attributes of its modules follow, and compare it with the masked network.

    The comparison is made on the traced example: in float64 (copies of both modules), where the largest difference is
    1e-9 of the largest output (1e-5 if the model's code itself computes in float32), and in the model's own dtype with
    the graph. There a network whose large weights cancel (a fit may make them) is as far from itself in float64 as the
    order of its sums makes it, and so may be the cut one: by four times that, at most by a hundredth. Where a
    normalization other than RMSNorm takes statistics over units of which some go, the network to compare with is the
    masked one in which these normalizations run over the units that stay.

    Args:
        graph: the traced network.
        removed: units by dimension.
        state: weights by state-dict name, at full size; the graph's own where not given. Entries of removed units
            need not be zero.
        dropped: names of residual blocks to leave out.

    Raises:
        InputError: the removed units, blocks or state do not fit the network.
        CutRefused: the module cannot be cut, or the cut one fails or answers differently whatever attributes follow.
            ``dimensions`` of the error are those to leave as they are.
    """
    structure, batch = graph.structure, graph.example
    own = {name: value for name, value in graph.program.tensors.items() if tensor_at(graph.model, name) is not None}
    # constants of the model's code are in the graph but in no module
    given = {name: value for name, value in (state or {}).items() if name in own or name not in graph.program.tensors}
    full = {**own, **given}
    replaced = replacements(graph, dropped)
    zeroed = masked(full, structure, removed)
    found = cut(graph.model, structure, removed, full, replaced)
    dimensions = checked(structure, removed)
    reference = _reference(graph.model, zeroed, replaced, dimensions, removed, found)
    try:
        wide_reference, expected, bound = _in_float64(reference, batch)
    except Exception as failure:  # of a normalization that reads more than these units, or along an unknown axis
        words = (str(failure).splitlines() or [""])[0]
        said = f"what it has to compute cannot be told ({type(failure).__name__}: {words})"
        _refuse(graph, removed, state, dropped, reference, batch, said)

    def problem(module: nn.Module) -> str | None:
        data = in_float64(batch) if wide_reference else batch
        try:
            found = difference(expected, answer(module, data))
        except Exception as failure:
            words = (str(failure).splitlines() or [""])[0]
            return f"{type(failure).__name__}: {words}"
        return None if found <= bound else f"the answer differs by {found:.3g} of the largest output"

    wide = cut(copied(graph.model).double(), structure, removed, full, replaced) if wide_reference else found
    trial = wide.module if wide_reference else copied(found.module)
    attributes, words = following(trial, dimensions, removed, problem)
    if words is not None:
        _refuse(graph, removed, state, dropped, trial, batch if not wide_reference else in_float64(batch), words)
    cuts = found.cuts
    if attributes:
        together = {path: {**cuts.attributes.get(path, {}), **values} for path, values in attributes.items()}
        cuts = replace(cuts, attributes={**cuts.attributes, **together})
        apply_cuts(found.module, Cuts(attributes=attributes))
    differences = {"float64": difference(expected, answer(trial, in_float64(batch)))} if wide_reference else {}
    mixes = any(norm.kind != "rms_norm" for dimension in dimensions for norm in dimension.norms)
    if mixes or cuts.biases:
        answers = answer(reference, batch)
    else:
        branches = {block.name: block.branch for block in residual_blocks(graph).blocks} if dropped else {}
        zeros = {NODE + branches[name]: torch.zeros_like for name in dropped}
        answers = graph.with_state(zeroed).run(batch, overrides=zeros).output
    differences["own"] = difference(answers, answer(found.module, batch))
    rounding = difference(expected, answers) if wide_reference else 0.0
    fragile = min(FRAGILE * rounding, LARGEST)
    allowed = max((TOLERANCE.get(t.dtype, 0.0) for t in tensors_of(answers)), default=0.0)
    if differences["own"] > max(allowed, fragile):
        words = f"in {graph.dtype} the answer differs by {differences['own']:.3g} of the largest output"
        _refuse(graph, removed, state, dropped, found.module, batch, words)
    return CutNetwork(found.module, cuts, differences)


# ---- the copy


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy of a module, without what wraps it for several devices.

    Raises:
        CutRefused: it holds something that cannot be copied.
    """
    model = unwrapped(model)
    try:
        module = copy.deepcopy(model)
    except Exception as failure:
        name = next((path for path, part in model.named_modules() if _holds_back(part)), "")
        where = f"`{name}` ({type(model.get_submodule(name)).__name__})" if name else type(model).__name__
        raise CutRefused(
            f"{where} cannot be copied ({type(failure).__name__}: {failure}); it stays as it is"
        ) from failure
    own = tensors_by_name(module)
    first: dict[Any, str] = {}
    for name, tensor in tensors_by_name(model).items():  # a deep copy parts Parameters that are over one storage
        shown = first.setdefault(shown_numbers(tensor), name)
        if own[name] is not own[shown]:
            own[name].data = own[shown].data
    return module


def _holds_back(part: nn.Module) -> bool:
    """Tell whether a module has an attribute, other than its children, that cannot be copied."""
    try:
        copy.deepcopy({key: value for key, value in vars(part).items() if key != "_modules"})
    except Exception:
        return True
    return False


def load(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Copy the tensors of a state into a module; return the names of the biases that it got for it.

    Raises:
        InputError: a tensor of the state has no place in the module.
    """
    biases: list[str] = []
    for name, value in state.items():
        tensor = tensor_at(module, name)
        if tensor is None:
            add_bias(module, name)
            biases.append(name)
            tensor = cast(Tensor, tensor_at(module, name))
        if tensor.shape != value.shape:
            raise InputError(
                f"`{name}` of `state` must have shape {tuple(tensor.shape)} as in the model, got {tuple(value.shape)}; "
                "pass weights of full size"
            )
        with torch.no_grad():
            tensor.copy_(value)
    return biases


# ---- what stays


def _kept(
    module: nn.Module, dimensions: Sequence[Dimension], removed: Removed
) -> dict[str, dict[int, Bool[np.ndarray, " size"]]]:
    """Return for every tensor and axis that is cut whether an index stays, over all dimensions."""
    kept: dict[str, dict[int, np.ndarray]] = {}
    for dimension in dimensions:
        for holder in dimension.holders:
            stays = ~entries(holder.unit, removed[dimension.name])
            for name in holder.names:
                if tensor_at(module, name) is None:
                    raise CutRefused(
                        f"`{dimension.name}` lies on `{name}`, a constant that the model's code makes; the units stay",
                        (dimension.name,),
                    )
                axes = kept.setdefault(name, {})
                axes[holder.axis] = axes[holder.axis] & stays if holder.axis in axes else stays
    return {name: axes for name, axes in kept.items() if any(not stays.all() for stays in axes.values())}


def _tensor_cut(
    module: nn.Module, name: str, axes: Mapping[int, np.ndarray], dimensions: Sequence[Dimension]
) -> TensorCut:
    shape = tuple(cast(Tensor, tensor_at(module, name)).shape)
    for axis, stays in axes.items():
        holding = tuple(d.name for d in dimensions if any(name in h.names and h.axis == axis for h in d.holders))
        if len(stays) != shape[axis] or not stays.any():
            left = "nothing would be left" if not stays.any() else f"{shape[axis]} entries lie, not {len(stays)},"
            words = ", ".join(f"`{dimension}`" for dimension in holding)
            raise CutRefused(f"{words}: {left} along axis {axis} of `{name}`; the units stay", holding)
    return TensorCut(shape, {axis: ranges(stays) for axis, stays in sorted(axes.items()) if not stays.all()})


def _norm_units(
    path: str, dimension: Dimension, kept: Mapping[str, Mapping[int, np.ndarray]], removed: Removed
) -> tuple[str, Bool[np.ndarray, " size"]]:
    """Return the weight of a normalization, empty if none is known, and which of the units that it runs over stay."""
    lines = [name for holder in dimension.holders for name in holder.names if name.rpartition(".")[0] == path]
    name = next((name for name in lines if name.endswith("weight")), next(iter(lines), ""))
    return name, kept.get(name, {}).get(0, ~removed[dimension.name])


# ---- what to compare with


def _reference(
    model: nn.Module,
    state: Mapping[str, Tensor],
    replaced: Mapping[str, Replacement],
    dimensions: Sequence[Dimension],
    removed: Removed,
    found: CutNetwork,
) -> nn.Module:
    """Return the masked module of full size; normalizations that mix units run over those that stay."""
    module = copied(model)
    load(module, state)
    kept = _kept(module, dimensions, removed)
    put_in(module, replaced)
    for dimension in dimensions:
        for norm in dimension.norms:
            if norm.kind == "rms_norm" or any(f"{norm.module}.".startswith(f"{path}.") for path in replaced):
                continue
            if not norm.module or isinstance(module.get_submodule(norm.module), NormOverKept):
                continue
            stays = _norm_units(norm.module, dimension, kept, removed)[1]
            small = found.module.get_submodule(norm.module)
            module.set_submodule(norm.module, NormOverKept(small, stays))
    return module


class _Singles(TorchDispatchMode):
    """Notes whether anything is computed in less than float64."""

    found = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tensors_of(out):
            self.found |= tensor.is_floating_point() and tensor.dtype != torch.float64 and tensor.dim() > 0
        return out


def _in_float64(reference: nn.Module, batch: Any) -> tuple[bool, Any, float]:
    """Return whether the reference runs in float64, its answer in that (or its own) dtype, and the bound for others."""
    try:
        with _Singles() as singles:
            expected = answer(copy.deepcopy(reference).double(), in_float64(batch))
    except Exception:  # its code names a dtype: then its own one has to do
        expected = answer(reference, batch)
        return False, expected, max((TOLERANCE.get(t.dtype, 0.0) for t in tensors_of(expected)), default=0.0)
    return True, expected, PARTLY_SINGLE if singles.found else EXACT


# ---- refusals


def _refuse(
    graph: Graph, removed: Removed, state: Any, dropped: Sequence[str], module: nn.Module, batch: Any, words: str
) -> NoReturn:
    """Find out which dimension it is, and say where and why.

    Raises:
        CutRefused: always.
    """
    names = [name for name, gone in removed.items() if gone.any()]
    if len(names) > 1 or dropped:
        guilty = []
        for name in names:
            try:
                cut_checked(graph, {name: removed[name]}, state)
            except CutRefused as failure:
                guilty.append((name, str(failure)))
        if guilty:
            raise CutRefused("; ".join(said for _, said in guilty), tuple(name for name, _ in guilty))
    where = _where(module, batch)
    path = f" in `{where}` ({type(module.get_submodule(where)).__name__})" if where is not None else ""
    raise CutRefused(
        f"{', '.join(f'`{name}`' for name in names)}: cut to fewer units, the module does not compute what the masked "
        f"network does{path}: {words}; no attribute that could hold a size makes it right. The units stay",
        tuple(names),
    )


def _where(module: nn.Module, batch: Any) -> str | None:
    """Return the path of the module whose forward fails, ``None`` if none does."""
    inside: list[str] = []
    hooks = []
    for path, part in module.named_modules():
        hooks.append(part.register_forward_pre_hook(lambda _, __, path=path: inside.append(path)))
        hooks.append(part.register_forward_hook(lambda _, __, ___: inside.pop() and None))
    try:
        answer(module, batch)
    except Exception:
        return inside[-1] if inside else None
    finally:
        for hook in hooks:
            hook.remove()
    return None
