"""Known pixels that are kept from a method, so that they can measure what it makes of holes.

Nobody knows the truth behind a hole.  But a hole of the same shape can be made where everything is
known; what a method draws there is then compared with what it was not shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dip_book.restoring import regions
from dip_parts.checks import as_seed

#: Share of the known pixels that is hidden, and the most that one hole may take of them.
SHARE, MOST = 0.05, 0.13
#: Of the missing pixels: half as many are enough to measure by.
OF_MISSING = 0.5
#: Longer holes are copied in pieces of twice their thickness, but for these limits, in pixels: how
#: hard a scratch is to fill does not depend on how long it is.
PIECE = (24, 128)
#: How pixels were chosen, where no hole's shape was copied.
SINGLE = "single pixels"
#: With so many holes, half of the weight that they speak for is given to a network.
DOUBT = 3
EDGE = 8  # pixels that a copy keeps from the picture's edge, if the damage does
TRIES = 60  # places that are tried for a copy, nearer ones first
CELL = 16  # side of the squares in which errors are compared, in pixels


@dataclass
class HeldOut:
    """Which known pixels are hidden: ``mask``, bool (H, W); ``how`` they were chosen, a phrase.

    ``whole``: are they as thick as the damage?  Pieces of it are easier to fill.
    ``shaped``: are they copies, and not single pixels?
    """

    mask: np.ndarray
    how: str
    whole: bool = True
    shaped: bool = False

    @property
    def count(self) -> int:
        """How many pixels are hidden."""
        return int(self.mask.sum())

    def units(self) -> np.ndarray:
        """Which copy each hidden pixel belongs to; of single pixels, which square: 1-D, int.

        Errors within one are alike.  In the order of `numpy.flatnonzero`.
        """
        if self.shaped:
            return ndimage.label(self.mask, np.ones((3, 3)))[0][self.mask]
        rows, columns = np.nonzero(self.mask)
        return rows // CELL * (self.mask.shape[1] // CELL + 1) + columns // CELL


def choose(
    known: np.ndarray,
    *,
    share: float = SHARE,
    of_missing: float | None = OF_MISSING,
    seed: int | list[int] = 0,
) -> HeldOut:
    """Choose known pixels to hide: holes of the mask's own shapes, moved to where all is known.

    Holes are the connected groups of missing pixels, each as likely as it has pixels.  A copy lies
    near its hole where there is room (its surroundings are then alike), two pixels or more from
    all that is missing.  Where holes are single pixels, or no copy finds room, single pixels
    are hidden.

    Args:
        known: bool (H, W), true where a pixel is known.  If all are, single pixels are hidden: so a
            method that removes noise can be stopped, or measured.
        share: of the known pixels, in (0, 0.5); a single hole may take `MOST` / `SHARE` times as
            many.
        of_missing: no more than this share of the number of missing pixels is hidden (but one hole
            in any case); None: as ``share`` says.
        seed: a number, or several; the same and the same mask give the same pixels on every
            machine.

    Raises ValueError for a share outside (0, 0.5), a mask not of two dimensions, what is no seed.
    """
    known = np.asarray(known, bool)
    if known.ndim != 2:
        raise ValueError(f"The mask of known pixels has two dimensions, not {known.ndim}.")
    if not 0 < share < 0.5:
        raise ValueError(f"share must be above 0 and below 0.5, not {share!r}.")
    seeds = [*map(as_seed, seed)] if np.ndim(seed) else as_seed(seed)
    random, count = np.random.default_rng(seeds), int(known.sum())
    wanted = share * count
    if of_missing is not None and count < known.size:
        wanted = min(wanted, max(of_missing * (known.size - count), 1))
    hidden = np.zeros_like(known)
    if count < 2:
        return HeldOut(hidden, "none: there is nothing to spare")
    if count < known.size and not regions.scattered(known):
        thick = regions.thickness(~known)
        piece = int(np.clip(2 * thick, *PIECE))
        for longest in (piece, piece // 2, piece // 4, piece // 8):
            holes, whole = _holes(known, MOST / SHARE * share * count, longest, thick)
            placed = _copies(known, holes, wanted, random, hidden)
            if placed >= min(wanted / 4, 200):
                pieces = "" if whole else ", in pieces"
                how = f"the damage's own shapes, moved to known places{pieces}"
                return HeldOut(hidden, how, whole, shaped=True)
            hidden[:] = False
    places = np.flatnonzero(known)
    number = int(min(max(round(wanted), 1), len(places) - 1))
    hidden.flat[random.choice(places, number, replace=False)] = True
    return HeldOut(hidden, SINGLE)


def _holes(
    known: np.ndarray, most: float, longest: int, thick: float
) -> tuple[list[tuple[np.ndarray, np.ndarray]], bool]:
    """Rows and columns of each hole; longer ones in pieces; is each as thick still?"""
    labels, count = ndimage.label(~known, np.ones((3, 3)))
    if not count:
        return [], True
    rows, columns = np.nonzero(labels)
    of = labels[rows, columns]
    order = np.argsort(of, kind="stable")
    ends = np.cumsum(np.bincount(of)[1:])[:-1]
    waiting = list(zip(np.split(rows[order], ends), np.split(columns[order], ends)))
    holes, whole = [], True
    while waiting:
        hole = waiting.pop()
        height, width = (int(np.ptp(axis)) + 1 for axis in hole)
        if max(height, width) <= longest and len(hole[0]) <= max(most, 1):
            holes.append(hole)
            continue
        whole = whole and longest > thick and len(hole[0]) <= max(most, 1)
        axis = hole[0] if height >= width else hole[1]
        first = axis < axis.min() + max(height, width) / 2
        waiting += [(hole[0][part], hole[1][part]) for part in (first, ~first)]
    return holes, whole


def _copies(known, holes, wanted: float, random, hidden: np.ndarray) -> int:
    """Hide copies until enough is hidden; gives how many pixels were."""
    sizes = np.array([len(hole[0]) for hole in holes], float)
    free = ndimage.binary_erosion(known, np.ones((3, 3)), iterations=2, border_value=1)
    rows, columns = np.nonzero(~known)
    height, width = known.shape
    ends = rows.min(), height - 1 - rows.max(), columns.min(), width - 1 - columns.max()
    if edge := min(EDGE, *map(int, ends)):  # at the edge a hole is harder to fill
        free[:edge] = free[-edge:] = free[:, :edge] = free[:, -edge:] = False
    placed, failures = 0, 0
    order = random.choice(len(holes), min(len(holes) * 4, 20_000), p=sizes / sizes.sum())
    for number in order:
        if placed >= wanted or failures > 200:
            break
        rows, columns = holes[number]
        if placed and placed + len(rows) > 1.5 * wanted:
            continue
        found = _place(free, rows, columns, random)
        failures += found is None
        if found is not None:
            hidden[found] = True
            placed += len(rows)
            top, bottom = max(found[0].min() - 2, 0), found[0].max() + 3
            left, right = max(found[1].min() - 2, 0), found[1].max() + 3
            taken = ndimage.binary_dilation(hidden[top:bottom, left:right], np.ones((3, 3)), 2)
            free[top:bottom, left:right] &= ~taken
    return placed


def _place(free, rows, columns, random):
    """A hole moved to where all is free; None where no try finds a place."""
    height, width = free.shape
    tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    reach = 2.0 * max(tall, wide) + 16
    for attempt in range(TRIES):
        near = reach * (1 + attempt / 8)
        down, right = np.rint(random.uniform(-near, near, 2)).astype(int)
        down = np.clip(down, -rows.min(), height - 1 - rows.max())
        right = np.clip(right, -columns.min(), width - 1 - columns.max())
        moved = rows + down, columns + right
        if free[moved].all():
            return moved
    return None


def decibel(error: np.ndarray) -> float | None:
    """PSNR in dB, peak 1, of differences; None of none."""
    if not error.size:
        return None
    return round(
        float(-10 * np.log10(max(float(np.mean(np.square(error, dtype=float))), 1e-12))), 3
    )


@dataclass
class Choice:
    """How two methods are mixed: ``weight`` of the second, from 0 to 1; errors in dB of each, and
    of the mixture, at the held-out pixels; None where nothing was held out.
    """

    weight: float
    first_db: float | None
    second_db: float | None
    mixed_db: float | None


def mix(truth: np.ndarray, first: np.ndarray, second: np.ndarray, units: np.ndarray) -> Choice:
    """Choose how much of the second method is mixed into the first.

    The weight with the smallest squared error at the held-out pixels, times n / (n + `DOUBT`) for
    n holes that it was found by: what one hole says need not hold for the next.  So the mixture is
    never worse there than the first method: the squared error falls all the way to the best
    weight.

    Args:
        truth, first, second: (pixels, channels).
        units: (pixels,), the number of the hole, or of the square, that each pixel lies in.
    """
    if not len(truth):
        return Choice(0.0, None, None, None)
    a, b = (np.asarray(picture, float) - truth for picture in (first, second))
    apart = float(np.square(b - a).sum())
    best = float(np.clip(-(a * (b - a)).sum() / apart, 0, 1)) if apart else 0.0
    number = len(np.unique(units))
    weight = best * number / (number + DOUBT)
    mixed = (1 - weight) * a + weight * b
    return Choice(round(weight, 4), decibel(a), decibel(b), decibel(mixed))
