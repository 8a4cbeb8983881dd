"""``netcaliper study report``: the claims tested again on what is there, and the page; no model, no data, no torch."""

from pathlib import Path
from typing import Annotated

import typer

from netcaliper.cli.options import Json
from netcaliper.cli.printing import say, say_json
from netcaliper.cli.report import GENERATOR, PAGE
from netcaliper.errors import OutputExists, ReadingError


def study_report(
    root: Annotated[Path, typer.Argument(help="Folder that `study run` wrote.", metavar="DIR")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The page; DIR/report.html if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Test the claims of a study on the cells that are done, and write DIR/study.json and the page.

    Cells that are missing or failed leave claims undecided; give it again when there are more.
    """
    from netcaliper.reading.study_file import STUDY, study_bytes
    from netcaliper.reading.whole_file import write_whole
    from netcaliper.report.study_page import render
    from netcaliper.report.study_terminal import show
    from netcaliper.study.folder import open_study
    from netcaliper.study.report import study_reading

    page = out or root / PAGE
    _may_write(page)
    reading = study_reading(open_study(root), root)
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
        say_json({"study": str(root / STUDY), "page": str(page), "claims": claims})
        return
    show(reading)
    say("", f"study: {root / STUDY}", f"page:  {page}")


def _may_write(page: Path) -> None:
    """Refuse to overwrite anything but a page that netcaliper wrote."""
    if page.is_dir():
        raise OutputExists(f"`--out` must be a file, but {page} is a folder; name a file in it.")
    try:
        with page.open("rb") as stream:
            ours = GENERATOR in stream.read(4096)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ReadingError(f"{page} cannot be read: {error.strerror or error}; name another file.") from error
    if not ours:
        raise OutputExists(f"{page} is not a page that netcaliper wrote, and is not overwritten; name another file.")
