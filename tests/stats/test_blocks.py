import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcaliper.errors import InputError
from netcaliper.stats.blocks import FoundBlock, _contrast, _means, _sharp, find_blocks, indices, over_seeds


def square(layers, *blocks, inside=0.97, outside=0.5):
    """Return a matrix with squares; a block is (first, last)."""
    s = np.full((layers, layers), outside)
    for first, last in blocks:
        s[first : last + 1, first : last + 1] = inside
    np.fill_diagonal(s, 1)
    return s


def noisy(s, seed, size=0.02):
    e = np.random.default_rng(seed).normal(0, size, s.shape)
    s = np.clip(s + (e + e.T) / 2, -1, 1)
    np.fill_diagonal(s, 1)
    return s


def distance(layers):
    return np.abs(np.subtract.outer(np.arange(layers), np.arange(layers))).astype(float)


def plain(s):
    return find_blocks(s, ["inner"] * len(s))


def spans(found, stratum="all"):
    return [(block.first, block.last) for block in found if block.stratum == stratum]


def checkerboard(s, kind, attenuation=0.8):
    """Return the matrix with inner layers less similar to everything."""
    c = np.where(np.array(kind) == "inner", attenuation, 1.0)
    s = s * c[:, None] * c
    np.fill_diagonal(s, 1)
    return s


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_tables_equal_loops_over_pairs(seed):
    rng = np.random.default_rng(seed)
    m = int(rng.integers(5, 12))
    s = rng.uniform(-1, 1, (m, m))
    s = (s + s.T) / 2
    error = np.full((m, m), rng.choice([0.0, 0.02]))
    means, sharp = _means(s), _sharp(s, error)
    for a in range(m):
        for b in range(a + 1, m):
            pairs = [s[i, j] for i in range(a, b + 1) for j in range(i + 1, b + 1)]
            assert means[a, b] == pytest.approx(np.mean(pairs), abs=1e-12)
            expected = True
            for t in (1, 2, 3):
                drops = [s[i, b] - s[i + t, b + t] for i in range(a, b - t + 1) if b + t < m]
                needed = max(0.1 if t == 1 else 0.05, 2 * np.sqrt(2) * error[0, 0])
                expected &= not drops or np.mean(drops) >= needed
            assert sharp[a, b] == expected
            by_distance = []
            for d in range(1, b - a + 1):
                inside = [s[i, i + d] for i in range(a, b - d + 1)]
                crossing = [s[i, i + d] for i in range(m - d) if (a <= i <= b) != (a <= i + d <= b)]
                by_distance += [(len(inside), np.mean(inside) - np.mean(crossing))] if crossing else []
            if by_distance:
                weight = sum(count for count, _ in by_distance)
                oracle = sum(count * difference for count, difference in by_distance) / weight
                assert _contrast(s, a, b) == pytest.approx(oracle, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_planted_squares_are_found_exactly_with_their_numbers(seed):
    rng = np.random.default_rng(seed)
    layers = int(rng.integers(12, 60))
    length = int(rng.integers(max(4, np.ceil(layers / 10)), layers // 2 + 1))
    first = int(rng.integers(0, layers - length + 1))
    last = first + length - 1
    outside = rng.uniform(0, 0.8)
    (found,) = plain(square(layers, (first, last), outside=outside))
    assert (found.stratum, found.first, found.last, found.layers) == ("all", first, last, length)
    assert found.share == length / layers
    assert (found.mean, found.low) == (pytest.approx(0.97), pytest.approx(0.97))
    assert found.contrast == pytest.approx(0.97 - outside)


@settings(max_examples=60)
@given(st.integers(0, 99), st.floats(0.02, 200), st.sampled_from(["exponential", "gaussian", "linear", "cauchy"]))
def test_smooth_decay_has_no_block_at_any_rate(seed, scale, kernel):
    d = distance(40) / scale
    s = {
        "exponential": np.exp(-d),
        "gaussian": np.exp(-(d**2)),
        "linear": np.maximum(1 - d, 0),
        "cauchy": 1 / (1 + d**2),
    }[kernel]
    assert plain(s) == ()
    assert plain(noisy(s, seed)) == ()


@pytest.mark.parametrize("level", [0.0, 0.5, 0.95, 1.0])
def test_a_square_over_the_whole_network_is_no_block(level):
    assert plain(square(40, outside=level)) == ()


@pytest.mark.parametrize("seed", range(5))
def test_pairs_and_triples_of_layers_are_no_blocks(seed):
    cuts = np.cumsum(np.random.default_rng(seed).integers(1, 4, 30))
    s = square(int(cuts[-1]), *zip(cuts[:-1], cuts[1:] - 1, strict=True), inside=0.99, outside=0.4)
    assert plain(noisy(s, seed)) == ()


def test_a_block_needs_a_tenth_of_the_layers():
    assert spans(plain(square(80, (20, 27)))) == [(20, 27)]
    assert plain(square(80, (20, 26))) == ()
    assert spans(plain(square(70, (20, 26)))) == [(20, 26)]


def test_a_lone_layer_that_differs_makes_no_border():
    s = square(30, outside=0.96)
    s[15, :] = s[:, 15] = 0.3
    s[15, 15] = 1
    assert plain(s) == ()
    ends = square(30, (1, 28))
    assert plain(ends) == (), "the input and the logits alone are no outside"
    assert plain(square(20, (1, 18))) == ()
    assert plain(square(30, (1, 27))) == ()
    assert spans(plain(square(30, (1, 26)))) == [(1, 26)]


def test_two_blocks_side_by_side_are_two():
    s = square(40, (5, 9), (10, 24), outside=0.4)
    s[5:10, 10:25] = s[10:25, 5:10] = 0.84
    mean = s[5:25, 5:25][np.triu_indices(20, 1)].mean()
    assert mean > 0.9, "together they would pass for one"
    assert spans(plain(s)) == [(10, 24), (5, 9)]


def test_a_slight_border_within_does_not_part_a_block():
    s = square(40, (5, 24), outside=0.4)
    s[5:15, 15:25] = s[15:25, 5:15] = 0.9
    assert spans(plain(s)) == [(5, 24)]


def test_layers_must_be_alike_on_average_and_nearly_all_of_them():
    assert plain(square(40, (10, 29), inside=0.85, outside=0.3)) == ()
    drifting, d = square(60, (20, 39), outside=0.3), distance(20)
    drifting[20:40, 20:40] = 1 - 0.0012 * d**2
    pairs = drifting[20:40, 20:40][np.triu_indices(20, 1)]
    assert pairs.mean() > 0.9
    assert np.quantile(pairs, 0.1) < 0.8
    assert plain(drifting) == ()


def test_a_few_layers_that_differ_on_either_side_are_no_contrast():
    s = square(100, outside=0.97)
    odd = [*range(27, 30), *range(70, 73)]
    s[odd, :] = 0.8
    s[:, odd] = 0.8
    np.fill_diagonal(s, 1)
    assert plain(s) == ()


def test_the_outside_and_the_length_count_all_layers_where_stream_layers_judge():
    kind = ["stream", "inner"] * 15 + ["stream"]
    found = find_blocks(checkerboard(square(31, (0, 27)), kind), kind)
    assert (spans(found), spans(found, "stream")) == ([], [(0, 26)]), "3 layers of 31 are less than a tenth"
    kind = ["stream", "inner"] * 40
    assert find_blocks(checkerboard(square(80, (20, 24)), kind), kind) == ()
    assert spans(find_blocks(checkerboard(square(80, (20, 27)), kind), kind)) == [(20, 27)]


def test_gaps_are_skipped_and_negative_values_taken():
    s = square(20, (4, 12), outside=-0.1)
    s[[2, 7, 8], :] = np.nan
    s[:, [2, 7, 8]] = np.nan
    (found,) = plain(s)
    assert (found.first, found.last, found.layers, found.share) == (4, 12, 7, 7 / 17)
    assert found.contrast == pytest.approx(1.07)
    assert plain(np.full((9, 9), np.nan)) == ()


@pytest.mark.parametrize("period", [2, 3])
@pytest.mark.parametrize("attenuation", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_a_checkerboard_does_not_break_a_block(period, attenuation, seed):
    kind = ["inner" if layer % period == 1 else "stream" for layer in range(48)]
    s = noisy(checkerboard(square(48, (11, 30)), kind, attenuation), seed, 0.01)
    found = find_blocks(s, kind)
    ((first, last),) = spans(found)
    assert max(abs(first - 11), abs(last - 30)) <= 1
    inside = [layer for layer in range(11, 31) if kind[layer] == "stream"]
    assert spans(found, "stream") == [(inside[0], inside[-1])]
    assert find_blocks(noisy(checkerboard(square(48), kind, attenuation), seed), kind) == ()


def test_several_inner_layers_between_stream_layers():
    kind = ["stream" if layer % 7 > 4 else "inner" for layer in range(140)]
    s = noisy(checkerboard(square(140, (40, 93)), kind), 0, 0.01)
    assert spans(find_blocks(s, kind)) == [(40, 93)]


def test_inner_layers_without_a_part_in_it_leave_a_block_of_the_stream_only():
    kind = ["stream", "inner"] * 20
    s = square(40, (10, 25), outside=0.4)
    inner = np.array(kind) == "inner"
    s[inner, :] = s[:, inner] = 0.2
    np.fill_diagonal(s, 1)
    found = find_blocks(s, kind)
    assert spans(found) == []
    assert spans(found, "stream") == [(10, 24)]


def test_a_block_beside_the_stream_layers_is_found_too():
    kind = ["inner"] * 30 + ["stream", "inner"] * 8
    found = find_blocks(square(46, (5, 20)), kind)
    assert spans(found) == [(5, 20)]
    assert spans(found, "stream") == []


def test_fewer_than_six_stream_layers_are_no_stratum():
    kind = ["stream"] * 5 + ["inner"] * 20
    found = find_blocks(square(25, (0, 9)), kind)
    assert spans(found) == [(0, 9)]
    assert spans(found, "stream") == []


def test_order_turned_round_gives_the_same_blocks():
    for seed in range(10):
        s = noisy(square(40, (3, 9), (15, 30)), seed)
        assert sorted((39 - last, 39 - first) for first, last in spans(plain(s[::-1, ::-1]))) == sorted(spans(plain(s)))


def test_large_standard_errors_leave_nothing_to_say():
    s = square(30, (8, 19))
    kind = ["inner"] * 30
    assert spans(find_blocks(s, kind, np.full((30, 30), 0.05))) == [(8, 19)]
    assert spans(find_blocks(s, kind, np.full((30, 30), np.nan))) == [(8, 19)]
    assert find_blocks(s, kind, np.full((30, 30), 0.3)) == ()


def test_indices_and_their_spread_over_seeds():
    assert indices(()).excess is None
    found = (
        FoundBlock("all", 0, 9, 10, 0.25, 0.97, 0.9, 0.4),
        FoundBlock("all", 20, 29, 10, 0.25, 0.97, 0.9, 0.2),
        FoundBlock("stream", 0, 9, 5, 0.2, 0.97, 0.9, 0.7),
    )
    ours = indices(found)
    assert (ours.blocks, ours.fraction, ours.excess) == (2, 0.5, pytest.approx(0.3))
    assert indices(found, "stream").fraction == 0.2
    kind = ["inner"] * 20
    over = over_seeds([square(20, (0, 9)), square(20, (5, 8)), square(20)], kind)
    assert (over.seeds, over.with_block) == (3, 2)
    assert over.fraction == pytest.approx(np.mean([0.5, 0.2, 0]))
    assert over.fraction_sd == pytest.approx(np.std([0.5, 0.2, 0], ddof=1))
    assert (over.excess, over.excess_sd) == (pytest.approx(0.47), pytest.approx(0, abs=1e-12))
    one = over_seeds([square(20)], kind)
    assert (one.fraction, one.fraction_sd, one.excess, one.excess_sd) == (0, None, None, None)


def test_the_deepest_network_of_the_paper_takes_a_moment():
    kind = ["stream" if layer % 7 > 4 else "inner" for layer in range(576)]
    s = noisy(checkerboard(square(576, (100, 299), (400, 499)), kind), 0, 0.01)
    start = time.process_time()
    found = find_blocks(s, kind)
    assert time.process_time() - start < 10
    for (first, last), (a, b) in zip(spans(found), [(100, 299), (400, 499)], strict=True):
        assert max(abs(first - a), abs(last - b)) <= 1


@pytest.mark.parametrize("layers", range(6))
def test_small_stacks_have_no_block(layers):
    for value in (np.nan, 0.0, 1.0):
        assert plain(np.full((layers, layers), value)) == ()


def broken(change):
    s = square(12)
    change(s)
    return s


@pytest.mark.parametrize(
    ("s", "kind", "error", "words"),
    [
        (square(12), ["inner"] * 12, np.zeros((3, 3)), "standard_error: must have the shape of cka"),
        (square(12)[:, :9], ["inner"] * 12, None, r"cka: must be square, got shape \(12, 9\)"),
        (square(12), ["inner"] * 11, None, "kind: one for each layer is needed, got 11 for 12"),
        (square(12), ["inner"] * 11 + ["add"], None, "kind: must be 'stream' or 'inner', got 'add'"),
        (broken(lambda s: s.__setitem__((1, 2), np.nan)), ["inner"] * 12, None, "whole row and column"),
        (broken(lambda s: s.__setitem__((1, 2), np.inf)), ["inner"] * 12, None, "whole row and column"),
        (broken(lambda s: s.__setitem__((1, 2), 0.7)), ["inner"] * 12, None, "must be symmetric"),
        (square(12, outside=1.2), ["inner"] * 12, None, r"must lie in \[-1, 1\], got 1.2"),
        (square(12), ["inner"] * 12, np.full((12, 12), -0.1), "standard_error: must be >= 0"),
    ],
)
def test_what_cannot_be_used_is_refused(s, kind, error, words):
    with pytest.raises(InputError, match=words):
        find_blocks(s, kind, error)


def test_no_seed_is_refused():
    with pytest.raises(InputError, match="matrices: at least one"):
        over_seeds([], [])
