"""What ``shrink`` and ``apply`` have in common; the commands themselves are in their own tests."""

import pytest

from netcaliper.cli.shrunk import load_parts, must_be_new
from netcaliper.errors import OutputExists


def test_nothing_is_written_over(tmp_path):
    must_be_new(tmp_path / "new")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (tmp_path, tmp_path / "link"):
        with pytest.raises(OutputExists, match="choose another folder"):
            must_be_new(taken)


@pytest.mark.parametrize(("split", "other"), [("train", 450), ("all", 1797), ("test", 1797)])
def test_the_proof_has_the_other_part_of_the_same_data(split, other):
    data, verification, name = load_parts(None, "digits", "digits", split=split, examples=90, batch_size=50)
    assert sum(len(batch[0]) for batch in data) == 90
    assert sum(len(batch[0]) for batch in verification) == other
    assert name.startswith("digits")
    assert load_parts(None, "digits", None, split=split, examples=90, batch_size=50)[1] is None
