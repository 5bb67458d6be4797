"""Commands that are killed: at any line of ours, or at any time."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import dip_book
from attacks import Attack
from attacks._apart import apart
from attacks._jobs import JOBS, act, finished, prepare, sound
from attacks._store import content, made

SECONDS = 120
HERE = Path(dip_book.__file__).parent
#: Where files are written; a death elsewhere is a death between two of these lines.
WHERE = tuple(
    str(HERE / name)
    for name in (
        "runs/placing.py", "runs/store.py", "runs/record.py", "runs/archives.py",
        "runs/checkpoints.py", "runs/sweeps.py", "restoring/files.py", "restoring/photos.py",
    )
)  # fmt: skip


def _trace(last: int):
    """Count lines; end the process without a word when so many have begun."""
    lines = [0]

    def trace(frame, event, argument):
        if frame.f_code.co_filename not in WHERE:
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == last:
                os._exit(9)
        return trace

    sys.settrace(trace)
    return lines


@cache
def _measured(job: str) -> tuple[int, float]:
    """Lines and seconds of a job that nobody disturbs."""
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        _prepared(Path(folder), job)

        def work():
            lines = _trace(-1)
            assert act(Path(folder), job)[0] == 0
            sys.settrace(None)
            finished(Path(folder), job)
            return lines[0]

        found = apart(work, seconds=SECONDS)
        return found["value"], found["seconds"]


def _prepared(folder: Path, job: str) -> None:
    """In a process of its own: what it puts in the place of ours is gone with it."""
    made()
    apart(lambda: prepare(folder, job), seconds=SECONDS)


def _killed(folder: Path, job: str, line: int | None, after: float) -> bool:
    """Start a job and kill it at a line, or after some seconds; did it die?"""
    child = os.fork()
    if child == 0:
        try:
            if line is not None:
                _trace(line)
            act(folder, job)
        finally:
            os._exit(0)
    if line is None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def killed(rng, folder):
    """Once or twice; then the same command finishes."""
    job = str(rng.choice(JOBS))
    lines, seconds = _measured(job)
    _prepared(folder, job)
    before = content(folder / "store")
    words, died = "", False
    for _ in range(int(rng.integers(1, 3))):
        at_line = rng.random() < 0.8
        line = int(rng.integers(1, lines + 1)) if at_line else None
        died |= _killed(folder, job, line, float(rng.random() * seconds))
        words = apart(lambda: sound(folder, job, before), seconds=SECONDS)["value"]

    def work():
        status, said = act(folder, job)
        assert status == 0, said
        finished(folder, job)
        return status

    apart(work, seconds=SECONDS)
    return f"{job}: killed, {words}" if died else "not killed in time"


ATTACKS = [
    Attack(
        "kills",
        "A command that is killed leaves the old or the new in its place and everything else as it "
        "was; the same command finishes the work and sweeps up.",
        killed,
        few=2,
    )
]
