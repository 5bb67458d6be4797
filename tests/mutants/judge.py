"""Does a test notice a mutant?  A process for each, forked from one that has loaded libraries."""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib
import importlib.util
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from mutants import MODULES, ROOT, Mutant, applied, path_of, place, scopes, source_of

#: Tests that are near the method; those of the book, the store and the site are not asked.
TESTS = tuple(
    f"tests/test_{name}.py"
    for name in (
        "blocks", "callers", "degradation", "degradations", "details", "edges", "hidden", "kinds",
        "loop", "optimiser", "same_numbers",
    )
)  # fmt: skip
#: Begins with what a first iteration imports late.
WARM_UP = "tests/test_loop.py::test_the_history"
#: Everything of the project's own, by the first part of its name: loaded anew for each mutant.
OWN = ("dip_", "test_", "conftest", "browser", "executed", "attacks", "mutants")

#: Seconds of a core: what one mutant's tests may take together where they are all passed, and how
#: much longer than without the mutant a test may go on before it counts as hanging.
MOST = 15.0
PATIENCE = 5.0
#: Bytes beyond what the process has: a mutant may ask for a picture of any size.
MEMORY = 3 * 2**30


class Unable(RuntimeError):
    """The tests do not run here, with a mutant or without."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    killed: bool
    by: str = ""  # the first test that failed, or why none was asked
    seconds: float = 0.0  # on the clock


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def method_digest() -> str:
    return digest(*map(path_of, MODULES))


def test_files() -> list[str]:
    return [file for file in TESTS if (ROOT / file).exists()]


def tests_digest() -> str:
    return digest(ROOT / "tests/conftest.py", *(ROOT / file for file in test_files()))


class Mutated(SourceFileLoader):
    """Loads one module from a text, all others as ever."""

    def __init__(self, name: str, source: str):
        super().__init__(name, str(path_of(name)))
        self.source = source

    def get_code(self, fullname):
        return compile(self.source, self.path, "exec", dont_inherit=True)

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)
        return None


class Chosen:
    """A plugin of pytest: these tests in this order, and what became of them.

    A test's name without its parameters stands for all of it.
    """

    def __init__(self, tests: list[str] | None, seconds=None, patience: float = PATIENCE):
        self.order = None if tests is None else {test: i for i, test in enumerate(tests)}
        self.seconds, self.patience = seconds or {}, patience
        self.failed, self.running = "", ""
        self.passed: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        if self.order is not None:
            rank = {
                item: self.order.get(item.nodeid, self.order.get(item.nodeid.partition("[")[0]))
                for item in items
            }
            chosen = [item for item in items if rank[item] is not None]
            items[:] = sorted(chosen, key=rank.get)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self.running = item.nodeid
        usual = self.seconds.get(item.nodeid, 0.1)
        signal.setitimer(signal.ITIMER_PROF, 10 * usual + self.patience)
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid
        elif report.when == "call" and report.passed:
            self.passed.append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} (import)"


def forked(work, timeout: float = 3600.0):
    """What a function returns in a process of its own; None if that died or went on too long."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)

            def say(answer):
                with os.fdopen(writing, "wb", closefd=False) as pipe:
                    pipe.write(json.dumps(answer).encode())

            say(work(say))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    parts, until = [], time.monotonic() + timeout
    try:
        while select.select([reading], [], [], max(until - time.monotonic(), 0))[0]:
            if not (part := os.read(reading, 2**20)):
                break
            parts.append(part)
    finally:  # after an interrupt, too
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    try:
        return json.loads(b"".join(parts))
    except ValueError:
        return None


def run_pytest(plugin, tests: list[str], folder: str, show: bool = False) -> int:
    """pytest on these files or tests, in this process, which nothing comes back to."""
    os.chdir(ROOT)
    sys.dont_write_bytecode, sys.pycache_prefix = False, f"{folder}/compiled"
    sys.path[:0] = [str(ROOT / "tests")]
    if not show:
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
    return pytest.main(
        [
            *tests, "-x", "-q", "--tb=short" if show else "--tb=no", f"--basetemp={folder}/pytest",
            "-o", "addopts=", "-p", "no:cacheprovider", "--assert=plain",
        ],
        plugins=[plugin],
    )  # fmt: skip


class Judge:
    """Loads the libraries, and judges mutants; a context, because of its temporary folder."""

    def __init__(self, show: bool = False, patience: float = PATIENCE, most: float = MOST):
        self.show, self.patience, self.most = show, patience, most
        self.kills: Counter[str] = Counter()  # tests that have killed, asked first
        self.tests: dict[str, dict] = {}  # test → seconds, and lines that it reaches
        self.loaded: dict[str, list[int]] = {}

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="mutants-")
        os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        for name in forked(self._imports) or []:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        gc.collect()
        gc.freeze()  # what is loaded stays: no child need look through it
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def _imports(self, _) -> list[str]:
        """Modules that are not the project's own, in the order in which they were loaded."""
        run_pytest(Chosen([WARM_UP]), test_files(), self.folder)
        return [n for n in sys.modules if not n.startswith(OWN) and n != "__main__"]

    def measure(self, cache: Path) -> None:
        """How long each test takes, and which lines of the method it reaches.

        Remembered for each file of tests, until it or the method changes.
        """
        stored = {}
        with contextlib.suppress(OSError, ValueError, KeyError):
            stored = json.loads(cache.read_text())
        common = method_digest() + digest(ROOT / "tests/conftest.py")
        now = {file: common + digest(ROOT / file) for file in test_files()}
        if files := [file for file in now if stored.get(file, {}).get("of") != now[file]]:
            print(f"Measuring {len(files)} files of tests (minutes) ...", file=sys.stderr)
            found = forked(lambda _: self._reach(files))
            if not found or found["failed"]:
                raise Unable(f"A test fails without a mutant: {found and found['failed']}.")
            for file in files:
                reach = {t: r for t, r in found["reach"].items() if t.startswith(f"{file}::")}
                stored[file] = {"of": now[file], "reach": reach}
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(stored))
        for file in now:
            self.tests |= stored[file]["reach"]
        self.loaded = forked(lambda _: self._loaded()) or {}

    def _reach(self, files: list[str]) -> dict:
        import coverage

        reached = coverage.Coverage(data_file=None, include=[str(path_of(m)) for m in MODULES])
        reach = {}

        class Watching(Chosen):
            @pytest.hookimpl(hookwrapper=True)
            def pytest_runtest_protocol(self, item):
                reached.switch_context(item.nodeid)
                began = time.process_time()
                yield
                reach[item.nodeid] = {"seconds": time.process_time() - began, "lines": {}}
                reached.switch_context("")

        reached.start()
        watching = Watching(None)
        run_pytest(watching, files, self.folder)
        reached.stop()
        data = reached.get_data()
        for module in MODULES:
            for line, tests in data.contexts_by_lineno(str(path_of(module))).items():
                for test in tests:
                    if test in reach:
                        reach[test]["lines"].setdefault(module, []).append(line)
        ran = {test: reach[test] for test in watching.passed if test in reach}  # the others skip
        return {"failed": watching.failed, "reach": ran}

    def _loaded(self) -> dict[str, list[int]]:
        """Lines that are run when the method is loaded: what they do, every test may notice."""
        import coverage

        loading = coverage.Coverage(data_file=None, include=[str(path_of(m)) for m in MODULES])
        loading.start()
        for module in MODULES:
            importlib.import_module(module)
        loading.stop()
        data = loading.get_data()
        return {module: data.lines(str(path_of(module))) for module in MODULES}

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Tests that reach the mutant's lines: killers first, then the fastest; not the slow."""
        source = source_of(mutant.module)
        first = source[: place(source, mutant)].count("\n") + 1
        lines = {*range(first, first + mutant.old.count("\n") + 1)}
        lines = reached_with(source, mutant.scope, lines)
        reach = {test: r["lines"].get(mutant.module, ()) for test, r in self.tests.items()}
        if lines & {*self.loaded.get(mutant.module, ())}:
            lines = set()
        near = [test for test in reach if not lines or lines & {*reach[test]}]
        near.sort(key=lambda test: self.tests[test]["seconds"] / (1 + self.kills[test]) ** 0.5)
        chosen, seconds = [], 0.0
        for test in near:
            seconds += self.tests[test]["seconds"]
            if seconds <= self.most:
                chosen.append(test)
        return chosen

    def judge(self, mutant: Mutant, tests: list[str] | None = None) -> Verdict:
        """A verdict, by these tests or those that reach the mutant.  Raises `Stale`."""
        source = applied(source_of(mutant.module), mutant)
        tests = self.tests_for(mutant) if tests is None else tests
        if not tests:
            return Verdict(False, "no test reaches it")
        began = time.monotonic()
        said = self._tried(tests, Mutated(mutant.module, source))
        seconds = time.monotonic() - began
        if said is None or (said["failed"] and "::" not in said["failed"]):
            self._able(tests)  # no test says that it has failed: is it the mutant, or this place?
        if said is None:
            return Verdict(True, "the process died", seconds)
        if said["failed"]:
            self.kills[said["failed"]] += 1
            return Verdict(True, said["failed"], seconds)
        if not said["passed"]:
            return Verdict(False, "no such test", seconds)
        return Verdict(False, f"{said['passed']} tests pass", seconds)

    def _tried(self, tests: list[str], *finders: Mutated) -> dict | None:
        """The first of these tests that fails, and how many have passed; None: the process died."""
        usual = {test: self.tests[test]["seconds"] for test in tests if test in self.tests}

        def work(say):
            space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (space + MEMORY,) * 2)
            sys.meta_path[:0] = finders
            plugin = Chosen(tests, usual, self.patience)

            def hangs(*_):
                say({"failed": f"{plugin.running} (hangs)"})
                os._exit(1)

            signal.signal(signal.SIGPROF, hangs)
            files = dict.fromkeys(test.partition("::")[0] for test in tests)
            code = run_pytest(plugin, [*files], self.folder, self.show)
            fine = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
            failed = plugin.failed or ("" if code in fine else f"pytest ends with {int(code)}")
            return {"failed": failed, "passed": len(plugin.passed)}

        return forked(work)

    def _able(self, tests: list[str]) -> None:
        """Raises `Unable` where the first of them does not pass without a mutant either."""
        said = self._tried(tests[:1])
        if said is None or said["failed"]:
            why = said["failed"] if said else "the process died"
            raise Unable(
                f"Nothing can be judged here: without a mutant, {tests[0]} does not pass either "
                f"({why}). Is there memory and disk left, and is the environment whole?"
            )


def reached_with(source: str, scope: str, lines: set[int]) -> set[int]:
    """Lines that are run when these are; none where that is whenever the module is loaded."""
    if not scope:
        return set()
    begin, end = scopes(source)[scope]
    whole = {*range(begin, end + 1)}
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.stmt)]
    function = next(
        n for n in nodes if n.end_lineno == end and isinstance(n, ast.FunctionDef)
        and min([n.lineno, *(d.lineno for d in n.decorator_list)]) == begin
    )  # fmt: skip
    if min(lines) < function.body[0].lineno:
        return whole  # a header: with any line of the function
    if any("cache" in ast.unparse(decorator) for decorator in function.decorator_list):
        return set()  # run by the first test that asks, for all others
    wider = set(lines)
    for node in nodes:
        if begin < node.lineno <= end and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inner = getattr(node, "body", None)  # of an if or a for, the header is meant
            last = inner[0].lineno - 1 if inner else node.end_lineno
            own = {*range(node.lineno, max(last, node.lineno) + 1)}
            wider |= own if own & lines else set()
    return wider
