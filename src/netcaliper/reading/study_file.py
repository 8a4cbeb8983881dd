"""The reading of a study on disk: one JSON file, the same bytes every time.

Keys stand in the order of the study, not sorted: it is the order of the columns of the page.
"""

import json
from os import PathLike
from pathlib import Path

from netcaliper.reading.study import STUDY_VERSION, StudyReading
from netcaliper.reading.writing import read_record

STUDY = "study.json"
FORMAT = "netcaliper study"


def study_bytes(reading: StudyReading) -> bytes:
    """Return the content of ``study.json``."""
    fields = {"format": FORMAT} | reading.model_dump(mode="json")
    text = json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def read_study(path: str | PathLike[str]) -> StudyReading:
    """Open the reading of a study.

    Args:
        path: the file, or the folder that holds it as ``study.json``.

    Raises:
        CorruptReading: it is missing, damaged, or something else.
        NewerSchema: a later netcaliper wrote it.
    """
    source = Path(path)
    folder, name = (source, STUDY) if source.is_dir() else (source.parent, source.name)
    return read_record(
        StudyReading, folder, name, FORMAT, STUDY_VERSION, "make it again with `netcaliper study report`"
    )
