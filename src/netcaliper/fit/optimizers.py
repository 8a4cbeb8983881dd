"""The optimizers by name, and which parameters their weight decay sees."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import nn

Optimizer = Literal["adam", "sgd", "adamw", "rmsprop", "adagrad"]
Decayed = Literal["all", "weights", "linear", "hidden_linear"]

OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
DECAYED: tuple[Decayed, ...] = get_args(Decayed)

_MAKE: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda groups, lr, momentum: torch.optim.Adam(groups, lr=lr),
    "sgd": lambda groups, lr, momentum: torch.optim.SGD(groups, lr=lr, momentum=momentum),
    "adamw": lambda groups, lr, momentum: torch.optim.AdamW(groups, lr=lr, weight_decay=0.0),
    "rmsprop": lambda groups, lr, momentum: torch.optim.RMSprop(groups, lr=lr),
    "adagrad": lambda groups, lr, momentum: torch.optim.Adagrad(groups, lr=lr),
}


def make_optimizer(
    model: nn.Module,
    name: Optimizer,
    *,
    learning_rate: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    decayed: Decayed = "all",
    groups: list[dict[str, Any]] | None = None,
) -> torch.optim.Optimizer:
    """Return an optimizer of the parameters of ``model`` that require a gradient.

    Args:
        model: the network.
        name: one of ``OPTIMIZERS``; all but ``learning_rate`` and the momentum of ``"sgd"`` is torch's default.
        learning_rate: of every parameter.
        momentum: of ``"sgd"``.
        weight_decay: of the decayed parameters, 0 for the others.
        decayed: ``"all"`` parameters, also of BatchNorm (TensorFlow's official ResNet); ``"weights"``, those with at
            least two axes; ``"linear"``, the weights of linear layers; ``"hidden_linear"``, those without the last one
            (fc3 and fc4 of the AlexNet of Casper et al. 2021).
        groups: the parameters with their weight decay, in place of what ``weight_decay`` and ``decayed`` say.
    """
    if groups is not None:
        return _MAKE[name](groups, learning_rate, momentum)
    linear = [id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)]
    rule: dict[str, Callable[[nn.Parameter], bool]] = {
        "all": lambda parameter: True,
        "weights": lambda parameter: parameter.ndim >= 2,
        "linear": lambda parameter: id(parameter) in linear,
        "hidden_linear": lambda parameter: id(parameter) in linear[:-1],
    }
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    seen = [parameter for parameter in parameters if rule[decayed](parameter)]
    spared = [parameter for parameter in parameters if not rule[decayed](parameter)]
    parts = [{"params": seen, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return _MAKE[name]([part for part in parts if part["params"]], learning_rate, momentum)
