"""Tables of the book, and the numbers that others reported."""

from __future__ import annotations

import json
from pathlib import Path

from skimage.metrics import structural_similarity

import dip_blocks
from dip_book import figures, images, runs
from dip_book.baselines import BASELINES
from dip_book.provenance import provenance

#: PSNR in dB for 50 % missing pixels, as printed in the source; images in the order of `images.STANDARD`.
REPORTED = {
    "blog": "24.14 28.19 32.64 32.71 26.44 26.19 28.08 27.10 29.09 29.62 29.62",
    "paper": "32.22 33.06 39.16 36.16 33.05 29.80 32.52 32.84 32.77 32.20 34.54",
    "convolutional sparse coding": "28.14 31.44 34.58 35.04 31.11 27.90 31.18 31.34 32.35 31.92 28.05",
}
REPORTED = {who: dict(zip(images.STANDARD, map(float, numbers.split()))) for who, numbers in REPORTED.items()}

NOT_RUN = "not run yet"


class Table:
    """A table that a notebook and the rendered book both show.

    Args:
        header: column titles.
        rows: one list a row; floats are shown with two decimals, None as "not run yet".
    """

    def __init__(self, header: list[str], rows: list[list]):
        self.header, self.rows = header, rows

    def _repr_markdown_(self) -> str:
        lines = [self.header, ["---"] + ["---:"] * (len(self.header) - 1), *self.rows]
        return "\n".join("| " + " | ".join(self._cell(value) for value in line) + " |" for line in lines)

    def __repr__(self) -> str:
        return self._repr_markdown_()

    @staticmethod
    def _cell(value) -> str:
        if value is None:
            return NOT_RUN
        return f"{value:.2f}" if isinstance(value, float) else str(value)


def mean(values) -> float | None:
    """The mean, or None if one of the values is missing."""
    values = list(values)
    return None if None in values or not values else sum(values) / len(values)


def baseline(image: str, method: str, size: int | None = None, p: float = 0.5, seed: int = 0) -> dict:
    """Run a classical method on a degraded picture: {"psnr_db", "ssim"}, rounded as in stored runs."""
    x = images.load(image, size=size)
    x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(x, p=p, seed=seed))
    filled = BASELINES[method](x_hat, mask)
    return {
        "psnr_db": round(dip_blocks.psnr(dip_blocks.as_image(filled), dip_blocks.as_image(x)), 4),
        "ssim": round(float(structural_similarity(filled, x, data_range=1.0)), 5),
    }


def store_baselines(store: Path = runs.ROOT) -> Path:
    """Run both baselines on the 11 test images (mask seed 0) and store the figures, with where they come from."""
    facts = provenance()
    facts["what"] = "linear and biharmonic interpolation, 50 % of the pixels known, mask seed 0, grey, full size"
    facts["images"] = {
        name: {"sha256": images.digest(images.load(name)), **{method: baseline(name, method) for method in BASELINES}}
        for name in images.STANDARD
    }
    path = store / "baselines.json"
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return path


def stored_baselines(store: Path = runs.ROOT) -> dict:
    """What `store_baselines` stored."""
    return json.loads((store / "baselines.json").read_text(encoding="utf-8"))


def best_run(recipe: str, image: str, size: int | None, store: Path = runs.ROOT) -> runs.Run | None:
    """The stored run with the most iterations (never the one with the best PSNR), seed 0."""
    found = [run for run in runs.find(store, recipe=recipe, image=image, size=size) if run.facts["seeds"]["mask"] == 0]
    return max(found, key=lambda run: run.facts["iterations"], default=None)


def embedded(size: int = 128, recipe: str = "blog") -> Table:
    """The embedded pictures: stored runs beside baselines computed now."""
    rows, columns = [], {"dip": [], **{method: [] for method in BASELINES}}
    for name in images.EMBEDDED:
        run = best_run(recipe, name, size)
        figures = {"dip": run and run.psnr, **{m: baseline(name, m, size)["psnr_db"] for m in BASELINES}}
        for key, value in figures.items():
            columns[key].append(value)
        difference = None if run is None else f"{figures['dip'] - figures['biharmonic']:+.2f}"
        rows.append([images.title(name), run and f"{run.facts['iterations']:,}", *figures.values(), difference])
    means = [mean(values) for values in columns.values()]
    difference = None if means[0] is None else f"{means[0] - means[2]:+.2f}"
    rows.append(["**mean**", "", *means, difference])
    return Table(["picture", "iterations", "blog's recipe", *BASELINES, "recipe − biharmonic"], rows)


def standard(recipe: str = "blog") -> Table:
    """The paper's 11 images: what was reported, stored runs of ours, stored baselines."""
    stored = stored_baselines()["images"]
    columns = {
        "blog, reported": REPORTED["blog"],
        "blog's recipe, rerun": {},
        "paper, reported": REPORTED["paper"],
        "linear": {name: stored[name]["linear"]["psnr_db"] for name in images.STANDARD},
        "biharmonic": {name: stored[name]["biharmonic"]["psnr_db"] for name in images.STANDARD},
    }
    for name in images.STANDARD:
        run = best_run(recipe, name, None)
        columns["blog's recipe, rerun"][name] = run and (run.psnr if run.complete else f"{run.psnr:.2f} ({run.facts['iterations']:,} it.)")
    rows = [[images.title(name), *(column[name] for column in columns.values())] for name in images.STANDARD]
    means = []
    for column in columns.values():
        values = list(column.values())
        means.append(mean(values) if all(isinstance(value, float) for value in values) else "")
    return Table(["image", *columns], [*rows, ["**mean**", *means]])


def front_picture(store: Path = runs.ROOT) -> Path:
    """Draw the front page's and the README's picture: given, restored, truth."""
    run = best_run("blog", "camera", 128, store)
    titles = ["given: half of the pixels", f"restored, {run.facts['iterations']:,} iterations", "the truth"]
    pictures = [run.degraded()[0], run.restored, run.truth()]
    path = Path(__file__).parents[1] / "theme" / "restoration.png"
    figures.row(dict(zip(titles, pictures)), width=9).figure.savefig(path, dpi=100)
    return path
