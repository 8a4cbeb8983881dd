"""What ablations cost: counted by hand, and against the operations of a run."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import netcaliper as nc
from netcaliper.feed.protocol import Plan
from netcaliper.measure.ablation import Ablations
from netcaliper.measure.ablation_cost import FEWEST_EXAMPLES, ablated_examples, ablation_passes, operations
from netcaliper.measure.prunable import inner_sites
from netcaliper.trace.batches import as_batch
from networks import build


def test_operations_are_flops_and_values_made() -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).eval()
    graph = nc.trace(model, torch.randn(4, 5))
    counts = operations(graph)
    size = graph.traced_batch
    assert sum(counts.values()) == size * (2 * (5 * 7 + 7 * 3) + 7 + 7 + 3)
    (site,) = graph.sites
    assert counts[site.node] == size * 7


def test_a_site_costs_what_depends_on_it_and_the_network_everything() -> None:
    model = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 3)).eval()
    graph = nc.trace(model, torch.randn(4, 5))
    first, second, head = 2 * 5 * 24 + 2 * 24, 2 * 24 * 12 + 2 * 12, 2 * 12 * 3 + 3
    total = first + second + head
    forks = 8 * 11 + 1
    expected = 1 + forks * (second + head) / total + forks * head / total + forks
    ablations = Ablations(graph, graph.sites, Plan(100, 0), 20)
    assert ablation_passes(ablations, operations(graph)) == pytest.approx(expected)
    together = Ablations(graph, graph.sites, Plan(100, 0), 20, apart=False)
    assert ablation_passes(together, operations(graph)) == pytest.approx(1 + forks)


def test_the_estimate_is_what_a_run_spends() -> None:
    model, example = build("residual", 3)
    graph = nc.trace(model, example)
    x = torch.randn(40, *example.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():  # no class may hold them all
        model[-1].bias -= model(x).mean(0)  # type: ignore[index]
    ablations = Ablations(graph, inner_sites(graph), Plan(40, 0), 8)
    ablations.look(as_batch(x), graph.run(x).output)
    with FlopCounterMode(display=False) as one:
        graph.run(x[:8])
    with FlopCounterMode(display=False) as all_:
        ablations.run(as_batch(x))
    assert ablations.seen.all()
    spent = all_.get_total_flops() / one.get_total_flops()
    assert ablation_passes(ablations, operations(graph)) == pytest.approx(spent, rel=0.1)  # values made are counted too


@pytest.mark.parametrize(
    ("select", "budget", "examples"),
    [(2500, 30.0, 500), (2500, 1.0, FEWEST_EXAMPLES), (2500, 1000.0, 1000), (50, 30.0, 50), (300, 30.0, 300)],
)
def test_a_budget_buys_examples_within_bounds(select: int, budget: float, examples: int) -> None:
    assert ablated_examples(select, 10_000, 600.0, budget) == examples
