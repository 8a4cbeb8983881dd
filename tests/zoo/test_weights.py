"""Weights are loaded whole and exactly, or not at all."""

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from netcaliper.errors import SpecError
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.weights import copy_weights, read_safetensors


def load_weights(model, file):
    copy_weights(model, read_safetensors(file), file.name)


class Tied(nn.Module):
    """An embedding whose table is also the output layer."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.table.weight


def test_loaded_weights_are_bit_equal(tmp_path):
    source, target = MLP(4, [3]), MLP(4, [3])
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    before = target.head.weight
    load_weights(target, tmp_path / "w.safetensors")
    assert target.head.weight is before  # in place: optimizers and hooks keep their hold
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name])


def test_tied_weights_may_be_stored_once(tmp_path):
    source, target = Tied(), Tied()
    save_model(source, str(tmp_path / "w.safetensors"))
    load_weights(target, tmp_path / "w.safetensors")
    assert torch.equal(target.table.weight, source.table.weight)
    assert target.head.weight is target.table.weight


def changed(**changes):
    state = MLP(4, [3]).state_dict()
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        if tensor is None:
            del state[key]
        else:
            state[key] = tensor
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            changed(head__weight=torch.zeros(10, 5)),
            r"'head.weight' has shape \[10, 5\] in the file and \[10, 3\] in the",
        ),
        (changed(head__bias=None), r"the model's 'head.bias' of shape \[10\] is not in the file"),
        (changed(extra=torch.zeros(2)), r"the file's 'extra' of shape \[2\] is not in the model"),
        (changed(head__bias=torch.zeros(10).double()), "'head.bias' is torch.float64 in the file and torch.float32"),
        (changed(head__bias=torch.zeros(10).long()), "'head.bias' is torch.int64 in the file and torch.float32"),
    ],
)
def test_the_first_difference_is_named_and_nothing_changes(tmp_path, state, message):
    save_file(state, tmp_path / "w.safetensors")
    model = MLP(4, [3])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(SpecError, match=message):
        load_weights(model, tmp_path / "w.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_few_differences_are_named_and_the_rest_counted(tmp_path):
    wide = {f"extra{i}": torch.zeros(2) for i in range(7)} | {"head.weight": torch.zeros(10, 9)}
    save_file(changed() | wide, tmp_path / "w.safetensors")
    with pytest.raises(SpecError, match=r"'head.weight' has shape .* 'extra2' .*; and 4 more\. Build the model"):
        load_weights(MLP(4, [3]), tmp_path / "w.safetensors")


@pytest.mark.parametrize("narrow", [torch.float16, torch.bfloat16])
def test_narrower_numbers_are_taken_exactly(narrow, tmp_path):
    state = {name: tensor.to(narrow) for name, tensor in changed().items()}
    save_file(state, tmp_path / "w.safetensors")
    model = MLP(4, [3])
    load_weights(model, tmp_path / "w.safetensors")
    assert all(torch.equal(tensor, state[name].float()) for name, tensor in model.state_dict().items())
    with pytest.raises(SpecError, match="is torch.(b?float16) in the file and torch.b?float16 in the model"):
        load_weights(
            model.to(torch.float16 if narrow is torch.bfloat16 else torch.bfloat16), tmp_path / "w.safetensors"
        )


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match="there is no file"):
        load_weights(MLP(4, [3]), tmp_path / "nothing.safetensors")
    pickled = tmp_path / "model.pt"
    torch.save(MLP(4, [3]).state_dict(), pickled)
    with pytest.raises(SpecError, match="is not a readable safetensors file .*; write it anew with"):
        load_weights(MLP(4, [3]), pickled)
