"""What attacks, mutants, reruns and other versions found: the figures of chapter 20.

Each file is written by the command that measures: ``make attack``, ``make mutants``,
``python -m dip_book rerun``, ``make oldest``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from IPython.display import Markdown

from dip_book import images, runs, words
from dip_book.runs import measured, plan
from dip_book.table import Table, difference

ATTACKS, MUTANTS, RERUNS, VERSIONS = (
    f"{name}.json" for name in ("attacks", "mutants", "reruns", "versions")
)


def read(file: str, store: Path = runs.ROOT) -> dict:
    """What a command stored; {} if it has not run yet."""
    path = Path(store) / file
    return measured.read(path) if path.exists() else {}


def attacks(store: Path = runs.ROOT) -> Table:
    """Attack by attack: what it tries to break, how often, and what came of it."""
    stored = read(ATTACKS, store)
    rows = [
        [
            name,
            found["attempts"],
            found["faults"],
            len(found["outcomes"]),
            _first(found["outcomes"]),
        ]
        for name, found in stored.items()
    ]
    seconds = sorted(found["seconds"] for found in stored.values()) or [0]
    usual, longest = seconds[len(seconds) // 2], seconds[-1]
    longer = f", the longest for {longest / 60:.0f} minutes" if longest > 2 * usual else ""
    return Table(
        ["attack", "attempts", "faults", "outcomes", "the most frequent"],
        rows,
        caption="Attacks as they were last made, each for about "
        f"{usual} seconds on one core{longer}. A fault is a promise broken, a "
        "traceback, or data lost; outcomes are what else came of an attempt.",
    )


def _first(outcomes: dict[str, int]) -> str:
    return next(iter(outcomes), "–")


def promises(store: Path = runs.ROOT) -> Markdown:
    """What each attack tries to break, as a list."""
    lines = (
        f"- **{words.markdown(name)}**: {words.markdown(found['promise'])}"
        for name, found in read(ATTACKS, store).items()
    )
    return Markdown("\n".join(lines))


def attempts(store: Path = runs.ROOT) -> dict[str, int]:
    """All attacks together: "attempts", "faults" and "seconds"."""
    found = read(ATTACKS, store).values()
    return {key: sum(one[key] for one in found) for key in ("attempts", "faults", "seconds")}


def mutants(store: Path = runs.ROOT) -> Table:
    """Module by module: changes of the method's code, and whether a test notices."""
    facts = read(MUTANTS, store)
    keys = ("mutants", "judged", "killed", "excused", "survived")
    counts = {
        f"`{module}`": Counter({key: of[key] for key in keys})
        for module, of in facts.get("modules", {}).items()
    }
    rows = [[module, *(of[key] for key in keys)] for module, of in counts.items()]
    if rows:
        total = sum(counts.values(), Counter())
        rows.append(["**all**", *(total[key] for key in keys)])
    caption = (
        "Small changes of the method's code, one at a time, under the tests. Excused: with a "
        "sentence that says why no test need notice."
    )
    if first := facts.get("first"):
        caption += (
            f" The first time that all were tried, {first['survived']} of {first['judged']:,} went "
            "unnoticed."
        )
    return Table(
        ["module", "possible changes", "tried", "noticed", "excused", "unnoticed"],
        rows,
        caption=caption,
    )


def reruns(store: Path = runs.ROOT) -> Table:
    """Stored runs that were made again: PSNR then and now, and what was another on the way."""
    rows = []
    for name, found in read(RERUNS, store).items():
        kind = next(iter(found["stored_db"]))
        then, now = found["stored_with"], found["again_with"]
        others = [what for what in then if what != "commit" and then[what] != now.get(what)]
        came = "the same" if found["same"] else f"{found['apart_db']:.3f} dB apart"
        rows.append(
            [
                _short(name), found["stored_db"][kind], found["again_db"][kind], came,
                found["first_apart"], ", ".join(others) or "nothing",
            ]
        )  # fmt: skip
    return Table(
        ["run", "stored", "again", "all of it", "losses differ from", "changed since"],
        rows,
        caption="Stored runs made again from their records: PSNR in dB of the raw output. "
        "All of it: every figure and loss as written, and pixels where pictures are kept. Then the "
        "iteration from which losses differ, and what of device and versions is another now.",
    )


def twice(store: Path = runs.ROOT) -> Table:
    """The blog's recipe, begun twice from one seed: how far two equal runs came apart.

    The runs of `plan.WANTED["table-short"]` beside the beginnings of the whole ones.
    """
    whole = {spec.image: spec for spec in plan.WANTED["table"]}
    pairs = {spec.image: (spec, whole[spec.image]) for spec in plan.WANTED["table-short"]}
    rows = []
    for image in images.STANDARD:
        two = [runs.state(spec, store)[0] for spec in pairs.get(image, ())]
        if not two or None in two:
            continue
        made = [f"{_model(run.facts['device'])}, {run.facts['precision']}" for run in two]
        short, long = ({step.iteration: step for step in run.history} for run in two)
        both = sorted(short.keys() & long.keys())
        differs = next((i for i in both if short[i] != long[i]), None)
        apart = long[both[-1]].psnr_averaged - short[both[-1]].psnr_averaged
        again = made[1] if made[1] != made[0] else "the same"
        ends = ["nowhere" if differs is None else differs, difference([apart])]
        rows.append([images.title(image), made[0], again, len(both), *ends])
    return Table(
        ["image", "made on", "again on", "iterations compared", "differ from", "apart, dB"],
        rows,
        caption="The first 2,000 iterations of the blog's recipe, twice from one seed. Compared "
        "are loss, learning rate and PSNR of every tenth iteration, to all digits that a record "
        "keeps (six of the loss): the iteration from which they differ, and how far PSNR of the "
        "averaged outputs is apart in the end.",
        filled_by=["table", "table-short"],
    )  # fmt: skip


def _model(device: str) -> str:
    """Of "cuda (NVIDIA H100 80GB HBM3)" the maker and the model."""
    kind, _, name = device.partition(" (")
    return " ".join(name.rstrip(")").split()[:2]) or kind


def _short(name: str) -> str:
    """A run's name without the changes of its recipe, which may be long."""
    recipe, *rest = name.split("/")
    first, *changes = recipe.split("+")
    return ", ".join([f"{first}, changed" if changes else first, *rest])


def versions(store: Path = runs.ROOT) -> Table:
    """The tests and the chapters in other environments than that of the lock."""
    rows = []
    for which, found in read(VERSIONS, store).items():
        packages = found["packages"]
        ran = sum(words == "ran" for words in found["chapters"].values())
        rows.append(
            [
                which, found["part"],
                *(packages.get(name) for name in ("python", "torch", "numpy", "pillow")),
                found["passed"], found["failed"], found["skipped"],
                f"{ran} of {len(found['chapters'])}",
            ]
        )  # fmt: skip
    return Table(
        ["environment", "tests", "Python", "PyTorch", "NumPy", "Pillow", "passed", "failed",
         "skipped", "chapters that ran"],
        rows,
        caption="The tests, and chapters as in Colab, with other versions than the book is built "
        "with. In part: the method, files, the store, and one chapter.",
    )  # fmt: skip
