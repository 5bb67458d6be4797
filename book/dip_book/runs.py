"""Stored runs: one folder a run, readable with a text editor and an image viewer.

    book/runs/<recipe>/<image>-<size>/seed<seed>-<iterations>it/
        run.json       what was run, on what, and what came out
        history.csv    iteration, loss, lr, restored, psnr
        restored.png   the restored image (8 bits a channel)

A run is written into a hidden folder beside its place and moved there when it is complete: a
folder with that name is a whole run.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.metrics import structural_similarity

import dip_blocks
from dip_book import images

FORMAT = 1
ROOT = Path(__file__).resolve().parents[1] / "runs"
PACKAGES = ("torch", "numpy", "scikit-image", "pillow")


class RunError(ValueError):
    """A run that is asked for wrongly or stored wrongly; the message says which."""


@dataclass(frozen=True)
class Spec:
    """What decides a run's numbers, but for the machine."""

    image: str
    size: int | None = 128  # None: as the picture comes
    recipe: str = "blog"
    changes: tuple[tuple[str, float], ...] = ()  # values of the recipe that differ from its name's
    iterations: int | None = None  # None: the recipe's
    seed: int = 0  # of mask, weights and noise
    p: float = 0.5

    def resolved(self) -> dip_blocks.Recipe:
        """The recipe with every change applied; RunError for an unknown name or value."""
        if self.recipe not in dip_blocks.RECIPES:
            raise RunError(f"No recipe is called '{self.recipe}'; there are {', '.join(dip_blocks.RECIPES)}.")
        known = {f.name for f in fields(dip_blocks.Recipe)} - {"config", "iterations"}
        for key, _ in self.changes:
            if key not in known:
                raise RunError(f"A recipe has no value '{key}' to change; there are {', '.join(sorted(known))}.")
        recipe = replace(dip_blocks.RECIPES[self.recipe], **dict(self.changes))
        return recipe if self.iterations is None else replace(recipe, iterations=self.iterations)

    @property
    def path(self) -> Path:
        """Where the run lies, relative to the store."""
        recipe = "+".join([self.recipe, *(f"{key}={value:g}" for key, value in self.changes)])
        size = "" if self.size is None else f"-{self.size}"
        p = "" if self.p == 0.5 else f"-p{self.p:g}"
        return Path(recipe) / f"{Path(self.image).stem}{size}" / f"seed{self.seed}{p}-{self.resolved().iterations}it"


@dataclass
class Run:
    """What a run was, and what came out: as measured now, or as stored."""

    facts: dict  # run.json
    history: list[dip_blocks.Step] = field(repr=False)
    restored: np.ndarray = field(repr=False)  # (H, W), float32 in [0, 1]; from 8 bits if it was stored
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
        x_hat, mask = dip_blocks.degrade(self.truth(), p=self.facts["p"], seed=self.facts["seed"])
        return x_hat[0].numpy(), mask[0].numpy().astype(bool)


def perform(spec: Spec, store: Path = ROOT, *, device: str | None = None, every: int = 10, progress: bool = True) -> Run:
    """Run what a spec says and store it.

    Args:
        every: write every so many iterations to the history; restorations and the last are
            always written.

    An interrupt stores nothing: KeyboardInterrupt is raised again.
    """
    x = images.load(spec.image, size=spec.size)
    x_hat, mask = dip_blocks.degrade(x, p=spec.p, seed=spec.seed)
    with recording(spec, x, device) as record:
        result = dip_blocks.restore(
            x_hat, mask, spec.resolved(), seed=spec.seed, device=device, truth=x, progress=progress
        )
        if result.interrupted:
            raise KeyboardInterrupt
        run = record(result)
    kept = [s for s in run.history if s.iteration % every == 0 or s.restored or s.iteration in (1, len(run.history))]
    return write(store / spec.path, replace(run, history=kept))


@contextmanager
def recording(spec: Spec, x: np.ndarray, device: str | None = None):
    """Time what happens inside; gives a function that turns a `dip_blocks.Restoration` into a `Run`.

    Versions and commit are read at the beginning: they are those of the code that runs.
    """
    device = device or dip_blocks.best_device()
    before, started = provenance(), time.perf_counter()

    def record(result: dip_blocks.Restoration) -> Run:
        seconds = time.perf_counter() - started
        recipe, done = spec.resolved(), len(result.history)
        restored = result.image[0].numpy()
        facts = {
            "format": FORMAT,
            "recipe": {"name": spec.recipe, "changes": dict(spec.changes), **recipe.as_dict()},
            "image": {"name": Path(spec.image).stem, "size": spec.size, "shape": list(x.shape), "sha256": images.digest(x)},
            "p": spec.p,
            "seed": spec.seed,
            "iterations": done,
            "recipe_iterations": dip_blocks.RECIPES[spec.recipe].iterations,
            "psnr_db": {},
            "ssim": {},
            "restorations": sum(step.restored for step in result.history),
            "wall_time_s": round(seconds, 2),
            "iterations_per_s": round(done / seconds, 3),
            "peak_memory_mib": peak_memory(device),
            "device": describe_device(device),
            **before,
        }
        known = dip_blocks.bernoulli_mask(*x.shape, p=spec.p, seed=spec.seed)[0].numpy() == 1
        for kind, image in {"raw": restored, "pasted": np.where(known, x, restored)}.items():
            facts["psnr_db"][kind] = round(dip_blocks.psnr(torch.from_numpy(image), torch.from_numpy(x)), 4)
            facts["ssim"][kind] = round(float(structural_similarity(image, x, data_range=1.0)), 5)
        return Run(facts, result.history, restored)

    yield record


def write(folder: Path, run: Run) -> Run:
    """Store a run, whole or not at all; one of the same name is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    (draft / "run.json").write_text(json.dumps(run.facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with open(draft / "history.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(dip_blocks.Step._fields)
        for step in run.history:
            quality = "" if step.psnr is None else f"{step.psnr:.3f}"
            table.writerow([step.iteration, f"{step.loss:.6g}", f"{step.lr:.6g}", int(step.restored), quality])
    images.save_png(draft / "restored.png", run.restored)
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)
    return read(folder)


def read(folder: Path) -> Run:
    """A stored run; RunError when files are missing or of another format."""
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with open(folder / "history.csv", newline="", encoding="utf-8") as file:
            history = [
                dip_blocks.Step(
                    int(row["iteration"]),
                    float(row["loss"]),
                    float(row["lr"]),
                    row["restored"] == "1",
                    float(row["psnr"]) if row["psnr"] else None,
                )
                for row in csv.DictReader(file)
            ]
        with Image.open(folder / "restored.png") as picture:
            restored = np.asarray(picture, dtype=np.float32) / 255
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder} does not hold a whole stored run: {error}") from error
    if facts.get("format") != FORMAT:
        raise RunError(f"{folder} has format {facts.get('format')}; this version reads {FORMAT}.")
    return Run(facts, history, restored, folder)


def find(store: Path = ROOT, *, recipe: str | None = None, image: str | None = None, size: int | None = None) -> list[Run]:
    """Stored runs, sorted by path; of one recipe as named (its folder), image and size if given."""
    runs = [read(path.parent) for path in sorted(store.glob("*/*/*/run.json")) if not path.parent.name.startswith(".")]
    return [
        run
        for run in runs
        if (recipe is None or run.folder.parts[-3] == recipe)
        and (image is None or run.facts["image"]["name"] == image)
        and (size is None or run.facts["image"]["size"] == size)
    ]


def provenance() -> dict:
    """Who made a number: versions, commit, time, machine."""
    return {
        "threads": torch.get_num_threads(),
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        **commit(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def commit() -> dict:
    """The commit of the code in use, and whether the code differs from it; None outside git."""
    here = Path(__file__).resolve().parent

    def git(*words):
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        code = git("status", "--porcelain", "--", ":/dip_blocks.py", ":/book/dip_book")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(code)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def describe_device(device: str) -> str:
    """A device in words, such as "cuda (Tesla T4)"."""
    if torch.device(device).type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device} ({_processor()})"


def peak_memory(device: str) -> int | None:
    """Largest memory use so far, MiB: of the GPU where one was used, else of this process."""
    if torch.device(device).type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
