"""Picture files: whole, damaged and hostile ones, opened as `restore` and `run` open them."""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
from attacks import Attack
from attacks._apart import apart
from dip_book import images
from dip_book.restoring import files, photos
from PIL import Image, ImageCms

SECONDS = 20
#: Bytes that opening a small picture may take on top, and what one that is refused may.
FEW_BYTES = 150_000_000
#: Files that Pillow would read, or start another program for, and that are not opened here.
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'
REFUSED = (
    r"cannot be read|no picture of a known kind|there is nothing|shrink it|cut out a part|"
    r"whole numbers from|floating-point|is a folder|pipe or a device|There is no picture|"
    r"HEIC file|save it|shrink the picture"
)


def _encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.copy().save(buffer, kind, **options)  # a copy: JPEG leaves settings in the object
    return buffer.getvalue()


def _tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def _samples(shape, dtype) -> np.ndarray:
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "ui" else 1
    drawn = np.random.default_rng(7).random(shape) * top
    return drawn.astype(dtype)


@cache
def corpus() -> dict[str, bytes]:
    """A picture of every kind that can be made here, by name."""
    grey8, rgb8 = _samples((20, 26), np.uint8), _samples((20, 26, 3), np.uint8)
    grey, rgb = Image.fromarray(grey8), Image.fromarray(rgb8)
    rgba = rgb.copy()
    rgba.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a camera's words"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    beside = {"exif": exif, "icc_profile": profile, "dpi": (72, 72)}
    modes = {
        "1": grey.convert("1"), "L": grey, "LA": rgba.convert("LA"), "P": rgb.convert("P"),
        "RGB": rgb, "RGBA": rgba, "I;16": Image.fromarray(_samples((20, 26), np.uint16)),
    }  # fmt: skip
    made = {f"png {mode}": _encoded(picture, "PNG") for mode, picture in modes.items()}
    made["png with all beside"] = _encoded(rgb, "PNG", **beside)
    made["png transparent palette"] = _encoded(rgb.convert("P"), "PNG", transparency=3)
    made |= {
        f"png 16 bits of {n}": files._png16(_samples((20, 26, n), np.uint16)) for n in (2, 3, 4)
    }
    made["png interlaced"] = _interlaced(grey8)
    made["apng"] = _encoded(rgb, "PNG", save_all=True, append_images=[rgba.convert("RGB")])
    made["jpeg"] = _encoded(rgb, "JPEG", **beside)
    made["jpeg grey"] = _encoded(grey, "JPEG")
    made["jpeg progressive"] = _encoded(rgb, "JPEG", progressive=True)
    made["jpeg cmyk"] = _encoded(rgb.convert("CMYK"), "JPEG")
    made["mpo"] = _encoded(rgb, "MPO", save_all=True, append_images=[rgb])
    made["webp"] = _encoded(rgb, "WEBP", exif=exif, icc_profile=profile)
    made["webp lossless"] = _encoded(rgba, "WEBP", lossless=True)
    made["webp moving"] = _encoded(rgb, "WEBP", save_all=True, append_images=[rgba])
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        made[f"tiff {name}"] = _encoded(rgb, "TIFF", compression=name)
    made["tiff group4"] = _encoded(grey.convert("1"), "TIFF", compression="group4")
    made["tiff of two"] = _encoded(rgb, "TIFF", save_all=True, append_images=[grey], dpi=(72, 72))
    for n in (1, 2, 3, 4):
        shape = (20, 26, n) if n > 1 else (20, 26)
        kind = "rgb" if n > 2 else "minisblack"
        options = {"photometric": kind, "extrasamples": ["unassalpha"] if n in (2, 4) else None}
        made[f"tiff 16 bits of {n}"] = _tiff(_samples(shape, np.uint16), **options)
        made[f"tiff tiles of {n}"] = _tiff(_samples(shape, np.uint16), tile=(16, 16), **options)
    made["tiff big end first"] = _tiff(_samples((20, 26, 3), np.uint16), byteorder=">")
    made["bigtiff"] = _tiff(rgb8, bigtiff=True)
    made["tiff planes"] = _tiff(_samples((3, 20, 26), np.uint16), planarconfig="separate")
    made["tiff floats"] = _tiff(_samples((20, 26), np.float32))
    made["tiff 32 bits"] = _tiff(_samples((20, 26), np.int32))
    made["gif"] = _encoded(rgb, "GIF")
    made["gif moving"] = _encoded(rgb, "GIF", save_all=True, append_images=[rgba, grey])
    made["bmp"] = _encoded(rgb, "BMP")
    made["ppm"] = _encoded(rgb, "PPM")
    made["pgm plain"] = b"P2\n3 2\n65535\n1 2 3 4 5 65535\n"
    made["pfm"] = _encoded(Image.fromarray(_samples((20, 26), np.float32)), "PPM")
    made["avif"] = _encoded(rgb, "AVIF")
    try:
        import pillow_heif

        buffer = io.BytesIO()
        pillow_heif.from_pillow(rgb).save(buffer, quality=60)
        made["heif"] = buffer.getvalue()
    except ImportError:
        pass
    return made


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(files._chunk(*chunk) for chunk in chunks)


def _header(width: int, height: int, bits: int = 8, kind: int = 2, interlaced: int = 0) -> bytes:
    return struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)


def _interlaced(grey: np.ndarray) -> bytes:
    """Adam7, which Pillow reads and does not write."""
    rows = b""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    for top, left, down, right in (*passes, (1, 0, 2, 1)):
        for row in grey[top::down, left::right]:
            rows += b"\0" + row.tobytes()
    header = _header(grey.shape[1], grey.shape[0], 8, 0, 1)
    return _png((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def _bomb(width: int, height: int, kind: int = 2) -> bytes:
    """All of it zeros, in a few kilobytes."""
    row = b"\0" * (1 + width * {0: 1, 2: 3, 6: 4}[kind])
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = (b"IHDR", _header(width, height, 8, kind))
    return _png(header, (b"IDAT", data), (b"IEND", b""))


def _tiff_of(*entries: tuple[int, int, int, int], tail: bytes = b"") -> bytes:
    """A TIFF file of nothing but one directory: tag, type, count, value."""
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + struct.pack("<I", 0) + tail


def hostile(rng: np.random.Generator) -> tuple[str, bytes]:
    """A file that was made to do harm."""
    side = int(rng.choice([60_000, 100_000, 2**24, 2**31 - 1, 2**32 - 1]))
    width, height = (int(v) for v in rng.permutation([side, int(rng.choice([1, 3, side]))]))
    empty = (b"IDAT", zlib.compress(b"")), (b"IEND", b"")
    plain = [(256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    huge = [(256, 4, 1, width), (257, 4, 1, height), *plain[2:]]
    small = (b"IHDR", _header(8, 8))
    text = zlib.compress(bytes(int(rng.integers(1, 40)) * 1_000_000))
    kinds = {
        "eps": lambda: EPS, "svg": lambda: SVG, "text": lambda: b"a,b\n1,2\n" * 9,
        "zeros": lambda: bytes(int(rng.integers(1, 5000))), "empty": lambda: b"",
        "noise": lambda: rng.bytes(int(rng.integers(1, 5000))),
        "dds": lambda: b"DDS " + rng.bytes(200), "pdf": lambda: b"%PDF-1.7\n" + rng.bytes(99),
        "jp2": lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + rng.bytes(300),
        "png header": lambda: _png((b"IHDR", _header(width, height)), *empty),
        "png bomb": lambda: _bomb(*((7000, 7000) if rng.random() < 0.05 else (9000, 6000)), 0),
        "png text bomb": lambda: _png(small, (b"zTXt", b"a\0\0" + text), *empty),
        "png profile bomb": lambda: _png(small, (b"iCCP", b"a\0\0" + text), *empty),
        "png of two headers": lambda: _png(small, (b"IHDR", _header(width, height)), *empty),
        "png many texts": lambda: _png(small, *[(b"tEXt", b"a\0b")] * 20_000, *empty),
        "bmp header": lambda: b"BM" + struct.pack(
            "<IIIIiiHHIIIIII", 99, 0, 54, 40, width % 2**31, height % 2**31, 1, 24, 0, 0, 0, 0, 0, 0
        ),
        "gif header": lambda: b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0)
        + bytes(6) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\0\0;",
        "ppm header": lambda: b"P6 %d %d 255\n" % (width, height),
        "ppm digits": lambda: b"P2 " + b"9" * int(rng.integers(1, 9000)) + b" 1 255\n1",
        "webp header": lambda: b"RIFF" + struct.pack("<I", 90) + b"WEBPVP8X" + struct.pack(
            "<IB3s", 10, 0x10, b"\0\0\0") + (16382).to_bytes(3, "little") * 2 + bytes(60),
        "tiff header": lambda: _tiff_of(*huge, (273, 4, 1, 8), (279, 4, 1, 81)),
        "tiff tiles": lambda: _tiff_of(
            *plain, (322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, 8), (325, 4, 1, 9)),
        "tiff strips": lambda: _tiff_of(*plain, (273, 4, side, 8), (279, 4, side, 8)),
        "tiff channels": lambda: _tiff_of(*plain, (277, 3, 1, 65535), (273, 4, 1, 8)),
        "tiff loop": lambda: _tiff_of(*plain, (273, 4, 1, 8))[:-4] + struct.pack("<I", 8),
        "tiff compressed": lambda: _tiff_of(
            *plain[:3], (259, 3, 1, int(rng.choice([2, 3, 4, 5, 6, 7, 8, 32773, 50000, 50001]))),
            plain[4], (273, 4, 1, 8), (279, 4, 1, 81), tail=rng.bytes(99)),
        "exif": lambda: _encoded(
            Image.new("RGB", (9, 9)), str(rng.choice(["JPEG", "PNG", "WEBP"])),
            exif=b"Exif\0\0" + (b"MM\0*" if rng.random() < 0.5 else b"")
            + rng.bytes(int(rng.integers(0, 200)))),
    }  # fmt: skip
    name = str(rng.choice(sorted(kinds)))
    return name, kinds[name]()


def mutated(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Damaged at random, or with care."""
    found = bytearray(data)
    how = str(rng.choice(["bits", "cut", "splice", "fields", "chunks", "front", "zeros"]))
    if how == "bits":
        for _ in range(int(rng.integers(1, 9))):
            found[int(rng.integers(len(found)))] ^= 1 << int(rng.integers(8))
    elif how == "cut":
        del found[int(rng.integers(1, len(found))) :]
    elif how == "splice":
        other = list(corpus().values())[int(rng.integers(len(corpus())))]
        at, frm = int(rng.integers(len(found))), int(rng.integers(len(other)))
        found[at : at + int(rng.integers(99))] = other[frm : frm + int(rng.integers(999))]
    elif how == "fields":  # numbers of the header
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(min(len(found), 200)))
            value = int(rng.choice([0, 1, 255, 65535, 2**24, 2**31 - 1, 2**32 - 1]))
            order = str(rng.choice(["little", "big"]))
            length = int(rng.choice([1, 2, 4]))
            found[at : at + length] = (value % 256**length).to_bytes(length, order)
    elif how == "chunks" and found[:4] == b"\x89PNG":  # with sums that are right
        chunks = list(files._chunks_of(bytes(found)))
        number = int(rng.integers(len(chunks)))
        name, content = chunks[number]
        broken = bytearray(content or b"\0")
        broken[int(rng.integers(len(broken)))] = int(rng.integers(256))
        chunks[number] = name, bytes(broken)
        if rng.random() < 0.3:
            chunks.insert(int(rng.integers(len(chunks))), chunks[int(rng.integers(len(chunks)))])
        found = bytearray(_png(*chunks))
    elif how == "front":
        found[: int(rng.integers(1, 40))] = rng.bytes(int(rng.integers(1, 40)))
    else:
        at = int(rng.integers(len(found)))
        length = int(rng.integers(1, 300))
        found[at : at + length] = bytes(len(found[at : at + length]))
    return how, bytes(found)


def _said(error: Exception, folder: Path) -> str:
    """A refusal, if it is one short sentence or two that name a file and what to do."""
    said = str(error).replace(str(folder), "")
    assert said.isprintable(), f"not printable: {said!r}"
    assert len(said) < 400 and said[-1] in ".?!", said
    assert re.search(r"'[^']*(picture|mask)", said) or "mask" in said, f"no file is named: {said}"
    return said


def _opened(folder: Path, picture: Path, mask: Path | None) -> str:
    """As `restore` opens them, and `run` the picture."""
    outcomes = []
    warnings.simplefilter("ignore")  # "has an alpha channel: it is dropped": this process ends
    try:
        images.load(picture, size=16)
        outcomes.append("run")
    except images.ImageError as error:
        _said(error, folder)
    try:
        x_hat, known = photos.load_damaged(picture, mask)
        assert x_hat.dtype == np.float32 and known.shape == x_hat.shape[:2]
        assert x_hat.min() >= 0 and x_hat.max() <= 1 and known.any() and not known.all()
        outcomes.append("restore")
    except images.ImageError as error:
        _said(error, folder)
    return " and ".join(outcomes) or "refused"


def _attempt(folder: Path, picture: Path, mask: Path | None, most: int) -> str:
    noise = folder / "noise.txt"
    found = apart(lambda: _opened(folder, picture, mask), seconds=SECONDS, noise=noise)
    assert found["bytes"] is None or found["bytes"] < most, f"{found['bytes'] / 1e6:.0f} MB"
    assert not noise.stat().st_size, f"words of a library: {noise.read_bytes()[:500]!r}"
    return "refused" if found["value"] == "refused" else f"opened by {found['value']}"


def damaged(rng, folder):
    """A picture, or a mask, of which bytes were changed."""
    names = sorted(corpus())
    name = names[int(rng.integers(len(names)))]
    content = corpus()[name]
    for _ in range(int(rng.integers(0, 3))):
        _, content = mutated(content, rng)
    suffix = str(rng.choice(["png", "jpg", "tif", "webp", "xyz"]))
    drawn, other = folder / f"picture.{suffix}", folder / "mask.png"
    drawn.write_bytes(content)
    other.write_bytes(_mask())
    if rng.random() < 0.3:  # the mask is the damaged one
        drawn, other = other, drawn
    return _attempt(folder, drawn, None if rng.random() < 0.3 else other, FEW_BYTES)


@cache
def _mask() -> bytes:
    gone = np.full((20, 26), 255, np.uint8)
    gone[4:8, 5:15] = 0
    return _encoded(Image.fromarray(gone), "PNG")


def made_to_harm(rng, folder):
    """What was never a picture, or says that it is a huge one."""
    drawn = folder / f"picture.{rng.choice(['png', 'jpg', 'tif', 'webp'])}"
    name, content = hostile(rng)
    if content and rng.random() < 0.2:
        _, content = mutated(content, rng)
    drawn.write_bytes(content)
    # 49 million pixels may be looked at: see `images.opened`
    most = 8 * FEW_BYTES if name == "png bomb" else FEW_BYTES
    return _attempt(folder, drawn, None, most)


def no_files(rng, folder):
    """Pipes, devices, folders, links in a circle, names that are none."""
    at = folder / "picture.png"
    kind = int(rng.integers(8))
    if kind == 0:
        os.mkfifo(at)
    elif kind == 1:
        at = Path(str(rng.choice(["/dev/zero", "/dev/null", "/dev/urandom", "/dev/stdin"])))
    elif kind == 2:
        at.mkdir()
    elif kind == 3:
        at.symlink_to(at.name)
    elif kind == 4:
        at.symlink_to("nowhere")
    elif kind == 5:
        at = folder / ("picture" * 99)
    elif kind == 6:
        at = Path(f"{folder}/picture\0.png")
    else:
        with at.open("wb") as file:  # a hole in the disk
            file.write(corpus()["png RGB"])
            file.truncate(int(rng.choice([10_000_000_000, 700_000_000])))
    noise = folder / "noise.txt"
    found = apart(lambda: _refused(folder, at), seconds=SECONDS, noise=noise)
    assert not noise.stat().st_size and (found["bytes"] or 0) < FEW_BYTES
    return found["value"]


def _refused(folder: Path, at: Path) -> str:
    for read in (images.load, files.read):
        try:
            read(at)
        except images.ImageError as error:
            assert re.search(REFUSED, str(error)) and str(error)[-1] in ".?", str(error)
        else:
            raise AssertionError(f"{at} was opened")
    return "refused"


ATTACKS = [
    Attack(
        "damaged pictures",
        "A damaged picture or mask is restored or refused in a sentence, at once and in bounded "
        "memory.",
        damaged,
        few=40,
    ),
    Attack(
        "hostile pictures",
        "Files made to take memory, time or another program with them are refused by their header.",
        made_to_harm,
        few=40,
    ),
    Attack(
        "no pictures",
        "Pipes, devices, folders and links in a circle are refused and never waited for.",
        no_files,
        few=10,
    ),
]
