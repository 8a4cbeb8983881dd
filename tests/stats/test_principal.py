"""Principal components in example space, against the singular value decomposition of the features."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD

from netcaliper.errors import InputError
from netcaliper.stats import principal as module
from netcaliper.stats.held_gram import CONSTANT
from netcaliper.stats.principal import cosine_map, principal, removed


def features(n: int, p: int, seed: int = 0, decay: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)) * np.arange(1, p + 1) ** -decay + 3


def gram(x: np.ndarray) -> torch.Tensor:
    xc = torch.from_numpy(x - x.mean(0))
    return xc @ xc.T


def svd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return u, s**2


@pytest.mark.parametrize(("n", "p", "k"), [(30, 5, 3), (30, 90, 29), (300, 20, 3), (300, 400, 15), (600, 50, 5)])
def test_they_are_those_of_the_features(n: int, p: int, k: int) -> None:
    x = features(n, p)
    u, lam = svd(x)
    found = principal(gram(x), k)
    at_most = min(k, p)
    assert found.reason is None
    assert found.trace == pytest.approx(lam.sum(), rel=1e-12)
    assert found.share[:at_most] == pytest.approx(lam[:at_most] / lam.sum(), rel=1e-9, abs=1e-13)
    assert found.participation == pytest.approx(lam.sum() ** 2 / (lam**2).sum(), rel=1e-10)
    cosines = np.abs(np.sum(found.scores[:, :at_most] * u[:, :at_most], axis=0))
    assert cosines[: min(k, 3)] == pytest.approx(np.ones(min(k, 3)), abs=1e-7)
    assert np.linalg.norm(found.scores, axis=0) == pytest.approx(np.ones(k), abs=1e-10)
    largest = np.abs(found.scores).argmax(0)
    assert (found.scores[largest, np.arange(k)] > 0).all()


@pytest.mark.parametrize("n", [40, 400])
def test_no_offset_rotation_or_scale_changes_them_and_every_call_gives_the_same(n: int) -> None:
    x = features(n, 12)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((12, 12)))[0]
    first = principal(gram(x), 2)
    moved = x @ rotation * 7 + 5
    for other in (gram(moved), torch.from_numpy(moved @ moved.T)):
        second = principal(other, 2)
        assert second.share == pytest.approx(first.share, rel=1e-9)
        assert second.scores == pytest.approx(first.scores, abs=1e-7)
    again = principal(gram(x), 2)
    assert np.array_equal(again.scores, first.scores)


def test_the_share_is_right_where_the_official_code_loses_it() -> None:
    # v_1 of one sign over features: the official route centers it away
    rng = np.random.default_rng(0)
    n, p = 200, 400
    x = rng.standard_normal((n, p)) + 2.05 * rng.standard_normal((n, 1))
    xc = x - x.mean(0)
    _, lam = svd(x)
    truth = lam[0] / lam.sum()
    official = TruncatedSVD(1, random_state=0).fit(xc.T).explained_variance_ratio_[0]
    assert truth > 0.75
    assert official < 0.05
    assert principal(gram(x)).share[0] == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_removal_takes_the_components_out_of_the_features(dtype: torch.dtype) -> None:
    x = features(60, 15, decay=2.0)
    u, s, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    rest = (u[:, 2:] * s[2:]) @ vt[2:]
    K = gram(x).to(dtype)
    found = removed(K, principal(K, 3), 2)
    assert found.dtype == dtype
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    assert (found.double().numpy() / np.trace(K)) == pytest.approx(rest @ rest.T / float(K.trace()), abs=tolerance)


def test_cosines_are_squared_and_gaps_stay_gaps() -> None:
    x, y = features(50, 6, 1, 2.0), features(50, 9, 2, 2.0)
    first = [principal(gram(z)).scores[:, 0] for z in (x, y, np.ones((50, 2)))]
    first[1] = -first[1]
    found = cosine_map(first)
    assert found[0, 0] == pytest.approx(1)
    assert found[0, 1] == pytest.approx((svd(x)[0][:, 0] @ svd(y)[0][:, 0]) ** 2, abs=1e-9)
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2]).all()
    assert cosine_map(first[:1], first[:2]) == pytest.approx(found[:1, :2], rel=1e-12)


def test_a_first_component_that_carries_all_makes_cka_the_squared_cosine() -> None:
    rng = np.random.default_rng(3)
    u, v = rng.standard_normal((2, 40))
    a, b = (gram(np.outer(w, rng.standard_normal(5))) for w in (u, u + v))
    cka = float((a * b).sum() / (a.norm() * b.norm()))
    assert cosine_map([principal(a).scores[:, 0], principal(b).scores[:, 0]])[0, 1] == pytest.approx(cka, rel=1e-9)


def test_a_constant_layer_is_a_named_gap() -> None:
    K = torch.zeros(10, 10)
    found = principal(K, 2)
    assert found.reason == CONSTANT
    assert np.isnan(found.share).all()
    assert found.scores.shape == (10, 2)
    assert torch.equal(removed(K, found), K)


def test_components_that_there_are_not_are_refused() -> None:
    K = gram(features(10, 3))
    with pytest.raises(InputError, match=r"`k` must lie in 1\.\.9"):
        principal(K, 10)
    with pytest.raises(InputError, match=r"`k` must lie in 1\.\.1"):
        removed(K, principal(K), 2)


def test_where_lanczos_does_not_converge_all_eigenvectors_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = features(300, 20)
    expected = principal(gram(x), 2)

    def never(*args: object, **options: object) -> None:
        raise module.ArpackNoConvergence("no", np.zeros(0), np.zeros((300, 0)))

    monkeypatch.setattr(module, "eigsh", never)
    found = principal(gram(x), 2)
    assert found.scores == pytest.approx(expected.scores, abs=1e-8)
    assert found.share == pytest.approx(expected.share, rel=1e-10)
