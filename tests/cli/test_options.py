"""What several commands read alike: bytes with their unit, and lists of names."""

import pytest

from netcaliper.cli.options import byte_count, split_names
from netcaliper.errors import InputError


def test_bytes_with_their_unit():
    assert byte_count(None) is None
    assert byte_count("8GiB") == 8 * 2**30
    assert byte_count("1000") == 1000


@pytest.mark.parametrize("text", ["much", "GiB", "-"])
def test_what_is_no_number_of_bytes_is_refused(text):
    with pytest.raises(InputError, match="`--memory` must be a number of bytes with its unit"):
        byte_count(text)


def test_names_are_separated_by_commas():
    assert split_names(None) is None
    assert split_names("a, b,,c ") == ["a", "b", "c"]
