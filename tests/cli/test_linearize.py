"""``netcaliper linearize``: a network and data in; how much of it must bend, and its core network, out."""

import inspect
import json

import pytest

import netcaliper as nc
from command_line import contents, done, json_of, netcaliper, refused
from netcaliper.cli.linearize import linearize as command_of_linearize
from netcaliper.linearize.trainings import Trainings
from netcaliper.reading.linearization_reading import LinearizationReading

DATA = ("--data", "digits", "--examples", "200", "--batch-size", "50")
QUICK = (*DATA, "--omega", "0.03,0.1", "--epochs", "2", "--finetune", "1", "--learning-rate", "0.02")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A checkpoint folder of ours."""
    out = tmp_path_factory.mktemp("trained") / "net"
    quick = ("--data", "digits(examples=200)", "--epochs", "4", "--learning-rate", "0.02", "--batch-size", "50")
    done("train", "zoo:mlp(widths=[12, 8])", *quick, "-o", out)
    return out


@pytest.fixture(scope="module")
def kept(net, tmp_path_factory):
    out = tmp_path_factory.mktemp("kept") / "core"
    return out, netcaliper("linearize", net, *QUICK, "--baseline", "random,shallow", "-o", out)


def test_end_to_end(kept):
    out, result = kept
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(
        "cost: 6 trainings (1 unbent, 2 learned, 2 random, 1 shallow) of 3 epochs; 7 epochs"
    )
    assert len(result.stderr.splitlines()) == 1
    assert f"page:    {out / 'report.html'}" in result.stdout
    assert f"network: {out / 'model'}" in result.stdout
    names = {"reading.json", "arrays.safetensors", "cost.json", "report.html"}
    assert set(contents(out)) == names | {"model/bending.json", "model/model.safetensors"}
    assert not out.with_name("core.linearizing").exists()
    reading = nc.load(out)
    assert isinstance(reading, LinearizationReading)
    assert reading.protocol.select + reading.protocol.verify == 450
    assert {site["name"] for site in json.loads((out / "model" / "bending.json").read_text())["sites"]} == {
        "hidden.0.act", "hidden.1.act",
    }  # fmt: skip


def test_json_is_the_record_and_nothing_is_overwritten(kept, net, tmp_path):
    out, _ = kept
    result = json_of("linearize", net, *QUICK, "--baseline", "random,shallow", "-o", tmp_path / "again", "--json")
    record = json.loads((out / "reading.json").read_text())
    assert result["points"] == json.loads((tmp_path / "again" / "reading.json").read_text())["points"]
    assert [point["name"] for point in result["points"]] == [point["name"] for point in record["points"]]
    assert result["model"] == str(tmp_path / "again" / "model")
    before = contents(out)
    assert "must not exist yet" in refused("linearize", net, *QUICK, "-o", out)
    assert contents(out) == before


def test_an_interrupted_run_is_resumed(net, tmp_path, monkeypatch):
    original = Trainings.train

    def interrupted(self, place, planned, done):
        if place == 1:
            raise KeyboardInterrupt
        return original(self, place, planned, done)

    out = tmp_path / "core"
    with monkeypatch.context() as patch:
        patch.setattr(Trainings, "train", interrupted)
        result = netcaliper("linearize", net, *QUICK, "--baseline", "none", "-o", out)
    assert result.exit_code == 130
    assert f"finished trainings are in {out}.linearizing" in result.stderr
    assert not out.exists()
    assert "give --resume to go on with it" in refused("linearize", net, *QUICK, "--baseline", "none", "-o", out)
    done("linearize", net, *QUICK, "--baseline", "none", "-o", out, "--resume")
    reading = nc.load(out)
    assert isinstance(reading, LinearizationReading)
    assert len(reading.points) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--omega", "much"), "`--omega` must be numbers separated by commas"),
        (("--baseline", "magic"), "`baselines` must be among random, layer, one_shot, shallow"),
        (("--resume",), "`--resume`: there is no interrupted run"),
        (("--target-active", "0.1"), "`omega` must be one number"),
        (("--start-epoch", "5"), "take more epochs"),
    ],
)
def test_misuse_is_refused(net, tmp_path, options, words):
    assert words in refused("linearize", net, *QUICK, *options, "-o", tmp_path / "core")
    assert contents(tmp_path) == {}


def test_the_command_has_the_defaults_of_the_library():
    library = {name: p.default for name, p in inspect.signature(nc.linearize).parameters.items()}
    command = {name: p.default for name, p in inspect.signature(command_of_linearize).parameters.items()}
    shared = library.keys() & command.keys() - {"model", "device"}
    assert {"alpha_rate", "epochs", "finetune", "learning_rate", "margin"} <= shared
    assert {name: command[name] for name in shared} == {name: library[name] for name in shared}
