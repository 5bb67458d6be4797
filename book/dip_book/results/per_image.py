"""Figures of the 11 test images that are no run's: one JSON file of each kind in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from dip_book import images
from dip_book.runs import measured
from dip_book.runs.provenance import provenance


def write(file: str, what: str, measure: Callable[[str], dict], store: Path) -> Path:
    """Measure each of the 11 test images and store what comes out; gives the file's path.

    Beside it stand ``what`` it is, where it comes from, and each image's SHA-256.
    Raises `images.ImageError` where an image cannot be had.
    """
    measured.check(store / file)
    facts = provenance() | {"what": what, "images": {}}
    for name in images.STANDARD:
        facts["images"][name] = {"sha256": images.digest(images.load(name)), **measure(name)}
    return measured.write(store / file, json.dumps(facts, indent=2))


def read(file: str, store: Path) -> dict:
    """What `write` stored; the book's own where a store has none.  RunError if it is damaged."""
    return measured.read(measured.of(store, file), "images")
