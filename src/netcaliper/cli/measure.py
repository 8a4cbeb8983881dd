"""``netcaliper measure``: a network and data in, a reading and its page out."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from netcaliper.cli.condition import parse
from netcaliper.cli.options import DATA_HELP, MODEL_HELP, Json, Part, Replace, Seed, TrustPickle, Weights
from netcaliper.cli.printing import note, say, say_json
from netcaliper.errors import InputError
from netcaliper.reading.reading import Reading
from netcaliper.reading.writing import check_target

PAGE = "report.html"
STATE_SUFFIX = ".measuring"


def measure(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")],
    data: Annotated[str, typer.Option(help=DATA_HELP, metavar="SPEC")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the reading and its page.")
    ] = None,
    weights: Weights = None,
    trust_pickle: TrustPickle = False,
    only: Annotated[
        str | None, typer.Option(help="Take only these measures, separated by commas.", metavar="MEASURES")
    ] = None,
    skip: Annotated[str | None, typer.Option(help="Leave these measures out.", metavar="MEASURES")] = None,
    sites: Annotated[
        list[str] | None, typer.Option(help="Read only sites of this name or pattern; may be repeated.", metavar="GLOB")
    ] = None,
    mode: Annotated[
        Literal["default", "paper"], typer.Option(help="paper: the published shares, to the letter.")
    ] = "default",
    ablation: Annotated[
        Literal["zero", "mean"], typer.Option(help="What stands in for units that are taken away.")
    ] = "zero",
    budget: Annotated[
        float | None, typer.Option(help="Forward passes of the data that ablations may cost.", show_default="24")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="What the run may take beside the model, e.g. 8GiB.", show_default="what is free"),
    ] = None,
    twin: Annotated[
        bool, typer.Option("--twin/--no-twin", help="Read the same network untrained, too.", show_default=True)
    ] = True,
    split: Part = "all",
    batch_size: Annotated[int, typer.Option(help="Examples a batch (a factory chooses its own).", min=1)] = 256,
    seed: Seed = 0,
    device: Annotated[str | None, typer.Option(help="Where to run, e.g. cpu or cuda:0.")] = None,
    fail_if: Annotated[
        str | None,
        typer.Option(help='Exit with 1 if this holds of the network, e.g. "needed_units < 0.5*units".', metavar="EXPR"),
    ] = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Read what the units of a trained network do, and say it as a table, a record and a page.

    Half of the examples calibrate, a quarter selects, and the last quarter is run once at the end, to verify. With -o
    an interrupted elimination goes on where it was when the same command is given again.
    """
    condition = None if fail_if is None else parse(fail_if)
    limit = None if memory is None else _bytes(memory)
    if out is not None:
        check_target(out, replace=replace)

    from netcaliper.cli.progress import reading_bar
    from netcaliper.measure.network_run import ABLATION_PASSES
    from netcaliper.measure.static import measure as measured
    from netcaliper.specs.data import data_name, load_data
    from netcaliper.specs.model import load_model

    loaded = load_model(model, weights, trust_pickle=trust_pickle)
    batches = load_data(data, split=split, batch_size=batch_size, model=loaded)
    state = None if out is None else out.with_name(out.name + STATE_SUFFIX)
    with reading_bar() as progress, _kept(state):
        reading = measured(
            loaded.model,
            batches,
            seed=seed,
            mode=mode,
            sites=sites or "*",
            only=_names(only),
            skip=_names(skip),
            device=device,
            twin=partial(loaded.twin, seed) if twin and loaded.twin is not None else twin,
            ablation=ablation,
            budget=ABLATION_PASSES if budget is None else budget,
            memory=limit,
            state=state,
            name=loaded.name,
            data_name=data_name(data, batches, split),
            progress=progress,
        )
    page = None if out is None else write_reading(reading, out, replace=replace)
    if state is not None:
        shutil.rmtree(state, ignore_errors=True)
    judged, fault = None, None
    if condition is not None:
        try:
            judged = condition.holds(reading.network)
        except InputError as error:  # the reading is shown all the same
            fault = error
    if as_json:
        written = {"folder": out and str(out), "page": page and str(page)}
        say_json(reading_facts(reading) | written | {"fail_if": fail_if, "failed": judged})
    else:
        _show(reading, out, page)
    if fault is not None:
        raise fault
    if condition is not None and judged:
        note(f"netcaliper: failed, because {condition.text} ({condition.values(reading.network)})")
        raise typer.Exit(1)


@contextmanager
def _kept(state: Path | None) -> Iterator[None]:
    """Say on an interrupt what need not be done again."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if state is not None and state.is_dir():
            stop.add_note(f"what was eliminated so far is in {state}: give the same command again to go on from it")
        raise


def write_reading(reading: Reading, folder: Path, *, replace: bool) -> Path:
    """Write a reading and its page; an interrupt or an error says what is already safe.

    Returns:
        The page.
    """
    from netcaliper.reading.store import load
    from netcaliper.report.page import write

    reading.save(folder, replace=replace)
    try:
        # From the disk, so that it is the page that `netcaliper report` would write.
        return write(load(folder), folder / PAGE, replace=replace)
    except KeyboardInterrupt as stop:
        stop.add_note(f"the reading in {folder} is complete, its page is not: `netcaliper report {folder}` writes it")
        raise


def reading_facts(reading: Reading) -> dict[str, Any]:
    """Return a reading without its arrays as plain data, as in ``reading.json``, with its cost."""
    return reading.model_dump(mode="python") | {"cost": reading.cost.model_dump(mode="python")}


def _bytes(text: str) -> int:
    """Read a number of bytes with its unit."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise InputError(f"`--memory` must be a number of bytes with its unit, e.g. 8GiB, got {text!r}.") from None


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _show(reading: Reading, out: Path | None, page: Path | None) -> None:
    from netcaliper.report.terminal import show

    show(reading)
    if out is None:
        say("", "not saved; -o DIR keeps the reading and its page")
    else:
        say("", f"reading: {out}{os.sep}", f"page:    {page}")
