"""Results as small tables: ``results/<stem>.json``, with the command and versions that made them; ratios, never times.

Also puts ``tests`` on the path, whose random networks and oracles the benchmarks share.
"""

import json
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))


def _path(script: str) -> Path:
    return ROOT / "results" / f"{Path(script).stem}.json"


def read(script: str) -> dict[str, Any]:
    """Return the results of a script as they were last written, for one that goes on from there; empty if never."""
    path = _path(script)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(script: str, results: Mapping[str, Any]) -> None:
    """Write the results of a script and print them.

    Args:
        script: ``__file__`` of the script.
        results: what was found, with seeds and sample sizes; ratios, not times.
    """
    stem = Path(script).stem
    libraries = ("torch", "numpy", "scipy", "scikit-learn", "statsmodels", "timm", "transformers")
    table = {
        "command": f"python benchmarks/{stem}.py",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in libraries},
        **results,
    }
    path = _path(script)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))
