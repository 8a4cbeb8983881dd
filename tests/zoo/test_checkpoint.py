"""A checkpoint folder is whole or not there, gives back the same network, and is never overwritten."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from netcaliper.errors import CorruptReading, InputError, NewerSchema, OutputExists, ReadingError
from netcaliper.zoo import checkpoint
from netcaliper.zoo.checkpoint import is_checkpoint, load_checkpoint, save_checkpoint
from netcaliper.zoo.cnn import CNN
from netcaliper.zoo.decoder import Decoder
from netcaliper.zoo.encoder_decoder import EncoderDecoder
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.vit import ViT


@pytest.mark.parametrize(
    "model",
    [
        MLP(5, [4, 3], 2, "gelu"),
        CNN(widths=[2, 3], width=1.5, depth=2),
        ViT(8, 2, 2),
        Decoder(8, 2, 2, vocabulary=9, length=7, gated=True, tied=True),
        EncoderDecoder(8, 1, 2, 2, vocabulary=9, tied=True),
    ],
    ids=["mlp", "cnn", "vit", "decoder", "encoder_decoder"],
)
def test_round_trip(tmp_path, model):
    folder = save_checkpoint(model, tmp_path / "a" / "net", training={"epochs": 3, "loss": [1.0, 0.5]})
    assert is_checkpoint(folder)
    back = load_checkpoint(folder)
    assert back.model.config == model.config
    assert back.training == {"epochs": 3, "loss": [1.0, 0.5]}
    assert not back.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, back.model.state_dict()[name])
    inputs = model.config.example_inputs()
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
    assert torch.equal(model.eval()(*args, **kwargs), back.model(*args, **kwargs))


def test_nothing_but_the_two_files_is_left(tmp_path):
    save_checkpoint(MLP(3, [2]), tmp_path / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == ["config.json", "model.safetensors"]


def test_who_may_read_what_is_around_it_may_read_a_checkpoint(tmp_path):
    before = os.umask(0o027)
    try:
        (tmp_path / "beside").mkdir()
        save_checkpoint(MLP(3, [2]), tmp_path / "net")
    finally:
        os.umask(before)
    assert (tmp_path / "net").stat().st_mode == (tmp_path / "beside").stat().st_mode


def test_an_existing_folder_or_file_is_refused(tmp_path):
    folder = save_checkpoint(MLP(3, [2]), tmp_path / "net")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(OutputExists, match="already exists and is not overwritten"):
        save_checkpoint(MLP(3, [2]), folder)
    assert (folder / "model.safetensors").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputExists):
        save_checkpoint(MLP(3, [2]), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(ReadingError, match="cannot be written: No space left on device"):
        save_checkpoint(MLP(3, [2]), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReadingError, match="cannot be written"):
        save_checkpoint(MLP(3, [2]), tmp_path / "file" / "net")


def test_only_zoo_networks_and_plain_facts(tmp_path):
    with pytest.raises(InputError, match="`model` is a Linear.*package.module:factory"):
        save_checkpoint(nn.Linear(2, 2), tmp_path / "net")
    with pytest.raises(InputError, match="`training` must be plain finite JSON data"):
        save_checkpoint(MLP(3, [2]), tmp_path / "net", training={"loss": float("nan")})
    with pytest.raises(InputError, match="`training` must be plain"):
        save_checkpoint(MLP(3, [2]), tmp_path / "net", training={"model": object()})
    assert list(tmp_path.iterdir()) == []


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_the_first_mismatch_is_named_with_both_shapes(tmp_path):
    folder = save_checkpoint(MLP(3, [2], 4), tmp_path / "net")
    edit(folder, arguments={"inputs": 3, "widths": [5], "classes": 4})
    with pytest.raises(
        CorruptReading, match=r"'hidden.0.linear.weight' has shape \[2, 3\] in the file and \[5, 3\] in"
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"schema_version": checkpoint.CHECKPOINT_VERSION + 1}, NewerSchema, "reads up to 1; update netcaliper"),
        ({"schema_version": None}, CorruptReading, "names no `schema_version`"),
        ({"network": "vgg"}, CorruptReading, "there are: alexnet, cnn, decoder, encoder_decoder, mlp, resnet, vit"),
        ({"network": 3}, CorruptReading, "`network` must be a str, got 3"),
        ({"arguments": {"width": 2}}, CorruptReading, "did you mean `widths`"),
        ({"training": []}, CorruptReading, "`training` must be a dict"),
    ],
)
def test_damaged_configurations(tmp_path, changes, error, message):
    folder = save_checkpoint(MLP(3, [2]), tmp_path / "net")
    edit(folder, **changes)
    with pytest.raises(error, match=message):
        load_checkpoint(folder)


def test_damaged_files(tmp_path):
    folder = save_checkpoint(MLP(3, [2]), tmp_path / "net")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(CorruptReading, match="not a readable safetensors file"):
        load_checkpoint(folder)
    weights.unlink()
    with pytest.raises(CorruptReading, match="there is no file"):
        load_checkpoint(folder)
    save_file({}, weights)
    (folder / "config.json").write_text("{")
    with pytest.raises(CorruptReading, match="cannot be read"):
        load_checkpoint(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(CorruptReading, match="not a netcaliper checkpoint"):
        load_checkpoint(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CorruptReading, match=r"it has no config\.json"):
        load_checkpoint(folder)


def test_a_config_that_asks_for_a_giant_is_refused_without_building_it(tmp_path):
    folder = save_checkpoint(MLP(64, [4, 4]), tmp_path / "c")
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["arguments"]["widths"] = [10**8, 10**8]
    file.write_text(json.dumps(config))
    with pytest.raises(CorruptReading, match=r"has shape \[4, 64\] in the file and \[100000000, 64\] in the model"):
        load_checkpoint(folder)
