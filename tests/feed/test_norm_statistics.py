"""BatchNorm statistics estimated anew, against the definition."""

import torch
from torch import Tensor, nn

from netcaliper.feed.norm_statistics import batch_norms, estimate_norms
from netcaliper.trace.batches import as_batch


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.drop = nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=0.3), nn.Dropout(0.5)
        self.b, self.norm2 = nn.Linear(4, 2), nn.BatchNorm1d(2)
        self.free = nn.BatchNorm1d(2, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.free(self.norm2(self.b(self.drop(self.norm(self.a(x))))))


def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net().eval()


def data() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 3, generator=generator) for n in (8, 8, 5)]


def test_statistics_are_means_over_batches():
    model, x = net(), data()
    found = estimate_norms(model, [as_batch(batch) for batch in x])
    with torch.no_grad():
        first = [model.a(batch) for batch in x]
        after = [model.b((v - v.mean(0)) / (v.var(0, correction=0) + 1e-5).sqrt()) for v in first]  # no dropout
    for name, values in (("norm", first), ("norm2", after)):
        assert torch.allclose(
            found[f"{name}.running_mean"], torch.stack([v.mean(0) for v in values]).mean(0), atol=1e-6
        )
        assert torch.allclose(found[f"{name}.running_var"], torch.stack([v.var(0) for v in values]).mean(0), atol=1e-6)
        assert int(found[f"{name}.num_batches_tracked"]) == 3


def test_the_module_is_left_in_eval_mode_with_its_momentum():
    model = net()
    found = estimate_norms(model, [as_batch(batch) for batch in data()])
    assert not any(module.training for module in model.modules())
    assert (model.norm.momentum, model.norm2.momentum) == (0.3, 0.1)
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in found.items())
    assert set(found) == {
        f"{n}.{b}" for n in ("norm", "norm2") for b in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_global_random_numbers_are_not_drawn():
    before = torch.get_rng_state()
    estimate_norms(net(), [as_batch(batch) for batch in data()])
    assert torch.equal(before, torch.get_rng_state())


def test_norms_without_running_statistics_are_none():
    assert set(batch_norms(net())) == {"norm", "norm2"}
    assert batch_norms(nn.Linear(2, 2)) == {}


def test_a_shared_norm_has_each_of_its_names():
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(norm, nn.ReLU(), norm).eval()
    assert set(batch_norms(model)) == {"0", "2"}
    found = estimate_norms(model, [as_batch(torch.randn(6, 3))])
    assert torch.equal(found["0.running_mean"], found["2.running_mean"])
    assert int(found["0.num_batches_tracked"]) == 2


def test_a_norm_itself():
    x = torch.randn(6, 3)
    found = estimate_norms(nn.BatchNorm1d(3).eval(), [as_batch(x)])
    assert torch.allclose(found["running_mean"], x.mean(0), atol=1e-6)
