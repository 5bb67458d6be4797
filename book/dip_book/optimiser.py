"""What Muon, and what protects from over-fitting under it, is worth: tables and curves from stored runs.

Everything is PSNR in dB of the averaged output with known pixels pasted, unless said otherwise, on
development pictures.  What was not run has no row.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch

import dip_blocks
from dip_book import bench, images, means, plan, runs
from dip_book.tables import Table, mean, signed

KIND = "averaged_pasted"


def stored(specs: dict[str, runs.Spec], store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Those of the named runs that are stored."""
    return {name: run for name, spec in specs.items() if (run := runs.stored(spec, store))}


def tried(words: str, size: int = 128, store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Picture → run of one of `plan.MUON_IDEAS`, as far as they are stored."""
    return stored({image: plan.under_muon(words, image, size) for image in plan.TUNING}, store)


Tried = dict[str, dict[str, runs.Run]]


def under_muon(size: int = 128, store: Path = runs.ROOT) -> Tried:
    """Idea → picture → run: those of `plan.MUON_IDEAS` that were tried on all pictures of `plan.TUNING`."""
    return _on_all({words: tried(words, size, store) for words in plan.MUON_IDEAS})


def with_hidden(store: Path = runs.ROOT) -> Tried:
    """Idea → picture → run: the network with random z, and those of `plan.HIDDEN_IDEAS` that were tried on all pictures, 256×256."""
    found = {RANDOM: stored({image: runs.Spec(image, 256, "best-nearest") for image in plan.TUNING}, store)}
    found |= {words: stored({image: plan.with_hidden(words, image) for image in plan.TUNING}, store) for words in plan.HIDDEN_IDEAS}
    return _on_all(found)


RANDOM = "random z, nothing hidden"


def _on_all(found: Tried) -> Tried:
    return {words: drawn for words, drawn in found.items() if set(drawn) == set(plan.TUNING)}


def ideas(found: Tried) -> Table:
    """Each idea against the first one, as a difference in dB."""
    if not found:
        return Table(["idea"], [])
    (first, base), *others = found.items()
    level = {image: run.facts["psnr_db"][KIND] for image, run in base.items()}
    rows = [[f"**{first}**, PSNR", *level.values(), mean(level.values()), seconds(base)]]
    for words, drawn in others:
        apart = [drawn[image].facts["psnr_db"][KIND] - level[image] for image in level]
        rows.append([words, *(signed([difference]) for difference in apart), signed([mean(apart)]), seconds(drawn)])
    return Table(["idea", *(images.title(image) for image in level), "mean", "core-seconds"], rows)


def seconds(drawn: dict[str, runs.Run]) -> str:
    """Core-seconds of a run, their mean over the pictures; empty where a run does not say."""
    values = [run.facts.get("core_seconds") for run in drawn.values()]  # not of a GPU's runs, nor of old ones
    return "" if None in values else f"{mean(values):,.0f}"


def pairs(found: Tried, best: int = 8) -> Table:
    """Means of two networks: of all pairs of ideas, those with the highest mean PSNR in dB.

    Computed from stored pictures of 8 bits.
    """
    seen = {image: (*run.degraded(), run.truth()) for image, run in next(iter(found.values()), {}).items()}
    rows = []
    for names in [*((name,) for name in found), *itertools.combinations(found, 2)]:
        values = []
        for image, (_, mask, truth) in seen.items():
            drawn = np.mean([found[name][image].averaged for name in names], axis=0)
            values.append(float(-10 * np.log10(np.mean(np.where(mask, 0, drawn - truth) ** 2))))
        rows.append([" and ".join(names), *values, mean(values)])
    alone = sorted((row for row in rows if " and " not in row[0]), key=lambda row: -row[-1])[:3]
    together = sorted((row for row in rows if " and " in row[0]), key=lambda row: -row[-1])[:best]
    return Table(["one network, or the mean of two", *(images.title(image) for image in seen), "mean"], alone + together)


def pasted(picture: np.ndarray, run: runs.Run) -> float:
    """PSNR in dB of a picture (H, W) with the pixels pasted that the run knew."""
    _, mask = run.degraded()
    return float(-10 * np.log10(np.mean(np.where(mask, 0, picture - run.truth()) ** 2)))


def longer(size: int = 256, store: Path = runs.ROOT) -> Table:
    """What the same seconds buy: the mean of a nearest and a bilinear network, or the nearest one for twice as many iterations."""
    rows = []
    for image in plan.TUNING:
        specs = {words: plan.under_muon(idea, image, size) for words, idea in (("nearest", "both, dropout 0.05"), ("bilinear", "both, dropout 0.1, bilinear"))}
        found = stored(specs | {"longer": plan.under_muon("both, dropout 0.05", image, size, times=2)}, store)
        if len(found) == 3:
            one, two, long = found.values()
            values = [run.facts["psnr_db"][KIND] for run in (one, two)]
            rows.append([images.title(image), *values, pasted(agreement([one, two]), one), long.facts["psnr_db"][KIND]])
    return Table([f"picture, {size}²", "nearest", "bilinear", "their mean", "nearest, twice as long"], rows)


def correlation(first: runs.Run, second: runs.Run) -> float:
    """Correlation of two runs' errors at the missing pixels."""
    _, mask = first.degraded()
    errors = [(run.averaged - run.truth())[~mask] for run in (first, second)]
    return float(np.mean(errors[0] * errors[1]) / np.sqrt(np.mean(errors[0] ** 2) * np.mean(errors[1] ** 2)))


def singular_values(image: str = "camera", iterations: int = 30, size: int = 128) -> dict[str, np.ndarray]:
    """Adam's and Muon's update of one weight matrix after a few iterations: singular values, largest first, as shares of the largest.

    Of the first convolution of the deepest u_i, 64 × 64·9 with the skip's channels, in fp32 on the CPU.
    """
    x_hat, mask = dip_blocks.degrade(images.load(image, size=size))
    spectra = {}
    for name in dip_blocks.OPTIMISERS:
        recipe = plan.under_muon("Muon" if name == "muon" else "Adam in its place", image).resolved()
        fit = dip_blocks.Fit(x_hat, mask, recipe, device="cpu", precision="fp32")
        with dip_blocks.numerics(fit.device, fit.precision):
            fit.run(iterations)
            weight = fit.net.up[-1].body[1].weight
            before = weight.detach().clone()
            fit.run(1)
        values = np.linalg.svd((weight.detach() - before).flatten(1).numpy(), compute_uv=False)
        spectra[name] = values / values[0]
    return spectra


def race(image: str = "camera", size: int = 128, store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Adam and Muon with all else equal; and Muon with what protects from over-fitting."""
    words = {"Adam": "Adam in its place", "Muon": "Muon", "Muon, dropout 0.05": "dropout 0.05"}
    return stored({name: plan.under_muon(idea, image, size) for name, idea in words.items()}, store)


def sooner(size: int = 128, store: Path = runs.ROOT) -> Table:
    """Iterations that Muon takes to what Adam has at its end: averaged output, all else equal."""
    rows = []
    for image in plan.TUNING:
        found = race(image, size, store)
        if {"Adam", "Muon"} <= set(found):
            goal = found["Adam"].facts["psnr_db"]["averaged"]
            total = found["Adam"].facts["iterations"]
            there = next((step.iteration for step in found["Muon"].history if step.psnr_averaged >= goal), None)
            rows.append([images.title(image), f"{total:,}", goal, there or "not reached", f"{there / total:.2f}" if there else ""])
    return Table(["picture", "Adam: iterations", "its PSNR then, dB", "Muon: iterations to that", "share"], rows)


#: Pixels a side → the recipe that is timed against the straightforward loop.
TIMED = {128: "quick", 256: "best-nearest"}


def against_straightforward(store: Path = runs.ROOT) -> Table:
    """Core-seconds to what the paper's recipe has after 1,000 iterations: of the straightforward loop, and of one network with Muon.

    PSNR of the averaged output.  Both are iterations of stored runs times measured seconds: the straightforward
    loop's from the benchmark, ours from the run itself.  Pictures and sizes of which a run is missing have no row.
    """
    rows = []
    for (size, recipe), image in itertools.product(TIMED.items(), plan.DEVELOPMENT):
        loop = next((result for result in bench.results(store, network="paper") if str(size) in result["sizes"]), None)
        found = stored({"paper": runs.Spec(image, size, "paper", iterations=1000), "ours": runs.Spec(image, size, recipe)}, store)
        if loop is None or len(found) < 2 or not found["ours"].facts.get("core_seconds"):
            continue
        each = loop["sizes"][str(size)]["contestants"]["straightforward"]["median_s"] * loop["threads"]
        goal, ours = found["paper"].facts["psnr_db"]["averaged"], found["ours"]
        there = next((step.iteration for step in ours.history if step.psnr_averaged >= goal), None)
        if there is None:
            continue
        theirs, seconds = each * found["paper"].facts["iterations"], ours.facts["core_seconds"] * there / ours.facts["iterations"]
        rows.append([f"{images.title(image)}, {size}²", goal, f"{theirs:,.0f}", f"`{recipe}`", there, f"{seconds:,.0f}", f"{seconds / theirs:.3f}"])
    header = ["picture", "paper's recipe after 1,000 iterations, dB", "straightforward loop, core-seconds", "against it", "iterations to that", "core-seconds", "share"]
    return Table(header, rows)


def agreement(members: list[runs.Run]) -> np.ndarray:
    """The mean of members' averaged outputs, (H, W); errors of `means.mean_of`."""
    return means.mean_of(members)[1]


def muon(store: Path = runs.ROOT) -> Table:
    """What was tried under Muon, in dB: 128×128."""
    return ideas(under_muon(store=store))


def muon_pairs(store: Path = runs.ROOT) -> Table:
    """Means of two of these networks, the best ones, in dB."""
    return pairs(under_muon(store=store))


def hidden(store: Path = runs.ROOT) -> Table:
    """Networks that are shown a part of the known pixels, against the one with random z, in dB: 256×256."""
    return ideas(with_hidden(store))


def hidden_pairs(store: Path = runs.ROOT) -> Table:
    """Means of two networks that are shown a part, the best ones, in dB."""
    return pairs(with_hidden(store))


DAMPINGS = (0, 0.25, 0.5, 1, 2)


def blends(store: Path = runs.ROOT) -> Table:
    """What blending gains over pasting, by its damping, in dB: the mean over the free pictures, 256×256, and the least of them.

    Computed from stored pictures of 8 bits.
    """
    found, rows = with_hidden(store), []
    deep, shallow = "best-hidden", "depth 3"
    for name, members in {RANDOM: [RANDOM], deep: [deep], "the mean of best-hidden and depth 3": [deep, shallow]}.items():
        if not set(members) <= set(found):
            continue
        gains = []
        for image in plan.TUNING:
            drawn = [found[member][image] for member in members]
            truth, picture = (torch.from_numpy(array)[None] for array in (drawn[0].truth(), np.mean([run.averaged for run in drawn], axis=0)))
            _, mask = drawn[0].degraded()
            level = dip_blocks.psnr(dip_blocks.paste(picture, truth, mask), truth)
            gains.append([dip_blocks.psnr(dip_blocks.blend(picture, truth, mask, damping), truth) - level for damping in DAMPINGS])
        rows.append([name, *(f"{signed([mean(column)])} ({signed([min(column)])})" for column in zip(*gains))])
    return Table(["averaged output of", *(f"damping {damping:g}" for damping in DAMPINGS)], rows)


def large(store: Path = runs.ROOT) -> Table:
    """Random z against known pixels, some of them hidden, on free pictures as large as the table's large ones: PSNR in dB, core-seconds."""
    rows = []
    for image in plan.FREE_LARGE:
        found = stored({recipe: runs.Spec(image, 512, recipe) for recipe in ("best-nearest", "best-hidden")}, store)
        if len(found) == 2:
            both = list(found.values())
            values = [run.facts["psnr_db"][KIND] for run in both]
            rows.append([images.title(image), *values, pasted(agreement(both), both[0]), *(seconds({image: run}) for run in both)])
    return Table(["picture, 512²", "random z", "some hidden", "their mean", "core-seconds: random z", "some hidden"], rows)


#: What the command line prints.
TABLES = {
    "muon": muon, "pairs": muon_pairs, "longer": longer, "sooner": sooner, "straightforward": against_straightforward,
    "hidden": hidden, "hidden_pairs": hidden_pairs, "blends": blends, "large": large,
}  # fmt: skip
