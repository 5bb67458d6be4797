"""The same of the functions with which scripts make the book's runs, and restore photos."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
from attacks import Attack
from attacks._drawn import Drawn
from attacks.kinds import SIDE, Ground, exchanged
from dip_book import holes, images, runs
from dip_book.restoring import core, files, photos
from dip_book.runs import Spec, again, sweeps
from PIL import Image


def functions(folder: Path) -> dict[str, tuple[Callable, dict]]:
    """A name → the function, and arguments that it takes in an empty folder."""
    store = folder / "store"
    spec = Spec("camera", 16, "quick", (("depth", 1), ("width", 4)), 2)
    quiet = {"device": "cpu", "progress": False}
    run = sweeps.perform(spec, store, **quiet)
    archive = runs.pack([spec.path], store, folder / "packed")[0]
    x, known = (
        np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32),
        np.ones((SIDE, SIDE), bool),
    )
    known[4:7, 5:9] = False
    here = folder / "photo.png"
    Image.fromarray((x * 254 * known + known).astype(np.uint8)).save(here)
    size = {"height": 40, "width": 40}
    return {
        "load": (images.load, {"name": "camera", "size": SIDE, "colour": None}),
        "available": (images.available, {"name": "camera"}),
        "title": (images.title, {"name": "camera"}),
        "of_the_book": (images.of_the_book, {"name": "camera"}),
        "save_png": (images.save_png, {"path": folder / "saved.png", "image": x}),
        "fill": (
            lambda **how: core.fill(**how, iterations=1, device="cpu"),
            {"image": x, "known": known, "minutes": 2.0, "recipe": None, "seed": 0,
             "precision": "fp32", "work": None, "progress": None, "stop": None},
        ),
        "photos.restore": (
            lambda **how: photos.restore(**how, iterations=1, device="cpu", say=None),
            {"picture": here, "mask": None, "missing": "black", "tolerance": None, "grow": 0,
             "minutes": None, "recipe": None, "seed": 0, "precision": None},
        ),
        "files.read": (files.read, {"path": here}),
        "Spec": (Spec, {"image": "camera", "size": 16, "recipe": "quick", "changes": (),
                        "iterations": 2, "seed": 0, "mask_seed": None, "p": 0.5,
                        "task": "pixels", "precision": None}),
        "read": (runs.read, {"place": store / spec.path}),
        "stored": (runs.stored, {"spec": spec, "store": store}),
        "state": (runs.state, {"spec": spec, "store": store}),
        "find": (runs.find, {"store": store, "recipe": None, "image": "camera", "size": 16}),
        "paths": (runs.paths, {"store": store}),
        "pack": (runs.pack, {"paths": [spec.path], "store": store,
                             "target": folder / "packed", "limit_mb": 15}),
        "unpack": (runs.unpack, {"archive": archive, "store": folder / "other"}),
        "perform": (
            lambda **how: sweeps.perform(**how, progress=False),
            {"spec": spec, "store": store, "device": "cpu", "every": 10, "frames": 3,
             "checkpoint_s": 10.0},
        ),
        "sweep": (
            lambda **how: [*sweeps.sweep(**how, **quiet)],
            {"specs": [spec], "store": store, "executor": None, "threads": 1},
        ),
        "made_again": (
            lambda **how: again.made_again(**how, **quiet),
            {"run": run, "picture": None, "threads": 1},
        ),
        "hole": (holes.hole, {**size, "side": 4}),
        "text": (holes.text, {**size, "share": 0.1, "seed": 0}),
        "scratches": (holes.scratches, {**size, "share": 0.1, "seed": 0}),
    }  # fmt: skip


def _attempt(rng: np.random.Generator, folder: Path) -> str:
    with chdir(folder):  # where "x" may be written
        return exchanged(Drawn(rng), functions(folder), Ground().values())


ATTACKS = [
    Attack(
        "kinds of arguments, book",
        "So may those of the functions with which the book's runs and photos are made.",
        _attempt,
        few=8,
    ),
]
