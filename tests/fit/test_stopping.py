"""The best epoch is the first of the best; a training is over when waiting is."""

import pytest

from netcaliper.fit.stopping import best_epoch, is_over


@pytest.mark.parametrize(
    ("watched", "best", "over"),
    [
        ([], 0, False),
        ([0.5], 1, False),
        ([0.5, 0.5], 1, False),  # as good is not better
        ([0.5, 0.5, 0.4], 1, True),
        ([0.5, 0.4, 0.6, 0.5], 3, False),
        ([0.5, 0.4, 0.6, 0.5, 0.6], 3, True),
        ([0.5, 1.0], 2, True),  # nothing can be better
        ([0.0, 0.0, 0.0], 1, True),
    ],
)
def test_patience_of_two(watched, best, over):
    assert best_epoch(watched) == best
    assert is_over(watched, 2) is over


def test_patience_counts_from_the_best_epoch():
    watched = [0.1, 0.3, 0.2, 0.2, 0.2]
    assert [patience for patience in range(1, 6) if is_over(watched, patience)] == [1, 2, 3]
