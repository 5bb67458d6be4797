"""Tables of the book, and the numbers that others reported."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.metrics import structural_similarity

import dip_blocks
from dip_book import ceiling, figures, images, plan, runs
from dip_book.baselines import BASELINES
from dip_book.provenance import provenance

#: PSNR in dB for 50 % missing pixels, as printed in the source; images in the order of `images.STANDARD`.
REPORTED = {
    "blog": "24.14 28.19 32.64 32.71 26.44 26.19 28.08 27.10 29.09 29.62 29.62",
    "paper": "32.22 33.06 39.16 36.16 33.05 29.80 32.52 32.84 32.77 32.20 34.54",
    "convolutional sparse coding": "28.14 31.44 34.58 35.04 31.11 27.90 31.18 31.34 32.35 31.92 28.05",
}
REPORTED = {who: dict(zip(images.STANDARD, map(float, numbers.split()))) for who, numbers in REPORTED.items()}

#: The highest verified mean on these 11 images, by a method that sees nothing but the picture either: Quan et al., CVPR 2020, Table 3.
SELF2SELF = {"barbara": 36.32, "**mean**": 35.14}

NOT_RUN = "—"


class Table:
    """A table that a notebook, the rendered book and the command line show.

    Args:
        header: column titles.
        rows: one list a row; floats are shown with two decimals, None as a dash.
    """

    def __init__(self, header: list[str], rows: list[list]):
        self.header, self.rows = header, rows

    def to(self, form: str) -> str:
        """The table as "markdown", "csv" or "latex"."""
        if form == "csv":
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows([self.header, *([_csv(value) for value in row] for row in self.rows)])
            return buffer.getvalue().rstrip("\n")
        if form == "latex":
            lines = [" & ".join(_latex(_shown(value)) for value in line) + r" \\" for line in [self.header, *self.rows]]
            columns = "l" + "r" * (len(self.header) - 1)
            body = [rf"\begin{{tabular}}{{{columns}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline", r"\end{tabular}"]
            return "\n".join(body)
        lines = [self.header, ["---"] + ["---:"] * (len(self.header) - 1), *self.rows]
        return "\n".join("| " + " | ".join(_shown(value) for value in line) + " |" for line in lines)

    def _repr_markdown_(self) -> str:
        return self.to("markdown")

    def __repr__(self) -> str:
        return self.to("markdown")


def _shown(value) -> str:
    if value is None:
        return NOT_RUN
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _csv(value) -> str:
    return "" if value is None else _shown(value).replace("**", "")


def _latex(text: str) -> str:
    text = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text)
    for character, written in {"−": "$-$", "±": r"$\pm$", "×": r"$\times$", "%": r"\%", "_": r"\_", "&": r"\&"}.items():
        text = text.replace(character, written)
    return re.sub(r"(?<![\w$])-(?=\d)", "$-$", text)


def mean(values) -> float | None:
    """The mean, or None if one of the values is missing."""
    values = list(values)
    return None if None in values or not values else sum(values) / len(values)


#: Title → arguments of `ceiling.closest`.
CEILINGS = {
    "bilinear": {"method": "bilinear"},
    "nearest": {"method": "nearest"},
    "bilinear, sigmoid": {"method": "bilinear", "sigmoid": True},
}


def ceilings_of(image: np.ndarray) -> dict[str, float]:
    """PSNR in dB of the best that each kind of last ×2 upsampling can draw of a grey picture (H, W)."""
    truth = torch.from_numpy(np.asarray(image, np.float64))
    found = {title: torch.from_numpy(ceiling.closest(image, **how)) for title, how in CEILINGS.items()}
    return {title: round(dip_blocks.psnr(drawn, truth), 4) for title, drawn in found.items()}


def store_ceilings(store: Path = runs.ROOT) -> Path:
    """Compute the ceilings of the 11 test images and store them, with where they come from."""
    what = "PSNR in dB of the closest picture that a last x2 upsampling can draw, full size, grey, truth in view"
    return _store("ceilings.json", what, lambda name: ceilings_of(images.load(name)), store)


def ceilings(store: Path = runs.ROOT) -> Table:
    """PSNR in dB on the paper's 11 images: reported, and the best that a last ×2 upsampling can draw."""
    stored = _stored("ceilings.json", store)["images"]
    bounds = {f"ceiling: {title}": {name: stored[name][title] for name in images.STANDARD} for title in CEILINGS}
    return _table({"blog, reported": REPORTED["blog"], **bounds, "paper, reported": REPORTED["paper"]})


def _psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return round(dip_blocks.psnr(dip_blocks.as_image(image), dip_blocks.as_image(truth)), 4)


def mean_and_deviation(values, digits: int = 2) -> str | float | None:
    """Mean of several seeds as "30.12 ± 0.05" (sample standard deviation); of one, its value; of none, None."""
    values = list(values)
    if len(values) < 2:
        return values[0] if values else None
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def signed(differences: list[float]) -> str | None:
    """The mean of differences in dB with its sign, ± the sample standard deviation of several; of none, None."""
    if not differences:
        return None
    spread = f" ± {statistics.stdev(differences):.2f}" if len(differences) > 1 else ""
    return f"{statistics.mean(differences):+.2f}{spread}".replace("-", "−")


def baseline(image: str, method: str, size: int | None = None, p: float = 0.5, seed: int = 0) -> dict:
    """Run a classical method on a degraded picture: {"psnr_db", "ssim"}, rounded as in stored runs."""
    x = images.load(image, size=size)
    x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(x, p=p, seed=seed))
    filled = BASELINES[method](x_hat, mask)
    return {
        "psnr_db": _psnr(filled, x),
        "ssim": round(float(structural_similarity(filled, x, data_range=1.0)), 5),
    }


def store_baselines(store: Path = runs.ROOT) -> Path:
    """Run both baselines on the 11 test images (mask seed 0) and store the figures, with where they come from."""
    what = "linear and biharmonic interpolation, 50 % of the pixels known, mask seed 0, grey, full size"
    return _store("baselines.json", what, lambda name: {method: baseline(name, method) for method in BASELINES}, store)


def _store(file: str, what: str, figures_of: Callable[[str], dict], store: Path) -> Path:
    """Figures of each of the 11 test images, under its SHA-256, after who made them."""
    facts = provenance() | {"what": what}
    facts["images"] = {n: {"sha256": images.digest(images.load(n)), **figures_of(n)} for n in images.STANDARD}
    (store / file).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return store / file


def stored_baselines(store: Path = runs.ROOT) -> dict:
    """What `store_baselines` stored; the book's own where a store has none."""
    return _stored("baselines.json", store)


def _stored(name: str, store: Path) -> dict:
    path = store / name
    return json.loads((path if path.exists() else runs.ROOT / name).read_text(encoding="utf-8"))


def best_run(recipe: str, image: str, size: int | None, store: Path = runs.ROOT, seed: int = 0, p: float = 0.5) -> runs.Run | None:
    """The stored run with the most iterations (never the one with the best PSNR), of one seed and mask density."""
    found = [run for run in runs.find(store, recipe=recipe, image=image, size=size) if _seeds(run) == {seed} and run.facts["p"] == p]
    return max(found, key=lambda run: run.facts["iterations"], default=None)


def _seeds(run: runs.Run) -> set[int]:
    return set(run.facts["seeds"].values())


def seeds_of(recipe: str, image: str, size: int | None, store: Path = runs.ROOT) -> list[runs.Run]:
    """For each seed that was run, its longest run; only those as long as the longest of all, so that equals are averaged."""
    found = [run for run in runs.find(store, recipe=recipe, image=image, size=size) if len(_seeds(run)) == 1]
    found = [run for run in found if re.fullmatch(r"seed\d+-\d+it", run.place.name)]  # other p or precision: another question
    most = max((run.facts["iterations"] for run in found), default=0)
    return [run for run in found if run.facts["iterations"] == most]


def over_density(image: str, size: int = 128, store: Path = runs.ROOT) -> dict[str, dict[float, float]]:
    """Method → {share p of known pixels: PSNR in dB, known pixels pasted back}: the recipe quick as stored, biharmonic as computed now."""
    truth, found = images.load(image, size=size), {"biharmonic": {}, "Deep Image Prior, quick": {}}
    for p in sorted({0.5, *plan.DENSITIES}):
        x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(truth, p=p))
        found["biharmonic"][p] = _psnr(BASELINES["biharmonic"](x_hat, mask > 0), truth)
        if (run := best_run("quick", image, size, store, p=p)) is not None:
            found["Deep Image Prior, quick"][p] = run.facts["psnr_db"]["averaged_pasted"]
    return {method: points for method, points in found.items() if points}


def kinds(run: runs.Run) -> Table:
    """PSNR and SSIM of the images that one run ends with."""
    rows = [[name, run.facts["psnr_db"][kind], _three(run.facts["ssim"][kind])] for kind, name in runs.KINDS.items()]
    return Table(["image", "PSNR, dB", "SSIM"], [[cell if cell is not None else "not recorded" for cell in row] for row in rows])


def embedded(size: int = 128, recipe: str = "blog", store: Path = runs.ROOT) -> Table:
    """The embedded pictures at 128×128: the raw output of stored runs, beside baselines computed now."""
    rows, columns = [], {"dip": [], **{method: [] for method in BASELINES}}
    for name in images.EMBEDDED:
        run = best_run(recipe, name, size, store)
        figures = {"dip": run and run.psnr, **{m: baseline(name, m, size)["psnr_db"] for m in BASELINES}}
        for key, value in figures.items():
            columns[key].append(value)
        difference = None if run is None else signed([figures["dip"] - figures["biharmonic"]])
        rows.append([images.title(name), run and f"{run.facts['iterations']:,}", *figures.values(), difference])
    means = [mean(values) for values in columns.values()]
    difference = None if means[0] is None else signed([means[0] - means[2]])
    rows.append(["**mean**", "", *means, difference])
    return Table(["picture", "iterations", "blog's recipe, raw output", *BASELINES, "recipe − biharmonic"], rows)


def quick(store: Path = runs.ROOT, recipe: str = "quick") -> Table:
    """The recipe `quick` (or another group of the plan) at 128×128, raw and as one would use it, beside baselines computed now: PSNR in dB, and seconds."""
    rows = []
    for spec in plan.WANTED[recipe]:
        run = runs.stored(spec, store)
        drawn = [run and run.facts["psnr_db"][kind] for kind in ("raw", "averaged_pasted")]
        cost = [run and f"{run.facts['wall_time_s']:.0f}", run and f"{run.facts['device']}, {run.facts['threads']} threads"]
        classic = [baseline(spec.image, method, spec.size, seed=spec.seeds["mask"])["psnr_db"] for method in BASELINES]
        rows.append([images.title(spec.image), *drawn, *classic, *cost])
    return Table(["picture", f"{recipe}, raw output", f"{recipe}, averaged, pasted", *BASELINES, "seconds", "on"], rows)


#: Recipes that were run on the 11 images, and their columns' titles.
SHOWN_RECIPES = {
    "blog": "blog's recipe, rerun",
    "blog+optimiser=muon+lr=0.02": "blog's network, Muon",
    "paper+optimiser=muon+lr=0.02": "paper's recipe, Muon",
    "best-nearest": "best-nearest",
}


def columns(store: Path = runs.ROOT, metric: str = "psnr_db", kind: str = "raw") -> dict[str, dict[str, float | str | None]]:
    """Title → image → value for the 11 images: reported figures (PSNR of the raw output only), reruns, baselines.

    None where no run is stored.  A run of fewer iterations than its recipe asks for is given as text that says so;
    runs with Muon, for whose length no recipe asks, are not.
    """
    stored = stored_baselines(store)["images"]
    reported = REPORTED if metric == "psnr_db" and kind == "raw" else {}
    result = {f"{who}, reported": numbers for who, numbers in reported.items()}
    for recipe, title in SHOWN_RECIPES.items():
        result[title] = {name: _rerun(recipe, name, metric, kind, store) for name in images.STANDARD}
    return result | {method: {name: stored[name][method][metric] for name in images.STANDARD} for method in BASELINES}


def complete(columns: dict[str, dict]) -> dict[str, dict]:
    """The columns that have a value for every image."""
    return {title: column for title, column in columns.items() if None not in column.values()}


def _rerun(recipe: str, name: str, metric: str, kind: str, store: Path) -> float | str | None:
    found = seeds_of(recipe, name, None, store)
    if not found:
        return None
    values, digits = [run.facts[metric][kind] for run in found], 3 if metric == "ssim" else 2
    if found[0].complete or "optimiser=muon" in recipe:
        return mean_and_deviation(values, digits)
    return f"{values[0]:.{digits}f} ({found[0].facts['iterations']:,} it.)"


def _table(columns: dict[str, dict], whole: bool = True) -> Table:
    """Either the columns that are complete, or the rows that are: nothing that was not run is shown.

    A mean of fewer than the 11 says of how many.
    """
    columns = complete(columns) if whole else columns
    names = [name for name in images.STANDARD if None not in (column[name] for column in columns.values())]
    rows = [[images.title(name), *(column[name] for column in columns.values())] for name in names]
    means = []
    for column in columns.values():
        values = [_whole(column[name]) for name in names]
        means.append("" if None in values else mean(values))
    title = "**mean**" if len(names) == len(images.STANDARD) else f"**mean of {len(names)}**"
    return Table(["image", *columns], [*rows, [title, *means]] if rows else [])


def _whole(value) -> float | None:
    """The number of a cell, of several seeds their mean; None for a run that was cut short, and for nothing."""
    if isinstance(value, str) and "±" in value:
        return float(value.split(" ±")[0])
    return value if isinstance(value, float) else None


def standard(store: Path = runs.ROOT) -> Table:
    """PSNR in dB on the paper's 11 images, of what there is for all 11: reported, rerun (raw output), classical."""
    return _table(columns(store))


def rerun(store: Path = runs.ROOT) -> Table:
    """PSNR in dB of the blog's recipe, rerun: raw output, beside what was reported and classical methods, on the images that were run."""
    values = columns(store)
    chosen = ("blog, reported", SHOWN_RECIPES["blog"], "paper, reported", *BASELINES)
    return _table({title: values[title] for title in chosen}, whole=False)


def averaged(store: Path = runs.ROOT) -> Table:
    """PSNR in dB of all four images that a rerun of the blog's recipe ends with, beside biharmonic, on the images that were run."""
    mixed = {title: columns(store, kind=kind)[SHOWN_RECIPES["blog"]] for kind, title in runs.KINDS.items()}
    return _table(mixed | {"biharmonic": columns(store)["biharmonic"]}, whole=False)


def ssim(store: Path = runs.ROOT) -> Table:
    """SSIM on the paper's 11 images: rerun (raw output; averaged and pasted), classical; on the images that were run."""
    raw, pasted = columns(store, "ssim"), columns(store, "ssim", "averaged_pasted")
    rerun = SHOWN_RECIPES["blog"]
    both = {f"{rerun}: raw output": raw[rerun], f"{rerun}: averaged, pasted": pasted[rerun]}
    table = _table(both | {method: raw[method] for method in BASELINES}, whole=False)
    table.rows = [[_three(cell) for cell in row] for row in table.rows]
    return table


def of_common_seeds(recipe: str, store: Path = runs.ROOT) -> dict[str, list[runs.Run]]:
    """Image → its runs, of those seeds that all images were run with; of seed 0, where there is no such seed."""
    found = {name: seeds_of(recipe, name, None, store) for name in images.STANDARD}
    common = set.intersection(*(set().union(*map(_seeds, drawn)) for drawn in found.values())) or {0}
    return {name: [run for run in drawn if _seeds(run) <= common] for name, drawn in found.items()}


#: Of the pictures that a run ends with, the one to use (book, "A better optimiser").
USED = "averaged_blended"


def final(store: Path = runs.ROOT, recipe: str = "best", beside: tuple[str, ...] = ("best-nearest",)) -> Table:
    """PSNR in dB on the paper's 11 images: reported, classical, a recipe of ours (averaged, blended), and how far it is from the paper and from biharmonic.

    ``beside`` it other recipes, where they were run on all 11.

    With several seeds, of mask and all else, their mean ± standard deviation; the paper's and biharmonic's figures are of one mask.
    """
    raw, title = columns(store), f"`{recipe}`"
    chosen = {title: raw[title] for title in ("blog, reported", "paper, reported")}
    chosen["Self2Self, reported"] = {name: SELF2SELF.get(name, "") for name in images.STANDARD}
    chosen["biharmonic"] = raw["biharmonic"]
    for other in (*beside, recipe):
        drawn = of_common_seeds(other, store)
        if other == recipe or all(drawn.values()):
            chosen[f"`{other}`"] = {name: mean_and_deviation([run.facts["psnr_db"][USED] for run in drawn[name]]) for name in images.STANDARD}
    table = _table(chosen, whole=False)
    if table.rows:
        ours, paper, biharmonic = (table.header.index(title) for title in (title, "paper, reported", "biharmonic"))
        for row in table.rows:
            row += [signed([float(str(row[ours]).split()[0]) - row[other]]) if row[ours] != "" else "" for other in (paper, biharmonic)]
        if table.rows[-1][0] == "**mean**":
            table.rows[-1][table.header.index("Self2Self, reported")] = SELF2SELF["**mean**"]
        table.header += ["ours − paper", "ours − biharmonic"]
    return table


def seconds(recipe: str = "best", store: Path = runs.ROOT) -> Table:
    """What a recipe costs on the paper's 11 images, mask seed 0: core-seconds, and their sum in hours of one core."""
    found = {name: best_run(recipe, name, None, store) for name in images.STANDARD}
    found = {name: run.facts["core_seconds"] for name, run in found.items() if run is not None and run.facts.get("core_seconds")}
    rows = [[images.title(name), f"{seconds:,.0f}"] for name, seconds in found.items()]
    return Table(["image", f"`{recipe}`, core-seconds"], rows + [[f"**all {len(found)}**", f"{sum(found.values()):,.0f}, or {sum(found.values()) / 3600:.1f} h"]] if rows else [])


def members(store: Path = runs.ROOT, recipe: str = "best") -> Table:
    """A mean of several networks and its members on the paper's 11 images, mask seed 0: PSNR in dB (averaged, blended), core-seconds."""
    rows = []
    for name in images.STANDARD:
        found = {title: best_run(title, name, None, store) for title in (*dip_blocks.MEANS[recipe], recipe)}
        if None not in found.values():
            values = [run.facts["psnr_db"][USED] for run in found.values()]
            rows.append([images.title(name), *values, signed([values[-1] - max(values[:-1])]), found[recipe].facts.get("core_seconds")])
    if rows:
        means = [mean([row[i] for row in rows]) for i in range(1, len(found) + 1)]
        seconds = [row[-1] for row in rows]
        total = "" if None in seconds else f"{sum(seconds):,.0f}"
        rows = [[*row[:-1], None if row[-1] is None else f"{row[-1]:,.0f}"] for row in rows] + [["**mean, sum**", *means, "", total]]
    return Table(["image", *(f"`{title}`" for title in found), "mean − better member", "core-seconds"], rows)


def at_rest(store: Path = runs.ROOT) -> Table:
    """The blog's network, trained with Muon until its loss was flat, under its ceiling: PSNR in dB, raw output, on the images that were run."""
    recipe, bounds, rows = "blog+optimiser=muon+lr=0.02", _stored("ceilings.json", store)["images"], []
    for name in images.STANDARD:
        run = best_run(recipe, name, None, store)
        if run is not None:
            raw, averaged = run.facts["psnr_db"]["raw"], run.facts["psnr_db"]["averaged"]
            bound, paper = bounds[name]["bilinear, sigmoid"], REPORTED["paper"][name]
            rows.append([images.title(name), REPORTED["blog"][name], raw, averaged, bound, paper, signed([bound - paper]), signed([averaged - bound])])
    header = ["image", "blog, reported", "Muon, raw", "Muon, averaged", "ceiling (bilinear, sigmoid)", "paper, reported", "architecture: ceiling − paper", "training: averaged − ceiling"]
    if rows:
        last = [signed([mean([float(row[i].replace("−", "-")) for row in rows])]) for i in (6, 7)]
        rows.append([f"**mean of {len(rows)}**", *(mean([row[i] for row in rows]) for i in range(1, 6)), *last])
    return Table(header, rows)


def distances(recipe: str = "best-nearest", store: Path = runs.ROOT) -> Table:
    """How far a recipe's runs on the paper's 11 images, of whatever length, end from what others reached: differences in dB, mean last."""
    values, rows, apart = columns(store), [], []
    for name in images.STANDARD:
        run = best_run(recipe, name, None, store)
        if run is None:
            continue
        raw, used = (run.facts["psnr_db"][kind] for kind in ("raw", USED))
        blog, paper, classical = (values[method][name] for method in ("blog, reported", "paper, reported", "biharmonic"))
        apart.append([raw - blog, raw - paper, used - paper, used - classical])
        rows.append([images.title(name), f"{run.facts['iterations']:,}", *(signed([difference]) for difference in apart[-1])])
    if rows:
        rows.append(["**mean**", "", *(signed([mean(column)]) for column in zip(*apart))])
    return Table(["image", "iterations", "raw − blog", "raw − paper", "averaged, blended − paper", "averaged, blended − biharmonic"], rows)


def differences(store: Path = runs.ROOT) -> Table:
    """PSNR differences in dB on the paper's 11 images; of reruns only where the whole recipe was run."""
    values = columns(store)
    rerun, blog, paper, classic = (values[k] for k in (SHOWN_RECIPES["blog"], "blog, reported", "paper, reported", "biharmonic"))
    pairs = {
        "rerun − blog": (rerun, blog), "rerun − paper": (rerun, paper), "rerun − biharmonic": (rerun, classic),
        "blog − paper": (blog, paper), "blog − biharmonic": (blog, classic), "paper − biharmonic": (paper, classic),
    }  # fmt: skip
    table = _table({title: {name: _minus(a[name], b[name]) for name in images.STANDARD} for title, (a, b) in pairs.items()})
    table.rows = [[signed([cell]) if isinstance(cell, float) else cell for cell in row] for row in table.rows]
    return table


def _minus(a, b) -> float | None:
    a, b = _whole(a), _whole(b)
    return None if a is None or b is None else a - b


def _three(value):
    return f"{value:.3f}" if isinstance(value, float) else value


def precision(store: Path = runs.ROOT) -> Table:
    """PSNR in dB (raw output) of the camera at 128×128 after 100 iterations in several precisions, by seed."""
    wanted, rows = plan.WANTED["precision"], []
    seeds = sorted({spec.seed for spec in wanted})
    for name in dict.fromkeys(spec.precision for spec in wanted):
        values = []
        for spec in (spec for spec in wanted if spec.precision == name):
            run = runs.stored(spec, store)
            values.append(run and run.psnr)
        rows.append([name, *values, None if None in values else mean_and_deviation(values)])
    return Table(["precision", *(f"seed {seed}" for seed in seeds), "mean ± standard deviation"], rows)


#: What the command line prints.
TABLES = {"standard": standard, "rerun": rerun, "final": final, "members": members, "seconds": seconds, "at_rest": at_rest, "distances": distances, "differences": differences, "averaged": averaged, "ssim": ssim, "embedded": embedded, "quick": quick, "precision": precision, "ceilings": ceilings}


def front_pictures(store: Path = runs.ROOT) -> list[Path]:
    """Draw the front page's pictures, and the README's: given, restored, truth; and the restoration as it happens.

    The animation ends with the run's final output and does not begin again.
    """
    run, theme = best_run("quick", "camera", 256, store), Path(__file__).parents[1] / "theme"
    if run is None:
        raise runs.RunError("The run of the front page's pictures is missing: make it with run --missing front.")
    titles = ["given: half of the pixels", f"restored, {run.facts['iterations']:,} iterations", "the truth"]
    pictures = [run.degraded()[0], run.raw, run.truth()]
    figures.row(dict(zip(titles, pictures)), width=9).figure.savefig(theme / "restoration.png", dpi=100)
    for name, picture in zip(("given", "restored", "truth"), pictures):
        Image.fromarray(images.to_bytes(picture)).save(theme / f"front-{name}.webp", quality=80, lossless=name == "given", method=6)
    first, *more = [Image.fromarray(images.to_bytes(frame)) for frame in (*run.frames.values(), run.raw)]
    options = {"save_all": True, "append_images": more, "duration": 350, "loop": 1, "quality": 70, "method": 6}
    first.save(theme / "front-happening.webp", **options)
    return sorted([theme / "restoration.png", *theme.glob("front-*.webp")])
