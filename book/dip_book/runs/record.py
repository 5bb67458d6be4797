"""A run in memory and as a record: its facts, its history, its pictures."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import re
import stat
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import dip_blocks
from dip_book import images, tasks
from dip_book.runs.placing import beside
from dip_book.runs.spec import RunError, blocks_errors

FORMAT = 3
TALLEST = 16383  # pixels a side of a WebP file

#: The images a run ends with, and their names for readers.  Each is measured on its own.
KINDS = {
    "raw": "raw output",
    "raw_pasted": "raw output, known pixels pasted back",
    "averaged": "averaged output",
    "averaged_pasted": "averaged output, known pixels pasted back",
    "averaged_blended": "averaged output, known pixels blended in",
}

#: What every record holds, and its type; tables rely on it.
FACTS = {
    "recipe": dict, "image": dict, "seeds": dict, "psnr_db": dict, "ssim": dict,
    "p": (int, float), "iterations": int, "recipe_iterations": int, "backtracked": int,
    "wall_time_s": (int, float), "device": str, "precision": str, "threads": int,
}  # fmt: skip
#: What of a record is not facts.
STORED = ("pictures", "frames", "columns", "history")
#: Bytes of a record, of a collection of them, and of a file of pictures; more is not read.
LARGEST_RECORD, LARGEST_COLLECTION, LARGEST_PICTURE = 8_000_000, 128_000_000, 128_000_000
#: Rows of a history that stay below that.
LONGEST_HISTORY = 100_000
#: Of facts: how deep they nest, how many values they hold, how long a text is.
DEEPEST, MOST, LONGEST = 12, 20_000, 10_000
#: Of a CPU; for more, systems have no memory.
MOST_THREADS = 4096


class Run:
    """What a run was, and what came out: as measured now, or as stored.

    Attributes:
        facts: the record without pictures and history.
        history: `dip_blocks.Step` of some iterations; of a mean of networks, none.
        pictures: "raw" and perhaps "averaged" → (H, W), or (H, W, 3) in colour, float32 in [0, 1];
            from 8 bits if they were stored.  Empty where no pictures are kept.
        frames: iteration → its output, likewise.
        place: where it is stored, without a suffix; None if it is not.
        source: the file of a reader's own picture, where it is known.

    Pictures and frames of a stored run are opened when they are first looked at, and not before;
    that raises RunError for files that are damaged or belong to another run.
    """

    def __init__(self, facts, history, pictures=None, frames=None, *, place=None, sheets=None):
        self.facts, self.history = facts, history
        with suppress(OSError):  # a folder that is gone; else pictures are opened from any other
            place = place and place.absolute()
        self.place, self.source, self.sheets = place, None, sheets or {}
        if sheets is None:
            self.pictures, self.frames = pictures or {}, frames or {}

    def __repr__(self) -> str:
        return f"Run({self.name}, {self.psnr:.2f} dB)"

    @property
    def name(self) -> str:
        """How messages name it: `named`; a run that is not stored, by its picture."""
        return self.facts["image"]["name"] if self.place is None else str(named(self.place))

    @cached_property
    def pictures(self) -> dict[str, np.ndarray]:
        """See `Run`."""
        return self._opened("pictures", "kinds")

    @cached_property
    def frames(self) -> dict[int, np.ndarray]:
        """See `Run`."""
        return self._opened("frames", "iterations")

    @property
    def raw(self) -> np.ndarray:
        """The network's raw output, (H, W) or (H, W, 3); RunError where no pictures are kept."""
        return self._picture("raw")

    @property
    def averaged(self) -> np.ndarray:
        """The moving average of the outputs, likewise; RunError where it is not kept."""
        return self._picture("averaged")

    @property
    def psnr(self) -> float:
        """PSNR in dB of the raw output."""
        return self.facts["psnr_db"]["raw"]

    @property
    def complete(self) -> bool:
        """Did it run for as many iterations as its recipe has?"""
        return self.facts["iterations"] >= self.facts["recipe_iterations"]

    @property
    def kinds(self) -> list[str]:
        """Which pictures there are, "raw" and "averaged"; opens none."""
        if "pictures" in self.__dict__:
            return list(self.pictures)
        return self.sheets.get("pictures", {}).get("kinds", [])

    def truth(self) -> np.ndarray:
        """The true picture, (H, W) or (H, W, 3), checked against the record.

        Raises ImageError where it is not at hand, RunError for another one.
        """
        image = self.facts["image"]
        if self.source is None and not images.of_the_book(image["name"]):  # nor any path
            raise images.ImageError(
                f"The run {self.name} is of a file of yours, '{image['name'].split('@')[0]}', "
                "which is not stored with it."
            )
        x = images.load(self.source or image["name"], size=image["size"])
        if images.digest(x) != image["sha256"]:
            raise RunError(
                f"The run {self.name} is of another picture than the '{image['name']}' found here."
            )
        if list(x.shape) != image["shape"]:
            raise RunError(
                f"The run {self.name} is damaged: its picture has the shape {list(x.shape)}, and "
                f"not {image['shape']}."
            )
        return x

    @property
    def task(self) -> str:
        """What the picture had lost, see `tasks.degradation`."""
        return self.facts.get("task", tasks.PIXELS)

    def degradation(self) -> dip_blocks.Degradation:
        """The same as an object; a mask from its seed.  RunError for one that cannot be."""
        height, width = self.facts["image"]["shape"][:2]
        seed, p = self.facts["seeds"]["mask"], self.facts["p"]
        with blocks_errors():
            return tasks.degradation(self.task, height, width, p=p, seed=seed)

    def data(self) -> torch.Tensor:
        """x̂ as the run saw it, (C, h, w); errors as `truth`."""
        truth = self.truth()
        with blocks_errors():
            return self.degradation().degrade(truth, self.facts["seeds"]["mask"])

    def degraded(self) -> tuple[np.ndarray, np.ndarray]:
        """x̂ for eyes, of the picture's size and in [0, 1], and the known pixels (H, W), bool.

        Errors as `truth`.
        """
        x_hat, height, width = self.data(), *self.facts["image"]["shape"][:2]
        known = self.degradation().known(x_hat)[0].numpy().astype(bool)
        return tasks.for_eyes(x_hat, height, width), known

    def _picture(self, kind: str) -> np.ndarray:
        if kind not in self.kinds:
            raise RunError(
                f"No {KINDS[kind]} is kept of the run {self.name}: "
                "make it again to see it (again=True, --again)."
            )
        return self.pictures[kind]

    def _opened(self, what: str, keys: str) -> dict:
        if what not in self.sheets:
            return {}
        sheet = self.sheets[what]
        file = beside(self.place, what)
        try:
            mode = "RGB" if len(sheet["shape"]) == 3 else "L"
            content = intact(file, sheet)
            check_header(content.getbuffer()[:64].tobytes(), what, sheet)
            with Image.open(content, formats=["WEBP"]) as picture:
                pixels = np.asarray(picture.convert(mode), dtype=np.float32) / 255
            return dict(zip(sheet[keys], _cut(pixels, sheet["shape"], len(sheet[keys]))))
        except MemoryError:
            raise
        except Exception as error:  # decoders raise what they like at a broken file
            raise RunError(f"{named(file)} is damaged: {reason(error)}") from error


def from_record(record: dict, place: Path) -> Run:
    """A run as its record has it, which lies at a place; opens no picture.

    Raises RunError for a record that is damaged or of another format.
    """
    try:
        if record["format"] != FORMAT:
            raise RunError(other_format(place, record["format"]))
        facts = {key: value for key, value in record.items() if key not in STORED}
        _check_values(facts)
        facts = copy.deepcopy(facts)
        for key, kind in FACTS.items():
            if not isinstance(facts[key], kind) or isinstance(facts[key], bool):
                raise TypeError(f"its {key} is {_brief(facts[key])}")
        _check_nested(facts)
        for part in ("psnr_db", "ssim"):
            for kind in KINDS:
                value = facts[part][kind]
                if not _is_number(value) and (value is not None or kind == "raw"):
                    raise TypeError(f"its {part} of {kind} is {_brief(value)}")
        columns = record["columns"]
        history = [_step(dict(zip(columns, row, strict=True))) for row in record["history"]]
        sheets = {what: record[what] for what in ("pictures", "frames") if what in record}
        for what, sheet in sheets.items():
            _check_sheet(what, sheet)
            if not beside(place, what).exists():
                raise TypeError(f"{beside(place, what).name} is missing")
    except RunError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        what = what if len(what) < 150 and what.isprintable() else type(error).__name__
        raise RunError(f"The run {named(place)} is damaged: {what}.") from error
    return Run(facts, history, place=place, sheets=sheets)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _brief(value) -> str:
    """A value in a message: whatever it holds, a few letters on one line."""
    said = repr(value if not isinstance(value, (dict, list)) else type(value).__name__)
    return said if len(said) < 60 else f"{said[:50]} …"


def _check_values(facts: dict) -> None:
    """ValueError for what nobody measured or wrote: it comes from elsewhere, and gets into pages.

    Depth, number and length are bounded; texts have no control characters, which a terminal would
    obey; numbers are finite, but for the PSNR of equal pictures and the jump at which a loop goes
    back, which may be never.
    """
    waiting, count = [(facts, 0, "", "")], 0
    while waiting:
        value, depth, key, last = waiting.pop()
        count += 1
        more = len(value) if isinstance(value, (dict, list)) else 0
        if depth > DEEPEST or count + more > MOST:
            raise ValueError("it holds more than a record does")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1, key or name, name) for name, inner in value.items()]
            waiting += [(name, depth + 1, key, "") for name in value]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1, key, "") for inner in value]
        elif isinstance(value, str):
            if len(value) > LONGEST or not value.isprintable():
                raise ValueError(f"its {key[:20]!r} has a text that is too long or not printable")
        elif _is_number(value):
            endless = value == math.inf and key in ("psnr_db", "psnr_luma_db")
            never = key == "recipe" and last == "jump" and value >= 2**63
            if not (endless or never or abs(value) < 2**63):
                raise ValueError(f"its {key[:20]!r} has the value {_brief(value)}")


def _check_nested(facts: dict) -> None:
    """What is looked up inside the facts: KeyError, TypeError or ValueError where it is not so."""
    image = facts["image"]
    size, shape = image["size"], image["shape"]
    for key in ("name", "sha256"):
        if not isinstance(image[key], str):
            raise TypeError(f"its picture's {key} is {_brief(image[key])}")
    _check_shape(shape, "picture")
    if size is not None and not (_is_whole(size) and size > 0):
        raise TypeError(f"its picture's size is {_brief(size)}")
    for purpose in ("mask", "weights, z and noise"):
        if not (_is_whole(facts["seeds"][purpose]) and facts["seeds"][purpose] >= 0):
            raise TypeError(f"its seed of {purpose} is {_brief(facts['seeds'][purpose])}")
    if not 0 < facts["p"] <= 1:
        raise ValueError(f"its p is {_brief(facts['p'])}")
    for key in ("iterations", "recipe_iterations", "wall_time_s"):
        if facts[key] < 0:
            raise ValueError(f"its {key} is {_brief(facts[key])}")
    if not 1 <= facts["threads"] <= MOST_THREADS:
        raise ValueError(f"its threads are {_brief(facts['threads'])}")
    for key in ("core_seconds", "peak_memory_mib", "iterations_per_s"):
        if facts.get(key) is not None and not _is_number(facts[key]):
            raise TypeError(f"its {key} is {_brief(facts[key])}")
    if not isinstance(facts.get("versions", {}), dict):
        raise TypeError(f"its versions are {_brief(facts['versions'])}")
    if not isinstance(facts.get("machine") or {}, dict):
        raise TypeError(f"its machine is {_brief(facts['machine'])}")
    tasks.check(facts.get("task", tasks.PIXELS))
    if not isinstance(facts["recipe"]["name"], str):
        raise TypeError(f"its recipe is called {_brief(facts['recipe']['name'])}")
    members = facts["recipe"].get("members", [facts["recipe"]])
    if not isinstance(members, list) or not members:
        raise TypeError(f"its members are {_brief(members)}")
    for member in members:
        if not isinstance(member, dict) or not isinstance(member.get("config", {}), dict):
            raise TypeError("a recipe of it has no config")
    paths = facts.get("members", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise TypeError("its members are no paths")


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_shape(shape, what: str) -> None:
    """(H, W), or (H, W, 3), of what can be stored."""
    whole = isinstance(shape, list) and all(_is_whole(side) and side > 0 for side in shape)
    if not whole or len(shape) not in (2, 3) or shape[2:] not in ([], [3]):
        raise TypeError(f"its {what} has the shape {str(shape)[:60]}")
    if shape[0] * shape[1] > images.MAX_PIXELS or max(shape) > images.MAX_SIDE_OF_RUN:
        raise ValueError(f"its {what} has the shape {str(shape)[:60]}")


def _check_sheet(what: str, sheet: dict) -> None:
    """The description of a file of pictures, each with its name."""
    keys = {"pictures": "kinds", "frames": "iterations"}[what]
    if not isinstance(sheet, dict) or not {keys, "shape", "sha256"} <= set(sheet):
        raise TypeError(f"its {what} are not described")
    names = sheet[keys]
    _check_shape(sheet["shape"], f"file of {what}")
    fits = (
        names in (["raw"], ["raw", "averaged"])
        if what == "pictures"
        else (isinstance(names, list) and 0 < len(names) <= MOST and all(map(_is_whole, names)))
    )
    if not fits:
        raise ValueError(f"its {what} are of {str(names)[:60]}")
    _columns(sheet["shape"], len(names))


def other_format(place: Path, number) -> str:
    """What to say of a run that another version stored."""
    if _is_whole(number) and number > FORMAT:  # made anew, what is whole would be lost
        what = "a newer version of the book reads it."
    else:
        what = "make it again (again=True, --again), or remove it."
    return (
        f"The run {named(place)} has format {_brief(number)}, this version reads {FORMAT}: {what}"
    )


def named(place: Path) -> Path:
    """A run, or a file of it, as messages name it: by its path in the store, as `status` does.

    Messages get into pages, where a path of the machine that made them says nothing.
    """
    return Path(*place.parts[-3:])


def reason(error: Exception) -> str:
    """What is wrong, without the path that a system's errors repeat."""
    return getattr(error, "strerror", None) or str(error)


def check_size(shape: tuple[int, ...], frames: int = 2) -> None:
    """RunError for pictures (H, W[, 3]), or a number of frames, that one WebP file cannot hold."""
    _columns(shape, max(frames, 2))


def row(step: dip_blocks.Step) -> list:
    """A step as a record has it, in the order of its fields: 6 digits, dB with 3 decimals."""
    quality = [v if v is None else round(v, 3) for v in (step.psnr, step.psnr_averaged)]
    loss, lr = (float(f"{value:.6g}") for value in (step.loss, step.lr))
    return [step.iteration, loss, lr, int(step.backtracked), *quality]


def _step(row: dict) -> dip_blocks.Step:
    step = dip_blocks.Step(**row)
    if not _is_whole(step.iteration) or not isinstance(step.backtracked, (int, bool)):
        raise TypeError(f"its history has an iteration {_brief(step.iteration)}")
    figures = [step.loss, step.lr, *(v for v in step[4:] if v is not None)]
    if not all(map(_is_number, figures)):
        raise TypeError(f"its history lacks figures at iteration {step.iteration}")
    return step._replace(backtracked=bool(step.backtracked))


def text(value, indent: str = "") -> str:
    """JSON, indented; a list of scalars on one line, as the rows of a history."""
    further = indent + "  "
    if isinstance(value, dict) and value:
        pairs = (f"{text(key)}: {text(entry, further)}" for key, entry in value.items())
        return "{\n" + ",\n".join(further + pair for pair in pairs) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(v, (list, tuple, dict)) for v in value):
        lines = ",\n".join(further + text(entry, further) for entry in value)
        return f"[\n{lines}\n{indent}]"
    written = json.dumps(value, ensure_ascii=False)
    if written.isascii():
        return written
    # half a character, as in names that are no UTF-8: as an escape, which comes back the same
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", written)


def _columns(shape: tuple[int, ...], count: int) -> tuple[int, int]:
    """How many pictures stand under one another, and in how many columns."""
    height, width = shape[:2]
    rows = min(count, TALLEST // height)
    if rows == 0 or -(-count // rows) * width > TALLEST:
        raise RunError(
            f"{count} pictures of {width}×{height} pixels do not fit into one file: "
            "shrink the picture (--size), or keep fewer frames (--frames)."
        )
    return rows, -(-count // rows)


def draw(file: Path, pictures, **options) -> dict:
    """Write pictures of one shape as one WebP file: its description."""
    cells = [images.to_bytes(picture) for picture in pictures]
    shape = cells[0].shape
    height, width = shape[:2]
    rows, columns = _columns(shape, len(cells))
    sheet = np.zeros((rows * height, columns * width, *shape[2:]), np.uint8)
    for i, cell in enumerate(cells):
        column, row = divmod(i, rows)
        sheet[row * height :, column * width :][:height, :width] = cell
    Image.fromarray(sheet).save(file, "WEBP", method=6, **options)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"shape": list(shape), "sha256": digest}


def _cut(sheet: np.ndarray, shape: list[int], count: int) -> list[np.ndarray]:
    height, width = shape[:2]
    rows, columns = _columns(shape, count)
    if sheet.shape[:2] != (rows * height, columns * width):
        raise ValueError(f"it has the shape {sheet.shape}")
    places = (divmod(i, rows) for i in range(count))
    return [sheet[row * height :, column * width :][:height, :width] for column, row in places]


def intact(file: Path, sheet: dict):
    """A picture file, open; ValueError if it is not the one that a record describes."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        raise ValueError(f"{file.name} is no file")
    if found.st_size > LARGEST_PICTURE:
        raise ValueError(f"{file.name} has more than {LARGEST_PICTURE / 1e6:.0f} MB")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sheet["sha256"]:
        raise ValueError(f"{file.name} is not the file that its record names")
    return io.BytesIO(content)


def check_header(content: bytes, what: str, sheet: dict) -> None:
    """ValueError for the content of a picture file that is not of the described size."""
    shape, keys = sheet["shape"], {"pictures": "kinds", "frames": "iterations"}[what]
    rows, columns = _columns(shape, len(sheet[keys]))
    size = images.webp_size(content[:64])
    if size != (columns * shape[1], rows * shape[0]):
        raise ValueError(f"its {what} have another size than it")
