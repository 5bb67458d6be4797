"""The pairs agree, stay light, and their first cell works where nothing is installed."""

import ast
import base64
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from dip_book import images
from dip_book.build import first_cell, pairs
from dip_book.runs import sweeps
from dip_book.show import views
from executed import executed
from executed import printed as printed_texts
from PIL import Image

import dip_blocks

CHAPTERS = pairs.texts()


def pair(path):
    return jupytext.read(path, fmt=pairs.TEXT), nbformat.read(
        path.with_suffix(".ipynb"), as_version=4
    )


def test_every_chapter_is_a_pair():
    texts = {path.stem for path in CHAPTERS}
    assert len(texts) >= 13
    assert texts == {path.stem for path in pairs.FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_two_sides_agree(path):
    text, stored = pair(path)
    assert pairs.differences(text, stored) is None, "run `make notebooks`"
    assert (
        jupytext.writes(stored, fmt=pairs.TEXT).split("# ", 1)[1]
        == path.read_text(encoding="utf-8").split("# ", 1)[1]
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_book_printed_what_the_ipynb_holds(path):
    """Where the book has just been built; else `--nbval` executes the chapter, and compares."""
    notebook = executed(path.stem)
    if notebook is None:
        pytest.skip("not executed by `make book`, or changed since")
    assert printed_texts(notebook) == printed_texts(pair(path)[1])


def test_a_pair_that_disagrees_is_noticed():
    text, stored = pair(CHAPTERS[0])
    stored.cells[-1].source += " And more."
    assert pairs.differences(text, stored)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_ipynb_is_light_complete_and_tells_nothing_of_a_machine(path):
    source = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert len(source.encode()) < 300_000
    stored = nbformat.reads(source, as_version=4)
    nbformat.validate(stored)
    assert set(stored.metadata) == {"jupytext", "kernelspec", "language_info", "dip"}
    for cell in stored.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, "not executed: run `make notebooks`"
            for output in cell.outputs:
                assert output.output_type != "error" and output.get("name") != "stderr"
                assert str(Path.home()) not in json.dumps(output) and str(
                    first_cell.ROOT
                ) not in json.dumps(output)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_setup_cells_are_those_of_the_template(path):
    text, _ = pair(path)
    url = pairs.repository_url()
    before = jupytext.writes(text, fmt=pairs.TEXT)
    assert jupytext.writes(pairs.with_setup(text, path.stem, url), fmt=pairs.TEXT) == before


def test_the_colab_link_appears_with_the_repository_and_goes_with_it():
    text, _ = pair(CHAPTERS[0])
    without = jupytext.writes(pairs.with_setup(text, "01-introduction", ""), fmt=pairs.TEXT)
    assert "colab.research" not in without
    linked = pairs.with_setup(text, "01-introduction", "https://github.com/someone/book")
    link = "https://colab.research.google.com/github/someone/book/blob/main/notebooks/01-introduction.ipynb"
    assert link in jupytext.writes(linked, fmt=pairs.TEXT)
    assert "REPOSITORY = 'https://github.com/someone/book'" in jupytext.writes(
        linked, fmt=pairs.TEXT
    )
    assert (
        jupytext.writes(pairs.with_setup(linked, "01-introduction", ""), fmt=pairs.TEXT) == without
    )


def test_nbval_finds_its_settings_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("root_conftest", pairs.ROOT / "conftest.py")
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    options = SimpleNamespace(nbval=True, nbval_sanitize_with=None)
    conftest.pytest_configure(SimpleNamespace(option=options))
    assert "ADDRESS" in Path(options.nbval_sanitize_with).read_text()
    written = tomllib.loads((pairs.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "sanitize" not in written["tool"]["pytest"]["ini_options"]["addopts"]


# Synchronising ----------------------------------------------------------------------------

SMALL = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{code-cell} ipython3
:tags: [setup]

pass
```

```{code-cell} ipython3
print("one")
```
"""


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "FOLDER", tmp_path)
    path = tmp_path / "01-small.md"
    path.write_text(SMALL)
    assert pairs.sync(path, "") == "executed"
    return path


def printed(path):
    cells = nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells
    return [
        output.text for cell in cells[2:] if cell.cell_type == "code" for output in cell.outputs
    ]


def test_sync_text_to_ipynb(chapter):
    assert printed(chapter) == ["one\n"] and pairs.sync(chapter, "") == "in step"
    chapter.write_text(chapter.read_text().replace("A chapter", "Another title"))
    assert pairs.sync(chapter, "") == "prose written to the .ipynb"
    assert (
        printed(chapter) == ["one\n"]
        and "Another title" in chapter.with_suffix(".ipynb").read_text()
    )
    chapter.write_text(chapter.read_text().replace('"one"', '"two"'))
    assert pairs.sync(chapter, "") == "executed" and printed(chapter) == ["two\n"]


def edit(chapter):
    stored = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    stored.cells[-1].source = 'print("three")'
    nbformat.write(stored, chapter.with_suffix(".ipynb"))


def test_sync_ipynb_to_text(chapter):
    edit(chapter)
    assert pairs.sync(chapter, "") == "executed"
    assert 'print("three")' in chapter.read_text() and printed(chapter) == ["three\n"]


@pytest.mark.parametrize("first", ["ipynb", "md"])
def test_prose_of_either_side_is_edited_again_and_again(chapter, first):
    """After each time both sides agree, and either may be edited next."""
    sides = ["ipynb", "md"] if first == "ipynb" else ["md", "ipynb"]
    for number, side in enumerate([*sides, *sides[:1], *sides[:1], sides[1]]):
        before, after = f"A chapter{number or ''}", f"A chapter{number + 1}"
        if side == "md":
            chapter.write_text(chapter.read_text().replace(before, after))
        else:
            stored = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
            stored.cells[0].source = stored.cells[0].source.replace(before, after)
            nbformat.write(stored, chapter.with_suffix(".ipynb"))
        other = "text" if side == "ipynb" else ".ipynb"
        assert pairs.sync(chapter, "") == f"prose written to the {other}"
        assert f"# {after}\n" in chapter.read_text() and pairs.sync(chapter, "") == "in step"
        assert f"# {after}" in chapter.with_suffix(".ipynb").read_text()


def test_sync_loses_nothing_when_both_sides_were_edited(chapter):
    edit(chapter)
    chapter.write_text(chapter.read_text().replace('"one"', '"two"'))
    before = chapter.read_text(), chapter.with_suffix(".ipynb").read_text()
    with pytest.raises(pairs.PairError, match="both edited and disagree. Keep one"):
        pairs.sync(chapter, "")
    assert (chapter.read_text(), chapter.with_suffix(".ipynb").read_text()) == before


@pytest.mark.parametrize(
    "cell, said",
    [
        (
            nbformat.v4.new_markdown_cell(
                "![shot.png](attachment:shot.png)",
                attachments={"shot.png": {"image/png": "aGVsbG8="}},
            ),
            "holds a picture that was pasted into a cell",
        ),
        (nbformat.v4.new_markdown_cell("```\nnot closed"), "its text would cut or join"),
        (nbformat.v4.new_markdown_cell("    code\n+++ x"), "its text would cut or join"),
        (
            nbformat.v4.new_markdown_cell("```{code-cell} ipython3\n1\n```"),
            "its text would cut or join",
        ),
    ],
    ids=["picture", "fence", "plus", "cell"],
)
def test_what_a_text_has_no_place_for_is_not_dropped_from_the_notebook(chapter, cell, said):
    pair = chapter.with_suffix(".ipynb")
    stored = nbformat.read(pair, as_version=4)
    stored.cells.insert(1, cell)
    nbformat.write(stored, pair)
    before = chapter.read_bytes(), pair.read_bytes()
    with pytest.raises(pairs.PairError, match=said):
        pairs.sync(chapter, "")
    assert (chapter.read_bytes(), pair.read_bytes()) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(":tags: [setup", ":tags: [[setup").encode(),
        lambda text: text.replace("---\n", "---\n\t", 1).encode(),
        lambda text: (text + "\n+++ x\n").encode(),
        lambda text: text.replace('print("one")', ':odd\nprint("one")').encode(),
        lambda text: text.replace("A chapter", "Ein Kapitel für Leser").encode("latin-1"),
    ],
    ids=["tags", "header", "plus", "option", "letters"],
)
def test_a_text_that_cannot_be_read_is_said_and_stays(chapter, change, capsys):
    chapter.write_bytes(change(chapter.read_text(encoding="utf-8")))
    before = chapter.read_bytes(), chapter.with_suffix(".ipynb").read_bytes()
    assert pairs.main([chapter.stem]) == 1
    assert "01-small.md cannot be read as a chapter's text (" in capsys.readouterr().out
    assert (chapter.read_bytes(), chapter.with_suffix(".ipynb").read_bytes()) == before


def test_an_interrupt_of_the_pairs_is_a_word(chapter, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs, "sync", interrupted)
    assert pairs.main([chapter.stem]) == 130 and "interrupted" in capsys.readouterr().out


def test_a_kernel_that_dies_is_a_cell_that_fails(chapter):
    chapter.write_text(chapter.read_text().replace('print("one")', "import os; os._exit(1)"))
    with pytest.raises(pairs.PairError, match="A cell failed"):
        pairs.sync(chapter, "")


def test_a_cell_that_fails_is_reported_and_stores_nothing(chapter):
    before = chapter.with_suffix(".ipynb").read_text()
    chapter.write_text(chapter.read_text().replace('print("one")', "1 / 0"))
    with pytest.raises(pairs.PairError, match="ZeroDivisionError"):
        pairs.sync(chapter, "")
    assert chapter.with_suffix(".ipynb").read_text() == before


# The first cell, away from home -----------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """An empty folder, and a Python that sees the installed packages but not the book.

    The environment may hold an editable install of the book; `-S`-like tricks would hide
    everything, so its finder is switched off by name instead.
    """
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        f"ROOT = {str(first_cell.ROOT)!r}\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "sys.path[:] = [p for p in sys.path if not p.startswith(ROOT) "
        "or 'site-packages' in p or 'lib/python' in p]\n"
    )
    folder = tmp_path / "colab"
    folder.mkdir()
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "DIP_REPOSITORY")
    }

    def run(code, **variables):
        """Run code as a kernel would: after the interpreter has set its path up, in that folder."""
        code = f"exec(open({str(hidden / 'sitecustomize.py')!r}).read())\n{code}"
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**environment, **variables},
            capture_output=True,
            text=True,
        )

    return folder, run


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A public repository, as far as git can tell: this tree as it is now, committed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    repository = tmp_path_factory.mktemp("public") / "book"
    ignored = shutil.ignore_patterns(
        ".git", ".venv*", "_build", "__pycache__", "*.egg-info", ".pytest_cache", ".ruff_cache"
    )
    shutil.copytree(first_cell.ROOT, repository, ignore=ignored)
    git = [
        "git",
        "-C",
        str(repository),
        "-c",
        "user.name=Test",
        "-c",
        "user.email=test@example.org",
    ]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*git, *words], check=True)
    return repository


def stored_first_cell():
    _, stored = pair(CHAPTERS[-1])
    return next(cell.source for cell in stored.cells if "setup" in cell.metadata.get("tags", []))


def test_the_first_cell_fetches_the_book(elsewhere, clone):
    folder, run = elsewhere
    check = (
        "\nfrom dip_book import runs\nimport dip_blocks, dip_book\n"
        "print(dip_blocks.__file__, dip_book.__file__, len(runs.find()))"
    )
    half = folder / "deep-image-prior-rebuilt.part" / ".git"  # the kernel was restarted meanwhile
    half.mkdir(parents=True)
    (half / "config.lock").write_text("")
    for _ in range(2):  # the second time it is there already
        done = run(stored_first_cell() + check, DIP_REPOSITORY=f"file://{clone}")
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.strip().splitlines()
        assert first.startswith("Runs on ") and "PyTorch" in first
        module, package, stored = second.split()
        assert module == str(folder / "deep-image-prior-rebuilt" / "dip_blocks.py")
        assert package.startswith(str(folder / "deep-image-prior-rebuilt")) and int(stored) >= 4
        assert [path.name for path in folder.iterdir()] == ["deep-image-prior-rebuilt"]


def test_after_the_first_cell_commands_run_the_same_code(elsewhere, clone):
    """As ``!python -m dip_book`` in a cell, from any folder."""
    folder, run = elsewhere
    command = (
        "\nimport subprocess\nos.chdir('/')\n"
        "said = 'import dip_blocks, dip_book; print(dip_blocks.__file__, dip_book.__file__)'\n"
        "subprocess.run([sys.executable, '-c', said], check=True)\n"
        "subprocess.run([sys.executable, '-m', 'dip_book', 'status'], check=True)"
    )
    done = run(stored_first_cell() + command, DIP_REPOSITORY=f"file://{clone}")
    assert done.returncode == 0, done.stderr
    found = next(line for line in done.stdout.splitlines() if "dip_blocks.py" in line)
    fetched = folder / "deep-image-prior-rebuilt"
    module, package = map(Path, found.split())
    assert module == fetched / "dip_blocks.py"
    assert package == fetched / "book" / "dip_book" / "__init__.py"


def test_the_first_cell_takes_the_address_written_into_it(elsewhere, clone):
    _, run = elsewhere
    done = run(pairs.SETUP.format(url=f"file://{clone}"))
    assert done.returncode == 0 and done.stdout.startswith("Runs on "), done.stderr


def test_the_first_cell_says_what_is_missing(elsewhere):
    _, run = elsewhere
    done = run(pairs.SETUP.format(url=""))
    assert done.returncode == 1
    assert "The book's code is not here. Open this notebook inside a clone" in done.stderr


def test_beside_the_method_alone_the_first_cell_looks_further(elsewhere, clone):
    """`dip_blocks.py` may be copied and used alone, beside a chapter too."""
    folder, run = elsewhere
    (folder / "dip_blocks.py").touch()
    done = run(pairs.SETUP.format(url=""))
    assert done.returncode == 1 and "The book's code is not here" in done.stderr
    done = run(pairs.SETUP.format(url=f"file://{clone}"))
    assert done.returncode == 0 and done.stdout.startswith("Runs on "), done.stderr


def test_the_first_cell_works_inside_a_clone(elsewhere, clone):
    _, run = elsewhere
    done = run(f"import os; os.chdir({str(clone / 'notebooks')!r})\n" + pairs.SETUP.format(url=""))
    assert done.returncode == 0 and done.stdout.startswith("Runs on "), done.stderr


def test_what_keeps_the_first_cell_from_fetching_is_named(elsewhere, tmp_path):
    folder, run = elsewhere
    cell = pairs.SETUP.format(url=f"file://{tmp_path}/nowhere")
    done = run(cell, PATH=str(tmp_path / "empty"))
    assert done.returncode == 1 and "and git, which fetches it, neither: install" in done.stderr
    there = folder / "deep-image-prior-rebuilt"
    there.mkdir()
    done = run(cell)
    assert done.returncode == 1 and f"'{there}' is not the book's code" in done.stderr
    assert list(there.iterdir()) == []


def test_a_repository_that_cannot_be_had_is_named(elsewhere, tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder, run = elsewhere
    done = run(pairs.SETUP.format(url=f"file://{tmp_path}/nowhere"))
    assert done.returncode == 1
    assert f"cannot be fetched from file://{tmp_path}/nowhere: fatal:" in done.stderr
    assert not (folder / "deep-image-prior-rebuilt").exists()


def fits_in_a_row(source):
    """Calls of `restore` that a cell makes several times, or several of, without asking `whole`."""
    tree = ast.parse(source)
    again = (ast.For, ast.While, ast.ListComp, ast.DictComp, ast.GeneratorExp)
    calls = {
        call.lineno
        for loop in ast.walk(tree)
        if isinstance(loop, again)
        for call in ast.walk(loop)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "dip_blocks.restore"
    }
    return calls if "whole(" not in source else set()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_stop_button_ends_all_fits_of_a_cell(path):
    """`restore` returns what there is so far; the next fit would begin, beside a half one."""
    text, _ = pair(path)
    for cell in text.cells:
        if cell.cell_type == "code" and "dip_blocks.restore(" in cell.source:
            assert not fits_in_a_row(cell.source), cell.source


def test_an_interrupted_fit_is_no_whole_one():
    assert fits_in_a_row("for x in y:\n    dip_blocks.restore(x)")
    ended = dip_blocks.Restoration(None, None)
    assert sweeps.whole(ended) is ended
    with pytest.raises(KeyboardInterrupt):
        sweeps.whole(dip_blocks.Restoration(None, None, interrupted=True))


def test_only_what_is_missing_is_installed(monkeypatch):
    """torch and numpy are never asked for where some version is there, and stay where they are."""
    monkeypatch.setattr(
        first_cell, "requirements", lambda: ["torch>=99", "numpy>=99", "no-such-package>=1"]
    )
    assert first_cell.missing() == ["no-such-package>=1"]
    calls = []

    def pip(command, **options):
        calls.append((command, Path(command[command.index("--constraint") + 1]).read_text()))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", pip)
    first_cell.install(first_cell.missing())
    ((command, constraints),) = calls
    assert command[-1] == "no-such-package>=1" and "torch>=99" not in command
    assert constraints.splitlines() == [f"{name}=={version(name)}" for name in ("torch", "numpy")]


def test_nothing_missing_installs_nothing(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip was called"))
    first_cell.install(first_cell.missing())


def test_a_failed_installation_is_told_in_pips_words(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no matching distribution")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(
        RuntimeError, match="could not install x>=1:\nERROR: no matching distribution"
    ):
        first_cell.install(["x>=1"])


def test_a_drawing_is_stored_with_a_palette():
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 30), (17, 128, 140, 255)).save(buffer, "png")
    light = pairs._palette(base64.b64encode(buffer.getvalue()).decode())
    picture = Image.open(io.BytesIO(base64.b64decode(light)))
    assert picture.mode == "P" and picture.size == (40, 30)
    assert picture.convert("RGB").getpixel((5, 5)) == (17, 128, 140)
    assert pairs._palette(light) == light


def test_a_live_figure_is_stored_as_a_still_picture():
    html = views.mask_view(images.load("camera", 32))._repr_html_()
    still = pairs._still(html)
    assert "<script" in html and not any(tag in still for tag in ("<script", "<style"))
    assert (
        still.count("<img") == 1
        and still.strip().endswith("</div>")
        and len(still) < 0.8 * len(html)
    )
