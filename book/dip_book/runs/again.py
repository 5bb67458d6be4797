"""A stored run made again from its own record, and compared with what was stored.

Nothing but the record decides what is computed: the recipe's values as they stand in it, not those
that a recipe of that name has today.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

import dip_blocks
from dip_book import images
from dip_book.runs import means
from dip_book.runs.record import Run
from dip_book.runs.spec import RunError, blocks_errors


@dataclass(frozen=True)
class Comparison:
    """What was stored, and what came out now."""

    stored: dict[str, float | None]  # kind of picture → PSNR in dB
    now: dict[str, float | None]
    first_apart: int | None  # the first written iteration whose loss differs; None: none does
    pixels: dict[str, int]  # kind → by how many of 255 levels pictures differ at most, where kept

    @property
    def same(self) -> bool:
        """Equal in every figure and pixel that was stored."""
        return (
            self.stored == self.now and self.first_apart is None and not any(self.pixels.values())
        )


def recipe_of(run: Run) -> dip_blocks.Recipe:
    """The recipe as the record has it; RunError for a mean, or values that make none."""
    values = run.facts["recipe"]
    if "members" in values:
        raise RunError(
            f"{run.name} is a mean, which is never fitted: make its members again, "
            f"{', '.join(run.facts.get('members', []))}."
        )
    known = {field.name for field in fields(dip_blocks.Recipe)}
    with blocks_errors():
        recipe = dip_blocks.Recipe(**{key: values[key] for key in known if key in values})
        return dip_blocks.but(recipe, iterations=run.facts["iterations"])


def made_again(
    run: Run, picture: Path | None = None, *, device: str | None = None, progress: bool = True
) -> Comparison:
    """Make a stored run again and compare.

    Args:
        picture: the file, for a run of a reader's own picture, which the store does not hold.
        device: the first that is there if None; another than the record's may give other numbers.

    Raises:
        RunError: a mean; another picture than the record's; a record without a recipe.
        ImageError: a picture that is not at hand.
    """
    recipe, facts = recipe_of(run), run.facts
    if picture is not None:
        run.source = str(picture)
    truth, degradation = run.truth(), run.degradation()
    with blocks_errors():
        result = dip_blocks.restore(
            run.data(), degradation, recipe, seed=facts["seeds"]["weights, z and noise"],
            truth=truth, device=device, precision=facts["precision"], progress=progress,
        )  # fmt: skip
    if result.interrupted:
        raise KeyboardInterrupt
    measured = means.measured(result.image, result.averaged, truth, degradation)["psnr_db"]
    losses = {step.iteration: float(f"{step.loss:.6g}") for step in result.history}
    apart = [step.iteration for step in run.history if losses.get(step.iteration) != step.loss]
    drawn = {"raw": result.image, "averaged": result.averaged}
    pixels = {}
    for kind, kept in run.pictures.items():
        now, then = (images.to_bytes(one).astype(int) for one in (drawn[kind], kept))
        pixels[kind] = int(np.abs(now - then).max())
    return Comparison(
        {kind: value for kind, value in facts["psnr_db"].items() if value is not None},
        {kind: measured[kind] for kind, value in facts["psnr_db"].items() if value is not None},
        min(apart, default=None),
        pixels,
    )
