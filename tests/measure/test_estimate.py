from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.feed.dry_run import dry_run
from netcaliper.feed.protocol import Plan
from netcaliper.measure import network_run
from netcaliper.measure.estimate import available_memory, estimate
from netcaliper.measure.network_run import ABLATION_PASSES, NetworkRun
from netcaliper.measure.static import MEASURES, ONE_PASS
from netcaliper.trace.batches import as_batch


def told(runs, **more):
    graph = runs[0].graph
    return estimate(runs, dry_run(graph, as_batch(torch.randn(3, 4))), 256, **more)


def planned(examples, width=8, names=MEASURES, **more) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    graph = nc.trace(model, torch.randn(3, 4))
    plan = Plan(examples, 0, more.pop("mode", "default"))
    return NetworkRun(graph, graph.sites, plan, ONE_PASS, frozenset(names), parameters=1, macs=92, **more)


def test_one_pass_leaves_verify_examples_out():
    run = planned(1000, names=("unit_states", "redundant"))
    read = 1000 - run.plan.sizes["verify"]
    cost = told([run])
    assert cost.passes == pytest.approx(read / 1000)
    assert cost.macs == 92 * read
    assert (cost.ablated, "units taken away" in str(cost)) == (0, False)


def test_every_further_question_costs_something():
    names = ["unit_states", "needed", "needed_at_97", "prunable"]
    passes = [planned(2000, names=names[:count]).passes() for count in range(1, 5)]
    assert passes == sorted(passes)
    assert len(set(passes)) == 4
    assert planned(2000, names=names, verify=False).passes() < passes[-1]
    assert planned(2000, names=names, ablation="mean").passes() > passes[-1]
    assert planned(2000, names=names).passes(0) == pytest.approx(passes[2])


def test_ablations_keep_to_their_budget_and_say_on_how_many_examples():
    run = planned(4000)
    without = planned(4000, names=set(MEASURES) - {"prunable"})
    assert 0.9 * ABLATION_PASSES < run.passes() - without.passes() <= ABLATION_PASSES
    assert f"taken away on {2 * run.ablated_examples:,} examples" in str(told([run, run]))
    twice = told([run, run], twin_passes=0.5)
    assert twice.passes == pytest.approx(2 * run.passes() + 0.5)


def test_single_sites_are_left_out_where_they_cost_too_much(monkeypatch):
    assert planned(200).apart
    monkeypatch.setattr(network_run, "ALWAYS_MACS", 0)
    run = planned(200)
    assert not run.apart
    assert run.passes() < planned(200).passes() + ABLATION_PASSES
    assert planned(20_000).apart


def test_memory_depends_on_the_width_and_not_on_the_examples():
    few, many = (told([planned(count)]) for count in (100, 10_000))
    assert few.memory == many.memory
    assert told([planned(1000, width=64)]).bytes > 2 * few.bytes


def test_covariances_without_enough_rows_take_no_memory():
    few, many = (told([planned(examples, width=600, names=("redundant",))]) for examples in (100, 2000))
    assert many.memory["covariances"] > 8 * 600**2 > few.memory["covariances"]
    assert (few.widest, many.widest) == ("3 (6 units)", "1 (600 units)")


def test_a_twin_holds_its_weights_and_a_batch_its_values():
    run = planned(1000)
    plain, twin = told([run]), told([run], twin=True)
    assert twin.memory["the twin"] == 4 * (4 * 8 + 8 + 8 * 6 + 6 + 6 * 2 + 2)
    assert plain.memory["the twin"] == 0
    assert plain.memory["values of a batch"] == 256 * 4 * (8 + 8 + 4)


def test_what_is_too_much_is_refused_with_what_to_reduce():
    cost = told([planned(2000, width=512)])
    cost.check(cost.bytes)
    said = r"`memory` must hold .*about .*covariances .*widest is .*512.*got 1\.0 MiB; read fewer"
    with pytest.raises(InputError, match=said):
        cost.check(2**20)


def test_fewer_orders_where_eight_would_cost_too_much(monkeypatch):
    assert planned(200).permutations == 8
    monkeypatch.setattr(network_run, "ALWAYS_MACS", 0)
    few = planned(200, budget=10.0)
    assert (few.apart, few.permutations) == (False, 3)
    assert planned(200, budget=1000.0).permutations == planned(20_000).permutations == 8
    sequences = planned(2000, sequences=True, budget=0.01)
    assert (sequences.permutations, sequences.ablated_examples) == (3, 14)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.down = nn.Embedding(9, 4), nn.Linear(4, 600), nn.Linear(600, 9)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(self.embed(input_ids))))


def test_rows_wait_where_lengths_may_differ():
    batch = {"input_ids": torch.randint(9, (4, 5))}
    graph = nc.trace(Tokens().eval(), batch)
    plan = Plan(100, 0)
    run = NetworkRun(graph, graph.sites, plan, (), frozenset({"needed"}), parameters=1, macs=1)
    memory = estimate([run], dry_run(graph, as_batch(batch)), 4).memory
    assert memory["rows that may not be enough"] == plan.sizes["calibrate"] * 5 * 600 * 4


def test_processes_of_one_machine_share_what_is_free(tmp_path, monkeypatch):
    facts = tmp_path / "meminfo"
    facts.write_text("MemTotal: 9000 kB\nMemAvailable: 3000 kB\n")
    monkeypatch.setattr(import_module("netcaliper.measure.estimate"), "_MEMINFO", facts)
    assert [available_memory(torch.device("cpu"), n) for n in (1, 3)] == [3000 * 1024, 1000 * 1024]
