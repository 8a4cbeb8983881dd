"""Hugging Face's models with padded batches, as a tokenizer gives them: all default measures, and the twin."""

from typing import Any

import pytest
import torch
from torch import Tensor

import netcaliper as nc
from netcaliper.reading.reading import Reading
from padded_models import padded, sentences
from timm_models import import_transformers

COUNT = 72
SMALL = {"vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


@pytest.fixture(scope="module")
def transformers() -> Any:
    try:
        return import_transformers()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"transformers cannot be imported here: {error}")


def data(count: int = COUNT, **more: Tensor) -> list[dict[str, Tensor]]:
    ids, mask = padded(sentences(count))
    whole = {"input_ids": ids, "attention_mask": mask, **more}
    return [{key: value[start : start + 24] for key, value in whole.items()} for start in range(0, count, 24)]


def read(model: torch.nn.Module, batches: Any, **more: Any) -> Reading:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)  # as they are drawn, the output hardly depends on the input
    return nc.measure(model.eval(), batches, **more)


def test_a_decoder_with_grouped_queries_and_a_gate(transformers: Any) -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=12, intermediate_size=14, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, **SMALL
    )
    reading = read(transformers.LlamaForCausalLM(config), data())
    gate = next(site for site in reading.sites if site.kind == "gate")
    assert gate.positions == 9
    assert gate.needed is not None
    assert gate.prunable is not None, "the units of a gate can go alone"
    assert gate.ablation is not None
    assert gate.ablation.task == "tokens"
    assert reading.network.agreement is not None
    assert reading.twin is not None
    assert reading.twin.network.units == reading.network.units


def test_an_encoder_and_a_decoder_from_labels(transformers: Any) -> None:
    """The inputs of the decoder and their mask are made from labels; what is left of -100 is no token."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=20, d_model=12, d_kv=6, d_ff=14, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    model = transformers.T5ForConditionalGeneration(config)
    theirs, mask = padded(sentences(COUNT, longest=6, seed=1))
    labels = theirs.masked_fill(mask == 0, -100)
    reading = read(model, data(labels=labels), twin=False, skip="prunable")
    positions = {site.name.split(".")[0]: site.positions for site in reading.sites}
    assert positions == {"encoder": 9, "decoder": 6}
    assert reading.network.agreement is not None
    shifted = model.prepare_decoder_input_ids_from_labels(labels)
    given = data(decoder_input_ids=shifted, decoder_attention_mask=mask)
    same = nc.measure(model, given, twin=False, skip="prunable")
    assert [site.redundant for site in same.sites] == [site.redundant for site in reading.sites]
    assert same.network == reading.network


def test_a_regression_over_sentences(transformers: Any) -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=14, num_labels=1
    )
    reading = read(transformers.BertForSequenceClassification(config), data(140, labels=torch.randn(140)), twin=False)
    pooled = next(site for site in reading.sites if site.name == "bert.pooler.activation")
    inner = next(site for site in reading.sites if "intermediate" in site.name)
    assert (pooled.positions, inner.positions) == (1, 9)
    assert pooled.ablation is not None
    assert pooled.ablation.task == "regression"
