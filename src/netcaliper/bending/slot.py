"""One bent call: its alphas on the module that owns it, and what it computes."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from netcaliper.bending.bent import Bent, Phi
from netcaliper.bending.functions import activation_name, slope_below_zero, works_in_place
from netcaliper.bending.target import Affine, HalfTimesMean, Identity, Target
from netcaliper.errors import InputError

TargetKind = Literal["identity", "fit", "gate", "glu"]

PREFIX = "bend_"
"""Begins the names of what is registered on a module: ``bend_alpha``, ``bend_frozen``, ``bend_a``, ``bend_c``."""


class Slot:
    """Computes one activation call of a bent model.

    Attributes:
        site: name of the site in the graph.
        module: the module that owns the call, and on which the alphas are registered.
        suffix: tells the calls of one module apart: none, ``_2``, ``_3``, ...
        units: number of units.
        axis: axis of the value along which the units lie.
        rank: number of axes of the value.
        target: what a unit becomes: ``identity`` x, ``fit`` a x + c, ``gate`` c, ``glu`` c times the other half.
    """

    def __init__(
        self, site: str, module: nn.Module, *, units: int, axis: int, rank: int, target: TargetKind, alphas: int,
        whole_in_place: bool, device: torch.device,
    ) -> None:  # fmt: skip
        """Register ``alphas`` alphas at 0 (one a unit, or one in all) on the module."""
        self.site, self.module, self.units, self.axis, self.rank, self.target = site, module, units, axis, rank, target
        self._whole_in_place = whole_in_place
        taken = sum(name.startswith(f"{PREFIX}alpha") for name in module._parameters)
        self.suffix = f"_{taken + 1}" if taken else ""
        alpha = nn.Parameter(torch.zeros(alphas, dtype=torch.float32, device=device))
        module.register_parameter(self._name("alpha"), alpha)
        module.register_buffer(self._name("frozen"), torch.zeros(alphas, dtype=torch.bool, device=device))
        if target != "identity":
            for vector in ("a", "c"):
                module.register_buffer(self._name(vector), torch.zeros(units, dtype=torch.float32, device=device))
        self._seen: tuple[Tensor, int, Tensor, int, str] | None = None

    def _name(self, of: str) -> str:
        return f"{PREFIX}{of}{self.suffix}"

    def _get(self, of: str) -> Tensor:
        return getattr(self.module, self._name(of))

    @property
    def alpha(self) -> Tensor:
        """The alphas as they train; those that are frozen count as 1 whatever stands there."""
        return self._get("alpha")

    @property
    def frozen(self) -> Tensor:
        """Which alphas are frozen at 1."""
        return self._get("frozen")

    @property
    def effective(self) -> Tensor:
        """The values that the forward uses, without a history."""
        return self.alpha.detach().masked_fill(self.frozen, 1.0)

    @property
    def affine(self) -> tuple[Tensor, Tensor]:
        """The vectors a and c of the target."""
        if self.target == "identity":
            ones = torch.ones(self.units, dtype=torch.float32, device=self.alpha.device)
            return ones, torch.zeros_like(ones)
        return self._get("a"), self._get("c")

    def _target(self) -> Target:
        if self.target == "identity":
            return Identity()
        if self.target == "glu":
            return HalfTimesMean(self._get("c"), self.axis)
        return Affine(self._get("a"), self._get("c"))

    def __call__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the call returns, bent."""
        state = self._state()
        if state == "plain":
            return function(*args, **kwargs)
        x, phi, extra, in_place = self._understood(function, args, kwargs)
        self._check(x)
        target = self._target()
        if state == "straight":
            value = target.value(x, self._along)
            if in_place:
                return x.copy_(value) if value is not x else x
            return value.clone() if value is x else value
        return Bent.apply(x, self.alpha, self.frozen, self.axis, phi, target, in_place, *extra)

    def _along(self, vector: Tensor) -> Tensor:
        return vector.reshape([-1 if axis == self.axis else 1 for axis in range(self.rank)])

    def _understood(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Tensor, Phi, list[Tensor], bool]:
        """Return the input, the function of it, the tensors that it reads besides, and whether it works in place."""
        kwargs = dict(kwargs)
        x, rest = (args[0], args[1:]) if args else (kwargs.pop("input", kwargs.pop("self", None)), ())
        name = activation_name(function)
        in_place = self._whole_in_place if name is None else works_in_place(function, (x, *rest), kwargs)
        slope = None if name is None else slope_below_zero(name, (x, *rest), kwargs)
        places = [i for i, value in enumerate(rest) if isinstance(value, Tensor)]
        keys = [key for key, value in kwargs.items() if isinstance(value, Tensor)]
        extra = [*(rest[i] for i in places), *(kwargs[key] for key in keys)]

        def value(x: Tensor, *extra: Tensor) -> Tensor:
            by_place = dict(zip(places, extra, strict=False))
            by_key = dict(zip(keys, extra[len(places) :], strict=True))
            return function(x, *(by_place.get(i, old) for i, old in enumerate(rest)), **{**kwargs, **by_key})

        return x, Phi(value, in_place, slope), extra, in_place

    def _check(self, x: Tensor) -> None:
        size = self.units * (2 if self.target == "glu" else 1)
        if x.dim() != self.rank or x.shape[self.axis] != size:
            raise InputError(
                f"`{self.site}` must see {self.rank} axes with {size} units on axis {self.axis}, as when the model was "
                f"read, got shape {tuple(x.shape)}; feed batches of the form of the `example`"
            )

    def _state(self) -> str:
        """Return whether the call is ``plain`` phi, ``straight`` or ``bent``; looked up again when something changed.

        Alphas that train change with every step, and are always ``bent`` unless all are frozen.
        """
        alpha, frozen = self.alpha, self.frozen
        trains = alpha.requires_grad and torch.is_grad_enabled()
        version = -1 if trains else alpha._version
        seen = self._seen
        if seen and seen[0] is frozen and seen[1] == frozen._version and seen[2] is alpha and seen[3] == version:
            return seen[4]
        effective = self.effective
        if bool(frozen.all()) or (not trains and bool((effective == 1).all())):
            state = "straight"
        elif not trains and bool((effective == 0).all()):
            state = "plain"
        else:
            state = "bent"
        self._seen = (frozen, frozen._version, alpha, version, state)
        return state
