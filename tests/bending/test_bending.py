"""``nc.Bending``: what it promises of the copy, of the alphas, and of what cannot be used."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netcaliper as nc
from netcaliper.errors import InputError, TraceError
from netcaliper.zoo.models import ZOO, build

X = torch.linspace(-1.0, 1.0, 12).reshape(3, 4)
SMALL = {
    "alexnet": {}, "cnn": {}, "decoder": {"width": 8, "depth": 2}, "encoder_decoder": {"width": 8},
    "mlp": {"widths": [6, 5]}, "resnet": {"depth": 8, "size": 8, "width": 0.5}, "vit": {},
}  # fmt: skip


def mlp(activation: type[nn.Module] = nn.ReLU, width=6):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), activation(), nn.Linear(width, 5), nn.GELU(), nn.Linear(5, 2))


def snapshot(model):
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        [(name, type(module), module.training, sorted(module.__dict__)) for name, module in model.named_modules()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
    )


@pytest.mark.parametrize("training", [False, True])
def test_the_users_module_is_untouched(training):
    model = mlp()
    model[2].train(training)
    before, random = snapshot(model), torch.get_rng_state()
    bend = nc.Bending(model, X)
    optimizer = torch.optim.SGD(bend.parameter_groups(), lr=0.1)
    (bend.model(X).square().sum() + bend.penalty()).backward()
    optimizer.step()
    bend.snap(optimizer)
    after = snapshot(model)
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:] == after[1:]
    assert torch.equal(random, torch.get_rng_state())
    assert type(bend.model) is nn.Sequential
    assert [m.training for m in bend.model.modules()] == [m.training for m in model.modules()]
    assert len(bend.model) == 5


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet"])
def test_zoo_networks_compute_the_same_at_the_start_without_an_example(name):
    model = build(name, SMALL[name])
    bend = nc.Bending(model)
    inputs = ZOO[name].config(**SMALL[name]).example_inputs(4)
    for training in (True, False):
        results = []
        for net in (model.train(training), bend.model.train(training)):
            torch.manual_seed(1)
            net.zero_grad()
            y = net(inputs)
            (y * torch.linspace(-1.0, 1.0, y.numel()).reshape(y.shape)).sum().backward()
            results.append((y, {n: p.grad for n, p in net.named_parameters() if "bend_" not in n}))
        (y, theirs), (z, ours) = results
        assert torch.equal(y, z)
        assert all(torch.equal(ours[n], theirs[n]) for n in theirs)


def test_a_network_becomes_linear_unit_by_unit():
    bend = nc.Bending(mlp(), X)
    assert bend.sites == ("1", "3")
    assert {site: len(alpha) for site, alpha in bend.alphas().items()} == {"1": 6, "3": 5}
    assert all(bool(active.all()) for active in bend.active().values())
    bend.set_active({"1": torch.arange(6) < 2, "3": torch.zeros(5, dtype=torch.bool)})
    layers = bend.model
    h = layers[0](X)
    h = torch.where(torch.arange(6) < 2, F.relu(h), h)
    torch.testing.assert_close(bend.model(X), layers[4](layers[2](h)))
    bend.set_active({"1": torch.zeros(6, dtype=torch.bool)})
    line = bend.model(X), bend.model(2 * X) - bend.model(0 * X), bend.model(0 * X)
    torch.testing.assert_close(line[0] - line[2], line[1] / 2)
    bend.set_active({"1": torch.ones(6, dtype=torch.bool)})
    assert bend.alphas()["1"].tolist() == [0.0] * 6


def test_training_draws_units_to_linear_and_the_penalty_to_zero():
    bend = nc.Bending(mlp(), X, omega=0.05)
    optimizer = torch.optim.SGD(bend.parameter_groups(1e-4), lr=0.1, momentum=0.9)
    start, snapped = bend.penalty().item(), 0
    assert start == pytest.approx(0.05 * 11 * (1 + 1e-4) ** 0.5)
    for _ in range(100):
        optimizer.zero_grad()
        (bend.model(X).square().mean() + bend.penalty()).backward()
        optimizer.step()
        snapped += bend.snap(optimizer)
    assert snapped == sum(int((~active).sum()) for active in bend.active().values()) == 11
    assert bend.penalty().item() == 0.0
    assert all(bool((alpha == 1.0).all()) for alpha in bend.alphas().values())


def test_one_alpha_a_layer():
    bend = nc.Bending(mlp(), X, granularity="layer", omega=1.0)
    assert [p.shape for n, p in bend.model.named_parameters() if "bend_alpha" in n] == [(1,), (1,)]
    assert bend.penalty().item() == pytest.approx(2.0, rel=1e-3)
    with torch.no_grad():
        bend.model[1].bend_alpha.fill_(0.5)
    assert bend.alphas()["1"].tolist() == [0.5] * 6
    torch.testing.assert_close(bend.model[1](torch.full((1, 6), -1.0)), torch.full((1, 6), -0.5))
    bend.set_active({"3": torch.zeros(5, dtype=torch.bool)})
    assert not bool(bend.active()["3"].any())
    with pytest.raises(InputError, match="all True or all False"):
        bend.set_active({"1": torch.arange(6) < 2})


def test_freezing_keeps_values_and_stops_gradients():
    bend = nc.Bending(mlp(), X)
    with torch.no_grad():
        bend.model[1].bend_alpha.copy_(torch.linspace(0.0, 0.5, 6))
    before = bend.model(X)
    bend.freeze()
    assert torch.equal(bend.model(X), before)
    bend.model(X).sum().backward()
    assert all(p.grad is None for n, p in bend.model.named_parameters() if "bend_" in n)
    assert bend.model[0].weight.grad is not None
    assert bend.snap() == 0


def test_parameter_groups_split_weights_from_alphas():
    bend = nc.Bending(mlp(), X)
    weights, alphas = bend.parameter_groups(0.3)
    assert (weights["weight_decay"], alphas["weight_decay"]) == (0.3, 0.0)
    assert len(weights["params"]) == 6
    assert [p.numel() for p in alphas["params"]] == [6, 5]
    faster = nc.Bending(mlp(), X, alpha_rate=10.0).parameter_groups(learning_rate=0.1)
    assert [group["lr"] for group in faster] == [0.1, 1.0]


def test_state_dict_round_trip_is_strict_and_exact():
    bend = nc.Bending(mlp(nn.Tanh), X)
    with torch.no_grad():
        bend.model[1].bend_alpha.copy_(torch.linspace(0.0, 1.2, 6))
    bend.snap()
    other = nc.Bending(mlp(nn.Tanh), X + 1.0)
    other.load_state_dict(copy.deepcopy(bend.state_dict()))
    assert torch.equal(other.model(X), bend.model(X))
    assert other.active()["1"].tolist() == bend.active()["1"].tolist() == [True] * 5 + [False]
    other.model.load_state_dict(bend.model.state_dict(), strict=True)
    plain = mlp(nn.Tanh)
    plain.load_state_dict(bend.weights(), strict=True)


def test_alphas_of_another_architecture_are_refused_by_name():
    bend = nc.Bending(mlp(), X)
    with pytest.raises(InputError, match=r"`1\.bend_alpha` of shape \(6,\), got shape \(7,\)"):
        bend.load_state_dict(nc.Bending(mlp(width=7), X).state_dict())
    with pytest.raises(InputError, match=r"`1\.bend_alpha` of shape \(6,\), got shape \(1,\).*granularity"):
        bend.load_state_dict(nc.Bending(mlp(), X, granularity="layer").state_dict())
    with pytest.raises(InputError, match=r"`1\.bend_alpha` .* got none"):
        bend.load_state_dict(mlp().state_dict())
    deeper = nn.Sequential(*mlp(), nn.ReLU(), nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"`5\.bend_alpha`"):
        bend.load_state_dict(nc.Bending(deeper, X).state_dict())
    state = bend.state_dict() | {"0.weight": torch.zeros(3, 3)}
    with pytest.raises(InputError, match=r"0\.weight"):
        bend.load_state_dict(state)


class Written(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = self.a(x)
        return self.b(h * torch.sigmoid(h))


def test_models_that_cannot_bend():
    with pytest.raises(InputError, match="must have an activation, got none"):
        nc.Bending(nn.Linear(4, 2), X)
    with pytest.raises(InputError, match=r"can be replaced.*composite\(sigmoid\).*written out"):
        nc.Bending(Written(), X)
    with pytest.raises(InputError, match="bent already"):
        nc.Bending(nc.Bending(mlp(), X).model, X)
    with pytest.raises(InputError, match=r"DataParallel.*model\.module"):
        nc.Bending(nn.DataParallel(mlp()), X)
    compiled: Any = torch.compile(nn.ReLU())
    with pytest.raises(InputError, match=r"`1` of `model` must be eager code, got torch\.compile"):
        nc.Bending(nn.Sequential(nn.Linear(4, 4), compiled, nn.Linear(4, 2)), X)
    with pytest.raises(InputError, match="`example` is needed"):
        nc.Bending(nn.Sequential(nn.Flatten(), nn.Bilinear(4, 4, 2)))
    model = mlp()
    model.cache = model(X)
    with pytest.raises(InputError, match="deepcopy"):
        nc.Bending(model, X)
    assert issubclass(TraceError, nc.errors.NetcaliperError)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"omega": -1.0}, "`omega`"), ({"omega": float("nan")}, "`omega`"), ({"omega": float("inf")}, "`omega`"),
        ({"granularity": "unit"}, "granularity"), ({"alpha_rate": 0.0}, "`alpha_rate`"),
    ],
)  # fmt: skip
def test_arguments_out_of_range(arguments, words):
    with pytest.raises(Exception, match=words):
        nc.Bending(mlp(), X, **arguments)


def test_set_active_refuses_what_does_not_fit():
    bend = nc.Bending(mlp(), X)
    with pytest.raises(InputError, match="'2'"):
        bend.set_active({"2": torch.ones(5, dtype=torch.bool)})
    with pytest.raises(InputError, match="6 entries"):
        bend.set_active({"1": torch.ones(5, dtype=torch.bool), "3": torch.zeros(5, dtype=torch.bool)})
    assert bool(bend.active()["3"].all()), "nothing is set when one entry is wrong"


def test_function_transforms_work_where_nothing_trains_and_are_refused_elsewhere():
    bend = nc.Bending(mlp(), X)
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.jacrev(bend.model)(X)
    bend.freeze()
    torch.testing.assert_close(torch.func.jacrev(bend.model)(X), torch.func.jacrev(mlp())(X))
