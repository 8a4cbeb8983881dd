"""``netcaliper shrink``: a network and data in; a smaller one, the plan that makes it and the proof of it, out."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netcaliper.cli.options import (
    DATA_HELP,
    MODEL_HELP,
    BatchSize,
    Device,
    Json,
    Part,
    Seed,
    TrustPickle,
    Weights,
    split_names,
)
from netcaliper.cli.shrunk import Examples, Force, Out, Verification, load_parts, must_be_new, write_shrunk
from netcaliper.cli.written import kept_on_interrupt
from netcaliper.errors import InputError, OutputExists
from netcaliper.reading.shrinking_folder import PLAN, plan_bytes
from netcaliper.reading.writing import write_folder

if TYPE_CHECKING:
    from netcaliper.reading.shrinking import ShrinkPlan

WORK_SUFFIX = ".shrinking"


def shrink(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")],
    data: Annotated[str, typer.Option(help=DATA_HELP, metavar="SPEC")],
    out: Out,
    weights: Weights = None,
    trust_pickle: TrustPickle = False,
    agreement: Annotated[
        float | None, typer.Option(help="As small as it gets with at least this share of answers.", metavar="SHARE")
    ] = None,
    parameters: Annotated[
        float | None, typer.Option(help="At most this share of the parameters.", metavar="SHARE")
    ] = None,
    macs: Annotated[
        float | None, typer.Option(help="At most this share of the multiply-adds.", metavar="SHARE")
    ] = None,
    latency: Annotated[
        float | None, typer.Option(help="At most this share of the time, as measured here.", metavar="SHARE")
    ] = None,
    round_to: Annotated[int, typer.Option(help="Keep units in multiples of this.", min=1, metavar="N")] = 1,
    verification: Verification = None,
    force: Force = False,
    skip: Annotated[
        str | None,
        typer.Option(help='Leave these steps out, separated by commas, e.g. "stream,drop block".', metavar="STEPS"),
    ] = None,
    sites: Annotated[str, typer.Option(help="Touch only sites of this name or pattern.", metavar="GLOB")] = "*",
    split: Part = "all",
    examples: Examples = None,
    batch_size: BatchSize = 256,
    seed: Seed = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Make a trained network smaller without training it, and prove what that costs.

    Give one target, or none: then the knee of the trade-off is taken. Nothing is trained and no label is needed. The
    examples are split in three: one part calibrates, one decides on every step, and the last one is read once at the
    end, for the proof. An interrupted run leaves the plan of what was verified so far in DIR.shrinking.
    """
    must_be_new(out)
    work = _work_folder(out)
    targets = {"agreement": agreement, "parameters": parameters, "macs": macs, "latency": latency}
    _one_target(targets)

    from netcaliper.cli.progress import reading_bar
    from netcaliper.shrink.shrink import shrink as shrunk
    from netcaliper.specs.model import load_model

    loaded = load_model(model, weights, trust_pickle=trust_pickle)
    batches, other, called = load_parts(
        loaded, data, verification, split=split, examples=examples, batch_size=batch_size
    )

    def keep(plan: "ShrinkPlan") -> None:
        write_folder(work, {PLAN: plan_bytes(plan)})

    with (
        kept_on_interrupt(
            work,
            f"the plan up to the last step that was verified is in {work / PLAN}: netcaliper apply makes its network",
        ),
        reading_bar() as progress,
    ):
        found = shrunk(
            loaded.model,
            batches,
            **targets,
            round_to=round_to,
            verification=other,
            force=force,
            skip=tuple(split_names(skip) or ()),
            sites=sites,
            seed=seed,
            device=device,
            name=loaded.name,
            data_name=called,
            keep=keep,
            progress=progress,
        )
    try:
        write_shrunk(found, out, as_json=as_json)
    finally:
        if (out / PLAN).exists():
            shutil.rmtree(work, ignore_errors=True)


def _work_folder(out: Path) -> Path:
    """Return where the plan is kept while it grows; refuse what an earlier run left there."""
    work = out.with_name(out.name + WORK_SUFFIX)
    if os.path.lexists(work):
        raise OutputExists(
            f"{work} holds the plan of an interrupted run; make its network with netcaliper apply, or remove it."
        )
    return work


def _one_target(targets: dict[str, float | None]) -> None:
    """Refuse two targets."""
    given = {f"`--{name}` {value:g}": value for name, value in targets.items() if value is not None}
    if len(given) > 1:
        raise InputError(f"At most one target can be met for sure, got {' and '.join(given)}; give one of them.")
