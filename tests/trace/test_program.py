"""The program runs like the exported module, frees what nothing reads, and replays only suffixes."""

import pytest
import torch

from netcaliper.trace.batches import as_batch
from netcaliper.trace.export import export
from netcaliper.trace.program import Program, tensors_of
from networks import FAMILIES, build


@pytest.mark.parametrize("family", FAMILIES)
def test_it_equals_the_exported_module(family: str) -> None:
    model, example = build(family, 2)
    exported = export(model, as_batch(example))
    program = Program(exported.program, {})
    output, _ = program.run([example])
    assert torch.equal(output, exported.program.module()(example))


class Blocks(torch.nn.Module):
    """A reshape that needs a copy or not, by the strides that a convolution's value has at this batch size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], 2, -1)


def test_a_reshape_runs_on_values_of_any_strides() -> None:
    exported = export(Blocks().eval(), as_batch(torch.randn(2, 4, 3, 3)))
    other = torch.randn(2, 4, 3, 3).to(memory_format=torch.channels_last)
    output, _ = Program(exported.program, {}).run([other])
    assert torch.equal(output, other.reshape(2, 2, -1))


def test_a_suffix_holds_every_dependent_step_and_what_they_need() -> None:
    model, example = build("residual", 0)
    program = Program(export(model, as_batch(example)).program, {})
    for step in program.steps:
        suffix = program.suffix(step.name)
        dependent = {s.name for s in suffix.dependent}
        before = {s.name for s in program.steps[: step.index + 1]} | set(program.parameters) | set(program.user_inputs)
        available = before | {s.name for s in suffix.ahead} | dependent
        assert all(s.reads <= available for s in (*suffix.ahead, *suffix.dependent))
        assert all(s.reads & (dependent | {step.name}) for s in suffix.dependent)
        assert not any(s.reads & (dependent | {step.name}) for s in suffix.ahead)


def test_values_that_a_tap_wants_are_kept_for_it() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.ReLU(), torch.nn.Linear(3, 1)).eval()
    exported = export(model, as_batch(torch.randn(2, 2)))
    seen = []
    program = Program(exported.program, {"relu_1": ("linear",)})
    program.run([torch.randn(2, 2)], on_value={"relu_1": lambda value, values: seen.append("linear" in values)})
    assert seen == [True]


def test_all_tensors_of_an_output() -> None:
    a, b = torch.ones(1), torch.zeros(2)
    assert [t.shape for t in tensors_of({"x": (a, 3), "y": [b]})] == [(1,), (2,)]
