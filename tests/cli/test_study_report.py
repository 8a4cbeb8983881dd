import json

import pytest
import typer
from typer.testing import CliRunner

from netcaliper.cli.study_report import study_report
from netcaliper.errors import NetcaliperError
from netcaliper.reading.study_file import read_study
from study_folders import made_folder

APP = typer.Typer()
APP.command()(study_report)


def run(*arguments):
    result = CliRunner().invoke(APP, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_claims_are_printed_and_written(tmp_path):
    made_folder(tmp_path)
    said = run(tmp_path)
    assert "✓ holds" in said
    assert "g = 2.83" in said
    assert read_study(tmp_path).claims[0].verdict == "holds"
    page = (tmp_path / "report.html").read_text()
    before = (tmp_path / "study.json").read_bytes()
    run(tmp_path)  # again, over its own files
    assert (tmp_path / "report.html").read_text() == page
    assert (tmp_path / "study.json").read_bytes() == before


def test_json_is_nothing_but_json(tmp_path):
    made_folder(tmp_path / "s", missing=1)
    told = json.loads(run(tmp_path / "s", "--out", tmp_path / "page.html", "--json"))
    assert told["page"] == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").is_file()
    assert told["claims"][0]["verdict"] == "undecided"
    assert "not computed yet" in told["claims"][0]["reason"]


def test_what_netcaliper_did_not_write_is_not_overwritten(tmp_path):
    made_folder(tmp_path / "s")
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>")
    with pytest.raises(NetcaliperError, match="not a page that netcaliper wrote"):
        run(tmp_path / "s", "--out", mine)
    with pytest.raises(NetcaliperError, match="is a folder"):
        run(tmp_path / "s", "--out", tmp_path)
    assert mine.read_text() == "<p>mine</p>"
    with pytest.raises(NetcaliperError, match="not the folder of a study"):
        run(tmp_path)


def test_figures_are_written_as_files(tmp_path):
    made_folder(tmp_path / "s")
    drawn = tmp_path / "figures"
    told = json.loads(run(tmp_path / "s", "--figures", drawn, "--formats", "svg", "--json"))
    names = [figure.name for figure in read_study(tmp_path / "s").figures if figure.points]
    assert names
    assert told["figures"] == [str(drawn / f"{name}.svg") for name in names]
    assert all((drawn / f"{name}.svg").read_text().startswith("<svg") for name in names)
    (tmp_path / "s" / "report.html").unlink()
    with pytest.raises(NetcaliperError, match="already has"):
        run(tmp_path / "s", "--figures", drawn, "--formats", "svg")
    assert not (tmp_path / "s" / "report.html").exists()  # nothing is half done
    assert "figures: " in run(tmp_path / "s", "--figures", drawn, "--formats", "svg", "--replace")
    with pytest.raises(NetcaliperError, match="add --figures FOLDER"):
        run(tmp_path / "s", "--formats", "svg")
