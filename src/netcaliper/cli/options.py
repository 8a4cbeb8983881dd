"""Options that several commands share, so that they are called and explained alike everywhere."""

from typing import Annotated, Literal

import typer

from netcaliper.errors import InputError

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is already there, if netcaliper wrote it.")]
Seed = Annotated[int, typer.Option(help="Fixes every random choice.", min=0, max=2**31 - 1)]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Fill the model with these weights: .safetensors (or the index of its shards), or a state dict or "
        "checkpoint in a .pt, .pth, .bin or .ckpt, of which only tensors and plain data are read.",
        metavar="FILE",
    ),
]
TrustPickle = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Also read files that can run any code on this machine while they are read: pickles that hold more than "
        "tensors, and .pt2 archives. Only for files whose source you trust.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(help="What the run may take beside the model, e.g. 8GiB.", show_default="what is free"),
]
Device = Annotated[str | None, typer.Option(help="Where to run, e.g. cpu or cuda:0.")]
BatchSize = Annotated[int, typer.Option(help="Examples a batch that is read (a factory chooses its own).", min=1)]
Part = Annotated[
    Literal["all", "train", "test"], typer.Option("--split", help="Which part of the data to read.", show_default=True)
]

MODEL_HELP = (
    "zoo:NAME(argument=value, ...), a checkpoint folder, timm:NAME(argument=value, ...), hf:NAME_OR_PATH, FILE.pt2, or "
    "package.module:factory."
)
DATA_HELP = (
    "imagefolder:FOLDER, parquet:FILE, datasets:FOLDER, npz:FILE, cifar10:FOLDER, multi30k:FOLDER, digits, "
    "teacher(inputs=10, examples=1000), or package.module:factory; options stand in parentheses, e.g. "
    "imagefolder:FOLDER(size=224)."
)


def byte_count(text: str | None) -> int | None:
    """Read the number of bytes of ``--memory``, with its unit; none if it was not given."""
    if text is None:
        return None
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise InputError(f"`--memory` must be a number of bytes with its unit, e.g. 8GiB, got {text!r}.") from None


def split_names(text: str | None) -> list[str] | None:
    """Return names that were given separated by commas."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
