"""Weighted calls: what is found, where a constant goes, and what lies beside it in a residual sum."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.shrink.calls import Call, find_calls
from netcaliper.trace.graph import NODE, Graph
from netcaliper.zoo.cnn import CNN
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.resnet import ResNet
from netcaliper.zoo.vit import ViT
from networks import FAMILIES, build, randomized
from timm_models import import_transformers


def traced(model: nn.Module, *shape: int, seed: int = 0) -> Graph:
    return nc.trace(randomized(model.double(), seed), torch.randn(*shape).double())


def weighted(model: nn.Module) -> int:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding)
    return sum(isinstance(module, kinds) for module in model.modules())


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (MLP(), (4, 64)),
        (CNN(), (4, 1, 8, 8)),
        (ResNet(8, 0.25, size=8), (4, 3, 8, 8)),
        (ViT(width=8, heads=2), (4, 1, 8, 8)),
    ],
)
def test_every_weighted_call_of_the_zoo_is_found(model, shape):
    calls, refused = find_calls(traced(model, *shape))
    assert len(calls) == weighted(model) - isinstance(model, ViT)  # its positions do not depend on the input
    assert not refused
    assert [call.step for call in calls] == sorted(call.step for call in calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_of_random_networks_every_call_is_found_or_refused_with_a_reason(family):
    model, example = build(family, 0)
    graph = nc.trace(model, example)
    calls, refused = find_calls(graph)
    assert len(calls) + len(refused) == weighted(model)
    assert not {call.node for call in calls} & set(refused)
    tensors = graph.program.tensors
    for call in calls:
        rows = call.source.rows(
            _value(graph, call.source.source), graph.example.size, np.zeros(1, int), np.zeros(1, int)
        )
        y = torch.from_numpy(call.matrix(tensors[call.weight])) @ rows[0].double()
        out = call.outputs(_value(graph, call.node), graph.example.size, np.zeros(1, int), np.zeros(1, int))[0]
        shift = 0.0
        if call.constant is not None and call.constant.sign == 1:
            shift = tensors[call.constant.name]
        assert torch.allclose(out, y + shift, atol=1e-12)


def _value(graph: Graph, node: str) -> Tensor:
    seen: list[Tensor] = []
    if node in graph.program.user_inputs:
        return graph.input(graph.example, node)
    graph.run(graph.example, taps={NODE + node: lambda value, *_: seen.append(value)})
    return seen[0]


# ---- constants


class Wide(nn.Module):
    """A BatchNorm over another axis than the one that the linear layer makes."""

    def __init__(self):
        super().__init__()
        self.mix, self.norm, self.head = nn.Linear(5, 5, bias=False), nn.BatchNorm1d(5), nn.Linear(25, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.mix(x))).flatten(1))


def constants(graph: Graph) -> list[Call]:
    calls, _ = find_calls(graph)
    return [call for call in calls if call.constant is not None]


@pytest.mark.parametrize(
    ("model", "shape", "many"),
    [(MLP(widths=(6, 5)), (4, 64), 3), (CNN(widths=(4, 5)), (4, 1, 8, 8), 3),
     (ResNet(8, 0.25, size=8), (4, 3, 8, 8), 11),
     (ViT(width=8, heads=2, depth=1), (4, 1, 8, 8), None), (Wide(), (4, 5, 5), 1)],
)  # fmt: skip
def test_a_constant_adds_to_the_output_of_the_call(model, shape, many):
    graph = traced(model, *shape)
    found = constants(graph)
    assert many is None or len(found) == many
    batch = graph.example
    for call in found:
        assert call.constant is not None
        out = _value(graph, call.node)
        c = torch.randn(out.shape[call.makes]).double()
        state = dict(graph.program.tensors)
        state[call.constant.name] = state[call.constant.name] + call.constant.sign * c
        form = c.reshape([-1 if axis == call.makes % out.dim() else 1 for axis in range(out.dim())])
        added = graph.run(batch, overrides={NODE + call.node: lambda value, form=form: value + form}).output
        assert torch.allclose(graph.with_state(state).run(batch).output, added, atol=1e-10), call.name


def test_a_bias_that_several_calls_read_takes_no_constant():
    model: Any = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].bias = model[0].bias
    assert constants(traced(model, 3, 4)) == []


def test_constants_of_addmm():
    library = import_transformers()
    config = library.GPT2Config(
        vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = randomized(library.GPT2Model(config).double(), 0)
    graph = nc.trace(model, {"input_ids": torch.arange(10).reshape(2, 5)})
    calls, refused = find_calls(graph)
    assert {call.name.rpartition(".")[2] for call in calls} == {"c_attn", "c_proj", "c_fc"}
    assert all("embedding" in why for why in refused.values())
    assert all(call.constant is not None and call.constant.name == f"{call.name}.bias" for call in calls)
    for call in calls:
        rows = call.source.rows(_value(graph, call.source.source), 2, np.array([1]), np.array([3]))
        y = torch.from_numpy(call.matrix(graph.program.tensors[call.weight])) @ rows[0]
        out = call.outputs(_value(graph, call.node), 2, np.array([1]), np.array([3]))[0]
        assert torch.allclose(out, y + graph.program.tensors[f"{call.name}.bias"])


# ---- beside


class Scaled(nn.Module):
    """ConvNeXt-like: channels last, a factor by channel in front of the sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.up, self.down, self.gamma = nn.Linear(6, 9), nn.Linear(9, 6), nn.Parameter(torch.randn(6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.mix(x).permute(0, 2, 3, 1)
        x = x.permute(0, 2, 3, 1) + self.gamma * self.down(torch.nn.functional.gelu(self.up(y)))
        return self.head(x.mean((1, 2)))


class AcrossColumns(nn.Module):
    """A factor along another axis than the channels, of the same size."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.gamma = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1), nn.Parameter(torch.randn(6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.gamma * self.conv(torch.relu(x))).mean((2, 3)))


class NormAcross(nn.Module):
    """A BatchNorm along another axis than the linear layer's outputs, of the same size."""

    def __init__(self):
        super().__init__()
        self.mix, self.norm, self.head = nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Linear(25, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.tanh() + self.norm(self.mix(x.tanh()))).flatten(1))


def beside(graph: Graph) -> dict[str, Call]:
    return {call.name: call for call in find_calls(graph)[0] if call.beside is not None}


def check_sums(graph: Graph) -> None:
    """What is added to a call's output over its scale is added to the sum, and its other operand is as named."""
    sums = {site.node for site in graph.sites if site.kind == "stream"}
    steps = {step.name: step for step in graph.program.steps}
    for call in beside(graph).values():
        assert call.beside is not None
        out = _value(graph, call.node)
        error = torch.randn(out.shape).double()
        scale = torch.ones(out.shape[call.makes]) if call.beside.scale is None else torch.from_numpy(call.beside.scale)
        form = scale.reshape([-1 if axis == call.makes % out.dim() else 1 for axis in range(out.dim())])
        node = min(
            (name for name in sums if call.beside.node in steps[name].reads and steps[name].index > call.step),
            key=lambda name: steps[name].index,
        )
        seen: list[Tensor] = []
        graph.run(
            graph.example, overrides={NODE + call.node: lambda value, e=error / form: value + e},
            taps={NODE + node: lambda value, *_, seen=seen: seen.append(value)},
        )  # fmt: skip
        assert torch.allclose(seen[0], _value(graph, node) + error, atol=1e-9), call.name
        assert steps[call.beside.node].index < call.step


def test_beside_in_a_resnet():
    """Of a block with a projection the shortcut is computed last: it sees what the branch has lost."""
    graph = traced(ResNet(14, 0.25, size=8), 4, 3, 8, 8)
    found = beside(graph)
    assert len(found) == 6
    assert all(call.beside is not None and call.beside.scale is not None for call in found.values())
    assert {"stages.0.1.conv2", "stages.1.1.conv2", "stages.2.1.conv2"} <= set(found)
    check_sums(graph)


def test_beside_in_a_transformer():
    graph = traced(ViT(width=8, heads=2, depth=2), 4, 1, 8, 8)
    found = beside(graph)
    assert len(found) == 4
    assert all(call.beside is not None and call.beside.scale is None for call in found.values())
    check_sums(graph)


def test_beside_with_a_layer_scale():
    graph = traced(Scaled(), 4, 3, 5, 5)
    found = beside(graph)
    assert set(found) == {"down"}
    assert found["down"].beside is not None
    assert found["down"].beside.scale is not None
    assert np.allclose(found["down"].beside.scale, graph.program.tensors["gamma"].detach().numpy())
    check_sums(graph)


def test_a_factor_along_another_axis_is_none():
    assert "conv" not in beside(traced(AcrossColumns(), 4, 3, 6, 6))
    graph = traced(NormAcross(), 4, 5, 5)
    assert "mix" not in beside(graph)
    check_sums(graph)


@pytest.mark.parametrize("family", ["residual", "attention_ffn"])
def test_beside_in_random_networks(family):
    check_sums(nc.trace(*build(family, 3)))
