"""Text becomes ids by the model's own tokenizer; padding stands at the end and is masked."""

import pytest
import torch

from netcaliper.errors import DataError, SpecError
from netcaliper.specs.datasets.tokens import Reader, Tokenizer, padded, reader_of, token_batch
from netcaliper.specs.loaded import LoadedModel
from netcaliper.zoo.models import build
from token_models import WORDS, Encoder, Positional, save_tokenizer


def test_padding_is_at_the_end_and_masked():
    batch = token_batch({"input_ids": [[5, 6, 7], [8]], "labels": [[1, 2, 3], [4]]}, Reader(), 9, "t")
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[1, 2, 3], [4, -100, -100]]
    assert padded([[1], [2, 3]], 0).dtype is torch.int64


def test_only_what_forward_takes_is_handed_out():
    reader = reader_of(LoadedModel(Encoder(), "net"))
    lists = {"input_ids": [[1, 2]], "token_type_ids": [[0, 0]]}
    assert sorted(token_batch(lists, reader, 0, "t")) == ["attention_mask", "input_ids"]
    assert sorted(token_batch(lists, Reader(), 0, "t")) == ["attention_mask", "input_ids", "token_type_ids"]


def test_a_network_that_cannot_be_told_what_is_padding():
    reader = reader_of(LoadedModel(Positional(), "net"))
    assert list(token_batch({"input_ids": [[1, 2], [3, 4]]}, reader, 0, "t")) == ["input_ids"]
    with pytest.raises(DataError, match="has no `attention_mask` to tell it what is padding"):
        token_batch({"input_ids": [[1, 2], [3]]}, reader, 0, "t")


def test_targets_of_an_encoder_decoder_are_shifted_right():
    reader = reader_of(LoadedModel(build("encoder_decoder", {"vocabulary": 20, "width": 8, "heads": 2}), "net"))
    assert reader.decodes
    batch = token_batch({"input_ids": [[5], [6, 7]], "labels": [[3, 4, 1], [8]]}, reader, 0, "t")
    assert batch["decoder_input_ids"].tolist() == [[0, 3, 4], [0, 0, 0]]
    assert batch["decoder_attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[3, 4, 1], [8, -100, -100]]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"input_ids": [[1], []]}, "an example has no token in `input_ids`"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1]]}, "`attention_mask` must .* an example has 1 for 2"),
        ({"input_ids": [[1, 2]], "token_type_ids": [[1] * 3]}, "`token_type_ids` must .* an example has 3 for 2"),
    ],
)
def test_lists_that_do_not_fit_together(lists, message):
    with pytest.raises(DataError, match=message):
        token_batch(lists, Reader(), 0, "t")


def test_the_tokenizer_of_the_model(tmp_path):
    save_tokenizer(tmp_path, model_max_length=4)
    tokenizer = Tokenizer(Reader(tokenizer=str(tmp_path)), None, None, "t")
    assert tokenizer(["a crow", "the owl sees a crow at night"])["input_ids"] == [[2, 3], [5, 6, 4, 2]]
    assert tokenizer(["a crow"], ["owl"])["input_ids"] == [[2, 3, 6]]
    assert tokenizer.targets(["eine Krähe"]) == [[9, 10]]
    assert (tokenizer.length, tokenizer.padding) == (4, 0)
    assert Tokenizer(Reader(tokenizer=str(tmp_path), limit=3), None, None, "t").length == 3
    assert Tokenizer(Reader(tokenizer="nowhere"), 2, str(tmp_path), "t")(["the owl sees"])["input_ids"] == [[5, 6]]


def test_a_tokenizer_without_padding_uses_the_end(tmp_path):
    save_tokenizer(tmp_path, pad_token=None, eos_token="night")
    assert Tokenizer(Reader(tokenizer=str(tmp_path)), None, None, "t").padding == WORDS.index("night")


def test_without_a_tokenizer_the_remedy_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"t holds text, and the model names no tokenizer; give one"):
        Tokenizer(Reader(), None, None, "t")
    save_tokenizer(tmp_path / "other")
    with pytest.raises(SpecError, match=r"no tokenizer could be loaded from .*save_pretrained"):
        Tokenizer(Reader(tokenizer=str(tmp_path)), None, None, "t")
