"""What the book wants to have run, group by group: how much of it is stored, and what it is for."""

from __future__ import annotations

from pathlib import Path

from dip_book import bench, runs
from dip_book.runs import plan
from dip_book.table import Table

#: Group of `plan.WANTED` → the chapters that use it, and what it is.
PURPOSES = {
    "best": ("12", "the recipe best on the 11 images"),
    "best-seeds": ("12", "the recipe best on the 11 images, other masks and seeds"),
    "best-wide": ("12", "the recipe best-wide on the 11 images"),
    "best-wide-seeds": ("12", "the recipe best-wide on the 11 images, other masks and seeds"),
    "best-nearest": ("12", "one network with random z on the 11 images"),
    "blog-muon": ("9, 10", "the blog's network on the 11 images, by Muon"),
    "paper-muon": ("9", "the paper's settings on the 11 images, by Muon"),
    "table": ("9", "the blog's recipe on the 11 images"),
    "table-short": ("20", "the blog's recipe, its first 2,000 iterations once more"),
    "two-upsamplings": ("12", "the mean that was tried before best"),
    "quick": ("9, 12", "the recipe quick on the free pictures"),
    "front": ("front page", "the camera at 256² under quick"),
    "best-free": ("12", "the camera at 256² under best"),
    "quick-adam": ("11", "the recipe quick-adam on the free pictures"),
    "larger": ("11", "ideas that held at 128², tried at 256²"),
    "best-adam": ("10, 11", "its recipe and the paper's on the four small images"),
    "cost-256": ("12", "what a decibel costs at 256²"),
    "embedded": ("8, 9", "the blog's recipe on the free pictures"),
    "cost": ("11", "what a decibel costs at 128²"),
    "density": ("2", "other shares of known pixels"),
    "precision": ("18", "fp32 against bf16"),
    "ablation": ("10", "from one reading to the other"),
    "ideas": ("11", "ideas for Adam, one at a time"),
    "muon": ("12", "ideas for Muon at 128², one at a time"),
    "muon-256": ("12", "ideas for Muon, some of them at 256²"),
    "hidden": ("12", "networks that are shown a part, at 256²"),
    "hidden-seeds": ("12", "networks that are shown a part, at 256², two more seeds"),
    "hidden-longer": ("12", "a network that is shown a part, fitted twice as long"),
    "hidden-512": ("12", "networks that are shown a part, at 512²"),
    "bases": ("11", "what ideas for Adam are compared with"),
    "repeated": ("11", "one recipe with four seeds on each of two pictures, to be averaged"),
    "jump": ("8", "what counts as a jump of the loss"),
    "shrink-ideas": ("14", "networks for super-resolution, one at a time"),
    "shrink-free": ("14", "super-resolution of the free pictures at 128² and 256²"),
    "set5-x4": ("14", "Set5, shrunk 4 times"),
    "set5-x8": ("14", "Set5, shrunk 8 times"),
    "noise": ("13", "noise on free pictures: what was tried, and what was chosen"),
    "denoising": ("13", "noise on five of the paper's nine pictures"),
    "holes": ("15", "what fills a hole, at 128²"),
    "covered": ("15", "text and scratches, at 128²"),
    "sparse": ("15", "very few known pixels"),
    "inpainting": ("15", "the paper's pictures under its masks"),
}

#: What `bench.NETWORKS` are called in a table.
NETWORKS = {"blog": "blog's", "paper": "second reading", "second": "second reading, nearest"}


def listing(store: Path = runs.ROOT) -> Table:
    """The groups of `plan.WANTED`: what each is, and how many of its runs are stored.

    Those of which the most is missing come first.
    """
    rows = []
    for group, wanted in plan.WANTED.items():
        missing = len(plan.missing([group], store))
        chapters, what = PURPOSES.get(group, (None, None))
        title = f"{group}: {what}" if what else group
        rows.append([title, chapters, len(wanted), len(wanted) - missing, missing])
    rows.sort(key=lambda row: -row[-1])
    total = [sum(row[i] for row in rows) for i in (2, 3, 4)]
    return Table(
        ["group", "chapters", "wanted", "stored", "missing"],
        [*rows, ["**all**", None, *total]],
        caption="The runs that the book wants, by group, and how many of them are stored.",
    )


def timed(store: Path = runs.ROOT) -> Table:
    """The machines on which the benchmark was run, and what they timed."""
    rows = [
        [
            bench.title(result),
            result["threads"],
            NETWORKS[network],
            ", ".join(f"{size}²" for size in result["sizes"]),
            result["versions"]["torch"].split("+")[0],
        ]
        for network in bench.NETWORKS
        for result in bench.results(store, network=network)
    ]
    caption = "The benchmarks that are stored: machine, network and sizes."
    return Table(["machine", "threads", "network", "sizes", "PyTorch"], rows, caption=caption)
