"""The claims of the studies that were run, as tables for people: ``results/studies/README.md``, and short in README.md.

``make studies`` runs the studies and leaves ``study.json``, ``table.csv`` and the figures of each in
``results/studies/NAME-SCALE``; this script writes what they say into one page, and in short into the README.

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
README = table.ROOT / "README.md"
BEGIN, END = "<!-- written by benchmarks/study_claims.py -->\n", "<!-- until here -->\n"
HEAD = """# What the studies say

Claims were written into the study files before the runs: statistic, threshold, fewest seeds; † names what was added or
changed after results had been seen. ✓ holds: the whole 95 % interval lies on the claimed side (and so does the
difference to the untrained twin, where the claim asks for it); ✕ contradicted: it lies on the other side; ? undecided:
it reaches across, or there is too little. Beside it stands the paper's number where one was verified; n is how many
seeds, or of networks where a comparison has its own interval. Written by `python benchmarks/study_claims.py` from the
`study.json` of each; `cells.jsonl` beside it has the rows of every cell: with `python benchmarks/study_sittings.py
restore` claims are tested again without computing a cell.
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
        "| claim | | effect (95 %) | threshold | against the twin | paper | n |", "|---|---|---|---|---|---|---|",
        *(line(row) for row in claim_rows(reading)), "", f"Figures: {links}." if links else "", "",
    ]  # fmt: skip
    return "\n".join(lines)


def line(row: ClaimRow) -> str:
    """Return a claim as a row of Markdown."""
    verdict = f"{row.mark} {row.verdict}" + (f": {row.reason}" if row.verdict == "undecided" and row.reason else "")
    sentence = f"**{row.name}** {row.sentence}" + (f" † *{row.revised}*" if row.revised else "")
    return cells(sentence, verdict, effect(row), row.threshold, row.twin, row.paper, row.seeds)


def effect(row: ClaimRow) -> str:
    """Return the number of a claim with its interval."""
    return f"{row.effect}{f' {row.unit}' if row.unit else ''} ({row.interval})"


def cells(*texts: str) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(re.sub(r"\s+", " ", text).replace("|", "\\|") for text in texts) + " |"


def short(folder: Path) -> str:
    """Return the verdicts of all studies: what is contradicted in full, every claim in a line that folds away."""
    parts = []
    for file in sorted(folder.glob("*/study.json")):
        reading = read_study(file.parent)
        rows = claim_rows(reading)
        against = [contradicted(row) for row in rows if row.verdict == "contradicted"]
        table = [cells("", "claim", "effect (95 %)", "claimed", "beside the twin"), "|---|---|---|---|---|"]
        table += [cells(row.mark, sentence(row), effect(row), row.threshold, row.twin) for row in rows]
        parts += [
            f"**{headline(reading)}.** {computed(reading)}", "", *against, *([""] if against else []),
            f"<details><summary>All {len(rows)} claims</summary>", "", *table, "", "</details>", "",
        ]  # fmt: skip
    return "\n".join(parts)


def sentence(row: ClaimRow) -> str:
    """Return what is claimed, marked if it was not written before the runs."""
    return row.sentence + (" †" if row.revised else "")


def contradicted(row: ClaimRow) -> str:
    """Say what a claim says, and what was found."""
    reason = f"; {row.reason}" if row.reason else ""
    return f"- ✕ {sentence(row).replace('. †', ' †').rstrip('.')}: {effect(row)}, claimed {row.threshold}{reason}."


def with_short(text: str, claims: str) -> str:
    """Return the README with the claims between its two marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + claims + END + rest.split(END)[1]


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(page(FOLDER), encoding="utf-8")
    README.write_text(with_short(README.read_text(encoding="utf-8"), short(FOLDER)), encoding="utf-8")
