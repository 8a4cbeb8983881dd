"""``netcaliper apply``: a plan is run again, on the network that it was made for."""

import sys

import pytest

import shrinking_readings as made
from command_line import contents, done, netcaliper, refused
from netcaliper.reading.shrinking_folder import PLAN, PROOF, plan_bytes, read_plan
from shrinking_fake import WEIGHTS, Fake

MODEL, DATA = "zoo:mlp(widths=[12, 8])", ("--data", "digits", "--examples", "200", "--batch-size", "50")


@pytest.fixture
def fake(monkeypatch):
    found = Fake()
    monkeypatch.setitem(sys.modules, "netcaliper.shrink.shrink", found)
    return found


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(plan_bytes(made.plan()))
    return path


def test_end_to_end(fake, plan, tmp_path):
    out = tmp_path / "small"
    shown = done("apply", MODEL, plan, *DATA, "--force", "-o", out)
    assert set(contents(out)) == {PLAN, PROOF, WEIGHTS, "report.html"}
    assert "49.6 % fewer parameters" in " ".join(shown.split())
    assert read_plan(out) == made.plan() == fake.asked[0].plan
    assert fake.asked[0].force
    assert fake.asked[0].data_name.startswith("digits")
    done("apply", MODEL, out, *DATA, "-o", tmp_path / "again")  # a folder holds its plan
    assert (tmp_path / "again" / PLAN).read_bytes() == (out / PLAN).read_bytes()
    assert "must not exist yet" in refused("apply", MODEL, plan, *DATA, "-o", out)


def test_a_target_that_is_not_met_is_exit_code_1(fake, plan, tmp_path):
    fake.met = False
    assert netcaliper("apply", MODEL, plan, *DATA, "-o", tmp_path / "small").exit_code == 1
    assert (tmp_path / "small" / PLAN).is_file()


def test_what_is_no_plan_of_this_network_is_refused(fake, plan, tmp_path):
    out = tmp_path / "small"
    plan.write_bytes(plan_bytes(made.plan(model_fingerprint="f" * 64)))
    assert "must be for this network (aaaaaaaaaaaa), got ffffffffffff" in refused(
        "apply", MODEL, plan, *DATA, "-o", out
    )
    plan.write_text("{}")
    assert "it is not a netcaliper plan" in refused("apply", "nothing", plan, *DATA, "-o", out, code=1)
    assert "the file is missing" in refused("apply", "nothing", tmp_path / "no.json", *DATA, "-o", out, code=1)
    assert not out.exists()
