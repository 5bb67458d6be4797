"""Stores under hard conditions: no room, no rights, no clock, company, strangers."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path

import filelock
from attacks import Attack
from attacks._apart import apart
from attacks._jobs import JOBS, act, finished, prepare, sound
from attacks._store import SPEC, content, made
from dip_book import runs

SECONDS = 120
#: What writes, by name, and of what it is a function.
WRITING = {"replace": os, "write_bytes": Path, "write_text": Path, "mkdir": Path, "unlink": Path}
NOBODY = 65534
JUNK = (
    "notes.txt", "Thumbs.db", ".DS_Store", "blog+old/notes.md", "x/y.json/z", "a/b/c/d/e.txt",
    "a/b/.json", "a/b/c.webp", "\u00e9t\u00e9/\u4e2d.txt", "a/b/c.json.orig", ".hidden/b/c.json",
    "bench/other.json", "a/b/c.frames.webp", ".work/strange.txt", ".work/x.draft",
)  # fmt: skip


def _prepared(folder: Path, job: str) -> dict[str, str]:
    made()
    apart(lambda: prepare(folder, job), seconds=SECONDS)
    return content(folder / "store")


def _ends_well(folder: Path, job: str, before: dict[str, str]) -> str:
    """Nothing is lost, and the same command, undisturbed, does it after all."""
    words = apart(lambda: sound(folder, job, before), seconds=SECONDS)["value"]

    def work():
        status, said = act(folder, job)
        if job == "restore" and "is there already" in said:  # nothing of it could be noted
            status, said = act(folder, "restore again")
        if job == "pack" and "holds what this store does not" in said:  # what `tidy` took away
            (folder / "box-1.zip").rename(folder / "kept.zip")
            status, said = act(folder, job)
        assert status == 0, said
        finished(folder, job)

    apart(work, seconds=SECONDS)
    return words


def _one_sentence(status: int, said: str) -> str:
    """What a command that failed says."""
    assert status in (0, 1, 2), said
    lines = said.splitlines()
    assert "Traceback" not in said and len(lines) <= 3 and len(said) < 700, said
    assert all(line.isprintable() for line in lines), said
    assert status == 0 or lines or status == 1, "it failed without a word"
    return "done all the same" if status == 0 else "said"


def no_room(rng, folder):
    """Files may grow to a limit of bytes and no further, as on a full disk."""
    job = str(rng.choice(JOBS))
    before = _prepared(folder, job)
    limit = int(rng.choice([0, 1, 10, 100, 200, 500, 1000, 3000, 10_000]))

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return _one_sentence(*act(folder, job))

    outcome = apart(work, seconds=SECONDS)["value"]
    return f"{outcome}, {_ends_well(folder, job, before)}"


@cache
def _calls(job: str) -> dict[str, int]:
    """How often a job that nobody disturbs calls what writes, by name."""
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        _prepared(Path(folder), job)

        def work():
            counts = Counter()

            def counted(name, original):
                def call(*args, **options):
                    counts[name] += 1
                    return original(*args, **options)

                return call

            for name, holder in WRITING.items():
                setattr(holder, name, counted(name, getattr(holder, name)))
            assert act(Path(folder), job)[0] == 0
            return counts

        return apart(work, seconds=SECONDS)["value"]


def refused_by_the_system(rng, folder):
    """One call that writes fails, of all that there are, with one of the system's errors."""
    job = str(rng.choice(JOBS))
    calls = _calls(job)
    before = _prepared(folder, job)
    errors = {28: "No space left on device", 5: "Input/output error", 30: "Read-only file system"}
    number = int(rng.choice([*errors]))
    name = str(rng.choice([name for name in WRITING if calls.get(name)]))
    which = int(rng.integers(1, calls[name] + 1))

    def work():
        count, holder = [0], WRITING[name]
        original = getattr(holder, name)

        def failing(*args, **options):
            count[0] += 1
            if count[0] == which:
                raise OSError(number, errors[number])
            return original(*args, **options)

        setattr(holder, name, failing)
        outcome = _one_sentence(*act(folder, job))
        return outcome if count[0] >= which else "not called so often"

    outcome = apart(work, seconds=SECONDS)["value"]
    return f"{outcome}, {_ends_well(folder, job, before)}"


def no_rights(rng, folder):
    """The folders may be looked at and not written to."""
    import skimage.io  # noqa: F401 - now: nobody may not look into the folder of root's Python

    "".encode("cp437")  # zipfile's, likewise
    job = str(rng.choice(JOBS))
    before = _prepared(folder, job)
    root = os.geteuid() == 0
    folder.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o755 if root else 0o555) if path.is_dir() else 0o644)

    def work():
        if root:
            os.seteuid(NOBODY)
        return _one_sentence(*act(folder, job))

    try:
        outcome = apart(work, seconds=SECONDS)["value"]
    finally:
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
    return f"{outcome}, {_ends_well(folder, job, before)}"


def no_clock(rng, folder):
    """The clock is wrong, runs back, and files are of 1971 or of 2040."""
    job = str(rng.choice(JOBS))
    before = _prepared(folder, job)
    for path in folder.rglob("*"):
        if rng.random() < 0.5:
            stamp = float(rng.choice([0, 4e7, 2.2e9, 1e10]))
            os.utime(path, (stamp, stamp))
    begin, step = float(rng.choice([0, 1e9, 2.2e9])), float(rng.normal() * 1000)

    def work():
        now = [begin]

        def clock():
            now[0] = max(now[0] + step, 0.0)
            return now[0]

        time.time = clock
        return _one_sentence(*act(folder, job))

    outcome = apart(work, seconds=SECONDS)["value"]
    assert outcome == "done all the same"
    return f"{outcome}, {_ends_well(folder, job, before)}"


def together(rng, folder):
    """Two or three processes at one store, or at one result."""
    store_jobs = [job for job in JOBS if not job.startswith("restore")]
    first = str(rng.choice(JOBS))
    before = _prepared(folder, first)
    others = ["restore again"] if first.startswith("restore") else store_jobs
    if first in ("run", "unpack"):
        others = [job for job in others if job in ("run", "unpack", "tidy")]
    if not first.startswith("restore"):
        apart(lambda: len(runs.pack([SPEC.path], *_packed(folder))), seconds=SECONDS)
    if first == "tidy":
        before = {}
    jobs = [first, *(str(job) for job in rng.choice(others, int(rng.integers(1, 3))))]
    children = []
    for job in jobs:
        child = os.fork()
        if child == 0:
            try:
                status, said = act(folder, job)
                taken = "nother process" in said or "already" in said
                _one_sentence(status, said)
                os._exit(0 if status == 0 or taken else 3)
            except BaseException as error:
                print(jobs, repr(error)[:1000], file=sys.stderr)
                os._exit(4)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(statuses), f"{jobs}: {statuses}"
    if "tidy" in jobs or "run again" in jobs:
        before = {}
    return f"all whole, {_ends_well(folder, first, before)}"


def _packed(folder: Path) -> tuple[Path, Path]:
    """A store that holds what `unpack` is to bring, and the archive's name."""
    from attacks._jobs import _whole_store

    return _whole_store(), folder / "box"


def strangers(rng, folder):
    """Files in the store that are none of ours stay, and disturb nothing."""
    job = str(rng.choice([job for job in JOBS if not job.startswith("restore")]))
    before = _prepared(folder, job)
    store, placed = folder / "store", []
    for name in rng.choice(JUNK, int(rng.integers(1, 6)), replace=False):
        path = store / str(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.bytes(int(rng.integers(0, 500))))
            placed.append(path)
        except OSError:
            continue  # a file where a folder would be
    kind = int(rng.integers(5))
    if kind == 0:
        (store / "loop").symlink_to(store)
    elif kind == 1:
        os.mkfifo(store / "pipe.json")
    elif kind == 2:
        (store / "folder.json").mkdir()
    elif kind == 3:
        (store / "a" / "b" / "folder.json").mkdir(parents=True, exist_ok=True)
    kept = {path: path.read_bytes() for path in placed}

    def work():
        import warnings

        warnings.simplefilter("ignore", runs.DamagedRun)
        status, said = act(folder, job)
        assert status == 0, said
        assert "Traceback" not in said
        run = runs.check(runs.read(store / SPEC.path))
        _ = run.pictures, run.frames
        runs.find(store), runs.paths(store)

    apart(work, seconds=SECONDS)
    assert {path: path.read_bytes() for path in placed} == kept, "a stranger's file has changed"
    if job in ("pack",):
        now = content(store) if kind not in (0, 1) else before
        assert {name: now.get(name) for name in before} == before
    return "not disturbed"


def locked(rng, folder):
    """Another process holds the run's lock."""
    job = str(rng.choice(["run", "run again", "tidy", "unpack"]))
    before = _prepared(folder, job)

    reading, writing = os.pipe()
    holder = os.fork()
    if holder == 0:
        with filelock.FileLock(str(runs.lock(folder / "store", SPEC.path).lock_file)):
            os.write(writing, b"x")
            time.sleep(SECONDS)
        os._exit(0)
    try:
        os.read(reading, 1)
        outcome = apart(lambda: _one_sentence(*act(folder, job)), seconds=SECONDS)["value"]
        words = apart(lambda: sound(folder, job, before), seconds=SECONDS)["value"]
        assert words == ("nothing in place" if job in ("run", "unpack") else "whole")
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        os.close(reading)
        os.close(writing)
    return f"{outcome}, {_ends_well(folder, job, before)}"


ATTACKS = [
    Attack(
        "no room",
        "A full disk costs a command its work at most: a sentence, and all files as they were.",
        no_room,
        few=1,
    ),
    Attack(
        "system errors",
        "Whichever write of a command fails, it is said in a sentence, and nothing is lost.",
        refused_by_the_system,
        few=3,
    ),
    Attack(
        "no rights",
        "Folders that cannot be written to are named in a sentence.",
        no_rights,
        few=1,
    ),
    Attack("no clock", "A wrong clock and files of other times change nothing.", no_clock, few=1),
    Attack("together", "Processes at one store, or at one result, lose nothing.", together, few=1),
    Attack("strangers", "Files that are none of ours stay, and disturb nothing.", strangers, few=1),
    Attack("locked", "A run that another process makes is left to it.", locked, few=1),
]
