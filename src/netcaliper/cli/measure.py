"""``netcaliper measure``: a network and data in, a reading and its page out."""

import shutil
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from netcaliper.cli.condition import parse
from netcaliper.cli.options import (
    DATA_HELP,
    MODEL_HELP,
    BatchSize,
    Device,
    Json,
    Memory,
    Part,
    Replace,
    Seed,
    TrustPickle,
    Weights,
    byte_count,
    split_names,
)
from netcaliper.cli.printing import note, say_json
from netcaliper.cli.torchrun import torchrun
from netcaliper.cli.written import kept_on_interrupt, reading_facts, show_written, write_reading
from netcaliper.errors import InputError
from netcaliper.reading.writing import check_target

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
    memory: Memory = None,
    twin: Annotated[
        bool, typer.Option("--twin/--no-twin", help="Read the same network untrained, too.", show_default=True)
    ] = True,
    split: Part = "all",
    batch_size: BatchSize = 256,
    seed: Seed = 0,
    device: Device = None,
    fail_if: Annotated[
        str | None,
        typer.Option(help='Exit with 1 if this holds of the network, e.g. "needed_units < 0.5*units".', metavar="EXPR"),
    ] = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Read what the units of a trained network do, and say it as a table, a record and a page.

    Half of the examples calibrate, a quarter selects, and the last quarter is run once at the end, to verify. With -o
    an interrupted elimination goes on where it was when the same command is given again. Under torchrun
    (torchrun --nproc-per-node N -m netcaliper measure ...) N processes share the batches, and the first one speaks.
    """
    condition = None if fail_if is None else parse(fail_if)
    limit = byte_count(memory)
    with torchrun() as (first, together):
        if out is not None:
            check_target(out, replace=replace)

        from netcaliper.cli.progress import reading_bar
        from netcaliper.measure.network_run import ABLATION_PASSES
        from netcaliper.measure.static import measure as measured
        from netcaliper.specs.data import data_name, load_data
        from netcaliper.specs.model import load_model

        loaded = load_model(model, weights, trust_pickle=trust_pickle)
        batches = load_data(data, split=split, batch_size=batch_size, model=loaded)
        state = None if out is None or together else out.with_name(out.name + STATE_SUFFIX)
        with (
            reading_bar() as progress,
            kept_on_interrupt(
                state, f"what was eliminated so far is in {state}: give the same command again to go on from it"
            ),
        ):
            reading = measured(
                loaded.model,
                batches,
                seed=seed,
                mode=mode,
                sites=sites or "*",
                only=split_names(only),
                skip=split_names(skip),
                device=device,
                twin=partial(loaded.twin, seed) if twin and loaded.twin is not None else twin,
                ablation=ablation,
                budget=ABLATION_PASSES if budget is None else budget,
                memory=limit,
                state=state,
                name=loaded.name,
                data_name=data_name(data, batches, split),
                progress=progress if first else None,
            )
    if not first:
        return
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
        show_written(reading, out, page)
    if fault is not None:
        raise fault
    if condition is not None and judged:
        note(f"netcaliper: failed, because {condition.text} ({condition.values(reading.network)})")
        raise typer.Exit(1)
