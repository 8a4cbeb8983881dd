"""One palette for every figure and the page: told apart by the color-blind, and in lightness as well as in hue.

Hues follow Okabe and Ito (2008), "Color Universal Design"; they hold on a light and on a dark ground. Needed and
absorbable are two lightnesses of one hue: together they are what is left after the exact classes.
"""

PARTITION = {
    "dead": ("never active", "#5f6672"),
    "constant": ("constant", "#b4b9c2"),
    "duplicate": ("copy of another", "#e69f00"),
    "dependent": ("combination of others", "#d55e00"),
    "absorbable": ("absorbable by the next layer", "#7cc4ee"),
    "needed": ("the rest (needed)", "#2a7fbf"),
    "unjudged": ("not judged", "#8892a04d"),
}
"""Class of a unit: (label, color), in order of precedence."""

STATES = {
    "always_on": ("always on (linear)", "#009e73"),
    "mixed": ("switches (bends)", "#56b4e9"),
    "always_off": ("always off", "#5f6672"),
}
"""State of a unit of a piecewise-linear activation: (label, color)."""

DEPTH = ("#3f66c4", "#2b9c94", "#dd9a1a")
"""From the first site of the graph to the last."""

INTENSITY = ("#2a7fbf14", "#2a7fbfff")
"""Share of units, none to all: a matter of opacity, so that more stands out more on either ground."""

LINE = "#2a7fbf"

TWIN = "#7d8794"
"""The untrained twin, beside the network in ``LINE``."""

NETWORKS = ("#2a7fbf", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9")
"""Networks that are compared, in order; from the seventh on they start over."""

SIMILARITY = {
    -0.25: "#2fd0bd", -0.001: "#0c3a35", 0.0: "#000004", 0.2: "#2d115f", 0.4: "#721f81", 0.6: "#b73779", 0.8: "#f1605d",
    0.9: "#fd9a6a", 1.0: "#fcfdbf",
}  # fmt: skip
"""Similarity: (value, color), black at zero and bright at one, after van der Walt's magma; teal below zero."""

GAP = "#8892a0"
"""A cell without a number."""

OUTLINE, OUTLINE_AROUND = "#ffffff", "#00000099"
"""The border of a block on a matrix: seen on its bright inside and on what is dark outside."""

POINTS = {
    "learned": ("learned: the penalty chose", "#2a7fbf", "circle"),
    "random": ("random units, as many of every site", "#e69f00", "square"),
    "layer": ("whole layers", "#009e73", "diamond"),
    "one_shot": ("straightest first, at once", "#cc79a7", "triangle-up"),
    "shallow": ("smaller network from scratch", "#d55e00", "cross"),
    "unbent": ("unbent reference", "#7d8794", "circle"),
}
"""Trainings of a linearization: (label, color, shape)."""

BENDS = {-1.0: "#e8f6ff", 0.0: "#56b4e9", 0.999: "#1d3346", 1.0: "#1b222b", 1.001: "#3d2c10", 2.0: "#e69f00"}
"""Alpha of a unit: (value, color), dark where it is linear (1), bright as it was (0); beyond linear in another hue."""

SHRUNK = {
    "select": ("on the way, select examples", "#2a7fbf", "circle"),
    "verify": ("this network, verify examples", "#2a7fbf", "diamond"),
    "random": ("random units", "#e69f00", "square"),
    "random_refitted": ("random units, fitted again", "#e69f00", "triangle-up"),
    "magnitude": ("smallest weights", "#d55e00", "square"),
    "magnitude_refitted": ("smallest weights, fitted again", "#d55e00", "triangle-up"),
}
"""Networks that are smaller: (label, color, shape)."""
