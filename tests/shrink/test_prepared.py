"""What is known before anything is chosen."""

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.shrink.prepared import cuttable, prepare
from netcaliper.trace.graph import Graph
from shrinking_digits import data, network, prepared


def again(name: str, **given):
    graph: Graph = nc.trace(network(name), data()[0][0])
    return prepare(
        graph, data(), None, **{"force": False, "skip": (), "sites": "*", "seed": 0, "agreement": None} | given
    )


def test_everything_of_a_small_network_can_be_cut():
    known = prepared("cnn")
    assert {d.name for d in known.dimensions} == {site.name for site in known.graph.sites}
    assert set(known.by_node) == {call.node for call in known.calls}
    assert known.exact.steps == ()
    assert not known.uncalled
    assert known.warnings == ()


def test_sites_that_are_left_out_are_refused_by_name():
    found = again("cnn", sites="stages.0*")
    assert [d.name for d in found.dimensions] == ["stages.0.0.act"]
    assert dict(found.refused)["stages.1.0.act"] == "`sites` 'stages.0*' leaves it out"


def test_unknown_steps_and_sites_are_refused():
    with pytest.raises(InputError, match="`skip` must name steps among"):
        again("mlp", skip=("nothing",))
    with pytest.raises(InputError, match="with no match; there are hidden.0.act"):
        again("mlp", sites="head*")


class Written(nn.Module):
    """A size in the code, which no attribute holds."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.b(torch.relu(self.a(x))))
        return self.c(y.reshape(-1, 2, 4).reshape(-1, 8))


def test_code_with_a_size_in_it_is_refused_by_name():
    graph = nc.trace(Written().eval(), torch.randn(3, 4))
    left, refused = cuttable(graph, graph.structure.dimensions)
    assert "relu" in {d.name for d in left}
    assert all(why for _, why in refused)
    assert len(left) + len(refused) == len(graph.structure.dimensions)


def test_an_answer_that_hardly_varies_is_warned_of():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).eval()
    with torch.no_grad():
        model[1].bias[2] = 1e3  # type: ignore[index]
    graph = nc.trace(nn.Sequential(model, nn.ReLU(), nn.Linear(4, 4)).eval(), data()[0][0])
    with torch.no_grad():
        graph.model[2].bias[1] = 1e6  # type: ignore[index]
    found = prepare(graph, data(), None, force=False, skip=(), sites="*", seed=0, agreement=None)
    assert "one class holds 100 % of the network's answers" in found.warnings[0]
