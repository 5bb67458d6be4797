"""What is cut out of a picture round its damage, and how it is put together again.

A *window* is a rectangle with damage and what surrounds it.  Damage that is too long for one window
is covered by several, which overlap and are blended.  Windows are laid out on *canvases*, side by
side with a gap of missing pixels between them, so that one network draws many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

#: Pixels round the damage that go into a window, at least and at most; between, as many as the
#: damage is thick.  A network of four levels looks further, but what is far tells it little.
CONTEXT = (16, 64)
#: Holes of fewer pixels, on average, count as scattered pixels.
FEW = 6
#: Side of a window, before its context is added, and how far neighbours overlap, in pixels: of
#: these the one that makes the smaller area, small ones along a scratch.
SIDES = ((272, 32), (96, 16))
GAP = 8  # missing pixels between windows on a canvas
CANVAS = 320**2  # pixels of a canvas, at most, unless a single window has more


@dataclass
class Window:
    """A rectangle of the picture, and which of its pixels it is to draw, and with what weight.

    ``places``: into the list of all wanted pixels (`Cutting.wanted`); ``rows``, ``columns``: the
    same pixels in the window; ``weights`` before they are divided by their sum, above 0.
    """

    top: int
    left: int
    height: int
    width: int
    places: np.ndarray = field(repr=False)
    rows: np.ndarray = field(repr=False)
    columns: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)

    @property
    def box(self) -> tuple[slice, slice]:
        """To index the picture with."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


@dataclass
class Cutting:
    """All windows of a picture; ``wanted``: the flat numbers of the pixels that are drawn."""

    windows: list[Window]
    wanted: np.ndarray
    shape: tuple[int, int]

    @property
    def area(self) -> int:
        """Pixels of all windows."""
        return sum(window.height * window.width for window in self.windows)

    def sums(self) -> np.ndarray:
        """The sum of the windows' weights at each wanted pixel, above 0."""
        total = np.zeros(len(self.wanted))
        for window in self.windows:
            total[window.places] += window.weights
        return total

    def gather(self, drawn: Iterator[np.ndarray], channels: int) -> np.ndarray:
        """Blend what was drawn in each window, (h, w, channels): (wanted pixels, channels).

        Fewer pictures than windows are allowed; where nothing was drawn, NaN.
        """
        total = np.zeros((len(self.wanted), channels), np.float32)
        sums = np.zeros((len(self.wanted), 1), np.float32)
        for window, picture in zip(self.windows, drawn):
            weights = window.weights[:, None].astype(np.float32)
            total[window.places] += weights * picture[window.rows, window.columns]
            sums[window.places] += weights
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(sums > 0, total / sums, np.nan).astype(np.float32)


def thickness(missing: np.ndarray) -> float:
    """How thick the damage is where it is thickest, in pixels.

    Twice the way to the nearest pixel that is known, or outside of the picture.
    """
    if not missing.any():
        return 0.0
    padded = np.pad(missing, 1)
    thickest = 0.0
    for band in range(0, padded.shape[0], 1024):  # distances of a large picture are large
        part = padded[max(band - 256, 0) : band + 1024 + 256]
        thickest = max(thickest, float(ndimage.distance_transform_cdt(part).max()))
    return 2 * thickest


def scattered(known: np.ndarray) -> bool:
    """Are missing single pixels, or nearly, so that few known ones have only known neighbours?

    Scratches, text and blobs leave most known pixels among their like.
    """
    labels, count = ndimage.label(~known, np.ones((3, 3)))
    if count and (~known).sum() < FEW * count:
        return True
    inner = ndimage.minimum_filter(known, 3)
    return bool(inner.sum() < 0.3 * known.sum())


def context_of(missing: np.ndarray) -> int:
    """How many pixels round this damage go into its windows."""
    return int(np.clip(round(thickness(missing)) + 10, *CONTEXT))


def cut(
    missing: np.ndarray,
    context: int | None = None,
    *,
    side: int | None = None,
    overlap: int | None = None,
) -> Cutting:
    """Windows that together have all missing pixels, each with what surrounds them.

    Args:
        missing: bool (H, W).
        context: pixels round the damage; `context_of` it if None.
        side: of the largest window, without its context; see `SIDES` if None.
        overlap: pixels that neighbouring windows of the same damage share; likewise.
    """
    context = context_of(missing) if context is None else context
    if side is None:
        found = [cut(missing, context, side=side, overlap=overlap) for side, overlap in SIDES]
        return min(found, key=lambda cutting: cutting.area)
    height, width = missing.shape
    wanted = np.flatnonzero(missing)
    number = np.zeros(missing.shape, np.int32)
    number.flat[wanted] = np.arange(len(wanted))
    size = 2 * max(context // 2, 1) + 1
    near = ndimage.maximum_filter(missing, size) if len(wanted) else missing
    labels, count = ndimage.label(near, np.ones((3, 3)))
    labels *= missing
    windows = []
    for group, box in enumerate(ndimage.find_objects(labels, count), 1):
        own = labels[box] == group
        top, left = box[0].start, box[1].start
        for rows, row_weights in _parts(own.shape[0], side, overlap):
            for columns, column_weights in _parts(own.shape[1], side, overlap):
                y, x = np.nonzero(own[rows, columns])
                if not len(y):
                    continue
                weights = row_weights[y] * column_weights[x]
                y, x = y + top + rows.start, x + left + columns.start
                first = max(y.min() - context, 0), max(x.min() - context, 0)
                last = min(y.max() + context + 1, height), min(x.max() + context + 1, width)
                windows.append(
                    Window(
                        *map(int, first), int(last[0] - first[0]), int(last[1] - first[1]),
                        number[y, x], y - first[0], x - first[1], weights,
                    )
                )  # fmt: skip
    return Cutting(windows, wanted, missing.shape)


def _parts(length: int, side: int, overlap: int) -> list[tuple[slice, np.ndarray]]:
    """Equal parts of a length, which overlap, with weights that fade where they do."""
    if length <= side:
        return [(slice(0, length), np.ones(length))]
    count = -(-(length - overlap) // (side - overlap))
    side = -(-(length + (count - 1) * overlap) // count)  # equal ones, no larger than needed
    starts = np.rint(np.linspace(0, length - side, count)).astype(int)
    parts = []
    for start in starts:
        at = np.arange(side) + 0.5
        before = np.ones(side) if start == 0 else np.clip(at / overlap, 0, 1)
        after = np.ones(side) if start == starts[-1] else np.clip((side - at) / overlap, 0, 1)
        fade = np.minimum(before, after)
        parts.append((slice(int(start), int(start) + side), fade * fade * (3 - 2 * fade)))
    return parts


@dataclass
class Canvas:
    """Windows, and where each lies: ``places`` has (top, left) in a picture of ``shape``."""

    windows: list[int]  # their numbers in the cutting
    places: list[tuple[int, int]]
    shape: tuple[int, int]

    @property
    def pixels(self) -> int:
        """How many pixels the canvas has."""
        return self.shape[0] * self.shape[1]

    def lay(self, cutting: Cutting, picture: np.ndarray, fill=0) -> np.ndarray:
        """The canvas with the windows of a picture, (H, W) or (H, W, channels), on it."""
        laid = np.full(self.shape + picture.shape[2:], fill, picture.dtype)
        for number, (top, left) in zip(self.windows, self.places):
            window = cutting.windows[number]
            laid[top : top + window.height, left : left + window.width] = picture[window.box]
        return laid

    def pick(self, cutting: Cutting, laid: np.ndarray) -> dict[int, np.ndarray]:
        """Number of a window → what lies in it on a canvas."""
        return {
            number: laid[
                top : top + cutting.windows[number].height,
                left : left + cutting.windows[number].width,
            ]
            for number, (top, left) in zip(self.windows, self.places)
        }


def lay_out(cutting: Cutting, numbers: list[int], pixels: int = CANVAS) -> list[Canvas]:
    """Lay windows out on canvases of at most so many pixels, or of one window: in rows.

    A canvas is about square.  Its sides are multiples of 16, if it has more than one window.
    """
    windows = cutting.windows
    wide = max([round(pixels**0.5), *(windows[n].width for n in numbers)], default=0)
    order = sorted(numbers, key=lambda n: (-windows[n].height, -windows[n].width, n))
    canvases, rows = [], []  # a row: [height, width, numbers]
    for number in order:
        window = windows[number]
        if rows and rows[-1][1] + GAP + window.width <= wide:
            rows[-1][1] += GAP + window.width
            rows[-1][2].append(number)
            continue
        if rows and (_tall(rows) + GAP + window.height) * wide > pixels:
            canvases.append(_canvas(rows, windows))
            rows = []
        rows.append([window.height, window.width, [number]])
    if rows:
        canvases.append(_canvas(rows, windows))
    return canvases


def _tall(rows: list) -> int:
    return sum(row[0] for row in rows) + GAP * (len(rows) - 1)


def _canvas(rows: list, windows: list[Window]) -> Canvas:
    numbers, places, top = [], [], 0
    for height, _, members in rows:
        left = 0
        for number in members:
            numbers.append(number)
            places.append((top, left))
            left += windows[number].width + GAP
        top += height + GAP
    shape = (_tall(rows), max(row[1] for row in rows))
    if len(numbers) > 1:
        shape = tuple(-(-side // 16) * 16 for side in shape)
    return Canvas(numbers, places, shape)
