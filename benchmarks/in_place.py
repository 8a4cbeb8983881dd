"""Right where others are wrong: activations of a network that overwrites its own tensors.

The stock ResNet (``ReLU(inplace=True)``, ``out += identity``, one ReLU module called twice a block) runs in float32;
every activation that a tap captures must equal a float64 reference whose hooks clone each output at once, to float32
rounding. Beside it, what plain forward hooks without a clone hold after the pass (as many tools capture) is compared
with the same reference. In a second network one ReLU is called three times as a module and once as a function: four
sites.

    python benchmarks/in_place.py
"""

import copy
import sys
from collections.abc import Callable

import table  # first: puts tests on the path
import torch
from torch import Tensor, nn

import netcaliper as nc
from bestiary import ReusedRelu, stock

FLOAT32_ROUNDING = 1e-5
"""Bound on the error relative to the largest value of a site: 2^-24 accumulated over sums of up to 144 products, 12
layers."""


def hooked(model: nn.Module, batch: Tensor, keep: Callable[[Tensor], Tensor]) -> dict[str, list[Tensor]]:
    """Return what forward hooks get of every module (and of the input of every block), in the order of the calls."""
    got: dict[str, list[Tensor]] = {}
    handles = []
    for name, module in model.named_modules():
        after = module.register_forward_hook(lambda _m, _i, out, n=name: got.setdefault(n, []).append(keep(out)))
        before = module.register_forward_pre_hook(
            lambda _m, i, n=name: got.setdefault(f"into {n}", []).append(keep(i[0]))
        )
        handles += [after, before]
    with torch.no_grad():
        model(batch)
    for handle in handles:
        handle.remove()
    return got


def activations(got: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    """Return the value of every site of the stock ResNet, by its definition, from what the hooks got."""
    sites = {"se.sigmoid": torch.sigmoid(got["se.expand"][0])}
    for name, calls in got.items():
        if name.rpartition(".")[2] in ("relu", "act") and "into" not in name:
            sites |= {name if call == 0 else f"{name}#{call + 1}": value for call, value in enumerate(calls)}
        if name.endswith("bn2") and "into" not in name:
            block = name.removesuffix(".bn2")
            shortcut = got.get(f"{block}.downsample", got[f"into {block}"])[0]
            sites[f"{block}.add"] = calls[0] + shortcut
    return sites


def relative(value: Tensor, reference: Tensor) -> float:
    return float((value.double() - reference).abs().max() / reference.abs().max())


def stock_resnet() -> dict[str, object]:
    model, images = stock()
    graph = nc.trace(model, images)
    captured: dict[str, Tensor] = {}
    taps = {site.name: (lambda v, *_, name=site.name: captured.__setitem__(name, v.clone())) for site in graph.sites}
    graph.run(images, taps=taps)
    reference = activations(hooked(copy.deepcopy(model).double(), images.double(), torch.Tensor.clone))
    uncloned = activations(hooked(model, images, lambda out: out))
    assert reference.keys() == captured.keys(), "every site has a reference"
    ours = {name: relative(captured[name], value) for name, value in reference.items()}
    hooks = {name: relative(uncloned[name], value) for name, value in reference.items()}
    return {
        "sites": len(graph.sites),
        "largest relative error of a site": float(f"{max(ours.values()):.2g}"),
        "by site": {name: float(f"{error:.2g}") for name, error in ours.items()},
        "sites that are wrong when hooks do not clone": {
            name: float(f"{error:.2g}") for name, error in hooks.items() if error > FLOAT32_ROUNDING
        },
    }


def reused() -> dict[str, object]:
    torch.manual_seed(0)
    graph = nc.trace(ReusedRelu().eval(), torch.randn(2, 4))
    return {"calls of the one ReLU module": 3, "functional calls": 1, "sites": [site.name for site in graph.sites]}


def main() -> None:
    found = stock_resnet()
    again = reused()
    ok = found["largest relative error of a site"] <= FLOAT32_ROUNDING and len(again["sites"]) == 4  # type: ignore[operator,arg-type]
    table.write(
        __file__,
        {"seed": 0, "examples": 4, "bound": FLOAT32_ROUNDING, "holds": ok, "stock ResNet": found, "reused ReLU": again},
    )
    sys.exit(not ok)


if __name__ == "__main__":
    main()
