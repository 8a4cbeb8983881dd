"""A run that stops and goes on is the run, bit for bit."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import netcaliper as nc
from bestiary import FixedBatch
from netcaliper.errors import InputError
from netcaliper.trace.batches import as_batch
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.walk import Walk
from networks import FAMILIES, build


@cache
def traced(family: str) -> tuple[Graph, list]:
    """Return a network and two batches of different size."""
    model, example = build(family, 1)
    graph = nc.trace(model, example)
    return graph, [as_batch(example, form=graph.form), as_batch(example[:3].flip(0), form=graph.form)]


def outputs(walk: Walk, graph: Graph) -> list[Tensor]:
    walk.before(len(graph.program.steps))
    (name,) = graph.program.output_names
    return walk.value(name)


def alike(found: list[Tensor], graph: Graph, batches: list, **given) -> bool:
    runs = [graph.run(batch, **given).output for batch in batches]
    return all(torch.equal(a, b) for a, b in zip(found, runs, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_stopping_before_every_step_is_one_run(family):
    graph, batches = traced(family)
    values: list[dict[str, Tensor]] = [{}, {}]
    for batch, seen in zip(batches, values, strict=True):
        graph.run(batch, taps={NODE + s.name: lambda v, *_, n=s.name, seen=seen: seen.update({n: v})
                               for s in graph.program.steps if isinstance(s.node.meta["val"], Tensor)})  # fmt: skip
    walk = Walk(graph, batches)
    for step in graph.program.steps:
        walk.before(step.index)
        walk.before(step.index)  # again: nothing is run twice
        for read in step.reads & values[0].keys():
            assert all(torch.equal(a, seen[read]) for a, seen in zip(walk.value(read), values, strict=True))
    assert alike(outputs(walk, graph), graph, batches)


@settings(max_examples=6)
@given(family=st.sampled_from(FAMILIES), draw=st.randoms(use_true_random=False))
def test_a_weight_that_is_replaced_before_it_is_read_is_another_state(family, draw):
    graph, batches = traced(family)
    names = [n for n in graph.program.parameters if graph.program.fixed(n).is_floating_point()]
    node = draw.choice(names)
    readers = [step.index for step in graph.program.steps if node in step.reads]
    new = graph.program.fixed(node) * 1.5
    walk = Walk(graph, batches)
    walk.before(min(readers, default=0))
    walk.replace(node, new)
    found = outputs(walk, graph)
    state = {**graph.program.tensors, graph.program.parameters[node]: new}
    assert alike(found, graph.with_state(state), batches)


@settings(max_examples=6)
@given(family=st.sampled_from(FAMILIES), draw=st.randoms(use_true_random=False))
def test_zero_nodes_are_overrides(family, draw):
    graph, batches = traced(family)
    steps = [s.name for s in graph.program.steps if isinstance(s.node.meta["val"], Tensor)]
    zero = draw.sample(steps, 2)
    found = outputs(Walk(graph, batches, zero=zero), graph)
    assert alike(found, graph, batches, overrides={NODE + name: torch.zeros_like for name in zero})


def test_values_that_nothing_reads_any_more_are_gone():
    graph, batches = traced("mlp")
    walk = Walk(graph, batches)
    first = graph.program.steps[0].name
    walk.before(1)
    assert walk.value(first)
    walk.before(len(graph.program.steps))
    with pytest.raises(KeyError):
        walk.value(first)


def test_a_graph_of_one_batch_size_takes_batches_of_that_size_only():
    model, x = FixedBatch().eval(), torch.randn(2, 4)
    graph = nc.trace(model, x)
    batch = as_batch(x, form=graph.form)
    assert alike(outputs(Walk(graph, [batch]), graph), graph, [batch])
    with pytest.raises(InputError, match=r"`batches` must hold 2 examples each, .* got 3"):
        Walk(graph, [batch, batch.repeated(3)])
