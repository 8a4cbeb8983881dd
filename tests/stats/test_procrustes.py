"""Procrustes distances, against the rotation itself."""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from netcaliper.errors import InputError
from netcaliper.stats.procrustes import angles, distances, factor


def gram(x: np.ndarray) -> torch.Tensor:
    xc = torch.from_numpy(x - x.mean(0))
    return xc @ xc.T


def unit(x: np.ndarray) -> np.ndarray:
    xc = x - x.mean(0)
    return xc / np.linalg.norm(xc)


def rotated(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared distance that is left after rotating one onto the other."""
    width = max(x.shape[1], y.shape[1])
    a, b = (np.pad(unit(z), ((0, 0), (0, width - z.shape[1]))) for z in (x, y))
    rotation, _ = orthogonal_procrustes(a, b)
    return float(np.linalg.norm(a @ rotation - b) ** 2)


def layers(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    widths = (3, 8, 60, 200)
    common = rng.standard_normal((50, 3))
    return [rng.standard_normal((50, p)) + common @ rng.standard_normal((3, p)) + 4 for p in widths]


def test_it_is_what_the_best_rotation_leaves() -> None:
    x = layers()
    found = distances([factor(gram(z)) for z in x])
    for i, a in enumerate(x):
        for j, b in enumerate(x):
            assert found[i, j] == pytest.approx(rotated(a, b), abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_rotation_scale_and_shift_change_nothing(offset: float) -> None:
    x, y, *_ = layers()
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    moved = 5 * x @ rotation + offset
    factors = [factor(gram(z)) for z in (x, y, moved)]
    found = distances(factors)
    assert found[0, 2] == pytest.approx(0, abs=1e-12)
    assert found[1, 2] == pytest.approx(found[0, 1], abs=1e-10)
    assert angles(found)[0, 2] == pytest.approx(0, abs=1e-6)


def test_closed_forms() -> None:
    u, v = np.linalg.qr(np.column_stack([np.ones(20), np.random.default_rng(0).standard_normal((20, 2))]))[0].T[1:]
    one, both, other = u[:, None], np.column_stack([u, v]), v[:, None]
    found = distances([factor(gram(z)) for z in (one, both, other)])
    assert found[0, 2] == pytest.approx(2)  # nothing in common
    assert found[0, 1] == pytest.approx(2 - 2 * np.sqrt(0.5))
    assert angles(found)[0, 1] == pytest.approx(np.pi / 4)
    assert angles(found)[0, 2] == pytest.approx(np.pi / 2)


def test_the_angle_satisfies_the_triangle_inequality() -> None:
    x = [z for seed in range(4) for z in layers(seed)]
    found = angles(distances([factor(gram(z)) for z in x]))
    assert found == pytest.approx(found.T)
    detours = (found[:, :, None] + found[None]).min(1)
    assert (found <= detours + 1e-7).all()


def test_float32_grams_are_enough_for_five_digits() -> None:
    x = layers()
    exact, single = (distances([factor(gram(z).to(dtype)) for z in x]) for dtype in (torch.float64, torch.float32))
    assert single == pytest.approx(exact, abs=1e-5)


def test_gaps_stay_gaps_and_two_networks_make_a_rectangle() -> None:
    factors = [factor(gram(z)) for z in layers()]
    factors.insert(1, factor(torch.zeros(50, 50)))
    found = distances(factors)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(np.delete(np.delete(found, 1, 0), 1, 1)).all()
    np.testing.assert_allclose(distances(factors[:2], factors), found[:2], atol=1e-12)


def test_too_many_examples_are_refused() -> None:
    with pytest.raises(InputError, match="at most 256 examples, got 300"):
        factor(torch.eye(300))
