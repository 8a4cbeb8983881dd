"""``netcaliper compare``: several networks and one set of data in; whether they say and answer the same, out."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from netcaliper.cli.layers_options import Chosen, Fast, Features, GramBatch, Held, Passes, Together, which_layers
from netcaliper.cli.options import (
    DATA_HELP,
    Device,
    Json,
    Memory,
    Part,
    Replace,
    Seed,
    TrustPickle,
    byte_count,
)
from netcaliper.cli.printing import say_json
from netcaliper.cli.written import reading_facts, show_written, write_reading
from netcaliper.errors import InputError
from netcaliper.reading.writing import check_target


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Two or more models, as `netcaliper measure` takes them. NAME=MODEL puts models into a "
            "group: seeds of one architecture.",
            metavar="[NAME=]MODEL...",
        ),
    ],
    data: Annotated[str, typer.Option(help=DATA_HELP, metavar="SPEC")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the reading and its page.")
    ] = None,
    trust_pickle: TrustPickle = False,
    chosen: Chosen = None,
    features: Features = "flatten",
    batch: GramBatch = 256,
    passes: Passes = 10,
    examples: Held = 2048,
    together: Together = 1024,
    fast: Fast = False,
    represented: Annotated[
        int, typer.Option(help="Networks of each group whose layers are compared; all of them answer.", min=1)
    ] = 2,
    superclasses: Annotated[
        Path | None,
        typer.Option(help="JSON file that maps class names to superclass names.", metavar="FILE"),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Text file with the names of the classes, one a line.", metavar="FILE")
    ] = None,
    split: Part = "all",
    batch_size: Annotated[
        int, typer.Option(help="Examples a batch that is read (a factory chooses its own).", min=1)
    ] = 256,
    seed: Seed = 0,
    device: Device = None,
    memory: Memory = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Compare networks on the same batches: layer by layer, and answer by answer, with the noise of seeds beside it."""
    limit = byte_count(memory)
    if out is not None:
        check_target(out, replace=replace)
    names = None if classes is None else _text(classes, "--classes").splitlines()
    mapping = None if superclasses is None else _mapping(superclasses)
    named = [_named(text) for text in models]

    from netcaliper.cli.progress import reading_bar
    from netcaliper.compare.compare import compare as compared
    from netcaliper.specs.data import data_name, load_data
    from netcaliper.specs.model import load_model

    loaded = [(group, load_model(spec, trust_pickle=trust_pickle)) for group, spec in named]
    batches = load_data(data, split=split, batch_size=batch_size, model=loaded[0][1])
    networks: dict[str, list[Any]] = {}
    groups = {group for group, _ in named}
    for number, (group, one) in enumerate(loaded, 1):
        name = group or one.name
        if group is None and (name in networks or name in groups):
            name = f"{name} ({number})"
        networks.setdefault(name, []).append(one.model)
    with reading_bar() as progress:
        reading = compared(
            networks,
            batches,
            which_layers(chosen),
            features=features,
            batch=batch,
            passes=passes,
            examples=examples,
            together=together,
            fast=fast,
            represented=represented,
            classes=names,
            superclasses=mapping,
            seed=seed,
            memory=limit,
            device=device,
            data_name=data_name(data, batches, split),
            progress=progress,
        )
    page = None if out is None else write_reading(reading, out, replace=replace)
    if as_json:
        say_json(reading_facts(reading) | {"folder": out and str(out), "page": page and str(page)})
    else:
        show_written(reading, out, page)


def _named(text: str) -> tuple[str | None, str]:
    """Split ``NAME=MODEL``; an equals sign inside of a spec's parentheses is none of that."""
    name, sign, spec = text.partition("=")
    if not sign or any(mark in name for mark in ":(/\\"):
        return None, text
    if not name or not spec:
        raise InputError(f"a model must be given as NAME=MODEL or MODEL, got {text!r}; write for instance wide=FOLDER.")
    return name, spec


def _text(file: Path, option: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{option}` {str(file)!r} cannot be read: {error}; give a text file in UTF-8.") from None


def _mapping(file: Path) -> dict[str, str]:
    try:
        found = json.loads(_text(file, "--superclasses"))
    except ValueError as error:
        raise InputError(f"`--superclasses` {str(file)!r} is not JSON: {error}.") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InputError(
            f"`--superclasses` {str(file)!r} must map class names to names of superclasses, got "
            f'{type(found).__name__}; write {{"cat": "animal", ...}}.'
        )
    return found
