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
