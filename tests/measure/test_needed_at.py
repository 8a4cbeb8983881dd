"""Fewest units at an agreement, on networks small enough to do everything from the rows at every tau."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netcaliper as nc
from block_oracle import greedy
from netcaliper.errors import InputError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.protocol import Plan
from netcaliper.measure.needed import NeededStates
from netcaliper.measure.needed_at import REACH, SEEDS, TAUS, needed_at, select_tau, variants
from netcaliper.measure.replacement import compare
from netcaliper.stats.intervals import clopper_pearson_lower
from netcaliper.stats.sampling import CALIBRATE, SELECT, VERIFY


def asked(model, data, *, seed=0, reach: float | None = REACH) -> tuple[NeededStates, list[Any]]:
    graph = nc.trace(model, data[0])
    plan = Plan(sum(len(batch) for batch in data), seed)
    states = NeededStates(graph, graph.sites, plan, reach=reach)
    for batch in chosen_examples(graph, data, plan.split == CALIBRATE):
        graph.run(batch, taps=states.moments.taps(batch))
    return states, [states.judge(site) for site in graph.sites]


def confirmed(states, data, chosen) -> Any:
    if isinstance(chosen, str):
        return needed_at(chosen, None)
    verify = chosen_examples(states.graph, data, states.plan.split == VERIFY)
    return needed_at(chosen, compare(states.graph, verify, variants(states, chosen)))


def balanced(model, shape) -> Any:
    """Shift the last bias so that no class wins everywhere."""
    with torch.no_grad():
        model[-1].bias -= model(torch.cat(images(500, shape, seed=9))).mean(0)
    return model


def mlp(seed=0) -> Any:
    torch.manual_seed(seed)
    layers = [nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3)]
    return balanced(nn.Sequential(*layers).double().eval(), (5,))


def conv(seed=0) -> Any:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1, stride=2), nn.ReLU()]
    return balanced(nn.Sequential(*layers, nn.Flatten(), nn.Linear(20, 3)).double().eval(), (2, 8, 8))


def images(count, shape, seed=0, batch=97):
    """Normal vectors, or smooth images."""
    coarse = (shape[0], 3, 3) if len(shape) == 3 else shape
    x = torch.randn(count, *coarse, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return list((F.interpolate(x, shape[1:], mode="bilinear") if len(shape) == 3 else x).split(batch))


class Oracle:
    """Everything from scratch: unfolded rows, least squares on what stays, and the network run with the new weights."""

    def __init__(self, model, x, plan, layers):
        self.model, self.plan = model, plan
        self.x, self.layers = x, layers
        seen = {}
        hooks = [model[i].register_forward_pre_hook(lambda m, a: seen.update({m: a[0]})) for i in layers]
        with torch.no_grad():
            model(x[torch.from_numpy(plan.split == CALIBRATE)])
        for hook in hooks:
            hook.remove()
        self.readers = []
        for i in layers:
            layer, value = model[i], seen[model[i]]
            if isinstance(layer, nn.Conv2d):
                rows = F.unfold(value, layer.kernel_size, padding=1, stride=layer.stride)  # as `conv` pads
                rows = rows.mT.reshape(-1, layer.weight[0].numel()).numpy()
                units = layer.in_channels
            else:
                rows, units = value.numpy(), model.units[layers.index(i)]
            weight = layer.weight.detach().flatten(1).numpy()
            owner = np.repeat(np.arange(units), rows.shape[1] // units)
            self.readers.append((rows, weight, owner, not getattr(layer, "padding", 0), units))

    def removed(self, tau):
        return [greedy([reader[:4]], reader[4], tau)[0] for reader in self.readers]

    def same(self, removed, part):
        """Tell for every example whether the network with new weights predicts what the untouched one does."""
        x = self.x[torch.from_numpy(self.plan.split == part)]
        with torch.no_grad():
            before = self.model(x).argmax(1)
            saved = {key: value.clone() for key, value in self.model.state_dict().items()}
            for i, (rows, weight, owner, free, _), gone in zip(self.layers, self.readers, removed, strict=True):
                stays = ~np.isin(owner, gone)
                kept = np.hstack([rows[:, stays], np.ones((len(rows), int(free)))])
                fit = np.linalg.lstsq(kept, rows @ weight.T, rcond=None)[0].T
                new = np.zeros_like(weight)
                new[:, stays] = fit[:, : stays.sum()]
                self.model[i].weight.data[:] = torch.from_numpy(new).reshape(self.model[i].weight.shape)
                if free:
                    self.model[i].bias.data += torch.from_numpy(fit[:, -1])
            after = self.model(x).argmax(1)
            self.model.load_state_dict(saved)
        return (before == after).double().numpy()


CASES: dict[str, Any] = {"mlp": (mlp, (5,), (2, 4), (9, 7)), "conv": (conv, (2, 8, 8), (2, 5), (6, 5))}


@pytest.mark.parametrize("name", CASES)
def test_the_choice_is_that_of_doing_everything_from_scratch_at_every_tau(name):
    build, shape, layers, units = CASES[name]
    model, data = build(), images(800, shape)
    states, answers = asked(model, data)
    model.units = units
    oracle = Oracle(model, torch.cat(data), states.plan, layers)
    chosen: Any = select_tau(states, data, answers, 0.8)
    place = int(np.flatnonzero(chosen.tau == TAUS)[0])
    passes: dict[int, bool] = {}
    for number in sorted({*range(0, len(TAUS), 6), place, place + 1}):
        removed = oracle.removed(TAUS[number])
        for answer, gone in zip(answers, removed, strict=True):
            assert np.flatnonzero(answer.removed(TAUS[number])).tolist() == sorted(gone)
        same = oracle.same(removed, SELECT)
        passes[number] = clopper_pearson_lower(int(same.sum()), len(same)) >= 0.8
    assert passes[place]
    assert not passes[place + 1]
    falling = sorted(passes.values(), reverse=True) == list(passes.values())
    assert not falling or max(number for number in passes if passes[number]) == place
    record = confirmed(states, data, chosen)
    removed = oracle.removed(chosen.tau)
    same = oracle.same(removed, VERIFY)
    assert record.agreement == same.mean()
    assert record.examples == len(same)
    assert record.agreement_low == clopper_pearson_lower(int(same.sum()), len(same))
    assert record.met == (record.agreement_low >= 0.8)
    assert list(record.by_site.values()) == [n - len(gone) for n, gone in zip(units, removed, strict=True)]
    assert (record.units, record.units_before) == (sum(record.by_site.values()), sum(units))
    # the same numbers of random units
    others = []
    for seed in range(SEEDS):
        rngs = [np.random.default_rng([0, seed, site]) for site in range(2)]
        gone = [rng.permutation(n)[: len(g)] for rng, n, g in zip(rngs, units, removed, strict=True)]
        others.append(oracle.same(gone, VERIFY))
    assert record.random == tuple(other.mean() for other in others)
    difference = same - np.mean(others, 0)
    assert all(0 < len(gone) < n for n, gone in zip(units, removed, strict=True))
    assert record.advantage == pytest.approx(difference.mean())
    assert record.advantage_low < record.advantage < record.advantage_high
    half = 1.96 * difference.std() / np.sqrt(len(same))
    assert record.advantage_high - record.advantage == pytest.approx(half, rel=0.02)


def test_chosen_units_beat_random_ones_where_only_some_are_needed():
    model, data = mlp(3), images(1600, (5,))
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight[-4:] = layer.weight[:4] * torch.tensor([[2.0], [0.5], [3.0], [1.5]], dtype=torch.float64)
            layer.bias[-4:] = layer.bias[:4] * torch.tensor([2.0, 0.5, 3.0, 1.5], dtype=torch.float64)
    states, answers = asked(model, data)
    record = confirmed(states, data, select_tau(states, data, answers))
    assert record.by_site["1"] <= 5
    assert record.advantage_low > 0


def test_the_cut_into_batches_does_not_matter():
    model, data = mlp(), images(800, (5,))
    states, answers = asked(model, data)
    one: Any = select_tau(states, data, answers)
    two: Any = select_tau(states, list(torch.cat(data).split(41)), answers)
    assert one.tau == two.tau


def test_a_regression_needs_no_bound():
    model, data = nn.Sequential(*mlp()[:4], nn.Linear(7, 1)).double().eval(), images(200, (5,))
    states, answers = asked(model, data)
    record = confirmed(states, data, select_tau(states, data, answers))
    assert record.agreement_low is None
    assert 0.9 < record.agreement < 1
    assert record.met == (record.agreement >= 0.97)


def test_too_few_examples_are_refused_with_the_number_needed():
    model, data = mlp(), images(300, (5,))
    states, answers = asked(model, data)
    record = confirmed(states, data, select_tau(states, data, answers))
    assert "reaches 0.97 with 99" in record.reason
    assert "give about 396 examples or more" in record.reason
    assert (record.tau, record.units, record.met) == (None, None, None)


def test_what_cannot_be_chosen_says_why():
    model, data = mlp(), images(800, (5,))
    model[4].bias.data[0] = 100
    states, answers = asked(model, data)
    assert "one class holds 100 %" in str(select_tau(states, data, answers))
    states, answers = asked(nn.Sequential(nn.Linear(5, 4), nn.ReLU()).double().eval(), data)
    assert select_tau(states, data, answers) == "no site was judged"
    odd = nn.Sequential(*mlp(), nn.Unflatten(1, (3, 1, 1))).double().eval()
    states, answers = asked(odd, data)
    assert "is neither scores of classes" in str(select_tau(states, data, answers))
    states, answers = asked(mlp(), data)
    with pytest.raises(InputError, match=r"`target` must lie in \(0, 1\), got 1.0"):
        select_tau(states, data, answers, 1.0)
    states, answers = asked(mlp(), data, reach=None)
    with pytest.raises(InputError, match="`states` must reach 0.5, got None"):
        select_tau(states, data, answers)
