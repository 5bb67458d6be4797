"""Holes, text, scratches, few pixels (book, chapter 15)."""

from __future__ import annotations

from itertools import product

from dip_book.runs.spec import Spec

#: Colour pictures on which choices about holes are made.
COLOURED = ("astronaut-rgb", "chelsea-rgb", "coffee-rgb")
NO_SKIPS = {"channels_skip": 0}
#: Coordinates as the input.  Their range is that of the unit square, so that the perturbation,
#: which is the recipe's, does not hide them.
GRID = {"z_kind": "meshgrid", "z_channels": 2, "z_scale": 1.0}
#: What decides how far a network reaches, all under `best-nearest`: name → change; written down
#: before the runs.  128×128, 200 iterations, seed 0, a hole of 40×40 pixels; nothing was selected.
#: The last row was added when the astronaut's and half of Chelsea's were there, after nine short
#: trials at 64×64 on Chelsea and the coffee.
HOLE_IDEAS = {
    "depth 2, skips": {"depth": 2},
    "depth 2, no skips": {"depth": 2} | NO_SKIPS,
    "depth 5, skips": {},
    "depth 5, no skips": NO_SKIPS,
    "depth 5, skips, coordinates": GRID,
    "depth 5, no skips, coordinates": NO_SKIPS | GRID,
    "depth 5, no skips, a quarter of the rate": NO_SKIPS | {"lr": 0.005},
}
SLOWER = tuple(HOLE_IDEAS["depth 5, no skips, a quarter of the rate"].items())
#: What is tried under text and scratches: name → recipe and change.
COVERED = {
    "skips": ("best-nearest", {}),
    "no skips": ("best-nearest", NO_SKIPS),
    "some hidden": ("best-hidden", {}),
}


def filling(image: str, task: str, recipe: str = "best-nearest", changes=(), seed=0, **how) -> Spec:
    """A run that fills holes: 128×128, 200 iterations unless ``how`` has it otherwise.

    Args:
        changes: of the recipe, as a dictionary.
        how: further values of the `Spec`.
    """
    how = {"size": 128, "iterations": 200} | how
    return Spec(
        image, recipe=recipe, changes=tuple(dict(changes).items()), task=task, seed=seed, **how
    )


#: Group → its runs.
GROUPS = {
    # what fills a hole: skips, depth, input; and the network that is shown a part
    "holes": [
        spec
        for image in COLOURED
        for spec in (
            *(filling(image, "hole40", changes=changes) for changes in HOLE_IDEAS.values()),
            filling(image, "hole40", "best-hidden"),
        )
    ],
    "covered": [
        filling(image, task, recipe, changes)
        for task, image in product(("text10", "scratches10"), COLOURED)
        for recipe, changes in COVERED.values()
    ],
    # few known pixels: beyond `density`
    "sparse": [Spec("camera", 128, "quick", p=p) for p in (0.05, 0.02)],
    # the paper's pictures under its masks: wide gaps with what did best in the holes above, text
    # with what did best on text; so many iterations that each takes ten minutes of a core or less
    "inpainting": [
        Spec("vase", None, "best-nearest", SLOWER, 300, task="vase-mask"),
        Spec("kate", None, "best-hidden", (), 300, task="kate-mask"),
        Spec("library", None, "best-nearest", SLOWER, 300, task="library-mask"),
    ],
}
