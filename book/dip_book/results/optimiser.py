"""What Muon is worth, and what protects from over-fitting under it, told by stored runs.

Everything is PSNR in dB of the averaged output with known pixels pasted, unless said otherwise, on
development pictures.  What was not run has no row.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

import dip_blocks
from dip_book import bench, images, runs
from dip_book.results.selection import all_stored, first_reaching, machines
from dip_book.runs import means, plan
from dip_book.table import NO_VALUE, Cell, Figure, Table, difference, mean

KIND = "averaged_pasted"
SECONDS = "{:,.0f}"

#: Idea → picture → its run.
Tried = dict[str, dict[str, runs.Run]]


def tried(idea: str, size: int = 128, store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Picture → run of one of `plan.MUON_IDEAS`, as far as they are stored."""
    return all_stored({image: plan.under_muon(idea, image, size) for image in plan.TUNING}, store)


def under_muon(size: int = 128, store: Path = runs.ROOT) -> Tried:
    """Those of `plan.MUON_IDEAS` that were tried on all pictures of `plan.TUNING`."""
    return _on_all({idea: tried(idea, size, store) for idea in plan.MUON_IDEAS})


def with_hidden(store: Path = runs.ROOT) -> Tried:
    """The network with random z, and those of `plan.HIDDEN_IDEAS`, 256×256.

    Those that were tried on all pictures of `plan.TUNING`.
    """
    specs = {RANDOM: {image: runs.Spec(image, 256, "best-nearest") for image in plan.TUNING}}
    for idea in plan.HIDDEN_IDEAS:
        specs[idea] = {image: plan.with_hidden(idea, image) for image in plan.TUNING}
    return _on_all({idea: all_stored(of, store) for idea, of in specs.items()})


RANDOM = "random z, nothing hidden"
#: The two whose mean is the recipe `best`.
CHOSEN = ("best-hidden", "depth 3")


def _on_all(found: Tried) -> Tried:
    return {idea: drawn for idea, drawn in found.items() if set(drawn) == set(plan.TUNING)}


def ideas(found: Tried, caption: str = "", filled_by: Iterable[str] = ()) -> Table:
    """Each idea against the first one, as a difference in dB."""
    everything = [run for drawn in found.values() for run in drawn.values()]
    caption = (
        f"{caption} PSNR in dB of the first row, differences in dB below it (averaged, pasted). "
        f"Core-seconds a picture, on {machines(everything)}."
    ).lstrip()
    if not found:
        return Table(["idea"], [], filled_by=filled_by)
    (first, base), *others = found.items()
    level = {image: run.facts["psnr_db"][KIND] for image, run in base.items()}
    rows = [[f"**{first}**, PSNR", *level.values(), mean(level.values()), seconds(base)]]
    for idea, drawn in others:
        apart = list(gains(drawn, base).values())
        cells = (difference([value]) for value in (*apart, mean(apart)))
        rows.append([idea, *cells, seconds(drawn)])
    if any(row[-1] is None for row in rows):
        caption += f" “{NO_VALUE}”: not recorded."
    header = ["idea", *map(images.title, level), "mean", "core-seconds"]
    return Table(header, rows, {"core-seconds": SECONDS}, caption)


def gains(drawn: dict[str, runs.Run], base: dict[str, runs.Run]) -> dict[str, float]:
    """Picture → how much better an idea's run is than another's, in dB."""
    return {
        image: drawn[image].facts["psnr_db"][KIND] - run.facts["psnr_db"][KIND]
        for image, run in base.items()
    }


def seconds(drawn: dict[str, runs.Run]) -> float | None:
    """Core-seconds of a run, their mean over the pictures; None where a run does not say."""
    # a GPU's runs do not, nor do old ones
    return mean(run.facts.get("core_seconds") for run in drawn.values())


def pairs(
    found: Tried,
    best: int = 8,
    chosen: tuple[str, str] | None = None,
    caption: str = "",
    filled_by: Iterable[str] = (),
) -> Table:
    """Means of two networks: of all pairs of ideas, those with the highest mean PSNR in dB.

    Computed from stored pictures of 8 bits.  The pair that was ``chosen`` is among them anyway, in
    bold.
    """
    first = next(iter(found.values()), {})
    known = {image: (run.degraded()[1], run.truth()) for image, run in first.items()}

    def row(*ideas: str) -> list[Cell]:
        values = [
            _psnr_pasted(np.mean([found[idea][image].averaged for idea in ideas], axis=0), *of)
            for image, of in known.items()
        ]
        return [" + ".join(ideas), *values, mean(values)]

    def highest(rows: list[list[Cell]], count: int) -> list[list[Cell]]:
        return sorted(rows, key=lambda row: -row[-1])[:count]

    alone = highest([row(idea) for idea in found], 3)
    every = [row(*two) for two in itertools.combinations(found, 2)]
    ours = [line for line in every if line[0] == " + ".join(chosen or ())]
    together = highest(every, best)
    together += [line for line in ours if line not in together]
    for line in ours:
        line[0] = f"**{line[0]}**"
    header = ["one network, or the mean of two", *map(images.title, known), "mean"]
    caption = (
        f"{caption} PSNR in dB of their averaged outputs' mean, pasted. Computed from stored "
        "pictures of 8 bits, so hundredths differ from the table of single runs."
    ).lstrip()
    return Table(header, alone + together, caption=caption, filled_by=filled_by)


def _psnr_pasted(picture: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(np.where(mask, 0, picture - truth) ** 2)))


def pasted(picture: np.ndarray, run: runs.Run) -> float:
    """PSNR in dB of a picture (H, W) with the pixels pasted that the run knew."""
    return _psnr_pasted(picture, run.degraded()[1], run.truth())


def longer(size: int = 256, store: Path = runs.ROOT) -> Table:
    """What the same seconds buy: two networks' mean, or one network fitted twice as long.

    The two differ in their upsampling, nearest and bilinear; the one is the nearest.
    """
    decay = "weight decay 1, falling rate"
    nearest, bilinear = f"{decay}, dropout 0.05", f"{decay}, dropout 0.1, bilinear"

    def specs(image: str) -> dict[str, runs.Spec]:
        return {
            "nearest": plan.under_muon(nearest, image, size),
            "bilinear": plan.under_muon(bilinear, image, size),
            "nearest, twice as long": plan.under_muon(nearest, image, size, times=2),
        }

    return _same_seconds(specs, size, ["muon-256"], store)


def longer_hidden(store: Path = runs.ROOT) -> Table:
    """The same of two networks that are shown a part, one of them less deep."""

    def specs(image: str) -> dict[str, runs.Spec]:
        return {
            "best-hidden": plan.with_hidden("best-hidden", image),
            "depth 3": plan.with_hidden("depth 3", image),
            "best-hidden, twice as long": plan.with_hidden("best-hidden", image, times=2),
        }

    return _same_seconds(specs, 256, ["hidden", "hidden-longer"], store)


def _same_seconds(
    specs: Callable[[str], dict[str, runs.Spec]], size: int, groups: list[str], store: Path
) -> Table:
    """Two networks, their mean, and the first fitted twice as long, on `plan.TUNING`."""
    rows = []
    for image in plan.TUNING:
        found = all_stored(wanted := specs(image), store)
        if len(found) == len(wanted):
            one, two, long = found.values()
            alone, other, twice = (run.facts["psnr_db"][KIND] for run in (one, two, long))
            together = pasted(agreement([one, two]), one)
            rows.append([images.title(image), alone, other, together, twice])
    one, two, long = specs(plan.TUNING[0])
    caption = (
        "What the same seconds buy, PSNR in dB (averaged, pasted): two networks' mean, or one "
        "network fitted twice as long."
    )
    header = [f"picture, {size}²", one, two, "their mean", long]
    return Table(header, rows, caption=caption, filled_by=groups)


def correlation(first: runs.Run, second: runs.Run) -> float:
    """Correlation of two runs' errors at the missing pixels."""
    _, mask = first.degraded()
    a, b = ((run.averaged - run.truth())[~mask] for run in (first, second))
    return float(np.mean(a * b) / np.sqrt(np.mean(a**2) * np.mean(b**2)))


def singular_values(
    image: str = "camera", iterations: int = 30, size: int = 128
) -> dict[str, np.ndarray]:
    """Adam's and Muon's update of one weight matrix after a few iterations.

    Singular values, largest first, as shares of the largest; of the first convolution of the
    deepest u_i, 64 × 64·9 with the skip's channels, in fp32 on the CPU.
    """
    x_hat, mask = dip_blocks.degrade(images.load(image, size=size))
    ideas, spectra = {"adam": "Adam in its place", "muon": "Muon"}, {}
    for name in ("adam", "muon"):
        recipe = plan.under_muon(ideas[name], image).resolved()
        fit = dip_blocks.Fit(x_hat, mask, recipe, device="cpu", precision="fp32")
        with dip_blocks.numerics(fit.device, fit.precision):
            fit.run(iterations)
            weight = fit.net.up[-1].body[1].weight
            before = weight.detach().clone()
            fit.run(1)
        update = (weight.detach() - before).flatten(1).numpy()
        values = np.linalg.svd(update, compute_uv=False)
        spectra[name] = values / values[0]
    return spectra


def race(image: str = "camera", size: int = 128, store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Adam and Muon with all else equal; and Muon with what protects from over-fitting."""
    ideas = {"Adam": "Adam in its place", "Muon": "Muon", "Muon, dropout 0.05": "dropout 0.05"}
    specs = {name: plan.under_muon(idea, image, size) for name, idea in ideas.items()}
    return all_stored(specs, store)


def sooner(size: int = 128, store: Path = runs.ROOT) -> Table:
    """Iterations that Muon takes to what Adam has at its end: averaged output, all else equal."""
    rows = []
    for image in plan.TUNING:
        found = race(image, size, store)
        if {"Adam", "Muon"} <= set(found):
            goal = found["Adam"].facts["psnr_db"]["averaged"]
            total = found["Adam"].facts["iterations"]
            there = first_reaching(found["Muon"], goal)
            share = ["not reached", None] if there is None else [there, there / total]
            rows.append([images.title(image), total, goal, *share])
    titles = [
        "picture",
        "Adam: iterations",
        "its PSNR then, dB",
        "Muon: iterations to that",
        "share",
    ]
    caption = (
        "Iterations that Muon takes to the PSNR (dB, averaged output) that Adam has at its end, "
        f"all else equal, {size}×{size}."
    )
    return Table(titles, rows, caption=caption, filled_by=["muon"])


#: Pixels a side → the recipe that is timed against the straightforward loop.
TIMED = {128: "quick", 256: "best-nearest"}


def against_straightforward(store: Path = runs.ROOT) -> Table:
    """Core-seconds to what the paper's recipe has after 1,000 iterations: two loops.

    The straightforward one, and one network with Muon; PSNR in dB of the averaged output.  Both
    are iterations of stored runs times measured seconds: the straightforward loop's from the
    benchmark, ours from the run itself.  Pictures and sizes of which a run is missing have no row.
    """
    rows, timed, used = [], bench.results(store, network="paper"), []
    for (size, recipe), image in itertools.product(TIMED.items(), plan.DEVELOPMENT):
        loop = next((result for result in timed if str(size) in result["sizes"]), None)
        specs = {
            "paper": runs.Spec(image, size, "paper", iterations=1000),
            "ours": runs.Spec(image, size, recipe),
        }
        found = all_stored(specs, store)
        if loop is None or len(found) < 2 or not found["ours"].facts.get("core_seconds"):
            continue
        paper, ours = found["paper"], found["ours"]
        goal = paper.facts["psnr_db"]["averaged"]
        there = first_reaching(ours, goal)
        if there is None:
            continue
        one = loop["sizes"][str(size)]["contestants"]["straightforward"]["median_s"]
        theirs = one * loop["threads"] * paper.facts["iterations"]
        cost = ours.facts["core_seconds"] * there / ours.facts["iterations"]
        used.append(ours)
        row = [goal, theirs, f"`{recipe}`", there, cost, cost / theirs]
        rows.append([f"{images.title(image)}, {size}²", *row])
    slow = "straightforward loop, core-seconds"
    header = [
        "picture", "paper's recipe after 1,000 iterations, dB", slow, "against it",
        "iterations to that", "core-seconds", "share",
    ]  # fmt: skip
    forms = {slow: SECONDS, "core-seconds": SECONDS, "share": "{:.3f}"}
    caption = (
        "Core-seconds to the PSNR (dB, averaged output) of the paper's recipe after 1,000 "
        f"iterations: a straightforward loop, and one network with Muon. On {machines(used)}."
    )
    return Table(header, rows, forms, caption, ["cost", "cost-256", "quick", "hidden"])


def agreement(members: list[runs.Run]) -> np.ndarray:
    """The mean of members' averaged outputs, (H, W); errors of `means.mean_of`."""
    return means.mean_of(members)[1]


def muon(store: Path = runs.ROOT) -> Table:
    """What was tried under Muon, in dB: 128×128."""
    return ideas(under_muon(store=store), "What was tried under Muon, 128×128.", ["muon"])


def muon_pairs(store: Path = runs.ROOT) -> Table:
    """Means of two of these networks, the best ones, in dB."""
    caption = "The best single networks under Muon, and the best means of two, 128×128."
    return pairs(under_muon(store=store), caption=caption, filled_by=["muon"])


def hidden(store: Path = runs.ROOT) -> Table:
    """Networks that are shown a part of the known pixels, against random z, in dB.

    256×256.
    """
    caption = "Networks that are shown a part of the pixels, 256×256."
    return ideas(with_hidden(store), caption, ["hidden"])


def hidden_pairs(store: Path = runs.ROOT) -> Table:
    """Means of two networks that are shown a part, the best ones, in dB."""
    caption = "The best single networks that are shown a part, and the best means of two, 256×256."
    return pairs(with_hidden(store), chosen=CHOSEN, caption=caption, filled_by=["hidden"])


def hidden_seeds(store: Path = runs.ROOT) -> Table:
    """Pairs of `plan.HIDDEN_SEEDS` against `CHOSEN`, in dB, blended: mean and spread over seeds.

    256×256, the seeds with which all of them were run on all pictures; none below two of them.
    """
    complete = []
    for seed in plan.SEEDS:
        specs = {
            name: {image: plan.with_hidden(name, image, seed) for image in plan.TUNING}
            for name in plan.HIDDEN_SEEDS
        }
        found = _on_all({name: all_stored(of, store) for name, of in specs.items()})
        complete += [found] if len(found) == len(specs) else []
    titles = [images.title(image) for image in plan.TUNING]
    header = ["mean of two", *titles, "mean", "core-seconds"]
    if len(complete) < 2:
        return Table(header, [], filled_by=["hidden", "hidden-seeds"])

    def psnrs(names: tuple[str, ...]) -> np.ndarray:
        """Seeds × pictures."""
        return np.array([
            [_psnr_put_back([found[name][image] for name in names]) for image in plan.TUNING]
            for found in complete
        ])  # fmt: skip

    def cost(names: tuple[str, ...]) -> float | None:
        each = [mean(seconds(found[name]) for found in complete) for name in names]
        return None if None in each else sum(each)

    level, rows = psnrs(CHOSEN), []
    for names in itertools.combinations(plan.HIDDEN_SEEDS, 2):
        if names != CHOSEN:
            apart = psnrs(names) - level
            cells = [difference(map(float, of)) for of in (*apart.T, apart.mean(1))]
            rows.append([" + ".join(names), *cells, cost(names)])
    rows.sort(key=lambda row: -float(row[-2]))
    base = [float(value) for value in (*level.mean(0), level.mean())]
    rows.insert(0, [f"**{' + '.join(CHOSEN)}**, PSNR", *base, cost(CHOSEN)])
    used = [run for found in complete for drawn in found.values() for run in drawn.values()]
    caption = (
        f"Means of two networks that are shown a part, 256×256, {len(complete)} masks and seeds: "
        "PSNR in dB (averaged, blended) of the two of `best`, and differences from it, with their "
        "standard deviation over the seeds. Computed from stored pictures of 8 bits. Core-seconds "
        f"a picture, on {machines(used)}."
    )
    return Table(header, rows, {"core-seconds": SECONDS}, caption, ["hidden", "hidden-seeds"])


def _psnr_put_back(members: list[runs.Run], put=dip_blocks.blend, **how) -> float:
    """PSNR in dB of the mean of members' averaged outputs, with what they knew put back."""
    average = np.mean([run.averaged for run in members], axis=0)  # of one, itself
    truth, picture = (torch.from_numpy(array)[None] for array in (members[0].truth(), average))
    return dip_blocks.psnr(put(picture, truth, members[0].degraded()[1], **how), truth)


DAMPINGS = (0, 0.25, 0.5, 1, 2)


def blends(store: Path = runs.ROOT) -> Table:
    """What blending gains over pasting, by its damping, in dB: mean and least over pictures.

    The free pictures, 256×256.  Computed from stored pictures of 8 bits.
    """
    found, rows = with_hidden(store), []
    deep, shallow = "best-hidden", "depth 3"
    averages = {
        RANDOM: [RANDOM],
        deep: [deep],
        "the mean of best-hidden and depth 3": [deep, shallow],
    }
    for name, members in averages.items():
        if not set(members) <= set(found):
            continue
        gains = []
        for image in plan.TUNING:
            drawn = [found[member][image] for member in members]
            level = _psnr_put_back(drawn, dip_blocks.paste)
            blended = (_psnr_put_back(drawn, damping=damping) for damping in DAMPINGS)
            gains.append([psnr - level for psnr in blended])
        cells = (Figure(mean(of), least=min(of), difference=True) for of in zip(*gains))
        rows.append([name, *cells])
    caption = (
        "What blending gains over pasting, in dB: the mean over pictures and, in brackets, the "
        "least. Free pictures at 256×256."
    )
    titles = (f"damping {damping:g}" for damping in DAMPINGS)
    header = ["averaged output of", *titles]
    return Table(header, rows, caption=caption, filled_by=["hidden"])


def large(store: Path = runs.ROOT) -> Table:
    """Random z against known pixels, some hidden, 512×512: PSNR in dB, core-seconds.

    On free pictures as large as the table's large ones.
    """
    rows, used, recipes = [], [], ("best-nearest", "best-hidden")
    for image in plan.FREE_LARGE:
        specs = {recipe: runs.Spec(image, 512, recipe) for recipe in recipes}
        both = list(all_stored(specs, store).values())
        if len(both) == 2:
            used += both
            values = [run.facts["psnr_db"][KIND] for run in both]
            cost = [seconds({image: run}) for run in both]
            together = pasted(agreement(both), both[0])
            rows.append([images.title(image), *values, together, *cost])
    titles = ["random z", "some hidden", "their mean", "core-seconds: random z", "some hidden"]
    caption = (
        "Random z against known pixels of which some are hidden, 512×512: PSNR in dB (averaged, "
        f"pasted). Core-seconds on {machines(run for run in used if seconds({'': run}))}."
    )
    header = ["picture, 512²", *titles]
    return Table(header, rows, {4: SECONDS, 5: SECONDS}, caption, ["hidden-512"])


#: What the command line prints.
TABLES = {
    "muon": muon, "pairs": muon_pairs, "longer": longer, "longer_hidden": longer_hidden,
    "sooner": sooner, "straightforward": against_straightforward, "hidden": hidden,
    "hidden_pairs": hidden_pairs, "hidden_seeds": hidden_seeds, "blends": blends, "large": large,
}  # fmt: skip
