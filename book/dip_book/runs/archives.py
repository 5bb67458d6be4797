"""Stored runs as zip archives: the files that each has, or would have, of its own."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from numbers import Real
from pathlib import Path, PurePosixPath

import filelock

from dip_book.runs import placing
from dip_book.runs import store as runs
from dip_book.runs.placing import SUFFIXES, beside
from dip_book.runs.record import FORMAT, LARGEST_PICTURE, LARGEST_RECORD, Run, reason, text
from dip_book.runs.spec import RunError, as_path, brief, is_number

#: Bytes that an archive may have, and may unpack to; bytes of its table of contents.
LARGEST, LARGEST_CONTENTS = 2_000_000_000, 8_000_000
#: How its files may be packed: others, for which Python asks further libraries, take any memory.
PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
#: A zip file's last words, and the mark of what is larger than a plain one may be.
END, END_LENGTH, LARGER, LARGER_LENGTH = b"PK\5\6", 22, b"PK\6\7", 20


def pack(paths: list[Path], store: Path, target: Path, limit_mb: float = 15) -> list[Path]:
    """Copy stored runs into zip archives, to be moved and unpacked elsewhere.

    Args:
        paths: of the runs, relative to the store, see `Spec.path`.
        target: the archives are called ``<target>-1.zip``, ``<target>-2.zip``, …
        limit_mb: size of each at most, in 10⁶ bytes.

    Returns the archives' paths; each appears whole, or an older one stays.  Raises RunError when
    there is nothing to pack, a run is damaged, one run alone is over the limit, the archives cannot
    be written, or one would be written over a file that holds anything which the store does not.
    """
    store, target = as_path(store), as_path(target, "An archive")
    if isinstance(paths, (str, os.PathLike)) or not isinstance(paths, Iterable):
        raise RunError("Runs to pack are given in a list, also where it is one.")
    paths = [*paths]
    if wrong := [path for path in paths if not isinstance(path, (str, Path))]:
        raise RunError(
            f"Runs to pack are named by their paths, as run.name or Spec.path, not by a "
            f"{type(wrong[0]).__name__}."
        )
    paths = [*dict.fromkeys(map(in_store, map(Path, paths)))]  # what is named twice is packed once
    if not paths:
        raise RunError(f"There is no stored run to pack in {store}.")
    if not is_number(limit_mb, Real) or not limit_mb > 0:
        raise RunError(f"Megabytes of an archive: a number above 0, not {brief(limit_mb)}.")
    limit, parts, size = limit_mb * 1e6, [], 0.0
    for path in paths:
        part = _files(store, path)
        alone = len(_zip(part))
        if alone > limit:
            raise RunError(f"{path} alone is over {limit_mb:g} MB: allow larger archives.")
        more = alone - END_LENGTH  # all but the last words is the same beside others
        if parts and size + more <= limit:
            parts[-1] += part
            size += more
        else:
            parts.append(part)
            size = alone
    archives = [target.parent / f"{target.name}-{n}.zip" for n in range(1, len(parts) + 1)]
    for archive in archives:
        if os.path.lexists(archive) and not _is_copied(archive, store):
            raise RunError(
                f"'{archive}' is there already, and holds what this store does not: unpack it "
                "first, or choose another name with --to."
            )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for archive, part in zip(archives, parts):
            placing.write_whole(archive, _zip(part))
    except OSError as error:
        raise RunError(f"'{target}' cannot be written: {reason(error)}.") from error
    return archives


def in_store(path: Path) -> Path:
    """The path of a run, relative to its store; RunError for one that leads elsewhere.

    Also into a store within this one: its archives could not be unpacked.
    """
    if path.is_absolute() or ".." in path.parts or len(path.parts) > 3:
        raise RunError(f"'{path}' is no path of a run in a store: `status` prints them.")
    return path


def _is_copied(archive: Path, store: Path) -> bool:
    """Is all that an archive holds in the store too, so that nothing is lost with it?"""
    try:
        _check_end(archive)
        with zipfile.ZipFile(archive) as file:
            entries = [(_place(archive, entry.filename), entry) for entry in file.infolist()]
        ours: dict[str, bytes] = {}
        for place, _ in entries:
            if place.name.endswith(SUFFIXES["record"]):
                name = place.name.removesuffix(SUFFIXES["record"])
                ours |= dict(_files(store, place.with_name(name)))
        held = {place.as_posix(): (entry.file_size, entry.CRC) for place, entry in entries}
    except (RunError, OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    here = {name: (len(content), zlib.crc32(content)) for name, content in ours.items()}
    return held.items() <= here.items()


def unpack(archive: Path, store: Path = runs.ROOT) -> list[tuple[Path, str]]:
    """Bring the runs of an archive into a store.

    What an archive may hold is bounded before anything is unpacked: files of runs and nothing else,
    `LARGEST` bytes in all, `record.LARGEST_RECORD` of a record, `LARGEST_PICTURE` of a file of
    pictures.  So this takes at most 350 MB of memory, whatever the archive.

    Returns each run's path and "new", "there already", "kept ours" (the archive's differs from it),
    "mended: …" (of ours the pictures were damaged, or gone) or "left alone: …".  A run that is
    stored already, and can be read, is never replaced.

    Raises RunError for a file that is missing, is no archive of runs, or holds a damaged one;
    nothing is stored then.  And for a store that cannot be written to.
    """
    archive, store = as_path(archive, "An archive"), as_path(store)
    try:
        with placing.draft(store, "unpack") as drafts:
            places = _unpacked(archive, drafts)
            try:
                found = runs.paths(drafts)
                known = {
                    beside(path, what)
                    for path in found
                    for what in ("record", *_whole(runs.read(drafts / path)).sheets)
                }
            except RunError as error:
                said = str(error).replace(f"{drafts}{os.sep}", "")
                raise RunError(f"In '{archive}': {said}") from error
            if not found:
                raise RunError(f"'{archive}' holds no stored run.")
            if strange := sorted(str(place) for place in places if place not in known):
                raise RunError(f"'{archive}' holds '{strange[0]}', which no run of it describes.")
            return [(path, _bring(drafts, path, store)) for path in found]
    except OSError as error:
        raise RunError(
            f"'{archive}' cannot be unpacked into '{store}': {reason(error)}."
        ) from error


def _whole(run: Run) -> Run:
    """A run whose pictures are the ones that it names, of the size that it names."""
    for what, sheet in runs.check(run).sheets.items():
        if list(sheet["shape"]) != run.facts["image"]["shape"]:
            raise RunError(f"The run {run.name} is damaged: its {what} have another size than it.")
    return run


def _bring(drafts: Path, path: Path, store: Path) -> str:
    try:
        with runs.lock(store, path):
            if not runs.is_there(store, path):
                placing.place(drafts, store, path)
                return "new"
            same, wrong = _same(drafts, store, path), _damage(store, path)
            if same and wrong and _covers(drafts, store, path):
                placing.place(drafts, store, path)
                return "mended: ours was damaged"
            return "there already" if same and not wrong else f"kept ours{wrong}"
    except filelock.Timeout:
        return "left alone: another process is writing it"


def _same(drafts: Path, store: Path, path: Path) -> bool:
    """Is it the same run, with however many of its pictures?"""
    try:
        theirs, ours = runs.record_at(drafts, path), runs.record_at(store, path)
    except RunError:
        return False
    both = {what for what in ("pictures", "frames") if what in theirs and what in ours}
    keys = {*theirs, *ours} - {"pictures", "frames"} | both
    return all(theirs.get(key) == ours.get(key) for key in keys)


def _damage(store: Path, path: Path) -> str:
    """What to say of a stored run that cannot be shown as it is; empty if it can."""
    try:
        runs.check(runs.read(store / path))
    except RunError:
        return ", which is damaged or of another format: move it away, and unpack again"
    return ""


def _covers(drafts: Path, store: Path, path: Path) -> bool:
    """Does the archive's run bring all pictures that ours names?"""
    theirs, ours = runs.record_at(drafts, path), runs.record_at(store, path)
    return all(what in theirs for what in ("pictures", "frames") if what in ours)


def _unpacked(archive: Path, folder: Path) -> list[Path]:
    """The files of an archive where they belong in a store, here a folder; gives their places."""
    try:
        _check_end(archive)
    except OSError as error:
        raise RunError(f"'{archive}' cannot be read: {reason(error)}.") from error
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise RunError(f"'{archive}' would take more than {LARGEST / 1e9:g} GB unpacked.")
            places = [_place(archive, entry.filename) for entry in entries]
            for place, entry in zip(places, entries):
                _check_entry(archive, place, entry)
            if len({*places}) < len(places):
                twice = next(place for place, count in Counter(places).items() if count > 1)
                raise RunError(f"'{archive}' holds '{twice}' twice.")
            for place, entry in zip(places, entries):
                content = _read(file, entry)
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / place).write_bytes(content)
            return places
    except (RunError, OSError, MemoryError):
        raise
    except Exception as error:  # zipfile raises what it likes at a broken file
        said = " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
        said = said if said.isprintable() else type(error).__name__
        raise RunError(f"'{archive}' is not an archive of runs, or is damaged: {said}.") from error


def _read(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """An entry's content; never more than it says that it has."""
    with file.open(entry) as opened:
        content = opened.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise ValueError(f"'{entry.filename}' has another length than it says")
    return content


def _check_end(archive: Path) -> None:
    """RunError for what `zipfile` would read into memory without asking how much it is."""
    found = archive.stat()
    if not stat.S_ISREG(found.st_mode):
        raise RunError(f"'{archive}' is no file.")
    if found.st_size > LARGEST:
        raise RunError(f"'{archive}' has more than {LARGEST / 1e9:g} GB.")
    with archive.open("rb") as file:
        file.seek(max(found.st_size - 2**16 - END_LENGTH - LARGER_LENGTH, 0))
        tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < END_LENGTH:
        raise RunError(f"'{archive}' is not an archive of runs: it is no zip file, or is cut off.")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if LARGER in tail or length > LARGEST_CONTENTS:
        raise RunError(f"'{archive}' is not an archive of runs: it is made for more files.")


def _check_entry(archive: Path, place: Path, entry: zipfile.ZipInfo) -> None:
    largest = LARGEST_RECORD if place.suffix == ".json" else LARGEST_PICTURE
    if entry.file_size > largest:
        raise RunError(
            f"'{archive}' holds '{place}' of {entry.file_size / 1e6:.0f} MB; no file of that kind "
            f"is larger than {largest / 1e6:.0f} MB."
        )
    if entry.flag_bits & 0x1:
        raise RunError(f"'{archive}' cannot be read: '{place}' is encrypted.")
    if entry.compress_type not in PACKED:
        raise RunError(f"'{archive}' cannot be read: '{place}' is packed in an unknown way.")


def _place(archive: Path, name: str) -> Path:
    place = PurePosixPath(name)
    if place.name == "run.json" and len(place.parts) == 4:
        raise RunError(
            f"'{archive}' holds runs of format 2, this version reads {FORMAT}: "
            "make them again, or pack them anew with the version that made them."
        )
    if not name.isprintable() or max(map(len, place.parts), default=0) > 200:
        raise RunError(
            f"'{archive}' holds {name[:60]!r} …, which is no name of a stored run's file."
        )
    known = any(place.name.endswith(suffix) for suffix in SUFFIXES.values())
    known &= place.name not in SUFFIXES.values()  # a suffix is no name
    known &= not place.name.startswith(".")  # a picture may be called so
    known &= not any(part.startswith(".") for part in place.parts[:1])
    outside = place.is_absolute() or ".." in place.parts or "\\" in name
    outside |= any(":" in part for part in place.parts[:1])  # a drive
    if outside or not known or len(place.parts) != 3 or place.parts[0] in runs.OTHER_FOLDERS:
        raise RunError(f"'{archive}' holds '{name}', which is no part of a stored run.")
    return Path(*place.parts)


def _files(store: Path, path: Path) -> list[tuple[str, bytes]]:
    """Names and contents of a run's files; its record may come from a collection."""
    run = runs.check(runs.read(store / path))
    names = {what: beside(path, what).as_posix() for what in SUFFIXES}
    record = runs.record_at(store, path)
    part = [(names[w], (store / names[w]).read_bytes()) for w in run.sheets]
    return [*part, (names["record"], text(record).encode("utf-8"))]


def _zip(part: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in part:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            file.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
