"""Holes, text and scratches: what fills them, told by stored runs and by methods without a network.

PSNR is in dB, of pictures with the known pixels pasted back: over the whole picture, or over the
missing pixels alone.  One more number
needs no truth (`grain`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt

import dip_blocks
from dip_book import images, runs, tasks
from dip_book.results import baselines, classical
from dip_book.results.selection import all_stored, best_run, machines
from dip_book.runs import measured, plan, record
from dip_book.runs.provenance import provenance
from dip_book.table import Cell, Table, mean

FILE, SHEET = "holes.json", "holes.webp"
#: The tasks at 128×128, in the order of the chapter.
TASKS = ("text10", "scratches10", "hole40")
#: The paper's pictures, and which of them have no truth: what its mask covers is to go.
SECONDS = "{:,.0f}"
PAPERS = {name.removesuffix("-mask"): name for name in images.MASKS}
NO_TRUTH = ("vase",)
HIDDEN = "some hidden"


# Numbers --------------------------------------------------------------------------------------


def quality(picture: np.ndarray, truth: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    """PSNR in dB over the whole picture, and over its missing pixels; known ones pasted back.

    Args:
        picture, truth: (H, W) or (H, W, 3) in [0, 1].
        known: (H, W), bool; a pixel at least is missing.
    """
    off = (np.asarray(picture, np.float64) - truth)[~known] ** 2
    shares = (1 - known.mean(), 1.0)
    return tuple(float(-10 * np.log10(share * off.mean())) for share in shares)


def grain(picture: np.ndarray, known: np.ndarray, rim: int = 8) -> float:
    """How grainy a fill is deep inside: neighbours' mean difference over the standard deviation.

    Independent noise: 1.1; smooth shapes: 0.1 or 0.2; flat: 0.  Needs no truth.

    Args:
        rim: so many pixels from what is known are left out; some must be left.
    """
    inside = distance_transform_edt(~known) > rim
    steps = []
    for axis in (0, 1):
        both = np.moveaxis(inside, axis, 0)[:-1] & np.moveaxis(inside, axis, 0)[1:]
        steps.append(np.abs(np.diff(np.moveaxis(picture, axis, 0), axis=0))[both].ravel())
    spread = float(np.sqrt(picture[inside].var(axis=0).mean()))
    return float(np.concatenate(steps).mean()) / spread if spread else 0.0


def filled(run: runs.Run) -> np.ndarray:
    """What a run makes of its picture: the averaged output, known pixels pasted, (H, W[, 3])."""
    known = run.degradation().known(run.data())[0].numpy().astype(bool)
    return np.where(
        known if run.averaged.ndim == 2 else known[..., None], run.truth(), run.averaged
    )


@cache
def receptive_field(depth: int, side: int = 512) -> int:
    """Side in pixels of the square of z that one pixel of the second reading's output sees.

    Batch norm is left out: its mean and variance are the whole picture's, the same everywhere.
    """
    config = dip_blocks.at_depth(dip_blocks.BEST_NEAREST.config, depth)
    few = dict.fromkeys(("channels_down", "channels_up"), [1] * depth)
    net = dip_blocks.UNet(1, 1, config | few | {"norm": "none", "dropout": 0.0})
    for weight in net.parameters():
        torch.nn.init.constant_(weight, 0.1)  # all positive: nothing cancels
    z = torch.ones(1, 1, side, side, requires_grad=True)
    net(z)[0, 0, side // 2, side // 2].backward()
    return int((z.grad[0, 0] != 0).any(dim=1).sum())


# Stored runs ------------------------------------------------------------------------------------


def reaching(image: str, store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Name → run of `plan.HOLE_IDEAS`, and of the network that is shown a part, if stored."""
    ideas = plan.HOLE_IDEAS
    specs = {name: plan.filling(image, "hole40", changes=of) for name, of in ideas.items()}
    specs[HIDDEN] = plan.filling(image, "hole40", "best-hidden")
    return all_stored(specs, store)


def covered(task: str, image: str, store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Name → run of `plan.COVERED` under a task, as far as stored."""
    specs = {
        name: plan.filling(image, task, recipe, of) for name, (recipe, of) in plan.COVERED.items()
    }
    return all_stored(specs, store)


def _on_all(found: dict[str, dict[str, runs.Run]]) -> dict[str, dict[str, runs.Run]]:
    """Picture → name → run, turned round, for names that all pictures have."""
    names = dict.fromkeys(name for drawn in found.values() for name in drawn)
    turned = {name: {image: of.get(name) for image, of in found.items()} for name in names}
    return {name: of for name, of in turned.items() if None not in of.values()}


def large_hole(store: Path = runs.ROOT) -> Table:
    """What filled a hole of 40×40 pixels, by networks that reach more or less far, and others."""
    drawn = _on_all({image: reaching(image, store) for image in plan.COLOURED})
    rows = [
        [name, *_measured({image: filled(run) for image, run in of.items()}, "hole40"), _cost(of)]
        for name, of in drawn.items()
    ]
    rows += [[*row, None] for row in _classical_rows("hole40", store)]
    truths = [images.load(image, size=128) for image in plan.COLOURED]
    level = mean(grain(truth, _known("hole40", truth)) for truth in truths)
    rows.append(["the truth", *[None] * (len(plan.COLOURED) + 1), level, None])
    used = [run for of in drawn.values() for run in of.values()]
    caption = (
        "A hole of 40×40 pixels in 128×128: PSNR in dB of the missing pixels alone (averaged "
        "output). The grain in the hole's middle needs no truth: 1.1 is noise, 0.1 a smooth shape; "
        "mean of the pictures. "
        f"{_length(used)}, one seed. Core-seconds a picture, on {machines(used)}; the methods "
        "without a network were not timed."
    )
    header = [
        "drawn by", *map(images.title, plan.COLOURED), "mean", "grain", "core-seconds",
    ]  # fmt: skip
    return Table(header, rows, {"core-seconds": SECONDS}, caption)


def _cost(drawn: dict[str, runs.Run]) -> float | None:
    """Core-seconds of a run, their mean over the pictures; None where a run does not say."""
    return mean(run.facts.get("core_seconds") for run in drawn.values())


def _measured(pictures: dict[str, np.ndarray], task: str) -> list[Cell]:
    """PSNR of missing pixels for each picture, and their mean; mean grain."""
    known = {image: _known(task, picture) for image, picture in pictures.items()}
    values = [
        quality(picture, images.load(image, size=128), known[image])[1]
        for image, picture in pictures.items()
    ]
    grains = [grain(picture, known[image]) for image, picture in pictures.items()]
    return [*values, mean(values), mean(grains)]


def _known(task: str, picture: np.ndarray, seed: int = 0) -> np.ndarray:
    return tasks.degradation(task, *picture.shape[:2], seed=seed).mask[0].numpy().astype(bool)


def paper_pictures(store: Path = runs.ROOT, side: int = 128) -> dict[str, np.ndarray]:
    """Title → what the network drew of the paper's pictures, as far as stored: (H, W, 3).

    Known pixels are the network's too.  Shrunk to ``side`` pixels at most.
    """
    found = {}
    for spec in plan.WANTED["inpainting"]:
        run = runs.stored(spec, store)
        if run is not None and "averaged" in run.kinds:
            picture = Image.fromarray(images.to_bytes(run.averaged))
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            found[images.title(spec.image)] = np.asarray(picture, np.float32) / 255
    return found


def _length(used: Iterable[runs.Run]) -> str:
    lengths = sorted({run.facts["iterations"] for run in used})
    return f"{' and '.join(f'{n:,}' for n in lengths) or 'No'} iterations"


def _classical_rows(task: str, store: Path) -> list[list[Cell]]:
    """As `_measured`, of the methods without a network: interpolation now, OpenCV's as stored."""
    rows = []
    for name, of in _without_network(task, store).items():
        rows.append([name, *_measured(of, task)])
    return rows


def _without_network(task: str, store: Path) -> dict[str, dict[str, np.ndarray]]:
    """Method → picture → what it fills in, at 128×128."""
    return {
        name: {image: filled_classically(name, image, task, store) for image in plan.COLOURED}
        for name in [*baselines.BASELINES, *stored_classical(store)["methods"]]
    }


def filled_classically(method: str, image: str, task: str, store: Path = runs.ROOT) -> np.ndarray:
    """What a method without a network makes of a picture at 128×128, (H, W, 3)."""
    truth = images.load(image, size=128)
    degradation = tasks.degradation(task, *truth.shape[:2])
    if method in baselines.BASELINES:
        return classical.methods(task)[method](degradation.degrade(truth), degradation)
    return np.where(_known(task, truth)[..., None], truth, _sheet(store)[method, image, task])


def few_covered(store: Path = runs.ROOT) -> Table:
    """Text and scratches: PSNR of the missing pixels by networks and others, mean of pictures."""
    of_task, used, cost = {}, [], {}
    for task in TASKS[:2]:
        drawn = _on_all({image: covered(task, image, store) for image in plan.COLOURED})
        used += [run for of in drawn.values() for run in of.values()]
        for name, of in drawn.items():
            cost.setdefault(name, []).append(_cost(of))
        pictures = {
            name: {image: filled(run) for image, run in of.items()} for name, of in drawn.items()
        }
        of_task[task] = pictures | _without_network(task, store)
    names = dict.fromkeys(name for found in of_task.values() for name in found)
    rows = []
    for name in names:
        cells = []
        for found in of_task.values():
            of = found.get(name)
            values = [
                quality(of[image], images.load(image, size=128), _known(task, of[image]))
                for task, group in of_task.items()
                if group is found
                for image in (of or ())
            ]
            cells += [mean(two[kind] for two in values) for kind in (0, 1)]
        rows.append([name, *cells, mean(cost.get(name, ()))])
    header = ["drawn by"]
    for task in of_task:
        header += [f"{tasks.title(task)}: whole", f"{tasks.title(task)}: missing"]
    caption = (
        "Text and scratches over a tenth of the picture: PSNR in dB over the whole picture and "
        "over the missing pixels alone, means of three pictures at 128×128 (averaged, pasted). "
        f"{_length(used)}, one seed. Core-seconds a picture, on {machines(used)}; the methods "
        "without a network were not timed."
    )
    return Table([*header, "core-seconds"], rows, {"core-seconds": SECONDS}, caption)


SPARSE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def sparse(store: Path = runs.ROOT) -> dict[str, dict[float, float]]:
    """Method → {share of known pixels: PSNR in dB of the missing ones}: the camera at 128×128.

    The recipe quick as it is stored, interpolation as computed now.
    """
    found: dict[str, dict[float, float]] = {"Deep Image Prior, quick": {}}
    truth = images.load("camera", size=128)
    for p in SPARSE:
        degradation = tasks.degradation(tasks.PIXELS, 128, 128, p=p)
        known, x_hat = degradation.mask[0].numpy().astype(bool), degradation.degrade(truth)
        for name, draw in classical.methods(tasks.PIXELS).items():
            points = found.setdefault(name, {})
            points[p] = quality(draw(x_hat, degradation), truth, known)[1]
        if (run := best_run("quick", "camera", 128, store, p=p)) is not None:
            found["Deep Image Prior, quick"][p] = _of_missing(run)
    return {name: points for name, points in found.items() if points}


def _of_missing(run: runs.Run) -> float:
    """PSNR in dB of the missing pixels, from a record's own figure: no picture is needed."""
    share = 1 - float(run.degradation().mask.mean())
    return run.facts["psnr_db"]["averaged_pasted"] + 10 * float(np.log10(share))


def papers(store: Path = runs.ROOT) -> Table:
    """The paper's pictures under its masks: PSNR of whole and missing pixels, where there is one.

    Networks as stored runs, the others as `store_classical` measured them.
    """
    known, rows, used = stored_classical(store)["pictures"], [], []
    methods = [*baselines.BASELINES, *stored_classical(store)["methods"]]
    for spec in plan.WANTED["inpainting"]:
        if spec.image in NO_TRUTH:
            continue
        run = runs.stored(spec, store)
        measured = known.get(spec.image, {})
        whole = [measured.get(name, {}).get("psnr_db") for name in methods]
        missing = [measured.get(name, {}).get("psnr_missing_db") for name in methods]
        title = f"{images.title(spec.image)}, "
        network, seconds = [None, None], None
        if run is not None:
            used.append(run)
            over_all = run.facts["psnr_db"]["averaged_pasted"]
            # The mask itself need not be at hand: all methods are as far apart by it.
            apart = [m - w for m, w in zip(missing, whole) if m is not None]
            network = [over_all, over_all + apart[0] if apart else _of_missing(run)]
            seconds = run.facts.get("core_seconds")
        rows.append([title + "whole", network[0], *whole, seconds])
        rows.append([title + "missing pixels", network[1], *missing, None])
    caption = (
        "The paper's pictures under its masks, at full size: PSNR in dB over the whole picture and "
        "over the missing pixels alone (averaged, pasted). One seed, a recipe fixed beforehand"
        f"{f', on {machines(used)}' if used else '; a dash is a run that is not stored'}."
    )
    cost = "network, core-seconds"
    return Table(["picture", "network", *methods, cost], rows, {cost: SECONDS}, caption)


# Without a network ------------------------------------------------------------------------------


def opencv() -> dict[str, Callable]:
    """Name → method (x̂ (H, W, 3) in [0, 1], known (H, W)) of the OpenCV that is installed.

    Telea (2004) and Navier–Stokes (Bertalmio et al. 2001) look 3 pixels around; with OpenCV's
    further modules there is also its shift map, which copies patches from elsewhere.
    Raises RunError where OpenCV is not.
    """
    try:
        import cv2
    except ImportError:
        raise runs.RunError(
            "OpenCV is not installed: pip install opencv-contrib-python-headless"
        ) from None

    def local(flag: int) -> Callable:
        def draw(x_hat: np.ndarray, known: np.ndarray) -> np.ndarray:
            missing = (~known).astype(np.uint8) * 255
            return cv2.inpaint(images.to_bytes(x_hat), missing, 3, flag) / np.float32(255)

        return draw

    def shift_map(x_hat: np.ndarray, known: np.ndarray) -> np.ndarray:
        lab = cv2.cvtColor(images.to_bytes(x_hat), cv2.COLOR_RGB2Lab)
        drawn = np.zeros_like(lab)
        mask = known.astype(np.uint8) * 255
        cv2.xphoto.inpaint(lab, mask, drawn, cv2.xphoto.INPAINT_SHIFTMAP)
        return cv2.cvtColor(drawn, cv2.COLOR_Lab2RGB) / np.float32(255)

    methods = {"Telea": local(cv2.INPAINT_TELEA), "Navier–Stokes": local(cv2.INPAINT_NS)}
    return methods | ({"shift map": shift_map} if hasattr(cv2, "xphoto") else {})


def store_classical(store: Path = runs.ROOT) -> Path:
    """Run OpenCV's methods on the chapter's pictures, and all methods on the paper's.

    Gives the file's path; the pictures of 128×128 lie beside it.  Errors as `opencv`, ImageError
    where one of the paper's pictures cannot be had.
    """
    methods, sheet, facts = opencv(), [], {}
    import cv2  # its absence is said above

    measured.check(store / FILE)
    for image in plan.COLOURED:
        truth = images.load(image, size=128)
        facts[f"{image}-128"] = {"sha256": images.digest(truth)}
        for task in TASKS:
            known = _known(task, truth)
            missing = ~known[..., None]
            sheet += [draw(truth * ~missing, known) * missing for draw in methods.values()]
    for image, mask in PAPERS.items():
        truth = images.load(image)
        facts[image] = {"sha256": images.digest(truth)}
        if image in NO_TRUTH:
            continue
        known = _known(mask, truth)
        for name, draw in (baselines.BASELINES | methods).items():
            whole, missing = quality(draw(truth * known[..., None], known), truth, known)
            values = {"psnr_db": round(whole, 4), "psnr_missing_db": round(missing, 4)}
            facts[image][name] = values
    what = (
        "Filling in without a network. Of the pictures of 128×128 (mask seed 0) the missing pixels "
        f"lie in {SHEET}, under one another: picture, task, method; known pixels are black. Of the "
        "paper's pictures, at full size under its masks, PSNR in dB (peak 1) over the whole "
        "picture and over the missing pixels, known ones pasted back."
    )
    drawn = record.draw(store / SHEET, sheet, lossless=True)
    facts = provenance() | {
        "what": what, "opencv": cv2.__version__, "methods": list(methods), "tasks": list(TASKS),
        "sheet": drawn, "pictures": facts,
    }  # fmt: skip
    measured.write(store / FILE, json.dumps(facts, indent=2, ensure_ascii=False))
    _sheet.cache_clear()
    return store / FILE


def stored_classical(store: Path = runs.ROOT) -> dict:
    """What `store_classical` stored; the book's own where a store has none."""
    return measured.read(_place(store) / FILE, "methods", "pictures", "tasks", "sheet")


def _place(store: Path) -> Path:
    return Path(store) if (Path(store) / FILE).exists() else runs.ROOT


@cache
def _sheet(store: Path) -> dict[tuple[str, str, str], np.ndarray]:
    """(method, picture, task) → picture (H, W, 3).  RunError for a file that is damaged."""
    facts = stored_classical(store)
    with Image.open(record.intact(_place(store) / SHEET, facts["sheet"])) as sheet:
        pixels = np.asarray(sheet.convert("RGB"), np.float32) / 255
    keys = [
        (method, image, task)
        for image in plan.COLOURED
        for task in facts["tasks"]
        for method in facts["methods"]
    ]
    return dict(zip(keys, np.split(pixels, len(keys))))


TABLES = {"large_hole": large_hole, "covered": few_covered, "holes_papers": papers}
