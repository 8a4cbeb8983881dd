"""A multilayer perceptron whose widths are a list of integers."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from netcaliper.zoo.activation import ActivationName, activation
from netcaliper.zoo.config import Config, Count, Widths


class MLPConfig(Config):
    """Everything that determines the architecture of an ``MLP``.

    Attributes:
        inputs: number of input features; images are flattened to it.
        widths: units of each hidden layer, first to last.
        classes: number of outputs (logits).
        activation: name of the nonlinearity after each hidden layer.
    """

    inputs: Count = 64
    widths: Widths = (128, 128)
    classes: Count = 10
    activation: ActivationName = "relu"

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

    Raises:
        InputError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        inputs: int = 64,
        widths: Sequence[int] = (128, 128),
        classes: int = 10,
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__()
        self.config = MLPConfig(inputs=inputs, widths=tuple(widths), classes=classes, activation=activation)
        fan_in = (inputs, *self.config.widths)
        self.hidden = nn.ModuleList(_Layer(n, width, activation) for n, width in zip(fan_in, widths, strict=False))
        self.head = nn.Linear(fan_in[-1], classes)

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
