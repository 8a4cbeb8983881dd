"""``netcaliper demo``: small here, but all of it."""

import pytest

from command_line import contents, done, json_of, netcaliper, refused
from netcaliper.cli import demo
from netcaliper.reading.reading import Reading
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.shrinking_headline import headline
from netcaliper.reading.store import load, load_as
from netcaliper.report.page import render
from netcaliper.zoo.checkpoint import load_checkpoint


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(demo, "WIDTHS", (6, 8))
    monkeypatch.setattr(demo, "EPOCHS", 1)


def test_everything_is_there_and_says_the_same(tmp_path):
    out = tmp_path / "deep" / "demo"
    text = done("demo", "-o", out)
    assert f"page:       {out / 'report.html'}" in text
    assert "stages.0.0.act" in text
    reading = load_as(Reading, out)
    assert (out / "report.html").read_text(encoding="utf-8") == render(reading)
    small = load(out / "small")
    assert isinstance(small, ShrinkReading)
    assert small.proof.examples == 450  # the test digits
    assert headline(small) in text
    assert (out / "small" / "report.html").is_file()
    checkpoint = load_checkpoint(out / "checkpoint")
    assert checkpoint.arguments["widths"] == (6, 8) or checkpoint.arguments["widths"] == [6, 8]
    again = json_of("measure", out / "checkpoint", "--data", "digits")
    assert again["network"] == json_of("demo", "-o", tmp_path / "second")["network"]
    assert again["provenance"]["model_fingerprint"] == reading.provenance.model_fingerprint


def test_one_seed_one_demo_and_an_earlier_one_is_replaced(tmp_path):
    out = tmp_path / "demo"
    done("demo", "-o", out)
    first = contents(out)
    done("demo", "-o", out)
    second = contents(out)
    assert first.pop("cost.json") != second.pop("cost.json")
    timed = ("report.html", "small/report.html", "small/proof.json")
    for name in (*timed, "small/small.pt2"):  # torch writes an archive with a name of its own
        del first[name], second[name]
    assert first == second
    done("demo", "-o", out, "--seed", "1")
    assert contents(out)["checkpoint/model.safetensors"] != first["checkpoint/model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("kind", ["stranger", "addition", "file", "link"])
def test_nothing_else_is_ever_replaced(kind, tmp_path, monkeypatch):
    out = tmp_path / "demo"
    if kind == "file":
        out.write_text("mine")
    elif kind == "link":
        (tmp_path / "real").mkdir()
        out.symlink_to(tmp_path / "real")
    else:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
        if kind == "addition":
            (out / demo.MARKER).write_text("{}")
    before = contents(tmp_path)
    monkeypatch.setattr("netcaliper.fit.train.fit", lambda *_, **__: pytest.fail("it trained first"))
    assert "not replaced" in refused("demo", "-o", out)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("moment", ["netcaliper.fit.train.fit", "netcaliper.report.page.write"])
def test_an_interrupt_leaves_the_earlier_demo(moment, tmp_path, monkeypatch):
    out = tmp_path / "demo"
    done("demo", "-o", out)
    before = contents(tmp_path)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, stop)
    result = netcaliper("demo", "-o", out)
    assert result.exit_code == 130
    assert "the demo wrote nothing; an earlier demo is unchanged" in result.stderr
    assert contents(tmp_path) == before


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    result = netcaliper("demo", "-o", tmp_path / "file" / "demo")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
