"""Options that ``layers`` and ``compare`` share."""

from typing import Annotated, Literal

import typer

Chosen = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        help="all operations, sites, streams (residual sums), or a name or pattern; may be repeated.",
        metavar="LAYERS",
        show_default="all",
    ),
]
Features = Annotated[
    Literal["flatten", "pool", "tokens"],
    typer.Option(help="Every position is a feature (the paper); their mean; or one token at a time."),
]
GramBatch = Annotated[int, typer.Option("--batch", help="Examples a batch of CKA.", min=4)]
Passes = Annotated[int, typer.Option(help="How often the examples are shuffled and run.", min=1)]
Held = Annotated[int, typer.Option("--examples", help="Examples to hold for CKA.", min=4)]
Together = Annotated[int, typer.Option(help="So many of them where all are needed at once.", min=4)]
Fast = Annotated[bool, typer.Option("--fast", help="Gram matrices in bfloat16.")]


def which_layers(chosen: list[str] | None) -> str | list[str]:
    """Return one word as it is: it may be ``all``, ``sites`` or ``streams``."""
    if not chosen:
        return "all"
    return chosen[0] if len(chosen) == 1 else chosen
