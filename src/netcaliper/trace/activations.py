"""The scalar functions that make a site, and where each of them is exactly linear.

A function of the table is recognized by the name of its operation; anything else that is nonlinear and elementwise
(``pow``, ``exp``, a GELU written out) is found by ``sites.py`` as a smooth function without an exactly linear interval.
"""

from collections.abc import Callable
from math import inf

from torch.fx import Node

from netcaliper.trace.site import Activation

RELU = Activation("relu", zone=(0.0, inf), flat=((-inf, 0.0),), pieces=(0.0,))


def _clamped(name: str, low: float, high: float) -> Activation:
    """Return the identity on (low, high), constant outside."""
    flat = tuple(side for side in ((-inf, low), (high, inf)) if side[0] != side[1])
    pieces = tuple(edge for edge in (low, high) if abs(edge) != inf)
    return Activation(name, zone=(low, high), flat=flat, pieces=pieces)


def _argument(node: Node, index: int, default: float | None) -> float:
    value = node.args[index] if len(node.args) > index else default
    return default if value is None else float(value)  # type: ignore[arg-type,return-value]


def _clamp(node: Node) -> Activation:
    if any(isinstance(bound, Node) for bound in node.args[1:]):
        return Activation("clamp")  # bounds that are tensors may differ from unit to unit
    return _clamped("clamp", _argument(node, 1, -inf), _argument(node, 2, inf))


def _hardtanh(node: Node) -> Activation:
    low, high = _argument(node, 1, -1.0), _argument(node, 2, 1.0)
    return _clamped("relu6" if (low, high) == (0.0, 6.0) else "hardtanh", low, high)


def _always(activation: Activation) -> Callable[[Node], Activation]:
    return lambda _: activation


def _kinked(name: str) -> Callable[[Node], Activation]:
    """Return the identity above zero and another line or curve below, which is not constant."""
    return _always(Activation(name, zone=(0.0, inf), pieces=(0.0,)))


def _smooth(name: str) -> Callable[[Node], Activation]:
    return _always(Activation(name))


ACTIVATIONS: dict[str, Callable[[Node], Activation]] = {
    "aten.relu": _always(RELU),
    "aten.relu6": _always(_clamped("relu6", 0.0, 6.0)),
    "aten.hardtanh": _hardtanh,
    "aten.clamp": _clamp,
    "aten.clamp_min": lambda node: _clamped("clamp_min", _argument(node, 1, -inf), inf),
    "aten.clamp_max": lambda node: _clamped("clamp_max", -inf, _argument(node, 1, inf)),
    "aten.leaky_relu": _kinked("leaky_relu"),
    "aten.prelu": _kinked("prelu"),
    "aten.rrelu": _kinked("rrelu"),
    "aten.rrelu_with_noise_functional": _kinked("rrelu"),
    "aten.abs": _kinked("abs"),
    # identity above zero, curved below: exactly linear there, but not piecewise linear
    "aten.elu": _always(Activation("elu", zone=(0.0, inf))),
    "aten.celu": _always(Activation("celu", zone=(0.0, inf))),
    "aten.selu": _smooth("selu"),
    "aten.hardswish": _always(Activation("hardswish", zone=(3.0, inf), flat=((-inf, -3.0),))),
    # slope 1/6 inside, so the identity up to scale nowhere; constant outside
    "aten.hardsigmoid": _always(Activation("hardsigmoid", flat=((-inf, -3.0), (3.0, inf)), pieces=(-3.0, 3.0))),
    "aten.gelu": _smooth("gelu"),
    "aten.silu": _smooth("silu"),
    "aten.mish": _smooth("mish"),
    "aten.sigmoid": _smooth("sigmoid"),
    "aten.log_sigmoid": _smooth("log_sigmoid"),
    "aten.tanh": _smooth("tanh"),
    "aten.softplus": _smooth("softplus"),
    "aten.threshold": _smooth("threshold"),
    "aten.hardshrink": _smooth("hardshrink"),
    "aten.softshrink": _smooth("softshrink"),
}

NONLINEAR = frozenset(
    f"aten.{name}"
    for name in (
        "pow", "exp", "expm1", "exp2", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "sin", "cos",
        "tan", "asin", "acos", "atan", "sinh", "cosh", "erf", "erfc", "erfinv", "square", "sign", "sgn", "floor",
        "ceil", "round", "trunc", "frac", "logit", "atan2", "maximum", "minimum", "fmod", "remainder",
    )
)  # fmt: skip
"""Elementwise and nonlinear, without an entry of their own in the table."""
