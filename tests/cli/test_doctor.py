"""``netcaliper doctor``: the self-check passes here, and fails where a trace would be wrong."""

import json
from importlib import import_module

import torch

from command_line import done, json_of, netcaliper
from netcaliper.cli import doctor
from netcaliper.errors import ExportRefused


def test_all_is_well():
    text = done("doctor")
    assert "trace self-check" in text
    assert "passed: 3 sites and the output are right" in text
    assert torch.__version__ in text


def test_json():
    found = json_of("doctor")
    assert found["self_check"]["passed"] is True
    assert found["versions"]["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["devices"][0] == "cpu"


def test_missing_extras_are_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {"no-such-thing": "timm"})
    assert "not installed; pip install 'netcaliper[timm]'" in done("doctor")


def test_the_reference_is_the_network_itself():
    model, x = doctor.awkward(), torch.randn(3, 1, 6, 6)
    torch.testing.assert_close(doctor.reference(model, x)["output"], model(x))


def test_a_wrong_value_fails(monkeypatch):
    monkeypatch.setattr(doctor, "reference", lambda model, x, real=doctor.reference: {
        name: value + (0.01 if name == "add" else 0) for name, value in real(model, x).items()
    })  # fmt: skip
    result = netcaliper("doctor", "--json")
    assert result.exit_code == 1
    check = json.loads(result.stdout)["self_check"]
    assert (check["passed"], check["words"]) == (False, "add is off by 0.01")


def test_a_missing_site_fails(monkeypatch):
    monkeypatch.setattr(doctor, "reference", lambda model, x: {"elsewhere": x, "output": model(x)})
    result = netcaliper("doctor")
    assert result.exit_code == 1
    assert "FAILED: expected the sites elsewhere, output, found" in " ".join(result.stdout.split())


def test_a_refusal_fails(monkeypatch):
    def refuse(*_, **__):
        raise ExportRefused("no graph today")

    monkeypatch.setattr(import_module("netcaliper.trace.trace"), "trace", refuse)
    result = netcaliper("doctor")
    assert result.exit_code == 1
    assert "no graph today" in result.stdout
