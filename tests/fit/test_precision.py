"""bfloat16 where it is asked for or pays, weights in float32 and in their old order afterwards."""

import pytest
import torch
from torch import nn

from netcaliper.fit import precision
from netcaliper.fit.precision import as_computed, autocast, laid_out, settled
from netcaliper.fit.train import fit
from netcaliper.zoo.data import digits
from netcaliper.zoo.models import build

CPU = torch.device("cpu")


def test_auto_takes_bf16_for_large_convolutions_where_the_machine_has_it(monkeypatch):
    large, small = nn.Conv2d(200, 200, 3), nn.Conv2d(2, 2, 3)
    dense = nn.Linear(1000, 1000)
    monkeypatch.setattr(precision, "_has_bf16", lambda device: True)
    assert [settled(model, "auto") for model in (large, small, dense)] == ["bf16", "float32", "float32"]
    monkeypatch.setattr(precision, "_has_bf16", lambda device: False)
    assert settled(large, "auto") == "float32"
    assert settled(small, "bf16") == "bf16"
    assert settled(large, "float32") == "float32"


def test_layout_inside_and_after():
    model = nn.Sequential(nn.Conv2d(8, 8, 3))
    weight = model[0].weight
    with laid_out(model, "bf16"):
        assert weight.is_contiguous(memory_format=torch.channels_last)  # pyright: ignore
        assert not weight.is_contiguous()  # pyright: ignore
    assert weight.is_contiguous()  # pyright: ignore
    with laid_out(model, "float32"):
        assert weight.is_contiguous()  # pyright: ignore


def test_images_follow_and_other_inputs_do_not():
    image, row = torch.randn(2, 3, 4, 4), torch.randn(2, 3)
    assert as_computed(image, "bf16").is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(as_computed(image, "bf16"), image)
    assert as_computed(image, "float32") is image
    assert as_computed(row, "bf16") is row


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast(name, dtype):
    with autocast(CPU, name):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype is dtype


def test_training_in_bf16_goes_the_way_of_float32_roughly():
    data = digits("train", batch_size=128)
    models = [build("cnn", {"widths": [8]}) for _ in range(2)]
    records = [fit(m, data, epochs=1, precision=p) for m, p in zip(models, ("float32", "bf16"), strict=True)]
    assert [record.precision for record in records] == ["float32", "bf16"]
    assert records[1].loss[0] == pytest.approx(records[0].loss[0], rel=0.02)
    assert records[1].loss[0] != records[0].loss[0]
    for parameter in models[1].parameters():
        assert parameter.dtype is torch.float32
        assert parameter.is_contiguous()
