"""The zoo by name: repeatable from a seed, silent about the caller's random state."""

import inspect

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from netcaliper.errors import InputError, SpecError
from netcaliper.zoo.models import ZOO, build, name_of


@pytest.mark.parametrize("name", ZOO)
def test_defaults_of_network_and_config_agree(name):
    """A default stands in the signature and in the configuration; they must not drift apart."""
    family = ZOO[name]
    signature = {key: p.default for key, p in inspect.signature(family.network).parameters.items()}
    assert signature == {key: field.default for key, field in family.config.model_fields.items()}


@pytest.mark.parametrize("name", ZOO)
def test_same_seed_same_weights(name):
    arguments = {"width": 0.25} if name == "alexnet" else {}
    first, again, other = (build(name, arguments, seed=seed) for seed in (3, 3, 4))
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key])
    assert not torch.equal(first.head.weight, other.head.weight)


def test_random_state_is_left_as_it_was():
    state = torch.get_rng_state()
    build("cnn", {})
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", ZOO)
def test_name_of_finds_the_way_back(name):
    model = build(name, {"width": 0.25} if name == "alexnet" else {})
    assert name_of(model) == name
    assert build(name, model.config.model_dump()).config == model.config


@pytest.mark.parametrize("name", ZOO)
def test_a_network_takes_the_inputs_of_its_configuration(name):
    model = build(name, {"width": 0.25} if name == "alexnet" else {}).eval()
    state = torch.get_rng_state()
    inputs = model.config.example_inputs(3)
    assert torch.equal(state, torch.get_rng_state())
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    assert len(output) == 3
    again = model.config.example_inputs(3)
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(inputs), tree_leaves(again), strict=True))


def test_name_of_others_is_none():
    assert name_of(nn.Linear(2, 2)) is None


def test_a_network_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(InputError, match="mlp with .* cannot be built: .*; choose smaller numbers"):
        build("mlp", {"inputs": 2**30, "widths": [2**30]})  # 4 EiB: no machine starts to fill it


def test_unknown_names_get_a_suggestion():
    with pytest.raises(SpecError, match="did you mean 'mlp'"):
        build("mpl", {})
    with pytest.raises(SpecError, match="there are: alexnet, cnn, decoder, encoder_decoder, mlp, resnet, vit"):
        build("vgg", {})
    with pytest.raises(InputError, match="did you mean `depth`"):
        build("cnn", {"dept": 2})
