"""What every test shares: how hypothesis draws, the seed of torch, which shapes are checked, faster traces."""

import functools
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
import torch._export.utils
import torch.export.exported_program
from hypothesis import settings
from torch._C import DispatchKey
from torch._ops import OperatorBase

from shape_checks import checked

# No deadline: the first call of a torch kernel is slow, and so is a busy machine. The same examples in every run: a
# failure that one machine sees, another one sees too.
settings.register_profile("netcaliper", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("netcaliper")

SEED = 0
torch.manual_seed(SEED)  # of what modules draw while they are collected


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed torch before the fixtures of every test: by itself it draws its seed anew in every process."""
    torch.manual_seed(SEED)


jaxtyping.jaxtyped = checked

_PY_IMPL = OperatorBase.py_impl


def _py_impl(operator: OperatorBase, key: Any) -> Callable[[Any], Any]:
    """Register a kernel as torch does, but for annotations on an inner function, evaluated anew at every call.

    For each network ``torch.export`` registers 11,000 kernels: a quarter of the time of tracing a small one, and the
    tests trace thousands.
    """
    if type(key) is not DispatchKey or key is DispatchKey.Python or key in operator.py_kernels:
        return _PY_IMPL(operator, key)

    def register(kernel: Any) -> Any:
        operator.py_kernels[key] = kernel
        operator._dispatch_cache.clear()
        return kernel

    return register


OperatorBase.py_impl = _py_impl  # pyright: ignore[reportAttributeAccessIssue]

# Two more things that every trace does anew with the same outcome: a stub for the gradient of each operator, and
# looking up every composite operator in each namespace (no test defines one).
for module, name in (
    (torch.export.exported_program, "autograd_not_implemented"),
    (torch._export.utils, "_materialize_cpp_cia_ops"),
):
    setattr(module, name, functools.cache(getattr(module, name)))
