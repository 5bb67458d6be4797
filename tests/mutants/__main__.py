"""``make mutants``: every mutant of the method, judged by the tests; what survives, with its text.

It can be interrupted: what was judged is remembered, until the method or the tests change.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from mutants import HERE, MODULES, ROOT, Mutant, Stale, applied, excuses, known, source_of
from mutants.judge import MOST, Judge, Unable, digest, method_digest, tests_digest

CACHE = ROOT / ".work" / "mutants"
FILE = "mutants.json"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--named", action="store_true", help="those named by hand, and no others")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of the others, drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing (default: 0)")
    parser.add_argument("--module", choices=MODULES, action="append", help="of this module alone")
    parser.add_argument("--only", metavar="KEY", help="this one, and what the tests say of it")
    parser.add_argument(
        "--most", type=float, default=MOST, metavar="S",
        help="seconds of a core that one mutant's tests may take, the fastest first (default: "
        "%(default)g)",
    )  # fmt: skip
    parser.add_argument("--again", action="store_true", help="judge anew what is remembered")
    parser.add_argument("--write", action="store_true", help=f"store the counts in {FILE}")
    options = parser.parse_args(arguments)
    modules = options.module or MODULES
    complaints = stale_entries()
    if options.named:
        return named(complaints)

    all_of_them = [mutant for mutant in every_mutant() if mutant.module in modules]
    chosen = all_of_them
    if options.only:
        chosen = [mutant for mutant in all_of_them if mutant.key.startswith(options.only)]
        if not chosen:
            parser.error(f"no mutant's key begins with {options.only!r}")
    elif options.sample is not None:
        # in the order of the drawing: a larger sample goes on where a smaller one ended
        chosen = random.Random(options.seed).sample(chosen, len(chosen))[: options.sample]
    excused = known("excused.toml")
    memory = Memory(CACHE / "verdicts.jsonl", ask_again=options.again or bool(options.only))
    found, survivors = {module: Counter() for module in modules}, []
    with Judge(show=bool(options.only), most=options.most) as judge:
        judge.measure(CACHE / "tests.json")
        began = time.monotonic()
        for number, mutant in enumerate(chosen, 1):
            verdict = memory.of(mutant)
            try:
                verdict = verdict or memory.keep(mutant, judge.judge(mutant))
            except KeyboardInterrupt:
                print("Interrupted; the same command goes on from here.", file=sys.stderr)
                break
            if options.only:
                print(verdict)
            entry = excuses(excused, mutant)
            outcome = "killed" if verdict["killed"] else "excused" if entry else "survived"
            if verdict["killed"] and entry and entry.mutant == mutant:
                complaints.append(f"Excused, but killed by {verdict['by']}:\n{mutant}")
            found[mutant.module][outcome] += 1
            found[mutant.module]["seconds"] += verdict["seconds"]
            if outcome == "survived":
                survivors.append(mutant)
                print(f"\nsurvived ({verdict['by']})  {mutant}", flush=True)
            if number % 20 == 0 or number == len(chosen):
                totals = sum(found.values(), Counter())
                print(
                    f"{number} of {len(chosen)}: {totals['killed']} killed, {totals['excused']} "
                    f"excused, {totals['survived']} survived; {time.monotonic() - began:.0f} s",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
    report(found, len(all_of_them))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if options.write:
        write(found, all_of_them, options, len(judge.tests))
    return 1 if survivors or complaints else 0


def every_mutant() -> list[Mutant]:
    """All that Cosmic Ray makes, which takes it half a minute: remembered while nothing changes."""
    path = CACHE / "generated.json"
    now = method_digest() + digest(HERE / "generate.py", HERE / "__init__.py")
    with suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or one cut short
        if (stored := json.loads(path.read_text()))["of"] == now:
            return [Mutant(**values) for values in stored["mutants"]]
    print("Making mutants (a minute) ...", file=sys.stderr)
    from mutants.generate import generated

    found = generated()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"of": now, "mutants": [asdict(mutant) for mutant in found]}))
    return found


class Memory:
    """Verdicts of before, a line each: of this method; a survivor's, also of these tests."""

    def __init__(self, path: Path, ask_again: bool = False):
        self.path, self.method, self.tests = path, method_digest(), tests_digest()
        self.verdicts = {}
        if path.exists() and not ask_again:
            for line in path.read_text().splitlines():
                try:
                    verdict = json.loads(line)
                    current = verdict["method"] == self.method and (
                        verdict["tests"] == self.tests or self.same(verdict)
                    )
                except (ValueError, KeyError, OSError):  # a line cut short
                    continue
                if current:
                    self.verdicts[verdict["key"]] = verdict
        path.parent.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def same(verdict: dict) -> bool:
        """Is the test that killed it in the same file still?"""
        return verdict["killed"] and digest(ROOT / verdict["file"]) == verdict["file_digest"]

    def of(self, mutant) -> dict | None:
        return self.verdicts.get(mutant.key)

    def keep(self, mutant, verdict) -> dict:
        stored = {
            "key": mutant.key, "method": self.method, "tests": self.tests,
            "killed": verdict.killed, "by": verdict.by, "seconds": round(verdict.seconds, 2),
        }  # fmt: skip
        file = verdict.by.partition("::")[0].partition(" ")[0]
        if verdict.killed and (ROOT / file).is_file():
            stored |= {"file": file, "file_digest": digest(ROOT / file)}
        with self.path.open("a") as lines:
            lines.write(json.dumps(stored) + "\n")
        return stored


def stale_entries() -> list[str]:
    """Complaints of entries whose text is not in the source any more, or that say too little."""
    found = []
    for file in ("named.toml", "excused.toml"):
        for entry in known(file):
            try:
                if entry.without:
                    if not any(entry.without in source_of(module) for module in MODULES):
                        raise Stale(f"No module has {entry.without!r}.")
                else:
                    applied(source_of(entry.mutant.module), entry.mutant)
            except Stale as stale:
                found.append(f"{file}: {stale} Mend the entry, or take it out.")
            if not (entry.by or entry.why):
                found.append(f"{file}: neither a test nor a reason:\n{entry.mutant}")
    return found


def named(complaints: list[str]) -> int:
    """Judge those that once survived, each by the one test that was written, or is good, for it."""
    counts = Counter()
    with Judge() as judge:
        for entry in known("named.toml"):
            if entry.why:
                counts["excused"] += 1
                continue
            try:
                verdict = judge.judge(entry.mutant, [entry.by])
            except Stale:
                continue  # complained of already
            counts["killed" if verdict.killed else "survived"] += 1
            if not verdict.killed:
                complaints.append(f"survived ({verdict.by}): {entry.name}\n{entry.mutant}")
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def report(found: dict[str, Counter], of: int) -> None:
    print(f"\n{'module':24}{'judged':>8}{'killed':>8}{'excused':>9}{'survived':>10}{'seconds':>9}")
    rows = [*found.items(), (f"of {of} in all", sum(found.values(), Counter()))]
    for name, counts in rows:
        outcomes = [counts[word] for word in ("killed", "excused", "survived")]
        killed, excused, survived = outcomes
        print(
            f"{name:24}{sum(outcomes):8}{killed:8}{excused:9}{survived:10}{counts['seconds']:9.0f}"
        )


def write(found, all_of_them, options, tests: int) -> None:
    """The counts, by module, where the book's page about trust reads them.

    Those of modules that were not chosen stay: each says of which commit it is.  So does what came
    of the first time that all were tried.
    """
    from dip_book import runs
    from dip_book.runs.provenance import provenance

    there = Counter(mutant.module for mutant in all_of_them)
    named = known("named.toml")
    facts = provenance()
    path = Path(runs.ROOT) / FILE
    before = json.loads(path.read_text()) if path.exists() else {}
    stored = {
        **({"first": before["first"]} if "first" in before else {}),
        "modules": (before["modules"] if options.module else {})
        | {
            module: {
                "mutants": there[module],
                "judged": sum(counts[word] for word in ("killed", "excused", "survived")),
                **{word: counts[word] for word in ("killed", "excused", "survived")},
                "seconds": round(counts["seconds"]),
                "commit": facts["commit"],
            }
            for module, counts in found.items()
        },
        "named": {
            "killed": sum(not e.why for e in named),
            "excused": sum(bool(e.why) for e in named),
        },
        "sample": options.sample,
        "seed": None if options.sample is None else options.seed,
        "tests": tests,
        **facts,
    }
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the first verdict, or between what is remembered
        sys.exit("Interrupted: what was judged is remembered.")
    except Unable as unable:
        sys.exit(f"{unable} What was judged before is remembered.")
