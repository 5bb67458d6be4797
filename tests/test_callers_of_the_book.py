"""What callers of the book's functions may do, and a figure that left its page."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dip_book import images, runs
from dip_book.restoring import core, photos
from dip_book.show import explorer, views
from PIL import Image


@pytest.mark.parametrize(
    "value",
    [
        {"minutes": "2"}, {"minutes": float("inf")}, {"iterations": "2"}, {"iterations": 1.5},
        {"seed": "0"}, {"seed": -1}, {"recipe": ["best"]}, {"work": "/dev/null/x"},
        {"minutes": True}, {"iterations": True}, {"work": __file__},
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
