"""The AlexNet-like network of "Frivolous Units" (Casper et al. 2021) for 32 x 32 images."""

from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d

from netcaliper.zoo.activation import ActivationName, activation
from netcaliper.zoo.config import Count, Factor, NetworkConfig
from netcaliper.zoo.initializers import InitializerName, initialize

BASE = (96, 256, 384, 192)
NEIGHBORS = 5
"""Channels that the local response normalization reads at once."""


class AlexNetConfig(NetworkConfig):
    """Everything that determines the architecture of an ``AlexNet``.

    Attributes:
        width: factor on the units 96, 256, 384, 192 of the four hidden layers, ``int(96 * width)`` and so on.
        only: widen this layer alone (0 to 3); the others keep their base.
        channels: channels of the input image.
        size: height and width of the input image in pixels, divisible by 4.
        classes: number of outputs (logits).
        dropout: share of the units of each fully connected hidden layer that is dropped in training.
        activation: name of the nonlinearity.
        initializer: of the weights.
        init_scale: factor on the standard deviation of the initial weights.
    """

    width: Factor = 1.0
    only: int | None = Field(default=None, ge=0, le=3)
    channels: Count = 3
    size: Count = 32
    classes: Count = 10
    dropout: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    activation: ActivationName = "relu"
    initializer: InitializerName = "glorot_normal"
    init_scale: Factor = 1.0

    @field_validator("size")
    @classmethod
    def _size_is_halved_twice(cls, size: int) -> int:
        if size % 4:
            raise ValueError("two poolings halve the image: it must be divisible by 4")
        return size

    @field_validator("width")
    @classmethod
    def _normalization_has_its_neighbors(cls, width: float) -> float:
        if int(BASE[0] * width) < NEIGHBORS:
            raise ValueError(
                f"it leaves {int(BASE[0] * width)} of {BASE[0]} channels, and the normalization reads {NEIGHBORS}; use "
                f"at least {NEIGHBORS}/{BASE[0]}"
            )
        return width

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch axis."""
        return (self.channels, self.size, self.size)

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Units of the two convolutions and the two fully connected hidden layers."""
        return tuple(int(base * self.width) if self.only in (None, n) else base for n, base in enumerate(BASE))


class AlexNet(nn.Module):
    """``(conv 5x5 -> activation -> max pool 3/2 -> LRN) x 2 -> (linear -> activation -> dropout) x 2 -> linear``.

    Units 96, 256, 384, 192, times ``width``. 438,746 / 1,749,930 / 6,989,642 / 27,938,442 / 111,713,546 parameters at
    ``width`` 1/4, 1/2, 1, 2, 4. Pooling keeps ceil(size / 2) pixels (TensorFlow's ``SAME``). Local response
    normalization divides by ``(1 + 2e-5 * sum of the squares of 5 neighboring channels)^0.75``. Biases start at 0 in
    the first convolution and the head and at 0.1 elsewhere.

    Sites are called ``conv1.act``, ``conv2.act``, ``fc3.act``, ``fc4.act``.

    Args:
        width: factor on the units of every hidden layer.
        only: widen this layer alone.
        channels: channels of the input image.
        size: height and width of the input image.
        classes: number of logits.
        dropout: share of fc3 and fc4 dropped in training.
        activation: one of ``netcaliper.zoo.activation.ACTIVATIONS``.
        initializer: one of ``netcaliper.zoo.initializers.INITIALIZERS``.
        init_scale: factor on the standard deviation of the initial weights.

    Raises:
        InputError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        width: float = 1.0,
        only: int | None = None,
        channels: int = 3,
        size: int = 32,
        classes: int = 10,
        dropout: float = 0.0,
        activation: ActivationName = "relu",
        initializer: InitializerName = "glorot_normal",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = AlexNetConfig(
            width=width,
            only=only,
            channels=channels,
            size=size,
            classes=classes,
            dropout=dropout,
            activation=activation,
            initializer=initializer,
            init_scale=init_scale,
        )
        first, second, third, fourth = self.config.layer_widths
        self.conv1 = _Convolution(channels, first, activation)
        self.conv2 = _Convolution(first, second, activation)
        self.fc3 = _Dense(second * (size // 4) ** 2, third, activation, dropout)
        self.fc4 = _Dense(third, fourth, activation, dropout)
        self.head = nn.Linear(fourth, classes)
        initialize(self, initializer, scale=init_scale)
        if initializer != "torch":
            for name in ("conv2.conv", "fc3.linear", "fc4.linear"):
                nn.init.constant_(self.get_parameter(f"{name}.bias"), 0.1)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        x = self.conv2(self.conv1(x))  # [batch, units, height / 4, width / 4]
        x = x.flatten(1)  # [batch, units * height / 4 * width / 4]
        return self.head(self.fc4(self.fc3(x)))


class _Convolution(nn.Module):
    def __init__(self, inputs: int, units: int, name: ActivationName) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, units, 5, padding=2)
        self.act = activation(name)
        # An even image leaves one pixel too few for the last window: TensorFlow pads it at the end, as ceil_mode does.
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm = _ResponseNorm()

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch units rows columns"]:
        return self.norm(self.pool(self.act(self.conv(x))))


class _ResponseNorm(nn.Module):
    """``nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)``, bit for bit, without its reshaping to a fixed size.

    torch divides alpha by the number of channels in the window, TensorFlow does not: 1e-4 / 5 = 2e-5.
    """

    def forward(self, x: Float[Tensor, "batch units height width"]) -> Float[Tensor, "batch units height width"]:
        squares = (x * x).unsqueeze(1)  # [batch, 1, units, height, width]
        mean = avg_pool3d(squares, (NEIGHBORS, 1, 1), stride=1, padding=(NEIGHBORS // 2, 0, 0)).squeeze(1)
        return x / (mean * 1e-4 + 1.0) ** 0.75


class _Dense(nn.Module):
    def __init__(self, inputs: int, units: int, name: ActivationName, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units)
        self.act = activation(name)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        return self.dropout(self.act(self.linear(x)))
