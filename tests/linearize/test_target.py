"""A target is met exactly where the share, or the path length, is small enough."""

import torch

from netcaliper.linearize.target import Target
from netcaliper.measure.path_length import path_length


def bend(bending, first, second):
    names = list(bending.sites)
    bending.set_active({names[0]: torch.arange(4) < first, names[1]: torch.arange(3) < second})


def test_no_target_has_no_test(bending):
    assert Target().test(bending) is None


def test_a_share_of_units(bending):
    met = Target(active=4 / 7).test(bending)
    assert met is not None
    assert not met()
    bend(bending, 3, 2)
    assert not met()
    bend(bending, 2, 2)
    assert met()


def test_a_path_length(bending):
    met = Target(path_length=1.0).test(bending)
    assert met is not None
    for first, second in ((4, 3), (4, 1), (2, 2), (4, 0), (1, 2), (0, 0)):
        bend(bending, first, second)
        active = {name: mine.numpy() for name, mine in bending.active().items()}
        exact = path_length(bending.graph, active).normalized
        assert exact is not None
        assert met() == (exact <= 1.0), (first, second)
