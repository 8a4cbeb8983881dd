"""What ``forward`` takes, and batches that do not fit it."""

from typing import TypedDict

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from netcaliper.errors import DataError
from netcaliper.trace.batches import as_batch
from netcaliper.trace.form import UNKNOWN, form_of


class More(TypedDict, total=False):
    output_attentions: bool


class Plain(nn.Module):
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, scale: float = 1.0) -> None: ...


class Anything(nn.Module):
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **more: object) -> None: ...


class Typed(nn.Module):
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **more: Unpack[More]) -> None: ...


class Shifting(nn.Module):
    """A decoder whose inputs are made from labels, as Hugging Face's models do."""

    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor, decoder_attention_mask: Tensor) -> None: ...

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        if labels.shape[1] > 5:
            raise ValueError("too long")
        return torch.cat([torch.ones_like(labels[:, :1]), labels[:, :-1]], 1).clamp(min=0)


IDS = torch.ones(2, 4, dtype=torch.int64)


def test_the_signature_is_read() -> None:
    form = form_of(Plain())
    assert form.names == ("input_ids", "attention_mask")
    assert form.required == ("input_ids",)
    assert form.keys == {"input_ids", "attention_mask", "scale"}
    assert form_of(Anything()).keys is None
    assert form_of(Typed()).keys == {"input_ids", "attention_mask", "output_attentions"}
    assert form_of(nn.Linear(2, 2)).inputs_required == UNKNOWN.inputs_required == 1


@pytest.mark.parametrize(
    ("model", "batch", "words"),
    [
        (Plain(), {"input_ids": IDS, "attention_maks": IDS}, r"`attention_maks`.*did you mean `attention_mask`\?"),
        (Plain(), {"input_ids": IDS, "extra": IDS}, r"takes input_ids, attention_mask\); rename it, or leave it out"),
        (Plain(), {"attention_mask": IDS}, "must have `input_ids`, which `forward` of Plain requires"),
        (Anything(), {"input_ids": IDS, "attention_maks": IDS}, "did you mean `attention_mask`"),
        (Typed(), {"input_ids": IDS, "extra": IDS}, "`extra`"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(model: nn.Module, batch: dict[str, Tensor], words: str) -> None:
    with pytest.raises(DataError, match=words):
        as_batch(batch, form=form_of(model))


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (Anything(), {"input_ids": IDS, "extra": IDS}),
        (Typed(), {"input_ids": IDS, "output_attentions": False}),
        (Plain(), {"input_ids": IDS, "scale": 2.0, "labels": IDS}),
    ],
)
def test_a_batch_that_fits_passes(model: nn.Module, batch: dict[str, Tensor]) -> None:
    assert set(as_batch(batch, form=form_of(model)).kwargs) == set(batch) - {"labels"}


def test_inputs_of_a_decoder_are_made_from_labels_as_the_model_does() -> None:
    labels = torch.tensor([[3, 4, -100], [5, -100, -100]])
    form = form_of(Shifting())
    for raw in ({"input_ids": IDS, "labels": labels}, ({"input_ids": IDS}, labels)):
        batch = as_batch(raw, form=form)
        assert batch.kwargs["decoder_input_ids"].tolist() == [[1, 3, 4], [1, 5, 0]]
        assert batch.kwargs["decoder_attention_mask"].tolist() == [[1, 1, 0], [1, 0, 0]]
        assert torch.equal(batch.labels, labels)
        assert batch.token_length() == 3
        assert torch.equal(torch.as_tensor(batch.output_mask()), batch.kwargs["decoder_attention_mask"])
    given = {"input_ids": IDS, "labels": labels, "decoder_input_ids": IDS, "decoder_attention_mask": IDS}
    assert as_batch(given, form=form).kwargs["decoder_input_ids"] is IDS
    with pytest.raises(DataError, match="could not be made from the labels by Shifting: too long; give them"):
        as_batch({"input_ids": IDS, "labels": torch.ones(2, 6, dtype=torch.int64)}, form=form)
