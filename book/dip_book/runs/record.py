"""A run in memory and as a record: its facts, its history, its pictures."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import dip_blocks
from dip_book import images, tasks
from dip_book.runs.placing import beside
from dip_book.runs.spec import RunError

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
        return x

    @property
    def task(self) -> str:
        """What the picture had lost, see `tasks.degradation`."""
        return self.facts.get("task", tasks.PIXELS)

    def degradation(self) -> dip_blocks.Degradation:
        """The same as an object; a mask from its seed."""
        height, width = self.facts["image"]["shape"][:2]
        seed, p = self.facts["seeds"]["mask"], self.facts["p"]
        return tasks.degradation(self.task, height, width, p=p, seed=seed)

    def data(self) -> torch.Tensor:
        """x̂ as the run saw it, (C, h, w); errors as `truth`."""
        return self.degradation().degrade(self.truth(), self.facts["seeds"]["mask"])

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
            with Image.open(intact(file, sheet)) as picture:
                pixels = np.asarray(picture.convert(mode), dtype=np.float32) / 255
            return dict(zip(sheet[keys], _cut(pixels, sheet["shape"], len(sheet[keys]))))
        except (OSError, ValueError, SyntaxError) as error:
            raise RunError(f"{named(file)} is damaged: {reason(error)}") from error


def from_record(record: dict, place: Path) -> Run:
    """A run as its record has it, which lies at a place; opens no picture.

    Raises RunError for a record that is damaged or of another format.
    """
    try:
        if record["format"] != FORMAT:
            raise RunError(other_format(place, record["format"]))
        facts = {key: copy.deepcopy(value) for key, value in record.items() if key not in STORED}
        for key, kind in FACTS.items():
            if not isinstance(facts[key], kind):
                raise TypeError(f"its {key} is {facts[key]!r}")
        _check_nested(facts)
        for part in ("psnr_db", "ssim"):
            for kind in KINDS:
                value = facts[part][kind]
                if not isinstance(value, (int, float)) and (value is not None or kind == "raw"):
                    raise TypeError(f"its {part} of {kind} is {value!r}")
        columns = record["columns"]
        history = [_step(dict(zip(columns, row, strict=True))) for row in record["history"]]
        sheets = {what: record[what] for what in ("pictures", "frames") if what in record}
        for what, keys in {"pictures": "kinds", "frames": "iterations"}.items():
            if what in sheets and not {keys, "shape", "sha256"} <= set(sheets[what]):
                raise TypeError(f"its {what} are not described")
            if what in sheets and not beside(place, what).exists():
                raise TypeError(f"{beside(place, what).name} is missing")
    except RunError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise RunError(f"The run {named(place)} is damaged: {what}.") from error
    return Run(facts, history, place=place, sheets=sheets)


def _check_nested(facts: dict) -> None:
    """What is looked up inside the facts: KeyError or TypeError where it is not there."""
    for key in ("name", "size", "shape", "sha256"):
        facts["image"][key]
    facts["seeds"]["mask"]
    members = facts["recipe"].get("members", [facts["recipe"]])
    if not isinstance(members, list):
        raise TypeError(f"its members are {members!r}")
    for member in members:
        if not isinstance(member, dict) or not isinstance(member.get("config", {}), dict):
            raise TypeError("a recipe of it has no config")


def other_format(place: Path, number) -> str:
    """What to say of a run that another version stored."""
    return (
        f"The run {named(place)} has format {number!r}, this version reads {FORMAT}: "
        "make it again (again=True, --again), or remove it."
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
    if isinstance(step.iteration, bool) or not isinstance(step.iteration, int):
        raise TypeError(f"its history has an iteration {step.iteration!r}")
    if not all(isinstance(value, (int, float)) for value in (step.loss, step.lr)):
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
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sheet["sha256"]:
        raise ValueError(f"{file.name} is not the file that its record names")
    return io.BytesIO(content)
