"""How a run's files come to their place: whole, whatever happens meanwhile.

They are written into a draft.  Renaming the draft to `DECIDED` is the one moment at which the new
run takes the old one's place; the moves that follow can be finished by anybody.  Who looks into the
store after a process died in the middle of them finishes them first (`settle`).  Drafts that nobody
finishes any more are swept up by the next who writes: their locks are free.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from dip_book.images import file_digest

WORK = ".work"  # of a store: drafts, locks, checkpoints
DRAFT, DECIDED = ".draft", ".decided"
#: Seconds after which a draft of one file is nobody's: its process's number may be another's now.
OLD = 86400.0
#: A run's files by what they hold; the record comes to its place last.
SUFFIXES = {"pictures": ".webp", "frames": ".frames.webp", "record": ".json"}


def beside(place: Path, what: str) -> Path:
    """The file of a run's "pictures", "frames" or "record"."""
    return place.with_name(place.name + SUFFIXES[what])  # with_suffix would cut "seed0-p0.3"


@contextmanager
def draft(store: Path, name: str):
    """An empty folder in the store's working folder, gone again at the end, whatever happens."""
    work = store / WORK
    work.mkdir(parents=True, exist_ok=True)
    sweep_up(work)
    folder = work / f"{name}.{uuid.uuid4().hex[:8]}{DRAFT}"
    lock = filelock.FileLock(f"{folder}.lock")
    try:
        with lock:
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)


def place(folder: Path, store: Path, path: Path) -> None:
    """Bring the files of a run, all that lies in a draft's ``folder / path``, to its place.

    A run that is there is replaced: whoever is killed meanwhile leaves the old one or the new one.
    """
    decided = store / WORK / f"{uuid.uuid4().hex}{DECIDED}"
    only = folder.with_name(f"{folder.name}.one")
    (only / path).parent.mkdir(parents=True)
    for what in SUFFIXES:
        if beside(folder / path, what).exists():
            to_disk(beside(folder / path, what))
            os.replace(beside(folder / path, what), beside(only / path, what))
    os.replace(only, decided)
    _finish(decided, store)


def write_whole(to: Path, data: bytes) -> None:
    """Write a file beside its place and rename it: nobody ever finds half of it.

    What earlier writers of the same file left who died meanwhile is removed.
    """
    to = _behind_links(to)
    draft = _beside_a_file(to)
    try:
        draft.write_bytes(data)
        to_disk(draft)
        os.replace(draft, to)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def to_disk(path: Path) -> None:
    """Have a file's content on the disk before it takes a place.

    After a power cut some file systems have the new name, and nothing in it.
    """
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:  # a disk that cannot; a full one may say so only now
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
                raise


def try_writing(to: Path) -> None:
    """OSError if `write_whole` could not write a file there; leaves nothing."""
    draft = _beside_a_file(_behind_links(to))
    try:
        draft.write_bytes(b"x")  # a byte: a full disk takes an empty file
    finally:
        with suppress(OSError):
            draft.unlink()


def _behind_links(to: Path) -> Path:
    """The file that a link leads to, which is written in its place: the link stays one."""
    return Path(os.path.realpath(to)) if to.is_symlink() else to


def _beside_a_file(to: Path) -> Path:
    """Where this process writes a file first; the drafts of dead ones are removed."""
    whole = to.name.encode("utf-8", "surrogateescape")
    name = whole[:150].decode("utf-8", "ignore")
    if len(whole) > 150:  # two long names may begin alike, and two threads write them at once
        name += f".{hashlib.sha256(whole).hexdigest()[:12]}"
    for left in to.parent.glob(f".{glob.escape(name)}.*.part"):
        _, writer, _ = left.name.rsplit(".", 2)
        with suppress(OSError):
            if writer != _writer() and _is_left(left, writer):
                left.unlink()
    return to.with_name(f".{name}.{_writer()}.part")


def _writer() -> str:
    """This process, as others know it who write to the same disk."""
    return f"{_machine()}-{os.getpid()}"


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _is_left(draft: Path, writer: str) -> bool:
    """Is the process that wrote it dead, or another one of its number alive by now?

    Of another machine's, on a shared disk, that cannot be found out.
    """
    machine, _, pid = writer.rpartition("-")
    here = machine in ("", _machine())
    return time.time() - draft.stat().st_mtime > OLD or (here and not _lives(pid))


def _lives(pid: str) -> bool:
    """Is there a process of this number?  Where that cannot be found out: yes."""
    if not pid.isdecimal() or os.name != "posix":
        return True
    try:
        os.kill(int(pid), 0)  # signal 0: only asks
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def settle(store: Path) -> None:
    """Finish what dead processes had decided.  Where the store cannot be written to: nothing.

    What is there only in part, of a store that is still being copied, say, takes no run's place.
    """
    with suppress(OSError):
        with os.scandir(store / WORK) as entries:
            decided = [entry.name for entry in entries if entry.name.endswith(DECIDED)]
        for name in decided:
            if _is_whole(store / WORK / name, store):
                _finish(store / WORK / name, store)


def _is_whole(decided: Path, store: Path) -> bool:
    """Is all there that its record names, here or at its place already?"""
    records = list(decided.glob("*/*/*.json"))
    if not records:  # it goes last: whoever died after that left nothing else
        return not list(decided.glob("*/*/*.webp"))
    for record in records:
        path = record.relative_to(decided)
        path = path.with_name(path.name.removesuffix(SUFFIXES["record"]))
        try:
            described = json.loads(record.read_text(encoding="utf-8"))
            named = {what: described[what]["sha256"] for what in SUFFIXES if what in described}
        except FileNotFoundError:  # another has just moved it, after everything else
            continue
        except (ValueError, TypeError, KeyError):
            return False
        for what, digest in named.items():  # another moves them from here to there, meanwhile
            places = (beside(decided / path, what), beside(store / path, what))
            if not any(file_digest(place) == digest for place in places):
                return False
    return True


def _finish(decided: Path, store: Path) -> None:
    """Move what is left of a decided run; two may do so at once."""
    for record in decided.glob("*/*/*.json"):
        path = record.relative_to(decided)
        path = path.with_name(path.name.removesuffix(SUFFIXES["record"]))
        described = _described(record)
        for what in ("pictures", "frames"):
            if what in described:
                _move(beside(decided / path, what), beside(store / path, what))
            else:  # of the run that is replaced
                beside(store / path, what).unlink(missing_ok=True)
        _move(record, beside(store / path, "record"))
    shutil.rmtree(decided, ignore_errors=True)


def _described(record: Path) -> dict:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:  # another has just moved it, after everything else
        return {"pictures": None, "frames": None}
    except ValueError:  # it is said to be damaged when it is read
        return {}


def _move(source: Path, target: Path) -> None:
    """Move a file if it is still to be moved; also to another disk, behind a link or mounted."""
    for patience in range(100):  # `tidy` may remove a folder that is empty still
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(source, target)
            return
        except FileNotFoundError:
            if not source.exists():
                return
            if patience == 99:
                raise
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with suppress(FileNotFoundError):  # another was faster
                write_whole(target, source.read_bytes())
                source.unlink()
            return


def sweep_up(work: Path) -> None:
    """Remove what dead processes left: drafts whose locks are free, collections half written."""
    for left in work.glob("*.json.*"):
        with suppress(OSError):
            if _is_left(left, left.name.rpartition(".")[2]):
                left.unlink()
    for lock in work.glob(f"*{DRAFT}.lock"):
        held = filelock.FileLock(lock, timeout=0)
        with suppress(filelock.Timeout, OSError), held:
            folder = lock.with_name(lock.name.removesuffix(".lock"))
            for rest in (folder, folder.with_name(f"{folder.name}.one")):
                shutil.rmtree(rest, ignore_errors=True)
            lock.unlink(missing_ok=True)
    for rest in (*work.glob(f"*{DRAFT}"), *work.glob(f"*{DRAFT}.one")):
        # A draft is locked before it is made: without a lock it is what a failed removal left.
        if not rest.with_name(f"{rest.name.removesuffix('.one')}.lock").exists():
            shutil.rmtree(rest, ignore_errors=True)
