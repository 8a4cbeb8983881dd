"""The fewest units for one target, beside chance."""

import readings
from netcaliper.reading.schema import NeededAt
from netcaliper.report.enough import enough
from readings import there


def test_the_numbers_of_what_was_found():
    table = there(enough(readings.whole().network.needed_at_97))
    assert table["title"] == "How few units keep 97 % of the answers"
    assert [text for _, text in table["cells"]] == [
        "163 of 480", "98.7 %", "97.4 %", "yes", "58.1 %, 61.2 %, 63.4 %", "+37.7 points (+33.4 to +42.0)", "599",
        "0.0143",
    ]  # fmt: skip
    assert table["reason"] == ""


def test_what_was_not_met_or_not_measured():
    found = there(readings.whole().network.needed_at_97)
    assert ("target met", "no") in there(enough(found.model_copy(update={"met": False})))["cells"]
    bare = there(enough(NeededAt(target=0.97, units=9, units_before=12, agreement=0.99)))
    assert bare["title"] == "How few units keep 97 % of the variance of the output"
    assert [text for _, text in bare["cells"]] == ["9 of 12", "99.0 %", "–", "–", "–", "–", "0", "–"]
    assert enough(None) is None


def test_what_was_not_found_has_its_reason():
    refused = there(enough(NeededAt(target=0.97, reason="the bound needs 99 verify examples, and there are 60.")))
    assert (refused["cells"], refused["reason"]) == (
        [],
        "Not found: the bound needs 99 verify examples, and there are 60.",
    )
    assert there(enough(NeededAt(target=0.97)))["reason"] == "Not found: no tau keeps the target."
