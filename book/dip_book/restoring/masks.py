"""Which pixels of a picture are missing: by a mask, by transparency, by a colour.

A mask is white where a pixel is known and black where it is missing.  Only what is fully known
counts as known: a pixel half covered by a scratch is a mixture, and would be fitted as if it were
the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

import numpy as np
from PIL import ImageColor
from scipy import ndimage

from dip_book.images import ImageError
from dip_book.restoring.files import Photo, read
from dip_book.runs.spec import brief

#: Of 255: what compression makes of black, as a rule.
NEARLY = 24
#: A mask has at least this share of its pixels near its darkest or brightest value …
TWO_VALUED = 0.75
#: … within this share of what lies between them; compression moves them further.
NEAR, NEAR_LOSSY = 0.04, 0.08
#: Of 255: by how much the colour of strokes on a transparent layer varies.
ONE_COLOUR = 48
#: Pixels that are nearly black beside black ones are worth a word above this share of the latter.
WORTH_A_WORD = 0.2


@dataclass
class Missing:
    """What is known of a picture, and what is to be filled in.

    Attributes:
        known: bool, (H, W): what a fit may use.
        filled: bool, (H, W): what the result replaces.  Pixels that are neither, outside of what is
            opaque, stay as they are.
        alpha: the result's, like `Photo.alpha`; None if the picture has none.
        notes: what a reader should know, a sentence each.
    """

    known: np.ndarray
    filled: np.ndarray
    alpha: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def find(
    photo: Photo,
    mask: Photo | str | Path | None = None,
    *,
    invert: bool = False,
    missing: str | None = None,
    tolerance: float | None = None,
    grow: int = 0,
) -> Missing:
    """Which pixels are missing.

    Without a mask and a colour: what is not fully opaque; in a picture without transparency, what
    is black (0 in all channels of all its bits).

    Args:
        mask: a picture of the same size, white where a pixel is known and black where it is
            missing, all between missing too; or a transparent layer on which the missing pixels are
            painted in one colour.  What is transparent in the picture itself stays so and is not
            known, but for holes that the mask covers as a whole: these are filled.
        invert: black (or unpainted) in the mask is missing, instead of white.
        missing: the colour of missing pixels, a name or "#rrggbb".
        tolerance: how far a pixel may be from that colour, in each channel, of 255; 0 if None, 24
            in a file with lossy compression.  Without a colour: from black.
        grow: enlarge what is missing by so many pixels.

    Raises:
        ImageError: one sentence on what was found and what to do: a mask of another size, without
            two values, of one value; nothing missing, or everything; a lossy file without a mask.
    """
    if not isinstance(grow, Real) or not 0 <= grow < np.inf or int(grow) != grow:
        raise ImageError(f"What is missing grows by 0, 1, 2, … pixels, not by {brief(grow)}.")
    if missing is not None and not isinstance(missing, str):
        raise ImageError(f"A colour is a name or #rrggbb, not {brief(repr(missing))}.")
    if tolerance is not None:
        if not isinstance(tolerance, Real) or not 0 <= tolerance <= 255:
            raise ImageError(f"The tolerance is a number from 0 to 255, not {brief(tolerance)}.")
        missing = missing or (None if mask is not None else "black")
    if mask is not None and missing is not None:
        raise ImageError("Name a mask or the colour of missing pixels, not both.")
    if mask is None and invert:
        raise ImageError("What --invert (invert=True) turns round is a mask: name one.")
    notes, opaque, full = _opacity(photo)
    if mask is not None:
        mask = mask if isinstance(mask, Photo) else read(mask)
        gone, convention = _by_mask(photo, mask, invert, notes)
    elif missing is not None:
        gone = _by_colour(photo, missing, tolerance, notes) & opaque
    elif not opaque.all():
        gone = ~opaque
    else:
        gone = _by_black(photo, notes)
    if not gone.any():
        raise ImageError(_nothing(photo, mask, missing, invert))
    if grow:
        gone = ndimage.distance_transform_edt(~gone) <= min(grow, sum(photo.size))
    result = _with_opacity(photo, gone, opaque, full, notes)
    if not result.filled.any():
        raise ImageError(
            f"What is missing in '{photo.path}' lies where it is transparent: nothing is to be "
            "filled."
        )
    if not result.known.any():
        if mask is None:
            raise ImageError(f"No pixel of '{photo.path}' is known: all of them are missing.")
        raise ImageError(
            f"No pixel of '{photo.path}' is known: a mask is white where a pixel is known, and "
            "black where it is missing; --invert (invert=True) turns it round."
        )
    if mask is not None:
        if (share := float(result.filled.mean())) > 0.5:
            other = "leave --invert away" if invert else "use --invert"
            convention += (
                f", so {share:.0%} of the picture are to be filled in; if it is the other way "
                f"round, {other} (invert={not invert})"
            )
        result.notes.append(f"{convention}.")
    return result


def _opacity(photo: Photo) -> tuple[list[str], np.ndarray, int]:
    """Notes; where a picture is not transparent at all; the value of alpha that says so."""
    if photo.alpha is None:
        return [], np.ones(photo.pixels.shape[:2], bool), 0
    full, least = int(photo.alpha.max()), int(photo.alpha.min())
    top = int(np.iinfo(photo.alpha.dtype).max)
    if full == 0:
        raise ImageError(f"'{photo.path}' is transparent everywhere: no pixel is known.")
    notes = []
    if full < top:
        what = "everywhere" if least == full else "at most"
        notes.append(f"Alpha is {full} of {top} {what}: this is taken for opaque.")
    return notes, photo.alpha == full, full


def _with_opacity(
    photo: Photo, gone: np.ndarray, opaque: np.ndarray, full: int, notes: list[str]
) -> Missing:
    """What is transparent and not to be filled stays so, and is not known."""
    if photo.alpha is None:
        return Missing(~gone, gone, None, notes)
    regions, count = ndimage.label(~opaque, np.ones((3, 3)))
    clear = photo.alpha == 0
    reaches, covered = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
    reaches[np.unique(regions[clear & ~gone])] = True  # beyond what is missing
    covered[np.unique(regions[gone])] = True
    hole = (covered & ~reaches)[regions] & ~opaque  # soft edges that a mask left out included
    stays = ~opaque & ~hole
    filled = (gone | hole) & ~(stays & clear)
    alpha = photo.alpha.copy()
    alpha[hole] = full
    if stays.any():
        notes.append(
            f"{int(stays.sum()):,} transparent pixels stay as they are, and are not counted as "
            "known."
        )
    return Missing(opaque & ~filled, filled, alpha, notes)


# By a mask ----------------------------------------------------------------------------------------


def _by_mask(photo: Photo, mask: Photo, invert: bool, notes: list[str]) -> tuple[np.ndarray, str]:
    """Where a mask says that a pixel is missing; and the convention that was taken for its own."""
    notes.extend(mask.notes)
    if mask.size != photo.size:
        (width, height), (wide, high) = mask.size, photo.size
        turned = (
            "; the photo's orientation tag turns it, so draw the mask on the upright picture"
            if photo.turned == mask.size
            else ""
        )
        raise ImageError(
            f"'{mask.path}' has {width}×{height} pixels, the picture {wide}×{high}: a mask has the "
            f"picture's size{turned}."
        )
    if photo.orientation != mask.orientation and photo.turned is mask.turned is None:
        notes.append(
            f"The orientation tag of '{(photo if photo.orientation > 1 else mask).path}' turns it: "
            "picture and mask are taken as a viewer shows them."
        )
    if mask.alpha is not None and np.ptp(mask.alpha):
        return (
            _painted(mask, invert),
            f"The mask is a transparent layer, what is painted on it is "
            f"{'known' if invert else 'missing'}",
        )
    grey = _luma(mask)
    low, high = float(grey.min()), float(grey.max())
    if low == high:
        raise ImageError(_uniform(mask, high))
    if high <= 127:
        notes.append(f"The mask's brightest value is {_value(mask, high)}: it is taken for white.")
    near = (NEAR_LOSSY if mask.lossy else NEAR) * (high - low)
    bright, dark = grey >= high - near, grey <= low + near
    two_valued = float((bright | dark).mean())
    if two_valued < TWO_VALUED:
        swapped = (
            "are picture and mask swapped?"
            if _looks_like_a_mask(photo)
            else "a mask has two values, white where a pixel is known and black where it is "
            "missing; damage that is painted onto the picture itself is named by its colour, "
            "--missing red"
        )
        swapped += "" if swapped.endswith("?") else "."
        raise ImageError(
            f"Only {two_valued:.0%} of the pixels of '{mask.path}' are black or white, so it looks "
            f"like a photograph: {swapped}"
        )
    known = dark if invert else bright
    if not mask.lossy:  # what is one level off has been mixed with something
        levels = np.round(grey[known]).astype(int)
        usual = np.bincount(levels).argmax()
        known = known & (np.round(grey) <= usual if invert else np.round(grey) >= usual)
    if between := int((~known & ~(bright if invert else dark)).sum()):
        notes.append(
            f"{between:,} pixels of the mask are neither black nor white, as at soft edges: they "
            "count as missing."
        )
    white, black = ("missing", "known") if invert else ("known", "missing")
    return ~known, f"In the mask white is {white} and black is {black}"


def _painted(mask: Photo, invert: bool) -> np.ndarray:
    """A transparent layer with strokes of one colour: what is touched by them, or what is not."""
    strong = mask.alpha > mask.alpha.max() // 2
    colours = np.atleast_3d(mask.pixels)[strong] * (255 / mask.white)
    far = np.abs(colours - np.median(colours, axis=0)).max(axis=-1) > ONE_COLOUR
    if far.mean() > 0.05:
        raise ImageError(
            f"'{mask.path}' is partly transparent and has several colours: paint what is missing "
            "in one colour on a transparent layer, or save the mask without transparency, white "
            "where a pixel is known and black where it is missing."
        )
    return mask.alpha < mask.alpha.max() if invert else mask.alpha > 0


def _luma(mask: Photo) -> np.ndarray:
    """Grey values from 0 to 255, by the usual weights."""
    pixels = mask.pixels * np.float32(255 / (255 if mask.bits == 8 else 65535))
    return pixels if pixels.ndim == 2 else pixels @ np.float32([0.299, 0.587, 0.114])


def _value(mask: Photo, grey: float) -> str:
    if mask.bits == 8:
        return f"{round(grey)} of 255"
    return f"{round(grey * 257):,} of 65,535"


def _uniform(mask: Photo, value: float) -> str:
    if value >= 254.5:
        said = "is white everywhere, so nothing is missing"
    elif value < 0.5 / 257:
        said = "is black everywhere, so no pixel is known"
    else:
        said = f"is {_value(mask, value)} everywhere and marks nothing"
    return (
        f"'{mask.path}' {said}: a mask is white where a pixel is known, and black where it is "
        "missing."
    )


def _looks_like_a_mask(photo: Photo) -> bool:
    grey = _luma(photo)
    low, high = float(grey.min()), float(grey.max())
    near = NEAR * (high - low)
    return low < high and ((grey <= low + near) | (grey >= high - near)).mean() >= TWO_VALUED


# By a colour --------------------------------------------------------------------------------------


def _distance(photo: Photo, colour: tuple[int, int, int]) -> np.ndarray:
    """Of every pixel from a colour: the largest of its channels', of 255; float32 (H, W)."""
    wanted = np.float32(colour) * np.float32(photo.white / 255)
    if photo.pixels.ndim == 2:
        distance = np.abs(photo.pixels - wanted[0]) + (np.inf if len(set(colour)) > 1 else 0)
    else:
        distance = np.zeros(photo.pixels.shape[:2], np.float32)
        for channel in range(3):
            distance = np.maximum(distance, np.abs(photo.pixels[..., channel] - wanted[channel]))
    return distance * np.float32(255 / photo.white)


def _by_colour(photo: Photo, missing: str, tolerance: float | None, notes: list[str]) -> np.ndarray:
    try:
        colour = ImageColor.getrgb(missing)[:3]
    except ValueError:
        raise ImageError(
            f"'{missing}' is no colour: name one, such as black, white or red, or write it as "
            "#rrggbb."
        ) from None
    if tolerance is None:
        tolerance = NEARLY if photo.lossy else 0
        if photo.lossy:
            notes.append(
                f"Compression has blurred '{photo.path}': what is within {tolerance} of {missing} "
                "is missing (--tolerance); --grow 2 leaves out its surroundings too."
            )
    # a hair, so that an exact match in float32 is one, and no 16-bit level more
    return _distance(photo, colour) <= tolerance + 0.4 * 255 / photo.white


def _by_black(photo: Photo, notes: list[str]) -> np.ndarray:
    """Pixels that are 0 in all channels; a word if that is probably not all of them."""
    if photo.lossy:
        raise ImageError(
            f"'{photo.path}' is compressed with losses, which blurs the edges of holes: name a "
            f"mask, or the colour of what is missing and its surroundings, --missing black "
            f"--tolerance {NEARLY} --grow 2."
        )
    highest = photo.pixels if photo.pixels.ndim == 2 else photo.pixels.max(axis=-1)
    black = highest == 0
    if not black.any():
        return black
    nearly = highest <= photo.white * NEARLY / 255
    regions, _ = ndimage.label(nearly, np.ones((3, 3)))
    with_black = np.zeros(regions.max() + 1, bool)
    with_black[np.unique(regions[black])] = True
    beside = with_black[regions] & ~black
    if (count := int(beside.sum())) > WORTH_A_WORD * black.sum():
        level = int(np.ceil(int(highest[beside].max()) * 255 / photo.white))
        notes.append(
            f"{int(black.sum()):,} pixels are black, and {count:,} beside them nearly so (at most "
            f"{level} of 255): if these are missing too, say --missing black --tolerance {level}."
        )
    return black


def _nothing(photo: Photo, mask: Photo | None, missing: str | None, invert: bool) -> str:
    if mask is not None:
        where = "painted" if invert else "unpainted"
        return f"Nothing is missing: '{mask.path}' is {where} everywhere."
    if missing is not None:
        return (
            f"No pixel of '{photo.path}' is {missing}: name another colour, or a tolerance, such "
            f"as --tolerance {NEARLY}."
        )
    highest = photo.pixels if photo.pixels.ndim == 2 else photo.pixels.max(axis=-1)
    darkest = int(np.ceil(int(highest.min()) * 255 / photo.white))
    hint = ""
    if darkest <= NEARLY:
        hint = f" (the darkest is {darkest} of 255: --missing black --tolerance {darkest + 8}?)"
    return (
        f"'{photo.path}' has no black and no transparent pixel{hint}: nothing is missing. Make "
        "missing pixels transparent or black, name a mask in which they are black, or their "
        "colour, --missing white."
    )
