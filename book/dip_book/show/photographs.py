"""Photographs side by side: a grid of HTML that wraps where the page is narrow.

Each picture keeps its own pixels and stands in the cell's output as a data URL; its title is text.
There is no style sheet and no script, so the grid looks the same in the rendered book, in Jupyter,
in Colab and in the stored .ipynb.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from numbers import Integral, Real

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from dip_book import images, words
from dip_book.show.style import STYLE

#: A figure's inch is so many pixels of the page.
PIXELS = 96
#: No picture is narrower than this on a page that has the room: two beside one another on a phone.
NARROWEST = "8.5rem"
#: Pictures of no more pixels, and those with single black pixels, lose nothing when they are
#: stored, unless that takes more than so many bytes.
SMALL, BYTES = 100 * 100, 48_000
QUALITY = 82


class Photo:
    """Pictures over their titles; the value of a cell shows them.

    Args:
        pictures: title → bytes (H, W) or (H, W, 3).
        columns: pictures in one row, where there is room.
        width: of the whole, in inches.
    """

    def __init__(self, pictures: dict[str, np.ndarray], columns: int, width: float):
        self._pictures, self._columns, self._width = pictures, columns, width

    def _repr_html_(self) -> str:
        gap, cell = 0.75, self._width * PIXELS / self._columns
        share = f"(100% - {self._columns - 1} * {gap}rem) / {self._columns}"
        figures = "".join(_figure(title, of, cell) for title, of in self._pictures.items())
        return (
            f'<div class="dip-photos" style="display:grid;gap:{gap}rem;align-items:start;'
            f"margin:0 auto;max-width:{self._width * PIXELS:.0f}px;"
            f'grid-template-columns:repeat(auto-fill,minmax(max({NARROWEST},{share}),1fr))">'
            f"{figures}</div>"
        )

    def __repr__(self) -> str:
        return "<pictures>"

    @functools.cached_property
    def figure(self) -> plt.Figure:
        """The same as a closed matplotlib figure, for a file."""
        rows = -(-len(self._pictures) // self._columns)
        shape = next(iter(self._pictures.values())).shape
        lines = max(str(title).count("\n") + 1 for title in self._pictures)
        high = self._width / self._columns * shape[0] / shape[1] + 0.22 * lines
        with plt.rc_context(STYLE):
            figure, axes = plt.subplots(
                rows,
                self._columns,
                figsize=(self._width, rows * high),
                layout="constrained",
                squeeze=False,
            )
            for axis, (title, picture) in zip(axes.flat, self._pictures.items()):
                axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                axis.set_title(words.drawn(title))
            for axis in axes.flat:
                axis.set_axis_off()
        plt.close(figure)
        return figure


def row(pictures: dict, width: float = 8.0, columns: int | None = None, crop: tuple | None = None):
    """Pictures side by side over their titles.

    Args:
        pictures: title → image in [0, 1]: (H, W), (H, W, 3), or a (C, H, W) tensor of `dip_blocks`.
        width: of all together, inches.
        columns: pictures in one row; all if None.  A narrow page shows fewer.
        crop: (top, left, height, width) to look at closely, in pixels, inside every picture.

    Raises ValueError for what cannot be shown so, ImageError for what is no picture.
    """
    if not isinstance(pictures, Mapping) or not pictures:
        raise ValueError('Pictures are shown under their titles: pass {"a title": picture, ...}.')
    if columns is not None and not (isinstance(columns, Integral) and columns >= 1):
        raise ValueError(f"columns: pictures in a row, 1 or more, not {columns!r}.")
    if not (isinstance(width, Real) and 0 < width < float("inf")):
        raise ValueError(f"width: inches, above 0, not {width!r}.")
    shown = {title: images.to_bytes(picture) for title, picture in pictures.items()}
    if crop is not None:
        shown = {title: _cut(picture, crop) for title, picture in shown.items()}
    return Photo(shown, columns or len(shown), width)


def _cut(picture: np.ndarray, crop: tuple) -> np.ndarray:
    whole = isinstance(crop, (tuple, list)) and all(isinstance(n, Integral) for n in crop)
    if whole and len(crop) == 4:
        top, left, high, wide = crop
        below, right = picture.shape[0] - top - high, picture.shape[1] - left - wide
        if min(high, wide) >= 1 and min(top, left, below, right) >= 0:
            return picture[top : top + high, left : left + wide]
    raise ValueError(
        "crop: (top, left, height, width) in pixels, inside the picture of height "
        f"{picture.shape[0]} and width {picture.shape[1]}, not {crop!r}."
    )


def _figure(title: str, picture: np.ndarray, cell: float) -> str:
    """One picture over its title; single pixels stay square where it is enlarged."""
    sharp = "image-rendering:pixelated;" if picture.shape[1] < cell else ""
    told, formulas = words.in_html(title, lines=True), words.no_formulas(title)
    return (
        '<figure style="margin:0;padding:0;min-width:0">'
        f'<img src="{picture_url(picture)}" alt="{told.replace(chr(10), ", ")}" '
        f'width="{picture.shape[1]}" height="{picture.shape[0]}" '
        f'style="display:block;width:100%;max-width:none;height:auto;margin:0;{sharp}">'
        '<figcaption style="margin-top:.3rem;text-align:center;line-height:1.3;'
        f'font-size:max(12.5px,.86em)"{formulas}>{told.replace(chr(10), "<br>")}'
        "</figcaption></figure>"
    )


def picture_url(picture: np.ndarray) -> str:
    """A data URL for a picture's bytes (H, W) or (H, W, 3): WebP, exact where pixels matter."""
    spotted = float((picture == 0).mean()) > 0.2
    if picture.shape[0] * picture.shape[1] <= SMALL or spotted:
        exact = webp(picture, lossless=True, quality=100)
        if len(exact) <= BYTES:
            return data_url(exact)
    return data_url(webp(picture, quality=QUALITY))


def webp(picture: np.ndarray, method: int = 6, **options) -> bytes:
    """A picture's bytes, (H, W) or (H, W, 3), as a WebP file; ``method`` 0 is quick, 6 small."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", method=method, **options)
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    """A WebP file as the address of a picture."""
    return "data:image/webp;base64," + base64.b64encode(data).decode()
