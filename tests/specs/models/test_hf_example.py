"""Every kind of transformers model gets a batch that it takes."""

import pytest
import torch

from netcaliper.specs.models.hf_example import example_batch
from timm_models import import_transformers

transformers = import_transformers()

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 1}
SEQ = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
       "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "vocab_size": 50,
       "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}  # fmt: skip
CASES = {
    "encoder": ("Bert", "Model", SMALL | {"vocab_size": 50}, {"input_ids": (2, 16)}),
    "short encoder": (
        "Bert", "Model", SMALL | {"vocab_size": 50, "max_position_embeddings": 9}, {"input_ids": (2, 9)}
    ),
    "decoder": ("Llama", "ForCausalLM", SMALL | {"vocab_size": 50}, {"input_ids": (2, 16)}),
    "encoder-decoder": (
        "Bart", "ForConditionalGeneration", SEQ, {"input_ids": (2, 16), "decoder_input_ids": (2, 16)}
    ),
    "vision": ("ViT", "Model", SMALL | {"image_size": 16, "patch_size": 8}, {"pixel_values": (2, 3, 16, 16)}),
    "gray": (
        "ViT", "Model", SMALL | {"image_size": 16, "patch_size": 8, "num_channels": 1}, {"pixel_values": (2, 1, 16, 16)}
    ),
    "convolutions": (
        "ResNet", "Model", {"embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"},
        {"pixel_values": (2, 3, 224, 224)},
    ),
    "image and text": (
        "CLIP", "Model",
        {"text_config": SMALL | {"vocab_size": 50}, "vision_config": SMALL | {"image_size": 16, "patch_size": 8}},
        {"input_ids": (2, 16), "pixel_values": (2, 3, 16, 16)},
    ),
    "waveform": (
        "Wav2Vec2", "Model", SMALL | {"conv_dim": (8,), "conv_kernel": (10,), "conv_stride": (5,),
        "num_feat_extract_layers": 1, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
        {"input_values": (2, 16_000)},
    ),
    "spectrogram": ("AST", "Model", SMALL | {"max_length": 64, "num_mel_bins": 32}, {"input_values": (2, 64, 32)}),
    "speech to text": (
        "Whisper", "ForConditionalGeneration",
        SEQ | {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 16},
        {"input_features": (2, 8, 40), "decoder_input_ids": (2, 16)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_model_takes_its_example(case):
    name, kind, values, shapes = CASES[case]
    config = getattr(transformers, f"{name}Config")(**values)
    model = getattr(transformers, f"{name}{kind}")(config).eval()
    make = example_batch(model)
    assert make is not None
    state = torch.get_rng_state()
    batch = make()
    assert torch.equal(state, torch.get_rng_state())
    assert {key: tuple(tensor.shape) for key, tensor in batch.items()} == shapes
    assert all(torch.equal(tensor, batch[key]) for key, tensor in make().items())
    with torch.no_grad():
        model(**batch)


def test_numbers_have_the_dtype_of_the_model():
    config = transformers.ViTConfig(**SMALL, image_size=16, patch_size=8)
    make = example_batch(transformers.ViTModel(config).to(torch.bfloat16))
    assert make is not None
    assert make()["pixel_values"].dtype == torch.bfloat16


def test_inputs_of_another_kind_have_no_example():
    model = transformers.BertModel(transformers.BertConfig(**SMALL, vocab_size=50))
    model.main_input_name = "protein"
    assert example_batch(model) is None
