"""Figures of the 11 test images that are no run's: one JSON file of each kind in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from dip_book import images, runs
from dip_book.runs.provenance import provenance


def write(file: str, what: str, measure: Callable[[str], dict], store: Path) -> Path:
    """Measure each of the 11 test images and store what comes out; gives the file's path.

    Beside it stand ``what`` it is, where it comes from, and each image's SHA-256.
    Raises `images.ImageError` where an image cannot be had.
    """
    facts = provenance() | {"what": what, "images": {}}
    for name in images.STANDARD:
        facts["images"][name] = {"sha256": images.digest(images.load(name)), **measure(name)}
    (store / file).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return store / file


def read(file: str, store: Path) -> dict:
    """What `write` stored; the book's own where a store has none."""
    path = store / file
    path = path if path.exists() else runs.ROOT / file
    return json.loads(path.read_text(encoding="utf-8"))
