"""The book's argument as figures: what the distance from the blog to the paper is made of."""

from __future__ import annotations

from itertools import cycle, pairwise

import matplotlib.pyplot as plt
import numpy as np

import dip_blocks
from dip_book import runs, words
from dip_book.show.style import INK, MUTED, SERIES, STYLE, method

#: The parts, from the blog's figure to the paper's: name → colour.
PARTS = {
    "training": method("blog").colour,
    "missing pixels": MUTED,
    "architecture": method("paper").colour,
}


LINES = ("-", "--", "-.", ":")


def bar(rows: dict[str, tuple[float, float, float, float]]):
    """One bar a group of images, from what the blog reports to what the paper reports.

    Args:
        rows: group → PSNR in dB of the blog, of what its network could draw from half of the
            pixels, of its ceiling, and of the paper.  A part that is negative is drawn below the
            others, back from the blog's figure.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 0.95 * len(rows) + 1.2), layout="constrained")
        axis.grid(visible=False)
        for y, levels in enumerate(rows.values()):
            _one_bar(axis, y, levels)
        axis.set_yticks(range(len(rows)), [*map(words.drawn, rows)])
        axis.set_ylim(len(rows) - 0.3, -0.65)
        low, high = (of(level for row in rows.values() for level in row) for of in (min, max))
        axis.set_xlim(low - 1, high + 0.9)
        axis.set_xlabel("PSNR, dB")
        shown = [
            plt.Rectangle((0, 0), 1, 1, fc=colour, label=name) for name, colour in PARTS.items()
        ]
        figure.legend(handles=shown, loc="outside lower center", ncols=3)
    plt.close(figure)
    return figure


#: Below this many dB a part is too narrow for its number, which then stands beside it.
NARROW = 0.35


def _one_bar(axis, y: float, levels: tuple[float, float, float, float]) -> None:
    for colour, start, end in zip(PARTS.values(), levels, levels[1:]):
        backwards, inside = end < start, end - start > NARROW
        at, high = (y + 0.34, 0.16) if backwards else (y, 0.4)
        axis.barh(at, end - start, left=start, height=high, color=colour, ec="white")
        where = (start + end) / 2 if inside else min(start, end)
        axis.annotate(
            signed(end - start),
            (where, at),
            (0 if inside else -5, 0),
            textcoords="offset points",
            ha="center" if inside else "right",
            va="center",
            weight="bold",
            color="white" if inside else INK,
        )
    blog, half, bound, paper = levels
    ends = {"blog": (blog, "right"), "ceiling": (bound, "center"), "paper": (paper, "left")}
    if min(half - blog, bound - half) > NARROW:
        ends["half"] = half, "center"
    else:  # too close to a neighbour: its tick and its name are below the bar
        below = y + (0.44 if half < blog else 0.27)
        axis.plot([half, half], [y - 0.2, below], color=INK, lw=1.2)
        axis.annotate(f"half {half:.2f}", (half, below), (0, -1), textcoords="offset points",
                      ha="left", va="top", fontsize=9, color=INK)  # fmt: skip
    for name, (level, side) in ends.items():
        axis.plot([level, level], [y - 0.27, y + 0.2], color=INK, lw=1.2)
        axis.annotate(
            f"{name} {level:.2f}", (level, y - 0.29), ha=side, va="bottom", fontsize=9, color=INK
        )


def signed(value: float) -> str:
    """A difference in dB, such as "+1.1"; what rounds to nothing has a plus."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def rest(found: dict[str, runs.Run], bounds: dict[str, float]):
    """How well runs fit the known pixels, and how good their pictures are, one panel an image.

    Both as PSNR in dB, of the output of each iteration; the fit is the loss in decibels.

    Args:
        found: title → run.
        bounds: title → the ceiling's PSNR in dB.
    """
    columns = min(4, max(1, len(found)))
    rows = -(-len(found) // columns)
    ours, other = method("muon"), method("ceiling")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(8, 2.3 * rows + 0.5), layout="constrained", squeeze=False,
            sharex=True,
        )  # fmt: skip
        for axis in axes.flat[len(found) :]:
            axis.set_axis_off()
        for axis, (title, run) in zip(axes.flat, found.items()):
            at = [step.iteration for step in run.history]
            fit = [-10 * np.log10(step.loss) for step in run.history]
            axis.plot(at, fit, ":", lw=1.6, color=MUTED, label="on the known pixels")
            psnr = [step.psnr for step in run.history]
            axis.plot(at, psnr, "-", lw=1.6, color=ours.colour, label="over the whole picture")
            axis.axhline(bounds[title], ls="--", lw=1, color=other.colour, label="ceiling")
            lowest = min(bounds[title] - 7, max(psnr) - 4)  # where a run gets, however far below
            axis.set_ylim(lowest, max(*fit, bounds[title]) + 0.7)
            axis.set_title(words.drawn(title))
        for axis in axes[-1]:
            axis.set_xlabel("iteration")
        for axis in axes[:, 0]:
            axis.set_ylabel("PSNR, dB")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    plt.close(figure)
    return figure


def waiting(groups: dict[str, dict[str, list[dip_blocks.Step]]], since: int = 2000):
    """What further iterations bring: PSNR of averaged outputs in dB, less that of one iteration.

    Args:
        groups: title of a panel → title of a curve → its history.
        since: the iteration that all are compared with; histories begin before it.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(groups), figsize=(8, 3.4), layout="constrained", squeeze=False, sharey=True
        )
        for axis, (title, histories) in zip(axes[0], groups.items()):
            ends = {}
            for colour, line, (name, history) in zip(
                cycle(SERIES), cycle(LINES), histories.items()
            ):
                after = [step for step in history if step.iteration >= since]
                gained = [step.psnr_averaged - after[0].psnr_averaged for step in after]
                axis.plot([step.iteration for step in after], gained, ls=line, lw=1.3, color=colour)
                ends[name] = (after[-1].iteration, gained[-1], colour)
            axis.axhline(0, lw=0.8, color=MUTED)
            apart = spread([end for _, end, _ in ends.values()], 0.36)
            for height, (name, (at, _, colour)) in zip(apart, ends.items()):
                axis.annotate(
                    words.drawn(name), (at, height), (4, 0), textcoords="offset points",
                    va="center", fontsize=8, color=colour, annotation_clip=False,
                )  # fmt: skip
            axis.set_title(words.drawn(title))
            axis.set_xlabel("iteration")
        axes[0, 0].set_ylabel(f"gained since {since:,}, dB")
    plt.close(figure)
    return figure


def spread(heights: list[float], least: float) -> list[float]:
    """Heights of labels, in their order, moved apart so that none is nearer than ``least``."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for _ in range(50):  # each pair gives way by half, until all is still
        for low, high in pairwise(order):
            short = least - (moved[high] - moved[low])
            if short > 0:
                moved[low], moved[high] = moved[low] - short / 2, moved[high] + short / 2
    return moved


def perturbed(
    histories: dict[str, dict[str, tuple[list[dip_blocks.Step], float]]], bounds: dict[str, float]
):
    """PSNR in dB while z was perturbed, and a dot for the output without perturbation at the end.

    Args:
        histories: picture → name of a method → its history, and the PSNR of its raw output.
        bounds: picture → its ceiling.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(histories), figsize=(8, 3.2), layout="constrained", squeeze=False, sharey=True
        )
        for axis, (title, of) in zip(axes[0], histories.items()):
            for name, (history, end) in of.items():
                look = method(name)
                at = [step.iteration for step in history]
                axis.plot(
                    at, [step.psnr for step in history], ls=look.line, lw=1.4, color=look.colour,
                    label=words.drawn(name),
                )  # fmt: skip
                axis.plot(at[-1], end, look.mark, ms=7, color=look.colour, clip_on=False, zorder=3)
            axis.axhline(bounds[title], ls=":", lw=1.2, color=INK, label="ceiling")
            axis.set_title(words.drawn(title))
            axis.set_xlabel("iteration")
        highest = max(
            *bounds.values(), *(end for of in histories.values() for _, end in of.values())
        )
        axes[0, 0].set_ylim(16, highest + 0.5)
        axes[0, 0].set_ylabel("PSNR, dB")
        axes[0, 0].legend(loc="lower right")
    plt.close(figure)
    return figure
