"""A worker ends with the process that started it; otherwise it would go on, unseen, and keep its cell locked."""

import os
import threading
from functools import cache
from time import sleep

EVERY = 0.2
"""Seconds between two looks."""


@cache
def stop_with_parent(parent: int | None = None) -> None:
    """End this process, from now on, soon after its parent has ended; what is on the disk stays whole.

    Args:
        parent: its process id, if the caller knows it: then one that has ended already is noticed, too.
    """
    parent = os.getppid() if parent is None else parent

    def watch() -> None:
        while os.getppid() == parent:
            sleep(EVERY)
        os._exit(1)

    threading.Thread(target=watch, name="netcaliper-parent", daemon=True).start()
