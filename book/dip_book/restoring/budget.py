"""What a limit of time and of memory allows."""

from __future__ import annotations

import time
from dataclasses import dataclass

#: Seconds, as everything here counts them; a test puts another clock in its place.
clock = time.monotonic

#: Bytes that a process may take in all.
MEMORY = 2_000_000_000
#: Bytes of a process with PyTorch, SciPy and scikit-image that has not done anything.
BASE = 450_000_000
#: Bytes a pixel of the picture and channel: as given, as worked on, as returned; and without
#: channels: masks, numbers and labels of holes.
PER_VALUE, PER_PIXEL = 12, 24
#: Bytes a missing pixel: its value by every method, and where it is.
PER_MISSING = 120
#: Bytes a pixel of a canvas and channel of the network's width: all that one iteration keeps.
PER_CANVAS_PIXEL = 45
#: Iterations below which a network's picture is not worth looking at.
FEWEST = 100
#: How often the shared network draws a canvas that it was not fitted to: the mean is what counts.
PASSES = 4
#: An iteration takes as long as so many drawings.
DRAWINGS = 3.5
#: Iterations that are timed before a fit, and those before them that are not.
TIMED, WARM = 3, 2


def memory(pixels: int, channels: int, missing: int, canvas: int, width: int = 64) -> int:
    """Bytes that the whole process takes at most.

    Args:
        pixels, channels, missing: of the picture; how many of its pixels are missing.
        canvas: pixels of the largest canvas.
        width: channels of the network.
    """
    picture = pixels * (channels * PER_VALUE + PER_PIXEL) + missing * PER_MISSING
    return BASE + picture + canvas * width * PER_CANVAS_PIXEL


def largest(channels: int, share: float, canvas: int) -> int:
    """Pixels of the largest picture, of which this share is missing, that memory suffices for."""
    left = MEMORY - memory(0, channels, 0, canvas)
    return max(1, int(left / (channels * PER_VALUE + PER_PIXEL + share * PER_MISSING)))


@dataclass(frozen=True)
class Plan:
    """What is fitted: so wide a network, for so many iterations, to each canvas or to the first."""

    width: int
    iterations: int  # 0: the time does not suffice for a network
    shared: bool = False  # one network, fitted to the first canvas, draws all


def plan(
    seconds: float,
    pace: float,
    areas: list[int],
    *,
    most: int,
    width: int = 64,
    members: int = 1,
    can_share: bool = True,
) -> Plan:
    """Choose what can be fitted in so many seconds.

    A network of its own for each canvas, if there is time for `FEWEST` iterations; else one for
    all; else a narrower one.

    Args:
        pace: seconds that an iteration takes a pixel.
        areas: pixels of each canvas, of the one that a shared network is fitted to first.
        most: iterations of the recipe: more are not made.
        width: of the recipe's network; half of it takes half the time, about.
        members: networks whose mean is taken.
        can_share: can the network draw what it was not fitted to?
    """
    first, rest = areas[0], sum(areas[1:])
    for channels, factor in ((width, 1.0), (width // 2, 0.5)):
        alone = seconds / (pace * factor * (first + rest) * members)
        if alone >= FEWEST:
            return Plan(channels, int(min(alone, most)))
        if can_share and rest:
            drawing = pace * factor * rest * PASSES / DRAWINGS
            shared = (seconds - drawing) / (pace * factor * first)
            if shared >= FEWEST:
                return Plan(channels, int(min(shared, most)), shared=True)
    return Plan(width, 0)


def needed(pace: float, areas: list[int], members: int = 1, can_share: bool = False) -> float:
    """Seconds that the least takes that `plan` would choose, arguments as there."""
    first, rest = areas[0], sum(areas[1:])
    alone = FEWEST * pace * (first + rest) * members
    shared = pace * (FEWEST * first + rest * PASSES / DRAWINGS)
    return 0.5 * (min(alone, shared) if can_share else alone)
