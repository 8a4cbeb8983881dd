"""Which positions of a value are padding."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.trace.batches import Batch, as_batch
from netcaliper.trace.graph import Graph
from padded_models import VOCABULARY, Convolution, Translator, built, padded, sentences

IDS, MASK = padded(sentences(4))


class Towers(nn.Module):
    """Tokens beside an image, latents that read the tokens, and a sequence-first branch."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.patches = nn.Embedding(VOCABULARY, 4), nn.Linear(4, 5)
        self.latents = nn.Parameter(torch.randn(3, 4))
        self.a, self.b, self.c, self.d = (nn.Linear(4, 5) for _ in range(4))
        self.read = nn.Linear(5, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, image: Tensor) -> Tensor:
        x = self.words(input_ids)
        scores = (self.latents @ x.transpose(1, 2)).masked_fill(attention_mask[:, None] == 0, -1e9)
        found = [
            torch.relu(self.a(x)),
            torch.sigmoid(self.b(torch.softmax(scores, -1) @ x)),
            torch.tanh(self.patches(image)),
            nn.functional.silu(self.c(x.transpose(0, 1))).transpose(0, 1),
            nn.functional.gelu(self.d(x[:, 1:])),
        ]
        return torch.cat([self.read(one).mean(1) for one in found], 1)


def valid(graph: Graph, site: str, batch: Batch) -> Any:
    seen: dict[str, Any] = {}
    place = graph.site(site)
    graph.run(batch, taps={site: lambda value, *_: seen.update(found=graph.valid(place, batch, value))})
    return seen["found"]


def test_only_values_that_hold_tokens_have_padding() -> None:
    graph = nc.trace(built(Towers()), (IDS, MASK, torch.randn(4, 7, 4).double()))
    batch = as_batch((IDS, MASK, torch.randn(4, 7, 4).double()), form=graph.form)
    assert torch.equal(valid(graph, "relu", batch), MASK != 0)
    assert valid(graph, "sigmoid", batch) is None, "latents"
    assert valid(graph, "tanh", batch) is None, "patches, as many as the mask is long or not"
    assert torch.equal(valid(graph, "silu", batch), MASK != 0), "the batch on the second axis"
    assert "not the tokens of `attention_mask`" in valid(graph, "gelu", batch), "without the first token"
    full = as_batch((IDS, torch.ones_like(MASK), torch.randn(4, 7, 4).double()), form=graph.form)
    assert valid(graph, "gelu", full) is None, "nothing is padding"


def test_each_sequence_has_its_mask() -> None:
    theirs, their_mask = padded(sentences(4, seed=1), length=IDS.shape[1])
    inputs = (IDS, MASK, theirs, their_mask)
    graph = nc.trace(built(Translator()), inputs)  # by position, and of equal length
    batch = as_batch(inputs, form=graph.form)
    assert not torch.equal(MASK, their_mask)
    assert torch.equal(valid(graph, "encoder.layer.feed.1", batch), MASK != 0)
    assert torch.equal(valid(graph, "decoder.layer.feed.1", batch), their_mask != 0)
    assert torch.equal(torch.as_tensor(batch.output_mask()), their_mask)


class OneLength(nn.Module):
    """Positions are a table that fits one length only."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, 4), nn.Parameter(torch.randn(9, 4))
        self.first, self.second, self.third = nn.Linear(4, 5), nn.Linear(9, 6), nn.Linear(6, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = torch.relu(self.first(self.words(input_ids) + self.places)) * attention_mask[..., None]
        return self.third(torch.tanh(self.second(x.transpose(1, 2)))).mean(1)


def test_a_graph_of_one_length_goes_by_that_length() -> None:
    ids, mask = padded(sentences(4), length=9)
    graph = nc.trace(built(OneLength()), {"input_ids": ids, "attention_mask": mask})
    batch = as_batch({"input_ids": ids, "attention_mask": mask})
    assert torch.equal(valid(graph, "relu", batch), mask != 0)
    assert "cannot be told" in valid(graph, "tanh", batch), "several positions, and tokens are mixed into units"


@pytest.mark.parametrize("stride", [1, 2])
def test_examples_of_other_lengths_are_known_to_vary(stride: int) -> None:
    graph = nc.trace(built(Convolution(stride)), (IDS, MASK))
    relus = [site for site in graph.sites if site.op == "relu"]
    assert [graph.padding.varies(site.node, site.axis, site.batch_axis) for site in relus] == [True, True]
    last = graph.program.steps[-1].name
    assert not graph.padding.varies(last, 1, 0), "summed over the tokens"
