"""What a process does with the environment of torchrun; real ones run in ``tests/feed/test_ranks.py``."""

import socket
from typing import Any

import pytest
import torch.distributed as dist
import typer

from command_line import refused
from netcaliper.cli import torchrun as torchrun_module
from netcaliper.cli.torchrun import torchrun
from netcaliper.errors import DataError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("world", [None, "1"])
def test_one_process_joins_nobody_and_speaks(environment, world):
    if world:
        environment.setenv("WORLD_SIZE", world)
    with torchrun() as (first, together):
        assert (first, together) == (True, False)
        assert not dist.is_initialized()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"WORLD_SIZE": "two"}, "`WORLD_SIZE` must be a number, as torchrun sets it, got 'two'"),
        ({"WORLD_SIZE": "2"}, "`RANK` must be set where `WORLD_SIZE` is"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "`WORLD_SIZE` must be the number of processes that torchrun starts, got 2"),
    ],
)
def test_an_environment_that_starts_nobody_is_refused_with_the_remedy(environment, values, words):
    for name, value in values.items():
        environment.setenv(name, value)
    said = refused("measure", "command_line:small_net", "--data", "command_line:small_data")
    assert words in said
    assert not dist.is_initialized()


class Asked:
    """A store that says who failed first, or is gone."""

    def __init__(self, first: bytes | None) -> None:
        self.first = first

    def compare_set(self, _key: str, _expected: str, _value: str) -> bytes:
        if self.first is None:
            raise RuntimeError("connection closed")
        return self.first


@pytest.mark.parametrize(
    ("store", "speaks"), [(Asked(b"1"), True), (Asked(b"0"), False), (Asked(None), True), (None, True)]
)
def test_the_first_one_that_fails_speaks(store, speaks):
    assert torchrun_module._is_first(store, 1) is speaks


def one_of(environment: Any, rank: int) -> None:
    """Pretend to be one of two processes, without the other one."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    values = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    for name, value in values.items():
        environment.setenv(name, str(value))
    environment.setattr("torch.distributed.rendezvous", lambda *_, **__: iter([(Asked(b"0"), rank, 2)]))
    environment.setattr("torch.distributed.init_process_group", lambda *_, **__: None)


@pytest.mark.parametrize(("rank", "raised"), [(0, DataError), (1, typer.Exit)])
def test_an_error_that_another_one_said_is_not_said_again(environment, rank, raised):
    one_of(environment, rank)
    with pytest.raises(raised) as caught, torchrun():
        raise DataError("no numbers")
    assert getattr(caught.value, "exit_code", None) == DataError.exit_code


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_speaks(environment, rank):
    one_of(environment, rank)
    with torchrun() as (first, together):
        assert (first, together) == (rank == 0, True)


@pytest.mark.parametrize(("rank", "raised"), [(0, KeyboardInterrupt), (1, typer.Exit)])
def test_an_interrupt_is_said_once(environment, rank, raised):
    one_of(environment, rank)
    with pytest.raises(raised), torchrun():
        raise KeyboardInterrupt
