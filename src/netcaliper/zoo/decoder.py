"""A decoder-only transformer (language model) whose width and depth are integers."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from netcaliper.zoo.activation import ActivationName
from netcaliper.zoo.config import TokenConfig
from netcaliper.zoo.initializers import InitializerName
from netcaliper.zoo.transformer import Block, Positions, TransformerConfig, initialize_transformer, seen_before


class DecoderConfig(TransformerConfig, TokenConfig):
    """Everything that determines the architecture of a ``Decoder``.

    Attributes:
        width: units of the residual stream.
        depth: blocks.
        heads: of every attention.
        ffn: hidden units of every feed-forward network; ``None`` is ``4 width``.
        vocabulary: number of tokens.
        length: largest number of tokens in a sequence.
        activation: name of the nonlinearity.
        gated: whether a gate multiplies the hidden units.
        dropout: share dropped in training.
        tied: whether the head has the weight of the token embedding.
        initializer: of the weights.
        init_scale: factor on the standard deviation of the initial weights.
    """

    gated: bool = False
    tied: bool = False


class Decoder(nn.Module):
    """``tokens + positions -> causal block x depth -> LayerNorm -> linear``: the next token at every place.

    GPT-2 (Radford et al. 2019) as it is used today, with ``gated=True, activation="silu"`` for SwiGLU (Shazeer 2020).
    With ``d = width``, ``f`` hidden units, ``v`` tokens and ``l`` places it has
    ``(v + l) d + depth (4 d (d + 1) + (2 + gated) f d + (1 + gated) f + d + 4 d) + 2 d + v`` parameters, and ``v d``
    more unless it is tied.

    Sites are called ``blocks.0.ffn.act`` (with a gate ``blocks.0.ffn.swiglu``), ``add`` (the embedding),
    ``blocks.0.add`` and ``blocks.0.add#2`` (the stream).

    Args:
        width: units of the residual stream.
        depth: blocks.
        heads: of every attention; ``width`` is a multiple.
        ffn: hidden units of every feed-forward network; ``None`` is ``4 width``.
        vocabulary: number of tokens; the default is bytes.
        length: largest number of tokens in a sequence.
        activation: one of ``netcaliper.zoo.activation.ACTIVATIONS``.
        gated: whether hidden units are ``act(gate(x)) * up(x)``.
        dropout: share of the embedding, and of what a layer adds to the stream, that is dropped in training.
        tied: whether the head has the weight of the token embedding.
        initializer: one of ``netcaliper.zoo.initializers.INITIALIZERS``.
        init_scale: factor on the standard deviation of the initial weights.

    Raises:
        InputError: an argument is of the wrong type or out of range, or a sequence is longer than ``length``.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        ffn: int | None = None,
        vocabulary: int = 256,
        length: int = 128,
        activation: ActivationName = "gelu",
        gated: bool = False,
        dropout: float = 0.0,
        tied: bool = False,
        initializer: InitializerName = "glorot_uniform",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = DecoderConfig(
            width=width,
            depth=depth,
            heads=heads,
            ffn=ffn,
            vocabulary=vocabulary,
            length=length,
            activation=activation,
            gated=gated,
            dropout=dropout,
            tied=tied,
            initializer=initializer,
            init_scale=init_scale,
        )
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = Positions(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(self.config, gated=gated) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)
        if tied:
            self.head.weight = self.tokens.weight
        initialize_transformer(self, initializer, scale=init_scale)

    def forward(
        self,
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Return the logits of the token after each one; those at padding (mask 0) mean nothing."""
        visible = seen_before(input_ids, attention_mask)
        x = self.dropout(self.tokens(input_ids) + self.positions(input_ids, attention_mask))  # [batch, tokens, width]
        for block in self.blocks:
            x = block(x, visible)
        return self.head(self.norm(x))
