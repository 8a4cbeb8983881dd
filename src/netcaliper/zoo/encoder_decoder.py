"""An encoder-decoder transformer (translation) whose width and depth are integers."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from netcaliper.zoo.activation import ActivationName
from netcaliper.zoo.config import Count, TokenConfig
from netcaliper.zoo.initializers import InitializerName
from netcaliper.zoo.transformer import (
    Attention,
    Block,
    FeedForward,
    Positions,
    TransformerConfig,
    initialize_transformer,
    seen,
    seen_before,
)


class EncoderDecoderConfig(TransformerConfig, TokenConfig):
    """Everything that determines the architecture of an ``EncoderDecoder``.

    Attributes:
        width: units of the two residual streams.
        depth: blocks of the encoder.
        decoder_depth: blocks of the decoder; ``None`` is ``depth``.
        heads: of every attention.
        ffn: hidden units of every feed-forward network; ``None`` is ``4 width``.
        vocabulary: number of tokens, of both languages together.
        length: largest number of tokens in a sequence.
        activation: name of the nonlinearity.
        dropout: share dropped in training.
        tied: whether the head has the weight of the token embedding.
        initializer: of the weights.
        init_scale: factor on the standard deviation of the initial weights.
    """

    decoder_depth: Count | None = None
    tied: bool = False

    def example_inputs(self, examples: int = 2) -> dict[str, Tensor]:
        """Return the inputs of the encoder, and decoder inputs of another length where ``length`` allows it."""
        inputs = super().example_inputs(examples)
        target = inputs["input_ids"][:, :6].clone()  # torch.export cannot keep the batch of a view open
        return inputs | {"decoder_input_ids": target, "decoder_attention_mask": torch.ones_like(target)}


class EncoderDecoder(nn.Module):
    """An encoder of the source, and a causal decoder that also reads what the encoder returns.

    ``tokens + positions -> block x depth -> LayerNorm`` makes the memory; ``tokens + positions -> (causal attention,
    attention to the memory, feed-forward network) x decoder_depth -> LayerNorm -> linear`` gives the next token. The
    network of Vaswani et al. (2017), normalizing first, with learned positions. Encoder and decoder have one token
    embedding.

    With ``d = width``, ``f`` hidden units, ``v`` tokens and ``l`` places it has ``(v + 2 l) d + depth (4 d (d + 1) +
    n) + decoder_depth (8 d (d + 1) + 2 d + n) + 4 d + v`` parameters, ``n = 2 f d + f + d + 4 d``, and ``v d`` more
    unless it is tied.

    Sites are called ``encoder.0.ffn.act``, ``decoder.0.ffn.act`` (hidden units), ``encoder.0.add``, ... (the streams,
    which are coupled: both begin with the token embedding).

    Args:
        width: units of the residual streams.
        depth: blocks of the encoder.
        decoder_depth: blocks of the decoder; ``None`` is ``depth``.
        heads: of every attention; ``width`` is a multiple.
        ffn: hidden units of every feed-forward network; ``None`` is ``4 width``.
        vocabulary: number of tokens, of both languages together.
        length: largest number of tokens in a sequence.
        activation: one of ``netcaliper.zoo.activation.ACTIVATIONS``.
        dropout: share of the embeddings, and of what a layer adds to a stream, that is dropped in training.
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
        decoder_depth: int | None = None,
        heads: int = 4,
        ffn: int | None = None,
        vocabulary: int = 256,
        length: int = 128,
        activation: ActivationName = "gelu",
        dropout: float = 0.0,
        tied: bool = False,
        initializer: InitializerName = "glorot_uniform",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = EncoderDecoderConfig(
            width=width,
            depth=depth,
            decoder_depth=decoder_depth,
            heads=heads,
            ffn=ffn,
            vocabulary=vocabulary,
            length=length,
            activation=activation,
            dropout=dropout,
            tied=tied,
            initializer=initializer,
            init_scale=init_scale,
        )
        self.tokens = nn.Embedding(vocabulary, width)
        self.encoder_positions = Positions(length, width)
        self.decoder_positions = Positions(length, width)
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.ModuleList(Block(self.config) for _ in range(depth))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleList(_DecoderBlock(self.config) for _ in range(decoder_depth or depth))
        self.decoder_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)
        if tied:
            self.head.weight = self.tokens.weight
        initialize_transformer(self, initializer, scale=init_scale)

    def forward(
        self,
        input_ids: Int[Tensor, "batch source"],
        decoder_input_ids: Int[Tensor, "batch target"],
        attention_mask: Int[Tensor, "batch source"] | Bool[Tensor, "batch source"] | None = None,
        decoder_attention_mask: Int[Tensor, "batch target"] | Bool[Tensor, "batch target"] | None = None,
    ) -> Float[Tensor, "batch target vocabulary"]:
        """Return the logits of the target token after each one; those at padding (mask 0) mean nothing."""
        visible = seen(attention_mask)
        memory = self.dropout(self.tokens(input_ids) + self.encoder_positions(input_ids, attention_mask))
        for block in self.encoder:
            memory = block(memory, visible)
        memory = self.encoder_norm(memory)  # [batch, source, width]
        before = seen_before(decoder_input_ids, decoder_attention_mask)
        places = self.decoder_positions(decoder_input_ids, decoder_attention_mask)
        x = self.dropout(self.tokens(decoder_input_ids) + places)
        for block in self.decoder:
            x = block(x, memory, before, visible)  # [batch, target, width]
        return self.head(self.decoder_norm(x))


class _DecoderBlock(nn.Module):
    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width)
        self.cross_attention = Attention(config.width, config.heads)
        self.norm3 = nn.LayerNorm(config.width)
        self.ffn = FeedForward(config.width, config.ffn_width, config.activation)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "batch target width"],
        memory: Float[Tensor, "batch source width"],
        before: Bool[Tensor, "#batch 1 target target"],
        visible: Bool[Tensor, "batch 1 1 source"] | None,
    ) -> Float[Tensor, "batch target width"]:
        h = self.norm1(x)
        x = x + self.dropout(self.attention(h, h, before))
        x = x + self.dropout(self.cross_attention(self.norm2(x), memory, visible))
        return x + self.dropout(self.ffn(self.norm3(x)))
