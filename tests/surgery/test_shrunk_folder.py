"""Shrunk networks on disk: a constructor, a plan and weights give the same network again."""

import io
import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cut_structures import dimension, gone, structure
from netcaliper.errors import CorruptReading, InputError, OutputExists
from netcaliper.surgery.cut import cut
from netcaliper.surgery.shrunk_folder import PLAN, WEIGHTS, load_shrunk, save_shrunk


class Net(nn.Module):
    """Tied weights, a BatchNorm, a consumer without bias, a size in an attribute, a block to drop."""

    def __init__(self, width=6, inputs=3):
        super().__init__()
        self.width = width
        self.into, self.norm, self.out = (
            nn.Linear(inputs, width),
            nn.BatchNorm1d(width),
            nn.Linear(width, 4, bias=False),
        )
        self.again = nn.Linear(width, 4, bias=False)
        self.again.weight = self.out.weight
        self.block = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.into(x))).view(-1, self.width)
        return self.block(self.out(h) + 2 * self.again(h))


def shrunk() -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(0)
    norm = [(f"norm.{name}", 0, "ride") for name in ("weight", "bias", "running_mean", "running_var")]
    units = dimension(
        "relu", 6, ("into.weight", 0), ("into.bias", 0, "ride"), *norm, ("out.weight,again.weight", 1, "column")
    )
    bias = {"out.bias": torch.randn(4)}
    found: Any = cut(Net().eval(), structure(units), {"relu": gone(6, 1, 4)}, bias, {"block": "identity"})
    found.module.width = 4
    return found.module, {**found.cuts.to_json(), "attributes": {"": {"width": 4}}}


@pytest.fixture
def saved(tmp_path):
    model, surgery = shrunk()
    folder = save_shrunk(tmp_path / "small", model, json.dumps({"model": "Net", "surgery": surgery}), {"x": b"y"})
    return model, folder


def test_the_round_trip_gives_the_same_network(saved):
    model, folder = saved
    found: Any = load_shrunk(Net, folder)
    assert type(found) is Net
    assert not found.training
    assert found.width == 4
    assert found.out.in_features == 4
    assert isinstance(found.block, nn.Identity)
    assert found.out.weight is found.again.weight
    assert found.out.bias is not None
    assert found.again.bias is None
    x = torch.randn(5, 3)
    with torch.no_grad():
        assert torch.equal(found(x), model(x))
    assert (folder / "x").read_bytes() == b"y"


def test_tied_weights_are_written_once(saved):
    _, folder = saved
    assert "out.weight" in load_file(folder / WEIGHTS)
    assert "again.weight" not in load_file(folder / WEIGHTS)


def test_the_state_dict_is_safe_to_load(saved):
    model, folder = saved
    content = io.BytesIO()
    torch.save(load_shrunk(Net, folder).state_dict(), content)
    content.seek(0)
    state = torch.load(content, weights_only=True)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())


def test_nothing_is_overwritten(saved):
    model, folder = saved
    before = (folder / PLAN).read_bytes()
    with pytest.raises(OutputExists):
        save_shrunk(folder, model, before.decode())
    assert (folder / PLAN).read_bytes() == before


@pytest.mark.parametrize("plan", ["nonsense", "[]", "{}", '{"surgery": {"tensors": {}}}'])
def test_a_plan_without_cuts_is_refused(tmp_path, plan):
    with pytest.raises(InputError, match="plan_json"):
        save_shrunk(tmp_path / "small", Net(), plan)
    assert not (tmp_path / "small").exists()


def test_extra_state_is_refused_by_name(tmp_path):
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"a": 1}

    plan = json.dumps({"surgery": {"tensors": {}, "attributes": {}, "replaced": {}, "biases": []}})
    with pytest.raises(InputError, match="_extra_state"):
        save_shrunk(tmp_path / "small", Extra(2, 2), plan)


@pytest.mark.parametrize(
    ("constructor", "words"),
    [
        (lambda: Net(width=7), r"`into.weight` must have shape \(6, 3\), the model has shape \(7, 3\)"),
        (lambda: nn.Linear(3, 6), "`into.weight` must have shape .*nothing of that name"),
        (lambda: Net(inputs=2), r"`into.weight` must have shape \(6, 3\), the model has shape \(6, 2\)"),
    ],
)
def test_another_architecture_is_refused_by_its_first_tensor(saved, constructor, words):
    with pytest.raises(InputError, match="`out.bias`|" + words):
        load_shrunk(constructor, saved[1])


def test_a_tensor_that_is_not_cut_must_fit_too(tmp_path):
    model, surgery = shrunk()
    model.block = nn.Linear(4, 5)
    folder = save_shrunk(tmp_path / "small", model, json.dumps({"surgery": {**surgery, "replaced": {}}}))
    with pytest.raises(InputError, match=r"`block.weight` must have shape \(5, 4\).*has shape \(4, 4\)"):
        load_shrunk(Net, folder)


def test_damage_is_named(saved):
    _, folder = saved
    weights, plan = (folder / WEIGHTS).read_bytes(), (folder / PLAN).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[:100])
    with pytest.raises(CorruptReading, match=WEIGHTS):
        load_shrunk(Net, folder)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / PLAN).write_bytes(plan + b" ")
    with pytest.raises(CorruptReading, match="another plan"):
        load_shrunk(Net, folder)
    (folder / PLAN).write_bytes(plan[:20])
    with pytest.raises(CorruptReading, match=PLAN):
        load_shrunk(Net, folder)
    (folder / PLAN).write_bytes(plan)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CorruptReading, match=WEIGHTS):
        load_shrunk(Net, folder)
