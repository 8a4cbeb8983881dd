import json
from dataclasses import replace

import pytest

from netcaliper.errors import CorruptReading, InputError, OutputExists, ReadingError
from netcaliper.study.cell import CELL_VERSION
from netcaliper.study.file.grid import cells
from netcaliper.study.folder import ASKED, FILE, Asked, asked_of, open_study, prepare
from trivial_cells import STUDY as TRIVIAL

STUDY = TRIVIAL.replace('spec = "digits"', 'spec = "npz:{folder}/digits.npz"')
ASK = Asked("trivial", "one", {"digits": "here"}, ["netcaliper", "study"])


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "out"
    prepare(made, STUDY.encode(), ASK)
    return made


def test_a_study_is_opened_from_its_folder(root):
    assert asked_of(root) == ASK
    study = open_study(root)
    assert (study.name, study.scale, len(cells(study))) == ("trivial", "one", 2)
    assert study.data["digits"].folder == "here"


def test_the_last_file_and_scale_are_those_of_the_folder(root):
    prepare(root, STUDY.replace("Trivial", "Changed").encode(), replace(ASK, scale="tiny"))
    assert (open_study(root).title, open_study(root).scale) == ("Changed", "tiny")


def test_a_run_that_was_killed_before_it_was_asked_goes_on(tmp_path):
    (tmp_path / FILE).write_text("half")
    (tmp_path / f".{ASKED}.12.partial").write_text("half")
    prepare(tmp_path, STUDY.encode(), ASK)
    assert asked_of(tmp_path) == ASK


def test_other_folders_are_refused(root, tmp_path):
    with pytest.raises(OutputExists, match="the folder of the study 'trivial', not of 'other'"):
        prepare(root, b"", replace(ASK, name="other"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("")
    with pytest.raises(OutputExists, match="no study"):
        prepare(tmp_path / "full", b"", ASK)
    with pytest.raises(OutputExists, match="is a file"):
        prepare(tmp_path / "full" / "letter.txt", b"", ASK)
    with pytest.raises(ReadingError, match="cannot be written"):
        prepare(tmp_path / "full" / "letter.txt" / "deeper", b"", ASK)
    with pytest.raises(InputError, match="not the folder of a study"):
        asked_of(tmp_path / "full")


def test_cells_of_another_schema_are_refused(root):
    facts = json.loads((root / ASKED).read_text()) | {"schema": CELL_VERSION + 1, "netcaliper": "9.9"}
    (root / ASKED).write_text(json.dumps(facts))
    for use in (lambda: prepare(root, STUDY.encode(), ASK), lambda: open_study(root)):
        with pytest.raises(ReadingError, match=r"written by netcaliper 9\.9; .* name a new folder"):
            use()


def test_damage_is_named(root):
    (root / FILE).unlink()
    with pytest.raises(CorruptReading, match=r"study.toml is damaged"):
        open_study(root)
    (root / ASKED).write_text("{")
    with pytest.raises(CorruptReading, match=r"asked.json is damaged .*; give the command that ran the study again"):
        asked_of(root)
    prepare(root, STUDY.encode(), ASK)
    assert asked_of(root) == ASK
