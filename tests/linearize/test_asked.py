"""What is asked is checked before anything is trained."""

import pytest

from linearizing import asked
from netcaliper.errors import InputError
from netcaliper.linearize.asked import listed


def test_late_and_early_share_out_their_epochs():
    late = asked(trained_epochs=40)
    assert (late.penalized, late.trained, late.from_scratch) == (10, 13, 53)
    early = asked(epochs=20, start_epoch=5)
    assert (early.penalized, early.trained, early.from_scratch) == (12, 15, 20)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"finetune": -1}, "`finetune` and `trained_epochs` must be at least 0"),
        ({"start_epoch": -1}, "`start_epoch` must be at least 0"),
        ({"start_epoch": 7}, "it leaves 0; take more epochs"),
        ({"epochs": 0}, "it leaves 0; take more epochs"),
        ({"alpha_rate": 0.0}, "`alpha_rate` must be a positive number"),
        ({"baselines": ("random", "magic")}, "`baselines` must be among random, layer, one_shot, shallow, got 'magic'"),
        ({"target_active": 0.1, "target_path_length": 2.0}, "exclude each other"),
        ({"target_active": 1.0}, "`target_active` is a share of units"),
        ({"target_path_length": -1.0}, "`target_path_length` must be at least 0"),
        ({"margin": float("nan")}, "`margin` must be 0 or a positive number"),
    ],
)
def test_what_cannot_be_is_refused(values, words):
    with pytest.raises(InputError, match=words):
        asked(**values)


def test_baselines_have_one_order():
    assert listed(["shallow", "random"]) == ("random", "shallow")
    assert listed("layer") == ("layer",)
    assert listed(["magic", "random"]) == ("random", "magic")
