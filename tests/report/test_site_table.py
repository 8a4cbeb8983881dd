"""The table of sites: the reading's own numbers, the twin's beside them, nothing that was not measured."""

import readings
from netcaliper.report.site_table import site_table
from readings import there


def cells(table, row):
    """The texts of one row by the label of their column (a second ``twin`` is ``twin 2``)."""
    labels = [head["label"] for head in table.heads[4:]]
    named = [f"{label} {labels[:place].count(label) + 1}" for place, label in enumerate(labels)]
    found = table.rows[row]
    texts = [cell["text"] for cell in found["first"]] + [found["verdict"]] + [cell["text"] for cell in found["numbers"]]
    return dict(zip((name.removesuffix(" 1") for name in named), texts, strict=True))


def test_the_numbers_of_a_site_and_of_its_twin():
    reading = readings.whole()
    site, twin = reading.sites[1], there(reading.twin).sites[1]
    row = cells(site_table(reading), 1)
    assert (row["units"], row["needed"], row["twin"]) == ("64", str(site.needed), str(twin.needed))
    assert row["at 97 %"] == str(there(reading.network.needed_at_97).by_site[site.name])
    assert (row["absorb."], row["dead"], row["const."]) == (str(site.absorbable), "8", "1")
    assert row["prunable"] == f"{100 * there(site.prunable).value:.1f} %"
    assert row["twin 2"] == f"{100 * there(twin.prunable).value:.1f} %"
    assert row["twin 3"] == f"{100 * there(twin.redundant).value:.1f} %"
    assert (row["select."], row["neighb."]) == ("0.32", "2.50")


def test_columns_without_a_number_are_left_out():
    heads = [head["label"] for head in site_table(readings.small()).heads]
    assert not {"twin", "absorb.", "prunable", "select.", "neighb."} & set(heads)
    assert heads[:8] == ["#", "site", "op", "partition", "units", "needed", "verdict", "dead"]
    assert [head["label"] for head in site_table(readings.assemble(())).heads][-3:] == ["units", "needed", "verdict"]


def test_every_head_has_its_cell_and_sorts_by_a_number():
    for reading in (readings.small(), readings.whole(), readings.whole(lopsided=True)):
        table = site_table(reading)
        for row in table.rows:
            assert 4 + len(row["first"]) + 1 + len(row["numbers"]) == len(table.heads)
            for cell in (*row["first"], *row["numbers"]):
                assert (cell["sort"] == "") == (cell["text"] == "–")
                assert cell["sort"] == "" or float(cell["sort"]) >= 0


def test_the_bar_starts_with_what_is_needed_and_is_full():
    for row in site_table(readings.whole()).rows:
        assert row["parts"][0]["name"] == "needed"
        assert abs(sum(part["width"] for part in row["parts"]) - 100) < 0.01
    assert site_table(readings.small()).rows[7]["parts"] == []


def test_what_a_row_unfolds_to():
    reading = readings.whole()
    row = site_table(reading).rows[1]
    assert any(sentence.startswith("Untrained twin: ") for sentence in row["sentences"])
    assert ("loss", "0.94 % at features.1.relu.next") in row["facts"]
    shuffled = reading.model_copy(update={"twin": there(reading.twin).model_copy(update={"kind": "shuffled"})})
    assert any(s.startswith("Twin with shuffled weights: ") for s in site_table(shuffled).rows[1]["sentences"])
