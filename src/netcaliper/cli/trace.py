"""``netcaliper trace``: where the units of a network live, which weights read them, what must change together."""

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netcaliper.cli.options import DATA_HELP, MODEL_HELP, Json, TrustPickle, Weights
from netcaliper.cli.printing import say, say_json
from netcaliper.errors import InputError
from netcaliper.reading.numerals import count, percent, plural
from netcaliper.report.text import printable

if TYPE_CHECKING:
    from netcaliper.specs.loaded import LoadedModel
    from netcaliper.trace.graph import Graph
    from netcaliper.trace.site import Site

EXAMPLE_FORM = "a batch as `2,3,32,32`, or `int64:2,128` for tokens"
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32")
LARGEST = 2**28
MOST_MEMBERS = 6
PATH_NOTES = {"bilinear": "both operands followed at", "skipped": "counted, though no site"}


def trace(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")],
    data: Annotated[str | None, typer.Option(help=f"Trace with its first batch: {DATA_HELP}", metavar="SPEC")] = None,
    example: Annotated[
        str | None,
        typer.Option(help=f"Trace with {EXAMPLE_FORM}. Only factories do not know their own.", metavar="SHAPE"),
    ] = None,
    weights: Weights = None,
    trust_pickle: TrustPickle = False,
    as_json: Json = False,
) -> None:
    """Show the sites of a network: units, what reads them, coupled groups, and what was refused and why.

    A unit is one scalar channel of an activation; a site is a place in the network where units live. Nothing is trained
    or measured: only one example is run, to check that the graph computes what the network computes.
    """
    if data is not None and example is not None:
        raise InputError("`--data` and `--example` both say what to trace with; give one of them.")
    if example is not None:
        parse_shape(example)

    from netcaliper.specs.model import load_model
    from netcaliper.trace.trace import trace as traced

    loaded = load_model(model, weights, trust_pickle=trust_pickle)
    graph = traced(loaded.model, _batch(loaded, data, example), name=loaded.name)
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    if as_json:
        say_json(facts(graph, parameters))
    else:
        _show(graph, parameters)


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Read ``2,3,32,32`` or ``int64:2,128`` as a dtype's name and a shape.

    Raises:
        InputError: it is not a shape, names an unknown dtype, or would not fit into memory.
    """
    dtype, colon, sizes = text.rpartition(":")
    dtype = dtype if colon else "float32"
    if dtype not in DTYPES:
        raise InputError(f"`--example` {text!r} names the dtype {dtype!r}; use one of {', '.join(DTYPES)}.")
    parts = sizes.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and part.strip().isascii() and len(part.strip()) < 10 for part in parts):
        raise InputError(f"`--example` must be {EXAMPLE_FORM}, got {text!r}.")
    shape = tuple(int(part) for part in parts)
    if min(shape) < 1 or int(np.prod(np.array(shape, dtype=object))) > LARGEST:
        raise InputError(f"`--example` must have sizes of at least 1 and at most {LARGEST:,} values, got {text!r}.")
    return dtype, shape


def facts(graph: "Graph", parameters: int) -> dict[str, Any]:
    """Return everything that the table shows as plain data."""
    return {
        "model": graph.name,
        "parameters": parameters,
        "totals": _totals(graph),
        "path_length": _lengths(graph),
        "sites": [_site_facts(site) for site in graph.sites],
        "groups": [
            {
                "name": group.name,
                "units": group.units,
                "frozen": group.frozen,
                "sites": group.sites,
                "producers": group.producers,
                "consumers": group.consumers,
            }
            for group in graph.groups
        ],
        "skipped": [{"name": name, "reason": reason} for name, reason in graph.skipped],
        "dynamic_batch": graph.dynamic_batch,
        "static_reason": graph.static_reason,
        "replay": graph.replay,
    }


def _batch(loaded: "LoadedModel", data: str | None, example: str | None) -> Any:
    """Return the batch to trace with."""
    import torch

    from netcaliper.fit.seeds import seeded
    from netcaliper.specs.data import load_data
    from netcaliper.trace.batches import first_batch

    if data is not None:
        batches = load_data(data, model=loaded)
        first_batch(batches)
        return next(iter(batches))
    if example is not None:
        name, shape = parse_shape(example)
        dtype = getattr(torch, name)
    elif loaded.example_batch is not None:
        return loaded.example_batch()
    elif loaded.example_shape is not None:
        dtype, shape = torch.float32, (2, *loaded.example_shape)
    else:
        raise InputError(
            f"`model` {loaded.name!r} does not say what it takes; give --data SPEC, or --example SHAPE: {EXAMPLE_FORM}."
        )
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype)  # 0 is a token in every vocabulary
    with seeded(0):
        return torch.randn(shape).to(dtype)


def _site_facts(site: "Site") -> dict[str, Any]:
    return {
        "name": site.name,
        "kind": site.kind,
        "op": site.op,
        "units": site.units,
        "group": site.group,
        "consumers": [
            {
                "name": consumer.name,
                "op": consumer.op,
                "weight": consumer.weight,
                "columns": _columns(consumer.unit_of_column),
                "units": len(np.unique(consumer.unit_of_column[consumer.unit_of_column >= 0])),
                "through": consumer.through,
            }
            for consumer in site.consumers
        ],
        "readers": site.readers,
        "barriers": site.barriers,
        "refused": site.refused,
    }


def _totals(graph: "Graph") -> dict[str, Any]:
    """Count sites, units (every producer row once) and the share of units whose consumers are all known."""
    rows: set[tuple[int, int]] = set()
    for number, site in enumerate(graph.sites):
        rows |= {(-1, int(row)) if row >= 0 else (number, unit) for unit, row in enumerate(site.rows_of_units)}
    at_sites = sum(site.units for site in graph.sites)
    resolved = sum(site.units for site in graph.sites if site.refused is None)
    return {
        "sites": len(graph.sites),
        "units": len(rows),
        "units_at_sites": at_sites,
        "resolved_units_at_sites": resolved,
        "resolved_share": resolved / at_sites if at_sites else None,
    }


def _lengths(graph: "Graph") -> dict[str, Any]:
    """Return the path lengths on paper, or the reason why there are none."""
    from netcaliper.measure.path_length import path_length

    try:
        found = path_length(graph)
    except InputError as refused:
        return {"normalized": None, "mean": None, "reason": str(refused)}
    return {
        "normalized": found.normalized,
        "mean": found.mean,
        "reason": None,
        "histogram": found.histogram,
        "profile": found.profile,
        "bilinear": found.bilinear,
        "skipped": found.skipped,
        "not_counted": found.not_counted,
    }


def _columns(unit_of_column: np.ndarray) -> int:
    return int(np.count_nonzero(unit_of_column >= 0))


def _show(graph: "Graph", parameters: int) -> None:
    totals = _totals(graph)
    say(Text(printable(graph.name), style="bold"), "")
    if graph.sites:
        say(_table(graph), "")
    say(
        f"{count(parameters)} parameters, {plural(totals['sites'], 'site')}, {plural(totals['units'], 'unit')} "
        f"(each producer row once), consumers known for {percent(totals['resolved_share'])} of the units at sites"
    )
    lengths = _lengths(graph)
    if lengths["reason"]:
        say(f"path length: open, {printable(lengths['reason'])}")
    elif lengths["normalized"] is not None:
        say(
            f"path length: {lengths['normalized']:.2f} nonlinear units on a random walk from input to output, "
            f"{lengths['mean']:.2f} if every path weighs the same"
        )
        for what in ("bilinear", "skipped"):
            if lengths[what]:
                say(f"  {PATH_NOTES[what]}: {_listed(lengths[what])}")
        if lengths["not_counted"]:
            say(f"  not counted: {', '.join(f'{count(n)} {op}' for op, n in lengths['not_counted'].items())}")
    if not graph.sites:
        say("no site: the network has no nonlinearity, gate or residual sum that netcaliper knows")
    if graph.groups:
        say("", Text("Coupled groups: units that must change together", style="bold"))
        for group in graph.groups:
            frozen = f", {count(group.frozen)} of them fixed" if group.frozen else ""
            say(
                Padding(Text(f"{group.name}: {plural(group.units, 'unit')}{frozen}"), (0, 0, 0, 2)),
                Padding(Text(f"sites {_listed(group.sites)}"), (0, 0, 0, 6)),
                Padding(Text(f"made by {_listed(group.producers)}; read by {_listed(group.consumers)}"), (0, 0, 0, 6)),
            )
    if graph.skipped:
        say("", Text("Not read:", style="yellow"))
        for name, reason in graph.skipped:
            say(Padding(Text(printable(f"{name}: {reason}")), (0, 0, 0, 2)))
    worst = max(graph.replay.values(), default=0.0)
    words = "equals the network bit for bit" if worst == 0 else f"equals the network up to {worst:.1e}"
    say("", f"Replay: the graph {words} at {', '.join(graph.replay) or 'no case'}.")
    if not graph.dynamic_batch:
        say(f"The graph is bound to batches of {graph.traced_batch}: {printable(str(graph.static_reason))}.")


def _table(graph: "Graph") -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, header_style="bold", pad_edge=False)
    table.add_column("site", overflow="fold", ratio=3)
    table.add_column("kind", no_wrap=True)
    table.add_column("op", no_wrap=True)
    table.add_column("units", justify="right", no_wrap=True)
    if graph.groups:
        table.add_column("group", no_wrap=True)
    table.add_column("read by (columns)", overflow="fold", ratio=5)
    for site in graph.sites:
        cells = [
            Text(printable(site.name)),
            Text(site.kind, style="dim"),
            Text(printable(site.op)),
            Text(count(site.units)),
        ]
        if graph.groups:
            cells.append(Text(site.group or ""))
        table.add_row(*cells, _read_by(site))
    return table


def _read_by(site: "Site") -> Text:
    """List consumers with their columns, then other readers and what stands in the way, one a line."""
    lines: list[tuple[str, str]] = []
    for consumer in site.consumers:
        through = f", through {_listed(consumer.through)}" if consumer.through else ""
        lines.append((f"{consumer.name} ({count(_columns(consumer.unit_of_column))}{through})", ""))
    if site.readers:
        lines.append((f"then {_listed(site.readers)}" if site.consumers else _listed(site.readers), "dim"))
    lines += [(f"mixed: {barrier}", "yellow") for barrier in site.barriers]
    if site.refused:
        lines.append((f"refused: {site.refused}", "red"))
    text = Text()
    for number, (line, style) in enumerate(lines or [("nothing", "dim")]):
        text.append("\n" if number else "").append(printable(line), style=style)
    return text


def _listed(names: tuple[str, ...]) -> str:
    left = len(names) - MOST_MEMBERS
    shown = ", ".join(names[:MOST_MEMBERS]) or "nothing"
    return printable(f"{shown} and {left} more" if left > 0 else shown)
