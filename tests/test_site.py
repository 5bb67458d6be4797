"""The built site in a real browser: what a reader meets.

See `browser`.  Every page is loaded once for each of VISITS, everything is noted on the way, and
the tests look at the notes.
"""

import os
import re
import statistics
from dataclasses import dataclass, field
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import (
    EXPLORER,
    FRONT,
    MASK,
    PAGES,
    SETTLED,
    SITE,
    pixels,
)
from conftest import REPORT
from dip_book.build import site

VISITS = [("http", "light"), ("http", "dark"), ("file", "light")]
HEAVY = 3_000_000  # bytes
#: (Page, scheme, theme) → what was noted there.
NOTES = {}

#: preload would have axe fetch style sheets by itself, some by a wrong address; nothing that is
#: asked here needs them.
AXE = {"resultTypes": ["violations"], "preload": False}
#: Bytes (uncompressed), and when something, a picture and everything was there (ms; null: no
#: picture on the first screen).
COST = """async () => {
  const pictures = await new Promise((done) => {
    new PerformanceObserver((list) => done(list.getEntries()))\
.observe({ type: "element", buffered: true });
    setTimeout(() => done([]), 200);
  });
  const [page] = performance.getEntriesByType("navigation");
  return {
    bytes: [page, ...performance.getEntriesByType("resource")]\
.reduce((sum, entry) => sum + entry.decodedBodySize, 0),
    paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    picture: pictures.length\
 ? Math.min(...pictures.map((entry) => entry.renderTime || entry.loadTime)) : null,
    loaded: page.loadEventEnd,
  };
}"""
LINKS = """() => ["href", "src", "srcset", "poster", "data", "xlink:href"].flatMap((name) =>
  [...document.querySelectorAll(`[${name.replace(":", "\\\\:")}]`)].flatMap((element) => {
    const value = element.getAttribute(name);
    return (name === "srcset" ? value.split(",").map((part) => part.trim().split(/\\s+/)[0])\
 : [value]).map((url) => [element.tagName, url]);
  }))"""
IDS = (
    """() => [...document.querySelectorAll("[id], a[name]")]"""
    """.flatMap((element) => [element.id, element.getAttribute("name")])"""
)
#: Pictures that came to nothing.
BLANK = (
    "() => [...document.images].filter((img) => img.complete && !img.naturalWidth)"
    ".map((img) => img.src.slice(0, 100))"
)
#: The width, and what sticks out of the window without being inside something that scrolls by
#: itself.
WIDE = """() => {
  const scrolls = (element) => element &&\
 (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
  const out = [...document.querySelectorAll("article *")].filter((element) =>
    element.getBoundingClientRect().right > innerWidth + 1 && !scrolls(element.parentElement));
  return [document.documentElement.scrollWidth, out.slice(0, 5).map((element) =>
    `${element.tagName.toLowerCase()}.${[...element.classList].join(".")}\
 "${element.textContent.trim().slice(0, 40)}"`)];
}"""
#: Where the Tab key stops in the text: all; and those that are neither links nor controls, but
#: boxes that scroll.
STOPS = """() => {
  const stops = [...document.querySelectorAll("article *")].filter((element) =>
    element.tabIndex >= 0 && element.checkVisibility({ visibilityProperty: true }));
  const boxes = stops.filter((element) =>
    !element.matches("a, button, input, select, textarea, summary, area"));
  return [stops.length, boxes.map((box) =>
    `${box.tagName.toLowerCase()} "${box.textContent.trim().slice(0, 40)}"`)];
}"""
#: Photographs, and what stands around them, that the page filters: given in words.
FILTERED = """() => {
  const around = (element) => element ? [element, ...around(element.parentElement)] : [];
  return [...document.querySelectorAll("article :is(img, canvas):not(.dip-plot)")].filter((img) =>
    around(img).some((element) => getComputedStyle(element).filter !== "none"
      || getComputedStyle(element).mixBlendMode !== "normal")
      || parseFloat(getComputedStyle(img).paddingLeft) > 0)
    .map((img) => img.alt || img.tagName);
}"""
#: Tables that a cell shows and that have no caption.
UNCAPTIONED = """() => [...document.querySelectorAll(".cell_output table")]
  .filter((table) => !table.caption?.textContent.trim())
  .map((table) => table.textContent.trim().replace(/\\s+/g, " ").slice(0, 60))"""
#: On a phone: displayed equations whose end can be reached by no scrolling.
CUT = """() => [...document.querySelectorAll("article mjx-container[display=true]")]
  .filter((formula) => {
    const room = formula.getBoundingClientRect();
    const slides = ["auto", "scroll"].includes(getComputedStyle(formula).overflowX);
    return room.right > innerWidth + 1 || room.left < -1
      || (formula.scrollWidth > formula.clientWidth + 1 && !(slides && formula.tabIndex === 0));
  }).map((formula) => formula.textContent.slice(0, 40))"""
#: On a phone: of each grid of pictures, how many stand beside one another, the narrowest picture
#: and the smallest type of a title, in pixels.
GRIDS = """() => [...document.querySelectorAll("article .dip-photos")].map((grid) => {
    const pictures = [...grid.querySelectorAll("img")].map((img) => img.getBoundingClientRect());
    const titles = [...grid.querySelectorAll("figcaption")];
    return [pictures.filter((box) => Math.abs(box.top - pictures[0].top) < 2).length,
      Math.min(...pictures.map((box) => box.width)), titles.length,
      Math.min(...titles.map((title) => parseFloat(getComputedStyle(title).fontSize)))];
  })"""
#: The header's downloads: what they say, and where they lead.
DOWNLOADS = """() => [...document.querySelectorAll(
    ".dropdown-download-buttons a, a.btn-download-notebook-button, a.btn-download-source-button")]
  .map((link) => [link.textContent.trim(), link.getAttribute("href")])"""


@dataclass(repr=False)
class Visit:
    """What one load of a page told."""

    home: str = ""
    stops: tuple[int, list[str]] = (0, [])
    filtered: list[str] = field(default_factory=list)
    uncaptioned: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    grids: list[list[float]] = field(default_factory=list)
    downloads: list[list[str]] = field(default_factory=list)

    errors: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    blank: list[str] = field(default_factory=list)
    alts: list[str] = field(default_factory=list)
    background: float = 0
    violations: list[dict] = field(default_factory=list)
    cost: dict = field(default_factory=dict)
    narrow: tuple[int, list[str]] = (0, [])


@pytest.fixture(scope="module")
def visit(server, opened):
    """A function from (page, scheme, theme) to what was noted there.

    No page is loaded twice, whichever modules ask (`test_looks` does, too).
    """

    def look(page, scheme, theme):
        if (page, scheme, theme) not in NOTES:
            NOTES[page, scheme, theme] = load(page, scheme, theme)
        return NOTES[page, scheme, theme]

    def load(page, scheme, theme):
        notes = Visit(home=f"{server}/" if scheme == "http" else f"{SITE.as_uri()}/")
        # Over http what a page still asks for after loading comes to light while axe is busy.
        tab = opened(page, scheme, theme, notes, wait="networkidle" if scheme == "file" else "load")
        if scheme == "http":
            notes.cost = tab.evaluate(COST)
            notes.stops = tab.evaluate(STOPS)
            notes.background = statistics.median(pixels(tab).ravel())
        tab.evaluate(
            "document.querySelectorAll('details').forEach((element) => { element.open = true; })"
        )
        tab.evaluate(SETTLED)
        if scheme == "http":
            notes.violations = Axe().run(tab, options=AXE).response["violations"]
        if scheme == "http":
            notes.filtered = tab.evaluate(FILTERED)
            notes.uncaptioned = tab.evaluate(UNCAPTIONED)
        notes.downloads = tab.evaluate(DOWNLOADS)
        if (scheme, theme) == ("http", "light"):
            notes.links, notes.ids = (
                [tuple(link) for link in tab.evaluate(LINKS)],
                set(tab.evaluate(IDS)),
            )
            tab.set_viewport_size({"width": 390, "height": 844})
            tab.evaluate(SETTLED)
            notes.narrow = tab.evaluate(WIDE)
            notes.cut, notes.grids = tab.evaluate(CUT), tab.evaluate(GRIDS)
        notes.blank = tab.evaluate(BLANK)
        notes.alts = tab.evaluate(
            "[...document.querySelectorAll('article img:not([role=presentation])')]"
            ".map((img) => img.alt)"
        )
        tab.context.close()
        return notes

    return look


every_page = pytest.mark.parametrize("page", PAGES or ["no page"])
every_visit = pytest.mark.parametrize("scheme, theme", VISITS)
in_both_themes = pytest.mark.parametrize("theme", ["light", "dark"])


@every_visit
@every_page
def test_a_page_runs_without_an_error(visit, page, scheme, theme):
    notes = visit(page, scheme, theme)
    assert not notes.errors
    assert not notes.console


@every_visit
@every_page
def test_a_page_asks_nothing_of_other_hosts(visit, page, scheme, theme):
    notes = visit(page, scheme, theme)
    assert not [url for url in notes.requests if not url.startswith((notes.home, "data:", "blob:"))]


@every_visit
@every_page
def test_a_page_shows_every_picture(visit, page, scheme, theme):
    assert not visit(page, scheme, theme).blank


@every_page
def test_a_page_has_no_dead_link(visit, page):
    """Inside the site: a file, and an id in it.

    To other hosts: https, and a host's name. They are not fetched.
    """
    dead = []
    notes = visit(page, "http", "light")
    for tag, url in notes.links:
        if url.startswith(notes.home):  # what a script of the page's asked for in full
            url = f"/{url.removeprefix(notes.home)}"
        if re.match(r"(data|blob):", url):
            continue
        if re.match(r"[a-z][a-z0-9+.-]*:|//", url, re.I):
            parts = urlsplit(url)
            if (
                parts.scheme != "https"
                or not re.fullmatch(r"([\w-]+\.)+[a-z]{2,}", parts.hostname or "")
                or re.search(r"\s", url)
            ):
                dead.append(f"{tag} {url}: not a clean https address")
            continue
        path, fragment = urldefrag(url)
        target = (
            unquote(urlsplit(urljoin(f"http://site/{page}", path)).path).lstrip("/")
            if path
            else page
        )
        if not (SITE / target).is_file():
            dead.append(f"{tag} {url}: no such file")
        elif (
            fragment
            and target in PAGES
            and unquote(fragment) not in visit(target, "http", "light").ids
        ):
            dead.append(f"{tag} {url}: no such id")
    assert not dead


@every_page
def test_the_theme_changes_the_page(visit, page):
    light, dark = (visit(page, "http", theme).background for theme in ("light", "dark"))
    assert light > 230 and dark < 60, "medians of the screenshots"


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_is_the_system_s_until_one_is_chosen(opened, system):
    tab = opened(FRONT, theme="auto", color_scheme=system)
    assert tab.evaluate("document.documentElement.dataset.theme") == system
    tab.context.close()


def test_drawings_on_a_phone_slide_and_pictures_fit(opened):
    tab = opened("notebooks/09-results.html", size=(390, 844))
    drawing = tab.locator("figure.dip-drawing:has(> img)").first
    assert (
        drawing.locator("img").bounding_box()["width"] > 500
        and drawing.get_attribute("tabindex") == "0"
    )
    for picture in tab.locator("figure.dip-pictures .dip-photos img").all():
        assert picture.bounding_box()["width"] <= 390
    before = drawing.evaluate("box => box.scrollLeft")
    drawing.focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("box => box.scrollLeft > 0", arg=drawing.element_handle())
    assert before == 0
    tab.context.close()


@every_page
def test_pictures_have_words_for_those_who_do_not_see_them(visit, page):
    assert not [
        words
        for words in visit(page, "http", "light").alts
        if re.search(r"\.(png|webp|svg)$|^\s*$", words)
    ]


@every_page
def test_a_phone_need_not_scroll_sideways(visit, page):
    width, out = visit(page, "http", "light").narrow
    assert width <= 390, f"these stick out: {out}"


@in_both_themes
@every_page
def test_axe_finds_nothing_serious(visit, page, theme):
    found = [
        f"{rule['impact']} {rule['id']}: {node['target']}: "
        f"{node['failureSummary'].splitlines()[-1].strip()}\n    {node['html'][:160]}"
        for rule in visit(page, "http", theme).violations
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert not found, "\n" + "\n".join(found)


@every_page
def test_a_page_is_light(visit, page, request):
    cost = visit(page, "http", "light").cost
    report = request.config.stash[REPORT]
    if not report:
        report.append(
            f"{'page':<38}{'MB':>6}{'first paint':>13}{'first picture':>15}{'loaded':>9}"
            "   (ms; over http from this machine)"
        )
    picture = (
        "-" if cost["picture"] is None else f"{cost['picture']:.0f}"
    )  # -: none on the first screen
    report.append(
        f"{page:<38}{cost['bytes'] / 1e6:6.2f}{cost['paint']:13.0f}{picture:>15}"
        f"{cost['loaded']:9.0f}"
    )
    assert cost["bytes"] < HEAVY


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_root_leads_to_the_front_page(opened, scheme):
    tab = opened("index.html", scheme, settle=False)
    tab.wait_for_url(f"**/{FRONT}")
    assert tab.locator("h1").first.inner_text()
    tab.context.close()


@pytest.mark.skipif("DIP_SITE" in os.environ, reason="another site is looked at")
def test_the_site_is_not_older_than_its_sources():
    assert (SITE / site.DIGEST).read_text().strip() == site.site_digest(), (
        "the site is of other sources: run `make book`"
    )


def test_search_finds_a_chapter(opened):
    tab = opened(FRONT)
    tab.keyboard.press("Control+k")
    tab.keyboard.type("backtracking")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?*")
    hit = tab.locator(f"#search-results a[href*='{EXPLORER}']").first
    hit.wait_for()
    hit.click()
    tab.wait_for_url(f"**/{EXPLORER}*")
    tab.context.close()


def unhappy(opened, page, before="", scheme="http"):
    """A page whose browser lacks something, and a function that closes it and gives its errors."""
    notes = Visit()
    tab = opened(page, scheme, notes=notes, before=before)

    def errors():
        tab.wait_for_timeout(300)
        tab.context.close()
        return notes.errors + notes.console

    return tab, errors


FORBIDDEN = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { configurable: true, get() {
    throw new DOMException("denied", "SecurityError"); } });"""


@pytest.mark.parametrize("page", [FRONT, EXPLORER, "search.html"])
def test_a_reader_who_lets_pages_keep_nothing_can_choose_a_theme(opened, page):
    tab, errors = unhappy(opened, page, FORBIDDEN)
    seen = set()
    for _ in range(3):
        tab.locator("button.theme-switch-button:visible").first.click()
        seen.add(tab.evaluate("document.documentElement.dataset.mode"))
    assert seen == {"light", "dark", "auto"} and not errors()


@pytest.mark.parametrize("page", [MASK, EXPLORER])
def test_a_browser_of_2022_runs_a_page(opened, page):
    _, errors = unhappy(opened, page, "delete Element.prototype.checkVisibility;")
    assert not errors()


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("word", ["constructor", "__proto__", "prior"])
def test_a_search_ends_whatever_is_looked_for(opened, word, scheme):
    tab, errors = unhappy(opened, f"search.html?q={word}", scheme=scheme)
    tab.wait_for_function(
        "() => document.querySelector('#search-results h2')?.innerText === 'Search Results'"
    )
    found = tab.locator("#search-results li").count()
    assert (found > 0) == (word == "prior") and not errors()


COUNT = "article => article.querySelectorAll('*').length"


@pytest.mark.parametrize("word", ["x", "pixel", "a"])
@pytest.mark.parametrize("page", [MASK, EXPLORER])
def test_a_searchs_words_are_marked_and_nothing_else_happens_to_the_page(opened, page, word):
    """A letter stands thousands of times in a figure's script, and in drawings' titles."""
    plain = opened(page)
    before = plain.locator(".bd-article").evaluate(COUNT)
    plain.context.close()
    tab, errors = unhappy(opened, f"{page}?highlight={word}#exercises")
    words = """() => [...CSS.highlights.get("dip-found") ?? []].map((range) =>
      range.startContainer.data.slice(range.startOffset, range.endOffset).toLowerCase())"""
    assert set(tab.evaluate(words)) == {word}
    assert "highlight" not in tab.url and tab.url.endswith("#exercises")
    after = tab.locator(".bd-article").evaluate(COUNT)
    assert after == before and not errors()


def test_after_printing_all_is_as_it_was(opened):
    """Also where a browser says twice that it prints, or only that it has."""
    tab = opened("notebooks/03-deep-image-prior.html", theme="dark")
    now = """() => [document.documentElement.dataset.theme,
      document.querySelectorAll(".tag_solution details[open]").length]"""
    assert tab.evaluate(now) == ["dark", 0]
    for said in (["after"], ["before", "after"], ["before", "before", "after", "after"]):
        for word in said:
            tab.evaluate(f"dispatchEvent(new Event('{word}print'))")
            if word == "before":
                theme, opened_ones = tab.evaluate(now)
                assert theme == "light" and opened_ones > 0
        assert tab.evaluate(now) == ["dark", 0], said
    tab.context.close()


def test_without_scripts_text_and_a_still_picture_remain(opened):
    tab = opened(EXPLORER, java_script_enabled=False, settle=False)  # no script, no waiting for one
    stills = tab.locator(".dip-fallback img").all()
    assert stills
    for still in stills:
        assert still.is_visible() and still.get_attribute("alt")
        shown = pixels(still)
        assert min(shown.shape[:2]) > 100 and shown.std() > 20, "the picture is blank"
    text = tab.locator("article").inner_text()
    assert "Backtracking" in text and len(text) > 5000
    tab.context.close()
