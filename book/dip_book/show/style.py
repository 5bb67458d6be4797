"""How plots look, and which colour, mark and line is whose: one for each method, in every figure.

The colours are told apart with any kind of colour vision as far as colours can be; marks and lines
do it without them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt

INK, MUTED, ACCENT, WARM, LIGHT = "#1f2937", "#6b7280", "#0a7d91", "#c2410c", "#e5e7eb"
VIOLET, GREEN, PINK, BLUE, GREY = "#6d28d9", "#4d7c0f", "#be185d", "#1d4ed8", "#9ca3af"
SERIES = (ACCENT, WARM, VIOLET, GREEN, GREY)


class Method(NamedTuple):
    """A method's colour, mark and kind of line."""

    colour: str
    mark: str
    line: str | tuple


#: Part of a name → how it is drawn; the first that occurs in a name counts.
METHODS = {
    "truth": Method(INK, "_", ":"),
    "ceiling": Method(INK, "|", (0, (1, 1))),
    "linear": Method(MUTED, "v", (0, (2, 1.5))),
    "biharmonic": Method(GREEN, "^", ":"),
    "sparse coding": Method(PINK, "P", (0, (5, 1, 1, 1))),
    "self2self": Method(BLUE, "*", (0, (3, 1, 1, 1, 1, 1))),
    "best": Method(ACCENT, "D", "-"),
    "quick": Method(ACCENT, "d", (0, (4, 1))),
    "muon": Method(ACCENT, "D", "-"),
    "paper": Method(VIOLET, "s", "--"),
    "second reading": Method(VIOLET, "s", "--"),
    "adam": Method(VIOLET, "s", "--"),
    "blog": Method(WARM, "o", "-."),
}


def method(name: str) -> Method | None:
    """How a method is drawn, by its name as a legend has it; None: it is not one of `METHODS`."""
    return next((style for part, style in METHODS.items() if part in name.lower()), None)


#: For names that are no method's, and for a method that a figure shows twice.
MARKS, LINES = "osD^vPX*dhp<>", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
OTHERS = (*SERIES, INK, PINK, BLUE, MUTED)


def looks(names: Iterable[str]) -> list[Method]:
    """How each of a figure's names is drawn; no two share colour and mark, nor colour and line.

    A method is drawn as in `METHODS`.  What is the same method once more (another picture, say)
    keeps its colour, with a mark and a line of its own; other names have other colours.
    """
    names, given = list(names), {}
    for name in sorted(names, key=len):  # "quick" before "quick-adam"
        look = method(name)
        if look is not None and look not in given.values():
            given[name] = look
    for name in names:
        if name not in given:
            taken = {look.colour for look in given.values()}
            known = method(name)
            free = [colour for colour in OTHERS if colour not in taken] or OTHERS
            colour = known.colour if known else free[0]
            marks = {look.mark for look in given.values()}
            mark = next((mark for mark in MARKS if mark not in marks), MARKS[0])
            lines = {look.line for look in given.values()}
            alike = {look.line for look in given.values() if look.colour == colour}
            free = [line for line in LINES if line not in lines]
            free += [line for line in LINES if line not in alike]
            line = next(iter(free), LINES[-1])
            given[name] = Method(colour, mark, line)
    return [given[name] for name in names]


STYLE = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT,
    "axes.prop_cycle": plt.cycler(color=SERIES),
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}
