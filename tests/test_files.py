"""Picture files of all kinds: what is read, what a mask means, what is written again."""

import io
import os
import struct
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tifffile
from dip_book import images
from dip_book.images import ImageError
from dip_book.restoring import files, masks, photos
from dip_book.restoring.files import read
from dip_book.runs import RunError, placing
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

RNG = np.random.default_rng(0)
GREY = RNG.integers(1, 256, (24, 30)).astype(np.uint8)
COLOUR = RNG.integers(1, 256, (24, 30, 3)).astype(np.uint8)
GREY16 = RNG.integers(1, 65536, (24, 30)).astype(np.uint16)
COLOUR16 = RNG.integers(1, 65536, (24, 30, 3)).astype(np.uint16)
HOLE = np.zeros((24, 30), bool)
HOLE[5:9, 10:20] = True
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photos, "work_root", lambda: tmp_path / ".work")


def fake(image, known, *, progress=None, **options):
    """Fills with one value; checks what it is given."""
    assert image.dtype == np.float32 and known.dtype == bool and known.any()
    assert image.shape[:2] == known.shape and image.min() >= 0 and image.max() <= 1
    filled = image.copy()
    filled[~known] = 0.5
    return photos.core.Filled(filled, {}, "Filled.", False)


@pytest.fixture
def filling(monkeypatch):
    monkeypatch.setattr(photos.core, "fill", fake)


def write(name, array, mode=None, **options):
    """A picture file by Pillow."""
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(name, **options)
    return name


def png16(name, samples):
    """16-bit PNG with any number of channels."""
    with open(name, "wb") as file:
        file.write(files._png16(np.atleast_3d(samples)))
    return name


def mask(name="mask.png", gone=HOLE):
    return write(name, np.where(gone, 0, 255).astype(np.uint8))


def said(error):
    """The message, which is a sentence (or two) on one line."""
    text = str(error.value)
    assert "\n" not in text and text[-1] in ".?"
    return text


# What is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp", "a.ppm"])
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_eight_bits(name, array):
    photo = read(write(name, array, **({"lossless": True} if name == "a.webp" else {})))
    grey_as_colour = array.ndim == 2 and name == "a.webp"
    expected = np.dstack([array] * 3) if grey_as_colour else array
    assert photo.pixels.dtype == np.uint8 and np.array_equal(photo.pixels, expected)
    assert photo.alpha is None and not photo.lossy and not photo.notes


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif"])
def test_lossy_files_are_known_as_such(name):
    assert read(write(name, COLOUR)).lossy


def test_a_lossless_webp_with_alpha_and_metadata_is_lossless():
    samples = np.dstack([COLOUR, GREY])
    name = write("a.webp", samples, lossless=True, exact=True, icc_profile=SRGB)
    photo = read(name)
    assert not photo.lossy and np.array_equal(photo.pixels, COLOUR) and photo.icc == SRGB
    assert np.array_equal(photo.alpha, GREY)


def test_all_bits_of_16_bit_png():
    assert np.array_equal(read(write("g.png", GREY16)).pixels, GREY16)
    for samples in (COLOUR16, np.dstack([COLOUR16, GREY16]), np.dstack([GREY16, GREY16 // 2])):
        photo = read(png16("a.png", samples))
        count = samples.shape[2]
        pixels = samples[..., 0] if count == 2 else samples[..., :3]
        assert photo.bits == 16 and np.array_equal(photo.pixels, pixels)
        assert (photo.alpha is None) == (count == 3)
        assert count == 3 or np.array_equal(photo.alpha, samples[..., -1])


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_all_bits_of_16_bit_tiff(compression, orientation):
    tag = [(274, "H", 1, orientation, True)]
    if compression == "lzw":  # only read where OpenCV is: tifffile needs a further library
        cv2 = pytest.importorskip("cv2")
        cv2.imwrite("a.tif", COLOUR16[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
        assert np.array_equal(read("a.tif").pixels, COLOUR16)
        return
    turned = COLOUR16 if orientation == 1 else np.rot90(COLOUR16, -1)
    options = {"compression": compression, "extratags": tag, "metadata": None}
    tifffile.imwrite("a.tif", COLOUR16, photometric="rgb", **options)
    assert np.array_equal(read("a.tif").pixels, turned)
    samples = np.dstack([COLOUR16, GREY16])
    tifffile.imwrite("b.tif", samples, photometric="rgb", extrasamples=["unassalpha"], **options)
    photo = read("b.tif")
    assert np.array_equal(photo.pixels, turned)
    assert np.array_equal(photo.alpha, GREY16 if orientation == 1 else np.rot90(GREY16, -1))
    tifffile.imwrite(
        "c.tif", np.dstack([GREY16, GREY16 // 2]), photometric="minisblack",
        planarconfig="contig", extrasamples=["unassalpha"], **options,
    )  # fmt: skip
    grey = read("c.tif")
    assert grey.pixels.ndim == 2 and np.array_equal(
        grey.pixels, GREY16 if orientation == 1 else np.rot90(GREY16, -1)
    )


def test_white_may_be_zero_in_tiff():
    tifffile.imwrite("a.tif", GREY16, photometric="miniswhite")
    assert np.array_equal(read("a.tif").pixels, 65535 - GREY16)


def test_a_12_bit_scan_uses_its_own_white():
    scan = RNG.integers(0, 1960, (24, 30)).astype(np.uint16)
    scan[HOLE] = 65535  # damage that is painted over does not make a scan dark
    photo = read(write("a.png", scan))
    known = ~HOLE
    x = photo.floats(known)
    assert len(np.unique(x[known])) == len(np.unique(scan[known])) and x.max() > 0.9
    assert np.array_equal(photo.merged(x, HOLE, known)[known], scan[known])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_upright_whatever_the_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    write("a.png", COLOUR, exif=exif)
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(Image.open("a.png")))
    photo = read("a.png")
    assert np.array_equal(photo.pixels, expected)
    assert photo.turned == ((30, 24) if orientation >= 5 else None)


def test_palettes_become_colours_and_grey_ones_grey():
    picture = Image.fromarray(COLOUR).quantize(16)
    assert np.array_equal(read(write("a.png", picture)).pixels, np.asarray(picture.convert("RGB")))
    clear = read(write("b.png", picture, transparency=3))
    assert np.array_equal(clear.alpha == 0, np.asarray(picture) == 3)
    grey = Image.fromarray(GREY).quantize(8)
    assert read(write("c.gif", grey)).pixels.ndim == 2


def test_grey_with_alpha_and_with_a_transparent_value():
    samples = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY // 2)])
    photo = read(write("a.png", samples))
    assert np.array_equal(photo.pixels, GREY) and np.array_equal(photo.alpha, GREY // 2)
    photo = read(write("b.png", GREY, transparency=int(GREY[0, 0])))
    assert np.array_equal(photo.alpha == 0, GREY[0, 0] == GREY)
    photo = read(write("c.png", GREY16, transparency=int(GREY16[0, 0])))
    assert np.array_equal(photo.alpha == 0, GREY16[0, 0] == GREY16)


@pytest.mark.parametrize(("bits", "value"), [(1, 0), (1, 1), (2, 2), (4, 3), (8, 3)])
def test_a_transparent_value_of_few_bits(bits, value):
    """Pillow spreads the pixels over 0 to 255, and leaves the value as it stands in the file."""
    levels = RNG.integers(0, 2**bits, (8, 8))
    levels[0, 0], levels[0, 1] = value, value ^ 1
    rows = np.unpackbits(levels.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
    rows = np.packbits(rows.reshape(8, -1), axis=1)
    header = struct.pack(">IIBBBBB", 8, 8, bits, 0, 0, 0, 0)
    data = zlib.compress(np.hstack([np.zeros((8, 1), np.uint8), rows]).tobytes())
    chunks = [(b"IHDR", header), (b"tRNS", struct.pack(">H", value)), (b"IDAT", data)]
    content = b"".join(files._chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))
    Path("few.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    photo = read("few.png")
    assert np.array_equal(photo.pixels, levels * 255 // (2**bits - 1))
    assert np.array_equal(photo.alpha == 0, levels == value)


@pytest.mark.parametrize("array", [GREY16, COLOUR16, GREY], ids=["grey16", "colour16", "grey8"])
def test_a_further_channel_of_tiff_is_what_the_file_calls_it(array):
    """No alpha where it does not say so; where colours were multiplied by it, they are not now."""
    white = np.iinfo(array.dtype).max
    alpha = np.full(array.shape[:2], white, array.dtype)
    alpha[:4] = white // 2 + 1
    less = alpha if array.ndim == 2 else alpha[..., None]
    multiplied = np.round(array / white * less).astype(array.dtype)
    kind = "rgb" if array.ndim == 3 else "minisblack"
    for what, pixels in (("unspecified", array), ("unassalpha", array), ("assocalpha", multiplied)):
        samples = np.dstack([pixels, alpha])
        tifffile.imwrite("more.tif", samples, photometric=kind, extrasamples=[what])
        try:
            photo = read("more.tif")
        except images.UnknownKind:
            assert what != "unassalpha" and pixels.ndim == 2  # Pillow before 12 knows no such grey
            continue
        apart = np.abs(photo.pixels.astype(int) - array)
        assert apart.max() <= (1 if what == "assocalpha" else 0)
        assert not apart[4:].any(), "what is opaque has all its bits"
        if what == "unspecified":
            assert photo.alpha is None and ("left out" in "".join(photo.notes) or white == 255)
        else:
            assert np.array_equal(photo.alpha, alpha)


def test_bits_that_nobody_reads_are_said():
    Path("wide.ppm").write_bytes(b"P6\n30 24\n65535\n" + COLOUR16.astype(">u2").tobytes())
    Path("plain.ppm").write_bytes(b"P6\n30 24\n255\n" + COLOUR.tobytes())
    inks = np.dstack([COLOUR16, GREY16])
    tifffile.imwrite("inks.tif", inks, photometric="separated")
    for name in ("wide.ppm", "inks.tif"):
        assert "has 16 bits, of which 8 are read" in read(name).notes[-1]
    assert read("plain.ppm").notes == []


def test_one_bit():
    photo = read(write("a.png", ~HOLE))
    assert np.array_equal(photo.pixels, np.where(HOLE, 0, 255))


def test_channels_that_are_no_colours_are_said(tmp_path):
    path = tmp_path / "five.tif"
    five = np.random.default_rng(0).integers(0, 255, (12, 14, 5), np.uint8)
    extra = {"photometric": "rgb", "extrasamples": ["unspecified", "unspecified"]}
    tifffile.imwrite(path, five, **extra)
    photo = read(path)
    assert np.array_equal(photo.pixels, five[..., :3])
    said = f"Channels of '{path}' that are neither colours nor transparency are left out: "
    assert photo.notes == [f"{said}2."]
    more = np.concatenate([five, five[..., :1]], axis=2)
    tifffile.imwrite(path, more, photometric="rgb", extrasamples=["unassalpha", "unspecified", 0])
    assert read(path).alpha is not None and read(path).notes == [f"{said}2."]
    tifffile.imwrite(path, five[..., :3], photometric="rgb")
    assert read(path).notes == []


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_inks_and_lab_are_read_as_rgb_and_that_is_said(mode):
    picture = Image.fromarray(COLOUR)
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(
            picture, ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
        )
    photo = read(write("a.tif", picture, mode if mode == "CMYK" else None))
    assert photo.pixels.shape == COLOUR.shape and photo.icc is None
    assert f"is {mode}: it is read, and written, as RGB." in photo.notes[0]
    if mode == "CMYK":
        assert np.array_equal(photo.pixels, COLOUR)


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png", "a.webp"])
def test_of_several_pictures_the_first_is_taken_and_that_is_said(name):
    others = [Image.fromarray(COLOUR[::-1].copy()), Image.fromarray(COLOUR[:, ::-1].copy())]
    options = {"lossless": True} if name == "a.webp" else {}
    write(name, COLOUR, save_all=True, append_images=others, **options)
    photo = read(name)
    assert f"'{name}' holds 3 pictures: the first is restored" in photo.notes[0]
    if name != "a.gif":
        assert np.array_equal(photo.pixels, COLOUR)


def test_a_heic_file_is_read_or_its_reader_is_named(monkeypatch):
    Path("a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with monkeypatch.context() as patch:
        patch.setattr(files.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImageError, match="is a HEIC file: install pillow-heif") as error:
            read("a.heic")
        said(error)
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(COLOUR)).save("a.heic", quality=-1)
    photo = read("a.heic")
    assert photo.pixels.shape == COLOUR.shape and photo.lossy


def test_16_bits_of_colour_without_opencv_name_it(monkeypatch):
    png16("a.png", COLOUR16)
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(ImageError, match="install OpenCV") as error:
        read("a.png")
    said(error)


def broken_files():
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "PNG")
    png = buffer.getvalue()
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "JPEG")
    wide = files._png16(COLOUR16)
    yield "empty", b"", "it is empty"
    yield "text", b"hello, this is no picture", "no picture of a known kind"
    yield "cut.png", png[:700], "broken or cut off"
    yield "cut.jpg", buffer.getvalue()[:600], "broken or cut off"
    yield "cut16.png", wide[:900], "broken or cut off"
    yield "head.png", png[:20], "broken or cut off"
    yield "damaged.png", png[:300] + bytes(200) + png[500:], "broken or cut off"


@pytest.mark.parametrize(
    ("name", "content", "words"), [*broken_files()], ids=lambda part: str(part)[:9]
)
def test_broken_files(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=words) as error:
        read(name)
    assert name in said(error)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(ImageError, match="There is no picture 'none.png'"):
        read("none.png")
    with pytest.raises(ImageError, match="is a folder: name the pictures in it"):
        read(tmp_path)


@pytest.mark.parametrize("kind", ["minisblack", "rgb"])
def test_floating_point_is_refused(kind):
    shape = (24, 30) if kind == "minisblack" else (24, 30, 3)
    tifffile.imwrite("a.tif", RNG.random(shape).astype(np.float32), photometric=kind)
    with pytest.raises(ImageError, match="floating-point pixels") as error:
        read("a.tif")
    said(error)


def test_whole_numbers_without_a_range_are_refused():
    write("a.tif", (GREY16.astype(np.int32) - 500))
    with pytest.raises(ImageError, match="holds whole numbers from -") as error:
        read("a.tif")
    said(error)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"


@pytest.mark.parametrize(
    "content", [EPS, b"DDS " + bytes(200), b"<svg/>", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99)],
    ids=["EPS", "DDS", "SVG", "JPEG 2000"],
)  # fmt: skip
def test_only_named_formats_are_opened_whatever_a_file_is_called(content, monkeypatch):
    """Pillow would start Ghostscript for the first."""
    import subprocess

    monkeypatch.setattr(subprocess, "check_call", lambda *a, **k: pytest.fail("a program"))
    Path("a.png").write_bytes(content)
    for opener in (read, images.load):
        with pytest.raises(ImageError, match="no picture of a known kind") as error:
            opener("a.png")
        said(error)


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_what_is_no_file_is_never_waited_for(kind, tmp_path):
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    path = Path("/dev/zero") if kind == "device" else path
    for opener in (read, images.load):
        with pytest.raises(ImageError, match="is a pipe or a device|symbolic links") as error:
            opener(path)
        said(error)


def test_broken_exif_is_no_reason_to_refuse_a_picture_or_to_fail():
    for data in (b"Exif\0\0MM", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0"):
        write("a.jpg", COLOUR, exif=data)
        try:
            assert read("a.jpg").pixels.shape == COLOUR.shape
        except ImageError as error:
            assert "'a.jpg' cannot be read as a picture" in str(error)


def test_a_list_of_a_tiff_file_that_memory_could_not_hold_is_refused_by_its_header():
    entries = [(256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 2**31, 8)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    Path("a.tif").write_bytes(head + packed + bytes(4))
    with pytest.raises(ImageError, match="tag 273 has 2,147,483,648 values"):
        read("a.tif")


def test_a_side_that_is_too_long_is_refused_by_the_header():
    header = struct.pack(">IIBBBBB", 1, 2**24, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(files._chunk(*chunk) for chunk in chunks)
    Path("a.png").write_bytes(png)
    for opener in (read, images.load):
        with pytest.raises(ImageError, match="a side of more than 65,535"):
            opener("a.png")


def test_jpeg_inside_tiff_is_known_to_be_lossy():
    assert read(write("a.tif", COLOUR, compression="jpeg")).lossy
    assert not read(write("b.tif", COLOUR, compression="tiff_lzw")).lossy


def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path):
    def png_of(width, height):
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(files._chunk(*chunk) for chunk in chunks)

    for side, words in [(9000, "shrink it to 7071×7071"), (60_000, "shrink it")]:
        (tmp_path / "a.png").write_bytes(png_of(side, side))
        with pytest.raises(ImageError, match=words) as error:
            read("a.png")
        said(error)
    with pytest.raises(ImageError, match="1×1 pixels: there is nothing"):
        read(write("b.png", GREY[:1, :1]))


# What a mask means ------------------------------------------------------------------------


def find(picture, mask=None, **options):
    return masks.find(read(picture), mask, **options)


@pytest.mark.parametrize("kind", ["bool", "grey", "colour", "grey16", "jpeg", "palette"])
def test_masks_of_every_kind_say_the_same(kind):
    drawn = np.where(HOLE, 0, 255).astype(np.uint8)
    name = {
        "bool": lambda: write("m.png", ~HOLE),
        "grey": lambda: write("m.png", drawn),
        "colour": lambda: write("m.png", np.dstack([drawn] * 3)),
        "grey16": lambda: write("m.png", drawn.astype(np.uint16) * 257),
        "jpeg": lambda: write("m.jpg", drawn, quality=95),
        "palette": lambda: write("m.png", Image.fromarray(drawn).quantize(2)),
    }[kind]()
    found = find(write("a.png", COLOUR), name)
    gone = ~found.known
    if kind == "jpeg":  # blurred edges count as missing too
        assert (gone >= HOLE).all() and gone.sum() < 2 * HOLE.sum()
    else:
        assert np.array_equal(gone, HOLE)
    assert np.array_equal(found.filled, gone)
    assert "In the mask white is known and black is missing." in found.notes


def test_only_what_is_fully_known_is_known():
    """Soft edges: a pixel half scratched is a mixture."""
    drawn = np.where(HOLE, 0, 255).astype(np.uint8)
    drawn[4, 10:20], drawn[9, 10:20] = 128, 250
    found = find(write("a.png", COLOUR), write("m.png", drawn))
    assert np.array_equal(~found.known, drawn < 255)
    assert any("20 pixels of the mask are neither black nor white" in note for note in found.notes)


def test_picture_and_mask_swapped():
    from skimage import data

    photo = write("photo.png", data.camera()[::8, ::8])
    drawn = np.zeros((64, 64), np.uint8)
    drawn[10:20] = 255
    with pytest.raises(ImageError, match="are picture and mask swapped") as error:
        find(write("m.png", drawn), photo)
    assert "looks like a photograph" in said(error)


@pytest.mark.parametrize("name", ["camera", "coffee", "rocket", "astronaut", "moon", "page"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_photograph_is_no_mask(name, suffix):
    from skimage import data

    picture = Image.fromarray(getattr(data, name)()[::3, ::3].copy())
    other = write(f"p.{suffix}", picture)
    whole = write("a.png", np.full((picture.height, picture.width), 7, np.uint8))
    with pytest.raises(ImageError, match="looks like a photograph") as error:
        find(whole, other)
    assert "--missing red" in said(error)


def test_the_other_convention_is_named_and_can_be_asked_for():
    picture, other = write("a.png", COLOUR), mask(gone=~HOLE)
    found = find(picture, other)
    share = f"{1 - HOLE.mean():.0%}"
    assert any(f"so {share} of the picture are to be filled in" in note for note in found.notes)
    assert any("use --invert" in note for note in found.notes)
    turned = find(picture, other, invert=True)
    assert np.array_equal(turned.filled, HOLE)
    assert "In the mask white is missing and black is known." in turned.notes
    with pytest.raises(ImageError, match="is a mask: name one"):
        find(picture, invert=True)


def test_a_mask_of_zeros_and_ones():
    found = find(write("a.png", COLOUR), write("m.png", (~HOLE).astype(np.uint8)))
    assert np.array_equal(~found.known, HOLE)
    assert any("brightest value is 1 of 255: it is taken for white" in n for n in found.notes)


@pytest.mark.parametrize(
    ("value", "words"),
    [(1, "is 1 of 255 everywhere"), (255, "white everywhere, so nothing"), (0, "so no pixel")],
)
def test_a_mask_of_one_value(value, words):
    with pytest.raises(ImageError, match=words) as error:
        find(write("a.png", COLOUR), write("m.png", np.full((24, 30), value, np.uint8)))
    said(error)


def test_a_mask_of_a_picture_that_is_turned_and_keeps_its_size():
    """Drawn on the stored pixels it would fit as well, and be wrong."""
    exif = Image.Exif()
    exif[0x0112] = 6
    write("square.png", COLOUR[:20, :20], exif=exif)
    gone = HOLE[:20, :20]
    notes = masks.find(read("square.png"), mask(gone=gone)).notes
    assert any("as a viewer shows them" in note for note in notes)
    write("turned.png", np.where(gone, 0, 255).astype(np.uint8), exif=exif)
    found = masks.find(read("square.png"), "turned.png")
    assert np.array_equal(found.filled, np.rot90(gone, -1))
    assert not any("viewer" in note for note in found.notes)


@pytest.mark.parametrize("stroke", [(255, 255, 255), (0, 0, 0), (255, 0, 0)], ids=str)
def test_strokes_on_a_transparent_layer(stroke):
    alpha = np.where(HOLE, 255, 0).astype(np.uint8)
    alpha[4, 10:20] = 90  # antialiased
    layer = np.dstack([np.full((24, 30, 3), stroke, np.uint8), alpha])
    layer[alpha == 0] = 0
    picture = write("a.png", COLOUR)
    found = find(picture, write("m.png", layer))
    assert np.array_equal(found.filled, alpha > 0) and len(found.notes) == 1
    assert "The mask is a transparent layer, what is painted on it is missing." in found.notes
    assert np.array_equal(find(picture, "m.png", invert=True).filled, alpha < 255)


def test_a_layer_of_several_colours_is_refused():
    layer = np.dstack([COLOUR, np.where(HOLE, 255, 0).astype(np.uint8)])
    with pytest.raises(ImageError, match="has several colours: paint what is missing in one"):
        find(write("a.png", COLOUR), write("m.png", layer))


def test_a_mask_of_another_size():
    picture = write("a.png", COLOUR)
    with pytest.raises(ImageError, match="has 24×24 pixels, the picture 30×24"):
        find(picture, mask(gone=HOLE[:, :24]))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = write("b.jpg", COLOUR, exif=exif)
    with pytest.raises(ImageError, match="orientation tag turns it") as error:
        find(turned, mask())
    said(error)


def test_black_pixels_are_missing_and_a_pixel_black_in_one_channel_is_not():
    picture = COLOUR.copy()
    picture[5, 5], picture[6, 6] = (0, 9, 9), 0
    found = find(write("a.png", picture))
    assert found.known[5, 5] and not found.known[6, 6] and found.filled.sum() == 1


@pytest.mark.parametrize("colour", [False, True])
def test_dark_values_of_16_bits_are_known(colour):
    dark = RNG.integers(1, 200, (24, 30, 3) if colour else (24, 30)).astype(np.uint16)
    dark[HOLE] = 0
    name = png16("a.png", dark) if colour else write("a.png", dark)
    assert np.array_equal(find(name).filled, HOLE)


def test_what_is_transparent_is_missing_and_black_may_then_be_black():
    alpha = np.where(HOLE, 0, 255).astype(np.uint8)
    alpha[0, 1] = 128
    black = COLOUR.copy()
    black[0, 0] = 0
    found = find(write("a.png", np.dstack([black, alpha])))
    assert np.array_equal(found.filled, alpha < 255) and found.known[0, 0]
    assert (found.alpha == 255).all()


def test_an_alpha_of_254_everywhere():
    plain = np.dstack([COLOUR, np.full((24, 30), 254, np.uint8)])
    found = find(write("a.png", plain), mask())
    assert np.array_equal(found.filled, HOLE) and (found.alpha == 254).all()
    assert "Alpha is 254 of 255 everywhere: this is taken for opaque." in found.notes
    with pytest.raises(ImageError, match="no black and no transparent pixel"):
        find("a.png")
    holed = plain.copy()
    holed[HOLE, 3] = 0
    assert np.array_equal(find(write("b.png", holed)).filled, HOLE)
    with pytest.raises(ImageError, match="transparent everywhere"):
        find(write("c.png", np.dstack([COLOUR, np.zeros((24, 30), np.uint8)])))


def test_a_transparent_border_beside_a_mask_stays_and_is_not_known(filling):
    alpha = np.full((24, 30), 255, np.uint8)
    alpha[:, :4] = 0
    alpha[:, 4] = 100
    name, gone = write("a.png", np.dstack([COLOUR, alpha])), HOLE.copy()
    gone[20:22, :8] = True  # over the border
    found = find(name, mask(gone=gone))
    assert not found.known[:, :5].any() and not found.filled[:, :4].any()
    assert any("transparent pixels stay as they are" in note for note in found.notes)
    made = np.asarray(Image.open(photos.restore(name, mask=mask(gone=gone), say=None)))
    assert np.array_equal(made[..., 3], alpha)
    assert np.array_equal(made[~gone], np.dstack([COLOUR, alpha])[~gone])
    assert np.array_equal(made[:, :4], np.dstack([COLOUR, alpha])[:, :4])


def test_transparent_holes_that_a_mask_covers_are_filled(filling):
    alpha = np.where(HOLE, 0, 255).astype(np.uint8)
    alpha[4, 10:20] = 60  # its soft edge, which the mask leaves out
    name = write("a.png", np.dstack([COLOUR, alpha]))
    found = find(name, mask())
    assert np.array_equal(found.filled, alpha < 255) and (found.alpha == 255).all()


def test_holes_that_were_compressed():
    """Black, saved as JPEG and then as PNG: two pixels are black, the others nearly."""
    picture, holed = np.full((24, 30, 3), 180, np.uint8), HOLE
    picture[holed] = RNG.integers(1, 9, (int(holed.sum()), 3))
    picture[5, 10] = picture[6, 11] = 0
    name = write("a.png", picture)
    found = find(name)
    (note,) = (note for note in found.notes if "nearly so" in note)
    assert found.filled.sum() == 2 and "2 pixels are black, and 38 beside them" in note
    level = int(note.rstrip(".").rsplit(" ", 1)[1])
    assert np.array_equal(find(name, missing="black", tolerance=level).filled, HOLE)
    picture[5, 10] = picture[6, 11] = 1
    with pytest.raises(ImageError, match=r"--missing black --tolerance \d"):
        find(write("b.png", picture))


def test_holes_that_were_saved_as_plain_black_get_no_word():
    picture = np.maximum(COLOUR, 60)
    picture[HOLE] = 0
    assert find(write("a.png", picture)).notes == []


def test_a_jpeg_file_needs_a_mask_or_a_colour():
    picture = np.full((48, 60, 3), 180, np.uint8)
    picture[10:20, 20:44] = 0
    name = write("a.jpg", picture, quality=80)
    with pytest.raises(ImageError, match="--missing black --tolerance 24 --grow 2") as error:
        find(name)
    said(error)
    found = find(name, missing="black", grow=2)
    assert not found.known[9:21, 19:45].any() and found.filled.mean() < 0.3


@pytest.mark.parametrize("colour", ["white", "#fa0a0a", "red"])
def test_damage_of_any_colour(colour):
    picture = np.clip(COLOUR, 30, 220)
    picture[HOLE] = {"white": 255, "red": (255, 0, 0), "#fa0a0a": (250, 10, 10)}[colour]
    name = write("a.png", picture)
    assert np.array_equal(find(name, missing=colour).filled, HOLE)
    wide = (picture.astype(np.uint16) * 257).astype(np.uint16)
    assert np.array_equal(find(png16("b.png", wide), missing=colour).filled, HOLE)
    with pytest.raises(ImageError, match="No pixel of 'a.png' is blue: name another colour, or"):
        find(name, missing="blue")


def test_what_cannot_be_asked_for():
    picture, drawn = write("a.png", COLOUR), mask()
    for options, words in [
        ({"missing": "reddish"}, "'reddish' is no colour: name one"),
        ({"mask": drawn, "missing": "red"}, "not both"),
        ({"missing": "red", "tolerance": 300}, "from 0 to 255"),
        ({"mask": drawn, "grow": -1}, "grows by"),
        ({}, "no black and no transparent pixel"),
        ({"mask": drawn, "grow": 99}, "No pixel of 'a.png' is known"),
    ]:
        with pytest.raises(ImageError, match=words) as error:
            find(picture, **options)
        said(error)
    with pytest.raises(ImageError, match="all of them are missing"):
        find(write("b.png", np.zeros((5, 5), np.uint8)))


def test_what_is_missing_grows():
    from scipy import ndimage

    found = find(write("a.png", COLOUR), mask(), grow=2)
    assert np.array_equal(found.filled, ndimage.distance_transform_edt(~HOLE) <= 2)


# What stays as it was ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("kind", ["grey16", "colour16", "alpha16", "grey-alpha16", "scan"])
def test_16_bits_come_back(filling, suffix, kind):
    samples = {
        "grey16": GREY16, "colour16": COLOUR16, "scan": GREY16 >> 4,
        "alpha16": np.dstack([COLOUR16, np.full((24, 30), 65535, np.uint16)]),
        "grey-alpha16": np.dstack([GREY16, np.full((24, 30), 65535, np.uint16)]),
    }[kind]  # fmt: skip
    name = write("a.png", samples) if samples.ndim == 2 else png16("a.png", samples)
    made = read(photos.restore(name, f"b.{suffix}", mask=mask(), say=None))
    before = read(name)
    assert made.pixels.dtype == np.uint16 and made.pixels.shape == before.pixels.shape
    assert np.array_equal(made.pixels[~HOLE], before.pixels[~HOLE])
    assert (made.alpha is None) == (before.alpha is None)
    middle = round(0.5 * before.white)
    assert np.abs(made.pixels[HOLE].astype(int) - middle).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_profile_exif_dpi_and_orientation(filling, suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    write("a.jpg", COLOUR, exif=exif, dpi=(300, 200), icc_profile=SRGB, quality=95)
    before = read("a.jpg")
    upright = np.rot90(HOLE, -1)
    drawn = mask(gone=upright)
    to = photos.restore("a.jpg", f"b.{suffix}", mask=drawn, say=None)
    with Image.open(to) as made:
        kept = made.getexif()
        assert made.info["icc_profile"] == SRGB
        assert kept[0x0112] == 1 and kept[0x010F] == "A camera"
        assert kept.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert kept.get_ifd(0x8825)[1] == "N"
        if suffix != "webp":
            assert np.allclose([float(value) for value in made.info["dpi"]], (200, 300), atol=0.02)
        assert made.size == (24, 30)
    pixels = read(to).pixels
    if suffix == "jpg":
        assert np.abs(pixels[~upright].astype(int) - before.pixels[~upright]).mean() < 8
    else:
        assert np.array_equal(pixels[~upright], before.pixels[~upright])


@pytest.mark.parametrize("source", ["png", "tif", "webp"])
@pytest.mark.parametrize("target", ["png", "tif", "webp", "jpg"])
def test_exif_from_and_into_every_format(source, target):
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[2] = (51.0, 30.0, 1.5)
    photo = read(write(f"a.{source}", COLOUR, exif=exif.tobytes()))
    photo.save(f"b.{target}", photo.pixels)
    with Image.open(f"b.{target}") as made:
        kept = made.getexif()
        assert kept[0x010F] == "A camera"
        assert kept.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert kept.get_ifd(0x8825)[2] == (51.0, 30.0, 1.5)


#: As programs write texts into EXIF, whose standard has ASCII alone: UTF-8, and Latin-1.
LETTERS = ("Großmutter Käthe, 1952".encode(), "Jürgen Müller".encode("latin-1"))


def with_letters(name):
    """A file whose EXIF has them as description and artist, the first in its own part too."""

    class Text(str):  # Pillow writes question marks
        def encode(self, *_):
            return super().encode("latin-1")

    exif, texts = Image.Exif(), [Text(letters.decode("latin-1")) for letters in LETTERS]
    exif[270], exif[315] = texts
    exif.get_ifd(0x8769)[0xA430] = texts[0]
    exif[0x8769] = 0  # where it lies is written by Pillow
    return write(name, COLOUR, exif=exif if name.endswith("tif") else exif.tobytes())


@pytest.mark.parametrize("source", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("target", ["png", "tif", "webp", "jpg"])
def test_letters_beyond_ascii_in_exif_stay_as_they_are(filling, source, target):
    name = with_letters(f"a.{source}")
    assert [Path(name).read_bytes().count(letters) for letters in LETTERS] == [2, 1]
    photos.restore(name, f"b.{target}", mask=mask(), say=None)
    made = Path(f"b.{target}").read_bytes()
    assert [made.count(letters + b"\0") for letters in LETTERS] == [2, 1]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("array", [GREY, GREY16, COLOUR16])
def test_letters_beyond_ascii_in_tiff_of_other_programs_stay_as_they_are(filling, array, big):
    texts = [(tag, 2, 0, letters, True) for tag, letters in zip((270, 315), LETTERS, strict=True)]
    tifffile.imwrite("a.tif", array, metadata=None, extratags=texts, bigtiff=big)
    for target in ("b.tif", "b.png"):
        photos.restore("a.tif", target, mask=mask(), say=None)
        assert [Path(target).read_bytes().count(letters) for letters in LETTERS] == [1, 1]


@pytest.mark.parametrize("tag", [(269, 2, 0, "Album 3", True), (18246, 3, 1, 4, True)])
def test_what_16_bit_tiff_loses_of_exif_is_said_of_every_tag(filling, tag):
    """A document's name, the stars of Windows: without EXIF's own part as well."""
    lines, said = [], "Of EXIF, 16-bit colour TIFF keeps texts and date; a .png file keeps all."
    kept = [(270, 2, 0, "Käthe".encode(), True)]
    resolution = {"resolution": (300, 300), "resolutionunit": "INCH"}
    for name, more in (("a", []), ("b", [tag])):
        tifffile.imwrite(
            f"{name}.tif", COLOUR16, metadata=None, extratags=kept + more, **resolution
        )
        photos.restore(f"{name}.tif", f"{name}-1.tif", mask=mask(), say=lines.append)
        assert (said in lines) == bool(more)
        photos.restore(f"{name}.tif", f"{name}-1.png", mask=mask(), say=None)
    with Image.open("b-1.png") as made:
        assert made.getexif()[tag[0]] == tag[3]


def test_exif_that_cannot_be_written_again_is_said():
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 2)
    exif += struct.pack("<HHI4s", 270, 2, 4, b"Oma\0") + struct.pack("<HHI4s", 296, 2, 2, b"2\0")
    photo = read(write("a.png", COLOUR, exif=exif + bytes(4)))
    assert photo.exif is None
    assert photo.notes == ["What 'a.png' holds as EXIF is not kept: it is damaged."]
    grey = np.dstack([GREY16, GREY16])
    options = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "metadata": None}
    tifffile.imwrite("b.tif", grey, software=False, **options)
    assert read("b.tif").notes == []
    tifffile.imwrite("b.tif", grey, software="Scan", **options)
    assert read("b.tif").notes == ["Of 'b.tif', grey of 16 bits with alpha, EXIF is not kept."]


XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>Grüße</x:xmpmeta>".encode()
IPTC = b"\x1c\x02\x50\x00\x05A man\x1c\x02\x78\x00\x04Text"  # author, caption; an odd length


def app13(*resources):
    """Photoshop's segment of JPEG, as bytes that Pillow writes into a file."""
    data = b"Photoshop 3.0\0"
    for number, content in resources:
        data += b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content
        data += bytes(len(content) % 2)
    return {"extra": b"\xff\xed" + struct.pack(">H", 2 + len(data)) + data}


def with_words(name, array=COLOUR, xmp=XMP, iptc=IPTC):
    """A file with XMP and, in JPEG and TIFF, with IPTC; not by the code that is tested."""
    if name.endswith("png"):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return write(name, array, pnginfo=info)
    if name.endswith("tif"):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700], tags[33723] = xmp, iptc
        return write(name, array, tiffinfo=tags)
    options = app13((0x0404, iptc)) if name.endswith("jpg") else {"lossless": True}
    return write(name, array, xmp=xmp, **options)


def words_of(name):
    """XMP and IPTC as Pillow finds them."""
    with Image.open(name) as made:
        tags = dict(made.tag_v2) if made.format == "TIFF" else {}
        iptc = made.info.get("photoshop", {}).get(0x0404) or tags.get(33723)
        return made.info.get("xmp") or tags.get(700), iptc


@pytest.mark.parametrize("source", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("target", ["png", "tif", "webp", "jpg"])
def test_xmp_and_iptc_from_and_into_every_format(filling, source, target):
    lines, name = [], with_words(f"a.{source}")
    photos.restore(name, f"b.{target}", mask=mask(), say=lines.append)
    there = IPTC if source in ("tif", "jpg") else None
    kept = there if target in ("tif", "jpg") else None
    assert words_of(f"b.{target}") == (XMP, kept)
    kind = files.WRITTEN[f".{target}"]
    said = f"{kind} cannot hold this picture's IPTC."
    assert (said in lines) == bool(there and not kept)
    again = read(f"b.{target}")
    assert again.xmp == XMP and again.iptc == kept


@pytest.mark.parametrize("array", [GREY16, COLOUR16, np.dstack([GREY16, GREY16])])
def test_xmp_and_iptc_of_16_bits(array):
    photo = files.Photo(files.Path("a.tif"), array if array.shape[-1] != 2 else GREY16)
    photo.alpha = GREY16 if array.shape[-1] == 2 else None
    photo.xmp, photo.iptc = XMP, IPTC
    photo.save("b.tif", photo.pixels)
    made = read("b.tif")
    assert (made.xmp, made.iptc) == (XMP, IPTC)
    made.save("c.png", made.pixels)
    assert read("c.png").xmp == XMP


@pytest.mark.parametrize("order", ["<", ">"])
def test_iptc_that_a_tiff_file_calls_numbers(order):
    four = IPTC + bytes(-len(IPTC) % 4)
    numbers = struct.unpack(f"{order}{len(four) // 4}I", four)
    assert files._iptc_of({}, {33723: numbers}, order) == four
    assert files._iptc_of({}, {33723: ("text", 1)}, order) is None


def test_xmp_of_a_turned_picture_says_so_and_has_no_thumbnail():
    xmp = (
        b'<rdf tiff:Orientation="6" exif:PixelXDimension=\'30\' tiff:ImageLength = "24">'
        b"<tiff:Orientation>6</tiff:Orientation><xmp:Thumbnails>/9j/</xmp:Thumbnails> a"
        b"<xmp:Thumbnails>/8j/</xmp:Thumbnails> b <xmp:Thumbnails/></rdf>"
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = read(write("a.jpg", COLOUR, exif=exif, xmp=xmp))
    assert photo.size == (24, 30)
    assert photo.xmp == (
        b'<rdf tiff:Orientation="1" exif:PixelXDimension=\'24\' tiff:ImageLength = "30">'
        b"<tiff:Orientation>1</tiff:Orientation> a b <xmp:Thumbnails/></rdf>"
    )
    photo.save("b.webp", photo.pixels)
    with Image.open("b.webp") as made:
        assert made.getexif()[0x0112] == 1
    upright = read("b.webp")
    assert upright.size == (24, 30) and upright.xmp == photo.xmp


@pytest.mark.parametrize("bad", [b"\xff\xfe<\0x\0", b"<x>\xff</x>", b"<x>" + b" " * 2**20])
def test_xmp_that_is_broken_or_huge_is_said_and_left_out(bad):
    photo = read(write("a.webp", COLOUR, xmp=bad, lossless=True))
    assert photo.xmp is None and len(photo.notes) == 1
    assert photo.notes[0].startswith("What 'a.webp' holds as XMP is not kept: it is damaged")


def test_huge_iptc_is_said_and_left_out():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33723] = IPTC + bytes(2**20)
    photo = read(write("a.tif", COLOUR, tiffinfo=tags))
    assert photo.iptc is None and "holds as IPTC is not kept" in photo.notes[0]


def test_words_too_long_for_jpeg_are_said_and_left_out():
    photo = read(with_words("a.tif", xmp=XMP + b" " * 70_000, iptc=IPTC * 5000))
    assert "JPEG cannot hold this picture's XMP and IPTC." in photo.losses("b.jpg")
    photo.save("b.jpg", photo.pixels)
    assert words_of("b.jpg") == (None, None)


def test_what_is_not_kept_is_said():
    resources = (0x0404, IPTC), (0x0409, b"a thumbnail"), (0x07D0, b"a path")
    photo = read(write("a.jpg", COLOUR, **app13(*resources)))
    assert photo.iptc == IPTC
    assert photo.notes == ["Of what Photoshop put into 'a.jpg', IPTC alone is kept."]
    assert read(write("b.jpg", COLOUR, **app13(*resources[:2]))).notes == []
    extended = b"<x xmpNote:HasExtendedXMP='0123'>Words</x>"
    photo = read(write("c.jpg", COLOUR, xmp=extended))
    assert photo.xmp == b"<x >Words</x>"
    assert photo.notes == ["Of XMP in 'c.jpg' the main part is kept, its extension is not."]


def test_what_a_format_has_no_place_for_is_said_and_left_out():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = bytes(80_000)  # a maker's note
    photo = read(write("a.png", COLOUR, exif=exif.tobytes(), icc_profile=SRGB))
    assert "JPEG cannot hold this picture's EXIF." in photo.losses("b.jpg")
    photo.save("b.jpg", photo.pixels)
    with Image.open("b.jpg") as made:
        assert made.info["icc_profile"] == SRGB and not dict(made.getexif())
    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    photo = read(write("c.png", GREY, icc_profile=grey))
    assert "WebP cannot hold this picture's colour profile." in photo.losses("b.webp")
    assert photo.losses("b.tif") == []


def test_jpeg_is_written_without_thinner_colours_and_says_what_it_loses(filling):
    lines = []
    write("a.png", np.dstack([COLOUR, np.full((24, 30), 255, np.uint8)]))
    photos.restore("a.png", "b.jpg", mask=mask(), say=lines.append)
    assert any("JPEG compresses with losses" in line for line in lines)
    with Image.open("b.jpg") as made:
        assert made.mode == "RGB" and len({part[1:3] for part in made.layer}) == 1, "4:4:4"
    write("c.png", np.dstack([COLOUR, np.where(GREY < 50, 40, 255).astype(np.uint8)]))
    with pytest.raises(ImageError, match="JPEG has no transparency, and 'c.png' has"):
        photos.restore("c.png", "d.jpg", mask=mask(), say=None)


def test_gamma_and_texts_of_png(filling):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    info.add_text("Author", "Somebody")
    write("a.png", COLOUR, pnginfo=info)
    with Image.open(photos.restore("a.png", "b.png", mask=mask(), say=None)) as made:
        assert made.info["gamma"] == 1.0 and made.info["Author"] == "Somebody"
    lines = []
    photos.restore("a.png", "c.tif", mask=mask(), say=lines.append)
    assert "TIFF does not hold what PNG has in gAMA, tEXt." in lines


def test_marks_of_colour_on_a_grey_photo_do_not_make_it_colour(filling):
    grey = np.dstack([GREY] * 3)
    grey[HOLE] = (200, 10, 10)
    name = write("a.png", grey)
    known = find(name, mask()).known
    assert read(name).floats(known).ndim == 2
    made = np.asarray(Image.open(photos.restore(name, mask=mask(), say=None)))
    assert made.shape == grey.shape and np.ptp(made.astype(int), axis=-1).max() == 0
    assert np.array_equal(made[~HOLE], grey[~HOLE])


def test_a_file_is_replaced_whole_or_not_at_all(filling, monkeypatch, tmp_path):
    name = write("a.png", COLOUR)
    photos.restore(name, "b.png", mask=mask(), say=None)
    before = (tmp_path / "b.png").read_bytes()

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_whole(tmp_path / "b.png", b"other")
    assert (tmp_path / "b.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*.p*")) == ["a.png", "b.png", "mask.png"]
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("again", [False, True])
def test_a_pipe_is_no_target(again, filling):
    """It would be waited for, or replaced."""
    write("photo.png", np.where(HOLE, 0, GREY).astype(np.uint8))
    os.mkfifo("result.png")
    with pytest.raises(ImageError, match="'result.png' is a pipe or a device"):
        photos.restore("photo.png", "result.png", again=again, say=None)
    assert not Path("result.png").is_file()


def test_a_target_that_is_the_picture_by_another_name(filling, monkeypatch):
    """As "PHOTO.png" is on many disks; here two names of one file stand for that."""
    write("photo.png", np.where(HOLE, 0, GREY).astype(np.uint8))
    os.link("photo.png", "PHOTO.png")
    with pytest.raises(ImageError, match="would replace a picture"):
        photos.restore("photo.png", "PHOTO.png", again=True, say=None)


def test_what_webp_cannot_hold():
    photo = files.Photo(files.Path("a.png"), np.zeros((2, 17000), np.uint8))
    with pytest.raises(ImageError, match="WebP holds at most 16,383 pixels a side"):
        photo.losses("b.webp")
    with pytest.raises(ImageError, match="can be PNG, JPEG, TIFF or WebP: call it 'b.png'"):
        photo.losses("b.gif")


# Pictures and masks at random -------------------------------------------------------------


@st.composite
def cases(draw):
    """A picture file, a mask or None, options, and a name to write."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    bits = draw(st.sampled_from([8, 8, 16]))
    channels = draw(st.sampled_from([1, 3]))
    alpha = draw(st.sampled_from([None, "opaque", "holes", "any", "254"]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    top = 2 ** draw(st.sampled_from([bits, bits, bits - 4]))
    kind = np.uint8 if bits == 8 else np.uint16
    samples = rng.integers(0, top, (height, width, channels)).astype(kind)
    hole = rng.random((height, width)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    if draw(st.booleans()):
        samples[hole] = 0
    if alpha:
        full = np.iinfo(kind).max
        plane = np.full((height, width), full, kind)
        if alpha == "holes":
            plane[hole] = 0
        elif alpha == "any":
            plane = rng.integers(0, full + 1, (height, width)).astype(kind)
        elif alpha == "254":
            plane[:] = full - 1
        samples = np.dstack([samples, plane])
    given = draw(st.sampled_from([None, None, "two", "two", "soft", "layer", "grey"]))
    drawn = np.where(rng.random((height, width)) < 0.3, 0, 255).astype(np.uint8)
    if given == "grey":
        drawn = rng.integers(0, 256, (height, width)).astype(np.uint8)
    elif given == "soft":
        drawn[rng.random((height, width)) < 0.1] = 130
    elif given == "layer":
        drawn = np.dstack([np.zeros_like(drawn), drawn])
    options = {
        "grow": draw(st.sampled_from([0, 0, 1])),
        "invert": given is not None and draw(st.booleans()),
        "missing": draw(st.sampled_from([None, None, "black", "white"])) if not given else None,
    }
    if options["missing"]:
        options["tolerance"] = draw(st.sampled_from([None, 0, 40]))
    orientation = draw(st.sampled_from([1, 1, 3, 6]))
    source = draw(st.sampled_from(["png", "tif", "jpg", "webp"]))
    to = draw(st.sampled_from(["png", "tif", "webp", "jpg"]))
    return samples, (drawn if given else None), options, orientation, source, to


def written(samples, source, orientation):
    """A file with these samples, in a format that can hold them; its name."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    channels = samples.shape[2]
    if samples.dtype == np.uint16 and channels > 1:
        source = "png" if source in ("jpg", "webp") else source
        if source == "png":
            return png16("a.png", samples)
        colour = channels >= 3
        tifffile.imwrite(
            "a.tif", samples, photometric="rgb" if colour else "minisblack",
            extrasamples=["unassalpha"] if channels in (2, 4) else None, planarconfig="contig",
            metadata=None,
        )  # fmt: skip
        return "a.tif"
    if samples.dtype == np.uint16:
        source = "png" if source in ("jpg", "webp") else source
    if channels == 2:
        layers = [Image.fromarray(samples[..., i].copy()) for i in (0, 1)]
        picture = Image.merge("LA", layers)
    else:
        picture = Image.fromarray(samples[..., 0] if channels == 1 else samples)
    if source == "jpg":
        picture = picture.convert("L" if channels < 3 else "RGB")
    options = {"lossless": True, "exact": True} if source == "webp" else {}
    return write(f"a.{source}", picture, exif=exif, **options)


@hypothesis.settings(
    max_examples=100, deadline=None, derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
@hypothesis.given(cases())
def test_known_pixels_stay_or_one_sentence_says_why_not(filling, tmp_path, case):
    samples, drawn, options, orientation, source, to = case
    for path in tmp_path.glob("*.*"):
        if path.is_file():
            path.unlink()
    name = written(samples, source, orientation)
    given = None
    if drawn is not None:
        drawn = files._upright(drawn, orientation if samples.dtype == np.uint8 else 1)
        layers = [Image.fromarray(drawn[..., i].copy()) for i in range(drawn.shape[2:] and 2 or 0)]
        given = write("m.png", Image.merge("LA", layers) if layers else drawn)
    try:
        result = photos.restore(name, f"r.{to}", mask=given, again=True, say=None, **options)
    except (ImageError, RunError) as error:
        assert "\n" not in str(error) and str(error)[-1] in ".?" and len(str(error)) > 20
        return
    before, after = read(name), read(result)
    found = masks.find(before, given, **options)
    assert after.size == before.size
    stays = ~found.filled
    if to in ("png", "tif"):
        assert after.pixels.dtype == before.pixels.dtype
        assert after.pixels.shape == before.pixels.shape
        assert np.array_equal(after.pixels[stays], before.pixels[stays])
        assert (after.alpha is None) == (before.alpha is None)
    elif to == "webp" and before.bits == 8:
        pixels = before.pixels if before.pixels.ndim == 3 else np.dstack([before.pixels] * 3)
        assert np.array_equal(after.pixels[stays], pixels[stays])
    if before.alpha is not None and after.alpha is not None and before.bits == after.bits:
        assert np.array_equal(after.alpha[stays], before.alpha[stays])
        assert np.array_equal(after.alpha, found.alpha)


def test_drafts_of_long_names_that_begin_alike_are_two(tmp_path):
    first, second = (placing._beside_a_file(tmp_path / f"{'a' * 180}{n}.png") for n in range(2))
    assert first != second
    for draft in (first, second):
        draft.write_bytes(b"x")  # such a name is not too long for a disk
