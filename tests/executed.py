"""What `make book` has just executed, so that `pytest --nbval` need not execute it again."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jupytext
import nbformat
from dip_book.build import pairs, site
from jupyter_cache import get_cache

IGNORED = "nbval-ignore-output"


@cache
def executed(name: str) -> nbformat.NotebookNode | None:
    """The chapter as the book's cache holds it; None unless code and cells are those of now."""
    folder = pairs.ROOT / "_build" / ".jupyter_cache" / site.code_digest()
    if not folder.exists():
        return None
    store = get_cache(folder)
    try:
        record = store.match_cache_notebook(jupytext.read(pairs.FOLDER / f"{name}.md"))
    except KeyError:
        return None
    return store.get_cache_bundle(record.pk).nb


def printed(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """For each code cell whose output is held, the texts that it printed or returned."""
    return [
        _texts(cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code" and IGNORED not in cell.metadata.get("tags", [])
    ]


def _texts(outputs) -> list[str]:
    """What was printed, however it was cut into pieces; then what was returned, in words."""
    found = ["".join(output.text for output in outputs if output.get("name") == "stdout")]
    for data in (output.data for output in outputs if "data" in output):
        found += [data[kind] for kind in ("text/plain", "text/markdown") if kind in data]
    return [re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text) for text in found]


def chapter_of(path: Path) -> str | None:
    """The chapter that a file of `notebooks/` is a side of."""
    return path.stem if path.parent == pairs.FOLDER and path.suffix == ".ipynb" else None
