"""Prunable, on networks where the answer is known, and against a walk through the definition."""

import itertools
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ablation_oracle as oracle
import netcaliper as nc
from bestiary import Decoder
from netcaliper.errors import DataError, InputError
from netcaliper.feed.protocol import Plan
from netcaliper.measure import prunable as asked
from netcaliper.measure.ablation import NETWORK, Ablations, ablated
from netcaliper.measure.perturbation import order_of_units
from netcaliper.measure.prunable import Prunable, Pruned, answer, inner_sites, not_ablated
from netcaliper.stats.ablation_curve import t_interval
from netcaliper.stats.sampling import SELECT
from netcaliper.trace.graph import Graph
from netcaliper.zoo.resnet import ResNet


def prunable(graph: Graph, data: Any, **arguments: Any) -> Prunable:
    return asked.prunable(graph, data, **arguments)


def draw(examples: int = 240, features: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(examples, features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mlp(*widths: int, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1])).double().eval()
    with torch.no_grad():
        for layer in layers[::2]:
            layer.bias.zero_()  # type: ignore[union-attr]
        model[-1].bias.zero_()  # type: ignore[union-attr]
    return model


def record(pruned: Pruned) -> Any:
    assert pruned.share is not None
    assert pruned.ablation is not None
    return pruned.ablation


def value(pruned: Pruned) -> float:
    assert pruned.share is not None, pruned.reason
    return pruned.share.value


# ---- against the definition


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_shares_are_those_of_the_definition_step_by_step(mode: Any) -> None:
    model, x = mlp(6, 17, 10, 4), draw()
    graph = nc.trace(model, x[:2])
    found = prunable(graph, [x], mode=mode)
    orders, steps = (3, 6) if mode == "paper" else (8, 12)
    run = x[Plan(240, 0).split == SELECT]
    changes = {s.name: oracle.without([order_of_units(s, p, 0) for p in range(orders)], steps) for s in graph.sites}
    for pruned in (*found.sites, found.network):
        these = changes if pruned.name == NETWORK else {pruned.name: changes[pruned.name]}
        curves = oracle.agreement(oracle.changed_outputs(model, these, run, orders, steps))
        shares, never = oracle.share(curves, 0.8)
        expected = max(shares) if mode == "paper" else float(np.mean(shares))
        assert value(pruned) == pytest.approx(expected, abs=1e-12)
        ablation = record(pruned)
        assert ablation.censored == never
        assert ablation.count == int(np.floor(value(pruned) * pruned.units))
        assert (ablation.permutations, ablation.threshold, ablation.task) == (orders, 0.8, "classification")
        assert ablation.examples == len(run)
        assert ablation.bootstrap_low <= ablation.bootstrap_high
        assert pruned.arrays["ablation_agreement"].tolist() == curves.tolist()
        assert pruned.share is not None
        if mode == "paper":
            assert (pruned.share.low, pruned.share.high) == (None, None)
            assert pruned.share.over == "no interval: the largest of 3 permutations"
        else:
            assert (pruned.share.low, pruned.share.high) == pytest.approx(t_interval(np.array(shares)))
            assert pruned.share.over == "95 % t interval over 8 permutations"
    assert [pruned.units for pruned in found.sites] == [17, 10]
    assert found.network.units == 27


def test_a_regression_is_held_to_a_tenth_of_its_variance() -> None:
    model, x = mlp(6, 24, 1), draw()
    found = prunable(nc.trace(model, x[:2]), list(x.split(50)))
    (site,) = nc.trace(model, x[:2]).sites
    change = {"1": oracle.without([order_of_units(site, p, 0) for p in range(8)], 12)}
    outputs = oracle.changed_outputs(model, change, x[Plan(240, 0).split == SELECT], 8, 12)
    shares, never = oracle.share(oracle.fit(outputs), 0.9)
    assert value(found.network) == pytest.approx(np.mean(shares), abs=1e-12)
    ablation = record(found.network)
    assert (ablation.task, ablation.threshold, ablation.censored) == ("regression", 0.9, never)
    assert set(found.network.arrays) == {"ablation_levels", "ablation_agreement"}


# ---- planted


def copies(units: int, weights: Tensor) -> Any:
    """Return a network of equal units; all of them together make the score of class 0, class 1 has a half."""
    model = mlp(1, units, 2)
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[2].weight.zero_()
        model[2].weight[0] = weights
        model[2].bias.copy_(torch.tensor([0.0, 0.5]))
    return model


def test_of_copies_as_many_can_go_as_the_margin_allows() -> None:
    x = torch.cat([torch.full((120, 1), 2.0), torch.full((120, 1), 0.1)]).double()[torch.randperm(240)]
    model = copies(24, torch.full((24,), 1 / 24))  # 2 (1 - a) > .5 until a = .75, and .1 never is
    found = prunable(nc.trace(model, x[:2]), list(x.split(60)))
    share = float((x[Plan(240, 0).split == SELECT] > 1).double().mean())
    at = 9 / 12  # here both scores are equal, and the first class is taken
    assert value(found.network) == pytest.approx(at + (1 - 0.8) / share / 12)
    assert found.network.share is not None
    assert found.network.share.low == found.network.share.high == pytest.approx(value(found.network))
    assert record(found.network).count == int(np.floor(24 * value(found.network)))


def test_units_without_any_weight_can_go_and_one_that_says_it_all_cannot() -> None:
    weights = torch.zeros(24)
    weights[7] = 1.0
    x = torch.cat([torch.full((120, 1), 2.0), torch.full((120, 1), 0.1)]).double()[torch.randperm(240)]
    model = copies(24, weights)
    graph = nc.trace(model, x[:2])
    found = prunable(graph, list(x.split(60)))
    share = float((x[Plan(240, 0).split == SELECT] > 1).double().mean())
    expected = []
    for p in range(8):
        place = int(np.flatnonzero(order_of_units(graph.sites[0], p, 0) == 7)[0])
        before = place // 2  # the last level of two units each at which it is still there
        expected.append((before + 0.2 / share) / 12)
    assert value(found.network) == pytest.approx(np.mean(expected))
    assert found.network.share is not None
    assert found.network.share.low == pytest.approx(t_interval(np.array(expected))[0])  # type: ignore[index]


def test_a_network_that_answers_nearly_always_the_same_is_undefined_and_never_1() -> None:
    model, x = mlp(6, 16, 4), draw()
    with torch.no_grad():
        model[-1].bias[2] = 50
    graph = nc.trace(model, x[:2])
    found = prunable(graph, list(x.split(60)))
    assert found.network.share is None
    assert found.network.ablation is None
    assert "one class holds 100.0% of the predictions" in str(found.network.reason)
    paper = prunable(graph, list(x.split(60)), mode="paper")
    assert value(paper.network) == 1.0
    assert "Outside of paper mode this share is undefined" in record(paper.network).warnings[0]


def test_a_regression_that_never_varies_is_undefined() -> None:
    model, x = mlp(6, 16, 1), draw()
    with torch.no_grad():
        model[-1].weight.zero_()
    assert "the outputs are the same" in str(prunable(nc.trace(model, x[:2]), [x]).network.reason)


class Ignoring(nn.Module):
    """What its hidden units say reaches a second output only, or the first one times zero."""

    def __init__(self, *, second: bool) -> None:
        super().__init__()
        self.direct, self.hidden, self.out, self.second = nn.Linear(6, 3), nn.Linear(6, 8), nn.Linear(8, 3), second

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        said = self.out(torch.relu(self.hidden(x)))
        return (self.direct(x), said) if self.second else self.direct(x) + 0 * said


@pytest.mark.parametrize("second", [True, False])
def test_units_that_the_output_ignores_are_censored_and_it_is_said(second: bool) -> None:
    torch.manual_seed(0)
    model, x = Ignoring(second=second).double().eval(), draw()
    found = prunable(nc.trace(model, x[:2]), list(x.split(60)))
    assert value(found.network) == 1.0
    assert found.network.share is not None
    assert (found.network.share.low, found.network.share.high) == (1.0, 1.0)
    ablation = record(found.network)
    assert (ablation.censored, ablation.count) == (8, 8)
    assert ablation.warnings == ("Taking all units away changes no output value: the output ignores them.",)


def test_curves_that_never_fall_are_counted_and_said() -> None:
    x = torch.full((240, 1), 0.1, dtype=torch.float64)
    select = np.flatnonzero(Plan(240, 0).split == SELECT)
    x[select[: len(select) * 3 // 20]] = 2.0  # 15 % are of class 0, as long as half of the units are there
    found = prunable(nc.trace(copies(24, torch.full((24,), 1 / 24)), x[:2]), list(x.split(60)))
    assert value(found.network) == 1.0
    assert found.network.arrays["ablation_agreement"].min() == pytest.approx(0.85, abs=0.02)
    assert record(found.network).censored == 8
    assert record(found.network).warnings == ("8 of 8 permutations never fell below the threshold; they count as 1.",)


# ---- invariances


def test_the_scale_of_units_makes_no_difference() -> None:
    model, x = mlp(6, 16, 12, 4), draw()
    plain = prunable(nc.trace(model, x[:2]), list(x.split(60)))
    with torch.no_grad():
        scale = torch.tensor([2.0 ** (i % 7 - 3) for i in range(16)], dtype=torch.float64)  # exact
        model[0].weight *= scale[:, None]
        model[0].bias *= scale
        model[2].weight /= scale
    scaled = prunable(nc.trace(model, x[:2]), list(x.split(60)))
    for one, two in zip((*plain.sites, plain.network), (*scaled.sites, scaled.network), strict=True):
        assert one.share == two.share
        for name, array in one.arrays.items():
            assert array.tolist() == two.arrays[name].tolist()


def test_the_order_of_units_makes_no_difference_if_the_draws_move_with_them() -> None:
    model, x = mlp(6, 16, 12, 4), draw()
    graph, plan = nc.trace(model, x[:2]), Plan(240, 0)
    plain = Ablations(graph, graph.sites, plan, 60)
    moved = torch.from_numpy(np.random.default_rng(0).permutation(16))
    other = mlp(6, 16, 12, 4)
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight[moved])
        other[2].weight.copy_(model[2].weight[:, moved])
    changed = nc.trace(other, x[:2])
    permuted = Ablations(changed, changed.sites, plan, 60)
    place = np.argsort(moved.numpy())
    for p in range(8):
        permuted._orders["1", p] = place[plain._orders["1", p]]
    for ablations in (plain, permuted):
        for batch in ablated(ablations.graph, [x], ablations):
            ablations.run(batch)
    for one, two in zip(answer(plain).sites, answer(permuted).sites, strict=True):
        assert one.share == two.share
        assert one.arrays["ablation_agreement"].tolist() == two.arrays["ablation_agreement"].tolist()


def test_batches_and_repetition_change_nothing_and_the_seed_does() -> None:
    model, x = mlp(6, 16, 12, 4), draw()
    graph = nc.trace(model, x[:2])
    first = prunable(graph, [x])
    again = prunable(graph, list(x.split(40)))
    assert [one.share for one in (*first.sites, first.network)] == [one.share for one in (*again.sites, again.network)]
    assert [one.ablation for one in first.sites] == [one.ablation for one in again.sites]
    assert first.network.share != prunable(graph, [x], seed=1).network.share


# ---- options


def test_means_are_milder_than_zeros_where_units_have_a_large_mean() -> None:
    model, x = mlp(6, 24, 4), draw(400)
    with torch.no_grad():
        model[0].bias.fill_(5.0)  # always on, so that a zero is far from anything the readers saw
        model[2].bias -= model[2].weight.sum(1) * 5
    graph = nc.trace(model, x[:2])
    zero, mean = (value(prunable(graph, [x], ablation=kind).network) for kind in ("zero", "mean"))
    assert zero < 0.1 < mean


def test_with_noise_the_share_is_a_level_and_that_is_said() -> None:
    model, x = mlp(6, 24, 4), draw()
    found = prunable(nc.trace(model, x[:2]), list(x.split(60)), ablation="noise")
    assert 0 < value(found.network) < 1
    assert record(found.network).perturbation == "noise"
    assert "level of noise" in record(found.network).warnings[0]


def test_the_most_correlated_first_leaves_pairs_of_copies_together() -> None:
    model, x = mlp(6, 24, 4), draw()
    with torch.no_grad():
        model[0].weight[12:] = model[0].weight[:12]  # unit i + 12 repeats unit i
    graph = nc.trace(model, x[:2])
    found = prunable(graph, list(x.split(60)), order="correlated")
    assert record(found.network).order == "correlated"
    random = prunable(graph, list(x.split(60)))
    assert found.network.arrays["ablation_agreement"][:, 1].tolist() != (
        random.network.arrays["ablation_agreement"][:, 1].tolist()
    )


def test_scopes() -> None:
    torch.manual_seed(0)
    model = ResNet(depth=8, width=0.25, channels=3, size=8, classes=4).eval()
    graph = nc.trace(model, torch.randn(2, 3, 8, 8))
    x = torch.randn(80, 3, 8, 8)
    inner = prunable(graph, list(x.split(40)), examples=14)
    assert [pruned.name for pruned in inner.sites] == ["act", *(f"stages.{i}.0.act1" for i in range(3))]
    assert [site.name for site in inner_sites(graph)] == [pruned.name for pruned in inner.sites]
    paper = prunable(graph, list(x.split(40)), mode="paper", examples=14)
    assert [pruned.name for pruned in paper.sites] == ["act", *(f"stages.{i}.0.act2" for i in range(3))]
    assert [pruned.units for pruned in paper.sites] == [4, 4, 8, 16]
    stage = prunable(graph, list(x.split(40)), scope=["stages.1.0.act2"], examples=14)
    assert [pruned.name for pruned in stage.sites] == ["stages.1.0.act2"]
    assert stage.network.share == stage.sites[0].share  # all sites at once are this one
    assert stage.network.name == NETWORK
    reasons = {site.name: not_ablated(graph, site) for site in graph.sites}
    assert "residual sum" in str(reasons["stages.0.0.add"])
    assert "coupled" in str(reasons["stages.0.0.act2"])
    assert reasons["act"] is None


def test_a_language_model_is_asked_for_its_next_tokens() -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, 7, (80, 5))
    data = [{"input_ids": part, "use_cache": False} for part in ids.split(20)]
    found = prunable(nc.trace(Decoder().eval(), data[0]), data)
    assert record(found.network).task == "tokens"
    assert found.network.arrays["ablation_divergence"][:, -1].max() > 0


# ---- bad input


def test_too_few_examples_are_refused_with_the_number_needed() -> None:
    x = draw(40)
    classes, values = (nc.trace(mlp(6, 8, outputs), x[:2]) for outputs in (3, 1))
    few = int((Plan(40, 0).split == SELECT).sum())
    assert few < 14
    with pytest.raises(DataError, match=f"`data` must give at least 14 select examples .* of 0.8, got {few}"):
        prunable(classes, [x])
    x = draw(70)
    enough = int((Plan(70, 0).split == SELECT).sum())
    assert 14 <= enough < 29
    assert prunable(classes, [x]).network.reason is None
    with pytest.raises(DataError, match=f"at least 29 select examples .* of 0.9, got {enough}"):
        prunable(values, [x])
    with pytest.raises(DataError, match="`examples` must give at least 14 .* got 13"):
        prunable(classes, [x], examples=13)


def test_too_few_examples_in_a_measurement_are_a_reason() -> None:
    x = draw(40)
    graph = nc.trace(mlp(6, 8, 3), x[:2])
    ablations = Ablations(graph, graph.sites, Plan(40, 0), 1000)
    assert "prunable: 0 of" in str(answer(ablations).network.reason)
    for batch in ablated(graph, [x], ablations):
        ablations.run(batch)
    assert "can be shown with 14 or more" in str(answer(ablations).network.reason)


def test_outputs_and_networks_that_cannot_be_judged_have_a_reason() -> None:
    x = draw()
    shaped = nc.trace(nn.Sequential(*mlp(6, 8, 4), nn.Unflatten(1, (2, 2, 1))).double().eval(), x[:2])
    assert "is neither scores of classes" in str(prunable(shaped, [x]).network.reason)
    straight = nc.trace(nn.Sequential(nn.Linear(6, 3)).double().eval(), x[:2])
    found = prunable(straight, [x])
    assert found.sites == ()
    assert found.network.reason == "prunable: the network has no site whose units can be ablated alone"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ablation": "one"}, "`ablation` must be one of zero, mean, noise, got 'one'"),
        ({"order": "first"}, "`order` must be one of random, correlated, got 'first'"),
        ({"mode": "fast"}, "`mode` must be one of default, paper, got 'fast'"),
        ({"scope": "all"}, '`scope` must be "inner", "paper" or a list of site names'),
        ({"scope": ["9"]}, "is not one of the 1 sites"),
        ({"ablation": "noise", "order": "correlated"}, '`order` must be "random" for noise'),
    ],
)
def test_bad_arguments_name_the_remedy(arguments: dict[str, Any], words: str) -> None:
    x = draw()
    graph = nc.trace(mlp(6, 8, 3), x[:2])
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        unwrap(asked.prunable)(graph, [x], **arguments)  # past the run-time check of the tests, which users do not have
