"""What a command does with a reading: write it with its page, show it, print it as JSON."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netcaliper.cli.printing import say
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.linearization_reading import LinearizationReading
from netcaliper.reading.reading import Reading
from netcaliper.reading.shrinking import ShrinkReading

PAGE = "report.html"


def write_reading(reading: Reading | LayersReading | LinearizationReading, folder: Path, *, replace: bool) -> Path:
    """Write a reading and its page; an interrupt or an error says what is already safe.

    Returns:
        The page.
    """
    reading.save(folder, replace=replace)
    return write_page(folder, replace=replace)


def write_page(folder: Path, *, replace: bool) -> Path:
    """Write the page of what a folder holds beside it; an interrupt or an error says what is already safe."""
    from netcaliper.reading.store import load
    from netcaliper.report.page import write

    try:
        # From the disk, so that it is the page that `netcaliper report` would write.
        return write(load(folder), folder / PAGE, replace=replace)
    except KeyboardInterrupt as stop:
        stop.add_note(f"what is in {folder} is complete, its page is not: `netcaliper report {folder}` writes it")
        raise


@contextmanager
def kept_on_interrupt(place: Path | None, words: str) -> Iterator[None]:
    """Say on an interrupt what is kept in a file or folder, if it is there, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if place is not None and place.exists():
            stop.add_note(words)
        raise


def reading_facts(reading: Reading | LayersReading | LinearizationReading) -> dict[str, Any]:
    """Return a reading without its arrays as plain data, as in ``reading.json``, with its cost."""
    return reading.model_dump(mode="python") | {"cost": reading.cost.model_dump(mode="python")}


def show_written(
    reading: Reading | LayersReading | LinearizationReading | ShrinkReading, out: Path | None, page: Path | None
) -> None:
    """Print a reading, and where it is."""
    from netcaliper.report import layers_terminal, linearization_terminal, shrinking_terminal, terminal

    if isinstance(reading, ShrinkReading):
        shrinking_terminal.show(reading)
    elif isinstance(reading, LinearizationReading):
        linearization_terminal.show(reading)
    elif isinstance(reading, LayersReading):
        layers_terminal.show(reading)
    else:
        terminal.show(reading)
    if out is None:
        say("", "not saved; -o DIR keeps the reading and its page")
    else:
        say("", f"reading: {out}{os.sep}", f"page:    {page}")
