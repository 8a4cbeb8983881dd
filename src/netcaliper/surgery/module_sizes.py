"""Sizes that the modules of torch keep beside their weights: ``out_features``, ``num_features``, ``groups``, ..."""

from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from netcaliper.errors import CutRefused


def is_conv1d(module: nn.Module) -> bool:
    """Tell whether it is the ``Conv1D`` of transformers: a linear layer with weight ``[inputs, outputs]``."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def adds_bias(module: nn.Module) -> bool:
    """Tell whether a module has no bias and would add one if it had."""
    kinds = isinstance(module, nn.Linear | _ConvNd) or is_conv1d(module)
    return kinds and getattr(module, "bias", None) is None


def output_axis(module: nn.Module) -> int:
    """Return the axis of the weight of a linear layer or convolution that the bias lies along."""
    return 1 if is_conv1d(module) or isinstance(module, _ConvTransposeNd) else 0


def set_sizes(module: nn.Module) -> None:
    """Set the sizes that a module keeps to those of its weights; modules of other kinds stay as they are.

    Raises:
        CutRefused: what is left of a grouped convolution or of a GroupNorm does not make whole groups.
    """
    one: Any = module
    weight = getattr(module, "weight", None)
    shape = tuple(weight.shape) if isinstance(weight, Tensor) else None
    if isinstance(module, _NormBase):
        tensors = (weight, module.running_mean)
        module.num_features = next((len(t) for t in tensors if t is not None), module.num_features)
    elif isinstance(module, nn.RNNBase):
        module.input_size = int(cast(Tensor, module.weight_ih_l0).shape[1])
    elif shape is None:
        return
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, _ConvNd):
        _set_convolution(module, shape)
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        module.normalized_shape = shape
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = shape[0]
        _whole(module, shape[0], module.num_groups, "channels")
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        module.num_embeddings, module.embedding_dim = shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = shape[0]
    elif is_conv1d(module):
        one.nx, one.nf = shape


def _set_convolution(module: _ConvNd, shape: tuple[int, ...]) -> None:
    transposed = isinstance(module, _ConvTransposeNd)
    own, each = shape[:2]
    """Channels on the side that the weight lists whole, and those of one group on the other side."""
    before = module.in_channels if transposed else module.out_channels
    other = module.out_channels if transposed else module.in_channels
    if module.groups > 1 and other == module.groups:  # depthwise: the groups are the units
        module.groups = _whole(module, own, before // other, "channels")
    else:
        _whole(module, own, module.groups, "channels")
    sizes = (own, each * module.groups)
    module.in_channels, module.out_channels = sizes if transposed else sizes[::-1]


def _whole(module: nn.Module, number: int, parts: int, what: str) -> int:
    if number % parts:
        raise CutRefused(
            f"the {number} {what} left of a {type(module).__name__} do not make {parts} equal groups; take as many from"
            " every group"
        )
    return number // parts
