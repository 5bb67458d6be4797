"""What the book wants to have run: every stored run that a chapter shows or waits for.

What is run for each problem, and by what protocol, is in the modules of this folder; their names
are offered here, too.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from dip_book import images, runs
from dip_book.runs import ROOT, Spec
from dip_book.runs.plan import holes, noise, optimiser, readings, shrinking, tables
from dip_book.runs.plan.holes import COLOURED, COVERED, GRID, HOLE_IDEAS, NO_SKIPS, SLOWER, filling
from dip_book.runs.plan.noise import (
    DENOISE_ITERATIONS,
    NOISE,
    NOISE_IDEAS,
    NOISY_PICTURES,
    NOISY_SIZE,
    against_noise,
    at_random,
    denoised,
    denoised_by_one,
    rising,
)
from dip_book.runs.plan.optimiser import (
    HIDDEN_IDEAS,
    HIDDEN_SEEDS,
    LARGER_IDEAS,
    MUON_IDEAS,
    UNDER_MUON,
    under_muon,
    with_hidden,
)
from dip_book.runs.plan.pictures import DEVELOPMENT, FREE_LARGE, SEEDS, TUNING
from dip_book.runs.plan.readings import IDEAS, NARROW, NEVER, SWITCHES, ablation, idea, repeated
from dip_book.runs.plan.shrinking import (
    SHRINK_IDEAS,
    SHRINK_TRIED,
    SHRUNK_CHANGES,
    SHRUNK_ITERATIONS,
    SHRUNK_SIZES,
    shrink_idea,
    shrunk,
)
from dip_book.runs.plan.tables import DENSITIES, LARGE, LARGER, MUON, SMALL

#: Group → its runs, the most wanted group first.  `python -m dip_book status` lists what is
#: missing.
WANTED: dict[str, list[Spec]] = {
    group: specs
    for room in (tables, readings, optimiser, shrinking, noise, holes)
    for group, specs in room.GROUPS.items()
}


def missing(groups: list[str] | None = None, store: Path = ROOT) -> list[Spec]:
    """The wanted runs that are not stored; of all groups if None, most wanted first.

    A run that is damaged, or of something else than its spec, is missing too.

    Raises RunError for a group that there is not.
    """
    chosen = list(WANTED) if groups is None else groups
    if unknown := [group for group in chosen if group not in WANTED]:
        raise runs.RunError(f"No group is called '{unknown[0]}'; there are {', '.join(WANTED)}.")
    return [spec for group in chosen for spec in WANTED[group] if not _stored(spec, store)]


def _stored(spec: Spec, store: Path) -> bool:
    run, wrong = runs.state(spec, store)
    return run is not None and wrong is None


def of_the_book() -> set[Path]:
    """The paths of the wanted runs, and of the members of wanted means."""
    return {
        run.path for specs in WANTED.values() for spec in specs for run in (spec, *spec.members)
    }


def with_frames() -> list[Spec]:
    """The runs of which a chapter shows outputs on the way.

    It does so in the explorer, the race, on the front page.
    """
    return [
        # chapters 1, 8, 9 and 11: the explorers of the embedded pictures
        *(Spec(name, iterations=1500) for name in images.EMBEDDED),
        *(
            Spec(name, 128, recipe)
            for name, recipe in product(images.EMBEDDED, ("quick", "quick-adam"))
        ),
        # chapter 10: both readings, each switch alone, all but each
        *(spec for name, spec in ablation("camera", 0).items() if not name.startswith("to ")),
        # noise: the explorer
        rising("astronaut-rgb"),
        # chapter 12: the race
        *(under_muon(name, "camera") for name in ("Adam in its place", "Muon")),
        *WANTED["front"],
        # super-resolution: the explorer
        *(member for spec in WANTED["shrink-free"] for member in spec.members),
        # chapter on holes: its explorer
        *(
            filling(image, "hole40", changes=HOLE_IDEAS[name])
            for image, name in product(COLOURED, ("depth 5, skips", "depth 5, no skips"))
        ),
    ]


def with_pictures() -> list[Spec]:
    """Further runs of which a chapter shows pictures, or computes from them."""
    ended = [
        spec
        for group in ("table", "table-short", "best-adam")
        for spec in WANTED[group]
        if spec.image in ("house", "montage")
    ]
    return [
        # chapter 2: what is drawn from few known pixels, and from many
        *WANTED["density"],
        # chapter 10: what is drawn on the way from one reading to the other
        *ablation("camera", 0).values(),
        # chapter 11: means of runs with several seeds; before and after; two of the 11
        *WANTED["repeated"], Spec("camera", 256, "quick-adam"), *ended,
        # noise: what the mean draws
        *(denoised(image, NOISY_SIZE) for image in NOISY_PICTURES),
        # chapter 12: what best draws; means of all pairs of ideas, correlations, blending
        *WANTED["best-free"],
        *WANTED["muon"], *WANTED["muon-256"], *WANTED["hidden"], *WANTED["hidden-seeds"],
        *WANTED["hidden-512"],
        # super-resolution: data put back, means
        *WANTED["shrink-ideas"],
        # chapter on holes: PSNR of missing pixels alone is computed from them
        *WANTED["holes"], *WANTED["covered"], *WANTED["sparse"], *WANTED["inpainting"],
    ]  # fmt: skip


def kept(store: Path = ROOT) -> dict[Path, str]:
    """How much is kept of each run of the book's: "record", "pictures" or "frames".

    In the form that `runs.tidy` takes.  Members keep their pictures until their mean is stored,
    which is computed from them.
    """
    waiting = (
        member
        for specs in WANTED.values()
        for spec in specs
        if spec.members != [spec] and not _stored(spec, store)
        for member in spec.members
    )
    result = dict.fromkeys(of_the_book(), "record")
    result |= {spec.path: "pictures" for spec in (*with_pictures(), *waiting)}
    return result | {spec.path: "frames" for spec in with_frames()}
