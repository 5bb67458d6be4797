"""Pictures by name or by path, as arrays that `dip_blocks` takes.

Four kinds of picture:

* *embedded*: freely licensed pictures that ship inside scikit-image and need no network; grey, and
  under names that end in "-rgb" in colour;
* *standard*: the 11 grey test images of the paper's table.  No free licence covers them, so they
  are never part of this project: they come from the folder that the environment variable
  ``DIP_IMAGES`` names, else from the web (checked by SHA-256, kept in the user's cache);
* *colour*: the standard pictures of the paper's other problems, likewise;
* any picture file of yours.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import struct
import threading
import uuid
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGES_VARIABLE = "DIP_IMAGES"

#: 4096 × 4096.  A network of 128 channels would need more memory than any machine here has.
MAX_PIXELS = 4096**2
LARGEST_SIZE = 4096  # that a picture is enlarged or shrunk to
#: Longest side of a picture file, and of what a run can be made of: WebP holds no more.
MAX_SIDE, MAX_SIDE_OF_RUN = 65_535, 16_383
#: Bytes of a picture file; of a profile, of EXIF and of other data beside its pixels.
MAX_BYTES, MAX_BESIDE = 600_000_000, 4_000_000
#: What is opened, by content, whatever the name says.  Pillow knows more formats: for some it
#: starts another program, some it takes for pictures that are none.
FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "WEBP", "GIF", "BMP", "PPM", "AVIF", "HEIF")


class ImageError(ValueError):
    """A picture that cannot be found, read or used; the message says which, and what to do."""


@dataclass(frozen=True)
class Embedded:
    """A picture inside scikit-image, with what its documentation says of its licence."""

    title: str
    credit: str


EMBEDDED = {
    "camera": Embedded("Camera", "Lav Varshney, CC0"),
    "astronaut": Embedded("Astronaut", "NASA, public domain"),
    "chelsea": Embedded("Chelsea", "Stéfan van der Walt, CC0"),
    "coffee": Embedded("Coffee", "Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0"),
    "brick": Embedded("Brick", "CC0Textures, CC0"),
    "grass": Embedded("Grass", "Linolafett, CC0"),
}


@dataclass(frozen=True)
class Standard:
    """A test image of the paper's table: its names at the two sources, its size and hash."""

    title: str  # as in the table
    primary: str
    mirror: str
    side: int
    sha256: str  # of the file


PRIMARY = "https://raw.githubusercontent.com/Ryanshuai/BM3D_py/9c964f63d1ab04637e9aa4fb56cdd8fed0f79ce7/test_data/original_image/"
MIRROR = "https://raw.githubusercontent.com/yanik-porto/BMxD-Denoising/afc7c50497eb9d1d35f700cd55f20dcd5c09e540/BM3D_images/"

# fmt: off
# ruff: disable[E501]
STANDARD = {  # in the order of the paper's table
    "barbara": Standard("Barbara", "barbara.png", "barbara.png", 512, "764b8a2748cc7ad381cccc047c5e512cb528c197ba86adb83aa339e8932e66c0"),
    "boat": Standard("Boat", "boat.png", "boat.png", 512, "18bea4de1634456f5791d16301863fc974401d144cd6afb86f09a6be4620fe54"),
    "house": Standard("House", "house.png", "house.png", 256, "576b2b3b6ff4d7e6c8ddccb0df645774f9b986c81219c28e16ba1935990a0b29"),
    "lena": Standard("Lena", "Lena.png", "Lena512.png", 512, "614176830c78cf7ef2c6119f9750877abe96736358492d6d299e2589feac2524"),
    "peppers": Standard("Peppers", "Peppers.png", "peppers256.png", 256, "92de94d7b8ef9e645546821150eff5c765d0d29666f9bc7d20b61063f35c3305"),
    "cameraman": Standard("C.man", "Cameraman.png", "Cameraman256.png", 256, "0da05a64c5090d4f49a021e884451788a5ae0b7ecf3b565be8afd5bf1cc1c2e2"),
    "couple": Standard("Couple", "couple.png", "couple.png", 512, "f6acd12953db8c1f5a0dda53fef4233be37a61702cd22d5be742cf7c039021f2"),
    "fingerprint": Standard("Finger", "fingerprint.png", "fingerprint.png", 512, "da7daa343256aa187cf36161e3113b382eb7bb37f3ba23d3dfc99e15697619ab"),
    "hill": Standard("Hill", "hill.png", "hill.png", 512, "f181874584ca31e209ee4e78ed836f742bd6692fb268fa3de1b3c861ed56c3b3"),
    "man": Standard("Man", "Man.png", "man.png", 512, "a8791afbd2af4f977f30c3a9a72a50204264440c27b1f4bb282a085eb680abe1"),
    "montage": Standard("Montage", "montage.png", "montage.png", 256, "9315f18ec482a6678586f795be04beda3e3680e9facbcaadd6e547d83c65218e"),
}
# ruff: enable[E501]
# fmt: on


#: The embedded pictures that have colours: name → that of the grey one.
EMBEDDED_RGB = {f"{name}-rgb": name for name in ("astronaut", "chelsea", "coffee")}


@dataclass(frozen=True)
class Colour:
    """A colour test image: how it is called, where it is, and its file's hash.

    ``multiple``: rows and columns beyond a multiple of it, below and on the right, are cut off.
    """

    title: str
    url: str
    sha256: str
    multiple: int = 1


_TAMPERE = "https://webpages.tuni.fi/foi/GCF-BM3D/images/image_"
_SET5 = "https://raw.githubusercontent.com/jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/data/Set5/image_SRF_4/img_00"
_PAPERS = "https://raw.githubusercontent.com/DmitryUlyanov/deep-image-prior/042e0d4c1e93f4b1eb0932781de55b8cff5e0f40/data/"

# fmt: off
# ruff: disable[E501]
COLOUR = {
    "house-rgb": Colour("House", f"{_TAMPERE}House256rgb.png", "292578e2309791b54652350ca79a06b2c6fa2290121389719b3af69b041dc150"),
    "peppers-rgb": Colour("Peppers", f"{_TAMPERE}Peppers512rgb.png", "d7b926dff30cdbe2760f0f72d0850aac7d9b4bf2ad83a77370cef1e1ded52f9f"),
    "lena-rgb": Colour("Lena", f"{_TAMPERE}Lena512rgb.png", "ab0642b305fe54290a0db041b2c007e78bb94584e367520b98eec0799f45c975"),
    "baboon-rgb": Colour("Baboon", f"{_TAMPERE}Baboon512rgb.png", "3714ba077446c372241027cc672f4c32749f95089ffbc0188398e39246e1a440"),
    "f16": Colour("F16", f"{_PAPERS}denoising/F16_GT.png", "33810cc97ab8222e5bbb5fb32394d314d7d53564b008a4bf5371d0044ca45336"),
    "set5-baby": Colour("Baby", f"{_SET5}1_SRF_4_HR.png", "ac41483d2caa808a58d1361f0172023913da3ac4a9514a135c92836eef1fbe99"),
    "set5-bird": Colour("Bird", f"{_SET5}2_SRF_4_HR.png", "7ed486a42ce3fca8d9ed2ff328419a92a50fc64e479765552ee544eb45f187a2"),
    "set5-butterfly": Colour("Butterfly", f"{_SET5}3_SRF_4_HR.png", "a58f6334af41127d8de5ea64e36ad174623a689c1bd5c4100aee20738b93a944"),
    "set5-head": Colour("Head", f"{_SET5}4_SRF_4_HR.png", "30bd282537e4660651d5f668252353a66723c301ccba541a699af053269e9eb3"),
    "set5-woman": Colour("Woman", f"{_SET5}5_SRF_4_HR.png", "653e3aa5cbc70487e38e31260ba2d42588d575e267e23951ea66157adc3285e6", 8),
    "kate": Colour("Kate", f"{_PAPERS}inpainting/kate.png", "8516aecf3628fd97ba12ab480d7b9c64d1c8e06be2ef603256087a40cae4971a"),
    "library": Colour("Library", f"{_PAPERS}inpainting/library.png", "4795d1f90c0c5310456057a8ea219e2bcf9ff2f6abcd9a192abfe0c2d472a647"),
    "vase": Colour("Vase", f"{_PAPERS}inpainting/vase.png", "1c25862a0a914bdb29ee793d182533b9e64c2c2da40d56623ee33f9dcfd38424"),
}
#: What is missing in three of them, white where a pixel is known: files like the pictures'.
MASKS = {
    "kate-mask": Colour("Kate's mask", f"{_PAPERS}inpainting/kate_mask.png", "631ffd05b0fc43a72dc06c54331977173d5b4e6706bb4fa5191d822b90ea8f1b"),
    "library-mask": Colour("Library's mask", f"{_PAPERS}inpainting/library_mask.png", "6908be662bf67becc5495422f242eac7e4701a91d5c814112d804d22b37fcc55"),
    "vase-mask": Colour("Vase's mask", f"{_PAPERS}inpainting/vase_mask.png", "9f7a689863d21c920b00c771df45c65c76c32b924ed3dfc11e81d1fc6ecd350a"),
}
# ruff: enable[E501]
# fmt: on


def of_the_book(name: str) -> bool:
    """Is this a picture that the book knows by its name, and no file?"""
    known = (EMBEDDED, EMBEDDED_RGB, STANDARD, COLOUR)
    return isinstance(name, str) and any(name in pictures for pictures in known)


def title(name: str) -> str:
    """How a picture is called in tables and selectors.  ImageError for what is no name or path."""
    if not isinstance(name, (str, os.PathLike)):
        raise ImageError(f"A picture is called by its name or path, not {type(name).__name__}.")
    name = os.fspath(name)
    known = {**EMBEDDED, **STANDARD, **COLOUR}
    name = EMBEDDED_RGB.get(name, name)
    if found := re.fullmatch(r"(.+)@[0-9a-f]{8}", name):  # a reader's own, as records name it
        return found[1]
    return known[name].title if name in known else Path(name).stem


def load(
    name: str | os.PathLike, size: int | None = None, colour: bool | None = None
) -> np.ndarray:
    """A picture as floats in [0, 1].

    Args:
        name: a picture of the book's (`of_the_book`), or the path of a picture file: 8-bit grey or
            colour, or 16-bit grey (16-bit colour PNG is read at 8 bits).
        size: crop the middle square and resize it to size × size pixels.
        colour: true for three channels, false for one, by the usual luma weights; None: as its
            name says.

    Returns:
        float32, shape (H, W), or (H, W, 3) with ``colour``.

    Raises:
        ImageError: one sentence on what is wrong and what to do.
    """
    if size is not None and not (isinstance(size, Integral) and 2 <= size <= LARGEST_SIZE):
        raise ImageError(
            f"A picture of {size}×{size} pixels cannot be made: ask for a whole number "
            f"from 2 to {LARGEST_SIZE:,}."
        )
    if not isinstance(name, (str, os.PathLike)):
        raise ImageError(f"A picture is loaded by its name or path, not {type(name).__name__}.")
    if not os.fspath(name):
        raise ImageError("A picture's name is empty: name one of the book's, or a file.")
    if not (colour is None or isinstance(colour, (bool, np.bool_))):
        raise ImageError(f"colour: True, False, or None for as its name says, not {colour!r:.60}.")
    colour = (name in EMBEDDED_RGB or name in COLOUR) if colour is None else colour
    if name in EMBEDDED or name in EMBEDDED_RGB:
        picture = Image.fromarray(_embedded(EMBEDDED_RGB.get(name, name)))
    else:
        standard = any(name in known for known in (STANDARD, COLOUR, MASKS))
        picture = _open(fetch(name) if standard else Path(name))
    picture = _plain(picture, colour, name)
    if name in COLOUR:
        width, height = (side - side % COLOUR[name].multiple for side in picture.size)
        picture = picture.crop((0, 0, width, height))  # as super-resolution is measured
    if size is not None:
        picture = _square(picture, size)
    scale = 65535 if picture.mode == "I;16" else 255
    return (np.asarray(picture, dtype=np.float64) / scale).astype(np.float32)


def _embedded(name: str) -> np.ndarray:
    """A picture that ships with scikit-image, which asks for the user's cache also for these."""
    from skimage import data

    try:
        return getattr(data, name)()
    except RuntimeError as error:  # a user without a home, as in a container
        raise ImageError(f"The picture '{name}' cannot be opened here: {error}.") from None


def digest(image: np.ndarray) -> str:
    """SHA-256 of a loaded picture's pixels, rounded to 16 bits: what exactly was restored."""
    return hashlib.sha256(
        np.round(np.asarray(image, np.float64) * 65535).astype("<u2").tobytes()
    ).hexdigest()


def fetch(name: str) -> Path:
    """The file of a standard test image: from $DIP_IMAGES, else the cache, else downloaded.

    Raises ImageError when there is neither folder nor network, or the file is another picture.
    """
    image = {**STANDARD, **COLOUR, **MASKS}[name]
    folder = os.environ.get(IMAGES_VARIABLE)
    for path in _places(name):
        if is_file(path):
            if _sha256(path) != image.sha256:
                raise ImageError(
                    f"{path} is not the standard test image '{name}': its SHA-256 differs. "
                    "Remove or replace it."
                )
            return path
    import pooch

    urls = (
        (PRIMARY + image.primary, MIRROR + image.mirror)
        if isinstance(image, Standard)
        else (image.url,)
    )
    failures = []
    for url in urls:
        try:
            downloaded = pooch.retrieve(
                url, f"sha256:{image.sha256}", fname=f"{name}.png", path=cache()
            )
        except (
            Exception
        ) as error:  # no network, a vanished file, a wrong hash: the mirror may do better
            failures.append(f"{url.split('/')[2]}: {type(error).__name__}")
        else:
            return Path(downloaded)
    where = f"{folder[:200]} holds no {name}.png" if folder else f"{IMAGES_VARIABLE} is not set"
    raise ImageError(
        f"The test image '{name}' is missing: {where}, and it could not be downloaded "
        f"({'; '.join(failures)}). "
        f"Connect to the network, or set {IMAGES_VARIABLE} to a folder that holds {name}.png."
    )


def file_digest(path: Path) -> str | None:
    """SHA-256 of a file's content, however large; None where there is none, else OSError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _sha256(path: Path) -> str | None:
    """`file_digest`; ImageError for a file that cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise ImageError(f"'{path}' cannot be read: {error.strerror}.") from None


def _places(name: str) -> list[Path]:
    """Where a user may have put a standard picture: colour ones also in a folder of their own."""
    folder = os.environ.get(IMAGES_VARIABLE)
    if not folder:
        return []
    folder = Path(os.path.expanduser(folder))
    inside = [folder / "color"] if name not in STANDARD else []
    return [parent / f"{name}.png" for parent in (folder, *inside)]


def available(name: str) -> bool:
    """Can this picture be loaded without asking the network?  Not what is no name."""
    if not isinstance(name, str):
        return False
    if name in EMBEDDED or name in EMBEDDED_RGB:
        return True
    if any(is_file(path) for path in _places(name)):
        return True
    try:
        return is_file(cache() / f"{name}.png")
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Is there a file, as far as one can find out?"""
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def save_png(path: str | os.PathLike, image) -> None:
    """Write an image, see `to_bytes`, as 8-bit PNG, whatever the path's ending.

    Raises ImageError where it is no image, or cannot be written there.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ImageError(f"A picture is saved under a name or path, not {type(path).__name__}.")
    content = io.BytesIO()
    Image.fromarray(to_bytes(image)).save(content, format="PNG", optimize=True)
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout, say
            Path(path).write_bytes(content.getvalue())
        else:
            _replace(Path(os.path.realpath(path)), content.getvalue())
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = getattr(error, "strerror", None) or error
        raise ImageError(
            f"'{str(path)[:200]}' cannot be written: {why}. Name a file in a folder that is there."
        ) from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it: a full disk leaves what was there."""
    # no two threads share a draft, also where their pictures' long names begin alike
    draft = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex[:12]}.part")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


#: Modes of Pillow's pictures whose numbers are neither grey nor red, green and blue.
_TRANSLATED = ("P", "CMYK", "YCbCr", "HSV", "LAB")
#: Beyond this a float cannot be an overshoot of a method whose range is [0, 1].
OVERSHOOT = 2.0


def to_bytes(image) -> np.ndarray:
    """An image as uint8, (H, W) or (H, W, 3).

    Args:
        image: floats in [0, 1] (what lies a little outside is clipped), 8- or 16-bit unsigned
            integers, or bool; an array (H, W) or (H, W, 3), or a tensor (H, W) or (C, H, W) of
            `dip_blocks`, which arrays may be too where that cannot be mistaken; or a picture of
            Pillow's.

    Raises:
        ImageError: another shape or type of number; NaN; values that are not of [0, 1]; a masked
            array.
    """
    if getattr(image, "is_meta", False):
        raise ImageError("This tensor lies on the device 'meta': it has a shape, and no values.")
    if tensor := hasattr(image, "detach"):
        image = image.detach().cpu().to_dense()
        image = image.double() if image.is_floating_point() else image  # NumPy knows no bfloat16
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError(
            "A masked array hides pixels that would be shown as they are: pass array.filled(0)."
        )
    if isinstance(image, Image.Image) and image.mode in _TRANSLATED:
        image = image.convert("RGB")
    array = np.asarray(image)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # a file's may be the other
    shape = array.shape
    if array.ndim == 3 and shape[0] in (1, 3) and (tensor or shape[2] not in (1, 3)):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(
            f"An image is an array (H, W) or (H, W, 3), or a tensor (1, H, W) or (3, H, W); got "
            f"shape {shape}."
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.uint16:
        array = array / 65535
    elif array.dtype.kind not in "bf":
        raise ImageError(
            f"An image of {array.dtype} has no known range: use uint8, uint16 or floats in [0, 1]."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ImageError("The image holds values that are NaN or infinite.")
    if array.min() < 1 - OVERSHOOT or array.max() > OVERSHOOT:
        raise ImageError(
            f"Values of an image lie in [0, 1]; these go from {array.min():.4g} to "
            f"{array.max():.4g}. Divide 8-bit values by 255."
        )
    return np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)


def cache() -> Path:
    """The folder of what is kept for later; OSError where the user has no place for one."""
    import pooch

    try:
        folder = Path(pooch.os_cache("deep-image-prior-rebuilt"))
    except RuntimeError as error:
        raise OSError(str(error)) from None
    if not folder.is_absolute():  # a "~" that nobody could expand: no folder of that name is made
        raise OSError(f"there is no folder '{folder}'")
    return folder


class UnknownKind(ImageError):
    """A file whose content is no picture of `FORMATS`."""


@contextmanager
def opened(path: Path, most: int):
    """A picture file as Pillow opens it, of whose pixels none is decoded yet.

    Args:
        most: pixels.  More are refused by the header, and so are sides above `MAX_SIDE`.

    Raises:
        ImageError: what is no regular file (a pipe would be waited for), is empty, larger than
            `MAX_BYTES`, none of `FORMATS` (`UnknownKind`), too large, or broken: one sentence,
            also for whatever a decoder raises inside the ``with`` statement.
    """
    first = head(path)
    _check_header(path, first, most)
    Image.init()  # all formats, so that those of other packages are among them
    kinds = [kind for kind in FORMATS if kind in Image.OPEN]
    with hushed():
        try:
            with Image.open(path, formats=kinds) as picture:
                check_size(picture.size, path, most)
                _scale_clear(picture, first)
                for name in ("exif", "icc_profile"):
                    if len(picture.info.get(name) or b"") > MAX_BESIDE:
                        del picture.info[name]
                yield picture
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise UnknownKind(
                f"'{path}' is no picture of a known kind: save it as PNG, TIFF or JPEG."
            ) from None
        except Exception as error:  # decoders raise what they like at a broken file
            raise ImageError(broken(path, error, most)) from None


#: Of a process there is one stderr and one list of filters, whichever thread reads a picture.
_HUSH, _HUSHED = threading.RLock(), []


@contextmanager
def hushed():
    """Without what decoders find odd: what matters is said in a sentence of ours.

    Neither warnings nor what libraries in C print at a broken file.  Several threads may be in here
    at once: the first hushes, and the last lets speak again.
    """
    with _HUSH:
        if not _HUSHED:
            _HUSHED.append(_hush())
        _HUSHED.append(None)
    try:
        yield
    finally:
        with _HUSH:
            _HUSHED.pop()
            if len(_HUSHED) == 1:
                _HUSHED.pop()()


def _hush() -> Callable[[], object]:
    """Hush decoders; gives what ends it."""
    until = ExitStack()
    until.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    with suppress(OSError):  # closed
        kept = os.dup(2)
        until.callback(os.close, kept)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        until.callback(os.close, nowhere)
        os.dup2(nowhere, 2)
        until.callback(os.dup2, kept, 2)
    return until.close


def _scale_clear(picture: Image.Image, head: bytes) -> None:
    """The grey value that stands for transparent, as Pillow gives the pixels: from 0 to 255.

    In a PNG file of 2 or 4 bits it is left as it stands there, and would be found nowhere; of 1
    bit, before Pillow 12.
    """
    clear = picture.info.get("transparency")
    if picture.format == "PNG" and isinstance(clear, int):
        if picture.mode == "L":
            picture.info["transparency"] = clear * 255 // (2 ** head[24] - 1)
        elif picture.mode == "1":
            picture.info["transparency"] = 255 if clear else 0


def broken(path: Path, error: Exception, most: int) -> str:
    """What to say of a file at which a decoder raised an error: one sentence."""
    if isinstance(error, Image.DecompressionBombError):
        return f"'{path}' has more than {most:,} pixels: shrink it first."
    if isinstance(error, MemoryError):
        return f"'{path}' does not fit into this machine's memory: shrink it or cut out a part."
    said = " ".join(str(error).split()) or type(error).__name__  # in a line, and a short one
    said = said[:120].replace(str(path), "it").rstrip(".")
    if not said.isprintable():
        said = type(error).__name__
    return f"'{path}' cannot be read as a picture, it is broken or cut off: {said}."


def no_path(path: str | os.PathLike) -> bool:
    """Is this what no system takes for a path: too long, with a zero byte, not to be encoded?"""
    try:
        if "\0" in str(path) or len(os.fsencode(path)) > 4000:
            return True
        os.lstat(path)
    except UnicodeEncodeError:
        return True
    except OSError as error:  # each name in it has a limit, too, which the disk knows
        return error.errno == errno.ENAMETOOLONG
    return False


def head(path: Path) -> bytes:
    """The first 64 bytes of a regular file; ImageError for anything else."""
    try:
        kind = path.stat()
        if stat.S_ISDIR(kind.st_mode):
            raise ImageError(f"'{path}' is a folder: name the pictures in it, '{path / '*.png'}'.")
        if not stat.S_ISREG(kind.st_mode):
            raise ImageError(f"'{path}' is a pipe or a device, not a file: save the picture first.")
        if kind.st_size > MAX_BYTES:
            raise ImageError(
                f"'{path}' has {kind.st_size / 1e6:,.0f} MB, more than {MAX_BYTES / 1e6:,.0f}: "
                "shrink the picture, or save it with compression."
            )
        with path.open("rb") as file:
            found = file.read(64)
    except FileNotFoundError:
        raise ImageError(f"There is no picture '{path}'.") from None
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = getattr(error, "strerror", None) or error
        raise ImageError(f"'{str(path)[:200]}' cannot be read: {why}.") from None
    if not found:
        raise ImageError(f"'{path}' cannot be read as a picture: it is empty.")
    return found


def _check_header(path: Path, head: bytes, most: int) -> None:
    """What Pillow, or a library under it, would set memory aside for before we are asked."""
    if (size := webp_size(head)) is not None:
        check_size(size, path, most)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        _check_tiff(path, head, most)


def webp_size(head: bytes) -> tuple[int, int] | None:
    """(width, height) by the header of a WebP file, of which 30 bytes are needed; else None."""
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return tuple(int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return tuple(int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return None


def _check_tiff(path: Path, head: bytes, most: int) -> None:
    """A TIFF file's first directory: lists of sane length, tiles and strips no larger than most."""
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    count_form, entry_form = ("Q", "HHQQ") if big else ("H", "HHII")
    try:
        start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)[0]
        with path.open("rb") as file:
            file.seek(start)
            width = struct.calcsize(order + count_form)
            (count,) = struct.unpack(order + count_form, file.read(width))
            step = struct.calcsize(order + entry_form)
            if count > 4096:
                raise ValueError("its directory is too long")
            entries = file.read(count * step)
            found = {}
            for at in range(0, len(entries) - step + 1, step):
                tag, kind, number, value = struct.unpack_from(order + entry_form, entries, at)
                if kind == 3 and order == ">":  # two bytes, at the front of the field
                    value >>= 48 if big else 16
                elif kind == 3:
                    value &= 0xFFFF
                # bytes stay bytes, and are no list; others become numbers of 32 bytes and more
                if number > (MAX_BESIDE if kind not in (1, 2, 7) else MAX_BYTES):
                    raise ValueError(f"its tag {tag} has {number:,} values")
                if number == 1:
                    found[tag] = max(found.get(tag, 0), value)
    except (struct.error, ValueError, OSError, OverflowError) as error:
        raise ImageError(broken(path, error, most)) from None
    tile = found.get(322, 1) * found.get(323, 1)
    if tile > most or found.get(277, 1) > 16:
        raise ImageError(broken(path, ValueError("its tiles or channels are too many"), most))


def _open(path: Path) -> Image.Image:
    try:
        with opened(path, MAX_PIXELS) as picture:
            tags = dict(picture.tag_v2) if picture.format == "TIFF" else {}
            bits = tags.get(258, ())
            if tags.get(284) == 2 and max(bits, default=8) > 8:  # which Pillow reads as if of 8
                raise ImageError(
                    f"'{path}' has {bits[0]} bits, and its channels one after the other: save it "
                    "with the values of a pixel side by side, or with 8 bits."
                )
            picture.load()
            if tags.get(262) == 0 and picture.mode.startswith("I"):  # "0 is white": so for 8 bits
                values = np.asarray(picture).astype(np.uint16)
                picture = Image.fromarray(np.uint16(65535) - values)
                picture.getexif()[0x0112] = tags.get(0x0112, 1)
            return ImageOps.exif_transpose(picture)
    except ImageError:
        if os.path.lexists(path):
            raise
    names = ", ".join([*EMBEDDED, *EMBEDDED_RGB, *STANDARD, *COLOUR])
    raise ImageError(
        f"There is no picture '{path}': neither a file of that path nor one of the names {names}."
    )


def check_size(size: tuple[int, int], name, most: int) -> None:
    """ImageError for a (width, height) of one pixel, a side that is too long, too many pixels."""
    width, height = size
    if width * height <= 1:
        raise ImageError(f"'{name}' has {width}×{height} pixels: there is nothing to restore.")
    if max(size) > MAX_SIDE:
        raise ImageError(
            f"'{name}' has {width}×{height} pixels, and a side of more than {MAX_SIDE:,}: cut out "
            "a part."
        )
    if width * height > most:
        share = (most / (width * height)) ** 0.5
        raise ImageError(
            f"'{name}' has {width}×{height} pixels, more than {most:,}: shrink it to "
            f"{max(int(width * share), 1)}×{max(int(height * share), 1)} or cut out a part."
        )


#: Modes with an alpha channel, of which those with a small a are multiplied by it.
_WITH_ALPHA = {"LA": "LA", "RGBA": "RGBA", "La": "LA", "RGBa": "RGBA"}


def _divided(picture: Image.Image) -> Image.Image:
    """Colours that a file holds multiplied by alpha, as they are without it."""
    mode = _WITH_ALPHA.get(picture.mode, picture.mode)
    return picture if mode == picture.mode else picture.convert(mode)


def _plain(picture: Image.Image, colour: bool, name) -> Image.Image:
    """8-bit L or RGB, or 16-bit grey."""
    if picture.mode in (*_WITH_ALPHA, "PA") or "transparency" in picture.info:
        warnings.warn(f"'{name}' has an alpha channel: it is dropped.", stacklevel=3)
        picture = _divided(picture)
        if picture.mode == "LA":
            picture = picture.convert("L")
        elif not picture.mode.startswith("I"):  # whose 16 bits Pillow would clip to 8
            picture = picture.convert("RGBA").convert("RGB")
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"'{name}' holds whole numbers from {values.min():,} to {values.max():,}: save it "
                "with 8 or 16 bits."
            )
        if values.max() < 4096:  # a scan of 12 bits, as a rule
            warnings.warn(
                f"'{name}' has 16 bits and no value above {values.max():,}: taken as it is, it is "
                "nearly black. Spread its values over all 16 bits.",
                stacklevel=3,
            )
        if not colour:
            return Image.fromarray(values.astype(np.uint16))
        picture = Image.fromarray((values / 257).round().astype(np.uint8))
    if picture.mode == "F":
        raise ImageError(
            f"'{name}' holds floating-point pixels without a known range: "
            "save it with 8 or 16 bits."
        )
    return picture.convert("RGB" if colour else "L")


def _square(picture: Image.Image, size: int) -> Image.Image:
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    box = (left, top, left + side, top + side)
    if side == size:
        return picture.crop(box)
    if picture.mode == "I;16":  # Pillow resizes floats with all their bits, but not 16-bit integers
        floats = Image.fromarray(np.asarray(picture).astype(np.float32))
        resized = np.asarray(floats.resize((size, size), Image.Resampling.LANCZOS, box))
        return Image.fromarray(np.clip(np.round(resized), 0, 65535).astype(np.uint16))
    return picture.resize((size, size), Image.Resampling.LANCZOS, box)
