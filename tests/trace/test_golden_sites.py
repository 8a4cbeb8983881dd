"""The sites of eleven architectures, kept as text and checked by hand against the architectures.

One line a site: name, kind, operation, units, axis, consumers (name and number of columns that read units), other
readers, barriers, coupled group, and why it was refused. Accept changes, after reading them, with

    NETCALIPER_ACCEPT_GOLDEN=1 pytest tests/trace/test_golden_sites.py
"""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bestiary import stock
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site
from netcaliper.trace.trace import trace
from netcaliper.zoo.models import build
from timm_models import import_timm, import_transformers

FOLDER = Path(__file__).parent.parent / "golden" / "sites"
TINY = {
    "vocab_size": 90,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "use_cache": False,
}
SMALL = TINY | {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def _timm(name: str, size: int, **options: object) -> Callable[[], tuple[nn.Module, object]]:
    def make() -> tuple[nn.Module, object]:
        return import_timm().create_model(name, num_classes=10, **options), torch.randn(2, 3, size, size)

    return make


def _transformers(model: str, config: str, **options: object) -> Callable[[], tuple[nn.Module, object]]:
    def make() -> tuple[nn.Module, object]:
        library = import_transformers()
        return getattr(library, model)(getattr(library, config)(**options)), {"input_ids": torch.randint(0, 90, (2, 7))}

    return make


def _zoo(name: str, **options: object) -> Callable[[], tuple[nn.Module, object]]:
    def make() -> tuple[nn.Module, object]:
        model = build(name, {"width": 32, "depth": 2, "ffn": 48, **options})
        return model, model.config.example_inputs()

    return make


MODELS: dict[str, Callable[[], tuple[nn.Module, object]]] = {
    "stock_resnet": stock,
    "densenet121": _timm("densenet121", 32),
    "mobilenetv3_small_100": _timm("mobilenetv3_small_100", 64),
    "convnext_atto": _timm("convnext_atto", 32),
    "vit_tiny_patch16_224": _timm("vit_tiny_patch16_224", 32, img_size=32),
    "swin_tiny_patch4_window7_224": _timm("swin_tiny_patch4_window7_224", 64, img_size=64, window_size=4),
    "gpt2_tiny": _transformers("GPT2LMHeadModel", "GPT2Config", **TINY, n_embd=32, n_layer=2, n_head=4, n_positions=32),
    "llama_tiny": _transformers("LlamaForCausalLM", "LlamaConfig", **SMALL, num_key_value_heads=2),
    "zoo_vit": _zoo("vit"),
    "zoo_decoder": _zoo("decoder", gated=True, activation="silu", tied=True),
    "zoo_encoder_decoder": _zoo("encoder_decoder", decoder_depth=1),
}


@pytest.mark.parametrize("name", MODELS)
def test_sites_are_those_on_file(name: str) -> None:
    torch.manual_seed(0)
    model, example = MODELS[name]()
    lines = listing(trace(model.eval(), example, name=name))
    path = FOLDER / f"{name}.txt"
    if os.environ.get("NETCALIPER_ACCEPT_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
    on_file = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    difference = "".join(difflib.unified_diff(on_file, lines, str(path.name), "traced now", n=1))
    assert not difference, (
        f"the sites of {name} have changed; if that is right, set NETCALIPER_ACCEPT_GOLDEN=1\n{difference}"
    )


def listing(graph: Graph) -> list[str]:
    """Return the sites, groups and skipped places of a graph, a line each."""
    lines = [_line(site) for site in graph.sites]
    for group in graph.groups:
        lines.append(
            f"group {group.name}: {group.units} units, {group.frozen} frozen, {len(group.sites)} sites,"
            f" {len(group.producers)} producers, {len(group.consumers)} consumers\n"
        )
    return lines + [f"skipped {name}: {reason}\n" for name, reason in graph.skipped]


def _line(site: Site) -> str:
    consumers = [f"{c.name} [{np.count_nonzero(c.unit_of_column >= 0)}]{_through(c.through)}" for c in site.consumers]
    parts = [
        f"{site.name}: {site.kind} {site.op}, {site.units} units on axis {site.axis}",
        f"read by {', '.join(consumers) or 'no weight'}",
        *([f"then {', '.join(site.readers)}"] if site.readers else []),
        *([f"barriers {', '.join(site.barriers)}"] if site.barriers else []),
        *([f"group {site.group}"] if site.group else []),
        *([f"refused: {site.refused}"] if site.refused else []),
    ]
    return "; ".join(parts) + "\n"


def _through(norms: tuple[str, ...]) -> str:
    return f" through {', '.join(norms)}" if norms else ""
