"""What is cut out of a module, as plain data, and the cutting itself: the same for the first time and when loading."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from netcaliper.errors import CorruptReading, InputError
from netcaliper.surgery.module_sizes import adds_bias, output_axis, set_sizes
from netcaliper.surgery.stand_ins import STAND_INS, Replacement, put_in

Range = tuple[int, int]
Number = int | float
Value = Number | tuple[Number, ...]
CONFIG = "config."
"""Before the name of an attribute of a module's ``config``, which the module then gets a copy of for itself."""


@dataclass(frozen=True)
class TensorCut:
    """What stays of a tensor.

    Attributes:
        shape: before the cut.
        axes: for every axis that is cut the indices that stay, as ascending ranges ``[first, last + 1)``.
    """

    shape: tuple[int, ...]
    axes: Mapping[int, tuple[Range, ...]]


@dataclass(frozen=True)
class Cuts:
    """All that is done to a module's structure; the numbers in its weights are kept elsewhere.

    Attributes:
        tensors: what stays, by name in the state dict (also of buffers that a state dict does not hold).
        attributes: new values by module path and attribute, ``config.name`` for one of the module's ``config``.
        replaced: by module path what stands there instead, see ``netcaliper.surgery.dropped_blocks``.
        biases: names of biases that the module did not have.
    """

    tensors: Mapping[str, TensorCut] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    replaced: Mapping[str, Replacement] = field(default_factory=dict)
    biases: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "tensors": {
                name: {
                    "shape": list(one.shape),
                    "axes": {str(axis): [list(each) for each in ranges] for axis, ranges in one.axes.items()},
                }
                for name, one in self.tensors.items()
            },
            "attributes": {
                path: {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
                for path, values in self.attributes.items()
            },
            "replaced": dict(self.replaced),
            "biases": list(self.biases),
        }

    @staticmethod
    def from_json(record: Any) -> "Cuts":
        """Read what ``to_json`` wrote.

        Raises:
            CorruptReading: it is something else; the message names the first entry that does not belong.
        """
        parts = {"tensors": dict, "attributes": dict, "replaced": dict, "biases": list}
        for key, kind in parts.items():
            if not isinstance(record, dict) or not isinstance(record.get(key), kind):
                raise CorruptReading(f"`surgery` must hold a {kind.__name__} `{key}`; the plan is damaged")
        for path, kind in record["replaced"].items():
            if kind not in STAND_INS:
                raise CorruptReading(f"`surgery` replaces `{path}` by {kind!r}, which is none of {sorted(STAND_INS)}")
        attributes = {path: _values(path, values) for path, values in record["attributes"].items()}
        biases = tuple(str(name) for name in record["biases"])
        tensors = {name: _tensor_cut(name, one) for name, one in record["tensors"].items()}
        return Cuts(tensors, attributes, record["replaced"], biases)


def ranges(kept: Bool[np.ndarray, " size"]) -> tuple[Range, ...]:
    """Return the indices at which ``kept`` is true as ascending ranges ``[first, last + 1)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return tuple((int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True))


def indices(of: Sequence[Range]) -> Int64[Tensor, " kept"]:
    """Return the indices of ranges."""
    return torch.cat([torch.arange(first, end) for first, end in of]) if of else torch.arange(0)


def tensors_by_name(module: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers by all of their names, tied ones too."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def tensor_at(module: nn.Module, name: str) -> Tensor | None:
    """Return the parameter, buffer or tensor attribute of a name, ``None`` if there is none."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, Tensor) else None


def shown_numbers(tensor: Tensor) -> Any:
    """Return what two tensors have in common that show the same numbers in the same order."""
    if tensor.numel() == 0 or tensor.device.type == "meta":
        return id(tensor)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def add_bias(module: nn.Module, name: str) -> None:
    """Give a linear layer or convolution the bias that it does not have, of zeros.

    Raises:
        InputError: there is no such module, it is of another kind, or it has a bias.
    """
    path = name.removesuffix(".bias")
    try:
        owner = module.get_submodule(path)
    except AttributeError:
        owner = None
    if owner is None or path == name or not adds_bias(owner):
        what = f"{type(owner).__name__}" if owner is not None else "nothing"
        raise InputError(
            f"`{name}` must be a weight of the model, or the bias of a linear layer or convolution that has none; "
            f"`{path}` is {what} in {type(module).__name__}; pass the state of the same architecture"
        )
    weight = cast(Tensor, owner.weight)
    rows = weight.shape[output_axis(owner)]
    owner.register_parameter("bias", nn.Parameter(weight.new_zeros(rows), requires_grad=weight.requires_grad))


def apply_cuts(module: nn.Module, cuts: Cuts) -> None:
    """Make a module smaller, in place: add biases, slice tensors, set sizes and attributes, replace modules.

    A tensor that has several names, or whose storage other tensors show too, is sliced once, and all of them show the
    result. Parameters stay the same objects.

    Raises:
        InputError: the module is not of the architecture that was cut; the message names the first tensor (or module)
            that does not fit, with both shapes.
    """
    for name in cuts.biases:
        add_bias(module, name)
    _check_fits(module, cuts)
    owners: dict[str, nn.Module] = {}
    sharing: dict[Any, list[Tensor]] = {}
    for tensor in tensors_by_name(module).values():
        sharing.setdefault(shown_numbers(tensor), []).append(tensor)
    sliced: set[int] = set()
    for name, one in cuts.tensors.items():
        path = name.rpartition(".")[0]
        owners[path] = module.get_submodule(path)
        tensor = tensor_at(module, name)
        assert tensor is not None
        if id(tensor) not in sliced:
            group = sharing.get(shown_numbers(tensor), [tensor])
            new = _sliced(tensor.detach(), one)
            for each in group:
                each.data = new
                each.grad = None
            sliced.update(map(id, group))
    for owner in owners.values():
        set_sizes(owner)
    for path, name, value in _all(cuts.attributes):
        set_attribute(module.get_submodule(path), name, value)
    put_in(module, cuts.replaced)


def set_attribute(owner: nn.Module, name: str, value: Value) -> None:
    """Set an attribute of a module, or of a copy of its ``config`` that is for it alone."""
    if name.startswith(CONFIG):
        config: Any = copy.copy(owner.config)
        setattr(config, name.removeprefix(CONFIG), value)
        owner.config = config
    else:
        old = getattr(owner, name)
        setattr(owner, name, list(cast(tuple[Number, ...], value)) if isinstance(old, list) else value)


def _all(attributes: Mapping[str, Mapping[str, Value]]) -> Iterator[tuple[str, str, Value]]:
    return ((path, name, value) for path, values in attributes.items() for name, value in values.items())


def _check_fits(module: nn.Module, cuts: Cuts) -> None:
    """Look at everything before anything is changed."""
    other = f"is not the architecture that was cut ({type(module).__name__}); build the same one"
    for name, one in cuts.tensors.items():
        tensor = tensor_at(module, name)
        if tensor is None or tuple(tensor.shape) != one.shape:
            has = "nothing of that name" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise InputError(f"`{name}` must have shape {one.shape}, the model has {has}: it {other}")
    paths = dict(module.named_modules(remove_duplicate=False))
    for path, name, _ in _all(cuts.attributes):
        within, _, last = name.rpartition(".")
        owner = paths.get(path)
        if not hasattr(getattr(owner, within, None) if within else owner, last):
            raise InputError(f"`{path}` must have an attribute `{name}`, the model has none there: it {other}")
    missing = next((path for path in cuts.replaced if path not in paths), None)
    if missing is not None:
        raise InputError(f"`{missing}` must be a module, the model has none there: it {other}")


def _sliced(tensor: Tensor, one: TensorCut) -> Tensor:
    new = tensor
    for axis, of in one.axes.items():
        new = new.index_select(axis, indices(of).to(tensor.device))
    for layout in (torch.channels_last, torch.channels_last_3d):
        rank = 4 if layout is torch.channels_last else 5
        if tensor.dim() == rank and tensor.is_contiguous(memory_format=layout) and not tensor.is_contiguous():
            return new.contiguous(memory_format=layout)
    return new.contiguous()


def _values(path: str, values: Any) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in values.items() if isinstance(values, dict) else ():
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
            raise CorruptReading(f"`surgery` must give attribute `{name}` of `{path}` a number, got {value!r}")
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _tensor_cut(name: str, record: Any) -> TensorCut:
    try:
        shape = tuple(int(size) for size in record["shape"])
        axes = {
            int(axis): tuple((int(first), int(end)) for first, end in each) for axis, each in record["axes"].items()
        }
        for axis, each in axes.items():
            flat = [edge for one in each for edge in one]
            size = shape[axis]
            if axis < 0 or not flat or flat != sorted(flat) or not 0 <= flat[0] <= flat[-1] <= size:
                raise ValueError(f"axis {axis} of {size} cannot keep {each}")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CorruptReading(f"`surgery` does not say what stays of `{name}` ({error}); the plan is damaged") from error
    return TensorCut(shape, axes)
