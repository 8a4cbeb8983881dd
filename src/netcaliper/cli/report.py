"""``netcaliper report``: the page and the figures again, from a reading alone; no model, no data, no torch."""

import os
from pathlib import Path
from typing import Annotated

import typer

from netcaliper.cli.options import Json
from netcaliper.cli.printing import say, say_json
from netcaliper.errors import InputError

PAGE = "report.html"
Formats = Annotated[
    str | None, typer.Option(help="Formats of the figures: some of pdf,svg,png.", show_default="pdf,svg,png")
]
GENERATOR = b'<meta name="generator" content="netcaliper'


def report(
    reading: Annotated[Path, typer.Argument(help="Folder of a reading.", metavar="DIR")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The page; DIR/report.html if not given.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write every figure into this folder.")
    ] = None,
    formats: Formats = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite files that are already there.")] = False,
    as_json: Json = False,
) -> None:
    """Rebuild the page of a reading, and write its figures as files.

    A page that netcaliper itself put beside the reading is rebuilt in place; any other file is overwritten only with
    --replace.
    """
    chosen = chosen_formats(formats, figures)

    from netcaliper.reading.store import load
    from netcaliper.report.figures_export import export
    from netcaliper.report.page import write

    opened = load(reading)
    # Figures first: they are the ones that can be refused for what was asked.
    drawn = () if figures is None else export(opened, figures, chosen, replace=replace)
    own = out is None and is_ours(reading / PAGE)
    page = write(opened, out or reading / PAGE, replace=replace or own)
    if as_json:
        say_json({"page": str(page), "figures": [str(path) for path in drawn]})
        return
    say(f"page:    {page}{' (rebuilt)' if own else ''}")
    if figures is not None:
        say(f"figures: {figures}{os.sep}", *(f"  {path.name}" for path in drawn))


def chosen_formats(formats: str | None, figures: Path | None) -> tuple[str, ...]:
    """Return the formats that `--formats` names, all without it.

    Raises:
        InputError: it is given without `--figures`.
    """
    from netcaliper.report.figures_export import FORMATS

    if formats is None:
        return FORMATS
    if figures is None:
        raise InputError("`--formats` says how to write figures, but not where; add --figures FOLDER.")
    return tuple(name.strip() for name in formats.split(",") if name.strip())


def is_ours(page: Path) -> bool:
    """Tell whether a file is a page that netcaliper wrote."""
    try:
        with page.open("rb") as stream:
            return GENERATOR in stream.read(4096)
    except OSError:
        return False
