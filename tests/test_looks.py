"""How the built site looks: pictures, formulae, tables, code, on a screen and on a phone.

The pages are those of `test_site`, loaded once for both; what needs no browser is asked at the end.
"""

import base64
import io
import re

import jupytext
import numpy as np
import pytest
import test_site
from browser import FRONT, PAGES, SITE
from conftest import REPORT
from dip_book import bench, images
from dip_book.build import pairs, site
from dip_book.show import figures, style
from dip_book.table import Table
from docutils import nodes
from PIL import Image
from test_site import every_page, every_visit

visit = test_site.visit

#: Stops of the Tab key in a chapter's text, at 1280 pixels, all folds closed; and how many of them
#: are boxes that scroll.
STOPS, BOXES = 100, 6
SMALLEST_TYPE, NARROWEST = 12, 120  # pixels, on a phone
WIDEST_CODE = 88  # columns
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell", "setup"}
#: The legends of one figure, as the chapters have them.
LEGENDS = [
    ["blog, reported", "paper, reported", "convolutional sparse coding, reported", "best-nearest",
     "linear", "biharmonic"],
    ["blog", "paper", "best-adam", "quick-adam", "quick", "linear", "biharmonic"],
    [f"{picture}, {which}" for picture in ("Camera", "Astronaut", "Brick")
     for which in ("the blog's reading", "the second reading")],
    ["straightforward", "deepinv", "ours, fp32", "+ channels_last", "+ bf16", "+ Muon"],
    ["Adam", "Muon", "Muon, dropout 0.05"],
    ["a photograph", "its pixels shuffled", "noise"],
]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@every_page
def test_photographs_are_shown_as_they_are(visit, page, theme):
    assert not visit(page, "http", theme).filtered


@every_page
def test_no_equation_is_cut_on_a_phone(visit, page):
    assert not visit(page, "http", "light").cut


@every_page
def test_the_tab_key_stops_at_what_can_be_used(visit, page, request):
    stops, boxes = visit(page, "http", "light").stops
    request.config.stash[REPORT].append(f"{page}: {stops} tab stops, {len(boxes)} of them boxes")
    assert len(boxes) <= BOXES, boxes
    assert stops <= STOPS or not page.startswith("notebooks/")


@every_page
def test_every_table_of_a_cell_has_a_caption(visit, page):
    assert not visit(page, "http", "light").uncaptioned


@every_page
def test_pictures_stand_in_twos_on_a_phone(visit, page):
    for beside, width, titles, size in visit(page, "http", "light").grids:
        assert 1 <= beside <= 2 and width >= NARROWEST
        assert titles and size >= SMALLEST_TYPE


@every_visit
@every_page
def test_a_chapters_download_is_a_notebook(visit, page, scheme, theme):
    links = visit(page, scheme, theme).downloads
    if page.startswith("notebooks/"):
        name = page.rsplit("/", 1)[-1].replace(".html", ".ipynb")
        assert [".ipynb", name] in links and (SITE / "notebooks" / name).is_file()
    assert not [link for link in links if link[1] and link[1].endswith(".md")]


@pytest.mark.skipif(not PAGES, reason="no built site")
def test_a_hundred_columns_of_code_fit(opened):
    tab = opened(FRONT, size=(1400, 900))
    fits = tab.evaluate("""() => {
      const box = document.createElement("div");
      box.className = "highlight";
      box.innerHTML = `<pre>${"m".repeat(100)}</pre>`;
      document.querySelector("article").append(box);
      return box.firstChild.scrollWidth <= box.firstChild.clientWidth;
    }""")
    tab.context.close()
    assert fits


@pytest.mark.skipif(not PAGES, reason="no built site")
def test_paper_has_the_text_and_nothing_to_press(opened):
    tab = opened("notebooks/08-learning.html")
    tab.emulate_media(media="print")
    shown = tab.evaluate("""() => [".bd-sidebar-primary", ".bd-header-article", ".copybtn",
      ".dip-view select", ".prev-next-area"].flatMap((name) => [...document.querySelectorAll(name)])
      .filter((element) => element.checkVisibility()).map((element) => element.className)""")
    assert not shown and tab.locator("#jb-print-docs-body h1").is_visible()
    tab.context.close()


@pytest.mark.skipif(not PAGES, reason="no built site")
def test_what_slides_on_a_phone_shows_it_and_rows_keep_their_names(opened):
    tab = opened("notebooks/09-results.html", size=(390, 844))
    tab.wait_for_selector(".dip-more-right")
    box = tab.locator(".pst-scrollable-table-container.dip-slides").first
    name = box.locator("tbody td").first
    before = name.bounding_box()["x"]
    assert "dip-more-right" in box.get_attribute("class")
    box.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
    tab.wait_for_function(
        "box => !box.classList.contains('dip-more-right')", arg=box.element_handle()
    )
    assert abs(name.bounding_box()["x"] - before) <= 1  # the border of the table
    tab.context.close()


@pytest.mark.parametrize("path", pairs.texts(), ids=lambda path: path.stem)
def test_visible_code_is_narrow(path):
    wide = [
        line
        for cell in jupytext.read(path, fmt=pairs.TEXT).cells
        if cell.cell_type == "code" and not FOLDED & set(cell.metadata.get("tags", []))
        for line in cell.source.splitlines()
        if len(line) > WIDEST_CODE
    ]
    assert not wide


@pytest.mark.parametrize("names", LEGENDS, ids=lambda names: names[0])
def test_no_two_of_a_figure_look_alike(names):
    looks = style.looks(names)
    for way in ("mark", "line"):
        assert len({(look.colour, getattr(look, way)) for look in looks}) == len(names)
    for name, look in zip(names, looks):
        if (known := style.method(name)) is not None:
            assert look.colour == known.colour


def test_a_row_of_pictures_is_a_grid_with_titles_in_words():
    picture = images.load("camera", size=32)
    html = figures.row(
        {"a < b\nline two": picture, "crop": picture}, crop=(2, 3, 8, 9)
    )._repr_html_()
    assert html.count("<figure") == html.count("<figcaption") == html.count("<img") == 2
    assert "a &lt; b<br>line two" in html and 'alt="a &lt; b, line two"' in html
    assert 'width="9" height="8"' in html and "image-rendering:pixelated" in html
    assert "<style" not in html and "<script" not in html


def test_single_black_pixels_survive():
    rng = np.random.default_rng(0)
    picture = images.to_bytes(rng.random((64, 64)) * (rng.random((64, 64)) < 0.5))
    from_url = _decoded(figures.row({"given": picture / 255.0})._repr_html_())
    np.testing.assert_array_equal(from_url, picture)


def _decoded(html):
    data = re.search(r"data:image/webp;base64,([^\"]+)", html)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"))


def cell(*children, source="figures.curves(histories)"):
    """A code cell as the site's parser leaves it, with its source and outputs."""
    node = nodes.container(nb_element="cell_code", cell_index=3)
    node += nodes.literal_block(source, source)
    node += list(children)
    return node


def table():
    return nodes.table("", nodes.tgroup("", nodes.tbody(), cols=1))


def test_the_paragraph_above_a_table_becomes_its_caption():
    shown = Table(["a"], [[1.5]], caption="PSNR in dB of `quick`.")._repr_markdown_()
    assert shown.startswith("**Table.** PSNR in dB of `quick`.\n\n| a |")
    strong, rest = nodes.strong("", "Table."), nodes.Text(" PSNR in dB of ")
    above = nodes.paragraph("", "", nodes.Text(""), strong, rest, nodes.literal("", "quick"))
    page = nodes.section("", cell(above, first := table()), cell(bare := table()), table())
    site.caption_tables(None, page)
    assert first[0].astext() == "PSNR in dB of quick" and isinstance(first[0], nodes.title)
    assert first["ids"] == ["table-1"] and not list(page.findall(nodes.paragraph))
    assert not list(bare.findall(nodes.title))


def test_plots_are_told_from_photographs():
    kinds = {
        "figures.curves(histories)": ["dip-plot"],
        "axis.imshow(picture)": ["dip-card"],
        "figures.run_summary(run)": ["dip-card"],
        "concepts.picture_space(small)": ["dip-card"],
    }
    for source, classes in kinds.items():
        page = nodes.section("", cell(nodes.image(uri="a.png"), source=source))
        site.tell_pictures_apart(None, page)
        assert next(iter(page.findall(nodes.image)))["classes"] == classes
    page = nodes.section("", nodes.image(uri="in-the-text.png"))
    site.tell_pictures_apart(None, page)
    assert next(iter(page.findall(nodes.image)))["classes"] == []


def test_no_mark_of_one_row_hides_another():
    same = dict.fromkeys(("camera", "coffee"), 30.0)
    axis = figures.dots({"blog": same, "paper": same, "biharmonic": same}).axes[0]
    heights = [y for line in axis.lines for y in line.get_ydata()]
    assert len(heights) == len(set(heights)) == 6 and set(np.round(heights)) == {0, 1}


def test_costs_begin_where_pictures_are_of_use_and_show_every_result():
    slow, poor = ([1, 10, 100], [8.0, 19.0, 29.0]), (0.1, 17.0)
    for points, lowest in (({"linear": (0.1, 27.0)}, 20), ({"linear": poor}, 16)):
        axis = figures.cost({"blog": slow}, points, bottom=20).axes[0]
        assert axis.get_ylim()[0] == lowest and axis.get_ylim()[1] > 29
        assert set(np.diff(axis.get_yticks())) == {2}
    curve, point = axis.get_legend().get_lines()
    marks = style.METHODS["blog"].mark, style.METHODS["linear"].mark
    assert (curve.get_marker(), point.get_marker()) == marks, "a mark is named"


def test_an_optimiser_is_drawn_alike_everywhere():
    left, right = figures.orthogonal({"Adam": np.ones(3), "Muon": np.ones(3)}).axes
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in (left, right))
    colours = [line.get_color() for line in right.lines]
    assert colours == [style.METHODS[name].colour for name in ("adam", "muon")]


def test_a_table_of_timings_says_what_a_dash_is():
    for result in bench.results():
        for table in (bench.compared(result), bench.reached(result)):
            assert ("“–”" in table.caption) == ("–" in {c for row in table.shown() for c in row})


def test_a_timing_says_its_machine():
    facts = {"device": "cpu (AMD EPYC)", "threads": 1, "versions": {"torch": "2.13.0+cpu"}}
    assert bench.machine(facts) == "AMD EPYC, 1 thread, PyTorch 2.13.0"
    assert bench.machine({"device": "cpu", "threads": 2}) == "a CPU, 2 threads"
    for result in bench.results():
        for made in (bench.compared, bench.floors, bench.estimates, bench.reached):
            assert bench.machine(result) in made(result).caption
