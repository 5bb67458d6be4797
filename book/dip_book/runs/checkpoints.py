"""A fit that was cut off goes on: its state, written to a file now and then.

A checkpoint is only continued with what it was made with: same picture, mask, recipe, seeds,
precision, kind of device, threads, versions.  Anything else would give a result that nobody could
repeat.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import dip_blocks
from dip_book.runs import placing
from dip_book.runs.provenance import code_digest, now
from dip_book.runs.record import reason


class Checkpoint:
    """The file of one fit; to be passed to `dip_blocks.restore` as ``resume=….state, watch=…``.

    Args:
        path: of the file.
        same: what must be equal for a fit to go on from it, as JSON can hold it; device and
            precision are to be among it.
        seconds: between two writings.

    Attributes:
        state: of the fit to go on from; None where there is nothing that can be continued.
        spent: seconds that went into the fit so far, earlier processes included.
        worked: seconds of a core that the process worked meanwhile, likewise.
        since: when the first of these processes began, as a record has it.
    """

    def __init__(self, path: Path, same: dict, seconds: float):
        self.path, self.seconds = path, seconds
        versions = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "code": code_digest(),
        }
        self.key = json.dumps(same | versions, sort_keys=True)
        self._set_aside()
        self.since = now()
        self.state, self.before, self.worked_before = self._load()
        self.fit: dip_blocks.Fit | None = None  # as last seen
        self.begun = self.written = time.perf_counter()
        self.working = time.process_time()

    @property
    def spent(self) -> float:
        return self.before + time.perf_counter() - self.begun

    @property
    def worked(self) -> float:
        return self.worked_before + time.process_time() - self.working

    def __call__(self, fit: dip_blocks.Fit) -> None:
        self.fit = fit
        if (
            time.perf_counter() - self.written >= self.seconds
            and fit.iteration < fit.recipe.iterations
        ):
            self._try_to_save(fit)
            self.written = time.perf_counter()

    def finish(self) -> None:
        """Keep the end of the fit: what resumes from it has nothing left to do."""
        if self.fit is not None:
            self._try_to_save(self.fit)

    def discard(self) -> None:
        """The fit has come to its end."""
        with suppress(OSError):  # it is swept up by who asks for the run again
            for path in (self.path, *asides(self.path)):
                path.unlink(missing_ok=True)

    def _try_to_save(self, fit: dip_blocks.Fit) -> None:
        """A full disk ends no fit."""
        try:
            self._save(fit)
        except (OSError, SafetensorError) as error:
            warnings.warn(f"No checkpoint could be written: {reason(error)}.", stacklevel=3)

    def _save(self, fit: dip_blocks.Fit) -> None:
        draft = self.path.with_suffix(f".{os.getpid()}.tmp")
        state = {
            name: tensor.contiguous() for name, tensor in fit.state().items()
        }  # colour in bf16 has its channels innermost
        about = {
            "key": self.key,
            "seconds": f"{self.spent:.3f}",
            "worked": f"{self.worked:.3f}",
            "since": self.since,
            "sha256": _digest(state),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)  # a clean-up may have taken it away
        for left in self.path.parent.glob(f"{glob.escape(self.path.stem)}.*.tmp"):
            left.unlink(missing_ok=True)  # of a process that died while it wrote
        try:
            save_file(state, draft, metadata=about)
            placing.to_disk(draft)
            os.replace(draft, self.path)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _set_aside(self) -> None:
        """A checkpoint of other settings makes room, and is found by who goes back to those.

        Hours of work may be in it: another commit, or another number of threads, is a slip.
        """
        other = _key(self.path)
        if other == self.key:
            return
        theirs = None if other is None else aside(self.path, other)
        with suppress(OSError):
            if theirs is not None:
                os.replace(self.path, theirs)
            for ours in asides(self.path):
                if _key(ours) == self.key:
                    os.replace(ours, self.path)
                    return
        if theirs is not None:
            then, now = json.loads(other), json.loads(self.key)
            names = [name for name in now if then.get(name) != now[name]]
            warnings.warn(
                f"{self.path.stem}: begun anew. The checkpoint at iteration "
                f"{iterations_in(theirs):,} is of another {', '.join(names)}; until this is done, "
                "whoever goes back to that goes on from it.",
                stacklevel=3,
            )

    def _load(self) -> tuple[dict | None, float, float]:
        try:
            with safe_open(self.path, framework="pt") as file:
                if file.metadata()["key"] != self.key:
                    return None, 0.0, 0.0
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
                about = file.metadata()
            if about["sha256"] != _digest(tensors):
                warnings.warn(
                    f"The checkpoint {self.path.name} is damaged: begun anew.", stacklevel=2
                )
                return None, 0.0, 0.0
            self.since = about.get("since", self.since)
            return tensors, float(about["seconds"]), float(about["worked"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None, 0.0, 0.0


def _digest(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 of all names and numbers: a flipped bit would be another result."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode())
        found.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def aside(path: Path, key: str) -> Path:
    """Where a checkpoint of these settings lies while another, of other ones, is in its place.

    Settings may be changed more than once, and none of these takes another's place.
    """
    return path.with_suffix(f".{hashlib.sha256(key.encode()).hexdigest()[:8]}.other")


def asides(path: Path) -> list[Path]:
    """All that lie aside; also the one without a digest, of an earlier version."""
    digest = 8 * "[0-9a-f]"
    found = sorted(path.parent.glob(f"{glob.escape(path.stem)}.{digest}.other"))
    return found + [old for old in (path.with_suffix(".other"),) if old.exists()]


def _key(path: Path) -> str | None:
    """What a checkpoint was made with; None where there is none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            key = file.metadata()["key"]
        return key if isinstance(json.loads(key), dict) else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        return None


def is_left(path: Path, started: str) -> bool:
    """Is it of a run that has been stored since, by a process that died before it was removed?

    One that was begun later may be hours of making that run anew.

    Args:
        started: when the process began that stored the run, as its record has it.
    """
    if not iterations_in(path):
        return True
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata()["since"] <= started
    except (OSError, SafetensorError, KeyError, TypeError):
        return True


def iterations_in(path: Path) -> int:
    """How far a checkpoint has got; 0 where there is none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_slice("history").get_shape()[0]
    except (OSError, SafetensorError):
        return 0
