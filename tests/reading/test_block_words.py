import pytest

from netcaliper.reading.block_words import sentence
from netcaliper.reading.layers import Block

NAMES = [f"layer{number}" for number in range(60)]


PLAIN = Block(stratum="all", first=31, last=58, layers=28, share=0.47, mean=0.97, low=0.93, contrast=0.26)


def block(**more):
    return PLAIN.model_copy(update=more)


def test_everything_that_was_measured_is_said():
    said = sentence(
        block(first_pc_share=0.83, first_pc_share_outside=0.12, first_pc_cosine=0.95, without_first_pc=0.41), NAMES
    )
    assert said == (
        "layers 31 to 58 (layer31 to layer58) say nearly the same: CKA 0.97 inside against 0.71 at equal distance "
        "across its borders; their first principal component carries 83 % of the variance (12 % outside) and is shared "
        "(cos^2 0.95); without it CKA falls to 0.41"
    )


def test_what_was_not_measured_is_left_out():
    said = sentence(block(stratum="stream"), NAMES)
    assert said.startswith("residual sums among layers 31 to 58 (layer31 to layer58)")
    assert "principal" not in said
    assert "without" not in said


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"without_first_pc": 0.95}, "without their first principal component CKA stays at 0.95"),
        ({"without_first_pc": 0.80}, "without their first principal component CKA is 0.80"),
        (
            {"first_pc_share": 0.2, "without_first_pc": 0.5},
            "carries 20 % of the variance; without it CKA falls to 0.50",
        ),
        ({"first_pc_cosine": 0.4}, "their first principal component is not the same throughout (cos^2 0.40)"),
        ({"without_dominant": 0.1}, "without the dominant examples CKA falls to 0.10"),
        ({"without_dominant": -0.02}, "without the dominant examples CKA falls to -0.02"),
    ],
)
def test_words_follow_the_numbers(fields, words):
    assert words in sentence(block(**fields), NAMES)
