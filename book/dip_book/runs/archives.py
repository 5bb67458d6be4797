"""Stored runs as zip archives: the files that each has, or would have, of its own."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import filelock

from dip_book.runs import placing
from dip_book.runs import store as runs
from dip_book.runs.placing import SUFFIXES, beside
from dip_book.runs.record import FORMAT, Run, text
from dip_book.runs.spec import RunError

LARGEST = 2e9  # bytes that an archive may unpack to
LARGEST_RECORD, LARGEST_PICTURE = 16e6, 128e6  # bytes; of 60,000 iterations, of 16,383² pixels


def pack(paths: list[Path], store: Path, target: Path, limit_mb: float = 15) -> list[Path]:
    """Copy stored runs into zip archives, to be moved and unpacked elsewhere.

    Args:
        paths: of the runs, relative to the store, see `Spec.path`.
        target: the archives are called ``<target>-1.zip``, ``<target>-2.zip``, …
        limit_mb: size of each at most, in 10⁶ bytes.

    Returns the archives' paths.  Raises RunError when there is nothing to pack, a run is damaged,
    or one run alone is over the limit.
    """
    if not paths:
        raise RunError(f"There is no stored run to pack in {store}.")
    limit, parts = limit_mb * 1e6, []
    for path in paths:
        part = _files(store, path)
        if len(_zip(part)) > limit:
            raise RunError(f"{path} alone is over {limit_mb:g} MB: allow larger archives.")
        if parts and len(_zip([*parts[-1], *part])) <= limit:
            parts[-1] += part
        else:
            parts.append(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    archives = []
    for number, part in enumerate(parts, 1):
        archives.append(target.parent / f"{target.name}-{number}.zip")
        archives[-1].write_bytes(_zip(part))
    return archives


def unpack(archive: Path, store: Path = runs.ROOT) -> list[tuple[Path, str]]:
    """Bring the runs of an archive into a store.

    Returns each run's path and "new", "there already", "kept ours" (the archive's differs from it)
    or "left alone: …".  A run that is stored already is never replaced.

    Raises RunError for a file that is missing, is no archive of runs, or holds a damaged one;
    nothing is stored then.  And for a store that cannot be written to.
    """
    contents = _contents(archive)
    try:
        with placing.draft(store, "unpack") as drafts:
            for place, content in contents.items():
                (drafts / place).parent.mkdir(parents=True, exist_ok=True)
                (drafts / place).write_bytes(content)
            try:
                found = runs.paths(drafts)
                described = {path: _whole(runs.read(drafts / path)).sheets for path in found}
            except RunError as error:
                raise RunError(str(error).replace(str(drafts), str(archive))) from error
            if not found:
                raise RunError(f"{archive} holds no stored run.")
            known = {
                beside(path, what)
                for path, sheets in described.items()
                for what in ("record", *sheets)
            }
            if strange := sorted(str(place) for place in contents if place not in known):
                raise RunError(f"{archive} holds '{strange[0]}', which no run of it describes.")
            return [(path, _bring(drafts, path, store)) for path in found]
    except OSError as error:
        raise RunError(f"{archive} cannot be unpacked into {store}: {error}.") from error


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
            return "there already" if _same(drafts, store, path) else "kept ours"
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


def _contents(archive: Path) -> dict[Path, bytes]:
    """Where in a store the files of an archive belong, and what is in them."""
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise RunError(f"{archive} would take more than {LARGEST / 1e9:g} GB unpacked.")
            places = [_place(archive, entry.filename) for entry in entries]
            for place, entry in zip(places, entries):
                largest = LARGEST_RECORD if place.suffix == ".json" else LARGEST_PICTURE
                if entry.file_size > largest:
                    raise RunError(
                        f"{archive} holds '{place}' of {entry.file_size / 1e6:.0f} MB; no file of "
                        f"that kind is larger than {largest / 1e6:.0f} MB."
                    )
            return {place: file.read(entry) for place, entry in zip(places, entries)}
    except OSError as error:
        raise RunError(f"{archive} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise RunError(f"{archive} is not an archive of runs: {error}.") from error
    except RuntimeError as error:  # a password, or a compression that is not known here
        raise RunError(f"{archive} cannot be read: {error}.") from error


def _place(archive: Path, name: str) -> Path:
    place = PurePosixPath(name)
    if place.name == "run.json" and len(place.parts) == 4:
        raise RunError(
            f"{archive} holds runs of format 2, this version reads {FORMAT}: "
            "make them again, or pack them anew with the version that made them."
        )
    if not name.isprintable() or max(map(len, place.parts), default=0) > 200:
        raise RunError(f"{archive} holds {name[:60]!r} …, which is no name of a stored run's file.")
    known = any(place.name.endswith(suffix) for suffix in SUFFIXES.values())
    known &= place.name not in SUFFIXES.values()  # a suffix is no name
    outside = place.is_absolute() or ".." in place.parts or "\\" in name
    outside |= any(":" in part for part in place.parts[:1])  # a drive
    if outside or not known or len(place.parts) != 3 or place.parts[0] in runs.OTHER_FOLDERS:
        raise RunError(f"{archive} holds '{name}', which is no part of a stored run.")
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
