"""An interrupted *needed* goes on where it was, or says why it cannot."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.feed.protocol import Plan
from netcaliper.measure import needed as asked
from netcaliper.measure.needed import NeededStates
from netcaliper.measure.needed_state import open_state
from netcaliper.stats.block_elimination import eliminate_blocks
from netcaliper.trace.batches import first_batch


def needed(graph, batches, **arguments) -> Any:
    return asked.needed(graph, batches, **arguments)


def network(seed=0) -> Any:
    """Four sites; of the last, which a flattened layer reads, there are fewer rows than columns."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for width in (6, 7, 8):
        layers += [nn.Conv2d(layers[-2].out_channels if layers else 2, width, 3, padding=1), nn.ReLU()]  # type: ignore[union-attr,arg-type]
    layers += [nn.Conv2d(8, 9, 1), nn.ReLU(), nn.Flatten(), nn.Linear(9 * 25, 4)]
    return nn.Sequential(*layers).eval()


def data(seed=0, examples=160) -> list[torch.Tensor]:
    x = torch.randn(examples, 2, 5, 5, generator=torch.Generator().manual_seed(seed))
    return list(x.split(40))


class Counted(list):
    """Batches that know how often they were read from first to last."""

    passes = 0

    def __iter__(self):
        yield from super().__iter__()
        self.passes += 1


def bits(answers):
    """Return everything in the answers, to the last bit."""
    seen = []
    for a in answers:
        arrays = [None if x is None else x.tobytes() for x in (a.kept, a.order, a.later, a.later_unexplained)]
        steps = {name: u.tobytes() for name, u in (a.unexplained or {}).items()}
        seen.append((a.site, a.units, a.tau, a.upper_bound, arrays, steps, a.final, a.rows, a.reason, a.warnings))
    return seen


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Interrupt a measurement in the elimination of its third site."""
    graph, batches = nc.trace(network(), data()[0]), Counted(data())
    judged: list[str] = []

    def judge(readers, *rest):
        if len(judged) == 2:
            raise KeyboardInterrupt
        judged.append(readers[0].name)
        return eliminate_blocks(readers, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(asked, "eliminate_blocks", judge)
        with pytest.raises(KeyboardInterrupt):
            needed(graph, batches, tau=0.1, state=tmp_path)
    return graph, batches


def test_an_interrupted_elimination_goes_on_with_the_sites_that_remain(stopped, tmp_path, monkeypatch):
    graph, batches = stopped
    whole, agreed = needed(graph, batches, tau=0.1, verify=True)
    assert [answer.upper_bound is not None for answer in whole] == [True, True, True, False]
    assert sum(len(answer.order) for answer in whole[:3]) > 0
    names = []

    def seen(readers, *rest):
        names.append(readers[0].name)
        return eliminate_blocks(readers, *rest)

    monkeypatch.setattr(asked, "eliminate_blocks", seen)
    before = batches.passes
    again, now = needed(graph, batches, tau=0.1, state=tmp_path, verify=True)
    assert names == ["6"]
    assert bits(again) == bits(whole)
    assert now.each.tobytes() == agreed.each.tobytes()
    assert batches.passes - before == 2  # to count the examples, and to verify: what was accumulated stays
    # and once more, when all is there
    names.clear()
    again, _ = needed(graph, batches, tau=0.1, state=tmp_path)
    assert names == []
    assert bits(again) == bits(whole)


def test_a_pass_that_was_interrupted_begins_anew(tmp_path):
    graph = nc.trace(network(), data()[0])
    whole, _ = needed(graph, data(), tau=0.1)

    class Stops(list):
        passes = 0

        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if number == 2:
                    self.passes += 1  # the first one counts the examples, the second one accumulates
                    if self.passes == 2:
                        raise KeyboardInterrupt
                yield batch

    with pytest.raises(KeyboardInterrupt):
        needed(graph, Stops(data()), tau=0.1, state=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["work.json"]
    again, _ = needed(graph, data(), tau=0.1, state=tmp_path)
    assert bits(again) == bits(whole)


def test_only_the_moments_that_are_missing_are_accumulated(stopped, tmp_path):
    graph, batches = stopped
    (tmp_path / "input-001.safetensors").unlink()
    plan = Plan(160, 0)
    folder = open_state(tmp_path, graph, batches, plan, graph.sites, tau=0.1)
    states = NeededStates(graph, graph.sites, plan, tau=0.1, max_columns=None, folder=folder)
    assert states.missing
    assert list(states.moments.taps(first_batch(batches))) == ["%" + states.inputs[("conv2d_2", 0)].source]
    whole, _ = needed(graph, batches, tau=0.1)
    again, _ = needed(graph, batches, tau=0.1, state=tmp_path)
    assert bits(again) == bits(whole)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("weights", {"model": network(1)}),
        ("first batch", {"data": data(1)}),
        ("examples", {"data": data(0, 200)}),
        ("seed", {"seed": 1}),
        ("tau", {"tau": 0.2}),
        ("sites", {"sites": ["1"]}),
        ("max_columns", {"max_columns": 500}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_state_of_other_work_is_refused(stopped, tmp_path, what, change):
    arguments: dict[str, Any] = {"tau": 0.1} | change
    graph = nc.trace(arguments.pop("model"), data()[0]) if "model" in arguments else stopped[0]
    batches = arguments.pop("data", stopped[1])
    with pytest.raises(InputError) as caught:
        needed(graph, batches, state=tmp_path, **arguments)
    assert f"belongs to other work: its {what} is" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "name a new folder" in str(caught.value)


def test_an_answer_for_other_idle_units_is_refused(stopped, tmp_path):
    graph, batches = stopped
    plan = Plan(160, 0)
    folder = open_state(tmp_path, graph, batches, plan, graph.sites, tau=0.1)
    states = NeededStates(graph, graph.sites, plan, tau=0.1, max_columns=None, folder=folder)
    assert not states.missing
    assert states.judge(graph.sites[0]).upper_bound is not None
    stage = np.ones(graph.sites[0].units, dtype=np.int64)
    stage[2] = 0
    with pytest.raises(InputError, match="other units were idle than now"):
        states.judge(graph.sites[0], stage)
