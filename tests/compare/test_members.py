"""Which networks are compared, under which names, and which of them share a trace."""

import pytest
import torch
from torch import nn

from compared import data, graph, mlp, state, unchanged, unchecked
from netcaliper.compare import members as file
from netcaliper.compare.members import named_networks, traced_members
from netcaliper.errors import DataError, InputError
from netcaliper.fit.seeds import seeded
from netcaliper.zoo.resnet import ResNet


@pytest.fixture
def traces(monkeypatch):
    """Count what is really traced."""
    seen = []
    real = file.traced

    def counted(*arguments):
        seen.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(file, "traced", counted)
    return seen


def outputs(member, x):
    return member.graph.run(x).output


def test_names():
    a, b, c = graph(0), graph(1), graph(2)
    assert named_networks([a, b]) == {"network 1": [a], "network 2": [b]}
    assert named_networks((a, b)) == {"network 1": [a], "network 2": [b]}
    assert named_networks({"x": a, "y": (b, c)}) == {"x": [a], "y": [b, c]}
    found = traced_members({"x": [a], "y": [b, c]}, data(), None)
    assert [(m.name, m.group, m.graph) for m in found] == [("x", "x", a), ("y.1", "y", b), ("y.2", "y", c)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (mlp, "must be a list of networks, or a mapping from names to networks, got MLP.*use nc.layers"),
        (graph, "got Graph; for the layers of one network use nc.layers"),
        (lambda: iter([mlp(), mlp(1)]), "must be a list of networks"),
        (lambda: 7, "must be a list of networks, .* got int"),
        (lambda: [graph()], "must be at least 2, got 1; for the layers of one network use nc.layers"),
        (list, "must be at least 2, got"),
        (dict, "must be at least 2, got"),
        (lambda: [graph(), "resnet"], "must hold torch modules or graphs, got str in 'network 2'; pass the modules"),
        (lambda: {"a": graph(), "b": 3}, "must hold torch modules or graphs, got int in 'b'; pass the modules"),
        (lambda: {"a": graph(), "b": None}, "got NoneType in 'b'; pass the modules"),
        (lambda: {"a": [graph(), 3]}, "must hold torch modules or graphs, got int in 'a'"),
        (lambda: {"a": graph(), "b": [], "c": graph(1)}, "at least one network a name, got none in 'b'; leave it out"),
        (lambda: {1: graph(), "1": graph(1)}, "must have different names, got '1' twice; rename one"),
        (lambda: {"a": [graph(), graph(1)], "a.1": graph(2)}, "different names, got 'a.1' twice; rename 'a.1'"),
    ],
)
def test_what_are_no_networks(given, said):
    with unchecked(), pytest.raises(InputError, match=said):
        named_networks(given())


def test_seeds_share_one_trace_and_keep_their_own_weights(traces):
    models = [mlp(seed) for seed in range(3)]
    before = [state(model) for model in models]
    found = traced_members({"seeds": models, "alone": [mlp(5)]}, data(), None)
    assert traces == ["seeds.1", "alone"]
    x = data()[1][0]
    for member, model in zip(found, models, strict=False):
        torch.testing.assert_close(outputs(member, x), model(x))
        assert member.graph.name == member.name
        assert member.graph.model is model
    assert all(unchanged(model, old) for model, old in zip(models, before, strict=True))


class Bent(nn.Module):
    """Equal weights, another function: the slope is no tensor and is not printed."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope
        with seeded(0):
            self.first, self.last = nn.Linear(64, 6), nn.Linear(6, 10)

    def forward(self, x):
        x = self.first(x.flatten(1))
        return self.last(torch.where(x > 0, x, self.slope * x))


class Zeroed(nn.Module):
    """Before training the branch counts for nothing, so that the output does not tell its activation."""

    def __init__(self, activation):
        super().__init__()
        with seeded(0):
            self.first, self.up, self.down, self.last = (nn.Linear(a, b) for a, b in ((64, 6), (6, 6), (6, 6), (6, 10)))
        self.act = activation
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x):
        x = self.first(x.flatten(1))
        return self.last(x + self.down(self.act(self.up(x))))


def shortcuts(residual):
    # the recipe "nguyen" has weights in the shortcut only where the shape changes
    with seeded(0):
        return ResNet(depth=8, width=0.0625, recipe="nguyen", residual=residual, channels=1, size=8).eval()


@pytest.mark.parametrize(
    "pair",
    [
        lambda: (mlp(0), mlp(0, activation="tanh")),
        lambda: (Bent(0.0).eval(), Bent(0.2).eval()),
        lambda: (Zeroed(nn.ReLU()).eval(), Zeroed(nn.Tanh()).eval()),
        lambda: (shortcuts(residual=True), shortcuts(residual=False)),
        lambda: (mlp(0), mlp(0, widths=(12, 9))),
    ],
    ids=["activation", "attribute", "branch of zeros", "shortcuts", "widths"],
)
def test_another_function_gets_a_trace_of_its_own(pair, traces):
    models = pair()
    assert type(models[0]) is type(models[1])
    found = traced_members({"g": list(models)}, data(), None)
    assert traces == ["g.1", "g.2"]
    x = data()[1][0]
    values: list[dict] = [{}, {}]
    for member, model, own in zip(found, models, values, strict=True):
        torch.testing.assert_close(outputs(member, x), model(x))
        # the inner values are its own, too
        taps = {site.name: lambda value, *_, name=site.name, own=own: own.update({name: value.clone()})
                for site in member.graph.sites}  # fmt: skip
        member.graph.run(x, taps=taps)
    hooked: list[dict] = [{}, {}]
    for model, own in zip(models, hooked, strict=True):
        for name, module in model.named_modules():
            if not any(module.children()):
                module.register_forward_hook(lambda _, __, value, name=name, own=own: own.update({name: value}))
        model(x)
    shared = [
        {name: value for name, value in own.items() if name in hook} for own, hook in zip(values, hooked, strict=True)
    ]
    assert any(shared) or isinstance(models[0], Bent)
    for own, hook in zip(shared, hooked, strict=True):
        for name, value in own.items():
            torch.testing.assert_close(value, hook[name])


def test_shortcuts_without_weights_are_seen_although_the_state_dicts_fit(traces):
    """The trap of ``with_state`` alone: every name and shape is right, and the function is another one."""

    class Stack(nn.Module):
        def __init__(self, residual):
            super().__init__()
            self.residual = residual
            with seeded(1):
                self.first, self.inner, self.last = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, 10)

        def forward(self, x):
            x = self.first(x.flatten(1))
            y = self.inner(x.relu())
            return self.last(x + y if self.residual else y)

    models = [Stack(True).eval(), Stack(False).eval()]
    assert repr(models[0]) == repr(models[1])
    first, second = traced_members({"g": models}, data(), None)
    first.graph.with_state(models[1].state_dict())  # is not refused
    x = data()[1][0]
    torch.testing.assert_close(outputs(second, x), models[1](x))
    assert traces == ["g.1", "g.2"]


def test_a_part_in_train_mode_is_refused_and_does_not_change():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10))

        def forward(self, x):
            return self.layers(x)

    good, bad = Normed().eval(), Normed().eval()
    bad.layers[2].train()
    before = state(bad)
    with pytest.raises(InputError, match=r"network 'g.2': `model` is in train mode .*`model.eval\(\)`"):
        traced_members({"g": [good, bad]}, data(), None)
    assert unchanged(bad, before)


def test_a_network_that_cannot_be_read_is_named():
    with pytest.raises(DataError, match="network 'b': `model` does not take `example`"):
        traced_members({"a": [graph()], "b": [mlp(0, inputs=32)]}, data(), None)
    broken = mlp(1)
    with torch.no_grad():
        broken.head.bias[3] = torch.nan
    with pytest.raises(InputError, match="network 'a.2': weight `head.bias` of `model` has 1 of 10 values"):
        traced_members({"a": [mlp(0), broken]}, data(), None)
