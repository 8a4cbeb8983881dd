"""Ablations, against hooks on modules and against runs of the whole graph, set by set."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from torch import Tensor, nn

import ablation_oracle as oracle
import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.feed.protocol import Plan
from netcaliper.measure import ablation
from netcaliper.measure.ablation import NETWORK, Ablations, Curves, ablated
from netcaliper.measure.perturbation import order_of_units, taken_away, unit_statistics
from netcaliper.stats.sampling import SELECT
from netcaliper.trace.batches import as_batch
from netcaliper.trace.graph import Graph
from networks import FAMILIES, build


@contextmanager
def few_orders() -> Iterator[None]:
    """Two orders of the units instead of eight: for what does not hang on their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "PERMUTATIONS", 2)
        yield


@pytest.fixture(name="few")
def _few() -> Iterator[None]:
    with few_orders():
        yield


def cnn(outputs: int = 4, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 9, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(9, 14, 3, padding=1), nn.ReLU())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(14, outputs)).double().eval()


def images(examples: int = 160, seed: int = 1) -> Tensor:
    return torch.randn(examples, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@cache
def traced(outputs: int = 4) -> Graph:
    return nc.trace(cnn(outputs), images()[:2])


def ran(graph: Graph, data: list[Any], examples: int = 1000, plan: Plan | None = None, **options: Any) -> Ablations:
    plan = plan or Plan(sum(as_batch(raw).size for raw in data), 0)
    ablations = Ablations(graph, graph.sites, plan, examples, **options)
    for batch in ablated(graph, data, ablations):
        ablations.run(batch)
    return ablations


def curves(ablations: Ablations) -> dict[str, Curves]:
    return {scope.name: ablations.curves(scope) for scope in ablations.scopes}


@pytest.mark.parametrize(("perturbation", "mode"), [("zero", "default"), ("mean", "paper")])
def test_curves_are_those_of_hooks_on_the_modules(perturbation: Any, mode: Any) -> None:
    model, x = cnn(), images()
    graph, plan = traced(), Plan(160, 0, mode)
    data = list(x.split(50))
    statistics = unit_statistics(graph, data, plan, graph.sites)
    ablations = ran(graph, data, 30, plan, perturbation=perturbation, statistics=statistics)
    found = curves(ablations)
    orders, steps = (3, 6) if mode == "paper" else (8, 12)
    run = x[plan.split == SELECT][:30]
    changes = {}
    for site in graph.sites:
        drawn = [order_of_units(site, p, 0) for p in range(orders)]
        fill = None if perturbation == "zero" else statistics[site.name].mean
        changes[site.name] = oracle.without(drawn, steps, fill)
    for name in ("1", "4", NETWORK):
        these = changes if name == NETWORK else {name: changes[name]}
        outputs = oracle.changed_outputs(model, these, run, orders, steps)
        assert found[name].levels == pytest.approx(np.arange(steps + 1) / steps)
        assert found[name].sums.agreement().tolist() == oracle.agreement(outputs).tolist()
        assert found[name].divergence == pytest.approx(oracle.divergence(outputs), abs=1e-9)
        plain = outputs[0, 0].argmax(-1)
        expected = [[cohen_kappa_score(plain, one.argmax(-1)) for one in row] for row in outputs]
        assert found[name].kappa == pytest.approx(np.array(expected), abs=1e-12)
        assert found[name].moved
    assert bool(ablations.seen.all())


def test_of_a_regression_the_error_is_relative_to_the_spread_of_the_sample() -> None:
    model, x = cnn(outputs=1), images()
    graph, plan = nc.trace(model, x[:2]), Plan(160, 0)
    ablations = ran(graph, list(x.split(64)), 1000, plan)
    assert len(ablations.seen) == plan.sizes["select"]
    change = {"4": oracle.without([order_of_units(graph.sites[1], p, 0) for p in range(8)], 12)}
    outputs = oracle.changed_outputs(model, change, x[plan.split == SELECT], 8, 12)
    found = curves(ablations)["4"]
    assert found.sums.agreement() == pytest.approx(oracle.fit(outputs), abs=1e-9)
    assert found.kappa is None
    assert found.divergence is None


def by_whole_runs(graph: Graph, plan: Plan, x: Tensor, names: list[str]) -> np.ndarray:
    """Return the agreement by order and (every third) level, every set of units in a run of its own."""
    index = np.flatnonzero(plan.split == SELECT)
    batch = as_batch(x).take(torch.from_numpy(index))
    plain = graph.run(batch).output.argmax(-1)
    found = np.empty((2, 5))
    for p in range(2):
        for k in range(0, 13, 3):
            sites = [graph.site(name) for name in names]
            gone = {s.name: taken_away(s, order_of_units(s, p, 0)[: k * s.units // 12], graph, None) for s in sites}
            same = graph.run(batch, overrides=gone).output.argmax(-1) == plain
            found[p, k // 3] = same.double().mean()
    return found


@settings(max_examples=5)
@given(st.sampled_from(FAMILIES), st.integers(0, 50))
def test_forks_are_whole_runs_on_any_network(family: str, seed: int) -> None:
    model, example = build(family, seed)
    generator = torch.Generator().manual_seed(seed)
    x = (
        torch.randn(32, *example.shape[1:], generator=generator, dtype=torch.float64)
        if example.is_floating_point()
        else torch.randint(0, 11, (32, *example.shape[1:]), generator=generator)
    )
    graph, plan = nc.trace(model, example), Plan(32, 0)
    with few_orders():
        found = curves(ran(graph, list(x.split(8)), 32, plan))
    names = [site.name for site in graph.sites]
    for name in (names[0], names[-1]):
        expected = by_whole_runs(graph, plan, x, [name])
        assert found[name].sums.agreement()[:, ::3] == pytest.approx(expected, abs=1e-12)
    if len(names) > 1:
        expected = by_whole_runs(graph, plan, x, names)
        assert found[NETWORK].sums.agreement()[:, ::3] == pytest.approx(expected, abs=1e-12)


def same_curves(first: Ablations, second: Ablations) -> None:
    assert curves(first).keys() == curves(second).keys()
    for one, two in zip(curves(first).values(), curves(second).values(), strict=True):
        assert one.sums.loss == pytest.approx(two.sums.loss, abs=1e-9)
        assert one.sums.scale == pytest.approx(two.sums.scale, abs=1e-9)
        assert one.moved == two.moved
        assert (one.kappa is None) == (two.kappa is None)
        if one.kappa is not None:
            assert one.kappa == pytest.approx(two.kappa, abs=1e-9)
            assert one.divergence == pytest.approx(two.divergence, abs=1e-9)


@pytest.mark.parametrize(("perturbation", "outputs"), [("zero", 4), ("noise", 1)])
@pytest.mark.usefixtures("few")
def test_the_batches_make_no_difference(perturbation: Any, outputs: int) -> None:
    x = images()
    graph = traced(outputs)
    whole = ran(graph, [x], 12, perturbation=perturbation)
    for size in (5, 64):
        same_curves(whole, ran(graph, list(x.split(size)), 12, perturbation=perturbation))


@pytest.mark.parametrize("outputs", [4, 1])
@pytest.mark.usefixtures("few")
def test_two_shards_are_one_run(outputs: int) -> None:
    x, plan = images(), Plan(160, 0)
    graph = traced(outputs)
    whole = ran(graph, list(x.split(10)), 30, plan)
    shards = [Ablations(graph, graph.sites, plan, 30) for _ in range(3)]  # the last one gets nothing
    for i, batch in enumerate(ablated(graph, list(x.split(10)), whole)):
        shards[i % 2].run(batch)
    assert shards[0].seen.any()
    assert shards[1].seen.any()
    empty = shards.pop()
    for shard in shards:
        empty.merge(shard)
    empty.merge(Ablations(graph, graph.sites, plan, 30))
    same_curves(whole, empty)


@pytest.mark.usefixtures("few")
def test_large_outputs_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(80)
    graph = traced()
    whole = ran(graph, [x], 6)
    sizes = []
    run = graph.run

    def watched(batch: Any, **arguments: Any) -> Any:
        sizes.append(batch.size * max(1, sum(map(len, arguments.get("forks", {}).values()))))
        return run(batch, **arguments)

    monkeypatch.setattr(graph, "run", watched)
    monkeypatch.setattr(ablation, "OUTPUT_BYTES", 8 * 4 * 40)  # 40 outputs: one example at a time, 40 sets at a time
    parts = ran(graph, [x], 6)
    assert max(sizes[1:]) <= 40
    monkeypatch.undo()
    same_curves(whole, parts)


class Bound(nn.Module):
    """Its code fixes the batch size at two."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: Any = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
        with torch.no_grad():
            for layer in (self.inner[0], self.inner[2], self.inner[4]):
                layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.reshape(2, 6))


@pytest.mark.parametrize("perturbation", ["zero", "noise"])
@pytest.mark.usefixtures("few")
def test_a_graph_of_one_batch_size_gives_the_same_answer(perturbation: Any) -> None:
    torch.manual_seed(0)
    model = Bound().double().eval()
    x = torch.randn(60, 6, dtype=torch.float64)
    bound, free = nc.trace(model, x[:2]), nc.trace(model.inner, x[:2])
    assert not bound.dynamic_batch
    # sites are called inner.1 there and 1 here, and names decide what is drawn
    drawn = {site.name: f"inner.{site.name}" for site in free.sites}
    one = ran(bound, list(x.split(10)), 7, perturbation=perturbation)
    assert len(one.seen) == 7  # odd: the last batch is filled up
    if perturbation == "zero":
        two = Ablations(free, free.sites, Plan(60, 0), 7)
        two._orders = {(name, p): one._orders[drawn[name], p] for name, p in two._orders}
        for batch in ablated(free, [x], two):
            two.run(batch)
        for name, other in drawn.items():
            mine, theirs = curves(one)[other], curves(two)[name]
            assert mine.sums.loss.tolist() == theirs.sums.loss.tolist()
            assert mine.kappa == pytest.approx(theirs.kappa, abs=1e-12)
    shifted = ran(bound, [x[:35], x[35:]], 7, perturbation=perturbation)
    same_curves(one, shifted)


class Language(nn.Module):
    """Predicts the next token from this one and the mean of what is not masked."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.down = nn.Embedding(7, 4), nn.Linear(4, 8), nn.Linear(8, 7)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        x = self.embed(input_ids)
        context = (x * attention_mask[:, :, None]).sum(1, keepdim=True) / attention_mask.sum(1)[:, None, None]
        return {"logits": self.down(torch.relu(self.up(x + context)))}


def test_of_tokens_every_example_counts_the_same_and_padding_nothing() -> None:
    torch.manual_seed(0)
    model = Language().double().eval()
    ids = torch.randint(0, 7, (80, 6))
    mask = (torch.arange(6) < torch.randint(1, 7, (80, 1))).long()
    data = [{"input_ids": i, "attention_mask": m} for i, m in zip(ids.split(20), mask.split(20), strict=True)]
    graph, plan = nc.trace(model, data[0]), Plan(80, 0)
    ablations = ran(graph, data, 16, plan)
    assert ablations.untouched.task == "tokens"
    (found,) = curves(ablations).values()
    chosen = np.flatnonzero(plan.split == SELECT)[:16]
    (site,) = graph.sites
    for p, k in ((0, 3), (5, 9), (2, 12)):
        gone = torch.ones(8, dtype=torch.float64)
        gone[order_of_units(site, p, 0)[: k * 8 // 12]] = 0
        with torch.no_grad():
            x = model.embed(ids) * mask[:, :, None]
            hidden = torch.relu(model.up(model.embed(ids) + x.sum(1, keepdim=True) / mask.sum(1)[:, None, None]))
            plain, other = model.down(hidden), model.down(hidden * gone)
        shares, far, weight = [], [], []
        for i in chosen:
            valid = mask[i] == 1
            shares.append(float((plain[i, valid].argmax(-1) == other[i, valid].argmax(-1)).double().mean()))
            terms = plain[i, valid].softmax(-1) * (plain[i, valid].log_softmax(-1) - other[i, valid].log_softmax(-1))
            far.append(float(terms.sum(-1).mean()))
            weight += [1 / int(valid.sum())] * int(valid.sum())
        assert found.sums.agreement()[p, k] == pytest.approx(np.mean(shares))
        assert found.divergence is not None
        assert found.kappa is not None
        assert found.divergence[p, k] == pytest.approx(np.mean(far))
        rows = [one[torch.from_numpy(chosen)][mask[chosen] == 1].argmax(-1).numpy() for one in (plain, other)]
        assert found.kappa[p, k] == pytest.approx(cohen_kappa_score(*rows, sample_weight=weight))


def test_noise_grows_along_one_direction_for_each_repeat() -> None:
    x = images(80)
    graph = traced()
    ablations = ran(graph, [x], perturbation="noise")
    assert {len(scope.forks) for scope in ablations.scopes} == {8 * 12}
    found = curves(ablations)[NETWORK]
    assert found.divergence is not None
    assert bool((np.diff(found.divergence.mean(0)) > 0).all())
    assert found.divergence[:, 0].tolist() == [0.0] * 8
    assert len(set(found.divergence[:, 6])) == 8


def test_equal_sets_of_units_are_run_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 3)).eval()
    graph = nc.trace(model, torch.randn(2, 4))
    narrow, wide, network = Ablations(graph, graph.sites, Plan(100, 0), 20).scopes
    assert len(narrow.forks) == 8 * 2 + 1  # one unit, two units, and all three, which every order shares
    assert len(wide.forks) == len(network.forks) == 8 * 11 + 1
    assert (narrow.fork[:, 0] == -1).all()
    assert (narrow.fork[:, 1:4] == -1).all()
    assert len(set(narrow.fork[:, 12])) == 1


@pytest.mark.usefixtures("few")
def test_all_sites_together_need_none_of_them_by_itself() -> None:
    x, plan = images(80), Plan(80, 0)
    graph = traced()
    both, together = ran(graph, [x], 20, plan), ran(graph, [x], 20, plan, apart=False)
    assert [scope.name for scope in together.scopes] == [NETWORK]
    assert curves(together)[NETWORK].sums.loss.tolist() == curves(both)[NETWORK].sums.loss.tolist()
    single = Ablations(graph, graph.sites[:1], plan, 20, apart=False)
    assert [scope.name for scope in single.scopes] == ["1"]  # one site is all sites


def test_what_was_looked_at_beforehand_can_spare_the_runs() -> None:
    x = images()
    model = cnn()
    model[-1].bias.data[0] += 100
    graph, plan = nc.trace(model, x[:2]), Plan(160, 0)
    ablations = Ablations(graph, graph.sites, plan, 30)
    for part in x.split(160):  # batches with all kinds of examples: those that matter are found
        batch = as_batch(part)
        ablations.look(batch, graph.run(batch).output)
    assert ablations.reason is not None
    assert "one class holds 100.0% of the predictions" in ablations.reason
    ablations.run(as_batch(x))
    assert not ablations.seen.any()
    paper = Ablations(graph, graph.sites, Plan(160, 0, "paper"), 30)
    paper.look(as_batch(x), graph.run(x).output)
    assert paper.reason is None


@pytest.mark.usefixtures("few")
def test_looking_first_changes_no_number() -> None:
    x, plan = images(), Plan(160, 0)
    graph = traced()
    looked = Ablations(graph, graph.sites, plan, 30)
    looked.look(as_batch(x), graph.run(x).output)
    looked.run(as_batch(x))
    same_curves(looked, ran(graph, [x], 30, plan))


def test_statistics_that_are_needed_must_be_given() -> None:
    graph = traced()
    for options in ({"perturbation": "mean"}, {"order": "correlated"}):
        with pytest.raises(InputError, match="`statistics` must be given"):
            Ablations(graph, graph.sites, Plan(160, 0), 30, **options)  # type: ignore[arg-type]


def test_an_output_that_predicts_nothing_is_run_once_only() -> None:
    x = images(60)
    graph = nc.trace(nn.Sequential(*cnn()[:3]).eval(), x[:2])
    ablations = ran(graph, list(x.split(10)))
    assert ablations.reason is not None
    assert "is neither scores of classes" in ablations.reason
    assert not ablations.seen.any()
