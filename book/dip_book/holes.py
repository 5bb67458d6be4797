"""Masks of holes, text and scratches: the same on every machine, from a seed.

Each function returns (H, W), bool, true where a pixel is known.  Text is drawn from the outlines of
DejaVu Sans, which comes with Matplotlib, pixel centre by pixel centre: a renderer's version has no
part in it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from numbers import Integral, Real

import numpy as np

from dip_book import images
from dip_parts.checks import as_seed, check_pixels

#: What is written over a picture: Latin, as printers set it where the words do not matter.
WORDS = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut "
    "labore et dolore magna aliqua ut enim ad minim veniam quis nostrud exercitation ullamco"
)
#: A line of text is so much of the picture's height; letters, a share of the line.
LINE, LETTERS = 1 / 10, 0.9
SPACE = 35  # between words, of letters of 100
#: A scratch is at least so wide, as a share of the picture's shorter side, and at most twice.
SCRATCH = 1 / 128
BEND = 0.4  # of a picture's side, how far a scratch's middle is pulled aside, at most
CURVES = 1000  # more scratches than anyone asks for


def hole(height: int, width: int, side: int) -> np.ndarray:
    """A square of side × side pixels is missing in the middle.

    Raises ValueError for one that leaves no pixel, or is no number of pixels.
    """
    check_pixels(height, width)
    if not isinstance(side, Integral) or side < 0:
        raise ValueError(f"A hole has a whole number of pixels a side, not {side!r:.60}.")
    if side >= max(height, width):
        raise ValueError(
            f"A hole of {side}×{side} pixels leaves nothing of a picture of {width}×{height}: "
            "ask for a smaller one."
        )
    known = np.ones((height, width), bool)
    top, left = max((height - side) // 2, 0), max((width - side) // 2, 0)
    known[top : top + side, left : left + side] = False
    return known


def text(height: int, width: int, share: float, seed: int = 0) -> np.ndarray:
    """Lines of text lie over the picture, words from the seed, until a share of it is missing.

    Raises ValueError for more than text can cover, and for what is no share, size or seed.
    """
    check_pixels(height, width)
    check_share(share)
    random, known = np.random.default_rng(as_seed(seed)), np.ones((height, width), bool)
    words = WORDS.split()
    line = max(height * LINE, 6.0)
    for top in _lines(height, line, random):
        left = -random.random() * line  # the first word may begin outside
        while left < width:
            word = words[random.integers(len(words))]
            left += _write(known, word, left, top + line * LETTERS * 0.8, line * LETTERS)
            if missing(known) >= share:
                return known
    raise ValueError(
        f"Text covers no more than {missing(known):.0%} of {width}×{height} pixels, not "
        f"{float(share):.0%}: ask for less."
    )


def _lines(height: int, line: float, random: np.random.Generator) -> np.ndarray:
    """Tops of the lines, in an order that leaves gaps first: every other one, then the rest."""
    tops = np.arange(int(height / line)) * line
    first, rest = tops[::2], tops[1::2]
    return np.concatenate([random.permutation(first), random.permutation(rest)])


def _write(known: np.ndarray, word: str, left: float, base: float, size: float) -> float:
    """One word into a mask; gives the width of the word and its space, in pixels."""
    outlines, corners = _outlines(word)
    scale = size / 100
    x0, x1 = (int(np.floor(left + scale * x)) for x in (corners.x0, corners.x1))
    y0, y1 = (int(np.floor(base - scale * y)) for y in (corners.y1, corners.y0))
    rows = np.arange(max(y0, 0), min(y1 + 1, known.shape[0]))
    columns = np.arange(max(x0, 0), min(x1 + 1, known.shape[1]))
    if len(rows) and len(columns):
        down, across = np.meshgrid(rows, columns, indexing="ij")
        centres = np.stack([(across + 0.5 - left) / scale, (base - down - 0.5) / scale], -1)
        inside = np.zeros(down.size, bool)
        for outline in outlines:  # a second one around a point is the inside of an o
            inside ^= outline.contains_points(centres.reshape(-1, 2))
        known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] &= ~inside.reshape(down.shape)
    return scale * (corners.x1 + SPACE)


@cache
def _outlines(word: str):
    """A word's outlines in letters of 100 units, and their extents.

    Letter by letter, each advance a whole number of 1/64: where Matplotlib puts a word's letters
    changed with its version 3.11, and a mask must not.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font  # not before it is asked
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    style = FontProperties(family="DejaVu Sans", weight="bold")
    font = get_font(findfont(style))
    font.set_size(100, 72)
    at, places, codes = 0.0, [], []
    for letter in word:
        path = TextPath((0, 0), letter, size=100, prop=style)
        places.append(path.vertices + (at, 0))
        codes.append(path.codes)
        at += round(64 * font.load_char(ord(letter)).linearHoriAdvance / 65536) / 64
    whole = Path(np.concatenate(places), np.concatenate(codes))
    return [Path(polygon) for polygon in whole.to_polygons()], whole.get_extents()


def check_share(share) -> None:
    """Raise a ValueError for what is no share of a picture that leaves a pixel."""
    if not isinstance(share, Real) or not 0 <= share < 1:
        raise ValueError(
            "A share of missing pixels must leave a pixel: it is from 0 to below 1, and 6 % are "
            f"0.06; not {share!r}."
        )


def scratches(height: int, width: int, share: float, seed: int = 0) -> np.ndarray:
    """Curved scratches from border to border, until a share of the picture is missing.

    Raises ValueError for a share that is none, or leaves no pixel, and for what is no size or seed.
    """
    check_pixels(height, width)
    check_share(share)
    random, known = np.random.default_rng(as_seed(seed)), np.ones((height, width), bool)
    size, thin = np.array([height, width]), SCRATCH * min(height, width)
    along = np.linspace(0, 1, 2 * (height + width))[:, None]
    for _ in range(CURVES):
        begin, end = (_on_border(random) for _ in range(2))
        bend = (begin + end) / 2 + BEND * (random.random(2) - 0.5)
        curve = (1 - along) ** 2 * begin + 2 * along * (1 - along) * bend + along**2 * end
        thick = max(1, round(thin * (1 + random.random())))
        for down in range(thick):
            for across in range(thick):
                at = np.floor(curve * size).astype(int) + (down, across)
                known[tuple(at[(at < size).all(axis=1)].T)] = False
        if missing(known) >= share:
            break
    return known


def _on_border(random: np.random.Generator) -> np.ndarray:
    """A point on the border of the unit square."""
    point = random.random(2)
    point[random.integers(2)] = random.integers(2)
    return point


def missing(known: np.ndarray) -> float:
    """The share of missing pixels."""
    return 1 - float(known.mean())


@lru_cache(maxsize=64)
def known(word: str, number: str, height: int, width: int, seed: int) -> np.ndarray:
    """The mask of a task, by its word and number; not to be changed.  ValueError as above."""
    if word == "hole":
        return hole(height, width, int(number))
    return {"text": text, "scratches": scratches}[word](height, width, float(number) / 100, seed)


@lru_cache(maxsize=8)
def stored(name: str, height: int, width: int) -> np.ndarray:
    """One of `images.MASKS`; not to be changed.

    Raises ImageError where it cannot be had, ValueError for a picture of another size.
    """
    mask = images.load(name) > 0.5
    if mask.shape != (height, width):
        raise ValueError(
            f"The mask '{name}' has {mask.shape[1]}×{mask.shape[0]} pixels, the picture "
            f"{width}×{height}: it belongs to '{name.removesuffix('-mask')}' at its own size."
        )
    return mask
