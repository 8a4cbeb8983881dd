"""The claims of the studies that were run, as tables for people: ``results/studies/README.md``.

``make studies`` runs the studies and leaves ``study.json``, ``table.csv`` and the figures of each in
``results/studies/NAME-SCALE``; this script writes what they say into one page.

    python benchmarks/study_claims.py
"""

import re
from pathlib import Path

import table

from netcaliper.reading.study import StudyReading
from netcaliper.reading.study_file import read_study
from netcaliper.reading.study_headline import computed, headline
from netcaliper.report.study_tables import ClaimRow, claim_rows

FOLDER = table.ROOT / "results" / "studies"
HEAD = """# What the studies say

Every claim was written into its study file before the runs: statistic, threshold, fewest seeds. ✓ holds: the whole 95 %
interval lies on the claimed side (and so does the difference to the untrained twin, where the claim asks for it);
✕ contradicted: it lies on the other side; ? undecided: it reaches across, or there is too little. Beside it stands the
paper's number where one was verified. Written by `python benchmarks/study_claims.py` from the `study.json` beside it.
"""


def page(folder: Path) -> str:
    """Return the page of all studies in a folder."""
    studies = sorted(file.parent for file in folder.glob("*/study.json"))
    return "\n".join([HEAD, *(section(study, read_study(study)) for study in studies)])


def section(folder: Path, reading: StudyReading) -> str:
    """Return the claims of a study, with its command and figures."""
    links = ", ".join(f"[{file.stem}]({folder.name}/{file.name})" for file in sorted(folder.glob("*.svg")))
    lines = [
        f"## {headline(reading)}", "", f"`{reading.command}`", "", computed(reading), "",
        "| claim | | effect (95 %) | threshold | against the twin | paper | seeds |", "|---|---|---|---|---|---|---|",
        *(line(row) for row in claim_rows(reading)), "", f"Figures: {links}." if links else "", "",
    ]  # fmt: skip
    return "\n".join(lines)


def line(row: ClaimRow) -> str:
    """Return a claim as a row of Markdown."""
    unit = f" {row.unit}" if row.unit else ""
    effect = f"{row.effect}{unit} ({row.interval})"
    verdict = f"{row.mark} {row.verdict}" + (f": {row.reason}" if row.verdict == "undecided" and row.reason else "")
    cells = (f"**{row.name}** {row.sentence}", verdict, effect, row.threshold, row.twin, row.paper, row.seeds)
    return "| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(page(FOLDER), encoding="utf-8")
