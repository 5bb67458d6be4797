"""Two pictures of the space of pictures: one thought, one measured.

In both a picture is a point, and all pictures that agree with the known pixels lie in a plane.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Polygon
from PIL import Image

from dip_book import images
from dip_book.runs import Run
from dip_book.show.style import ACCENT, GREEN, INK, LIGHT, MUTED, STYLE, method

#: Distances are given in grey levels.
LEVELS = 255
#: A thumbnail's pixels a side, and the step between its greys: few are left, so that a palette has
#: room for colours.
THUMBNAIL, STEP = 89, 8


class Place(NamedTuple):
    """Where a picture lies, seen from the truth; both in grey levels.

    The squares of the two add up to the mean squared error over the whole picture.
    """

    along: float  # along the plane: root of the summed squared error of missing pixels / all pixels
    off: float  # off the plane: the same of known pixels


def place(image, truth, mask) -> Place:
    """Where a picture lies, given the truth, (H, W) or (1, H, W), and the mask, 1 where known."""
    error = (np.asarray(image, dtype=float) - np.asarray(truth, dtype=float)) ** 2
    known = np.asarray(mask, dtype=float)
    parts = ((error * (1 - known)).mean(), (error * known).mean())
    return Place(*(LEVELS * float(part) ** 0.5 for part in parts))


def way(run: Run) -> list[Place]:
    """Where the outputs of a stored run's iterations lie, as its history tells.

    The loss is the error of known pixels, the PSNR that of all.
    """
    known = run.degraded()[1].mean()
    return [_split(10 ** (-s.psnr / 10), known * s.loss) for s in run.history]


def end(run: Run, kind: str = "raw") -> Place:
    """Where one of the pictures lies that a stored run ended with: "raw" or "averaged"."""
    everywhere, missing = (
        10 ** (-run.facts["psnr_db"][name] / 10) for name in (kind, f"{kind}_pasted")
    )
    return _split(everywhere, everywhere - missing)


def _split(everywhere: float, known: float) -> Place:
    return Place(LEVELS * max(everywhere - known, 0) ** 0.5, LEVELS * max(known, 0) ** 0.5)


def measured(ways: dict[str, list[Place]], points: dict[str, Place], near: float = 16.0):
    """Ways and points in the space of pictures, whole and close to the truth.

    The truth is the origin and the plane the horizontal axis; arcs are equal PSNR.

    Args:
        ways: method → where its outputs lay; the last one is its end, pasted along the dots.
        points: method → where its picture lies.
        near: how far the right half reaches, in grey levels.
    """
    every = [p for places in ways.values() for p in places] + list(points.values())
    wide, high = 1.06 * max(p.along for p in every), 1.06 * max(p.off for p in every)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.9), layout="constrained")
        panels = (
            (axes[0], "the whole way", (wide, high), (15, 20, 25)),
            (axes[1], "near the truth", (near, near), (25, 28, 30, 33)),
        )
        for axis, title, (right, top), arcs in panels:
            _arcs(axis, arcs, right, top)
            axis.axhline(0, color=INK, lw=2.5, clip_on=False)
            axis.plot(0, 0, "*", ms=13, color=INK, clip_on=False, zorder=5, label="truth")
            for name, places in ways.items():
                look, (along, off) = method(name), places[-1]
                line = {"color": look.colour, "zorder": 3}
                axis.plot(*zip(*places), ls=look.line, lw=1.5, label=name, **line)
                axis.plot(along, off, look.mark, ms=6, **line)
                axis.plot([along, along], [off, 0], ":", lw=1.2, **line)
            for name, (along, off) in points.items():
                look = method(name)
                colour, mark = (look.colour, look.mark) if look else (MUTED, "X")
                if along <= right:
                    axis.plot(along, off, mark, ms=8, color=colour, clip_on=False, zorder=4)
                axis.plot([], [], mark, ls="none", ms=8, color=colour, label=name)
            axis.set(xlim=(0, right), ylim=(0, top), aspect="equal")
            axis.set_title(title, loc="left")
            axis.grid(False)
            axis.set_xlabel("along the plane: missing pixels' error,\ngrey levels")
        axes[0].set_ylabel("off the plane: known pixels' error,\ngrey levels")
        legend = axes[0].get_legend_handles_labels()
        figure.legend(*legend, loc="outside lower center", ncols=len(legend[1]), fontsize=9)
    plt.close(figure)
    return figure


def _arcs(axis, arcs: tuple, right: float, top: float) -> None:
    """Quarters of circles about the truth, each with its PSNR where it leaves the panel."""
    turn = np.linspace(0, np.pi / 2, 200)
    for psnr in arcs:
        radius = LEVELS * 10 ** (-psnr / 20)
        axis.plot(radius * np.cos(turn), radius * np.sin(turn), color=LIGHT, lw=1.2, zorder=1)
        clear = min(np.radians(78), np.arccos(min(1, 0.085 * right / radius)))  # of the axis
        angle = clear if radius < top else np.arcsin(0.93 * top / radius)
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        if x < right:
            axis.text(x, y, f"{psnr} dB", fontsize=8, color=MUTED, ha="center", va="center",
                      bbox={"fc": "white", "ec": "none", "pad": 0.8}, zorder=2)  # fmt: skip


# The thought ------------------------------------------------------------------------------

#: Corners of the plane in the drawing, and where things lie in it, (x, y).
PLANE = ((0.1, 0.35), (8.3, 0.35), (10.9, 3.35), (2.7, 3.35))
TRUTH, BIHARMONIC, NOISE, FOOT = (4.05, 1.75), (5.55, 2.75), (8.75, 1.7), (3.3, 1.05)
#: The way of the network's outputs, and its shadow in the plane: what pasting would give.
WAY = ((9.3, 6.1), (7.6, 4.9), (5.6, 3.9), (4.55, 2.85), (3.75, 2.2), (3.3, 1.6))
SHADOW = ((9.3, 2.75), (7.6, 2.45), (5.7, 2.1), (4.6, 1.6), (3.8, 1.3), FOOT)


def picture_space(pictures: dict):
    """The space of pictures, drawn: the plane, the truth, the way of a network past it.

    Args:
        pictures: what stands beside the points, (H, W) in [0, 1]: "start", "on the way", "raw",
            "truth", "biharmonic", "noise"; those that are missing are left out.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(8, 5.0), layout="constrained")
        axis.set(xlim=(-0.9, 12.1), ylim=(-0.55, 7.2))
        axis.set_axis_off()
        axis.add_patch(Polygon(PLANE, fc="#e6f1f3", ec=MUTED, lw=1))
        axis.text(5.6, -0.02, "the plane: every picture that has the known pixels right, $E = 0$",
                  fontsize=9, color=INK, ha="center", va="top")  # fmt: skip
        axis.plot(*_smooth(SHADOW), ":", color=MUTED, lw=1)
        axis.annotate("", WAY[0], SHADOW[0], arrowprops={"arrowstyle": "<->", "color": MUTED})
        axis.text(9.45, 4.6, "height:\nthe loss $E$", fontsize=9, color=MUTED, va="center")
        axis.plot(*_smooth(WAY), "-", color=ACCENT, lw=2)
        axis.plot(*WAY[0], "o", ms=6, color=ACCENT)
        axis.plot(*WAY[2], "o", ms=5, color=ACCENT)
        axis.plot(*WAY[-1], "D", ms=6, color=ACCENT)
        axis.plot([FOOT[0]] * 2, [WAY[-1][1], FOOT[1]], ":", lw=1.6, color=ACCENT)
        axis.plot(*zip(*[(3.3, 1.22), (3.48, 1.22), (3.48, 1.05)]), lw=0.9, color=MUTED)
        axis.plot(*FOOT, "D", ms=5, color=ACCENT, mfc="white")
        axis.plot(*TRUTH, "*", ms=16, color=INK)
        axis.plot(*BIHARMONIC, "^", ms=10, color=GREEN)
        axis.plot(*NOISE, "X", ms=10, color=MUTED)
        for key, at, words, where, colour in _LABELS:
            _label(axis, pictures.get(key), at, words, where, colour)
    plt.close(figure)
    return figure


#: Picture, the point it belongs to, its words, where its thumbnail's middle is, its colour.
_LABELS = (
    ("start", WAY[0], "start: random weights", (11.0, 6.3), ACCENT),
    ("on the way", WAY[2], "on the way", (4.2, 5.6), ACCENT),
    ("raw", WAY[-1], "end: raw output", (0.4, 4.1), ACCENT),
    (None, FOOT, "pasted", (2.1, 0.85), ACCENT),
    ("truth", TRUTH, "truth", (6.2, 1.35), INK),
    ("biharmonic", BIHARMONIC, "biharmonic", (8.0, 3.6), GREEN),
    ("noise", NOISE, "noise where missing", (11.1, 1.1), MUTED),
)


def _label(axis, picture, at, words, where, colour) -> None:
    """A thumbnail with its words under it and a thin line to its point; words alone without one."""
    x, y = where
    axis.plot([at[0], x], [at[1], y], color=MUTED, lw=0.7, zorder=1)
    below = 0.0
    if picture is not None:
        box = OffsetImage(_thumbnail(picture), cmap="gray", zoom=0.72, interpolation="nearest")
        box.image.set_clim(0, 255)
        frame = {"ec": colour, "lw": 2}
        axis.add_artist(AnnotationBbox(box, where, pad=0, bboxprops=frame, zorder=4))
        below = 0.86
    plain = {"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.8}
    axis.text(x, y - below, words, fontsize=9, ha="center", va="center", zorder=5, bbox=plain)


def _thumbnail(picture) -> np.ndarray:
    """A picture (H, W) small, in few greys."""
    side = (THUMBNAIL, THUMBNAIL)
    small = np.asarray(Image.fromarray(images.to_bytes(picture)).resize(side), dtype=int)
    return np.minimum((small + STEP // 2) // STEP * STEP, 255)


def _smooth(points) -> np.ndarray:
    """A smooth curve through points, (2, n)."""
    from scipy.interpolate import CubicSpline

    points = np.asarray(points)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return CubicSpline(length, points)(np.linspace(0, length[-1], 200)).T
