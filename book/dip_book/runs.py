"""Stored runs: one folder a run, readable with a text editor and an image viewer.

    book/runs/<recipe>/<image>-<size>/seed<seed>-<iterations>it/
        run.json       what was run, on what, and what came out
        history.csv    iteration, loss, lr, restored, psnr, psnr_averaged
        restored.png   the network's raw output (8 bits a channel)
        averaged.png   the moving average of its outputs
        frames/        outputs on the way, <iteration>.webp

A run is written into the store's hidden working folder and moved to its place when it is complete:
a folder with that name is a whole run.  How runs are made is in `dip_book.sweeps`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import zipfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

import dip_blocks
from dip_book import images

FORMAT = 2
ROOT = Path(__file__).resolve().parents[1] / "runs"
ANY = -1  # size of whatever run
WORK = ".work"  # of a store: drafts, locks, checkpoints

#: The images a run ends with, and their names for readers.  Each is measured, and never mixed with another.
KINDS = {
    "raw": "raw output",
    "raw_pasted": "raw output, known pixels pasted back",
    "averaged": "averaged output",
    "averaged_pasted": "averaged output, known pixels pasted back",
    "averaged_blended": "averaged output, known pixels blended in",
}


class RunError(ValueError):
    """A run that is asked for wrongly or stored wrongly; the message says which."""


@dataclass(frozen=True)
class Spec:
    """What decides a run's numbers, but for the machine.  RunError for what cannot be run."""

    image: str
    size: int | None = 128  # None: as the picture comes
    recipe: str = "blog"
    #: What differs from the recipe of that name: its values, `dip_blocks.CHOICES` of its network, "depth",
    #: "width" (channels_down and channels_up), or one of `dip_blocks.CONFIG_LISTS`; these with one number for all
    #: levels, or one for each, full resolution first: "32-64-128".
    changes: tuple[tuple[str, float | str | bool], ...] = ()
    iterations: int | None = None  # None: the recipe's
    seed: int = 0  # of weights, z and noise
    mask_seed: int | None = None  # None: the same
    p: float = 0.5
    precision: str | None = None  # of the convolutions; None: the device's default

    def resolved(self) -> dip_blocks.Recipe:
        """The recipe with every change applied; RunError for an unknown name, ValueError for an impossible value."""
        if self.recipe in dip_blocks.MEANS:
            raise RunError(f"'{self.recipe}' is the mean of several networks: {', '.join(dip_blocks.MEANS[self.recipe])}. Each has a recipe of its own.")
        if self.recipe not in dip_blocks.RECIPES:
            raise RunError(f"No recipe is called '{self.recipe}'; there are {', '.join([*dip_blocks.RECIPES, *dip_blocks.MEANS])}.")
        recipe = dip_blocks.RECIPES[self.recipe]
        values = {f.name for f in fields(dip_blocks.Recipe)} - {"config", "iterations"}
        config = {key: list(entry) if isinstance(entry, (list, tuple)) else entry for key, entry in recipe.config.items()}
        changed = {}
        for key, value in self.changes:
            if key == "depth":
                config = dip_blocks.at_depth(config, int(value))
            elif key == "width" or key in dip_blocks.CONFIG_LISTS:
                for name in ("channels_down", "channels_up") if key == "width" else (key,):
                    config[name] = _by_level(key, value, len(config[name]))
            elif key in dip_blocks.CHOICES:
                config[key] = value
            elif key in values:
                whole = isinstance(getattr(recipe, key), int) and isinstance(value, float) and value == int(value)
                changed[key] = int(value) if whole else value
            else:
                known = sorted({*values, *dip_blocks.CONFIG_LISTS, *dip_blocks.CHOICES, "depth", "width"})
                raise RunError(f"A recipe has no value '{key}' to change; there are {', '.join(known)}.")
        if self.iterations is not None:
            changed["iterations"] = self.iterations
        return replace(recipe, config=config, **changed)  # at once: some values go only together

    @property
    def members(self) -> list[Spec]:
        """The runs of the networks that a mean is of; of anything else, the run itself."""
        return [replace(self, recipe=name) for name in dip_blocks.MEANS.get(self.recipe, [self.recipe])]

    @property
    def mask(self) -> int:
        """The seed of the mask."""
        return self.seed if self.mask_seed is None else self.mask_seed

    @property
    def path(self) -> Path:
        """Where the run lies, relative to the store."""
        recipe = "+".join([self.recipe, *(f"{key}={_short(value)}" for key, value in self.changes)])
        size = "" if self.size is None else f"-{self.size}"
        mask = "" if self.mask == self.seed else f"-mask{self.mask}"
        p = "" if self.p == 0.5 else f"-p{self.p:g}"
        p += "" if self.precision is None else f"-{self.precision}"
        return Path(recipe) / f"{Path(self.image).stem}{size}" / f"seed{self.seed}{mask}{p}-{sum(member.resolved().iterations for member in self.members)}it"


@dataclass
class Run:
    """What a run was, and what came out: as measured now, or as stored.  Images are (H, W), in [0, 1]."""

    facts: dict  # run.json
    history: list[dip_blocks.Step] = field(repr=False)
    restored: np.ndarray = field(repr=False)  # the raw output; from 8 bits if it was stored
    averaged: np.ndarray | None = field(default=None, repr=False)
    frames: dict[int, np.ndarray] = field(default_factory=dict, repr=False)  # iteration → output
    folder: Path | None = None

    @property
    def psnr(self) -> float:
        """PSNR in dB of the raw output."""
        return self.facts["psnr_db"]["raw"]

    @property
    def complete(self) -> bool:
        """Did it run for as many iterations as its recipe asks?"""
        return self.facts["iterations"] >= self.facts["recipe_iterations"]

    def truth(self) -> np.ndarray:
        """The true picture, checked against the run's record of it."""
        image = self.facts["image"]
        x = images.load(image["name"], size=image["size"])
        if images.digest(x) != image["sha256"]:
            raise RunError(f"The run {self.folder} was made on another picture than the '{image['name']}' found here.")
        return x

    def degraded(self) -> tuple[np.ndarray, np.ndarray]:
        """x̂ (H, W) and the mask (H, W), made again from the picture and the seed."""
        x_hat, mask = dip_blocks.degrade(self.truth(), p=self.facts["p"], seed=self.facts["seeds"]["mask"])
        return x_hat[0].numpy(), mask[0].numpy().astype(bool)


def write(store: Path, path: Path, run: Run) -> Run:
    """Store a run at `Spec.path`, whole or not at all; one of the same name is replaced."""
    draft = store / WORK / f"{work_name(path)}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / "run.json").write_text(_json(run.facts), encoding="utf-8")
    with open(draft / "history.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(dip_blocks.Step._fields)
        for step in run.history:
            quality = ["" if value is None else f"{value:.3f}" for value in (step.psnr, step.psnr_averaged)]
            table.writerow([step.iteration, f"{step.loss:.6g}", f"{step.lr:.6g}", int(step.restored), *quality])
    images.save_png(draft / "restored.png", run.restored)
    if run.averaged is not None:
        images.save_png(draft / "averaged.png", run.averaged)
    if run.frames:
        (draft / "frames").mkdir()
        for iteration, frame in run.frames.items():
            Image.fromarray(images.to_bytes(frame)).save(draft / "frames" / f"{iteration:05d}.webp", quality=80, method=6)
    return read(_move(draft, store / path))


def _move(draft: Path, folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    old = draft.with_name(draft.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def read(folder: Path) -> Run:
    """A stored run; RunError when files are missing or of another format."""
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise RunError(f"{folder} has format {facts['format']}; this version reads {FORMAT}.")
        with open(folder / "history.csv", newline="", encoding="utf-8") as file:
            history = [_step(row) for row in csv.DictReader(file)]
        pictures = {path.stem: _picture(path) for path in folder.glob("*.png")}
        frames = {int(path.stem): _picture(path) for path in sorted(folder.glob("frames/*.webp"))}
        return Run(facts, history, pictures["restored"], pictures.get("averaged"), frames, folder)
    except RunError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder} does not hold a whole stored run: {error}") from error


def find(store: Path = ROOT, *, recipe: str | None = None, image: str | None = None, size: int | None = ANY) -> list[Run]:
    """Stored runs, sorted by path; of one recipe as named (its folder), image and size (None: not shrunk) if given."""
    found = folders(store)
    if recipe is not None:
        found = [folder for folder in found if folder.parts[-3] == recipe]
    if image is not None:
        found = [folder for folder in found if re.fullmatch(rf"{re.escape(image)}(-\d+)?", folder.parts[-2])]
    return [run for run in map(read, found) if size is ANY or run.facts["image"]["size"] == size]


def folders(store: Path = ROOT) -> list[Path]:
    """The folders of all stored runs, sorted."""
    return sorted(path.parent for path in store.glob("*/*/*/run.json") if path.relative_to(store).parts[0] != WORK)


def pack(paths: list[Path], store: Path, target: Path, limit_mb: float = 15) -> list[Path]:
    """Copy stored runs into zip archives of at most ``limit_mb`` (10⁶ bytes) each, to be moved and unpacked elsewhere.

    Args:
        paths: of the runs, relative to the store, see `Spec.path`.
        target: the archives are called ``<target>-1.zip``, ``<target>-2.zip``, …

    Raises RunError when there is nothing to pack, or one run alone is over the limit.
    """
    if not paths:
        raise RunError(f"There is no stored run to pack in {store}.")
    limit, archives, parts = limit_mb * 1e6, [], []
    for path in paths:
        read(store / path)  # only whole runs travel
        names = sorted(file for file in (store / path).rglob("*") if file.is_file())
        part = [(file.relative_to(store).as_posix(), file.read_bytes()) for file in names]
        if len(_zip(part)) > limit:
            raise RunError(f"{path} alone is over {limit_mb:g} MB: allow larger archives.")
        if parts and len(_zip([*parts[-1], *part])) <= limit:
            parts[-1] += part
        else:
            parts.append(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts, 1):
        archives.append(target.parent / f"{target.name}-{number}.zip")
        archives[-1].write_bytes(_zip(part))
    return archives


def unpack(archive: Path, store: Path = ROOT) -> list[tuple[Path, str]]:
    """Bring the runs of an archive into a store; gives each run's path and "new", "there already" or "kept ours".

    A run that is stored already is never replaced: "kept ours" says that the archive's differs from it.

    Raises RunError for a file that is no archive of runs, or holds a damaged one; nothing is stored then.
    """
    draft = store / WORK / f"unpack.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            for name in (name for name in file.namelist() if not name.endswith("/")):
                place = PurePosixPath(name)
                if place.is_absolute() or ".." in place.parts or len(place.parts) not in (4, 5) or "\\" in name:
                    raise RunError(f"{archive} holds '{name}', which is no part of a stored run.")
            file.extractall(draft)
        found = [(path, path.relative_to(draft)) for path in folders(draft)]
        if not found:
            raise RunError(f"{archive} holds no stored run.")
        for path, _ in found:
            read(path)
        report = []
        for path, place in found:
            if (store / place).exists():
                same = _contents(path) == _contents(store / place)
                report.append((place, "there already" if same else "kept ours"))
            else:
                (store / place).parent.mkdir(parents=True, exist_ok=True)
                path.rename(store / place)
                report.append((place, "new"))
        return report
    except (zipfile.BadZipFile, OSError) as error:
        raise RunError(f"{archive} is not an archive of runs: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _by_level(key: str, value: float | str, depth: int) -> list[int]:
    """One number for all levels, or "32-64-128", full resolution first, of which the last holds for all below."""
    try:
        levels = [int(level) for level in str(value).split("-")] if isinstance(value, str) else [int(value)]
    except ValueError:
        raise RunError(f"{key} takes one number for all levels, or one for each with hyphens between, such as 32-64-128; not '{value}'.") from None
    if len(levels) > depth:
        raise RunError(f"{key}={value} has {len(levels)} levels, the network {depth}.")
    return levels + [levels[-1]] * (depth - len(levels))


def _short(value: float | str | bool) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value).lower()


def work_name(path: Path) -> str:
    """A run's name in the working folder, where all lie side by side."""
    return "__".join(path.parts)


def _step(row: dict) -> dip_blocks.Step:
    quality = [float(row[key]) if row.get(key) else None for key in ("psnr", "psnr_averaged")]
    return dip_blocks.Step(int(row["iteration"]), float(row["loss"]), float(row["lr"]), row["restored"] == "1", *quality)


def _picture(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), dtype=np.float32) / 255


def _json(facts: dict) -> str:
    """Indented, with lists of numbers on one line."""
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    return re.sub(r"\[[\s\d.,]*\]", lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text) + "\n"


def _zip(part: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in part:
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
