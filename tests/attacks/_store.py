"""A store for attempts: a few runs of a network that takes milliseconds."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

from attacks._apart import apart
from dip_book import runs
from dip_book.runs import sweeps

CHANGES = (("depth", 1), ("width", 4), ("channels_skip", 2), ("z_channels", 2))
SPEC = runs.Spec("camera", 16, "blog", CHANGES, iterations=2)
OTHERS = (
    runs.Spec("brick", 16, "blog", CHANGES, iterations=2),
    runs.Spec("astronaut-rgb", 16, "blog", CHANGES, iterations=3, seed=4),
)


@cache
def made() -> tuple[tempfile.TemporaryDirectory, Path]:
    """Called before a process is forked, it is made once; by a process of its own, because PyTorch
    computes no gradients in the child of one that has.
    """
    folder = tempfile.TemporaryDirectory(prefix="attack-store-")
    store = Path(folder.name) / "store"

    def make():
        for spec in (SPEC, *OTHERS):
            sweeps.perform(spec, store, device="cpu", progress=False, frames=2)

    apart(make, seconds=120)
    return folder, store


def filled(folder: Path) -> Path:
    """A copy of the store of all three, for an attempt to spoil."""
    return Path(shutil.copytree(made()[1], folder))


def content(store: Path) -> dict[str, str]:
    """Path → digest of every file that is seen; the working folder is not."""
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and runs.WORK not in path.relative_to(store).parts
    }


def left(store: Path) -> list[str]:
    """What lies in the working folder but locks."""
    work = store / runs.WORK
    return sorted(path.name for path in work.glob("*") if not path.name.endswith(".lock"))
