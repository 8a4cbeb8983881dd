"""Text as subwords: one byte-level byte-pair encoding of both languages (Sennrich et al. 2016)."""

from collections.abc import Iterable, Sequence
from typing import Any

from netcaliper.errors import DataError, InputError

SPECIAL = ("<pad>", "<start>", "<end>")
PADDING, START, END = range(len(SPECIAL))
"""Ids that stand for no text: fill, the first input of the decoder, the last token of every sequence."""

BYTES = 256
"""Every byte is a subword, so that no text is unknown."""


class Subwords:
    """An encoding of text in ids ``0 .. size - 1``; the first ones are ``SPECIAL``.

    Attributes:
        size: number of ids.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.size: int = tokenizer.get_vocab_size()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the subwords of every text, without special ones."""
        return [encoded.ids for encoded in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def texts(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of every sequence up to its first ``END``; special subwords stand for nothing."""
        kept = [[token for token in _before_end(row) if token >= len(SPECIAL)] for row in ids]
        return [text.strip() for text in self._tokenizer.decode_batch(kept)]

    def json(self) -> str:
        """Return the encoding as JSON in the format of the library ``tokenizers``."""
        return self._tokenizer.to_str()


def train_subwords(texts: Iterable[str], vocabulary: int = 4000) -> Subwords:
    """Learn an encoding: pairs of subwords that are most frequent within words become subwords until there are enough.

    Texts are split at spaces and between letters, digits and punctuation; a space belongs to the word after it. Equal
    texts in equal order give equal encodings.

    Args:
        texts: of both languages.
        vocabulary: number of ids, special ones and the 256 bytes included; fewer where the texts have fewer pairs.

    Raises:
        InputError: ``vocabulary`` does not hold the bytes and the special subwords.
        DataError: tokenizers is not installed.
    """
    if vocabulary < BYTES + len(SPECIAL):
        raise InputError(
            f"`vocabulary` must be at least {BYTES + len(SPECIAL)}, {BYTES} bytes and {len(SPECIAL)} special subwords, "
            f"got {vocabulary}."
        )
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        raise DataError("subwords need tokenizers: pip install 'netcaliper[translation]'.") from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True  # "<end>" in a text is text
    return Subwords(tokenizer)


def _before_end(row: Sequence[int]) -> list[int]:
    row = list(row)
    return row[: row.index(END)] if END in row else row
