"""JSON files of ours that somebody has edited: sound JSON, with something wrong deep inside."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from attacks import Attack
from dip_book import cli, commands, runs
from dip_book.restoring import core, photos
from dip_book.runs import measured
from PIL import Image

#: In the place of a value.
WRONG = (
    None, True, False, 0, -1, 3, 1.5, 1e308, -1e308, float("nan"), float("inf"), 10**30, "", "x",
    "5", "a\nb\x1b[31m", "x" * 3000, [], [1, 2], [[]], {}, {"a": {}},
)  # fmt: skip


def places(tree, at=()):
    """Every way into a tree of lists and dictionaries."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in inner:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def edit(rng, tree) -> None:
    """Put something else in a place, or take it away, or put something beside it."""
    ways = list(places(tree))
    if not ways:
        return
    *way, key = ways[int(rng.integers(len(ways)))]
    inside = tree
    for step in way:
        inside = inside[step]
    how = rng.choice(["other", "other", "gone", "added", "renamed"])
    wrong = copy.deepcopy(WRONG[int(rng.integers(len(WRONG)))])  # or it would end within itself
    if how == "other":
        inside[key] = wrong
    elif how == "gone":
        del inside[key]
    elif isinstance(inside, list):
        inside.insert(int(rng.integers(len(inside) + 1)), wrong)
    elif how == "added":
        inside[str(rng.choice(["x", "", "astronaut", "0", "mean", "a|b"]))] = wrong
    else:
        inside[f"{key}x"] = inside.pop(key)


def said(*words) -> str:
    """What a command did: "done", or "said" in a sentence or two; anything else is raised."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([str(word) for word in words])
    assert status in (0, 2), (status, err.getvalue())
    _printable(err.getvalue(), 4)
    return "said" if status else "done"


def _printable(text: str, most: int) -> None:
    lines = text.splitlines()
    assert len(lines) <= most and len(text) < 2000, text
    assert all(line.isprintable() for line in lines), text


@cache
def _of_tables() -> dict[str, tuple[str, ...]]:
    """The files of results, and the tables that read each."""
    reading = {}
    for name, table in commands.TABLES.items():
        with tempfile.TemporaryDirectory() as empty, measured.heard() as read:
            table(store=Path(empty))  # of a store that has none, the book's own are read
        for file in read:
            reading.setdefault(file.relative_to(runs.ROOT).as_posix(), []).append(name)
    return {file: tuple(names) for file, names in reading.items()}


def results(rng, folder):
    """A file of results is edited, in a store of its own, and a table is printed of it."""
    files = sorted(_of_tables())
    file = files[int(rng.integers(len(files)))]
    tree = json.loads((runs.ROOT / file).read_text(encoding="utf-8"))
    for _ in range(int(rng.integers(1, 4))):
        edit(rng, tree)
    (folder / file).write_text(json.dumps(tree), encoding="utf-8")
    name = str(rng.choice(_of_tables()[file]))
    form = str(rng.choice(["markdown", "csv", "latex"]))
    return said("table", name, "--store", folder, "--format", form)


def restorations(rng, folder):
    """What lies beside a restoration that was begun is edited, and it is begun again."""
    picture = np.full((24, 24), 0.8, np.float32)
    picture[::3] = np.linspace(0.1, 1, 24)
    known = np.ones((24, 24), bool)
    known[8:12, 8:12] = False
    work = folder / "work"
    iterations = 1 if rng.random() < 0.5 else None
    how = {"work": work, "minutes": 0.005, "iterations": iterations, "device": "cpu"}
    core.fill(picture, known, **how)
    plans = sorted(work.rglob(core.PLAN))
    if not plans:
        return "none"
    plan = plans[int(rng.integers(len(plans)))]
    tree = json.loads(plan.read_text(encoding="utf-8"))
    tree |= {"pace": 1e-7, "minutes": 0.0005, "width": 4, "iterations": 2, "canvases": 1}
    if rng.random() < 0.3:
        tree["factor"] = 2
    settings = tree.pop("settings") if rng.random() < 0.7 else None
    for _ in range(int(rng.integers(1, 3))):
        edit(rng, tree)
    tree |= {"settings": settings} if settings else {}
    plan.write_text(json.dumps(tree), encoding="utf-8")
    try:
        filled = core.fill(picture, known, **how)
    except runs.RunError as error:
        _printable(re.sub(r"\s", " ", str(error)), 1)
        return "refused"
    assert np.array_equal(filled.image[known], picture[known]), "a known pixel has changed"
    return "filled"


def jobs(rng, folder):
    """What a command notes of its result is edited, and it is called again."""
    from attacks._jobs import _fill

    root, photos.work_root = photos.work_root, lambda: folder / "cache"
    fill, core.fill = core.fill, lambda image, known, **words: _fill(image, known, 0.5, **words)
    try:
        pixels = np.full((20, 20), 90, np.uint8)
        pixels[4:7, 4:7] = 0
        Image.fromarray(pixels).save(folder / "photo.png")
        call = ("restore", folder / "photo.png", "--to", folder / "whole.png")
        assert said(*call) == "done"
        before = (folder / "whole.png").read_bytes()
        note = photos.place(folder / "whole.png") / photos.JOB
        tree = json.loads(note.read_text(encoding="utf-8"))
        for _ in range(int(rng.integers(1, 4))):
            edit(rng, tree)
        note.write_text(json.dumps(tree), encoding="utf-8")
        outcome = said(*call)
    finally:
        photos.work_root, core.fill = root, fill
    assert outcome == "done" or (folder / "whole.png").read_bytes() == before
    return outcome


ATTACKS = [
    Attack(
        "edited results",
        "A file of results that somebody has edited makes another table, or a sentence that names "
        "the file; never a traceback.",
        results,
        few=20,
    ),
    Attack(
        "edited plans",
        "What a restoration notes of its plan, edited, is refused in a sentence or followed; known "
        "pixels stay.",
        restorations,
    ),
    Attack(
        "edited notes",
        "What a command notes of its result, edited, is refused or forgotten; a result is only "
        "replaced by one made of the same picture.",
        jobs,
    ),
]
