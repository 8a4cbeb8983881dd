"""A batch that a transformers model takes, made from its configuration: enough to trace it, not to measure it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from netcaliper.fit.seeds import seeded

TOKENS = 16
_SIDE = 224  # of images, for networks whose configuration names no size
_SECOND = 16_000  # values of a waveform at the rate that speech models share


def example_batch(model: Any) -> Callable[[], dict[str, Tensor]] | None:
    """Return a maker of a batch of two random examples, ``None`` if the main input is of a kind not known here.

    Tokens are 16 uniform draws from the vocabulary, everything else is normal.
    """
    shapes = _shapes(model)
    if shapes is None:
        return None

    def batch() -> dict[str, Tensor]:
        with seeded(0):
            return {
                name: torch.randint(vocabulary, shape) if vocabulary else torch.randn(shape, dtype=_dtype(model))
                for name, (shape, vocabulary) in shapes.items()
            }

    return batch


def _shapes(model: Any) -> dict[str, tuple[tuple[int, ...], int]] | None:
    """Return the shape of every input, and the size of its vocabulary (0 for numbers)."""
    config, main = model.config, model.main_input_name
    text = config.get_text_config(decoder=True) if config.is_encoder_decoder else config.get_text_config()
    length = min(TOKENS, getattr(text, "max_position_embeddings", None) or TOKENS)
    tokens = ((2, length), int(getattr(text, "vocab_size", None) or 0))
    shapes: dict[str, tuple[tuple[int, ...], int]] = {}
    if main == "input_ids" and tokens[1]:
        shapes[main] = tokens
    elif main == "pixel_values":
        shapes[main] = (_image(config), 0)
    elif main == "input_values":  # a waveform, or a spectrogram where the configuration names its size
        frames, bins = getattr(config, "max_length", None), getattr(config, "num_mel_bins", None)
        shapes[main] = ((2, frames, bins) if frames and bins else (2, _SECOND), 0)
    elif main == "input_features" and getattr(config, "max_source_positions", None):
        shapes[main] = ((2, config.num_mel_bins, 2 * config.max_source_positions), 0)
    else:
        return None
    if config.is_encoder_decoder and tokens[1] and main != "pixel_values":
        shapes["decoder_input_ids"] = tokens
    if main == "input_ids" and getattr(config, "vision_config", None) and getattr(config, "text_config", None):
        shapes["pixel_values"] = (_image(config.vision_config), 0)
    return shapes


def _image(config: Any) -> tuple[int, ...]:
    size = getattr(config, "image_size", None) or _SIDE
    sides = (size, size) if isinstance(size, int) else tuple(size)
    return (2, getattr(config, "num_channels", 3), *sides)


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
