"""Random small networks of every family that the graph has to read: for property tests and for planting units.

Every network is a function of (family, seed); widths, depths, activations and the way they are written (module,
in-place, functional, reused, written out) vary with the seed.
"""

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAMILIES = ("mlp", "conv", "residual", "depthwise", "concat", "squeeze_excite", "attention_ffn")

MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu_inplace": lambda: nn.ReLU(inplace=True),
    "relu6": nn.ReLU6,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "prelu": nn.PReLU,
}


class Functional(nn.Module):
    """An activation called as a function, or written out, by a module that has something else to do as well."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.inner = nn.Identity()  # so that this is no leaf: its calls are functional calls

    def forward(self, x: Tensor) -> Tensor:
        if self.style == "relu":
            return F.relu(self.inner(x))
        if self.style == "sigmoid":
            return torch.sigmoid(self.inner(x))
        if self.style == "written_out_silu":
            return x * torch.sigmoid(x)
        if self.style == "written_out_gelu":
            return 0.5 * x * (1.0 + torch.tanh(0.7978845608 * (x + 0.044715 * torch.pow(x, 3.0))))
        return torch.clamp(x, min=0.0)


def activation(rng: random.Random) -> nn.Module:
    if rng.random() < 0.3:
        return Functional(rng.choice(["relu", "sigmoid", "written_out_silu", "written_out_gelu", "clamp"]))
    return MODULES[rng.choice(sorted(MODULES))]()


def randomized(model: nn.Module, seed: int) -> nn.Module:
    """Give every weight, BatchNorm statistics included, values that leave no unit at zero by accident."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if not tensor.is_floating_point():
                    continue
                noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                if name == "running_var":
                    noise = noise.abs() + 0.5
                elif tensor.dim() <= 1 and name == "weight":
                    noise = 1.0 + 0.2 * noise
                elif tensor.dim() > 1:
                    noise = noise / (tensor[0].numel() ** 0.5) * 1.2
                else:
                    noise = 0.3 * noise
                tensor.copy_(noise)
    return model.eval()


class Block(nn.Module):
    """A residual block as torchvision writes it: one in-place ReLU for both calls, ``out += identity``."""

    def __init__(self, c_in: int, c_mid: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_mid, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_mid)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(c_mid, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        plain = c_in == c_out and stride == 1
        self.downsample = None if plain else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))
        return x * gate


class InvertedResidual(nn.Module):
    def __init__(self, channels: int, hidden: int, act: nn.Module, squeeze: bool) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden))
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.act = act
        self.squeeze = SqueezeExcite(hidden, max(1, hidden // 3)) if squeeze else nn.Identity()
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.expand(x))
        y = self.act(self.depthwise(y))
        return x + self.project(self.squeeze(y))


class DenseLayer(nn.Module):
    def __init__(self, channels: int, growth: int, act: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.act = act
        self.conv = nn.Conv2d(channels, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(self.act(self.norm(x)))], 1)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, gated: str, act: nn.Module) -> None:
        super().__init__()
        self.gated, self.act = gated, act
        self.up = nn.Linear(width, 2 * hidden if gated in ("chunk", "glu") else hidden)
        self.gate = nn.Linear(width, hidden) if gated == "two" else None
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.gated == "glu":
            return self.down(F.glu(self.up(x), -1))
        if self.gated == "chunk":
            value, gate = self.up(x).chunk(2, -1)
            return self.down(value * F.silu(gate))
        if self.gate is not None:
            return self.down(F.silu(self.gate(x)) * self.up(x))
        return self.down(self.act(self.up(x)))


class TransformerBlock(nn.Module):
    def __init__(self, rng: random.Random, width: int, heads: int) -> None:
        super().__init__()
        norm = nn.LayerNorm if rng.random() < 0.6 else RMSNorm
        self.norm1, self.norm2 = norm(width), norm(width)
        self.attention = Attention(width, heads, fused=rng.random() < 0.5)
        gated = rng.choice(["none", "none", "two", "chunk", "glu"])
        self.mlp = FeedForward(width, rng.randint(3, 10), gated, activation(rng))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Tokens(nn.Module):
    def __init__(self, rng: random.Random, width: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.position = nn.Parameter(torch.randn(1, 16, width))
        self.blocks = nn.Sequential(*(TransformerBlock(rng, width, heads) for _ in range(rng.randint(1, 2))))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position[:, : tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)).mean(1))


class Branches(nn.Module):
    """An Inception-like module: parallel branches, concatenated, one of them pooled, then read by a linear layer."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        a, b = rng.randint(2, 5), rng.randint(2, 5)
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.act = activation(rng)
        self.a = nn.Sequential(nn.Conv2d(channels, a, 1), activation(rng))
        self.b = nn.Sequential(nn.Conv2d(channels, b, 3, padding=1), nn.BatchNorm2d(b), activation(rng))
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.dense = DenseLayer(a + b + channels, rng.randint(2, 4), activation(rng))
        width = a + b + channels + self.dense.conv.out_channels
        self.head = nn.Linear(width * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        x = torch.cat([self.a(x), self.b(x), self.pool(x)], 1)
        x = F.adaptive_avg_pool2d(self.dense(x), 4)
        return self.head(torch.flatten(x, 1))


def _mlp(rng: random.Random) -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = []
    width = inputs = rng.randint(3, 8)
    shared = activation(rng)
    for _ in range(rng.randint(1, 3)):
        new = rng.randint(2, 10)
        layers.append(nn.Linear(width, new))
        if rng.random() < 0.3:
            layers.append(rng.choice([nn.BatchNorm1d, nn.LayerNorm])(new))
        layers.append(shared if rng.random() < 0.3 else activation(rng))
        if rng.random() < 0.3:
            layers.append(nn.Dropout(0.5))
        width = new
    return nn.Sequential(*layers, nn.Linear(width, 3)), torch.randn(4, inputs)


def _conv(rng: random.Random) -> tuple[nn.Module, Tensor]:
    a, b, c = (rng.randint(2, 8) for _ in range(3))
    pool = rng.choice([nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(a, a, 2, 2)])
    layers = [
        nn.Conv2d(3, a, 3, padding=rng.randint(0, 1)),
        nn.BatchNorm2d(a),
        activation(rng),
        pool,
        nn.Conv2d(a, b, 3, padding=1),
    ]
    layers += [
        rng.choice([nn.BatchNorm2d(b), nn.GroupNorm(1, b), nn.InstanceNorm2d(b)]),
        activation(rng),
        nn.ZeroPad2d(1),
    ]
    layers += [nn.Conv2d(b, c, 3), activation(rng)]
    if rng.random() < 0.5:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 4)]
    else:
        layers += [nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(c * 4, 4)]
    return nn.Sequential(*layers), torch.randn(4, 3, 8, 8)


def _residual(rng: random.Random) -> tuple[nn.Module, Tensor]:
    a, b = rng.randint(2, 6), rng.randint(2, 6)
    blocks = [Block(a, rng.randint(2, 6), a, 1), Block(a, rng.randint(2, 6), b, 2), Block(b, rng.randint(2, 6), b, 1)]
    stem = [nn.Conv2d(3, a, 3, padding=1), nn.BatchNorm2d(a), nn.ReLU(inplace=True)]
    return nn.Sequential(*stem, *blocks[: rng.randint(1, 3)], nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.randn(
        4, 3, 8, 8
    )


def _headed(network: nn.Module, example: Tensor) -> tuple[nn.Module, Tensor]:
    with torch.no_grad():
        width = network.eval()(example).shape[1]
    return nn.Sequential(*network, nn.Linear(width, 4)), example  # type: ignore[misc]


def _depthwise(rng: random.Random, *, squeeze: bool) -> tuple[nn.Module, Tensor]:
    c = rng.randint(2, 5)
    blocks = [InvertedResidual(c, rng.randint(3, 8), activation(rng), squeeze) for _ in range(rng.randint(1, 2))]
    layers = [
        nn.Conv2d(3, c, 3, padding=1),
        activation(rng),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(c, 4),
    ]
    return nn.Sequential(*layers), torch.randn(4, 3, 6, 6)


def build(family: str, seed: int) -> tuple[nn.Module, Tensor]:
    """Return a network of a family with random weights (float64, eval mode) and an example batch of four."""
    rng = random.Random(f"{family} {seed}")
    torch.manual_seed(rng.randrange(2**31))
    if family == "mlp":
        model, example = _mlp(rng)
    elif family == "conv":
        model, example = _conv(rng)
    elif family == "residual":
        model, example = _headed(*_residual(rng))
    elif family == "depthwise":
        model, example = _depthwise(rng, squeeze=False)
    elif family == "squeeze_excite":
        model, example = _depthwise(rng, squeeze=True)
    elif family == "concat":
        model, example = Branches(rng, rng.randint(2, 5)), torch.randn(4, 3, 6, 6)
    elif family == "attention_ffn":
        heads = rng.choice([1, 2])
        model, example = Tokens(rng, heads * rng.randint(2, 4), heads), torch.randint(0, 11, (4, 6))
    else:
        raise ValueError(family)
    model = randomized(model.double(), rng.randrange(2**31))
    return model, example.double() if example.is_floating_point() else example
