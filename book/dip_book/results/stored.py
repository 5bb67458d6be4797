"""Stored results that are no runs: a JSON file each, the book's own where a store has none."""

from __future__ import annotations

import json
from pathlib import Path

from dip_book import runs
from dip_book.runs import placing
from dip_book.runs.record import reason


def of(store: Path, file: str) -> Path:
    """Where a result is read from: the store, or else the book's own."""
    return store / file if (store / file).exists() else runs.ROOT / file


def read(path: Path, *keys: str) -> dict:
    """What a file of results holds; RunError for one that is damaged, or lacks one of the keys."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, reason(error)) from None
    if not isinstance(found, dict):
        raise _damaged(path, "it holds no results")
    for key in keys:
        if not isinstance(found.get(key), (dict, list)):
            raise _damaged(path, f"it has no {key}")
    return found


def write(path: Path, text: str) -> Path:
    """Write a file of results, whole or not at all: it may hold hours of work.  Gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    placing.write_whole(path, (text.rstrip("\n") + "\n").encode("utf-8"))
    return path


def _damaged(path: Path, why: str) -> runs.RunError:
    return runs.RunError(f"'{path}' is damaged: {why}. Remove it, or measure anew.")
