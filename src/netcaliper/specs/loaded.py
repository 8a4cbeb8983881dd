"""What every source of models returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

TWIN_SEEDS = 2**31
"""Twins draw from seeds of their own: twin 0 must not be the very start that seed 0 gave the model.

torch's CPU generator reads 32 bits of a seed.
"""


@dataclass(frozen=True)
class LoadedModel:
    """A model that a spec stands for.

    Attributes:
        model: in eval mode.
        name: how reports call it.
        example_shape: shape of one float32 example without the batch axis, where the spec tells it.
        twin: builds the same architecture untrained from a seed; ``None`` where the spec cannot say what untrained
            means.
        example_batch: makes a batch of examples, where a shape does not say what the model takes.
        data_config: the facts about preprocessing that the model's source names: ``source`` is ``"timm"`` (with the
            keys of ``timm.data.resolve_model_data_config``) or ``"hf"`` (with ``folder``, where tokenizer and processor
            are looked for, and ``main_input``).
    """

    model: nn.Module
    name: str
    example_shape: tuple[int, ...] | None = None
    twin: Callable[[int], nn.Module] | None = None
    example_batch: Callable[[], Any] | None = None
    data_config: dict[str, Any] | None = None
