"""Heads, hidden units and streams of transformers, cut out of the libraries' own modules."""

from typing import Any

import numpy as np
import pytest
import torch

from cut_structures import check, dimension, gone, traceable, traced
from netcaliper.surgery.cut import cut_checked
from networks import randomized
from timm_models import import_timm, import_transformers

IDS = torch.arange(18).reshape(3, 6) * 7 % 31


def attention(path, weights, units, each, out):
    """Return the heads of an attention; weights that hold q, k and v one after the other have ``3 each`` units."""
    unit = np.repeat(np.arange(units), each)
    places = [(f"{path}.{name}", axis, "row", np.tile(unit, fused)) for name, axis, fused in weights]
    return dimension(path, units, *places, (f"{path}.{out[0]}", out[1], "column", unit), kind="heads")


def transformer(name, **settings) -> Any:
    library = import_transformers()
    torch.manual_seed(0)
    config = getattr(library, name[0])(vocab_size=31, bos_token_id=0, eos_token_id=0, **settings)
    return randomized(getattr(library, name[1])(config), 0)


def test_heads_of_gpt2_and_its_tied_embedding():
    model = transformer(("GPT2Config", "GPT2LMHeadModel"), n_positions=16, n_embd=24, n_layer=2, n_head=4)
    fused = [("c_attn.weight", 1, 3), ("c_attn.bias", 0, 3)]
    heads = [attention(f"transformer.h.{i}.attn", fused, 4, 6, ("c_proj.weight", 0)) for i in (0, 1)]
    stays = [
        (f"transformer.h.{i}.{name}", axis)
        for i in (0, 1)
        for name, axis in (
            ("attn.c_attn.weight", 0), ("attn.c_proj.weight", 1), ("attn.c_proj.bias", 0), ("mlp.c_fc.weight", 0),
            ("mlp.c_proj.weight", 1), ("mlp.c_proj.bias", 0), ("ln_1.weight", 0), ("ln_1.bias", 0), ("ln_2.weight", 0),
            ("ln_2.bias", 0),
        )
    ]  # fmt: skip
    norms = [(f"transformer.{name}", "layer_norm") for name in ("h.0.ln_1", "h.0.ln_2", "h.1.ln_1", "h.1.ln_2", "ln_f")]
    embeddings = (("transformer.wte.weight,lm_head.weight", 1), ("transformer.wpe.weight", 1))
    final = (("transformer.ln_f.weight", 0), ("transformer.ln_f.bias", 0))
    width = dimension("stream", 24, *embeddings, *stays, *final, kind="stream", norms=norms)
    graph = traced(model, {"input_ids": IDS}, *heads, width)
    removed = {heads[0].name: gone(4, 1), heads[1].name: gone(4, 0, 3)}
    found = check(graph, removed).module
    attn = found.transformer.h[1].attn
    assert (attn.num_heads, attn.split_size, attn.head_dim, attn.c_attn.nf, attn.c_proj.nx) == (2, 12, 6, 36, 12)
    assert model.transformer.h[1].attn.num_heads == 4
    # cut together with the stream, which ends in the tied embedding
    found = check(graph, {**removed, "stream": gone(24, 3, 20)}).module
    assert found.lm_head.weight is found.transformer.wte.weight
    assert found.lm_head.in_features == found.transformer.wte.embedding_dim == 22


def llama():
    model = transformer(
        ("LlamaConfig", "LlamaForCausalLM"), hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    found, places, norms = [], [("model.embed_tokens.weight", 1), ("model.norm.weight", 0), ("lm_head.weight", 1)], []
    kv, q = np.repeat(np.arange(2), 4), np.repeat(np.arange(2), 8)
    for i in (0, 1):
        at = f"model.layers.{i}"
        rows = [(f"{at}.self_attn.{n}_proj.weight", 0, "row", unit) for n, unit in (("q", q), ("k", kv), ("v", kv))]
        out = (f"{at}.self_attn.o_proj.weight", 1, "column", q)
        found.append(dimension(f"{at}.self_attn", 2, *rows, out, kind="heads"))
        inner = [(f"{at}.mlp.gate_proj.weight", 0), (f"{at}.mlp.up_proj.weight", 0)]
        found.append(dimension(f"{at}.mlp", 20, *inner, (f"{at}.mlp.down_proj.weight", 1, "column")))
        reads = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
        places += [(f"{at}.{name}.weight", 1, "column") for name in reads]
        places += [(f"{at}.self_attn.o_proj.weight", 0), (f"{at}.mlp.down_proj.weight", 0)]
        places += [(f"{at}.{name}_layernorm.weight", 0) for name in ("input", "post_attention")]
        norms += [(f"{at}.{name}_layernorm", "rms_norm") for name in ("input", "post_attention")]
    norms.append(("model.norm", "rms_norm"))
    return model, [*found, dimension("stream", 16, *places, kind="stream", norms=norms)]


def test_grouped_query_heads_and_ffn_of_llama():
    model, dimensions = llama()
    graph = traced(model, {"input_ids": IDS}, *dimensions)
    removed = {
        "model.layers.0.self_attn": gone(2, 1),
        "model.layers.0.mlp": gone(20, 1, 2),
        "model.layers.1.mlp": gone(20, 7),
    }
    found = check(graph, removed).module
    assert found.model.layers[0].self_attn.q_proj.out_features == 8
    assert torch.equal(found.lm_head.weight, model.lm_head.weight)
    assert [layer.mlp.intermediate_size for layer in found.model.layers] == [18, 19]


def test_the_rms_normed_stream_of_llama():
    """Its norms compute in float32 whatever the weights are, so that float64 is exact to rounding in float32 only."""
    model, dimensions = llama()
    graph = traced(model, {"input_ids": IDS}, *dimensions)
    found: Any = cut_checked(graph, {"stream": gone(16, 3, 4, 9), "model.layers.1.self_attn": gone(2, 0)})
    assert found.differences["float64"] < 5e-6
    assert found.module.model.norm.variance_epsilon == pytest.approx(1e-6 * 16 / 13)
    assert found.module.model.layers[0].mlp.hidden_size == 13
    assert traceable(found, {"input_ids": IDS})


def test_heads_of_bert():
    sizes = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = transformer(("BertConfig", "BertForSequenceClassification"), max_position_embeddings=32, **sizes)
    rows = [(f"self.{name}.{what}", 0, 1) for name in ("query", "key", "value") for what in ("weight", "bias")]
    heads = attention("bert.encoder.layer.0.attention", rows, 4, 6, ("output.dense.weight", 1))
    found = check(traced(model, {"input_ids": IDS}, heads), {heads.name: gone(4, 1)})
    own = found.module.bert.encoder.layer[0].attention.self
    assert (own.num_attention_heads, own.all_head_size, own.attention_head_size) == (3, 18, 6)
    assert model.config.num_attention_heads == found.module.config.num_attention_heads == 4


def test_heads_of_a_timm_vit():
    timm = import_timm()
    vit = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 4, "num_classes": 3}
    model: Any = randomized(timm.models.vision_transformer.VisionTransformer(**vit), 0)
    heads = attention("blocks.0.attn", [("qkv.weight", 0, 3), ("qkv.bias", 0, 3)], 4, 6, ("proj.weight", 1))
    found = check(traced(model, torch.randn(2, 3, 16, 16), heads), {heads.name: gone(4, 0, 2)})
    attn = found.module.blocks[0].attn
    assert (attn.num_heads, attn.attn_dim, attn.head_dim) == (2, 12, 6)
    assert traceable(found, torch.randn(2, 3, 16, 16))
