"""A small tokenizer and small networks that read its ids."""

import pytest
from torch import nn

from netcaliper.specs.loaded import LoadedModel
from timm_models import import_transformers

WORDS = ("[PAD]", "[UNK]", "a", "crow", "sees", "the", "owl", "at", "night", "eine", "Krähe")


def save_tokenizer(folder, **settings):
    """Write a tokenizer that knows ``WORDS`` by their number."""
    try:
        transformers = import_transformers()
        from tokenizers import Tokenizer, models, pre_tokenizers
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"transformers cannot be imported here: {error}")
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    given = {"unk_token": "[UNK]", "pad_token": "[PAD]"} | settings
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **given).save_pretrained(folder)
    return str(folder)


class Encoder(nn.Module):
    def forward(self, input_ids, attention_mask=None):
        return input_ids


class Positional(nn.Module):
    def forward(self, input_ids):
        return input_ids


def model_with_tokenizer(folder, model=None):
    save_tokenizer(folder)
    return LoadedModel(model or Encoder(), "net", data_config={"source": "hf", "folder": str(folder)})
