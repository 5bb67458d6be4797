"""Runs in a folder: a JSON record each, and pictures where somebody looks at them.

    book/runs/
        <recipe+changes>.json              a collection: "<image>/<run>" → record
        <recipe+changes>/<image[-size]>/
            seed0-400it.json               a record of its own; it wins over the collection's
            seed0-400it.webp               raw output, and under it the averaged one; lossless
            seed0-400it.frames.webp        outputs on the way, under one another; lossy

A record is what was run, on what, and what came out: the facts, and the history as a list of rows.
It names its pictures by their SHA-256, so that a run of which a part was replaced is noticed.  What
would be taller than WebP allows is continued in a further column.

A new run always gets files of its own, so that many processes may write at once; `tidy` moves
records into collections.  Every file is written elsewhere and then moved to its place.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import warnings
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from numbers import Integral
from pathlib import Path

import filelock

import dip_blocks
from dip_book import images, tasks
from dip_book.build import first_cell
from dip_book.runs import placing
from dip_book.runs.placing import WORK, beside
from dip_book.runs.record import (
    LARGEST_COLLECTION,
    LARGEST_RECORD,
    Run,
    check_header,
    draw,
    from_record,
    intact,
    other_format,
    reason,
    row,
    text,
)
from dip_book.runs.spec import RunError, Spec, as_path, brief, is_number

#: The book's own runs.  Where the package is installed without the book, and nobody stands in a
#: clone of it: a folder "runs" in the present one, because what lies among installed packages goes
#: with them.
_BOOK = first_cell.book()
ROOT = Path("runs") if _BOOK is None else _BOOK / "book" / "runs"
ANY = -1  # size of whatever run
PATIENCE_S = 60.0  # seconds that a moment's work of another process is waited for
AT_ONCE = 100  # runs that are locked together: some systems open no more than 256 files
OTHER_FOLDERS = {WORK, "bench"}
#: Stored results that are no runs.
OTHER_FILES = {
    f"{name}.json"
    for name in (
        "attacks", "baselines", "ceilings", "denoising", "filling", "filling-recipes", "holes",
        "mutants", "reruns", "shrinking", "stopping", "versions",
    )
}  # fmt: skip


class DamagedRun(UserWarning):
    """A stored run that was skipped, and why."""


# Writing ------------------------------------------------------------------------------------


def write(store: Path, path: Path, run: Run) -> Run:
    """Store a run at `Spec.path`, in files of its own; one of the same name is replaced.

    Whoever is killed meanwhile leaves the old run or the new one in its place (`placing`).

    Raises RunError for pictures larger than a file can hold, OSError for what the system refuses.
    """
    store, path = as_path(store), Path(path)
    with placing.draft(store, work_name(path)) as folder:
        draft = folder / path
        draft.parent.mkdir(parents=True)
        record = dict(run.facts)
        if run.pictures:
            exact = {"lossless": True, "quality": 90}  # quality: here, how long to look for less
            sheet = draw(beside(draft, "pictures"), run.pictures.values(), **exact)
            record["pictures"] = {"kinds": list(run.pictures), **sheet}
        if run.frames:
            sheet = draw(beside(draft, "frames"), run.frames.values(), quality=80)
            record["frames"] = {"iterations": list(run.frames), **sheet}
        record["columns"] = list(dip_blocks.Step._fields)
        record["history"] = [row(step) for step in run.history]
        beside(draft, "record").write_text(text(record) + "\n", encoding="utf-8")
        placing.place(folder, store, path)
    stored = read(store / path)
    stored.source = run.source
    return stored


def work_name(path: Path) -> str:
    """A run's name in the working folder, where all lie side by side."""
    return "__".join(path.parts)


def lock(store: Path, path: Path, timeout: float = 0.0) -> filelock.FileLock:
    """The lock of whoever writes a run; to be entered, raises filelock.Timeout.

    Raises RunError for a store that is a file.
    """
    store, path = as_path(store), Path(path)
    try:
        (store / WORK).mkdir(parents=True, exist_ok=True)
    except (NotADirectoryError, FileExistsError):
        raise RunError(
            f"The store '{store}' is no folder: name one, or what is to become one."
        ) from None
    return filelock.FileLock(store / WORK / f"{work_name(path)}.lock", timeout=timeout)


@contextmanager
def alone(store: Path, name: str):
    """What one process at a time does, in a moment; RunError where another is at it for long.

    On a disk without locks a lock is a file, and one that was copied there stays for ever.
    """
    (store / WORK).mkdir(parents=True, exist_ok=True)
    file = store / WORK / f"{name}.lock"
    held = filelock.FileLock(file, timeout=PATIENCE_S)
    try:
        held.acquire()
    except filelock.Timeout:
        raise RunError(
            f"'{file}' is another process's for more than {PATIENCE_S:g} seconds: wait for it. If "
            "there is none, as where a store was copied to a disk without locks, remove that file."
        ) from None
    try:
        yield
    finally:
        held.release()


# Reading ------------------------------------------------------------------------------------


def read(place: Path) -> Run:
    """The run stored at a place, ``store / spec.path``; opens no picture.

    Raises RunError where there is none, or it is damaged or of another format.
    """
    place = as_path(place, "A stored run")
    if len(place.parents) < 3:  # a root counts among the parts, but no run is called so
        raise NotStored(f"No run is stored at {place}.")
    store = place.parents[2]
    return from_record(record_at(store, place.relative_to(store)), place)


def check(run: Run) -> Run:
    """The run itself, if its picture files are the ones its record names; else RunError."""
    for what, sheet in run.sheets.items():
        try:
            with intact(beside(run.place, what), sheet) as file:
                check_header(file.read(64), what, sheet)
        except (OSError, ValueError) as error:
            raise RunError(f"The run {run.name} is damaged: {reason(error)}.") from error
    return run


def check_spec(spec: Spec) -> None:
    """RunError for what is no `Spec`."""
    if not isinstance(spec, Spec):
        raise RunError(
            f"A run is asked for by a Spec, such as Spec('camera'), not {brief(spec)!r}."
        )


def state(spec: Spec, store: Path = ROOT) -> tuple[Run | None, str | None]:
    """The stored run of a spec, and what is wrong with it.

    (None, None) where none is stored; (run, None) for one of just what the spec computes; else
    with a sentence that says how it is damaged or differs.  Errors as `Spec.path`, and RunError
    for no Spec.
    """
    check_spec(spec)
    store, path = as_path(store), spec.path
    if not is_there(store, path):
        return None, None
    try:
        run = check(read(store / path))
        run.source = spec.image if "@" in spec.image_name else None
        different = spec.differences(run.facts)
    except (RunError, images.ImageError) as error:
        return None, str(error)
    if different:
        return run, f"The stored run {path} is of something else: {'; '.join(different)}."
    return run, None


def stored(spec: Spec, store: Path = ROOT) -> Run | None:
    """The stored run of a spec; None where there is none.

    Nor of one that is damaged or of something else, which is named in a warning (`DamagedRun`).
    """
    run, wrong = state(spec, store)
    if wrong:
        _skip(wrong)
        return None
    return run


def find(
    store: Path = ROOT,
    *,
    recipe: str | None = None,
    image: str | None = None,
    size: int | None = ANY,
    task: str = tasks.PIXELS,
) -> list[Run]:
    """Stored runs, sorted by path; opens no picture.

    Args:
        recipe: only of this one, as its folder is named: with its changes.
        image: only of this picture of the book's, or of this name with its digest.
        size: only of this size in pixels a side; None: not shrunk.
        task: only of this one, see `tasks.degradation`.

    A damaged run is left out, and named in a warning (`DamagedRun`).  RunError for what is no
    name, and no size.
    """
    for name in (recipe, image):
        if not isinstance(name, (str, type(None))):
            raise RunError(f"Runs are found by names of recipes and pictures, not {brief(name)}.")
    if size is not None and size is not ANY and not is_number(size, Integral):
        raise RunError(f"A picture's size is a number of pixels a side, not {brief(size)}.")
    store, found = as_path(store), paths(store)
    if recipe is not None:
        found = [path for path in found if path.parts[0] == recipe]
    if image is not None:
        found = [p for p in found if re.fullmatch(rf"{re.escape(image)}(-\d+)?", p.parts[1])]
    runs = []
    for path in found:
        try:
            run = read(store / path)
        except RunError as error:
            _skip(str(error))
            continue
        names = run.facts["image"]
        asked = (size in (ANY, names["size"]), image in (None, names["name"]), run.task == task)
        if all(asked):
            runs.append(run)
    return runs


def of_their_names(found: list[Run]) -> list[Run]:
    """Those runs whose recipe has the values that one of its name and changes has today.

    The others are named in a warning (`DamagedRun`): a recipe was changed and kept its name.  Runs
    of a name that is known no more stay.
    """
    kept = []
    for run in found:
        recipe = run.facts["recipe"]
        try:
            spec = Spec("camera", None, recipe["name"], tuple(recipe.get("changes", {}).items()))
            different = spec.differences_of_recipe(run.facts)
        except (RunError, LookupError, AttributeError):
            different = []
        if different:
            _skip(f"The stored run {run.name} is of something else: {'; '.join(different)}.")
        else:
            kept.append(run)
    return kept


def paths(store: Path = ROOT) -> list[Path]:
    """Of all stored runs, damaged ones too, relative to the store, sorted.

    A damaged collection is named in a warning (`DamagedRun`), and so is a folder that may not be
    looked into; RunError if that is the store itself.
    """
    store = as_path(store)
    placing.settle(store)
    _check_folders(store)
    own = [
        file.with_name(file.name.removesuffix(".json"))
        for file in store.glob("*/*/*.json")
        if file.name != ".json"
    ]
    own += [file.parent for file in store.glob("*/*/*/run.json")]  # of format 2: named as such
    found = {path.relative_to(store) for path in own}
    for file in store.glob("*.json"):
        if file.name not in OTHER_FILES:
            recipe = file.name.removesuffix(".json")
            try:
                found.update(Path(recipe, key) for key in collection(store, recipe))
            except RunError as error:
                _skip(str(error))
    return sorted(p for p in found if len(p.parts) == 3 and p.parts[0] not in OTHER_FOLDERS)


def _check_folders(store: Path) -> None:
    """Name the folders that may not be looked into: `glob` takes them for empty without a word."""

    def closed(error: OSError):
        if not isinstance(error, PermissionError):  # gone meanwhile, say
            return
        place = Path(error.filename)
        if place == store:
            raise RunError(f"The store '{store}' cannot be read: {reason(error)}.") from None
        _skip(f"The folder {place.relative_to(store)} cannot be read: {reason(error)}.")

    for folder, inner, _ in os.walk(store, onerror=closed):
        deep = len(Path(folder).relative_to(store).parts)
        inner[:] = [name for name in inner if deep or name not in OTHER_FOLDERS]
        if not os.access(folder, os.X_OK):  # its names may be listed and no more
            closed(PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder))
            del inner[:]
        if deep == 2:
            del inner[:]


def without_record(store: Path, recorded: list[Path]) -> list[Path]:
    """Runs of which only pictures are there, relative to the store, sorted.

    A copy that was cut off leaves them; and a collection that another store's was copied over.
    Of a damaged collection, which `paths` names, none are.

    Args:
        recorded: what `paths` gives.
    """
    left, damaged = set(), set(OTHER_FOLDERS)
    for file in store.glob("*/*/*.webp"):
        name = file.name.removesuffix(".webp").removesuffix(".frames")
        left.add(file.with_name(name).relative_to(store))
    for recipe in {path.parts[0] for path in left.difference(recorded)}:
        try:
            collection(store, recipe)
        except RunError:
            damaged.add(recipe)
    return sorted(path for path in left.difference(recorded) if path.parts[0] not in damaged)


def is_there(store: Path, path: Path) -> bool:
    """Is anything stored at a path, whole or not?"""
    try:
        record_at(store, path)
    except NotStored:
        return False
    except RunError:
        pass
    return True


class NotStored(RunError):
    """No run is stored at this path."""


def record_at(store: Path, path: Path) -> dict:
    """A run's record, its own or the collection's; not to be changed.

    Raises NotStored (a RunError) where there is none, RunError where it cannot be read.
    """
    place = store / path
    placing.settle(store)
    with suppress(FileNotFoundError):  # or it is gathered just now
        return _parsed(beside(place, "record"), store)
    recipe, *rest = path.parts
    found = collection(store, recipe).get("/".join(rest))
    if found is not None:
        return found
    if (place / "run.json").exists():
        raise RunError(other_format(place, 2))
    raise NotStored(f"No run is stored at {place}.")


def collection(store: Path, recipe: str) -> dict[str, dict]:
    """The records in the collection of one recipe; not to be changed.  RunError if damaged."""
    file = store / f"{recipe}.json"
    try:
        found = file.stat()
    except OSError:
        return {}
    return _collection(file, store, (found.st_ino, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=256)
def _collection(file: Path, store: Path, stamp: tuple) -> dict[str, dict]:
    return _parsed(file, store)


def _parsed(file: Path, store: Path) -> dict:
    """What a JSON file of a store holds.

    FileNotFoundError for none, RunError for a damaged one, by its path in the store.
    """
    name = file.relative_to(store)
    largest = LARGEST_COLLECTION if len(name.parts) == 1 else LARGEST_RECORD
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise RunError(f"{name} is damaged: it is no file.")
        if file.stat().st_size > largest:
            raise RunError(f"{name} is damaged: it has more than {largest / 1e6:.0f} MB.")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, RunError):
        raise
    except (OSError, ValueError, RecursionError) as error:  # the last: JSON as deep as a well
        raise RunError(f"{name} is damaged: {reason(error)}.") from error
    if not isinstance(content, dict):
        raise RunError(f"{name} is damaged: it holds no record.")
    return content


def _skip(why: str) -> None:
    warnings.warn(f"Skipped. {why}", DamagedRun, stacklevel=3)


# Tidying ------------------------------------------------------------------------------------


def tidy(store: Path, kept: dict[Path, str]) -> list[tuple[Path, str]]:
    """Gather runs' records in their recipes' collections, and drop pictures nobody looks at.

    Args:
        kept: path → how much of it is kept: "record" alone, "pictures" too, or "frames" too.
            Runs that are not named here are left as they are.

    Returns the paths of what was changed, and of what could not be, with words that say so.
    Several processes may tidy and make runs meanwhile.
    """
    store, report, recipes = Path(store), [], {}
    for path in paths(store):
        if path in kept:
            recipes.setdefault(path.parts[0], []).append(path)
    with alone(store, "tidy"):
        for recipe, chosen in recipes.items():
            for begin in range(0, len(chosen), AT_ONCE):
                with ExitStack() as locks:
                    part = chosen[begin : begin + AT_ONCE]
                    report += _gather(store, recipe, part, kept, locks)
    return report


def _gather(store: Path, recipe: str, chosen: list[Path], kept: dict, locks: ExitStack):
    """One collection: written first, then what it makes superfluous goes."""
    try:
        before = collection(store, recipe)
    except RunError as error:
        return [(Path(recipe), f"left alone: {error}")]
    records, report, gathered = dict(before), [], []
    for path in chosen:
        try:
            locks.enter_context(lock(store, path))
            check(read(store / path))
        except filelock.Timeout:
            report.append((path, "left alone: another process is writing it"))
            continue
        except RunError as error:
            report.append((path, f"left alone: {error}"))
            continue
        dropped = {"record": ("pictures", "frames"), "pictures": ("frames",), "frames": ()}
        record = dict(record_at(store, path))
        for what in dropped[kept[path]]:
            record.pop(what, None)
        records["/".join(path.parts[1:])] = record
        gathered.append((path, record))
    if records != before:
        content = text(dict(sorted(records.items()))) + "\n"
        placing.write_whole(store / f"{recipe}.json", content.encode("utf-8"))
    for path, record in gathered:
        needless = [what for what in ("pictures", "frames") if what not in record]
        files = [beside(store / path, what) for what in ("record", *needless)]
        if files := [file for file in files if file.exists()]:
            for file in files:
                file.unlink()
            report.append((path, f"kept: {kept[path]}"))
        for folder in (store / path).parents[:2]:
            with suppress(OSError):  # not empty, or gone
                folder.rmdir()
    return report
