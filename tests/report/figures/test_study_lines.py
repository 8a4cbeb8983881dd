import pytest

from netcaliper.reading.study import Point, StudyFigure
from netcaliper.report.figures.study_lines import between, draw, repetitions, summary, words


def figure(*points, **more):
    return StudyFigure.model_validate(
        {"name": "f", "title": "F", "kind": "lines", "x": "width", "y": "units", "points": points} | more
    )


def point(x, y, **more):
    return Point.model_validate({"x": x, "y": y, "low": y - 1, "high": y + 1, "repetitions": 3} | more)


def rows(chart):
    return (
        chart.spec()["layer"][0]["data"]["values"]
        if "data" in chart.spec()["layer"][0]
        else chart.spec()["data"]["values"]
    )


def channel(chart, name, layer=1):
    return chart.spec()["layer"][layer]["encoding"][name]


def test_points_are_drawn_as_they_are():
    (one,) = draw(figure(point(1, 10), point(2, 20), point(1, 5, twin=True)))
    assert [(row["x"], row["y"], row["low"], row["n"], row["who"]) for row in rows(one)] == [
        (1, 10, 9, 3, "trained"), (2, 20, 19, 3, "trained"), (1, 5, 4, 3, "untrained twin"),
    ]  # fmt: skip
    assert channel(one, "strokeDash")["scale"]["range"][1] != [1, 0]
    assert "Dashed: the untrained twin." in one.caption
    assert "n = 3" in one.caption
    assert draw(figure()) == ()


def test_panels_are_charts_with_one_scale():
    found = draw(figure(point(1, 10, panel="a"), point(1, 90, panel="b"), panel="labels"))
    assert [chart.name for chart in found] == ["f-0", "f-1"]
    assert [chart.title for chart in found] == ["labels = a", "labels = b"]
    domains = [channel(chart, "y")["scale"]["domain"] for chart in found]
    assert domains == [[9, 91], [9, 91]]


def test_numbers_are_colored_along_a_gradient_and_words_as_different_as_can_be():
    numbers = draw(figure(*(point(1, 10, color=k) for k in (1, 2, 4)), color="width"))[0]
    scale = channel(numbers, "color")["scale"]
    assert scale["domain"] == ["1", "2", "4"]
    assert len(set(scale["range"])) == 3
    names = draw(figure(point(1, 10, color="true"), point(1, 9, color="random"), color="labels"))[0]
    assert channel(names, "color")["scale"]["range"][:2] != scale["range"][:2]


def test_logarithmic_axes_have_no_interval_that_reaches_zero():
    (one,) = draw(figure(point(1, 0.5), point(4, 8), log=("x", "y")))
    assert channel(one, "x")["scale"]["type"] == "log"
    assert channel(one, "x")["axis"]["values"] == [1, 4]
    first, second = rows(one)
    assert "low" not in first  # from -0.5
    assert second["low"] == 7
    assert channel(one, "y")["scale"]["domain"][0] > 0


def test_sites_keep_their_order():
    (one,) = draw(figure(point("b", 1), point("a", 2), kind="profile"))
    assert channel(one, "x")["scale"]["domain"] == ["b", "a"]


def test_intervals_are_bands_and_of_one_place_a_bar():
    (dense,) = draw(figure(*(point(k, k) for k in range(30))))
    (few,) = draw(figure(*(point(k, k) for k in range(5))))
    (one,) = draw(figure(point(1, 1)))
    marks = [chart.spec()["layer"][0]["mark"]["type"] for chart in (dense, few, one)]
    assert marks == ["area", "area", "rule"]
    sizes = [chart.spec()["layer"][2]["mark"]["size"] for chart in (dense, few)]
    assert sizes[0] < sizes[1]


def test_words_and_colors():
    assert [words(value) for value in (2.0, 0.5, "a", True)] == ["2", "0.5", "a", "True"]
    assert between(("#000000", "#ffffff"), 0.5) == "#808080"
    assert between(("#000000", "#ffffff", "#ff0000"), 1.0) == "#ff0000"
    assert repetitions([point(1, 1), point(1, 1, repetitions=2)]) == "n = 2 to 3"
    assert repetitions([]) == "no point"
    assert summary(figure(cells=3, cells_failed=1, cells_missing=1)) == "3 cells, 1 failed, 1 not computed yet"


@pytest.mark.parametrize("width", [400, "container"])
def test_the_width_is_that_of_the_page(width):
    assert draw(figure(point(1, 1)), width)[0].spec()["width"] == width
