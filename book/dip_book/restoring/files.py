"""Picture files of a reader's own: all that is in them read, and written again.

Pillow opens and writes; what it would cut to 8 bits (16-bit colour, and grey with alpha) is read by
OpenCV or tifffile.  A result is upright: a photo's orientation is applied to its pixels, and the
tag then says 1, because viewers disagree about tags and agree about pixels.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from dip_book import images
from dip_book.images import ImageError
from dip_book.runs.placing import try_writing, write_whole

#: Read is what has at most so many pixels; as floats, in colour, that is 0.6 GB.
MAX_PIXELS = 50_000_000
#: What is written, by suffix.
WRITTEN = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WebP",
}
#: Formats that always lose something.  WebP may or may not; see `_is_lossy`.
LOSSY = ("JPEG", "MPO", "HEIF", "AVIF")
#: Of TIFF's compressions, those that do: JPEG, JPEG 2000, WebP, JPEG XL, each by its numbers.
LOSSY_TIFF = (6, 7, 33003, 33004, 33005, 34712, 34892, 50001, 50002, 52546)
#: How Pillow writes each.
_OPTIONS = {
    "PNG": {},
    "TIFF": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WebP": {"lossless": True, "exact": True},
}
#: Longest side of what a format holds.
LONGEST = {"WebP": 16383, "JPEG": 65535}

#: Of XMP and of IPTC so many bytes are kept, at most.
MAX_KEPT = 2**20
#: What `Photo.losses` calls what a format has no place for.
_NAMES = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP", "iptc": "IPTC"}
#: Tags of TIFF, and the number of IPTC among Photoshop's resources in JPEG.
_XMP, _IPTC, _RESOURCE = 700, 33723, 0x0404
#: And of what the channels beyond grey or colour are: 0 nobody knows, 1 and 2 alpha.
_EXTRA = 338
#: Of those resources: what is kept elsewhere (resolution, profile, EXIF, XMP), the digest of IPTC,
#: and thumbnails.
_OF_PHOTOSHOP = {_RESOURCE, 0x03ED, 0x040F, 0x0422, 0x0424, 0x0425, 0x0409, 0x040C}
#: Bytes that a segment of JPEG holds beside its length.
_SEGMENT = 65_533
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
#: Tags of a TIFF file that say how its pixels lie there, or hold what is kept elsewhere: not EXIF.
_OF_THE_FILE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284),
    *(288, 289, 290, 291, 292, 293, 297, 317, 320, 322, 323, 324, 325, 330, 332, 333, 334, 336),
    *(338, 339, 340, 341, 342, 347, 512, 513, 514, 529, 530, 531, 532, 700, 33723, 34377, 34675),
}
#: Text of IFD 0 that tifffile can write: description, make, model, software, date, artist, rights.
_TEXTS = (270, 271, 272, 305, 306, 315, 33432)
#: What else of it such a file has in other ways: orientation 1, and resolution.
_ELSEWHERE = (_ORIENTATION, 282, 283, 296)
#: Chunks of a PNG file that say what its numbers look like, and its texts.
_LOOKS, _WORDS = (b"gAMA", b"cHRM", b"sRGB", b"cICP"), (b"tEXt", b"zTXt", b"iTXt")


@dataclass
class Photo:
    """A picture file's own pixels, upright, and what is to be kept beside them.

    Attributes:
        path: of the file.
        pixels: uint8 or uint16, (H, W) or (H, W, 3), as the file has them.
        alpha: of the same type, (H, W); None where the file has none.
        icc: its colour profile; None where there is none.
        exif: with orientation 1 and no thumbnail; None where there is none.
        dpi: horizontal and vertical, or None.
        xmp: UTF-8 text, with orientation 1 and no thumbnail; None where there is none.
        iptc: as its standard has it (IIM), without what programs put round it; or None.
        chunks: of a PNG file: gamma and its like, and texts, each with its name.
        lossy: has compression changed pixels?
        turned: the (width, height) that the file stores, where its orientation tag turns it.
        orientation: what that tag says, 1 to 8.
        notes: what a reader should know, a sentence each.
    """

    path: Path
    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    lossy: bool = False
    turned: tuple[int, int] | None = None
    orientation: int = 1
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def bits(self) -> int:
        """Of a value in the file: 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def white(self) -> int:
        """The value that stands for white, see `white_of`."""
        return white_of(self.pixels)

    def floats(self, known: np.ndarray) -> np.ndarray:
        """The picture as the fit wants it: float32 in [0, 1], 0 where it is not known.

        Args:
            known: bool, (H, W).

        Returns:
            (H, W) if all *known* pixels are grey, whatever the others are; else (H, W, 3).
        """
        x = self.pixels
        if x.ndim == 3:
            of_known = x[known]
            if (of_known == of_known[:, :1]).all():
                x = x[..., 0]
        floats = x.astype(np.float32) / np.float32(white_of(self.pixels[known]))
        floats[~known] = 0
        return floats

    def merged(
        self, image: np.ndarray, filled: np.ndarray, known: np.ndarray, box=np.s_[:, :]
    ) -> np.ndarray:
        """The file's own pixels, and those of an image in [0, 1] where ``filled``.

        Args:
            image: (H, W) or (H, W, 3), of the box.
            filled, known: bool, (H, W), of the whole picture.
            box: the part of the picture that the image is of, two slices.

        Returns:
            The whole picture, like `pixels` and equal to it wherever not ``filled``.
        """
        inside, white = filled[box], white_of(self.pixels[known])
        drawn = np.round(np.clip(image[inside].astype(np.float64), 0, 1) * white)
        if self.pixels.ndim == 3 and drawn.ndim == 1:
            drawn = drawn[:, None]
        merged = self.pixels.copy()
        merged[box][inside] = drawn.astype(merged.dtype)
        return merged

    def losses(self, to: str | Path, alpha: np.ndarray | None = None) -> list[str]:
        """What a file of that name cannot keep, a sentence each; see `save`.

        Raises:
            ImageError: for a suffix that is not written, a picture too large for the format, and
                transparency that it cannot hold.
        """
        to = Path(to)
        kind = _kind(to)
        alpha = self.alpha if alpha is None else alpha
        if max(self.size) > LONGEST.get(kind, math.inf):
            raise ImageError(
                f"{kind} holds at most {LONGEST[kind]:,} pixels a side: "
                f"write '{to.with_suffix('.png')}' instead."
            )
        if kind == "JPEG" and alpha is not None and (alpha < alpha.max(initial=0)).any():
            raise ImageError(
                f"JPEG has no transparency, and '{self.path}' has: "
                f"write '{to.with_suffix('.png')}' instead."
            )
        said = []
        if kind == "JPEG":
            said.append(
                "JPEG compresses with losses: known pixels will be close to what they were, not "
                "equal; a .png, .tif or .webp file keeps them."
            )
        if self.bits == 16 and kind in ("JPEG", "WebP"):
            said.append(
                f"{kind} has 8 bits: of {self.white + 1:,} levels 256 are left; "
                "a .png or .tif file keeps them."
            )
        if not (kind == "TIFF" and self._is_wide()):
            kept, taken = self._kept(), self._taken(kind)
            lost = [name for key, name in _NAMES.items() if kept[key] and key not in taken]
            if lost:
                said.append(f"{kind} cannot hold this picture's {' and '.join(lost)}.")
        if self.chunks and kind != "PNG":
            names = sorted({name.decode() for name, _ in self.chunks})
            said.append(f"{kind} does not hold what PNG has in {', '.join(names)}.")
        if kind == "TIFF" and self._is_wide() and set(self._exif()) - {*_TEXTS, *_ELSEWHERE}:
            said.append("Of EXIF, 16-bit colour TIFF keeps texts and date; a .png file keeps all.")
        return said

    def save(self, to: str | Path, pixels: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Write pixels in this picture's place: same depth, grey or colour, and all that is kept.

        The file appears at once and whole: it is written under another name and then renamed.  PNG,
        TIFF and WebP (lossless) hold the pixels bit for bit; JPEG (quality 95, 4:4:4) does not.

        Args:
            to: PNG, JPEG, TIFF or WebP by suffix.
            pixels: like `pixels`.
            alpha: like `alpha`, which is written if None.

        Raises:
            ImageError: see `losses`; OSError: what the system says of a file that cannot be
                written, and then a file of that name stays as it was.
        """
        write_whole(Path(to), self.encoded(to, pixels, alpha))

    def encoded(self, to: str | Path, pixels: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
        """What `save` writes; errors as there."""
        alpha = self.alpha if alpha is None else alpha
        self.losses(to, alpha)
        return self._encoded(_kind(Path(to)), pixels, alpha)

    def _is_wide(self) -> bool:
        """Is this what Pillow would cut to 8 bits?"""
        return self.bits == 16 and (self.pixels.ndim == 3 or self.alpha is not None)

    def _encoded(self, kind: str, pixels: np.ndarray, alpha: np.ndarray | None) -> bytes:
        if kind == "JPEG":
            alpha = None
        if kind in ("JPEG", "WebP") and pixels.dtype == np.uint16:
            pixels = np.round(pixels * (255.0 / white_of(pixels))).astype(np.uint8)
            alpha = None if alpha is None else (alpha >> 8).astype(np.uint8)
        samples = pixels if alpha is None else np.dstack([pixels, alpha])
        wide = samples.dtype == np.uint16 and samples.ndim == 3
        if kind == "PNG":
            plain = _png16(samples) if wide else _pillow(samples, "PNG")
            return _with_chunks(plain, list(self._chunks()))
        if kind == "TIFF" and wide:
            return self._tiff16(samples)
        taken = self._taken(kind)
        options = _OPTIONS[kind] | _as_options(kind, taken)
        if kind == "TIFF" and "exif" not in options:
            # by libtiff, to which Pillow cannot hand EXIF's own tags
            options["compression"] = "tiff_adobe_deflate"
        return _pillow(samples, kind, **options)

    def _kept(self) -> dict:
        """What is kept beside the pixels, each with a name of its own; without PNG's chunks."""
        return {
            "icc_profile": self.icc, "exif": self.exif, "dpi": self.dpi, "xmp": self.xmp,
            "iptc": self.iptc,
        }  # fmt: skip

    def _exif(self) -> Image.Exif | dict:
        """EXIF tag by tag; empty where there is none."""
        return _exif_of(self.exif) if self.exif else {}

    def _taken(self, kind: str) -> dict:
        """Of what is kept, what this format takes: tried out on one pixel.

        JPEG has no place for more than 64 KB of EXIF, XMP or IPTC each; PNG and WebP have none for
        IPTC.  What cameras write is not always in order.
        """
        kept = self._kept()
        grey = self.pixels.ndim == 2
        if kind in ("PNG", "WebP"):
            kept.pop("iptc")
        if kind == "PNG":
            return {name: value for name, value in kept.items() if value}
        if kind == "WebP":
            kept.pop("dpi")  # it has it in EXIF alone
            if grey and self.icc and self.icc[16:20] == b"GRAY":
                kept.pop("icc_profile")  # it has no grey pixels
        taken = {}
        pixel = np.zeros((1, 1) if grey else (1, 1, 3), np.uint8)
        for name, value in kept.items():
            with contextlib.suppress(Exception):
                options = _as_options(kind, {name: value}) if value else None
                if options and _pillow(pixel, kind, **_OPTIONS[kind], **options):
                    taken[name] = value
        return taken

    def _chunks(self) -> Iterator[tuple[bytes, bytes]]:
        """What is kept, as PNG has it."""
        if self.icc:
            yield b"iCCP", b"ICC profile\0\0" + zlib.compress(self.icc)
        yield from (
            (name, data)
            for name, data in self.chunks
            if not (self.icc and name == b"sRGB")  # one or the other, says the standard
        )
        if self.dpi:
            yield b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in self.dpi), 1)
        if self.xmp:
            yield b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + self.xmp
        if self.exif:
            yield b"eXIf", self.exif.removeprefix(b"Exif\0\0")

    def _tiff16(self, samples: np.ndarray) -> bytes:
        import tifffile

        texts, colour = self._exif(), self.pixels.ndim == 3
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            samples,
            photometric="rgb" if colour else "minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"] if samples.shape[2] in (2, 4) else None,
            compression="zlib",
            iccprofile=self.icc,
            resolution=self.dpi,
            resolutionunit="INCH" if self.dpi else None,
            software=False,
            metadata=None,
            extratags=[
                (tag, "s", 0, _AsItStood(texts[tag]).encode(), True)
                for tag in _TEXTS
                if tag in texts
            ]
            + [
                (tag, kind, len(value), value, True)
                for tag, kind, value in ((_XMP, 1, self.xmp), (_IPTC, 7, self.iptc))
                if value
            ],
        )
        return buffer.getvalue()


def white_of(pixels: np.ndarray) -> int:
    """The value that stands for 1.0: 255; of 16 bits the largest of the bits in use.

    A scan with 12 bits in 16 has 4095 here.  Taken for 65535 it would be nearly black.
    """
    if pixels.dtype == np.uint8:
        return 255
    return 2 ** max(8, int(pixels.max(initial=0)).bit_length()) - 1


# Reading ------------------------------------------------------------------------------------------


def read(path: str | Path) -> Photo:
    """Everything that a picture file holds; of an animation or several pages, the first.

    Palettes become colours; CMYK and Lab become RGB, which is said.  Reading takes at most 1.2 GB
    of memory and twice the file's own size: 50 million pixels, 16 bits, with transparency.  What is
    refused by its header takes less than 0.15 GB.

    Raises:
        ImageError: one sentence on what is wrong and what to do: no file, a folder, an empty or
            broken file, a pipe, no picture or one of another kind than `images.FORMATS`, more than
            `MAX_PIXELS`, a side above `images.MAX_SIDE` (by the header: nothing is decoded),
            floating-point pixels, HEIC without `pillow-heif`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise images.ImageError(f"A picture is read by its path, not {type(path).__name__}.")
    path = Path(path)
    head = _head(path)
    try:
        with images.opened(path, MAX_PIXELS) as picture:
            return _read(path, picture, head)
    except images.UnknownKind:
        if head[:4] in _TIFF and (photo := _only_tifffile(path)) is not None:
            return photo
        if _is_heic(head):
            raise ImageError(
                f"'{path}' is a HEIC file: install pillow-heif (pip install pillow-heif), or "
                "save it as JPEG or PNG."
            ) from None
        raise


def _head(path: Path) -> bytes:
    """The beginning of a file; makes HEIC readable where its reader is installed."""
    head = images.head(path)
    if _is_heic(head) and importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return head


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC


def _no_floats(path: Path) -> str:
    return f"'{path}' holds floating-point pixels without a known range: save it with 8 or 16 bits."


def _only_tifffile(path: Path) -> Photo | None:
    """A TIFF file of 16-bit grey with alpha, which Pillow does not know; None for all else."""
    import tifffile

    try:
        with images.hushed(), tifffile.TiffFile(path) as file:
            page = file.pages[0]
            if page.dtype is not None and page.dtype.kind == "f":
                raise ImageError(_no_floats(path))
            images.check_size((page.imagewidth, page.imagelength), path, MAX_PIXELS)
            if page.dtype != np.uint16 or page.samplesperpixel != 2:
                return None
            of_use = (_ORIENTATION, 34675, _XMP, _IPTC)
            tags = {tag: page.tags[tag].value for tag in of_use if tag in page.tags}
            samples = np.atleast_3d(_tiff_samples(path))
            dpi = page.get_resolution("INCH") if 282 in page.tags else None
            photo = Photo(path, samples[..., 0], icc=tags.get(34675), dpi=dpi)
            extra = {_EXTRA: tuple(page.extrasamples)}
            grey, alpha = _of_tiff(samples[..., 0], samples[..., 1], extra, photo)
            photo.pixels = _upright(grey, tags.get(_ORIENTATION, 1))
            photo.alpha = None if alpha is None else _upright(alpha, tags.get(_ORIENTATION, 1))
            photo.turned = (page.imagewidth, page.imagelength)
            photo.turned = None if photo.turned == photo.size else photo.turned
            _keep_words(photo, tags.get(_XMP), _iptc_of({}, tags, file.byteorder))
            if {tag.code for tag in page.tags} - _OF_THE_FILE - {*_ELSEWHERE}:
                photo.notes.append(f"Of '{path}', grey of 16 bits with alpha, EXIF is not kept.")
            return photo
    except ImageError:
        raise
    except Exception as error:  # as decoders do
        raise ImageError(images.broken(path, error, MAX_PIXELS)) from None


def _read(path: Path, opened: Image.Image, head: bytes) -> Photo:
    photo = Photo(path, np.zeros((1, 1), np.uint8), lossy=_is_lossy(opened, path))
    if (count := getattr(opened, "n_frames", 1)) > 1:
        photo.notes.append(
            f"'{path}' holds {count} pictures: the first is restored, the others are left out."
        )
    tiff = opened.format == "TIFF"
    tags = dict(opened.tag_v2) if tiff else {}  # before loading, which turns a TIFF file upright
    exif = opened.getexif()
    for nested in {_EXIF_IFD, _GPS_IFD} & set(exif):
        exif.get_ifd(nested)  # now: once its pixels are read, a TIFF file is closed
    orientation = exif.get(_ORIENTATION, 1)
    stored_size, coded = opened.size, opened.tile
    opened.load()  # of what OpenCV reads too: it takes a broken file for a whole one
    wide = _is_wide(opened, tags, head)
    if not wide:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    if not tiff:
        exif = opened.getexif()  # PNG may have it behind its pixels
    planes, alpha = _wide(path, opened, tags) if wide else _plain(path, opened, photo)
    if alpha is not None and tags:
        planes, alpha = _of_tiff(planes, alpha, tags, photo)
    if tags.get(262) == 0 and planes.dtype == np.uint16:  # "0 is white", which all three overlook
        planes = np.uint16(65535) - planes
    photo.pixels = _upright(planes, orientation)
    photo.alpha = None if alpha is None else _upright(alpha, orientation)
    photo.orientation = orientation if orientation in range(2, 9) else 1
    if photo.size != stored_size:
        photo.turned = stored_size
    photo.exif = _kept_exif(exif, photo.size, turned=photo.turned is not None)
    if photo.exif is None and len(exif):
        photo.notes.append(f"What '{path}' holds as EXIF is not kept: it is damaged.")
    photo.dpi = _kept_dpi(opened.info, turned=photo.turned is not None)
    profile = opened.info.get("icc_profile")
    if opened.mode in ("CMYK", "LAB"):  # a profile of what the pixels are no longer
        profile = photo.icc
    photo.icc = profile or None
    xmp = opened.info.get("xmp") or tags.get(_XMP)
    order = ">" if tiff and opened.tag_v2.prefix == b"MM" else "<"
    resources = opened.info.get("photoshop") or {}
    _keep_words(photo, xmp, _iptc_of(resources, tags, order))
    if set(resources) - _OF_PHOTOSHOP:
        photo.notes.append(f"Of what Photoshop put into '{path}', IPTC alone is kept.")
    if opened.format == "PNG":
        photo.chunks = [
            (name, data) for name, data in _chunks_of(path.read_bytes()) if _is_kept(name, data)
        ]
    if photo.bits == 8 and (bits := _bits(opened, tags, coded)) > 8:
        photo.notes.append(f"'{path}' has {bits} bits, of which 8 are read.")
    if more := _further(opened, tags):
        photo.notes.append(
            f"Channels of '{path}' that are neither colours nor transparency are left out: {more}."
        )
    return photo


def _further(opened: Image.Image, tags: dict) -> int:
    """How many channels of a TIFF file Pillow passes over: neither colours nor transparency."""
    samples = tags.get(277, 1)
    return max(0, samples - len(opened.getbands())) if isinstance(samples, int) else 0


def _bits(opened: Image.Image, tags: dict, tile: list) -> int:
    """Of a value in the file, as far as Pillow tells; ``tile``: as before the pixels were read."""
    said = [opened.info.get("bit_depth", 8)]
    said += [bits for bits in tags.get(258, ()) if isinstance(bits, int)]
    if opened.format == "PPM" and tile and isinstance(tile[0][3], tuple):  # mode, largest value
        said += [most.bit_length() for most in tile[0][3][1:] if isinstance(most, int)]
    return max(said)


def _is_lossy(opened: Image.Image, path: Path) -> bool:
    kind = opened.format
    if kind == "TIFF":
        return opened.tag_v2.get(259, 1) in LOSSY_TIFF
    return kind in LOSSY or (kind == "WEBP" and b"VP8L" not in _webp_chunks(path))


def _webp_chunks(path: Path) -> list[bytes]:
    """Names of the chunks of a WebP file, those of an animation's frames too."""
    data, position, names = path.read_bytes(), 12, []
    while position + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[position : position + 8])
        names.append(name)
        position += 8 + (16 if name == b"ANMF" else length + length % 2)
    return names


def _is_wide(opened: Image.Image, tags: dict, head: bytes) -> bool:
    """Has the file 16 bits that Pillow cuts to 8?"""
    if opened.format == "PNG":
        return head[24] == 16 and head[25] in (2, 4, 6)
    bits = tags.get(258, ())
    return len(bits) > 1 and set(bits) == {16} and tags.get(262) in (0, 1, 2)


def _wide(path: Path, opened: Image.Image, tags: dict) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of what has 16 bits and more than one channel, as stored, not turned."""
    grey_alpha = opened.format == "PNG" and path.read_bytes()[25:26] == b"\4"
    samples = _tiff_samples(path) if tags else _by_opencv(path.read_bytes(), path)
    if samples.ndim == 2:
        return samples, None
    count = samples.shape[2]
    if grey_alpha or count == 2:
        return samples[..., 0], samples[..., -1]
    alpha = samples[..., 3] if count == 4 else None
    pixels = samples[..., :3]
    clear = opened.info.get("transparency")
    if alpha is None and isinstance(clear, tuple):  # PNG: one colour stands for transparent
        alpha = np.where((pixels == np.array(clear)).all(-1), 0, 65535).astype(np.uint16)
    return pixels, alpha


def _of_tiff(
    planes: np.ndarray, alpha: np.ndarray, tags: dict, photo: Photo
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a TIFF file, by what it says of its further channels.

    One of no known meaning is no alpha; colours that are multiplied by alpha are divided by it
    (Pillow has done both for 8 bits).
    """
    kinds = tags.get(_EXTRA, (2,))
    kind = int((kinds if isinstance(kinds, tuple) else (kinds,))[:1][0])
    if kind == 0:
        photo.notes.append(
            f"'{photo.path}' has a further channel that it does not call transparency: it is left "
            "out."
        )
        return planes, None
    if kind == 1 and planes.dtype == np.uint16:
        least = alpha if planes.ndim == 2 else alpha[..., None]
        divided = planes * (65535.0 / np.maximum(least, 1))
        return np.minimum(np.round(divided), 65535).astype(np.uint16), alpha
    return planes, alpha


def _tiff_samples(path: Path) -> np.ndarray:
    """Channels last; by tifffile, or by OpenCV where its compression needs a further library."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        if page.size > 4 * MAX_PIXELS:
            raise ImageError(f"'{path}' has more channels or layers than a picture: save it anew.")
        try:
            samples = page.asarray()
            planar = page.planarconfig == 2 and samples.ndim == 3
            return np.moveaxis(samples, 0, -1) if planar else samples
        except (KeyError, ValueError, ImportError):  # of a compression that is not known there
            data, tag = bytearray(path.read_bytes()), page.tags.get(_ORIENTATION)
            if tag is not None:  # OpenCV stumbles over 16 bits that it is to turn
                order = "little" if file.byteorder == "<" else "big"
                data[tag.valueoffset : tag.valueoffset + 2] = (1).to_bytes(2, order)
            return _by_opencv(bytes(data), path)


def _by_opencv(data: bytes, path: Path) -> np.ndarray:
    """RGB or RGBA, 16 bits."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))  # it reads no more
    try:
        import cv2
    except ImportError:
        raise ImageError(
            f"To read the 16 bits of '{path}' install OpenCV "
            "(pip install opencv-python-headless), or save it with 8 bits."
        ) from None
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ImageError(f"The 16 bits of '{path}' cannot be read: save it as a plain PNG file.")
    if samples.ndim == 3:  # OpenCV has blue first
        samples[..., [0, 2]] = samples[..., [2, 0]]
    return samples


def _plain(path: Path, opened: Image.Image, photo: Photo) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of what Pillow reads with all its bits."""
    mode, clear = opened.mode, "transparency" in opened.info
    if mode == "F":
        raise ImageError(_no_floats(path))
    if mode == "I" or mode.startswith("I;16"):
        values = np.asarray(opened).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"'{path}' holds whole numbers from {values.min():,} to {values.max():,}: save it "
                "with 8 or 16 bits."
            )
        value = opened.info.get("transparency")
        alpha = None
        if isinstance(value, int):
            alpha = np.where(values == value, 0, 65535).astype(np.uint16)
        return values.astype(np.uint16), alpha
    if mode in ("1", "L", "LA", "La"):
        if mode == "La":  # colours multiplied by alpha; Pillow makes nothing else of them
            opened = opened.convert("LA")
        alpha = np.asarray(opened.convert("RGBA"))[..., 3] if clear or mode[1:] else None
        return np.array(opened.convert("L") if mode in "1L" else opened.getchannel("L")), alpha
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        rgb = _as_srgb(opened, photo) if mode == "CMYK" else opened.convert("RGB")
        photo.notes.append(f"'{path}' is {mode}: it is read, and written, as RGB.")
        return np.array(rgb), None
    if mode in ("PA", "RGBA", "RGBa") or clear:
        samples = np.array(opened.convert("RGBA"))
        pixels, alpha = samples[..., :3], samples[..., 3].copy()
    else:
        pixels, alpha = np.array(opened.convert("RGB")), None
    palette = mode in ("P", "PA") and not opened.info.get("icc_profile")
    if palette and (pixels == pixels[..., :1]).all():  # of greys
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels), alpha


def _as_srgb(opened: Image.Image, photo: Photo) -> Image.Image:
    """CMYK by its profile, if it has one that works; else by the plain formula."""
    if profile := opened.info.get("icc_profile"):
        try:
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            rgb = ImageCms.profileToProfile(
                opened, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb, outputMode="RGB"
            )
            photo.icc = srgb.tobytes()
            return rgb
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile
    return opened.convert("RGB")


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """What EXIF's orientation (1 to 8) says, done to an array, rows first."""
    if orientation not in range(2, 9):
        return np.ascontiguousarray(array)
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


# What is kept -------------------------------------------------------------------------------------


class _AsItStood(str):
    """A text of EXIF, of which Pillow would write question marks for all but ASCII.

    It reads every byte as a letter of Latin-1, whatever was meant, and so the same bytes come back.
    """

    def encode(self, *_, **__) -> bytes:
        return super().encode("latin-1", "replace")


def _exif_of(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return _with_its_letters(exif)


def _with_its_letters(exif: Image.Exif) -> Image.Exif:
    nested = [exif.get_ifd(tag) for tag in (_EXIF_IFD, _GPS_IFD) if tag in exif]
    for values in (exif, *nested):
        for tag, value in list(values.items()):
            if isinstance(value, str):
                values[tag] = _AsItStood(value)
    return exif


def _kept_exif(exif: Image.Exif, size: tuple[int, int], turned: bool) -> bytes | None:
    """EXIF for upright pixels; the thumbnail, which shows the damage, is left out."""
    try:
        for tag in _OF_THE_FILE & set(exif):
            del exif[tag]
        if not len(exif):  # nested tags are reached by one of these
            return None
        exif[_ORIENTATION] = 1
        if turned and _EXIF_IFD in exif:
            exif.get_ifd(_EXIF_IFD).update({0xA002: size[0], 0xA003: size[1]})
        exif = _with_its_letters(exif)
        exif.bigtiff = False  # of a file above 4 GB by its form; there is no EXIF of that form
        data = exif.tobytes()
        _exif_of(data)
        return data
    except Exception:  # EXIF is often broken, and no reason to refuse a picture
        return None


def _keep_words(photo: Photo, xmp, iptc: bytes | None) -> None:
    """XMP and IPTC, as far as they are in order; what is not is said."""
    photo.xmp = _kept_xmp(xmp, photo.size, photo.turned is not None)
    photo.iptc = iptc if iptc and len(iptc) <= MAX_KEPT else None
    pairs = (("XMP", xmp, photo.xmp), ("IPTC", iptc, photo.iptc))
    if left := [name for name, there, kept in pairs if there and not kept]:
        photo.notes.append(
            f"What '{photo.path}' holds as {' and '.join(left)} is not kept: it is damaged, or has "
            f"more than {MAX_KEPT // 2**20} MB."
        )
    elif photo.xmp and b"HasExtendedXMP" in xmp:
        photo.notes.append(f"Of XMP in '{photo.path}' the main part is kept, its extension is not.")


def _kept_xmp(xmp, size: tuple[int, int], turned: bool) -> bytes | None:
    """XMP for upright pixels; thumbnails, which show the damage, are left out.

    None for what is no UTF-8 text, or too long.
    """
    if not isinstance(xmp, bytes) or not xmp or len(xmp) > MAX_KEPT:
        return None
    xmp = xmp.rstrip(b"\0")
    try:
        xmp.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not xmp or b"\0" in xmp:
        return None
    numbers = {b"tiff:Orientation": 1}
    if turned:
        numbers |= dict.fromkeys((b"exif:PixelXDimension", b"tiff:ImageWidth"), size[0])
        numbers |= dict.fromkeys((b"exif:PixelYDimension", b"tiff:ImageLength"), size[1])
    for name, value in numbers.items():
        new = rb"\g<1>%d" % value
        xmp = re.sub(rb"(\b%s\s*=\s*[\"'])\d+" % name, new, xmp)
        xmp = re.sub(rb"(<%s>)\d+" % name, new, xmp)
    xmp = re.sub(rb"\bxmpNote:HasExtendedXMP\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
    opened, closed = b"<xmp:Thumbnails", b"</xmp:Thumbnails>"
    parts, at = [], 0
    while (start := xmp.find(opened, at)) >= 0 and (end := xmp.find(closed, start)) >= 0:
        parts.append(xmp[at:start])
        at = end + len(closed)
    return b"".join([*parts, xmp[at:]])


def _iptc_of(resources: dict, tags: dict, order: str) -> bytes | None:
    """IPTC of Photoshop's resources in JPEG, or of TIFF's tag, which may call its bytes numbers.

    Args:
        order: of the file's bytes, "<" or ">".
    """
    value = resources.get(_RESOURCE) or tags.get(_IPTC)
    if isinstance(value, tuple) and all(isinstance(number, int) for number in value):
        try:
            value = struct.pack(f"{order}{len(value)}I", *value)
        except struct.error:
            value = None
    return value if isinstance(value, bytes) and value else None


def _as_options(kind: str, kept: dict) -> dict:
    """What is kept, as Pillow takes it for this format; see `Photo._kept`.

    Raises ValueError for IPTC that JPEG has no place for.
    """
    options = dict(kept)
    xmp, iptc = (options.pop(name, None) for name in ("xmp", "iptc"))
    if kind == "TIFF" and (xmp or iptc or "exif" in options):
        exif = _exif_of(options["exif"]) if "exif" in options else Image.Exif()
        for tag, value in ((_XMP, xmp), (_IPTC, iptc)):
            if value:
                exif[tag] = value
        return options | {"exif": exif}
    if kind == "JPEG" and iptc:
        head = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", _RESOURCE, 0, len(iptc))
        data = head + iptc + bytes(len(iptc) % 2)
        if len(data) > _SEGMENT:
            raise ValueError("IPTC is too long for JPEG.")
        options["extra"] = b"\xff\xed" + struct.pack(">H", 2 + len(data)) + data
    return options | ({"xmp": xmp} if xmp else {})


def _kept_dpi(info: dict, turned: bool) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < x < 1e6 and 0 < y < 1e6):
        return None
    return (y, x) if turned else (x, y)


def _chunks_of(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 12 <= len(png):
        length, name = struct.unpack(">I4s", png[position : position + 8])
        yield name, png[position + 8 : position + 8 + length]
        position += length + 12


def _is_kept(name: bytes, data: bytes) -> bool:
    """Gamma and its like; texts, but for those that programs put there for each other."""
    return name in _LOOKS or (
        name in _WORDS and not data.startswith((b"Raw profile", b"XML:com.adobe"))
    )


# Writing ------------------------------------------------------------------------------------------


def _kind(to: Path) -> str:
    if to.suffix.lower() not in WRITTEN:
        raise ImageError(
            f"The result can be PNG, JPEG, TIFF or WebP: call it '{to.with_suffix('.png')}', not "
            f"'{to}'."
        )
    return WRITTEN[to.suffix.lower()]


def check_target(to: str | Path, sources: list[str | Path] = ()) -> None:
    """Can this file be written?  Tried out, before any work.

    Raises:
        ImageError: for a suffix that is not written, a folder that is missing or cannot be written
            to, and a file that is one of the sources.
    """
    to = Path(to)
    _kind(to)
    if any(same_file(to, source) for source in sources):
        raise ImageError(
            f"'{to}' would replace a picture that it is made from: choose another name."
        )
    if to.is_dir():
        raise ImageError(f"'{to}' is a folder: choose another name.")
    if to.exists() and not to.is_file():  # a pipe would be waited for
        raise ImageError(f"'{to}' is a pipe or a device, not a file: choose another name.")
    if not to.parent.is_dir():
        raise ImageError(f"There is no folder '{to.parent}' to write the result into.")
    try:
        try_writing(to)
    except OSError as error:
        raise ImageError(
            f"The folder '{to.parent}' cannot be written to ({error.strerror}): choose another "
            "with --to."
        ) from None


def identity(path: str | Path) -> tuple[int, int]:
    """The same for all names of a file, hard links among them; OSError for what is not there."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def same_file(one: str | Path, other: str | Path) -> bool:
    """Do two paths lead to one file?  Also where capitals, or how an "é" is written, do not count.

    Files of two names that share their content (hard links) are taken for one.
    """
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one is not there
        return False


def _pillow(samples: np.ndarray, kind: str, **options) -> bytes:
    if samples.ndim == 3 and samples.shape[2] == 2:
        picture = Image.merge("LA", [Image.fromarray(samples[..., i].copy()) for i in (0, 1)])
    else:
        picture = Image.fromarray(np.ascontiguousarray(samples))
    if kind == "WebP" and picture.mode in ("L", "LA"):
        picture = picture.convert("RGBA" if picture.mode == "LA" else "RGB")
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _png16(samples: np.ndarray) -> bytes:
    """16-bit PNG of two to four channels: Pillow has none, OpenCV none of grey with alpha.

    Each row is stored as differences to the pixel on the left, the standard's filter "Sub".
    """
    height, width, channels = samples.shape
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    step = 2 * channels
    sub = rows.copy()
    sub[:, step:] -= rows[:, :-step]
    filtered = np.hstack([np.ones((height, 1), np.uint8), sub])
    kind = {2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _with_chunks(png: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Chunks put behind a PNG file's header, where each of them may stand."""
    end_of_header = 8 + 25
    extra = b"".join(_chunk(*chunk) for chunk in chunks)
    return png[:end_of_header] + extra + png[end_of_header:]
