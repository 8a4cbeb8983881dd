"""Awkward models, each with the one thing that makes it awkward; defined once, used by many tests."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks import Block, SqueezeExcite, randomized


class ReusedRelu(nn.Module):
    """One ReLU module called three times, one functional call beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.a(x))
        x = self.relu(self.b(x))
        return self.c(F.relu(self.relu(self.b(x))))


class TiedAutoencoder(nn.Module):
    """One weight used twice: forward, and transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.encode(x)) @ self.encode.weight


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.relu = nn.Linear(5, 6), nn.ReLU()
        self.lstm = nn.LSTM(6, 7, batch_first=True)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(self.relu(self.embed(x)))
        return self.head(y[:, -1])


class Comparing(nn.Module):
    """Reads its units to decide something."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.a(x))
        return self.b(y * (y > 0.5))


class Unknown(nn.Module):
    """Calls an operation that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.linalg.matrix_exp(torch.diag_embed(torch.tanh(self.a(x)))).sum(-1))


class Branching(nn.Module):
    """Python control flow on a tensor value."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return self.a(x)
        return -self.a(x)


class RandomInEval(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.a(x), 0.5, True)


class NoisyInEval(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x + torch.randn_like(x))


class FixedBatch(nn.Module):
    """Its code fixes the batch size at two."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x.reshape(2, 4))))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"logits": self.c(torch.relu(self.a(left)) * torch.tanh(self.b(right)))}


class SequenceFirst(nn.Module):
    """``[tokens, batch, features]``: the batch is not axis 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x.transpose(0, 1)))).mean(0)


class Stock(nn.Module):
    """A ResNet as torchvision writes it, with squeeze-and-excitation in the middle."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(width, width, width, 1), Block(width, width, width, 1))
        self.se = SqueezeExcite(width, 3)
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2 * width, 2), Block(2 * width, 2 * width, 2 * width, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.se(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def stock(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Tensor]:
    """Return the stock ResNet with random weights and a batch of four images."""
    torch.manual_seed(0)
    return randomized(Stock().to(dtype), 0), torch.randn(4, 3, 16, 16, dtype=dtype)


class MixerBlock(nn.Module):
    """Token mixing: a Linear over the axis on which no units lie."""

    def __init__(self, tokens: int, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, hidden), nn.GELU(), nn.Linear(hidden, tokens))
        self.channels = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(x)


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 6)
        self.blocks = nn.Sequential(MixerBlock(4, 6, 3), MixerBlock(4, 6, 3))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(x)).mean(1))


class Decoder(nn.Module):
    """Returns a cache object next to its logits unless it is asked not to, as Hugging Face decoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.down = nn.Embedding(7, 4), nn.Linear(4, 6), nn.Linear(6, 7)

    def forward(self, input_ids: Tensor, use_cache: bool = True) -> dict[str, object]:
        y = F.gelu(self.up(self.embed(input_ids)))
        return {"logits": self.down(y)} | ({"cache": object()} if use_cache else {})


class ClassToken(nn.Module):
    """A class token put before the patches, and a block that updates the class token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.token = nn.Linear(5, 4), nn.Parameter(torch.randn(1, 1, 4))
        self.mix, self.norm, self.head = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), self.embed(x)], 1)
        x = x + torch.cat([self.mix(x[:, :1]), x[:, 1:]], 1)
        return self.head(self.norm(x)[:, 0])


@torch.library.custom_op("netcaliper_tests::shuffled", mutates_args=())
def shuffled(x: Tensor) -> Tensor:
    """An operation of a third party: what it does to the units cannot be seen."""
    return x.flip(-1).clone()


@shuffled.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class ThirdParty(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(shuffled(F.gelu(self.a(x))))))
