"""Many processes that measure one network together: who runs which batch, and how what they saw becomes one.

Every process reads all the data and cuts them into the same batches, but runs only every ``world``-th of them. After a
pass the states are merged in the order of the ranks, so that all processes go on from the same numbers.

A state travels as a small pickle with its tensors and arrays beside it, as they lie in memory. Processes of one group
trust each other: they run the same program.
"""

import io
import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from netcaliper.errors import DataError, InputError, NetcaliperError
from netcaliper.feed.raw_bytes import raw_bytes

T = TypeVar("T")
U = TypeVar("U")

Move = Callable[[Tensor], None]
"""Sends the bytes of a tensor, or fills it with those that come."""

HOST = torch.device("cpu")

AT_ONCE = 2**28
"""Bytes of one message at most."""


def _merge(mine: Any, theirs: Any) -> Any:
    mine.merge(theirs)
    return mine


@dataclass(frozen=True)
class Ranks:
    """One of the processes that measure together; without any others every method is the identity.

    Attributes:
        rank: of this process, from 0.
        world: number of processes.
        device: on which this process computes; what lay on the device of another one lands here.
        beside: number of processes on this machine, this one included.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = HOST
    beside: int = 1

    def runs(self, number: int) -> bool:
        """Tell whether this process runs a batch, by its number in the pass."""
        return self.owner(number) == self.rank

    def owner(self, number: int) -> int:
        """Return the process that a batch, or anything else that is dealt by its number, belongs to."""
        return number % self.world

    def gathered(
        self, state: T, at: int = 0, combine: Callable[[T, T], T] = _merge, shared: Sequence[Any] = ()
    ) -> T | None:
        """Merge the states of all processes, in the order of the ranks, in one of them.

        Args:
            state: of this process; used up.
            at: the rank that gets the merged state; all others get ``None``.
            combine: merges the second state into the first one.
            shared: objects that every process has already, in the same order; they do not travel.

        Raises:
            NetcaliperError: another process is gone or does not answer.
        """
        if self.world == 1:
            return state
        if self.rank != at:
            _put(state, shared, lambda part: _moved(dist.send, part, at))
            return None
        total: T | None = None
        for rank in range(self.world):
            part = state if rank == at else self._get(shared, lambda buffer, rank=rank: _moved(dist.recv, buffer, rank))
            total = part if total is None else combine(total, part)
        return total

    def given(self, value: T, by: int = 0, shared: Sequence[Any] = ()) -> T:
        """Return the value that one process has, in all of them; arguments as of ``gathered``."""
        if self.world == 1:
            return value

        def move(buffer: Tensor) -> None:
            _moved(dist.broadcast, buffer, by)

        if self.rank == by:
            _put(value, shared, move)
            return value
        return self._get(shared, move)

    def merged(self, state: T, combine: Callable[[T, T], T] = _merge, shared: Sequence[Any] = ()) -> T:
        """Return the merged state of all processes, the same in every one; arguments as of ``gathered``."""
        total = self.gathered(state, combine=combine, shared=shared)
        return self.given(state if total is None else total, shared=shared)

    def dealt(self, items: Sequence[U], answer: Callable[[U], T]) -> list[T]:
        """Return the answers for all items; every process works on some of them and learns those of the others."""
        mine = {number: answer(item) for number, item in enumerate(items) if self.runs(number)}
        found = self.merged(mine, lambda some, others: some | others)
        return [found[number] for number in range(len(items))]

    def agree(self, what: str, value: Any) -> None:
        """Refuse to go on where processes were given different things.

        Args:
            what: the value, in words.
            value: plain; must be the same everywhere.

        Raises:
            InputError: it is not, in every process.
        """
        if self.world == 1:
            return
        values: list[Any] = [None] * self.world
        _moved(dist.all_gather_object, values, value)
        other = next((rank for rank, theirs in enumerate(values) if theirs != values[0]), None)
        if other is not None:
            raise InputError(
                f"all processes must be given the same {what}, got {values[0]!r} in process 0 and {values[other]!r} in "
                f"process {other}; load the same weights and the same data, in one order, in every process."
            )

    def _get(self, shared: Sequence[Any], move: Move) -> Any:
        return _get(shared, move, self.device)


ALONE = Ranks()


def joined(device: torch.device) -> Ranks:
    """Return this process among those of torch's default process group; alone without one that moves CPU tensors.

    Args:
        device: on which this process computes.
    """
    if not (dist.is_available() and dist.is_initialized()) or "gloo" not in str(dist.get_backend_config()):
        return Ranks(device=device)
    world = dist.get_world_size()
    return Ranks(dist.get_rank(), world, device, int(os.environ.get("LOCAL_WORLD_SIZE", world)))


def uneven(what: str) -> DataError:
    """Return the error for examples of such different lengths that a decision by the first batch is not one decision.

    Args:
        what: was decided, in words.
    """
    return DataError(
        f"`data` must have examples of one length to be read by several processes, got some by which {what} has enough "
        "rows and some by which it has not; pad them to one length, or measure in one process."
    )


# ---- how states travel


class _Pickler(pickle.Pickler):
    """Leaves tensors and arrays out, to be sent as they are, and what the other side has already."""

    def __init__(self, file: io.BytesIO, shared: Iterable[Any]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.shared = {id(value): number for number, value in enumerate(shared)}
        self.parts: list[Tensor] = []

    def persistent_id(self, obj: Any) -> Any:
        if id(obj) in self.shared:
            return "shared", self.shared[id(obj)]
        if isinstance(obj, torch.device):
            return "device", obj.type == "cpu"
        if isinstance(obj, Tensor):
            self.parts.append(obj.detach().cpu())
            return "tensor", obj.dtype, tuple(obj.shape), obj.device.type == "cpu"
        if isinstance(obj, np.ndarray) and obj.dtype.kind in "biuf":
            part = torch.from_numpy(np.array(obj, order="C"))
            self.parts.append(part)
            return "array", part.dtype, tuple(part.shape), True
        return None


class _Unpickler(pickle.Unpickler):
    """Fills in what was left out; parts come in the order in which they are met."""

    def __init__(self, file: io.BytesIO, shared: Sequence[Any], move: Move, device: torch.device) -> None:
        super().__init__(file)
        self.shared, self.move, self.device = shared, move, device

    def persistent_load(self, pid: Any) -> Any:
        kind, *rest = pid
        if kind == "shared":
            return self.shared[rest[0]]
        if kind == "device":
            return HOST if rest[0] else self.device
        dtype, shape, on_host = rest
        part = torch.empty(shape, dtype=dtype)
        _in_messages(part, self.move)
        if kind == "array":
            return part.numpy()
        return part if on_host else part.to(self.device)


def _put(value: Any, shared: Sequence[Any], move: Move) -> None:
    """Send a value: the length of its pickle, the pickle, and the parts that were left out."""
    file = io.BytesIO()
    pickler = _Pickler(file, shared)
    pickler.dump(value)
    pickled = torch.frombuffer(bytearray(file.getbuffer()), dtype=torch.uint8)
    move(torch.tensor([len(pickled)]))
    for part in (pickled, *pickler.parts):
        _in_messages(part, move)


def _get(shared: Sequence[Any], move: Move, device: torch.device) -> Any:
    """Receive what ``_put`` sends."""
    length = torch.zeros(1, dtype=torch.int64)
    move(length)
    pickled = torch.empty(int(length), dtype=torch.uint8)
    _in_messages(pickled, move)
    return _Unpickler(io.BytesIO(pickled.numpy().tobytes()), shared, move, device).load()


def _in_messages(part: Tensor, move: Move) -> None:
    """Move a tensor as bytes, a message at a time."""
    if part.numel():
        for message in raw_bytes(part).split(AT_ONCE):
            move(message)


def _moved(operation: Callable[..., Any], *arguments: Any) -> None:
    """Run an operation of torch.distributed, and say in words that another process is gone."""
    try:
        operation(*arguments)
    except RuntimeError as problem:  # of gloo: a closed connection, or a timeout
        words = (str(problem).splitlines() or [""])[0]
        raise NetcaliperError(
            f"another process of this measurement is gone or does not answer ({words}); its own message says why, and "
            "nothing was written."
        ) from problem
