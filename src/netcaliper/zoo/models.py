"""The zoo's networks by name, and a network from its name and a dict of arguments."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from torch import nn

from netcaliper.errors import InputError, SpecError
from netcaliper.fit.seeds import seeded
from netcaliper.zoo.alexnet import AlexNet, AlexNetConfig
from netcaliper.zoo.cnn import CNN, CNNConfig
from netcaliper.zoo.config import NetworkConfig
from netcaliper.zoo.decoder import Decoder, DecoderConfig
from netcaliper.zoo.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from netcaliper.zoo.mlp import MLP, MLPConfig
from netcaliper.zoo.resnet import ResNet, ResNetConfig
from netcaliper.zoo.vit import ViT, ViTConfig

Network = AlexNet | CNN | Decoder | EncoderDecoder | MLP | ResNet | ViT


class Family(NamedTuple):
    """A network class and the configuration that determines it."""

    network: type[Network]
    config: type[NetworkConfig]


ZOO: dict[str, Family] = {
    "alexnet": Family(AlexNet, AlexNetConfig),
    "cnn": Family(CNN, CNNConfig),
    "decoder": Family(Decoder, DecoderConfig),
    "encoder_decoder": Family(EncoderDecoder, EncoderDecoderConfig),
    "mlp": Family(MLP, MLPConfig),
    "resnet": Family(ResNet, ResNetConfig),
    "vit": Family(ViT, ViTConfig),
}


def build(name: str, arguments: Mapping[str, Any], *, seed: int = 0) -> Network:
    """Build the untrained network ``name``.

    Args:
        name: a key of ``ZOO``.
        arguments: the network's arguments as plain data (numbers, strings, lists), e.g. from JSON; others keep their
            default.
        seed: of the initial weights. The caller's random state is left as it was.

    Raises:
        SpecError: no network has this name.
        InputError: an argument is unknown, of the wrong type or out of range, or the network does not fit into memory.
    """
    if name not in ZOO:
        near = get_close_matches(name, ZOO, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(ZOO)}."
        raise SpecError(f"`name` = {name!r} is not a network of the zoo; {hint}")
    family = ZOO[name]
    config = family.config(**arguments)
    try:
        with seeded(seed):
            return family.network(**config.model_dump())
    except (RuntimeError, MemoryError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "out of memory"
        raise InputError(f"{name} with {config} cannot be built: {reason}; choose smaller numbers.") from error


def name_of(model: nn.Module) -> str | None:
    """Return the name under which ``build`` makes a network of this class, ``None`` if it is none of the zoo's."""
    return next((name for name, family in ZOO.items() if type(model) is family.network), None)
