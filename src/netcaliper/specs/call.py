"""``NAME(argument=value, ...)``, read without evaluating anything."""

import ast
import re
from typing import Any

from netcaliper.errors import SpecError

# A name or path may hold parentheses itself: only a last pair that is empty or starts with `word =` holds arguments.
_NAMED = re.compile(r"(?s)(?P<name>.*?)(?P<arguments>\(\s*(?:\w+\s*=.*)?\)\s*)?")


def named_call(spec: str, text: str, form: str) -> tuple[str, dict[str, Any]]:
    """Read ``NAME`` or ``NAME(argument=literal, ...)``, where ``NAME`` may be a path or hold dots and hyphens.

    Args:
        spec: the whole spec, for messages.
        text: the part of it to read.
        form: what a spec of this kind looks like, for messages.

    Raises:
        SpecError: a parenthesis is not closed, or an argument has no name, stands twice or is not a plain value.
    """
    found = _NAMED.fullmatch(text)
    assert found is not None  # the pattern takes any text
    if found["name"].count("(") != found["name"].count(")"):
        raise SpecError(f"{spec!r} cannot be read: a parenthesis is not closed; {form}.")
    return found["name"].strip(), parse_call(spec, f"model{(found['arguments'] or '()').strip()}", form)[1]


def parse_call(spec: str, call: str, form: str) -> tuple[str, dict[str, Any]]:
    """Read ``NAME`` or ``NAME(argument=literal, ...)``; nothing is evaluated."""
    try:
        tree = ast.parse(call.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpecError(f"{spec!r} cannot be read; {form}.") from error
    if isinstance(tree, ast.Name):
        return tree.id, {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise SpecError(f"{spec!r} cannot be read; {form}.")
    if tree.args or any(keyword.arg is None for keyword in tree.keywords):
        raise SpecError(f"{spec!r}: every argument needs its name, e.g. `widths=[64, 64]`; {form}.")
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
