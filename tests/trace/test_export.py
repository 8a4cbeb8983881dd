"""The export: functional, dynamic where the model allows it, quiet, and clear about what failed."""

import pytest
import torch
from torch import nn

from bestiary import Branching, FixedBatch, stock
from netcaliper.errors import ExportRefused, InputError
from netcaliper.trace.batches import as_batch
from netcaliper.trace.export import check_model, device_of, export, source_line


def test_no_in_place_operation_is_left() -> None:
    model, images = stock()
    exported = export(model, as_batch(images))
    names = [str(node.target) for node in exported.program.graph.nodes if node.op == "call_function"]
    assert not [
        name for name in names if name.split(".")[1:2] and name.split(".")[1].endswith("_") and name.startswith("aten.")
    ]
    assert exported.batch_symbol is not None
    assert exported.static_reason is None


def test_one_example_is_repeated_so_that_the_batch_stays_dynamic() -> None:
    exported = export(nn.Linear(3, 2).eval(), as_batch(torch.randn(1, 3)))
    assert exported.batch.size == 2
    assert exported.batch_symbol is not None


def test_a_fixed_batch_size_is_said() -> None:
    exported = export(FixedBatch().eval(), as_batch(torch.randn(2, 4)))
    assert exported.batch_symbol is None
    assert exported.static_reason


def test_a_refusal_is_quiet_but_names_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportRefused, match=r"if x\.sum\(\) > 0"):
        export(Branching().eval(), as_batch(torch.randn(2, 4)))
    assert capfd.readouterr().err == ""


def test_source_lines_point_at_the_model() -> None:
    model, images = stock()
    nodes = export(model, as_batch(images)).program.graph.nodes
    place = source_line(next(node for node in nodes if node.name.startswith("add")))
    assert place.startswith("line ")
    assert "of networks.py: `out += identity`" in place


def test_device_of() -> None:
    assert device_of(nn.ReLU()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")


@pytest.mark.parametrize(
    ("buffer", "value", "fits"),
    [("mask", -torch.inf, True), ("mask", torch.nan, False), ("running_var", torch.inf, False)],
)
def test_infinity_is_at_home_in_masks_and_bounds_only(buffer: str, value: float, fits: bool) -> None:
    model = nn.Sequential(nn.Linear(2, 2)).eval()
    model.register_buffer(buffer, torch.tensor([0.0, value]))
    if fits:
        check_model(model)
    else:
        with pytest.raises(InputError, match=f"`{buffer}` of `model` has 1 of 2 values"):
            check_model(model)
