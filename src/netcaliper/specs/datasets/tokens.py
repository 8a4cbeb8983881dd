"""Text as token ids, and token ids as batches: padded to the longest example of a batch, the padding masked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from netcaliper.errors import DataError, SpecError
from netcaliper.specs.extra import first_line, import_extra
from netcaliper.trace.batches import IGNORED
from netcaliper.trace.form import form_of

if TYPE_CHECKING:
    from netcaliper.specs.loaded import LoadedModel

LENGTH = 512
"""Most tokens of an example, unless ``length`` says otherwise or the model takes fewer."""

TOKENS = (
    *("input_ids", "attention_mask", "token_type_ids", "position_ids"),
    *("decoder_input_ids", "decoder_attention_mask", "labels"),
)
"""Keyword arguments that hold one number for each token."""

Lists = Mapping[str, Sequence[Sequence[int]]]
"""For each keyword argument one list of numbers an example."""


@dataclass(frozen=True)
class Reader:
    """What is known of the network that will read the tokens.

    Attributes:
        takes: keyword arguments of its ``forward``; ``None`` if it takes any, or no model was given.
        decodes: whether it is an encoder-decoder, which reads a target beside the source.
        shifts: whether it makes the inputs of its decoder from labels by itself.
        padding: the id that fills up shorter examples. It is masked, so that its choice matters only to networks that
            count positions by it.
        limit: most tokens it takes, where it says so.
        tokenizer: folder of its tokenizer.
        main_input: what transformers calls its input, ``input_ids`` or ``pixel_values``, say.
    """

    takes: frozenset[str] | None = None
    decodes: bool = False
    shifts: bool = False
    padding: int = 0
    limit: int | None = None
    tokenizer: str | None = None
    main_input: str | None = None


def reader_of(model: "LoadedModel | None") -> Reader:
    """Return what is known of a network."""
    if model is None:
        return Reader()
    form = form_of(model.model)
    config = getattr(model.model, "config", None)
    facts = model.data_config or {}
    return Reader(
        takes=form.keys,
        decodes="decoder_input_ids" in form.names,
        shifts=form.shift is not None,
        padding=_number(config, "pad_token_id") or 0,
        limit=_number(config, "max_position_embeddings") or _number(config, "length"),
        tokenizer=facts["folder"] if facts.get("source") == "hf" else None,
        main_input=facts.get("main_input"),
    )


class Tokenizer:
    """The model's own tokenizer.

    Attributes:
        length: most tokens of an example; longer ones are cut.
        padding: its padding id, the end of a text where it has none.
    """

    def __init__(self, reader: Reader, length: int | None, other: str | None, need: str) -> None:
        """Load the tokenizer.

        Args:
            reader: names the tokenizer.
            length: most tokens, where the user says so.
            other: folder of a tokenizer in place of the model's.
            need: what needs it, in messages.

        Raises:
            SpecError: the model has none, or it cannot be loaded.
        """
        if other is None and reader.tokenizer is None:
            raise SpecError(
                f"{need} holds text, and the model names no tokenizer; give one, e.g. (tokenizer='FOLDER'), or give "
                "columns of token ids (`input_ids`)."
            )
        folder = other or reader.tokenizer
        library: Any = import_extra("transformers", "transformers", f"the text in {need}")
        try:
            self._tokenizer = library.AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        except Exception as error:  # whatever a damaged or missing tokenizer raises
            raise SpecError(
                f"{need} holds text, and no tokenizer could be loaded from {folder!r} ({first_line(error)}); "
                "save it there with `tokenizer.save_pretrained(...)`, or give (tokenizer='FOLDER')."
            ) from error
        own = getattr(self._tokenizer, "model_max_length", None)
        limits = [limit for limit in (own, reader.limit) if isinstance(limit, int)]
        self.length = length or min([LENGTH, *limits])
        ends = (getattr(self._tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
        self.padding = next((end for end in ends if end is not None), reader.padding)

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> dict[str, list[list[int]]]:
        """Return the token ids of texts, or of pairs of a text and its second part."""
        return dict(self._tokenizer(list(texts), None if pairs is None else list(pairs), **self._how))

    def targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts that a decoder is to write."""
        return self._tokenizer(text_target=list(texts), **self._how)["input_ids"]

    @property
    def _how(self) -> dict[str, Any]:
        return {"truncation": True, "max_length": self.length}


def token_batch(lists: Lists, reader: Reader, padding: int, name: str) -> dict[str, Tensor]:
    """Return padded tensors ``[examples, tokens]`` for the arguments that the network takes.

    Padding stands at the end, so that a token's place does not depend on the batch. A mask is added where there is
    none. An encoder-decoder that cannot make the inputs of its decoder from ``labels`` itself is given the labels
    shifted right by one, with the padding id as the first.

    Raises:
        DataError: lists of one example differ in length, an example has no token, or the network cannot be told what
            is padding.
    """
    held = {key: [list(example) for example in value] for key, value in lists.items()}
    if reader.decodes and not reader.shifts and "labels" in held and "decoder_input_ids" not in held:
        held["decoder_input_ids"] = [
            [padding, *(padding if label == IGNORED else label for label in example[:-1])] for example in held["labels"]
        ]
    for side in ("", "decoder_"):
        ids = held.get(f"{side}input_ids")
        if ids is None:
            continue
        if not all(ids):
            raise DataError(f"{name}: an example has no token in `{side}input_ids`; leave empty examples out.")
        held.setdefault(f"{side}attention_mask", [[1] * len(example) for example in ids])
    _check_lengths(held, name)
    if reader.takes is not None:
        ragged = len({len(example) for example in held["input_ids"]}) > 1
        if ragged and "attention_mask" not in reader.takes:
            raise DataError(
                f"{name}: examples differ in length, and the network's `forward` has no `attention_mask` to tell it "
                "what is padding; give examples of one length, or add the argument."
            )
        held = {key: value for key, value in held.items() if key in reader.takes or key == "labels"}
    fill = {"input_ids": padding, "decoder_input_ids": padding, "labels": IGNORED}
    return {key: padded(value, fill.get(key, 0)) for key, value in held.items()}


def padded(lists: Sequence[Sequence[int]], value: int) -> Int[Tensor, "examples longest"]:
    """Return lists as rows of one tensor, filled up at the end."""
    return nn.utils.rnn.pad_sequence(
        [torch.tensor(row, dtype=torch.int64) for row in lists], batch_first=True, padding_value=value
    )


def _check_lengths(held: dict[str, list[list[int]]], name: str) -> None:
    for key, value in held.items():
        ids = "decoder_input_ids" if key.startswith("decoder_") else "input_ids"
        if key == "labels" or ids not in held:
            continue
        for ours, theirs in zip(value, held[ids], strict=True):
            if len(ours) != len(theirs):
                raise DataError(
                    f"{name}: `{key}` must have one number for each token of `{ids}`, an example has {len(ours)} for "
                    f"{len(theirs)}; write both with the same tokenizer call."
                )


def _number(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
