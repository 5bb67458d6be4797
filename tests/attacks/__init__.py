"""Attacks: each tries to break one promise of the project, as often as it is given time for.

A module of this folder offers ``ATTACKS``, a list of `Attack`.  One attempt draws what it does from
a generator of random numbers, does it in an empty folder, and names the outcome; whatever it raises
is a fault found.  An attempt is repeatable: attack, seed and number decide what it does.

`make test` makes a few attempts of each (`test_attacks.py`), ``make attack`` goes on for minutes
and prints the counts; the book's page about trust shows what was counted.
"""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Attack:
    """One kind of attack."""

    name: str  # one or two words, unique
    promise: str  # what it tries to break, a sentence for the book's page
    attempt: Callable[[np.random.Generator, Path], str]  # returns the outcome, in a word or two
    few: int = 5  # attempts in `make test`: a few seconds


@dataclass
class Counts:
    """What came of the attempts of one attack."""

    attack: Attack
    seed: int
    outcomes: Counter = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)  # number of the attempt → traceback
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def attempts(self) -> int:
        return self.outcomes.total() + len(self.faults)


def attacks() -> list[Attack]:
    """All of them, by module and in their order there."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names if name[0] != "_"]
    return [attack for module in modules for attack in module.ATTACKS]


def attempt(attack: Attack, seed: int, number: int) -> str:
    """One attempt, in a folder that is removed afterwards; raises what it finds."""
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        return attack.attempt(np.random.default_rng([seed, number]), Path(folder))


def run(attack: Attack, seed: int = 0, most: int | None = None, seconds: float = 1e9) -> Counts:
    """Attempts until there are ``most``, or the time is up; an interrupt ends it, too."""
    counts, began = Counts(attack, seed), time.monotonic()
    while counts.attempts != most and time.monotonic() - began < seconds:
        number = counts.attempts
        try:
            counts.outcomes[attempt(attack, seed, number)] += 1
        except KeyboardInterrupt:
            counts.interrupted = True
            break
        except Exception:
            counts.faults[number] = traceback.format_exc()
    counts.seconds = time.monotonic() - began
    return counts
