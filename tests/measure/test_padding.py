"""What fills up a batch is nowhere counted: a padded batch reads as the same sentences one by one."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import netcaliper as nc
from netcaliper.errors import DataError
from netcaliper.feed.protocol import Plan
from netcaliper.measure.needed import needed
from netcaliper.measure.prunable import prunable
from netcaliper.reading.reading import Reading
from netcaliper.stats.sampling import VERIFY
from netcaliper.trace.graph import Graph
from padded_models import Classifier, Convolution, Language, Translator, built, padded, sentences

COUNT = 56
TARGETS = torch.arange(COUNT) % 3


def batch_of(first: int, last: int, **how: Any) -> tuple[dict[str, Tensor], Tensor]:
    ids, mask = padded(sentences(COUNT)[first:last], **how)
    return {"input_ids": ids, "attention_mask": mask}, TARGETS[first:last]


def one_by_one() -> list[Any]:
    return [batch_of(i, i + 1) for i in range(COUNT)]


def by_length() -> list[Any]:
    """The same in as few batches as there are changes of length from one sentence to the next."""
    lengths = list(map(len, sentences(COUNT)))
    starts = [0] + [i for i in range(1, COUNT) if lengths[i] != lengths[i - 1]] + [COUNT]
    return [batch_of(first, last) for first, last in pairwise(starts)]


def translations(first: int, last: int, *, left: bool = False, fill: int = 0) -> dict[str, Tensor]:
    ids, mask = padded(sentences(COUNT)[first:last], left=left, fill=fill)
    theirs, their_mask = padded(sentences(COUNT, seed=1)[first:last], fill=fill)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "decoder_input_ids": theirs,
        "decoder_attention_mask": their_mask,
    }


def read(graph: Graph, data: Sequence[Any], **more: Any) -> Reading:
    return nc.measure(graph, data, twin=False, **{"skip": ("needed_at_97", "prunable"), **more})


def same(one: Reading, other: Reading) -> None:
    """Compare everything but the cost and the bytes of the data."""

    def compare(a: Any, b: Any, where: str) -> None:
        if isinstance(a, Mapping):
            assert set(a) == set(b), where
            for key in a:
                if key not in ("macs", "provenance", "cost"):
                    compare(a[key], b[key], f"{where}.{key}")
        elif isinstance(a, (list, tuple)):
            assert len(a) == len(b), where
            for place, (mine, theirs) in enumerate(zip(a, b, strict=True)):
                compare(mine, theirs, f"{where}[{place}]")
        elif isinstance(a, float):
            assert a == pytest.approx(b, rel=1e-8, abs=1e-10, nan_ok=True), where
        else:
            assert a == b, where

    compare(one.model_dump(exclude={"arrays"}), other.model_dump(exclude={"arrays"}), "")
    for name, array in one.arrays.items():
        theirs = other.arrays[name]
        if np.issubdtype(array.dtype, np.floating):
            assert np.allclose(array, theirs, rtol=1e-7, atol=1e-9, equal_nan=True), name
        else:
            assert np.array_equal(array, theirs), name


WAYS: dict[str, Callable[[], list[Any]]] = {
    "one batch": lambda: [batch_of(0, COUNT)],
    "to the left": lambda: [batch_of(0, COUNT, left=True)],
    "longer than any": lambda: [batch_of(0, COUNT, length=14)],
    "other ids under the padding": lambda: [batch_of(0, COUNT, fill=5)],
    "batches of other lengths": lambda: [batch_of(i, min(i + 7, COUNT)) for i in range(0, COUNT, 7)],
}


@pytest.fixture(scope="module")
def classifier() -> tuple[Graph, Reading]:
    graph = nc.trace(built(Classifier(), 3), batch_of(0, 4))
    return graph, read(graph, one_by_one())


@pytest.mark.parametrize("way", WAYS)
def test_a_padded_batch_reads_as_the_sentences_one_by_one(way: str, classifier: tuple[Graph, Reading]) -> None:
    graph, plain = classifier
    same(plain, read(graph, WAYS[way]()))


def test_the_numbers_are_those_of_valid_tokens_written_out(classifier: tuple[Graph, Reading]) -> None:
    """The oracle: every sentence through the model itself, a forward hook on the activation."""
    graph, plain = classifier
    (number,) = [i for i, site in enumerate(plain.sites) if site.name == "body.layer.feed.1"]
    rows: list[np.ndarray] = []
    handle = graph.model.get_submodule("body.layer.feed.1").register_forward_hook(
        lambda module, inputs, output: rows.append(output[0].numpy())
    )
    split = Plan(COUNT, 0).split
    with torch.no_grad():
        for index, (inputs, _) in enumerate(one_by_one()):
            if split[index] != VERIFY:
                graph.model(**inputs)
    handle.remove()
    seen = np.concatenate(rows)
    shares = plain.sites[number]
    assert shares.positions == max(map(len, sentences(COUNT)))
    assert shares.linear_zone is not None
    assert shares.linear_zone.sample == len(seen)
    assert shares.linear_zone.value == pytest.approx((seen > 0).mean())
    assert plain.arrays[f"{number}/mean"] == pytest.approx(seen.mean(0))
    assert plain.arrays[f"{number}/std"] == pytest.approx(seen.std(0, ddof=1))


def test_a_language_model_whose_experts_read_the_tokens_of_all_examples_in_a_row() -> None:
    graph = nc.trace(built(Language(experts=True)), batch_of(0, 4))
    assert {"body.layer.feed.relu", "body.layer.feed.relu#2"} <= {site.name for site in graph.sites}
    plain = read(graph, one_by_one())
    assert plain.network.agreement is not None
    same(plain, read(graph, WAYS["one batch"]()))
    same(plain, read(graph, WAYS["to the left"]()))


def test_an_encoder_and_a_decoder_with_masks_of_their_own() -> None:
    graph = nc.trace(built(Translator()), translations(0, 4))
    plain = read(graph, [translations(i, i + 1) for i in range(COUNT)])
    positions = {site.name: site.positions for site in plain.sites}
    assert positions["encoder.layer.feed.1"] == max(map(len, sentences(COUNT)))
    assert positions["decoder.layer.feed.1"] == max(map(len, sentences(COUNT, seed=1)))
    ways: list[dict[str, Any]] = [{"left": True}, {"fill": 5}]
    for how in ways:
        same(plain, read(graph, [translations(0, 30, **how), translations(30, COUNT, **how)]))


@pytest.mark.parametrize(("ablation", "order"), [("mean", "random"), ("zero", "correlated"), ("noise", "random")])
def test_ablations_leave_padding_out(ablation: Any, order: Any, classifier: tuple[Graph, Reading]) -> None:
    graph, _ = classifier
    one, other = (
        prunable(graph, data, ablation=ablation, order=order, scope=["body.layer.feed.1"])
        for data in (by_length(), WAYS["longer than any"]())
    )
    mine, theirs = (found.network.arrays["ablation_divergence"] for found in (one, other))
    assert mine.max() > 0
    assert mine == pytest.approx(theirs, abs=1e-9)


def test_a_window_over_tokens_is_not_judged_where_it_may_reach_padding() -> None:
    graph = nc.trace(built(Convolution()), batch_of(0, 4))
    padding = needed(graph, [batch_of(0, COUNT)])[0][0]
    assert padding.reason is not None
    assert "windows reach over tokens" in padding.reason
    whole = [batch_of(i, i + 1) for i in range(COUNT)]
    assert needed(graph, whole)[0][0].reason is None  # without padding it is


def test_positions_that_are_no_tokens_are_skipped_with_a_reason() -> None:
    graph = nc.trace(built(Convolution(stride=2)), batch_of(0, 4))
    reading = read(graph, [batch_of(0, COUNT)])
    before, after = reading.sites
    assert before.linear_zone is not None
    assert after.linear_zone is None
    assert after.dead is None or after.dead == 0
    assert after.reason is not None
    assert "its positions are not the tokens of `attention_mask`" in after.reason
    assert "1/linear_share" not in reading.arrays
    whole = read(graph, one_by_one())
    assert whole.sites[1].linear_zone is not None
    mean = read(graph, [batch_of(0, COUNT)], ablation="mean", skip=())
    assert "there is no mean" in str(mean.sites[1].reason)
    for ablation in ("mean", "noise"):
        with pytest.raises(DataError, match="without padding"):
            prunable(graph, [batch_of(0, COUNT)], ablation=ablation)  # type: ignore[arg-type]
