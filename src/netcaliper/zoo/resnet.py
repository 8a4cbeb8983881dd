"""Residual networks for small images (He et al. 2016, CIFAR layout): depth 6n + 2, width a factor."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from netcaliper.zoo.config import Count, Factor, NetworkConfig
from netcaliper.zoo.initializers import InitializerName, initialize

Recipe = Literal["tf", "nguyen"]

BASE = (16, 32, 64)


class ResNetConfig(NetworkConfig):
    """Everything that determines the architecture of a ``ResNet``.

    Attributes:
        depth: weighted layers on the longest path, ``6 n + 2`` with ``n`` blocks a stage.
        width: factor on the channels 16, 32, 64 of the three stages, ``int(16 * width)`` and so on.
        only: widen this stage alone (0, 1 or 2); the stem and the other stages keep 16, 32, 64.
        recipe: ``"tf"`` or ``"nguyen"``.
        residual: whether blocks have shortcuts.
        channels: channels of the input image.
        size: height and width of the input image in pixels.
        classes: number of outputs (logits).
        initializer: of the weights; ``None`` takes the one of the recipe.
        init_scale: factor on the standard deviation of the initial weights.
    """

    depth: Count = 20
    width: Factor = 1.0
    only: int | None = Field(default=None, ge=0, le=2)
    recipe: Recipe = "tf"
    residual: bool = True
    channels: Count = 3
    size: Count = 32
    classes: Count = 10
    initializer: InitializerName | None = None
    init_scale: Factor = 1.0

    @model_validator(mode="after")
    def _depth_is_6n_plus_2(self) -> "ResNetConfig":
        if self.depth < 8 or (self.depth - 2) % 6:
            n = max(1, round((self.depth - 2) / 6))
            raise ValueError(f"`depth` must be 6n + 2 (8, 14, 20, ...), got {self.depth}; the nearest is {6 * n + 2}")
        return self

    @model_validator(mode="after")
    def _every_stage_has_a_channel(self) -> "ResNetConfig":
        if min(self.stage_widths) < 1:
            raise ValueError(
                f"`width` = {self.width} leaves int({BASE[0]} * width) = 0 channels; use at least {1 / BASE[0]}"
            )
        return self

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch axis."""
        return (self.channels, self.size, self.size)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(int(base * self.width) if self.only in (None, s) else base for s, base in enumerate(BASE))

    @property
    def stem_width(self) -> int:
        """Channels of the first convolution."""
        return BASE[0] if self.only is not None else self.stage_widths[0]


class ResNet(nn.Module):
    """Stem, three stages of ``n`` blocks of two convolutions (stages 1 and 2 halve the image first), mean, linear.

    A block is ``relu(BN(conv(relu(BN(conv(x))))) + shortcut(x))``. The recipes differ in the shortcut and in biases:

    - ``"tf"``: TensorFlow's official version 1, used by "Frivolous Units" (Casper et al. 2021). Convolutions have no
      bias; the first block of *every* stage has a 1x1 convolution and BatchNorm in its shortcut, also in the first
      stage, where nothing changes shape. Depth 56 has 54,518 / 215,362 / 856,058 / 3,413,482 / 13,632,458 parameters
      at ``width`` 1/4, 1/2, 1, 2, 4. Initial weights: ``lecun_normal``, head ``glorot_uniform``; BatchNorm eps 1e-5.
    - ``"nguyen"``: Nguyen, Raghu and Kornblith (2021). Convolutions have biases; a 1x1 convolution (with bias, without
      BatchNorm) stands in the shortcut only where the shape changes. Initial weights: ``he_normal``; eps 1e-3.

    Two things depart from both: BatchNorm averages its statistics with torch's weight 0.1 for the new batch (the
    recipes' 0.003 and 0.01 need longer trainings), and a stride of 2 pads one pixel on every side (as the ``tf`` code
    does; Keras pads right and bottom only).

    Sites are called ``act`` (after the stem) and ``stages.0.0.act1``, ``stages.0.0.act2``: stage, block.

    Args:
        depth: ``6 n + 2``.
        width: factor on 16, 32, 64.
        only: widen this stage alone.
        recipe: ``"tf"`` or ``"nguyen"``.
        residual: with ``False`` blocks have no shortcut, as the plain networks of He et al. (2016) and of Nguyen,
            Raghu and Kornblith (2021).
        channels: channels of the input image.
        size: height and width of the input image.
        classes: number of logits.
        initializer: one of ``netcaliper.zoo.initializers.INITIALIZERS``; ``None`` is the recipe's own.
        init_scale: factor on the standard deviation of the initial weights.

    Raises:
        InputError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        depth: int = 20,
        width: float = 1.0,
        only: int | None = None,
        recipe: Recipe = "tf",
        residual: bool = True,
        channels: int = 3,
        size: int = 32,
        classes: int = 10,
        initializer: InitializerName | None = None,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = ResNetConfig(
            depth=depth,
            width=width,
            only=only,
            recipe=recipe,
            residual=residual,
            channels=channels,
            size=size,
            classes=classes,
            initializer=initializer,
            init_scale=init_scale,
        )
        fan_in = self.config.stem_width
        self.conv = _conv(channels, fan_in, 3, 1, recipe)
        self.norm = _norm(fan_in, recipe)
        self.act = nn.ReLU()
        self.stages = nn.ModuleList()
        for stage, units in enumerate(self.config.stage_widths):
            blocks = []
            for number in range((depth - 2) // 6):
                stride = 2 if stage > 0 and number == 0 else 1
                projected = number == 0 and (recipe == "tf" or stride > 1 or fan_in != units)
                blocks.append(_Block(fan_in, units, stride, projected, recipe, residual))
                fan_in = units
            self.stages.append(nn.Sequential(*blocks))
        self.head = nn.Linear(fan_in, classes)
        initialize(self, initializer or ("lecun_normal" if recipe == "tf" else "he_normal"), scale=init_scale)
        if initializer is None and recipe == "tf":
            initialize(self.head, "glorot_uniform", scale=init_scale)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        x = self.act(self.norm(self.conv(x)))  # [batch, stem width, height, width]
        for stage in self.stages:
            x = stage(x)  # [batch, units, height / 2^stage, width / 2^stage]
        x = x.mean((2, 3))  # [batch, units]
        return self.head(x)


class _Block(nn.Module):
    def __init__(self, inputs: int, units: int, stride: int, projected: bool, recipe: Recipe, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = _conv(inputs, units, 3, stride, recipe)
        self.norm1 = _norm(units, recipe)
        self.act1 = nn.ReLU()
        self.conv2 = _conv(units, units, 3, 1, recipe)
        self.norm2 = _norm(units, recipe)
        self.shortcut = nn.Sequential()
        if projected and residual:
            self.shortcut.append(_conv(inputs, units, 1, stride, recipe))
            if recipe == "tf":
                self.shortcut.append(_norm(units, recipe))
        self.act2 = nn.ReLU()

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch units rows columns"]:
        inner = self.act1(self.norm1(self.conv1(x)))
        branch = self.norm2(self.conv2(inner))
        return self.act2(branch + self.shortcut(x) if self.residual else branch)


def _conv(inputs: int, units: int, kernel: int, stride: int, recipe: Recipe) -> nn.Conv2d:
    return nn.Conv2d(inputs, units, kernel, stride, padding=kernel // 2, bias=recipe == "nguyen")


def _norm(units: int, recipe: Recipe) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(units, eps=1e-5 if recipe == "tf" else 1e-3)
