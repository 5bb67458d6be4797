"""Text from files that wants to be more than text: in pages, in live figures, on a terminal.

`attacks.hostile` tries many texts in many places, with parsers for readers.  Here a small site is
built of them as the book is, and opened in a real browser.
"""

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from attacks import hostile
from browser import SETTLED, Quiet, browser  # noqa: F401 (a fixture)
from dip_book import cli, images, runs, words
from dip_book.runs import plan
from dip_book.show import explorer, own
from dip_book.table import Figure, Table
from PIL import Image
from test_own import MODEL, Bridge, png

CONF = """
import os
extensions = ["myst_nb", "sphinx-mathjax-offline",
              "dip_book.build.site", "dip_book.build.front", "dip_book.build.live"]
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath", "html_image", "smartquotes"]
html_theme, html_theme_options = "sphinx_book_theme", {"repository_url": ""}
nb_execution_mode, nb_render_markdown_format, nb_execution_timeout = "force", "gfm", 300
nb_merge_streams = True
mathjax3_config = {"loader": {"load": ["input/tex", "output/chtml", "a11y/assistive-mml"]}}
html_context = {"default_mode": "auto"}
numfig, root_doc, ogp_site_url = True, "index", ""
nb_execution_raise_on_error = nb_execution_show_tb = True
"""
PAGE = """---
file_format: mystnb
kernelspec: {name: python3, display_name: Python 3}
---
# Hostile
> **In this chapter**
>
> - All that a file can say.

A formula of the chapter's own, $a^2$, is one.

```{code-cell}
import sys; sys.path.insert(0, TESTS)
from pathlib import Path
from test_hostile import exhibits
shown = exhibits(Path(STORE))
```
"""
CELLS = """
```{code-cell}
shown["KEY"]
```
"""
#: What a page must show as it stands.
TEXTS = [text for text in hostile.HTML + hostile.MARKDOWN + hostile.SIGNS if text.strip()]
NAME = "<img src=x onerror=window.hit=1>$\\href{javascript:1}{x}$"


EXHIBITS = (
    "explorer", "compact", "machines", "table", "compared", "timed", "filling", "row", "steps",
    "curves", "costs", "gap", "readings", "own", "live", "run", "damaged",
)  # fmt: skip


def exhibits(folder):
    """Name → the value of a cell, of everything that a page may show."""
    from dip_book import bench
    from dip_book.results import filling, selection, wanted
    from dip_book.show import costs, figures, gap, live, photographs, readings, views

    grey = np.full((12, 12), 0.5, np.float32)
    stored = []
    for i, place in enumerate(hostile.PLACES):
        text = " ".join(TEXTS[i :: len(hostile.PLACES)])
        path = Path(f"quick/own-{i}/seed0-3it")
        stored.append(hostile.stored(folder, place, text, path))
    rows = [[text, Figure(1.0, note=f" ({text})"), text] for text in TEXTS]
    result = json.loads((runs.ROOT / "bench" / "cpu-2-cores.json").read_text())
    result["device"], result["versions"]["torch"] = TEXTS[0], TEXTS[1]
    for entry in result["sizes"].values():
        entry["contestants"] = {
            f"{who}{TEXTS[i]}" if who != "straightforward" else who: timed
            for i, (who, timed) in enumerate(entry["contestants"].items())
        }
    (folder / "bench").mkdir()
    (folder / "bench" / "one.json").write_text(json.dumps(result))
    cases = filling.stored_filling()
    found = next(iter(cases["cases"].values()))
    kind = next(iter(cases["cases"])).split("/")[0]
    of_all = {f"{kind}/{text.replace('/', '∕')}": found for text in TEXTS}
    (folder / filling.FILE).write_text(json.dumps(cases | {"cases": of_all}))
    picture = folder / f"{NAME.replace('/', '∕')}.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128), np.uint8)).save(picture)
    steps = [views.dip_blocks.Step(i, 0.1, 0.01, False, 20.0, 20.0) for i in (1, 2)]
    titles = {text: grey for text in TEXTS}
    curves = {text: steps for text in TEXTS[:9]}
    return {
        "explorer": explorer.Explorer(stored),
        "compact": explorer.Explorer(stored[:1], compact=True),
        "machines": Table(["a"], [["b"]], caption=selection.machines(stored)),
        "table": Table(["a", "b", TEXTS[0]], rows, caption=" ".join(TEXTS)),
        "compared": bench.compared(result),
        "timed": wanted.timed(folder),
        "filling": filling.filling(folder),
        "row": photographs.row(titles, columns=4),
        "steps": views.steps_view(
            {t: {TEXTS[3]: grey, "text": t} for t in TEXTS}, TEXTS[4], TEXTS[5]
        ),
        "curves": figures.curves(curves),
        "costs": costs.gains([result]),
        "gap": gap.bar({text: (20.0, 21.0, 22.0, 23.0) for text in TEXTS[:9]}),
        "readings": readings.Drawing(
            {text: readings.READINGS["the blog's reading"] for text in TEXTS[:3]}
        ),
        "own": own.Tool(photographs.row(titles, columns=4)),
        "live": live.Stage([str(picture)], figures.curves(curves), TEXTS[0]),
        "run": stored[0],
        "damaged": damaged(folder),
    }


def damaged(folder):
    """A run that is none, which is told on the way of errors."""
    file = folder / "quick" / "<b>x-12" / "seed0-3it.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"format": TEXTS[0]}))
    return [run for run in runs.find(folder) if "<b>x" in run.name]  # none; a warning says so


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site's folder; its pages are made as the book's are."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "notebooks").mkdir()
    (folder / "store").mkdir()
    (folder / "conf.py").write_text(CONF)
    (folder / "index.md").write_text("# Front\n```{toctree}\nnotebooks/hostile\n```\n")
    page = PAGE.replace("TESTS", repr(str(Path(__file__).parent)))
    page = page.replace("STORE", repr(str(folder / "store")))
    page += "".join(CELLS.replace("KEY", name) for name in EXHIBITS)
    (folder / "notebooks" / "hostile.md").write_text(page)
    import dip_book

    path = [str(Path(dip_book.__file__).parents[1]), str(Path(dip_book.__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, *sys.path])}
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", folder, folder / "html"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    (folder / "html" / "favicon.ico").touch()  # for which browsers ask
    return folder / "html"


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def watched(browser):  # noqa: F811
    """A page of which everything is noted that hostile text could bring about."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    tab = context.new_page()
    tab.noted = []
    tab.on("pageerror", lambda error: tab.noted.append(f"error: {error}"))
    tab.on(
        "dialog", lambda dialog: (tab.noted.append(f"dialog: {dialog.message}"), dialog.dismiss())
    )
    tab.on(
        "console", lambda line: line.type == "error" and tab.noted.append(f"console: {line.text}")
    )
    tab.on("popup", lambda popup: tab.noted.append("popup"))

    def asked(request):
        known = ("http://127.0.0.1", "data:", "blob:", "about:")
        if not request.url.startswith(known):
            tab.noted.append(f"asked for {request.url}")

    tab.on("request", asked)
    yield tab
    assert tab.evaluate("window.hit") is None, "a script of the text ran"
    assert not tab.noted
    context.close()


def pressed(text):
    """A text's signs that a page shows, whatever their spaces, and whichever quotes and dashes."""
    return re.sub("[\"'“”‘’–—….-]", "", hostile.readable(words.plain(text, lines=True)))


EVERY_CHOICE = """() => {
  const tell = (part) => part.dispatchEvent(new Event("change", { bubbles: true }));
  for (const select of document.querySelectorAll("article select"))
    for (const { value, disabled } of [...select.options])
      if (!disabled) { select.value = value; tell(select); }
  for (const radio of document.querySelectorAll("article .dip-choices input")) radio.click();
}"""


def test_a_page_shows_hostile_text_as_text(address, watched):
    watched.goto(f"{address}/notebooks/hostile.html")
    watched.evaluate(SETTLED)
    watched.locator("dip-live").scroll_into_view_if_needed()
    watched.locator("dip-live.dip-ready").wait_for()
    assert watched.locator("dip-live option").first.text_content().startswith("<img src=x")
    watched.evaluate(EVERY_CHOICE)
    said = pressed(watched.locator("article").text_content())
    missing = [text for text in TEXTS if pressed(text) not in said]
    assert not missing, missing
    assert watched.locator("article mjx-container").count() == 1, "the chapter's own formula"
    made = (
        "iframe, svg use, base, [onerror], [onload], [onmouseover], [onfocus], a[href^=javascript]"
    )
    assert watched.locator(f"article :is({made})").count() == 0
    assert watched.locator("article a[href*=evil]").count() == 0
    assert (
        watched.locator("article img:not([src^='data:']):not([src*='_images'])").evaluate_all(
            "(all) => all.filter((img) => img.src).map((img) => img.outerHTML)"
        )
        == []
    )
    captions = watched.locator("table.dip-table caption").all_text_contents()
    assert len(captions) >= 3


def test_the_widget_shows_hostile_text_as_text(tmp_path, watched):
    stored = [
        hostile.stored(tmp_path, place, " ".join(TEXTS[i::9]), Path(f"quick/own-{i}/seed0-3it"))
        for i, place in enumerate(hostile.PLACES[:9])
    ]
    live = explorer.Explorer(stored).widget
    traits = {name: getattr(live, name) for name in ("runs", "pictures", "offers")}
    code = explorer.Live._esm.replace("export default", "const view =")
    data = json.dumps(traits).replace("<", "\\u003c")
    watched.set_content(
        f"<!doctype html><main id=el></main><script>{MODEL.replace('TRAITS', data)}{code}\n"
        "view.render({ model, el: document.querySelector('#el') });</script>"
    )
    text = " ".join(TEXTS)
    watched.evaluate("(text) => model.give({ content: { kind: 'failed', text } })", text)
    for option in watched.locator("[name=picture] option").all():
        watched.locator("[name=picture]").select_option(option.get_attribute("value"))
    assert "onerror" in watched.locator("[role=status]").first.text_content()
    assert watched.locator("main :is(iframe, script, base, h1)").count() == 0


@pytest.mark.parametrize("name", [NAME.replace("/", "∕"), "\u202egnp.exe", "a\x1b[31m'\"&"])
def test_a_picture_s_name_is_text_in_the_tool(name, watched, tmp_path):
    tool = own.Own()
    bridge = Bridge(tool, watched)
    file = {
        "name": f"{name}.png",
        "mimeType": "image/png",
        "buffer": png(np.eye(32, dtype=np.uint8) * 255),
    }
    bridge["file"].set_input_files(file)
    bridge.until(lambda: tool.photo is not None)
    about = watched.locator(".dip-about").inner_text()
    assert about.endswith("32×32 pixels, grey, 8 bits.") and "\u202e" not in about
    broken = file | {"buffer": b"no picture"}
    bridge["file"].set_input_files(broken)
    bridge.until(lambda: "no picture of a known kind" in bridge.said())
    assert watched.locator("main img[src='x']").count() == 0


def test_a_reader_s_file_is_text_on_the_live_page(address, watched, tmp_path):
    watched.goto(f"{address}/notebooks/hostile.html#live=picture=constructor&p=<b>")
    watched.locator("dip-live.dip-ready").wait_for()
    buffer = png(np.random.default_rng(0).integers(0, 255, (128, 128), np.uint8))
    name = "\u202e<img src=x onerror=window.hit=1>.png"
    picture = watched.locator("dip-live [name=file]")
    picture.set_input_files({"name": name, "mimeType": "image/png", "buffer": buffer})
    watched.wait_for_function(
        "document.querySelector('dip-live .dip-said').textContent.includes('read')"
    )
    said = watched.locator("dip-live").text_content()
    assert "<img src=x onerror=window.hit=1>" in said and "\u202e" not in said
    picture.set_input_files({"name": name, "mimeType": "image/png", "buffer": b"none"})
    watched.wait_for_function(
        "!document.querySelector('dip-live .dip-said').textContent.includes('is read')"
    )


# On a terminal ------------------------------------------------------------------------------------


def test_a_terminal_obeys_no_text_of_a_file(tmp_path, capsys):
    signs = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\x00"
    hostile.stored(tmp_path, ("device",), "cpu (x)")
    record = tmp_path / "quick" / "own-12" / "seed0-3it.json"
    record.write_text(record.read_text().replace('"cpu (x)"', json.dumps(signs)))
    strange = tmp_path / "quick" / "\x1b[31mred-12" / "seed0-3it.json"
    strange.parent.mkdir()
    strange.write_text("{")
    with mock.patch.dict(plan.WANTED, clear=True):
        for command in (["show", "quick/own-12/seed0-3it"], ["status"]):
            cli.main([*command, "--store", str(tmp_path)])
    words.print(f"a line\nand another of {signs}")
    said = "".join(capsys.readouterr())
    assert "\\x1b[31mred" in said and "\\u202e" in said and "a line\nand" in said
    assert not set(said) & {"\x1b", "\x07", "\x9b", "\u202e", "\x00"}


def test_text_is_shown_and_read_back():
    assert words.plain("a\tb\n c\x1b\u202e\ud800") == "a b c\\x1b\\u202e\\ud800"
    assert words.plain("a\nb", lines=True) == "a\nb"
    assert words.plain("x" * 10_000).endswith(" …")
    assert words.markup("`a|b` and **`c` & d** and `") == "`a\\|b` and **`c` &amp; d** and &#96;"
    assert words.markup("$5, \\(x\\), C:\\x") == "`$`5, `\\`(x`\\`), C:\\\\x"
    assert words.latex("**a_b** `c` \\input{x}") == (
        "\\textbf{a\\_b} \\texttt{c} \\textbackslash{}input\\{x\\}"
    )
    assert words.csv("=1+1") == "'=1+1" and words.csv("+ bf16") == "+ bf16"
    assert words.csv("-2+3+cmd|' /C calc'!A0").startswith("'")
    assert words.drawn("_a $x$") == " _a \\$x\\$"


def test_a_record_cannot_name_a_file_to_be_opened(tmp_path):
    """Else whoever looks at a stranger's run opens a file of the stranger's choice."""
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(secret)
    run = hostile.stored(tmp_path, ("image", "name"), str(secret))
    with pytest.raises(images.ImageError, match="is not stored with it"):
        run.truth()
