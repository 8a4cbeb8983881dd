"""A script of ``benchmarks/`` as a module, for tests of what it concludes."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "benchmarks"


@contextmanager
def imported(name: str) -> Iterator[ModuleType]:
    """Import a script beside its neighbors; the number of threads that it sets does not outlive it."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield import_module(name)
    torch.set_num_threads(threads)
