"""Dimensions against what running shows: random networks, and tiny models of known architectures."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from netcaliper.zoo.models import build as build_zoo
from networks import FAMILIES, build
from structure_oracle import (
    check_by_running,
    check_holders,
    cut_outputs,
    difference,
    outputs,
    random_units,
    state_without,
)
from timm_models import import_timm, import_transformers

TINY = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_units_without_columns_are_as_good_as_gone(family: str, seed: int) -> None:
    model, example = build(family, seed)
    graph = trace(model, example)
    check_holders(graph)
    check_by_running(graph, seed)
    same_columns_as_sites(graph)
    known = {name for dimension in graph.structure.dimensions for name in dimension.sites}
    known |= {name for name, _ in graph.structure.refused}
    assert {site.name for site in graph.sites} <= known, "every site is in a dimension, or refused"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_units_that_are_cut_out_are_gone(family: str, seed: int) -> None:
    model, example = build(family, seed)
    graph, rng = trace(model, example), np.random.default_rng(seed)
    for dimension in graph.structure.dimensions:
        if not dimension.norms and dimension.kind != "heads":  # the number of heads is an attribute of the model
            taken = random_units(dimension, rng)
            masked = outputs(graph, state_without(graph, dimension, taken, ("row", "ride", "column")))
            assert difference(cut_outputs(graph, dimension, taken), masked) <= 1e-9, dimension.name


def same_columns_as_sites(graph: Graph) -> None:
    """The units of an inner dimension are read by the columns that the site of the same units names."""
    for dimension in graph.structure.dimensions:
        if dimension.kind != "inner" or len(dimension.sites) != 1:
            continue
        (name, units), site = next(iter(dimension.sites.items())), None
        site = graph.site(name)
        columns = {consumer.node: consumer.unit_of_column for consumer in dimension.consumers}
        for consumer in site.consumers:
            if consumer.op != "depthwise":
                theirs = np.where(consumer.unit_of_column >= 0, units[consumer.unit_of_column], -1)
                assert columns[consumer.node].tolist() == theirs.tolist(), (name, consumer.name)


def _timm(name: str, size: int, **options: object) -> Callable[[], tuple[nn.Module, object]]:
    return lambda: (
        import_timm().create_model(name, num_classes=5, **options),
        torch.randn(2, 3, size, size, dtype=torch.float64),
    )


def _transformers(model: str, config: str, **options: object) -> Callable[[], tuple[nn.Module, object]]:
    def make() -> tuple[nn.Module, object]:
        library = import_transformers()
        made = getattr(library, model)(getattr(library, config)(**options))
        return made, {"input_ids": torch.randint(0, 40, (2, 7))}

    return make


def _resnext() -> tuple[nn.Module, object]:
    blocks = {"block": import_timm().models.resnet.Bottleneck, "layers": (1, 1, 1, 1), "channels": (4, 4, 4, 4)}
    return _timm("resnet18", 32, **blocks, cardinality=2, base_width=64)()


MODELS: dict[str, Callable[[], tuple[nn.Module, object]]] = {
    "resnext": _resnext,
    "convnext": _timm("convnext_atto", 32, depths=(1, 1, 1, 1), dims=(4, 6, 8, 10)),
    "vit": _timm("vit_tiny_patch16_224", 32, img_size=32, depth=2, embed_dim=24, num_heads=3),
    "swin": _timm(
        "swin_tiny_patch4_window7_224", 32, img_size=32, window_size=4, depths=(2,), num_heads=(3,), embed_dim=24
    ),
    "gpt2": _transformers(
        "GPT2LMHeadModel", "GPT2Config", vocab_size=40, n_embd=16, n_layer=2, n_head=4, n_positions=32,
        bos_token_id=0, eos_token_id=0,
    ),
    "llama": _transformers("LlamaForCausalLM", "LlamaConfig", **TINY, num_key_value_heads=2),
    "bert": _transformers("BertForSequenceClassification", "BertConfig", **TINY),
}  # fmt: skip

COUNTS = {
    # inner, streams, heads, normalizations over the units of every stream
    "resnext": (9, 4, 0, [[], [], [], []]),
    "convnext": (4, 4, 0, [["layer_norm"] * 3] + [["layer_norm"] * 2] * 3),
    "vit": (2, 1, 2, [["layer_norm"] * 5]),
    "swin": (2, 1, 2, [["layer_norm"] * 6]),
    "gpt2": (2, 1, 2, [["layer_norm"] * 5]),
    "llama": (2, 1, 2, [["rms_norm"] * 5]),
    "bert": (3, 1, 2, [["layer_norm"] * 5]),
}


@pytest.mark.parametrize("name", MODELS)
def test_dimensions_of_known_architectures(name: str) -> None:
    torch.manual_seed(0)
    model, example = MODELS[name]()
    graph = trace(model.double().eval(), example)
    check_holders(graph)
    assert check_by_running(graph) >= 2
    kinds = [dimension.kind for dimension in graph.structure.dimensions]
    inner, streams, heads, norms = COUNTS[name]
    assert (kinds.count("inner"), kinds.count("stream"), kinds.count("heads")) == (inner, streams, heads)
    of_streams = [[n.kind for n in d.norms] for d in graph.structure.dimensions if d.kind == "stream"]
    assert of_streams == norms
    assert graph.structure.refused == ()
    assert not any(dimension.frozen.any() for dimension in graph.structure.dimensions)


def test_resnet20_has_a_stem_nine_inner_dimensions_and_three_streams() -> None:
    model = build_zoo("resnet", {"depth": 20, "width": 0.25})
    structure = trace(model.eval(), model.config.example_inputs()).structure
    # the first block has a convolution in its shortcut, so that the stem is in no stream
    by_kind = {kind: [d.units for d in structure.dimensions if d.kind == kind] for kind in ("inner", "stream")}
    assert by_kind == {"inner": [4, 4, 4, 4, 8, 8, 8, 16, 16, 16], "stream": [4, 8, 16]}
    assert structure.refused == ()


def test_heads_of_grouped_query_attention_go_with_their_keys() -> None:
    torch.manual_seed(0)
    model, example = MODELS["llama"]()
    structure = trace(model.double().eval(), example).structure
    heads = structure.dimension("model.layers.0.self_attn")
    held = {holder.names[0].split(".")[-2]: (holder.role, holder.unit.tolist()) for holder in heads.holders}
    assert heads.units == 2
    assert held["q_proj"] == ("row", [0] * 8 + [1] * 8)
    assert held["k_proj"] == held["v_proj"] == ("row", [0] * 4 + [1] * 4)
    assert held["o_proj"] == ("column", [0] * 8 + [1] * 8)
    assert [consumer.name for consumer in heads.consumers] == ["model.layers.0.self_attn.o_proj"]
    inner = structure.dimension("model.layers.0.mlp.swiglu")
    assert {holder.names[0].split(".")[-2] for holder in inner.holders} == {"gate_proj", "up_proj", "down_proj"}


def test_a_tied_embedding_is_held_once_under_both_names() -> None:
    torch.manual_seed(0)
    model, example = MODELS["gpt2"]()
    (stream,) = [d for d in trace(model.double().eval(), example).structure.dimensions if d.kind == "stream"]
    (tied,) = [holder for holder in stream.holders if "transformer.wte.weight" in holder.names]
    assert (set(tied.names), tied.axis, tied.role) == ({"transformer.wte.weight", "lm_head.weight"}, 1, "column")
    assert stream.norms[0].module == "transformer.h.0.ln_1"
    assert [c.through for c in stream.consumers][:1] == [(stream.norms[0].name,)]


def test_filters_of_single_channels_ride() -> None:
    torch.manual_seed(0)
    model, example = MODELS["convnext"]()
    stream = trace(model.double().eval(), example).structure.dimension("stages.0.blocks.0.add")
    roles = {holder.names[0]: (holder.axis, holder.role) for holder in stream.holders}
    assert roles["stages.0.blocks.0.conv_dw.weight"] == (0, "ride")
    assert roles["stages.0.blocks.0.gamma"] == (0, "ride")
    assert "stages.0.blocks.0.conv_dw" not in {consumer.name for consumer in stream.consumers}


def test_the_heads_of_a_table_of_relative_positions_go_with_it() -> None:
    torch.manual_seed(0)
    model, example = MODELS["swin"]()
    structure = trace(model.double().eval(), example).structure
    for block in (0, 1):  # the second one has a mask for shifted windows
        heads = structure.dimension(f"layers.0.blocks.{block}.attn")
        (table,) = [holder for holder in heads.holders if "table" in holder.names[0]]
        assert (table.axis, table.role, table.unit.tolist()) == (1, "ride", [0, 1, 2])


def test_asking_twice_gives_the_same_structure_and_other_weights_keep_it() -> None:
    graph = trace(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).eval(), torch.randn(2, 3))
    other = graph.with_state({name: 2 * tensor for name, tensor in graph.program.tensors.items()})
    assert graph.structure is graph.structure
    (a,), (b,) = graph.structure.dimensions, other.structure.dimensions
    assert (a.name, a.units, len(a.holders)) == (b.name, b.units, len(b.holders)) == ("1", 5, 3)
