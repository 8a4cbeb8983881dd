"""Classes are told apart by everybody: simulated color blindness leaves their colors well apart."""

from itertools import combinations

import numpy as np
import pytest

from netcaliper.report.palette import LINE, PARTITION, POINTS, TWIN

SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""What linear RGB looks like to an eye (Machado, Oliveira and Fernandes 2009, severity 1)."""

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
LEAST = 15.0
"""CIE 1976 difference of two colors that are told apart at a glance; 2 is just noticeable side by side."""


def seen(color, sight):
    """CIELAB of a color as an eye sees it."""
    channels = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    x, y, z = TO_XYZ @ np.clip(SIGHT[sight] @ linear, 0, 1) / np.array([0.95047, 1, 1.08883])
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_classes_are_told_apart(sight):
    colors = {name: color for name, (_, color) in PARTITION.items() if name != "unjudged"}
    for a, b in combinations(colors, 2):
        assert np.linalg.norm(seen(colors[a], sight) - seen(colors[b], sight)) >= LEAST, (a, b)
    assert np.linalg.norm(seen(LINE, sight) - seen(TWIN, sight)) >= LEAST


@pytest.mark.parametrize("sight", SIGHT)
def test_trainings_of_one_shape_are_told_apart_by_color(sight):
    pairs = [(a, b) for a, b in combinations(POINTS, 2) if POINTS[a][2] == POINTS[b][2]]
    assert pairs == [("learned", "unbent")]
    for a, b in pairs:
        assert np.linalg.norm(seen(POINTS[a][1], sight) - seen(POINTS[b][1], sight)) >= LEAST
