"""The readers that a study file can ask for, and what each takes: checked before anything is trained."""

from collections.abc import Mapping

AT = "at"
"""The option that names the epochs after which a training is read; ``"final"`` is the last one."""

READERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "families": {
        "width": (AT, "examples", "only", "skip", "mode", "budget", "sites", "twin"),
        "layers": (AT, "examples", "together", "passes", "batch", "layers", "features", "skip", "twin"),
        "kernel": (AT, "examples"),
    },
    "bends": {"linear_zone": ()},
    "comparisons": {"compare": ("examples", "passes", "batch", "layers", "features", "represented", "images")},
}
"""By kind of cell, and by reader, the names of its options; their defaults stand with the reader."""
