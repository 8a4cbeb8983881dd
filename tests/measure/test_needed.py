"""Needed, on networks of which the rows can be unfolded by hand."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import netcaliper as nc
from block_oracle import greedy
from netcaliper.errors import DataError, InputError
from netcaliper.feed.protocol import Plan
from netcaliper.measure import needed as asked
from netcaliper.measure.needed import NeededStates
from netcaliper.measure.replacement import run_replaced
from netcaliper.stats.sampling import CALIBRATE, VERIFY
from netcaliper.trace.batches import as_batch
from netcaliper.trace.batches import batches as to_batches
from networks import FAMILIES, build


def needed(graph, batches, **arguments) -> Any:
    return asked.needed(graph, batches, **arguments)


def data(examples=600, shape=(6,), batch=64, seed=0):
    x = torch.randn(examples, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return list(x.split(batch))


def mlp(seed=0, hidden=10) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 3)).double().eval()


def conv(padding, seed=0) -> Any:
    """Five channels, of which the last one is a copy of the first with another scale and shift."""
    torch.manual_seed(seed)
    model: Any = nn.Sequential(nn.Conv2d(4, 5, 1), nn.Identity(), nn.Conv2d(5, 3, 3, padding=padding), nn.Flatten())
    model[1] = nn.PReLU(5)
    model[1].weight.data[:] = 1  # a straight line, but a site
    model[0].weight.data[4], model[0].bias.data[4] = 2 * model[0].weight.data[0], 2 * model[0].bias.data[0] + 5
    return model.double().eval()


def test_the_steps_are_those_of_fitting_every_candidate_from_the_rows():
    model, batches = mlp(), data()
    ((answer,), _) = needed(nc.trace(model, batches[0]), batches, tau=0.2)
    with torch.no_grad():
        rows = torch.relu(model[0](torch.cat(batches))).numpy()[Plan(600, 0).split == CALIBRATE]
    order, path = greedy([(rows, model[2].weight.detach().numpy(), np.arange(10), True)], 10, 0.2)
    assert len(order) > 1
    assert answer.order.tolist() == order
    assert answer.unexplained["2"] == pytest.approx(path[:, 0], abs=1e-9)
    assert answer.final["2"] == pytest.approx(path[-1, 0], abs=1e-9)
    assert answer.upper_bound == 10 - len(order)
    assert answer.rows == len(rows)


@pytest.mark.parametrize("padding", [0, 1])
def test_the_steps_of_a_convolution_are_those_of_its_unfolded_rows(padding):
    torch.manual_seed(1)
    model: Any = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=padding)).double().eval()
    batches = data(100, (2, 7, 7), 30)
    ((answer,), _) = needed(nc.trace(model, batches[0]), batches, tau=0.15)
    with torch.no_grad():
        x = torch.relu(model[0](torch.cat(batches)))[torch.from_numpy(Plan(100, 0).split == CALIBRATE)]
    rows = F.unfold(x, 3, padding=padding).mT.reshape(-1, 54).numpy()
    assert answer.rows == len(rows)  # fewer than the cap: every position is read
    weight = model[2].weight.detach().reshape(4, -1).numpy()
    order, path = greedy([(rows, weight, np.repeat(np.arange(6), 9), padding == 0)], 6, 0.15)
    assert len(order) > 0
    assert answer.order.tolist() == order
    assert answer.unexplained["2"] == pytest.approx(path[:, 0], abs=1e-9)


def test_a_shifted_copy_is_absorbed_inside_but_not_across_zero_padding():
    for padding, bound in ((0, 4), (1, 5)):
        model, batches = conv(padding), data(120, (4, 6, 6), 40)
        ((answer,), _) = needed(nc.trace(model, batches[0]), batches, tau=1e-9)
        assert answer.upper_bound == bound, padding
    # without a shift it is the same at the border, too
    model = conv(1)
    model[0].bias.data[4] -= 5
    ((answer,), _) = needed(nc.trace(model, batches[0]), batches, tau=1e-9)
    assert answer.order.tolist() == [4]
    assert answer.final["2"] == pytest.approx(0, abs=1e-12)


@settings(max_examples=3)
@given(st.integers(0, 99), st.integers(20, 200))
def test_the_batches_do_not_matter_and_the_verify_examples_are_not_read(seed, batch):
    model, x = mlp(seed), torch.cat(data(seed=seed))
    graph = nc.trace(model, x[:3])
    changed = x.clone()
    changed[torch.from_numpy(Plan(600, 0).split != CALIBRATE)] = 100
    ((one,), _), ((two,), _) = needed(graph, [x], tau=0.1), needed(graph, list(changed.split(batch)), tau=0.1)
    assert one.order.tolist() == two.order.tolist()
    assert one.unexplained["2"] == pytest.approx(two.unexplained["2"], abs=1e-9)


class Branches(nn.Module):
    """Two readers of one site; and a head that reads two sites side by side."""

    def __init__(self):
        super().__init__()
        self.stem, self.other = nn.Linear(6, 12), nn.Linear(6, 4)
        self.gate, self.head = nn.Linear(12, 2), nn.Linear(16, 3)

    def forward(self, x):
        a, b = torch.relu(self.stem(x)), torch.tanh(self.other(x))
        return torch.cat([self.head(torch.cat([a, b], 1)), self.gate(a)], 1)


def test_several_consumers_and_columns_of_other_sites():
    torch.manual_seed(0)
    model, batches = Branches().double().eval(), data()
    graph = nc.trace(model, batches[0])
    answers, found = needed(graph, batches, tau=0.1, verify=True)
    split = Plan(600, 0).split == CALIBRATE
    with torch.no_grad():
        x = torch.cat(batches)
        a, b = torch.relu(model.stem(x)).numpy()[split], torch.tanh(model.other(x)).numpy()[split]
    both = np.hstack([a, b])
    head, gate = model.head.weight.detach().numpy(), model.gate.weight.detach().numpy()
    order, _ = greedy([(both, head, np.append(np.arange(12), [-1] * 4), True), (a, gate, np.arange(12), True)], 12, 0.1)
    assert answers[0].order.tolist() == order
    assert set(answers[0].final) == {"head", "gate"}
    order, _ = greedy([(both, head, np.append([-1] * 12, np.arange(4)), True)], 4, 0.1)
    assert answers[1].order.tolist() == order
    assert found.value < 1
    assert sum(len(answer.order) for answer in answers) > 0


def test_the_agreement_is_that_of_the_network_with_the_new_weights():
    torch.manual_seed(0)
    model: Any = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(216, 4),
    )
    model, batches = model.double().eval(), data(800, (2, 6, 6), 100)
    graph = nc.trace(model, batches[0])
    answers, found = needed(graph, batches, tau=0.1, verify=True)
    assert all(len(answer.order) for answer in answers)
    plan = Plan(800, 0)
    states = NeededStates(graph, graph.sites, plan)
    for number, batch in enumerate(batches):
        index = np.arange(100) + 100 * number
        part = plan.split[index] == CALIBRATE
        chosen = as_batch(batch, start=100 * number).take(torch.from_numpy(np.flatnonzero(part)))
        graph.run(chosen, taps=states.moments.taps(chosen))
    x = torch.cat(batches)[torch.from_numpy(plan.split == VERIFY)]
    with torch.no_grad():
        before = model(x)
        for new in states.refitted({answer.site: answer.removed() for answer in answers}).values():
            layer = model[2] if new.source.kernel else model[5]
            layer.weight.data = new.stored
            layer.bias.data += torch.from_numpy(new.shift)
            assert (new.shift == 0).all() == bool(new.source.kernel)
        for answer, layer in zip(answers, (model[2].weight.flatten(2), model[5].weight.reshape(4, 6, 36)), strict=True):
            assert (layer[:, answer.order] == 0).all()
        after = model(x)
    same = (before.argmax(1) == after.argmax(1)).double()
    assert (found.task, found.examples, found.each.tolist()) == ("classification", len(x), same.tolist())
    assert found.value == same.mean()
    assert found.low < found.value < 1
    assert found.max_abs_difference == pytest.approx(float((before - after).abs().max()), rel=1e-9)


LAST: dict[str, Any] = {
    "linear": ((6,), [nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 5)]),
    "inside": ((2, 7, 7), [nn.Conv2d(2, 7, 3), nn.ReLU(), nn.Conv2d(7, 4, 3)]),
    "zero padding, strided": ((2, 7, 7), [nn.Conv2d(2, 7, 3), nn.GELU(), nn.Conv2d(7, 4, 3, 2, 1)]),
    "zero padding, dilated": ((2, 7, 7), [nn.Conv2d(2, 7, 3), nn.ReLU(), nn.Conv2d(7, 4, 3, 1, 2, 2, bias=False)]),
    "zero padding apart": ((2, 6, 6), [nn.Conv2d(2, 7, 1), nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(7, 4, 3)]),
    "flattened": ((2, 4, 4), [nn.Conv2d(2, 7, 3), nn.ReLU(), nn.Flatten(), nn.Linear(28, 4)]),
    "pooled": ((2, 8, 8), [nn.Conv2d(2, 7, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(7, 4, 2, bias=False)]),
}


@pytest.mark.parametrize("name", LAST)
def test_what_is_predicted_is_what_the_replaced_consumer_leaves_unexplained_of_its_output(name):
    """Forward the network with the new weight: its output on all calibrate rows, against the old one."""
    shape, layers = LAST[name]
    torch.manual_seed(2)
    model = nn.Sequential(*(deepcopy(layer) for layer in layers)).double().eval()
    x = torch.cat(data(160, shape))
    graph, plan = nc.trace(model, x[:3]), Plan(160, 0)
    states = NeededStates(graph, graph.sites, plan, tau=0.3)
    used = x[torch.from_numpy(plan.split == CALIBRATE)]
    graph.run(x, taps=states.moments.taps(as_batch(x)))
    answer = states.judge(graph.sites[0])
    (batch,) = to_batches([used])
    with torch.no_grad():
        before = model(used)
        after = run_replaced(graph, batch, states.refitted({answer.site: answer.removed()}))
    outputs = before.shape[1]
    before, after = (y.movedim(1, -1).reshape(-1, outputs) for y in (before, after))
    assert answer.rows == len(before)  # fewer than the cap: every position is read
    measured = float(((after - before) ** 2).sum() / ((before - before.mean(0)) ** 2).sum())
    assert answer.order is not None
    assert len(answer.order) > 0
    assert answer.final is not None
    assert answer.unexplained is not None
    ((consumer, final),) = answer.final.items()
    assert final == pytest.approx(measured, abs=1e-9)
    assert answer.unexplained[consumer][-1] == pytest.approx(measured, abs=1e-9)


@settings(max_examples=4)
@given(st.integers(0, 99), st.permutations(range(10)))
def test_scale_and_order_of_the_units_do_not_matter(seed, order):
    rng = np.random.default_rng(seed)
    batches, model = data(seed=seed), mlp(seed)
    ((before,), _) = needed(nc.trace(model, batches[0]), batches, tau=0.1)
    scale, place = torch.from_numpy(10 ** rng.uniform(-3, 3, 10)), torch.tensor(order)
    with torch.no_grad():  # unit j is now unit i where order[i] = j, with another scale
        model[0].weight.data, model[0].bias.data = (model[0].weight.T * scale).T[place], (model[0].bias * scale)[place]
        model[2].weight.data = (model[2].weight / scale)[:, place]
    ((after,), _) = needed(nc.trace(model, batches[0]), batches, tau=0.1)
    assert [order[unit] for unit in after.order] == before.order.tolist()
    assert after.upper_bound == before.upper_bound
    assert after.unexplained["2"] == pytest.approx(before.unexplained["2"], abs=1e-9)


def test_units_that_cost_nothing_change_no_prediction():
    model: Any = mlp(hidden=8)
    model[0].weight.data[5], model[0].bias.data[5] = 3 * model[0].weight.data[2], 3 * model[0].bias.data[2]
    batches = data()
    ((answer,), found) = needed(nc.trace(model, batches[0]), batches, tau=1e-9, verify=True)
    assert answer.order.tolist() == [5]
    assert found.value == 1
    assert found.low == pytest.approx(0.05 ** (1 / found.examples))
    assert found.max_abs_difference < 1e-9


def test_units_that_are_idle_go_first_so_that_none_is_absorbable_in_their_stead():
    """Unit 5 repeats unit 2: told that 2 is the idle one, elimination keeps 5."""
    model: Any = mlp(hidden=8)
    model[0].weight.data[5], model[0].bias.data[5] = 3 * model[0].weight.data[2], 3 * model[0].bias.data[2]
    batches, plan = data(), Plan(600, 0)
    graph = nc.trace(model, batches[0])
    for idle, expected in ((2, [2]), (5, [5])):
        states = NeededStates(graph, graph.sites, plan, tau=1e-9)
        x = torch.cat(batches)
        graph.run(x, taps=states.moments.taps(as_batch(x)))
        stage = np.ones(8, dtype=np.int64)
        stage[idle] = 0
        answer: Any = states.judge(graph.sites[0], stage)
        assert answer.order.tolist() == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_what_goes_at_no_cost_changes_no_output_of_any_network(family):
    """Random networks of every kind: each site is judged or says why; joint replacement at a tiny tau is invisible."""
    judged = removed = 0
    for seed in range(2):
        model, example = build(family, seed)
        shape, generator = example.shape[1:], torch.Generator().manual_seed(seed)
        if example.is_floating_point():
            x = torch.randn(240, *shape, generator=generator, dtype=example.dtype)
        else:
            x = torch.randint(0, 11, (240, *shape), generator=generator)
        answers, found = needed(nc.trace(model, example), list(x.split(60)), tau=1e-13, verify=True)
        for answer in answers:
            assert (answer.upper_bound is None) == (answer.reason is not None)
            judged += answer.upper_bound is not None
            removed += answer.removed().sum()
        assert found.max_abs_difference < 1e-4
        assert found.value == 1
    assert judged or family == "attention_ffn"


class Refused(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.deep, self.norm, self.last = (
            nn.Conv2d(2, 4, 1),
            nn.Conv2d(4, 4, 3, groups=4),
            nn.LayerNorm(4),
            nn.Linear(4, 2),
        )

    def forward(self, x):
        x = torch.tanh(self.deep(torch.relu(self.first(x)))).mean((2, 3))
        return torch.sigmoid(self.last(self.norm(x)))


def test_sites_that_cannot_be_judged_say_why():
    model, batches = Refused().double().eval(), data(60, (2, 5, 5), 20)
    answers, found = needed(nc.trace(model, batches[0]), batches, verify=True)
    reasons = {answer.site: answer.reason for answer in answers}
    assert "depthwise" in reasons["relu"]
    assert "mixes them" in reasons["tanh"]
    assert reasons["sigmoid"] == "output reads its units before any weight does"
    assert all(answer.upper_bound is None for answer in answers)
    assert found.value == 1


def test_few_rows_and_many_columns_are_named_and_skipped():
    model, batches = mlp(hidden=40), data(60)
    graph = nc.trace(model, batches[0])
    ((answer,), _) = needed(graph, batches)
    assert answer.upper_bound is None
    assert answer.reason.startswith(f"too few rows ({answer.rows} for the 40 input columns of 2)")
    ((answer,), _) = needed(graph, data(), max_columns=39)
    assert answer.reason.startswith("consumer 2 has 40 input columns, more than the 39 that are read")
    ((answer,), _) = needed(graph, data())
    assert "fewer than 20 rows a column" in answer.warnings[0]


class Bound(nn.Module):
    """Its code fixes the batch size at two."""

    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        return self.inner(x.reshape(2, 6))


def test_a_graph_of_one_batch_size_gives_the_same_answer():
    batches = data(204, batch=50)
    bound = nc.trace(Bound().double().eval(), batches[0][:2])
    assert not bound.dynamic_batch
    ((one,), first) = needed(bound, batches, tau=0.1, verify=True)
    ((two,), second) = needed(nc.trace(mlp(), batches[0]), batches, tau=0.1, verify=True)
    assert one.order.tolist() == two.order.tolist()
    assert first.examples % 2  # the last batch is filled up
    assert first.each.tolist() == second.each.tolist()
    assert first.max_abs_difference == pytest.approx(second.max_abs_difference)


def test_a_regression_has_an_agreement_without_a_bound_and_an_unknown_output_a_reason():
    model: Any = nn.Sequential(*mlp()[:2], nn.Linear(10, 1)).double().eval()
    batches = data()
    ((answer,), found) = needed(nc.trace(model, batches[0]), batches, tau=0.1, verify=True)
    assert len(answer.order) > 0
    assert (found.task, found.low) == ("regression", None)
    assert 0.8 < found.value < 1
    ((answer,), found) = needed(
        nc.trace(nn.Sequential(*mlp(), nn.Unflatten(1, (3, 1, 1))).eval(), batches[0]), batches, verify=True
    )
    assert answer.upper_bound is not None
    assert "is neither scores of classes" in found


def test_bad_arguments_name_the_remedy():
    model, batches = mlp(), data()
    graph = nc.trace(model, batches[0])
    with pytest.raises(InputError, match=r"`tau` must lie in \[0, 1\), got -1.0"):
        needed(graph, batches, tau=-1.0)
    with pytest.raises(InputError, match="not one of the 1 sites"):
        needed(graph, batches, sites=["0"])
    with pytest.raises(DataError, match="give more examples"):
        needed(graph, data(1))
