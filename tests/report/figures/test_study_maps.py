from typing import Any

import numpy as np

from netcaliper.reading.layers import Block
from netcaliper.reading.study import Map, StudyFigure
from netcaliper.report.figures.study_maps import draw

BLOCK = Block(stratum="all", first=1, last=2, layers=2, share=0.5, mean=0.9, low=0.8, contrast=0.5)


def made(bins, layers, blocks=()):
    matrix: Any = np.eye(bins).round(3).tolist()
    matrix[0][1] = None
    return Map(
        cell="c", row="wide", column=14.0, matrix=tuple(map(tuple, matrix)), names=tuple(map(str, range(bins))),
        layers=layers, blocks=blocks,
    )  # fmt: skip


def figure(*maps):
    return StudyFigure(name="m", title="M", kind="maps", x="depth", panel="size", maps=maps)


def test_every_network_is_a_map_with_its_place_and_blocks():
    plain, blocked = draw(figure(made(4, 4), made(4, 40, (BLOCK,))))
    assert (plain.name, plain.title) == ("m-0", "size wide, depth 14")
    assert plain.caption == "No block structure found."
    assert blocked.caption == "Outlined: block structure. 40 layers in 4 bins."
    (cells,) = plain.data["m-0"]
    assert cells["v"][:6] == [1000, None, 0, 0, 0, 1000]
    assert len(blocked.spec()["layer"]) > len(plain.spec()["layer"])


def test_nothing_is_drawn_of_nothing():
    assert draw(figure()) == ()
