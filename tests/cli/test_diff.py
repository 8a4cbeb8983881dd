"""``netcaliper diff``: what differs, and what makes it hard to compare."""

import pytest

from command_line import done, json_of, refused
from readings import assemble, site, small


@pytest.fixture
def folders(tmp_path):
    a = assemble((site("stem.relu", losses=(4, 0, 0, 0)), site("old.relu"), site("same.relu")))
    b = assemble((site("stem.relu", losses=(9, 0, 3, 0)), site("same.relu"), site("new.relu")), seed=1)
    return a.save(tmp_path / "a"), b.save(tmp_path / "b")


def test_one_reading_with_itself(folders):
    assert "No difference in what was measured, at 3 sites." in done("diff", folders[0], folders[0])
    assert json_of("diff", folders[0], folders[0])["same"] is True


def test_changes_by_site(folders):
    text = done("diff", *folders)
    rows = [line.split() for line in text.splitlines()]
    assert ["stem.relu", "dead", "4", "9", "+5"] in rows
    assert ["needed", "60", "52", "-8"] in rows
    assert "Only in A: old.relu" in text
    assert "Only in B: new.relu" in text
    assert "note: different seeds" in text
    assert "1 site changed, 1 unchanged" in text


def test_json_has_every_change(folders):
    found = json_of("diff", *folders)
    (changed,) = found["sites"]
    assert {"field": "dead", "before": 4, "after": 9, "difference": 5, "apart": None} in changed["changes"]
    assert (found["added"], found["removed"]) == (["new.relu"], ["old.relu"])


def test_hostile_names_are_only_text(tmp_path):
    folder = small().save(tmp_path / "x")
    other = assemble((site("\x1b[2J[bold]x"),)).save(tmp_path / "y")
    text = done("diff", folder, other)
    assert "\x1b" not in text
    assert "[bold]x" in text


def test_misuse(folders, tmp_path):
    assert "does not exist" in refused("diff", folders[0], tmp_path / "nothing", code=1)
