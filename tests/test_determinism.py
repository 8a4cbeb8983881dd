"""One seed, one reading: byte for byte in another process, and the same counts on another number of threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "images": ["zoo:cnn(widths=[12, 24])", "--data", "digits(examples=400)"],
    "without a twin": ["zoo:mlp(widths=[40, 30])", "--data", "digits(examples=400)", "--no-twin", "--ablation", "mean"],
}
TIMES = {"cost.json", "report.html"}
"""What tells how long it took; the numbers of the page are those of the record."""


def read(what: str, folder: Path, *, threads: int = 1) -> dict[str, bytes]:
    """Run ``netcaliper measure`` in a process of its own; return the files but for those that hold times."""
    command = [sys.executable, "-m", "netcaliper", "measure", *COMMANDS[what], "--seed", "3", "-o", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert files.keys() > TIMES
    return {name: content for name, content in files.items() if name not in TIMES}


def counts(reading: dict[str, bytes]) -> dict[str, object]:
    """Return every integer of a reading by its place."""
    found: dict[str, object] = {}

    def walk(value: object, place: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{place}.{key}")
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(inner, f"{place}[{number}]")
        elif isinstance(value, int):
            found[place] = value

    walk(json.loads(reading["reading.json"]), "")
    return found


@pytest.mark.parametrize("what", COMMANDS)
def test_two_processes_write_the_same_bytes_and_two_threads_the_same_counts(what: str, tmp_path: Path) -> None:
    first, second, threaded = (
        read(what, tmp_path / name, threads=threads) for name, threads in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second
    assert counts(first) == counts(threaded)
    assert sum(place.endswith(".needed") for place in counts(first)) >= 2
