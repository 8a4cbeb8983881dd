"""The command line in a test: run a command, see what it printed where; factories for ``module:factory`` specs."""

import json
from pathlib import Path

import torch
from torch import nn
from typer.testing import CliRunner, Result

from netcaliper.cli.doctor import awkward
from netcaliper.cli.main import app
from netcaliper.fit.seeds import seeded
from netcaliper.zoo.batches import Batches


def netcaliper(*arguments) -> Result:
    """Run ``netcaliper ARGUMENTS`` in this process; only ``SystemExit`` may leave it."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*arguments) -> str:
    """Run a command that must succeed and return its standard output."""
    result = netcaliper(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def json_of(*arguments):
    """Run a command with ``--json`` that must succeed; its standard output must be one JSON document."""
    return json.loads(done(*arguments, "--json"))


def refused(*arguments, code: int = 2) -> str:
    """Run a command that must fail with ``code``, one line on standard error and nothing on standard output."""
    result = netcaliper(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("cost: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("netcaliper: ")
    assert "Traceback" not in result.stderr
    return lines[0]


def contents(folder) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def small_net() -> nn.Module:
    """A factory: the network of ``netcaliper doctor``, always with the same weights."""
    with seeded(0):
        return awkward()


def small_data() -> Batches:
    """A factory: 200 labelled examples for ``small_net``."""
    generator = torch.Generator().manual_seed(3)
    return Batches(torch.randn(200, 1, 6, 6, generator=generator), torch.arange(200) % 3, batch_size=64)


class Sorted(nn.Module):
    """A network that sorts its units: which weight reads which unit depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.second(torch.sort(torch.relu(self.first(x)), dim=1).values)


def sorted_net() -> nn.Module:
    """A factory of ``Sorted``."""
    return Sorted().eval()
