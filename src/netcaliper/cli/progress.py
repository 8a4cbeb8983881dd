"""The progress of a measurement on standard error: its cost first, then a bar where there is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from netcaliper.cli.printing import note


@contextmanager
def reading_bar(console: Console | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """Yield the callback that ``measure(..., progress=callback)`` drives.

    The first call carries the cost estimate, which is printed as a line of its own; the following ones move the bar.

    Args:
        console: where to draw; standard error by default. No bar is drawn where that is not a terminal.
    """
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    announced = False
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(phase: str, done: int, total: int) -> None:
            nonlocal announced
            if not announced:
                announced = True
                if console.is_terminal:
                    console.print(f"cost: {phase}", markup=False, highlight=False)
                else:
                    note(f"cost: {phase}")
                return
            width = max(console.width // 3, 12)
            words = phase if len(phase) <= width else f"{phase[: width - 1]}…"
            bar.update(task, total=total, completed=done, description=words)

        yield show
