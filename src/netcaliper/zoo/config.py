"""What every zoo configuration has in common: it is frozen, JSON-ready, and explains what is wrong with an argument."""

from difflib import get_close_matches
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.fit.seeds import seeded

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


class NetworkConfig(Config):
    """Base of the networks' configurations: it knows what a network takes, so that one can be traced without data."""

    @property
    def example_shape(self) -> tuple[int, ...] | None:
        """Shape of one float32 example, without the batch axis; ``None`` for a network that reads tokens."""
        return None

    def example_inputs(self, examples: int = 2) -> Tensor | dict[str, Tensor]:
        """Return inputs that the network takes: a tensor of normal draws, or token inputs by name.

        They are the same at every call; the random state is left alone.
        """
        with seeded(0):
            return torch.randn(examples, *(self.example_shape or ()))


class TokenConfig(NetworkConfig):
    """Base of the configurations of networks that read tokens.

    Attributes:
        vocabulary: number of tokens.
        length: largest number of tokens in a sequence.
    """

    vocabulary: Count = 256
    length: Count = 128

    def example_inputs(self, examples: int = 2) -> dict[str, Tensor]:
        """Return ``input_ids`` ``[examples, min(length, 8)]`` and their ``attention_mask``, which hides nothing."""
        with seeded(0):
            ids = torch.randint(self.vocabulary, (examples, min(self.length, 8)))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
