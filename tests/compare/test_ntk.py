"""The tangent kernel: against explicit gradients of every example, its invariances, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.compare.ntk import TRACED, check_outputs, ntk
from netcaliper.errors import DataError, InputError
from netcaliper.zoo.models import build

X = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mlp(outputs=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, outputs)).double().eval()


def jacobians(model, inputs, of=lambda output: output[0]):
    """Gradients of every output of every example, one backward pass each: [examples, outputs, parameters]."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for one in inputs:
        rows.append(
            torch.stack(
                [
                    torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters, retain_graph=True)])
                    for value in of(model(**one) if isinstance(one, dict) else model(one[None]))
                ]
            )
        )
    return torch.stack(rows)


def traced(J):
    return torch.einsum("icp,jcp->ij", J, J).numpy()


def near(found, expected, tolerance=1e-12):
    return np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("memory", [2**29, 4000, 700, 1])
def test_the_trace_is_that_of_explicit_gradients_whatever_the_memory(memory):
    model = mlp()
    found = ntk(model, [X[:4], X[4:7]], memory=memory)
    assert near(found.matrix, traced(jacobians(model, X[:7])))
    assert (found.outputs, found.count, found.parameters) == ("trace", 3, 42 + 48 + 21)
    assert found.index.tolist() == list(range(7))
    assert np.array_equal(found.matrix, found.matrix.T)
    assert np.linalg.eigvalsh(found.matrix).min() > -1e-10


@pytest.mark.parametrize("memory", [2**29, 1])
def test_signs_are_one_fixed_sum_of_outputs(memory):
    model = mlp()
    J = jacobians(model, X[:5])
    found = ntk(model, [X[:5]], outputs="signs", seed=4, memory=memory)
    candidates = [torch.tensor([a, b, c], dtype=torch.float64) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    matches = [e for e in candidates if near(found.matrix, traced(torch.einsum("c,icp->ip", e, J)[:, None]))]
    assert len(matches) == 2  # e and -e


def test_the_mean_over_signs_is_the_trace():
    """With two outputs there are two kernels of signs, J1 + J2 and J1 - J2, and their mean is the trace exactly."""
    model = mlp(outputs=2)
    kernels = {}
    for seed in range(8):
        found = ntk(model, [X], outputs="signs", seed=seed).matrix
        kernels[round(float(found.trace()), 9)] = found
    assert len(kernels) == 2
    assert near(sum(kernels.values()) / 2, ntk(model, [X]).matrix)


def test_many_outputs_take_signs_by_themselves():
    assert ntk(mlp(TRACED), [X]).outputs == "trace"
    assert ntk(mlp(TRACED + 1), [X]).outputs == "signs"
    assert near(ntk(mlp(70), [X], outputs="trace").matrix, traced(jacobians(mlp(70), X)))


def test_a_linear_model_has_the_kernel_of_its_inputs():
    """One output w x + b: K = X X^T + 1, whatever w is."""
    model = nn.Linear(5, 1).double()
    assert near(ntk(model, [X]).matrix, (X @ X.T + 1).numpy())
    three = nn.Linear(5, 3).double()
    assert near(ntk(three, [X]).matrix, 3 * (X @ X.T + 1).numpy())


def test_examples_in_another_order_permute_the_kernel():
    order = np.random.default_rng(2).permutation(12)
    K, turned = (ntk(mlp(), [x]).matrix for x in (X, X[torch.from_numpy(order)]))
    assert near(turned, K[order][:, order])


def test_scaled_outputs_scale_the_kernel_by_the_square():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            return 3 * self.inner(x)

    assert near(ntk(Scaled(), [X]).matrix, 9 * ntk(mlp(), [X]).matrix)


def test_frozen_parameters_are_constants():
    model = mlp()
    model[0].requires_grad_(False)
    found = ntk(model, [X])
    assert near(found.matrix, traced(jacobians(model, X)))
    assert found.parameters == 48 + 21


def test_tied_weights_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 5)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(torch.tanh(self.a(x)))

    model = Tied().double()
    assert near(ntk(model, [X]).matrix, traced(jacobians(model, X)))


def test_batch_norm_is_the_affine_map_of_eval_mode_and_the_model_stays():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(36, 3)
    ).double()
    images = torch.randn(8, 1, 5, 5, dtype=torch.float64)
    model(images)  # running statistics
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = ntk(model, [images]).matrix
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert near(found, traced(jacobians(model.eval(), images)))


def test_float32_is_near_float64():
    model = mlp()
    assert near(ntk(mlp().float(), [X.float()]).matrix, ntk(model, [X]).matrix, 1e-5)


def test_tokens_count_by_their_mean_and_padding_does_not():
    config = {"width": 8, "depth": 1, "heads": 2, "vocabulary": 11, "length": 8}
    model = build("encoder_decoder", config).double().eval()
    generator = torch.Generator().manual_seed(1)
    rows, lengths = [], [(3, 2), (5, 4), (4, 1), (2, 5), (5, 5)]
    for source, target in lengths:
        rows.append([torch.randint(11, (n,), generator=generator) for n in (source, target)])
    one_by_one = [{"input_ids": a[None], "decoder_input_ids": b[None]} for a, b in rows]
    expected = traced(jacobians(model, one_by_one, of=lambda output: output[0].mean(0)))

    def batch(chosen):
        sides = [nn.utils.rnn.pad_sequence([row[s] for row in chosen], batch_first=True) for s in (0, 1)]
        masks = [
            nn.utils.rnn.pad_sequence([torch.ones_like(row[s]) for row in chosen], batch_first=True) for s in (0, 1)
        ]
        return dict(
            zip(
                ("input_ids", "decoder_input_ids", "attention_mask", "decoder_attention_mask"),
                (*sides, *masks),
                strict=True,
            )
        )

    for batches in ([batch(rows)], [batch(rows[:2]), batch(rows[2:])]):
        found = ntk(model, batches)
        assert (found.outputs, found.count) == ("trace", 11)
        order = np.argsort(found.index)
        assert near(found.matrix[np.ix_(order, order)], expected, 1e-10)


def test_some_examples_are_the_same_rows_of_the_whole():
    whole, some = ntk(mlp(), [X]), ntk(mlp(), [X], examples=6, seed=3)
    assert len(some.index) == 6
    assert near(some.matrix, whole.matrix[np.ix_(some.index, some.index)])


def test_the_random_state_stays():
    model = mlp()
    before = torch.random.get_rng_state()
    ntk(model, [X], outputs="signs")
    assert torch.equal(before, torch.random.get_rng_state())


def test_progress_ends():
    told = []
    ntk(mlp(), [X], memory=4000, progress=lambda *step: told.append(step))
    assert told[-1][0] == "tangent kernel"
    assert told[-1][1] == told[-1][2] > 1


# ---- refused


class NotByExample(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)

    def forward(self, x):
        return self.inner(x) * float(x.sum() > 0)


@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        (3, {}, "`model` must be a torch module, got int"),
        (mlp(), {"memory": 0}, "`memory` must be a positive number of bytes, got 0"),
        (mlp().requires_grad_(False), {}, "`model` has no parameter that requires a gradient"),
        (NotByExample().double(), {}, "cannot be differentiated example by example"),
        (nn.Sequential(nn.Linear(5, 8), nn.Unflatten(1, (2, 2, 2))).double(), {}, "no outputs that a tangent kernel"),
    ],
)
def test_what_has_no_kernel_is_refused_by_name(model, arguments, words):
    with pytest.raises(InputError, match=words):
        ntk(model, [X], **arguments)


def test_other_outputs_are_refused():
    with pytest.raises(InputError, match="`outputs` must be one of 'trace', 'signs', or None, got 'sum'"):
        check_outputs("sum")


def test_gradients_that_are_not_finite_are_refused():
    model = mlp()
    with torch.no_grad():
        next(model.parameters())[0, 0] = torch.inf
    with pytest.raises(DataError, match="not finite"):
        ntk(model, [X])


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match="at least 4 examples"):
        ntk(mlp(), [X[:3]])
