"""Like with like: two optimisers' paths, recipes side by side, and the 11 images.

Raw outputs stand beside raw outputs, and pictures that keep the known pixels beside their like.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dip_book import images, runs
from dip_book.results.baselines import stored_baselines
from dip_book.results.optimiser import KIND, race
from dip_book.results.reported import REPORTED, SELF2SELF, SELF2SELF_MEAN
from dip_book.results.selection import USED, machines, of_common_seeds, of_length, seeds
from dip_book.runs import plan
from dip_book.table import (
    NO_VALUE,
    Cell,
    Figure,
    Table,
    difference,
    mean,
    mean_and_deviation,
    number,
)


def path(run: runs.Run) -> tuple[list[float], list[float]]:
    """The way of a fit: PSNR in dB at the known pixels, and at the missing ones.

    Of the output of each iteration of the history, as the loop saw it.  The loss is the squared
    error where pixels are known, the PSNR has that of all; so what is left is the missing ones'.
    Not for recipes that hide known pixels, whose loss is of the hidden ones alone.
    """
    share = float(run.degraded()[1].mean())
    steps = [step for step in run.history if step.loss > 0]
    known = [-10 * np.log10(step.loss) for step in steps]
    missing = [
        -10 * np.log10((10 ** (-step.psnr / 10) - share * step.loss) / (1 - share))
        for step in steps
    ]
    return known, missing


def _first_at(level: float, known: list[float], missing: list[float]) -> Cell:
    """The missing pixels' PSNR when the known ones' first was at a level, between iterations."""
    after = next((i for i, psnr in enumerate(known) if psnr >= level), None)
    if after is None:
        return "not reached"
    around = slice(max(after - 1, 0), after + 1)
    return float(np.interp(level, known[around], missing[around]))


def level_with(level: float = 33.0, store: Path = runs.ROOT) -> Table:
    """What three fits draw where nothing is known, once they meet the known pixels equally well.

    Args:
        level: PSNR in dB at the known pixels, when it is first reached; between stored iterations
            it is interpolated.

    The race, 128×128: PSNR in dB at the missing pixels, at that level and at the end.
    """
    rows = []
    for image in plan.TUNING:
        ways = {name: path(run) for name, run in race(image, store=store).items()}
        if len(ways) == 3:
            then = (_first_at(level, *way) for way in ways.values())
            rows.append([images.title(image), *then, *(way[1][-1] for way in ways.values())])
    there, end = (["Adam", "Muon", "Muon, dropout"] for _ in range(2))
    header = ["picture", *(f"{name}, at {level:g} dB" for name in there)]
    caption = (
        f"PSNR in dB at the missing pixels: when the known ones first are at {level:g} dB, and "
        "after 400 iterations. Compare the first two columns, then the third."
    )
    header += (f"{name}, at the end" for name in end)
    return Table(header, rows, caption=caption, filled_by=["muon"])


#: What readers call a recipe's entries; entries that no recipe changes have no row.
ENTRIES = {
    "z_kind": "input z", "sigma_p": "perturbation σₚ", "hide": "share of known pixels hidden",
    "iterations": "iterations", "optimiser": "optimiser", "lr": "learning rate",
    "lr_end": "rate falls to this share", "weight_decay": "weight decay",
    "averaging": "average: memory", "depth": "levels", "channels_down": "width",
    "channels_skip": "channels in a skip", "upsampling_method": "upsampling",
    "padding_mode": "border", "dropout": "dropout",
}  # fmt: skip


WORDS = {
    "uniform": "random", "known": "known pixels", "reflect": "reflection", "adam": "Adam",
    "muon": "Muon",
}  # fmt: skip


def _written(value: float | str) -> str:
    if isinstance(value, str):
        return WORDS.get(value, value)
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"


def recipes(*names: str) -> Table:
    """Recipes of the book side by side with the paper's: the entries in which one differs.

    RunError for what is the name of no network's recipe.
    """
    columns = {}
    for name in ("paper", *names):
        entries = runs.Spec("camera", recipe=name).resolved().as_dict()
        config = entries.pop("config")
        entries["depth"] = len(config["channels_down"])
        for key, value in config.items():  # all levels are alike
            entries[key] = value[0] if isinstance(value, list) else value
        columns[f"`{name}`"] = {key: _written(entries.get(key, 0)) for key in ENTRIES}
    rows = [
        [title, *(column[key] for column in columns.values())]
        for key, title in ENTRIES.items()
        if len({column[key] for column in columns.values()}) > 1
    ]
    caption = "What the recipes change of the recipe `paper`; all else is as there."
    return Table(["entry", *columns], rows, caption=caption)


def _over(recipe: str, kind: str, store: Path) -> dict[str, Cell]:
    """Image → PSNR in dB over the masks that all 11 images were run with."""
    return {
        name: mean_and_deviation(run.facts["psnr_db"][kind] for run in of)
        for name, of in of_common_seeds(recipe, store).items()
    }


def _with_mean(header: list[str], rows: list[list[Cell]], caption: str, recipe: str) -> Table:
    """A table of the 11 images whose last row has the columns' means; differences keep signs."""
    whole = len(rows) == len(images.STANDARD)
    means: list[Cell] = ["**mean**" if whole else f"**mean of {len(rows)}**"]
    for column in list(zip(*rows))[1:]:
        values = [number(cell) for cell in column]
        apart = any(isinstance(cell, Figure) and cell.difference for cell in column)
        found = mean(values)
        means.append(Figure(found, difference=True) if apart and found is not None else found)
    return Table(header, [*rows, means] if rows else [], caption=caption, filled_by=[recipe])


def final(recipe: str = "best", store: Path = runs.ROOT) -> Table:
    """The 11 images: paper, Self2Self, biharmonic, and a recipe of ours, in dB.

    What kind of picture each figure is of stands in its column's title.  Ours is the mean over all
    masks that all 11 were run with; of several masks with their standard deviation.  A run that is
    not as long as its recipe asks for says so, and counts in no difference and no mean.
    """
    classical, ours = stored_baselines(store)["images"], _over(recipe, USED, store)
    found, rows = of_common_seeds(recipe, store), []
    for name, value in ours.items():
        if value is None:
            continue
        value = of_length(found[name][0], value)
        paper, smooth = REPORTED["paper"][name], classical[name]["biharmonic"]["psnr_db"]
        whole = number(value)
        apart = [whole and difference([whole - other]) for other in (paper, smooth)]
        self2self = SELF2SELF.get(name)
        rows.append([images.title(name), paper, self2self, smooth, value, *apart])
    header = [
        "image", "paper: raw, reported", "Self2Self: averaged, reported",
        "biharmonic: known pixels kept", f"`{recipe}`: averaged, blended",
        f"`{recipe}` − paper", f"`{recipe}` − biharmonic",
    ]  # fmt: skip
    caption = (
        "Half of the pixels known, PSNR in dB over the whole picture. Look at the last two columns."
    )
    count = max(map(len, found.values()))
    if count > 1:
        caption += f" ± is the standard deviation over {count} masks, those that all 11 have."
    table = _with_mean(header, rows, caption, recipe)
    if len(rows) == len(images.STANDARD):  # what was reported is of all
        table.frame.loc[len(rows), header[2]] = SELF2SELF_MEAN
    return table


def beside(recipe: str = "best-wide", base: str = "best", store: Path = runs.ROOT) -> Table:
    """The 11 images: a recipe beside another with the same masks, in dB; and core-seconds.

    Averaged and blended, over the masks that both were run with on all 11; core-seconds are those
    of the first.  Of runs that are not as long as their recipes ask for, as `final`.
    """
    first, second = (of_common_seeds(which, store) for which in (base, recipe))
    rows, timed, count = [], [], 0
    for name in images.STANDARD:
        at = [{min(seeds(run)): run for run in of[name]} for of in (first, second)]
        pairs = [[of[seed] for of in at] for seed in sorted(at[0].keys() & at[1].keys())]
        if not pairs:
            continue
        count, timed = max(count, len(pairs)), [*timed, *pairs[0]]
        values = [[run.facts["psnr_db"][USED] for run in pair] for pair in pairs]
        levels = list(map(of_length, pairs[0], map(mean, zip(*values))))
        whole = list(map(number, levels))
        apart = None if None in whole else difference(value - level for level, value in values)
        paper = whole[1] and difference([whole[1] - REPORTED["paper"][name]])
        cost = [of_length(run, run.facts.get("core_seconds")) for run in pairs[0]]
        rows.append([images.title(name), *levels, apart, paper, *cost])
    core_seconds = [f"core-seconds, `{which}`" for which in (base, recipe)]
    header = [
        "image", f"`{base}`", f"`{recipe}`", f"`{recipe}` − `{base}`", f"`{recipe}` − paper",
        *core_seconds,
    ]  # fmt: skip
    caption = (
        f"`{recipe}` beside `{base}` with the same masks: PSNR in dB (averaged, blended), mean of "
        f"{count}, and core-seconds of the first, on {machines(timed)}. "
        + ("± is the standard deviation over masks. " if count > 1 else "")
        + "The paper's are raw outputs under another mask."
    )
    table = _with_mean(header, rows, caption, recipe)
    table.forms |= dict.fromkeys(core_seconds, "{:,.0f}")
    return table


def like_with_like(recipe: str = "best-nearest", store: Path = runs.ROOT) -> Table:
    """The 11 images: raw output against raw output, and what keeps known pixels against its like.

    PSNR in dB.
    """
    raw, used = (_over(recipe, kind, store) for kind in ("raw", USED))
    classical, rows = stored_baselines(store)["images"], []
    for name in images.STANDARD:
        if raw[name] is None:
            continue
        blog, paper = (REPORTED[who][name] for who in ("blog", "paper"))
        smooth = classical[name]["biharmonic"]["psnr_db"]
        first = [difference([float(raw[name]) - other]) for other in (blog, paper)]
        second = difference([float(used[name]) - smooth])
        rows.append([images.title(name), raw[name], *first, used[name], second])
    header = [
        "image", f"`{recipe}`: raw", "raw − blog's raw", "raw − paper's raw",
        f"`{recipe}`: averaged, blended", "blended − biharmonic",
    ]  # fmt: skip
    caption = (
        "Like with like, PSNR in dB: raw outputs against raw outputs on the left, pictures that "
        "keep the known pixels on the right."
    )
    return _with_mean(header, rows, caption, recipe)


def masks(*recipes: str, store: Path = runs.ROOT) -> Table:
    """The 11 images, mask by mask: the mean in dB, where it is below others, what it costs.

    Of all masks that all 11 were run with.
    """
    classical, rows = stored_baselines(store)["images"], []
    for recipe in recipes:
        found = of_common_seeds(recipe, store)
        if not all(found.values()):
            continue
        for seed in sorted(set().union(*map(seeds, found["house"]))):
            of = {n: next(run for run in of if seeds(run) == {seed}) for n, of in found.items()}
            row: list[Cell] = [f"`{recipe}`", seed]
            for kind in (USED, KIND):
                row.append(mean(run.facts["psnr_db"][kind] for run in of.values()))
            for others in (
                REPORTED["paper"],
                {name: classical[name]["biharmonic"]["psnr_db"] for name in of},
            ):
                below = [n for n, run in of.items() if run.facts["psnr_db"][USED] < others[n]]
                row.append(", ".join(map(images.title, below)) or "none")
            cost = [run.facts.get("core_seconds") for run in of.values()]
            row.append(None if None in cost else sum(cost) / 3600)
            rows.append(row)
    header = [
        "recipe", "mask", "mean, blended", "mean, pasted", "below the paper's raw",
        "below biharmonic", "hours of one core",
    ]  # fmt: skip
    caption = (
        "The 11 images, mask by mask: mean PSNR in dB, the images on which the blended picture is "
        "below, and what all 11 cost on the CPU that made the runs."
    )
    caption += f" “{NO_VALUE}”: a GPU made them." if any(None in row for row in rows) else ""
    return Table(header, rows, {"hours of one core": "{:.1f}"}, caption, recipes)
