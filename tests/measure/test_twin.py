"""The untrained twin: its weights, its BatchNorm statistics against a slow oracle, and that nothing else is touched."""

from collections.abc import Iterator
from copy import deepcopy
from inspect import unwrap

import numpy as np
import pytest
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bestiary import FixedBatch, TiedAutoencoder, stock
from netcaliper.errors import InputError
from netcaliper.feed.protocol import Plan
from netcaliper.measure.twin import BATCH, make_twin, twin_passes
from netcaliper.stats.sampling import CALIBRATE
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from networks import randomized

EXAMPLES = 300


def normed(seed: int = 0) -> nn.Sequential:
    """Return a network with BatchNorm after a convolution and after a linear layer, and dropout before both."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 5)]
    return nn.Sequential(*layers, nn.BatchNorm1d(5, momentum=0.3), nn.ReLU(), nn.Linear(5, 3)).double().eval()


def trained() -> nn.Sequential:
    model = normed()
    randomized(model, 0)
    return model


def images(count: int = EXAMPLES) -> Tensor:
    return torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def tensors(graph: Graph) -> dict[str, Tensor]:
    fixed = {name: graph.program.fixed(node) for node, name in graph.program.parameters.items()}
    return {name: value for name, value in fixed.items() if isinstance(value, Tensor)}


def equal(one: Graph, other: Graph) -> bool:
    theirs = tensors(other)
    return all(torch.equal(tensor, theirs[name]) for name, tensor in tensors(one).items())


def layer_by_layer(
    weights: dict[str, Float64[np.ndarray, "..."]], x: Float64[np.ndarray, "examples 2 4 4"]
) -> dict[str, Float64[np.ndarray, " channels"]]:
    """Return the BatchNorm statistics of ``normed``: means over batches of means and unbiased variances."""
    sums = {name: np.zeros(len(weights[name])) for name in weights if "running" in name}
    batches = [part for start in range(0, len(x), BATCH) if len(part := x[start : start + BATCH]) > 1]

    def normalize(values: np.ndarray, name: str) -> np.ndarray:
        """Normalize ``[rows, channels]`` and take in its statistics."""
        sums[f"{name}.running_mean"] += values.mean(0) / len(batches)
        sums[f"{name}.running_var"] += values.var(0, ddof=1) / len(batches)
        scaled = (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    for batch in batches:
        rows = np.zeros((len(batch), 2, 2, 4))
        for i in range(2):
            for j in range(2):
                window = batch[:, :, i : i + 3, j : j + 3]
                rows[:, i, j] = np.einsum("ncij,ocij->no", window, weights["0.weight"]) + weights["0.bias"]
        hidden = np.maximum(normalize(rows.reshape(-1, 4), "1"), 0).reshape(len(batch), 4, 4)
        flat = hidden.transpose(0, 2, 1).reshape(len(batch), 16)
        normalize(flat @ weights["5.weight"].T + weights["5.bias"], "6")
    return sums


@pytest.mark.parametrize("twin", ["shuffled", lambda: normed(5)], ids=["shuffled", "factory"])
@pytest.mark.parametrize(
    "examples", [EXAMPLES, next(n for n in range(100, 200) if Plan(n, 3).sizes["calibrate"] == 65)]
)
def test_statistics_are_those_of_a_layer_by_layer_oracle(twin: object, examples: int) -> None:
    model, x, plan = trained(), images(examples), Plan(examples, 3)
    graph = trace(model, x[:4])
    made = make_twin(graph, list(x.split(11)), plan, twin, seed=2)  # type: ignore[arg-type]
    found = {name: tensor.detach().numpy() for name, tensor in tensors(made.graph).items()}
    expected = layer_by_layer(found, x[torch.from_numpy(plan.split == CALIBRATE)].numpy())
    assert len(expected) == 4
    for name, value in expected.items():
        assert np.allclose(found[name], value, rtol=1e-10, atol=1e-12), name
    assert found["1.num_batches_tracked"] == (3 if examples == EXAMPLES else 1), (
        "a batch of one example has no variance"
    )
    assert twin_passes(graph, plan) == plan.sizes["calibrate"] / examples
    assert made.warnings == ()


def test_the_twin_computes_what_a_module_with_its_weights_computes() -> None:
    model, x = trained(), images()
    made = make_twin(trace(model, x[:4]), list(x.split(50)), Plan(EXAMPLES, 0), seed=2)
    module = normed()
    module.load_state_dict(tensors(made.graph))
    assert torch.equal(made.graph.run(x).output, module(x))


def test_the_model_the_built_network_and_the_random_state_are_left_as_they_were() -> None:
    model, images_ = stock()
    model.register_forward_pre_hook(lambda *_: None)
    built = stock()[0]
    torch.manual_seed(11)
    before = [(deepcopy(m.state_dict()), [part.training for part in m.modules()]) for m in (model, built)]
    momenta = [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    outputs = model(images_)
    state = torch.get_rng_state()
    graph = trace(model, images_)
    state_of_graph = {name: tensor.clone() for name, tensor in tensors(graph).items()}
    for twin in ("shuffled", lambda: randomized(built, 5)):
        make_twin(graph, [images_, images_], Plan(8, 0), twin, seed=3)  # type: ignore[arg-type]
        before[1] = (deepcopy(built.state_dict()), before[1][1])
    assert torch.equal(torch.get_rng_state(), state)
    for network, (weights, training) in zip((model, built), before, strict=True):
        assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
        assert [part.training for part in network.modules()] == training
    assert [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)] == momenta
    assert torch.equal(model(images_), outputs)
    assert all(torch.equal(tensor, state_of_graph[name]) for name, tensor in tensors(graph).items())


def test_a_network_that_the_factory_keeps_does_not_change_the_twin_later() -> None:
    kept, x = net(), torch.randn(8, 3)
    graph = trace(randomized(net(), 1), x)
    made = make_twin(graph, [x], Plan(8, 0), lambda: kept)
    before = made.graph.run(x).output
    with torch.no_grad():
        kept.get_parameter("0.weight").zero_()
    assert torch.equal(made.graph.run(x).output, before)


def test_one_seed_one_twin() -> None:
    model, x = trained(), images()
    graph, plan = trace(model, x[:4]), Plan(EXAMPLES, 0)
    for twin in ("shuffled", normed_anew):
        first, again, other = (
            make_twin(graph, list(x.split(cut)), plan, twin, seed=seed).graph  # type: ignore[arg-type]
            for seed, cut in ((1, 300), (1, 7), (2, 300))
        )
        assert equal(first, again), "another cut into batches gave another twin"
        assert not equal(first, other)


def normed_anew() -> nn.Sequential:
    """Return ``normed`` with weights drawn from the generator as it stands."""
    return normed(int(torch.randint(0, 2**31, ()).item()))


def test_shuffled_permutes_every_parameter_within_itself() -> None:
    model, x = trained(), images()
    made = make_twin(trace(model, x[:4]), [x], Plan(EXAMPLES, 0), seed=1)
    assert (made.kind, made.seed) == ("shuffled", 1)
    moved = tensors(made.graph)
    for name, parameter in model.named_parameters():
        assert not torch.equal(moved[name], parameter), name
        assert torch.equal(moved[name].flatten().sort().values, parameter.flatten().sort().values), name


def test_two_parameters_of_one_shape_are_permuted_differently() -> None:
    model = nn.Sequential(nn.Linear(9, 9, bias=False), nn.ReLU(), nn.Linear(9, 9, bias=False)).eval()
    with torch.no_grad():
        model.get_parameter("2.weight").copy_(model.get_parameter("0.weight"))
    x = torch.randn(8, 9)
    moved = tensors(make_twin(trace(model, x), [x], Plan(8, 0)).graph)
    assert not torch.equal(moved["0.weight"], moved["2.weight"])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


@pytest.mark.parametrize("kind", [Tied, TiedAutoencoder])
def test_tied_parameters_are_permuted_once(kind: type[nn.Module]) -> None:
    model = kind().eval()
    x = torch.randn(8, 5 if kind is Tied else 6)
    made = make_twin(trace(model, x), [x], Plan(8, 0))
    module = kind().eval()
    module.load_state_dict(tensors(made.graph))
    if kind is Tied:
        assert tensors(made.graph)["a.weight"] is tensors(made.graph)["b.weight"]
    assert torch.equal(made.graph.run(x).output, module(x))


def test_the_twin_has_the_precision_of_the_model() -> None:
    model, x = trained(), images()
    made = make_twin(trace(model, x[:4]), [x], Plan(EXAMPLES, 0), lambda: normed(4).float())
    assert made.graph.dtype is torch.float64
    assert made.graph.run(x).output.dtype is torch.float64
    assert torch.equal(tensors(made.graph)["0.weight"], normed(4).float().get_parameter("0.weight").double())


class OncePerBatch(FixedBatch):
    """Takes batches of two only, and has a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.norm(self.a(x.reshape(2, 4)))))


def test_a_graph_bound_to_one_batch_size_is_fed_whole_batches() -> None:
    plan, x = Plan(40, 1), torch.randn(40, 4)
    assert plan.sizes["calibrate"] % 2, "an odd number leaves an example over"
    made = make_twin(trace(OncePerBatch().eval(), x[:2]), list(x.split(9)), plan)
    norm = {name: value for name, value in tensors(made.graph).items() if name.startswith("norm.")}
    pre = (
        x[torch.from_numpy(plan.split == CALIBRATE)] @ tensors(made.graph)["a.weight"].T + tensors(made.graph)["a.bias"]
    )
    pairs = pre[: len(pre) // 2 * 2].reshape(-1, 2, 6)
    assert norm["norm.num_batches_tracked"] == len(pairs)
    assert torch.allclose(norm["norm.running_mean"], pairs.mean((0, 1)), atol=1e-5)
    assert torch.allclose(norm["norm.running_var"], pairs.var(1).mean(0), atol=1e-5)
    assert made.warnings == (
        "BatchNorm statistics come from batches of 2 examples, the only size that the graph takes.",
    )


class Functional(nn.Module):
    """A BatchNorm by hand: one as a function, one written out."""

    mean: Tensor
    var: Tensor
    running_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("var", torch.ones(6))
        self.register_buffer("running_mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.batch_norm(self.a(x), self.mean, self.var)
        return self.b(torch.relu(y) - self.running_mean)


def test_statistics_outside_batchnorm_modules_are_named() -> None:
    x, plan = torch.randn(8, 4), Plan(8, 0)
    graph = trace(Functional().eval(), x)
    made = make_twin(graph, [x], plan)
    assert twin_passes(graph, plan) == 0
    assert made.warnings == (
        "3 running statistics outside BatchNorm modules were not estimated anew: `mean`, `running_mean`, `var`.",
    )


class NoCopy(nn.Sequential):
    def __deepcopy__(self, memo: object) -> "NoCopy":
        raise RuntimeError("not me")


def test_a_model_that_cannot_be_copied_keeps_its_statistics_and_says_so() -> None:
    model, x = NoCopy(*trained()).eval(), images()
    made = make_twin(trace(model, x[:4]), [x], Plan(EXAMPLES, 0))
    assert made.warnings == (
        "BatchNorm statistics were not estimated anew: the model cannot be copied (RuntimeError: not me).",
    )
    assert torch.equal(tensors(made.graph)["1.running_mean"], model.get_buffer("1.running_mean"))


def test_too_few_examples_for_one_batch_are_told() -> None:
    examples = next(n for n in range(1, 99) if Plan(n, 0).sizes["calibrate"] == 1)
    x = images(examples)
    made = make_twin(trace(trained(), images(4)), [x], Plan(examples, 0))
    assert made.warnings == ("BatchNorm statistics were not estimated anew: too few calibrate examples for one batch.",)


def test_without_batchnorm_no_data_are_read() -> None:
    class Unread:
        def __iter__(self) -> Iterator[Tensor]:
            raise AssertionError

    x = torch.randn(8, 3)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    graph = trace(model, x)
    assert twin_passes(graph, Plan(8, 0)) == 0
    assert make_twin(graph, Unread(), Plan(8, 0)).warnings == ()


def test_a_network_of_constants_has_no_shuffled_twin() -> None:
    model = nn.Sequential(nn.PReLU(), nn.Sigmoid()).eval()
    x = torch.randn(8, 3)
    made = make_twin(trace(model, x), [x], Plan(8, 0))
    assert made.warnings == ("no parameter has two different entries to permute: the twin is the network itself.",)


def net(hidden: int = 4, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, hidden, bias=bias), nn.ReLU(), nn.Linear(hidden, 2))


@pytest.mark.parametrize(
    ("twin", "words"),
    [
        (lambda: net(5), r"`twin` must return the architecture of `model`: `0\.weight` of `state` must be \(4, 3\)"),
        (lambda: net(bias=False), r"the architecture of `model`: .* got none named `0\.bias`"),
        (lambda: nn.Sequential(*net(), nn.Linear(2, 2)), r"got `3\.weight` \(2, 2\) float32, which it does not have"),
        (lambda: 3, "`twin` must return a torch.nn.Module, got int"),
        (lambda: net().to("meta"), r"got `0\.weight` on the meta device"),
        (net(), "`twin` must be a function .* got Sequential"),
        ("fresh", "`twin` must be a function that builds the network anew, or 'shuffled', got 'fresh'"),
    ],
)
def test_what_is_no_twin_is_refused(twin: object, words: str) -> None:
    x = torch.randn(8, 3)
    with pytest.raises(InputError, match=words):
        unwrap(make_twin)(trace(net().eval(), x), [x], Plan(8, 0), twin)  # around the run-time check of the tests


def test_the_trained_network_is_no_twin_of_itself() -> None:
    model, x = net().eval(), torch.randn(8, 3)
    with pytest.raises(InputError, match="`twin` must return an untrained network, got one with the very weights"):
        make_twin(trace(model, x), [x], Plan(8, 0), lambda: deepcopy(model))


class Lazy(nn.Module):
    """Fills a buffer outside the state dict at its first call; another one holds infinite bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 8), nn.Linear(8, 2)
        self.position: Tensor
        self.low: Tensor
        self.register_buffer("position", torch.zeros(1), persistent=False)
        self.register_buffer("low", torch.tensor(-torch.inf))

    def forward(self, x: Tensor) -> Tensor:
        if self.position.shape != x.shape[1:]:
            self.position = torch.arange(3.0)
        return self.second(torch.relu(torch.clamp(self.first(x + self.position), self.low, self.low.neg())))


def test_a_twin_of_a_network_with_buffers_that_are_filled_in_and_bounds_that_are_infinite() -> None:
    def build() -> nn.Module:
        return Lazy().eval()

    torch.manual_seed(0)
    data = [torch.randn(60, 3)]
    graph = trace(build(), data[0])
    made = make_twin(graph, data, Plan(60, 0), build, seed=0)
    assert made.kind == "factory"
    assert torch.equal(made.graph.program.tensors["position"], torch.arange(3.0))
    assert made.graph.run(data[0]).output.isfinite().all()
