"""A picture of yours: from a file with holes to a file without, and many at once.

What can be wrong is found out before any work.  The first picture is on disk within seconds and is
replaced by better ones; an interrupt keeps the last, and the same call goes on.  What going on
needs lies in the user's cache, a folder for each result; nothing of it lies beside the pictures.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

import filelock
import numpy as np

import dip_blocks
from dip_book import images, runs, words
from dip_book.images import ImageError
from dip_book.restoring import core, files, masks
from dip_book.runs.spec import MOST_ITERATIONS, brief, is_number, lacks_memory

#: Where no terminal follows: seconds between lines that only say how far it is.
PLAIN_S = 30.0
#: A picture on the way is written when at least so many times as long as writing takes has passed.
SELDOM = 20.0
#: What going on needs is kept for so many days after it was last used.
KEPT_DAYS = 30
JOB = "job.json"
MARK = "restoration of a picture, deep-image-prior-rebuilt"
#: What may go wrong with one picture, and leaves the others to be restored.
EXPECTED = (ImageError, runs.RunError, dip_blocks.DivergenceError, OSError, MemoryError)


class Unfinished(RuntimeError):
    """The work was interrupted; the message says what there is so far and how to go on."""


def restore(
    picture: str | Path,
    to: str | Path | None = None,
    *,
    mask: str | Path | None = None,
    invert: bool = False,
    missing: str | None = None,
    tolerance: float | None = None,
    grow: int = 0,
    minutes: float | None = None,
    recipe: str | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    smaller: bool = False,
    again: bool = False,
    say: Callable[[str], None] | None = print,
) -> Path:
    """Fill in the missing pixels of a picture file, and write the result.

    Known pixels stay as they are, to the last of their bits, and so do size, depth, transparency,
    colour profile, EXIF, XMP, IPTC and DPI; JPEG alone changes pixels.  That is said, and so is
    what the result's format has no place for.

    Args:
        picture: see `files.read`.
        to: the file that is written, PNG, JPEG, TIFF or WebP by suffix, or a folder for it; if
            None, the picture's name with "-restored.png", in the current folder.
        mask, invert, missing, tolerance, grow: see `masks.find`; a mask may be a folder that holds
            one of the picture's name.
        minutes, recipe, iterations, seed, device, precision, smaller: see `core.fill`; its own
            defaults where None.
        again: begin anew, and write over a result that is there already.
        say: takes each line of what is to be said; None: nothing is.

    Returns:
        The written file's path: another than ``to`` where somebody has changed the picture so far
        while this worked, or where a file that is there may not be replaced; theirs stays.

    Raises:
        ImageError: see `files.read`, `masks.find`, `files.check_target`; a file that is there
            already and is not the result of this very restoration.
        RunError: see `core.fill`; a restoration that was begun with another picture or mask.
        Unfinished: after an interrupt.  The picture so far is written, and the same call goes on.
    """
    for path, needed in ((picture, True), (to, False), (mask, False)):
        _check_path(path, needed)
    _check_values(minutes, iterations, seed, recipe, device, precision)
    # as JSON can hold them, in whichever kind they came
    seed, smaller = int(seed), bool(smaller)
    minutes = None if minutes is None else float(minutes)
    iterations = None if iterations is None else int(iterations)
    to = target(picture, to)
    mask = None if mask is None else mask_of(picture, mask)
    files.check_target(to, [picture] if mask is None else [picture, mask])
    photo = files.read(picture)
    found = masks.find(photo, mask, invert=invert, missing=missing, tolerance=tolerance, grow=grow)
    losses = photo.losses(to, found.alpha)
    settings = {
        "recipe": recipe, "seed": seed, "device": device, "precision": precision,
        "smaller": smaller,
    }  # fmt: skip
    asked = {"minutes": minutes, "iterations": iterations}
    wanted = {name: value for name, value in (settings | asked).items() if value is not None}
    said = Saying(say)
    with Job.of(to) as job:
        going_on = job.begin(photo, found, again)
        if going_on and job.is_done(settings, asked):
            said.line(
                f"'{to}' is there already, restored from '{picture}'. Go on with --minutes 5 "
                "(minutes=5), or begin anew with --again (again=True)."
            )
            return to
        image = photo.floats(found.known)
        for line in (_described(photo, found, image), *photo.notes, *found.notes, *losses):
            said.line(line)
        showing = Showing(photo, found, to, job, said, {"settings": settings} | asked)
        showing.least = job.facts.get("done", 0.0) if going_on else 0.0
        try:
            filled = core.fill(
                showing.cut(image), showing.cut(found.known), work=job.work,
                again=again, progress=showing, **wanted,
            )  # fmt: skip
            interrupted = filled.interrupted
            if not interrupted or showing.done >= showing.least:
                showing.finish(filled.image)
        except KeyboardInterrupt:  # before there was anything, or while it was written
            interrupted = True
        finally:
            said.end()
        if interrupted:
            raise Unfinished(_so_far(to, showing, job.work is not None, again))
        job.note(finished=True, done=1.0, report=filled.report)
        for line in (filled.said, f"Written: {showing.to}"):
            if line:
                said.line(line)
    return showing.to


def restore_all(
    pictures: list[str | Path] | str | Path,
    to: str | Path | None = None,
    *,
    mask: str | Path | None = None,
    say: Callable[[str], None] = print,
    complain: Callable[[str], None] | None = None,
    **options,
) -> int:
    """`restore` for one picture after the other; what fails does not keep the others from it.

    Args:
        pictures: files, or one file.
        to: for more than one, a folder, which is made if only it is missing.
        mask: one for all, or a folder with one of each picture's name.
        complain: takes what is wrong with a picture; stderr if None.
        options: as in `restore`.

    Returns:
        0; 1 if some failed, 2 if all did; after an interrupt 128 and the signal's number, as shells
        have it (130 for Ctrl-C).

    Raises:
        ImageError: before any work: two pictures with one result, a target that is no folder, a
            result that would take the place of another picture (with ``again``).
    """
    several = isinstance(pictures, Iterable) and not isinstance(pictures, (str, os.PathLike))
    pictures = [*pictures] if several else [pictures]
    for path in pictures:
        _check_path(path, needed=True)
    for path in (to, mask):
        _check_path(path)
    complain = complain or (lambda line: words.told(line, file=sys.stderr))
    targets = _targets(pictures, to)
    if options.get("again"):
        _check_given(targets, mask)
    failed = 0
    with stopped_by_signals() as stopped:
        written = {}  # a file → the picture that was restored into it
        for number, (picture, result) in enumerate(targets.items()):
            if len(targets) > 1:
                Saying(say).line(f"[{number + 1}/{len(targets)}] {picture}")
            try:
                _check_written(result, written)
                restore(picture, result, mask=mask, say=say, **options)
            except (Unfinished, KeyboardInterrupt) as end:
                what = str(end) if isinstance(end, Unfinished) else "Stopped; nothing is written."
                if rest := len(targets) - number - 1:
                    what += f" Not begun: {rest} more."
                Saying(say).line(what)
                return 128 + (stopped[0] if stopped else signal.SIGINT)
            except BrokenPipeError:  # nobody reads on
                raise
            except (*EXPECTED, RuntimeError) as error:
                if not isinstance(error, EXPECTED) and not lacks_memory(error):
                    raise
                failed += 1
                complain(_in_words(error, picture))
            if os.path.exists(result):
                written.setdefault(files.identity(result), picture)
    if failed and len(targets) > 1:
        complain(f"{failed} of {len(targets)} pictures were not restored.")
    return 0 if not failed else 2 if failed == len(targets) else 1


def load_damaged(
    picture: str | Path, mask: str | Path | None = None, **options
) -> tuple[np.ndarray, np.ndarray]:
    """A damaged picture as arrays, for `dip_blocks.restore` or `core.fill`.

    Args:
        picture, mask, options: see `files.read` and `masks.find`, with its errors.

    Returns:
        x̂: float32 in [0, 1], (H, W) or (H, W, 3), 0 at missing pixels; m: bool, (H, W).
    """
    for path, needed in ((picture, True), (mask, False)):
        _check_path(path, needed)
    photo = files.read(picture)
    known = masks.find(photo, mask, **options).known
    return photo.floats(known), known


def _check_path(path: str | Path | None, needed: bool = False) -> None:
    """ImageError for what no system takes for a path, and for what is none."""
    if path is None and not needed:
        return
    if not isinstance(path, (str, os.PathLike)):
        raise ImageError(
            f"A picture, a mask and a result are named by their paths, not {type(path).__name__}: "
            "for arrays there is dip_book.restoring.core.fill."
        )
    if images.no_path(path):
        raise ImageError(f"'{brief(path)}' is no path: it is too long, or has a zero byte.")


def _check_values(minutes, iterations, seed, recipe, device, precision) -> None:
    """RunError for what is no such number or word, before a file is touched."""
    given = {"recipe": recipe, "device": device, "precision": precision}
    for name, word in given.items():
        if word is not None and not isinstance(word, str):
            raise runs.RunError(f"{name} is a word, not {brief(repr(word))}.")
    if not is_number(seed, Integral) or not 0 <= seed < 2**63:
        raise runs.RunError(f"A seed is a number from 0 to 2⁶³ − 1, not {brief(seed)}.")
    if minutes is not None and not (is_number(minutes, Real) and 0 < minutes < 1e6):
        raise runs.RunError(f"Minutes: a number above 0, not {brief(minutes)}.")
    if iterations is not None and not (
        is_number(iterations, Integral) and 1 <= iterations <= MOST_ITERATIONS
    ):
        raise runs.RunError(f"Iterations: from 1 to {MOST_ITERATIONS:,}, not {brief(iterations)}.")


def _in_words(error: Exception, picture: str | Path) -> str:
    if lacks_memory(error):
        return f"'{picture}' does not fit into this machine's memory: shrink it."
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"'{brief(error.filename)}': {error.strerror}."
    return "".join(letter if letter.isprintable() else "?" for letter in str(error))


def _so_far(to: Path, showing: Showing, kept: bool, again: bool) -> str:
    if showing.written:
        what = f"The picture so far is in '{showing.to}'"
    else:
        what = f"'{to}' is as it was" if to.exists() else "There is no picture yet"
    further = "goes on" if kept else "begins anew"
    if kept and again:  # which would throw away what there is
        further = "without --again (again=True) goes on"
    if showing.to != to:
        further += f", once '{to}' is moved away"
    elif again and not showing.written and to.exists():  # without it, that is somebody's
        further = "begins anew"
    return f"Stopped. {what}; the same command {further}."


def _described(photo: files.Photo, found: masks.Missing, image: np.ndarray) -> str:
    (width, height), missing = photo.size, int(found.filled.sum())
    kind = "colour" if image.ndim == 3 else "grey"
    return (
        f"{width}×{height} pixels, {kind}, {photo.bits} bits; {missing:,} of them "
        f"({missing / found.filled.size:.1%}) are missing."
    )


# Where to, and with which mask --------------------------------------------------------------------


def target(picture: str | Path, to: str | Path | None) -> Path:
    """The file that a restoration of this picture is written to."""
    name = f"{Path(picture).stem}-restored.png"
    if to is None:
        return Path(name)
    if Path(to).is_dir() or str(to).endswith(("/", os.sep)):
        return Path(to) / name
    return Path(to)


def _targets(pictures: list, to: str | Path | None) -> dict[Path, Path]:
    pictures = list(dict.fromkeys(Path(picture) for picture in pictures))
    folder = to is not None and (
        len(pictures) > 1 or Path(to).is_dir() or str(to).endswith(("/", os.sep))
    )
    if folder and not Path(to).is_dir():
        to = Path(to)
        if len(pictures) > 1 and to.suffix.lower() in files.WRITTEN:
            raise ImageError(
                f"{len(pictures)} pictures do not fit into one file: give --to a folder, not "
                f"'{to}'."
            )
        if to.exists():
            raise ImageError(f"'{to}' is a file: give --to a folder.")
        if not to.absolute().parent.is_dir():
            raise ImageError(f"There is no folder '{to.parent}' to make '{to}' in.")
        to.mkdir()
    targets = {picture: target(picture, to) for picture in pictures}
    seen: dict[str, Path] = {}
    for picture, result in targets.items():
        if (other := seen.setdefault(os.path.realpath(result), picture)) != picture:
            raise ImageError(
                f"'{other}' and '{picture}' would both be written to '{result}': restore them one "
                "by one, with --to."
            )
    return targets


def _check_given(targets: dict[Path, Path], mask: str | Path | None) -> None:
    """ImageError for a result that is another of the pictures, as "*.png" names them, or its mask.

    A picture's own mask is looked at when it is its turn.
    """
    given = {os.path.realpath(picture): picture for picture in targets}
    masks = {}
    for picture in targets if mask is not None else ():
        with contextlib.suppress(ImageError, OSError):  # said when it is its turn
            masks[os.path.realpath(mask_of(picture, mask))] = picture
    for picture, result in targets.items():
        if (other := masks.get(os.path.realpath(result), picture)) != picture:
            raise ImageError(
                f"'{result}' is the mask of '{other}', and what '{picture}' would be written over "
                "(--again): choose another folder with --to."
            )
        if (other := given.get(os.path.realpath(result), picture)) != picture:
            raise ImageError(
                f"'{other}' is a picture to restore, and what '{picture}' would be written over "
                "(--again): leave one of them out, or choose a folder with --to."
            )


def _check_written(result: Path, written: dict[tuple[int, int], Path]) -> None:
    """ImageError for the result of an earlier picture, by another name.

    On many disks "A-restored.png" and "a-restored.png" are one file.
    """
    if os.path.exists(result) and (picture := written.get(files.identity(result))) is not None:
        raise ImageError(
            f"'{result}' is the file that '{picture}' was restored into: restore this one by "
            "itself, with --to."
        )


def mask_of(picture: str | Path, mask: str | Path) -> Path:
    """The mask of a picture: the file itself, or in a folder the one of the picture's name.

    ImageError where there is none, or more than one, or it is the picture itself.
    """
    mask, picture = Path(mask), Path(picture)
    if not mask.is_dir():
        if files.same_file(mask, picture):
            raise ImageError(f"'{mask}' is the picture itself: its mask is another file.")
        return mask
    of_it = [path for path in mask.iterdir() if path.stem == picture.stem and path.is_file()]
    named = sorted(path for path in of_it if not files.same_file(path, picture))
    if mask / picture.name in named:
        return mask / picture.name
    if len(named) == 1:
        return named[0]
    if not named:
        raise ImageError(f"'{mask}' holds no mask of the name '{picture.stem}'.")
    raise ImageError(
        f"'{mask}' holds {len(named)} masks for '{picture.name}': "
        f"{', '.join(path.name for path in named)}; leave one."
    )


# While it works -----------------------------------------------------------------------------------


class Saying:
    """Lines for a reader; on a terminal, progress replaces its own line."""

    def __init__(self, say: Callable[[str], None] | None):
        self.say = say
        self.live = say is print and _on_a_terminal() and os.environ.get("TERM") != "dumb"
        self.open, self.shown, self.last = False, "", -np.inf

    def line(self, text: str) -> None:
        """One that stays."""
        if self.open and text == self.shown:
            words.live("\r\x1b[K", end="")  # it stands there already, perhaps cut off
            self.open = False
        self.end()
        if self.say is print:
            words.told(text)  # at once, also into a file or a pipe
        elif self.say is not None:
            self.say(text)

    def passing(self, text: str, weighty: bool) -> None:
        """One that the next replaces; where nothing can be replaced, only now and then."""
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            line = words.encodable(words.plain(text)[:width], sys.stdout)
            words.live(f"\r\x1b[K{line}", end="")
            self.open, self.shown = True, text
        elif weighty or time.monotonic() - self.last >= PLAIN_S:
            self.line(text)
            self.last = time.monotonic()

    def end(self) -> None:
        """Leave the line that was to be replaced as it is."""
        if self.open:
            words.live()
            self.open = False


def _on_a_terminal() -> bool:
    """Is stdout one?  A script may have put something in its place that is no whole stream."""
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # no stream at all, as under pythonw; or a closed one
        return False


class Showing:
    """What `core.fill` calls: says how far it is, and puts the picture so far on disk.

    Attributes:
        least: pictures are written from this share of the work on: where a result of an earlier
            call lies, none that is worse replaces it.
        done: the share of the work, 0 to 1, that is done.
        to: where pictures go; a new name from when somebody else has changed the file there.
        written: has a picture been written?
    """

    def __init__(
        self,
        photo: files.Photo,
        found: masks.Missing,
        to: Path,
        job: Job,
        said: Saying,
        settings: dict,
    ):
        self.photo, self.found, self.to, self.job, self.said = photo, found, to, job, said
        self.settings = settings
        self.least = self.done = self.next = 0.0
        self.written = False
        self.there = _sha256(job.file)  # what lies there: of an earlier call, or to be written over
        of_use = found.known | found.filled
        rows, columns = np.flatnonzero(of_use.any(1)), np.flatnonzero(of_use.any(0))
        self.box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def cut(self, array: np.ndarray) -> np.ndarray:
        """Without a border that stays transparent."""
        return np.ascontiguousarray(array[self.box])

    def __call__(self, progress: core.Progress) -> None:
        self.done, first = progress.done, False
        due = time.monotonic() >= self.next and self.done >= self.least
        if progress.image is not None and due and self.done < 1:  # the last one is written anyway
            before, begun = self.written, time.monotonic()
            self._try_to_write(progress.image)
            first = self.written and not before
            self.next = time.monotonic() + SELDOM * (time.monotonic() - begun)
        if self.done == 1:  # this line is said when its picture is written
            return
        text = progress.said.split(" are missing. ", 1)[-1]  # that has been said, of all of it
        text += f" The picture so far is in '{self.to}'." if first else ""
        self.said.passing(text, weighty=first or self.said.last == -np.inf)

    def _try_to_write(self, image: np.ndarray) -> None:
        """A picture on the way.  A disk that is full ends no work: the result is tried anyway."""
        try:
            self.write(image)
        except OSError as error:
            why = error.strerror or error
            self.said.line(f"The picture so far could not be written ({why}); the work goes on.")

    def finish(self, image: np.ndarray) -> None:
        """The last picture.  It goes beside a file that may not be replaced: hours are in it.

        Such is another's in a folder that all may write to, one that is protected, or one that is
        mounted by itself, as into a container.
        """
        try:
            self.write(image)
        except OSError as error:
            kept = isinstance(error, PermissionError) or error.errno == errno.EBUSY
            if not kept or not os.path.lexists(self.job.file):
                raise
            self._step_aside(f"cannot be replaced ({error.strerror or error})")
            self.write(image)

    def write(self, image: np.ndarray) -> None:
        """The picture so far, as the result."""
        pixels = self.photo.merged(image, self.found.filled, self.found.known, self.box)
        content = self.photo.encoded(self.to, pixels, self.found.alpha)
        digest = hashlib.sha256(content).hexdigest()
        if _sha256(self.job.file) not in (None, self.there):
            self._step_aside("has been changed meanwhile")
        self.job.note(next=digest)  # before: whoever is killed between the two finds his own again
        files.write_whole(self.job.file, content)
        self.written, self.there = True, digest
        self.job.note(written=digest, finished=False, done=self.done, **self.settings)

    def _step_aside(self, why: str) -> None:
        """The file there is somebody else's, retouched meanwhile, say: what follows goes beside."""
        theirs, file, number = self.to, self.job.file, 2
        while os.path.lexists(file.with_name(self.to.name)):
            self.to = theirs.with_name(f"{theirs.stem}-{number}{theirs.suffix}")
            number += 1
        self.job = Job(self.to, None)  # theirs is no result of this job any more
        self.job.begun = file.absolute().with_name(self.to.name)
        self.said.line(f"'{theirs}' {why}, and stays as it is: the picture goes to '{self.to}'.")


@contextlib.contextmanager
def stopped_by_signals():
    """SIGTERM and SIGHUP stop as Ctrl-C does: what is there is kept.

    Gives a list, to which the signal is added.  A signal that is ignored (by nohup) stays so.
    One in a destructor comes once more, because Python shows that and forgets it.
    """
    stopped: list[int] = []

    def stop(number, frame):
        stopped.append(number)
        raise KeyboardInterrupt

    def forgotten(found):
        if not issubclass(found.exc_type, KeyboardInterrupt):
            return show(found)
        again = (stopped or [signal.SIGINT])[0]
        threading.Timer(0.05, _thread.interrupt_main, [again]).start()  # when it is over
        return None

    show = sys.unraisablehook
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in names):
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
        sys.unraisablehook = forgotten
    try:
        yield stopped
    finally:
        if sys.unraisablehook is forgotten:
            sys.unraisablehook = show
        for number, handler in before.items():
            signal.signal(number, handler)


# What going on needs ------------------------------------------------------------------------------


@dataclass
class Job:
    """What is known of the restoration that a file is the result of; in the user's cache.

    Attributes:
        to: the result.
        folder: of the job; None where none can be kept, and then nothing can go on.
        facts: what its record says: the digests of the picture's pixels, of what is missing, and of
            the result as it was written last; the settings; whether it came to its end.
        begun: the result's whole path, as its reader stood at the beginning.
        placed: where that led, behind links, at the beginning: what `place` knows the folder by.
    """

    to: Path
    folder: Path | None
    facts: dict = field(default_factory=dict)

    def __post_init__(self):
        self.begun = self.to.absolute()
        self.placed = os.path.realpath(self.to)

    @property
    def file(self) -> Path:
        """The result, also where a notebook's %cd has changed the folder since."""
        return self.to if self.to.absolute() == self.begun else self.begun

    @classmethod
    @contextlib.contextmanager
    def of(cls, to: Path):
        """The job of a result, for this process alone; RunError where another one has it."""
        with contextlib.suppress(OSError):
            _forget_old()
        try:
            folder = place(to)
            if to.exists():
                _follow(to, folder)
            folder.mkdir(parents=True, exist_ok=True)
            facts = _record(folder)
            if facts is None and not _is_ours(folder):
                folder = None
        except OSError:
            folder = None
        lock = None if folder is None else filelock.FileLock(folder / "lock", timeout=0)
        try:
            if lock is not None:
                lock.acquire()
        except filelock.Timeout:
            raise runs.RunError(
                f"Another process is restoring into '{to}': wait for it, or choose another name."
            ) from None
        except (OSError, NotImplementedError):  # a disk without locks: nothing is kept there
            lock = None
        if lock is None:
            yield cls(to, None)
            return
        try:
            yield cls(to, folder, _record(folder) or {})
        finally:
            lock.release()

    @property
    def work(self) -> Path | None:
        """A folder for checkpoints."""
        if self.folder is None:
            return None
        try:
            (self.folder / "fit").mkdir(exist_ok=True)
        except OSError:
            return None
        return self.folder / "fit"

    def is_done(self, settings: dict, asked: dict) -> bool:
        """Did it come to its end with these settings, and is no more asked for now?

        Args:
            asked: "minutes" and "iterations", or None.
        """
        return (
            self.facts.get("finished", False)
            and self.facts.get("settings") == settings
            and asked["minutes"] is None
            and asked["iterations"] in (None, self.facts.get("iterations"))
        )

    def begin(self, photo: files.Photo, found: masks.Missing, again: bool) -> bool:
        """Is there a result of this job already, to go on from?

        Raises ImageError for a file that is there and was not written by this job, RunError for
        another picture or mask, unless ``again``.
        """
        same = {
            "picture": _digest(photo.pixels),
            "missing": _digest(found.filled, found.known),
        }
        other = [key for key, digest in same.items() if self.facts.get(key) != digest]
        there = self.file.exists()
        ours = there and _sha256(self.file) in _written(self.facts)
        if there and not again:
            if not ours:
                raise ImageError(
                    f"'{self.to}' is there already: choose another name, or write over it with "
                    "--again (again=True)."
                )
            if other:
                names = {"picture": "pixels of the picture", "missing": "missing pixels"}
                raise runs.RunError(
                    f"'{self.to}' was made from other {' and other '.join(map(names.get, other))}: "
                    "choose another name, or begin anew with --again (again=True)."
                )
            if self.facts.get("to") != self.placed:  # moved: from now on a copy is known as one
                self.note()
            return True
        if other or again:
            if self.folder is not None:
                if not ours:  # of a result that is gone, perhaps with another file in its place
                    with contextlib.suppress(OSError):
                        _set_aside(self.folder, self.facts)
                if other:
                    shutil.rmtree(self.folder / "fit", ignore_errors=True)
            self.facts = same
            self.note()
        return False

    def note(self, **facts) -> None:
        """Write facts down."""
        self.facts |= facts
        if self.folder is not None:
            record = {**self.facts, "what": MARK, "to": self.placed}
            with contextlib.suppress(OSError):  # a full disk: then nothing can go on
                files.write_whole(self.folder / JOB, json.dumps(record, indent=1).encode())


def work_root() -> Path:
    """Where jobs lie: a folder for each result; OSError where there is no place for them."""
    return images.cache() / "restore"


def place(to: Path) -> Path:
    """The folder of the job whose result this file is; errors as `work_root`."""
    key = hashlib.sha256(os.path.realpath(to).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return work_root() / f"{to.stem[:40]}-{key}"


def _record(folder: Path) -> dict | None:
    """What a job's folder says of itself; None if it is none."""
    try:
        facts = json.loads((folder / JOB).read_text(encoding="utf-8"))
        if facts["what"] != MARK:
            return None
        return facts | {"done": min(max(float(facts.get("done", 0.0)), 0.0), 1.0)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_ours(folder: Path) -> bool:
    """May a job be kept in a folder whose record says nothing?  A power cut may have emptied it."""
    names = {path.name for path in folder.iterdir()} - {"lock"}
    emptied = JOB in names and not (folder / JOB).read_bytes().strip(b"\0")
    return not names or (emptied and names <= {JOB, "fit"})


def _follow(to: Path, folder: Path) -> None:
    """Where a result was moved, with the folder it is in, say: have its job follow it."""
    content = _sha256(to)
    if content in _written(_record(folder) or {}):
        return
    for record in work_root().glob(f"*/{JOB}"):
        facts = _record(record.parent) or {}
        if content not in _written(facts):
            continue
        if facts.get("to") and _sha256(Path(facts["to"])) in (content, "unreadable"):
            continue  # this one is a copy
        with contextlib.suppress(filelock.Timeout, OSError, NotImplementedError):
            with filelock.FileLock(record.parent / "lock", timeout=0):
                if (replaced := _record(folder)) is not None:  # its result was moved, or is gone
                    with filelock.FileLock(folder / "lock", timeout=0):
                        _set_aside(folder, replaced)
                        shutil.rmtree(folder / "fit", ignore_errors=True)  # of no picture yet
                        (folder / JOB).unlink()
                if not folder.exists():
                    record.parent.rename(folder)
                elif {path.name for path in folder.iterdir()} <= {"lock", "fit"}:
                    # the result was refused here once; the record last, so that a kill is mended
                    with contextlib.suppress(FileNotFoundError):
                        (record.parent / "fit").rename(folder / "fit")
                    record.rename(folder / JOB)
            return


def _set_aside(folder: Path, facts: dict) -> None:
    """What a moved result goes on from: `_follow` finds it by its content."""
    if not facts.get("written"):
        return
    aside = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    aside.mkdir()
    with contextlib.suppress(FileNotFoundError):
        (folder / "fit").rename(aside / "fit")
    record = {"what": MARK, **facts, "to": ""}  # its place is another's now
    files.write_whole(aside / JOB, json.dumps(record, indent=1).encode())


def _written(facts: dict) -> list:
    """The digests that a job's result may have: also of one that was killed as it wrote."""
    return [facts[key] for key in ("written", "next") if facts.get(key)]


def _forget_old() -> None:
    """Remove jobs that nobody has touched for long, but those at which a process still is."""
    for record in work_root().glob(f"*/{JOB}"):
        with contextlib.suppress(filelock.Timeout, OSError, NotImplementedError):
            if time.time() - record.stat().st_mtime <= KEPT_DAYS * 86400:
                continue
            # a machine may have slept so long, or its clock be wrong
            with filelock.FileLock(record.parent / "lock", timeout=0):
                if _record(record.parent) is not None:
                    shutil.rmtree(record.parent, ignore_errors=True)


def _digest(*arrays: np.ndarray) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def _sha256(path: Path) -> str | None:
    """Of a file's content; None where there is no file, and of one that cannot be read a word."""
    try:
        return images.file_digest(path)
    except OSError:
        return "unreadable" if os.path.exists(path) else None
