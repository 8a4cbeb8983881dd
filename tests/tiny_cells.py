"""Cells of tiny networks on the digits, for tests of what happens inside a cell."""

import json
from copy import deepcopy
from pathlib import Path

from netcaliper.study.cells.run_cell import run_cell
from netcaliper.study.place import Place
from sentence_pairs import write_multi30k

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
    "start": 1, "choose": "learned", "omega": 0.02, "penalty": 2, "final": 1, "alpha_rate": 10.0,
    "proximal": False, "read": {},
}  # fmt: skip


TRANSLATIONS = "multi30k:{folder}"
TRANSLATING = {
    "model": "zoo:encoder_decoder",
    "arguments": {
        "width": 16,
        "depth": 1,
        "heads": 2,
        "ffn": 32,
        "vocabulary": 300,
        "length": 64,
        "activation": "relu",
    },
    "data": {"spec": TRANSLATIONS, "options": {"vocabulary": 300}},
    "batch_size": 32,
    "recipe": {"epochs": 2, "optimizer": "adam", "learning_rate": 0.005},
    "keep": [1],
}


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


def translations(root: Path) -> tuple[Cells, dict[str, str]]:
    """Return what runs cells of translators, and the folder of their texts."""
    folders = [root / "texts", root / "cells"]
    for folder in folders:
        folder.mkdir()
    write_multi30k(folders[0])
    return Cells(folders[1]), {TRANSLATIONS: str(folders[0])}


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
