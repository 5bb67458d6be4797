"""What time buys, drawn: stored benchmarks, a panel for each machine; a decibel's cost."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from dip_book import bench, images, words
from dip_book.show.style import (
    ACCENT,
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    PINK,
    STYLE,
    VIOLET,
    WARM,
    looks,
)

#: Loop → colour and mark; a loop that is not named here is drawn like the first.
LOOPS = {
    "straightforward": (INK, "o"),
    "one vector, fp32": (WARM, "s"),
    "on the device, fp32": (WARM, "s"),
    "+ channels_last": (VIOLET, "^"),
    "+ channels_last, TF32": (VIOLET, "^"),
    "+ CUDA graph": (PINK, "P"),
    "+ bf16": (BLUE, "D"),
    "+ less work": (GREEN, "v"),
    "+ kept memory": (PINK, "X"),
    "+ Muon": (ACCENT, "*"),
    "deepinv": (GREY, "h"),
}
#: Size in pixels a side → colour and mark.
SIZES = {"128": (ACCENT, "o"), "256": (WARM, "s"), "512": (VIOLET, "^")}
#: Precision → the line of its floor.
FLOORS = {"fp32": ":", "tf32": "-.", "bf16": "--"}


def machine(result: dict) -> str:
    """What a benchmark ran on, in a line for a panel's title."""
    able = "bf16" if "bf16_gflop_s" in result["peak"] else "no bf16"
    cores = f"{result['threads']} core{'s' if result['threads'] > 1 else ''}"
    device = result["device"].replace("cpu", "CPU", 1)
    return f"{device}, {able}" if device.startswith("cuda") else f"{device}, {cores}, {able}"


def floor_of(result: dict, precision: str) -> dict[int, float]:
    """Pixels a side → seconds that the counted work of an iteration takes at the measured best.

    Whichever takes longer, arithmetic in this precision or memory; half as many bytes in bf16.
    """
    peak, share = result["peak"], 0.5 if precision == "bf16" else 1.0
    return {
        int(size): max(
            bench.floor_seconds(
                entry["floor"], peak[f"{precision}_gflop_s"], peak["copy_gbyte_s"] / share
            )
        )
        for size, entry in result["sizes"].items()
    }


def growth(results: list[dict], leave_out: tuple[str, ...] = ()) -> Figure:
    """Seconds an iteration against pixels a side, both on logarithmic scales, and the floors."""
    with plt.rc_context(STYLE):
        figure, axes = _panels(results, (3.8, 4.2))
        every = sorted({int(size) for result in results for size in result["sizes"]})
        for axis, result in zip(axes, results):
            for who in _loops(result, leave_out):
                points = {
                    int(size): entry["contestants"][who]["median_s"]
                    for size, entry in result["sizes"].items()
                    if who in entry["contestants"]
                }
                colour, mark = LOOPS.get(who, LOOPS["straightforward"])
                axis.plot(
                    *_line(points), color=colour, marker=mark, ms=5, lw=1.2, label=words.drawn(who)
                )
            for precision, line in FLOORS.items():
                if f"{precision}_gflop_s" in result["peak"]:
                    points = floor_of(result, precision)
                    alone = {"marker": "_", "ms": 12} if len(points) == 1 else {}
                    axis.plot(
                        *_line(points), line, color=MUTED, label=f"floor in {precision}", **alone
                    )
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xticks(every, [f"{size}²" for size in every])
            axis.set_xlim(every[0] / 1.2, every[-1] * 1.2)
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.set_xlabel("size of the picture")
        axes[0].set_ylabel("seconds an iteration")
        _legend(figure, axes)
    plt.close(figure)
    return figure


def gains(results: list[dict], leave_out: tuple[str, ...] = ()) -> Figure:
    """How many times as fast as the straightforward loop: a small mark a round, a line the median.

    Within each round the loops took turns, so a mark is a ratio of neighbours in time.
    """
    with plt.rc_context(STYLE):
        without = ("straightforward", *leave_out)
        names = list(dict.fromkeys(who for of in results for who in _loops(of, without)))
        figure, axes = _panels(results, (3.8, 1.7 + 0.42 * len(names)))
        for axis, result in zip(axes, results):
            shift = 0.5 / len(result["sizes"])
            for i, (size, entry) in enumerate(result["sizes"].items()):
                colour, mark = SIZES.get(size, (INK, "D"))
                base = entry["contestants"]["straightforward"]["seconds_per_iteration"]
                axis.plot([], [], mark, color=colour, ms=4, label=words.drawn(f"{size}²"))
                for row, who in enumerate(names):
                    if who not in entry["contestants"]:
                        continue
                    timed = entry["contestants"][who]
                    ratios = [b / t for b, t in zip(base, timed["seconds_per_iteration"])]
                    at = row + shift * (i - (len(result["sizes"]) - 1) / 2)
                    axis.plot(ratios, [at] * len(ratios), mark, color=colour, ms=4)
                    axis.plot([timed["speedup"]] * 2, [at - 0.1, at + 0.1], color=colour, lw=2.5)
            axis.axvline(1, color=INK, lw=1)
            axis.set_yticks(range(len(names)), [*map(words.drawn, names)])
            axis.set_ylim(len(names) - 0.5, -0.5)
            axis.set_xlim(left=0)
            axis.set_xlabel("times as fast as\nthe straightforward loop")
        _legend(figure, axes)
    plt.close(figure)
    return figure


def decibels(facts: dict) -> Figure:
    """PSNR against core-seconds, of what `decibel.stored_decibel` gives; a panel a picture."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(facts["pictures"]), figsize=(7, 3.5), squeeze=False, layout="constrained"
        )
        for axis, (image, curves) in zip(axes[0], facts["pictures"].items()):
            for (who, curve), look in zip(curves.items(), looks(curves)):
                ends = {"markevery": [len(curve) - 1], "marker": look.mark, "ms": 6}
                line = look.line if len(curve) > 1 else "none"
                axis.plot(*zip(*curve), color=look.colour, ls=line, label=words.drawn(who), **ends)
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.set_ylim(bottom=10)
            axis.set_title(words.drawn(images.title(image)), loc="left")
            axis.set_xlabel("seconds of one core")
        axes[0][0].set_ylabel("PSNR, dB")
        _legend(figure, axes[0])
    plt.close(figure)
    return figure


def _panels(results: list[dict], size: tuple[float, float]):
    """One panel a machine, each with its name; side by side, with one vertical axis."""
    if not results:
        raise ValueError("There is nothing to draw: no benchmark is given, or none is stored.")
    shape = (max(size[0] * len(results), 6), size[1])
    figure, axes = plt.subplots(
        1, len(results), figsize=shape, sharey=True, squeeze=False, layout="constrained"
    )
    figure.get_layout_engine().set(wspace=0.08)
    for axis, result in zip(axes[0], results):
        axis.set_title(words.drawn(machine(result)))
    return figure, axes[0]


def _legend(figure: Figure, axes) -> None:
    """What the panels show, once, below all of them: never among the measurements."""
    found = {}
    for axis in axes:
        found |= dict(zip(*reversed(axis.get_legend_handles_labels())))
    figure.legend(found.values(), found, loc="outside lower center", ncols=3, fontsize=9)


def _loops(result: dict, leave_out: tuple[str, ...]) -> list[str]:
    names = dict.fromkeys(w for entry in result["sizes"].values() for w in entry["contestants"])
    return [who for who in names if who not in leave_out]


def _line(points: dict[int, float]) -> tuple[list[int], list[float]]:
    return list(points), list(points.values())
