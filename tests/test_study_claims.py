"""The page of the claims of all studies."""

from benchmark_script import imported
from netcaliper.reading.study_file import STUDY, study_bytes
from netcaliper.report.figures_export import export
from netcaliper.study.folder import open_study
from netcaliper.study.report import study_reading
from study_folders import made_folder


def test_every_claim_is_a_row_with_its_verdict_and_every_figure_a_link(tmp_path):
    made_folder(tmp_path / "made")
    reading = study_reading(open_study(tmp_path / "made"), tmp_path / "made")
    kept = tmp_path / "results" / "made-tiny"
    drawn = export(reading, kept, ("svg",))
    (kept / STUDY).write_bytes(study_bytes(reading))
    with imported("study_claims") as script:
        page = script.page(tmp_path / "results")
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert [row.split("**")[1] for row in rows] == [claim.name for claim in reading.claims]
    assert all(len(row.split(" | ")) == 7 for row in rows)
    assert "✓ holds" in rows[0]
    assert "g = 2.83" in rows[0]
    assert reading.command in page
    assert all(f"(made-tiny/{file.name})" in page for file in drawn)
