"""Pictures by name and by path."""

import hashlib
import http.server
import os
import shutil
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from dip_book import images
from dip_book.images import ImageError, load
from PIL import Image


@pytest.fixture(autouse=True)
def no_folder_no_cache(monkeypatch, tmp_path):
    """Neither the developer's folder nor his cache decides a test."""
    monkeypatch.delenv(images.IMAGES_VARIABLE, raising=False)
    monkeypatch.setattr(images, "cache", lambda: tmp_path / "cache")


@pytest.fixture
def tiff(tmp_path):
    """Write a TIFF file that Pillow would not."""
    import tifffile

    def write(array, **options):
        tifffile.imwrite(tmp_path / "picture.tif", array, **options)
        return tmp_path / "picture.tif"

    return write


@pytest.fixture
def make(tmp_path):
    """Write a picture file."""

    def write(array, name="picture.png", mode=None, **options):
        path = tmp_path / name
        Image.fromarray(array, mode).save(path, **options) if mode else Image.fromarray(array).save(
            path, **options
        )
        return path

    return write


GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOUR = np.stack([GREY, GREY + 50, GREY + 100], axis=-1)


@pytest.mark.parametrize("name", images.EMBEDDED)
def test_embedded_pictures(name):
    grey, colour = load(name, size=64), load(name, colour=True)
    assert (
        grey.shape == (64, 64)
        and grey.dtype == np.float32
        and grey.min() >= 0
        and grey.max() <= 1
        and grey.std() > 0.02
    )
    assert colour.ndim == 3 and colour.shape[2] == 3
    assert "CC0" in images.EMBEDDED[name].credit or "public domain" in images.EMBEDDED[name].credit


def test_pixels_of_the_embedded_pictures_are_those_of_the_stored_runs():
    assert (
        images.digest(load("camera", size=128))
        == "990eae597b635c5e22371aa7271f29c3931dadf449e7aead1a8142d55ebc4018"
    )


@pytest.mark.parametrize("name", ["picture.png", "picture.bmp", "picture.tif"])
def test_eight_bits(make, name):
    assert np.array_equal(load(make(GREY, name)), GREY.astype(np.float32) / 255)
    assert np.array_equal(load(make(COLOUR, name), colour=True), COLOUR.astype(np.float32) / 255)


def test_grey_and_colour_into_each_other(make):
    grey = load(make(GREY), colour=True)
    assert grey.shape == (6, 8, 3) and np.array_equal(grey[..., 0], grey[..., 2])
    assert load(make(COLOUR)).shape == (6, 8)


def test_sixteen_bits(make):
    wide = (np.arange(48, dtype=np.uint16) * 1000).reshape(6, 8)
    path = make(wide)
    assert np.allclose(load(path), wide / 65535, atol=1e-7)
    assert np.allclose(load(path, colour=True)[..., 1], wide / 65535, atol=1 / 255)
    assert load(path, size=4).shape == (4, 4)
    assert np.allclose(load(path, size=6), wide[:, 1:7] / 65535, atol=1e-7)


def test_alpha_is_dropped_with_a_word(make):
    alpha = np.full((6, 8, 1), 128, np.uint8)
    with pytest.warns(UserWarning, match="alpha channel: it is dropped"):
        assert np.array_equal(
            load(make(np.concatenate([COLOUR, alpha], -1)), colour=True),
            COLOUR.astype(np.float32) / 255,
        )
    with pytest.warns(UserWarning, match="alpha"):
        assert load(make(np.stack([GREY, alpha[..., 0]], -1), mode="LA")).shape == (6, 8)


def test_the_middle_square_is_resized(make):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 255
    assert (load(make(wide), size=10) == 1).all()
    assert load(make(wide), size=25).shape == (25, 25)


def test_a_photos_orientation_is_respected(make):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert load(make(COLOUR, "photo.jpg", exif=exif)).shape == (8, 6)


def test_to_bytes_takes_every_shape():
    assert images.to_bytes(np.ones((4, 5))).shape == (4, 5)
    assert images.to_bytes(np.ones((1, 4, 5))).shape == (4, 5)
    assert images.to_bytes(np.ones((3, 4, 5))).shape == (4, 5, 3)
    assert images.to_bytes(np.full((4, 5, 3), 2.0)).max() == 255


def test_bytes_stay_bytes_and_ambiguous_shapes_are_right(tmp_path):
    assert np.array_equal(images.to_bytes(COLOUR), COLOUR)
    assert np.array_equal(images.to_bytes(COLOUR.astype(np.uint16) * 257), COLOUR)
    assert np.array_equal(images.to_bytes(torch.from_numpy(COLOUR).permute(2, 0, 1)), COLOUR)
    images.save_png(tmp_path / "a.png", GREY)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), GREY)
    three = COLOUR[:3] / 255  # rows, not channels
    assert np.array_equal(images.to_bytes(three), COLOUR[:3])
    assert np.array_equal(images.to_bytes(three[:, :3]), COLOUR[:3, :3])
    assert images.to_bytes(np.eye(3, dtype=bool)).max() == 255
    assert np.array_equal(
        images.to_bytes(torch.from_numpy(three[:, :3]).permute(2, 0, 1)), COLOUR[:3, :3]
    )


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((4, 5), 200.0), "Divide 8-bit values by 255"),
        (np.full((4, 5), np.nan), "NaN or infinite"),
        (np.ones((4, 5, 2)), "got shape"),
        (np.ones((1, 3, 4, 5)), "got shape"),
        (np.ones((4, 5), np.int64), "no known range"),
    ],
    ids=["255", "nan", "two", "four", "int"],
)
def test_what_is_no_image_is_not_written(image, words):
    with pytest.raises(ImageError, match=words):
        images.to_bytes(image)


# What is wrong, in one clear sentence each ------------------------------------------------


def one_sentence(error):
    return "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_wrong_path(tmp_path):
    with pytest.raises(
        ImageError, match="There is no picture .*nowhere.png.*camera, astronaut.*barbara"
    ) as error:
        load(tmp_path / "nowhere.png")
    assert one_sentence(error)
    with pytest.raises(ImageError, match="is a folder") as error:
        load(tmp_path)
    assert one_sentence(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"not a picture", "no picture of a known kind"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_file(make, tmp_path, content, words):
    path = tmp_path / "broken.png"
    if content is None:  # cut in the middle
        content = make(
            np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8), "whole.png"
        ).read_bytes()[:900]
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as error:
        load(path)
    assert one_sentence(error)


def test_one_pixel(make):
    with pytest.raises(ImageError, match="1×1 pixels: there is nothing to restore") as error:
        load(make(GREY[:1, :1]))
    assert one_sentence(error)
    with pytest.raises(ImageError, match="from 2 to 4,096"):
        load(make(GREY), size=1)


def test_absurd_sizes(make, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 40)
    with pytest.raises(
        ImageError, match="8×6 pixels, more than 40: shrink it to 7×5 or cut"
    ) as error:
        load(make(GREY))
    assert one_sentence(error)


def test_a_decompression_bomb(make, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError, match="shrink it first"):
        load(make(GREY))


def test_floating_point_files(make):
    with pytest.raises(ImageError, match="save it with 8 or 16 bits"):
        load(make(np.random.rand(6, 8).astype(np.float32), "float.tif"))


# The 11 standard images -------------------------------------------------------------------


@pytest.fixture
def web(tmp_path, make, monkeypatch):
    """Two servers' worth of standard images, local: primary/ and mirror/; "house" exists."""
    served = tmp_path / "web"
    for folder in ("primary", "mirror"):
        (served / folder).mkdir(parents=True)
        shutil.copy(make(GREY), served / folder / "house.png")
    asked = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(served))

        def log_message(self, form, *values):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(images, "PRIMARY", f"{base}/primary/")
    monkeypatch.setattr(images, "MIRROR", f"{base}/mirror/")
    sha256 = hashlib.sha256((served / "primary" / "house.png").read_bytes()).hexdigest()
    monkeypatch.setitem(images.STANDARD, "house", replace(images.STANDARD["house"], sha256=sha256))
    yield served, asked
    server.shutdown()
    server.server_close()


def test_the_folder_comes_first(web, monkeypatch):
    served, asked = web
    monkeypatch.setenv(images.IMAGES_VARIABLE, str(served / "primary"))
    assert np.array_equal(load("house"), GREY.astype(np.float32) / 255)
    assert images.available("house") and asked == []


def test_another_picture_under_that_name_is_refused(web, make, monkeypatch, tmp_path):
    make(GREY + 1, "house.png")
    monkeypatch.setenv(images.IMAGES_VARIABLE, str(tmp_path))
    with pytest.raises(ImageError, match="is not the standard test image 'house'"):
        load("house")


def test_downloaded_once(web):
    _, asked = web
    assert not images.available("house")
    for _ in range(2):
        assert load("house").shape == (6, 8)
    assert asked == ["/primary/house.png"] and images.available("house")


@pytest.mark.parametrize("trouble", ["missing", "another picture"])
def test_the_mirror_is_the_second_try(web, make, trouble):
    served, asked = web
    primary = served / "primary" / "house.png"
    primary.unlink() if trouble == "missing" else shutil.copy(make(GREY + 1), primary)
    assert np.array_equal(load("house"), GREY.astype(np.float32) / 255)
    assert asked[-1] == "/mirror/house.png"


def test_neither_folder_nor_network(web):
    served, _ = web
    shutil.rmtree(served)
    with pytest.raises(
        ImageError, match="'house' is missing: DIP_IMAGES is not set, .*could not be downloaded"
    ) as error:
        load("house")
    assert (
        "set DIP_IMAGES to a folder that holds house.png" in str(error.value)
        and one_sentence(error) is True
    )


def test_the_eleven():
    assert len(images.STANDARD) == 11
    assert all(len(image.sha256) == 64 for image in images.STANDARD.values())


# What Pillow reads as something else ----------------------------------------------------------

WIDE = (np.arange(48).reshape(6, 8) * 1000 + 500).astype(np.uint16)


def test_16_bits_with_a_transparent_value(make):
    """They are not clipped to white on the way."""
    path = make(WIDE, transparency=500)
    with pytest.warns(UserWarning, match="alpha channel: it is dropped"):
        assert np.allclose(load(path), WIDE / 65535)


def test_16_bits_of_which_0_is_white(tiff):
    assert np.allclose(load(tiff(WIDE, photometric="miniswhite")), 1 - WIDE / 65535)


def test_16_bits_plane_by_plane_are_refused(tiff):
    planes = np.stack([WIDE, WIDE, WIDE])
    with pytest.raises(ImageError, match="one after the other"):
        load(tiff(planes, photometric="rgb", planarconfig="separate"))
    assert load(tiff(planes.transpose(1, 2, 0), photometric="rgb")).shape == (6, 8)


def test_12_bits_in_16_are_said(make):
    with pytest.warns(UserWarning, match="no value above 2,968.*nearly black"):
        load(make(WIDE // 16))


@pytest.mark.parametrize("mode", ["grey", "colour"])
def test_colours_multiplied_by_alpha(tiff, mode):
    array, kind = (GREY, "minisblack") if mode == "grey" else (COLOUR, "rgb")
    samples = np.dstack([array, np.full((6, 8), 255, np.uint8)])
    path = tiff(samples, photometric=kind, extrasamples=["assocalpha"])
    try:
        with images.opened(path, 100):
            pass
    except images.UnknownKind:
        return  # Pillow before 12 knows no such grey
    with pytest.warns(UserWarning, match="alpha channel: it is dropped"):
        assert np.allclose(load(path, colour=mode == "colour"), array / 255)


def test_a_folder_is_said_once(tmp_path):
    with pytest.raises(ImageError) as error:
        load(tmp_path)
    assert str(error.value).startswith(f"'{tmp_path}' is a folder")


def test_pictures_read_by_several_threads_leave_the_process_its_voice(make):
    """One of them must not find the other's silence, and keep that."""
    path, waiting = make(GREY), threading.Barrier(2, timeout=30)
    before, filters = os.fstat(2), list(warnings.filters)

    def first():
        with images.hushed():
            waiting.wait()  # the other is in there too
            waiting.wait()

    def second():
        waiting.wait()
        with images.hushed():
            waiting.wait()
            thread.join(30)  # the first has gone
            load(path)

    thread, other = threading.Thread(target=first), threading.Thread(target=second)
    thread.start(), other.start()
    thread.join(60), other.join(60)
    assert os.path.samestat(os.fstat(2), before)
    assert warnings.filters == filters


def test_threads_may_save_pictures_whose_long_names_begin_alike(tmp_path, monkeypatch):
    paths = [tmp_path / f"{'summer holiday with grandmother, ' * 2}{n}.png" for n in range(2)]
    waiting, replace_file = threading.Barrier(2, timeout=30), os.replace

    def replaced(draft, path):
        waiting.wait()  # both drafts are written
        replace_file(draft, path)

    monkeypatch.setattr(images.os, "replace", replaced)
    pictures = [np.full((4, 5), n / 2) for n in range(2)]
    threads = [
        threading.Thread(target=images.save_png, args=pair)
        for pair in zip(paths, pictures, strict=True)
    ]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    for path, picture in zip(paths, pictures, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), images.to_bytes(picture))
