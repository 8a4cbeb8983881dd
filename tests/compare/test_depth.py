"""Effective depth out of the records of blocks, probes and deletions."""

from typing import Literal

from netcaliper.compare.depth import effective_depth
from netcaliper.reading.layers import Block, Deletion, Layer, Probing, ResidualBlock


def _layer(number: int, kind: Literal["stream", "inner"], reason: str | None = None) -> Layer:
    return Layer(name=f"l{number}", op="add", kind=kind, stage=0, shape=(4,), reason=reason)


def _block(stratum: Literal["all", "stream"], first: int, last: int) -> Block:
    return Block(stratum=stratum, first=first, last=last, layers=2, share=0.5, mean=1.0, low=1.0, contrast=0.5)


LAYERS = [_layer(number, "stream" if number % 2 else "inner") for number in range(20)]  # 10 of the stream


def _deletion(droppable: int | None) -> Deletion:
    blocks = tuple(ResidualBlock(name=f"b{i}", stage=0, reason="shape" if i == 0 else None) for i in range(5))
    return Deletion(blocks=blocks, metric="accuracy", plain=0.9, examples=9, margin=0.01, droppable=droppable)


def test_every_block_counts_once_in_the_stratum_of_the_stream() -> None:
    blocks = [_block("stream", 5, 11), _block("stream", 15, 19), _block("all", 0, 19)]
    depth = effective_depth(LAYERS, blocks)
    assert (depth.layers, depth.distinct) == (10, 10 - 4 - 3 + 2)
    assert depth.sufficient is depth.residual_blocks is depth.droppable is None
    assert depth.sentence == "Of 10 layers of the residual stream 5 are distinct."


def test_without_a_stream_all_layers_count_and_gaps_do_not() -> None:
    layers = [_layer(number, "inner", "dead" if number == 3 else None) for number in range(6)]
    depth = effective_depth(layers, [_block("all", 2, 4)])
    assert (depth.layers, depth.distinct) == (5, 4)


def test_probes_and_deletions_are_counted_in() -> None:
    probing = Probing(train=9, test=9, saturation=8, chance=0.1)
    depth = effective_depth(LAYERS, [], probing, _deletion(2))
    assert (depth.distinct, depth.sufficient, depth.residual_blocks, depth.droppable) == (10, 4, 4, 2)
    assert "2 of 4 residual blocks can go" in depth.sentence


def test_what_cannot_be_said_stays_open() -> None:
    depth = effective_depth(LAYERS, [], Probing(train=9, test=9, chance=0.1), _deletion(None))
    assert depth.sufficient is None
    assert depth.droppable is None
    assert "cannot be said" in depth.sentence
