"""Several processes measure like one: every batch is run by one of them, and their states are merged."""

import os
import subprocess
import sys
from collections import deque
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
import ranked
from command_line import small_data, small_net
from netcaliper.errors import DataError
from netcaliper.feed import ranks as ranks_module
from netcaliper.feed.protocol import Plan, Sight
from netcaliper.feed.ranks import ALONE, Ranks, _get, _put, joined
from netcaliper.measure.consumer_moments import _Rows
from netcaliper.measure.redundant import RedundantState
from netcaliper.reading.reading import Reading
from netcaliper.reading.store import load_as
from netcaliper.stats.covariance import Covariance

# ---- one process


@pytest.mark.parametrize(("world", "batches"), [(1, 5), (2, 5), (3, 16), (5, 3)])
def test_every_batch_is_run_once_and_shares_are_even(world, batches):
    shares = [[n for n in range(batches) if Ranks(rank, world).runs(n)] for rank in range(world)]
    assert sorted(chain(*shares)) == list(range(batches))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_everything_is_as_it_is():
    state = object()
    assert ALONE.gathered(state) is ALONE.merged(state) is ALONE.given(state) is state
    assert ALONE.dealt([3, 4], lambda n: n + 1) == [4, 5]
    ALONE.agree("seed", 0)
    assert joined(torch.device("cpu")) == ALONE


def travelled(value: Any, shared: Any = ()) -> tuple[Any, list[int]]:
    """Return a value after its way from one process to another, and the bytes of the messages."""
    wire: deque[torch.Tensor] = deque()
    _put(value, shared, lambda part: wire.append(part.clone()))
    sizes = [part.nbytes for part in wire]

    def fill(buffer: torch.Tensor) -> None:
        buffer.copy_(wire.popleft())

    found = _get(shared, fill, torch.device("cpu"))
    assert not wire
    return found, sizes


def test_what_travels_arrives(monkeypatch):
    monkeypatch.setattr(ranks_module, "AT_ONCE", 16)
    plan = Plan(10, 0)
    tensor = torch.arange(12.0, dtype=torch.float64).reshape(3, 4).T
    arrays = [np.eye(3, dtype=bool), np.arange(6, dtype=np.int8)[::2], np.array(2.5), np.zeros((0, 4))]
    value = {
        "tensor": tensor,
        "again": tensor,
        "entry": tensor.as_strided((1,), (5,)),  # contiguous, whatever its stride
        "half": torch.ones(3, dtype=torch.bfloat16),
        "arrays": arrays,
        "p": plan,
    }
    found, sizes = travelled(value, [plan])
    assert found["p"] is plan
    assert torch.equal(found["tensor"], tensor)
    assert torch.equal(found["entry"], tensor[:1, 0])
    assert found["half"].dtype == torch.bfloat16
    for old, new in zip(arrays, found["arrays"], strict=True):
        assert old.dtype == new.dtype
        assert np.array_equal(old, new)
        assert new.flags.writeable
    assert max(sizes) <= 16


def test_tensors_travel_beside_the_pickle_and_rows_do_not_wait_on_the_way():
    state = Covariance(50)
    state.update(torch.randn(30, 50))
    found, sizes = travelled(state)
    assert found.finish().covariance.tolist() == state.finish().covariance.tolist()
    assert sizes[1] < 2000  # the pickle
    assert sorted(sizes[2:]) == [50 * 8, 50 * 50 * 8]


def fed(rows: torch.Tensor, total: int | None) -> _Rows:
    """Return rows of one layout that are counted (``total``), or held since they cannot be."""
    state = _Rows(rows.shape[1], torch.device("cpu"))
    state.expect(total)
    if state.wanted:
        state.update(rows)
    return state


@pytest.mark.parametrize("total", [None, 60])
@pytest.mark.parametrize("cuts", [(3, 57), (57, 3), (3, 3, 54), (0, 60), (20, 20, 20)])
def test_rows_that_are_held_and_rows_that_are_enough_become_one(cuts, total):
    rows = torch.randn(60, 4, dtype=torch.float64)
    whole, merged = fed(rows, total), _Rows(4, torch.device("cpu"))
    for part in rows.split(cuts):
        merged.merge(fed(part, total) if len(part) else _Rows(4, torch.device("cpu")))
    assert merged.state is not None
    assert whole.state is not None
    assert merged.state.count == 60
    found, expected = merged.state.finish(), whole.state.finish()
    assert np.allclose(found.covariance, expected.covariance, rtol=1e-13, atol=1e-15)


def test_too_few_rows_stay_too_few_however_they_were_dealt():
    rows = torch.randn(5, 4)
    held = fed(rows[:2], None)
    held.merge(fed(rows[2:], None))
    assert (held.state, held.expected) == (None, 5)
    counted = fed(rows[:2], 5)
    counted.merge(fed(rows[2:], 5))
    assert (counted.state, counted.expected) == (None, 5)


def test_decisions_by_the_first_batch_must_be_one_decision():
    with pytest.raises(DataError, match="examples of one length"):
        fed(torch.randn(9, 4), 9).merge(fed(torch.randn(2, 4), 5))
    plan, units = Plan(200, 0), 600

    def state(width: int) -> RedundantState:
        one = RedundantState(units, plan, torch.device("cpu"))
        index = np.arange(40)
        one.update(Sight(torch.randn(40, width, units), (), index, torch.zeros(40, dtype=torch.int64)))
        return one

    short, long = state(1), state(20)
    assert short.skipped is not None
    assert long.skipped is None
    with pytest.raises(DataError, match="a site of 600 units"):
        long.merge(short)


# ---- several processes


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> dict[str, Any]:
    """Start everything under torchrun at once, and measure alone meanwhile."""
    folder = tmp_path_factory.mktemp("ranks")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for number, (name, net) in enumerate((("mlp", ranked.mlp()), ("cnn", ranked.cnn()))):
        torch.save(trained(net, number).state_dict(), folder / f"{name}.pt")
    (folder / "taken").mkdir()
    (folder / "taken" / "mine.txt").write_text("kept")
    runs = {
        "read": torchrun(3, ranked.__file__, folder),
        "refused": torchrun(2, "-m", "netcaliper", "measure", *ranked.COMMAND, "-o", folder / "taken"),
    }
    alone = ranked.readings(folder)
    alone["command"] = nc.measure(
        small_net(), small_data(), only=ranked.QUICK, twin=False, name=ranked.NET, data_name=ranked.DATA
    )
    torch.set_num_threads(threads)
    said = {name: (*run.communicate(timeout=240), run.returncode) for name, run in runs.items()}
    return {"folder": folder, "alone": alone, "said": said}


def torchrun(processes: int, *arguments: Any) -> subprocess.Popen[str]:
    tests = Path(ranked.__file__).parent
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        + [str(argument) for argument in arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tests)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trained(net: nn.Module, seed: int) -> nn.Module:
    """Train a little, so that no class holds nearly all predictions."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_uniform_(parameter, generator=generator)
    x, y = (torch.cat(parts) for parts in zip(*ranked.data(), strict=True))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net


def same(one: Any, other: Any, where: str = "") -> None:
    """Compare to 1e-10; whatever is not a floating-point number must be equal."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{where}/{number}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-10, abs=1e-10, nan_ok=True), where
    else:
        assert one == other, where


def same_readings(one: Reading, other: Reading) -> None:
    same(one.model_dump(exclude={"cost"}), other.model_dump(exclude={"cost"}))
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        if array.dtype.kind == "f":
            assert np.allclose(array, other.arrays[name], rtol=1e-10, atol=1e-10, equal_nan=True), name
        else:
            assert np.array_equal(array, other.arrays[name]), name


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_read_what_one_reads(together, name, world):
    assert together["said"]["read"][2] == 0, together["said"]["read"][1]
    alone = together["alone"][name]
    for rank in range(world):
        same_readings(alone, load_as(Reading, together["folder"] / f"{name}-{rank}-of-{world}"))


def test_the_reading_that_was_compared_holds_every_kind_of_number(together):
    network = together["alone"]["mlp"].network
    assert network.prunable is not None
    assert network.agreement is not None
    assert network.needed_at_97 is not None
    assert network.needed_at_97.reason is None
    assert together["alone"]["mlp"].sites[0].selectivity is not None


def test_processes_with_other_weights_or_data_and_silent_ones_are_refused(together):
    told = [(together["folder"] / f"told-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    weights, others, kept, gone, silent, waited = told[0]
    assert told[1][:-1] == [weights, others, kept]
    assert "must have finite values" in told[1][-1]
    assert "gone or does not answer" in gone
    assert "must be given the same weights" in weights
    assert "must be given the same data" in others
    assert "`state` must be left out where 2 processes measure together" in kept
    assert "gone or does not answer" in silent
    assert float(waited) < 30


def test_on_the_command_line_the_first_process_speaks_and_writes(together):
    out, err, code = together["said"]["read"]
    assert code == 0, err
    assert out.count("reading: ") == 1
    assert err.count("cost: ") == 1
    same_readings(together["alone"]["command"], load_as(Reading, together["folder"] / "reading"))
    assert (together["folder"] / "reading" / "report.html").is_file()
    assert not list(together["folder"].glob("*.measuring"))


def test_what_all_processes_refuse_is_said_once(together):
    out, err, code = together["said"]["refused"]
    assert code != 0
    assert out == ""
    assert err.count("netcaliper: ") == 1
    assert sorted(path.name for path in (together["folder"] / "taken").iterdir()) == ["mine.txt"]
