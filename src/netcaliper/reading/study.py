"""What a study leaves behind: its claims with their verdicts, its figures as numbers, and its cells.

On disk it is ``study.json`` in the folder of the study, without times, so that equal studies are equal bytes.
"""

from typing import Literal

from pydantic import Field

from netcaliper.reading.layers import Block
from netcaliper.reading.schema import Record

STUDY_VERSION = 1

Verdict = Literal["holds", "contradicted", "undecided"]
Plain = bool | int | float | str | None


class Effect(Record):
    """A number with its interval.

    Attributes:
        value: the mean over repetitions (of a growth ``2^mean s``, of a ratio the geometric mean).
        low, high: its 95 % interval; ``None`` where there is none, and the claim says why.
    """

    value: float
    low: float | None = None
    high: float | None = None


class PaperResult(Record):
    """What a paper reports, read in the source.

    Attributes:
        value: the number.
        where: figure, table or page.
    """

    value: float
    where: str


class ClaimResult(Record):
    """What the table says about a claim.

    Attributes:
        name: of the claim.
        sentence: what is claimed.
        why: the null hypothesis and what would contradict it.
        revised: what was added or changed after results had been seen, and why; empty if all was written before.
        reads: what was read, in words: statistic, columns and conditions.
        verdict: ``holds`` if the whole interval lies on the claimed side of the threshold (and, if asked, of the
            twin's), ``contradicted`` if it lies on the other side, ``undecided`` otherwise.
        effect: the number; ``None`` where it could not be computed.
        unit: what the number is: ``"g"``, ``"ratio of g"``, ``"ratio"``, ``"rho"``, ``"a doubling"`` or empty.
        interval: what the interval is, in words.
        repetitions: how many repetitions the effect is made of; of what a comparison reports, how many networks.
        values: by repetition its number (of ``core``: the core without it).
        left_out: repetitions that gave no number, and why.
        threshold: in words, e.g. ``"above 2"``.
        least, most: from where to where the claim lies; ``None`` without an end.
        beside_twin: whether the claim asks for more than the untrained twin shows.
        twin: the same of the trained network minus (or over) its untrained twin; ``None`` if there is none.
        paper: what the paper reports, only if somebody verified it.
        reason: why it is undecided, or what contradicts it.
        cells, cells_missing, cells_failed: how many cells it reads, how many of them are not done, and failed.
    """

    name: str
    sentence: str
    why: str = ""
    revised: str = ""
    reads: str
    verdict: Verdict
    effect: Effect | None = None
    unit: str = ""
    interval: str = ""
    repetitions: int = 0
    values: dict[str, float] = Field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    threshold: str
    least: float | None = None
    most: float | None = None
    beside_twin: bool = False
    twin: Effect | None = None
    paper: PaperResult | None = None
    reason: str | None = None
    cells: int = 0
    cells_missing: int = 0
    cells_failed: int = 0


class Point(Record):
    """A point of a line: the mean over repetitions.

    Attributes:
        x: where; a site's name in a profile.
        y: the mean.
        low, high: its 95 % interval over repetitions; ``None`` with one.
        repetitions: how many.
        color, panel: values of the columns that part the lines.
        twin: of the untrained twin.
    """

    x: float | str
    y: float
    low: float | None = None
    high: float | None = None
    repetitions: int
    color: Plain = None
    panel: Plain = None
    twin: bool = False


class Map(Record):
    """The CKA matrix of one network, small enough for a page.

    Attributes:
        cell: whose reading it is.
        row, column: where it stands.
        matrix: means over bins of neighboring layers; ``None`` for gaps.
        names: of the bins.
        layers: how many layers there are.
        blocks: block structures; first and last are bins.
    """

    cell: str
    row: Plain = None
    column: Plain = None
    matrix: tuple[tuple[float | None, ...], ...]
    names: tuple[str, ...]
    layers: int
    blocks: tuple[Block, ...] = ()


class StudyFigure(Record):
    """A figure as numbers.

    Attributes:
        name: unique in the study.
        title: what is drawn.
        answers: the figure of the paper it answers.
        caption: how to read it.
        kind: ``lines``, ``profile`` or ``maps``.
        x, y, color, panel: names of the columns; of maps ``panel`` is that of the rows and ``color`` is not used.
        log: axes with a logarithmic scale.
        points: of lines and profiles.
        maps: of maps.
        reason: why there is nothing to draw, or what is left out.
        cells, cells_missing, cells_failed: how many cells it reads, how many of them are not done, and failed.
    """

    name: str
    title: str
    answers: str = ""
    caption: str = ""
    kind: Literal["lines", "profile", "maps"]
    x: str = ""
    y: str = ""
    color: str = ""
    panel: str = ""
    log: tuple[Literal["x", "y"], ...] = ()
    points: tuple[Point, ...] = ()
    maps: tuple[Map, ...] = ()
    reason: str | None = None
    cells: int = 0
    cells_missing: int = 0
    cells_failed: int = 0


class StudyCell(Record):
    """A cell.

    Attributes:
        name: of its folder.
        kind: ``train``, ``bend`` or ``compare``.
        family: name of the family, bend or comparison.
        columns: what the study file says of it.
        status: ``done``, ``failed`` or ``missing`` (not computed yet).
        numbers: of its final row, those that claims and figures read, and how well it does.
        error: of a failed one, in words.
    """

    name: str
    kind: Literal["train", "bend", "compare"]
    family: str
    columns: dict[str, Plain] = Field(default_factory=dict)
    status: Literal["done", "failed", "missing"]
    numbers: dict[str, Plain] = Field(default_factory=dict)
    error: str | None = None


class StudyReading(Record):
    """A study.

    Attributes:
        title, paper, about: as in the study file.
        name: of the study file.
        scale: ``tiny``, ``small``, ``paper`` or another of the file.
        command: what runs it.
        versions: of netcaliper and what computes.
        claims, figures, cells: in the order of the file, and of the grid.
        schema_version: of this record.
    """

    title: str
    paper: str = ""
    about: str = ""
    name: str
    scale: str
    command: str
    versions: dict[str, str] = Field(default_factory=dict)
    claims: tuple[ClaimResult, ...] = ()
    figures: tuple[StudyFigure, ...] = ()
    cells: tuple[StudyCell, ...] = ()
    schema_version: int = STUDY_VERSION

    def counted(self, status: Literal["done", "failed", "missing"]) -> int:
        """Return how many cells have a status; a cell that stands in several families counts once."""
        return len({cell.name for cell in self.cells if cell.status == status})

    def judged(self, verdict: Verdict) -> int:
        """Return how many claims have a verdict."""
        return sum(claim.verdict == verdict for claim in self.claims)
