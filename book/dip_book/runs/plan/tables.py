"""The tables' runs: the 11 standard pictures; the free ones that chapters show; what they cost."""

from __future__ import annotations

from itertools import product

from dip_book import images
from dip_book.runs.plan.pictures import DEVELOPMENT
from dip_book.runs.spec import Spec

#: Shares of known pixels, beside the paper's one half.
DENSITIES = (0.1, 0.2, 0.3, 0.7, 0.9)
#: Changes of the recipe quick-adam, tried at 256×256: name → change.
LARGER = {
    "quick-adam": (),
    "reflection for zeros": (("padding_mode", "reflect"),),
    "bilinear for nearest": (("upsampling_method", "bilinear"),),
}
#: Of the paper's 11: those of 256×256, and those of 512×512.
SMALL = ("house", "peppers", "cameraman", "montage")
LARGE = tuple(name for name in images.STANDARD if name not in SMALL)
#: Muon for Adam, and nothing else.
MUON = (("optimiser", "muon"), ("lr", 0.02))

#: Group → its runs.
GROUPS = {
    # a better optimiser: the mean of two networks on the 11; the seeds, of mask and all else,
    # confirm
    "best": [Spec(name, None, "best") for name in (*SMALL, *LARGE)],
    "best-seeds": [
        Spec(name, None, "best", seed=seed) for seed, name in product((1, 2), (*SMALL, *LARGE))
    ],
    # two others, for twice the seconds, by the rule of `optimiser.HIDDEN_SEEDS`
    "best-wide": [Spec(name, None, "best-wide") for name in (*SMALL, *LARGE)],
    "best-wide-seeds": [
        Spec(name, None, "best-wide", seed=seed) for seed, name in product((1, 2), (*SMALL, *LARGE))
    ],
    # one network with random z, as the paper has it
    "best-nearest": [Spec(name, None, "best-nearest") for name in (*SMALL, *LARGE)],
    # what the architecture costs, and what the training: the blog's network until its loss is flat
    "blog-muon": [Spec(name, None, "blog", MUON, 800) for name in (*SMALL, *LARGE)],
    # the paper's reading and settings, but for the optimiser
    "paper-muon": [Spec(name, None, "paper", MUON, 600) for name in (*SMALL, *LARGE)],
    # the blog's own recipe; and its beginning once more, on another machine or at another time
    "table": [Spec(name, None) for name in (*SMALL, *LARGE)],
    "table-short": [Spec(name, None, iterations=2000) for name in (*SMALL, *LARGE)],
    # the mean that was tried first: two kinds of upsampling, on five of the 11
    "two-upsamplings": [Spec(name, None, "two-upsamplings") for name in (*SMALL, "barbara")],
    "quick": [Spec(name, 128, "quick") for name in images.EMBEDDED],
    # the pictures of the front page, and of chapter 12's end
    "front": [Spec("camera", 256, "quick")],
    "best-free": [Spec("camera", 256, "best")],
    # what was best under Adam; and whether what was chosen at 128×128 is better at 256×256 too
    "quick-adam": [Spec(name, 128, "quick-adam") for name in images.EMBEDDED],
    "larger": [Spec("camera", 256, "quick-adam", changes) for changes in LARGER.values()],
    "best-adam": [Spec(name, None, "best-adam", iterations=1000) for name in SMALL]
    + [Spec(name, None, "paper", iterations=1000) for name in SMALL],
    # what a decibel costs at 256×256, against the straightforward loop of the paper's recipe
    "cost-256": [
        Spec(image, 256, recipe, iterations=iterations)
        for image in DEVELOPMENT
        for recipe, iterations in (("paper", 1000), ("best", None))
    ],
    # the learning and results chapters: pictures that may be shipped, small enough for a CPU
    "embedded": [Spec(name, iterations=1500) for name in images.EMBEDDED],
    # closing the gap: what a decibel costs, at full width
    "cost": [
        Spec(image, 128, recipe, iterations=1000)
        for image, recipe in product(DEVELOPMENT, ("paper", "best-adam", "blog"))
    ],
    # the problem's chapter: how the share of known pixels matters
    "density": [Spec("camera", 128, "quick", p=p) for p in DENSITIES],
    # the chapter "How fast": what precision costs in dB; the seeds show what is chance
    "precision": [
        Spec("camera", iterations=100, seed=seed, precision=precision)
        for precision, seed in product(("fp32", "bf16"), range(3))
    ],
}
