"""The page of the claims of all studies."""

from benchmark_script import imported
from netcaliper.reading.study_file import STUDY, read_study, study_bytes
from netcaliper.report.figures_export import export
from netcaliper.study.folder import open_study
from netcaliper.study.report import study_reading
from study_folders import made_folder


def test_the_readme_says_what_the_studies_said():
    with imported("study_claims") as script:
        text = script.README.read_text(encoding="utf-8")
        assert script.with_short(text, script.short(script.FOLDER)) == text, "run benchmarks/study_claims.py"
        for study in script.FOLDER.glob("*/study.json"):
            assert f"`{read_study(study.parent).command}`" in script.page(script.FOLDER)


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


def test_in_short_every_claim_is_a_line_and_what_is_contradicted_stands_out(tmp_path):
    made_folder(tmp_path / "made")
    reading = study_reading(open_study(tmp_path / "made"), tmp_path / "made")
    changed = {"verdict": "contradicted", "reason": "so it is", "revised": "Its twin was added."}
    against = reading.claims[0].model_copy(update=changed)
    kept = tmp_path / "results" / "made-tiny"
    kept.mkdir(parents=True)
    (kept / STUDY).write_bytes(study_bytes(reading.model_copy(update={"claims": (against, *reading.claims[1:])})))
    with imported("study_claims") as script:
        text, page = script.short(tmp_path / "results"), script.page(tmp_path / "results")
        readme = script.with_short(f"before\n{script.BEGIN}old\n{script.END}after\n", text)
    lines = text.splitlines()
    assert len([line for line in lines if line.startswith("| ") and "claim |" not in line]) == len(reading.claims)
    (told,) = [line for line in lines if line.startswith("- ✕")]
    assert told.startswith(f"- ✕ {against.sentence.rstrip('.')} †: g = 2.83")
    assert text.count("†") == 2, "there and in the table, at no other claim"
    assert f"{against.sentence} † *Its twin was added.*" in page
    assert told.endswith("; so it is.")
    assert readme == f"before\n{script.BEGIN}{text}{script.END}after\n"
