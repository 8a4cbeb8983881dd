"""What a study says, in a sentence: how many claims hold, and how much of it was computed."""

from netcaliper.reading.numerals import count, plural
from netcaliper.reading.study import StudyReading, Verdict

VERDICTS: tuple[Verdict, ...] = ("holds", "contradicted", "undecided")


def headline(reading: StudyReading) -> str:
    """Say how many claims hold, are contradicted and are undecided."""
    if not reading.claims:
        return f"{_title(reading)} nothing is claimed"
    held, against, undecided = (reading.judged(verdict) for verdict in VERDICTS)
    one = held == 1 or len(reading.claims) == 1
    return (
        f"{_title(reading)} {held} of {plural(len(reading.claims), 'claim')} {'holds' if one else 'hold'}, "
        f"{against} {'is' if against == 1 else 'are'} contradicted, {undecided} undecided"
    )


def _title(reading: StudyReading) -> str:
    return reading.title if reading.title.endswith(("?", "!", ".")) else f"{reading.title}:"


def lead(reading: StudyReading) -> str:
    """Say what the study is about, and how much of it was computed."""
    parts = [f"After {reading.paper.rstrip('.')}." if reading.paper else "", " ".join(reading.about.split())]
    return " ".join([*(part for part in parts if part), computed(reading)])


def computed(reading: StudyReading) -> str:
    """Say how many cells are done, failed and missing."""
    done, failed, missing = (reading.counted(status) for status in ("done", "failed", "missing"))
    words = f"Scale {reading.scale}: {count(done)} of {plural(done + failed + missing, 'cell')} done"
    words += f", {count(failed)} failed" if failed else ""
    return words + (f", {count(missing)} not computed yet." if missing else ".")


def warnings(reading: StudyReading) -> list[str]:
    """Say what is not there: cells that failed, and figures that could not be read in full."""
    failed = reading.counted("failed")
    found = [
        f"{plural(failed, 'cell')} failed; claims that read {'it' if failed == 1 else 'them'} are undecided. "
        "`netcaliper study run ... --retry` computes failed cells again."
    ] if failed else []  # fmt: skip
    return found + [f"Figure “{figure.title}”: {figure.reason}." for figure in reading.figures if figure.reason]
