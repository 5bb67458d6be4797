"""Filling holes without a network: within seconds, and the measure of what a network is worth."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from skimage.restoration import inpaint_biharmonic

from dip_book.restoring import budget, regions

#: Known pixels round a hole that the biharmonic equation looks at are 2; more change nothing.
CONTEXT = 8
#: A connected hole with more pixels is filled at a lower resolution: the equations of one larger
#: hole take more than half a gigabyte.
LARGEST = 40_000
#: And only if it is so thick, in pixels.
THICK = 64


def _check(image: np.ndarray, known: np.ndarray, wanted: np.ndarray | None = None) -> None:
    """ValueError for what is no picture with its masks, or where nothing is known."""
    if not isinstance(image, np.ndarray) or image.ndim != 3:
        got = getattr(image, "shape", type(image).__name__)
        raise ValueError(
            f"The picture is an array (H, W, channels), not {got}: of a grey one pass "
            "image[..., None]."
        )
    for mask in (known,) if wanted is None else (known, wanted):
        kind = getattr(mask, "dtype", type(mask).__name__), np.shape(mask)
        if not isinstance(mask, np.ndarray) or kind != (bool, image.shape[:2]):
            raise ValueError(
                f"A mask is an array of bool, here of shape {image.shape[:2]}, not {kind[0]} of "
                f"shape {kind[1]}."
            )
    if not known.any():
        raise ValueError("No pixel is known: there is nothing to fill the holes from.")


def quick(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A smooth filling: means of what is known, from ever coarser copies of the picture.

    Each missing pixel gets its value from the finest copy that knows anything near it.  Takes a
    fraction of a second a megapixel, whatever is missing.

    Args:
        image: float32 (H, W, channels); what it holds at missing pixels is not used.
        known: bool (H, W), at least one true.

    Returns a new array, in which known pixels are untouched.  ValueError as `biharmonic`.
    """
    _check(image, known)
    if known.all():
        return image.copy()
    height, width = known.shape
    tall, wide = -(-height // 2), -(-width // 2)
    weights = known.astype(np.float32)[..., None]
    padding = ((0, 2 * tall - height), (0, 2 * wide - width), (0, 0))
    of_known = np.where(known[..., None], image, np.float32(0))  # not *: what is missing may be NaN
    sums = np.pad(of_known, padding).reshape(tall, 2, wide, 2, -1).sum((1, 3))
    counts = np.pad(weights, padding).reshape(tall, 2, wide, 2, 1).sum((1, 3))
    coarse = sums / np.maximum(counts, 1)
    if min(tall, wide) > 1 or not (counts > 0).all():
        coarse = quick(coarse.astype(np.float32), counts[..., 0] > 0)
    fine = np.empty_like(image)
    for channel in range(image.shape[2]):
        enlarged = np.repeat(np.repeat(coarse[..., channel], 2, 0), 2, 1)[:height, :width]
        fine[..., channel] = ndimage.uniform_filter(enlarged, 3, mode="nearest")
    fine[known] = image[known]
    return fine


def biharmonic(
    image: np.ndarray,
    known: np.ndarray,
    wanted: np.ndarray,
    seen: Callable[[float], None] | None = None,
    until: float = float("inf"),
) -> tuple[np.ndarray, dict]:
    """The biharmonic equation over the missing pixels, window by window.

    By `skimage.restoration.inpaint_biharmonic`.  A connected hole of more than `LARGEST` pixels is
    filled at a lower resolution, and the result enlarged; what time does not suffice for is filled
    by `quick`.

    Args:
        image: float32 (H, W, channels).
        known: bool (H, W), at least one true.
        wanted: bool (H, W): of which missing pixels the values are asked for.
        seen: called with the share that is done.
        until: by `budget.clock`, when to stop.

    Returns (wanted pixels, channels), float32 in [0, 1], in the order of `numpy.flatnonzero`; and
    how many pixels were filled how: {"biharmonic": …, "coarse": …, "quick": …}.

    Raises ValueError for arrays of other shapes, and where no pixel is known.
    """
    _check(image, known, wanted)
    image, known, coarse = _large_filled(image, known)
    cutting = regions.cut(wanted, CONTEXT, side=256, overlap=16)
    counts = {"biharmonic": 0, "coarse": 0, "quick": 0}
    done = 0

    def drawn():
        nonlocal done
        for window in cutting.windows:
            part, mask = image[window.box], known[window.box]
            if not mask.any():  # a hole larger than a window, but too thin to be a large one
                how, picture = "quick", quick(image, known)[window.box]
            elif budget.clock() > until:
                how, picture = "quick", quick(part, mask)
            else:
                how, picture = "biharmonic", _solve(part, mask)
            counts[how] += len(window.places)
            done += len(window.places)
            if seen is not None:
                seen(done / max(len(cutting.wanted), 1))
            yield picture

    values = cutting.gather(drawn(), image.shape[2])
    if coarse is not None and (taken := coarse.flat[cutting.wanted]).any():
        values[taken] = image.reshape(-1, image.shape[2])[cutting.wanted[taken]]
        counts["biharmonic"] -= int(taken.sum())
        counts["coarse"] += int(taken.sum())
    return values, counts


def _solve(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    if known.all():
        return image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a matrix that is almost singular: looked at below
        filled = inpaint_biharmonic(
            np.where(known[..., None], image, 0).astype(np.float64),
            ~known,
            split_into_regions=bool(known.mean() > 0.7),
            channel_axis=-1,
        )
    good = np.isfinite(filled)
    if not good.all():
        filled = np.where(good, filled, quick(image, known))
    return np.clip(filled, 0, 1).astype(np.float32)


def _large_filled(image: np.ndarray, known: np.ndarray):
    """Picture and mask with large holes filled at a lower resolution, and where that was."""
    labels, count = ndimage.label(~known)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    coarse = None
    for number, box in zip(range(1, count + 1), ndimage.find_objects(labels)):
        if sizes[number] <= LARGEST:
            continue
        own = labels[box] == number
        if regions.thickness(own) < THICK:  # a net of scratches is no large hole
            continue
        if coarse is None:
            coarse, image, known = np.zeros_like(known), image.copy(), known.copy()
        factor = int(np.ceil(np.sqrt(sizes[number] / (LARGEST / 4))))
        around = tuple(
            slice(max(part.start - 4 * factor, 0), min(part.stop + 4 * factor, side))
            for part, side in zip(box, known.shape)
        )
        hole = labels[around] == number
        image[around][hole] = _coarse(image[around], known[around], factor)[hole]
        coarse[around] |= hole
    if coarse is not None:
        known |= coarse
    return image, known, coarse


def _coarse(image: np.ndarray, known: np.ndarray, factor: int) -> np.ndarray:
    """The biharmonic equation on a picture so many times smaller, and the result enlarged."""
    height, width = known.shape
    small = [-(-side // factor) for side in (height, width)]
    sums = np.zeros((*small, image.shape[2] + 1))
    rows, columns = np.nonzero(known)
    for channel in range(image.shape[2] + 1):
        values = image[rows, columns, channel] if channel < image.shape[2] else None
        sums[..., channel] = np.bincount(
            rows // factor * small[1] + columns // factor, values, small[0] * small[1]
        ).reshape(small)
    seen = sums[..., -1] > 0
    means = (sums[..., :-1] / np.maximum(sums[..., -1:], 1)).astype(np.float32)
    filled = _solve(means, seen)
    at = np.meshgrid(
        *((np.arange(side) + 0.5) / factor - 0.5 for side in (height, width)), indexing="ij"
    )
    channels = [
        ndimage.map_coordinates(filled[..., channel], at, order=1, mode="nearest")
        for channel in range(image.shape[2])
    ]
    return np.stack(channels, -1)
