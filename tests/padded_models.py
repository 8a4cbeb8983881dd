"""Small token models in float64, whose outputs at valid tokens do not depend on padding; and sentences for them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

VOCABULARY = 17


class Attention(nn.Module):
    """One head; keys that are padding get no weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor, *, causal: bool = False) -> Tensor:
        scores = self.q(x) @ self.k(memory).transpose(1, 2) / x.shape[-1] ** 0.5
        scores = scores.masked_fill(mask[:, None, :] == 0, -torch.inf)
        if causal:
            order = torch.arange(x.shape[1])
            scores = scores.masked_fill(order[None, :] > order[:, None], -torch.inf)
        # a padded query of left padding sees no key at all: what it gets is not a number
        return self.out(torch.softmax(scores, -1) @ self.v(memory))


class Experts(nn.Module):
    """Two experts over all tokens of all examples in a row."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, 2)
        self.up, self.down = (
            nn.ModuleList(nn.Linear(a, b) for _ in range(2)) for a, b in ((width, hidden), (hidden, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        share = torch.softmax(self.router(flat), -1)
        out = sum(share[:, i, None] * self.down[i](torch.relu(self.up[i](flat))) for i in range(2))
        return torch.as_tensor(out).reshape(x.shape)


class Layer(nn.Module):
    """Attention (also to an encoder) and a feed-forward part, both residual."""

    def __init__(self, width: int, hidden: int, *, cross: bool = False, experts: bool = False) -> None:
        super().__init__()
        self.attention = Attention(width)
        self.cross = Attention(width) if cross else None
        plain = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.feed = Experts(width, hidden) if experts else plain

    def forward(
        self, x: Tensor, mask: Tensor, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        x = x + self.attention(x, x, mask, causal=self.cross is not None)
        if self.cross is not None:
            assert memory is not None
            assert memory_mask is not None
            x = x + self.cross(x, memory, memory_mask)
        return x + self.feed(x)


class Encoder(nn.Module):
    """Embedding with positions counted from the first valid token, and one layer."""

    def __init__(self, width: int = 6, hidden: int = 7, *, cross: bool = False, experts: bool = False) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(64, width)
        self.layer = Layer(width, hidden, cross=cross, experts=experts)

    def forward(self, ids: Tensor, mask: Tensor, *memory: Tensor) -> Tensor:
        place = (mask.cumsum(1) - 1).clamp(min=0)
        return self.layer(self.words(ids) + self.places(place), mask, *memory)


class Classifier(nn.Module):
    """One class a sentence, from the mean over its valid tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.hidden, self.head = Encoder(), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.body(input_ids, attention_mask).masked_fill(attention_mask[..., None] == 0, 0.0)
        pooled = x.sum(1) / attention_mask.sum(1, keepdim=True)
        return self.head(torch.relu(self.hidden(pooled)))


class Language(nn.Module):
    """Scores of a token at every position."""

    def __init__(self, *, experts: bool = False) -> None:
        super().__init__()
        self.body, self.head = Encoder(experts=experts), nn.Linear(6, VOCABULARY)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.head(self.body(input_ids, attention_mask))


class Translator(nn.Module):
    """An encoder, and a decoder with a mask of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Encoder(cross=True)
        self.head = nn.Linear(6, VOCABULARY)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, decoder_attention_mask: Tensor
    ) -> Tensor:
        memory = self.encoder(input_ids, attention_mask)
        return self.head(self.decoder(decoder_input_ids, decoder_attention_mask, memory, attention_mask))


class Convolution(nn.Module):
    """A unit of one token, read by a window over tokens; with a stride the positions are others than the tokens."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 4)
        self.first, self.second = nn.Conv1d(4, 6, 1), nn.Conv1d(6, 5, 3, stride=stride, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = torch.relu(self.first(self.words(input_ids).transpose(1, 2) * attention_mask[:, None]))
        return self.head(torch.relu(self.second(x)).sum(2))


def built(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give a model random weights in float64."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
    return model


def sentences(count: int, *, shortest: int = 2, longest: int = 9, seed: int = 0) -> list[Tensor]:
    """Return sentences of random lengths."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, longest + 1, (count,), generator=generator)
    return [torch.randint(1, VOCABULARY, (int(n),), generator=generator) for n in lengths]


def padded(
    chosen: Sequence[Tensor], *, length: int | None = None, left: bool = False, fill: int = 0
) -> tuple[Tensor, Tensor]:
    """Return sentences in one batch, with their mask."""
    length = max(map(len, chosen)) if length is None else length
    ids = torch.full((len(chosen), length), fill)
    mask = torch.zeros(len(chosen), length, dtype=torch.int64)
    for row, sentence in enumerate(chosen):
        where = slice(length - len(sentence), length) if left else slice(0, len(sentence))
        ids[row, where], mask[row, where] = sentence, 1
    return ids, mask
