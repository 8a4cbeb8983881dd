"""``netcaliper layers``: a network and data in; what its layers say, and how deep it really is, out."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from netcaliper.cli.layers_options import Chosen, Fast, Features, GramBatch, Held, Passes, Together, which_layers
from netcaliper.cli.options import (
    DATA_HELP,
    MODEL_HELP,
    Device,
    Json,
    Memory,
    Part,
    Replace,
    Seed,
    TrustPickle,
    Weights,
    byte_count,
    split_names,
)
from netcaliper.cli.printing import say_json
from netcaliper.cli.written import reading_facts, show_written, write_reading
from netcaliper.errors import InputError
from netcaliper.reading.writing import check_target


def layers(
    model: Annotated[
        str,
        typer.Argument(
            help=f"{MODEL_HELP} Or a folder of checkpoints (train --keep-every): how the layers change over training.",
            metavar="MODEL",
        ),
    ],
    data: Annotated[str, typer.Option(help=DATA_HELP, metavar="SPEC")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the reading and its page.")
    ] = None,
    weights: Weights = None,
    trust_pickle: TrustPickle = False,
    chosen: Chosen = None,
    features: Features = "flatten",
    batch: GramBatch = 256,
    passes: Passes = 10,
    examples: Held = 2048,
    together: Together = 1024,
    ntk: Annotated[
        int,
        typer.Option(
            help="Of a folder of checkpoints: examples for the tangent kernel of each, e.g. 200; 0 takes none.", min=0
        ),
    ] = 0,
    fast: Fast = False,
    skip: Annotated[
        str | None,
        typer.Option(
            help="Leave these out, separated by commas: components, neighbors, procrustes, variants, probes, deletion.",
            metavar="PARTS",
        ),
    ] = None,
    twin: Annotated[
        bool, typer.Option("--twin/--no-twin", help="Read the same network untrained, too.", show_default=True)
    ] = True,
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
    """Compare the layers of a network with each other, find block structure, and say how deep it really is.

    Half of what is read needs no labels; linear classifiers on the layers, and what residual blocks are good for, do.
    """
    limit = byte_count(memory)
    if out is not None:
        check_target(out, replace=replace)

    from netcaliper.cli.progress import reading_bar
    from netcaliper.compare.layers import layers as read
    from netcaliper.compare.over_training import over_training
    from netcaliper.specs.data import data_name, load_data
    from netcaliper.specs.model import load_model
    from netcaliper.zoo.series import epochs

    folder = Path(model)
    series = epochs(folder) if folder.is_dir() and any(folder.glob("epoch-*")) else None
    for option, given in (("--skip", skip), ("--weights", weights)):
        if series is not None and given is not None:
            raise InputError(f"`{option}` is for one network, {model} is a folder of checkpoints; leave it out.")
    if series is None and ntk:
        raise InputError(f"`--ntk` is for a folder of checkpoints, {model} is one network; leave it out.")
    first = model if series is None else str(folder / next(iter(series)))
    loaded = load_model(first, weights, trust_pickle=trust_pickle)
    batches = load_data(data, split=split, batch_size=batch_size, model=loaded)
    settings = {
        "features": features,
        "batch": batch,
        "passes": passes,
        "examples": examples,
        "together": together,
        "fast": fast,
        "seed": seed,
        "memory": limit,
        "device": device,
        "data_name": data_name(data, batches, split),
    }
    with reading_bar() as progress:
        if series is not None:
            reading = over_training(series, batches, which_layers(chosen), ntk=ntk, progress=progress, **settings)
        else:
            reading = read(
                loaded.model,
                batches,
                which_layers(chosen),
                skip=split_names(skip),
                twin=partial(loaded.twin, seed) if twin and loaded.twin is not None else twin,
                name=loaded.name,
                progress=progress,
                **settings,
            )
    page = None if out is None else write_reading(reading, out, replace=replace)
    if as_json:
        say_json(reading_facts(reading) | {"folder": out and str(out), "page": page and str(page)})
    else:
        show_written(reading, out, page)
