"""``netcaliper report``: the page again, from the reading alone."""

import subprocess
import sys

import pytest

from command_line import done, json_of, refused
from readings import small


@pytest.fixture
def folder(tmp_path):
    return small().save(tmp_path / "reading")


def test_the_page_beside_the_reading_is_written_and_rebuilt(folder):
    assert "(rebuilt)" not in done("report", folder)
    page = folder / "report.html"
    first = page.read_bytes()
    page.write_bytes(first[:3000])
    assert "(rebuilt)" in done("report", folder)
    assert page.read_bytes() == first


def test_a_file_of_somebody_else_is_not_overwritten(folder, tmp_path):
    page = folder / "report.html"
    page.write_text("<html>mine</html>")
    assert "must not exist yet" in refused("report", folder)
    assert page.read_text() == "<html>mine</html>"
    done("report", folder, "--replace")
    assert "mine" not in page.read_text()
    other = tmp_path / "other.html"
    other.write_bytes(page.read_bytes())
    assert "must not exist yet" in refused("report", folder, "-o", other)


def test_figures_in_the_formats_asked_for(folder, tmp_path):
    found = json_of("report", folder, "--figures", tmp_path / "f", "--formats", "svg,png")
    assert found["figures"]
    assert {path.suffix for path in (tmp_path / "f").iterdir()} == {".svg", ".png"}
    assert sorted(found["figures"]) == sorted(str(path) for path in (tmp_path / "f").iterdir())
    assert "already has" in refused("report", folder, "--figures", tmp_path / "f", "--formats", "svg")


def test_misuse(folder, tmp_path):
    assert "add --figures" in refused("report", folder, "--formats", "svg")
    assert "`formats`" in refused("report", folder, "--figures", tmp_path / "f", "--formats", "gif")
    assert "does not exist" in refused("report", tmp_path / "nothing", code=1)


def test_torch_is_not_loaded(folder):
    code = (
        "import sys; from netcaliper.cli.main import main\n"
        f"sys.argv = ['netcaliper', 'report', {str(folder)!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\nassert 'torch' not in sys.modules"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
