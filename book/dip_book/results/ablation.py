"""What each choice is worth: tables and numbers from the runs of the ablation and of the ideas.

Everything is paired: a difference is taken between runs of one picture and one seed (of mask,
weights and noise), and then averaged.  A pair of which one side is missing does not count.
"""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import dip_blocks
from dip_book import images, runs
from dip_book.results.selection import all_stored, first_reaching
from dip_book.runs import plan
from dip_book.table import Table, difference, mean_and_deviation

KIND = "raw"  # what is compared, unless said otherwise: the network's own output

#: Key of a switch → its words, with the blocks' names as they are set.
SWITCHES = {
    key: label.replace("u_i", "uᵢ").replace("d_i", "dᵢ") for key, label in plan.SWITCHES.items()
}
#: Name of a run in `plan.ablation` → how readers know it.
LABELS = {
    "blog": "**the blog's reading**",
    **{f"+ {key}": f"+ {label}" for key, label in SWITCHES.items()},
    **{f"- {key}": f"− {label}" for key, label in SWITCHES.items()},
    "paper": "**the second reading**",
}
#: A switch added or left out → the reading that it departs from.
DEPARTS_FROM = {
    name: "blog" if name.startswith("+") else "paper" for name in LABELS if name[0] in "+-"
}

Key = tuple[str, int]  # picture, seed


def value(spec: runs.Spec, kind: str = KIND, store: Path = runs.ROOT) -> float | None:
    """PSNR in dB of one stored run; None while it is missing."""
    run = runs.stored(spec, store)
    return None if run is None else run.facts["psnr_db"][kind]


def values(name: str, kind: str = KIND, store: Path = runs.ROOT) -> dict[Key, float]:
    """(Picture, seed) → PSNR in dB of a configuration of `plan.ablation`, as far as it was run."""
    return {key: run.facts["psnr_db"][kind] for key, run in _runs(name, store).items()}


def _runs(name: str, store: Path) -> dict[Key, runs.Run]:
    keys = ((image, seed) for image in plan.DEVELOPMENT for seed in plan.SEEDS)
    return all_stored({key: plan.ablation(*key)[name] for key in keys}, store)


def paired(a: dict, b: dict) -> list[float]:
    """The differences a − b over what both have."""
    return [a[key] - b[key] for key in a if key in b]


def switches(store: Path = runs.ROOT) -> Table:
    """What each switch is worth, alone and when it alone is missing.

    PSNR in dB of the raw output, 128×128.
    """
    found = {name: values(name, store=store) for name in LABELS}
    rows = []
    for name, label in LABELS.items():
        apart = [None, None]
        if name in DEPARTS_FROM:
            pairs = paired(found[name], found[DEPARTS_FROM[name]])
            apart = [difference(pairs), len(pairs)]
        psnr = (
            mean_and_deviation(psnr for (of, _), psnr in found[name].items() if of == image)
            for image in plan.DEVELOPMENT
        )
        struck = [run.facts["backtracked"] for run in _runs(name, store).values()]
        rows.append([label, *psnr, *apart, statistics.mean(struck) if struck else None])
    titles = [
        *map(images.title, plan.DEVELOPMENT),
        "against the reading it departs from",
        f"pairs of {len(plan.DEVELOPMENT) * len(plan.SEEDS)}",
        "times it went back, a run",
    ]
    caption = (
        "What each switch between the two readings is worth: PSNR in dB of the raw output at "
        "128×128 (mean ± standard deviation over seeds), and paired differences in dB."
    )
    forms = {"times it went back, a run": "{:.1f}"}
    return Table(["configuration", *titles], rows, forms, caption)


def one_precision(store: Path = runs.ROOT) -> Table:
    """What each switch is worth: on all pairs, and on those computed in one precision.

    Differences in dB of the raw output.
    """
    rows, found = [], {name: _runs(name, store) for name in LABELS}
    for name, base in DEPARTS_FROM.items():
        pairs = [(run, found[base][key]) for key, run in found[name].items() if key in found[base]]
        equal = [(a, b) for a, b in pairs if a.facts["precision"] == b.facts["precision"]]
        row = [LABELS[name]]
        for chosen in (pairs, equal):
            row += [difference(a.psnr - b.psnr for a, b in chosen), len(chosen)]
        rows.append(row)
    titles = ["all pairs", "their count", "pairs of one precision", "their count"]
    caption = (
        "The same differences in dB, on all pairs and on those whose two runs were computed in one "
        "precision."
    )
    return Table(["switch", *titles], rows, caption=caption)


def precisions(specs: list[runs.Spec], store: Path = runs.ROOT) -> str:
    """In which precision stored runs computed, such as "5 in fp32, 1 in bf16"."""
    found = (runs.stored(spec, store) for spec in specs)
    counts = Counter(run.facts["precision"] for run in found if run is not None)
    return ", ".join(f"{count} in {precision}" for precision, count in counts.most_common())


def way(store: Path = runs.ROOT) -> list[tuple[str, list[float]]]:
    """The waterfall: label of each step → its paired differences in dB to the step before."""
    before, steps = values("blog", store=store), []
    for key, label in SWITCHES.items():
        after = values(f"to {key}", store=store)
        steps.append((label, paired(after, before)))
        before = after
    return steps


def ideas(store: Path = runs.ROOT) -> Table:
    """Each idea alone against the second reading.

    PSNR in dB of the raw and of the averaged, pasted output, seed 0.
    """
    kinds = {"raw": "raw output", "averaged_pasted": "averaged, pasted"}
    base = {
        (image, kind): value(plan.ablation(image, 0)["paper"], kind, store)
        for image in plan.DEVELOPMENT
        for kind in kinds
    }
    rows = [["**the second reading**, PSNR", *base.values()]]
    for idea in plan.IDEAS:
        row = [idea]
        for (image, kind), level in base.items():
            psnr = value(plan.idea(idea, image), kind, store)
            row.append(None if None in (psnr, level) else difference([psnr - level]))
        rows.append(row)
    titles = (f"{images.title(image)}: {kinds[kind]}" for image, kind in base)
    caption = (
        "Each idea alone against the second reading: PSNR in dB in the first row, differences in "
        "dB below it. 128×128, seed 0."
    )
    return Table(["idea", *titles], rows, caption=caption)


def repeated(store: Path = runs.ROOT) -> Table:
    """What K runs buy: PSNR in dB of the mean of K averaged outputs, known pixels pasted back.

    Of one mask.  Computed from the stored pictures, which have 8 bits a pixel.
    """
    rows, most = [], max(len(plan.repeated(image)) for image in plan.DEVELOPMENT)
    for image in plan.DEVELOPMENT:
        found = list(all_stored(dict(enumerate(plan.repeated(image))), store).values())
        row = [images.title(image)]
        for count in range(1, most + 1):
            row.append(None)
            if count <= len(found):
                average = np.mean([run.averaged for run in found[:count]], axis=0)
                degraded, truth = found[0].degraded(), found[0].truth()
                average, x_hat, mask, truth = (
                    torch.from_numpy(array)[None] for array in (average, *degraded, truth)
                )
                row[-1] = dip_blocks.psnr(dip_blocks.paste(average, x_hat, mask), truth)
        rows.append(row)
    titles = ("one run" if count == 1 else f"mean of {count} runs" for count in range(1, most + 1))
    caption = (
        "What more runs buy: PSNR in dB of the mean of several runs' averaged outputs, known "
        "pixels pasted back, 128×128."
    )
    return Table(["picture", *titles], rows, caption=caption)


def run_of(name: str, image: str, seed: int = 0, store: Path = runs.ROOT) -> runs.Run | None:
    """The run of one configuration of `plan.ablation`; None while it is missing."""
    return runs.stored(plan.ablation(image, seed)[name], store)


def reached(store: Path = runs.ROOT) -> Table:
    """How long `best-adam` takes to what `paper` ends with, in iterations.

    PSNR in dB of the average of the outputs, the development pictures at 128×128.
    """
    rows = []
    for image in plan.DEVELOPMENT:
        specs = {spec.recipe: spec for spec in plan.WANTED["cost"] if spec.image == image}
        found, row = all_stored(specs, store), [None] * 4
        if {"paper", "best-adam"} <= set(found):
            total = found["paper"].facts["iterations"]
            goal = found["paper"].facts["psnr_db"]["averaged"]
            there = first_reaching(found["best-adam"], goal)
            share = [None, "not reached"] if there is None else [there, there / total]
            row = [total, goal, *share]
        rows.append([images.title(image), *row])
    ours, theirs = "best-adam: iterations to that", "paper: iterations"
    titles = ["picture", theirs, "its average then, dB", ours, "share"]
    caption = (
        "Iterations until the average of `best-adam`'s outputs is where that of `paper` ends, "
        "PSNR in dB. The development pictures at 128×128."
    )
    return Table(titles, rows, caption=caption)


def labelled(pictures: tuple[str, ...], seed: int = 0, store: Path = runs.ROOT) -> list[runs.Run]:
    """The ablation's stored runs of one seed, each with its label as ``facts["label"]``."""
    found = []
    for image in pictures:
        for name, label in LABELS.items():
            if (run := run_of(name, image, seed, store)) is not None:
                run.facts["label"] = label.strip("*")
                found.append(run)
    return found


def steps_drawn(image: str, store: Path = runs.ROOT) -> dict[str, np.ndarray]:
    """Label → what was drawn after each step of the waterfall, as far as it was run.

    Pictures (H, W); the truth last.
    """
    named = plan.ablation(image, 0)
    specs = {"the blog's reading": named["blog"]}
    specs |= {f"+ {label}": named[f"to {key}"] for key, label in SWITCHES.items()}
    drawn = {label: run.raw for label, run in all_stored(specs, store).items()}
    return drawn | {"truth": images.load(image, size=128)}
