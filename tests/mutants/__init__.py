"""Mutants: small changes of the method, one at a time, each of which some test must notice.

A mutant that no test notices (it survives) shows what the tests do not hold.  Most are made by
Cosmic Ray's operators (`generate`), some are named by hand (``named.toml``: those that once
survived).  A survivor needs a test, or a sentence that says why it may live (``excused.toml``).

Cosmic Ray alone would start Python, load PyTorch and collect the tests for each mutant, ten seconds
before the first test; mutmut changes no line outside of functions, and recipes stand there.  So
`judge` loads what is not the project's own once, and forks for each mutant.

`make mutants` judges all; `make test` those that are named.
"""

from __future__ import annotations

import ast
import hashlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

#: The method: what the loop computes.  (What a machine has, `dip_parts.devices`, is not it.)
MODULES = (
    "dip_blocks",
    *(
        f"dip_parts.{name}"
        for name in (
            "ablations", "checks", "degradations", "engine", "finish", "inputs", "layers", "muon",
        )
    ),
)  # fmt: skip


class Stale(LookupError):
    """What a mutant changes is not in the source any more."""


@dataclass(frozen=True)
class Mutant:
    """One change, by the text it changes: line numbers move with every edit."""

    module: str
    old: str  # text of the source, from the first letter of a line on, or a part of it
    new: str
    scope: str = ""  # the function it stands in, such as "Engine.read"; "" for the whole module
    nth: int = 0  # of several equal places in the scope

    @property
    def key(self) -> str:
        """Short, the same in every run."""
        parts = (self.module, self.scope, str(self.nth), self.old, self.new)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        where = f"{self.module}:{self.scope}" if self.scope else self.module
        lines = [f"- {line}" for line in self.old.splitlines()]
        lines += [f"+ {line}" for line in self.new.splitlines()]
        return "\n    ".join([f"{self.key}  {where}", *lines])


@dataclass(frozen=True)
class Known:
    """An entry of a list: a mutant, and what is known of it."""

    mutant: Mutant
    name: str = ""  # in words
    by: str = ""  # the test that kills it
    why: str = ""  # or the sentence that says why it may live
    every: bool = False  # the sentence holds for whatever is made of this text
    without: str = ""  # or for whatever leaves this out, anywhere


def path_of(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


def source_of(module: str) -> str:
    return path_of(module).read_text(encoding="utf-8")


@cache
def scopes(source: str) -> dict[str, tuple[int, int]]:
    """Functions and methods of a module: qualified name → first and last line, from 1."""
    found = {}

    def visit(node, name):
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                inner = f"{name}.{child.name}" if name else child.name
                if isinstance(child, ast.FunctionDef):
                    first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                    found[inner] = (first, child.end_lineno)
            visit(child, inner)

    visit(ast.parse(source), "")
    return found


def extent(source: str, scope: str) -> tuple[int, int]:
    """Where a scope begins and ends in the text."""
    if not scope:
        return 0, len(source)
    if scope not in scopes(source):
        raise Stale(f"There is no function {scope} any more.")
    first, last = scopes(source)[scope]
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: first - 1])), sum(map(len, lines[:last]))


def place(source: str, mutant: Mutant) -> int:
    """Where in the text the mutant's old text begins; raises `Stale`."""
    begin, end = extent(source, mutant.scope)
    places = [begin + m.start() for m in re.finditer(re.escape(mutant.old), source[begin:end])]
    if len(places) <= mutant.nth:
        where = f"{mutant.module}:{mutant.scope}" if mutant.scope else mutant.module
        raise Stale(
            f"{where} has no longer {mutant.old!r}, as the mutant {mutant.key} takes it to."
        )
    return places[mutant.nth]


def applied(source: str, mutant: Mutant) -> str:
    """The module's source with the change made; raises `Stale` if there is no such text."""
    at = place(source, mutant)
    return source[:at] + mutant.new + source[at + len(mutant.old) :]


def known(file: str) -> list[Known]:
    """The entries of ``named.toml`` or ``excused.toml``."""
    entries = tomllib.loads((HERE / file).read_text(encoding="utf-8")).get("mutant", [])
    found = []
    for entry in entries:
        rest = {key: entry.pop(key, "") for key in ("name", "by", "why", "without")}
        every = "old" in entry and "new" not in entry
        text = {key: entry.pop(key, "").strip("\n") for key in ("module", "old", "new")}
        found.append(Known(Mutant(**text, **entry), **rest, every=every))
    return found


def excuses(entries: list[Known], mutant: Mutant) -> Known | None:
    """The entry that lets a mutant live, if there is one."""
    for entry in entries:
        theirs = entry.mutant
        if theirs == mutant:
            return entry
        same = (theirs.module, theirs.scope) == (mutant.module, mutant.scope)
        if entry.every and same and theirs.old in mutant.old:
            return entry
        if entry.without and mutant.new in leaving_out(mutant.old, entry.without):
            return entry
    return None


def leaving_out(text: str, part: str) -> list[str]:
    """The text without one of the places where it has this part."""
    places = [m.start() for m in re.finditer(re.escape(part), text)]
    return [text[:at] + text[at + len(part) :] for at in places]
