"""``nc.trace`` leaves the model alone and refuses what it does not understand, by name."""

import copy

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from bestiary import Branching, Comparing, Lstm, Mixer, NoisyInEval, RandomInEval, ThirdParty, Unknown, stock
from netcaliper.errors import DataError, ExportRefused, InputError, TraceError
from netcaliper.trace.export import check_model
from netcaliper.trace.trace import trace
from networks import FAMILIES, build


def test_the_public_name_is_this_function() -> None:
    assert nc.trace is trace


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_is_left_exactly_as_it_was(family: str) -> None:
    model, example = build(family, 0)
    calls: list[int] = []
    first = next(m for m in model.modules() if not list(m.children()))
    handle = first.register_forward_hook(lambda *_: calls.append(1))
    next(model.parameters()).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = {name: (p.requires_grad, p.device, p.dtype, p.grad, id(p)) for name, p in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    hooks = {name: len(module._forward_hooks) for name, module in model.named_modules()}
    classes = {name: type(module) for name, module in model.named_modules()}
    state = torch.get_rng_state()
    trace(model, example)
    assert torch.equal(state, torch.get_rng_state())
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: len(module._forward_hooks) for name, module in model.named_modules()} == hooks
    assert {name: type(module) for name, module in model.named_modules()} == classes
    assert {name: (p.requires_grad, p.device, p.dtype, p.grad, id(p)) for name, p in model.named_parameters()} == flags
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.is_grad_enabled()
    handle.remove()


def test_names_and_structure_are_stable_between_runs() -> None:
    model, images = stock()
    first, second = trace(model, images), trace(copy.deepcopy(model), images[:1])
    assert [s.name for s in first.sites] == [s.name for s in second.sites]
    assert first.groups == second.groups
    for a, b in zip(first.sites, second.sites, strict=True):
        assert [(c.name, c.unit_of_column.tolist()) for c in a.consumers] == [
            (c.name, c.unit_of_column.tolist()) for c in b.consumers
        ]


def test_weights_of_the_graph_are_the_models_own() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    graph = trace(model, torch.ones(2, 3))
    with torch.no_grad():
        model.get_parameter("2.bias").add_(1.0)
    assert torch.equal(graph.run(torch.ones(2, 3)).output, model(torch.ones(2, 3)))


def test_replay_covers_the_batch_sizes_and_lengths() -> None:
    model, tokens = build("attention_ffn", 3)
    graph = trace(model, tokens)
    assert {"example", "batch 1", "batch 2", "batch 5", "length 3"} <= graph.replay.keys()
    assert max(graph.replay.values()) < 1e-12


def test_coupled_groups_of_a_residual_network() -> None:
    graph = trace(*stock())
    stem = graph.groups[0]
    assert {"relu", "layer1.0.add", "layer1.0.relu#2", "layer1.1.relu#2", "se.sigmoid"} <= set(stem.sites)
    assert {"conv1", "layer1.0.conv2", "layer1.1.conv2", "se.expand"} == set(stem.producers)
    assert {"layer1.0.conv1", "layer2.0.conv1", "layer2.0.downsample.0", "se.reduce"} <= set(stem.consumers)
    assert graph.site("layer1.0.relu").group is None, "the channels inside a block belong to it alone"


def test_a_model_that_compares_its_units_names_the_line() -> None:
    graph = trace(Comparing().eval(), torch.randn(2, 4))
    refused = graph.site("silu").refused
    assert refused is not None
    assert "aten.gt compares the units" in refused
    assert "self.b(y * (y > 0.5))" in refused


def test_an_unknown_operation_is_refused_by_name() -> None:
    graph = trace(Unknown().eval(), torch.randn(2, 4))
    refused = graph.site("tanh").refused
    assert refused is not None
    assert "is not in the rule table" in refused
    assert "bestiary.py" in refused


def test_an_operation_of_a_third_party_is_refused_and_the_rest_is_read() -> None:
    graph = trace(ThirdParty().eval(), torch.randn(2, 4))
    refused = graph.site("gelu").refused
    assert refused is not None
    assert "netcaliper_tests.shuffled" in refused
    assert "is not in the rule table" in refused
    assert [c.name for c in graph.site("relu").consumers] == ["c"]


def test_control_flow_is_refused_with_its_line() -> None:
    with pytest.raises(ExportRefused) as error:
        trace(Branching().eval(), torch.randn(2, 4))
    assert "if x.sum() > 0:" in str(error.value)
    assert "bestiary.py" in str(error.value)


@pytest.mark.parametrize("model", [RandomInEval(), NoisyInEval()])
def test_a_model_that_is_random_in_eval_mode_is_refused(model: nn.Module) -> None:
    with pytest.raises(InputError, match="random in eval mode"):
        trace(model.eval(), torch.randn(2, 4))


def test_what_is_no_eager_module_in_eval_mode_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    x = torch.randn(2, 4)
    with pytest.raises(TraceError, match="TorchScript"):
        trace(torch.jit.trace(model, x), x)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"call `model\.eval\(\)`"):
        trace(copy.deepcopy(model).train(), x)
    with pytest.raises(InputError, match="meta device"):
        trace(nn.Linear(4, 3, device="meta").eval(), x)
    with pytest.raises(InputError, match=r"must be a torch\.nn\.Module"):
        check_model(lambda y: y)
    with pytest.raises(InputError, match=r"example\.to\('cpu'\)"):
        trace(model, x.to("meta"))


def test_weights_that_are_not_finite_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    with torch.no_grad():
        model.get_parameter("0.weight")[1, 2] = float("nan")
    with pytest.raises(InputError, match=r"weight `0\.weight` of `model` has 1 of 12 values"):
        trace(model, torch.randn(2, 4))


def test_an_example_the_model_does_not_take_is_refused_in_its_words() -> None:
    model = nn.Linear(4, 3).eval()
    with pytest.raises(DataError, match=r"\(2, 5\)"):
        trace(model, torch.randn(2, 5))
    with pytest.raises(DataError, match="NaN"):
        trace(model, torch.full((2, 4), float("nan")))


@pytest.mark.parametrize(("model", "example"), [(Lstm(), torch.randn(2, 4, 5)), (Mixer(), torch.randn(2, 4, 5))])
def test_every_site_has_a_reader_or_a_reason(model: nn.Module, example: Tensor) -> None:
    for site in trace(model.eval(), example).sites:
        assert site.consumers or site.readers or site.refused


def test_one_example_in_place_of_a_batch_is_said_to_be_one() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    with pytest.raises(DataError, match="this is one example, not a batch: the model takes inputs of 4 axes"):
        trace(model, torch.randn(3, 8, 8))
    with pytest.raises(DataError, match="of the shape and dtype that the model was made for"):
        trace(model, torch.randn(2, 5, 8, 8))
