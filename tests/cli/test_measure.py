"""``netcaliper measure``: the same reading as ``nc.measure``, written whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

import netcaliper as nc
from command_line import contents, done, json_of, netcaliper, refused, small_data, small_net
from netcaliper.measure.needed import NeededStates
from netcaliper.reading.reading import Reading
from netcaliper.reading.store import load_as

NET = ("measure", "command_line:small_net", "--data", "command_line:small_data")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished reading on disk and what the command printed."""
    folder = tmp_path_factory.mktemp("kept") / "reading"
    return folder, netcaliper(*NET, "-o", folder)


def test_the_folder_holds_the_reading_of_the_library_call(kept):
    folder, _ = kept
    expected = nc.measure(small_net(), small_data(), name="command_line:small_net", data_name="command_line:small_data")
    opened = load_as(Reading, folder)
    assert opened.model_dump() == expected.model_dump()
    assert set(contents(folder)) == {"reading.json", "arrays.safetensors", "cost.json", "report.html"}


def test_cost_first_then_table_then_where(kept):
    folder, result = kept
    assert result.exit_code == 0
    assert result.stderr.startswith("cost: ")
    assert "forward passes of the data" in result.stderr
    assert len(result.stderr.splitlines()) == 1  # no bar without a terminal
    assert "act#2" in result.stdout
    assert f"page:    {folder / 'report.html'}" in result.stdout


def test_json_is_the_record(kept):
    folder, _ = kept
    found = json_of(*NET)
    on_disk = json.loads((folder / "reading.json").read_text())
    assert found["network"] == on_disk["network"]
    assert found["sites"] == on_disk["sites"]
    assert found["folder"] is None
    assert found["failed"] is None


def test_an_existing_folder_is_refused_before_anything_is_computed(kept, monkeypatch):
    folder, _ = kept
    before = contents(folder)
    monkeypatch.setattr("netcaliper.specs.model.load_model", lambda *_: pytest.fail("the model was loaded"))
    assert "already" in refused(*NET, "-o", folder) or "must not exist" in refused(*NET, "-o", folder)
    assert contents(folder) == before


def test_replace_replaces_a_reading_and_nothing_else(kept, tmp_path):
    folder, _ = kept
    stranger = tmp_path / "work"
    stranger.mkdir()
    (stranger / "thesis.tex").write_text("years of work")
    assert "not a reading" in refused(*NET, "-o", stranger, "--replace")
    assert (stranger / "thesis.tex").read_text() == "years of work"
    mine = tmp_path / "reading"
    done(*NET, "-o", mine, "--seed", "1")
    before = contents(mine)
    done(*NET, "-o", mine, "--replace")
    assert contents(mine)["reading.json"] != before["reading.json"]
    assert contents(mine)["reading.json"] == contents(folder)["reading.json"]
    assert contents(mine)["report.html"] != before["report.html"]


@pytest.mark.parametrize(
    ("expression", "code"), [("needed_units < 0.5*units", 0), ("needed_units <= units", 1), ("parameters == 211", 1)]
)
def test_fail_if_is_the_exit_code(expression, code):
    result = netcaliper(*NET, "--fail-if", expression)
    assert result.exit_code == code
    assert ("failed, because" in result.stderr) is (code == 1)
    assert "act#2" in result.stdout  # the table all the same


def test_fail_if_on_what_was_not_measured_is_misuse_and_keeps_the_reading(tmp_path):
    result = netcaliper(*NET, "--only", "unit_states", "--fail-if", "redundant > .5", "-o", tmp_path / "r")
    assert result.exit_code == 2
    assert "`redundant`, which was not measured" in result.stderr
    assert load_as(Reading, tmp_path / "r").network.units == 4


def test_fail_if_is_read_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr("netcaliper.specs.model.load_model", lambda *_: pytest.fail("the model was loaded"))
    assert "did you mean `needed_units`" in refused(*NET, "--fail-if", "neded_units > 1")


def test_choosing_sites_and_measures():
    found = json_of(*NET, "--sites", "act*", "--only", "unit_states")
    assert [site["name"] for site in found["sites"]] == ["act", "act#2"]
    assert all(site["redundant"] is None for site in found["sites"])
    assert "measures among" in refused(*NET, "--only", "cka")
    assert "no match" in refused(*NET, "--sites", "layer9.*")
    assert "must leave a measure" in refused(*NET, "--only", "redundant", "--skip", "redundant")


def interrupted(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("module", "moment"), [("netcaliper.feed.one_pass", "regrouped"), ("netcaliper.reading.writing", "_write")]
)
def test_an_interrupt_loses_nothing_that_was_written(module, moment, tmp_path, monkeypatch):
    folder = tmp_path / "reading"
    done(*NET, "-o", folder)
    before = contents(folder)
    monkeypatch.setattr(import_module(module), moment, interrupted)
    result = netcaliper(*NET, "-o", folder, "--replace", "--seed", "1")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert contents(folder) == before
    # no half-written folder is left behind, only what an elimination can go on from
    assert {path.name for path in tmp_path.iterdir()} <= {"reading", "reading.measuring"}


def test_an_interrupted_elimination_goes_on_and_leaves_nothing_behind(tmp_path, monkeypatch):
    folder, state = tmp_path / "reading", tmp_path / "reading.measuring"
    with monkeypatch.context() as patched:
        patched.setattr(import_module("netcaliper.measure.network_run"), "network_reading", interrupted)
        result = netcaliper(*NET, "-o", folder)
    assert result.exit_code == 130
    assert f"what was eliminated so far is in {state}" in result.stderr
    assert state.is_dir()
    assert "belongs to other work: its seed is 0, here it is 1" in refused(*NET, "-o", folder, "--seed", "1")
    fresh = json_of(*NET)
    trained = []

    def eliminate(states, *rest):
        trained.append(states.folder is not None)
        return whole(states, *rest)

    whole = NeededStates._eliminate
    monkeypatch.setattr(NeededStates, "_eliminate", eliminate)
    assert json_of(*NET, "-o", folder)["network"] == fresh["network"]
    assert not any(trained)  # the twin alone was judged again
    assert not state.exists()


def test_an_interrupt_while_the_page_is_written_keeps_the_reading(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("netcaliper.report.page.render", stop)
    result = netcaliper(*NET, "-o", tmp_path / "reading")
    assert result.exit_code == 130
    assert "is complete, its page is not" in result.stderr
    assert load_as(Reading, tmp_path / "reading").network.units == 4


SLOW = """
import os, time
from command_line import small_data, small_net

class Slow(list):
    def __iter__(self):
        for number, batch in enumerate(list.__iter__(self)):
            if number == 2:
                os.close(os.open("reached", os.O_CREAT))  # a file object's end would swallow the signal
                time.sleep(60)
            yield batch

def data():
    return Slow(small_data())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one child")
@pytest.mark.parametrize(("sent", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_real_signal_in_the_middle(tmp_path, sent, code, word):
    (tmp_path / "slow.py").write_text(SLOW)
    folder = tmp_path / "reading"
    done(*NET, "-o", folder)
    before = contents(folder)
    tests = str(Path(__file__).parents[1])
    command = [
        sys.executable,
        "-c",
        "from netcaliper.cli.main import main; main()",
        "measure",
        "command_line:small_net",
    ]
    child = subprocess.Popen(
        [*command, "--data", "slow:data", "-o", str(folder), "--replace"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": tests}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "reached").exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "reached").exists(), child.communicate(timeout=5)
        child.send_signal(getattr(signal, sent))
        out, err = child.communicate(timeout=120)  # a busy machine is slow to stop
    finally:
        child.kill()
    assert child.returncode == code
    assert out == ""
    assert word in err
    assert "Traceback" not in err
    assert contents(folder) == before


def test_images_are_prepared_for_the_model_and_the_reading_says_how(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for number in range(120):
        file = tmp_path / "birds" / f"{number % 3}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.effect_noise((14, 12), number % 50 + 9).convert("RGB").save(file)
    net = "zoo:cnn(channels=3, size=8, widths=[4], classes=3)"
    found = json_of("measure", net, "--data", f"imagefolder:{tmp_path / 'birds'}", "--only", "unit_states", "--no-twin")
    assert found["provenance"]["data"].endswith("birds (8 px, bilinear, values 0 to 1)")
    few = "zoo:cnn(channels=3, size=8, widths=[4], classes=2)"
    said = refused("measure", few, "--data", f"imagefolder:{tmp_path / 'birds'}", "--no-twin", code=1)
    assert "labels of `data` must lie in 0 .. 1 because `model` has 2 outputs, got 2" in said
    assert "did you mean" in refused("measure", net, "--data", f"imagefolder:{tmp_path / 'brids'}")
