"""Figures of the chapter on noise: curves that rise and fall, and what stopping rules see."""

from __future__ import annotations

import matplotlib.pyplot as plt

from dip_book import images, runs, words
from dip_book.results import denoising
from dip_book.show.style import ACCENT, GREEN, INK, MUTED, PINK, STYLE, VIOLET, WARM

#: How a rule is marked, in every figure of the chapter.
MARKS = {
    "oracle": ("*", INK), "a fixed count": ("s", MUTED), "loss at σ²": ("^", GREEN),
    "windowed variance": ("D", VIOLET), "held-out pixels": ("o", PINK),
}  # fmt: skip


def rise_and_fall(fits: dict[tuple[str, int], dict], seed: int = 0):
    """PSNR over the iterations, raw and averaged, a panel a picture; marks where rules stop.

    Args:
        fits: as `denoising.stopping` gives them; those of the seed are drawn.
    """
    shown = {image: fit for (image, of), fit in fits.items() if of == seed}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(shown), figsize=(8.4, 3.4), layout="constrained", sharey=True, squeeze=False
        )
        for axis, (image, fit) in zip(axes[0], shown.items()):
            axis.plot(fit["iteration"], fit["raw"], color=WARM, lw=1.1, ls="--", label="raw")
            axis.plot(fit["iteration"], fit["averaged"], color=ACCENT, lw=1.6, label="averaged")
            for rule, (iteration, psnr) in denoising.stops(fit).items():
                mark, colour = MARKS[rule]
                size = 10 if rule == "oracle" else 6
                axis.plot(iteration, psnr, mark, color=colour, ms=size, ls="none", label=rule)
            axis.set_title(words.drawn(images.title(image)), loc="left")
            axis.set_xlabel("iteration")
        axes[0, 0].set_ylim(bottom=18)  # before it there is little to see
        axes[0, 0].set_ylabel("PSNR, dB")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    plt.close(figure)
    return figure


def seen(fits: list[dict]):
    """What three rules look at, and the iteration that each picks; dotted: the oracle's.

    A row of panels for each fit, as `denoising.watched` gave it.
    """
    variance = denoising.SIGMA**2
    panels = {
        "loss at σ²": ("loss", "loss ÷ σ²"),
        "windowed variance": ("variance", "variance ÷ σ²"),
        "held-out pixels": ("held_out_error", "held-out error ÷ σ²"),
    }
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(fits), 3, figsize=(8.4, 2.4 * len(fits)), layout="constrained", squeeze=False,
            sharex=True,
        )  # fmt: skip
        for row, fit in zip(axes, fits):
            stops = denoising.stops(fit)
            for axis, (rule, (column, label)) in zip(row, panels.items()):
                mark, colour = MARKS[rule]
                points = {
                    i: value / variance
                    for i, value in zip(fit["iteration"], fit[column])
                    if value is not None
                }
                axis.plot(points.keys(), points.values(), color=colour, lw=1.4)
                at = stops[rule][0]
                axis.plot(at, points[at], mark, color=colour, ms=7)
                axis.axvline(stops["oracle"][0], color=INK, lw=1, ls=":")
                if column != "variance":
                    axis.axhline(1, color=MUTED, lw=0.8, ls="--")
                axis.set_yscale("log")
                axis.yaxis.set_major_formatter("{x:g}")
                axis.yaxis.set_minor_formatter("")
                axis.set_ylabel(label)
                axis.set_title(words.drawn(f"{images.title(fit['image'])}: {rule}"), loc="left")
        for axis in axes[-1]:
            axis.set_xlabel("iteration")
    plt.close(figure)
    return figure


def copying(found: dict[str, dict[str, runs.Run]], fits: dict[tuple[str, int], dict]):
    """PSNR of the averaged output over the iterations: random z, and networks that hide.

    Triangles: where a hiding network's loss says to stop.

    Args:
        found: name → picture → run with its history.
        fits: of random z, as `denoising.stopping` gives them; those of seed 0 are drawn.
    """
    pictures = list(next(iter(found.values())))
    lines = dict(zip(found, ((ACCENT, "-"), (VIOLET, "--"), (GREEN, "-."))))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(pictures), figsize=(8.4, 3.2), layout="constrained", sharey=True, squeeze=False
        )
        for axis, image in zip(axes[0], pictures):
            if (image, 0) in fits:
                fit = fits[image, 0]
                axis.plot(
                    fit["iteration"], fit["averaged"], color=WARM, lw=1.4, ls=":", label="random z"
                )
            for name, of in ((name, of) for name, of in found.items() if image in of):
                steps = [step for step in of[image].history if step.psnr_averaged is not None]
                (colour, line) = lines[name]
                at, psnr = zip(*((step.iteration, step.psnr_averaged) for step in steps))
                axis.plot(at, psnr, color=colour, ls=line, lw=1.6, label=words.drawn(name))
                mark, _ = MARKS["loss at σ²"]
                if of[image].facts["recipe"]["hide"]:
                    stop = denoising.honest_stop(of[image])["stopped"]
                    axis.plot(*stop, mark, color=colour, ms=7)
            axis.set_title(words.drawn(images.title(image)), loc="left")
            axis.set_xlabel("iteration")
        axes[0, 0].set_ylim(bottom=20)
        axes[0, 0].set_ylabel("PSNR, dB")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    plt.close(figure)
    return figure
