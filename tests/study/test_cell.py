import hashlib

from netcaliper.study.cell import CELL_VERSION, Cell

TRAINING = Cell("train", "mlp", {"seed": 0}, {"b": 1, "a": [0.5, None, "ä"]})


def test_the_name_is_the_hash_of_what_determines_the_result():
    canonical = (
        f'{{"configuration":{{"a":[0.5,null,"\\u00e4"],"b":1}},"kind":"train","needs":[],"schema":{CELL_VERSION}}}'
    )
    assert TRAINING.name == hashlib.sha256(canonical.encode()).hexdigest()[:16]


def test_neither_family_nor_columns_nor_order_of_keys_are_part_of_it():
    assert Cell("train", "other", {"seed": 1}, {"a": [0.5, None, "ä"], "b": 1}).name == TRAINING.name


def test_everything_else_is():
    others = [
        Cell("bend", "mlp", {}, TRAINING.configuration),
        Cell("train", "mlp", {}, {"b": 2, "a": [0.5, None, "ä"]}),
        Cell("train", "mlp", {}, TRAINING.configuration, ("x",)),
    ]
    assert len({cell.name for cell in [TRAINING, *others]}) == 4
