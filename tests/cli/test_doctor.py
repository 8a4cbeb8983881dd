"""``netcaliper doctor``: the self-check passes here, and fails where a trace would be wrong."""

import json
from importlib import import_module

import numpy as np
import torch

from command_line import done, json_of, netcaliper
from netcaliper.cli import doctor
from netcaliper.errors import ExportRefused
from netcaliper.specs.extra import EXTRAS, Extra


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


def test_extras_say_what_they_are_for_and_what_is_wrong(monkeypatch):
    monkeypatch.setitem(EXTRAS, "timm", Extra(("no-such-thing",), ("no_such_thing",), "models `timm:NAME`"))
    monkeypatch.setitem(EXTRAS, "transformers", Extra(("numpy",), ("numpy", "json.no_part"), "models `hf:NAME`"))
    monkeypatch.setitem(EXTRAS, "images", Extra(("numpy",), ("numpy",), "data of images"))
    text = " ".join(done("doctor").split())
    assert "extra timm for models `timm:NAME`; is not installed: pip install 'netcaliper[timm]'." in text
    assert f"extra transformers numpy {np.__version__}; for models `hf:NAME`; cannot be imported" in text
    assert f"extra images numpy {np.__version__}; for data of images extra parquet" in text
    found = json_of("doctor")["extras"]
    assert found["images"] == {"use": "data of images", "versions": {"numpy": np.__version__}, "trouble": None}
    assert found["timm"]["versions"] == {"no-such-thing": None}
    assert "pip install 'netcaliper[timm]'" in found["timm"]["trouble"]


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
