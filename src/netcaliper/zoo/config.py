"""What every zoo configuration has in common: it is frozen, JSON-ready, and explains what is wrong with an argument."""

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from netcaliper.errors import InputError

Count = Annotated[int, Field(ge=1, lt=2**31)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]
Factor = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Config(BaseModel):
    """Base of the configurations: immutable, unknown arguments refused with the nearest known name.

    Raises:
        InputError: an argument is unknown, of the wrong type or out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(self._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        first = error.errors(include_url=False)[0]
        argument = str(first["loc"][0]) if first["loc"] else "arguments"
        known = list(cls.model_fields)
        if first["type"] == "extra_forbidden":
            near = get_close_matches(argument, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known arguments: {', '.join(known)}."
            return f"`{argument}` is not an argument of {cls.__name__}; {hint}"
        relation = first["msg"].removeprefix("Value error, ").rstrip(".")
        return f"`{argument}` = {first['input']!r} cannot be used: {relation[:1].lower()}{relation[1:]}."
