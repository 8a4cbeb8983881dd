"""The models of the provenance benchmark: factories of (model, example), random weights and small inputs."""

from collections.abc import Callable

import table  # noqa: F401 - puts tests on the path
import torch
from torch import Tensor, nn

from bestiary import Lstm, ReusedRelu, TiedAutoencoder, stock
from networks import randomized
from timm_models import import_timm, import_transformers

Made = tuple[nn.Module, object]


class ReusedLinear(nn.Module):
    """One Linear called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        x = torch.tanh(self.b(torch.relu(self.a(x))))
        return self.c(torch.relu(self.b(x)))


class Attending(nn.Module):
    """``nn.MultiheadAttention`` that reads a nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(5, 8), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        x = torch.relu(self.embed(x))
        return self.head(torch.relu(self.attention(x, x, x, need_weights=False)[0]).mean(1))


def of_torch(build: Callable[[], nn.Module], *shape: int) -> Callable[[], Made]:
    return lambda: (build().eval(), torch.randn(shape))


def of_timm(name: str, size: int, **options: object) -> Callable[[], Made]:
    def make() -> Made:
        model = import_timm().create_model(name, pretrained=False, num_classes=10, **options)
        return model.eval(), torch.randn(2, 3, size, size)

    return make


def of_transformers(model: str, config: str, **options: object) -> Callable[[], Made]:
    def make() -> Made:
        library = import_transformers()
        built = getattr(library, model)(getattr(library, config)(**options))
        return built.eval(), {"input_ids": torch.randint(0, 90, (2, 7))}

    return make


TINY = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}

MODELS: dict[str, Callable[[], Made]] = {
    "stock in-place ResNet": lambda: stock(torch.float64),
    "reused ReLU": of_torch(ReusedRelu, 3, 4),
    "reused Linear": of_torch(ReusedLinear, 3, 4),
    "tied autoencoder": of_torch(TiedAutoencoder, 3, 6),
    "LSTM": of_torch(Lstm, 2, 4, 5),
    "nn.MultiheadAttention": of_torch(Attending, 2, 4, 5),
    "nn.TransformerEncoderLayer": of_torch(lambda: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2, 4, 8),
    "resnet18": of_timm("resnet18", 64),
    "resnet50": of_timm("resnet50", 64),
    "densenet121": of_timm("densenet121", 64),
    "mobilenetv3_small_100": of_timm("mobilenetv3_small_100", 64),
    "convnext_atto": of_timm("convnext_atto", 64),
    "vit_tiny_patch16_224": of_timm("vit_tiny_patch16_224", 64, img_size=64, depth=4),
    "swin_tiny_patch4_window7_224": of_timm(
        "swin_tiny_patch4_window7_224", 64, img_size=64, window_size=4, depths=(2, 2, 2, 2)
    ),
    "inception_v3": of_timm("inception_v3", 96),
    "mixer_s32_224": of_timm("mixer_s32_224", 64, img_size=64),
    "GPT-2 tiny": of_transformers(
        "GPT2LMHeadModel",
        "GPT2Config",
        vocab_size=90,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=32,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "Llama tiny, grouped-query": of_transformers(
        "LlamaForCausalLM", "LlamaConfig", **TINY, num_key_value_heads=2, use_cache=False
    ),
    "BERT tiny": of_transformers("BertForSequenceClassification", "BertConfig", **TINY),
    # beyond the list: selective, ghost and squeeze-excite convolutions, gated MLPs, cross-covariance attention
    "skresnet18": of_timm("skresnet18", 64),
    "ghostnet_100": of_timm("ghostnet_100", 64),
    "regnety_002": of_timm("regnety_002", 64),
    "gmlp_s16_224": of_timm("gmlp_s16_224", 64, img_size=64),
    "xcit_nano_12_p16_224": of_timm("xcit_nano_12_p16_224", 64, depth=3),
    "efficientnet_b0": of_timm("efficientnet_b0", 64),
    "coatnet_nano_cc_224": of_timm("coatnet_nano_cc_224", 64, img_size=64),
}


def made(name: str) -> Made:
    """Return a model in float64 with generic weights (norms and layer scales included), and its example."""
    torch.manual_seed(0)
    model, example = MODELS[name]()
    model = randomized(model.double(), 0)
    if isinstance(example, Tensor):
        return model, example.double()
    return model, example
