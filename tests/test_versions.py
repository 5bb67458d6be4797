"""The command that tests with the oldest and the newest versions: what it runs, says and stores."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
import versions
from dip_book import runs
from dip_book.build import pairs
from dip_book.build.first_cell import ROOT

REPORT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="one"/>
<testcase classname="tests.test_a" name="two"><failure message="no"/></testcase>
<testcase classname="tests.test_a" name="three"><error message="no"/></testcase>
<testcase classname="tests.test_b" name="four"><skipped message="not here"/></testcase>
</testsuite></testsuites>"""


def test_what_is_named_exists():
    assert all((ROOT / "tests" / name).exists() for name in (*versions.LOCKED, *versions.FEW))
    assert all((pairs.FOLDER / f"{name}.md").exists() for name in versions.FEW_CHAPTERS)
    for test in versions.ONLY_LOCKED:
        file, name = test.split("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_tests_are_counted(tmp_path):
    (tmp_path / "report.xml").write_text(REPORT)
    counts = versions.counted(tmp_path / "report.xml")
    assert counts == {
        "passed": 1, "failed": 2, "skipped": 1,
        "names": ["tests.test_a::two", "tests.test_a::three"],
    }  # fmt: skip
    assert versions.counted(tmp_path / "none.xml")["failed"], "pytest wrote no report"


def notebook(path, *cells):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(book, path)
    return path.with_suffix(".md")


def test_a_chapter_runs_in_an_empty_folder_or_says_why_not(tmp_path, monkeypatch):
    here = "import os; assert not os.listdir(), 'not empty'"
    fetch = "os.mkdir('deep-image-prior-rebuilt')"
    file = "open('deep-image-prior-rebuilt/dip_blocks.py', 'w').close()"
    chapters = [
        notebook(tmp_path / "good.ipynb", here, fetch, file),
        notebook(tmp_path / "bad.ipynb", here, "1 / 0"),
        notebook(tmp_path / "lazy.ipynb", here),
    ]
    monkeypatch.setattr(pairs, "texts", lambda: chapters)
    found = versions.executed(Path(sys.executable))
    assert found["good"] == "" and "ZeroDivisionError" in found["bad"]
    assert found["lazy"] == "the book was found elsewhere"


def test_versions_that_cannot_be_had_are_said_and_nothing_is_stored(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    failed = [sys.executable, "-c", "import sys; sys.exit('No solution found: x==1')"]
    monkeypatch.setattr(versions, "_uv", lambda *words: versions._install(*failed))
    assert versions.main(["oldest", "--write"]) == 3
    assert capsys.readouterr().err == (
        "The oldest versions were NOT tested: No solution found: x==1\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("few", [True, False])
def test_the_counts_are_stored_beside_those_of_the_other_environment(
    few, monkeypatch, tmp_path, capsys
):
    counts = {"passed": 7, "failed": 0, "skipped": 1, "names": []}
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setattr(versions, "make", lambda *a: None)
    monkeypatch.setattr(versions, "installed", lambda *a: {"python": "3.11.0", "torch": "2.9"})
    monkeypatch.setattr(versions, "tested", lambda *a: counts)
    monkeypatch.setattr(versions, "executed", lambda *a: {"01-a": "", "02-b": ""})
    (tmp_path / versions.FILE).write_text('{"newest": {"passed": 3}}')
    assert versions.main(["oldest", "--write", *(["--few"] if few else [])]) == 0
    said = "7 passed, 0 failed, 1 skipped; 2 of 2 chapters ran as on Colab"
    assert said in capsys.readouterr().out
    stored = json.loads((tmp_path / versions.FILE).read_text())
    assert stored["newest"] == {"passed": 3}
    assert stored["oldest"]["part"] == ("in part" if few else "all")
    assert stored["oldest"]["packages"] == {"python": "3.11.0", "torch": "2.9"}
    assert stored["oldest"]["chapters"] == {"01-a": "ran", "02-b": "ran"}
    assert {"passed", "failed", "skipped", "commit", "machine"} <= set(stored["oldest"])
    commit = stored["oldest"]["commit"]
    assert stored["oldest"]["chapters_commit"] == commit
    monkeypatch.setattr(versions, "provenance", lambda: {"commit": "later"})
    if not few:
        assert versions.main(["oldest", "--write", "--skip-chapters"]) == 0
        after = json.loads((tmp_path / versions.FILE).read_text())["oldest"]
        assert after["part"] == "all" and after["chapters"] == {"01-a": "ran", "02-b": "ran"}
        assert after["commit"] == "later" and after["chapters_commit"] == commit
    counts["passed"] = 8
    assert versions.main(["oldest", "--write", "--few"]) == 0
    stored = json.loads((tmp_path / versions.FILE).read_text())
    assert stored["oldest"]["passed"] == (8 if few else 7), "a part takes no whole's place"
