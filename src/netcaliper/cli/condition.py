"""``--fail-if "needed_units < 0.5*units"``: a condition on the network's row of a reading, for CI.

A condition is arithmetic (``+ - * /``) and comparisons on numbers and the names of the row, joined by ``and``, ``or``
and ``not``. It is parsed, never evaluated as Python: anything else is refused by name.
"""

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from netcaliper.errors import InputError
from netcaliper.reading.schema import NetworkReading, Share

NAMES = tuple(name for name in NetworkReading.model_fields if name not in ("ablation", "needed_at_97"))
LONGEST = 500

Number = int | float

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FORM = "compare names and numbers, e.g. `needed_units < 0.5*units and redundant > 0.3`"


@dataclass(frozen=True)
class Condition:
    """A parsed condition.

    Attributes:
        text: as it was written.
        tree: its syntax, checked.
        names: the names it uses, in the order of their first use.
    """

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    def holds(self, network: NetworkReading) -> bool:
        """Tell whether the condition is true of a network. A share counts as its value.

        Raises:
            InputError: a name of the condition was not measured, or a division by zero.
        """
        values = {name: self._value(name, network) for name in self.names}
        return _truth(self.tree, values, self.text)

    def values(self, network: NetworkReading) -> str:
        """List the values that the condition was judged on, e.g. ``needed_units = 363, units = 448``."""
        return ", ".join(f"{name} = {self._value(name, network):.6g}" for name in self.names)

    def _value(self, name: str, network: NetworkReading) -> Number:
        found = getattr(network, name)
        value = found.value if isinstance(found, Share) else found
        if value is None or not math.isfinite(value):
            measured = [known for known in NAMES if getattr(network, known) is not None]
            raise InputError(
                f"`--fail-if` {self.text!r} needs `{name}`, which was not measured; "
                f"this reading has {', '.join(measured)}."
            )
        return value


def parse(text: str) -> Condition:
    """Parse a condition.

    Args:
        text: for instance ``"needed_units < 0.5*units"``.

    Raises:
        InputError: it is not a condition, holds something that is not allowed, or a name that no reading has.
    """
    if len(text) > LONGEST:
        raise InputError(f"`--fail-if` must have at most {LONGEST} characters, got {len(text)}; {_FORM}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"`--fail-if` {text!r} cannot be read as a condition; {_FORM}.") from error
    names: dict[str, None] = {}
    _check_truth(tree, text, names)
    return Condition(text, tree, tuple(names))


def _check_truth(node: ast.expr, text: str, names: dict[str, None]) -> None:
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check_truth(value, text, names)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check_truth(operand, text, names)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARISONS for op in ops):
            for side in (left, *others):
                _check_number(side, text, names)
        case _:
            raise InputError(f"`--fail-if` {text!r}: `{ast.unparse(node)}` is neither true nor false; {_FORM}.")


def _check_number(node: ast.expr, text: str, names: dict[str, None]) -> None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and abs(value) <= 1e300:
            pass
        case ast.Name(id=name):
            if name not in NAMES:
                near = get_close_matches(name, NAMES, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"a reading has {', '.join(NAMES)}."
                raise InputError(f"`--fail-if` {text!r}: `{name}` is not a number of a reading; {hint}")
            names[name] = None
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            _check_number(operand, text, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            _check_number(left, text, names)
            _check_number(right, text, names)
        case _:
            raise InputError(f"`--fail-if` {text!r}: `{ast.unparse(node)}` is not allowed; {_FORM}.")


def _truth(node: ast.expr, values: dict[str, Number], text: str) -> bool:
    match node:
        case ast.BoolOp(op=op, values=parts):
            # Every part is judged, so that a fault in a later one is never hidden by an earlier one.
            truths = [_truth(part, values, text) for part in parts]
            return all(truths) if isinstance(op, ast.And) else any(truths)
        case ast.UnaryOp(operand=operand):
            return not _truth(operand, values, text)
        case ast.Compare(left=left, ops=ops, comparators=others):
            numbers = [_number(side, values, text) for side in (left, *others)]
            return all(_COMPARISONS[type(op)](a, b) for op, a, b in zip(ops, numbers[:-1], numbers[1:], strict=True))
    raise AssertionError(f"not checked: {ast.dump(node)}")


def _number(node: ast.expr, values: dict[str, Number], text: str) -> Number:
    match node:
        case ast.Constant(value=value):
            return value  # pyright: ignore[reportReturnType]
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=op, operand=operand):
            number = _number(operand, values, text)
            return -number if isinstance(op, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _number(left, values, text), _number(right, values, text)
            try:
                result = _ARITHMETIC[type(op)](a, b)
                finite = math.isfinite(result)
            except (ZeroDivisionError, OverflowError):
                finite = False
            if not finite:
                raise InputError(
                    f"`--fail-if` {text!r}: `{ast.unparse(node)}` has no finite value here "
                    f"({a:.6g} and {b:.6g}); compare without it."
                )
            return result  # pyright: ignore[reportPossiblyUnboundVariable]
    raise AssertionError(f"not checked: {ast.dump(node)}")
