"""A multilayer perceptron whose widths are a list of integers."""

from collections.abc import Sequence

from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn

from netcaliper.zoo.activation import ActivationName, activation
from netcaliper.zoo.config import Count, Factor, NetworkConfig, Widths
from netcaliper.zoo.initializers import InitializerName, initialize, truncated_normal


class MLPConfig(NetworkConfig):
    """Everything that determines the architecture of an ``MLP``.

    Attributes:
        inputs: number of input features; images are flattened to it.
        widths: units of each hidden layer, first to last.
        classes: number of outputs (logits).
        activation: name of the nonlinearity after each hidden layer.
        initializer: of the weights.
        init_sds: standard deviation of the initial weights of each linear layer, first to last, in place of
            ``initializer``.
        init_scale: factor on the standard deviation of the initial weights.
    """

    inputs: Count = 64
    widths: Widths = (128, 128)
    classes: Count = 10
    activation: ActivationName = "relu"
    initializer: InitializerName = "torch"
    init_sds: tuple[Factor, ...] | None = None
    init_scale: Factor = 1.0

    @model_validator(mode="after")
    def _one_sd_for_each_layer(self) -> "MLPConfig":
        layers = len(self.widths) + 1
        if self.init_sds is not None and len(self.init_sds) != layers:
            raise ValueError(
                f"`init_sds` must hold one number for each of the {layers} layers, got {len(self.init_sds)}"
            )
        return self

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch axis."""
        return (self.inputs,)


class MLP(nn.Module):
    """``flatten -> (linear -> activation) for each width -> linear``.

    Sites are called ``hidden.0.act``, ``hidden.1.act``, ...

    Args:
        inputs: number of input features; the default fits the 8 x 8 digits.
        widths: units of each hidden layer.
        classes: number of logits.
        activation: one of ``netcaliper.zoo.activation.ACTIVATIONS``.
        initializer: one of ``netcaliper.zoo.initializers.INITIALIZERS``.
        init_sds: for each linear layer, the standard deviation of a normal that is cut off at two of them; biases are
            then 0. "Frivolous Units" (Casper et al. 2021) takes ``(1e-3, 1e-2)`` times ``init_scale`` 1e-2 to 1e7.
        init_scale: factor on the standard deviation of the initial weights.

    Raises:
        InputError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        inputs: int = 64,
        widths: Sequence[int] = (128, 128),
        classes: int = 10,
        activation: ActivationName = "relu",
        initializer: InitializerName = "torch",
        init_sds: Sequence[float] | None = None,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = MLPConfig(
            inputs=inputs,
            widths=tuple(widths),
            classes=classes,
            activation=activation,
            initializer=initializer,
            init_sds=None if init_sds is None else tuple(init_sds),
            init_scale=init_scale,
        )
        fan_in = (inputs, *self.config.widths)
        self.hidden = nn.ModuleList(_Layer(n, width, activation) for n, width in zip(fan_in, widths, strict=False))
        self.head = nn.Linear(fan_in[-1], classes)
        if init_sds is None:
            initialize(self, initializer, scale=init_scale)
        else:
            linear = [module for module in self.modules() if isinstance(module, nn.Linear)]
            for layer, sd in zip(linear, init_sds, strict=True):
                truncated_normal(layer.weight, init_scale * sd)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        x = x.flatten(1)  # [batch, inputs]
        for layer in self.hidden:
            x = layer(x)  # [batch, width]
        return self.head(x)


class _Layer(nn.Module):
    def __init__(self, inputs: int, width: int, name: ActivationName) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.act = activation(name)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch width"]:
        return self.act(self.linear(x))
