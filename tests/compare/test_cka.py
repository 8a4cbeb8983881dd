"""``nc.cka``: what it returns, what it says, what it refuses."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_oracle as oracle
from bestiary import Comparing
from netcaliper.compare.cka import CARRIED, CKA, CONSTANT, INFINITE, SINGLE, alignment_warnings, cka, gaps
from netcaliper.errors import DataError, InputError
from netcaliper.stats.cka import Alignment
from netcaliper.trace.layers import LayerValue
from netcaliper.trace.trace import trace


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 3)).double().eval()


def inputs(n: int = 150, seed: int = 1) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def values(net: nn.Module, x: Tensor) -> list[np.ndarray]:
    found = [x]
    with torch.no_grad():
        for layer in net:  # type: ignore[attr-defined]
            found.append(layer(found[-1]))
    return [value.numpy() for value in found]


def run(net: nn.Module | None = None, x: Tensor | None = None, **options: object) -> CKA:
    x = inputs() if x is None else x
    given = {"batch": 16, "passes": 2} | options
    return cka(model() if net is None else net, list(x.split(11)), **given)  # type: ignore[arg-type]


def test_all_examples_in_one_batch_are_the_closed_form() -> None:
    x = inputs()
    found = run(batch=150, passes=1)
    assert found.layers == ("input", "0", "1", "2", "3", "4")
    assert np.allclose(found.matrix, oracle.cka(values(model(), x), [np.arange(150)]), atol=1e-10)
    assert (found.examples, found.batch, found.batches, found.passes) == (150, 150, 1, 1)
    assert found.method == "minibatch debiased linear CKA"
    assert [layer.name for layer in found.values] == list(found.layers)
    assert bool(np.isnan(found.standard_error).all())
    assert any("no standard error" in words for words in found.warnings)


def test_a_module_and_its_graph_give_the_same_and_so_do_other_batches_of_the_data() -> None:
    net, x = model(), inputs()
    one = run(net)
    assert np.array_equal(one.matrix, run(trace(net, x[:4])).matrix)  # type: ignore[arg-type]
    other = cka(net, [x], batch=16, passes=2)
    assert np.array_equal(one.matrix, other.matrix)
    assert np.array_equal(one.standard_error, other.standard_error, equal_nan=True)
    assert not np.array_equal(one.matrix, run(net, seed=1).matrix)


def test_both_errors_are_there_with_enough_batches_and_passes() -> None:
    found = run()
    above = np.triu_indices(len(found.layers), 1)
    assert found.batches == 10  # nine of 16, one of 6
    assert bool((found.standard_error[above] > 0).all())
    assert bool((found.partition_error[above] > 0).all())
    assert bool(np.isnan(run(passes=1).partition_error).all())
    assert not any("standard error:" in words for words in found.warnings)


def test_permuted_examples_would_have_nothing_in_common() -> None:
    """Two inputs that are independent of each other: values lie on both sides of 0, and are not clamped."""

    class Sides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(40, 30), nn.Linear(40, 30)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([torch.relu(self.a(x[:, :40])), torch.tanh(self.b(x[:, 40:]))], 1)

    found = []
    for seed in range(6):
        torch.manual_seed(seed)
        x = torch.randn(260, 80)
        result = cka(Sides().eval(), [x], ["relu", "tanh"], batch=32, passes=3)
        found.append(float(result.matrix[0, 1]))
        assert abs(found[-1]) < 5 * result.standard_error[0, 1]
    assert min(found) < 0 < max(found)
    assert np.abs(found).max() < 0.1


def test_a_dead_layer_is_a_named_gap() -> None:
    net = model()
    with torch.no_grad():
        net[0].bias.fill_(-100)  # type: ignore[index]
    found = run(net)
    assert found.gaps == dict.fromkeys(("1", "2", "3", "4"), CONSTANT)
    assert np.isfinite(found.matrix[0, 1])
    assert any("4 of 6 layers are the same for all examples" in words for words in found.warnings)


def layer(name: str) -> LayerValue:
    return LayerValue(name, "linear", "inner", 0, (1,), name, 0, 1)


def test_gaps_are_told_apart_and_warnings_name_them() -> None:
    matrix = np.full((4, 4), np.nan)
    matrix[0, 0] = 1
    alignment = Alignment(matrix, matrix, matrix, 8, 1)
    weight = np.array([np.full(100, 0.01), np.zeros(100), np.eye(100)[3], np.full(100, np.nan)])
    layers = [layer(name) for name in "abcd"]
    assert gaps(layers, alignment, weight) == {"b": CONSTANT, "c": SINGLE, "d": INFINITE}
    said = alignment_warnings(alignment, weight, layers)
    assert sum("have no CKA" in words for words in said) == 3
    assert any("1 of 100 examples carry 100% of what `c` says (1 of 4" in words for words in said)


def test_examples_that_carry_much_are_warned_of_and_others_are_not() -> None:
    x = inputs(600)
    assert not run(x=x).warnings
    x[[3, 50, 200, 400]] *= 40
    found = run(x=x)
    assert any("examples carry" in words and "equal norm" in words for words in found.warnings)
    assert CARRIED == 0.2


def test_names_and_patterns_choose_layers() -> None:
    assert run(layers=["4", "0"]).layers == ("0", "4")
    whole, part = run(), run(layers=["0", "4"])
    assert np.allclose(part.matrix, whole.matrix[np.ix_([1, 5], [1, 5])], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": "zzz"}, "the layers are input, 0, 1"),
        ({"layers": ["0"]}, "name more"),
        ({"layers": "streams"}, "layers='all'"),
        ({"features": "tokens"}, "takes no tokens"),
        ({"batch": 3}, "`batch`"),
        ({"seed": True}, "`seed`"),
        ({"passes": 0}, "`passes`"),
        ({"examples": 2}, "`examples`"),
        ({"memory": 2000}, "hold fewer"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(options, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(**options)


def test_more_memory_than_there_is_is_refused_with_the_estimate_and_what_to_choose_instead() -> None:
    with pytest.raises(InputError) as refused:
        run(batch=150, memory=150 * 6 * 8 + 1000)
    said = str(refused.value)
    for words in ("`memory`", "6 layers", "GiB", "Gram matrices", "layers='streams'", "`batch`", "`examples`"):
        assert words in said
    assert run(memory=10**7).examples == 150


def test_a_generator_and_too_few_examples_are_refused() -> None:
    with pytest.raises(DataError, match="more than once"):
        cka(model(), (x for x in inputs().split(10)))
    with pytest.raises(DataError, match="at least 4 examples"):
        cka(model(), [inputs(3)])
    with pytest.raises(DataError, match="NaN or infinite"):
        cka(model(), [inputs(30), torch.full((4, 6), torch.nan, dtype=torch.float64)])


def test_the_model_and_the_random_state_are_left_as_they_were() -> None:
    net = Comparing()
    net.train()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    cka(net.eval(), [torch.randn(40, 4, generator=torch.Generator().manual_seed(0))], batch=8, passes=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[name], tensor) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
