"""``netcaliper shrink``: a network and data in; a smaller one with its plan, proof and page out."""

import json
import sys

import pytest

import netcaliper as nc
from command_line import contents, done, json_of, netcaliper, refused
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.shrinking_folder import PLAN, PROOF, read_plan
from shrinking_fake import WEIGHTS, Fake

MODEL, DATA = "zoo:mlp(widths=[12, 8])", ("--data", "digits", "--examples", "200", "--batch-size", "50")


@pytest.fixture
def fake(monkeypatch):
    made = Fake()
    monkeypatch.setitem(sys.modules, "netcaliper.shrink.shrink", made)
    return made


def test_end_to_end(fake, tmp_path):
    out = tmp_path / "small"
    shown = done("shrink", MODEL, *DATA, "--parameters", "0.5", "--round-to", "8", "-o", out)
    assert set(contents(out)) == {PLAN, PROOF, WEIGHTS, "report.html"}
    assert set(contents(tmp_path)) == {f"small/{name}" for name in contents(out)}
    assert "49.6 % fewer parameters" in " ".join(shown.split())
    assert f"page:    {out / 'report.html'}" in shown
    reading = nc.load(out)
    assert isinstance(reading, ShrinkReading)
    typed = f"netcaliper shrink '{MODEL}' --data digits --examples 200 --batch-size 50 --parameters 0.5 --round-to 8"
    assert reading.proof.command == f"{typed} -o {out}"
    assert typed.split(" --parameters")[1] in (out / "report.html").read_text()
    assert "(rebuilt)" in done("report", out)


def test_every_option_arrives(fake, tmp_path):
    done(
        "shrink", MODEL, *DATA, "--agreement", ".99", "--skip", "stream, drop block", "--sites", "hidden.*", "--force",
        "--seed", "3", "--device", "cpu", "--split", "train", "--verification", "digits", "-o", tmp_path / "small",
    )  # fmt: skip
    (asked,) = fake.asked
    assert (asked.agreement, asked.parameters, asked.macs, asked.latency) == (0.99, None, None, None)
    assert asked.skip == ("stream", "drop block")
    assert (asked.sites, asked.force, asked.seed, asked.device, asked.round_to) == ("hidden.*", True, 3, "cpu", 1)
    assert asked.data_name.startswith("digits (train")
    read, other = (sum(len(batch[0]) for batch in data) for data in (asked.data, asked.verification))
    assert (read, other) == (200, 450)  # the test part of all digits


def test_json_is_the_plan_and_the_proof(fake, tmp_path):
    found = json_of("shrink", MODEL, *DATA, "-o", tmp_path / "small")
    assert found["plan"]["sites"] == json.loads((tmp_path / "small" / PLAN).read_text())["sites"]
    assert found["proof"]["parameters_after"] == 137_210
    assert (found["folder"], found["page"]) == (str(tmp_path / "small"), str(tmp_path / "small" / "report.html"))


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_target_that_is_not_met_is_said_and_the_best_is_written(fake, tmp_path, extra):
    fake.met = False
    out = tmp_path / "small"
    result = netcaliper("shrink", MODEL, *DATA, "--parameters", ".5", "-o", out, *extra)
    assert result.exit_code == 1
    said = result.stderr.splitlines()[-1]
    assert said.startswith("netcaliper: the target (at most 51 % of the parameters) is not met: the smallest that")
    assert str(out) in said
    assert set(contents(out)) == {PLAN, PROOF, WEIGHTS, "report.html"}
    assert not extra or json.loads(result.stdout)["proof"]["target_met"] is False


def test_an_interruption_keeps_what_was_verified_last(fake, tmp_path):
    fake.interrupted = True
    out = tmp_path / "small"
    result = netcaliper("shrink", MODEL, *DATA, "-o", out)
    assert result.exit_code == 130
    work = tmp_path / "small.shrinking"
    assert f"the plan up to the last step that was verified is in {work / PLAN}" in result.stderr
    assert not out.exists()
    assert len(read_plan(work).steps) == 1
    assert "holds the plan of an interrupted run" in refused("shrink", MODEL, *DATA, "-o", out)
    fake.interrupted = False
    done("apply", MODEL, work, *DATA, "-o", out)
    assert len(read_plan(out).steps) == 1


def test_misuse_is_refused_before_anything_is_loaded(fake, tmp_path):
    (tmp_path / "small").mkdir()
    assert "`--out` must not exist yet" in refused("shrink", "nothing", *DATA, "-o", tmp_path / "small")
    words = refused("shrink", "nothing", *DATA, "--macs", ".5", "--parameters", ".4", "-o", tmp_path / "new")
    assert "At most one target can be met for sure, got `--parameters` 0.4 and `--macs` 0.5" in words
    assert fake.asked == []
    assert contents(tmp_path) == {}
