"""netcaliper reads the true size of a trained network.

How wide, how deep and how nonlinear is the function that the weights really compute, next to how big it looks on paper?

The public names are loaded on first use, so that ``netcaliper --help`` and the report floor work without importing
torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netcaliper import errors as errors
    from netcaliper.bending.bending import Bending as Bending
    from netcaliper.compare.cka import cka as cka
    from netcaliper.compare.compare import compare as compare
    from netcaliper.compare.layers import layers as layers
    from netcaliper.compare.ntk import ntk as ntk
    from netcaliper.compare.ntk_velocity import ntk_velocity as ntk_velocity
    from netcaliper.compare.over_training import over_training as over_training
    from netcaliper.linearize.linearize import linearize as linearize
    from netcaliper.measure.path_length import path_length as path_length
    from netcaliper.measure.static import measure as measure
    from netcaliper.reading.store import load as load
    from netcaliper.shrink.shrink import apply_plan as apply_plan
    from netcaliper.shrink.shrink import shrink as shrink
    from netcaliper.specs.data import load_data as load_data
    from netcaliper.specs.model import load_model as load_model
    from netcaliper.study.run import run_study as run_study
    from netcaliper.surgery.fold import fold as fold
    from netcaliper.surgery.shrunk_folder import load_shrunk as load_shrunk
    from netcaliper.trace.trace import trace as trace

__version__ = "0.1.0"

_HOME = {
    "Bending": ("netcaliper.bending.bending", "Bending"),
    "apply_plan": ("netcaliper.shrink.shrink", "apply_plan"),
    "cka": ("netcaliper.compare.cka", "cka"),
    "compare": ("netcaliper.compare.compare", "compare"),
    "errors": ("netcaliper.errors", None),
    "fold": ("netcaliper.surgery.fold", "fold"),
    "layers": ("netcaliper.compare.layers", "layers"),
    "linearize": ("netcaliper.linearize.linearize", "linearize"),
    "load": ("netcaliper.reading.store", "load"),
    "load_data": ("netcaliper.specs.data", "load_data"),
    "load_model": ("netcaliper.specs.model", "load_model"),
    "load_shrunk": ("netcaliper.surgery.shrunk_folder", "load_shrunk"),
    "measure": ("netcaliper.measure.static", "measure"),
    "ntk": ("netcaliper.compare.ntk", "ntk"),
    "ntk_velocity": ("netcaliper.compare.ntk_velocity", "ntk_velocity"),
    "over_training": ("netcaliper.compare.over_training", "over_training"),
    "path_length": ("netcaliper.measure.path_length", "path_length"),
    "run_study": ("netcaliper.study.run", "run_study"),
    "shrink": ("netcaliper.shrink.shrink", "shrink"),
    "trace": ("netcaliper.trace.trace", "trace"),
}

__all__ = [
    "Bending",
    "__version__",
    "apply_plan",
    "cka",
    "compare",
    "errors",
    "fold",
    "layers",
    "linearize",
    "load",
    "load_data",
    "load_model",
    "load_shrunk",
    "measure",
    "ntk",
    "ntk_velocity",
    "over_training",
    "path_length",
    "run_study",
    "shrink",
    "trace",
]


class _Facade(ModuleType):
    """Keeps public functions reachable although folders share their names.

    ``nc.trace`` and ``nc.measure`` are functions, ``netcaliper/trace`` and ``netcaliper/measure`` are folders.
    Importing a submodule makes Python set it as an attribute of the package, which would hide the function; this class
    drops that one assignment. ``from netcaliper.trace.graph import Graph`` is not affected; ``import
    netcaliper.trace.graph as g`` is, because it looks the folder up as an attribute: write the former.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'netcaliper' has no attribute {name!r}")
        module, attribute = _HOME[name]
        home = import_module(module)
        return home if attribute is None else getattr(home, attribute)

    def __dir__(self) -> list[str]:
        return sorted(set(super().__dir__()) | set(__all__))


sys.modules[__name__].__class__ = _Facade
