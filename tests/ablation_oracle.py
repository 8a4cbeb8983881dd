"""Ablations the slow way: hooks on modules, every order and level run from scratch, whole batches in float64."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor, nn

Change = Callable[[Tensor, int, int], Tensor]
"""From a module's output, the number of the order and the level to what stands in for it."""


def changed_outputs(model: nn.Module, changes: Mapping[str, Change], x: Tensor, orders: int, steps: int) -> np.ndarray:
    """Return ``[orders, steps + 1, examples, outputs]``: the model's outputs with some modules' outputs changed."""
    found = []
    for p in range(orders):
        for k in range(steps + 1):
            hooks = [
                model.get_submodule(name).register_forward_hook(
                    lambda module, args, value, change=change, p=p, k=k: change(value, p, k)
                )
                for name, change in changes.items()
            ]
            with torch.no_grad():
                found.append(model(x).double().numpy())
            for hook in hooks:
                hook.remove()
    return np.stack(found).reshape(orders, steps + 1, *found[0].shape)


def without(orders: Sequence[np.ndarray], steps: int, fill: np.ndarray | None = None) -> Change:
    """Return the change that puts 0 (or ``fill``) in place of the first ``floor(k n / steps)`` units of an order."""

    def change(value: Tensor, p: int, k: int) -> Tensor:
        value = value.clone()
        units = value.shape[1]
        for unit in orders[p][: int(np.floor(k * units / steps + 1e-9))]:
            value[:, int(unit)] = 0.0 if fill is None else float(fill[unit])
        return value

    return change


def agreement(outputs: np.ndarray) -> np.ndarray:
    """Return the share of examples whose largest output is that of the untouched network (level 0)."""
    return (outputs.argmax(-1) == outputs[:1, :1].argmax(-1)).mean(-1)


def divergence(outputs: np.ndarray) -> np.ndarray:
    """Return the mean divergence of the untouched network's classes from the changed ones', in nats."""
    before, after = softmax(outputs[:1, :1], -1), softmax(outputs, -1)
    return rel_entr(np.broadcast_to(before, after.shape), after).sum(-1).mean(-1)


def fit(outputs: np.ndarray) -> np.ndarray:
    """Return 1 - relative error of a regression."""
    plain = outputs[0, 0]
    error = ((outputs - plain) ** 2).sum((-1, -2))
    return 1 - error / ((plain - plain.mean(0)) ** 2).sum()


def share(curves: np.ndarray, threshold: float) -> tuple[list[float], int]:
    """Return the share of every order by the published rule (no crossing gives 1), and how many never crossed."""
    shares, never = [], 0
    for curve in curves:
        steps = len(curve) - 1
        for k in range(steps):
            if curve[k] >= threshold > curve[k + 1]:
                shares.append(k / steps + (threshold - curve[k]) / steps / (curve[k + 1] - curve[k]))
                break
        else:
            shares.append(1.0)
            never += 1
    return shares, never
