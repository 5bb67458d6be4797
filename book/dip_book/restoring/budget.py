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
#: Iterations that are timed before a fit, the first of which does not count; fewer where they
#: take more than this share of the time.
TIMED, TIMING = 6, 0.05


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
    """What is fitted: networks so wide, for so many iterations, to so many canvases."""

    width: int
    iterations: int
    canvases: int  # 0: the time does not suffice for one


def plan(
    seconds: float, pace: float, areas: list[int], *, most: int, width: int = 64, members: int = 1
) -> Plan:
    """Choose what can be fitted in so many seconds.

    All canvases, each for as many iterations as there is time for, if these are `FEWEST` or more;
    else with a narrower network; else, for `FEWEST`, as many canvases as there is time for.

    Args:
        pace: seconds that an iteration takes a pixel.
        areas: pixels of each canvas, the most important first.
        most: iterations of the recipe: more are not made.
        width: of the recipe's network; half of it takes half the time, about.
        members: networks whose mean is taken.
    """
    for channels, factor in ((width, 1.0), (width // 2, 0.5)):
        iterations = seconds / (pace * factor * sum(areas) * members)
        if iterations >= FEWEST:
            return Plan(channels, int(min(iterations, most)), len(areas))
    each = FEWEST * pace * members
    done = [sum(areas[: count + 1]) * each <= seconds for count in range(len(areas))]
    return Plan(width, FEWEST, sum(done))


def needed(pace: float, areas: list[int], members: int = 1) -> float:
    """Seconds that `plan` wants for all canvases, with a network of half the width."""
    return 0.5 * FEWEST * pace * sum(areas) * members
