"""A penalty on layers whose outputs lie along one direction: the principal-component regularizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from zlib import crc32

import torch
from jaxtyping import Float
from torch import Tensor, nn

from netcaliper.errors import DataError, InputError

_NO_ACTIVATIONS = ("GLU", "LogSoftmax", "MultiheadAttention", "Softmax", "Softmax2d", "Softmin")

ACTIVATION_TYPES: tuple[type[nn.Module], ...] = tuple(
    getattr(nn, name) for name in nn.modules.activation.__all__ if name not in _NO_ACTIVATIONS
)
"""torch's elementwise nonlinearities, ``nn.ReLU``, ``nn.GELU`` and so on."""


def first_share(
    x: Float[Tensor, "batch features"], direction: Float[Tensor, " features"]
) -> tuple[Float[Tensor, ""], Float[Tensor, " features"]]:
    """Return the estimated share of variance in the first principal component, and the direction after a power step.

    With ``Xc`` the batch minus its mean and ``u`` the direction, the share is ``||Xc^T Xc u|| / ||Xc||_F^2`` and the
    next direction ``Xc^T Xc u / ||Xc^T Xc u||``. The share is at most that of the batch, ``lambda_1 / trace`` of
    ``Xc^T Xc``, and reaches it where ``u`` is its first eigenvector. It is differentiable in ``x``, ``u`` being a
    constant. Where ``x`` does not vary, the share is 0 and the direction stays.
    """
    centered = x - x.mean(0)
    step = centered.T @ (centered @ direction)  # [features]
    length = torch.linalg.vector_norm(step)
    total = centered.square().sum()
    with torch.no_grad():
        moved = torch.where(length > 0, step / torch.where(length > 0, length, 1), direction)
    return length / torch.where(total > 0, total, 1), moved


class PrincipalPenalty:
    """``strength * sum over layers of relu(share - threshold)``, with the ``first_share`` of every layer's outputs.

    The regularizer of the official code of Nguyen, Raghu and Kornblith (2022, "On the Origins of the Block Structure
    Phenomenon in Neural Network Representations"), which has ``strength`` 10 and ``threshold`` 0.1. Each layer keeps
    one direction, which every forward pass in train mode moves by one power step, without a gradient; in eval mode it
    is frozen. It differs in this: the direction has length 1 from the start (in that code it has not, and the first
    value is wrong).

    Layers are the modules of an elementwise nonlinearity (``ACTIVATION_TYPES``), every call by itself; in a residual
    network of the zoo that is every ReLU, also those after the sums. All axes but the first are features. A batch of n
    examples has a share of at least ``1 / (n - 1)``: small batches are penalized whatever they hold.

    Attributes:
        directions: by layer, ``module``, or ``module#2`` for its second call in a pass; each from its first run on.

    Args:
        model: the network; its modules are hooked only inside ``watching``.
        strength: factor of the penalty.
        threshold: share of variance that is free.
        seed: of the first directions, which also depend on the layer's name; torch's random state is not touched.

    Raises:
        InputError: the network has no such module.
    """

    def __init__(self, model: nn.Module, strength: float, threshold: float, seed: int) -> None:
        self._layers = {name: module for name, module in model.named_modules() if isinstance(module, ACTIVATION_TYPES)}
        if not self._layers:
            raise InputError(
                "`pc_penalty` sees the outputs of activation modules (nn.ReLU and the like), and `model` has none; "
                "build it with modules in place of functions, or set 0."
            )
        self._strength = strength
        self._threshold = threshold
        self._seed = seed
        self.directions: dict[str, Tensor] = {}

    @contextmanager
    def watching(self) -> Iterator[dict[str, Float[Tensor, ""]]]:
        """Give the shares by layer of one forward pass inside the block; modules in eval mode give none.

        Raises:
            DataError: the batch holds one example, or features of another number than before.
        """
        shares: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_hook(partial(self._see, shares, name)) for name, module in self._layers.items()
        ]
        try:
            yield shares
        finally:
            for hook in hooks:
                hook.remove()

    def of(self, shares: dict[str, Float[Tensor, ""]]) -> Float[Tensor, ""] | float:
        """Return the penalty on what one forward pass gave."""
        return self._strength * sum((share - self._threshold).relu() for share in shares.values())

    def _see(self, shares: dict[str, Tensor], name: str, module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if not module.training:
            return
        layer, call = name, 1
        while layer in shares:
            call += 1
            layer = f"{name}#{call}"
        if len(output) < 2:
            raise DataError(
                "a batch holds 1 example and `pc_penalty` needs at least 2; choose a batch size that leaves none alone,"
                " or drop the last batch."
            )
        with torch.autocast(output.device.type, enabled=False):  # bfloat16 is too coarse for differences of shares
            x = output.flatten(1).float()
            u = self.directions.get(layer)
            if u is None:
                u = _first_direction(x.shape[1], layer, self._seed)
            if len(u) != x.shape[1]:
                raise DataError(
                    f"an example has {x.shape[1]} values at {layer!r} and had {len(u)} before; `pc_penalty` needs "
                    "examples of one shape: pad them, or set 0."
                )
            shares[layer], self.directions[layer] = first_share(x, u.to(x.device))


def _first_direction(features: int, layer: str, seed: int) -> Float[Tensor, " features"]:
    drawn = torch.randn(features, generator=torch.Generator().manual_seed(crc32(f"{seed}/{layer}".encode())))
    return drawn / torch.linalg.vector_norm(drawn)
