"""Pictures and plots of the book, one style for all.

Every function returns something that, as the last value of a cell, is shown once: plots are closed
matplotlib figures; pictures are `row`s of `dip_book.show.photographs`.
"""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MultipleLocator

import dip_blocks
from dip_book import images, runs, words
from dip_book.results.selection import best_run
from dip_book.runs.spec import brief
from dip_book.show.photographs import row
from dip_book.show.style import ACCENT, INK, LIGHT, MUTED, STYLE, WARM, looks
from dip_book.table import Figure


def curves(histories: dict, what: str = "loss", label: str | None = None):
    """One quantity of several histories over the iterations.

    Args:
        histories: legend → list of `dip_blocks.Step`; or several such lists, drawn alike.
        what: "loss", "psnr" or "lr".
        label: of the vertical axis.

    Raises ValueError for what is no history, and for another quantity.
    """
    _check_histories(histories, what)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
        for (name, history), look in zip(histories.items(), looks(histories)):
            for i, steps in enumerate(_several(history)):
                struck = [s for s in steps if s.backtracked]
                for some, form in (
                    (steps, {"ls": look.line}),
                    (struck, {"ls": "none", "marker": "v", "ms": 4}),
                ):
                    axis.plot(
                        [s.iteration for s in some],
                        [getattr(s, what) for s in some],
                        **form,
                        label=words.drawn(name) if "marker" not in form and i == 0 else None,
                        lw=1.2,
                        color=look.colour,
                    )
        axis.set_yscale("log" if what == "loss" else "linear")
        axis.set_xlabel("iteration")
        axis.set_ylabel(label or {"loss": "loss", "psnr": "PSNR, dB", "lr": "learning rate"}[what])
        axis.legend()
    return _closed(figure)


def _check_histories(histories: dict, what: str) -> None:
    if what not in ("loss", "psnr", "lr"):
        raise ValueError(f"What is drawn is loss, psnr or lr, not {brief(what)}.")
    if not isinstance(histories, dict):
        raise ValueError(
            f"Histories have names: {{'a name': fit.history}}, not {brief(histories)}."
        )
    for name, history in histories.items():
        for steps in _several(history):
            steps = steps if isinstance(steps, (list, tuple)) else [None]
            if not all(isinstance(step, dip_blocks.Step) for step in steps):
                raise ValueError(f"What is named {brief(name)} is no history: draw its .history.")


def _several(history) -> list:
    """The histories under one name: a list of them, or one alone."""
    many = isinstance(history, list) and history and isinstance(history[0], list)
    return history if many else [history]


def run_summary(run):
    """A stored run at a glance: given, restored, truth, and three curves.

    Without the picture, if that is a reader's own and not at hand.
    """
    pictures = {f"restored, {run.psnr:.2f} dB": run.raw}
    with contextlib.suppress(images.ImageError):
        pictures = {"given": run.degraded()[0]} | pictures | {"truth": run.truth()}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2, 3, figsize=(8, 4.8), height_ratios=(2.6, 2), layout="constrained"
        )
        for axis in axes[0]:
            axis.set_axis_off()
        for axis, (title, picture) in zip(axes[0], pictures.items()):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(title)
        for axis, what in zip(axes[1], ("loss", "psnr", "lr")):
            axis.plot(
                [s.iteration for s in run.history], [getattr(s, what) for s in run.history], lw=1
            )
            axis.set_title({"loss": "loss", "psnr": "PSNR, dB", "lr": "learning rate"}[what])
            axis.set_xlabel("iteration")
        axes[1, 0].set_yscale("log")
    return _closed(figure)


def ranges(samples: dict, label: str, limits: tuple[float, float] | None = None):
    """Histograms of several sets of values under one another; ``limits`` marks the wanted range.

    Raises ValueError where there is no set.
    """
    if not samples:
        raise ValueError("There is nothing to draw: no values are given.")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(samples),
            1,
            figsize=(7, 1.3 * len(samples) + 0.4),
            sharex=True,
            layout="constrained",
            squeeze=False,
        )
        for axis, (name, values) in zip(axes[:, 0], samples.items()):
            axis.hist(numbers(values).ravel(), bins=120, color=ACCENT)
            axis.set_yticks([])
            axis.set_title(words.drawn(name), loc="left")
            if limits:
                axis.axvspan(*limits, color=WARM, alpha=0.12, lw=0)
        axes[-1, 0].set_xlabel(label)
    return _closed(figure)


def numbers(values) -> np.ndarray:
    """An array or a tensor, in the middle of a computation too, as float64."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().double().numpy()
    if isinstance(values, np.ma.MaskedArray):  # what it hides is not to be drawn
        return values.compressed().astype(np.float64)
    return np.asarray(values, np.float64)


#: Of a row's height, in `dots`, what its methods share among them.
SPREAD = 0.6


def dots(columns: dict[str, dict], label: str = "PSNR, dB"):
    """One line an image, one mark a method, a little below the one before; runs cut short hollow.

    Args:
        columns: method → image → number or `Figure`; None is left out, what was cut short is
            hollow.

    Raises ValueError where there is no method.
    """
    if not columns:
        raise ValueError("There is nothing to draw: no method is given.")
    names = list(next(iter(columns.values())))
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.5, 0.42 * len(names) + 1.5), layout="constrained")
        shifts = np.linspace(-SPREAD / 2, SPREAD / 2, len(columns)) if len(columns) > 1 else [0.0]
        for y in range(0, len(names), 2):
            axis.axhspan(y - 0.5, y + 0.5, color=LIGHT, alpha=0.4, lw=0)
        for (title, column), look, shift in zip(columns.items(), looks(columns), shifts):
            colour = look.colour
            cells = [
                (column[name], y + shift)
                for y, name in enumerate(names)
                if column[name] is not None
            ]
            for hollow in (False, True):
                chosen = [(float(cell), y) for cell, y in cells if _cut_short(cell) == hollow]
                if chosen:
                    legend = words.drawn(f"{title}, cut short" if hollow else title)
                    face = "none" if hollow else colour
                    axis.plot(*zip(*chosen), look.mark, ms=5, color=colour, mfc=face, label=legend)
        axis.set_yticks(range(len(names)), [words.drawn(images.title(name)) for name in names])
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(label)
        axis.legend(loc="upper center", bbox_to_anchor=(0.45, -0.12), ncols=3, fontsize=9)
    return _closed(figure)


def waterfall(
    start: float,
    steps: list[tuple[str, list[float]]],
    first: str,
    last: str,
    label: str = "PSNR, dB",
):
    """From one level to another, step by step.

    Each bar is one step, its whisker the standard deviation.

    Args:
        start: the first level.
        steps: change → differences to the step before, of which the mean is drawn; empty: the step
            is left out.
        first, last: the two levels' names.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(
            figsize=(7.5, 0.42 * (len(steps) + 2) + 0.9), layout="constrained"
        )
        names, level, span = [first], start, []
        axis.plot(start, 0, "o", color=INK)
        for y, (change, differences) in enumerate(steps, 1):
            names.append(f"+ {change}")
            if not differences:
                continue
            mean = float(np.mean(differences))
            axis.barh(y, mean, left=level, height=0.55, color=ACCENT if mean >= 0 else WARM)
            spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
            if spread:
                axis.errorbar(level + mean, y, xerr=spread, color=INK, lw=1, capsize=3)
            axis.plot([level + mean] * 2, [y - 0.3, y + 1.3], color=MUTED, lw=0.8)
            span += [level, level + mean - spread, level + mean + spread]
            axis.annotate(
                f"{mean:+.2f}".replace("-", "−"),
                (max(level, level + mean + spread), y),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
            level += mean
        names.append(last)
        axis.plot(level, len(steps) + 1, "o", color=INK)
        axis.set_yticks(range(len(names)), [*map(words.drawn, names)])
        axis.invert_yaxis()
        low, high = min([start, *span]), max([start, level, *span])
        axis.set_xlim(low - 0.1 * (high - low) - 0.1, high + 0.25 * (high - low) + 0.1)
        axis.set_xlabel(label)
    return _closed(figure)


def _cut_short(cell) -> bool:
    return isinstance(cell, Figure) and not cell.whole


def cost(
    curves: dict[str, tuple[list, list]],
    points: dict[str, tuple[float, float]],
    label: str = "PSNR, dB",
    bottom: float | None = None,
):
    """Quality against time, which is on a logarithmic scale.

    Args:
        curves: method → (seconds, PSNR in dB) on the way.
        points: method → (seconds, PSNR in dB) of methods that have no way, only a result.
        bottom: PSNR in dB at which the axis begins, unless a result is lower: curves enter there.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
        look = dict(zip([*curves, *points], looks([*curves, *points])))
        for name, (seconds, psnr) in curves.items():
            colour = look[name].colour
            end = {"marker": look[name].mark, "ms": 5, "markevery": [len(psnr) - 1]}
            end["label"] = words.drawn(name)
            axis.plot(seconds, psnr, ls=look[name].line, lw=1.4, color=colour, **end)
        for name, (seconds, psnr) in points.items():
            mark, colour = look[name].mark, look[name].colour
            point = {"ls": "none", "ms": 7, "label": words.drawn(name)}
            axis.plot(seconds, psnr, mark, color=colour, **point)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel("seconds")
        axis.set_ylabel(label)
        if bottom is not None:
            ends = [psnr[-1] for _, psnr in curves.values()] + [psnr for _, psnr in points.values()]
            axis.set_ylim(bottom=min([bottom, *(end - 1 for end in ends)]))
            axis.yaxis.set_major_locator(MultipleLocator(2))
        axis.legend(fontsize=9)
    return _closed(figure)


def orthogonal(spectra: dict[str, np.ndarray]):
    """What making a matrix orthogonal means.

    A 2×2 matrix's ellipse becoming a circle, and singular values of real updates.

    Args:
        spectra: optimiser → singular values of one update, largest first, as shares of the largest.
    """
    turn = np.linspace(0, 2 * np.pi, 200)
    circle, matrix = np.stack([np.cos(turn), np.sin(turn)]), np.array([[0.95, 0.25], [0.25, 0.12]])
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(8, 3.3), layout="constrained", width_ratios=(1, 1.5)
        )
        x = torch.from_numpy(matrix)[None]
        drawn = [
            matrix / np.linalg.norm(matrix),
            dip_blocks.orthogonalised(x, 2)[0].numpy(),
            dip_blocks.orthogonalised(x)[0].numpy(),
        ]
        for step, colour, line, label in zip(
            drawn,
            (WARM, MUTED, ACCENT),
            (":", "--", "-"),
            ("a gradient", "after two steps", "after five"),
        ):
            left.plot(*(step @ circle), line, color=colour, lw=1.6, label=label)
        left.set_aspect("equal")
        left.set_xticks([-1, 0, 1])
        left.set_yticks([-1, 0, 1])
        left.set_xlabel("first coordinate")
        left.set_ylabel("second coordinate")
        left.legend(
            fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.22),
            ncols=3,
            columnspacing=1,
            handlelength=1.5,
        )
        for (name, values), look in zip(spectra.items(), looks(spectra)):
            right.plot(
                np.arange(1, len(values) + 1),
                values,
                ls=look.line,
                color=look.colour,
                lw=1.6,
                label=words.drawn(f"{name.capitalize()}'s update"),
            )
        right.set_ylim(0, 1.05)
        right.set_xlabel("singular value, by size")
        right.set_ylabel("share of the largest")
        right.legend(fontsize=9)
    return _closed(figure)


def network(config: dict, height: int, width: int, z_channels: int = 32, out_channels: int = 1):
    """A network drawn from its config: blocks, skips, the shape that leaves each block."""
    choices = dip_blocks.BLOGS_CHOICES | config
    above = choices["skip_from"] == "input"  # skips have the size above the level's d_i, or below
    down, up, skip = config["channels_down"], config["channels_up"], config["channels_skip"]
    depth = len(down)

    def size(level):
        return f"{-(-height // 2**level)}×{-(-width // 2**level)}"

    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(8, 0.82 * (depth + 2) + 0.3), layout="constrained")
        axis.set_axis_off()
        axis.set_xlim(-0.1, 10.1)
        axis.set_ylim(-(depth + 1.55), 0.5)

        def box(x, y, label, colour, wide=2.3):
            axis.add_patch(
                FancyBboxPatch(
                    (x, y - 0.24),
                    wide,
                    0.48,
                    boxstyle="round,pad=0,rounding_size=0.1",
                    fc=colour,
                    ec="none",
                )
            )
            axis.text(x + wide / 2, y, label, ha="center", va="center", color="white", fontsize=9.5)

        def arrow(start, end, colour=MUTED):
            axis.annotate(
                "",
                end,
                start,
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": colour,
                    "lw": 1.2,
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
            )

        left, middle, right = 0.3, 4.0, 7.4
        box(left, 0, f"z    {z_channels} × {size(0)}", MUTED)
        box(right, 0, f"out    {out_channels} × {size(0)}", MUTED)
        for i in range(depth):
            y = -(i + 1)
            box(left, y, rf"$d_{i + 1}$    {down[i]} × {size(i + 1)}", ACCENT)
            box(right, y, rf"$u_{i + 1}$    {up[max(i - 1, 0)]} × {size(i)}", WARM)
            arrow((left + 1.15, y + 0.76), (left + 1.15, y + 0.26))
            arrow((right + 1.15, y + 0.26), (right + 1.15, y + 0.76))
            if skip[i]:
                through = f"{skip[i]} × {size(i + (not above))}"
                box(middle, y, rf"$s_{i + 1}$    {through}", "#6d28d9", wide=2.0)
                arrow((left + 2.3, y), (middle, y))
                arrow((middle + 2.0, y), (right, y))
        y = -(depth + 1)
        ends = (right + 1.15,) * 2  # without that block a line goes through
        if choices["connect"]:
            box(middle - 0.35, y, f"connect    {up[-1]} × {size(depth)}", INK, wide=2.7)
            ends = middle - 0.35, middle + 2.35
        axis.plot([left + 1.15, left + 1.15], [y + 0.76, y], color=MUTED, lw=1.2)
        arrow((left + 1.15, y), (ends[0], y))
        axis.plot([ends[1], right + 1.15], [y, y], color=MUTED, lw=1.2)
        arrow((right + 1.15, y), (right + 1.15, y + 0.76))
    return _closed(figure)


def source(definition):
    """The code of a function or class of the project, as it stands in its module."""
    from IPython.display import Markdown

    code = textwrap.dedent(inspect.getsource(definition)).rstrip()
    return Markdown(f"```python\n{code}\n```")


def front_pictures(store: Path = runs.ROOT) -> list[Path]:
    """Draw the README's picture, also shown where the site is linked to, into the theme.

    Given, restored, truth.  Gives the files' paths.
    """
    theme = Path(__file__).parents[2] / "theme"
    run = best_run("quick", "camera", 256, store)
    if run is None:
        raise runs.RunError(
            "The run of the front page's pictures is missing: make it with run --missing front."
        )
    pictures = {
        "given: half of the pixels": run.degraded()[0],
        f"restored, {run.facts['iterations']:,} iterations": run.raw,
        "the truth": run.truth(),
    }
    row(pictures, width=9).figure.savefig(theme / "restoration.png", dpi=100)
    return [theme / "restoration.png"]


def _closed(figure):
    plt.close(figure)
    return figure
