"""What readers measure: the graph of a network where there is one."""

from dataclasses import replace

import netcaliper as nc
from netcaliper.study.cells.cell_data import CellData
from netcaliper.study.cells.networks import build_network
from netcaliper.study.cells.readers.subject import Subject
from netcaliper.zoo.data import digits


def test_a_graph_is_measured_where_there_is_one(tmp_path):
    network, data = build_network("zoo:mlp", {"inputs": 64, "widths": [5], "classes": 3}, seed=0), digits("test")
    subject = Subject(network, CellData(data, data, "digits (test)"), 3, tmp_path, lambda *step: None)
    assert subject.model is network.model
    graph = nc.trace(network.model, data.x[:2])
    assert replace(subject, graph=graph).model is graph
