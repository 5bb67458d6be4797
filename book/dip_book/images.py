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

import hashlib
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGES_VARIABLE = "DIP_IMAGES"

#: 4096 × 4096.  A network of 128 channels would need more memory than any machine here has.
MAX_PIXELS = 4096**2


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
    """A colour test image: how it is called, where it is, and its file's hash."""

    title: str
    url: str
    sha256: str


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
    "set5-woman": Colour("Woman", f"{_SET5}5_SRF_4_HR.png", "653e3aa5cbc70487e38e31260ba2d42588d575e267e23951ea66157adc3285e6"),
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
    return any(name in known for known in (EMBEDDED, EMBEDDED_RGB, STANDARD, COLOUR))


def title(name: str) -> str:
    """How a picture is called in tables and selectors."""
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
        colour: three channels; else one, by the usual luma weights.  None: as its name says.

    Returns:
        float32, shape (H, W), or (H, W, 3) with ``colour``.

    Raises:
        ImageError: one sentence on what is wrong and what to do.
    """
    colour = (name in EMBEDDED_RGB or name in COLOUR) if colour is None else colour
    if name in EMBEDDED or name in EMBEDDED_RGB:
        from skimage import data

        picture = Image.fromarray(getattr(data, EMBEDDED_RGB.get(name, name))())
    else:
        standard = any(name in known for known in (STANDARD, COLOUR, MASKS))
        picture = _open(fetch(name) if standard else Path(name))
    picture = _plain(picture, colour, name)
    if size is not None:
        picture = _square(picture, size)
    scale = 65535 if picture.mode == "I;16" else 255
    return (np.asarray(picture, dtype=np.float64) / scale).astype(np.float32)


def load_damaged(
    path: str | os.PathLike, mask: str | os.PathLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A picture file of which pixels are missing, at its own size, and which of them are known.

    Args:
        path: a picture file, see `load`.  It is grey if all its pixels are.
        mask: a picture file of the same size, white where a pixel is known and black where it is
            missing.  None: missing is what is not fully opaque; in a picture without transparency,
            what is black (0 in all channels).

    Returns:
        x̂: float32 in [0, 1], shape (H, W) or (H, W, 3), 0 at missing pixels; m: bool, (H, W).

    Raises:
        ImageError: see `load`; a mask of another size; all pixels known, or none; a JPEG file
            without a mask, because compression has blurred the edges of its holes.
    """
    path = Path(path)
    picture = _open(path)
    opaque = _opacity(picture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # transparency is dropped, but not lost
        x = load(path, colour=True)
        x = x if np.ptp(x, axis=-1).any() else load(path)  # 16-bit grey keeps its bits
    if mask is not None:
        drawn = load(mask)
        if drawn.shape != x.shape[:2]:
            raise ImageError(
                f"'{mask}' has {drawn.shape[1]}×{drawn.shape[0]} pixels, the picture "
                f"{x.shape[1]}×{x.shape[0]}: a mask has the picture's size."
            )
        m = drawn > 0.5
    elif not opaque.all():
        m = opaque
    elif _format(path) in ("JPEG", "MPO"):
        raise ImageError(
            f"'{path}' is a JPEG file, whose compression blurs the edges of holes. Name a mask "
            "(white: known, black: missing), or use a PNG file in which nothing but missing pixels "
            "is black or transparent."
        )
    else:
        m = (x if x.ndim == 3 else x[..., None]).any(axis=-1)
    if m.all():
        where = (
            f"'{mask}' is white everywhere"
            if mask is not None
            else f"'{path}' has no black and no transparent pixel"
        )
        raise ImageError(
            f"{where}: nothing is missing. Make missing pixels transparent or black, "
            "or name a mask in which they are black."
        )
    if not m.any():
        raise ImageError(
            f"No pixel of '{path}' is known: a mask is white where a pixel is known, and black "
            "where it is missing."
        )
    return np.where(m if x.ndim == 2 else m[..., None], x, np.float32(0)), m


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
        if path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != image.sha256:
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
                url, f"sha256:{image.sha256}", fname=f"{name}.png", path=_cache()
            )
        except (
            Exception
        ) as error:  # no network, a vanished file, a wrong hash: the mirror may do better
            failures.append(f"{url.split('/')[2]}: {type(error).__name__}")
        else:
            return Path(downloaded)
    where = f"{folder} holds no {name}.png" if folder else f"{IMAGES_VARIABLE} is not set"
    raise ImageError(
        f"The test image '{name}' is missing: {where}, and it could not be downloaded "
        f"({'; '.join(failures)}). "
        f"Connect to the network, or set {IMAGES_VARIABLE} to a folder that holds {name}.png."
    )


def _places(name: str) -> list[Path]:
    """Where a user may have put a standard picture: colour ones also in a folder of their own."""
    folder = os.environ.get(IMAGES_VARIABLE)
    if not folder:
        return []
    folder = Path(folder).expanduser()
    inside = [folder / "color"] if name not in STANDARD else []
    return [parent / f"{name}.png" for parent in (folder, *inside)]


def available(name: str) -> bool:
    """Can this picture be loaded without asking the network?"""
    if name in EMBEDDED or name in EMBEDDED_RGB:
        return True
    return any(path.is_file() for path in (*_places(name), _cache() / f"{name}.png"))


def save_png(path: str | os.PathLike, image) -> None:
    """Write an image in [0, 1], (H, W), (H, W, 3) or (C, H, W), as 8-bit PNG."""
    Image.fromarray(to_bytes(image)).save(path, optimize=True)


def to_bytes(image) -> np.ndarray:
    """An image in [0, 1] as uint8, (H, W) or (H, W, 3).

    Takes the (C, H, W) tensors of `dip_blocks` too.
    """
    array = np.asarray(image, dtype=np.float64)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
    return np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("deep-image-prior-rebuilt"))


def _open(path: Path) -> Image.Image:
    if not path.exists():
        names = ", ".join([*EMBEDDED, *EMBEDDED_RGB, *STANDARD, *COLOUR])
        raise ImageError(
            f"There is no picture '{path}': neither a file of that path nor one of the names "
            f"{names}."
        )
    if path.is_dir():
        raise ImageError(f"'{path}' is a folder: name one picture in it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Image.DecompressionBombWarning
            )  # _check_size says it better
            picture = Image.open(path)
        _check_size(picture.size, path)
        picture.load()
    except (Image.DecompressionBombError, UnidentifiedImageError, OSError, SyntaxError) as error:
        if isinstance(error, Image.DecompressionBombError):
            raise ImageError(
                f"'{path}' is too large (over {MAX_PIXELS:,} pixels): shrink it first."
            ) from None
        empty = "it is empty" if path.stat().st_size == 0 else str(error) or type(error).__name__
        raise ImageError(f"'{path}' cannot be read as a picture: {empty}.") from None
    return ImageOps.exif_transpose(picture)


def _format(path: Path) -> str:
    with Image.open(path) as file:  # a copy, as `_open` gives, no longer knows
        return file.format


def _check_size(size: tuple[int, int], name) -> None:
    width, height = size
    if width * height <= 1:
        raise ImageError(f"'{name}' has {width}×{height} pixels: there is nothing to restore.")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"'{name}' has {width}×{height} pixels, more than {MAX_PIXELS:,}: shrink it first."
        )


def _opacity(picture: Image.Image) -> np.ndarray:
    """Where a picture is not transparent at all: bool, (H, W)."""
    if picture.mode not in ("LA", "PA", "RGBA") and "transparency" not in picture.info:
        return np.ones((picture.height, picture.width), bool)
    return np.asarray(picture.convert("RGBA").getchannel("A")) == 255


def _plain(picture: Image.Image, colour: bool, name) -> Image.Image:
    """8-bit L or RGB, or 16-bit grey."""
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        warnings.warn(f"'{name}' has an alpha channel: it is dropped.", stacklevel=3)
        picture = (
            picture.convert("RGBA").convert("RGB") if picture.mode != "LA" else picture.convert("L")
        )
    if picture.mode.startswith("I"):
        if not colour:
            return Image.fromarray(np.asarray(picture).astype(np.uint16))
        picture = Image.fromarray(
            (np.asarray(picture, dtype=np.float64) / 257).round().astype(np.uint8)
        )
    if picture.mode == "F":
        raise ImageError(
            f"'{name}' holds floating-point pixels without a known range: "
            "save it with 8 or 16 bits."
        )
    return picture.convert("RGB" if colour else "L")


def _square(picture: Image.Image, size: int) -> Image.Image:
    if size < 2:
        raise ImageError(
            f"A picture of {size}×{size} pixels holds nothing to restore: ask for a larger size."
        )
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
