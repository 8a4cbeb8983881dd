from netcaliper.study.file.overlay import overlaid

BASE = {"a": {"x": 1, "y": {"z": [1, 2]}}, "b": [1], "c": True}


def test_tables_merge_and_everything_else_is_replaced():
    over = {"a": {"y": {"z": [3], "new": 1}}, "c": "word", "d": 2}
    merged = {"a": {"x": 1, "y": {"z": [3], "new": 1}}, "b": [1], "c": "word", "d": 2}
    assert overlaid(BASE, over) == merged


def test_false_takes_tables_and_axes_out_and_is_a_value_elsewhere():
    assert overlaid(BASE, {"a": {"y": False}, "b": False, "c": False}) == {"a": {"x": 1}, "c": False}


def test_the_base_stays_as_it_is():
    before = repr(BASE)
    overlaid(BASE, {"a": {"y": {"z": 5}}})
    assert repr(BASE) == before
