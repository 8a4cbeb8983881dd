"""The models of the coverage table: one for each architecture family of timm, and small transformers configurations.

timm's are the smallest variant of a family at a small image size where the family takes one. Where even that is large
its depth or width is an integer that is set smaller; no kind of layer is taken away by it. The configurations have the
real structure with tiny sizes. All weights are random.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import table  # noqa: F401 - puts tests on the path
import torch
from torch import Tensor, nn

from timm_models import import_timm, import_transformers

CLASSES = 10
TOKENS = 90
LENGTH = 12


@dataclass(frozen=True)
class Entry:
    """A model of the table.

    Attributes:
        library: ``timm`` or ``transformers``.
        name: timm's name, or the class of the model with a word on its configuration.
        build: makes it with the weights that torch's random state gives.
        inputs: makes random examples, ``inputs(n)``.
        options: what was set, for the table.
    """

    library: str
    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Any]
    options: dict[str, Any]


# ---- timm: name, image size, options


TIMM: dict[str, tuple[int, dict[str, Any]]] = {
    "beit_base_patch16_224": (64, {"img_size": 64, "embed_dim": 96, "depth": 3, "num_heads": 3}),
    "botnet26t_256": (128, {"img_size": 128}),
    "halonet26t": (256, {}),
    "lambda_resnet26t": (64, {}),
    "repvgg_a0": (64, {}),
    "mobileone_s0": (64, {}),
    "cait_xxs24_224": (64, {"img_size": 64, "depth": 4}),
    "coat_lite_tiny": (64, {"img_size": 64}),
    "convit_tiny": (64, {"img_size": 64, "depth": 4, "local_up_to_layer": 2}),
    "convnext_atto": (64, {}),
    "convnextv2_atto": (64, {}),
    "cpubone_nano": (64, {}),
    "crossvit_tiny_240": (240, {}),
    "csatv2": (128, {}),
    "cspresnet50": (64, {}),
    "cs3darknet_s": (64, {}),
    "darknet17": (64, {}),
    "cspnext_tiny": (64, {}),
    "davit_tiny": (64, {"depths": (1, 1, 1, 1), "embed_dims": (32, 64, 96, 128), "num_heads": (1, 2, 3, 4)}),
    "deepseek_vit_412m": (84, {"img_size": 84, "embed_dim": 96, "depth": 3, "num_heads": 3}),
    "deit_tiny_distilled_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "deit3_small_patch16_224": (64, {"img_size": 64, "depth": 3, "embed_dim": 192, "num_heads": 3}),
    "densenet121": (64, {}),
    "dla46_c": (64, {}),
    "dpn48b": (64, {}),
    "edgenext_xx_small": (64, {}),
    "efficientformer_l1": (224, {}),
    "efficientformerv2_s0": (224, {}),
    "efficientnet_b0": (64, {}),
    "mixnet_s": (64, {}),
    "efficientvim_m1": (128, {}),
    "efficientvit_b0": (64, {}),
    "efficientvit_m0": (224, {}),
    "eva02_tiny_patch14_224": (56, {"img_size": 56, "depth": 3}),
    "fasternet_t0": (64, {}),
    "fastvit_t8": (64, {}),
    "gcvit_xxtiny": (224, {}),
    "gemma4_vit_167m": (96, {"embed_dim": 96, "depth": 3, "num_heads": 3, "head_dim": 32, "intermediate_size": 192}),
    "ghostnet_050": (64, {}),
    "ghostnetv2_100": (64, {}),
    "ghostnetv3_050": (64, {}),
    "hardcorenas_a": (64, {}),
    "hgnetv2_b0": (64, {}),
    "hiera_tiny_224": (64, {"img_size": 64, "embed_dim": 32, "stages": (1, 1, 2, 1)}),
    "sam2_hiera_tiny": (128, {"embed_dim": 32}),
    "hrnet_w18_small": (64, {}),
    "iformer_t": (64, {}),
    "inception_next_atto": (64, {}),
    "inception_resnet_v2": (96, {}),
    "inception_v3": (96, {}),
    "inception_v4": (96, {}),
    "lcnet_050": (64, {}),
    "lcnetv2_small": (64, {}),
    "levit_128s": (224, {}),
    "lowformer_b0": (64, {}),
    "mambaout_femto": (64, {}),
    "maxvit_pico_rw_256": (64, {"img_size": 64}),
    "coatnet_pico_rw_224": (64, {"img_size": 64}),
    "poolformer_s12": (64, {}),
    "mobilenetv3_small_050": (64, {}),
    "mobilenetv4_conv_small_035": (64, {}),
    "mobilevit_xxs": (64, {}),
    "mobilevitv2_050": (64, {}),
    "naflexvit_base_patch16_gap": (64, {"embed_dim": 96, "depth": 3, "num_heads": 3}),
    "nextvit_small": (64, {}),
    "nf_resnet26": (64, {}),
    "eca_nfnet_l0": (64, {}),
    "pit_ti_224": (64, {"img_size": 64}),
    "pvt_v2_b0": (64, {}),
    "qwen3_vit_88m": (64, {"embed_dim": 96, "depth": 3, "num_heads": 3}),
    "rdnet_tiny": (64, {}),
    "regnety_002": (64, {}),
    "repghostnet_050": (64, {}),
    "repvit_m0_9": (64, {}),
    "res2net50_48w_2s": (64, {}),
    "resnest14d": (64, {}),
    "resnet18": (64, {}),
    "resnetv2_18": (64, {}),
    "rexnet_100": (64, {}),
    "selecsls42": (64, {}),
    "legacy_seresnet18": (64, {}),
    "sequencer2d_s": (64, {"img_size": 64, "layers": (1, 1, 1, 1), "embed_dims": (32, 64, 64, 64)}),
    "shvit_s1": (224, {}),
    "skresnet18": (64, {}),
    "starnet_s050": (64, {}),
    "swiftformer_xs": (64, {}),
    "swin_tiny_patch4_window7_224": (
        64, {"img_size": 64, "window_size": 4, "depths": (2, 2, 2, 2), "embed_dim": 24},
    ),
    "swinv2_tiny_window8_256": (64, {"img_size": 64, "window_size": 4, "depths": (2, 2, 2, 2), "embed_dim": 24}),
    "swinv2_cr_tiny_224": (64, {"img_size": 64, "depths": (2, 2, 2, 2), "embed_dim": 24}),
    "tiny_vit_5m_224": (64, {}),
    "tnt_s_patch16_224": (64, {"img_size": 64, "depth": 3}),
    "tresnet_m": (64, {}),
    "twins_pcpvt_small": (
        64, {"img_size": 64, "depths": (1, 1, 2, 1), "embed_dims": (32, 64, 96, 128), "num_heads": (1, 2, 3, 4)},
    ),
    "twins_svt_small": (64, {"img_size": 64, "depths": (2, 2, 2, 2)}),
    "vgg11": (32, {}),
    "visformer_tiny": (64, {"img_size": 64}),
    "vit_tiny_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "vit_tiny_r_s16_p8_224": (64, {"img_size": 64, "depth": 4}),
    "vit_relpos_small_patch16_224": (64, {"img_size": 64, "depth": 3, "embed_dim": 96, "num_heads": 3}),
    "samvit_base_patch16": (64, {"img_size": 64, "depth": 3, "embed_dim": 96, "num_heads": 3}),
    "vitamin_small_224": (64, {"img_size": 64}),
    "ese_vovnet19b_slim_dw": (64, {}),
    "xception": (96, {}),
    "xception41": (96, {}),
    "xcit_nano_12_p16_224": (64, {"depth": 3}),
}  # fmt: skip

SPATIAL = {"img_size": 64, "patch_size": 16, "num_blocks": 4, "embed_dim": 96}

TIMM_CLASSES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "convmixer": ("convmixer", "ConvMixer", 56, {"dim": 128, "depth": 4, "kernel_size": 7, "patch_size": 7}),
    "focalnet": ("focalnet", "FocalNet", 64, {"embed_dim": 32, "depths": (1, 1, 1, 1)}),
    "mixer": ("mlp_mixer", "MlpMixer", 64, SPATIAL),
    "resmlp": (
        "mlp_mixer", "MlpMixer", 64, SPATIAL | {"mlp_ratio": 4, "block_layer": "ResBlock", "norm_layer": "Affine"},
    ),
    "gmlp": (
        "mlp_mixer", "MlpMixer", 64,
        SPATIAL | {"mlp_ratio": 6, "block_layer": "SpatialGatingBlock", "mlp_layer": "GatedMlp"},
    ),
    "mvitv2": (
        "mvitv2", "MultiScaleVit", 64,
        {"img_size": (64, 64), "cfg": {"depths": (1, 1, 2, 1), "embed_dim": 32, "stride_kv_adaptive": (4, 4)}},
    ),
    "nasnet": ("nasnet", "NASNetALarge", 96, {"stem_size": 16, "num_features": 384}),
    "nest": (
        "nest", "Nest", 64, {"img_size": 64, "embed_dims": (24, 48, 96), "num_heads": (1, 2, 4), "depths": (1, 1, 2)}
    ),
    "volo": (
        "volo", "VOLO", 64,
        {"img_size": 64, "layers": (1, 1, 2, 1), "embed_dims": (48, 96, 96, 96), "num_heads": (2, 3, 3, 3)},
    ),
    "caformer": (
        "metaformer", "MetaFormer", 64,
        {"depths": (1, 1, 2, 1), "dims": (32, 64, 96, 128),
         "token_mixers": ("SepConv", "SepConv", "Attention", "Attention"),
         "norm_layers": ("LayerNorm2dNoBias", "LayerNorm2dNoBias", "LayerNormNoBias", "LayerNormNoBias")},
    ),
}  # fmt: skip
"""Families whose smallest registered variant takes no other size: module, class, pixels, options."""


def _of_timm(name: str, size: int, options: dict[str, Any]) -> Entry:
    def build() -> nn.Module:
        return import_timm().create_model(name, pretrained=False, num_classes=CLASSES, **options).eval()

    return Entry("timm", name, build, lambda n: torch.randn(n, 3, size, size), {"pixels": size, **options})


def _of_timm_class(name: str, module: str, kind: str, size: int, options: dict[str, Any]) -> Entry:
    def build() -> nn.Module:
        import_timm()
        home = import_module(f"timm.models.{module}")
        return getattr(home, kind)(num_classes=CLASSES, **{k: layers(home, v) for k, v in options.items()}).eval()

    def layers(home: Any, value: Any) -> Any:
        """Look up what is named, and make the configuration that is written out."""
        if isinstance(value, str):
            return getattr(home, value)
        if isinstance(value, dict):
            return getattr(home, f"{kind}Cfg")(**value)
        return type(value)(layers(home, item) for item in value) if isinstance(value, tuple) else value

    return Entry("timm", name, build, lambda n: torch.randn(n, 3, size, size), {"pixels": size, **options})


# ---- transformers: a word, model class, configuration class, inputs, options


def _tokens(n: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, TOKENS, (n, LENGTH))}


def _two_sequences(n: int) -> dict[str, Tensor]:
    return {**_tokens(n), "decoder_input_ids": torch.randint(3, TOKENS, (n, LENGTH - 2))}


def _images(size: int) -> Callable[[int], dict[str, Tensor]]:
    return lambda n: {"pixel_values": torch.randn(n, 3, size, size)}


def _spectrograms(n: int) -> dict[str, Tensor]:
    return {"input_features": torch.randn(n, 16, 64), "decoder_input_ids": torch.randint(3, TOKENS, (n, 8))}


def _sounds(n: int) -> dict[str, Tensor]:
    return {"input_values": torch.randn(n, 1600)}


def _audio_patches(n: int) -> dict[str, Tensor]:
    return {"input_values": torch.randn(n, 64, 32)}


def _pairs(n: int) -> dict[str, Tensor]:
    return {**_tokens(n), "pixel_values": torch.randn(n, 3, 32, 32)}


WORDS = {"vocab_size": TOKENS, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
ENCODER = WORDS | SMALL | {"num_labels": CLASSES}
DECODER = WORDS | SMALL | {"use_cache": False}
GROUPED = DECODER | {"num_key_value_heads": 2, "head_dim": 8}
BOTH = WORDS | {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "use_cache": False, "decoder_start_token_id": 0,
    "forced_eos_token_id": 1,
}  # fmt: skip
IMAGE = SMALL | {"image_size": 32, "patch_size": 8, "num_labels": CLASSES}
SOUND = SMALL | {
    "vocab_size": 32, "conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 3,
}  # fmt: skip

Inputs = Callable[[int], dict[str, Tensor]]
TRANSFORMERS: dict[str, tuple[str, str, Inputs, dict[str, Any]]] = {
    # encoders
    "BERT": ("BertForSequenceClassification", "BertConfig", _tokens, ENCODER),
    "RoBERTa": ("RobertaForSequenceClassification", "RobertaConfig", _tokens, ENCODER),
    "DistilBERT": (
        "DistilBertForSequenceClassification", "DistilBertConfig", _tokens,
        {"vocab_size": TOKENS, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "num_labels": CLASSES},
    ),
    "ELECTRA": ("ElectraForSequenceClassification", "ElectraConfig", _tokens, ENCODER | {"embedding_size": 24}),
    "DeBERTa-v2": (
        "DebertaV2ForSequenceClassification", "DebertaV2Config", _tokens,
        ENCODER | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    ),
    "ALBERT": ("AlbertForSequenceClassification", "AlbertConfig", _tokens, ENCODER | {"embedding_size": 24}),
    "MPNet": ("MPNetForSequenceClassification", "MPNetConfig", _tokens, ENCODER),
    "RoFormer": ("RoFormerForSequenceClassification", "RoFormerConfig", _tokens, ENCODER | {"embedding_size": 24}),
    "SqueezeBERT": (
        "SqueezeBertForSequenceClassification", "SqueezeBertConfig", _tokens, ENCODER | {"embedding_size": 32},
    ),
    "ModernBERT": (
        "ModernBertForSequenceClassification", "ModernBertConfig", _tokens,
        ENCODER | {"local_attention": 6, "cls_token_id": 0, "sep_token_id": 1},
    ),
    # decoders
    "GPT-2": (
        "GPT2LMHeadModel", "GPT2Config", _tokens,
        WORDS | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32, "use_cache": False},
    ),
    "GPT-NeoX": ("GPTNeoXForCausalLM", "GPTNeoXConfig", _tokens, DECODER),
    "OPT": (
        "OPTForCausalLM", "OPTConfig", _tokens,
        WORDS | {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                 "word_embed_proj_dim": 32, "max_position_embeddings": 32, "use_cache": False},
    ),
    "BLOOM": (
        "BloomForCausalLM", "BloomConfig", _tokens,
        WORDS | {"hidden_size": 32, "n_layer": 2, "n_head": 4, "use_cache": False},
    ),
    "Llama, grouped-query": ("LlamaForCausalLM", "LlamaConfig", _tokens, GROUPED),
    "Mistral": ("MistralForCausalLM", "MistralConfig", _tokens, GROUPED | {"sliding_window": 6}),
    "Qwen2": ("Qwen2ForCausalLM", "Qwen2Config", _tokens, GROUPED),
    "Qwen3": ("Qwen3ForCausalLM", "Qwen3Config", _tokens, GROUPED),
    "Gemma 2": ("Gemma2ForCausalLM", "Gemma2Config", _tokens, GROUPED | {"sliding_window": 6}),
    "Gemma 3": ("Gemma3ForCausalLM", "Gemma3TextConfig", _tokens, GROUPED | {"sliding_window": 6}),
    "Phi": ("PhiForCausalLM", "PhiConfig", _tokens, DECODER),
    "Phi-3": ("Phi3ForCausalLM", "Phi3Config", _tokens, GROUPED),
    "Falcon": ("FalconForCausalLM", "FalconConfig", _tokens, DECODER),
    "GPT-J": (
        "GPTJForCausalLM", "GPTJConfig", _tokens,
        WORDS | {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "use_cache": False},
    ),
    "StableLM": ("StableLmForCausalLM", "StableLmConfig", _tokens, GROUPED),
    "StarCoder2": ("Starcoder2ForCausalLM", "Starcoder2Config", _tokens, GROUPED),
    "Cohere": ("CohereForCausalLM", "CohereConfig", _tokens, GROUPED),
    "OLMo 2": ("Olmo2ForCausalLM", "Olmo2Config", _tokens, GROUPED),
    "Granite": ("GraniteForCausalLM", "GraniteConfig", _tokens, GROUPED),
    # mixtures of experts
    "Mixtral": (
        "MixtralForCausalLM", "MixtralConfig", _tokens, GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "Qwen2-MoE": (
        "Qwen2MoeForCausalLM", "Qwen2MoeConfig", _tokens,
        GROUPED | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
                   "shared_expert_intermediate_size": 32},
    ),
    "OLMoE": ("OlmoeForCausalLM", "OlmoeConfig", _tokens, GROUPED | {"num_experts": 4, "num_experts_per_tok": 2}),
    # encoder-decoders
    "T5": (
        "T5ForConditionalGeneration", "T5Config", _two_sequences,
        {"vocab_size": TOKENS, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
         "use_cache": False, "decoder_start_token_id": 0},
    ),
    "T5 v1.1, gated": (
        "T5ForConditionalGeneration", "T5Config", _two_sequences,
        {"vocab_size": TOKENS, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
         "use_cache": False, "decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu",
         "tie_word_embeddings": False},
    ),
    "BART": ("BartForConditionalGeneration", "BartConfig", _two_sequences, BOTH | {"max_position_embeddings": 32}),
    "Marian": ("MarianMTModel", "MarianConfig", _two_sequences, BOTH | {"max_position_embeddings": 32}),
    "Pegasus": (
        "PegasusForConditionalGeneration", "PegasusConfig", _two_sequences, BOTH | {"max_position_embeddings": 32},
    ),
    "Whisper": (
        "WhisperForConditionalGeneration", "WhisperConfig", _spectrograms,
        BOTH | {"num_mel_bins": 16, "max_source_positions": 32, "max_target_positions": 32, "suppress_tokens": None,
                "begin_suppress_tokens": None},
    ),
    "Blenderbot": (
        "BlenderbotForConditionalGeneration", "BlenderbotConfig", _two_sequences,
        BOTH | {"max_position_embeddings": 32},
    ),
    "M2M100": (
        "M2M100ForConditionalGeneration", "M2M100Config", _two_sequences, BOTH | {"max_position_embeddings": 32},
    ),
    # vision
    "ViT": ("ViTForImageClassification", "ViTConfig", _images(32), IMAGE),
    "DeiT": ("DeiTForImageClassification", "DeiTConfig", _images(32), IMAGE),
    "Swin": (
        "SwinForImageClassification", "SwinConfig", _images(32),
        {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4,
         "num_labels": CLASSES},
    ),
    "ConvNeXt V2": (
        "ConvNextV2ForImageClassification", "ConvNextV2Config", _images(64),
        {"hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 2, 1], "num_labels": CLASSES},
    ),
    "SegFormer": (
        "SegformerForSemanticSegmentation", "SegformerConfig", _images(64),
        {"hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 4, 4],
         "decoder_hidden_size": 32, "num_labels": CLASSES},
    ),
    "CLIP": (
        "CLIPModel", "CLIPConfig", _pairs,
        {"text_config": WORDS | SMALL | {"max_position_embeddings": 32},
         "vision_config": SMALL | {"image_size": 32, "patch_size": 8}, "projection_dim": 24},
    ),
    "DINOv2": ("Dinov2ForImageClassification", "Dinov2Config", _images(28), IMAGE | {"image_size": 28,
                                                                                    "patch_size": 7}),
    "BEiT": ("BeitForImageClassification", "BeitConfig", _images(32), IMAGE),
    "SigLIP": ("SiglipForImageClassification", "SiglipConfig", _images(32), {
        "text_config": WORDS | SMALL | {"max_position_embeddings": 32},
        "vision_config": SMALL | {"image_size": 32, "patch_size": 8}, "num_labels": CLASSES,
    }),
    # audio
    "Wav2Vec2": ("Wav2Vec2ForCTC", "Wav2Vec2Config", _sounds, SOUND),
    "HuBERT": ("HubertForCTC", "HubertConfig", _sounds, SOUND),
    "AST": (
        "ASTForAudioClassification", "ASTConfig", _audio_patches,
        SMALL | {"num_mel_bins": 32, "max_length": 64, "num_labels": CLASSES},
    ),
    "WavLM": ("WavLMForCTC", "WavLMConfig", _sounds, SOUND),
    # state space
    "Mamba": (
        "MambaForCausalLM", "MambaConfig", _tokens,
        WORDS | {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "use_cache": False},
    ),
}  # fmt: skip


def _of_transformers(word: str, model: str, config: str, inputs: Inputs, options: dict[str, Any]) -> Entry:
    def build() -> nn.Module:
        library = import_transformers()
        made = getattr(library, config)(**options)
        return getattr(library, model)._from_config(made).eval()

    return Entry("transformers", word, build, inputs, {"model": model, **options})


ENTRIES: dict[str, Entry] = {
    **{name: _of_timm(name, size, options) for name, (size, options) in TIMM.items()},
    **{name: _of_timm_class(name, *rest) for name, rest in TIMM_CLASSES.items()},
    **{word: _of_transformers(word, *rest) for word, rest in TRANSFORMERS.items()},
}
