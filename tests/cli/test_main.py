"""The command line as a whole: help, version, exit codes, the installed script."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import netcaliper as nc
from command_line import done, netcaliper, refused
from netcaliper.cli.main import app
from netcaliper.errors import DataError, InputError, NetcaliperError, OutputExists

COMMANDS = ("demo", "train", "trace", "measure", "report", "diff", "doctor")


def test_every_command_explains_itself():
    overview = done("--help")
    positions = [overview.index(f" {name} ") for name in COMMANDS]
    assert positions == sorted(positions)
    for name in COMMANDS:
        text = done(name, "--help")
        assert "--json" in text


def test_version():
    assert done("--version").strip() == f"netcaliper {nc.__version__}"


@pytest.mark.parametrize(
    "arguments", [["mesure"], ["trace"], ["measure", "digits"], ["diff", "a"], ["trace", "x", "--wat"]]
)
def test_misuse_exits_with_two(arguments):
    result = netcaliper(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"), [(NetcaliperError, 1), (DataError, 1), (InputError, 2), (OutputExists, 2)], ids=str
)
def test_an_error_raised_on_purpose_is_one_line_and_its_exit_code(error, code, monkeypatch):
    def fail(*_):
        raise error("the `argument`\n is\x1b[2J [bold]wrong[/bold]")

    monkeypatch.setattr("netcaliper.reading.store.load", fail)
    assert refused("diff", "a", "b", code=code) == "netcaliper: the `argument` is\ufffd[2J [bold]wrong[/bold]"


def test_a_fault_of_our_own_is_not_hidden(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("netcaliper.reading.store.load", fail)
    with pytest.raises(ZeroDivisionError):
        netcaliper("diff", "a", "b")


def test_the_installed_script_runs(tmp_path):
    script = Path(sys.executable).with_name("netcaliper")
    finished = subprocess.run([script, "--version"], capture_output=True, text=True, check=False, timeout=60)
    assert (finished.returncode, finished.stdout.strip()) == (0, f"netcaliper {nc.__version__}")
    bad = subprocess.run(
        [script, "trace", "nothing/here"], capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path
    )
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("netcaliper: `model` = 'nothing/here'")
    assert "Traceback" not in bad.stderr


def test_the_script_is_the_app():
    (script,) = (entry for entry in entry_points(group="console_scripts") if entry.name == "netcaliper")
    assert script.value == "netcaliper.cli.main:main"
    assert app.info.name == "netcaliper"
