"""Dominant examples: planted ones are found; overlaps against their chance level."""

import itertools

import numpy as np
import pytest
import torch

from netcaliper.errors import InputError
from netcaliper.stats.dominant import chance, count_of, dominant, jaccard, read_at, stability
from netcaliper.stats.principal import principal


def test_planted_examples_are_found_in_their_order() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 30))
    planted = np.array([400, 7, 123, 250, 88])
    x[planted] += np.linspace(100, 60, 5)[:, None] * rng.standard_normal(30) / np.sqrt(30)
    xc = torch.from_numpy(x - x.mean(0))
    K = xc @ xc.T
    found = dominant(principal(K).scores[:, 0], K.diagonal().numpy())
    assert found is not None
    assert found.examples.tolist() == planted.tolist()
    norms = np.square(xc.numpy()).sum(1)
    assert found.variance == pytest.approx(norms[planted].sum() / norms.sum())
    assert found.weight > 0.95
    assert found.share == 0.01


def test_equally_dominant_ones_keep_their_order_and_a_gap_has_none() -> None:
    even = np.full(10, np.sqrt(0.1))
    found = dominant(even, np.ones(10), 0.5)
    assert found is not None
    assert found.examples.tolist() == [0, 1, 2, 3, 4]
    assert (found.weight, found.variance) == (pytest.approx(0.5), pytest.approx(0.5))
    assert dominant(np.full(10, np.nan), np.zeros(10)) is None


@pytest.mark.parametrize(("n", "share", "count"), [(100, 0.01, 4), (2000, 0.01, 20), (2001, 0.01, 21), (100, 0.07, 7)])
def test_how_many_count(n: int, share: float, count: int) -> None:
    assert count_of(n, share) == count


@pytest.mark.parametrize(("n", "share"), [(100, 0.0), (100, 1.0), (4, 0.01), (100, 0.999)])
def test_shares_that_leave_nothing_are_refused(n: int, share: float) -> None:
    with pytest.raises(InputError, match="`share` must"):
        count_of(n, share)


def test_overlap_by_hand() -> None:
    sets = [np.array([1, 2, 3, 4]), np.array([4, 3, 9, 8]), None, np.array([1, 2, 3, 4])]
    found = jaccard(sets)
    assert found[0, 1] == found[1, 0] == pytest.approx(2 / 6)
    assert found[0, 3] == found[0, 0] == 1
    assert np.isnan(found[2]).all()
    assert stability(sets) == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert stability([None, sets[0]]) is None


@pytest.mark.parametrize(("n", "first", "second"), [(6, 2, 2), (6, 2, 3), (5, 4, 4)])
def test_chance_is_the_mean_over_all_sets(n: int, first: int, second: int) -> None:
    fixed = set(range(first))
    overlaps = [len(fixed & set(other)) / len(fixed | set(other)) for other in itertools.combinations(range(n), second)]
    assert chance(n, first, second) == pytest.approx(np.mean(overlaps))


def test_where_they_are_read() -> None:
    shares = np.array([0.1, 0.9, np.nan, 0.3, 0.4])
    assert read_at(shares) == 1
    assert read_at(shares, (3, 4)) == 3
    assert read_at(shares, (0, 4)) == 1  # the middle is a gap; of its neighbors the earlier
    assert read_at(shares, (2, 2)) == 1  # nothing but gaps in the block
    assert read_at(np.array([0.5, 0.1, 0.2]), (0, 2)) == 1
    assert read_at(np.full(3, np.nan)) is None
