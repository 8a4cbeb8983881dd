"""BatchNorm statistics, estimated anew on given examples."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from netcaliper.trace.batches import Batch


def batch_norms(module: nn.Module) -> dict[str, _BatchNorm]:
    """Return the BatchNorm modules with running statistics, shared ones under each of their names."""
    named = module.named_modules(remove_duplicate=False)
    return {name: m for name, m in named if isinstance(m, _BatchNorm) and m.running_mean is not None}


def estimate_norms(module: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Estimate the BatchNorm statistics of a module in place, leave it in eval mode, and return its new buffers.

    Each statistic is the mean over batches of each batch's mean and unbiased variance, with these modules alone in
    train mode. ``torch.optim.swa_utils.update_bn`` is not used: it puts the whole model in train mode, so that dropout
    and stochastic depth would be on while the statistics are taken, and off when they are read.
    """
    norms = batch_norms(module)
    momenta = {name: norm.momentum for name, norm in norms.items()}
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
        norm.training = True
    with torch.no_grad():
        for batch in batches:
            module(*batch.args, **batch.kwargs)
    statistics: dict[str, Tensor] = {}
    for name, norm in norms.items():
        norm.training, norm.momentum = False, momenta[name]
        if norm.num_batches_tracked is not None and int(norm.num_batches_tracked):
            prefix = f"{name}." if name else ""
            statistics |= {f"{prefix}{buffer}": tensor for buffer, tensor in norm.named_buffers(recurse=False)}
    return statistics
