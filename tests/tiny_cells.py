"""Cells of tiny networks on the digits, for tests of what happens inside a cell."""

import json
from copy import deepcopy
from pathlib import Path

from netcaliper.study.cells.run_cell import run_cell
from netcaliper.study.place import Place

TRAINING = {
    "model": "zoo:mlp",
    "arguments": {"inputs": 64, "widths": [16, 16], "classes": 10},
    "data": {"spec": "digits", "options": {"examples": 300}},
    "batch_size": 64,
    "recipe": {"epochs": 3, "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "updates": None,
    "seed": 1,
    "keep": [0, 1, 2],
    "read": {},
}
BEND = {
    "start": 1, "choose": "learned", "omega": 0.02, "penalty": 2, "final": 1, "alpha_rate": 10.0, "read": {},
}  # fmt: skip


def training(**changes):
    """Return the configuration of a tiny training."""
    return deepcopy(TRAINING) | changes


def bend(**changes):
    """Return the configuration of a tiny bend."""
    return deepcopy(BEND) | changes


class Cells:
    """Runs cells in folders of their own, as a driver does."""

    def __init__(self, root: Path) -> None:
        self.root, self.told = root, []

    def run(self, kind, configuration, *, name=None, needs=(), folders=None, tell=None):
        folder = self.root / (name or f"{kind}{len(list(self.root.iterdir()))}")
        folder.mkdir(exist_ok=True)
        record = {"kind": kind, "configuration": configuration}
        (folder / "cell.json").write_text(json.dumps(record), encoding="utf-8")

        def listen(share, words):
            self.told.append((share, words))

        place = Place(folder, tuple(needs), folders or {}, tell or listen)
        return folder, run_cell(kind, json.loads(json.dumps(configuration)), place)


class Interrupt(Exception):
    """Stands for a kill."""


def after(calls):
    """Return a ``tell`` that is interrupted at a certain call."""
    seen = []

    def tell(share, words):
        seen.append(share)
        if len(seen) == calls:
            raise Interrupt

    return tell
