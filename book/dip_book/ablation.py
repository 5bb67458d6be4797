"""What each choice is worth: tables and numbers from the stored runs of the ablation and of the ideas.

Everything is paired: a difference is taken between runs of one picture and one seed (of mask, weights
and noise), and then averaged.  A pair of which one side is missing does not count.
"""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import dip_blocks
from dip_book import images, plan, runs
from dip_book.tables import Table, mean_and_deviation, signed

KIND = "raw"  # what is compared, unless said otherwise: the network's own output

#: Name of a run in `plan.ablation` → words.
WORDS = {
    "blog": "**the blog's reading**",
    **{f"+ {key}": f"+ {words}" for key, words in plan.SWITCHES.items()},
    **{f"- {key}": f"− {words}" for key, words in plan.SWITCHES.items()},
    "paper": "**the second reading**",
}


def value(spec: runs.Spec, kind: str = KIND, store: Path = runs.ROOT) -> float | None:
    """PSNR in dB of one stored run; None while it is missing."""
    run = runs.stored(spec, store)
    return run and run.facts["psnr_db"][kind]


def values(name: str, kind: str = KIND, store: Path = runs.ROOT) -> dict[tuple[str, int], float]:
    """(picture, seed) → PSNR of the configuration of `plan.ablation` called ``name``, as far as it was run."""
    return {key: run.facts["psnr_db"][kind] for key, run in _runs(name, store).items()}


def _runs(name: str, store: Path) -> dict[tuple[str, int], runs.Run]:
    found = {(image, seed): runs.stored(plan.ablation(image, seed)[name], store) for image in plan.DEVELOPMENT for seed in plan.SEEDS}
    return {key: run for key, run in found.items() if run is not None}


def paired(a: dict, b: dict) -> list[float]:
    """The differences a − b over what both have."""
    return [a[key] - b[key] for key in a if key in b]


def switches(store: Path = runs.ROOT) -> Table:
    """What each switch is worth, alone and when it alone is missing: PSNR in dB of the raw output, 128×128."""
    pairs = f"{len(plan.DEVELOPMENT) * len(plan.SEEDS)}"
    against = "against the reading it departs from"
    header = ["configuration", *(images.title(name) for name in plan.DEVELOPMENT), against, f"pairs of {pairs}", "times it went back, a run"]
    found = {name: values(name, store=store) for name in WORDS}
    rows = []
    for name, words in WORDS.items():
        base = {"+": "blog", "-": "paper"}.get(name[0])
        differences = paired(found[name], found[base]) if base else []
        apart = [signed(differences), len(differences)] if base else ["", ""]
        struck = [run.facts["backtracked"] for run in _runs(name, store).values()]
        rows.append([words, *(mean_and_deviation(_of(found[name], image)) for image in plan.DEVELOPMENT), *apart, f"{statistics.mean(struck):.1f}" if struck else None])
    return Table(header, rows)


def one_precision(store: Path = runs.ROOT) -> Table:
    """What each switch is worth on all pairs, and on those of which both runs computed in one precision."""
    rows, found = [], {name: _runs(name, store) for name in WORDS}
    for name, words in WORDS.items():
        if base := {"+": "blog", "-": "paper"}.get(name[0]):
            pairs = [(run, found[base][key]) for key, run in found[name].items() if key in found[base]]
            equal = [(a, b) for a, b in pairs if a.facts["precision"] == b.facts["precision"]]
            rows.append([words, *(cell for some in (pairs, equal) for cell in (signed([a.psnr - b.psnr for a, b in some]), len(some)))])
    return Table(["switch", "all pairs", "their count", "pairs of one precision", "their count"], rows)


def precisions(specs: list[runs.Spec], store: Path = runs.ROOT) -> str:
    """In which precision stored runs computed, in words."""
    found = Counter(run.facts["precision"] for spec in specs if (run := runs.stored(spec, store)))
    return ", ".join(f"{count} in {precision}" for precision, count in found.most_common())


def way(store: Path = runs.ROOT) -> list[tuple[str, list[float]]]:
    """The waterfall: words of each step → its paired differences to the step before."""
    before, steps = values("blog", store=store), []
    for key, words in plan.SWITCHES.items():
        after = values(f"to {key}", store=store)
        steps.append((words, paired(after, before)))
        before = after
    return steps


def ideas(store: Path = runs.ROOT) -> Table:
    """Each idea alone against the second reading, seed 0: PSNR in dB of the raw and of the averaged, pasted output."""
    kinds = {"raw": "raw output", "averaged_pasted": "averaged, pasted"}
    header = ["idea", *(f"{images.title(image)}: {title}" for image in plan.DEVELOPMENT for title in kinds.values())]
    base = {(image, kind): value(plan.ablation(image, 0)["paper"], kind, store) for image in plan.DEVELOPMENT for kind in kinds}
    rows = [["**the second reading**, PSNR", *base.values()]]
    for words in plan.IDEAS:
        drawn = {(image, kind): value(plan.idea(words, image), kind, store) for image, kind in base}
        rows.append([words, *(signed([drawn[key] - base[key]] if None not in (drawn[key], base[key]) else []) for key in base)])
    return Table(header, rows)


def repeated(store: Path = runs.ROOT) -> Table:
    """What K runs buy: PSNR in dB of the mean of K averaged outputs, known pixels pasted back, one mask.

    Computed from the stored pictures, which have 8 bits a pixel.
    """
    rows, most = [], max(len(plan.repeated(image)) for image in plan.DEVELOPMENT)
    for image in plan.DEVELOPMENT:
        found = [run for spec in plan.repeated(image) if (run := runs.stored(spec, store))]
        row = []
        for count in range(1, most + 1):
            row.append(None)
            if count <= len(found):
                mean = torch.from_numpy(np.mean([run.averaged for run in found[:count]], axis=0))[None]
                x_hat, mask = (torch.from_numpy(array)[None] for array in found[0].degraded())
                row[-1] = dip_blocks.psnr(dip_blocks.paste(mean, x_hat, mask), torch.from_numpy(found[0].truth())[None])
        rows.append([images.title(image), *row])
    return Table(["picture", *(f"mean of {count} runs" if count > 1 else "one run" for count in range(1, most + 1))], rows)


def run_of(name: str, image: str, seed: int = 0, store: Path = runs.ROOT) -> runs.Run | None:
    """The run of one configuration of `plan.ablation`; None while it is missing."""
    return runs.stored(plan.ablation(image, seed)[name], store)


def reached(store: Path = runs.ROOT) -> Table:
    """How long `best-adam` takes to what `paper` ends with: iterations, on the average of the outputs, the development pictures at 128×128."""
    rows = []
    for image in plan.DEVELOPMENT:
        specs = {spec.recipe: spec for spec in plan.WANTED["cost"] if spec.image == image}
        found = {recipe: run for recipe, spec in specs.items() if (run := runs.stored(spec, store))}
        if not {"paper", "best-adam"} <= set(found):
            rows.append([images.title(image), None, None, None, None])
            continue
        goal = found["paper"].facts["psnr_db"]["averaged"]
        there = next((step.iteration for step in found["best-adam"].history if step.psnr_averaged >= goal), None)
        share = "not reached" if there is None else f"{there / found['paper'].facts['iterations']:.2f}"
        rows.append([images.title(image), f"{found['paper'].facts['iterations']:,}", goal, "" if there is None else f"{there:,}", share])
    return Table(["picture", "paper: iterations", "its average then, dB", "best-adam: iterations to that", "share"], rows)


def labelled(pictures: tuple[str, ...], seed: int = 0, store: Path = runs.ROOT) -> list[runs.Run]:
    """All runs of the ablation with one seed, as far as they are stored, each with its words as ``facts["label"]``."""
    found = [(words, run_of(name, image, seed, store)) for image in pictures for name, words in WORDS.items()]
    for words, run in found:
        if run is not None:
            run.facts["label"] = words.strip("*")
    return [run for _, run in found if run is not None]


def steps_drawn(image: str, store: Path = runs.ROOT) -> dict[str, np.ndarray]:
    """Words → what was drawn after each step of the waterfall, as far as it was run; the truth last."""
    names = {"the blog's reading": "blog"} | {f"+ {words}": f"to {key}" for key, words in plan.SWITCHES.items()}
    found = {words: run_of(name, image, store=store) for words, name in names.items()}
    return {words: run.raw for words, run in found.items() if run is not None} | {"truth": images.load(image, size=128)}


def _of(found: dict, image: str) -> list[float]:
    return [psnr for (name, _), psnr in found.items() if name == image]
