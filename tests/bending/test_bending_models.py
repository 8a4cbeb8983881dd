"""At alpha 0 the bent copy of well-known networks has the bits of the original, checkpointed or not."""

import copy

import pytest
import torch

import netcaliper as nc
from timm_models import import_timm, import_transformers

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
TOKENS = {"input_ids": torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(0))}

TIMM = {
    "resnet18": {"zero_init_last": False},
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 2, "proj_drop_rate": 0.1},
    "convnext_tiny": {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32), "drop_path_rate": 0.1},
    "mobilenetv3_small_050": {"drop_rate": 0.1},
}


def library(load):
    try:
        return load()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"cannot be imported here: {error}")


def results(model, inputs):
    torch.manual_seed(3)
    model.zero_grad()
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    output = output if isinstance(output, torch.Tensor) else output[0]
    (output * torch.linspace(-1.0, 1.0, output.numel()).reshape(output.shape)).sum().backward()
    return output, {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_same(model, inputs, sites, checkpointing):
    bend = nc.Bending(model, inputs)
    assert len(bend.sites) == sites
    for training in (False, True):
        for checkpointed in (False, True):
            plain, bent = copy.deepcopy(model).train(training), copy.deepcopy(bend.model).train(training)
            if checkpointed:
                checkpointing(plain)
                checkpointing(bent)
            (y, theirs), (z, ours) = results(plain, inputs), results(bent, inputs)
            assert torch.equal(y, z)
            for name, gradient in theirs.items():
                found = ours[name]
                assert (gradient is None) == (found is None), name
                assert gradient is None or found is None or torch.equal(gradient, found), name
            alphas = [gradient for name, gradient in ours.items() if name.rpartition(".")[2].startswith("bend_")]
            assert len(alphas) == sites
            assert all(bool((gradient != 0).any()) for gradient in alphas)


@pytest.mark.parametrize(
    ("name", "sites"),
    [("resnet18", 17), ("vit_tiny_patch16_224", 2), ("convnext_tiny", 5), ("mobilenetv3_small_050", 42)],
)
def test_timm(name, sites):
    torch.manual_seed(0)
    model = library(import_timm).create_model(name, num_classes=10, **TIMM[name]).eval()
    assert_same(model, IMAGES, sites, lambda net: net.set_grad_checkpointing(True))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_transformers(family, reentrant):
    hf = library(import_transformers)
    torch.manual_seed(0)
    if family == "gpt2":
        model = hf.GPT2LMHeadModel(
            hf.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
        )
    else:
        model = hf.LlamaForCausalLM(
            hf.LlamaConfig(
                vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                num_key_value_heads=2, max_position_embeddings=32,
            )
        )  # fmt: skip
    model.config.use_cache = False
    enable = (
        "activation_checkpointing_enable"
        if hasattr(model, "activation_checkpointing_enable")
        else "gradient_checkpointing_enable"
    )
    assert_same(model.eval(), TOKENS, 2, lambda net: getattr(net, enable)({"use_reentrant": reentrant}))
