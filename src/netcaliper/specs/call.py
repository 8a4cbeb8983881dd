"""``NAME(argument=value, ...)``, read without evaluating anything."""

import ast
from typing import Any

from netcaliper.errors import SpecError


def parse_call(spec: str, call: str, form: str) -> tuple[str, dict[str, Any]]:
    """Read ``NAME`` or ``NAME(argument=literal, ...)``; nothing is evaluated."""
    try:
        tree = ast.parse(call.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise SpecError(f"{spec!r} cannot be read; {form}.") from error
    if isinstance(tree, ast.Name):
        return tree.id, {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise SpecError(f"{spec!r} cannot be read; {form}.")
    if tree.args or any(keyword.arg is None for keyword in tree.keywords):
        raise SpecError(f"`model` = {spec!r}: every argument needs its name, e.g. `widths=[64, 64]`; {form}.")
    arguments: dict[str, Any] = {}
    for keyword in tree.keywords:
        if keyword.arg in arguments:
            raise SpecError(f"{spec!r}: `{keyword.arg}` is given twice; give it once.")
        try:
            arguments[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError) as error:
            value = ast.unparse(keyword.value)
            raise SpecError(
                f"{spec!r}: `{keyword.arg}` = {value} is not a plain value (number, string, list, True, False, None)."
            ) from error
    return tree.func.id, arguments
