"""Super-resolution in numbers: what networks and methods without one make of a shrunk picture.

PSNR is in dB, in two conventions side by side: over all channels of the whole picture, and of the
luma less a border of as many pixels as the picture was shrunk times, which is the field's.
Networks' pictures are the averaged outputs.
"""

from __future__ import annotations

import json
import time
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import torch

import dip_blocks
from dip_book import images, runs
from dip_book.results import classical
from dip_book.results.selection import all_stored, machines
from dip_book.runs import means, measured, plan
from dip_book.runs.provenance import provenance
from dip_book.table import Cell, Table, mean
from dip_parts.degradations import lanczos

FILE = "shrinking.json"
FACTORS = (4, 8)
SET5 = tuple(name for name in images.COLOUR if name.startswith("set5-"))
#: The methods without a network, as readers know them.
TITLES = {
    "bicubic": "bicubic",
    "lanczos": "Lanczos",
    "projected": "bicubic, back-projected",
    "tv": "total variation",
}
#: What networks drew, likewise; the mean is of the first two.
NETWORKS = {"nearest": "network, nearest", "bilinear": "network, bilinear", "mean": "mean of both"}
PUT_BACK = ", data put back"

Picture = np.ndarray | torch.Tensor


def onto_data(
    drawn: torch.Tensor, x_hat: torch.Tensor, degradation: dip_blocks.Shrunk
) -> torch.Tensor:
    """The picture nearest to this one, (C, H, W), that shrinks to x̂, (C, h, w), exactly.

    x + D⁺(x̂ − D x), D⁺ the pseudo-inverse; values may leave [0, 1].
    """
    off = x_hat - degradation.apply(drawn)
    how = degradation.factor, degradation.lobes
    down, across = (_inverse(length, *how) for length in drawn.shape[-2:])
    return drawn + down @ off @ across.T


#: Turns between the data and [0, 1]: for what networks draw, a hundredth of a grey level is left.
TURNS = 20


def put_back(
    drawn: torch.Tensor, x_hat: torch.Tensor, degradation: dip_blocks.Shrunk
) -> torch.Tensor:
    """A picture (C, H, W) with the data x̂, (C, h, w), put back, in [0, 1].

    In turn it goes to the nearest picture that meets the data, and is clipped.  The truth meets the
    data and lies in [0, 1], so no turn leads away from it (book, "Super-resolution").
    """
    for _ in range(TURNS):
        drawn = onto_data(drawn, x_hat, degradation).clamp(0, 1)
    return drawn


def weights(length: int, factor: int, lobes: int = 3) -> torch.Tensor:
    """What `dip_blocks.Shrunk` does along a line: (length / factor, length), a row a new pixel."""
    return lanczos(length, factor, lobes, torch.device("cpu"))


@cache
def _inverse(length: int, factor: int, lobes: int) -> torch.Tensor:
    return torch.linalg.pinv(weights(length, factor, lobes).double()).float()


def off(drawn: Picture, x_hat: torch.Tensor, degradation: dip_blocks.Degradation) -> float:
    """By how many grey levels of 255 a picture, shrunk, misses the data: root mean square."""
    missed = degradation.apply(dip_blocks.as_image(drawn)) - x_hat
    return float(missed.square().mean().sqrt() * 255)


def quality(drawn: Picture, truth: Picture, factor: int) -> dict[str, float]:
    """PSNR in dB: "psnr_db" over the whole picture, "psnr_luma_db" as the field has it."""
    pair = [dip_blocks.as_image(picture) for picture in (drawn, truth)]
    inner = [means.luma(picture, factor) for picture in pair]
    return {"psnr_db": dip_blocks.psnr(*pair), "psnr_luma_db": dip_blocks.psnr(*inner)}


def _measured(drawn: Picture, truth: Picture, x_hat, degradation) -> dict[str, float]:
    found = quality(drawn, truth, degradation.factor)
    return found | {"off": off(drawn, x_hat, degradation)}


def without_network(truth: np.ndarray, factor: int) -> dict[str, dict[str, float]]:
    """Each of `TITLES` on a picture (H, W, 3): PSNR in dB, how far off the data, and seconds."""
    degradation, found = dip_blocks.Shrunk(factor), {}
    x_hat = degradation.degrade(truth)
    for name, draw in classical.methods(f"shrink{factor}").items():
        begun = time.process_time()
        drawn = draw(x_hat, degradation)
        seconds = time.process_time() - begun
        found[name] = _measured(drawn, truth, x_hat, degradation) | {"core_seconds": seconds}
    return found


def members(image: str, factor: int, size: int | None, store: Path = runs.ROOT):
    """ "nearest" and "bilinear" → the stored runs of a picture, as far as there are any."""
    pair = plan.shrunk(image, factor, size).members
    return all_stored(dict(zip(NETWORKS, pair)), store)


def free(
    factor: int = 4, size: int = plan.SHRUNK_SIZES[0], store: Path = runs.ROOT
) -> dict[str, dict[str, runs.Run]]:
    """Free picture → "nearest" and "bilinear" → its stored run; those that have one."""
    found = {name: members(name, factor, size, store) for name in images.EMBEDDED_RGB}
    return {name: of for name, of in found.items() if of}


def drawn_by(found: dict[str, runs.Run]) -> dict[str, torch.Tensor]:
    """What stored runs of one picture drew, and their mean: name → (C, H, W) in [0, 1].

    Each as it is and with the data put back; of runs whose pictures are kept.
    """
    kept = {name: run for name, run in found.items() if "averaged" in run.kinds}
    drawn = {name: dip_blocks.as_image(run.averaged) for name, run in kept.items()}
    if len(drawn) == 2:
        drawn["mean"] = torch.stack(list(drawn.values())).mean(0)
    for run in list(kept.values())[:1]:
        x_hat, degradation = run.data(), run.degradation()
        drawn |= {
            f"{name}{PUT_BACK}": put_back(picture, x_hat, degradation)
            for name, picture in drawn.items()
        }
    return drawn


def with_network(found: dict[str, runs.Run]) -> dict[str, dict[str, float]]:
    """The same in numbers, with core-seconds where the runs say them."""
    if not found:
        return {}
    run = next(iter(found.values()))
    truth, x_hat, degradation = run.truth(), run.data(), run.degradation()
    measured = {
        name: _measured(picture, truth, x_hat, degradation)
        for name, picture in drawn_by(found).items()
    }
    cost = {name: one.facts.get("core_seconds") for name, one in found.items()}
    cost["mean"] = None if None in cost.values() else sum(cost.values())
    for name, entry in measured.items():
        if (seconds := cost[name.removesuffix(PUT_BACK)]) is not None:
            entry["core_seconds"] = seconds
    return measured


# Set5 -----------------------------------------------------------------------------------------


def write(store: Path = runs.ROOT) -> Path:
    """Measure Set5 and the free pictures, and store the figures beside the runs; the file's path.

    Methods without a network are computed; Set5's networks are measured from stored pictures, and
    where these are not kept any more, what was stored before stays.  Raises `images.ImageError`
    where a picture cannot be had.
    """
    before = read(store)["set5"] if (store / FILE).exists() else {}
    what = (
        "Super-resolution, pictures shrunk by the Lanczos operator: PSNR in dB over all channels "
        "of the whole picture, and of the luma less a border; off: by how many grey levels of 255 "
        "the picture, shrunk, misses the data, root mean square; networks from pictures of 8 bits. "
        "set5: at full size; free: scikit-image's, by size"
    )
    measured.check(store / FILE)
    facts = provenance() | {"what": what, "set5": {}, "free": {}}
    for factor in map(str, FACTORS):
        facts["set5"][factor], facts["free"][factor] = {}, {}
        for name in SET5:
            truth = images.load(name)
            entry = before.get(factor, {}).get(name, {}) | {"sha256": images.digest(truth)}
            entry |= without_network(truth, int(factor))
            entry |= with_network(members(name, int(factor), None, store))
            facts["set5"][factor][name] = _rounded(entry)
        for name, side in product(images.EMBEDDED_RGB, plan.SHRUNK_SIZES):
            truth = images.load(name, size=side)
            facts["free"][factor][f"{name}-{side}"] = _rounded(without_network(truth, int(factor)))
    return measured.write(store / FILE, json.dumps(facts, indent=1))


def _rounded(entry: dict) -> dict:
    return {
        key: of if isinstance(of, str) else {what: round(value, 4) for what, value in of.items()}
        for key, of in entry.items()
    }


def read(store: Path = runs.ROOT) -> dict:
    """What `write` stored; the book's own where a store has none."""
    return measured.read(measured.of(store, FILE), "set5", "free")


# Tables ---------------------------------------------------------------------------------------


def _table(entries: dict[str, dict], caption: str) -> Table:
    """Methods under one another, pictures beside one another; a method that one lacks has no mean.

    Args:
        entries: picture → method → figures.
    """
    shown = [*TITLES, *NETWORKS, *(f"{name}{PUT_BACK}" for name in NETWORKS)]
    rows: list[list[Cell]] = []
    for method in shown:
        found = [entry.get(method, {}) for entry in entries.values()]
        if not any(found):
            continue
        every = {
            key: mean(one.get(key) for one in found)
            for key in ("psnr_db", "psnr_luma_db", "off", "core_seconds")
        }
        rows.append([_title(method), *(one.get("psnr_db") for one in found), *every.values()])
    header = [
        "method", *map(images.title, entries), "mean", "mean, luma", "off the data", "core-seconds",
    ]  # fmt: skip
    return Table(header, rows, {"off the data": "{:.2f}", "core-seconds": _seconds}, caption)


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _title(method: str) -> str:
    name = method.removesuffix(PUT_BACK)
    return ({**TITLES, **NETWORKS}[name]) + method[len(name) :]


CONVENTIONS = (
    "PSNR in dB over all channels of the whole picture; in the column “mean, luma” as the field "
    "has it. Off the data: what the picture, shrunk, misses, in grey levels of 255. "
)


def development(
    factor: int = 4, size: int = plan.SHRUNK_SIZES[0], store: Path = runs.ROOT
) -> Table:
    """The free pictures in colour, networks as far as they are stored (`free`); in dB."""
    found = free(factor, size, store)
    ran = [run for of in found.values() for run in of.values()]
    entries = {
        name: entry_of(name, factor, size, store) | with_network(found.get(name, {}))
        for name in found or images.EMBEDDED_RGB
    }
    caption = f"Free pictures, {size}×{size}, shrunk {factor} times. {CONVENTIONS}".rstrip()
    return _table(entries, f"{caption} Networks on {machines(ran)}." if ran else caption)


def entry_of(name: str, factor: int, size: int, store: Path = runs.ROOT) -> dict[str, dict]:
    """What methods without a network reach on a free picture, as stored: see `without_network`."""
    return read(store)["free"][str(factor)][f"{name}-{size}"]


def set5(factor: int = 4, store: Path = runs.ROOT) -> Table:
    """Set5 at full size, from `write`'s file; networks as far as they are stored; in dB."""
    entries = read(store)["set5"][str(factor)]
    count = sum("mean" in entry for entry in entries.values())
    ran = f"networks stored for {count} of {len(entries)} pictures"
    caption = f"Set5 at full size, shrunk {factor} times; {ran}. {CONVENTIONS}"
    return _table(entries, caption.rstrip())


#: Set5, shrunk four times, in the paper (its table of super-resolution): PSNR in dB.
PAPER_DB = {"bicubic": 28.43, "Deep Image Prior": 29.90}


def gains(store: Path = runs.ROOT) -> Table:
    """Set5 shrunk four times: what methods gain over bicubic, in dB of luma; the paper's last."""
    entries = read(store)["set5"]["4"]
    rows: list[list[Cell]] = []
    for method in ("tv", "nearest", "mean", f"mean{PUT_BACK}"):
        found = [
            of[method]["psnr_luma_db"] - of["bicubic"]["psnr_luma_db"] if method in of else None
            for of in entries.values()
        ]
        if any(found):
            rows.append([_title(method), *found, mean(found)])
    paper = PAPER_DB["Deep Image Prior"] - PAPER_DB["bicubic"]
    rows.append(["the paper's Deep Image Prior, reported", *(None for _ in entries), paper])
    caption = (
        "Set5 shrunk four times: PSNR above bicubic's, in dB. Ours of the luma; how the paper "
        f"counts is not known, its figures are {PAPER_DB['Deep Image Prior']:.2f} over "
        f"{PAPER_DB['bicubic']:.2f} dB."
    )
    header = ["method", *map(images.title, entries), "mean"]
    return Table(header, rows, {title: "{:+.2f}" for title in header[1:]}, caption)


def tried(store: Path = runs.ROOT) -> Table:
    """What was tried at 128×128, shrunk 4 times: averaged, and with the data put back; in dB."""
    rows, ran, pictures = [], [], plan.SHRINK_TRIED
    for idea in plan.SHRINK_IDEAS:
        specs = {image: plan.shrink_idea(idea, image) for image in pictures}
        found = all_stored(specs, store)
        if set(found) != set(pictures):
            continue
        ran += found.values()
        cells: list[Cell] = [idea]
        for run in found.values():
            drawn = drawn_by({"nearest": run})
            cells += [quality(one, run.truth(), 4)["psnr_db"] for one in drawn.values()]
        missed = mean(off(run.averaged, run.data(), run.degradation()) for run in found.values())
        rows.append([*cells, missed, mean(run.facts["core_seconds"] for run in found.values())])
    kinds = ("averaged", "put back")
    titled = (f"{images.title(name)}, {kind}" for name in pictures for kind in kinds)
    caption = (
        "What was tried, 128×128, shrunk 4 times: PSNR in dB of the averaged output, and of the "
        f"same with the data put back. On {machines(ran)}."
    )
    header = ["network", *titled, "off the data", "core-seconds"]
    return Table(header, rows, {"core-seconds": _seconds}, caption, filled_by=["shrink-ideas"])


TABLES = {"shrunk": development, "shrunk_ideas": tried, "set5": set5, "set5_gains": gains}
