"""Blocks left out: planted blocks, forks against full runs, the order in which they go, and what is confirmed."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netcaliper.compare.deletion import MARGIN, Deletions, delete_blocks, deletion_passes
from netcaliper.errors import DataError, InputError
from netcaliper.feed.protocol import Plan
from netcaliper.stats.sampling import VERIFY
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.trace import trace
from netcaliper.zoo.decoder import Decoder
from networks import randomized

EXAMPLES = 1700


class Chain(nn.Module):
    """Four blocks in two stages: the first carries everything, the second and last do nothing, the third little."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = nn.Linear(4, 6), nn.Linear(6, 5)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.third, self.fourth = nn.Linear(5, 5), nn.Linear(5, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        x = x + torch.relu(self.first(x))
        x = x + self.second(torch.tanh(x))
        x = torch.tanh(self.down(x))
        x = x + self.third(x)
        x = x + self.fourth(torch.relu(x))
        return self.head(x)


@cache
def _chain() -> tuple[Graph, Tensor]:
    model = randomized(Chain(), 0)
    with torch.no_grad():
        model.first.weight *= 6  # type: ignore[operator,union-attr]
        model.third.weight *= 0.2  # type: ignore[operator,union-attr]
        for layer in (model.second, model.fourth):
            layer.weight.zero_()  # type: ignore[operator,union-attr]
            layer.bias.zero_()  # type: ignore[operator,union-attr]
    x = torch.randn(EXAMPLES, 4, generator=torch.Generator().manual_seed(0))
    return trace(model, x[:4]), x


@cache
def _labels() -> Tensor:
    """Nine of ten labels are what the network says."""
    graph, x = _chain()
    said = graph.run(x).output.argmax(-1)
    return torch.where(torch.arange(EXAMPLES) % 10 == 0, (said + 1) % 3, said)


@cache
def _left_out(labels: bool) -> Deletions:
    graph, x = _chain()
    return _done(
        graph, [(x[i : i + 500], _labels()[i : i + 500]) if labels else x[i : i + 500] for i in range(0, EXAMPLES, 500)]
    )


def _done(graph: Graph, data: list, examples: int = EXAMPLES, **settings: float) -> Deletions:
    found = delete_blocks(graph, data, Plan(examples, 0), **settings)  # type: ignore[arg-type]
    assert isinstance(found, Deletions)
    return found


def _by_hand(graph: Graph, x: Tensor, found: Deletions, dropped: frozenset[int]) -> Tensor:
    keys = {NODE + found.found.blocks[block].branch: torch.zeros_like for block in dropped}
    return graph.run(x, overrides=keys).output.argmax(-1)


@pytest.mark.parametrize("labels", [False, True])
def test_every_score_is_that_of_a_full_run(labels: bool) -> None:
    graph, x = _chain()
    found = _left_out(labels)
    free = np.flatnonzero(Plan(EXAMPLES, 0).split != VERIFY)
    chosen = torch.from_numpy(free[np.arange(1000) * len(free) // 1000])
    truth = _labels()[chosen] if labels else graph.run(x).output.argmax(-1)[chosen]
    assert {1, 2, 3, 4} <= {len(dropped) for dropped in found.scores}
    for dropped, scores in found.scores.items():
        expected = (_by_hand(graph, x, found, dropped)[chosen] == truth).double().numpy()
        np.testing.assert_array_equal(scores, expected, err_msg=str(dropped))


@pytest.mark.parametrize("labels", [False, True])
def test_empty_blocks_can_go_and_the_one_that_carries_everything_cannot(labels: bool) -> None:
    found = _left_out(labels)
    record = found.record({"add#2": 7})
    told = [block.droppable for block in record.blocks]
    assert told[1] is True
    assert told[3] is True
    assert told[0] is False
    assert [block.stage for block in record.blocks] == [0, 0, 1, 1]
    assert [block.layer for block in record.blocks] == [None, 7, None, None]
    assert record.metric == ("accuracy" if labels else "agreement")
    assert record.plain == pytest.approx(0.9 if labels else 1.0, abs=0.02)
    assert set(found.together[:2]) == {1, 3}
    assert found.together[-1] == 0
    assert record.droppable == 2
    assert record.lost == 0.0
    assert record.lost_high is not None
    assert record.lost_high <= MARGIN
    assert "2 of 4 residual blocks can go together" in record.sentence


def test_the_arrays_hold_the_sweeps() -> None:
    found = _left_out(True)
    arrays, scores = found.arrays, found.scores
    assert arrays["drop_stage_end"][0] == scores[frozenset({0, 1})].mean()
    assert arrays["drop_stage_end"][2] == scores[frozenset({2, 3})].mean()
    assert arrays["drop_leave_one_out"][2] == scores[frozenset({2})].mean()
    assert (arrays["drop_leave_one_out_low"] <= arrays["drop_leave_one_out"]).all()
    assert (arrays["drop_leave_one_out"] <= arrays["drop_leave_one_out_high"]).all()
    order = arrays["drop_random_order"].astype(int)
    assert order.shape == (3, 4)
    assert (np.sort(order, 1) == np.arange(4)).all()
    for row, curve in zip(order, arrays["drop_random"], strict=True):
        assert [scores[frozenset(row[: k + 1].tolist())].mean() for k in range(4)] == curve.tolist()
    everything = scores[frozenset(range(4))].mean()
    assert (arrays["drop_random"][:, -1] == everything).all()
    assert arrays["drop_together"][-1] == everything


def test_batches_change_nothing() -> None:
    graph, x = _chain()
    other = _done(graph, [x[i : i + 170] for i in range(0, EXAMPLES, 170)])
    for name, array in _left_out(False).arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)
    assert other.confirmed == _left_out(False).confirmed


def test_too_few_examples_to_say() -> None:
    graph, x = _chain()
    found = _done(graph, [x[:300]], 300)
    assert found.confirmed.droppable is None
    assert found.confirmed.needed == 299
    assert "cannot be said with" in found.sentence
    assert found.record({}).blocks[1].droppable is None  # 0 of about 225 changed: up to 1.3 % could


def test_labels_to_be_ignored_are_left_out() -> None:
    graph, x = _chain()
    labels = torch.where(torch.arange(EXAMPLES) % 2 == 0, -100, _labels())
    found = _done(graph, [(x, labels)])
    assert found.metric == "accuracy"
    assert 400 < len(found.plain) < 600


def test_a_constant_answer_is_warned_about() -> None:
    graph, x = _chain()
    few = x[:200]
    said = graph.run(few).output.argmax(-1)
    assert not _left_out(False).warnings
    wrong = _done(graph, [(few, (said + 1) % 3)], 200)
    assert "nothing to lose" in wrong.warnings[0]


def test_tokens_are_compared_by_agreement_and_their_padding_is_left_out() -> None:
    model = randomized(Decoder(8, 1, 2, vocabulary=11, length=6), 0)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 11, (60, 6), generator=generator)
    mask = (torch.arange(6) < torch.randint(2, 7, (60, 1), generator=generator)).long()
    graph = trace(model, {"input_ids": ids[:4], "attention_mask": mask[:4]})
    found = _done(graph, [{"input_ids": ids, "attention_mask": mask}], 60)
    assert (found.metric, found.binary) == ("agreement", False)
    chosen = np.flatnonzero(Plan(60, 0).split != VERIFY)
    batch = {"input_ids": ids, "attention_mask": mask}
    keys = {NODE + found.found.blocks[0].branch: torch.zeros_like}
    before, after = (graph.run(batch, overrides=over).output.argmax(-1) for over in ({}, keys))
    expected = ((before == after) & (mask == 1)).sum(1) / mask.sum(1)
    np.testing.assert_allclose(found.scores[frozenset({0})], expected.double().numpy()[chosen], atol=1e-7)
    assert found.confirmed.droppable is None


class Plain(nn.Module):
    def __init__(self, make: Callable[[], nn.Module] = lambda: nn.Linear(4, 3), residual: bool = False) -> None:
        super().__init__()
        self.residual, self.a, self.b, self.head = residual, nn.Linear(4, 4), nn.Linear(4, 4), make()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        return self.head(x + self.b(x) if self.residual else self.b(x))


def test_what_cannot_be_asked_is_said() -> None:
    x = torch.randn(40, 4)
    without = delete_blocks(trace(randomized(Plain(), 0), x[:4]), [x], Plan(40, 0))
    assert without == "the network has no residual blocks"
    number = randomized(Plain(lambda: nn.Linear(4, 1), residual=True), 0)
    said = delete_blocks(trace(number, x[:4]), [x], Plan(40, 0))
    assert isinstance(said, str)
    assert "numbers" in said


def test_bad_input_is_refused() -> None:
    graph, x = _chain()
    with pytest.raises(InputError, match="`margin`"):
        delete_blocks(graph, [x], Plan(EXAMPLES, 0), margin=1.0)
    with pytest.raises(InputError, match="`examples`"):
        delete_blocks(graph, [x], Plan(EXAMPLES, 0), examples=0)
    with pytest.raises(DataError, match="0 .. 2"):
        delete_blocks(graph, [(x, torch.full((EXAMPLES,), 3))], Plan(EXAMPLES, 0))
    with pytest.raises(DataError, match="same 1,700 examples"):
        delete_blocks(graph, [x[:1000]], Plan(EXAMPLES, 0))


def test_progress_goes_to_the_end_of_every_pass() -> None:
    graph, x = _chain()
    told: list[tuple[str, int, int]] = []
    delete_blocks(graph, [x[:850], x[850:]], Plan(EXAMPLES, 0), tell=lambda *said: told.append(said))
    last = {phase: (done, total) for phase, done, total in told}
    assert "leaving blocks out" in last
    assert "confirming on verify examples" in last
    assert set(last.values()) == {(EXAMPLES, EXAMPLES)}


def test_the_estimate_is_what_is_run_at_most() -> None:
    graph, x = _chain()
    plan = Plan(EXAMPLES, 0)
    ran = 0
    run = graph.program.run

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal ran
        ran += args[0][0].shape[0]  # type: ignore[index]
        return run(*args, **kwargs)  # type: ignore[arg-type]

    estimate = deletion_passes(graph, plan)
    graph.program.run = counted  # type: ignore[method-assign]
    try:
        delete_blocks(graph, [x], plan)
    finally:
        del graph.program.run  # type: ignore[misc]
    assert ran / EXAMPLES <= estimate <= 2 * ran / EXAMPLES
