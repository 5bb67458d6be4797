"""The tables of the stored runs that the chapters print."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import dip_blocks
from dip_book import images, runs
from dip_book.results.baselines import BASELINES, baseline, stored_baselines
from dip_book.results.ceiling import BLOGS, CEILINGS, HALF, half_of, stored_ceilings
from dip_book.results.reported import REPORTED
from dip_book.results.selection import USED, all_stored, best_run, machines, of_length, seeds_of
from dip_book.runs import plan
from dip_book.table import (
    NO_VALUE,
    Cell,
    Figure,
    Table,
    difference,
    mean,
    mean_and_deviation,
    mean_of_cells,
    number,
)

#: Title of a column → image → cell.
Columns = dict[str, dict[str, Cell]]

#: Recipes that were run on the 11 images, and their columns' titles.
SHOWN_RECIPES = {
    "blog": "blog's recipe, rerun",
    "blog+optimiser=muon+lr=0.02": "blog's network, Muon",
    "paper+optimiser=muon+lr=0.02": "paper's recipe, Muon",
    "best-nearest": "best-nearest",
}
SSIM, SECONDS = "{:.3f}", "{:,.0f}"
#: What the captions of the 11 images end with.
TEST = "The paper's test images, half of the pixels known."


def columns(store: Path = runs.ROOT, metric: str = "psnr_db", kind: str = "raw") -> Columns:
    """The columns of the 11 images: reported (PSNR of the raw output only), reruns, baselines.

    Args:
        metric: "psnr_db" or "ssim".
        kind: one of `runs.KINDS`, of the reruns.

    None where no run is stored.  A run of fewer iterations than its recipe asks for says so; runs
    with Muon, for whose length no recipe asks, do not.
    """
    classical = stored_baselines(store)["images"]
    reported = REPORTED if metric == "psnr_db" and kind == "raw" else {}
    result = {f"{who}, reported": numbers for who, numbers in reported.items()}
    for recipe, title in SHOWN_RECIPES.items():
        result[title] = {n: _rerun(recipe, n, metric, kind, store) for n in images.STANDARD}
    for method in BASELINES:
        result[method] = {name: classical[name][method][metric] for name in images.STANDARD}
    return result


def complete(columns: Columns) -> Columns:
    """The columns that have a value for every image."""
    return {title: column for title, column in columns.items() if None not in column.values()}


def _rerun(recipe: str, name: str, metric: str, kind: str, store: Path) -> Cell:
    found = seeds_of(recipe, name, None, store)
    values = [run.facts[metric][kind] for run in found]
    if not found or found[0].complete or "optimiser=muon" in recipe:
        return mean_and_deviation(values)
    return Figure(values[0], iterations=found[0].facts["iterations"])


def _of_images(
    columns: Columns, caption: str, whole: bool = True, form: str | None = None, filled_by=()
) -> Table:
    """Either the columns that are complete, or the rows that are: no gap is shown.

    A mean of fewer than the 11 says of how many.
    """
    columns = complete(columns) if whole else columns
    names = [n for n in images.STANDARD if None not in (column[n] for column in columns.values())]
    rows = [[images.title(n), *(column[n] for column in columns.values())] for n in names]
    note = ""
    if rows:
        title = "mean" if len(names) == len(images.STANDARD) else f"mean of {len(names)}"
        means = [mean_of_cells(column[name] for name in names) for column in columns.values()]
        rows.append([f"**{title}**", *means])
        if None in means:
            note = f" “{NO_VALUE}”: no mean, as runs of it were cut short."
    forms = dict.fromkeys(columns, form) if form else None
    return Table(["image", *columns], rows, forms, f"{caption} {TEST}{note}", filled_by)


def _apart(a: Cell, b: Cell) -> Figure | None:
    a, b = number(a), number(b)
    return None if a is None or b is None else difference([a - b])


def standard(store: Path = runs.ROOT) -> Table:
    """PSNR in dB on the paper's 11 images: reported, rerun (raw output), classical.

    Of what there is for all 11.
    """
    caption = (
        "PSNR in dB: as reported, of one network of chapter 12 (raw output), and of classical "
        "methods."
    )
    return _of_images(columns(store), caption)


def rerun(store: Path = runs.ROOT) -> Table:
    """PSNR in dB of the blog's recipe, rerun, beside what was reported and classical methods.

    The raw output, on the images that were run.
    """
    values = columns(store)
    chosen = ("blog, reported", SHOWN_RECIPES["blog"], "paper, reported", *BASELINES)
    caption = "PSNR in dB of the blog's recipe, rerun (the raw output), beside what was reported."
    chosen = {title: values[title] for title in chosen}
    return _of_images(chosen, caption, whole=False, filled_by=["table"])


def lengthened(store: Path = runs.ROOT, marks: tuple[int, ...] = (2000, 10_000)) -> Table:
    """PSNR in dB of the blog's recipe on the way and at its end, on images run at full length.

    Of the averaged output, which has no luck of one iteration in it.  The small images first, with
    their mean, then the large ones, with theirs.
    """
    rows, found = [], whole("blog", store)
    for side, names in {256: plan.SMALL, 512: plan.LARGE}.items():
        of = []
        for name, run in ((name, found[name]) for name in names if name in found):
            ends = [*(_at(run, mark) for mark in marks), run.facts["psnr_db"]["averaged"]]
            of.append([images.title(name), *ends, ends[-1] - ends[0]])
        if len(of) > 1:
            means = [mean(column) for column in list(zip(*of))[1:]]
            of.append([f"**mean of {len(of)}, {side}×{side}**", *means])
        rows += [[*row[:-1], difference([row[-1]])] for row in of]
    length = dip_blocks.BLOG.iterations
    caption = "PSNR in dB of the averaged output of the blog's recipe, on the way and at its end."
    after = [f"after {mark:,} iterations" if mark == marks[0] else f"{mark:,}" for mark in marks]
    header = ["image", *after, f"{length:,}", f"gained since {marks[0]:,}"]
    return Table(header, rows, caption=caption, filled_by=["table"])


def both_readings(store: Path = runs.ROOT) -> Table:
    """PSNR in dB of both readings after the same iterations of Adam, on the four small images.

    Averaged outputs, as long as the second reading's run is; and its raw output beside the blog's.
    """
    rows = []
    for name in plan.SMALL:
        blog, paper = (best_run(recipe, name, None, store) for recipe in ("blog", "paper"))
        if blog is None or paper is None:
            continue
        length = paper.facts["iterations"]
        if blog.facts["iterations"] >= length:
            ends = _at(blog, length), _at(paper, length)
            raw = paper.facts["psnr_db"]["raw"], REPORTED["blog"][name]
            rows.append([images.title(name), length, *ends, difference([ends[1] - ends[0]]), *raw])
    header = [
        "image", "iterations", "blog's reading", "second reading", "gained",
        "second reading: raw", "blog's raw, reported",
    ]  # fmt: skip
    caption = (
        "PSNR in dB of both readings after the same iterations of Adam: averaged outputs; and on "
        "the right raw outputs, the blog's after 11,000."
    )
    return Table(header, rows, caption=caption, filled_by=["table", "best-adam"])


def averaged(store: Path = runs.ROOT) -> Table:
    """PSNR in dB of all images that a rerun of the blog's recipe ends with, beside biharmonic.

    On the images that were run.
    """
    ends = {kind: columns(store, kind=kind)[SHOWN_RECIPES["blog"]] for kind in runs.KINDS}
    classical, rows = columns(store)["biharmonic"], []
    for name in images.STANDARD:
        cells = [column[name] for column in ends.values()]
        if None not in cells:
            length = best_run("blog", name, None, store).facts["iterations"]
            rows.append([images.title(name), length, *map(float, cells), classical[name]])
    if rows:
        means = [mean(column) for column in list(zip(*rows))[2:]]
        rows.append([f"**mean of {len(rows)}**", None, *means])
    titles = [kind.replace("_", ", ") if "_" in kind else f"{kind} output" for kind in ends]
    caption = (
        "PSNR in dB of the pictures that the blog's recipe, rerun, ends with. Pasted and blended "
        f"ones keep the known pixels, as biharmonic does. {len(rows[:-1])} of the paper's "
        f"{len(images.STANDARD)} test images, half of the pixels known."
    )
    header = ["image", "iterations", *titles, "biharmonic"]
    return Table(header, rows, caption=caption, filled_by=["table"])


def papers_with_muon(store: Path = runs.ROOT) -> Table:
    """PSNR in dB of the paper's recipe, but for Muon instead of Adam, beside what it reports.

    On the images that were run.
    """
    found, best = (
        all_stored({spec.image: spec for spec in plan.WANTED[group]}, store)
        for group in ("paper-muon", "best")
    )
    kinds = ("raw", "averaged", "averaged_blended")
    rows = [
        [
            images.title(image),
            REPORTED["paper"][image],
            *(run.facts["psnr_db"][kind] for kind in kinds),
            best[image].facts["psnr_db"][kinds[-1]],
            run.history[-1].psnr_averaged - _at(run, run.facts["iterations"] - 100),
        ]
        for image, run in found.items()
        if image in best
    ]
    count = len(rows)
    if count > 1:
        rows.append([f"**mean of {count}**", *map(mean, list(zip(*rows))[1:])])
    rows = [
        [*row[:3], difference([row[2] - row[1]]), *row[3:6], difference([row[6]])] for row in rows
    ]
    iterations = " or ".join(sorted({f"{run.facts['iterations']:,}" for run in found.values()}))
    caption = (
        f"The paper's recipe with Muon instead of Adam, {iterations} iterations: PSNR in dB. "
        f"{count} of the paper's {len(images.STANDARD)} test images, half of the pixels known."
    )
    header = [
        "image", "paper, reported: raw", "with Muon: raw", "raw − paper", "averaged",
        "averaged, blended", "`best`: averaged, blended", "averaged: last 100 iterations",
    ]  # fmt: skip
    return Table(header, rows, caption=caption, filled_by=["paper-muon"])


def _at(run: runs.Run, iteration: int) -> float:
    """PSNR of the average then, in dB."""
    return next(step.psnr_averaged for step in run.history if step.iteration >= iteration)


def ssim(store: Path = runs.ROOT) -> Table:
    """SSIM on the paper's 11 images: rerun (raw output; averaged and pasted), classical.

    On the images that were run.
    """
    raw, pasted = columns(store, "ssim"), columns(store, "ssim", "averaged_pasted")
    blog = SHOWN_RECIPES["blog"]
    chosen = {f"{blog}: raw output": raw[blog], f"{blog}: averaged, pasted": pasted[blog]}
    chosen |= {method: raw[method] for method in BASELINES}
    caption = "SSIM (1 is the truth itself) of the blog's recipe, rerun, and of classical methods."
    return _of_images(chosen, caption, whole=False, form=SSIM, filled_by=["table"])


def differences(store: Path = runs.ROOT) -> Table:
    """PSNR differences in dB on the paper's 11 images.

    Of reruns only where the whole recipe was run.
    """
    values = columns(store)
    short = {
        "rerun": SHOWN_RECIPES["blog"],
        "blog": "blog, reported",
        "paper": "paper, reported",
        "biharmonic": "biharmonic",
    }
    pairs = [(a, b) for i, a in enumerate(short) for b in list(short)[i + 1 :]]

    def apart(a: str, b: str) -> dict[str, Figure | None]:
        return {n: _apart(values[short[a]][n], values[short[b]][n]) for n in images.STANDARD}

    caption = "Differences of PSNR in dB, the first minus the second."
    return _of_images({f"{a} − {b}": apart(a, b) for a, b in pairs}, caption)


def distances(recipe: str = "best-nearest", store: Path = runs.ROOT) -> Table:
    """How far a recipe ends from what others reached on the paper's 11 images, in dB.

    Of its longest runs, whatever their length; the mean last.
    """
    values, rows, apart = columns(store), [], []
    for name in images.STANDARD:
        run = best_run(recipe, name, None, store)
        if run is None:
            continue
        raw, used = (run.facts["psnr_db"][kind] for kind in ("raw", USED))
        known = ("blog, reported", "paper, reported", "biharmonic")
        blog, paper, classical = (values[title][name] for title in known)
        apart.append([raw - blog, raw - paper, used - paper, used - classical])
        cells = (difference([value]) for value in apart[-1])
        rows.append([images.title(name), run.facts["iterations"], *cells])
    if rows:
        means = (difference([mean(column)]) for column in zip(*apart))
        rows.append(["**mean**", None, *means])
    used = "averaged, blended"
    titles = ["raw − blog", "raw − paper", f"{used} − paper", f"{used} − biharmonic"]
    caption = (
        f"How far `{recipe}` ends from what others reach: differences of PSNR in dB, mask seed 0. "
        f"{TEST}"
    )
    header = ["image", "iterations", *titles]
    return Table(header, rows, caption=caption, filled_by=[recipe])


def seconds(recipe: str = "best", store: Path = runs.ROOT) -> Table:
    """What a recipe costs on the paper's 11 images, in core-seconds.

    Mask seed 0; the sum also in hours of one core.
    """
    found = {name: best_run(recipe, name, None, store) for name in images.STANDARD}
    cost = {name: run.facts.get("core_seconds") for name, run in found.items() if run is not None}
    rows = [
        [images.title(n), of_length(found[n], seconds)] for n, seconds in cost.items() if seconds
    ]
    if rows:
        each = [number(seconds) for _, seconds in rows]
        total = None if None in each else Figure(sum(each), note=f", or {sum(each) / 3600:.1f} h")
        rows.append([f"**all {len(rows)}**", total])
    title = f"`{recipe}`, core-seconds"
    caption = f"What `{recipe}` costs an image, in core-seconds, on {machines(found.values())}."
    return Table(["image", title], rows, {title: SECONDS}, caption, [recipe])


def members(store: Path = runs.ROOT, recipe: str = "best") -> Table:
    """A mean of several networks and its members on the paper's 11 images.

    PSNR in dB (averaged, blended) and core-seconds, mask seed 0.  RunError for no mean's name.
    """
    if recipe not in list(dip_blocks.MEANS):
        known = ", ".join(dip_blocks.MEANS)
        raise runs.RunError(f"No mean of networks is called {recipe!r:.60}; there are {known}.")
    recipes, rows = [*dip_blocks.MEANS[recipe], recipe], []
    for name in images.STANDARD:
        found = _with_members(recipe, name, store)
        if None not in found:
            values = [run.facts["psnr_db"][USED] for run in found]
            gain = difference([values[-1] - max(values[:-1])])
            cost = of_length(found[-1], found[-1].facts.get("core_seconds"))
            cells = map(of_length, found, values)
            rows.append([images.title(name), *cells, gain, cost])
    if rows:
        means = [mean_of_cells(row[i] for row in rows) for i in range(1, len(recipes) + 1)]
        cost = [number(row[-1]) for row in rows]
        gain = None if None in means else difference([mean(row[-2].mean for row in rows)])
        rows.append(["**mean, sum**", *means, gain, None if None in cost else sum(cost)])
    titles = [*(f"`{title}`" for title in recipes), "mean − better member", "core-seconds"]
    runs_of = (best_run(recipe, name, None, store) for name in images.STANDARD)
    caption = (
        f"PSNR in dB of `{recipe}` and of the networks that it is the mean of (averaged, blended; "
        f"mask seed 0). Core-seconds of all members on {machines(runs_of)}."
    )
    return Table(["image", *titles], rows, {"core-seconds": SECONDS}, caption, [recipe])


def _with_members(recipe: str, name: str, store: Path) -> list[runs.Run | None]:
    """A mean's members on one of the 11 images, those that it was taken of, and the mean, last."""
    together = best_run(recipe, name, None, store)
    paths = None if together is None else together.facts.get("members")
    members = []
    for title in dip_blocks.MEANS[recipe]:
        longest = best_run(title, name, None, store)
        if paths is not None and (longest is None or longest.name not in paths):
            stored = runs.of_their_names(runs.find(store, recipe=title, image=name, size=None))
            longest = next((run for run in stored if run.name in paths), None)
        members.append(longest)
    return [*members, together]


#: The run that shows what training alone can do: the blog's network, Muon for Adam.
AT_REST = "blog+optimiser=muon+lr=0.02"


def parts(names: Iterable[str] = images.STANDARD, store: Path = runs.ROOT) -> Table:
    """From what the blog reports to what the paper reports, in three parts: PSNR in dB.

    The blog's figure; what its network could draw from half of the pixels, without training
    (`ceiling.filled`); the ceiling; the paper's figure; and the three distances between them.
    """
    bounds, rows = stored_ceilings(store)["images"], []
    for name in names:
        found = bounds[name]
        drawn, bound = found["half"]["biharmonic"][0], found[BLOGS]
        blog, paper = REPORTED["blog"][name], REPORTED["paper"][name]
        apart = (difference([gap]) for gap in (drawn - blog, bound - drawn, paper - bound))
        rows.append([images.title(name), blog, drawn, bound, paper, *apart])
    if rows:
        count = f" of {len(rows)}" if len(rows) < len(images.STANDARD) else ""
        rows.append([f"**mean{count}**", *map(mean_of_cells, list(zip(*rows))[1:])])
    header = [
        "image", "blog, reported", "half of the pixels, no training", "ceiling", "paper, reported",
        "training", "missing pixels", "architecture",
    ]  # fmt: skip
    caption = (
        "From what the blog reports to what the paper reports in three parts: PSNR in dB, and "
        "differences of it. The paper's test images, half of the pixels known."
    )
    return Table(header, rows, caption=caption)


def whole(recipe: str, store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Image → the stored run of a recipe at its full length, of those of the 11 that were run."""
    length = dip_blocks.RECIPES[recipe].iterations
    found = {name: best_run(recipe, name, None, store) for name in images.STANDARD}
    return {
        name: run
        for name, run in found.items()
        if run is not None and run.facts["iterations"] == length
    }


def rested(store: Path = runs.ROOT) -> dict[str, runs.Run]:
    """Image → the stored run of `AT_REST`, of those of the 11 that were run."""
    found = {name: best_run(AT_REST, name, None, store) for name in images.STANDARD}
    return {name: run for name, run in found.items() if run is not None}


def on_known(run: runs.Run, kind: str = "raw") -> float:
    """PSNR in dB over the known pixels only, of what a run ended with.

    Pasting known pixels takes their error away and leaves the rest; so the difference is theirs.
    """
    whole, rest = (10 ** (-run.facts["psnr_db"][key] / 10) for key in (kind, f"{kind}_pasted"))
    height, width = run.facts["image"]["shape"][:2]
    mask = dip_blocks.bernoulli_mask(height, width, run.facts["p"], run.facts["seeds"]["mask"])
    return -10 * math.log10((whole - rest) / float(mask.mean()))


def at_rest(store: Path = runs.ROOT) -> Table:
    """The blog's network under its ceiling, after all of the blog's iterations, and after Muon's.

    PSNR in dB of raw outputs, no pixels pasted, on the images that were run: over the whole
    picture, and over the known pixels only, where the ceiling's picture has a PSNR too.
    """
    bounds, rows = stored_ceilings(store)["images"], []
    ways = whole("blog", store), rested(store)
    for name in images.STANDARD:
        ends = [way.get(name) for way in ways]
        if any(ends):
            cells = [REPORTED["blog"][name], *(run and run.facts["psnr_db"]["raw"] for run in ends)]
            cells += [bounds[name][BLOGS], *(run and on_known(run) for run in ends)]
            rows.append([images.title(name), *cells, bounds[name]["half"][BLOGS][1]])
    if rows:
        means = [mean_of_cells(column) for column in list(zip(*rows))[1:]]
        rows.append([f"**mean of {len(rows)}**", *means])
    known = ("known pixels: rerun", "known pixels: Muon", "known pixels: ceiling")
    header = ["image", "blog, reported", "rerun", "Muon", "ceiling", *known]
    caption = (
        "The blog's network, by the blog's own recipe to its end (rerun), and by Muon for 800 "
        "iterations an image: PSNR in dB of raw outputs over the whole picture, and in the three "
        f"last columns over the known pixels only. {len(rows[:-1])} of the paper's "
        f"{len(images.STANDARD)} test images."
    )
    return Table(header, rows, caption=caption, filled_by=["table", "blog-muon"])


#: Key of `half_of` → how readers know it.
DRAWN = dict(zip((*HALF, BLOGS), ("smooth fit", "biharmonic, then closest", "ceiling")))


def from_half(image: str | None = None, size: int | None = None, store: Path = runs.ROOT) -> Table:
    """What the blog's network could draw from half of the pixels, without training: PSNR in dB.

    Beside its ceiling, which knows all pixels.  Of one picture, computed now; or the mean of the
    11, as stored.
    """
    if image is not None:
        found, of = (
            [half_of(images.load(image, size=size))],
            f"{images.title(image)}, {size}×{size}",
        )
    else:
        found = [facts["half"] for facts in stored_ceilings(store)["images"].values()]
        of = f"Mean of the paper's {len(found)} test images"
    rows = [
        [title, *(mean(half[key][i] for half in found) for i in (0, 1))]
        for key, title in DRAWN.items()
    ]
    caption = (
        "PSNR in dB of pictures that the blog's network can draw, found without training; all but "
        f"the ceiling from half of the pixels. {of}."
    )
    return Table(["picture", "over the whole", "known pixels only"], rows, caption=caption)


def ceilings(store: Path = runs.ROOT) -> Table:
    """PSNR in dB on the 11 images: reported, and the best that a last ×2 upsampling can draw.

    With the whole truth in view.
    """
    bounds, reported = stored_ceilings(store)["images"], REPORTED
    chosen = {"blog, reported": reported["blog"]}
    for title in CEILINGS:
        chosen[f"ceiling: {title}"] = {name: bounds[name][title] for name in images.STANDARD}
    caption = (
        "PSNR in dB: as reported, and the best that was found for a picture that ends in a ×2 "
        "upsampling, with the whole truth in view."
    )
    return _of_images(chosen | {"paper, reported": reported["paper"]}, caption)


def kinds(run: runs.Run) -> Table:
    """PSNR and SSIM of the images that one run ends with."""
    rows = []
    for kind, name in runs.KINDS.items():
        measured = [run.facts[metric][kind] for metric in ("psnr_db", "ssim")]
        rows.append([name, *("not recorded" if value is None else value for value in measured)])
    caption = (
        f"PSNR and SSIM of the pictures that one run of `{run.facts['recipe']['name']}` ends with."
    )
    return Table(["image", "PSNR, dB", "SSIM"], rows, {"SSIM": SSIM}, caption)


def embedded(size: int = 128, recipe: str = "blog", store: Path = runs.ROOT) -> Table:
    """The embedded pictures: PSNR in dB of stored runs, beside baselines computed now.

    The runs' raw output, at ``size`` × ``size`` pixels.
    """
    rows = []
    for name in images.EMBEDDED:
        run = best_run(recipe, name, size, store)
        iterations, psnr = (None, None) if run is None else (run.facts["iterations"], run.psnr)
        classical = {method: baseline(name, method, size)["psnr_db"] for method in BASELINES}
        apart = _apart(psnr, classical["biharmonic"])
        rows.append([images.title(name), iterations, psnr, *classical.values(), apart])
    means = [mean(column) for column in list(zip(*rows))[2:-1]]
    apart = _apart(means[0], means[1 + list(BASELINES).index("biharmonic")])
    rows.append(["**mean**", None, *means, apart])
    titles = ["iterations", "blog's recipe, raw output", *BASELINES, "recipe − biharmonic"]
    caption = (
        f"PSNR in dB on the free pictures at {size}×{size}, half of the pixels known: the raw "
        f"output of stored runs of `{recipe}`, beside classical methods."
    )
    return Table(["picture", *titles], rows, caption=caption)


def quick(store: Path = runs.ROOT, recipe: str = "quick") -> Table:
    """The recipe `quick`, raw and as one would use it, beside baselines: PSNR in dB, and seconds.

    Or another group of the plan; at 128×128, the baselines computed now.
    """
    rows = []
    for spec in plan.WANTED[recipe]:
        run, ours = runs.stored(spec, store), [None] * 3
        classical = [
            baseline(spec.image, method, spec.size, seed=spec.seeds["mask"])["psnr_db"]
            for method in BASELINES
        ]
        if run is not None:
            psnr, facts = run.facts["psnr_db"], run.facts
            ours = [psnr["raw"], psnr["averaged_pasted"], facts["wall_time_s"]]
        rows.append([images.title(spec.image), *ours[:2], *classical, ours[2]])
    drawn = [f"{recipe}, raw output", f"{recipe}, averaged, pasted"]
    found = (runs.stored(spec, store) for spec in plan.WANTED[recipe])
    caption = (
        f"PSNR in dB of `{recipe}` on the free pictures at 128×128, half of the pixels known, "
        f"beside classical methods. Seconds on {machines(found)}."
    )
    form = {"seconds": "{:.0f}"}
    return Table(["picture", *drawn, *BASELINES, "seconds"], rows, form, caption)


def precision(store: Path = runs.ROOT) -> Table:
    """PSNR in dB of the camera after 100 iterations in several precisions, by seed.

    The raw output, 128×128.
    """
    wanted, rows = plan.WANTED["precision"], []
    for name in dict.fromkeys(spec.precision for spec in wanted):
        found = [runs.stored(spec, store) for spec in wanted if spec.precision == name]
        values = [run and run.psnr for run in found]
        rows.append([name, *values, None if None in values else mean_and_deviation(values)])
    seeds = [f"seed {seed}" for seed in sorted({spec.seed for spec in wanted})]
    caption = (
        "PSNR in dB of the raw output after 100 iterations of the blog's recipe, by precision and "
        "seed. The camera at 128×128."
    )
    return Table(["precision", *seeds, "mean ± standard deviation"], rows, caption=caption)


#: What the command line prints.
TABLES = {
    "standard": standard, "rerun": rerun, "members": members, "seconds": seconds,
    "at_rest": at_rest, "distances": distances, "differences": differences,
    "lengthened": lengthened, "both_readings": both_readings, "averaged": averaged,
    "papers_with_muon": papers_with_muon, "ssim": ssim, "embedded": embedded, "quick": quick,
    "precision": precision, "ceilings": ceilings,
}  # fmt: skip
