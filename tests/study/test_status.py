from filelock import FileLock

from netcaliper.study import cell_folder as of
from netcaliper.study.file.grid import cells
from netcaliper.study.status import status_of
from trivial_cells import parsed, run


def test_by_family_what_is_done_running_failed_and_missing(tmp_path):
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "1").write_text("fail")
    root = tmp_path / "out"
    assert status_of(parsed(), root).families[0].counts == {"missing": 6}
    run(root)
    first = of.cell_folder(root, cells(parsed())[0].name)
    (first / of.DONE).rename(first / of.STARTED)
    (first / of.PROGRESS).write_text('{"done": 0.25, "words": "epoch 1 of 4"}')
    assert status_of(parsed(), root).families[0].counts == {"begun": 1, "done": 3, "failed": 2}
    with FileLock(first / of.LOCK):
        status = status_of(parsed(), root)
    trained, bent, compared = status.families
    assert (status.cells, status.unasked) == (20, 0)
    assert (trained.kind, trained.family, trained.cells) == ("train", "mlp", 6)
    assert trained.counts == {"running": 1, "done": 3, "failed": 2}
    assert bent.counts == {"done": 8, "missing": 4}
    assert compared.counts == {"missing": 2}
    assert trained.running == [
        {"cell": first.name, "columns": {"seed": 0, "width": 1}, "share": 0.25, "words": "epoch 1 of 4"}
    ]
    assert [(one["columns"], one["error"]) for one in trained.failed] == [
        ({"seed": 1, "width": width}, "ValueError: seed 1 fails") for width in (1, 2)
    ]


def test_cells_that_are_no_longer_asked_for_are_counted(tmp_path):
    run(tmp_path)
    status = status_of(parsed("one"), tmp_path)
    # Trainings that are not bent keep nothing on the way, and are cells of their own.
    assert (status.cells, status.unasked) == (2, 20)
    assert status.families[0].counts == {"missing": 2}
