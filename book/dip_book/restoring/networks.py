"""Networks that are shown a part of the known pixels and asked for the rest.

As `dip_blocks.Fit` with the recipe "best-hidden", which hides single pixels; but what is hidden has
the shapes of the damage, so that a network is asked in every iteration for what it is asked for in
the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

import dip_blocks
from dip_book.restoring import regions

#: Share of the known pixels that an iteration hides, about.
HIDE = 0.3


class ShapesFit(dip_blocks.Fit):
    """A fit that hides copies of the damage itself, moved and mirrored, others each time.

    Arguments and errors as `dip_blocks.Fit`; the recipe is one with ``z_kind="known"``, and its
    ``hide`` is `share` of the mask.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.missing = 1 - self.mask
        self.copies = copies(float(self.missing.mean()))
        height, width = self.mask.shape[-2:]
        self.axes = [torch.arange(side, device=self.device) for side in (height, width)]

    def hidden(self) -> tuple[torch.Tensor, torch.Tensor]:
        """z with some of the known pixels hidden, others each time; and where, (1, H, W)."""
        shown = torch.ones_like(self.mask)
        for _ in range(self.copies):
            moved = self.missing
            for dim, axis in enumerate(self.axes, 1):
                where, side = torch.rand(2, generator=self.noise, device=self.device)
                mirror = 1 - 2 * (side < 0.5).long()
                index = (mirror * axis + (where * len(axis)).long()) % len(axis)
                moved = moved.index_select(dim, index)
            shown = shown * (1 - moved)
        # Where all copies fell on the damage, nothing would be asked for: then all is hidden.
        shown = shown * (self.mask * (1 - shown)).any()
        return self.z * shown, self.mask * (1 - shown)


def copies(missing: float) -> int:
    """How many copies of damage of this share of the picture hide about `HIDE` of it."""
    if not 0 < missing < HIDE:
        return 1
    return max(1, round(math.log(1 - HIDE) / math.log(1 - missing)))


def share(missing: float) -> float:
    """The share of known pixels that so many copies hide, on average."""
    return 1 - (1 - missing) ** copies(missing)


@dataclass(frozen=True)
class Member:
    """A network that is fitted: its name, its recipe, and whether it hides whole shapes."""

    name: str
    recipe: dip_blocks.Recipe
    shapes: bool = False

    @property
    def width(self) -> int:
        """Channels of the recipe's network."""
        return max(self.recipe.config["channels_down"])

    def fit(self, x, mask, width: int, iterations: int, **options) -> dip_blocks.Fit:
        """A `dip_blocks.Fit` of this width, to be run for so many iterations."""
        levels = len(self.recipe.config["channels_down"])
        config = {"channels_down": [width] * levels, "channels_up": [width] * levels}
        recipe = dip_blocks.but(
            self.recipe, None if width == self.width else config, iterations=iterations
        )
        if self.shapes:
            missing = float(1 - np.asarray(mask, float).mean())
            recipe = replace(recipe, hide=min(max(share(missing), 0.01), 0.99))
        return (ShapesFit if self.shapes else dip_blocks.Fit)(x, mask, recipe, **options)


def _recipes() -> dict[str, tuple[Member, ...]]:
    found = {name: (Member(name, recipe),) for name, recipe in dip_blocks.RECIPES.items()}
    for name, members in dip_blocks.MEANS.items():
        found[name] = tuple(Member(member, dip_blocks.RECIPES[member]) for member in members)
    shapes = Member("best-hidden-shapes", dip_blocks.RECIPES["best-hidden"], shapes=True)
    return found | {shapes.name: (shapes,), "quick+shapes": (*found["quick"], shapes)}


#: What `fill` takes by name: the networks whose mean is drawn.
RECIPES = _recipes()


def recipe_for(known: np.ndarray) -> str:
    """The name of the recipe for this kind of damage, bool (H, W).

    Random z for holes and scratches, from the trials in `dip_book.results.filling`; for scattered
    pixels one that sees what is known (book, "A better optimiser").
    """
    return "best-hidden" if regions.scattered(known) else "quick"
