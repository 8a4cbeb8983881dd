"""What a study file says about claims and figures: pydantic models that refuse what could not be tested.

A claim is one number for each repetition, read from the rows that ``where`` selects, and a threshold that is fixed
before the runs. How the numbers are made is in ``netcaliper.study.claims.judge`` and ``docs/studies.md``.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Statistic = Literal["mean", "growth", "slope", "rank", "gap", "core", "flat", "reported"]

Scalar = bool | int | float | str


def _meetable(where: dict[str, Any]) -> dict[str, Any]:
    """Return conditions as they are; refuse those that nothing can meet."""
    for column, wanted in where.items():
        if wanted == []:
            raise ValueError(f"`where.{column}` = [] selects nothing; name values or leave it out")
        if any(
            isinstance(one, float) and math.isnan(one) for one in (wanted if isinstance(wanted, list) else [wanted])
        ):
            raise ValueError(f"`where.{column}` = nan equals nothing, not even itself; name a value")
    return where


Where = Annotated[dict[str, Scalar | list[Scalar]], AfterValidator(_meetable)]
"""Conditions by column: equal to a value, or one of a list; ``ANY`` lifts one that it is laid over."""

ANY = "any"

ALONG: tuple[Statistic, ...] = ("growth", "slope", "rank", "gap", "core")
"""Statistics of a curve: what they read runs ``along`` another column."""

LOGARITHMIC: tuple[Statistic, ...] = ("growth",)
"""Statistics whose differences are ratios."""


class Part(BaseModel):
    """Base of the parts of a study file: immutable, unknown keys are an error, 3 is no text and "3" no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Span(Part):
    """A condition on numbers: what was measured picks the networks that can be asked at all.

    Attributes:
        above, below: the number lies strictly beyond; at least one.
    """

    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _ends(self) -> "Span":
        if self.above is None and self.below is None:
            raise ValueError("an empty condition; give `above`, `below` or both")
        if self.above is not None and self.below is not None and not self.above < self.below:
            raise ValueError(
                f"no number is above {self.above:g} and below {self.below:g}; give the lower end as `above`"
            )
        return self

    def __contains__(self, number: object) -> bool:
        """Tell whether a value is a number that lies there."""
        if not isinstance(number, int | float) or isinstance(number, bool):
            return False
        return (self.above is None or number > self.above) and (self.below is None or number < self.below)

    def __str__(self) -> str:
        ends = (("above", self.above), ("below", self.below))
        return " and ".join(f"{name} {end:g}" for name, end in ends if end is not None)


Conditions = Annotated[dict[str, Scalar | list[Scalar] | Span], AfterValidator(_meetable)]
"""Conditions on rows by column: as in ``Where``, or a number that lies in a span."""


class Selection(Part):
    """Rows of the table.

    Attributes:
        where: conditions, laid over those of the claim.
    """

    where: Conditions


class Change(Part):
    """What a second reading of the same statistic does differently.

    Attributes:
        where: conditions, laid over those of the claim.
        column: another column in place of the claim's.
        statistic: the mean of the column in place of a ``core``.
    """

    where: Conditions = Field(default_factory=dict)
    column: str | None = None
    statistic: Literal["mean"] | None = None

    @model_validator(mode="after")
    def _changes(self) -> "Change":
        if not self.where and self.column is None:
            raise ValueError("changes nothing: the difference would be 0; give `where` or `column`")
        return self


class PaperValue(Part):
    """What a paper reports.

    Attributes:
        value: the number.
        where: figure, table or page.
        verified: somebody read it in the source; only then it is shown.
    """

    value: float
    where: str = Field(min_length=1)
    verified: bool


class Claim(Part):
    """A sentence that the table is asked.

    Attributes:
        name: unique in the study.
        sentence: what is claimed, for readers.
        statistic: the number a repetition gives.
        column: what is read.
        along: the column that a curve runs along.
        where: conditions on rows; only final rows count unless ``epoch`` is named (here, or as ``along``).
        minus: the same statistic with these changes, subtracted repetition by repetition.
        over: the same, divided.
        above, below, within: the threshold; exactly one.
        beside_twin: the statistic of the trained network must also lie on the claimed side of its twin's.
        seeds: least number of repetitions.
        per: the column whose values are the repetitions.
        drop: of ``core``: how far ``column`` may fall below the reference.
        reference: of ``core``: rows of what nothing was taken from.
        why: the null hypothesis, and what would contradict the claim.
        revised: what was added or changed after results had been seen, and why; empty if all was written before.
        paper: what the paper reports.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    sentence: str = Field(min_length=1)
    statistic: Statistic
    column: str = Field(min_length=1)
    along: str | None = None
    where: Conditions = Field(default_factory=dict)
    minus: Change | None = None
    over: Change | None = None
    above: float | None = None
    below: float | None = None
    within: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    beside_twin: bool = False
    seeds: int = Field(default=3, ge=2)
    per: str = Field(default="seed", min_length=1)
    drop: float | None = Field(default=None, gt=0)
    reference: Selection | None = None
    why: str = ""
    revised: str = ""
    paper: PaperValue | None = None

    @property
    def change(self) -> Change | None:
        """What the second reading does differently, if there is one."""
        return self.minus or self.over

    @property
    def claimed(self) -> tuple[float | None, float | None]:
        """From where to where the claim lies; ``None`` without an end."""
        return (self.within[0], self.within[1]) if self.within is not None else (self.above, self.below)

    @property
    def runs_along(self) -> str | None:
        """The column that the curve runs along; of ``flat`` epochs, where it names none."""
        return "epoch" if self.statistic == "flat" and self.along is None else self.along

    @property
    def logarithmic(self) -> bool:
        """Whether numbers are averaged as logarithms."""
        return self.over is not None or self.statistic in LOGARITHMIC

    @model_validator(mode="after")
    def _together(self) -> "Claim":
        problem = (
            self._threshold_problem() or self._statistic_problem() or self._core_problem() or self._second_problem()
        )
        if problem:
            raise ValueError(f"claim {self.name!r}: {problem}")
        return self

    def _threshold_problem(self) -> str | None:
        given = [name for name in ("above", "below", "within") if getattr(self, name) is not None]
        if len(given) != 1:
            what = " and ".join(f"`{name}`" for name in given) or "none"
            return f"needs exactly one of `above`, `below` and `within`, got {what}; the threshold is fixed before runs"
        if self.within is not None and not self.within[0] < self.within[1]:
            return f"`within` must rise, got {self.within}; give the lower end first"
        if self.statistic in LOGARITHMIC and min(self.within or [self.above or self.below or 0.0]) <= 0:
            return f"a {self.statistic} is a factor above 0, and so must be its threshold; 1 means no change"
        return None

    def _statistic_problem(self) -> str | None:
        if self.statistic in ALONG and self.along is None:
            return f"`{self.statistic}` reads a curve; give the column it runs `along`"
        if self.statistic not in (*ALONG, "flat") and self.along is not None:
            return f"`{self.statistic}` reads no curve; leave `along` = {self.along!r} out"
        if self.along == self.column:
            return f"`along` is {self.along!r}, the `column` itself; name two columns"
        return None

    def _core_problem(self) -> str | None:
        if self.statistic == "core":
            if self.reference is None:
                return "`core` needs `reference = { where = {...} }`: the rows of what nothing was taken from"
            return None
        given = [name for name in ("drop", "reference") if getattr(self, name) is not None]
        return f"`{given[0]}` belongs to the statistic `core`, not to `{self.statistic}`" if given else None

    def _second_problem(self) -> str | None:
        if self.minus is not None and self.over is not None:
            return "`minus` and `over` exclude each other; give one"
        if self.statistic == "gap" and self.minus is None:
            return "a `gap` lies between two curves; give the other one as `minus = { where = {...} }`"
        if self.statistic == "gap" and self.beside_twin:
            return "a `gap` has no twin of its own; give the twin's column as `minus = { column = 'twin_...' }`"
        if self.statistic == "reported":
            given = [name for name in ("minus", "over") if getattr(self, name) is not None]
            given += ["beside_twin"] if self.beside_twin else []
            if given:
                return f"`reported` takes one row with its own interval; `{given[0]}` would need repetitions"
        if self.change is not None and self.change.statistic and self.statistic != "core":
            return f"only a `core` can be set against a mean, not a `{self.statistic}`; leave that `statistic` out"
        if self.beside_twin and self.within is not None:
            return "`beside_twin` needs a direction; give `above` or `below` instead of `within`"
        return None


class _FigureBase(Part):
    """What all figures have.

    Attributes:
        name: unique in the study, a file name.
        title: what is drawn, as a phrase.
        answers: the figure of the paper that it answers.
        where: conditions on rows, as in claims.
        caption: how to read it.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    title: str = Field(min_length=1)
    answers: str = ""
    where: Conditions = Field(default_factory=dict)
    caption: str = ""


def _ordered(ends: list[float]) -> list[float]:
    if not ends[0] < ends[1]:
        raise ValueError(f"`bounds` must rise, got {ends}; give the lower end first")
    return ends


Bounds = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ordered)]


class LinesFigure(_FigureBase):
    """Means with t intervals over repetitions, as lines.

    Attributes:
        x, y: columns.
        color: one line for each value of this column.
        panels: one panel for each value of this column.
        twin: also draw ``twin_`` + y, dashed.
        bounds: least and largest value that y can have; intervals are cut to them. ``[0, 1]`` for a share.
        per: the column whose values are the repetitions.
        log: axes with a logarithmic scale (base 2).
    """

    kind: Literal["lines"]
    x: str
    y: str
    color: str | None = None
    panels: str | None = None
    twin: bool = False
    bounds: Bounds | None = None
    per: str = "seed"
    log: list[Literal["x", "y"]] = Field(default_factory=list)


class MapsFigure(_FigureBase):
    """CKA matrices of the layers of single networks, laid out by two columns.

    Attributes:
        rows, columns: columns of the table whose values lay the matrices out.
        seed: the seed that is shown.
    """

    kind: Literal["maps"]
    columns: str
    rows: str | None = None
    seed: int = 0


class ProfileFigure(_FigureBase):
    """A number of every site in the order of the network, as lines.

    Attributes:
        column: what stands before the site in the names of columns, with its colon: ``"prunable:"``.
        color: one line for each value of this column.
        panels: one panel for each value of this column.
        twin: also draw ``twin_`` + column, dashed.
        bounds: as of lines.
        per: the column whose values are the repetitions.
    """

    kind: Literal["profile"]
    column: str = Field(pattern=r".+:$")
    color: str | None = None
    panels: str | None = None
    twin: bool = False
    bounds: Bounds | None = None
    per: str = "seed"


FigureSpec = Annotated[LinesFigure | MapsFigure | ProfileFigure, Field(discriminator="kind")]
