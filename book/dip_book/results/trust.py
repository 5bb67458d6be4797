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


def read(file: str, store: Path = runs.ROOT) -> dict:
    """What a command stored; {} if it has not run yet."""
    path = store / file
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def attacks(store: Path = runs.ROOT) -> Table:
    """Attack by attack: what it tries to break, how often, and what came of it."""
    rows = []
    for name, found in read(ATTACKS, store).items():
        outcomes = ", ".join(f"{word} {count:,}" for word, count in found["outcomes"].items())
        rows.append([name, found["promise"], found["attempts"], outcomes, found["faults"]])
    return Table(
        ["attack", "the promise", "attempts", "what came of it", "faults"],
        rows,
        caption="Attacks as they were last made, each for minutes. A fault is a promise broken, a "
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
