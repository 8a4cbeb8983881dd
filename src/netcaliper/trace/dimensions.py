"""From rows on values and parameters to dimensions: what shares rows, and which of them can go."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from netcaliper.trace.export import Exported
from netcaliper.trace.groups import components
from netcaliper.trace.ids import Ids
from netcaliper.trace.program import Program
from netcaliper.trace.row_flow import RowFlow, tensor_key
from netcaliper.trace.site import Consumer, Site
from netcaliper.trace.structure import Dimension, Holder, Role, Structure

Line = Int[np.ndarray, " size"]
Key = TypeVar("Key")

_NOTHING = "nothing makes them that could be cut"
_ALONE = "there is only one that could go"


def structure_of(model: nn.Module, exported: Exported, inputs: Sequence[Any], sites: Sequence[Site]) -> Structure:
    """Find the dimensions of a network.

    Args:
        model: the module that was traced.
        exported: what torch made of it.
        inputs: an example for the graph's inputs, in their order.
        sites: of the traced graph.
    """
    program = Program(exported.program, {})
    flow = RowFlow(model, program)
    program.run(inputs, keep=flow.visit)
    flow.finish()
    return _Assembly(model, flow, sites).structure()


class _Assembly:
    """All lines of rows as classes, once all ties are known; -1 for an entry of no unit."""

    def __init__(self, model: nn.Module, flow: RowFlow, sites: Sequence[Site]) -> None:
        self._flow = flow
        made = [rows for _, rows in flow.made]
        self._made_rows = torch.unique(torch.cat(made)) if made else torch.empty(0, dtype=torch.int64)
        self._column_rows = torch.cat(flow.columns) if flow.columns else torch.empty(0, dtype=torch.int64)
        self._units = flow.rows.classes.find(self._made_rows).unique()
        self._site = {site.name: site for site in sites}
        self._made = _Lines((name, self._classes(rows)) for name, rows in flow.made)
        self._axes = _Lines((key, self._classes(rows)) for key, rows in flow.axis_rows.items())
        self._sites = _Lines((site.name, self._of_site(site)) for site in sites)
        self._reads = _Lines((read, self._classes(read.rows)) for read in flow.read)
        self._heads = _Lines((heads.name, self._classes(heads.rows)) for heads in flow.heads)
        self._norms = _Lines((norm, self._classes(rows)) for norm, rows in flow.norms)
        self._why = self._frozen()
        names: dict[tuple[object, ...], list[str]] = {}
        for name, tensor in [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]:
            names.setdefault(tensor_key(tensor), []).append(name)
        self._tied = {name: tuple(tied) for tied in names.values() for name in tied}

    def _classes(self, rows: Ids) -> Line:
        found = self._flow.rows.classes.find(rows.reshape(-1))
        return torch.where(torch.isin(found, self._units), found, -1).numpy()

    def _of_site(self, site: Site) -> Line:
        carried = self._flow.values.get(site.node)
        layer = None if carried is None or isinstance(carried, list) else carried.along(site.axis)
        if layer is None or layer.axes != {site.axis}:
            return np.full(site.units, -1)
        return self._classes(layer.ids)

    def _frozen(self) -> dict[int, str]:
        """Return for every class that cannot go the first reason."""
        why: dict[int, str] = {}

        def freeze(classes: np.ndarray, reason: str) -> None:
            for one in np.unique(classes[classes >= 0]).tolist():
                why.setdefault(one, reason)

        for rows, reason in self._flow.rows.frozen:
            freeze(self._classes(rows), reason)
        of_heads = np.unique(np.concatenate([*(line for _, line in self._heads.lines), np.empty(0, dtype=np.int64)]))
        for rows, where in self._flow.cutting.split:
            freeze(np.setdiff1d(self._classes(rows), of_heads), f"{where} splits the axis along which they lie")
        for whole, parts, where in self._flow.cutting.sliced.values():
            classes = np.unique(self._classes(whole))
            if any(not np.isin(classes, self._classes(part)).all() for part in parts):
                freeze(classes, f"{where} takes a part of them by its place")
        return why

    def structure(self) -> Structure:
        """Return the dimensions, in the order in which the graph makes their units."""
        tables = (self._made, self._axes, self._sites, self._reads, self._heads, self._norms)
        _, home = components([np.unique(line[line >= 0]) for table in tables[:-1] for _, line in table.lines])
        for table in tables:
            table.sort(home)
        dimensions: list[Dimension] = []
        refused: dict[str, str] = {}
        members: dict[int, list[int]] = {}
        for one, where in home.items():
            members.setdefault(where, []).append(one)
        for where, component in sorted(members.items(), key=lambda item: min(item[1])):
            found = self._dimension(where, sorted(component), {each.name for each in dimensions})
            if isinstance(found, Dimension):
                dimensions.append(found)
            else:
                refused |= found
        for name, line in self._sites.lines:
            if not (line >= 0).any():
                carried = self._flow.values.get(self._site[name].node)
                lost = "" if carried is None or isinstance(carried, list) else carried.lost
                refused.setdefault(name, lost or _NOTHING)
        for heads in self._flow.heads:
            if not bool((heads.rows >= 0).any()):
                refused.setdefault(heads.name, heads.lost)
        order = [name for table in (self._sites, self._heads) for name, _ in table.lines]
        return Structure(tuple(dimensions), tuple((name, refused[name]) for name in order if name in refused))

    def _dimension(self, where: int, component: list[int], taken: set[str]) -> Dimension | dict[str, str]:
        """Return the dimension that classes make up, or the names of what lies in it with the reason against it."""
        sites, heads, makers = self._sites.of(where), self._heads.of(where), self._made.of(where)
        streams = [name for name, _ in sites if self._site[name].kind == "stream"]
        kind = "stream" if streams else "heads" if heads else "inner"
        name = streams[0] if streams else (heads or sites or makers)[0][0]
        name = f"{name} (rows)" if name in taken else name
        first = (heads if kind == "heads" else sites or makers)[0][1]
        unit = _numbering(first, component)
        frozen = np.array([one in self._why for one in unit])
        reasons = [self._why[one] for one in unit if one in self._why]
        if streams and heads:
            frozen[:] = True
            reasons.append("they are heads of an attention and in a residual stream at once")
        consumers = tuple(
            Consumer(r.name, r.op, r.weight, _mapped(line, unit), r.through, r.node, r.operand)
            for r, line in self._reads.of(where)
        )
        if not consumers or frozen.all() or len(unit) < 2:
            why = _told(reasons) if frozen.all() else "nothing with a weight reads them" if not consumers else _ALONE
            return dict.fromkeys([name for name, _ in (*sites, *heads)], why)
        return Dimension(
            name=name,
            kind=kind,
            units=len(unit),
            holders=tuple(
                Holder(self._tied[name], axis, self._role(name, axis), _mapped(line, unit))
                for (name, axis), line in self._axes.of(where)
            ),
            consumers=consumers,
            sites={name: _mapped(line, unit) for name, line in sites},
            norms=tuple(replace(norm, unit=_mapped(line, unit)) for norm, line in self._norms.of(where)),
            frozen=frozen,
            why_frozen=_told(reasons),
        )

    def _role(self, name: str, axis: int) -> Role:
        rows = self._flow.axis_rows[name, axis]
        if bool(torch.isin(rows, self._column_rows).any()):
            return "column"
        return "row" if bool(torch.isin(rows, self._made_rows).any()) else "ride"


class _Lines(Generic[Key]):
    """Lines of classes by what they belong to, and the component in which each lies."""

    def __init__(self, lines: Iterable[tuple[Key, Line]]) -> None:
        self.lines = list(lines)
        self._of: dict[int, list[tuple[Key, Line]]] = {}

    def sort(self, home: Mapping[int, int]) -> None:
        """Sort the lines by component; the classes of a line are all in one."""
        for key, line in self.lines:
            if (line >= 0).any():
                self._of.setdefault(home[int(line.max())], []).append((key, line))

    def of(self, where: int) -> list[tuple[Key, Line]]:
        """Return what lies in a component."""
        return self._of.get(where, [])


def _numbering(first: Line, component: Sequence[int]) -> dict[int, int]:
    """Count the units in the order in which they lie in one place, then the others."""
    order = dict.fromkeys([*first[first >= 0].tolist(), *component])
    return {one: number for number, one in enumerate(order)}


def _mapped(line: Line, unit: Mapping[int, int]) -> Line:
    classes, place = np.unique(line, return_inverse=True)
    return np.array([unit.get(one, -1) for one in classes.tolist()], dtype=np.int64)[place]


def _told(reasons: Sequence[str]) -> str:
    different = list(dict.fromkeys(reasons))
    more = f"; and {len(different) - 3} more reasons" if len(different) > 3 else ""
    return "; ".join(different[:3]) + more
