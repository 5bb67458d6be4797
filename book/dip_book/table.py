"""A table of numbers, and how it is shown.

Cells stay numbers as long as somebody may compute with them; what they look like is decided here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral

import pandas as pd

from dip_book import words

#: What a cell shows that has no value.
NO_VALUE = "–"
#: What a caption begins with where a table is Markdown.
CAPTION = "**Table.**"


@dataclass(frozen=True)
class Figure:
    """A number with what a reader must know of it; `float` gives the number alone.

    Args:
        mean: the number; of several runs, their mean.
        deviation: sample standard deviation of several runs.
        iterations: for a run that was cut short, after how many.
        least: the smallest of the values that ``mean`` is of.
        difference: it is one, and shows its sign.
        note: text to stand right behind it, such as " (+ bf16)"; CSV is without it.
    """

    mean: float
    deviation: float | None = None
    iterations: int | None = None
    least: float | None = None
    difference: bool = False
    note: str = ""

    def __float__(self) -> float:
        return float(self.mean)

    @property
    def whole(self) -> bool:
        """Is it of whole runs?"""
        return self.iterations is None


Cell = float | int | Figure | str | None
#: How a column's numbers are written: for `str.format`, or a function of the number.
Form = str | Callable[[float], str]
#: What a figure may carry besides its number, and what CSV calls it.
EXTRAS = {"deviation": "standard deviation", "iterations": "iterations", "least": "least"}


class Table:
    """A table that a notebook, the rendered book and the command line show.

    Args:
        header: column titles.
        rows: one list a row, of numbers, figures and text; None is what has no value.
        forms: column title, or position → how its numbers are written.  Others have two decimals
            if they are floats; integers have none, and commas between thousands.
        caption: what the numbers are and their unit; of timings, the machine.
        filled_by: groups of `plan.WANTED` whose runs it is of.  Without rows it says so.

    Of markup, titles, cells and caption know pairs of ` (code) and of ** (bold) alone: much of
    their text comes from files, and is shown as what it is (`words`).

    ``frame`` is the same as a `pandas.DataFrame` of objects.
    """

    def __init__(
        self,
        header: list[str],
        rows: list[list[Cell]],
        forms: dict[str | int, Form] | None = None,
        caption: str = "",
        filled_by: Iterable[str] = (),
    ):
        self.frame = pd.DataFrame(rows, columns=header, dtype=object)
        self.forms = forms or {}
        self.caption, self.filled_by = caption, tuple(filled_by)

    @property
    def header(self) -> list[str]:
        """The column titles."""
        return list(self.frame.columns)

    @property
    def rows(self) -> list[list[Cell]]:
        """The cells, row by row."""
        return self.frame.values.tolist()

    def shown(self) -> list[list[str]]:
        """The cells as text, row by row."""
        forms = [
            self.forms.get(title, self.forms.get(i)) for i, title in enumerate(self.frame.columns)
        ]
        return [[shown(cell, form) for cell, form in zip(row, forms)] for row in self.rows]

    @property
    def lacks(self) -> str:
        """Of a table without rows, a sentence that says what would fill it; else ""."""
        if self.rows:
            return ""
        groups = " ".join(self.filled_by)
        how = f": `python -m dip_book run --missing {groups}` makes them" if groups else ""
        return f"The runs of this table are not stored yet{how}."

    def to(self, form: str) -> str:
        """The table as "markdown" or "latex", as it is shown; as "csv", bare numbers.

        Without its caption.  Without rows, what it `lacks`; of CSV, the header alone.

        Raises ValueError for any other form.
        """
        ways = {"markdown": self._markdown, "latex": self._latex, "csv": self._csv}
        if form not in ways:
            raise ValueError(f"A table is written as one of {', '.join(ways)}, not {form!r}.")
        return ways[form]()

    def _markdown(self) -> str:
        if self.lacks:
            return self.lacks
        rule = ["---"] + ["---:"] * (len(self.header) - 1)
        rows = [[words.markup(cell) for cell in row] for row in [self.header, *self.shown()]]
        return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])

    def _latex(self) -> str:
        if self.lacks:
            return f"% {self.lacks}"
        first, *rows = (
            " & ".join(map(words.latex, row)) + r" \\" for row in [self.header, *self.shown()]
        )
        columns = "l" + "r" * (len(self.header) - 1)
        begin = rf"\begin{{tabular}}{{{columns}}}"
        return "\n".join([begin, r"\hline", first, r"\hline", *rows, r"\hline", r"\end{tabular}"])

    def _csv(self) -> str:
        """A figure's deviation and the like have columns of their own, beside its number's."""
        columns = []

        def add(title: str, values: Iterable[Cell]) -> None:
            values = [_bare(value) for value in values]
            columns.append(
                pd.Series(values, name=words.csv(title), dtype=object)
            )  # integers stay integers

        for title, cells in self.frame.items():
            add(title, cells)
            for extra, name in EXTRAS.items():
                values = [getattr(cell, extra, None) for cell in cells]
                if any(value is not None for value in values):
                    add(f"{title}: {name}", values)
        return pd.concat(columns, axis=1).to_csv(index=False, lineterminator="\n").rstrip("\n")

    def _repr_markdown_(self) -> str:
        """In the built book `dip_book.build.site` makes the paragraph the table's caption."""
        caption = words.markup(self.caption)
        above = f"{CAPTION} {caption}\n\n" if self.caption and self.rows else ""
        return above + self.to("markdown")

    def __repr__(self) -> str:
        return self.to("markdown")


def shown(cell: Cell, form: Form | None = None) -> str:
    """A cell as text, such as "30.12 ± 0.05", "28.00 (2,000 it.)" or "−0.50"."""
    if cell is None or cell == "":
        return NO_VALUE
    if isinstance(cell, str):
        return cell
    figure = cell if isinstance(cell, Figure) else Figure(cell)
    if form is None:
        form = "{:,}" if isinstance(figure.mean, Integral) else "{:.2f}"
    write = form.format if isinstance(form, str) else form

    def signed(value: float) -> str:
        plus = "+" if figure.difference and not write(value).startswith("-") else ""
        return (plus + write(value)).replace("-", "−")

    text = signed(figure.mean)
    if figure.deviation is not None:
        text += f" ± {write(figure.deviation)}"
    if figure.iterations is not None:
        text += f" ({figure.iterations:,}\N{NO-BREAK SPACE}it.)"  # in a narrow column, two lines
    if figure.least is not None:
        text += f" ({signed(figure.least)})"
    return text + figure.note


def _bare(cell: Cell) -> Cell:
    """A number without what floating point adds to it; text without emphasis."""
    if isinstance(cell, str):
        return words.csv(cell)
    value = cell.mean if isinstance(cell, Figure) else cell
    return round(float(value), 6) if isinstance(value, float) else value


def number(cell: Cell) -> float | None:
    """The number of a cell of whole runs; None for a run that was cut short, for text and None."""
    if cell is None or isinstance(cell, str) or isinstance(cell, Figure) and not cell.whole:
        return None
    return float(cell)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean; None if one of the values is missing, or all."""
    values = list(values)
    return None if None in values or not values else sum(values) / len(values)


def mean_of_cells(cells: Iterable[Cell]) -> Cell:
    """The mean of a column, a difference of differences; None if a cell is not of whole runs."""
    cells = list(cells)
    found = mean(number(cell) for cell in cells)
    if found is None:
        return None
    apart = all(isinstance(cell, Figure) and cell.difference for cell in cells)
    return Figure(found, difference=True) if apart else found


def mean_and_deviation(values: Iterable[float]) -> Figure | float | None:
    """Mean and sample standard deviation of several runs; of one, its value; of none, None."""
    values = list(values)
    if len(values) < 2:
        return values[0] if values else None
    return Figure(statistics.mean(values), statistics.stdev(values))


def difference(values: Iterable[float | None]) -> Figure | None:
    """The mean of differences, with the sample standard deviation of several; None of none."""
    values = list(values)
    if not values or None in values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Figure(statistics.mean(values), deviation, difference=True)
