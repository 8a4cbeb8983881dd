"""Random draws that are repeatable and leave no trace in the caller's random state."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block and put the generators back as they were on leaving it.

    Covers the CPU generator and, where CUDA is already in use, those of all its devices.

    Args:
        seed: any integer that ``torch.manual_seed`` takes.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
