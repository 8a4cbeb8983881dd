"""Multi30k (Elliott et al. 2016): sentences in two languages, as an encoder-decoder takes them."""

import gzip
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from netcaliper.errors import DataError, InputError, SpecError
from netcaliper.reading.numerals import count
from netcaliper.trace.batches import IGNORED
from netcaliper.zoo.config import Count
from netcaliper.zoo.data import Options, Split, chosen
from netcaliper.zoo.subwords import END, PADDING, START, Subwords, train_subwords

Language = Literal["de", "en"]
HeldOut = Literal["test_2016_flickr", "val"]

POOL = 128
"""An epoch is sorted by length within so many batches: little padding, and other neighbors in every epoch."""


class TranslationOptions(Options):
    """What ``multi30k`` can be asked for.

    Attributes:
        vocabulary: number of subwords of both languages together, special ones included.
        length: most tokens of a sentence, its end (or start) included; longer ones are cut.
        lowercase: whether text is lower-cased, as is usual for these short captions; BLEU is then of lower-cased text.
        source: language that is read.
        target: language that is written.
        held_out: the part that ``"test"`` means.
    """

    vocabulary: Count = 4000
    length: int = Field(default=64, ge=2, lt=2**31)
    lowercase: bool = True
    source: Language = "de"
    target: Language = "en"
    held_out: HeldOut = "test_2016_flickr"

    @model_validator(mode="after")
    def _of_two_languages(self) -> "TranslationOptions":
        if self.source == self.target:
            raise ValueError(f"`source` and `target` are both {self.source!r}; give two languages")
        if self.random_labels:
            raise ValueError("`random_labels` replace classes, and a translation has none; leave them out")
        return self


class Pairs:
    """A re-iterable of batches of sentence pairs, always in the order of the examples.

    A batch is a dict of int64 tensors, filled up at the end: ``input_ids`` and ``attention_mask`` ``[batch, source]``
    (the source and ``END``), ``decoder_input_ids`` and ``decoder_attention_mask`` ``[batch, target]`` (``START`` and
    the target), ``labels`` ``[batch, target]`` (the target and ``END``; -100 at padding).

    Attributes:
        sources: texts as they are read.
        references: texts that the network should write, in their own case.
        subwords: the encoding of both.
        options: how the texts were encoded.
        batch_size: pairs a batch; the last one may be smaller.
        cut: pairs of which a sentence was cut to ``options.length`` tokens.
        prepared: what was done to the examples, in words.
        dataset: indices of the examples; ``len(dataset)`` is their number.

    Raises:
        InputError: ``batch_size`` is not positive.
    """

    def __init__(
        self,
        sources: Sequence[str],
        references: Sequence[str],
        subwords: Subwords,
        *,
        batch_size: int = 256,
        options: TranslationOptions,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"`batch_size` must be at least 1, got {batch_size}.")
        self.sources = tuple(sources)
        self.references = tuple(references)
        self.subwords = subwords
        self.options = options
        self.batch_size = batch_size
        self.dataset = range(len(self.sources))
        read, written = (subwords.ids(_cased(texts, options)) for texts in (self.sources, self.references))
        limit = options.length
        self._source = [torch.tensor([*ids, END][:limit]) for ids in read]
        self._target = [torch.tensor([START, *ids][:limit]) for ids in written]
        # a sentence that was cut goes on: its last label is its next token, not the end
        self._labels = [torch.tensor([*ids, END][:limit]) for ids in written]
        self._lengths = np.array([[len(ids) for ids in side] for side in (self._source, self._target)])
        self.cut = sum(1 for a, b in zip(read, written, strict=True) if max(len(a), len(b)) >= limit)
        self.prepared = (
            f"{options.source} to {options.target}{', lower-cased' if options.lowercase else ''}, "
            f"{count(subwords.size)} joint subwords, {count(self.cut)} of {count(len(self.sources))} pairs cut to "
            f"{count(limit)} tokens"
        )
        self._order = _consecutive(np.arange(len(self.sources)), batch_size)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._order)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for rows in self._order:
            yield self.batch(rows)

    def epoch(self, number: int, seed: int) -> "Pairs":
        """Return the same examples in an order drawn from ``(seed, number)``, each among others of about its length."""
        generator = np.random.default_rng((seed, number))
        order = []
        for pool in _consecutive(generator.permutation(len(self.sources)), POOL * self.batch_size):
            source, target = self._lengths[:, pool]
            order += _consecutive(pool[np.lexsort((source, target))], self.batch_size)
        shuffled = copy(self)
        shuffled._order = [order[place] for place in generator.permutation(len(order))]
        return shuffled

    def batch(self, rows: Int[np.ndarray, " n"]) -> dict[str, Tensor]:
        """Return these examples as one batch."""
        source, target, labels = ([side[row] for row in rows] for side in (self._source, self._target, self._labels))
        return {
            "input_ids": _padded(source, PADDING),
            "attention_mask": _padded([torch.ones_like(ids) for ids in source], 0),
            "decoder_input_ids": _padded(target, PADDING),
            "decoder_attention_mask": _padded([torch.ones_like(ids) for ids in target], 0),
            "labels": _padded(labels, IGNORED),
        }

    def some(self, rows: Int[np.ndarray, " n"]) -> "Pairs":
        """Return these examples alone, encoded as before."""
        sources, references = ([side[row] for row in rows] for side in (self.sources, self.references))
        return Pairs(sources, references, self.subwords, batch_size=self.batch_size, options=self.options)

    def source_lengths(self) -> Int[np.ndarray, " examples"]:
        """Return the number of tokens of every source, its end included."""
        return self._lengths[0]


def multi30k(
    folder: str | Path, split: Split = "all", *, batch_size: int = 256, options: TranslationOptions | None = None
) -> Pairs:
    """Sentence pairs of a folder with ``train``, ``val`` and ``test_2016_flickr``, each ``.de`` and ``.en``.

    The files hold one sentence a line, plain or ``.gz``. The subwords are learned from the whole training part,
    whatever part or subset is asked for. ``"all"`` is the training part followed by the held-out part.

    Raises:
        SpecError: a file is missing or cannot be read.
        DataError: the two files of a part differ in length, a line is empty, more examples are asked for than there
            are, or tokenizers is not installed.
        InputError: ``options.vocabulary`` is too small.
    """
    folder, own = Path(folder), options or TranslationOptions()
    train = _part(folder, "train", own)
    held_out = _part(folder, own.held_out, own) if split != "train" else ([], [])
    subwords = train_subwords(_cased([*train[0], *train[1]], own), own.vocabulary)
    sources, references = ([*a, *b] for a, b in zip(train, held_out, strict=True))
    rows, _ = chosen(None, np.arange(len(sources)) < len(train[0]), split, own)
    return Pairs(
        [sources[row] for row in rows],
        [references[row] for row in rows],
        subwords,
        batch_size=batch_size,
        options=own,
    )


def check_fits(model: nn.Module, pairs: Pairs) -> None:
    """Refuse a network that cannot take the tokens of ``pairs``, as far as its ``config`` says what it takes.

    Raises:
        SpecError: its vocabulary or its length is too small.
    """
    config = getattr(model, "config", None)
    vocabulary, length = getattr(config, "vocabulary", None), getattr(config, "length", None)
    if isinstance(vocabulary, int) and vocabulary < pairs.subwords.size:
        raise SpecError(
            f"`vocabulary` = {vocabulary} of the network must be at least the {pairs.subwords.size} subwords of the "
            f"data; build it with vocabulary={pairs.subwords.size}, or give the data (vocabulary={vocabulary})."
        )
    if isinstance(length, int) and length < pairs.options.length:
        raise SpecError(
            f"`length` = {length} of the network must be at least the `length` = {pairs.options.length} of the data; "
            f"build it with length={pairs.options.length}, or give the data (length={length})."
        )


def _part(folder: Path, part: str, options: TranslationOptions) -> tuple[list[str], list[str]]:
    """Return the sources and the references of a part."""
    files = [_file(folder, f"{part}.{language}") for language in (options.source, options.target)]
    source, target = (_lines(file) for file in files)
    if len(source) != len(target):
        raise DataError(
            f"`multi30k`: {files[0].name!r} and {files[1].name!r} must hold one sentence a line, line by line in both "
            f"languages, got {len(source)} and {len(target)} lines; take both from one copy of the data."
        )
    if not source:
        raise DataError(f"`multi30k`: {files[0].name!r} holds no sentence; name the folder with the text files.")
    for file, lines in zip(files, (source, target), strict=True):
        if not all(lines):
            raise DataError(
                f"`multi30k`: line {lines.index('') + 1} of {file.name!r} is empty; remove this pair from both files."
            )
    return source, target


def _file(folder: Path, name: str) -> Path:
    for file in (folder / f"{name}.gz", folder / name):
        if file.is_file():
            return file
    raise SpecError(
        f"`multi30k`: the folder {str(folder)!r} has no {name}.gz (or {name}); name the folder with train, val and "
        "test_2016_flickr, each .de and .en."
    )


def _lines(file: Path) -> list[str]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as stream:
            return [line.strip() for line in stream]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SpecError(
            f"`multi30k`: {file.name!r} cannot be read as text, one sentence a line: {error}; fetch it again."
        ) from error


def _cased(texts: Sequence[str], options: TranslationOptions) -> list[str]:
    return [text.lower() for text in texts] if options.lowercase else list(texts)


def _consecutive(rows: Int[np.ndarray, " n"], size: int) -> list[Int[np.ndarray, " _"]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _padded(rows: Sequence[Tensor], value: int) -> Int[Tensor, "batch longest"]:
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
