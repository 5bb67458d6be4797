"""Stored results that are no runs: a JSON file each, the book's own where a store has none."""

from __future__ import annotations

import errno
import json
import os
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from dip_book.runs import placing
from dip_book.runs.record import reason
from dip_book.runs.spec import RunError
from dip_book.runs.store import ROOT

#: What has been read since `heard` began.
_READ: ContextVar[list[Path] | None] = ContextVar("read", default=None)


def of(store: Path, file: str) -> Path:
    """Where a result is read from: the store, or else the book's own."""
    own = Path(store) / file
    return own if own.exists() else ROOT / file


def read(path: Path, *keys: str) -> dict:
    """What a file of results holds; RunError for one that is damaged, or lacks one of the keys."""
    if (files := _READ.get()) is not None and path not in files:
        files.append(path)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError("it is no file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"There are no results '{path}': measure them, or call this in a clone of the book."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, reason(error)) from None
    if not isinstance(found, dict):
        raise _damaged(path, "it holds no results")
    for key in keys:
        if not isinstance(found.get(key), (dict, list)):
            raise _damaged(path, f"it has no {key}")
    return found


@contextmanager
def heard():
    """The files of results that are read within, a list."""
    token = _READ.set([])
    try:
        yield _READ.get()
    finally:
        _READ.reset(token)


@contextmanager
def sound():
    """Errors of what is made from files of results, within, are those files' faults: RunError.

    What lies deep in a file is looked at by whoever needs it, and by nobody else.
    """
    try:
        with heard() as files:
            yield
    except RunError:  # it is a ValueError, and has said what is wrong
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if not files:
            raise
        names = " or ".join(f"'{file}'" for file in files)
        why = f"there is no {error}" if isinstance(error, KeyError) else reason(error)
        raise RunError(
            f"{names} holds what it should not, or lacks something ({why}). It may be "
            "damaged, or of another version: remove it, or measure anew."
        ) from error


def check(path: Path) -> None:
    """OSError, before the work, where `write` could not write this file.  Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    placing.try_writing(path)


def write(path: Path, text: str) -> Path:
    """Write a file of results, whole or not at all: it may hold hours of work.  Gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    placing.write_whole(path, (text.rstrip("\n") + "\n").encode("utf-8"))
    return path


def _damaged(path: Path, why: str) -> RunError:
    return RunError(f"'{path}' is damaged: {why}. Remove it, or measure anew.")
