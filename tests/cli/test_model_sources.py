"""``netcaliper trace`` and ``netcaliper measure`` on what users bring: timm, transformers, archives, checkpoints."""

import pytest
import torch
from torch import nn

from command_line import done, json_of, refused
from timm_models import import_timm, import_transformers

DATA = """
import torch

def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))

def features():
    return [(x, torch.arange(len(x)) % 2) for x in draw(60, 6).split(20)]

def images():
    return list(draw(24, 3, 32, 32).split(8))

def tokens():
    ids = torch.randint(40, (48, 8), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in ids.split(16)]

def net():
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
"""
NET = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).eval()


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    (tmp_path / "source_data.py").write_text(DATA)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_timm():
    import_timm()
    spec = "timm:test_resnet(pretrained=False)"
    found = json_of("measure", spec, "--data", "source_data:images", "--only", "unit_states")
    assert found["provenance"]["model"] == spec
    assert found["sites"]
    assert found["twin"] is not None
    assert "did you mean `timm:resnet18`" in refused("trace", "timm:resnt18")


def test_transformers(tmp_path, capfd):
    transformers = import_transformers()
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_attention_heads=2, intermediate_size=24, num_hidden_layers=1
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "small bert")
    spec = f"hf:{tmp_path / 'small bert'}"
    capfd.readouterr()
    found = json_of("measure", spec, "--data", "source_data:tokens", "--only", "unit_states", "--no-twin")
    assert found["provenance"]["model"] == "hf:small bert"
    assert capfd.readouterr().err == ""  # what the libraries would say goes past the command's own output
    assert 24 in [site["units"] for site in found["sites"]]
    sites = json_of("trace", spec)["sites"]
    assert [site["name"] for site in sites] == [site["name"] for site in found["sites"]]


def test_archives(tmp_path):
    torch.export.save(torch.export.export(NET, (torch.randn(1, 6),)), tmp_path / "net.pt2")
    file = tmp_path / "net.pt2"
    assert "--trust-pickle" in refused("measure", file, "--data", "source_data:features")
    found = json_of("measure", file, "--data", "source_data:features", "--trust-pickle")
    assert found["provenance"]["model"] == "net.pt2"
    assert found["network"]["units"] == 5
    assert found["twin"] is not None  # shuffled, for an archive cannot be drawn anew
    assert json_of("trace", file, "--trust-pickle")["totals"]["units"] == 5


def test_checkpoints_of_training_loops(tmp_path):
    torch.save({"state_dict": {f"model.{n}": t for n, t in NET.state_dict().items()}, "epoch": 1}, tmp_path / "w.ckpt")
    net = ("source_data:net", "--data", "source_data:features")
    found = json_of("measure", *net, "--weights", tmp_path / "w.ckpt")
    torch.save(NET.state_dict(), tmp_path / "plain.pt")
    plain = json_of("measure", *net, "--weights", tmp_path / "plain.pt")
    assert found["sites"] == plain["sites"]
    assert found["sites"] != json_of("measure", *net)["sites"]
    torch.save(NET, tmp_path / "whole.pt")
    line = refused("measure", *net, "--weights", tmp_path / "whole.pt")
    assert "would run or build `torch.nn.modules" in line
    assert json_of("measure", *net, "--weights", tmp_path / "whole.pt", "--trust-pickle")["sites"] == plain["sites"]


def test_the_help_says_what_trust_means():
    text = " ".join(done("measure", "--help").replace("│", " ").split())
    assert "can run any code on this machine while they are read" in text
