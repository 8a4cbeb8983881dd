"""What ``shrink`` and ``apply`` have in common: where they may write, and what they leave there."""

import os
import shlex
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netcaliper.cli.options import DATA_HELP
from netcaliper.cli.printing import note, say_json
from netcaliper.cli.written import show_written, write_page
from netcaliper.errors import OutputExists
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.shrinking_headline import target_words

if TYPE_CHECKING:
    from netcaliper.shrink.shrink import Shrunk

TYPED: ContextVar[tuple[str, ...]] = ContextVar("typed")
"""The arguments of the command line, as they were typed."""

Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the weights, the plan, the proof and the page.")
]
Verification = Annotated[
    str | None,
    typer.Option(
        help=f"Other data for the proof: {DATA_HELP} With --split train their test part is taken, else all of them.",
        metavar="SPEC",
        show_default="a part of --data",
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Prove it on data that it was also chosen on; the proof says so."),
]
Examples = Annotated[int | None, typer.Option(help="Read a stratified subset of so many examples.", min=1, metavar="N")]


def must_be_new(out: Path) -> None:
    """Refuse, before anything is loaded, a folder that is already there."""
    if os.path.lexists(out):
        raise OutputExists(f"`--out` must not exist yet, but {out} does; choose another folder.")


def load_parts(
    model: Any, data: str, verification: str | None, *, split: Any, examples: int | None, batch_size: int
) -> tuple[Any, Any, str]:
    """Load the data and those of the proof, which are ``None`` if they are a part of the data.

    Returns:
        Data, verification data, and how the plan calls the data.
    """
    from netcaliper.specs.data import data_name, load_data

    batches = load_data(data, split=split, batch_size=batch_size, examples=examples, model=model)
    other = None
    if verification is not None:
        other = load_data(
            verification, split="test" if split == "train" else "all", batch_size=batch_size, model=model
        )  # fmt: skip
    return batches, other, data_name(data, batches, split)


def write_shrunk(found: "Shrunk", out: Path, *, as_json: bool) -> None:
    """Write a small network with its plan, proof and page, and show them.

    Raises:
        typer.Exit: with 1, if the target is not met; the best network that was found is written all the same.
    """
    command = shlex.join(["netcaliper", *TYPED.get()])
    found = replace(found, proof=found.proof.model_copy(update={"command": command}))
    found.save(out)
    page = write_page(out, replace=False)
    reading = ShrinkReading(plan=found.plan, proof=found.proof)
    if as_json:
        say_json(reading.model_dump(mode="python") | {"folder": str(out), "page": str(page)})
    else:
        show_written(reading, out, page)
    if not found.proof.target_met:
        note(
            f"netcaliper: the target ({target_words(found.plan.target)}) is not met: "
            f"{found.proof.target_words.rstrip('.')}; the best network that was found is in {out}."
        )
        raise typer.Exit(1)
