"""Mutual nearest neighbors, against sorting distances example by example."""

import itertools

import numpy as np
import pytest
import torch

from netcaliper.errors import InputError
from netcaliper.stats.neighbors import chance, nearest, overlaps, shuffled


def gram(x: np.ndarray) -> torch.Tensor:
    xc = torch.from_numpy(x - x.mean(0))
    return xc @ xc.T


def sorted_neighbors(x: np.ndarray, k: int) -> list[set[int]]:
    found = []
    for i, row in enumerate(x):
        distance = np.linalg.norm(x - row, axis=1)
        distance[i] = np.inf
        found.append(set(np.argsort(distance, kind="stable")[:k].tolist()))
    return found


def layers(n: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    common = rng.standard_normal((n, 2))
    return [rng.standard_normal((n, p)) + 2 * common @ rng.standard_normal((2, p)) for p in (1, 3, 40)]


@pytest.mark.parametrize("k", [1, 5, 58])
def test_they_are_the_nearest_and_their_overlap_is_counted(k: int) -> None:
    x = layers()
    sets = [sorted_neighbors(z, k) for z in x]
    found = [nearest(gram(z), k) for z in x]
    for one, expected in zip(found, sets, strict=True):
        assert one is not None
        assert [set(row) for row in one.tolist()] == expected
    overlap = overlaps(found)
    for i, j in itertools.product(range(3), repeat=2):
        expected = np.mean([len(a & b) / k for a, b in zip(sets[i], sets[j], strict=True)])
        assert overlap[i, j] == pytest.approx(expected, abs=1e-12)
    assert np.diag(overlap).tolist() == [1, 1, 1]


def test_rotation_scale_and_shift_change_nothing() -> None:
    x = layers()[1]
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    moved = 3 * x @ rotation + 300
    expected = nearest(gram(x))
    assert expected is not None
    for other in (gram(moved), torch.from_numpy(moved @ moved.T)):
        found = nearest(other)
        assert found is not None
        assert found.tolist() == expected.tolist()


def test_equally_near_examples_are_taken_by_index() -> None:
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))  # every corner has three at distance 2
    found = nearest(gram(corners), 2)
    assert found is not None
    assert found.tolist() == [[1, 2], [0, 3], [0, 3], [1, 2], [0, 5], [1, 4], [2, 4], [3, 5]]


def test_independent_layers_overlap_by_chance() -> None:
    rng = np.random.default_rng(2)
    found = [nearest(gram(rng.standard_normal((400, 10))), 10) for _ in range(8)]
    pairs = overlaps(found)[np.triu_indices(8, 1)]
    assert pairs.mean() == pytest.approx(chance(400, 10), rel=0.1)


def test_chance_is_the_mean_over_all_permutations_hubs_or_not() -> None:
    rng = np.random.default_rng(3)
    n, k = 5, 2
    first, second = (
        np.array([np.sort(rng.choice(np.delete(np.arange(n), i), k, replace=False)) for i in range(n)])
        for _ in range(2)
    )
    first[:, 0], first[0] = 0, [1, 2]  # example 0 is everyone's neighbor
    first[1:, 1] = [2, 1, 1, 1]
    shares = []
    for order in itertools.permutations(range(n)):
        moved = {order[i]: {order[j] for j in second[i]} for i in range(n)}
        shares.append(np.mean([len(set(first[i]) & moved[i]) / k for i in range(n)]))
    assert np.mean(shares) == pytest.approx(chance(n, k))
    drawn = shuffled(first, second, seed=0, permutations=4000)
    assert drawn.mean() == pytest.approx(np.mean(shares), abs=0.01)
    assert drawn.std() == pytest.approx(np.std(shares), abs=0.01)


def test_a_shuffle_follows_from_its_seed_and_destroys_what_was_common() -> None:
    one, two = (nearest(gram(z), 5) for z in layers()[1:])
    assert one is not None
    assert two is not None
    drawn = shuffled(one, two, seed=4)
    assert np.array_equal(drawn, shuffled(one, two, seed=4))
    assert not np.array_equal(drawn, shuffled(one, two, seed=5))
    assert overlaps([one], [two])[0, 0] > drawn.max()


def test_gaps_stay_gaps_and_two_networks_make_a_rectangle() -> None:
    found = [nearest(gram(z), 5) for z in layers()]
    found.insert(1, nearest(torch.zeros(60, 60), 5))
    overlap = overlaps(found)
    assert np.isnan(overlap[1]).all()
    assert np.isnan(overlap[:, 1]).all()
    assert np.isfinite(np.delete(np.delete(overlap, 1, 0), 1, 1)).all()
    np.testing.assert_array_equal(overlaps(found[:2], found), overlap[:2])
    assert np.isnan(overlaps([None, None])).all()


@pytest.mark.parametrize("k", [0, 59])
def test_too_many_neighbors_are_refused(k: int) -> None:
    with pytest.raises(InputError, match=r"`k` must lie in 1\.\.58"):
        nearest(gram(layers()[0]), k)
