"""``netcaliper doctor``: what is installed, where it would run, and whether a trace reads what a network computes."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

import netcaliper
from netcaliper.cli.options import Json
from netcaliper.cli.printing import say, say_json
from netcaliper.report.text import printable
from netcaliper.specs.extra import EXTRAS, trouble_with

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "pandas", "pydantic", "safetensors", "altair", "vl-convert-python",
    "typer", "rich",
)  # fmt: skip


@dataclass(frozen=True)
class SelfCheck:
    """Whether the graph of a small awkward network reads what the network computes.

    Attributes:
        passed: every value is right.
        words: what was found, in a sentence.
    """

    passed: bool
    words: str


def doctor(as_json: Json = False) -> None:
    """Show versions, device and extras, and check that a trace reads what a network computes.

    The check traces a network with an in-place ReLU, a `+=` and a module that is called twice, and compares every value
    with plain out-of-place arithmetic. Exit code 1 if it fails.
    """
    facts = environment()
    check = self_check()
    if as_json:
        say_json(facts | {"self_check": {"passed": check.passed, "words": check.words}})
    else:
        _show(facts, check)
    if not check.passed:
        raise typer.Exit(1)


def environment() -> dict[str, Any]:
    """Collect versions, extras and the device as plain data."""
    import torch

    cuda = torch.cuda.is_available()
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
    return {
        "versions": {"netcaliper": netcaliper.__version__, "python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "extras": {name: _extra(name) for name in EXTRAS},
        "platform": f"{platform.system()} {platform.machine()}",
        "devices": ["cpu", *(f"cuda:{i} ({name})" for i, name in enumerate(devices))],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def self_check() -> SelfCheck:
    """Trace the built-in network and compare every site, and the output, with out-of-place arithmetic."""
    import torch

    from netcaliper.errors import NetcaliperError
    from netcaliper.fit.seeds import seeded
    from netcaliper.trace.trace import trace

    with seeded(0):
        model, x = awkward(), torch.randn(5, 1, 6, 6)
    expected = reference(model, x)
    found: dict[str, Any] = {}
    try:
        graph = trace(model, x, name="self-check")
        taps = {
            site.name: (lambda value, *_, name=site.name: found.update({name: value.clone()})) for site in graph.sites
        }
        found["output"] = graph.run(x, taps=taps).output
    except NetcaliperError as error:
        return SelfCheck(False, f"the network could not be traced: {error}")
    if set(found) != set(expected):
        return SelfCheck(False, f"expected the sites {', '.join(expected)}, found {', '.join(found)}")
    gaps = {name: float((found[name] - value).detach().abs().max()) for name, value in expected.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    if not gaps[worst] <= 1e-5:
        return SelfCheck(False, f"{worst} is off by {gaps[worst]:.3g}")
    return SelfCheck(True, f"{len(expected) - 1} sites and the output are right (largest difference {gaps[worst]:.1e})")


def awkward() -> "nn.Module":
    """Return a small network that trips naive readers: an in-place ReLU, ``+=``, and a module that is called twice."""
    from torch import nn

    class Awkward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.act = nn.ReLU(inplace=True)
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Linear(4, 3)

        def forward(self, x: "Tensor") -> "Tensor":
            x = self.act(self.norm(self.stem(x)))
            y = self.conv(x)
            y += x
            y = self.act(y)
            return self.head(y.mean((2, 3)))

    return Awkward().eval()


def reference(model: Any, x: "Tensor") -> "dict[str, Tensor]":
    """Compute every site of ``awkward`` step by step, with nothing in place and no graph."""
    import torch

    with torch.no_grad():
        first = torch.clamp(model.norm(model.stem(x)), min=0)
        summed = model.conv(first) + first
        second = torch.clamp(summed, min=0)
        return {"act": first, "add": summed, "act#2": second, "output": model.head(second.mean((2, 3)))}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _extra(name: str) -> dict[str, Any]:
    """Say what an extra is for, what is installed of it, and in words why it cannot be used."""
    versions = {distribution: _version(distribution) for distribution in EXTRAS[name].distributions}
    return {"use": EXTRAS[name].use, "versions": versions, "trouble": trouble_with(name)}


def _show(facts: dict[str, Any], check: SelfCheck) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for name, found in facts["versions"].items():
        table.add_row(name, found or Text("missing: pip install --upgrade netcaliper", style="red"))
    for name, extra in facts["extras"].items():
        installed = ", ".join(f"{package} {found}" for package, found in extra["versions"].items() if found)
        use = Text(f"for {extra['use']}")
        if extra["trouble"] is not None:
            use.append(f"; {extra['trouble']}", style="red" if installed else "yellow")
        table.add_row(f"extra {name}", Text(f"{installed}; " if installed else "") + use)
    table.add_row("platform", facts["platform"])
    table.add_row("devices", printable(", ".join(facts["devices"])))
    table.add_row("threads", f"{facts['threads']} of {facts['cores']} cores")
    verdict = Text("passed: " if check.passed else "FAILED: ", style="green" if check.passed else "bold red")
    table.add_row("trace self-check", verdict + Text(printable(check.words), style=""))
    say(table)
