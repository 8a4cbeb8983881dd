"""Cells of a study: their order, what they need, and what is part of them."""

from itertools import product

import pytest

from netcaliper.study.file.grid import cells
from netcaliper.study.file.problem import Problem
from trivial_cells import STUDY, parsed


def by_kind(study):
    found = cells(study)
    return tuple([cell for cell in found if cell.kind == kind] for kind in ("train", "bend", "compare"))


def test_trainings_are_the_product_with_seeds_outermost():
    trained, _, _ = by_kind(parsed())
    assert [dict(cell.columns) for cell in trained] == [
        {"seed": seed, "width": width} for seed, width in product([0, 1, 2], [1, 2])
    ]
    assert trained[3].configuration == {
        "model": "zoo:mlp",
        "arguments": {"width": 2},
        "data": {"spec": "digits", "options": {}},
        "batch_size": 128,
        "recipe": {"epochs": 2},
        "updates": None,
        "seed": 1,
        "read": {},
        "keep": [1],
    }
    assert trained[3].needs == ()


def test_seeds_are_outermost_over_families_of_different_size():
    text = STUDY.replace(
        "[bends", '[families.other]\nmodel = "zoo:cnn"\ndata = "digits"\n[families.other.axes]\nseed = [7]\n[bends', 1
    )
    trained, _, _ = by_kind(parsed(text=text))
    assert [(cell.family, cell.columns["seed"]) for cell in trained] == [
        ("mlp", 0), ("mlp", 0), ("other", 7), ("mlp", 1), ("mlp", 1), ("mlp", 2), ("mlp", 2),
    ]  # fmt: skip


def test_updates_take_the_place_of_epochs():
    text = STUDY.replace('data = "digits"\nrecipe', 'updates = 50\ndata = "digits"\nrecipe')
    trained, _, _ = by_kind(parsed(text=text))
    assert trained[0].configuration["recipe"] == {}
    assert trained[0].configuration["updates"] == 50


def test_bends_stand_on_their_training_and_random_ones_on_the_learned_bend():
    trained, bent, _ = by_kind(parsed())
    assert len(bent) == 12
    for training, (random, learned) in zip(trained, zip(bent[::2], bent[1::2], strict=True), strict=True):
        assert learned.needs == (training.name,)
        assert random.needs == (training.name, learned.name)
        asked = {"omega": 0.5, "start": 1, "choose": "learned"}
        assert learned.columns == {**training.columns, **asked}
        rest = {"penalty": 1, "final": 1, "alpha_rate": 10.0, "proximal": False, "read": {}}
        assert learned.configuration == asked | rest


def test_networks_are_compared_across_seeds_at_every_other_point():
    trained, _, compared = by_kind(parsed())
    assert [dict(cell.columns) for cell in compared] == [{"width": 1}, {"width": 2}]
    for cell, width in zip(compared, (1, 2), strict=True):
        names = tuple(one.name for one in trained if one.columns["width"] == width)
        assert cell.needs == names
        assert cell.configuration == {"groups": {"all": list(names)}, "read": {"compare": {}}}


def test_groups_of_one_comparison():
    trained, _, compared = by_kind(parsed(text=STUDY.replace("read.compare", 'groups = "width"\nread.compare')))
    assert len(compared) == 1
    assert compared[0].columns == {}
    assert compared[0].configuration["groups"] == {
        str(width): [one.name for one in trained if one.columns["width"] == width] for width in (1, 2)
    }


def test_where_selects_by_value_and_by_list():
    for where, widths in (("{ width = 2 }", [2]), ("{ width = [1, 2], seed = [0, 2] }", [1, 2])):
        compared = by_kind(parsed(text=STUDY.replace("read.compare", f"where = {where}\nread.compare")))[2]
        assert [cell.columns["width"] for cell in compared] == widths
    assert all(len(cell.needs) == 2 for cell in compared)


def test_families_are_compared_apart_unless_they_are_the_groups():
    other = '[families.other]\nmodel = "zoo:cnn"\ndata = "digits"\n[families.other.axes]\nseed = [7, 8]\n[bends'
    text = STUDY.replace("[bends", other, 1).replace('of = ["mlp"]', 'of = ["mlp", "other"]')
    compared = by_kind(parsed(text=text))[2]
    assert [(dict(cell.columns), len(cell.needs)) for cell in compared] == [
        ({"width": 1}, 3),
        ({"width": 2}, 3),
        ({}, 2),
    ]
    grouped = by_kind(
        parsed(text=text.replace("read.compare", 'groups = "family"\nwhere = {width = 1}\nread.compare'))
    )[2]
    (one,) = grouped
    assert {group: len(names) for group, names in one.configuration["groups"].items()} == {"mlp": 3, "other": 2}


def test_one_configuration_in_two_families_is_one_cell_with_the_columns_of_each():
    again = STUDY[STUDY.index("[families.mlp]") : STUDY.index("[bends")].replace("families.mlp", "families.again")
    text = STUDY.replace("[bends", again + "[bends", 1).replace("bends.late", "bends.gone")
    text = text[: text.index("[bends.gone]")] + text[text.index("[comparisons") :].replace("bends.gone = false\n", "")
    trained, _, _ = by_kind(parsed(text=text))
    assert len(trained) == 12
    assert len({cell.name for cell in trained}) == 6


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('["random", "learned"]', '["random"]', ("bends", "late", "axes", "choose"), "add 'learned'"),
        ("start = 1", "start = 3", ("bends", "late", "start"), "trains 2 epochs"),
        ("read.compare", "where = { width = 9 }\nread.compare", ("comparisons", "across", "where"), "no network"),
        ("seed = [0, 1, 2]", "seed = [0]", ("comparisons", "across"), "one network alone at {'width': 1}"),
    ],
)
def test_what_the_grid_does_not_hold(old, new, place, words):
    with pytest.raises(Problem, match=words) as found:
        cells(parsed(text=STUDY.replace(old, new)))
    assert found.value.place == place
