"""What attacks, mutants, reruns and other versions found: the figures of chapter 20.

Each file is written by the command that measures: ``make attack``, ``make mutants``,
``python -m dip_book rerun``, ``make oldest``.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from dip_book import runs
from dip_book.table import Table

ATTACKS, MUTANTS, RERUNS, VERSIONS = (
    f"{name}.json" for name in ("attacks", "mutants", "reruns", "versions")
)

#: So many outcomes of an attack are named, the most frequent first.
MOST = 4


def read(file: str, store: Path = runs.ROOT) -> dict:
    """What a command stored; {} if it has not run yet."""
    path = store / file
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def attacks(store: Path = runs.ROOT) -> Table:
    """Attack by attack: what it tries to break, how often, and what came of it."""
    rows, stored = [], read(ATTACKS, store)
    for name, found in stored.items():
        words = [f"{word} {count:,}" for word, count in found["outcomes"].items()]
        if len(words) > MOST:
            words = [*words[: MOST - 1], f"{len(words) - MOST + 1} others"]
        row = [name, found["promise"], found["attempts"], ", ".join(words), found["faults"]]
        rows.append(row)
    seconds = sorted(found["seconds"] for found in stored.values()) or [0]
    return Table(
        ["attack", "the promise", "attempts", "what came of it", "faults"],
        rows,
        caption="Attacks as they were last made, each for about "
        f"{seconds[len(seconds) // 2]} seconds on one core. A fault is a promise broken, a "
        "traceback, or data lost.",
    )


def attempts(store: Path = runs.ROOT) -> dict[str, int]:
    """All attacks together: "attempts", "faults" and "seconds"."""
    found = read(ATTACKS, store).values()
    return {key: sum(one[key] for one in found) for key in ("attempts", "faults", "seconds")}


def mutants(store: Path = runs.ROOT) -> Table:
    """Module by module: changes of the method's code, and whether a test notices."""
    facts = read(MUTANTS, store)
    keys = ("mutants", "judged", "killed", "excused", "survived")
    counts = {f"`{module}`": Counter(of) for module, of in facts.get("modules", {}).items()}
    rows = [[module, *(of[key] for key in keys)] for module, of in counts.items()]
    if rows:
        total = sum(counts.values(), Counter())
        rows.append(["**all**", *(total[key] for key in keys)])
    return Table(
        ["module", "possible changes", "tried", "noticed", "excused", "unnoticed"],
        rows,
        caption="Small changes of the method's code, one at a time, under the tests. Excused: with "
        "a sentence that says why no test need notice.",
    )


def reruns(store: Path = runs.ROOT) -> Table:
    """Stored runs that were made again: PSNR then and now, and what was another on the way."""
    rows = []
    for name, found in read(RERUNS, store).items():
        kind = next(iter(found["stored_db"]))
        then, now = found["stored_with"], found["again_with"]
        others = [what for what in then if what != "commit" and then[what] != now.get(what)]
        came = "the same" if found["same"] else f"{found['apart_db']:.2f} dB apart"
        rows.append(
            [
                f"`{name}`", found["stored_db"][kind], found["again_db"][kind], came,
                found["first_apart"], ", ".join(others) or "nothing",
            ]
        )  # fmt: skip
    return Table(
        [
            "run",
            "stored",
            "again",
            "figures, losses, pixels",
            "losses differ from",
            "changed since",
        ],
        rows,
        caption="Stored runs made again from their records: PSNR in dB of the raw output; "
        "pixels, where pictures are kept; losses as they are written, in six digits, with the "
        "iteration from which they differ; what of device and versions is another now.",
    )


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
