"""``make attack``: every attack for some minutes; the counts, and for each fault how to repeat it.

With --write the counts go where the book's page about trust reads them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from attacks import Counts, attacks, attempt, run
from dip_book import runs
from dip_book.runs.provenance import provenance

FILE = "attacks.json"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="attacks", description=__doc__)
    known = {attack.name: attack for attack in attacks()}
    parser.add_argument("name", nargs="*", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--minutes", type=float, default=10, help="for each (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="attempt N alone, with its traceback")
    parser.add_argument("--write", action="store_true", help=f"store the counts in {FILE}")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.name if name not in known]:
        parser.error(f"There is no attack called {unknown[0]!r}, only {', '.join(known)}.")
    chosen = [known[name] for name in options.name or known]
    if options.only is not None:
        for attack in chosen:
            print(attack.name, options.only, attempt(attack, options.seed, options.only))
        return 0
    found = []
    for attack in chosen:
        counts = run(attack, options.seed, seconds=60 * options.minutes)
        report(counts)
        if counts.interrupted:
            print("Interrupted.", file=sys.stderr)
            break
        found.append(counts)  # what was cut short takes no older counts' place
    if options.write:
        write(found)
    return 130 if counts.interrupted else 1 if any(counts.faults for counts in found) else 0


def report(counts: Counts) -> None:
    outcomes = ", ".join(f"{word} {count}" for word, count in counts.outcomes.most_common())
    print(
        f"{counts.attack.name}: {counts.attempts} attempts in {counts.seconds:.0f} s: "
        f"{outcomes or 'none held'}; {len(counts.faults)} faults",
        flush=True,
    )
    for number, fault in [*counts.faults.items()][:10]:  # more would be of the same kinds
        again = f"python -m attacks {counts.attack.name!r} --seed {counts.seed} --only {number}"
        last = fault.strip().splitlines()[-1][:300]
        print(f"  {last}\n  again: {again}", file=sys.stderr, flush=True)


def write(found: list[Counts]) -> None:
    """Over the former counts of the same attacks; those of others stay."""
    path = Path(runs.ROOT) / FILE
    stored = json.loads(path.read_text()) if path.exists() else {}
    for counts in found:
        stored[counts.attack.name] = {
            "promise": counts.attack.promise,
            "attempts": counts.attempts,
            "outcomes": dict(counts.outcomes.most_common()),
            "faults": len(counts.faults),
            "seconds": round(counts.seconds),
            "seed": counts.seed,
            **provenance(),
        }
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
