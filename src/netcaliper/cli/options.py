"""Options that several commands share, so that they are called and explained alike everywhere."""

from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is already there, if netcaliper wrote it.")]
Seed = Annotated[int, typer.Option(help="Fixes every random choice.", min=0, max=2**31 - 1)]
Weights = Annotated[
    str | None, typer.Option(help="Safetensors file with the weights of a zoo: or factory model.", metavar="FILE")
]
Part = Annotated[
    Literal["all", "train", "test"], typer.Option("--split", help="Which part of the data to read.", show_default=True)
]

MODEL_HELP = "zoo:NAME(argument=value, ...), a checkpoint folder, or package.module:factory."
DATA_HELP = "digits, npz:FILE, cifar10:FOLDER, teacher(inputs=10, examples=1000), or package.module:factory."
