"""``torchrun``: several processes run one command together, and the first one speaks for all of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import typer

from netcaliper.errors import InputError, NetcaliperError

PATIENCE = timedelta(hours=2)
"""How long a process waits for another one that is alive but does not answer; one that died is noticed at once."""

FAILED = "netcaliper/failed"
"""What the process that fails first writes its number to; the others keep silent about what follows from it."""


@contextmanager
def torchrun() -> Iterator[tuple[bool, bool]]:
    """Join the processes that torchrun started with this one, and leave them at the end.

    Yields:
        Whether this process speaks, and whether there are others.

    Raises:
        InputError: the environment names other processes, but they do not come together.
    """
    rank, world = (_number(name) for name in ("RANK", "WORLD_SIZE"))
    if world is None or world == 1:
        yield True, False
        return
    if rank is None:
        raise InputError("`RANK` must be set where `WORLD_SIZE` is, got none; start the processes with torchrun.")

    import torch
    import torch.distributed as dist

    store = None
    try:
        try:
            store, _, _ = next(dist.rendezvous("env://", rank, world, timeout=PATIENCE))
            dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE)
        except (RuntimeError, ValueError) as problem:
            words = (str(problem).splitlines() or [""])[0]
            raise InputError(
                f"`WORLD_SIZE` must be the number of processes that torchrun starts, got {world} that do not come "
                f"together ({words}); start them with torchrun, or unset WORLD_SIZE and RANK to measure in one process."
            ) from None
        if torch.cuda.is_available():
            torch.cuda.set_device((_number("LOCAL_RANK") or 0) % torch.cuda.device_count())  # that of --device cuda
        yield rank == 0, True
    except NetcaliperError as error:
        if not _is_first(store, rank):
            raise typer.Exit(error.exit_code) from None
        raise
    except KeyboardInterrupt:
        if rank:
            raise typer.Exit(130) from None
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _is_first(store: Any, rank: int) -> bool:
    """Tell whether this process is the first one that fails; it is, as far as it knows, if nobody can be asked."""
    try:
        return store is None or store.compare_set(FAILED, "", str(rank)) == str(rank).encode()
    except RuntimeError:
        return True


def _number(name: str) -> int | None:
    """Read a number from the environment.

    Raises:
        InputError: it is none.
    """
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise InputError(f"`{name}` must be a number, as torchrun sets it, got {text!r}; unset it.")
    return int(text)
