"""A progress bar for ``fit``, on standard error and only on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from netcaliper.fit.epoch import Step


@contextmanager
def training_bar(title: str = "training", *, console: Console | None = None) -> Iterator[Callable[[Step], None]]:
    """Yield the callback that ``fit(..., progress=callback)`` drives.

    Args:
        title: what stands before the bar.
        console: where to draw; standard error by default. Nothing is drawn where that is not a terminal.
    """
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None, words="")

        def show(step: Step) -> None:
            if step.batches is None:
                total, done = step.epochs, step.epoch - 1
            else:
                total, done = step.epochs * step.batches, (step.epoch - 1) * step.batches + step.batch
            words = f"epoch {step.epoch}/{step.epochs}, loss {step.loss:.3f}"
            bar.update(task, total=total, completed=done, words=words)

        yield show
