"""What every operation asks of the rows that it reads: planted modules, judged by their structure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bestiary import Comparing, Lstm, ReusedRelu, TiedAutoencoder, Unknown
from netcaliper.surgery.cut import cut_checked
from netcaliper.trace.ids import NONE
from netcaliper.trace.row_flow import tensor_key
from netcaliper.trace.structure import Structure
from netcaliper.trace.trace import trace
from networks import Attention, RMSNorm


class Between(nn.Module):
    """Something between a layer that makes eight units and one that reads them."""

    def __init__(self, between: Callable[[nn.Module, Tensor], Tensor], reads: int = 8, **modules: Any) -> None:
        super().__init__()
        self.between = between
        self.first, self.last = nn.Linear(4, 8), nn.Linear(reads, 2)
        for name, value in modules.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self, torch.relu(self.first(x))))


def structure(model: nn.Module, *shape: int) -> Structure:
    torch.manual_seed(0)
    return trace(model.eval(), torch.randn(*(shape or (3, 4)))).structure


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(*shape))


@pytest.mark.parametrize(
    ("between", "modules", "reason"),
    [
        (lambda m, y: y * torch.arange(8.0), {}, "combines them with what cannot go"),
        (lambda m, y: y - y.mean(-1, keepdim=True), {}, "takes a statistic over them"),
        (lambda m, y: y.softmax(-1), {}, "mixes them"),
        (lambda m, y: y.flip(-1), {}, "puts them in other places"),
        (lambda m, y: y.reshape(-1, 2, 4).transpose(1, 2).reshape(-1, 8), {}, "splits the axis along which they lie"),
        (lambda m, y: torch.cat([y[:, :3].exp(), y[:, 3:]], 1), {}, "takes a part of them by its place"),
        (lambda m, y: m.get_submodule("norm")(y), {"norm": nn.GroupNorm(2, 8)}, "takes statistics over groups of them"),
        (lambda m, y: y @ (m.w - m.w.mean(1, keepdim=True)), {"w": parameter(8, 8)}, "has a weight that cannot"),
        (lambda m, y: torch.einsum("bi,bj->bij", y, y).sum(1), {}, "takes a statistic over them"),
    ],
)  # fmt: skip
def test_units_that_cannot_go_are_refused_by_name(
    between: Callable[[nn.Module, Tensor], Tensor], modules: dict[str, Any], reason: str
) -> None:
    found = structure(Between(between, **modules))
    assert not any("relu" in dimension.sites for dimension in found.dimensions)
    assert reason in dict(found.refused)["relu"]


@pytest.mark.parametrize(
    ("between", "modules", "held"),
    [
        (lambda m, y: y * m.scale, {"scale": parameter(8)}, {"scale"}),
        (lambda m, y: y + m.table[0, 1:2], {"table": parameter(2, 3, 8)}, {"table"}),
        (lambda m, y: y * (1 + m.scale.view(1, 8)), {"scale": parameter(8)}, {"scale"}),
        (lambda m, y: m.get_submodule("act")(y), {"act": nn.PReLU(8)}, {"act.weight"}),
        (lambda m, y: F.pad(y, (0, 0)), {}, set()),
        (lambda m, y: m.get_submodule("norm")(y), {"norm": nn.BatchNorm1d(8)}, {f"norm.{n}" for n in
                                                              ("weight", "bias", "running_mean", "running_var")}),
    ],
)  # fmt: skip
def test_what_has_one_number_a_unit_rides(
    between: Callable[[nn.Module, Tensor], Tensor], modules: dict[str, Any], held: set[str]
) -> None:
    (dimension,) = structure(Between(between, **modules)).dimensions
    assert {holder.names[0] for holder in dimension.holders if holder.role == "ride"} == held | {"first.bias"}
    assert all(holder.unit.tolist() == list(range(8)) for holder in dimension.holders)


@pytest.mark.parametrize(
    ("norm", "kind"),
    [(nn.LayerNorm(8), "layer_norm"), (RMSNorm(8), "rms_norm"), (nn.RMSNorm(8), "rms_norm")],
)
def test_a_normalization_over_the_units_is_named(norm: nn.Module, kind: str) -> None:
    (dimension,) = structure(Between(lambda m, y: m.get_submodule("norm")(y), norm=norm)).dimensions
    ((found),) = dimension.norms
    assert (found.name, found.module, found.kind) == ("norm", "norm", kind)
    assert [consumer.through for consumer in dimension.consumers] == [("norm",)]
    assert not dimension.frozen.any()


def test_a_mean_square_of_what_is_not_zero_without_weights_is_another_normalization() -> None:
    (dimension,) = structure(
        Between(lambda m, y: m.get_submodule("norm")(torch.sigmoid(y)), norm=RMSNorm(8))
    ).dimensions
    assert [norm.kind for norm in dimension.norms] == ["other"]


def test_halves_that_are_multiplied_go_together() -> None:
    (dimension,) = structure(Between(lambda m, y: y[:, :4] * y[:, 4:].tanh(), reads=4)).dimensions
    assert dimension.units == 4
    rows = next(holder for holder in dimension.holders if holder.names == ("first.weight",))
    assert sorted(rows.unit.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert not dimension.frozen.any()


def test_units_beside_the_input_are_its_neighbors_only() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 3), nn.Linear(7, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.cat([x, torch.relu(self.first(x))], 1))

    (dimension,) = structure(Joined()).dimensions
    (consumer,) = dimension.consumers
    assert consumer.unit_of_column.tolist() == [NONE] * 4 + [0, 1, 2]


def test_channels_at_one_place_of_all_groups_are_one_unit() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 2, 1), nn.Flatten()]
    graph = trace(nn.Sequential(*layers).eval(), torch.randn(2, 3, 7, 7))
    before, after = graph.structure.dimensions
    assert (before.sites["1"].tolist(), after.sites["3"].tolist()) == ([0, 1, 0, 1], [0, 1, 2, 0, 1, 2])
    columns = next(holder for holder in before.holders if holder.role == "column")
    assert (columns.names, columns.axis, columns.unit.tolist()) == (("2.weight",), 1, [0, 1])
    gone = {before.name: np.array([True, False]), after.name: np.array([False, True, False])}
    small: Any = cut_checked(graph, gone).module
    assert (small[2].groups, small[2].in_channels, small[2].out_channels) == (2, 2, 4)


@pytest.mark.parametrize("fused", [True, False])
def test_heads_of_an_attention(fused: bool) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.head = Attention(6, 3, fused), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.attention(x))

    heads, _ = structure(Attending(), 2, 5, 6).dimensions
    assert (heads.name, heads.kind, heads.units) == ("attention", "heads", 3)
    rows = next(holder for holder in heads.holders if holder.names == ("attention.qkv.weight",))
    assert rows.unit.tolist() == [0, 0, 1, 1, 2, 2] * 3


@pytest.mark.parametrize(
    ("model", "shape", "reason"),
    [(Lstm(), (2, 3, 5), "recurrent"), (Comparing(), (2, 4), "compares"), (Unknown(), (2, 4), "without a rule")],
)
def test_what_no_rule_follows_is_refused(model: nn.Module, shape: tuple[int, ...], reason: str) -> None:
    found = structure(model, *shape)
    assert found.dimensions == ()
    assert [reason in why for _, why in found.refused] == [True]


def test_a_layer_that_is_used_twice_ties_its_rows_to_its_columns() -> None:
    (dimension,) = structure(ReusedRelu(), 2, 4).dimensions
    held = {(holder.names[0], holder.axis): holder.unit.tolist() for holder in dimension.holders}
    assert held["b.weight", 0] == held["b.weight", 1] == held["c.weight", 1] == list(range(6))
    assert len(dimension.consumers) == 3
    (tied,) = structure(TiedAutoencoder(), 2, 6).dimensions
    assert (tied.holders[0].names[0], tied.holders[0].role) == ("encode.weight", "column")


def test_units_that_an_output_returns_stay() -> None:
    found = structure(nn.Sequential(nn.Linear(4, 5), nn.ReLU()))
    assert (found.dimensions, found.refused) == ((), (("1", "an output returns them"),))


def test_names_of_one_tensor_have_one_key() -> None:
    weight = parameter(3, 2)
    assert tensor_key(weight) == tensor_key(weight.detach())
    assert tensor_key(weight) != tensor_key(weight.t())
