"""``netcaliper``: the commands, and what happens when one of them cannot go on.

Exit codes: 0 done, 1 failed, 2 misuse, 130 interrupted (Ctrl-C), 143 terminated (SIGTERM). A message is one line on
standard error; a traceback means a fault of netcaliper's own.
"""

import os
import signal
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import netcaliper
from netcaliper.cli.apply import apply
from netcaliper.cli.compare import compare
from netcaliper.cli.demo import demo
from netcaliper.cli.diff import diff
from netcaliper.cli.doctor import doctor
from netcaliper.cli.layers import layers
from netcaliper.cli.linearize import linearize
from netcaliper.cli.measure import measure
from netcaliper.cli.printing import note
from netcaliper.cli.report import report
from netcaliper.cli.shrink import shrink
from netcaliper.cli.shrunk import TYPED
from netcaliper.cli.study import study
from netcaliper.cli.trace import trace
from netcaliper.cli.train import train
from netcaliper.errors import NetcaliperError
from netcaliper.report.text import printable

INTERRUPTED = 130
TERMINATED = 143
NOTHING_WRITTEN = "this run wrote nothing, and nothing that was there before has changed"


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end: ``kill``, or a batch scheduler whose time is up."""


class Commands(TyperGroup):
    """The commands in the order of a first visit; errors raised on purpose become one line and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order in which they were added."""
        return list(self.commands)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, and keep them as they were typed: a page says the command that made it."""
        TYPED.set(tuple(args))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        A ``KeyboardInterrupt`` may carry notes (PEP 678) that say what was kept; without them nothing was written.
        """
        try:
            return super().invoke(ctx)
        except NetcaliperError as error:
            note(f"netcaliper: {printable(' '.join(str(error).split()))}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as stop:
            kept = "; ".join(getattr(stop, "__notes__", ())) or NOTHING_WRITTEN
            terminated = isinstance(stop, Terminated)
            note(f"netcaliper: {'terminated' if terminated else 'interrupted'}; {kept}.")
            raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None


app = typer.Typer(
    name="netcaliper",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Reads the true size of a trained network: how wide, how deep and how nonlinear the function really is.",
    epilog="Start with: netcaliper demo",
)


def _version(asked: bool) -> bool:
    if asked:
        typer.echo(f"netcaliper {netcaliper.__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for command in (demo, train, trace, measure, layers, compare, linearize, shrink, apply, report, diff, doctor):
    app.command()(command)
app.add_typer(study, name="study")


def _terminate(_signal: int, _frame: Any) -> None:
    raise Terminated


def main() -> None:
    """Run the command line; the console script points here."""
    # One of several processes of torchrun may wait for the others where no handler is called: it has to die at once.
    if "RANK" not in os.environ:
        signal.signal(signal.SIGTERM, _terminate)
    app()
