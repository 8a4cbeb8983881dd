"""``netcaliper study report``: the claims tested again on what is there, and the page; no model, no data, no torch."""

import os
from pathlib import Path
from typing import Annotated

import typer

from netcaliper.cli.options import Json
from netcaliper.cli.printing import say, say_json
from netcaliper.cli.report import PAGE, Formats, chosen_formats, is_ours
from netcaliper.errors import OutputExists, ReadingError


def study_report(
    root: Annotated[Path, typer.Argument(help="Folder that `study run` wrote.", metavar="DIR")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The page; DIR/report.html if not given.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write every figure into this folder.")
    ] = None,
    formats: Formats = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite figures that are already there.")] = False,
    as_json: Json = False,
) -> None:
    """Test the claims of a study on the cells that are done, and write DIR/study.json and the page.

    Cells that are missing or failed leave claims undecided; give it again when there are more.
    """
    from netcaliper.reading.numerals import plural
    from netcaliper.reading.study_file import STUDY, study_bytes
    from netcaliper.reading.whole_file import write_whole
    from netcaliper.report.figures_export import export
    from netcaliper.report.study_page import render
    from netcaliper.report.study_terminal import show
    from netcaliper.study.folder import open_study
    from netcaliper.study.report import study_reading

    chosen = chosen_formats(formats, figures)
    page = out or root / PAGE
    _may_write(page)
    reading = study_reading(open_study(root), root)
    # Figures first: they are the ones that can be refused for what was asked.
    drawn = () if figures is None else export(reading, figures, chosen, replace=replace)
    try:
        write_whole(root / STUDY, study_bytes(reading))
        write_whole(page, render(reading).encode("utf-8", "replace"))
    except OSError as error:
        raise ReadingError(
            f"{error.filename or page} could not be written: {error.strerror or error}; free some space or name "
            "another file with --out."
        ) from error
    if as_json:
        claims = [claim.model_dump(mode="python") for claim in reading.claims]
        files = {"figures": [str(path) for path in drawn]} if figures else {}
        say_json({"study": str(root / STUDY), "page": str(page), "claims": claims} | files)
        return
    show(reading)
    say("", f"study: {root / STUDY}", f"page:  {page}")
    if figures is not None:
        say(f"figures: {figures}{os.sep} ({plural(len(drawn), 'file')})")


def _may_write(page: Path) -> None:
    """Refuse to overwrite anything but a page that netcaliper wrote."""
    if page.is_dir():
        raise OutputExists(f"`--out` must be a file, but {page} is a folder; name a file in it.")
    if page.exists() and not is_ours(page):
        raise OutputExists(f"{page} is not a page that netcaliper wrote, and is not overwritten; name another file.")
