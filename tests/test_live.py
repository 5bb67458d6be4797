"""The live figures of the built site, in a real browser.

Most tests ask for no motion, so that nothing plays by itself while pixels are compared.
"""

import itertools
import statistics

import numpy as np
import pytest
from browser import EXPLORER, FRONT, MASK, PAGES, SETTLED, SITE, changed, pixels
from conftest import REPORT

ALIVE = [page for page in PAGES if 'class="dip-view"' in (SITE / page).read_text(encoding="utf-8")]
FRONT_HEAVY = 1_500_000  # bytes
STILL = {"reduced_motion": "reduce", "size": (1280, 1400)}
COMPARE = ".dip-view:has(.dip-compare)"
AT = "() => Number(document.querySelector('input[name=iteration]').value)"
END = "() => Number(document.querySelector('input[name=iteration]').max)"


@pytest.fixture(scope="module")
def explorer(opened):
    """The explorer on its page."""
    tab = opened(EXPLORER, **STILL)
    yield tab.locator(COMPARE)
    tab.context.close()


@pytest.fixture
def front(opened):
    """The front page's explorer."""
    tab = opened(FRONT, **STILL)
    yield tab.locator(COMPARE)
    tab.context.close()


def choices(explorer, name):
    return [
        option.get_attribute("value")
        for option in explorer.locator(f"select[name={name}] option:not([disabled])").all()
    ]


def choose(explorer, name, value):
    explorer.locator(f"select[name={name}]").select_option(value)
    explorer.page.evaluate(SETTLED)


def divide(explorer, percent):
    """Put the divider somewhere: at 100 the left picture is seen alone, at 0 the right one."""
    explorer.locator("input[name=divider]").fill(str(percent))
    explorer.page.evaluate(SETTLED)


def steerable(explorer):
    """Choose a picture and, on the right, a run that has outputs on the way."""
    for picture in choices(explorer, "picture"):
        choose(explorer, "picture", picture)
        for value in choices(explorer, "right"):
            choose(explorer, "right", value)
            if explorer.locator("input[name=iteration]").is_visible():
                return
    pytest.fail("no run of the explorer has a scrubber")


def test_every_picture_of_the_explorer_is_another(explorer):
    figure = explorer.locator(".dip-compare")
    shown = []
    for picture in choices(explorer, "picture"):
        choose(explorer, "picture", picture)
        shown.append(pixels(figure))
    assert len(shown) > 1
    assert all(changed(*pair) > 0.2 for pair in itertools.combinations(shown, 2))


@pytest.mark.parametrize("side, percent", [("left", 100), ("right", 0)])
def test_either_side_shows_whatever_is_chosen(explorer, side, percent):
    """Given, both interpolations, truth and all runs: each differs from each, by its pixels."""
    choose(explorer, "picture", choices(explorer, "picture")[0])
    values = choices(explorer, side)
    assert {"degraded", "biharmonic", "linear", "truth"} <= set(values)
    assert len([value for value in values if value.startswith("run-")]) > 1
    # the other side shows what this one does not, or the two are one picture without a divider
    other = "left" if side == "right" else "right"
    figure, shown = explorer.locator(".dip-compare"), {}
    divide(explorer, percent)
    for value in values:
        choose(explorer, other, "degraded" if value != "degraded" else "truth")
        choose(explorer, side, value)
        shown[value] = pixels(figure)
        told = explorer.locator(".dip-told").nth(("left", "right").index(side)).inner_text()
        assert ("dB" in told) == (value != "truth"), f"{value}: {told}"
    for one, two in itertools.combinations(values, 2):
        assert changed(shown[one], shown[two]) > 0.02, f"{one} and {two}"
    divide(explorer, 50)


def test_two_runs_beside_one_another_have_two_curves_told_apart_without_colour(explorer):
    choose(explorer, "picture", choices(explorer, "picture")[0])
    of_runs = [value for value in choices(explorer, "right") if value.startswith("run-")]
    choose(explorer, "left", of_runs[0])
    choose(explorer, "right", of_runs[1])
    plot = explorer.locator(".dip-plots svg").first
    curves = plot.locator("polyline")
    assert curves.count() == 2 and plot.locator(".dip-name").count() == 2
    patterns = [curve.get_attribute("stroke-dasharray") for curve in curves.all()]
    assert patterns[0] != patterns[1]
    names = plot.locator(".dip-name").all_text_contents()
    assert [name.split(":")[0] for name in names] == ["left", "right"]
    colour = "(group) => group.style.getPropertyValue('--dip-own')"
    kept = plot.locator(".dip-1").evaluate(colour)
    assert plot.locator(".dip-0").evaluate(colour) != kept
    choose(explorer, "left", "degraded")
    plot = explorer.locator(".dip-plots svg").first
    assert plot.locator("polyline").count() == 1
    assert plot.locator(".dip-0").evaluate(colour) == kept, "a run keeps its colour"


@pytest.mark.parametrize("width", [1400, 390])
def test_text_of_charts_keeps_its_size_and_choices_are_not_cut(opened, width):
    tab = opened(EXPLORER, size=(width, 1400), reduced_motion="reduce")
    for chart in tab.locator(".dip-plots svg").all():
        drawn = float(chart.get_attribute("viewBox").split()[2])
        assert abs(chart.bounding_box()["width"] / drawn - 1) < 0.03
    cut = tab.evaluate("""() => {
      const cut = (select) => {
        const measure = document.createElement("canvas").getContext("2d");
        measure.font = getComputedStyle(select).font;
        const widths = [...select.options].map((option) => measure.measureText(option.text).width);
        return Math.max(...widths) > select.clientWidth - 32;
      };
      return [...document.querySelectorAll(".dip-sides select")].filter(cut).length;
    }""")
    assert not cut
    tab.context.close()


def test_the_ticks_of_the_curves_are_round(explorer):
    steerable(explorer)
    texts = explorer.locator(".dip-plots text:not(.dip-title, .dip-name)").all_text_contents()
    values = [float(text.replace(",", "")) for text in texts]
    for value in filter(None, values):
        digits = f"{abs(value):e}".split("e")[0].rstrip("0").rstrip(".")
        assert len(digits.replace(".", "")) <= 2, f"{value} is not round"


def test_the_divider_moves_by_keyboard(explorer):
    figure = explorer.locator(".dip-compare")
    choose(explorer, "picture", choices(explorer, "picture")[0])
    choose(explorer, "left", "degraded")
    before = pixels(figure)
    explorer.locator("input[name=divider]").focus()
    for _ in range(15):
        explorer.page.keyboard.press("ArrowRight")
    explorer.page.evaluate(SETTLED)
    assert changed(before, pixels(figure)) > 0.04
    divide(explorer, 50)


def test_the_scrubber_moves_by_keyboard(explorer):
    steerable(explorer)
    figure, plots, scrubber = (
        explorer.locator(name) for name in (".dip-compare", ".dip-plots", "input[name=iteration]")
    )
    before, curves = pixels(figure), pixels(plots)
    for key in ("Home", "ArrowRight", "ArrowRight"):
        scrubber.press(key)
        explorer.page.evaluate(SETTLED)
        now = pixels(figure)
        assert changed(before, now) > 0.01, key
        before = now
    assert changed(curves, pixels(plots)) > 0.001, (
        "the cursor in the curves, from the end to the beginning"
    )


def test_both_sides_follow_the_scrubber(explorer):
    choose(explorer, "picture", choices(explorer, "picture")[0])
    told, moving = explorer.locator(".dip-told"), []
    for value in choices(explorer, "right"):
        choose(explorer, "left", "degraded")
        choose(explorer, "right", value)
        if explorer.locator("input[name=iteration]").is_visible():
            moving.append(value)
    choose(explorer, "left", moving[0])
    choose(explorer, "right", moving[-1])
    scrubber = explorer.locator("input[name=iteration]")
    scrubber.press("End")
    assert all("the end" in text for text in told.all_inner_texts())
    scrubber.press("Home")
    assert all("iteration 1:" in text for text in told.all_inner_texts())
    choose(explorer, "left", "degraded")


def test_play_plays_and_pause_stops(explorer):
    steerable(explorer)
    figure, button, scrubber = (
        explorer.locator(name)
        for name in (".dip-compare", ".dip-scrub button", "input[name=iteration]")
    )
    scrubber.press("Home")
    before = pixels(figure)
    button.click()
    explorer.page.wait_for_function(f"() => ({AT})() >= 2")
    button.click()
    explorer.page.evaluate(SETTLED)
    paused = pixels(figure)
    assert changed(before, paused) > 0.02
    explorer.page.wait_for_timeout(1200)
    assert changed(paused, pixels(figure)) == 0


def test_a_run_without_outputs_on_the_way_says_so(explorer):
    choose(explorer, "picture", choices(explorer, "picture")[0])
    choose(explorer, "left", "degraded")
    for value in choices(explorer, "right"):
        choose(explorer, "right", value)
        if value.startswith("run-") and not explorer.locator(".dip-scrub").is_visible():
            assert "Nothing to play" in explorer.locator(".dip-facts").inner_text()
            return
    pytest.skip("every run of the first picture has outputs on the way")


def test_another_picture_comes_at_once(explorer, request):
    """Timed from the choice to decoded pictures; the bound is for a busy machine.

    The report has the figure.
    """
    times = explorer.evaluate("""async (explorer) => {
      const select = explorer.querySelector("select[name=picture]");
      const times = [];
      for (let round = 0; round < 3; round++)
        for (const option of select.options) {
          const start = performance.now();
          select.value = option.value;
          select.dispatchEvent(new Event("change", { bubbles: true }));
          await Promise.all([...explorer.querySelectorAll(".dip-compare img")]\
.map((img) => img.decode()));
          times.push(performance.now() - start);
        }
      return times;
    }""")
    line = (
        f"another picture in the explorer: median {statistics.median(times):.0f} ms, "
        f"slowest {max(times):.0f} ms of {len(times)}"
    )
    request.config.stash[REPORT].append(line)
    assert statistics.median(times) < 1000


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_front_page_plays_by_itself_once_and_can_be_replayed(opened, scheme):
    tab = opened(FRONT, scheme, settle=False, size=(1280, 1000))
    tab.wait_for_function(f"() => ({AT})() > 0 && ({AT})() < ({END})()")
    tab.wait_for_function(f"() => ({AT})() === ({END})()")
    tab.wait_for_timeout(1200)
    assert tab.evaluate(AT) == tab.evaluate(END), "it rests at the end"
    button = tab.locator(".dip-scrub button")
    assert "Replay" in button.inner_text()
    button.click()
    tab.wait_for_function(f"() => ({AT})() > 0 && ({AT})() < ({END})()")
    tab.context.close()


def test_what_is_out_of_sight_does_not_play(opened):
    tab = opened(EXPLORER, size=(1280, 900))
    figure = tab.locator(COMPARE)
    top = figure.locator(".dip-compare").bounding_box()["y"]
    assert top > 900, "the explorer is further down"
    tab.wait_for_timeout(1500)
    assert tab.evaluate(AT) == tab.evaluate(END)
    figure.locator(".dip-compare").scroll_into_view_if_needed()
    tab.wait_for_function(f"() => ({AT})() > 0 && ({AT})() < ({END})()")
    tab.context.close()


def test_nothing_moves_for_readers_who_want_no_motion(front):
    figure = front.locator(".dip-compare")
    before = pixels(figure)
    front.page.wait_for_timeout(1500)
    assert front.page.evaluate(AT) == front.page.evaluate(END)
    assert changed(before, pixels(figure)) == 0


def test_the_front_page_compares_and_is_light(front):
    assert {"degraded", "biharmonic", "truth", "run-0"} <= set(choices(front, "left"))
    figure, shown = front.locator(".dip-compare"), []
    divide(front, 100)
    for value in ("degraded", "biharmonic", "truth"):
        choose(front, "left", value)
        shown.append(pixels(figure))
    assert all(changed(*pair) > 0.02 for pair in itertools.combinations(shown, 2))
    weight = front.page.evaluate("""() =>
      [..."navigation resource".split(" ").flatMap((kind) => performance.getEntriesByType(kind))]
        .reduce((sum, entry) => sum + entry.decodedBodySize, 0)""")
    assert weight < FRONT_HEAVY


def test_the_front_page_has_one_primary_action(front):
    primary = front.page.locator("article a.sd-btn-primary")
    assert primary.count() == 1
    primary.click()
    front.page.wait_for_url("**/01-introduction.html")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_front_page_s_explorer_fits_a_phone(opened, theme):
    tab = opened(FRONT, theme=theme, size=(390, 844), reduced_motion="reduce")
    box = tab.locator(".dip-compare").bounding_box()
    assert box["x"] >= 0 and 300 < box["width"] <= 390 and box["y"] < 700
    tab.context.close()


def test_the_masks_slider_changes_all_and_the_truth_comes_when_asked_for(opened):
    tab = opened(MASK, **STILL)
    view = tab.locator(".dip-view:has(.dip-four)")
    slider, button = view.locator("input[type=range]"), view.get_by_role("button")
    pictures = view.locator("img")
    assert pictures.count() == 4, "given, two interpolations, a network; the truth is hidden"
    before, words = [pixels(picture) for picture in pictures.all()], view.inner_text()
    for _ in range(3):
        slider.press("ArrowRight")
    tab.evaluate(SETTLED)
    for picture, old in zip(pictures.all(), before, strict=True):
        assert changed(old, pixels(picture)) > 0.05
    assert view.inner_text() != words and "dB" in words
    slider.press("Home")
    assert pictures.nth(3).is_hidden() and "not run at this p" in view.inner_text()
    button.focus()
    tab.keyboard.press("Enter")
    assert pictures.count() == 5
    tab.evaluate(SETTLED)
    assert pixels(pictures.last).std() > 20
    tab.keyboard.press("Enter")
    assert pictures.count() == 4
    tab.context.close()


@pytest.mark.parametrize("page", ALIVE or ["no page"])
def test_no_live_figure_opens_blank(opened, page):
    """No picture is one grey square when its page has come, before anything is chosen."""
    tab = opened(page, **STILL)
    shown = tab.locator(".dip-view img:visible").all()
    assert shown or tab.locator(".dip-net, .dip-readings").count()
    for picture in shown:
        spread = picture.evaluate("""async (img) => {
          await img.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
          const context = canvas.getContext("2d");
          context.drawImage(img, 0, 0);
          const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
          return [...data.filter((_, i) => i % 4 === 0)];
        }""")
        assert np.std(spread) > 4, picture.get_attribute("alt")
    tab.context.close()


@pytest.mark.parametrize("page", ALIVE or ["no page"])
def test_only_controls_of_a_live_figure_are_tab_stops(opened, page):
    tab = opened(page, **STILL)
    stops = tab.evaluate("""() => [...document.querySelectorAll(".dip-view *")]
      .filter((e) => e.tabIndex >= 0 && e.offsetParent)
      .filter((e) => !e.matches("button, input, select")\
 && !(e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1))
      .map((e) => e.outerHTML.slice(0, 80))""")
    assert not stops
    tab.context.close()


@pytest.mark.parametrize("page", ALIVE or ["no page"])
def test_every_live_figure_answers(opened, page):
    """Whatever a figure offers first (a button, a slider, a choice), its pixels change with it."""
    tab = opened(page, **STILL)
    for view in tab.locator(".dip-view").all():
        before = pixels(view)
        slider, radios, buttons = (
            view.locator(f"{name}:visible:enabled")
            for name in ("input[type=range]", "input[type=radio]", "button")
        )
        if slider.count():
            slider.first.focus()
            for _ in range(5):
                tab.keyboard.press("ArrowRight")
        elif radios.count():
            radios.last.check()
        else:
            buttons.last.click()
        tab.evaluate(SETTLED)
        assert changed(before, pixels(view)) > 0.002, view.get_attribute("aria-label")
    tab.context.close()
