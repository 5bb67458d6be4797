"""The network that learns in the browser: the same as PyTorch's, and operated by a reader."""

import base64
import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browser import Quiet, absent
from dip_book import images
from dip_book.build import live as built
from dip_book.build.first_cell import ROOT
from dip_book.results import baselines
from dip_book.show import figures, live

import dip_blocks

SCRIPTS = ROOT / "tests" / "js"
NODE = shutil.which("node")
SIZE = 16


def config(reading, upsampling, depth=2, width=6):
    """The network of ``network.js`` in PyTorch's words."""
    lists = dip_blocks.at_depth(dip_blocks.BLOG.config, depth) | {
        "channels_down": [width] * depth,
        "channels_up": [width] * depth,
        "channels_skip": [4] * depth,
        "upsampling_method": upsampling,
    }
    return (
        lists
        | (dip_blocks.SECOND_READING if reading == "second" else {})
        | {"padding_mode": "zeros"}
    )


def plain(tensors):
    return {name: tensor.detach().flatten().tolist() for name, tensor in tensors.items()}


def case(reading, upsampling):
    """One network: weights, input, output, gradients, and the weights after a step of either."""
    generator = torch.Generator().manual_seed(3)
    sizes = {"reading": reading, "depth": 2, "width": 6, "skip": 4, "inputs": 5}
    recipe = {"config": config(reading, upsampling), "z_channels": 5, "sigma_p": 0.0}
    x_hat, mask = torch.rand(1, SIZE, SIZE, generator=generator), None
    mask = (torch.rand(1, SIZE, SIZE, generator=generator) < 0.5).float()
    case = {"config": sizes | {"upsampling": upsampling}, "size": SIZE}
    for optimiser, rate in (("adam", 0.003), ("muon", 0.02)):
        fit = dip_blocks.Fit(
            x_hat, mask, dip_blocks.Recipe(optimiser=optimiser, lr=rate, **recipe),
            device="cpu", precision="fp32",
        )  # fmt: skip
        case |= {"z": fit.z.flatten().tolist(), "weights": plain(dict(fit.net.named_parameters()))}
        with torch.no_grad():
            output = fit.draw(fit.z)
        fit.step()
        case |= {
            "output": output.flatten().tolist(),
            "loss": float(dip_blocks.masked_loss(output, x_hat, mask)),
            "gradient": plain({n: w.grad for n, w in fit.net.named_parameters()}),
            f"after_{optimiser}": plain(dict(fit.net.named_parameters())),
        }
    return case | {"given": x_hat.flatten().tolist(), "mask": mask.flatten().tolist()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What the scripts compare with, as JSON files in a folder."""
    folder = tmp_path_factory.mktemp("live")
    cases = [case(*pair) for pair in (("second", "nearest"), ("second", "bilinear"),
                                      ("blog", "bilinear"))]  # fmt: skip
    (folder / "cases.json").write_text(json.dumps(cases))
    camera = images.load("camera", size=64)
    (folder / "camera.json").write_text(json.dumps(camera.flatten().tolist()))
    x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(images.load("camera", 32)))
    fillings = {"size": 32, "given": x_hat.flatten().tolist(), "mask": mask.flatten().tolist()}
    (folder / "fillings.json").write_text(json.dumps(fillings))
    return folder


def node(script, folder):
    """What a script of ``tests/js`` prints last, as JSON, once all its tests have passed."""
    if NODE is None:
        absent("no node: the browser's code is not tried")
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", SCRIPTS / script],
        env=os.environ | {"DIP_DATA": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.search(r"^# pass (\d+)", done.stdout, re.MULTILINE)[1]) > 0
    return done.stdout


@pytest.mark.parametrize(
    "script", ["same.test.mjs", "fit.test.mjs", "settings.test.mjs", "chart.test.mjs"]
)
def test_the_scripts_own_tests_pass(script, data, request):
    node(script, data)


def test_the_fillings_are_the_smoothest(data):
    """Harmonic and biharmonic in JavaScript solve what they should; near scikit-image's."""
    node("fillings.test.mjs", data)
    told = json.loads((data / "fillings.json").read_text())
    filled = json.loads((data / "filled.json").read_text())
    size, truth = told["size"], images.load("camera", 32)
    given, mask = (np.array(told[key]).reshape(size, size) for key in ("given", "mask"))
    laplacian = _laplacian(size)
    missing = mask.flatten() == 0
    for name, operator in {"harmonic": laplacian, "biharmonic": laplacian @ laplacian}.items():
        u = given.flatten().copy()
        rest = operator[np.ix_(missing, ~missing)] @ u[~missing]
        u[missing] = np.linalg.solve(operator[np.ix_(missing, missing)], -rest)
        np.testing.assert_allclose(filled[name], u.clip(0, 1), atol=1e-4)
    ours = np.array(filled["biharmonic"]).reshape(size, size)
    theirs = baselines.biharmonic(given.astype(np.float32), mask)
    quality = [-10 * np.log10(((one - truth) ** 2).mean()) for one in (ours, theirs)]
    assert abs(quality[0] - quality[1]) < 0.5


def test_the_library_is_the_one_that_its_page_names():
    words = (built.LIBRARY.parent / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(built.LIBRARY.read_bytes()).hexdigest() in words
    assert "MIT" in (built.LIBRARY.parent / "LICENSE").read_text(encoding="utf-8")


def test_what_cannot_be_bundled_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(built, "SOURCES", tmp_path)
    (tmp_path / "one.js").write_text('import { b } from "./two.js";\nexport const a = b + 1;\n')
    (tmp_path / "two.js").write_text("export function b() {}\n")
    code = built.classic("one.js", set())
    assert code.index("const live_two") < code.index("const live_one")
    assert "const { b } = live_two;" in code and "return { a };" in code
    (tmp_path / "two.js").write_text('export * from "elsewhere";\n')
    with pytest.raises(ValueError, match="two.js: cannot bundle the line 'export"):
        built.classic("one.js", set())


def test_code_beside_code_is_that_of_the_files():
    shown = live.Beside(dip_blocks.Muon.step, ("fit.js", "muon"))._repr_markdown_()
    assert "```python\n@torch.no_grad()\ndef step" in shown
    assert "```javascript\n// Momentum" in shown and "export" not in shown
    with pytest.raises(KeyError, match="no function cats"):
        live.javascript("fit.js", "cats")


def _laplacian(size):
    """Of each pixel, on a grid without a border: how many neighbours it has, less each of them."""
    count = size * size
    matrix = np.zeros((count, count))
    for i in range(count):
        y, x = divmod(i, size)
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < size and 0 <= u < size:
                matrix[i, i] += 1
                matrix[i, v * size + u] -= 1
    return matrix


# The page ----------------------------------------------------------------------------------------

SMALL = "#live=width=8&depth=2"  # a network that is built in a second
PAGE = """<!doctype html>
<html lang="en" data-content_root="./" data-theme="{theme}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>A network learns</title>
<body style="font-family: sans-serif; background: {ground}; color: {ink}">
<main><h1>A network learns</h1><div style="height: {above}px"></div>{stage}</main></body></html>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with pages that hold nothing but the figure, and its script where pages ask."""
    folder = tmp_path_factory.mktemp("site")
    (folder / built.NAME).parent.mkdir()
    (folder / built.NAME).write_text(built.bundle(), encoding="utf-8")
    still = figures.row({"given": images.load("camera", size=32)}).figure
    stage = live.Stage(["camera", "astronaut"], still, "A picture")._repr_html_()
    looks = {"light": ("#fff", "#1f2937"), "dark": ("#121212", "#e5e7eb")}
    for theme, (ground, ink) in looks.items():
        page = PAGE.format(theme=theme, ground=ground, ink=ink, above=0, stage=stage)
        (folder / f"{theme}.html").write_text(page, encoding="utf-8")
    page = PAGE.format(theme="light", ground="#fff", ink="#000", above=4000, stage=stage)
    (folder / "below.html").write_text(page, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "has_reader", lambda: True)
        inline = live.Stage(["camera"], still, "A picture")._repr_html_()
    page = PAGE.format(theme="light", ground="#fff", ink="#000", above=0, stage=inline)
    (folder / "inline.html").write_text(page, encoding="utf-8")
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield {"http": f"http://127.0.0.1:{running.server_port}/", "file": f"{folder.as_uri()}/"}
        running.shutdown()


@pytest.fixture
def show(site, browser):
    """A function that opens such a page; errors of its scripts fail the test."""
    contexts, errors = [], []

    def show_(page="light.html", link=SMALL, scheme="http", width=1000, before="", **options):
        context = browser.new_context(viewport={"width": width, "height": 1500}, **options)
        contexts.append(context)
        context.set_default_timeout(90_000)
        context.add_init_script(before)
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda line: line.type == "error" and errors.append(line.text))
        tab.asked = []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.goto(site[scheme] + page + link)
        return tab

    yield show_
    for context in contexts:
        context.close()
    assert not [error for error in errors if "favicon" not in error and "404" not in error]


def ready(tab):
    tab.wait_for_selector("dip-live.dip-ready")
    tab.wait_for_function("() => document.querySelector('.dip-biharmonic figcaption')"
                          ".textContent.includes(':')")  # fmt: skip
    return tab


def drawn(tab, name):
    """The grey values of one of the figure's pictures."""
    code = """(canvas) => [...canvas.getContext("2d")
      .getImageData(0, 0, canvas.width, canvas.height).data]"""
    data = tab.locator(f".dip-{name} canvas").evaluate(code)
    return np.array(data).reshape(-1, 4)[:, :3]


def at_least(tab, iteration):
    tab.wait_for_function(
        f"() => Number(document.querySelector('[name=iteration]').textContent) >= {iteration}"
    )


def without_workers(tab, seconds=30):
    """Waits until they have ended, which a browser does when it finds the time."""
    end = time.monotonic() + seconds
    while tab.workers:
        assert time.monotonic() < end, "the workers go on"
        tab.wait_for_timeout(100)


def iteration(tab):
    return int(tab.locator("[name=iteration]").inner_text())


def decibels(tab, name):
    words = tab.locator(f".dip-{name} figcaption").inner_text()
    return float(re.search(r"(-?[\d.]+) dB", words)[1])


def known(tab):
    return int(re.search(r"(\d+) %", tab.locator(".dip-given figcaption").inner_text())[1])


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_two_networks_learn_pause_and_go_back(show, scheme):
    tab = ready(show(scheme=scheme))
    assert decibels(tab, "biharmonic") > decibels(tab, "mean") + 5
    tab.click("[name=go]")
    at_least(tab, 3)
    first = [decibels(tab, lane) for lane in ("lane-0", "lane-1")]
    at_least(tab, 25)
    tab.click("[name=go]")
    assert tab.locator("[name=go]").inner_text() == "Resume"
    tab.wait_for_timeout(1500)  # an iteration may be under way
    rested, pictures = iteration(tab), [drawn(tab, lane) for lane in ("lane-0", "lane-1")]
    later = [decibels(tab, lane) for lane in ("lane-0", "lane-1")]
    assert all(now > then + 1 for now, then in zip(later, first))
    assert abs(pictures[0] - pictures[1]).mean() > 0.5, "two optimisers, two pictures"
    tab.wait_for_timeout(800)
    assert iteration(tab) == rested
    words = tab.locator(".dip-said").inner_text()
    assert "Paused" in words and tab.locator(".dip-said").get_attribute("role") == "status"
    tab.locator("[name=at]").press("Home")
    tab.locator("[name=at]").press("ArrowRight")
    assert iteration(tab) == 1 and abs(drawn(tab, "lane-0") - pictures[0]).mean() > 5
    tab.locator("[name=at]").press("End")
    assert (drawn(tab, "lane-0") == pictures[0]).all()
    tab.click("[name=go]")
    at_least(tab, rested + 2)
    tab.click("[name=over]")
    assert iteration(tab) == 0 and drawn(tab, "lane-0").max() == 0
    without_workers(tab)


def test_a_hole_is_painted_by_mouse_by_finger_and_by_keyboard(show):
    tab = ready(show(link=SMALL + "&p=100", has_touch=True))
    assert known(tab) == 100
    tab.click("[name=hole]")
    box = tab.locator(".dip-brush").bounding_box()
    at = [box["x"] + box["width"] / 4, box["y"] + box["height"] / 4]
    tab.mouse.move(*at)
    tab.mouse.down()
    tab.mouse.move(at[0] + box["width"] / 3, at[1], steps=5)
    tab.mouse.up()
    by_mouse = known(tab)
    assert by_mouse < 98
    tab.mouse.move(at[0], at[1] + box["height"] / 2)  # without a button: nothing
    assert known(tab) == by_mouse
    tab.touchscreen.tap(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.8)
    by_finger = known(tab)
    assert by_finger < by_mouse
    brush = tab.locator(".dip-brush")
    for _ in range(12):
        brush.press("ArrowUp")
        brush.press(" ")
    assert known(tab) < by_finger
    assert len({tuple(value) for value in drawn(tab, "given")}) > 50
    tab.locator("[name=unhole]").press("Enter")
    for _ in range(12):
        brush.press(" ")
        brush.press("ArrowDown")
    assert known(tab) > by_mouse - 3
    tab.click("[name=clear]")
    assert known(tab) == 100


def test_what_is_chosen_decides_and_travels_in_a_link(show):
    tab = ready(show(link=SMALL + "&p=30&compare=nothing&optimiser=adam&picture=astronaut"))
    assert 25 < known(tab) < 35 and tab.locator(".dip-lane-1").is_hidden()
    before = drawn(tab, "given")
    tab.locator("[name=p]").press("ArrowRight")
    assert (drawn(tab, "given") != before).any()
    tab.click("[name=hole]")
    tab.locator(".dip-brush").click()
    tab.locator("summary").click()
    tab.locator("[name=adam]").fill("7")
    tab.locator("[name=adam]").press("Enter")
    assert "7 is not a value" in tab.locator(".dip-said").inner_text()
    tab.click("[name=link]")
    tab.wait_for_function("() => location.hash.includes('holes=')")
    address = tab.url
    again = ready(show(link=address[address.index("#") :]))
    assert (drawn(again, "given") == drawn(tab, "given")).all()
    values = "() => [...document.querySelectorAll('dip-live :is(select, input:not([type=file]))')]"
    values += ".map((part) => part.type === 'checkbox' ? part.checked : part.value)"
    assert again.evaluate(values) == tab.evaluate(values)


@pytest.mark.parametrize("width", [1000, 390])
def test_before_the_start_frames_say_so_and_no_tick_is_cut(show, width):
    tab = ready(show(width=width))
    empty = tab.locator(".dip-empty")
    assert empty.count() >= 2  # the networks'
    said = "(frame) => getComputedStyle(frame, '::after').content"
    assert {frame.evaluate(said) for frame in empty.all()} == {'"Press Start"'}
    code = """(svg) => [...svg.querySelectorAll("text")].filter((text) => {
      const [a, b] = [text.getBoundingClientRect(), svg.getBoundingClientRect()];
      return a.right > b.right + 0.5 || a.left < b.left - 0.5;
    }).map((text) => text.textContent)"""
    tab.locator("dip-live").evaluate("""(stage) => Object.values(stage.draw).forEach((draw) =>
      draw({ series: [{ values: Array.from({ length: 1500 }, (_, i) => 1 + i), lane: 0 }] }))""")
    for curves in tab.locator("dip-live svg").all():
        assert curves.locator("text", has_text="1500").count()
        assert curves.evaluate(code) == []


@pytest.mark.parametrize("compare", ["pixels", "reading", "upsampling", "seed"])
def test_each_comparison_runs(show, compare):
    tab = ready(show(link=f"{SMALL}&compare={compare}"))
    tab.click("[name=go]")
    at_least(tab, 2)
    assert abs(drawn(tab, "lane-0") - drawn(tab, "lane-1")).mean() > 1


DROP = """([on, name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name));
  return document.querySelector(on).dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def dropped(tab, path, on="dip-live"):
    """Whether the browser would open the file in the page's place."""
    return tab.evaluate(DROP, [on, path.name, list(path.read_bytes())])


def test_a_dropped_picture_is_taken_or_refused_in_words(show, tmp_path):
    tab = ready(show())
    before = drawn(tab, "truth")
    picture = np.zeros((150, 200, 3))
    picture[..., 0] = np.linspace(0, 1, 200)
    images.save_png(tmp_path / "ramp.png", picture.mean(axis=-1))
    dropped(tab, tmp_path / "ramp.png")
    said = tab.locator(".dip-said")
    said.filter(has_text="stays on this machine").wait_for()
    now = drawn(tab, "truth")
    assert (now != before).any() and (now[:, 0] == now[:, 1]).all()
    row = now.reshape(64, 64, 3)[32, :, 0]
    assert (np.diff(row) >= 0).all() and row[-1] - row[0] > 50
    assert "ramp.png" in tab.locator(".dip-truth figcaption").inner_text()
    (tmp_path / "notes.txt").write_text("no picture")
    images.save_png(tmp_path / "small.png", np.zeros((40, 30)))
    for name, words in {"notes.txt": "not a picture", "small.png": "30×40 pixels"}.items():
        dropped(tab, tmp_path / name)
        said.filter(has_text=words).wait_for()
        assert (drawn(tab, "truth") == now).all()
    tab.locator("[name=picture]").select_option("camera")
    assert (drawn(tab, "truth") == before).all()
    assert all(url.startswith(tab.url.split("light")[0]) or "blob:" in url for url in tab.asked)


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_page_rests_and_gives_its_memory_back(show):
    tab = ready(show())
    tab.click("[name=go]")
    at_least(tab, 5)
    assert len(tab.workers) >= 2
    tab.evaluate(HIDE, True)
    without_workers(tab)
    tab.wait_for_timeout(500)  # the last iteration may still be drawn
    rested, quality = iteration(tab), decibels(tab, "lane-1")
    tab.wait_for_timeout(800)
    assert iteration(tab) == rested
    tab.evaluate(HIDE, False)
    at_least(tab, rested + 8)
    assert decibels(tab, "lane-1") > quality - 1, "it goes on from where it was"


def said(tab):
    return tab.locator("dip-live .dip-said").inner_text()


def test_a_tab_that_is_left_again_at_once_goes_on_in_the_end(show):
    tab = ready(show(link=f"{SMALL}&compare=nothing"))
    tab.click("[name=go]")
    at_least(tab, 3)
    for hidden in (True, False, True):
        tab.evaluate(HIDE, hidden)
    without_workers(tab)
    tab.wait_for_timeout(200)
    rested = iteration(tab)
    tab.evaluate(HIDE, False)
    at_least(tab, rested + 3)


def test_resume_that_does_not_wait_until_the_network_is_put_away_resumes(show):
    tab = ready(show())
    tab.click("[name=go]")
    for delay in (0, 5, 20):
        at_least(tab, iteration(tab) + 3)
        now = iteration(tab)
        tab.evaluate(
            f"""async (delay) => {{
              ({HIDE})(true);
              ({HIDE})(false);
              await new Promise((done) => setTimeout(done, delay));
              const stage = document.querySelector("dip-live");
              if (!stage.going) stage.$go.click();
            }}""",
            delay,
        )
        at_least(tab, now + 6)


SLOWLY = """const { createImageBitmap: read } = window;
window.createImageBitmap = async (file) => {
  if (file.name.startsWith("slow")) await new Promise((done) => setTimeout(done, 700));
  return read(file);
};"""


def test_the_picture_that_was_chosen_last_is_shown(show, tmp_path):
    """However long one that was chosen before takes to be read."""
    images.save_png(tmp_path / "slow.png", np.zeros((150, 150)))
    images.save_png(tmp_path / "quick.png", np.ones((150, 150)))
    tab = ready(show(before=SLOWLY))
    camera = drawn(tab, "truth")
    file = tab.locator("[name=file]")
    file.set_input_files(tmp_path / "slow.png")
    file.set_input_files(tmp_path / "quick.png")
    tab.wait_for_timeout(2000)
    assert "quick.png" in tab.locator(".dip-truth figcaption").inner_text()
    assert drawn(tab, "truth").min() == 255 and "quick.png" in said(tab)
    file.set_input_files(tmp_path / "slow.png")
    tab.locator("[name=picture]").select_option("camera")
    tab.wait_for_timeout(2000)
    assert (drawn(tab, "truth") == camera).all() and "slow" not in said(tab)
    assert file.input_value() == "", "or the same file could not be chosen again"


def test_who_comes_back_to_a_link_keeps_what_was_painted(show):
    tab = ready(show(link=SMALL + "&p=100"))
    tab.click("[name=hole]")
    tab.locator(".dip-brush").click()
    painted = known(tab)
    assert painted < 100

    def away_and_back():
        tab.evaluate("() => { location.hash = '#elsewhere'; }")
        tab.wait_for_function("() => location.hash === '#elsewhere'")
        tab.go_back()
        tab.wait_for_function("() => location.hash.startsWith('#live=')")
        tab.wait_for_timeout(300)

    away_and_back()
    assert known(tab) == painted
    tab.click("[name=link]")
    tab.wait_for_function("() => location.hash.includes('holes=')")
    tab.locator(".dip-brush").press("ArrowUp")
    for _ in range(4):
        tab.locator(".dip-brush").press("ArrowUp")
        tab.locator(".dip-brush").press(" ")
    more = known(tab)
    away_and_back()
    assert known(tab) == more < painted
    tab.evaluate("(link) => { location.hash = link; }", SMALL + "&p=100&seed=1")
    tab.wait_for_function("() => document.querySelector('dip-live').settings.seed === 1")
    assert known(tab) == 100, "a link that is new is followed"


def test_a_reload_keeps_what_was_chosen_and_painted(show, tmp_path):
    tab = ready(show(link=SMALL + "&p=100"))
    tab.click("[name=hole]")
    tab.locator(".dip-brush").click()
    tab.locator("[name=picture]").select_option("astronaut")
    painted, truth = known(tab), drawn(tab, "truth")
    assert painted < 100
    said = tab.locator(".dip-said")

    tab.reload()
    ready(tab)
    assert known(tab) == painted and (drawn(tab, "truth") == truth).all()
    assert said.inner_text() == "As before the page was loaded anew."
    images.save_png(tmp_path / "ramp.png", np.linspace(0, 1, 4096).reshape(64, 64))
    dropped(tab, tmp_path / "ramp.png")
    said.filter(has_text="stays on this machine").wait_for()
    tab.reload()
    ready(tab)
    assert known(tab) == painted and "choose it again" in said.inner_text()

    other = tab.context.new_page()  # a page that is opened, not loaded anew, follows its link
    other.goto(tab.url)
    assert known(ready(other)) == 100
    tab.goto("about:blank")
    tab.goto(other.url)
    assert known(ready(tab)) == 100, "the same tab, but by a link"


def test_a_picture_beside_the_figure_does_not_take_the_pages_place(show, tmp_path):
    tab = ready(show())
    before = drawn(tab, "truth")
    images.save_png(tmp_path / "ramp.png", np.linspace(0, 1, 4096).reshape(64, 64))
    assert not dropped(tab, tmp_path / "ramp.png", on="main h1")
    tab.locator(".dip-said").filter(has_text="beside the figure").wait_for()
    assert (drawn(tab, "truth") == before).all()


def test_where_nothing_is_known_nothing_is_said_to_fill_it(show):
    holes = base64.b64encode(b"\xff" * 512).decode()
    tab = ready(show(link=SMALL))
    tab.evaluate("(holes) => { location.hash = holes; }", f"{SMALL}&holes={quote(holes)}")
    tab.wait_for_function("() => document.querySelector('.dip-harmonic figcaption')"
                          ".textContent.includes('no pixel')")  # fmt: skip
    assert known(tab) == 0 and drawn(tab, "harmonic").max() == 0
    assert tab.locator(".dip-psnr svg .dip-level").count() == 0
    tab.click("[name=clear]")
    tab.wait_for_function("() => document.querySelector('.dip-harmonic figcaption')"
                          ".textContent.includes('dB')")  # fmt: skip


def test_only_the_first_button_and_the_first_finger_paint(show):
    tab = ready(show(link=SMALL + "&p=100", has_touch=True))
    tab.click("[name=hole]")
    brush = tab.locator(".dip-brush")
    brush.click(button="right")
    assert known(tab) == 100
    box, touch = brush.bounding_box(), tab.context.new_cdp_session(tab)

    def fingers(kind, *shares):
        points = [{"x": box["x"] + share * box["width"], "y": box["y"] + box["height"] / 2, "id": i}
                  for i, share in enumerate(shares)]  # fmt: skip
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 0.3)
    one = known(tab)
    fingers("touchStart", 0.3, 0.7)
    fingers("touchMove", 0.3, 0.9)
    fingers("touchEnd")
    assert known(tab) == one < 100


def test_painting_while_it_learns_says_that_it_begins_anew(show):
    tab = ready(show(link=SMALL + "&compare=nothing"))
    tab.click("[name=hole]")
    tab.click("[name=go]")
    at_least(tab, 2)
    tab.locator(".dip-brush").click()
    assert said(tab) == "Changed. Press Start to begin anew."


def test_a_picture_that_finds_no_memory_is_refused_in_words(show, tmp_path):
    images.save_png(tmp_path / "mine.png", np.ones((150, 150)))
    tab = ready(show(before="OffscreenCanvas.prototype.getContext = () => null;"))
    tab.locator("[name=file]").set_input_files(tmp_path / "mine.png")
    tab.wait_for_function(
        "() => document.querySelector('.dip-said').textContent.includes('memory for “mine.png”')"
    )


def test_the_letters_of_the_curves_keep_their_size_in_a_window_that_changes(show):
    tab = ready(show(width=700))
    tab.set_viewport_size({"width": 390, "height": 900})
    tab.wait_for_timeout(400)
    for curves in tab.locator("dip-live svg").all():
        wide = float(curves.get_attribute("viewBox").split()[2])
        assert abs(curves.bounding_box()["width"] / wide - 1) < 0.03


def test_with_forced_colours_a_pressed_button_looks_pressed(show):
    tab = ready(show(forced_colors="active"))
    tab.click("[name=hole]")
    colour = "(button) => getComputedStyle(button).backgroundColor"
    pressed, other = (tab.locator(f"[name={name}]").evaluate(colour) for name in ("hole", "unhole"))
    assert pressed != other


def test_a_script_that_does_not_arrive_is_missed(site, browser):
    tab = browser.new_page()
    tab.route(f"**/{built.NAME}", lambda route: route.abort())
    tab.goto(f"{site['http']}light.html{SMALL}")
    tab.locator("dip-live .dip-said").wait_for()
    assert "did not arrive" in said(tab) and tab.locator(".dip-fallback img").is_visible()
    tab.close()


def test_webgpu_finds_the_same_loss_and_the_faster_one_is_taken(site, browser):
    """On a GPU in software.  A backend that finds another loss than WebAssembly is not timed."""
    flags = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    other = browser.browser_type.launch(
        executable_path=shutil.which("chromium"), args=[*flags, "--use-angle=swiftshader"]
    )
    try:
        tab = other.new_page()
        tab.set_default_timeout(120_000)
        tab.goto(f"{site['http']}light.html{SMALL}")
        ready(tab)
        if not tab.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this browser has no WebGPU, not even in software")
        timed = tab.wait_for_function("() => document.querySelector('dip-live').seconds")
        seconds = timed.json_value()
        assert set(seconds) == {"wasm", "webgpu"}
        tab.click("[name=go]")
        at_least(tab, 3)
        faster = {"wasm": "WebAssembly", "webgpu": "WebGPU"}[min(seconds, key=seconds.get)]
        assert faster in tab.locator(".dip-pace").inner_text()
    finally:
        other.close()


@pytest.mark.parametrize("missing", ["WebAssembly", "Worker"])
def test_a_browser_that_cannot_is_told_in_one_sentence(show, missing):
    tab = show(before=f"delete globalThis.{missing};")
    said = tab.locator("dip-live .dip-said")
    said.wait_for()
    words = said.inner_text()
    assert "This browser has no" in words and words.count(".") == 1
    assert tab.locator(".dip-fallback img").is_visible()


def test_a_network_that_failed_begins_anew(show):
    tab = ready(show())
    tab.click("[name=go]")
    at_least(tab, 3)
    tab.evaluate("""() => {
      const [one] = document.querySelector("dip-live").lanes;
      one.worker.terminate();
      one.worker.dispatchEvent(new ErrorEvent("error", { message: "Out of memory." }));
    }""")
    said = tab.locator("dip-live .dip-said")
    assert "The network stopped: Out of memory." in said.inner_text()
    assert tab.locator("[name=go]").inner_text() == "Start"
    tab.click("[name=go]")
    assert "is being built" in said.inner_text()
    at_least(tab, 3)
    tab.click("[name=go]")
    assert said.inner_text() == "Paused."
    tab.click("[name=go]")
    assert "Paused" not in said.inner_text()


def test_a_figure_that_is_taken_out_and_put_back_goes_on(show):
    """As a notebook does with outputs that are scrolled out of sight."""
    tab = ready(show())
    tab.click("[name=go]")
    at_least(tab, 5)
    tab.evaluate("() => { window.kept = document.querySelector('dip-live'); kept.remove(); }")
    without_workers(tab)
    tab.evaluate(HIDE, True)  # meanwhile the reader looks at another page, and comes back
    tab.evaluate(HIDE, False)
    tab.wait_for_timeout(300)
    assert not tab.workers, "nobody sees it"
    tab.evaluate("() => document.querySelector('main').append(kept)")
    rested = iteration(tab)
    assert rested >= 5
    at_least(tab, rested + 5)


NOWHERE = """history.replaceState = () => { throw new DOMException("no", "SecurityError"); };
Object.defineProperty(navigator, "clipboard", { value: undefined });"""


def test_a_link_is_had_where_the_page_has_no_address(show):
    tab = ready(show(before=NOWHERE))
    tab.click("[name=link]")
    said = tab.locator("dip-live .dip-said")
    tab.wait_for_function(
        "() => document.querySelector('.dip-said').textContent.includes('#live=')"
    )
    assert said.inner_text().startswith("The link is this: http")


def test_the_script_comes_when_the_figure_comes_into_view(show):
    tab = show("below.html", link="")
    tab.wait_for_timeout(500)
    assert not [url for url in tab.asked if built.NAME in url]
    tab.locator("dip-live").scroll_into_view_if_needed()
    ready(tab)
    assert [url for url in tab.asked if built.NAME in url]


def test_in_a_notebook_the_script_is_part_of_the_output(show):
    tab = ready(show("inline.html"))
    assert not [url for url in tab.asked if built.NAME in url]


def test_letters_typed_at_a_list_are_no_commands_of_the_notebook(show):
    """To JupyterLab "d d" at a list deletes the cell, with the holes that were painted."""
    tab = ready(show("inline.html"))
    tab.evaluate("""() => {
      window.heard = [];
      document.addEventListener("keydown", (event) => window.heard.push(event.key));
    }""")
    for name in ("picture", "compare", "p", "hole", "link"):
        tab.locator(f"dip-live [name={name}]").focus()
        for key in ("d", "d", "Control+s"):
            tab.keyboard.press(key)
    assert tab.evaluate("window.heard") == ["Control", "s"] * 5


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_saved_page_s_figure_learns(show, site, scheme):
    """There the script stands above the figure, whose data comes later."""
    tab = ready(show(scheme=scheme))
    folder = Path(urlsplit(site["file"]).path)
    (folder / "saved.html").write_text("<!doctype html>" + tab.content(), encoding="utf-8")
    (folder / built.NAME).rename(folder / "kept.js")
    page = (folder / "saved.html").read_text(encoding="utf-8")
    page = re.sub(
        r'src="[^"]*live\.js"', 'src="kept.js"', page
    )  # a browser puts it beside the page
    (folder / "saved.html").write_text(page, encoding="utf-8")
    try:
        tab = ready(show("saved.html", scheme=scheme))
        assert tab.locator("[name=go]").count() == 1
        tab.click("[name=go]")
        at_least(tab, 1)
        assert not tab.get_by_text("did not arrive").count()
    finally:
        (folder / "kept.js").rename(folder / built.NAME)


LISTEN = """window.sent = [];
const { postMessage } = Worker.prototype;
Worker.prototype.postMessage = function (message, ...rest) {
  window.sent.push(message);
  return postMessage.call(this, message, ...rest);
};"""


def test_no_worker_is_told_the_truth(show):
    tab = ready(show(link=f"{SMALL}&compare=pixels", before=LISTEN))
    tab.click("[name=go]")
    at_least(tab, 1)
    told = tab.evaluate("""() => sent.map((message) => message.options ?? message)
      .filter(({ given }) => given).map(({ given, mask, ...rest }) => [Object.keys(rest),
        given.reduce((sum, value, i) => sum + Math.abs(value) * (1 - mask[i]), 0),
        given.reduce((sum, value, i) => sum + value * mask[i], 0)])""")
    assert len(told) >= 3  # the fillings, and two networks
    assert all(hidden == 0 and shown > 100 for _, hidden, shown in told)
    words = {word for keys, *_ in told for word in keys}
    assert words <= {"kind", "size", "config", "optimiser", "rate", "sigma", "seed", "state"}


DELAYS = """window.delays = [];
const { setTimeout: later } = window;
window.setTimeout = (f, delay, ...rest) => {
  delays.push(delay);
  return later(f, delay, ...rest);
};"""


@pytest.mark.parametrize("motion, delay", [("reduce", 2000), ("no-preference", 150)])
def test_pictures_change_seldom_for_readers_who_want_little_motion(show, motion, delay):
    tab = ready(show(link=f"{SMALL}&compare=nothing", before=DELAYS, reduced_motion=motion))
    tab.evaluate("() => { delays.length = 0; }")
    tab.click("[name=go]")
    at_least(tab, 1)
    delays = set(tab.evaluate("() => delays"))
    assert delay in delays and not {150, 2000} - {delay} & delays


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_it_fits_and_axe_finds_nothing(show, theme, width):
    tab = ready(show(f"{theme}.html", width=width))
    tab.locator("summary").click()
    tab.click("[name=hole]")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    found = [
        f"{rule['id']}: {node['html'][:160]}"
        for rule in Axe().run(tab).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
        if not (theme == "dark" and rule["id"] == "color-contrast")  # the book's colours: test_site
    ]
    assert not found
