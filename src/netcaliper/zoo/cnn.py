"""A plain convolutional network for small images (8 x 8 digits, 32 x 32 photographs)."""

from collections.abc import Sequence

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from netcaliper.zoo.activation import ActivationName, activation
from netcaliper.zoo.config import Count, Factor, NetworkConfig, Widths
from netcaliper.zoo.initializers import InitializerName, initialize


class CNNConfig(NetworkConfig):
    """Everything that determines the architecture of a ``CNN``.

    Attributes:
        channels: channels of the input image.
        size: height and width of the input image in pixels.
        widths: base channels of each stage.
        width: factor on every entry of ``widths`` (rounded, at least one channel): the network's width as one number.
        only: widen this stage alone, counted from 0; the others keep their entry of ``widths``.
        depth: convolutions a stage: the network's depth as one number.
        classes: number of outputs (logits).
        norm: whether BatchNorm follows each convolution (which then has no bias).
        activation: name of the nonlinearity.
        initializer: of the weights.
        init_scale: factor on the standard deviation of the initial weights.
    """

    channels: Count = 1
    size: Count = 8
    widths: Widths = (16, 32, 64)
    width: Factor = 1.0
    only: int | None = Field(default=None, ge=0)
    depth: Count = 1
    classes: Count = 10
    norm: bool = True
    activation: ActivationName = "relu"
    initializer: InitializerName = "torch"
    init_scale: Factor = 1.0

    @model_validator(mode="after")
    def _pooled_image_has_a_pixel(self) -> "CNNConfig":
        stages = len(self.widths)
        if self.size >> (stages - 1) < 1:
            raise ValueError(
                f"`size` = {self.size} pixels are halved {stages - 1} times by the {stages} stages of `widths`, "
                f"which leaves none; use a `size` of at least {1 << (stages - 1)} or fewer stages"
            )
        return self

    @model_validator(mode="after")
    def _only_is_a_stage(self) -> "CNNConfig":
        if self.only is not None and self.only >= len(self.widths):
            raise ValueError(f"`only` = {self.only} must be below the {len(self.widths)} stages of `widths`")
        return self

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch axis."""
        return (self.channels, self.size, self.size)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of each stage: ``max(1, round(width * base))`` where it is widened."""
        return tuple(
            max(1, round(self.width * base)) if self.only in (None, stage) else base
            for stage, base in enumerate(self.widths)
        )


class CNN(nn.Module):
    """``(conv 3x3 -> BatchNorm -> activation) x depth`` in each stage, 2 x 2 max pooling between stages, mean, linear.

    Sites are called ``stages.0.0.act``: stage, convolution within the stage.

    Args:
        channels: channels of the input image.
        size: height and width of the input image; the default fits the 8 x 8 digits.
        widths: base channels of each stage.
        width: factor on ``widths``.
        only: widen this stage alone.
        depth: convolutions a stage.
        classes: number of logits.
        norm: whether BatchNorm follows each convolution.
        activation: one of ``netcaliper.zoo.activation.ACTIVATIONS``.
        initializer: one of ``netcaliper.zoo.initializers.INITIALIZERS``.
        init_scale: factor on the standard deviation of the initial weights.

    Raises:
        InputError: an argument is of the wrong type or out of range, or pooling would leave no pixel.
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 8,
        widths: Sequence[int] = (16, 32, 64),
        width: float = 1.0,
        only: int | None = None,
        depth: int = 1,
        classes: int = 10,
        norm: bool = True,
        activation: ActivationName = "relu",
        initializer: InitializerName = "torch",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = CNNConfig(
            channels=channels,
            size=size,
            widths=tuple(widths),
            width=width,
            only=only,
            depth=depth,
            classes=classes,
            norm=norm,
            activation=activation,
            initializer=initializer,
            init_scale=init_scale,
        )
        self.stages = nn.ModuleList()
        fan_in = channels
        for units in self.config.stage_widths:
            blocks = [_Block(fan_in if d == 0 else units, units, norm, activation) for d in range(depth)]
            self.stages.append(nn.Sequential(*blocks))
            fan_in = units
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(fan_in, classes)
        initialize(self, initializer, scale=init_scale)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        for number, stage in enumerate(self.stages):
            if number > 0:
                x = self.pool(x)  # [batch, units, height / 2, width / 2]
            x = stage(x)  # [batch, units, height, width]
        x = x.mean((2, 3))  # [batch, units]
        return self.head(x)


class _Block(nn.Module):
    def __init__(self, inputs: int, units: int, norm: bool, name: ActivationName) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, units, 3, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(units) if norm else nn.Identity()
        self.act = activation(name)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch units height width"]:
        return self.act(self.norm(self.conv(x)))
