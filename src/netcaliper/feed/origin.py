"""Where a reading comes from: the data in words, and the versions that made it."""

import platform
from typing import Any

import numpy as np
import torch

import netcaliper


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {
        "netcaliper": netcaliper.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def described(data: Any) -> str:
    """Name the data by type."""
    dataset, prepared = getattr(data, "dataset", None), getattr(data, "prepared", "")
    held = f" of {type(dataset).__name__}" if dataset is not None else ""
    return type(data).__name__ + held + (f" ({prepared})" if prepared else "")
