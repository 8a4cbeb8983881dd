"""A study file: what is trained, bent and compared, what is read and when, and what is claimed of it.

``netcaliper.study.file.schema.load_study`` reads one; ``docs/studies.md`` explains it.
"""

from typing import Any, Literal

from pydantic import Field

from netcaliper.study.claims.claim_schema import Claim, FigureSpec, Part, Where
from netcaliper.study.file.axes import SEED, Axis, Point, placed

Read = dict[str, dict[str, Any]]
"""Readers by name, with their options."""

LIMIT = 500


class DataSet(Part):
    """Data that families train on.

    Attributes:
        spec: as on the command line; ``{folder}`` in it is filled in, and is not part of what a cell is.
        folder: what ``{folder}`` stands for, relative to the current directory.
    """

    spec: str = Field(min_length=1)
    folder: str | None = None


class Training(Part):
    """One point of a family.

    Attributes:
        model: ``zoo:NAME``, ``timm:NAME`` or ``package.module:factory``.
        arguments: of the model.
        data: name of a data set.
        options: of the data, in place of what its spec says.
        batch_size: before ``recipe["scale"]``.
        recipe: fields of ``netcaliper.fit.recipe.Recipe`` but its seed, and ``scale``.
        updates: instead of ``recipe["epochs"]``, the least number of updates.
        read: readers by name, with their options.
    """

    model: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    data: str
    options: dict[str, Any] = Field(default_factory=dict)
    batch_size: int = Field(default=128, ge=1)
    recipe: dict[str, Any] = Field(default_factory=dict)
    updates: int | None = Field(default=None, ge=1)
    read: Read = Field(default_factory=dict)


class Bend(Part):
    """One point of the bendings of a family.

    Attributes:
        of: the family.
        start: epoch of its training from which the copy is bent; 0 is untrained.
        choose: which units: learned, as many random ones, or one alpha a site.
        omega: weight of the penalty; 0 trains as long and bends nothing.
        penalty: epochs with the penalty.
        final: epochs after it.
        alpha_rate: learning rate of the alphas over that of the weights.
        proximal: the penalty as a proximal step, for optimizers that rescale gradients (Adam).
        read: readers by name, with their options.
    """

    of: str
    start: int = Field(default=0, ge=0)
    choose: Literal["learned", "random", "layer"] = "learned"
    omega: float = Field(ge=0)
    penalty: int = Field(ge=1)
    final: int = Field(ge=0)
    alpha_rate: float = Field(default=10.0, gt=0)
    proximal: bool = False
    read: Read = Field(default_factory=dict)


class Comparison(Part):
    """Comparisons of trained networks, one for each point of the axes that are neither ``across`` nor ``groups``.

    Attributes:
        of: families.
        across: the axis in which the members of a group differ.
        groups: the column whose values are the groups of one comparison; ``"family"`` is one, too.
        where: conditions on columns, of the networks that take part.
        read: readers by name, with their options.
    """

    of: list[str] = Field(min_length=1)
    across: str = SEED
    groups: str | None = None
    where: Where = Field(default_factory=dict)
    read: Read = Field(min_length=1)


class Grid(Part):
    """A family, or bendings of one, before a point is chosen.

    Attributes:
        table: what the file says, without its axes.
        axes: in the order of the file.
    """

    table: dict[str, Any]
    axes: tuple[Axis, ...]

    def training(self, point: Point) -> Training:
        """Return one point of a family."""
        return Training.model_validate(placed(self.table, point.settings))

    def bend(self, point: Point) -> Bend:
        """Return one point of bendings."""
        return Bend.model_validate(placed(self.table, point.settings))


class Study(Part):
    """A study at one scale; ``netcaliper.study.file.grid.cells`` makes its cells.

    Attributes:
        title, paper, about: for readers.
        name: of the file, without its ending.
        scale: which one was laid over it; empty for none.
        limit: number of cells above which one is asked first.
        data, families, bends, comparisons: by name.
        claims, figures: in the order of the file.
    """

    title: str = Field(min_length=1)
    paper: str = ""
    about: str = ""
    name: str
    scale: str
    limit: int = Field(default=LIMIT, ge=1)
    data: dict[str, DataSet] = Field(min_length=1)
    families: dict[str, Grid] = Field(min_length=1)
    bends: dict[str, Grid] = Field(default_factory=dict)
    comparisons: dict[str, Comparison] = Field(default_factory=dict)
    claims: list[Claim] = Field(default_factory=list)
    figures: list[FigureSpec] = Field(default_factory=list)
