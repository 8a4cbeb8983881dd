"""The page in a real browser: charts are drawn, nothing is requested, nothing complains, a phone scrolls down only."""

import shutil

import pytest

import layers_readings
import linearization_readings
import readings
import shrinking_readings
from netcaliper.report.page import write

sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no `chromium` on the PATH: install Debian's package chromium")
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Open the page of a reading and collect whatever the browser says and asks for."""
    contexts = []

    def open_page(reading, width, scheme="light"):
        path = write(reading, tmp_path / "report.html", replace=True)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"page error: {error}"))
        page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_function("document.documentElement.dataset.drawn", timeout=60_000)
        return page, said, asked, path.as_uri()

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize(("name", "count"), [("small", 6), ("whole", 8)])
def test_the_page_draws_and_asks_for_nothing(visit, name, count, width, scheme):
    reading = {"small": readings.small, "whole": readings.whole}[name]()
    page, said, asked, address = visit(reading, width, scheme)
    assert asked == [address]
    charts = page.locator("[data-chart]")
    assert charts.count() == count
    for index in range(charts.count()):
        box = charts.nth(index).locator("svg").bounding_box()
        assert box["width"] > 200
        assert box["height"] > 40
        assert box["x"] + box["width"] <= width
        assert charts.nth(index).locator("svg .mark-rect path, svg .mark-line path, svg .mark-symbol path").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    assert said == []


def test_a_chart_changes_its_inks_with_the_scheme(visit):
    page, said, asked, _ = visit(readings.small(), 1280)

    def ink():
        return page.locator("#chart-partition svg .role-axis-label text").first.get_attribute("fill")

    light = ink()
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "document.querySelector('#chart-partition svg .role-axis-label text')?.getAttribute('fill') !== '" + light + "'"
    )
    assert ink() not in (light, None)
    assert (said, len(asked)) == ([], 1)


def test_the_table_sorts_opens_and_works_from_the_keyboard(visit):
    page, said, _, _ = visit(readings.small(), 1280)
    units = page.locator("#sites thead button", has_text="units")
    units.focus()
    page.keyboard.press("Enter")
    column = page.locator("#sites tbody tr td:nth-child(5)")
    values = [int(text.replace(",", "")) for text in column.all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.keyboard.press("Space")
    values = [int(text.replace(",", "")) for text in column.all_inner_texts()]
    assert values == sorted(values)
    # What was not judged stays at the end, whichever way one sorts.
    needed = page.locator("#sites thead button", has_text="needed")
    for _ in range(2):
        needed.click()
        assert page.locator("#sites tbody tr td:nth-child(6)").last.inner_text() == "–"
    summary = page.locator("#sites summary", has_text="conv1")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#sites details[open]").inner_text().find("never active on 1,198 examples") > 0
    assert said == []


def test_hovering_a_hostile_name_shows_it_as_text(visit):
    page, said, asked, _ = visit(readings.small(), 1280)
    page.locator("#chart-partition svg .mark-rect path[aria-label*='alert(1)']").first.hover()
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    assert "<script>alert(1)</script>" in tip.inner_text()
    assert tip.locator("script").count() == 0
    assert (said, len(asked)) == ([], 1)


def opacities(page, mark):
    return [
        float(path.get_attribute("opacity")) for path in page.locator(f"#chart-ablation_sites svg {mark} path").all()
    ]


def test_pointing_at_the_curve_of_a_site_shows_its_band_and_its_twin(visit):
    page, said, _, _ = visit(readings.whole(), 1280)
    curve = page.locator("#chart-ablation_sites svg .mark-line path").last
    curve.scroll_into_view_if_needed()
    assert max(opacities(page, ".mark-area")) == 0
    x, y = curve.evaluate(
        "path => { const p = path.getPointAtLength(path.getTotalLength() / 2), m = path.getScreenCTM();"
        " return [p.x * m.a + m.e, p.y * m.d + m.f]; }"
    )
    page.mouse.move(x, y)
    page.wait_for_function(
        "[...document.querySelectorAll('#chart-ablation_sites svg .mark-area path')]"
        ".some(path => path.getAttribute('opacity') > 0)"
    )
    assert sorted(opacities(page, ".mark-area")) == [0, 0, 0, 0.3]
    assert sorted(opacities(page, ".mark-line"))[:4] == [0, 0, 0, 0.85]  # three of the twin's four are not there
    assert said == []


def test_the_twin_has_ink_on_either_ground(visit):
    page, _, _, _ = visit(readings.whole(), 1280)
    mark = "#chart-partition svg .mark-symbol path[aria-label*='untrained']"
    light = page.locator(mark).first.get_attribute("stroke")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"document.querySelector(\"{mark}\")?.getAttribute('stroke') !== '{light}'")
    assert page.locator(mark).first.get_attribute("stroke") == "#e4e7eb"


def test_a_network_of_many_sites_stays_usable(visit):
    page, said, asked, _ = visit(readings.wide(240), 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#filter").fill("layers.3.")
    assert page.locator("#sites tbody tr:visible").count() == 8
    assert page.locator("#chart-partition svg").bounding_box()["height"] < 2500
    assert (said, len(asked)) == ([], 1)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", ["one", "several", "groups"])
def test_a_page_of_layers_draws_and_asks_for_nothing(visit, name, width, scheme):
    reading = {"one": layers_readings.one, "several": layers_readings.several, "groups": layers_readings.groups}[name]()
    page, said, asked, address = visit(reading, width, scheme)
    assert [url for url in asked if not url.startswith("data:")] == [address]
    charts = page.locator("[data-chart]")
    for index in range(charts.count()):
        box = charts.nth(index).locator("svg, canvas").bounding_box()
        assert box["width"] > 200
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []


def test_the_cells_of_a_matrix_say_whose_they_are(visit):
    page, said, _, _ = visit(layers_readings.one(), 1280)
    canvas = page.locator("#chart-cka-0 canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    tip = page.locator("#vg-tooltip-element")
    found = set()
    for step in range(4, 20):
        # Along the diagonal from the bottom left corner, away from the axes.
        page.mouse.move(box["x"] + 60 + step * 22, box["y"] + box["height"] - 62 - step * 22)
        tip.wait_for(state="visible")
        found.add(tip.inner_text())
    words = " ".join(found)
    assert "similarity" in words
    assert "standard error" in words
    assert "layer2." in words
    assert tip.locator("script").count() == 0
    assert said == []


def test_a_matrix_stays_square_when_the_window_changes(visit):
    page, said, _, _ = visit(layers_readings.one(), 1280)
    canvas = page.locator("#chart-cka-0 canvas")
    before = canvas.bounding_box()["height"]
    page.set_viewport_size({"width": 900, "height": 900})
    page.wait_for_function(
        f"document.querySelector('#chart-cka-0 canvas').getBoundingClientRect().height < {before - 50}"
    )
    assert canvas.bounding_box()["width"] <= 900 / 2
    assert said == []


def test_pictures_of_dominant_examples_are_seen(visit):
    page, _, _, _ = visit(layers_readings.one(), 1280)
    for picture in page.locator(".strip img").all():
        assert picture.evaluate("image => image.naturalWidth") == 32


def test_the_table_of_layers_sorts_and_filters(visit):
    page, said, _, _ = visit(layers_readings.one(), 1280)
    page.locator("#layers thead button", has_text="linear classifier").click()
    values = [
        float(text) for text in page.locator("#layers tbody tr td:nth-child(10)").all_inner_texts() if text != "–"
    ]
    assert values == sorted(values, reverse=True)
    page.locator("#filter").fill("batch_norm_20")
    assert page.locator("#layers tbody tr:visible").count() == 2
    assert said == []


def test_a_page_of_six_hundred_layers_opens(visit):
    page, said, _, _ = visit(layers_readings.deep(600), 1280)
    assert page.locator("#chart-cka-0 canvas").count() == 1
    assert said == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_page_of_a_linearization_draws_and_asks_for_nothing(visit, width, scheme):
    page, said, asked, address = visit(linearization_readings.swept(), width, scheme)
    assert [url for url in asked if not url.startswith("data:")] == [address]
    charts = page.locator("[data-chart]")
    assert charts.count() == 6
    for index in range(charts.count()):
        box = charts.nth(index).locator("svg, canvas").bounding_box()
        assert box["width"] > 200
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []


@pytest.mark.parametrize("name", ["bare", "translated"])
def test_a_linearization_with_gaps_complains_about_nothing(visit, name):
    page, said, _, _ = visit(getattr(linearization_readings, name)(), 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert said == []


def test_quality_is_drawn_against_what_is_asked_for(visit):
    page, said, _, _ = visit(linearization_readings.swept(), 1280)
    chart, switches = (page.locator(f"#{place}-linearization_curve") for place in ("chart", "switches"))

    def words():
        return " ".join(chart.locator("svg text").all_text_contents())

    assert "normalized average path length" in words()
    for label, title, tick in (
        ("share of units", "share of the units that bend", "100%"),
        ("nonlinear calls", "nonlinear calls an example", "100k"),
    ):
        switches.get_by_label(label).check()
        page.wait_for_function(
            f"document.querySelector('#chart-linearization_curve svg').textContent.includes('{title}')"
        )
        assert tick in words()
    assert "20%" not in words()
    switches.get_by_label("all", exact=True).check()
    page.wait_for_function("document.querySelector('#chart-linearization_curve svg').textContent.includes('20%')")
    assert said == []


def test_a_switch_is_reached_from_the_keyboard_and_stands_once_after_a_redraw(visit):
    page, said, _, _ = visit(linearization_readings.swept(), 1280)
    label = "document.querySelector('#chart-linearization_curve svg .role-axis-label text')?.getAttribute('fill')"
    light = page.evaluate(label)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"![undefined, '{light}'].includes({label})")
    switches = page.get_by_role("group", name="What is drawn: Accuracy against how much bends")
    assert switches.get_by_role("radio").count() == 5
    switches.get_by_label("path length").focus()
    page.keyboard.press("ArrowRight")
    assert switches.get_by_label("share of units").is_checked()
    assert said == []


def test_a_point_of_the_curve_says_what_it_is(visit):
    page, said, _, _ = visit(linearization_readings.swept(), 1280)
    page.locator("#chart-linearization_curve svg .mark-symbol path[aria-label*='learned, omega 0.002']").last.hover()
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    for words in ("learned, omega 0.002", "33.1 % (238 of 720)", "2.95", "40,768", "89.3 to 91.6 %", "at most 1.0"):
        assert words in tip.inner_text(), words
    assert said == []


def test_channels_of_a_site_can_be_sorted(visit):
    page, said, _, _ = visit(linearization_readings.swept(), 1280)
    canvas = page.locator("#chart-alphas canvas")
    canvas.scroll_into_view_if_needed()
    page.locator("#switches-alphas").get_by_label("bending first").check()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 55)
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    assert "in order of alpha, 16 of 16" in tip.inner_text()
    assert "0 of 1" in tip.inner_text()
    page.mouse.move(box["x"] + 245, box["y"] + 55)
    page.wait_for_function("document.querySelector('#vg-tooltip-element').innerText.includes('1 of 1')")
    assert tip.locator("script").count() == 0
    assert said == []


def test_a_large_linearization_opens(visit):
    page, said, _, _ = visit(linearization_readings.wide(120, 4096), 1280)
    assert page.locator("#chart-alphas canvas").count() == 1
    assert said == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_page_of_a_shrunk_network_draws_asks_for_nothing_and_shows_all(visit, width, scheme):
    page, said, asked, address = visit(shrinking_readings.halved(), width, scheme)
    assert asked == [address]
    chart = page.locator("#chart-shrinking_curve svg")
    assert chart.bounding_box()["x"] + chart.bounding_box()["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#table-curve").is_hidden()
    page.locator("summary", has_text="The trade-off").click()
    assert page.locator("#table-curve").is_visible()
    page.locator("#switches-shrinking_curve").get_by_label("multiply-adds").check()
    page.wait_for_function(
        "document.querySelector('#chart-shrinking_curve svg').textContent.includes('multiply-adds, of those')"
    )
    bars = page.locator("#table-sites .mini").evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().width)")
    units = [site.before for site in shrinking_readings.sites()]
    assert bars == pytest.approx([max(bars) * n / max(units) for n in units], rel=0.03, abs=1)
    assert said == []
