"""What an attempt does in a process of its own: measured, ended when it hangs, heard if it dies."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

#: Unused memory of a process that was forked is what it had before: only what comes on top counts.
_STATUS = Path("/proc/self/status")


class HungError(AssertionError):
    """The work took longer than it may."""


class DiedError(AssertionError):
    """The process ended without a word: a fault of a library, or of memory."""


def peak() -> int | None:
    """Largest memory of this process so far, in bytes; None where the system does not say."""
    try:
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())[1])
    except (OSError, TypeError):
        return None


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def apart(work: Callable[[], object], *, seconds: float, noise: Path | None = None) -> dict:
    """Do something in a forked process.

    Args:
        work: gives something that JSON holds.
        seconds: of a core, after which the process is killed; and it is, if it only waits, after
            ten times as long.
        noise: a file for what is written to stdout and stderr meanwhile, libraries' words too.

    Returns:
        ``value``; ``bytes``, of memory that came on top, or None; ``seconds``.

    Raises:
        HungError, DiedError; AssertionError with the traceback of whatever ``work`` raised.
    """
    reading, writing = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        limit = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        _child(work, writing, noise)
    os.close(writing)
    try:
        said = _received(reading, begun + 10 * seconds)
        if said is None:
            os.kill(child, signal.SIGKILL)
            raise HungError(f"it waited for more than {10 * seconds:g} s")
    finally:
        os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGXCPU:
        raise HungError(f"it worked for more than {seconds:g} s")
    if not said:
        raise DiedError(f"the process ended with {status}")
    answer = json.loads(said)
    if "error" in answer:
        raise AssertionError(answer["error"])
    return answer | {"seconds": time.monotonic() - begun}


def _child(work: Callable[[], object], writing: int, noise: Path | None) -> None:
    try:
        if noise is not None:
            os.set_inheritable(writing, True)
            file = os.open(noise, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
        _forget_peak()
        before = peak()
        value = work()
        answer = {"value": value, "bytes": None if before is None else peak() - before}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    try:
        with os.fdopen(writing, "w") as pipe:
            json.dump(answer, pipe)
    finally:  # also where the parent is gone: or this process would go on as if it were that one
        os._exit(0)


def _received(reading: int, until: float) -> str | None:
    """All that the child says; None if it says nothing in time."""
    parts = []
    while True:
        ready, _, _ = select.select([reading], [], [], max(until - time.monotonic(), 0))
        if not ready:
            return None
        part = os.read(reading, 65536)
        if not part:
            return b"".join(parts).decode()
        parts.append(part)
