"""``netcaliper apply``: a network, data and a plan in; the smaller network of the plan, and its proof, out."""

from pathlib import Path
from typing import Annotated

import typer

from netcaliper.cli.options import DATA_HELP, MODEL_HELP, BatchSize, Device, Json, Part, TrustPickle, Weights
from netcaliper.cli.shrunk import Examples, Force, Out, Verification, load_parts, must_be_new, write_shrunk


def apply(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")],
    plan: Annotated[Path, typer.Argument(help="plan.json, or a folder that holds it.", metavar="PLAN")],
    data: Annotated[str, typer.Option(help=DATA_HELP, metavar="SPEC")],
    out: Out,
    weights: Weights = None,
    trust_pickle: TrustPickle = False,
    verification: Verification = None,
    force: Force = False,
    split: Part = "all",
    examples: Examples = None,
    batch_size: BatchSize = 256,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Run a plan of netcaliper shrink again, on the network that it was made for, and prove the result anew.

    A plan for other weights is refused.
    """
    must_be_new(out)

    from netcaliper.reading.shrinking_folder import read_plan

    opened = read_plan(plan)

    from netcaliper.cli.progress import reading_bar
    from netcaliper.shrink.shrink import apply_plan
    from netcaliper.specs.model import load_model

    loaded = load_model(model, weights, trust_pickle=trust_pickle)
    batches, other, called = load_parts(
        loaded, data, verification, split=split, examples=examples, batch_size=batch_size
    )
    with reading_bar() as progress:
        found = apply_plan(
            loaded.model,
            batches,
            opened,
            verification=other,
            force=force,
            device=device,
            name=loaded.name,
            data_name=called,
            progress=progress,
        )
    write_shrunk(found, out, as_json=as_json)
