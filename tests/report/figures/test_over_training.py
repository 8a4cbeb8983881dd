"""Figures over training."""

import json

import numpy as np
import vl_convert

import layers_readings
from netcaliper.reading.layers import Trajectory
from netcaliper.report.figures.over_training import draw, ticks
from netcaliper.report.figures_export import CONFIG

C = 4


def reading(number: int = 40, names: tuple[str, ...] = ("epoch-0000", "epoch-0002", "epoch-0004", "epoch-0006")):
    count = len(names)
    plain = layers_readings.one(number)
    t = np.linspace(0, 1, count)[:, None]
    cka = t + (1 - t) * np.linspace(0.9, -0.1, number)[None]
    cka[:, 3] = np.nan
    error = np.full_like(cka, 0.004)
    error[-1] = np.nan
    arrays = {
        "cka": cka,
        "cka_error": error,
        "dominant": np.clip(cka, 0, 1),
        "pc_share": np.clip(cka, 0, 1),
        "blocks": np.linspace(0, 0.3, count),
        "excess": np.full(count, 0.2),
        "map_difference": 1 - t[:, 0],
    }
    trajectory = Trajectory(
        checkpoints=names, final=count - 1, accuracy=(0.1, *[0.8] * (count - 1)), settled=(1,) * number, level=0.9,
        dominant_share=0.01, chance=0.02, sentence="Words.",
    )  # fmt: skip
    return plain.model_copy(
        update={
            "trajectory": trajectory,
            "arrays": plain.arrays | {f"training/{name}": array for name, array in arrays.items()},
        }
    )


def drawn(made):
    return {figure.name: figure for figure in draw(made)}


def test_nothing_without_a_trajectory():
    assert draw(layers_readings.one()) == ()


def test_every_cell_and_its_gaps():
    figure = drawn(reading())["training_cka"]
    rows = figure.data["training_cka"]
    assert len(rows) == C * 40
    gaps = [row for row in rows if "value" not in row]
    assert len(gaps) == C
    assert all("constant on every example" in row["words"] for row in gaps)
    assert rows[0]["name"] == "epoch-0000"
    assert rows[0]["value"] == 0.9
    assert (rows[0]["left"], rows[0]["right"], rows[0]["bottom"], rows[0]["top"]) == (-0.5, 0.5, -0.5, 0.5)
    assert rows[C - 1]["error"] == "–"
    assert "epoch-0006" in figure.caption


def test_curves_leave_the_input_and_the_final_network_itself_out():
    made = reading()
    spec = drawn(made)["training_curves"].spec()
    rows = spec["layer"][1]["data"]["values"]
    similar = [row["y"] for row in rows if row["whose"].startswith("CKA")]
    assert len(similar) == C - 1
    np.testing.assert_allclose(similar[0], np.nanmean(made.arrays["training/cka"][0, 1:]), atol=1e-4)
    assert len([row for row in rows if row["whose"] == "accuracy"]) == C
    assert len([row for row in rows if "block" in row["whose"]]) == C


def test_no_curve_for_what_is_not_there():
    made = reading()
    assert made.trajectory is not None
    trajectory = made.trajectory.model_copy(update={"accuracy": (None,) * C})
    arrays = made.arrays | {"training/blocks": np.zeros(C)}
    del arrays["training/dominant"]
    figures = drawn(made.model_copy(update={"trajectory": trajectory, "arrays": arrays}))
    assert set(figures) == {"training_curves", "training_cka"}
    rows = figures["training_curves"].spec()["layer"][1]["data"]["values"]
    assert {row["whose"] for row in rows} == {"CKA with the final network"}


def test_the_tangent_kernel_is_a_curve_where_it_was_taken():
    made = reading()
    assert not any("tangent" in row["whose"] for row in curve_rows(made))
    kernel = np.array([np.nan, *np.linspace(0.5, 0.1, C - 1)])
    rows = curve_rows(made.model_copy(update={"arrays": made.arrays | {"training/ntk": kernel}}))
    found = [(row["at"], row["y"]) for row in rows if "tangent" in row["whose"]]
    assert [at for at, _ in found] == list(range(1, C))
    np.testing.assert_allclose([y for _, y in found], kernel[1:], atol=1e-4)


def curve_rows(made):
    return drawn(made)["training_curves"].spec()["layer"][1]["data"]["values"]


def test_ticks():
    assert ticks(("epoch-0000", "epoch-0010")) == ("epoch", ["0", "10"])
    assert ticks(("0", "3")) == ("checkpoint", ["0", "3"])
    assert ticks(("epoch-1", "step-2")) == ("checkpoint", ["epoch-1", "step-2"])
    assert ticks(("start", "epoch-2")) == ("checkpoint", ["start", "epoch-2"])
    assert ticks(("epoch-01", "epoch-1")) == ("checkpoint", ["epoch-01", "epoch-1"])


def test_many_layers_and_checkpoints_are_averaged_and_say_so():
    made = reading(300, tuple(f"step-{k}" for k in range(200)))
    figure = drawn(made)["training_cka"]
    assert len(figure.data["training_cka"]) == 120 * 120
    assert "averaged" in figure.caption


def test_hostile_names_are_drawn():
    made = reading(names=("\"'];alert(1)//", "</script>", "a\\", "final\u2028"))
    for figure in draw(made, 400):
        assert vl_convert.vegalite_to_svg(json.dumps(figure.spec()), config=CONFIG).startswith("<svg")
