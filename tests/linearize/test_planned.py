"""The plan names every training before the first one."""

from linearizing import asked
from netcaliper.linearize.planned import plan, plan_words


def test_the_reference_is_first_and_baselines_point_at_the_sweep():
    found = plan(asked(baselines=("random", "layer", "one_shot", "shallow")), (0.1, 0.2), 1)
    assert [one.kind for one in found] == [
        "unbent", "learned", "learned", "random", "random", "layer", "layer", "one_shot", "one_shot", "shallow"
    ]  # fmt: skip
    assert [one.like for one in found] == [None, None, None, 1, 2, 1, 2, 1, 2, None]
    assert [one.omega for one in found] == [None, 0.1, 0.2, None, None, 0.1, 0.2, None, None, None]
    assert len({one.name for one in found}) == len(found)


def test_whole_layers_are_no_baseline_of_themselves():
    assert len(plan(asked(baselines=("layer",), granularity="layer"), (0.1,), 0)) == 2


def test_the_plan_is_said():
    early = asked(epochs=20, start_epoch=5, baselines=("random", "shallow"))
    words = plan_words(early, plan(early, (0.1, 0.2), 1))
    assert words == (
        "6 trainings (1 unbent, 2 learned, 2 random, 1 shallow) of 15 epochs, after 5 plain ones; "
        "20 epochs from scratch"
    )
