"""A real browser on the built site, for the tests of its pages and of its live figures.

`make book` first; DIP_SITE names another site's folder.  Skipped where there is no site or no
browser; with DIP_BROWSER=required that is a failure.
"""

import functools
import http.server
import io
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from dip_book.build.first_cell import ROOT
from PIL import Image

SITE = Path(os.environ.get("DIP_SITE") or ROOT / "_build" / "html").resolve()
FRONT, EXPLORER, MASK = (
    "book/index.html",
    "notebooks/08-learning.html",
    "notebooks/02-problems.html",
)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
#: Jupyter Book's root page only sends on to the front page; reports exist when a chapter's
#: execution failed.
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if path != SITE / "index.html"
    and not {"_static", "reports"} & set(path.relative_to(SITE).parts)
)

#: Before any script of the page: the reader's choice of theme, and a watch on the pictures of the
#: text.
PREPARE = """
try { localStorage.setItem("mode", "THEME"); localStorage.setItem("theme", "THEME"); } catch {}
new MutationObserver(() =>\
 document.querySelectorAll("article img:not([elementtiming])").forEach((img) =>
  img.setAttribute("elementtiming", "picture")))\
.observe(document, { childList: true, subtree: true });
"""
#: Everything has come, and has been drawn: fonts, pictures, formulae; what fades in is there.
SETTLED = """async () => {
  await document.fonts.ready;
  await Promise.all([...document.images].filter((img) => img.loading !== "lazy")\
.map((img) => img.decode().catch(() => {})));
  await window.MathJax?.startup?.promise;
  const frames = () => new Promise((done) =>\
 requestAnimationFrame(() => requestAnimationFrame(done)));
  await frames();
  for (const animation of document.getAnimations())\
 if (animation.effect.getComputedTiming().endTime < Infinity) animation.finish();
  await frames();
}"""


def absent(reason):
    """Skip; or fail, where somebody relies on these tests."""
    if os.environ.get("DIP_BROWSER") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


# Of this module, not of the session: while Playwright runs, nothing else in this thread can use
# asyncio.


@pytest.fixture(scope="module")
def server():
    """The site over http: its address."""
    if not PAGES:
        absent(f"no built site in {SITE}: run `make book`")
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    from playwright.sync_api import Error, sync_playwright  # the other tests do without

    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(
                headless=True, executable_path=found, args=FLAGS.split()
            )
        except Error as error:
            running, why = None, error.message.strip().splitlines()[0]
        if running is None:
            absent(
                f"{found} does not start: {why}"
                if found
                else f"no browser: none of {', '.join(names)}, and not Playwright's own"
            )
        yield running
        running.close()


@pytest.fixture(scope="module")
def opened(server, browser):
    """A function that opens a page in its own context (cache, storage), for the caller to close."""

    def open_(
        page,
        scheme="http",
        theme="light",
        notes=None,
        wait="load",
        size=(1280, 900),
        settle=True,
        before="",
        **options,
    ):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        context.set_default_timeout(30_000)
        if before:
            context.add_init_script(before)
        context.add_init_script(PREPARE.replace("THEME", theme))
        tab = context.new_page()
        if notes:
            tab.on("pageerror", lambda error: notes.errors.append(str(error)))
            tab.on(
                "console",
                lambda line: (
                    line.type == "error"
                    and notes.console.append(f"{line.text} ({line.location.get('url', '')})")
                ),
            )
            tab.on("request", lambda request: notes.requests.append(request.url))
        tab.goto(f"{server if scheme == 'http' else SITE.as_uri()}/{page}", wait_until=wait)
        if settle:
            tab.evaluate(SETTLED)
        return tab

    return open_


def pixels(thing):
    """A screenshot (H, W, 3) of a page's window or of an element."""
    return np.asarray(
        Image.open(io.BytesIO(thing.screenshot(animations="disabled"))).convert("RGB")
    ).astype(int)


def changed(before, after):
    """The share of pixels that differ visibly; 1 where the sizes differ."""
    return (
        float((abs(before - after).max(axis=-1) > 12).mean())
        if before.shape == after.shape
        else 1.0
    )
