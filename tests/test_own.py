"""The tool for a picture of the reader's own: its Python side, and its page in a real browser.

The page has a model as anywidget's is; behind it answers a real `Own`, to which a test carries the
page's messages and back (`Bridge`).
"""

import base64
import errno
import io
import json
import threading
import time

import numpy as np
import pytest
from browser import browser, changed, pixels  # noqa: F401 (a fixture)
from dip_book import images
from dip_book.restoring import core, files
from dip_book.show import own
from PIL import Image

STROKE = {"points": [[4, 4], [30, 20]], "width": 3, "erase": False}


def png(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def noise(height=24, width=40, channels=3):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)


def hand(tool, data, name="photo.png", of="picture", piece=None, **more):
    """A file handed over as the page does it."""
    piece = piece or max(1, len(data))
    for at in range(0, max(1, len(data)), piece):
        part = base64.b64encode(data[at : at + piece]).decode()
        tool.answer(
            {"do": "piece", "of": of, "name": name, "at": at, "size": len(data), "data": part}
            | more
        )


def slow_fill(go_on):
    """A `core.fill` that shows a picture and then waits to be let go on, or to be interrupted."""

    def fill(image, known, *, progress, stop, **options):
        fill.options = options
        report = {"biharmonic": 20.0, "network": 21.0, "chosen": "network"}

        def drawn(value):
            return np.where(
                known if image.ndim == 2 else known[..., None], image, np.float32(value)
            )

        progress(core.Progress("Two minutes and 1 GB.", None, 0.0, 120.0))
        progress(core.Progress("A smooth filling, to begin with.", drawn(0.25), 0.01, 119.0))
        while not go_on.wait(0.01):
            if stop():
                return core.Filled(drawn(0.25), report, "Stopped early; so far.", True)
        progress(core.Progress("Network: 1 of 2 iterations.", drawn(0.75), 0.5, 60.0))
        return core.Filled(drawn(0.75), report, "The network helps.", False)

    fill.options = None
    return fill


@pytest.fixture
def go_on():
    return threading.Event()


@pytest.fixture
def tool(monkeypatch, go_on):
    """A tool whose messages are kept, with a filling that waits for ``go_on``."""
    monkeypatch.setattr(own.core, "fill", slow_fill(go_on))
    made = own.Own()
    made.sent = []
    monkeypatch.setattr(made, "send", made.sent.append)
    yield made
    go_on.set()
    made.stop()
    made.join(20)


def until(met, seconds=20):
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


# The Python side ----------------------------------------------------------------------------------


def test_a_strokes_pixels_are_missing_and_erased_ones_are_not():
    base = np.zeros((20, 30), bool)
    base[:, 0] = True
    one = {"points": [[10.5, 10.5]], "width": 5, "erase": False}
    dot = own.paint(base, [one])
    assert dot[10, 10] and dot[10, 8] and dot[8, 10] and not dot[10, 13] and dot[:, 0].all()
    line = own.paint(base, [{"points": [[5.5, 5.5], [25.5, 5.5]], "width": 1, "erase": False}])
    assert line[5, 5:26].all() and line[:, 1:].sum() == 21
    away = own.paint(base, [one, one | {"erase": True, "width": 9}, STROKE | {"erase": True}])
    assert (away[:, 1:] == 0).all() and base[:, 0].all(), "the base stays as it is"


def test_a_file_comes_in_pieces_and_is_opened(tool):
    x = noise()
    data = png(x)
    hand(tool, data, piece=1000)
    assert (tool.photo.pixels == x).all()
    assert tool.picture["text"] == "photo.png: 40×24 pixels, colour, 8 bits."
    assert [content["at"] for content in tool.sent] == list(range(1000, len(data), 1000))
    assert tool.picture["url"].startswith("data:image/webp") and not tool.missing.any()


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "empty.png", "it is empty"),
        (b"no picture", "notes.txt", "no picture of a known kind"),
        (png(noise())[:200], "cut.png", "broken or cut off"),
        (b"\0\0\0\x18ftypheic" + bytes(64), "phone.heic", "phone.heic"),
        (png(noise(1, 1)), "dot.png", "nothing to restore"),
    ],
)
def test_a_file_that_is_no_picture_is_answered_in_one_sentence(tool, data, name, words):
    hand(tool, data, name)
    said = tool.now["said"]
    assert words in said and f"'{name}'" in said and tool._folder.name not in said
    assert tool.photo is None and not tool.now["running"]


def test_a_file_too_large_and_a_lost_piece_are_answered(tool):
    tool.answer({"do": "piece", "of": "picture", "name": "a.png", "at": 0, "size": 10**12})
    assert "at most 200 MB" in tool.now["said"]
    tool.answer({"do": "piece", "of": "picture", "name": "a.png", "at": 7, "size": 9})
    assert "choose it once more" in tool.now["said"]


def test_a_files_name_cannot_lead_out_of_its_folder(tool):
    for name in ("../../out.png", "C:\\out.png", "/out.png", "..", None):
        hand(tool, png(noise()), name)
        assert tool.photo.path.name == str(tool.photo.path) == tool.picture["name"]
        assert tool.picture["name"] in ("out.png", "picture")


@pytest.mark.parametrize("letter", ["写", "😀", "é", "x"])
def test_a_long_name_keeps_no_result_from_its_reader(tool, go_on, letter):
    """A file system takes 255 bytes of a name, a reader's perhaps as many letters."""
    hand(tool, png(noise()), 240 * letter + ".png")
    assert tool.picture["name"].endswith(f"{letter}.png")
    tool.strokes = [STROKE]
    go_on.set()
    tool.answer({"do": "start", "minutes": 2})
    tool.join(20)
    tool.answer({"do": "download", "format": "TIFF"})
    assert tool.sent[-1]["name"].endswith(f"{letter}-restored.tif"), tool.now["said"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"do": "start", "minutes": 2}, "Choose a picture first."),
        ({"do": "mark", "how": "clear"}, "Choose a picture first."),
        ({"do": "download", "format": "PNG"}, "no result yet"),
        ({"do": "choose", "name": "nobody"}, "'nobody'"),
    ],
)
def test_what_comes_too_early_is_answered(tool, wish, words):
    tool.answer(wish)
    assert words in tool.now["said"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"do": "start", "minutes": 2}, "Nothing is marked"),
        ({"do": "start", "minutes": None}, "Minutes: a number"),
        ({"do": "start", "minutes": -1}, "Minutes: a number"),
        ({"do": "mark", "how": "random", "share": 7}, "between 0 and 1"),
        ({"do": "mark", "how": "by magic"}, "painted, clear, colour, random, file"),
        ({"do": "mark", "how": "clear"}, "nothing is missing"),
        ({"do": "mark", "how": "colour", "colour": "#12"}, "no colour"),
        ({"do": "download", "format": "GIF"}, "no result yet"),
    ],
)
def test_a_wish_that_cannot_be_met_is_answered_in_words(tool, wish, words):
    hand(tool, png(noise()))
    tool.answer(wish)
    assert words in tool.now["said"] and not tool.running


def test_everything_marked_leaves_nothing_to_go_by(tool):
    hand(tool, png(noise()))
    tool.strokes = [{"points": [[20, 12]], "width": 200, "erase": False}]
    tool.answer({"do": "start", "minutes": 2})
    assert "leave something" in tool.now["said"] and not tool.running


def test_what_is_missing_is_marked_in_five_ways(tool):
    x = noise()
    x[3:6, 3:9] = 0
    hand(tool, png(x))
    tool.answer({"do": "mark", "how": "clear"})
    assert tool.missing.sum() == 18 and "18 of 960 pixels (1.9%)" in tool.marked["text"]
    tool.answer({"do": "mark", "how": "clear", "grow": 1})
    assert tool.missing.sum() == 18 + 18
    tool.answer({"do": "mark", "how": "random", "share": 0.5})
    assert 380 < tool.missing.sum() < 580
    mask = np.full((24, 40), 255, np.uint8)
    mask[:, :7] = 0
    hand(tool, png(mask), "mask.png", of="mask")
    assert (
        tool.missing[:, :7].all() and tool.missing.sum() == 24 * 7 and tool.marked["how"] == "file"
    )
    hand(tool, png(mask), "mask.png", of="mask", invert=True)
    assert not tool.missing[:, :7].any()
    hand(tool, png(mask[:9]), "small.png", of="mask")
    assert "a mask has the picture's size" in tool.now["said"]
    tool.answer({"do": "mark", "how": "colour", "colour": "#000000", "tolerance": 0})
    assert tool.missing.sum() == 18 and tool.marked["how"] == "colour"
    tool.answer({"do": "mark", "how": "painted"})
    assert not tool.missing.any()
    tool.strokes = [STROKE]
    assert (
        tool.missing.any()
        and tool.marked["text"] != "0 of 960 pixels (0.0%) are marked as missing."
    )


def test_sentences_are_in_the_pages_words_not_the_command_lines(tool):
    hand(tool, png(noise()))
    mask = np.full((24, 40), 0, np.uint8)
    mask[:, :7] = 255
    hand(tool, png(mask), "mask.png", of="mask")
    assert "tick 'white is missing'" in " ".join(tool.marked["notes"])
    hand(tool, png(noise()), "swapped.png", of="mask")
    assert "looks like a photograph" in tool.now["said"]
    tool.answer({"do": "mark", "how": "clear"})
    for sentence in (*tool.marked["notes"], tool.now["said"]):
        assert "--" not in sentence and "=" not in sentence
    buffer = io.BytesIO()
    Image.fromarray(noise()).save(buffer, "JPEG")
    hand(tool, buffer.getvalue(), "photo.jpg")
    tool.answer({"do": "mark", "how": "clear"})
    assert "begin with what has a colour, black, tolerance 24" in tool.now["said"]
    assert "--" not in tool.now["said"]


def test_what_is_transparent_is_marked_from_the_beginning(tool):
    x = np.dstack([noise(), np.full((24, 40), 255, np.uint8)])
    x[2:5, 2:5, 3] = 0
    hand(tool, png(x))
    assert tool.marked["how"] == "clear" and tool.missing.sum() == 9


def test_a_restoration_shows_a_picture_at_once_then_better_ones(tool, go_on):
    hand(tool, png(noise()))
    tool.strokes = [STROKE]
    tool.answer({"do": "start", "minutes": 3})
    until(lambda: tool.after)
    first = tool.after
    assert tool.now["running"] and tool.now["left_s"] == 119.0 and "smooth" in tool.now["said"]
    tool.answer({"do": "start", "minutes": 3})
    assert "under way" in tool.now["said"] and tool.running
    go_on.set()
    tool.join(20)
    assert tool.after != first and tool.now["said"] == "The network helps."
    assert not tool.now["running"] and tool.now["done"] == 1.0
    assert tool.report["network"] == 21.0 and own.core.fill.options["minutes"] == 3
    gone = tool.missing
    assert (tool.restored[~gone] == tool.photo.pixels[~gone]).all()
    assert (tool.restored[gone] == 191).all()  # 0.75 of 255
    json.dumps([tool.now, tool.marked, tool.picture])


def test_stop_keeps_the_picture_so_far(tool):
    hand(tool, png(noise()))
    tool.strokes = [STROKE]
    tool.answer({"do": "start", "minutes": 3})
    until(lambda: tool.after)
    tool.answer({"do": "stop"})
    tool.join(20)
    assert not tool.running and "so far" in tool.now["said"] and tool.now["done"] < 1
    assert (tool.restored[tool.missing] == 64).all()
    # the same marks go on, others begin anew
    tool.answer({"do": "start", "minutes": 3})
    assert own.core.fill.options["again"] is False or tool.running
    until(lambda: own.core.fill.options["again"] is False)
    tool.answer({"do": "stop"})
    tool.join(20)
    tool.strokes = [STROKE, STROKE | {"width": 5}]
    tool.answer({"do": "start", "minutes": 3})
    until(lambda: own.core.fill.options["again"] is True)


def test_a_restoration_of_a_cell_that_was_run_again_gives_way(tool):
    """Its Stop button is gone with the cell's output."""
    hand(tool, png(noise()))
    tool.strokes = [STROKE]
    tool.answer({"do": "start", "minutes": 600})
    until(lambda: tool.after)
    again = own.Own()
    hand(again, png(noise()))
    again.strokes = [STROKE]
    again.answer({"do": "start", "minutes": 3})
    tool.join(20)
    assert not tool.running and "so far" in tool.now["said"] and tool.restored is not None
    assert again.running
    again.answer({"do": "stop"})
    again.join(20)


def test_more_minutes_are_added_to_what_has_ended(tool, go_on):
    go_on.set()
    hand(tool, png(noise()))
    tool.strokes = [STROKE]
    for total in (3, 5):
        tool.answer({"do": "start", "minutes": 3 if total == 3 else 2})
        tool.join(20)
        assert own.core.fill.options["minutes"] == total


def test_the_real_filling_is_interrupted_and_goes_on(monkeypatch):
    made = own.Own(iterations=4000, device="cpu")
    made.answer({"do": "choose", "name": "brick"})
    made.answer({"do": "mark", "how": "random", "share": 0.3})
    made.photo = files.Photo(made.photo.path, made.photo.pixels[:32, :32])
    made._base = made._base[:32, :32]
    made.answer({"do": "start", "minutes": 1})
    until(lambda: "Filled by" in made.now["said"] or "Network" in made.now["said"], 60)
    made.answer({"do": "stop"})
    made.join(60)
    assert not made.running and "Stopped early" in made.now["said"], made.now["said"]
    assert "The truth is known here" in made.now["said"]
    known = ~made.missing
    assert (made.restored[known] == made.photo.pixels[known]).all()


def test_a_failure_of_any_kind_is_said(tool, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(own.core, "fill", broken)
    hand(tool, png(noise()))
    tool.strokes = [STROKE]
    tool.answer({"do": "start", "minutes": 3})
    tool.join(20)
    assert tool.now["said"] == "ZeroDivisionError: by chance" and not tool.now["running"]


@pytest.mark.parametrize("kind", [None, "PNG", "JPEG", "TIFF", "WebP"])
def test_the_download_is_what_the_photo_saves(tool, go_on, tmp_path, kind):
    go_on.set()
    hand(tool, png(noise(200, 300), dpi=(300, 300)), "My photo.png")
    tool.strokes = [STROKE]
    tool.answer({"do": "start", "minutes": 3})
    tool.join(20)
    tool.sent.clear()
    tool.answer({"do": "download", "format": kind})
    data = b"".join(base64.b64decode(content["data"]) for content in tool.sent)
    name = tool.sent[0]["name"]
    suffix = {None: ".png", "PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WebP": ".webp"}[kind]
    assert name == f"My photo-restored{suffix}"
    assert [content["number"] for content in tool.sent] == list(range(tool.sent[0]["of"]))
    tool.photo.save(tmp_path / name, tool.restored)
    saved = (tmp_path / name).read_bytes()
    if kind == "TIFF":  # Pillow leaves a byte before its directory to chance, where that is odd
        assert sum(a != b for a, b in zip(data, saved, strict=True)) <= 1
        (tmp_path / "downloaded.tif").write_bytes(data)
        assert (files.read(tmp_path / "downloaded.tif").pixels == tool.restored).all()
    else:
        assert data == saved
    losses = " ".join(tool.sent[0]["notes"])
    assert ("close to what they were" in losses) == (kind == "JPEG")


@pytest.mark.parametrize("what", ["another picture", "other marks"])
def test_a_result_that_was_not_downloaded_outlives_the_next(tool, go_on, what, monkeypatch):
    """It may have cost an hour."""
    monkeypatch.setattr(own, "EARLIER", 2)
    go_on.set()

    def restore(x):
        if what == "another picture" or tool.photo is None:
            hand(tool, png(noise(60 + x, 90)), "photo.png")
        tool.strokes = [STROKE, {**STROKE, "points": [[x, 1], [x + 5, 1]]}]
        tool.answer({"do": "start", "minutes": 3})
        tool.join(20)
        return tool.file()

    def download(**what):
        tool.sent.clear()
        tool.answer({"do": "download", **what})
        return b"".join(base64.b64decode(content["data"]) for content in tool.sent)

    first, second = restore(1), restore(20)
    assert tool.earlier == ["photo-restored.png"] and first[1] != second[1]
    third = restore(40)
    assert tool.earlier == ["photo-restored.png", "photo-restored-2.png"]
    assert download(name="photo-restored.png") == first[1]
    assert download(name="photo-restored-2.png") == second[1]
    assert download() == third[1]
    restore(60)
    assert len(tool.earlier) == 2, "that one has been downloaded"
    restore(80)
    assert tool.earlier == ["photo-restored-2.png", "photo-restored-3.png"], "no more than two"
    download(name="gone.png")
    assert tool.sent == [] and "not kept any more" in tool.now["said"]


def test_a_full_disk_is_said_in_words(tool, go_on, monkeypatch):
    go_on.set()
    hand(tool, png(noise()))
    tool.strokes = [STROKE]
    tool.answer({"do": "start", "minutes": 3})
    tool.join(20)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.Photo, "save", full)
    tool.answer({"do": "download", "format": "PNG"})
    assert tool.now["said"] == "The kernel's machine cannot do that: No space left on device."


def test_a_large_picture_is_shown_small_and_filled_whole(tool, go_on):
    go_on.set()
    hand(tool, png(np.tile(noise(100, 100), (3, 32, 1))))
    tool.strokes = [{"points": [[3000.5, 150.5]], "width": 3, "erase": False}]
    tool.answer({"do": "start", "minutes": 3})
    tool.join(20)
    shown = Image.open(io.BytesIO(base64.b64decode(tool.after.split(",")[1])))
    assert max(shown.size) <= own.SHOWN and tool.restored.shape == (300, 3200, 3)
    assert (tool.restored[150, 3000] == 191).all()


def test_a_hair_in_a_large_picture_is_seen_in_the_page(tool):
    x = np.tile(noise(100, 100), (3, 32, 1))
    x[:, 1501] = 0
    hand(tool, png(x))
    tool.answer({"do": "mark", "how": "clear"})
    seen = Image.open(io.BytesIO(base64.b64decode(tool.marked["url"].split(",")[1])))
    assert (np.asarray(seen.convert("RGBA"))[..., 3] > 0).any(1).all() and max(
        seen.size
    ) == own.SHOWN


def test_a_border_that_stays_transparent_is_no_part_of_the_work(tool, go_on):
    samples = np.dstack([noise(40, 50), np.full((40, 50), 255, np.uint8)])
    samples[:, :10, 3] = 0
    go_on.set()
    hand(tool, png(samples))
    hole = np.zeros((40, 50), np.uint8)
    hole[10:15, 20:30] = 255
    hand(tool, png(255 - hole), name="mask.png", of="mask")
    tool.answer({"do": "start", "minutes": 1})
    tool.join(20)
    assert tool.restored is not None, tool.now["said"]
    assert (tool.restored[hole > 0] == 191).all()
    assert (tool.restored[hole == 0] == tool.photo.pixels[hole == 0]).all()


def test_without_a_kernel_a_cell_shows_a_still_picture():
    class Still:
        def _repr_html_(self):
            return "<p>still</p>"

    cell = own.Tool(Still())
    assert cell._repr_mimebundle_()["text/html"] == "<p>still</p>" and cell.widget is None


def test_with_a_kernel_the_cell_is_the_widget(monkeypatch):
    monkeypatch.setattr(own, "has_reader", lambda: True)

    class Still:
        def _repr_html_(self):
            return "<p>still</p>"

    cell = own.Tool(Still(), minutes=1)
    bundle, _ = cell._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert cell.widget.offers["minutes"] == 1


@pytest.mark.parametrize("channels", [0, 3])
def test_the_steps_show_what_was_hidden_and_what_came_out(channels):
    truth = (noise(64, 64, channels) / 255).astype(np.float32)
    known = np.ones((64, 64), bool)
    known[20:24, 8:40] = False
    drawn = np.full((128, channels or 1), 0.5, np.float32)
    filled = core.Filled(truth, {"seed": 0}, "", False, {"biharmonic": drawn})
    given = np.where(known if not channels else known[..., None], truth, np.float32(0))
    shown = own.steps(given, known, filled, truth)
    assert len(shown) == 6 and all(picture.shape[:2] == (64, 64) for picture in shown.values())
    hidden = np.isclose(shown["4  hidden, to measure"], np.array(own.MARK) / 255).all(-1)
    assert hidden.sum() > 0 and not (hidden & ~known).any(), "hidden is what is known"
    assert (shown["3  at once"][~known] == 0.5).all()


def test_of_what_was_not_drawn_the_steps_show_nothing():
    """Where nothing is missing, and after an interrupt before anything was drawn."""
    truth = (noise(16, 16, 0) / 255).astype(np.float32)
    for known in (np.ones((16, 16), bool), np.arange(256).reshape(16, 16) % 7 > 0):
        filled = core.Filled(truth, {"seed": 0}, "Nothing is missing.", False, {})
        shown = own.steps(truth, known, filled, truth)
        assert "3  at once" not in shown and "5  result" in shown
        assert ("4  hidden, to measure" in shown) == (not known.all())
    assert core.fill(truth, np.ones((16, 16), bool)).methods == {}


# Its page -----------------------------------------------------------------------------------------

MODEL = """
window.model = {
  traits: TRAITS, listeners: {}, out: [], changes: {},
  get(name) { return this.traits[name]; },
  set(name, value) { this.traits[name] = value; this.changes[name] = value; },
  save_changes() { this.out.push({ set: this.changes }); this.changes = {}; },
  on(name, f) { (this.listeners[name] ??= []).push(f); },
  off(name, f) { this.listeners[name] = (this.listeners[name] ?? []).filter((g) => g !== f); },
  send(content) { this.out.push({ content }); },
  take() { const out = this.out; this.out = []; return out; },
  give({ trait, value, content }) {
    if (trait) this.traits[trait] = value;
    const heard = this.listeners[trait ? `change:${trait}` : "msg:custom"] ?? [];
    for (const f of heard) f(content);
  },
};
"""
SYNCED = ("picture", "marked", "strokes", "now", "before", "after", "earlier")


class Bridge:
    """A page with the tool in it, and an `Own` that answers."""

    def __init__(self, tool, page, theme="light"):
        self.tool, self.page, self.news = tool, page, []
        self.heard = []  # the contents of the page's messages
        traits = {name: getattr(tool, name) for name in ("offers", *SYNCED)}
        code = own.Own._esm.replace("export default", "const view =")
        page.set_content(
            f"<!doctype html><html lang=en data-theme={theme}><title>own</title>"
            f"<style>{own.Own._css}"
            "html[data-theme=dark] { background: #14181e; color: #ced6dd; color-scheme: dark; "
            "--pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af; "
            "--pst-color-border: #48566b; --pst-color-background: #14181e; "
            "--pst-color-surface: #222832; --pst-color-primary: #4fb3c8; }"
            "body { font-family: sans-serif; margin: 12px; }</style>"
            f"<main id=el></main><script>{MODEL.replace('TRAITS', json.dumps(traits))}{code}\n"
            "view.render({ model, el: document.querySelector('#el') });</script>"
        )
        tool.observe(
            lambda change: self.news.append({"trait": change["name"], "value": change["new"]}),
            SYNCED,
        )
        tool.send = lambda content: self.news.append({"content": content})

    def carry(self):
        """Messages of the page to the tool, and the other way."""
        for message in self.page.evaluate("model.take()"):
            if "set" in message:
                for name, value in message["set"].items():
                    self.tool.set_trait(name, value)
            else:
                self.heard.append(message["content"])
                self.tool.answer(message["content"])
        while self.news:
            self.page.evaluate("(news) => model.give(news)", self.news.pop(0))

    def until(self, met):
        end = time.monotonic() + 20
        while not met():
            assert time.monotonic() < end, self.said()
            self.carry()
            time.sleep(0.01)
        self.carry()

    def said(self):
        return self.page.locator(".dip-said").inner_text()

    def __getitem__(self, name):
        return self.page.locator(f"[name={name}]")


@pytest.fixture
def page(browser):  # noqa: F811
    context = browser.new_context(
        viewport={"width": 1000, "height": 1400},
        reduced_motion="reduce",
        accept_downloads=True,
        has_touch=True,
    )
    context.set_default_timeout(10_000)
    tab = context.new_page()
    tab.errors = []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    yield tab
    assert not tab.errors
    context.close()


@pytest.fixture
def there(tool, page):
    """The tool in a page, with a picture of the book's."""
    bridge = Bridge(tool, page)
    bridge["picture"].select_option("coffee")
    bridge.until(lambda: page.locator(".dip-stage").is_visible())
    return bridge


def test_a_file_of_the_readers_is_handed_over_and_shown(tool, page, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "PIECE", 1000)
    tool.offers = tool.offers | {"piece": 1000}
    bridge = Bridge(tool, page)
    x = noise(60, 90)
    Image.fromarray(x).save(tmp_path / "mine.png")
    bridge["file"].set_input_files(tmp_path / "mine.png")
    bridge.until(lambda: tool.photo is not None)
    assert (tool.photo.pixels == x).all()
    assert "mine.png: 90×60 pixels" in page.locator(".dip-about").inner_text()
    assert len([content for content in bridge.heard if content["do"] == "piece"]) > 1
    (tmp_path / "broken.png").write_bytes(b"broken")
    bridge["file"].set_input_files(tmp_path / "broken.png")
    bridge.until(lambda: "no picture of a known kind" in bridge.said())
    assert (tool.photo.pixels == x).all(), "the picture before stays"


def test_the_mouse_paints_erases_and_takes_back(there):
    stage, tool = there.page.locator(".dip-stage"), there.tool
    before = pixels(stage)
    box = stage.bounding_box()

    def drag(*points):
        there.page.mouse.move(*points[0])
        there.page.mouse.down()
        for point in points[1:]:
            there.page.mouse.move(*point, steps=4)
        there.page.mouse.up()

    left, top, side = box["x"], box["y"], box["width"]
    drag((left + 0.2 * side, top + 0.2 * side), (left + 0.8 * side, top + 0.8 * side))
    there.until(lambda: tool.missing.any())
    # where the mouse was: along the diagonal of the picture's own pixels
    assert all(tool.missing[n, n] for n in range(55, 200)) and not tool.missing[60, 200]
    assert changed(before, pixels(stage)) > 0.01
    painted = int(tool.missing.sum())
    assert f"{painted:,} of 65,536" in there.page.locator(".dip-marked").inner_text()
    there["erase"].click()
    drag((left + 0.5 * side, top + 0.3 * side), (left + 0.5 * side, top + 0.7 * side))
    there.until(lambda: tool.missing.sum() < painted)
    assert not tool.missing[128, 128] and tool.missing[70, 70]
    there["undo"].click()
    there.until(lambda: tool.missing.sum() == painted)
    there["clear"].click()
    there.until(lambda: not tool.missing.any())
    drag((left + 0.2 * side, top + 0.5 * side), (left + 0.4 * side, top + 0.5 * side))
    there.until(lambda: tool.strokes)
    there["undo"].click()
    there.until(lambda: not tool.strokes)
    there["undo"].click()  # a slip beside "Undo" takes nothing away
    there.until(lambda: tool.missing.sum() == painted)
    there["undo"].click()
    there.until(lambda: not tool.missing.any())


def test_what_was_cleared_comes_back_with_how_it_was_marked(there):
    there.page.locator(".dip-stage").click(position={"x": 20, "y": 20})
    there["how"].select_option("random")
    there.until(lambda: there.tool.missing.sum() > 1000)
    marked = int(there.tool.missing.sum())
    there["clear"].click()
    there.until(lambda: not there.tool.missing.any())
    there["undo"].click()
    there.until(lambda: there.tool.missing.sum() == marked)
    assert there["how"].input_value() == "random" and len(there.tool.strokes) == 1
    there["clear"].click()
    there["picture"].select_option("chelsea")
    there.until(lambda: str(there.tool.photo.path) == "chelsea.png")
    there["undo"].click()
    there.page.wait_for_timeout(300)
    assert not there.tool.strokes, "they were of another picture"


def test_hours_of_painting_fit_into_a_message(there):
    """A mouse tells of every hair's breadth; where the brush was is kept, and where it ended."""
    box = there.page.locator(".dip-stage").bounding_box()
    x, y = box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"]
    there["width"].fill("20")
    there.page.mouse.move(x, y)
    there.page.mouse.down()
    there.page.mouse.move(x + 0.3 * box["width"], y, steps=400)
    there.page.mouse.move(x + 0.3 * box["width"], y - 0.3 * box["height"], steps=400)
    there.page.mouse.up()
    there.until(lambda: there.tool.strokes)
    (stroke,) = there.tool.strokes
    assert len(stroke["points"]) < 150
    height, width = there.tool.missing.shape
    assert stroke["points"][-1] == pytest.approx([0.5 * width, 0.2 * height], abs=1)
    ends = [[0.2, 0.5], [0.5, 0.5], [0.5, 0.2]]
    straight = {"points": [[u * width, v * height] for u, v in ends], "width": stroke["width"]}
    wanted = own.paint(np.zeros((height, width), bool), [straight])
    assert (there.tool.missing ^ wanted).sum() < 0.04 * wanted.sum()


def test_the_keyboard_paints(there):
    stage, tool, press = there.page.locator(".dip-stage"), there.tool, there.page.keyboard.press
    stage.focus()
    for key in ("Space", *["Shift+ArrowRight"] * 3, "Space"):
        press(key)
    there.until(lambda: tool.missing.any())
    rows, columns = np.nonzero(tool.missing)
    assert abs(rows.mean() - 128) < 2 and columns.max() > 140 and columns.min() < 128
    wide = np.ptp(rows) + 1
    press("]")
    press("ArrowDown")
    press("e")
    assert there["erase"].get_attribute("aria-pressed") == "true"
    press("Control+z")
    there.until(lambda: not tool.missing.any())
    press("e")
    press("Enter")
    press("Enter")
    there.until(lambda: tool.missing.any())
    assert np.ptp(np.nonzero(tool.missing)[0]) + 1 > 0.9 * wide
    assert "Brush up" in there.page.locator(".dip-quiet").inner_text()


def test_to_take_back_a_stroke_that_is_being_drawn_takes_no_other_back(there):
    tool, press = there.tool, there.page.keyboard.press
    there.page.locator(".dip-stage").focus()
    for key in ("Space", "Shift+ArrowRight", "Space"):
        press(key)
    there.until(lambda: tool.missing.any())
    before = tool.missing
    for key in ("Shift+ArrowDown", "Space", "Shift+ArrowLeft", "Control+z", "ArrowLeft"):
        press(key)
    there.page.wait_for_timeout(100)
    there.carry()
    assert (tool.missing == before).all()
    press("Control+z")
    there.until(lambda: not tool.missing.any())


def test_a_stroke_by_keys_stays_when_the_mouse_begins_another(there):
    tool, stage = there.tool, there.page.locator(".dip-stage")
    stage.focus()
    there.page.keyboard.press("Space")
    there.page.keyboard.press("Shift+ArrowRight")
    stage.click(position={"x": 20, "y": 20})
    there.until(lambda: len(tool.strokes) == 2)
    assert tool.missing[128, 128]


def test_letters_typed_at_a_list_are_no_commands_of_the_notebook(there):
    """To JupyterLab "d d" at a list deletes the cell, with the tool and all that was painted."""
    there.page.evaluate("""() => {
      window.heard = [];
      document.addEventListener("keydown", (event) => window.heard.push(event.key));
    }""")
    for name in ("how", "erase", "width", "picture", "start"):
        there[name].focus()
        for key in ("d", "d", "x", "Control+s"):
            there.page.keyboard.press(key)
    there.page.locator(".dip-stage").focus()
    there.page.keyboard.press("x")
    assert there.page.evaluate("window.heard") == ["Control", "s"] * 5


DROP = """([bytes, where]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
  document.querySelector(where).dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def test_after_a_dropped_picture_the_one_before_can_be_chosen_again(there):
    there.page.evaluate(DROP, [list(png(noise())), "#el"])
    there.until(lambda: str(there.tool.photo.path) == "dropped.png")
    assert there["picture"].input_value() == "", "to choose Coffee again changes something"


def test_a_mask_that_is_dropped_on_its_field_is_no_picture(there):
    """As a picture it would take the place of the one that was painted on, and of the strokes."""
    there.page.locator(".dip-stage").click(position={"x": 20, "y": 20})
    there["how"].select_option("file")
    white = np.full((256, 256), 255, np.uint8)
    white[100:110] = 0
    there.page.evaluate(DROP, [list(png(white)), "[name=mask]"])
    there.until(lambda: "mask is read" in there.said() or "dropped" in str(there.tool.photo.path))
    assert str(there.tool.photo.path) == "coffee.png" and len(there.tool.strokes) == 1
    assert there.tool.missing[100:110].all() and there.tool.marked["how"] == "file"
    there["grow"].fill("2")
    there["grow"].dispatch_event("change")  # the mask is read once more
    there.until(lambda: there.tool.missing[98:112].all())


@pytest.fixture
def slow(tool, monkeypatch):
    """Files are handed over in small pieces."""
    monkeypatch.setattr(own, "PIECE", 1000)
    tool.offers = tool.offers | {"piece": 1000}


def flat(path, value):
    """A file of several pieces, always of one size."""
    Image.fromarray(np.full((40, 40, 3), value, np.uint8)).save(path)
    return path


def test_the_picture_that_was_chosen_last_is_taken(slow, tool, page, tmp_path):
    """A file that is on its way does not arrive after it, over what was painted meanwhile."""
    bridge = Bridge(tool, page)
    for times in range(3):
        bridge["file"].set_input_files(flat(tmp_path / "mine.bmp", 10))
        for _ in range(times + 1):
            page.wait_for_timeout(30)
            bridge.carry()
        bridge["picture"].select_option("coffee")
        bridge.until(lambda: tool.photo is not None and str(tool.photo.path) == "coffee.png")
        tool.strokes = [STROKE]
        for _ in range(20):
            page.wait_for_timeout(10)
            bridge.carry()
        assert str(tool.photo.path) == "coffee.png" and tool.strokes == [STROKE]
        assert bridge.said() == "Mark what is missing, then press Start."


def test_a_mask_waits_for_its_picture(slow, there, tmp_path):
    there["file"].set_input_files(flat(tmp_path / "mine.bmp", 10))
    there["how"].select_option("file")
    there["mask"].set_input_files(flat(tmp_path / "mask.bmp", 0))
    assert "still being handed over" in there.said()
    there.until(lambda: str(there.tool.photo.path) == "mine.bmp")


def test_of_two_views_each_hands_over_its_own_and_takes_home_its_own(
    slow, tool, page, tmp_path, go_on
):
    go_on.set()
    bridge = Bridge(tool, page)
    bridge["file"].set_input_files(flat(tmp_path / "one.bmp", 10))
    bridge.until(lambda: tool.photo is not None)
    bridge["file"].set_input_files(flat(tmp_path / "two.bmp", 20))  # on its way, and given up
    page.wait_for_timeout(50)
    other_page = page.context.new_page()
    other = Bridge(tool, other_page)
    views = (bridge, other)
    tool.send = lambda content: [view.news.append({"content": content}) for view in views]

    def until(met):
        other.until(lambda: bridge.carry() or met())

    other["file"].set_input_files(flat(tmp_path / "three.bmp", 200))
    until(lambda: str(tool.photo.path) == "three.bmp")
    assert (tool.photo.pixels == 200).all()
    tool.strokes = [STROKE]
    other["start"].click()
    until(lambda: tool.now["done"] == 1)
    other["download"].click()
    until(lambda: other_page.locator("a[download]").is_visible())
    assert not page.locator("a[download]").is_visible()
    other_page.close()


def test_start_stop_and_download(there, go_on, tmp_path):
    tool, page = there.tool, there.page
    there["how"].select_option("random")
    there.until(lambda: tool.missing.any())
    there["minutes"].fill("3")
    there["start"].click()
    there.until(lambda: tool.after and page.locator(".dip-compare").is_visible())
    assert {"do": "start", "minutes": 3} in there.heard
    assert there["start"].is_disabled() and there["picture"].is_disabled()
    assert "left" in page.locator(".dip-left").inner_text()
    there["divider"].fill("0")
    first = pixels(page.locator(".dip-compare"))
    go_on.set()
    there.until(lambda: "The network helps" in there.said())
    assert changed(first, pixels(page.locator(".dip-compare"))) > 0.2, "a better picture is shown"
    restored = pixels(page.locator(".dip-compare"))
    there["divider"].fill("100")
    assert changed(restored, pixels(page.locator(".dip-compare"))) > 0.2, "the divider divides"
    assert "The network helps" in page.locator(".dip-quiet").inner_text()
    with page.expect_download() as download:
        there["download"].click()
        there.until(lambda: page.locator("a[download]").is_visible())
    download.value.save_as(tmp_path / "got.png")
    assert download.value.suggested_filename == "coffee-restored.png"
    assert (tmp_path / "got.png").read_bytes() == tool.file()[1]
    there["view"].click()
    assert page.locator(".dip-stage").is_visible()


def test_what_was_not_downloaded_stays_in_the_page(there, go_on, tmp_path):
    tool, page = there.tool, there.page
    earlier = page.locator(".dip-earlier")
    assert earlier.is_hidden()
    go_on.set()
    there["how"].select_option("random")
    there.until(lambda: tool.missing.any())
    there["start"].click()
    there.until(lambda: "The network helps" in there.said())
    name, data = tool.file()
    there["picture"].select_option("camera")
    there.until(lambda: tool.photo.path.name == "camera.png" and earlier.is_visible())
    with page.expect_download() as download:
        earlier.get_by_role("button", name=name).click()
        there.until(lambda: page.locator("a[download]").count())
    download.value.save_as(tmp_path / "got.png")
    assert (tmp_path / "got.png").read_bytes() == data
    assert download.value.suggested_filename == name


def test_stop_in_the_page_ends_the_restoration(there):
    there["how"].select_option("random")
    there.until(lambda: there.tool.missing.any())
    there["start"].click()
    there.until(lambda: there["stop"].is_enabled() and there.tool.after)
    there["stop"].click()
    there.until(lambda: "so far" in there.said())
    assert there["start"].inner_text() == "Go on" and there["start"].is_enabled()
    focused = there.page.evaluate("document.activeElement.name")
    assert focused == "start", "the focus goes to what can be pressed next"


def test_a_second_view_shows_the_same(there, browser):  # noqa: F811
    there.page.locator(".dip-stage").focus()
    for key in ("Space", "Shift+ArrowRight", "Space"):
        there.page.keyboard.press(key)
    there.until(lambda: there.tool.missing.any())
    count = there.page.locator(".dip-marked").inner_text()
    other = there.page.context.new_page()
    Bridge(there.tool, other)
    assert other.locator(".dip-marked").inner_text() == count
    assert other.locator(".dip-stage").is_visible()
    other.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_all_of_it(tool, page, theme):
    page.set_viewport_size({"width": 390, "height": 1200})
    bridge = Bridge(tool, page, theme)
    bridge["picture"].select_option("coffee")
    bridge.until(lambda: page.locator(".dip-stage").is_visible())
    box = page.locator(".dip-stage").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    bridge.until(lambda: tool.missing.any())
    rows, columns = np.nonzero(tool.missing)
    assert abs(rows.mean() - 64) < 3 and abs(columns.mean() - 128) < 3, "a finger paints"
    for way in own.WAYS:
        bridge["how"].select_option(way)
        bridge.carry()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, way
        asked = {"random": ["share"], "clear": ["grow"], "file": ["mask", "invert", "grow"]}
        asked["colour"] = ["grow", "colour", "tolerance"]
        fields = ("share", "mask", "invert", "grow", "colour", "tolerance")
        seen = [name for name in fields if bridge[name].is_visible()]
        assert seen == asked.get(way, []), way
    for control in page.locator("button:visible, input:visible, select:visible").all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390


def test_the_script_reads_no_markup_from_a_files_name(tool, page):
    bridge = Bridge(tool, page)
    hand(tool, png(noise()), "<img src=x onerror=alert(1)>.png")
    bridge.carry()
    assert page.locator(".dip-about img").count() == 0
    assert "onerror" in page.locator(".dip-about").inner_text()


def test_every_way_to_mark_can_be_chosen_in_the_page(tool, page):
    Bridge(tool, page)
    options = page.locator("select[name=how] option").all()
    assert tuple(option.get_attribute("value") for option in options) == own.WAYS
    pictures = page.locator("select[name=picture] option").all()
    assert [option.get_attribute("value") for option in pictures] == ["", *images.EMBEDDED]
