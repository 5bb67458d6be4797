"""What callers of the book's functions may do, and a figure that left its page."""

import errno
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from dip_book import images, runs, table
from dip_book.restoring import classical, core, held_out, photos
from dip_book.results import compared, tables, trust
from dip_book.runs import Spec, sweeps
from dip_book.show import costs, explorer, figures, readings, views
from PIL import Image

import dip_blocks


@pytest.mark.parametrize(
    "value",
    [
        {"minutes": "2"}, {"minutes": float("inf")}, {"iterations": "2"}, {"iterations": 1.5},
        {"seed": "0"}, {"seed": -1}, {"recipe": ["best"]}, {"work": "/dev/null/x"},
        {"minutes": True}, {"iterations": True}, {"work": __file__}, {"work": 5},
    ],
    ids=str,
)  # fmt: skip
def test_fill_says_what_is_wrong_with_a_value(picture, value):
    known = np.ones(picture.shape, bool)
    known[4:8, 4:8] = False
    with pytest.raises(runs.RunError):
        core.fill(picture, known, **{"iterations": 1, "device": "cpu"} | value)


@pytest.mark.parametrize(
    "value",
    [
        {"minutes": "2"}, {"minutes": True}, {"seed": "0"}, {"seed": 1.5}, {"iterations": 2.5},
        {"iterations": True}, {"grow": "2"}, {"grow": float("nan")}, {"tolerance": "3"},
        {"missing": (0, 0, 0)}, {"recipe": 5}, {"device": 5}, {"precision": 5},
        {"mask": np.ones((4, 4))}, {"mask": True}, {"to": b"x.png"}, {"picture": None},
        {"picture": np.ones((4, 4))}, {"picture": Image.new("L", (4, 4))}, {"picture": ["x.png"]},
    ],
    ids=lambda value: f"{[*value][0]} {type([*value.values()][0]).__name__}",
)  # fmt: skip
def test_restore_says_what_is_wrong_with_a_value(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save("x.png")
    with pytest.raises((runs.RunError, images.ImageError)) as error:
        photos.restore(**{"picture": "x.png", "to": "y.png", "say": None} | value)
    assert str(error.value).endswith(".") and not (tmp_path / "y.png").exists()


def test_many_pictures_may_be_one(tmp_path, monkeypatch):
    """And a text is no list of its letters."""
    heard = []
    monkeypatch.setattr(photos, "restore", lambda picture, to, **options: heard.append(picture))
    for pictures in ("x.png", Path("x.png"), ["x.png"], iter(["x.png"])):
        assert photos.restore_all(pictures, tmp_path / "y.png") == 0
    assert heard == [Path("x.png")] * 4


@pytest.mark.parametrize("pictures", [None, 5, [None], ["x.png", None]], ids=str)
def test_pictures_that_are_none_are_named(tmp_path, monkeypatch, pictures):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(images.ImageError, match="are named by their paths, not (NoneType|int)"):
        photos.restore_all(pictures, tmp_path)


class Tee:
    """What scripts put in the place of stdout: all that `print` asks of a stream."""

    def __init__(self):
        self.written = ""

    def write(self, text):
        self.written += text

    def flush(self):
        pass


def test_a_script_s_own_stdout_may_be_no_whole_stream(tmp_path, monkeypatch, picture):
    monkeypatch.chdir(tmp_path)
    images.save_png("x.png", np.where(picture > 0.2, picture, 0))
    closed, ascii_alone = io.StringIO(), io.TextIOWrapper(io.BytesIO(), "ascii")
    closed.close()
    for number, stream in enumerate((Tee(), None, closed, ascii_alone)):
        with monkeypatch.context() as there:
            there.setattr(sys, "stdout", stream)
            to = photos.restore("x.png", f"é{number}.png", iterations=1)
        assert to.is_file()
        if isinstance(stream, Tee):
            assert stream.written.endswith("Written: é0.png\n")
    ascii_alone.flush()
    assert ascii_alone.buffer.getvalue().endswith(b"Written: ?3.png\n")


@pytest.mark.parametrize("kind", ["bfloat16", "sparse"])
def test_fill_takes_no_tensor_that_is_no_array(picture, kind):
    x = torch.tensor(picture)
    x = x.bfloat16() if kind == "bfloat16" else x.to_sparse()
    with pytest.raises(images.ImageError, match="is no picture: pass image.float"):
        core.fill(x, picture > 0.1)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_an_early_stop_has_nothing_of_what_is_missing(picture, number):
    """Not even through the first, smooth filling."""
    known = np.ones(picture.shape, bool)
    known[4:8, 4:8] = False
    holed = np.where(known, picture, np.float32(number))
    filled = core.fill(holed, known, iterations=1, device="cpu", stop=lambda: True)
    assert filled.interrupted and np.isfinite(filled.image).all()


def test_fill_takes_no_masked_array(picture):
    hidden = np.ma.MaskedArray(picture > 0.5, mask=picture < 0.2)
    with pytest.raises(images.ImageError, match="hides pixels"):
        core.fill(picture, hidden)


def test_whoever_is_shown_the_picture_may_draw_on_it(picture):
    known = np.ones(picture.shape, bool)
    known[4:8, 4:8] = False

    def draw(seen):
        if seen.image is not None:
            seen.image[:] = 0

    filled = core.fill(picture, known, iterations=1, device="cpu", progress=draw)
    assert np.array_equal(filled.image[known], picture[known])


def test_pictures_by_what_is_no_name_or_size():
    for name, size in (("camera", 64.0), ("camera", "64"), (None, 64), (["camera"], 64)):
        with pytest.raises(images.ImageError):
            images.load(name, size)


def test_a_png_is_a_png_whatever_its_name(tmp_path, picture):
    images.save_png(tmp_path / "x.jpg", torch.tensor(picture).bfloat16().requires_grad_())
    assert (tmp_path / "x.jpg").read_bytes().startswith(b"\x89PNG")


def test_no_run_to_show_is_said():
    with pytest.raises(ValueError, match="no run to show"):
        explorer.Explorer([])


def test_a_figure_outside_the_book_and_in_a_saved_page(browser, picture, tmp_path):
    """No theme hides what is hidden; what tells that a figure is rendered is not saved with it."""
    page = tmp_path / "page.html"
    page.write_text("<!doctype html>" + views.mask_view(picture[:16, :16])._repr_html_())
    tab = browser.new_page()
    for _ in range(2):
        tab.goto(page.as_uri())
        assert tab.locator("img:visible").count() == 3
        assert not tab.get_by_text("not run at this p").locator("visible=true").count()
        tab.locator("input").fill("7")
        assert tab.locator(".dip-p").inner_text() == "p = 0.7"
        page.write_text(tab.content())
        tab.locator("input").fill("0")
    tab.close()


def test_keys_at_the_board_of_blocks_are_no_commands_of_the_notebook(browser, tmp_path):
    """To JupyterLab "d d" at a button deletes the cell."""
    page = tmp_path / "page.html"
    view = views.network_view(dip_blocks.BLOG.config, height=128, width=128)
    page.write_text("<!doctype html>" + view._repr_html_())
    tab = browser.new_page()
    tab.goto(page.as_uri())
    tab.evaluate("""() => {
      window.heard = [];
      document.addEventListener("keydown", (event) => window.heard.push(event.key));
    }""")
    tab.locator(".dip-net button").first.focus()
    for key in ("d", "d", "Control+s"):
        tab.keyboard.press(key)
    assert tab.evaluate("window.heard") == ["Control", "s"]
    tab.close()


TINY = (("depth", 2), ("width", 4))


def test_a_loop_over_numpy_s_numbers_makes_the_same_runs(tmp_path):
    """A record holds Python's numbers alone: found out after the fit, the fit would be lost."""
    changes = {"depth": np.int64(2), "width": np.int32(4), "lr": np.float32(0.25)}
    given = Spec(
        np.str_("brick"), np.int64(16), "blog", changes, np.int64(2), np.int64(3),
        mask_seed=np.uint8(1), p=np.float32(0.25),
    )  # fmt: skip
    same = Spec("brick", 16, "blog", (*TINY, ("lr", 0.25)), 2, 3, mask_seed=1, p=0.25)
    assert given == same and hash(given) == hash(same) and given.path == same.path
    sweeps.perform(given, tmp_path, device="cpu", progress=False)
    assert runs.stored(same, tmp_path).facts["seeds"] == same.seeds


def test_changes_in_any_form_are_pairs():
    pairs = Spec("brick", changes=TINY)
    for given in (dict(TINY), [["depth", 2], ["width", 4]], (pair for pair in TINY)):
        assert Spec("brick", changes=given) == pairs
    for wrong in (("depth", 2), ("lr", "up"), "lr", 5, None, [(["depth"], 2)], {1: 2}):
        with pytest.raises(runs.RunError, match="changes: pairs of a name and a value"):
            Spec("brick", changes=wrong)


@pytest.mark.parametrize(
    "value",
    [
        {"recipe": dip_blocks.QUICK}, {"recipe": ["blog"]}, {"image": None},
        {"image": np.ones((4, 4))}, {"seed": "1"}, {"seed": None}, {"mask_seed": "1"},
        {"iterations": "100"}, {"p": "0.5"}, {"p": None}, {"task": None},
        {"precision": torch.float32}, {"changes": {"depth": None}}, {"changes": {"depth": True}},
        {"changes": {"width": [4, 4]}}, {"changes": {"width": True}},
    ],
    ids=lambda value: f"{[*value][0]} {type([*value.values()][0]).__name__}",
)  # fmt: skip
def test_a_run_says_what_is_wrong_with_a_value(value):
    with pytest.raises(runs.RunError, match=r"(?s)not .*\.$"):
        Spec(**{"image": "brick"} | value).resolved()


def test_a_store_is_named_by_a_text_too(tmp_path):
    store, spec = str(tmp_path / "runs"), Spec("brick", 16, "blog", TINY, 2)
    run = sweeps.perform(spec, store, device="cpu", progress=False)
    assert runs.stored(spec, store).facts == run.facts == runs.find(store)[0].facts
    assert runs.read(f"{store}/{spec.path}").facts == run.facts
    assert runs.paths(store) == [spec.path] and not sweeps.progress_of(spec, store)
    (box,) = runs.pack([str(spec.path)], store, f"{tmp_path}/box")
    assert list(runs.unpack(str(box), f"{tmp_path}/there")) == [(spec.path, "new")]
    assert runs.tidy(store, {spec.path: "record"}) and trust.read("attacks.json", store) == {}


def test_a_run_keeps_its_pictures_in_whichever_folder_its_reader_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = Spec("brick", 16, "blog", TINY, 2)
    sweeps.perform(spec, Path("runs"), device="cpu", progress=False)
    (found,) = runs.find(Path("runs"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert found.raw.shape == (16, 16) and runs.check(found) is found


def test_what_a_checkpoint_is_of_may_be_numpy_s(picture, tmp_path):
    known = np.ones(picture.shape, bool)
    known[4:8, 4:8] = False
    how = {"iterations": 1, "device": "cpu", "minutes": np.float32(1), "smaller": np.bool_(False)}
    how |= {"recipe": "best-hidden-shallow"}
    one = core.fill(picture, known, work=tmp_path, **how)
    how |= {"minutes": 1, "smaller": False}
    assert np.array_equal(core.fill(picture, known, work=tmp_path, **how).image, one.image)
    timed = how | {"minutes": np.float32(0.02), "iterations": None}
    core.fill(picture, known, work=tmp_path / "timed", **timed)


def test_what_is_shown_is_what_was_given(picture):
    x = images.to_bytes(picture)
    for form in (picture.astype(">f4"), (x * 257.0).astype(">u2"), torch.tensor(x).to_sparse()):
        assert np.array_equal(images.to_bytes(form), x)
    red = Image.new("RGB", (5, 4), (255, 0, 0))
    for mode in ("P", "HSV"):  # their numbers are no colours
        assert (images.to_bytes(red.convert(mode)) == (255, 0, 0)).all()
    with pytest.raises(images.ImageError, match="masked array"):
        figures.row({"hidden": np.ma.MaskedArray(picture, mask=picture > 0.5)})


def test_what_a_network_draws_is_shown_in_the_middle_of_a_computation(picture):
    drawn = torch.tensor(picture).requires_grad_()
    views.steps_view({"one": {"drawn": drawn}}, "state", "a picture")
    assert views.difference(drawn, picture)[1] == 16
    for values in (drawn, drawn.bfloat16()):
        figures.ranges({"drawn": values}, "value")
    (axis,) = figures.ranges({"x": np.ma.masked_less([0.0, 0.5, 1.0], 0.5)}, "value").axes
    assert axis.get_xlim()[0] > 0.4  # what a masked array hides is not drawn
    with pytest.raises(ValueError, match="of one shape"):
        views.difference(picture, picture[:2])
    with pytest.raises(ValueError, match="no values"):
        figures.ranges({}, "value")


def test_a_title_may_be_a_number(picture):
    shown = figures.row({0.5: picture, 1: picture})
    assert "0.5" in shown._repr_html_() and shown.figure.axes[0].get_title() == "0.5"


def test_an_explorer_shows_runs_alone():
    run = runs.find(image="camera", recipe="quick")[0]
    assert len(explorer.Explorer(run).data["runs"]) == 1
    for wrong in ([run, None], ["quick"]):
        with pytest.raises(ValueError, match="among these is"):
            explorer.Explorer(wrong)


def test_a_form_that_no_table_has_is_named():
    with pytest.raises(ValueError, match="markdown, latex, csv, not 'html'"):
        table.Table(["a"], [[1]]).to("html")


def test_a_drawing_has_the_blocks_that_the_network_has():
    def words(config: dict) -> list[str]:
        return [text.get_text() for text in figures.network(config, 64, 64).axes[0].texts]

    blog, second = words(dip_blocks.BLOG.config), words(dip_blocks.PAPER.config)
    assert any("connect" in text for text in blog) and r"$s_1$    4 × 32×32" in blog
    assert not any("connect" in text for text in second) and r"$s_1$    4 × 64×64" in second


SQUARE, KNOWN = np.full((8, 8, 1), 0.5, np.float32), np.ones((8, 8), bool)
BLOG = dip_blocks.BLOG.config


@pytest.mark.parametrize(
    ("said", "call"),
    [
        ("under their titles", lambda: figures.row({})),
        ("under their titles", lambda: figures.row([SQUARE, SQUARE])),
        ("under their titles", lambda: figures.row(SQUARE)),
        *(
            ("picture of height 8", lambda crop=crop: figures.row({"x": SQUARE}, crop=crop))
            for crop in (
                (8, 0, 4, 4), (0, 5, 4, 4), (-4, 0, 4, 4), (0, 0, 0, 4), (0, 0, 4), (0, 0, 4, 4.0),
                5,
            )
        ),
        *(
            (next(iter(how)), lambda how=how: figures.row({"x": SQUARE}, **how))
            for how in (
                {"columns": 0}, {"columns": 1.5}, {"width": -1}, {"width": 0},
                {"width": float("nan")}, {"width": "8"},
            )
        ),
        *(
            ("is no history", lambda other=other: figures.curves({"x": other}))
            for other in (SQUARE, [1, 2], None, [[1]])
        ),
        ("loss, psnr or lr", lambda: figures.curves({}, what="mse")),
        ("Histories have names", lambda: figures.curves([])),
        ("nothing to draw", lambda: costs.growth([])),
        ("nothing to draw", lambda: costs.gains([])),
        ("there are best, best-wide, two-upsamplings", lambda: tables.members(recipe="quick")),
        ("No mean", lambda: tables.members(recipe=["best"])),
        ("No recipe is called 'nope'", lambda: compared.recipes("quick", "nope")),
        ("the mean of several networks", lambda: compared.recipes("best")),
        ("No pixel is known", lambda: classical.biharmonic(SQUARE, ~KNOWN, KNOWN)),
        ("No pixel is known", lambda: classical.quick(SQUARE, ~KNOWN)),
        ("of a grey one", lambda: classical.biharmonic(SQUARE[..., 0], KNOWN, KNOWN)),
        ("of a grey one", lambda: classical.quick(SQUARE.tolist(), KNOWN)),
        ("not float64", lambda: classical.biharmonic(SQUARE, KNOWN * 1.0, KNOWN)),
        (r"not bool of shape \(4, 8\)", lambda: classical.biharmonic(SQUARE, KNOWN, KNOWN[:4])),
        *(
            ("a multiple of 64", lambda size=size: readings.assembled(BLOG, size=size))
            for size in ("128", 0, 1, 100, 1e9, 64 * 10**9)
        ),
        ("must be a dictionary", lambda: readings.assembled(dip_blocks.BLOG)),
        ("config lacks", lambda: readings.assembled({})),
        *(
            ("A seed must be", lambda seed=seed: held_out.choose(KNOWN, seed=seed))
            for seed in (-1, "a", None, 0.5, [0, -1])
        ),
        *(
            ("colour: True", lambda colour=colour: images.load("astronaut", colour=colour))
            for colour in ("grey", 1)
        ),
        *(
            ("a Spec, such as", lambda call=call: call("camera"))
            for call in (runs.stored, runs.state, lambda spec: next(sweeps.sweep([spec])))
        ),
        *(
            ("Specs in a list", lambda specs=specs: next(sweeps.sweep(specs)))
            for specs in (Spec("brick"), "brick", None)
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_value_is_said_in_a_sentence(said, call):
    with pytest.raises(ValueError, match=said) as error:
        call()
    assert str(error.value).endswith(".")


def test_what_is_cut_out_lies_inside_the_picture(picture):
    shown = figures.row({"x": picture}, crop=(np.int64(0), 4, 4, picture.shape[1] - 4))
    assert f'width="{picture.shape[1] - 4}" height="4"' in shown._repr_html_()


@pytest.mark.parametrize("name", ["no/x.png", "folder", "x\0.png"], ids=["no folder", "", "zero"])
def test_a_picture_that_cannot_be_written_is_said(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(images.ImageError, match="cannot be written: .* Name a file"):
        images.save_png(tmp_path / name, SQUARE)


@pytest.mark.parametrize("path", [None, 1, b"x.png", io.BytesIO()], ids=lambda p: type(p).__name__)
def test_a_picture_is_saved_under_a_path(path):
    with pytest.raises(images.ImageError, match="saved under a name or path, not "):
        images.save_png(path, SQUARE)


def test_a_picture_that_was_there_outlives_a_full_disk(tmp_path, monkeypatch):
    images.save_png(tmp_path / "x.png", SQUARE)
    before = (tmp_path / "x.png").read_bytes()
    write = Path.write_bytes

    def full(path, data):
        write(path, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(images.ImageError, match="No space left"):
        images.save_png(tmp_path / "x.png", 1 - SQUARE)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == before


def test_a_picture_into_a_pipe(tmp_path):
    """A device or a pipe is written into, and nothing takes its place."""
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        images.save_png(tmp_path / "pipe", SQUARE)
        assert read.result(timeout=60).startswith(b"\x89PNG")
    assert (tmp_path / "pipe").is_fifo()
