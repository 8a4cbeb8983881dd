"""timm and transformers beside a CPU-only torch.

Both import torchvision, whose wheel is built against CUDA and registers rules for ``torchvision::nms`` on import. Where
its compiled library does not load, those operators are unknown and the import fails; defining their schemas first is
enough, since no model here calls them.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def import_timm() -> ModuleType:
    """Return timm, defining torchvision's operators first where they are missing."""
    return _beside_torchvision("timm")


def import_transformers() -> ModuleType:
    """Return transformers, defining torchvision's operators first where they are missing."""
    return _beside_torchvision("transformers")


def _beside_torchvision(library: str) -> ModuleType:
    _make_torchvision_importable()
    return import_module(library)


@cache
def _make_torchvision_importable() -> torch.library.Library | None:
    try:
        import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name, schema in _SCHEMAS.items():
            if not hasattr(torch.ops.torchvision, name):
                library.define(schema)
        return library  # kept by the cache: a library takes its operators with it when it is collected
    return None
