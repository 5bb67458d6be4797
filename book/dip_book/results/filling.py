"""How well `restoring.fill` knows what it is worth: its estimates against the truth.

Protocol, written before anything was run.  Pictures: the six free ones that ship with scikit-image,
three of them in colour; the middle square shrunk to 384×384, of that the middle.  Masks of one
seed: half of the pixels at random; scratches 3 pixels wide; a hole of 64×64 pixels.  `fill` as it
is, but for a fixed number of iterations, so that it does not depend on the machine's speed
(``python -m dip_book measure filling``).  Stored are, over the missing pixels, the PSNR of
biharmonic interpolation, of the network and of what was chosen; and what `fill` had estimated
without them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dip_book import images, runs
from dip_book.restoring import held_out
from dip_book.restoring.core import fill
from dip_book.restoring.trial import scratches
from dip_book.runs import measured
from dip_book.runs.provenance import provenance
from dip_book.table import Figure, Table
from dip_book.words import told

FILE = "filling.json"
#: The short trials that the recipes were chosen by, and their protocol; made once, by hand.
TRIALS = "filling-recipes.json"
ITERATIONS = 100  # about what two minutes of a busy CPU allow
COLOUR = ("astronaut", "chelsea", "coffee")
MASKS = {"hole": 192, "scratches": 128, "scattered": 128}  # kind → pixels a side
#: What was hoped for: of the hole's estimates, mean error in dB; of what was chosen, the loss.
BARS = {"estimate_db": 0.7, "loss_db": 0.2}


def case(image: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A picture, float32 (side, side) or with 3 channels, and which pixels are known, bool."""
    side = MASKS[kind]
    first = (384 - side) // 2
    x = images.load(image, size=384, colour=image in COLOUR)
    x = np.ascontiguousarray(x[first : first + side, first : first + side])
    if kind == "scattered":
        return x, np.random.default_rng(0).random((side, side)) < 0.5
    if kind == "scratches":
        return x, scratches(side, side, 0.06)
    known = np.ones((side, side), bool)
    known[100:164, 36:100] = False
    return x, known


def measure(image: str, kind: str, iterations: int = ITERATIONS) -> dict:
    """One case: dB over the missing pixels, and as estimated, by method."""
    x, known = case(image, kind)
    given = np.where(known if x.ndim == 2 else known[..., None], x, np.float32(0))
    filled = fill(given, known, iterations=iterations)
    truth = x[~known].reshape(int((~known).sum()), -1)
    drawn = filled.methods | {"chosen": filled.image[~known].reshape(truth.shape)}
    return {
        "image_sha256": images.digest(x),
        "measured": {name: held_out.decibel(values - truth) for name, values in drawn.items()},
        "estimated": {
            "biharmonic": filled.report["biharmonic"], "network": filled.report["network"],
            "chosen": filled.report["mixed"],
        },
        "report": filled.report, "said": filled.said,
    }  # fmt: skip


def store_filling(store: Path = runs.ROOT, iterations: int = ITERATIONS) -> Path:
    """Measure what is not stored yet; after an interrupt the same call goes on.

    What is stored of another number of iterations is measured anew.
    """
    file = store / FILE
    facts = measured.read(file, "cases") if file.exists() else {}
    if facts.get("iterations") != iterations:
        facts = {"cases": {}}
    facts |= {"what": __doc__.split("\n\n", 1)[1].strip(), "iterations": iterations}
    facts.setdefault("provenance", provenance())
    measured.check(file)
    for kind in MASKS:
        for image in images.EMBEDDED:
            key = f"{kind}/{image}"
            if key not in facts["cases"]:
                facts["cases"][key] = measure(image, kind, iterations)
                measured.write(file, json.dumps(facts, indent=1))
                told(key, facts["cases"][key]["measured"])
    return file


def stored_filling(store: Path = runs.ROOT) -> dict:
    """What `store_filling` stored; the book's own where a store has none."""
    return measured.read(measured.of(store, FILE), "cases")


def filling(store: Path = runs.ROOT) -> Table:
    """Each case: measured and, without the truth, estimated."""
    rows = []
    cases = stored_filling(store)["cases"]
    for kind, image in sorted(map(_parts, cases), key=lambda parts: [*MASKS].index(parts[0])):
        found = cases[f"{kind}/{image}"]
        measured, estimated = found["measured"], found["estimated"]
        gain = Figure(measured["chosen"] - measured["biharmonic"], difference=True)
        weight = found["report"]["weight"]
        row = [f"{kind}, {images.title(image)}"]
        for method in ("biharmonic", "network"):
            row += [measured[method], estimated[method]]
        rows.append([*row, weight, measured["chosen"], gain])
    return Table(
        ["", "biharmonic", "estimated", "network", "estimated ", "its share", "chosen", "gain"],
        rows,
        {"its share": "{:.0%}"},
        caption="PSNR over the missing pixels in dB, and what was estimated of it at known pixels "
        "that no method was shown. Gain: of what was chosen, over biharmonic interpolation. "
        f"{_of(store)}",
    )


def recipes(store: Path = runs.ROOT) -> Table:
    """The trials by which `networks.recipes_for` was written."""
    trials = measured.read(measured.of(store, TRIALS), "cases")
    names = ("biharmonic", "quick", "best-hidden", "best-hidden-shapes")
    rows = [
        [f"{kind}, {images.title(image)}", *(found["measured"].get(name) for name in names)]
        for (kind, image), found in ((_parts(key), found) for key, found in trials["cases"].items())
    ]
    return Table(
        ["", *names],
        rows,
        caption=f"PSNR over the missing pixels in dB, {trials['iterations']} iterations, 128×128, "
        "one seed. The last network is asked for whole holes. Stopped for lack of time: scattered "
        "pixels were not compared here.",
    )


def _parts(key: str) -> list[str]:
    return key.split("/")


def errors(store: Path = runs.ROOT) -> Table:
    """By kind of mask: how far the estimates were off, and what the choice gained at least."""
    cases = stored_filling(store)["cases"]
    rows = []
    for kind in MASKS:
        found = [value for key, value in cases.items() if key.startswith(f"{kind}/")]
        if not found:
            continue
        row = [kind]
        for method in ("biharmonic", "network", "chosen"):
            off = [abs(f["estimated"][method] - f["measured"][method]) for f in found]
            row.append(float(np.mean(off)))
        ahead = [
            (f["estimated"]["network"] - f["estimated"]["biharmonic"])
            - (f["measured"]["network"] - f["measured"]["biharmonic"])
            for f in found
        ]
        gains = [f["measured"]["chosen"] - f["measured"]["biharmonic"] for f in found]
        rows.append(
            [
                *row, float(np.mean(np.abs(ahead))), Figure(float(np.mean(gains)), difference=True),
                Figure(float(np.min(gains)), difference=True),
            ]
        )  # fmt: skip
    return Table(
        ["", "biharmonic", "network", "chosen", "lead of the network", "gain", "least gain"],
        rows,
        caption="Mean error of the estimates, in dB: of each method's PSNR, and of how far the "
        "network is ahead of biharmonic interpolation. Gain: of what was chosen over biharmonic "
        f"interpolation, mean and least of the pictures. {_of(store)}",
    )


def _of(store: Path) -> str:
    """Sizes and iterations, for a caption."""
    sizes = ", ".join(f"{kind} {side}×{side}" for kind, side in MASKS.items())
    return f"Pixels: {sizes}; {stored_filling(store)['iterations']} iterations."


TABLES = {"filling": filling, "filling_recipes": recipes, "filling_errors": errors}
