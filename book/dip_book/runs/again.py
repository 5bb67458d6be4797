"""A stored run made again from its own record, and compared with what was stored.

Nothing but the record decides what is computed: the recipe's values as they stand in it, not those
that a recipe of that name has today.  A mean is made of its members' recipes, which its record has
too.  A reader's own picture is no part of a record; it is looked for by the digest that is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
import torch

import dip_blocks
from dip_book import images
from dip_book.runs import means, measured, placing, provenance
from dip_book.runs.record import Run, text
from dip_book.runs.spec import RunError, as_path, blocks_errors, brief, check_threads
from dip_book.runs.store import alone
from dip_book.tasks import channels_last

#: Of a store: what came of making its runs again.
FILE = "reruns.json"
#: So many files of a folder are looked at for a picture.
LOOKED_AT = 10_000


@dataclass(frozen=True)
class Comparison:
    """What was stored, and what came out now; figures are as records have them."""

    stored: dict[str, float]  # kind of picture → PSNR in dB
    now: dict[str, float]
    first_apart: int | None  # the first written iteration whose loss differs; None: none does
    pixels: dict[str, int]  # kind → by how many of 255 levels pictures differ at most, where kept
    made_with: dict[str, str]  # what computed then: device, capability, versions …
    with_now: dict[str, str]  # and now
    seconds: float
    drawn: dict[str, np.ndarray]  # "raw" and "averaged" as computed now, float32, of all networks

    @property
    def same(self) -> bool:
        """Equal in every figure and pixel that was stored."""
        return (
            self.stored == self.now and self.first_apart is None and not any(self.pixels.values())
        )

    @property
    def apart(self) -> float:
        """By how many dB a PSNR differs at most; 0 where not even a NaN does."""
        pairs = ((self.stored[kind], self.now[kind]) for kind in self.stored)
        return max(
            (0.0 if a == b or (a != a and b != b) else abs(b - a) for a, b in pairs), default=0
        )

    @property
    def differences(self) -> list[str]:
        """What differs in what computed, in phrases; what a record does not tell is left out."""
        return [
            f"{what}: {self.made_with[what]} then, {self.with_now[what]} now"
            for what in self.made_with
            if self.made_with[what] != self.with_now.get(what, self.made_with[what])
        ]


def recipes_of(run: Run) -> list[dip_blocks.Recipe]:
    """The recipe as the record has it, of a mean those of its members; RunError if it is none."""
    values = run.facts["recipe"]
    known = {field.name for field in fields(dip_blocks.Recipe)}
    with blocks_errors():
        try:
            if "members" not in values:
                values = {**values, "iterations": run.facts["iterations"]}
            return [
                dip_blocks.Recipe(**{key: of[key] for key in known if key in of})
                for of in values.get("members", [values])
            ]
        except (TypeError, KeyError, AttributeError) as error:
            raise RunError(
                f"The record of the run {run.name} has no whole recipe: {error}"
            ) from error


def made_again(
    run: Run,
    picture: Path | None = None,
    *,
    device: str | None = None,
    threads: int | None = None,
    progress: bool = True,
) -> Comparison:
    """Make a stored run again and compare.

    Args:
        picture: for a run of a reader's own picture, which the store does not hold: the file, or a
            folder in which the one of the record's digest is looked for.
        device: the first that is there if None; another than the record's may give other numbers.
        threads: of the CPU; as the record has it if None.

    Raises:
        RunError: another picture than the record's; a record without a recipe.
        ImageError: a picture that is not at hand.
        KeyboardInterrupt: after an interrupt; nothing is kept.
    """
    if not isinstance(run, Run):
        raise RunError(
            f"A stored run is made again as runs.read or runs.find give it, not '{brief(run)}'."
        )
    check_threads(threads)
    recipes, facts = recipes_of(run), run.facts
    if " and " in facts["precision"]:  # of a mean of networks that computed in several
        raise RunError(
            f"The networks of {run.name} computed in {facts['precision']}: make each again."
        )
    if picture is not None:
        run.source = str(found(as_path(picture, "The picture"), run))
    truth, degradation, x_hat = run.truth(), run.degradation(), run.data()
    with blocks_errors():
        device = str(dip_blocks.as_device(device))
    began, results = time.perf_counter(), []
    with on_threads(threads or facts["threads"]), blocks_errors():
        here = provenance.provenance()
        for recipe in recipes:
            result = dip_blocks.restore(
                x_hat, degradation, recipe, seed=facts["seeds"]["weights, z and noise"],
                truth=truth, device=device, precision=facts["precision"], progress=progress,
            )  # fmt: skip
            if result.interrupted:
                raise KeyboardInterrupt
            results.append(result)
    drawn = {
        "raw": [channels_last(result.image) for result in results],
        "averaged": [channels_last(result.averaged) for result in results],
    }
    outputs = [results[0].image, results[0].averaged]
    if len(results) > 1:
        outputs = [dip_blocks.as_image(means.mean_of_pictures(of)) for of in drawn.values()]
    measured = means.measured(*outputs, truth, degradation)["psnr_db"]
    losses = {step.iteration: float(f"{step.loss:.6g}") for step in results[0].history}
    apart = [step.iteration for step in run.history if losses.get(step.iteration) != step.loss]
    pixels = {}
    for kind, then in run.pictures.items():
        now = channels_last(outputs[("raw", "averaged").index(kind)])
        levels = (images.to_bytes(one).astype(int) for one in (now, then))
        pixels[kind] = int(np.abs(np.subtract(*levels)).max())
    written = {kind: value for kind, value in facts["psnr_db"].items() if value is not None}
    here |= {"device": provenance.describe_device(device), "precision": facts["precision"]}
    return Comparison(
        stored=written,
        now={kind: measured[kind] for kind in written},
        first_apart=min(apart, default=None),
        pixels=pixels,
        made_with=computed_with(facts),
        with_now=computed_with(here),
        seconds=round(time.perf_counter() - began, 2),
        drawn={kind: np.stack(of) for kind, of in drawn.items()},
    )


def found(place: Path, run: Run) -> Path:
    """The file of a run's picture: the one that is named, or one of a folder, by its digest.

    Raises RunError for another picture, with both digests; ImageError for what cannot be read.
    """
    image = run.facts["image"]
    wanted = image["sha256"]
    if not place.is_dir():
        if (digest := images.digest(images.load(place, size=image["size"]))) != wanted:
            raise RunError(
                f"'{place}' is another picture than that of the run {run.name}: its pixels have "
                f"the digest {digest[:16]}…, those of the run {wanted[:16]}…."
            )
        return place
    files = sorted(islice(_files_in(place), LOOKED_AT))
    stem = image["name"].split("@")[0]
    for file in sorted(files, key=lambda file: file.stem != stem):  # of its name first
        with suppress(images.ImageError, OSError):
            if images.digest(images.load(file, size=image["size"])) == wanted:
                return file
    raise images.ImageError(
        f"None of the {len(files):,} files in '{place}' is the picture of the run {run.name}, "
        f"whose pixels have the digest {wanted[:16]}…."
    )


def _files_in(place: Path) -> Iterator[Path]:
    """One by one: a folder may be a whole disk."""
    for folder, _, names in os.walk(place):
        paths = (Path(folder, name) for name in names)
        yield from (path for path in paths if images.is_file(path))


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """So many threads for what happens inside: another number may add in another order."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def computed_with(facts: dict) -> dict[str, str]:
    """What may decide the last bit of a result, as far as a record tells it."""
    machine, versions = (facts.get(key) or {} for key in ("machine", "versions"))
    told = {
        "device": facts.get("device"), "capability": machine.get("capability"),
        "system": machine.get("system"), "threads": facts.get("threads"),
        "precision": facts.get("precision"), "commit": facts.get("commit"),
        **{what: versions.get(what) for what in ("python", "torch", "numpy")},
    }  # fmt: skip
    return {what: str(value) for what, value in told.items() if value is not None}


def spread(several: list[Comparison]) -> tuple[bool, float]:
    """Of a run made again several times: were all equal bit for bit, and PSNR's spread in dB.

    The spread is that of the kind of picture that differs most.
    """
    first, *others = (one.drawn for one in several)
    equal = all(
        np.array_equal(one[kind], first[kind], equal_nan=True) for one in others for kind in first
    )
    apart = [max(values) - min(values) for values in zip(*(one.now.values() for one in several))]
    return equal, max((value for value in apart if value == value), default=0.0)


def store(path: Path, several: list[Comparison], folder: Path) -> Path:
    """Write what came of a run's making again into the store's `FILE`, beside that of others.

    Returns the file.  RunError for one that is no such file.
    """
    file = folder / FILE
    with alone(folder, FILE):  # two may have results at once
        return _add(file, path, several)


def check(folder: Path) -> None:
    """RunError or OSError, before the work, where `store` could not add to the store's `FILE`."""
    with alone(folder, FILE):
        _stored(folder / FILE)
        placing.try_writing(folder / FILE)


def _stored(file: Path) -> dict:
    return measured.read(file) if file.exists() else {}


def _add(file: Path, path: Path, several: list[Comparison]) -> Path:
    stored = _stored(file)
    first, (equal, apart) = several[0], spread(several)
    stored[path.as_posix()] = {
        "stored_db": first.stored,
        "again_db": first.now,
        "same": all(one.same for one in several),
        "apart_db": round(max(one.apart for one in several), 4),
        "first_apart": first.first_apart,
        "levels_apart": first.pixels,
        "times": len(several),
        "times_equal": equal,
        "times_spread_db": round(apart, 4),
        "stored_with": first.made_with,
        "again_with": first.with_now,
        "seconds": round(sum(one.seconds for one in several), 2),
    }
    return measured.write(file, text(dict(sorted(stored.items()))))
