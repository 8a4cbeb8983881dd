"""Models of timm and transformers can be built beside a CPU-only torch."""

import torch

from timm_models import import_timm, import_transformers


def test_a_timm_model_is_built_and_runs():
    model = import_timm().create_model("resnet18", pretrained=False, num_classes=7).eval()
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_a_transformers_model_is_built_and_runs():
    library = import_transformers()
    config = library.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=6, vocab_size=11
    )
    model = library.BertModel(config).eval()
    assert model(torch.zeros(2, 5, dtype=torch.long)).last_hidden_state.shape == (2, 5, 8)


def test_asking_again_gives_the_same_module():
    assert import_timm() is import_timm()
