"""What the book wants to have run: every stored run that a chapter shows or waits for."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from dip_book import images
from dip_book.runs import ROOT, Spec

NEVER = 1e9  # a jump factor that turns backtracking off

#: Group → its runs, the most wanted group first.  `python -m dip_book status` lists what is missing.
WANTED: dict[str, list[Spec]] = {
    # the results chapter: the blog's table, at full size and length
    "table": [Spec(name, None) for name in images.STANDARD],
    "table-low-lr": [Spec(name, None, "blog-low-lr") for name in images.STANDARD],
    "table-seeds": [Spec(name, None, seed=seed) for seed, name in product((1, 2), images.STANDARD)],
    # the same as far as two CPU cores get; shown, and marked, where the full run is missing
    "table-short": [Spec(name, None, iterations=2000) for name in ("house", "cameraman", "montage", "peppers")],
    # the learning and results chapters: pictures that may be shipped, small enough for a CPU
    "embedded": [Spec(name, iterations=1500) for name in images.EMBEDDED],
    # the chapter "How fast": what precision costs in dB; the seeds show what is chance
    "precision": [
        Spec("camera", iterations=100, seed=seed, precision=precision)
        for precision, seed in product(("fp32", "bf16"), range(3))
    ],
    # the learning chapter: what counts as a jump
    "jump": [
        Spec("camera", changes=(("jump", NEVER),), iterations=1500),
        Spec("camera", changes=(("lr", 0.01), ("jump", NEVER)), iterations=1500),
        *(Spec("camera", changes=(("lr", 0.01), ("jump", jump)), iterations=500) for jump in (1.2, 1.5, 2.0, NEVER)),
    ],
}


def missing(groups: list[str] | None = None, store: Path = ROOT) -> list[Spec]:
    """The wanted runs that are not stored; of all groups if None, most wanted first."""
    chosen = list(WANTED) if groups is None else groups
    return [spec for group in chosen for spec in WANTED[group] if not (store / spec.path).exists()]
