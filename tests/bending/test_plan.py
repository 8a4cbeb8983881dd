"""Which call is which site, and what is left as it is, by name and with the reason."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netcaliper as nc
from netcaliper.bending.plan import Print, make_plan
from netcaliper.trace.trace import trace
from networks import FAMILIES, build


def plan_of(model, x):
    model = model.eval()
    return make_plan(copy.deepcopy(model), trace(model, x))


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class WritesOver(nn.Module):
    def forward(self, x):
        return x.mul_(torch.sigmoid(x))


class Mixed(nn.Module):
    """An activation as a function, one written out, one that only the training sees, and a product."""

    def __init__(self, *, extra=False, first=False):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(4, 4) for _ in range(4))
        self.extra, self.first = extra, first

    def forward(self, x):
        if self.training and self.first:
            x = F.relu(x)
        h = F.relu(self.a(x))
        h = self.b(h)
        h = h * torch.sigmoid(h)
        h = self.c(h) * self.d(h)
        if self.training and self.extra:
            F.gelu(h)
        return self.a(h)


X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("module", [QuickGELU(), WritesOver(), nn.Softsign(), nn.GLU()])
def test_modules_that_are_one_function_as_a_whole(module):
    model = nn.Sequential(nn.Linear(4, 6), module, nn.Linear(3 if isinstance(module, nn.GLU) else 6, 2))
    plan = plan_of(model, X)
    (planned,) = plan.planned
    assert planned.site.name == "1"
    assert planned.target == {"Softsign": "fit", "GLU": "glu"}.get(type(module).__name__, "identity")
    assert planned.seen.in_place == isinstance(module, WritesOver)
    assert not plan.skipped


def test_bent_modules_as_a_whole_compute_the_convex_form():
    torch.manual_seed(0)
    for module in (QuickGELU(), WritesOver()):
        model = nn.Sequential(nn.Linear(4, 6), module, nn.Linear(6, 2)).eval()
        bend = nc.Bending(model, X)
        with torch.no_grad():
            bend.model[1].bend_alpha.fill_(0.25)
        h = model[0](X)
        torch.testing.assert_close(bend.model(X), model[2](0.25 * h + 0.75 * module(h.clone())))


def test_what_is_not_bent_is_named():
    plan = plan_of(Mixed(), X)
    assert [p.site.name for p in plan.planned] == ["relu"]
    reasons = dict(plan.skipped)
    assert "written out" in reasons["composite(sigmoid)"]
    assert "product of two values" in reasons["product"]


def test_calls_that_train_mode_adds():
    assert [p.site.name for p in plan_of(Mixed(extra=True), X).planned] == ["relu"]
    plan = plan_of(Mixed(first=True), X)
    assert not plan.planned
    assert "otherwise in train mode" in dict(plan.skipped)["relu"]


def test_a_random_activation_is_refused():
    plan = plan_of(nn.Sequential(nn.Linear(4, 4), nn.RReLU(), nn.Linear(4, 2)), X)
    assert dict(plan.skipped)["1"] == "rrelu is random in train mode"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_random_networks_every_activation_site_is_bent_or_named(family, seed):
    model, example = build(family, seed)
    graph = trace(model, example)
    plan = make_plan(copy.deepcopy(model), graph)
    bent = [p.site.name for p in plan.planned]
    named = {name for name, _ in plan.skipped}
    assert len(set(bent)) == len(bent)
    for site in graph.sites:
        if site.kind != "stream":
            assert (site.name in bent) != (site.name in named)
            assert site.name in bent or site.op.startswith("composite")


def test_the_copy_that_is_read_is_left_without_frames():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    scratch = copy.deepcopy(model)
    make_plan(scratch, trace(model, X))
    assert all("forward" not in module.__dict__ for module in scratch.modules())


def test_prints_tell_values_apart_up_to_rounding():
    a = Print((2, 3), torch.ones(6).double(), 1e-4)
    assert a.same(Print((2, 3), torch.ones(6).double() + 5e-5, 1e-4))
    assert not a.same(Print((2, 3), torch.ones(6).double() + 5e-4, 1e-4))
    assert not a.same(Print((3, 2), torch.ones(6).double(), 1e-4))
