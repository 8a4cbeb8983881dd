"""An example for a model that came without one: what it says it takes, else what its first weighted layer takes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from netcaliper.errors import InputError
from netcaliper.fit.seeds import seeded

_SIDES = (32, 224, 28, 64, 8)
_TOKENS = 8


def guess_example(model: nn.Module) -> Any:
    """Return two random examples that ``model`` takes.

    Tried in order: what a zoo network's configuration or a transformers model offers; then, by the first layer with
    weights, ``[2, features]``, images of a few sizes, or token ids.

    Raises:
        InputError: none of them fits.
    """
    with seeded(0):
        tried = list(_guesses(model))
        for example in tried:
            args, kwargs = ((), example) if isinstance(example, dict) else ((example,), {})
            try:
                with torch.no_grad():
                    model(*args, **kwargs)
            except Exception:  # whatever the model's own code says to inputs that it does not take
                continue
            return example
    shapes = [tuple(value.shape) for value in tried if isinstance(value, Tensor)]
    raise InputError(
        f"`example` is needed: {type(model).__name__} takes none of the inputs that could be guessed"
        f"{' (shapes ' + ', '.join(map(str, shapes)) + ')' if shapes else ''}; pass a batch as your loader yields it"
    )


def _guesses(model: nn.Module) -> Iterator[Any]:
    tensors = [*model.parameters(), *model.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)

    def moved(value: Tensor) -> Tensor:
        return value.to(device, dtype) if value.is_floating_point() else value.to(device)

    for offered in _offered(model):
        if isinstance(offered, Tensor):
            yield moved(offered)
        elif isinstance(offered, dict):
            yield {key: moved(value) for key, value in offered.items() if isinstance(value, Tensor)}
    first = next(
        (m for m in model.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding))), None
    )
    if isinstance(first, nn.Linear):
        yield moved(torch.randn(2, first.in_features))
        yield moved(torch.randn(2, _TOKENS, first.in_features))
    elif isinstance(first, nn.Embedding):
        yield moved(torch.randint(first.num_embeddings, (2, _TOKENS)))
    elif isinstance(first, nn.modules.conv._ConvNd):
        for side in _SIDES:
            yield moved(torch.randn(2, first.in_channels, *[side] * len(first.kernel_size)))


def _offered(model: nn.Module) -> Iterator[Any]:
    """Return what a model itself offers as inputs."""
    make = getattr(getattr(model, "config", None), "example_inputs", None)
    if callable(make):
        yield make(2)
    try:
        yield getattr(model, "dummy_inputs", None)  # transformers; a property that may fail
    except Exception:
        return
