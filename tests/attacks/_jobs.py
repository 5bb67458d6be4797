"""What users start, each as a small job: what is there before, the command, what must be so after.

An attempt spoils the command in the middle; `sound` then says whether anything is lost, and
`finished` whether the same command has made good what was left.
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
from attacks._store import CHANGES, OTHERS, SPEC, content, filled, left, made
from dip_book import commands, runs  # noqa: F401 - commands: now, not in every process
from dip_book.cli import main
from dip_book.restoring import photos
from dip_book.runs import plan, sweeps
from PIL import Image

JOBS = ("run", "run again", "tidy", "pack", "unpack", "restore", "restore again")
#: What differs between two equal runs.
VOLATILE = ("wall_time_s", "core_seconds", "iterations_per_s", "peak_memory_mib", "started")
OLD, NEW = 0.25, 0.75


def prepare(folder: Path, job: str) -> None:
    """A folder in which a job can be done."""
    if job.startswith("restore"):
        picture = np.random.default_rng(1).integers(1, 256, (12, 15)).astype(np.uint8)
        picture[3:6, 4:9] = 0
        Image.fromarray(picture).save(folder / "photo.png")
        if job == "restore again":
            assert act(folder, "restore", OLD)[0] == 0
        return
    store = filled(folder / "store")
    if job == "unpack":
        runs.pack([SPEC.path, OTHERS[0].path], store, folder / "box")
    if job == "pack":
        runs.pack([OTHERS[0].path], store, folder / "box")
    if job in ("run", "unpack"):
        for file in (store / SPEC.path).parent.glob(f"{SPEC.path.name}.*"):
            file.unlink()


def act(
    folder: Path, job: str, level: float = NEW, *, out=None, cache: bool = True
) -> tuple[int, str]:
    """The command; its exit status and what it says to stderr.

    Args:
        out: stands for stdout; what is said there is forgotten if None.
        cache: what going on needs lies in the folder; else where the user has it.
    """
    said, store = io.StringIO(), ["--store", str(folder / "store")]
    plan.WANTED = dict.fromkeys(plan.WANTED, []) | {"few": [SPEC, *OTHERS]}
    plan.kept = lambda *_: {spec.path: "pictures" for spec in (SPEC, *OTHERS)}
    words = {
        "tidy": ["tidy", *store],
        "pack": ["pack", "--to", str(folder / "box"), *store],
        "unpack": ["unpack", str(folder / "box-1.zip"), *store],
    }
    changes = [word for key, value in CHANGES for word in ("--set", f"{key}={value}")]
    words["run"] = ["run", SPEC.image, "--size", "16", "--iterations", "2", *changes, *store]
    words["run"] += ["--frames", "2", "--device", "cpu"]
    words["run again"] = [*words["run"], "--again"]
    to = ["restore", str(folder / "photo.png"), "--to", str(folder / "result.png")]
    words |= {"restore": to, "restore again": [*to, "--again"]}
    sweeps._perform_one.__kwdefaults__["checkpoint_s"] = 0.0
    if cache:
        photos.work_root = lambda: folder / "cache" / "restore"
    photos.core.fill = lambda image, known, **options: _fill(image, known, level, **options)
    out = io.StringIO() if out is None else out
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(out):
        status = main(words[job])
    return status, said.getvalue()


def _fill(image, known, level, *, progress=None, work=None, **options):
    """Fills with one value, in two steps, and keeps what going on needs."""
    filled_in = image.copy()
    for done in (0.5, 1.0):
        filled_in[~known] = level
        if work is not None:
            with contextlib.suppress(OSError):
                (work / "restoring.json").write_text("{}")
        progress(photos.core.Progress("half", filled_in, done, None))
    return photos.core.Filled(filled_in, {}, "Filled.", False)


def sound(folder: Path, job: str, before: dict[str, str]) -> str:
    """Is nothing lost, whatever happened?  Says what is in place."""
    if job.startswith("restore"):
        result = folder / "result.png"
        if not result.exists():
            assert job == "restore", "the old result is gone"
            return "nothing in place"
        return f"{_restored(folder, result)} in place"
    store = folder / "store"
    with warnings.catch_warnings():
        warnings.simplefilter("error", runs.DamagedRun)
        found = {path: runs.check(runs.read(store / path)) for path in runs.paths(store)}
        for run in found.values():
            _ = run.pictures, run.frames
    assert {spec.path for spec in OTHERS} <= {*found}, "another run is gone"
    if job not in ("run", "unpack"):
        assert SPEC.path in found, "the run is gone"
    if job != "tidy":
        others = {k: v for k, v in before.items() if not k.startswith(SPEC.path.as_posix())}
        now = content(store)
        assert {name: now.get(name) for name in others} == others, "another run has changed"
    for archive in folder.glob("box-*.zip"):
        with zipfile.ZipFile(archive) as file:
            assert file.testzip() is None
    return "whole" if SPEC.path in found else "nothing in place"


def _restored(folder: Path, result: Path) -> str:
    given, made = (np.asarray(Image.open(path)) for path in (folder / "photo.png", result))
    gone = given == 0
    assert np.array_equal(made[~gone], given[~gone]), "a known pixel has changed"
    levels = {int(value) for value in np.unique(made[gone])}
    assert levels in ({64}, {191}), levels
    return "old" if levels == {64} else "new"


def finished(folder: Path, job: str) -> None:
    """What is so when the job has been done, once or after all."""
    parts = [p.name for p in folder.glob(".*") if p.name not in (".", "..")]
    assert not parts, f"left beside the user's files: {parts}"
    if job.startswith("restore"):
        assert _restored(folder, folder / "result.png") == "new"
        assert not list((folder / "cache").rglob("*.part"))
        return
    store = folder / "store"
    assert {*runs.paths(store)} == {SPEC.path, *(spec.path for spec in OTHERS)}
    made = dict(runs.read(store / SPEC.path).facts)
    wanted = dict(runs.read(_whole_store() / SPEC.path).facts)
    for key in VOLATILE:
        made.pop(key, None), wanted.pop(key, None)
    assert made == wanted, "another result"
    assert not left(store) or job == "pack", left(store)  # which writes nothing into the store
    if job == "pack":
        with zipfile.ZipFile(folder / "box-1.zip") as file:
            assert sum(name.endswith(".json") for name in file.namelist()) == 3
    if job == "tidy":
        assert not list(store.rglob("seed*.json"))
        (collection,) = store.glob("*.json")
        assert len(json.loads(collection.read_text())) == 3


def _whole_store() -> Path:
    return made()[1]
