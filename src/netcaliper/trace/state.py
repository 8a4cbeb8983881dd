"""Other weights for a traced graph: what a state dict must hold to fit it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from netcaliper.errors import InputError
from netcaliper.trace.program import Program


def fitted(program: Program, state: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the tensors of a state dict as a program's own: same names, shapes, dtypes, and tied where those are tied.

    Parameters and persistent buffers must all be there. Non-persistent buffers and constants may be; they stay as they
    are if not. Nothing is copied except to another device.

    Args:
        program: the program that they are for.
        state: tensors by state-dict name.
        device: where the program runs.

    Raises:
        InputError: a name is missing or unknown, a shape or dtype differs, a value is not finite, or two names of one
            tied weight hold different values; the message names the first.
    """
    own = program.tensors
    fit: dict[str, Tensor] = {}
    tied: dict[int, str] = {}
    for name, old in own.items():
        if name not in state:
            if name in program.stored:
                raise InputError(
                    f"`state` must hold all {len(program.stored)} weights of the graph, got none named `{name}` "
                    f"{_kind(old)}; pass the state dict of the same architecture"
                )
            continue
        new = state[name].detach()
        if new.shape != old.shape or new.dtype != old.dtype:
            raise InputError(
                f"`{name}` of `state` must be {_kind(old)} as in the graph, got {_kind(new)}; pass the state dict of "
                "the same architecture and precision"
            )
        # infinity is at home in masks and bounds, but nowhere in what was trained or estimated
        bound = not isinstance(old, nn.Parameter) and "running_" not in name.rpartition(".")[2]
        if new.is_floating_point() and bool((torch.isnan(new) if bound else ~torch.isfinite(new)).any()):
            raise InputError(f"`{name}` of `state` must be finite, got NaN or infinity; pass weights that were set")
        first = tied.setdefault(id(old), name)
        if first != name:
            if not torch.equal(fit[first], new.to(device)):
                raise InputError(
                    f"`{first}` and `{name}` of `state` must be equal because the graph ties them, got different "
                    "values; tie them in the other network too"
                )
            fit[name] = fit[first]
        elif isinstance(old, nn.Parameter):
            fit[name] = nn.Parameter(new.to(device), requires_grad=old.requires_grad)
        else:
            fit[name] = new.to(device)
    known = {*program.stored, *own}
    unknown = next((name for name, value in state.items() if name not in known and isinstance(value, Tensor)), None)
    if unknown is not None:
        raise InputError(
            f"`state` must hold weights of the graph only, got `{unknown}` {_kind(state[unknown])}, which it does not "
            "have; pass the state dict of the same architecture"
        )
    return fit


def _kind(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))}) {str(tensor.dtype).removeprefix('torch.')}"
