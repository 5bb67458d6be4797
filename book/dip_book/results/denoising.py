"""Noise: where rules would stop a fit that goes on to copy it, and what each method leaves of it.

Everything is PSNR in dB over the whole picture.  Choices were made on `plan.NOISY_PICTURES`; the
standard pictures are measured once, with what was chosen there.

Two files lie in the store beside the runs, each with its versions, commit and machine:
``stopping.json``, fits watched iteration by iteration (`store_stopping`), and ``denoising.json``,
what classical methods reach (`store_classical`; of BM3D, whose package is for non-commercial use
and no requirement of the book, the figures alone).  ``python -m dip_book measure
denoising`` writes what is missing of both.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path

import numpy as np
import torch

import dip_blocks
from dip_book import images, runs, tasks
from dip_book.results import classical
from dip_book.results.selection import all_stored
from dip_book.runs import measured, plan
from dip_book.runs.provenance import describe_device, provenance
from dip_book.table import Figure, Table, mean

STOPPING, CLASSICAL = "stopping.json", "denoising.json"
SIGMA = 25 / 255
SIDE = f"{plan.NOISY_SIZE}×{plan.NOISY_SIZE}"

# A fit that is watched --------------------------------------------------------------------

#: Share of the pixels that the held-out rule leaves out of the loss.
HELD_OUT = 0.05
#: Outputs that the windowed variance is of, and iterations without a new minimum after which the
#: rules that watch for one give up.
WINDOW, PATIENCE = 20, 100
#: Every so many iterations are stored.
EVERY = 5
#: The two outputs that a fit has, and of them the one that tables compare.
KINDS = ("averaged", "raw")
KIND = KINDS[0]
COLUMNS = ("loss", "raw", "averaged", "variance", "held_out_error")


class HeldOut(dip_blocks.Noisy):
    """Noise, and a loss that leaves some pixels out, so that they can tell when to stop.

    Args:
        sigma: as `Noisy` has it.
        used: (1, H, W), 1 where a pixel is in the loss and 0 where it is held out.
    """

    def __init__(self, sigma: float, used: torch.Tensor):
        super().__init__(sigma)
        self.used = used

    def compared(self, x_hat):
        return self.used


class Watcher:
    """What a rule may see of a fit, and the PSNR that none may: for ``watch`` of `restore`.

    Attributes:
        rows: one for each iteration, in the order of `COLUMNS`: the loss; PSNR in dB of the output
            and of the averaged output; the variance of the last `WINDOW` outputs, its mean over
            pixels (nan before there are as many); the mean squared error of the averaged output at
            held-out pixels (nan where none is held out).

    The fit must be on a CPU, where each iteration is watched.
    """

    def __init__(self, window: int = WINDOW):
        self.rows: list[list[float]] = []
        self._outputs: deque[torch.Tensor] = deque(maxlen=window)

    def __call__(self, fit: dip_blocks.Fit) -> None:
        self._outputs.append(fit.output.clone())
        step, last, out = fit.history[-1], self._outputs, 1 - fit.mask
        full = len(last) == last.maxlen
        variance = float(torch.stack([*last]).var(0, correction=0).mean()) if full else np.nan
        error = ((fit.averaged - fit.x_hat) ** 2 * out).sum() / (out.sum() * len(fit.x_hat))
        self.rows.append([step.loss, step.psnr, step.psnr_averaged, variance, float(error)])


def watched(image: str, seed: int) -> dict:
    """Fit random z to a noisy picture (`plan.rising`), pixels held out, and watch it.

    Returns the columns, one value each `EVERY` iterations, and what they are of.
    """
    spec = plan.rising(image, seed)
    recipe, x = spec.resolved(), images.load(image, size=spec.size)
    used = dip_blocks.bernoulli_mask(*x.shape[:2], p=1 - HELD_OUT, seed=seed)
    degradation, watcher = HeldOut(SIGMA, used), Watcher()
    about = provenance()
    dip_blocks.restore(
        degradation.degrade(x, seed), degradation, recipe, seed=seed, truth=x, device="cpu",
        progress=False, watch=watcher,
    )  # fmt: skip
    kept = range(EVERY - 1, len(watcher.rows), EVERY)
    columns = {name: [_short(watcher.rows[i][k]) for i in kept] for k, name in enumerate(COLUMNS)}
    return {
        "image": image, "size": spec.size, "sha256": images.digest(x), "seed": seed,
        "held_out": HELD_OUT, "iteration": [i + 1 for i in kept], **columns, **about,
        "device": describe_device("cpu"), "precision": dip_blocks.best_precision("cpu"),
    }  # fmt: skip


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def store_stopping(store: Path = runs.ROOT, seeds: Iterable[int] = (0,)) -> Path:
    """Watch a fit of each of `plan.NOISY_PICTURES`; gives the file's path.

    About half a minute of a core each.  Fits that the file holds already stay.
    """
    path = store / STOPPING
    facts = {
        "what": "fits of random z to noise of sigma 25 of 255, a share of pixels held out, "
        "watched: loss and squared errors on the scale of pixels in [0, 1], PSNR in dB",
        "fits": [],
    }
    if path.exists():
        facts = measured.read(path, "fits")
    measured.check(path)
    there = {(fit["image"], fit["seed"]) for fit in facts["fits"]}
    for seed, image in product(seeds, plan.NOISY_PICTURES):
        if (image, seed) not in there:
            facts["fits"].append(watched(image, seed))
            measured.write(path, _lines(facts))
    return path


def _lines(facts: dict) -> str:
    """JSON, a line for each entry of a fit: long enough lists, short enough a file."""
    fits = [
        "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in fit.items()) + "\n}"
        for fit in facts["fits"]
    ]
    joined = ",\n".join(fits)
    return f'{{"what": {json.dumps(facts["what"])},\n"fits": [\n{joined}\n]}}\n'


def stopping(store: Path = runs.ROOT) -> dict[tuple[str, int], dict]:
    """(Picture, seed) → what `watched` gave."""
    fits = measured.read(measured.of(store, STOPPING), "fits")["fits"]
    return {(fit["image"], fit["seed"]): fit for fit in fits}


# Rules that stop --------------------------------------------------------------------------


def first_minimum(values: list[float | None], patience: int) -> int:
    """Where a watched quantity had its least value when it had none lower for ``patience`` more.

    None counts as no value.  Without such a place, where the least value is.
    """
    best = None
    for i, value in enumerate(values):
        if value is not None and (best is None or value < values[best]):
            best = i
        elif best is not None and i - best >= patience:
            break
    if best is None:
        raise ValueError("A minimum needs a value; there is none.")
    return best


def first_below(values: list[float], level: float) -> int:
    """Where a quantity first is at a level or below; its last place if it never is."""
    return next((i for i, value in enumerate(values) if value <= level), len(values) - 1)


def _lowest(column: str) -> Callable[[dict], int]:
    return lambda fit: first_minimum(fit[column], PATIENCE // EVERY)


#: Rule → where it stops in a fit.  None looks at PSNR.
RULES: dict[str, Callable[[dict], int]] = {
    "a fixed count": lambda fit: len(fit["iteration"]) - 1,
    "loss at σ²": lambda fit: first_below(fit["loss"], SIGMA**2),
    "windowed variance": _lowest("variance"),
    "held-out pixels": _lowest("held_out_error"),
}


def stops(fit: dict, kind: str = "averaged") -> dict[str, tuple[int, float]]:
    """Rule → iteration, and PSNR in dB there of the "averaged" or "raw" output; the oracle's first.

    The oracle looks at the truth, at that output's: what no rule can know.
    """
    places = {"oracle": int(np.argmax(fit[kind]))}
    places |= {rule: where(fit) for rule, where in RULES.items()}
    return {rule: (fit["iteration"][i], fit[kind][i]) for rule, i in places.items()}


def rules(store: Path = runs.ROOT) -> Table:
    """Where each rule stops, what it gets there, and how far below the oracle that is, in dB."""
    fits = stopping(store)
    averaged, raw = ({key: stops(fit, kind) for key, fit in fits.items()} for kind in KINDS)
    pictures = dict.fromkeys(image for image, _ in fits)

    def below(found: dict, rule: str) -> Figure:
        apart = [of[rule][1] - of["oracle"][1] for of in found.values()]
        return Figure(mean(apart), least=min(apart), difference=True)

    rows = []
    for rule in ("oracle", *RULES):
        where = [of[rule][0] for of in averaged.values()]
        cells = [
            mean(of[rule][1] for (image, _), of in averaged.items() if image == picture)
            for picture in pictures
        ]
        span = f"{min(where)}" if min(where) == max(where) else f"{min(where)}–{max(where)}"
        lost = ["", ""] if rule == "oracle" else [below(found, rule) for found in (averaged, raw)]
        rows.append([rule, span, *cells, *lost])
    seeds = len({seed for _, seed in fits})
    of = "one seed" if seeds == 1 else f"mean of {seeds} seeds a picture"
    header = [
        "rule", "stops at iteration", *map(images.title, pictures), "below the oracle",
        "the same, raw outputs",
    ]  # fmt: skip
    caption = (
        f"PSNR in dB of the averaged output where each rule stops, {of}. The last two columns: "
        "differences in dB to the oracle, which looks at the truth (mean, and in brackets the "
        f"worst), of averaged and of raw outputs. Random z, noise of σ = 25, {SIDE}, one pixel in "
        "twenty held out."
    )
    return Table(header, rows, caption=caption)


# What each method leaves ------------------------------------------------------------------

#: The paper's pictures of which the book knows where they are: five of its nine.
PAPERS = ("house-rgb", "peppers-rgb", "lena-rgb", "baboon-rgb", "f16")
#: Methods of `store_classical`, and what tables call them.
METHODS = {
    "degraded": "the noisy picture", "nlm": "non-local means", "tv": "total variation",
    "wavelet": "wavelet shrinkage", "bm3d": "BM3D",
}  # fmt: skip


def bm3d(x_hat: torch.Tensor, degradation: dip_blocks.Degradation) -> np.ndarray:
    """BM3D, of a colour picture CBM3D (Dabov et al. 2007), by its authors' package.

    Raises RunError where the package ``bm3d`` is not installed: it is for non-commercial use.
    """
    try:
        import bm3d as theirs
    except ImportError:
        raise runs.RunError(
            "BM3D needs its authors' package, which is for non-commercial use: pip install bm3d"
        ) from None
    noisy = tasks.channels_last(x_hat).astype(np.float64)
    drawn = (theirs.bm3d_rgb if noisy.ndim == 3 else theirs.bm3d)(noisy, degradation.sigma)
    return np.clip(drawn, 0, 1).astype(np.float32)


def store_classical(store: Path = runs.ROOT, pictures: Iterable[str] | None = None) -> Path:
    """What classical methods reach on the pictures of the tables, and store it; gives the path.

    `plan.NOISY_PICTURES`, shrunk, and `PAPERS` as they come, or those named, noise of seed 0.
    About two seconds of a core for the former and a minute at 512×512, nearly all of it BM3D's.
    What is stored already is kept.  Errors as `bm3d` and `images.load`.
    """
    path = store / CLASSICAL
    facts = {
        "what": "PSNR in dB (peak 1) of what classical methods leave of noise, sigma 25 of 255, "
        "seed 0, not clipped",
        "pictures": {},
    }
    if path.exists():
        facts = measured.read(path, "pictures")
    measured.check(path)
    wanted = (*plan.NOISY_PICTURES, *PAPERS) if pictures is None else tuple(pictures)
    methods = classical.methods(plan.NOISE) | {"bm3d": bm3d}  # BM3D last: it takes longest
    for key, name in product(methods, wanted):
        size = plan.NOISY_SIZE if name in plan.NOISY_PICTURES else None
        place = name if size is None else f"{name}-{size}"
        if key in facts["pictures"].get(place, {"psnr_db": ()})["psnr_db"]:
            continue
        x = images.load(name, size=size)
        noise = tasks.degradation(plan.NOISE, *x.shape[:2])
        x_hat, truth = noise.degrade(x, 0), dip_blocks.as_image(x)
        given = {"degraded": round(dip_blocks.psnr(x_hat, truth), 4)}
        entry = facts["pictures"].setdefault(place, {"sha256": images.digest(x), "psnr_db": given})
        drawn = dip_blocks.as_image(methods[key](x_hat, noise))
        entry["psnr_db"][key] = round(dip_blocks.psnr(drawn, truth), 4)
        entry |= provenance()
        entry["versions"] |= {name: _version(name) for name in ("bm3d", "bm4d", "PyWavelets")}
        measured.write(path, json.dumps(facts, indent=1))
    return path


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def stored_classical(store: Path = runs.ROOT) -> dict[str, dict[str, float]]:
    """Picture, with its size if it was shrunk → method → PSNR in dB."""
    pictures = measured.read(measured.of(store, CLASSICAL), "pictures")["pictures"]
    return {name: facts["psnr_db"] for name, facts in pictures.items()}


def tried(store: Path = runs.ROOT) -> dict[str, dict[str, runs.Run]]:
    """Those of `plan.NOISE_IDEAS` that were run on all of `plan.NOISY_PICTURES`."""
    found = {
        name: all_stored(
            {image: plan.against_noise(name, image) for image in plan.NOISY_PICTURES}, store
        )
        for name in plan.NOISE_IDEAS
    }
    return {name: of for name, of in found.items() if len(of) == len(plan.NOISY_PICTURES)}


def protected_random(store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Picture → run of random z with dropout (`plan.at_random`); none unless all are stored."""
    specs = {image: plan.at_random(image) for image in plan.NOISY_PICTURES}
    found = all_stored(specs, store)
    return found if len(found) == len(specs) else {}


#: The loss of a hiding network varies with what is hidden: so many stored iterations are averaged.
SMOOTHED = 3


def honest_stop(run: runs.Run) -> dict[str, tuple[int, float]]:
    """Where a hiding network's loss says to stop, its end, and the oracle's place.

    The loss is of hidden pixels, whose noise the network did not see.  So it is the true error
    plus σ², and below σ² only if noise was learnt by heart: stop when the mean of the last
    `SMOOTHED` stored losses is there, or at the end.

    Returns "stopped", "end" and "oracle" → iteration, and PSNR in dB of the averaged output there.
    """
    losses = [step.loss for step in run.history]
    recent = [np.mean(losses[max(0, i - SMOOTHED + 1) : i + 1]) for i in range(len(losses))]
    quality = [step.psnr_averaged for step in run.history]
    places = {
        "stopped": first_below(recent, SIGMA**2), "end": len(losses) - 1,
        "oracle": int(np.argmax(quality)),
    }  # fmt: skip
    return {name: (run.history[i].iteration, quality[i]) for name, i in places.items()}


def hiding(store: Path = runs.ROOT) -> Table:
    """Hiding networks, stopped when their loss is σ², and how far from the oracle: PSNR in dB.

    Each of `plan.NOISE_IDEAS` that was run on all of `plan.NOISY_PICTURES`.
    """
    rows = []
    for name, of in tried(store).items():
        found = [honest_stop(run) for run in of.values()]
        at = ", ".join(
            str(where["stopped"][0]) if where["stopped"] != where["end"] else "end"
            for where in found
        )
        values = [where["stopped"][1] for where in found]
        lost = []
        for key in ("stopped", "end"):
            apart = [where[key][1] - where["oracle"][1] for where in found]
            lost.append(Figure(mean(apart), least=min(apart), difference=True))
        rows.append([name, at, *values, mean(values), *lost])
    header = [
        "recipe", "stops at iteration", *map(images.title, plan.NOISY_PICTURES), "mean",
        "below the oracle", "the end, below the oracle",
    ]  # fmt: skip
    caption = (
        f"PSNR in dB of the averaged output of hiding networks, {SIDE}, σ = 25, one seed, stopped "
        "when the loss is σ² (“end”: it never is). Each row changes one thing of the first, which "
        f"is `best-hidden` in {plan.DENOISE_ITERATIONS} iterations. The last two columns: "
        "differences in dB to each run's oracle, of the rule and of the last iteration (mean, and "
        "in brackets the worst)."
    )
    return Table(header, rows, caption=caption, filled_by=["noise"])


def development(store: Path = runs.ROOT) -> Table:
    """Classical methods and networks on the free pictures: PSNR in dB.

    Networks of which a run is missing have no row.
    """
    classics = stored_classical(store)
    rows = [
        [title, *(classics[f"{image}-{plan.NOISY_SIZE}"][key] for image in plan.NOISY_PICTURES)]
        for key, title in METHODS.items()
    ]
    fits = {key: stops(fit) for key, fit in stopping(store).items()}
    chosen = "held-out pixels"
    if all((image, 0) in fits for image in plan.NOISY_PICTURES):
        stopped = [fits[image, 0][chosen][1] for image in plan.NOISY_PICTURES]
        rows.append(["random z, stopped by held-out pixels", *stopped])
    protected = protected_random(store)
    if protected:
        best = (honest_stop(protected[image])["oracle"][1] for image in plan.NOISY_PICTURES)
        rows.append(["random z with dropout, at the oracle", *best])
    for title, spec in NETWORKS.items():
        specs = {image: spec(image, plan.NOISY_SIZE) for image in plan.NOISY_PICTURES}
        found = all_stored(specs, store)
        if len(found) < len(specs):
            continue
        if all(run.history for run in found.values()):  # a mean has none
            cells = (honest_stop(found[image])["stopped"][1] for image in specs)
            rows.append([f"{title}, stopped by its loss", *cells])
        rows.append(
            [f"{title}, at the end", *(found[image].facts["psnr_db"][KIND] for image in specs)]
        )
    rows = [[*row, mean(row[1:])] for row in rows]
    caption = f"PSNR in dB of what is left of noise of σ = 25: free pictures, {SIDE}, noise seed 0."
    return Table(["method", *map(images.title, plan.NOISY_PICTURES), "mean"], rows, caption=caption)


#: What tables call the networks that hide → picture, size → run.
NETWORKS: dict[str, Callable[[str, int | None], runs.Spec]] = {
    "a hiding network": plan.denoised_by_one,
    "the mean of two": plan.denoised,
}


def papers(store: Path = runs.ROOT) -> Table:
    """The paper's pictures at full size, one a row, as far as they are stored: PSNR in dB."""
    classics, rows = stored_classical(store), []
    one, two = NETWORKS
    for image in PAPERS:
        found = all_stored({title: spec(image, None) for title, spec in NETWORKS.items()}, store)
        if image not in classics and not found:
            continue
        known = [classics.get(image, {}).get(key) for key in METHODS]
        single = honest_stop(found[one])["stopped"][1] if one in found else None
        both = found[two].facts["psnr_db"][KIND] if two in found else None
        rows.append([images.title(image), *known, single, both])
    whole = [row for row in rows if None not in row]
    if len(whole) > 1:
        rows.append([f"**mean of {len(whole)}**", *map(mean, list(zip(*whole))[1:])])
    caption = (
        "PSNR in dB of what is left of noise of σ = 25, noise seed 0: those of the paper's nine "
        "pictures that the book has, at full size. “—”: not run. A mean is over the pictures that "
        "every method was run on."
    )
    titles = [*METHODS.values(), f"{one}, stopped by its loss", f"{two}, at the end"]
    return Table(["picture", *titles], rows, caption=caption)


#: The paper's table of denoising, means over its nine pictures, PSNR in dB (paper, section 3.1).
PAPER_DB = {
    "BM3D (CBM3D)": 31.42,
    "Deep Image Prior, averaged": 30.43,
    "Deep Image Prior, average of two runs": 31.00,
}


def distances(store: Path = runs.ROOT) -> Table:
    """How far networks are from BM3D, here and in the paper, each over pictures of its own; dB."""
    measured, header = papers(store), ["network", "mean", "less BM3D's"]
    if not measured.rows or measured.rows[-1][0] != f"**mean of {len(PAPERS)}**":
        return Table(header, [], filled_by=["denoising"])
    titles, whole = measured.header, measured.rows[-1]
    ours = {title: value for title, value in zip(titles, whole) if isinstance(value, float)}
    bm3d_here = ours[METHODS["bm3d"]]
    bm3d_there, *_ = PAPER_DB.values()
    shown = list(ours)[list(ours).index(METHODS["bm3d"]) + 1 :]
    here = [[f"here, {title}", ours[title], ours[title] - bm3d_here] for title in shown]
    there = [[f"the paper, {name}", v, v - bm3d_there] for name, v in list(PAPER_DB.items())[1:]]
    caption = (
        f"Noise of σ = 25: mean PSNR in dB, over {len(PAPERS)} pictures here and nine in the "
        "paper, as it reports them; and the distance to BM3D over the same pictures."
    )
    return Table(header, [*here, *there], {"less BM3D's": "{:+.2f}"}, caption)


TABLES = {
    "noise": development,
    "noise_rules": rules,
    "noise_ideas": hiding,
    "noise_papers": papers,
    "noise_distances": distances,
}
