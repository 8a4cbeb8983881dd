"""The penalty is the share of the first principal component, differentiable, and lowers it in a training."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from netcaliper.errors import DataError, InputError
from netcaliper.fit.principal_penalty import PrincipalPenalty, _first_direction, first_share
from netcaliper.fit.train import fit
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.data import Options, digits
from netcaliper.zoo.models import build


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(features, seed=1):
    u = draws(features, seed=seed)
    return u / u.norm()


def share_by_eigenvalues(x):
    """Return lambda_1 / trace of the covariance of a batch, in float64."""
    x = x.detach().flatten(1).double()
    values = torch.linalg.eigvalsh((x - x.mean(0)).T @ (x - x.mean(0)))
    return float(values[-1] / values.sum())


def test_the_definition():
    x, u = draws(9, 6) + 3, unit(6)
    share, moved = first_share(x, u)
    centered = x - x.mean(0)
    gram = centered.T @ centered
    assert share.item() == pytest.approx(float((gram @ u).norm() / torch.trace(gram)), rel=1e-12)
    torch.testing.assert_close(moved, gram @ u / (gram @ u).norm())
    assert share.item() < share_by_eigenvalues(x)


def test_the_gradient_for_a_constant_direction():
    """With w = Xc^T Xc u / s it is Xc (u w^T + w u^T) / T - 2 s Xc / T^2, T = ||Xc||_F^2; also by differences."""
    x, u = draws(7, 5).requires_grad_(), unit(5)
    share, moved = first_share(x, u)
    (gradient,) = torch.autograd.grad(share, x)
    centered = (x - x.mean(0)).detach()
    total, step = centered.square().sum(), centered.T @ centered @ u
    s, w = step.norm(), step / step.norm()
    expected = centered @ (torch.outer(u, w) + torch.outer(w, u)) / total - 2 * s * centered / total**2
    torch.testing.assert_close(gradient, expected)
    assert not moved.requires_grad
    assert torch.autograd.gradcheck(lambda x: first_share(x, u)[0], x)


def test_it_converges_to_the_first_share():
    """From below, never falling, for any start."""
    x, u = draws(30, 12), unit(12)
    truth, shares = share_by_eigenvalues(x), []
    for _ in range(400):
        share, u = first_share(x, u)
        shares.append(share.item())
        assert u.norm().item() == pytest.approx(1, abs=1e-12)
    assert shares[0] < 0.9 * truth
    assert all(a <= b + 1e-12 for a, b in pairwise(shares))
    assert shares[-1] == pytest.approx(truth, rel=1e-9)


def test_invariances():
    x, u = draws(8, 5), unit(5)
    rotation = torch.linalg.qr(draws(5, 5, seed=2))[0]
    share = first_share(x, u)[0]
    for other, direction in ((7.0 * x, u), (x + draws(1, 5, seed=3), u), (x @ rotation, u @ rotation), (x, -u)):
        torch.testing.assert_close(first_share(other, direction)[0], share)


def test_outputs_that_do_not_vary():
    """A dead layer has no direction: it adds nothing, no NaN and no gradient, and u waits."""
    x, u = torch.full((4, 3), 2.5).requires_grad_(), unit(3).float()
    share, moved = first_share(x, u)
    (gradient,) = torch.autograd.grad(share, x)
    assert share.item() == 0
    assert torch.equal(moved, u)
    assert torch.equal(gradient, torch.zeros(4, 3))


class Twice(nn.Module):
    """One activation that is called twice, and one under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 5)
        self.act = nn.ReLU(inplace=True)
        self.alias = self.act
        self.last = nn.Tanh()

    def forward(self, x):
        return self.last(self.alias(self.second(self.act(self.first(x)))))


def test_every_call_is_a_layer():
    model = Twice()
    x = draws(10, 4).float()
    penalty = PrincipalPenalty(model, 10.0, 0.1, seed=0)
    with penalty.watching() as shares:
        model(x)
    assert list(shares) == ["act", "act#2", "last"] == list(penalty.directions)
    assert [len(u) for u in penalty.directions.values()] == [6, 5, 5]
    expected = sum(10 * max(0.0, share.item() - 0.1) for share in shares.values())
    assert torch.as_tensor(penalty.of(shares)).item() == pytest.approx(expected, rel=1e-6)
    for _ in range(300):
        with penalty.watching() as shares:
            model(x)
    hidden = model.first(x).relu()
    truth = [share_by_eigenvalues(h) for h in (hidden, model.second(hidden).relu(), model(x))]
    assert [share.item() for share in shares.values()] == pytest.approx(truth, rel=1e-4)
    assert not any(module._forward_hooks for module in model.modules())


def test_residual_networks_are_penalized_after_their_sums_too():
    model = build("resnet", {"depth": 8, "width": 0.25, "size": 8})
    penalty = PrincipalPenalty(model, 10.0, 0.1, seed=0)
    model.train()
    with penalty.watching() as shares:
        model(torch.randn(4, 3, 8, 8))
    assert list(shares) == ["act", *(f"stages.{stage}.0.act{n}" for stage in range(3) for n in (1, 2))]


def test_eval_mode_is_frozen():
    model = Twice().eval()
    penalty = PrincipalPenalty(model, 10.0, 0.1, seed=0)
    with penalty.watching() as shares:
        model(draws(10, 4).float())
    assert (shares, penalty.directions, penalty.of(shares)) == ({}, {}, 0)
    model.last.train()
    with penalty.watching() as shares:
        model(draws(10, 4).float())
    assert list(shares) == ["last"]


def test_hooks_are_removed_after_an_error():
    model = Twice()
    penalty = PrincipalPenalty(model, 10.0, 0.1, seed=0)
    with pytest.raises(RuntimeError), penalty.watching():
        model(torch.zeros(2, 99))
    assert not any(module._forward_hooks for module in model.modules())


def test_first_directions_follow_from_seed_and_layer():
    def directions(seed):
        torch.manual_seed(8)
        model = Twice()
        penalty = PrincipalPenalty(model, 10.0, 0.1, seed=seed)
        state = torch.get_rng_state()
        with penalty.watching():
            model(draws(10, 4).float())
        assert torch.equal(torch.get_rng_state(), state)
        return penalty.directions

    with torch.random.fork_rng():
        first, again, other = directions(0), directions(0), directions(1)
    assert all(torch.equal(first[layer], again[layer]) for layer in first)
    assert not torch.equal(first["act"], other["act"])
    assert not torch.equal(first["act#2"], first["last"])


def test_shares_are_computed_in_float32_under_autocast():
    x = draws(20, 4).float()
    shares = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.ReLU())
        penalty = PrincipalPenalty(model, 10.0, 0.1, seed=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), penalty.watching() as seen:
            model(x)
        shares.append(seen["0"])
    assert shares[1].dtype is torch.float32
    assert torch.equal(*shares)


def one_direction(examples=256):
    """Examples whose first component has most of the variance, and labels that other components carry."""
    x = draws(examples, 12).float()
    y = (x[:, 1:4].argmax(1)).long()
    x[:, 0] *= 5
    return Batches(x, y, batch_size=64)


def trained(**settings):
    model = build("mlp", {"inputs": 12, "widths": [24, 24], "classes": 3}, seed=1)
    record = fit(model, one_direction(), epochs=15, learning_rate=5e-3, seed=2, **settings)
    outputs = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: outputs.append(out))
        for module in model.modules()
        if isinstance(module, nn.ReLU)
    ]
    model(one_direction().x)
    for hook in hooks:
        hook.remove()
    return model, record, [share_by_eigenvalues(out) for out in outputs]


def test_a_training_with_it_lowers_the_shares():
    _, plain, without = trained()
    _, record, shares = trained(pc_penalty=10.0)
    assert min(without) > 0.4
    assert all(share < 0.7 * before for share, before in zip(shares, without, strict=True))
    assert record.loss[-1] < record.loss[0]
    assert (record.pc_penalty, record.pc_threshold) == (10.0, 0.1)
    assert (plain.pc_penalty, plain.pc_threshold) == (0.0, 0.1)


def test_off_is_the_same_training():
    """No share exceeds 1, so that threshold 1 adds nothing: not a bit changes, also with dropout and augmentation."""

    def weights(**settings):
        model = nn.Sequential(build("cnn", {"widths": [4, 6]}, seed=1), nn.Dropout(0.3))
        data = digits("train", batch_size=50, options=Options(examples=230))
        record = fit(model, data, epochs=2, seed=3, learning_rate=0.02, augment="crop_flip", **settings)
        return copy.deepcopy(model.state_dict()), record.loss

    (plain, loss), (off, same), (free, free_loss), (on, _) = (
        weights(),
        weights(pc_penalty=0.0, pc_threshold=0.5),
        weights(pc_penalty=10.0, pc_threshold=1.0),
        weights(pc_penalty=10.0),
    )
    assert loss == same == free_loss
    assert all(torch.equal(plain[name], off[name]) and torch.equal(plain[name], free[name]) for name in plain)
    assert any(not torch.equal(plain[name], on[name]) for name in plain)


def test_one_step_equals_the_formula():
    """The update of plain descent is the gradient of cross-entropy plus the penalty, written out by hand."""
    x, y = draws(16, 4).float(), torch.arange(16) % 3
    model = build("mlp", {"inputs": 4, "widths": [6], "classes": 3}, seed=1)
    slow = copy.deepcopy(model).double()
    hidden = slow.get_submodule("hidden.0")(x.double())
    u = _first_direction(6, "hidden.0.act", 5).double()
    centered = hidden - hidden.mean(0)
    share = (centered.T @ centered @ u).norm() / centered.square().sum()
    loss = nn.functional.cross_entropy(slow.head(hidden), y) + 7.0 * (share - 0.05).relu()
    assert share > 0.05
    gradients = torch.autograd.grad(loss, list(slow.parameters()))
    settings: dict[str, Any] = {"epochs": 1, "learning_rate": 0.1, "optimizer": "sgd", "momentum": 0.0, "seed": 5}
    record = fit(model, [(x, y)], **settings, pc_penalty=7.0, pc_threshold=0.05)
    assert record.loss[0] == pytest.approx(nn.functional.cross_entropy(slow.head(hidden), y).item(), rel=1e-5)
    for (name, old), gradient in zip(slow.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(model.get_parameter(name).double(), old - 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_what_it_cannot_be_used_on():
    with pytest.raises(InputError, match=r"activation modules \(nn.ReLU and the like\), and `model` has none"):
        fit(nn.Linear(4, 3), [(torch.ones(4, 4), torch.arange(4) % 3)], epochs=1, pc_penalty=1.0)
    model = build("mlp", {"inputs": 4, "widths": [6], "classes": 3})
    with pytest.raises(DataError, match="a batch holds 1 example and `pc_penalty` needs at least 2"):
        fit(model, [(torch.ones(1, 4), torch.tensor([0]))], epochs=1, pc_penalty=1.0)
    shapes = [(torch.rand(4, 1, size, size), torch.arange(4) % 3) for size in (8, 6)]
    model = build("cnn", {"widths": [3], "classes": 3})
    with pytest.raises(DataError, match="an example has 108 values at 'stages.0.0.act' and had 192 before"):
        fit(model, shapes, epochs=1, pc_penalty=1.0)
