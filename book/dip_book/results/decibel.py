"""What a decibel costs: PSNR against one core's seconds, of loops and of interpolation.

Protocol, written before the measurement.  The camera and the astronaut at 128×128, half of the
pixels known, mask seed 0, one thread, seconds of computing (not of a clock on the wall).  On each
picture, one after the other in one process: biharmonic interpolation; this book's recipe quick to
its end; the straightforward loop (fp32, Adam, the paper's recipe) and `deepinv` at its own settings
for the same ten minutes each.  PSNR of each iteration's raw output, which is all that the last two
have, and of quick the average of its outputs too.  Nobody's stop is chosen by it
(``python -m dip_book measure decibel``).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

import dip_blocks
from dip_book import bench, images, runs
from dip_book.results import baselines
from dip_book.runs import measured, plan
from dip_book.runs.provenance import provenance
from dip_book.table import Table
from dip_book.words import told

FILE = "decibel.json"
SIZE, SECONDS = 128, 600.0
QUICK, AVERAGED, BIHARMONIC = "quick", "quick, averaged", "biharmonic"
#: At most so many points of a curve between one second and ten times as many.
A_DECADE = 40

#: Core-seconds, PSNR in dB.
Point = tuple[float, float]


def loops() -> dict[str, Callable[..., bench.Contestant]]:
    """The loops that are traced for as long as each other; RunError without `deepinv`."""
    try:
        import deepinv  # noqa: F401 - is it here?
    except Exception as error:
        raise runs.RunError(
            "The library deepinv is needed beside the book's own loops "
            f"(pip install 'deepinv>=0.2'): {error}"
        ) from None
    recipe = dip_blocks.PAPER
    return {
        "straightforward": partial(bench.Straightforward, recipe),
        "deepinv": partial(bench.DeepInv, recipe),
    }


def measure(image: str, size: int = SIZE, seconds: float = SECONDS) -> dict[str, list[Point]]:
    """Method → its points, of one picture; those of a curve grow further apart as it goes on."""
    makers, device = loops(), torch.device("cpu")
    problem = bench.problem(size, device, image)
    x_hat, mask, truth, _ = problem
    begun = time.process_time()
    filled = baselines.biharmonic(x_hat[0].numpy(), mask[0].numpy())
    took = time.process_time() - begun
    points = {BIHARMONIC: [(took, dip_blocks.psnr(dip_blocks.as_image(filled), truth))]}
    points |= dict(zip((QUICK, AVERAGED), _quick(problem)))
    for who, make in makers.items():
        points[who] = list(make(*problem).trace(seconds, device, time.process_time))
    return {who: _thinned(curve) for who, curve in points.items()}


def _quick(problem: tuple) -> tuple[list[Point], list[Point]]:
    """The recipe from its first iteration to its last: its outputs, and their average.

    Its seconds hold the making of its network too, a tenth or two, which a trace leaves out.
    """
    *given, truth, device = problem
    recipe = dip_blocks.RECIPES[QUICK]
    begun, raw, averaged = time.process_time(), [], []
    fit = dip_blocks.Fit(*given, recipe, device=device, truth=truth)
    with dip_blocks.numerics(fit.device, fit.precision):
        for _ in range(recipe.iterations):
            fit.run(1)
            now, step = time.process_time() - begun, fit.history[-1]
            raw.append((now, step.psnr))
            averaged.append((now, step.psnr_averaged))
    return raw, averaged


def _thinned(curve: Iterable[Point]) -> list[Point]:
    """The last point, and of the others those that a logarithmic axis can show apart."""
    curve = [(round(at, 3), round(db, 3)) for at, db in curve if math.isfinite(db)]
    kept: dict[int, Point] = {}
    for at, db in curve:
        kept.setdefault(int(A_DECADE * math.log10(max(at, 1e-3))), (at, db))
    return [*[point for point in kept.values() if point != curve[-1]], *curve[-1:]]


def store_decibel(store: Path = runs.ROOT, size: int = SIZE, seconds: float = SECONDS) -> Path:
    """Measure both pictures, one core, and store the curves; gives the file's path.

    What is measured already stays; after an interrupt the same call goes on.
    """
    file = store / FILE
    threads = torch.get_num_threads()
    facts = measured.read(file, "pictures") if file.exists() else {"pictures": {}}
    if (facts.get("size"), facts.get("seconds")) != (size, seconds):
        facts = {"pictures": {}, "size": size, "seconds": seconds}
    measured.check(file)
    loops()  # before the work
    try:
        torch.set_num_threads(1)
        facts |= {"what": __doc__.split("\n\n", 1)[1].strip()}
        facts.setdefault("provenance", _provenance())
        for image in plan.DEVELOPMENT:
            if image not in facts["pictures"]:
                facts["pictures"][image] = measure(image, size, seconds)
                measured.write(file, json.dumps(facts))
                told(f"{images.title(image)}: {_said(facts['pictures'][image])}")
    finally:
        torch.set_num_threads(threads)
    return file


def _provenance() -> dict:
    facts = provenance() | {
        "device": bench.describe_device("cpu"),
        "default precision": dip_blocks.best_precision("cpu"),
    }
    return facts | {"versions": facts["versions"] | {"deepinv": version("deepinv")}}


def _said(curves: dict[str, list[Point]]) -> str:
    ends = {who: curve[-1] for who, curve in curves.items()}
    return ", ".join(f"{who} {db:.2f} dB after {at:.1f} s" for who, (at, db) in ends.items())


def stored_decibel(store: Path = runs.ROOT) -> dict:
    """What `store_decibel` stored; the book's own where a store has none."""
    return measured.read(measured.of(store, FILE), "pictures")


def decibel(store: Path = runs.ROOT) -> Table:
    """Each method's end, and the core-seconds after which quick's average had as many decibels."""
    facts = stored_decibel(store)
    rows = []
    for image, curves in facts["pictures"].items():
        ours = curves[AVERAGED]
        for who, curve in curves.items():
            at, db = curve[-1]
            there = None if who in (QUICK, AVERAGED) else first(ours, db)
            rows.append([f"{images.title(image)}, {who}", at, db, there])
    header = ["", "core-seconds", "PSNR, dB", "quick, averaged, has it after"]
    forms = {header[1]: "{:,.2f}", header[3]: "{:,.1f}"}
    caption = (
        f"Where each method ends at {facts['size']}×{facts['size']}, and the core-seconds of quick "
        f"to as many dB (averaged output). The two slow loops were given {facts['seconds']:,.0f} "
        f"core-seconds each; deepinv's own default is longer. On "
        f"{bench.machine(facts['provenance'])}."
    )
    return Table(header, rows, forms, caption)


def first(curve: list[Point], db: float) -> float | None:
    """The core-seconds after which a curve first has so many decibels; None: it never has."""
    return next((at for at, quality in curve if quality >= db), None)


TABLES = {"decibel": decibel}
