"""The trunk, against cutting every node out of the graph and looking whether a path is left."""

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from bestiary import Stock, TwoInputs
from netcaliper.trace.batches import as_batch
from netcaliper.trace.export import export
from netcaliper.trace.program import Program
from netcaliper.trace.trunk import trunk, trunk_sites
from netcaliper.zoo.alexnet import AlexNet
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.resnet import ResNet
from networks import FAMILIES, build


def connected(program: Program, without: str) -> bool:
    """Tell whether data can get from an input to an output around one node."""
    reached = set(program.user_inputs) - {without}
    for step in program.steps:
        tensor = not isinstance(step.node.meta.get("val"), (torch.SymInt, torch.SymBool))
        if step.reads & reached and tensor and step.name != without:
            reached.add(step.name)
    return bool(reached & program.output_names)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_it_is_what_no_path_gets_around(family: str, seed: int) -> None:
    model, example = build(family, seed)
    program = Program(export(model, as_batch(example)).program, {})
    found = trunk(program)
    depends = set(program.user_inputs)
    for step in program.steps:
        if step.reads & depends and isinstance(step.node.meta.get("val"), Tensor):
            depends.add(step.name)
            assert (step.name in found) == (not connected(program, step.name))
    assert found & program.output_names


@pytest.mark.parametrize(("width", "units"), [(1.0, [16, 16, 32, 64]), (0.5, [8, 8, 16, 32])])
def test_of_a_resnet_the_paper_reads_the_stem_and_the_outputs_of_the_stages(width: float, units: list[int]) -> None:
    graph = nc.trace(ResNet(depth=8, width=width, recipe="tf").eval(), torch.randn(2, 3, 32, 32))
    assert [site.name for site in trunk_sites(graph)] == ["act", *(f"stages.{i}.0.act2" for i in range(3))]
    assert [site.units for site in trunk_sites(graph)] == units


def test_a_stem_without_a_projection_behind_it_belongs_to_the_first_stage() -> None:
    graph = nc.trace(ResNet(depth=8, width=0.5, recipe="nguyen").eval(), torch.randn(2, 3, 32, 32))
    assert [site.name for site in trunk_sites(graph)] == [f"stages.{i}.0.act2" for i in range(3)]


@pytest.mark.parametrize(
    ("model", "shape"), [(MLP(10, [6, 5, 4], 3), (10,)), (AlexNet(width=0.25, classes=10), (3, 32, 32))]
)
def test_of_a_chain_it_reads_every_hidden_activation(model: nn.Module, shape: tuple[int, ...]) -> None:
    graph = nc.trace(model.eval(), torch.randn(2, *shape))
    hidden = [site for site in graph.sites if site.kind == "activation"]
    assert list(trunk_sites(graph)) == hidden
    assert len(hidden) == (3 if len(shape) == 1 else 4)


class Beside(nn.Module):
    """An output beside the logits, a value made of a shape alone, and what reads no input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = torch.relu(self.a(x))
        shift = torch.zeros_like(x).sum() + torch.arange(x.shape[0]).sum()
        second = torch.relu(self.b(first)) + shift
        return self.c(second), first.mean(1)


def test_every_output_counts_and_shapes_do_not() -> None:
    graph = nc.trace(Beside().eval(), torch.randn(3, 4))
    assert [site.name for site in trunk_sites(graph)] == ["relu"]


def test_of_two_inputs_each_opens_a_path() -> None:
    graph = nc.trace(TwoInputs().eval(), (torch.randn(3, 4), torch.randn(3, 3)))
    (product,) = graph.sites
    inside = trunk(graph.program)
    assert product.node in inside
    assert not inside & set(product.inputs)
    assert trunk_sites(graph) == ()  # a gate is no activation


def test_a_squeeze_and_excitation_is_gone_around() -> None:
    graph = nc.trace(Stock(4).eval(), torch.randn(2, 3, 16, 16))
    assert not [site.name for site in trunk_sites(graph) if site.name.startswith("se.")]


def test_a_network_of_no_steps_has_no_trunk() -> None:
    program = Program(export(nn.Identity(), as_batch(torch.randn(2, 3))).program, {})
    assert trunk(program) == frozenset()
