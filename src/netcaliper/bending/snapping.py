"""After a step: alphas close to 1 become exactly 1 and stay there, whatever the optimizer remembers of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netcaliper.bending.penalty import half_threshold
from netcaliper.bending.slot import Slot
from netcaliper.errors import InputError

BAND = 0.01
"""An alpha this close to 1 is snapped to it; one that hopped over 1 as well."""


def snap(slots: Sequence[Slot], optimizer: Any, *, omega: float | None) -> int:
    """Freeze what has come close to 1, and hold what is frozen.

    Args:
        slots: the bent calls.
        optimizer: what trains the alphas, ``None`` if its state is not to be cleared.
        omega: weight of the penalty if it is applied here, as a proximal step; ``None`` if it is part of the loss.

    Returns:
        How many alphas are newly frozen.

    Raises:
        InputError: the optimizer decays alphas, or does not hold them.
    """
    groups = {} if optimizer is None else _groups(slots, optimizer)
    counts: list[Tensor] = []
    with torch.no_grad():
        for slot in slots:
            alpha, frozen = slot.alpha, slot.frozen
            if not alpha.requires_grad:
                continue
            if omega is not None:
                lam = 2.0 * float(groups[id(alpha)]["lr"]) * omega
                alpha.copy_(torch.where(frozen, alpha, 1.0 - half_threshold(1.0 - alpha, lam)))
            close = (alpha > 1.0 - BAND) & ~frozen
            counts.append(close.sum())
            frozen |= close
            alpha.masked_fill_(frozen, 1.0)
            if optimizer is not None:
                _clear(optimizer.state.get(alpha, {}), frozen)
    return int(torch.stack(counts).sum()) if counts else 0


def _clear(state: dict[str, Any], frozen: Tensor) -> None:
    """Zero what an optimizer remembers of the frozen entries: momentum would move them again."""
    for value in state.values():
        if isinstance(value, Tensor) and value.shape == frozen.shape:
            value.masked_fill_(frozen, 0)


def _groups(slots: Sequence[Slot], optimizer: Any) -> dict[int, dict[str, Any]]:
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for slot in slots:
        if not slot.alpha.requires_grad:
            continue
        if id(slot.alpha) not in groups:
            raise InputError(
                f"`optimizer` must hold the alphas, got one without those of `{slot.site}`; make it from "
                "`bend.parameter_groups()`"
            )
        decay = groups[id(slot.alpha)].get("weight_decay", 0.0)
        if decay != 0.0:
            raise InputError(
                f"the alphas of `{slot.site}` must have weight_decay 0 in `optimizer`, got {decay:g}, which pulls "
                "units back to nonlinear; make it from `bend.parameter_groups(weight_decay)`"
            )
    return groups
