"""Figures as files: the charts of the page as PDF, SVG and PNG, without a browser."""

import json
import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

import vl_convert

from netcaliper.errors import InputError, OutputExists, ReadingError
from netcaliper.report.figures import Drawable, Figure, draw_all

Format = Literal["pdf", "svg", "png"]
FORMATS: tuple[Format, ...] = ("pdf", "svg", "png")
WIDTH = 640
PIXELS_PER_POINT = 2.0

CONFIG = {
    "aria": False,  # a label on every mark is two thirds of a map of layers, and of no use in an image
    "background": "#ffffff",
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#1b1f24",
        "titleColor": "#59626e",
        "gridColor": "#dde1e6",
        "domainColor": "#dde1e6",
        "tickColor": "#dde1e6",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    },
    "axisY": {"labelLimit": 240},
    "legend": {
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "offset": 12,
        "labelLimit": 220,
        "columns": 3,
        "layout": {"top": {"direction": "vertical", "anchor": "start", "offset": 12, "margin": 4}},
    },
    "text": {"color": "#59626e"},
    "rule": {"color": "#59626e"},
    "style": {"twin": {"color": "#1b1f24"}, "twin-around": {"color": "#ffffff"}},
}


def export(
    reading: Drawable,
    folder: str | PathLike[str],
    formats: Sequence[str] = FORMATS,
    *,
    replace: bool = False,
) -> tuple[Path, ...]:
    """Write every figure of a reading to a folder.

    Args:
        reading: the record.
        folder: where; made if it does not exist. Files of other names in it are left alone.
        formats: some of ``"pdf"``, ``"svg"``, ``"png"``.
        replace: overwrite figures that are already there.

    Returns:
        The files, in the order of the page.

    Raises:
        InputError: an unknown format, or none.
        OutputExists: a figure is already there and ``replace`` is false; nothing is written then.
        ReadingError: the disk refused.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats or isinstance(formats, str):
        raise InputError(
            f"`formats` must be some of {', '.join(FORMATS)}, got {formats!r}; for example formats=('svg',)."
        )
    target = Path(folder)
    drawn = draw_all(reading, WIDTH)
    paths = {
        (figure.name, name): target / f"{figure.name}.{name}" for figure in drawn for name in dict.fromkeys(formats)
    }
    taken = [path.name for path in paths.values() if os.path.lexists(path)]
    if taken and not replace:
        raise OutputExists(
            f"`folder` {target} already has {', '.join(taken[:3])}{' and more' if len(taken) > 3 else ''}; "
            "choose another folder, or pass replace=True."
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
        for figure in drawn:
            for name in dict.fromkeys(formats):
                _write(paths[figure.name, name], _convert(figure, name))
    except OSError as error:
        raise ReadingError(
            f"`folder` {target} could not be written: {error.strerror or error}; "
            "free some space or choose another folder."
        ) from error
    return tuple(paths.values())


def _convert(figure: Figure, name: str) -> bytes:
    spec = json.dumps(figure.spec())
    match name:
        case "svg":
            return vl_convert.vegalite_to_svg(spec, config=CONFIG).encode()
        case "png":
            return vl_convert.vegalite_to_png(spec, config=CONFIG, scale=PIXELS_PER_POINT)
        case _:
            return vl_convert.vegalite_to_pdf(spec, config=CONFIG)


def _write(path: Path, content: bytes) -> None:
    """Write aside, then rename: a half-written figure is never left under its name."""
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
