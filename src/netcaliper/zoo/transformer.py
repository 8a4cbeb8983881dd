"""What the zoo's transformers are made of: attention, feed-forward network, block, embedding of tokens.

Blocks normalize first (Xiong et al. 2020), biases are everywhere, and positions are learned. Masks are boolean, true
where a query sees a key.
"""

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from netcaliper.errors import InputError
from netcaliper.zoo.activation import ActivationName, activation
from netcaliper.zoo.config import Count, Factor, NetworkConfig
from netcaliper.zoo.initializers import InitializerName, initialize, truncated_normal

EMBEDDING_SD = 0.02


class TransformerConfig(NetworkConfig):
    """What the configurations of the transformers have in common.

    Attributes:
        width: units of the residual stream.
        depth: blocks.
        heads: of every attention, each with ``width / heads`` units.
        ffn: hidden units of every feed-forward network; ``None`` is ``4 width``.
        activation: name of the nonlinearity in the feed-forward networks.
        dropout: share of the embedding, and of what a layer adds to the stream, that is dropped in training.
        initializer: of the weights; Glorot's, as in the networks that were published.
        init_scale: factor on the standard deviation of the initial weights.
    """

    width: Count = 64
    depth: Count = 4
    heads: Count = 4
    ffn: Count | None = None
    activation: ActivationName = "gelu"
    dropout: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    initializer: InitializerName = "glorot_uniform"
    init_scale: Factor = 1.0

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "TransformerConfig":
        if self.width % self.heads:
            raise ValueError(f"`width` = {self.width} must be a multiple of `heads` = {self.heads}")
        return self

    @property
    def ffn_width(self) -> int:
        """Hidden units of every feed-forward network."""
        return 4 * self.width if self.ffn is None else self.ffn


class Attention(nn.Module):
    """``output(softmax(query(x) key(memory)^T / sqrt(width / heads)) value(memory))``, head by head.

    Args:
        width: units of ``x``, of ``memory`` and of what is returned.
        heads: parts that the units are cut into, each with an attention of its own.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        memory: Float[Tensor, "batch keys width"],
        visible: Bool[Tensor, "#batch 1 #queries keys"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Return what every query reads from ``memory``; without ``visible`` it sees all of it."""
        query, key, value = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [batch, heads, tokens, width / heads]
            for projected in (self.query(x), self.key(memory), self.value(memory))
        )
        read = scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return self.output(read.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """``down(act(up(x)))``, or with a gate ``down(act(gate(x)) * up(x))`` (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int, name: ActivationName, *, gated: bool = False) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden) if gated else None
        self.up = nn.Linear(width, hidden)
        self.act = activation(name)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return what is added to the stream."""
        up = self.up(x)  # [batch, tokens, hidden]
        return self.down(self.act(up) if self.gate is None else self.act(self.gate(x)) * up)


class Block(nn.Module):
    """``x <- x + attention(norm(x))``, then ``x <- x + ffn(norm(x))``."""

    def __init__(self, config: TransformerConfig, *, gated: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width)
        self.ffn = FeedForward(config.width, config.ffn_width, config.activation, gated=gated)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], visible: Bool[Tensor, "#batch 1 #tokens tokens"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the stream after the block; ``visible`` says which keys a query sees, all without it."""
        h = self.norm1(x)
        x = x + self.dropout(self.attention(h, h, visible))
        return x + self.dropout(self.ffn(self.norm2(x)))


class Positions(nn.Module):
    """A learned vector for each place in a sequence, counted over the tokens that are no padding.

    Padding on the left and on the right thus give a token the same place.

    Raises:
        InputError: a sequence is longer than ``length``.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(length, width)

    def forward(
        self, ids: Int[Tensor, "batch tokens"], mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None
    ) -> Float[Tensor, "#batch tokens width"]:
        """Return the vector of every token's place; ``mask`` is 1 at tokens and 0 at padding."""
        tokens, length = ids.shape[1], self.embedding.num_embeddings
        if tokens > length:
            raise InputError(
                f"a sequence has {tokens} tokens, the network was built with `length` = {length}; cut the sequences, "
                "or build it with a larger `length`."
            )
        if mask is None:
            return self.embedding(torch.arange(tokens, device=ids.device)[None])
        here = mask.long()
        return self.embedding(here.cumsum(1) - here)  # 0 <= tokens before this one < tokens


def seen(
    mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None,
) -> Bool[Tensor, "batch 1 1 tokens"] | None:
    """Return which keys every query sees: those that ``mask`` (1 = token, 0 = padding) does not hide."""
    return None if mask is None else mask.bool()[:, None, None, :]


def seen_before(
    ids: Int[Tensor, "batch tokens"], mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None
) -> Bool[Tensor, "#batch 1 tokens tokens"]:
    """Return which keys each query sees: itself, and the tokens before it that ``mask`` does not hide.

    A query that is padding has nobody else to see; it sees itself, so that its softmax is defined.
    """
    place = torch.arange(ids.shape[1], device=ids.device)
    before = (place[:, None] >= place)[None, None]  # [1, 1, queries, keys]
    return before if mask is None else before & (mask.bool()[:, None, None, :] | (place[:, None] == place))


@torch.no_grad()
def initialize_transformer(model: nn.Module, name: InitializerName, *, scale: float = 1.0) -> None:
    """Draw linear layers and the patch convolution by ``initialize``; embeddings and positions from a normal.

    The normal has sd .02 and is cut off at two sds (BERT, Devlin et al. 2019). A head that is tied to an embedding is
    drawn with it. Norms start at scale 1 and shift 0.

    Args:
        model: a transformer of the zoo.
        name: one of ``netcaliper.zoo.initializers.INITIALIZERS``.
        scale: factor on the standard deviation of the weights of linear layers and the convolution.
    """
    initialize(model, name, scale=scale)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            truncated_normal(module.weight, EMBEDDING_SD)
