"""``make oldest``, ``make newest``: tests, and chapters as Colab runs them, with those versions.

The oldest that `pyproject.toml` admits are in `requirements-oldest.lock`; the newest are what there
is on that day.  Each has an environment of its own.  PyTorch comes first, by pip: a build that may
be used and is there already stays, whichever it is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as xml
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dip_book import runs
from dip_book.build import lock, pairs
from dip_book.build.first_cell import ROOT, STILL
from dip_book.runs.provenance import provenance

FILE = "versions.json"
#: Of the built site, which is built with the locked versions only; and what asks for just these.
LOCKED = ("test_site.py", "test_looks.py", "test_live.py", "test_browser_fit.py")
ONLY_LOCKED = ("test_project.py::test_the_environment_is_the_locked_one",)
#: With --few: the method, files, the store, and a short chapter that fits a network.
FEW = ("test_blocks.py", "test_degradation.py", "test_files.py", "test_holes.py", "test_store.py")
FEW_CHAPTERS = ("07-putting-together",)


class Impossible(Exception):
    """The environment cannot be made here."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="versions", description=__doc__)
    parser.add_argument("which", choices=["oldest", "newest"])
    parser.add_argument("--few", action="store_true", help="the tests and the chapter of FEW only")
    parser.add_argument("--write", action="store_true", help=f"store the counts in {FILE}")
    parser.add_argument(
        "--locked-torch", action="store_true", help="the lock's PyTorch, in its small build"
    )
    parser.add_argument("--python", help="a version or a path (default: 3.11 for the oldest)")
    skip = parser.add_mutually_exclusive_group()
    skip.add_argument("--skip-tests", action="store_true", help="the chapters only")
    skip.add_argument(
        "--skip-chapters", action="store_true", help="the tests only; stored chapters stay"
    )
    options = parser.parse_args(arguments)
    python = ROOT / f".venv-{options.which}" / "bin" / "python"
    try:
        make(options.which, python, options.python, options.locked_torch)
    except Impossible as error:
        print(f"The {options.which} versions were NOT tested: {error}", file=sys.stderr)
        return 3
    versions = installed(python, dependencies())
    print(", ".join(f"{name} {version}" for name, version in versions.items()), flush=True)
    tests = {} if options.skip_tests else tested(python, FEW if options.few else ())
    names = FEW_CHAPTERS if options.few else ()
    chapters = {} if options.skip_chapters else executed(python, names)
    broken = {name: words for name, words in chapters.items() if words}
    print(
        f"With the {options.which} versions: "
        + ", ".join(f"{count} {word}" for word, count in tests.items() if word != "names")
        + f"; {len(chapters) - len(broken)} of {len(chapters)} chapters ran as on Colab."
    )
    if options.write and tests:
        write(options.which, versions, tests, chapters, "in part" if options.few else "all")
    return 1 if broken or tests.get("failed") else 0


# The environment ----------------------------------------------------------------------------


def make(which: str, python: Path, version: str | None, locked_torch: bool) -> None:
    """An environment with these versions; what is right in one that is there stays.

    Raises Impossible with the installer's last words.
    """
    if not python.exists():
        version = version or (lock.PYTHON if which == "oldest" else sys.executable)
        _uv(
            "venv",
            "--quiet",
            "--seed",
            "--no-python-downloads",
            "--python",
            version,
            python.parents[1],
        )
    if locked_torch:
        try:
            _pip(python, "--no-deps", "-r", ROOT / lock.CPU)
        except Impossible:
            _pip(python, "-r", ROOT / lock.TORCH)
    elif which == "oldest":
        _pip(python, str(oldest_torch()))
    elif not _has_torch(python):
        _pip(python, "torch")
    with tempfile.TemporaryDirectory() as folder:
        wanted = ROOT / lock.OLDEST
        if which == "newest":
            wanted = Path(folder) / "newest.lock"
            try:
                newest = lock.uv(python=installed(python, ())["python"])
                wanted.write_text(lock.split(newest)[0], encoding="utf-8")
            except subprocess.CalledProcessError as error:
                raise Impossible(_last_line(error.stderr)) from None
        _uv("pip", "install", "--quiet", "--no-deps", "--python", python, "-r", wanted)


def _has_torch(python: Path) -> bool:
    return not subprocess.run([python, "-m", "pip", "show", "--quiet", "torch"]).returncode


def oldest_torch() -> str:
    """The requirement of the oldest PyTorch that `pyproject.toml` admits."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = metadata["project"]["dependencies"]
    return next(line for line in lines if line.startswith("torch>=")).replace(">=", "==")


def dependencies() -> list[str]:
    """The names of what `pyproject.toml` asks for directly, without extras."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.match(r"[\w.-]+", line)[0] for line in metadata["dependencies"]]


def installed(python: Path, names: Iterable[str]) -> dict[str, str]:
    """Python's version, and those of packages."""
    code = (
        "import json, platform, sys; from importlib.metadata import version; "
        "print(json.dumps({'python': platform.python_version(), "
        "**{name: version(name) for name in sys.argv[1:]}}))"
    )
    done = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _uv(*words) -> None:
    _install(sys.executable, "-m", "uv", *words)


def _pip(python: Path, *words) -> None:
    _install(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words)


def _install(*command) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise Impossible(_last_line(done.stderr))


def _last_line(words: str) -> str:
    return " ".join(words.split())[-300:] or "the installer failed without a word"


# What is run in it --------------------------------------------------------------------------


def tested(python: Path, files: tuple[str, ...] = ()) -> dict:
    """The tests but for those of the built site and of the lock: how many did what."""
    tests = ROOT / "tests"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--tb=short"),
            *("-n", "2", "--dist", "loadfile", f"--junitxml={report}"),
            *(f"--ignore={tests / name}" for name in LOCKED),
            *(f"--deselect=tests/{name}" for name in ONLY_LOCKED),
            *((tests / name for name in files) if files else [tests]),
        ]
        subprocess.run(command, cwd=ROOT, env=_environment(python, PYTHONPATH=_here()))
        return counted(report)


def counted(report: Path) -> dict:
    """Of a JUnit report: how many tests passed, failed, were skipped, and which failed."""
    if not report.exists():
        return {"passed": 0, "failed": 1, "skipped": 0, "names": ["pytest itself"]}
    cases = list(xml.parse(report).iter("testcase"))
    failed = [
        case for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "failed": len(failed),
        "skipped": len(skipped),
        "names": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
    }


#: A kernel in an empty folder runs one notebook, as it is stored, from its first cell to its last.
COLAB = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=1800, kernel_name="python3").execute()
"""


def executed(python: Path, names: tuple[str, ...] = ()) -> dict[str, str]:
    """Chapter → "" or why it failed: each where the book is not, so that it fetches it first.

    What is fetched is the last commit.  Two run at a time, a thread each.
    """
    chapters = [chapter for chapter in pairs.texts() if not names or chapter.stem in names]
    with ThreadPoolExecutor(2) as pool:
        words = pool.map(lambda chapter: _executed(python, chapter), chapters)
        return {chapter.stem: said for chapter, said in zip(chapters, words)}


def _executed(python: Path, chapter: Path) -> str:
    began, quiet = time.monotonic(), {"TQDM_DISABLE": "1", STILL: "1"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, "-c", COLAB, chapter.with_suffix(".ipynb")],
            cwd=folder,
            env=_environment(python, DIP_REPOSITORY=ROOT.as_uri(), **quiet),
            capture_output=True,
            text=True,
        )
        fetched = (Path(folder) / "deep-image-prior-rebuilt" / "dip_blocks.py").exists()
    words = "" if fetched else "the book was found elsewhere"
    if done.returncode:
        words = _last_line(done.stderr)
    print(f"{chapter.stem}: {words or 'ran'} ({time.monotonic() - began:.0f} s)", flush=True)
    return words


def _here() -> str:
    return os.pathsep.join(str(folder) for folder in (ROOT, ROOT / "book"))


def _environment(python: Path, **more: str) -> dict[str, str]:
    """This process's environment variables, with those programs and without this project."""
    kept = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    path = os.pathsep.join([str(python.parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "OMP_NUM_THREADS": "1", **more}


def write(which: str, versions: dict, tests: dict, chapters: dict, part: str) -> None:
    """Where the book's page about trust reads it; what is stored of the other environment stays."""
    path = Path(runs.ROOT) / FILE
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if part != "all" and stored.get(which, {}).get("part") == "all":
        return  # a part says less
    facts = {key: value for key, value in provenance().items() if key != "versions"}
    before, of = stored.get(which, {}), facts["commit"]
    if not chapters:  # those of before stay, and say of which commit they are
        part, of = before.get("part", part), before.get("chapters_commit", before.get("commit"))
    ran = {name: words or "ran" for name, words in chapters.items()} or before.get("chapters", {})
    stored[which] = {
        "part": part,
        "packages": versions,
        **{word: tests[word] for word in ("passed", "failed", "skipped")},
        "failures": tests["names"],
        "chapters": ran,
        "chapters_commit": of,
        **facts,
    }
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
