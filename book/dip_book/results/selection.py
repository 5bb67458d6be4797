"""Which stored runs a table is made from.  No choice looks at a run's quality."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from dip_book import bench, images, runs
from dip_book.table import Cell, Figure

Key = TypeVar("Key")

#: Of the pictures that a run ends with, the one to use (book, "A better optimiser").
USED = "averaged_blended"


def all_stored(specs: Mapping[Key, runs.Spec], store: Path = runs.ROOT) -> dict[Key, runs.Run]:
    """Those of the named runs that are stored."""
    found = {name: runs.stored(spec, store) for name, spec in specs.items()}
    return {name: run for name, run in found.items() if run is not None}


def best_run(
    recipe: str,
    image: str,
    size: int | None,
    store: Path = runs.ROOT,
    seed: int = 0,
    p: float = 0.5,
) -> runs.Run | None:
    """The stored run with the most iterations, of one seed and share p of known pixels."""
    found = [
        run
        for run in runs.find(store, recipe=recipe, image=image, size=size)
        if seeds(run) == {seed} and run.facts["p"] == p
    ]
    found = runs.of_their_names(found)
    return max(found, key=lambda run: run.facts["iterations"], default=None)


def seeds(run: runs.Run) -> set[int]:
    """The seeds of a run: one, if that of the mask is that of all else."""
    return set(run.facts["seeds"].values())


def seeds_of(recipe: str, image: str, size: int | None, store: Path = runs.ROOT) -> list[runs.Run]:
    """For each seed that was run, its longest run.

    Only those as long as the longest of all, so that equals are averaged.
    """
    found = [
        run
        for run in runs.find(store, recipe=recipe, image=image, size=size)
        # another p or precision, which a folder's name tells, is another question
        if len(seeds(run)) == 1 and re.fullmatch(r"seed\d+-\d+it", run.place.name)
    ]
    found = runs.of_their_names(found)
    most = max((run.facts["iterations"] for run in found), default=0)
    return [run for run in found if run.facts["iterations"] == most]


def of_common_seeds(recipe: str, store: Path = runs.ROOT) -> dict[str, list[runs.Run]]:
    """Each of the 11 images → its runs of the seeds that all of them were run with.

    Where there is no such seed, those of seed 0.
    """
    found = {name: seeds_of(recipe, name, None, store) for name in images.STANDARD}
    of_image = (set().union(*map(seeds, stored)) for stored in found.values())
    common = set.intersection(*of_image) or {0}
    return {name: [run for run in of if seeds(run) <= common] for name, of in found.items()}


def of_length(run: runs.Run, cell: Cell) -> Cell:
    """A number of a run; of one that is not as long as its recipe asks for, it says its length."""
    length = run.facts["iterations"]
    if cell is None or length == run.facts["recipe_iterations"]:
        return cell
    figure = cell if isinstance(cell, Figure) else Figure(cell)
    return replace(figure, iterations=length)


def first_reaching(run: runs.Run, psnr: float) -> int | None:
    """The iteration whose averaged output first had a PSNR in dB, as the history tells; or None."""
    return next((step.iteration for step in run.history if step.psnr_averaged >= psnr), None)


def machines(found: Iterable[runs.Run | None]) -> str:
    """What stored runs were computed on, such as "AMD EPYC, 1 thread, PyTorch 2.13.0"."""
    named = dict.fromkeys(bench.machine(run.facts) for run in found if run is not None)
    return "; ".join(named) or "no machine yet"
