"""What a network is shown in one epoch: images augmented as they were taken, then prepared, at the right rate."""

from typing import Any

import pytest
import torch
from torch import nn

from netcaliper.errors import DataError, InputError
from netcaliper.fit.epoch import examples_right, labelled_logits
from netcaliper.fit.train import accuracy, fit
from netcaliper.trace.batches import as_batch
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.models import build


class Witness(nn.Module):
    """A linear classifier that remembers what it was shown."""

    def __init__(self, inputs):
        super().__init__()
        self.linear = nn.Linear(inputs, 2)
        self.shown = []

    def forward(self, x):
        if self.training:
            self.shown.append(x.detach().clone())
        return self.linear(x.flatten(1))


def labels(examples):
    return torch.arange(examples) % 2


def test_images_are_augmented_before_they_are_prepared():
    """A white image with a black frame around it: the frame is black before the preparation, not after."""
    white = torch.full((64, 1, 6, 6), 255, dtype=torch.uint8)
    data = Batches(white, labels(64), batch_size=32, prepare=lambda x: 3 * x - 2)
    model = Witness(36)
    fit(model, data, epochs=1, augment="crop", seed=1)
    shown = torch.cat(model.shown)
    assert set(shown.unique().tolist()) == {-2.0, 1.0}
    assert (shown[:, 0, 2:4, 2:4] == 1).float().mean() > 0.5
    plain = Witness(36)
    fit(plain, data, epochs=1, seed=1)
    assert set(torch.cat(plain.shown).unique().tolist()) == {1.0}


def test_other_data_are_augmented_as_they_come():
    model = Witness(36)
    fit(model, [(torch.ones(40, 1, 6, 6), labels(40))], epochs=1, augment="crop")
    assert set(torch.cat(model.shown).unique().tolist()) == {0.0, 1.0}


def test_windows_need_data_that_are_cropped_alike():
    images = torch.rand(8, 1, 32, 32)
    message = r"makes examples of shape \[1, 28, 28\], without it `data` give \[1, 32, 32\].*crop=28"
    with pytest.raises(InputError, match=message):
        fit(Witness(1024), [(images, labels(8))], epochs=1, augment="crop28_flip_light")
    with pytest.raises(InputError, match=message):
        fit(Witness(1024), Batches(images, labels(8)), epochs=1, augment="crop28_flip_light")
    model = Witness(784)
    middle = Batches(images, labels(8), prepare=lambda x: x[:, :, :28, :28])
    fit(model, middle, epochs=1, augment="crop28_flip_light")
    assert model.shown[0].shape == (8, 1, 28, 28)


def test_the_rate_warms_up_update_by_update():
    """Against sgd written by hand, in float64, on three batches an epoch, with the schedule on top."""
    x, y = torch.randn(10, 3, generator=torch.Generator().manual_seed(0)), labels(10)
    batches = [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])]
    model = Witness(3)
    weight = model.linear.weight.detach().double().clone().requires_grad_()
    bias = model.linear.bias.detach().double().clone().requires_grad_()
    for epoch in range(4):
        for number, (xb, yb) in enumerate(batches):
            rate = 0.5 * 0.95**epoch * min(1, (3 * epoch + number + 1) / 6)
            loss = nn.functional.cross_entropy(xb.double() @ weight.T + bias, yb)
            gradients = torch.autograd.grad(loss, [weight, bias])
            with torch.no_grad():
                weight -= rate * gradients[0]
                bias -= rate * gradients[1]
    settings: dict[str, Any] = {"learning_rate": 0.5, "optimizer": "sgd", "momentum": 0.0, "schedule": "exponential"}
    fit(model, batches, epochs=4, warmup=2, **settings)
    torch.testing.assert_close(model.linear.weight.double(), weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.linear.bias.double(), bias, rtol=1e-5, atol=1e-6)


def test_a_warm_up_needs_to_know_the_epoch():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(torch.randn(10, 3), labels(10), strict=True))

    loader = torch.utils.data.DataLoader(Stream(), batch_size=5)
    fit(Witness(3), loader, epochs=1)
    with pytest.raises(InputError, match="`warmup` = 1 needs to know the batches of an epoch"):
        fit(Witness(3), loader, epochs=1, warmup=1)


def counting(batches, tokens=8):
    """Return sequences that count up from anywhere, with padding on the right, and the next token as label."""
    generator = torch.Generator().manual_seed(3)
    data = []
    for _ in range(batches):
        ids = (torch.randint(10, (16, 1), generator=generator) + torch.arange(tokens + 1)) % 10
        mask = (torch.arange(tokens) < torch.randint(2, tokens + 1, (16, 1), generator=generator)).long()
        labels = torch.where(mask == 1, ids[:, 1:], -100)
        data.append({"input_ids": ids[:, :-1] * mask, "attention_mask": mask, "labels": labels})
    return data


def test_a_language_model_learns_to_count():
    model = build("decoder", {"width": 16, "depth": 1, "heads": 2, "vocabulary": 10, "length": 8})
    data = counting(8)
    before = accuracy(model, data)
    training = fit(model, data, epochs=6, learning_rate=1e-2)
    assert before < 0.5
    assert training.examples == 128
    assert training.loss[-1] < training.loss[0] / 3
    assert accuracy(model, data) == 1.0


@torch.no_grad()
def test_tokens_without_a_label_are_left_out():
    model = build("decoder", {"width": 16, "depth": 1, "heads": 2, "vocabulary": 10, "length": 8}).eval()
    batch = as_batch(counting(1)[0])
    logits, labels = labelled_logits(model, batch)
    every = model(**batch.kwargs)
    loss = nn.functional.cross_entropy(every.flatten(0, 1), batch.labels.flatten(), ignore_index=-100)
    torch.testing.assert_close(nn.functional.cross_entropy(logits, labels), loss)
    hits = [
        int(every[n, t].argmax()) == int(batch.labels[n, t])
        for n in range(16)
        for t in range(8)
        if batch.labels[n, t] >= 0
    ]
    assert len(labels) == len(hits)
    assert examples_right(logits, labels, batch) == pytest.approx(16 * sum(hits) / len(hits))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(16, 7, dtype=torch.int64), r"labels must have shape \[16, 8\], .* got \[16, 7\]"),
        (torch.full((16, 8), -100), "all labels are -100 in the batch at example 0"),
        (torch.full((16, 8), 10), r"labels must lie in 0 .. 9"),
        (torch.full((16, 8), -1), r"labels must lie in 0 .. 9 .* got -1"),
        (torch.zeros(16, 8, 2, dtype=torch.int64), r"or \[16, tokens\], got torch.int64 of shape \[16, 8, 2\]"),
        (torch.zeros(16, 8), r"labels must be integers of shape \[16\]"),
    ],
)
def test_bad_labels_of_tokens(labels, message):
    model = build("decoder", {"width": 8, "depth": 1, "heads": 2, "vocabulary": 10, "length": 8})
    with pytest.raises(DataError, match=message):
        fit(model, [{**counting(1)[0], "labels": labels}], epochs=1)


def test_labels_that_are_not_shifted_are_refused():
    model = build("decoder", {"width": 8, "depth": 1, "heads": 2, "vocabulary": 10, "length": 8})
    batch = counting(1)[0]
    copied = {**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}
    with pytest.raises(DataError, match=r"labels equal the input tokens .*shift them: labels\[:, t\] = input_ids"):
        fit(model, [copied], epochs=1)


def test_one_label_an_example_needs_one_row_of_logits():
    model = build("decoder", {"width": 8, "depth": 1, "heads": 2, "vocabulary": 10, "length": 8})
    with pytest.raises(InputError, match=r"must return logits of shape \[batch, classes\], got \[16, 8, 10\]"):
        fit(model, [{**counting(1)[0], "labels": torch.zeros(16, dtype=torch.int64)}], epochs=1)
    with pytest.raises(InputError, match=r"must return logits of shape \[batch, tokens, classes\], got \[4, 2\]"):
        fit(Witness(3), [(torch.zeros(4, 3), torch.zeros(4, 3, dtype=torch.int64))], epochs=1)
