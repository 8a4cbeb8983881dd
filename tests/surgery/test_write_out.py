"""Forms as operations again: names, dtypes, and one pass where one does."""

import torch
from torch import nn

import netcaliper as nc
from netcaliper.surgery.fold import fold


def folded(model, x, alphas):
    return fold(nc.trace(model.eval(), x), alphas).model


def test_names_are_those_of_the_modules():
    model, x = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(2, 4)
    module = folded(model, x, {"1": (torch.arange(16) < 10).float()})
    assert [name for name, _ in module.named_parameters()] == [
        "0.weight", "0.bias", "2.weight", "2.bias", "2.bypass.weight",
    ]  # fmt: skip


def test_a_convolution_that_took_up_its_norm_keeps_its_name():
    model = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    model.eval()
    nn.init.normal_(model[1].running_mean)  # pyright: ignore[reportArgumentType]
    module = folded(model, torch.randn(2, 2, 6, 6), {"2": torch.zeros(3)})
    assert {name for name, _ in module.named_parameters()} == {"0.weight", "0.bias", "4.weight", "4.bias"}


def test_scale_and_shift_take_one_pass_and_bfloat16_stays():
    norms = [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]
    model = nn.Sequential(*norms, nn.LayerNorm(3), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    for norm in norms:
        nn.init.normal_(norm.running_mean)  # pyright: ignore[reportArgumentType]
    module = folded(model, torch.randn(2, 3), {"4": torch.zeros(4)})
    targets = [str(node.target).split(".")[1] for node in module.graph.nodes if node.op == "call_function"]
    assert targets == ["addcmul", "layer_norm", "linear", "relu", "linear"]
    half = folded(model.to(torch.bfloat16), torch.randn(2, 3, dtype=torch.bfloat16), {"4": torch.zeros(4)})
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
