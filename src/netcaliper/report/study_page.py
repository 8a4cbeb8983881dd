"""The page of a study: its claims first, then its figures, every cell, and how it was made."""

from dataclasses import dataclass

from netcaliper.reading.numerals import count, plural
from netcaliper.reading.study import StudyCell, StudyFigure, StudyReading
from netcaliper.reading.study_headline import headline, lead, warnings
from netcaliper.report.figures import draw_figure, study_lines
from netcaliper.report.figures.figure import Figure
from netcaliper.report.layers_tables import Table
from netcaliper.report.skeleton import fill
from netcaliper.report.study_tables import cell_tables, claim_rows

MOST_ROWS = 300
"""Cells of one table; ``study.json`` has them all."""


@dataclass(frozen=True)
class Drawn:
    """A figure of the study with its charts.

    Attributes:
        figure: as numbers.
        charts: one, or one a panel or network.
        behind: the cells it is made of, in words.
    """

    figure: StudyFigure
    charts: tuple[Figure, ...]
    behind: str


@dataclass(frozen=True)
class Family:
    """The cells of a family.

    Attributes:
        table: one row a cell.
        words: how many there are, done, failed and missing.
        failed: those that failed.
    """

    table: Table
    words: str
    failed: tuple[StudyCell, ...]


def render(reading: StudyReading) -> str:
    """Render a study as one HTML page without any outside reference; every word of it is escaped."""
    drawn = [_drawn(figure) for figure in reading.figures]
    return fill(
        "study.html",
        [chart for one in drawn for chart in one.charts],
        kind="study",
        title=reading.name,
        data=reading.scale,
        headline=headline(reading),
        lead=lead(reading),
        keys=_keys(reading),
        warnings=warnings(reading),
        claims=claim_rows(reading),
        drawn=drawn,
        families=_families(reading),
        command=reading.command,
        most=MOST_ROWS,
        facts=_facts(reading),
    )


def _drawn(figure: StudyFigure) -> Drawn:
    return Drawn(figure, draw_figure(figure, "container"), study_lines.summary(figure))


def _keys(reading: StudyReading) -> list[dict[str, str]]:
    claims = len(reading.claims)
    done, failed, missing = (reading.counted(status) for status in ("done", "failed", "missing"))
    lacking = [f"{count(failed)} failed"] if failed else []
    lacking += [f"{count(missing)} not computed yet"] if missing else []
    return [
        _key("Hold", reading.judged("holds"), f"of {plural(claims, 'claim')}"),
        _key("Contradicted", reading.judged("contradicted"), "the interval lies on the other side"),
        _key("Undecided", reading.judged("undecided"), "across the threshold, or too little"),
        _key("Cells done", done, f"of {count(done + failed + missing)}" + "".join(f", {one}" for one in lacking)),
    ]


def _key(label: str, value: int, note: str) -> dict[str, str]:
    return {"label": label, "value": count(value), "note": note}


def _families(reading: StudyReading) -> list[Family]:
    found = []
    for table in cell_tables(reading):
        own = [cell for cell in reading.cells if cell.family == table.title]
        counts = [(status, sum(cell.status == status for cell in own)) for status in ("done", "failed", "missing")]
        said = ", ".join(f"{count(number)} {status}" for status, number in counts if number)
        failed = tuple(cell for cell in own if cell.status == "failed")
        found.append(Family(table, f"{plural(len(own), 'cell')}: {said}", failed))
    return found


def _facts(reading: StudyReading) -> list[tuple[str, str]]:
    return [
        ("Study", f"{reading.name}, scale {reading.scale}"),
        *([("Paper", reading.paper)] if reading.paper else []),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(reading.versions.items()))),
        ("Schema", str(reading.schema_version)),
    ]
