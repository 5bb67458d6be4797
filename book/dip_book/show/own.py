"""Restore a picture of the reader's own, in the page: choose it, mark what is missing, watch, keep.

Where a kernel runs, `Own` is a widget: the script ``js/own.js`` shows and paints, this side reads
the file, fills the holes and writes the result.  Nothing leaves the machine that the kernel runs
on.  Without a kernel a cell shows a still picture instead (`tool`).
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
import tempfile
import threading
import weakref
from pathlib import Path, PurePosixPath, PureWindowsPath

import anywidget
import numpy as np
import traitlets
from PIL import Image, ImageDraw

import dip_blocks
from dip_book import images, runs, words
from dip_book.build.first_cell import has_reader
from dip_book.images import ImageError
from dip_book.restoring import core, files, held_out, masks
from dip_book.show import photographs, views

#: Files come from the browser and go back in pieces of so many bytes, as text in plain messages: a
#: notebook server closes the connection at a message of 10 MB, Colab at one of 1 MB (2522 and 3452
#: of jupyter-widgets/ipywidgets), and not every front end carries binary ones.
PIECE = 3 * 2**17
#: The largest file that is taken, in bytes.
MOST_BYTES = 200_000_000
#: Of a picture's name so many bytes are kept, from its end: a file system takes 255, and the
#: result's name is longer.
MOST_OF_A_NAME = 200
#: Longest side of what the page shows, in pixels; the work is done on all of them.
SHOWN = 1400
#: Pixels a side of the book's own pictures, here.
BOOK_SIDE = 256
MINUTES = (2.0, 600.0)  # to begin with, and at most
#: How what is missing may be marked: by the brush alone, or beginning with what is found.
WAYS = ("painted", "clear", "colour", "random", "file")
#: What sentences of `masks` say in the command line's words, and what it is called here.
WORDS = {
    r"--missing (\S+) --tolerance (\d+)": r"begin with what has a colour, \1, tolerance \2",
    r"--missing (\w+)": r"begin with what has a colour, \1",
    r"leave --invert away \(invert=False\)": "untick 'white is missing'",
    r"use --invert \(invert=True\)": "tick 'white is missing'",
    r"--invert \(invert=True\)": "'white is missing'",
    r" \(--tolerance\)": "",
    r"--(tolerance|grow) (\d+)": r"\1 \2",
    r"name a mask, or the colour": "paint it, or name the colour",
}
#: What the page sends to mark a missing pixel: red, green, blue.
MARK = (255, 0, 200)
EARLIER = 8  # results that are kept for who has not downloaded them
EXPECTED = (ImageError, runs.RunError, dip_blocks.DivergenceError, OSError, MemoryError)


class Own(anywidget.AnyWidget):
    """Choose a picture, mark what is missing, restore it, take it home; in a notebook.

    One restoration at a time, in a thread of its own: one that another widget has begun is stopped,
    for a cell that was run again has taken its button away.  What the page shows are traits, so
    that a second view of the widget shows the same; what its buttons say comes as messages
    (`answer`).

    Attributes:
        photo: the picture, as its file has it (`files.Photo`); None before one is chosen.
        missing: bool, (H, W), what is marked; None without a picture.
        restored: like ``photo.pixels``, with the missing pixels as they are so far; None before.
        report: what `core.fill` measured and chose, once it has ended.
    """

    _begun_here: weakref.WeakSet = weakref.WeakSet()
    _esm = views.script("own")
    _css = views.styles() + (views.HERE / "own.css").read_text(encoding="utf-8")
    offers = traitlets.Dict().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    marked = traitlets.Dict().tag(sync=True)
    strokes = traitlets.List().tag(sync=True)
    now = traitlets.Dict().tag(sync=True)
    before = traitlets.Unicode().tag(sync=True)
    after = traitlets.Unicode().tag(sync=True)
    earlier = traitlets.List().tag(sync=True)

    def __init__(self, minutes: float = MINUTES[0], **options):
        """Args: minutes: what the field for the time begins with.  options: `core.fill`'s."""
        known = [{"name": name, "title": images.title(name)} for name in images.EMBEDDED]
        offers = {
            "pictures": known, "minutes": minutes, "most_minutes": MINUTES[1], "piece": PIECE,
            "most_bytes": MOST_BYTES, "most_pixels": files.MAX_PIXELS,
            "formats": list(dict.fromkeys(files.WRITTEN.values())),
        }  # fmt: skip
        super().__init__(offers=offers, now=_now("Choose a picture."))
        self.photo: files.Photo | None = None
        self.restored: np.ndarray | None = None
        self.report: dict = {}
        self._downloaded = False  # the result that there is
        self._earlier: dict[str, tuple[bytes, list[str]]] = {}
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="own-picture-")
        self._coming, self._coming_id = bytearray(), None
        self._base: np.ndarray | None = None
        self._book = False  # one of the book's pictures: whole, so that the truth is known
        self._found: masks.Missing | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._begun: tuple | None = None  # what the checkpoints are of, and for how many minutes
        self.on_msg(lambda _, content, buffers: self.answer(content))
        self.observe(self._painted, "strokes")

    @property
    def running(self) -> bool:
        """Is a restoration under way?"""
        return self._thread is not None and self._thread.is_alive()

    @property
    def missing(self) -> np.ndarray | None:
        """What is marked as missing: what was found, and what was painted; bool (H, W)."""
        return None if self._base is None else paint(self._base, self.strokes)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the restoration under way to end."""
        if self._thread is not None:
            self._thread.join(timeout)

    # What a button says ---------------------------------------------------------------------------

    def answer(self, content: dict) -> None:
        """Do what a message of the page asks for; what cannot be done is said in ``now``.

        ``content`` is {"do": "choose" (with name), "piece" (of, name, at, size, data in base64,
        id, which no other file has; of a mask invert and grow), "mark" (how, share, grow, colour,
        tolerance), "start" (minutes), "stop", "download" (format; name, of an earlier result)}.
        """
        what = content.get("do")
        try:
            if what == "stop":
                self.stop()
            elif what == "download":
                self._send_file(content.get("format"), content.get("name"))
            elif what in ("choose", "piece", "mark", "start"):
                if self.running:
                    raise ImageError("A restoration is under way; stop it first.")
                getattr(self, f"_{what}")(content)
        except EXPECTED as error:
            self._say(self._in_words(error))

    def stop(self) -> None:
        """End the restoration under way as Ctrl-C does; the picture so far is kept."""
        self._stopping = True  # `core.fill` asks between any two iterations

    def file(self, kind: str | None = None) -> tuple[str, bytes]:
        """The result as a file: its name, and its bytes as `Photo.save` writes them.

        Args:
            kind: PNG, JPEG, TIFF or WebP; if None the picture's own, PNG where that is not written.

        Raises ImageError: nothing is restored yet; what that format cannot hold.
        """
        if self.restored is None:
            raise ImageError("There is no result yet: press Start.")
        suffix = _suffix(self.photo, kind)
        name = f"{self.photo.path.stem}-restored{suffix}"
        with tempfile.TemporaryDirectory() as folder:
            self.photo.save(Path(folder) / name, self.restored, self._found.alpha)
            return name, (Path(folder) / name).read_bytes()

    def _say(self, text: str, **more) -> None:
        self.now = {**self.now, **more, "said": text, "count": self.now.get("count", 0) + 1}

    def _in_words(self, error: Exception | str) -> str:
        """A sentence without the folder that only this widget knows."""
        if isinstance(error, MemoryError):
            return "The picture does not fit into this machine's memory: shrink it."
        if isinstance(error, OSError) and error.strerror:
            return f"The kernel's machine cannot do that: {words.plain(error.strerror)}."
        text = str(error).replace(f"{self._folder.name}{os.sep}", "")
        for theirs, ours in WORDS.items():
            text = re.sub(theirs, ours, text)
        return words.plain(text)

    # A picture ------------------------------------------------------------------------------------

    def _choose(self, content: dict) -> None:
        name = content.get("name")
        if name not in images.EMBEDDED:
            raise ImageError(
                f"No picture is called '{name}'; there are {', '.join(images.EMBEDDED)}."
            )
        self._coming, self._coming_id = bytearray(), None
        pixels = images.to_bytes(images.load(name, size=BOOK_SIDE, colour=True))
        if (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
        self._take(files.Photo(Path(f"{name}.png"), pixels), book=True)

    def _piece(self, content: dict) -> None:
        """One piece of a file; the last one opens it."""
        at, size, of = (content.get(key) for key in ("at", "size", "of"))
        if not isinstance(size, int) or not 0 <= size <= MOST_BYTES:
            raise ImageError(
                f"A file has at most {MOST_BYTES // 10**6} MB here: shrink the picture."
            )
        sender = content.get("id")  # another file, or one of another view, has another
        if at == 0:
            self._coming, self._coming_id = bytearray(), sender
        if (at, sender) != (len(self._coming), self._coming_id) or of not in ("picture", "mask"):
            raise ImageError("A piece of the file is missing: choose it once more.")
        self._coming += base64.b64decode(content.get("data") or "")
        if len(self._coming) < size:
            self.send({"kind": "got", "id": sender, "at": len(self._coming)})
            return
        data, self._coming = bytes(self._coming), bytearray()
        path = Path(self._folder.name) / _plain_name(content.get("name"))
        path.write_bytes(data)
        try:
            photo = files.read(path)
        finally:
            path.unlink(missing_ok=True)
        photo.path = Path(path.name)
        photo.notes = [*map(self._in_words, photo.notes)]
        if of == "picture":
            self._take(photo)
        else:
            self._by_file(photo, content)

    def _take(self, photo: files.Photo, book: bool = False) -> None:
        """A picture to work on; what is transparent is missing from the beginning."""
        self._keep()
        self.photo, self._book = photo, book
        self.restored, self._found, self._begun, self.report = None, None, None, {}
        self.before = self.after = ""
        self._base = np.zeros(photo.pixels.shape[:2], bool)
        how, notes = "painted", list(photo.notes)
        if photo.alpha is not None and np.ptp(photo.alpha):
            try:
                found = masks.find(photo)
                self._base, how, notes = found.filled, "clear", notes + found.notes
            except ImageError:
                pass  # transparent everywhere, for one: then the brush says what is missing
        self.strokes = []
        width, height = photo.size
        kind = "colour" if photo.pixels.ndim == 3 else "grey"
        self.picture = {
            "name": photo.path.name, "width": width, "height": height, "book": book,
            "url": _url(photo, photo.pixels, photo.alpha),
            "text": f"{photo.path.name}: {width}×{height} pixels, {kind}, {photo.bits} bits.",
            "format": files.WRITTEN[_suffix(photo)],
            "key": self.picture.get("key", 0) + 1,
        }  # fmt: skip
        self._mark_as(how, notes)
        self._say("Mark what is missing, then press Start.", done=0.0, left_s=None)

    # What is missing ------------------------------------------------------------------------------

    def _mark(self, content: dict) -> None:
        if self.photo is None:
            raise ImageError("Choose a picture first.")
        how = content.get("how")
        if how == "painted":
            self._base, notes = np.zeros(self.photo.pixels.shape[:2], bool), []
        elif how == "clear":
            found = masks.find(self.photo, grow=int(content.get("grow") or 0))
            self._base, notes = found.filled, found.notes
        elif how == "colour":
            tolerance = content.get("tolerance")
            found = masks.find(
                self.photo, missing=str(content.get("colour")), grow=int(content.get("grow") or 0),
                tolerance=float(tolerance) if tolerance is not None else None,
            )  # fmt: skip
            self._base, notes = found.filled, found.notes
        elif how == "random":
            share = content.get("share")
            if not isinstance(share, (int, float)) or not 0 < share < 1:
                raise ImageError("The share of missing pixels lies between 0 and 1.")
            draws = np.random.default_rng(0).random(self.photo.pixels.shape[:2])
            self._base, notes = draws < share, []
        else:
            raise ImageError(f"What is missing is marked by one of {', '.join(WAYS)}.")
        self._mark_as(how, notes)
        self._say("Press Start when all that is missing is marked.")

    def _by_file(self, mask: files.Photo, content: dict) -> None:
        if self.photo is None:
            raise ImageError("Choose a picture first.")
        found = masks.find(
            self.photo, mask, invert=bool(content.get("invert")),
            grow=int(content.get("grow") or 0),
        )  # fmt: skip
        self._base = found.filled
        self._mark_as("file", found.notes)
        self._say("The mask is read. Press Start.")

    def _mark_as(self, how: str, notes: list[str]) -> None:
        base = Image.fromarray(self._base.astype(np.uint8) * 255)
        base.thumbnail((SHOWN, SHOWN), Image.Resampling.BOX)
        gone = np.asarray(base) > 0  # a hair stays to be seen
        layer = np.zeros((*gone.shape, 4), np.uint8)
        layer[gone] = (*MARK, 255)
        url = photographs.data_url(photographs.webp(layer, lossless=True, method=0))
        self.marked = {
            "how": how, "url": url, "notes": [*map(self._in_words, notes)], "text": self._count(),
            "key": self.marked.get("key", 0) + 1,
        }  # fmt: skip

    def _painted(self, change) -> None:
        if self.photo is not None and self.marked:
            self.marked = {**self.marked, "text": self._count()}

    def _count(self) -> str:
        gone = self.missing
        count, of = int(gone.sum()), gone.size
        return f"{count:,} of {of:,} pixels ({count / of:.1%}) are marked as missing."

    # A restoration --------------------------------------------------------------------------------

    def _start(self, content: dict) -> None:
        minutes, least = content.get("minutes"), 0.05
        if not isinstance(minutes, (int, float)) or not least <= minutes <= MINUTES[1]:
            raise ImageError(f"Minutes: a number from {least} to {MINUTES[1]:g}.")
        if self.photo is None:
            raise ImageError("Choose a picture first.")
        gone = self.missing
        if not gone.any():
            raise ImageError("Nothing is marked as missing: paint over the damage first.")
        if gone.all():
            raise ImageError("Everything is marked as missing: leave something to go by.")
        of_marks = files.Photo(Path("your marks"), np.where(gone, 0, 255).astype(np.uint8))
        found = masks.find(self.photo, of_marks)
        key = hashlib.sha256(np.packbits(gone).tobytes()).hexdigest()
        again = self._begun is None or self._begun[0] != key
        if not again and self._begun[2]:  # ended: more of the same
            minutes += self._begun[1]
        elif not again:  # stopped: it has a plan already
            minutes = max(minutes, self._begun[1])
        if again:
            self._keep()
            self.restored, self.before, self.after = None, "", ""
        self._begun = (key, minutes, False)
        self._found, self._stopping, self.report = found, False, {}
        for other in {*Own._begun_here} - {self}:
            if other.running:
                other.stop()
        Own._begun_here.add(self)
        self._say("Starting …", running=True, done=0.0, left_s=60.0 * minutes)
        self._thread = threading.Thread(target=self._work, args=(minutes, again), daemon=True)
        self._thread.start()

    def _work(self, minutes: float, again: bool) -> None:
        said, ended = "Stopped.", False
        try:
            photo, found, box = self.photo, self._found, self._box()
            known = np.ascontiguousarray(found.known[box])
            filled = core.fill(
                np.ascontiguousarray(photo.floats(found.known)[box]), known, minutes=minutes,
                work=Path(self._folder.name) / "fit", again=again, progress=self._heard,
                stop=lambda: self._stopping, **self._options,
            )  # fmt: skip
            self.report = filled.report
            self._show(filled.image)
            if ended := not filled.interrupted:
                self._begun = (*self._begun[:2], True)
            said = filled.said + self._against_truth(filled)
        except EXPECTED as error:
            said = self._in_words(error)
        except Exception as error:  # of whatever kind: in a thread nobody else would hear of it
            said = words.plain(f"{type(error).__name__}: {error}")
        finally:
            done = 1.0 if ended else self.now["done"]
            self._say(said, running=False, done=done, left_s=None)

    def _heard(self, progress: core.Progress) -> None:
        """What `core.fill` calls."""
        if progress.image is not None:
            self._show(progress.image)
        left = progress.left_s if progress.left_s is None else round(max(progress.left_s, 0.0), 1)
        done = round(float(progress.done), 4)
        if progress.done < 1:  # the last line is said when all else is done
            self._say(progress.said, running=True, done=done, left_s=left)

    def _box(self) -> tuple[slice, slice]:
        """Without a border that stays transparent."""
        of_use = self._found.known | self._found.filled
        rows, columns = np.flatnonzero(of_use.any(1)), np.flatnonzero(of_use.any(0))
        return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def _show(self, image: np.ndarray) -> None:
        photo, found = self.photo, self._found
        self.restored = photo.merged(image, found.filled, found.known, self._box())
        self._downloaded = False
        if not self.before:
            given = photo.pixels.copy()
            if self._book or self.marked["how"] == "random":  # else the picture itself is damaged
                given[found.filled] = 0
            self.before = _url(photo, given, photo.alpha)
        self.after = _url(photo, self.restored, found.alpha, quick=True)

    def _against_truth(self, filled: core.Filled) -> str:
        """Of the book's own pictures the truth is known; it is told when all is done."""
        if not self._book:
            return ""
        gone, truth = self._found.filled, self.photo.pixels
        channels = truth[gone].reshape(int(gone.sum()), -1) / 255
        result = held_out.decibel(self.restored[gone].reshape(channels.shape) / 255 - channels)
        said = f" The truth is known here: over the missing pixels the result has {result:.1f} dB"
        if (first := filled.methods.get("biharmonic")) is not None:
            said += f", the classical filling {held_out.decibel(first - channels):.1f} dB"
        return f"{said}."

    # The result -----------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Another result takes this one's place: it may have cost hours, and nobody has it yet."""
        if self.restored is None or self._downloaded:
            return
        try:
            name, data = self.file()
        except ImageError:  # what the picture's own format cannot hold
            name, data = self.file("PNG")
        losses = self.photo.losses(Path(name), self._found.alpha)
        whole, number = Path(name), 2
        while name in self._earlier:
            name, number = f"{whole.stem}-{number}{whole.suffix}", number + 1
        self._earlier[name] = (data, losses)
        while len(self._earlier) > EARLIER:
            del self._earlier[next(iter(self._earlier))]
        self.earlier = list(self._earlier)

    def _send_file(self, kind: str | None, earlier: str | None = None) -> None:
        if earlier is None:
            name, data = self.file(kind)
            losses = self.photo.losses(Path(name), self._found.alpha)
            self._downloaded = True
        elif earlier in self._earlier:
            name, (data, losses) = earlier, self._earlier[earlier]
        else:
            raise ImageError("That result is not kept any more.")
        count = max(1, math.ceil(len(data) / PIECE))
        for number in range(count):
            piece = data[number * PIECE : (number + 1) * PIECE]
            news = {"kind": "file", "name": name, "type": _mime(name), "number": number}
            news |= {"of": count, "size": len(data), "notes": losses}
            self.send(news | {"data": base64.b64encode(piece).decode()})


def paint(base: np.ndarray, strokes: list[dict]) -> np.ndarray:
    """Strokes of a brush on a mask, one after the other.

    Args:
        base: bool, (H, W).
        strokes: {"points": [[x, y], …] in pixels, the upper left corner of the picture being
            (0, 0); "width" in pixels; "erase": does it take away?}.

    Returns a bool array (H, W); ``base`` stays as it is.
    """
    if not strokes:
        return base.copy()
    picture = Image.fromarray(base.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for stroke in strokes:
        value, width = int(not stroke.get("erase")), max(1.0, float(stroke["width"]))
        points = [(float(x) - 0.5, float(y) - 0.5) for x, y in stroke["points"]]
        radius = (width - 1) / 2
        if len(points) > 1:
            draw.line(points, fill=value, width=round(width), joint="curve")
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=value)
    return np.asarray(picture).astype(bool)


def _now(said: str) -> dict:
    return {"running": False, "said": said, "done": 0.0, "left_s": None, "count": 0}


def _plain_name(name) -> str:
    """A file's name as a browser gives it, without folders and what no file system takes."""
    name = PureWindowsPath(PurePosixPath(str(name or "")).name).name
    kept = "".join(letter for letter in name if letter.isprintable() and letter not in '<>:"|?*')
    kept = kept.strip(". ")[-100:].encode()[-MOST_OF_A_NAME:].decode(errors="ignore")
    return kept or "picture"


def _suffix(photo: files.Photo, kind: str | None = None) -> str:
    """Of the result's name: the picture's own, or the first of a format; PNG for others."""
    own = photo.path.suffix.lower()
    if kind is None or files.WRITTEN.get(own) == kind:
        return own if own in files.WRITTEN else ".png"
    for suffix, of in files.WRITTEN.items():
        if of == kind:
            return suffix
    raise ImageError(f"The result can be PNG, JPEG, TIFF or WebP, not '{kind}'.")


def _mime(name: str) -> str:
    return f"image/{files.WRITTEN[Path(name).suffix.lower()].lower()}"


def _url(
    photo: files.Photo, pixels: np.ndarray, alpha: np.ndarray | None, quick: bool = False
) -> str:
    """What the page shows of a picture: 8 bits, at most `SHOWN` pixels a side."""
    step = max(1, max(photo.size) // (2 * SHOWN))  # a huge picture is thinned before it is shrunk
    seen = pixels[::step, ::step].astype(np.float32) * (255 / photo.white)
    picture = Image.fromarray(seen.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if alpha is not None and alpha.max(initial=0):
        opaque = alpha[::step, ::step].astype(np.float32) * (255 / int(alpha.max()))
        picture.putalpha(Image.fromarray(opaque.astype(np.uint8)))
    picture.thumbnail((SHOWN, SHOWN))
    small = picture.width * picture.height <= BOOK_SIDE**2
    options = {"lossless": True} if small else {"quality": 85}
    return photographs.data_url(
        photographs.webp(np.asarray(picture), method=0 if quick else 4, **options)
    )


# In a page ----------------------------------------------------------------------------------------


class Tool:
    """The value of a chapter's cell: the widget where there is a kernel, else a still picture.

    Args:
        still: shown where nothing can be operated; has ``_repr_html_``.
        options: see `Own`.
    """

    def __init__(self, still, **options):
        self._still, self._options = still, options
        self.widget: Own | None = None

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/html": self._still._repr_html_(), "text/plain": "<restore your picture>"}
        if not has_reader():
            return bundle
        self.widget = self.widget or Own(**self._options)
        data, metadata = self.widget._repr_mimebundle_()
        return {**data, **bundle}, metadata


def steps(given: np.ndarray, known: np.ndarray, filled: core.Filled, truth: np.ndarray) -> dict:
    """A restoration in pictures: title → image, for `figures.row`.

    Args:
        given: float32 (H, W) or (H, W, 3), 0 where not known.
        known: bool (H, W).
        filled: what `core.fill` made of them.
        truth: the whole picture.

    What was not drawn or measured is left out: where nothing is missing, or after an interrupt.
    """
    drawn, seed = filled.methods.get("biharmonic"), filled.report.get("seed")
    at_once = {}
    if drawn is not None:
        at_once["3  at once"] = classical = given.copy()
        classical[~known] = drawn.clip(0, 1) if given.ndim == 3 else drawn.clip(0, 1)[:, 0]
    measured = {}
    if seed is not None and not known.all():
        measured["4  hidden, to measure"] = mark(
            mark(given, ~known, (0.35, 0.35, 0.35)), held_out.choose(known, seed=seed).mask
        )
    return {
        "1  given": given,
        "2  marked": mark(given, ~known),
        **at_once,
        **measured,
        "5  result": filled.image,
        "the truth": truth,
    }


def mark(image: np.ndarray, where: np.ndarray, colour=tuple(c / 255 for c in MARK)) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) in [0, 1] with some pixels, bool (H, W), in one colour."""
    marked = np.dstack([image] * 3) if image.ndim == 2 else image.copy()
    marked[where] = colour
    return marked
