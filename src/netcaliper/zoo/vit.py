"""A vision transformer whose width and depth are integers."""

from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn

from netcaliper.zoo.activation import ActivationName
from netcaliper.zoo.config import Count
from netcaliper.zoo.initializers import InitializerName
from netcaliper.zoo.transformer import Block, TransformerConfig, initialize_transformer


class ViTConfig(TransformerConfig):
    """Everything that determines the architecture of a ``ViT``.

    Attributes:
        width: units of the residual stream.
        depth: blocks.
        heads: of every attention.
        ffn: hidden units of every feed-forward network; ``None`` is ``4 width``.
        patch: height and width of a patch in pixels.
        channels: channels of the input image.
        size: height and width of the input image in pixels, a multiple of ``patch``.
        classes: number of outputs (logits).
        activation: name of the nonlinearity.
        dropout: share dropped in training.
        initializer: of the weights.
        init_scale: factor on the standard deviation of the initial weights.
    """

    patch: Count = 2
    channels: Count = 1
    size: Count = 8
    classes: Count = 10

    @model_validator(mode="after")
    def _patches_tile_the_image(self) -> "ViTConfig":
        if self.size % self.patch:
            raise ValueError(f"`size` = {self.size} must be a multiple of `patch` = {self.patch}")
        return self

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch axis."""
        return (self.channels, self.size, self.size)

    @property
    def patches(self) -> int:
        """Tokens of an image."""
        return (self.size // self.patch) ** 2


class ViT(nn.Module):
    """``patches -> linear -> + positions -> block x depth -> LayerNorm -> mean over patches -> linear``.

    The network of Dosovitskiy et al. (2021) with the mean of the patches in place of a class token (Beyer et al. 2022):
    beside a class token, nobody would read what the last block writes at the patches, and statistics over places would
    be about values without effect.

    With ``d = width``, ``f`` the hidden units, ``p`` inputs of a patch, ``t`` patches and ``c`` classes it has
    ``(p + 1) d + t d + depth (4 d (d + 1) + 2 f d + f + d + 4 d) + 2 d + (d + 1) c`` parameters.

    Sites are called ``blocks.0.ffn.act`` (hidden units), ``blocks.0.add`` and ``blocks.0.add#2`` (the stream).

    Args:
        width: units of the residual stream.
        depth: blocks.
        heads: of every attention; ``width`` is a multiple.
        ffn: hidden units of every feed-forward network; ``None`` is ``4 width``.
        patch: height and width of a patch; the default cuts the 8 x 8 digits into 16.
        channels: channels of the input image.
        size: height and width of the input image.
        classes: number of logits.
        activation: one of ``netcaliper.zoo.activation.ACTIVATIONS``.
        dropout: share of the embedding, and of what a layer adds to the stream, that is dropped in training.
        initializer: one of ``netcaliper.zoo.initializers.INITIALIZERS``.
        init_scale: factor on the standard deviation of the initial weights.

    Raises:
        InputError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        ffn: int | None = None,
        patch: int = 2,
        channels: int = 1,
        size: int = 8,
        classes: int = 10,
        activation: ActivationName = "gelu",
        dropout: float = 0.0,
        initializer: InitializerName = "glorot_uniform",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = ViTConfig(
            width=width,
            depth=depth,
            heads=heads,
            ffn=ffn,
            patch=patch,
            channels=channels,
            size=size,
            classes=classes,
            activation=activation,
            dropout=dropout,
            initializer=initializer,
            init_scale=init_scale,
        )
        self.embedding = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Embedding(self.config.patches, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(self.config) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        initialize_transformer(self, initializer, scale=init_scale)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        x = self.embedding(x).flatten(2).transpose(1, 2)  # [batch, patches, width]
        x = self.dropout(x + self.positions.weight)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))
