"""Where the units of a value lie, as far as it can be told."""

import torch
from torch import nn

import netcaliper as nc
from netcaliper.trace.path_operands import unit_axis


def axes_of(model, example):
    """Return by operation the unit axis of every value, following the first operand from the weights on."""
    graph = nc.trace(model.eval(), example)
    axes, found = {}, {}
    for step in graph.program.steps:
        node = step.node
        read = [n for n in node.all_input_nodes if n in axes]
        name = str(node.target).split(".")[1]
        if name in ("linear", "conv2d"):
            axes[node] = -1 % node.meta["val"].dim() if name == "linear" else 1
        elif read:
            axes[node] = unit_axis(node, node.meta["val"].dim(), read, axes)
        if node in axes:
            found[name] = axes[node]
    return found


class Moved(nn.Module):
    def __init__(self, move):
        super().__init__()
        self.layer, self.move = nn.Conv2d(2, 6, 3), move

    def forward(self, x):
        return self.move(self.layer(x))


def test_units_go_where_axes_are_swapped():
    image = torch.randn(2, 2, 8, 8)
    assert axes_of(Moved(lambda x: x.permute(0, 2, 3, 1)), image)["permute"] == 3
    assert axes_of(Moved(lambda x: x.transpose(1, 3)), image)["transpose"] == 3
    assert axes_of(Moved(lambda x: x.transpose(2, 3)), image)["transpose"] == 1


def test_units_stay_where_the_rank_stays():
    assert axes_of(Moved(lambda x: torch.relu(x) * 2), torch.randn(2, 2, 8, 8))["mul"] == 1


def test_behind_a_view_units_lie_where_they_usually_do():
    image = torch.randn(2, 2, 8, 8)
    assert axes_of(Moved(lambda x: x.flatten(1)), image).popitem()[1] == 1
    assert axes_of(Moved(lambda x: x.flatten(2).transpose(1, 2)), image)["transpose"] in (1, 2)
