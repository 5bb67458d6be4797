"""What a reader meets in the chapters: numbers, not booleans; short cells; chapters by number.

The pairs are read, not the built book; `tests/test_site.py` and `tests/test_looks.py` look at that.
"""

import re

import nbformat
import pytest
import yaml
from dip_book.build import pairs

CHAPTERS = pairs.texts()
PAGES = [*CHAPTERS, *(path for path in sorted((pairs.ROOT / "book").glob("*.md")))]
LINES, COLUMNS = 20, 88  # of a code cell that is not folded
FOLDED = {"hide-cell", "hide-input", "remove-cell", "remove-input"}
#: What was said for want of a number, or of a result.
EMPTY_WORDS = ("not run yet", "later chapter", "earlier chapter", "Compared is", "Drawn is")
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def cells(path, kind):
    stored = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    return [cell for cell in stored.cells if cell.cell_type == kind]


def folded(cell):
    return FOLDED & set(cell.metadata.get("tags", []))


def printed(cell):
    for output in cell.outputs:
        data = output.get("data", {})
        yield from (output.get("text", ""), data.get("text/plain", ""), data.get("text/html", ""))


@each_chapter
def test_a_code_cell_fits_its_box(path):
    for cell in cells(path, "code"):
        lines = cell.source.split("\n")
        assert max(map(len, lines)) <= COLUMNS, max(lines, key=len)
        assert folded(cell) or len(lines) <= LINES, f"{len(lines)} lines: {lines[0]}"


@each_chapter
def test_numbers_are_printed_and_no_booleans(path):
    for cell in cells(path, "code"):
        for text in printed(cell):
            text = text.replace("True  False", "")  # what one may write in a recipe
            assert not re.search(r"(?<![\w.\"'=])(True|False)(?![\w\"'])", text), cell.source


@each_chapter
def test_what_must_hold_is_held_by_tests(path):
    for cell in cells(path, "code"):
        assert not re.search(r"^\s*assert\b", cell.source, re.MULTILINE), cell.source


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_empty_words(path):
    text = path.read_text(encoding="utf-8")
    assert not [words for words in EMPTY_WORDS if words in text]
    if path in CHAPTERS:
        for cell in cells(path, "code"):
            assert not [text for text in printed(cell) if "not run yet" in text]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_chapter_is_called_by_its_number(path):
    text = path.read_text(encoding="utf-8")
    for number, target in re.findall(
        r"\[[Cc]hapter (\d+)\]\((?:\.\./notebooks/)?([\w-]+)\.md", text
    ):
        assert target.startswith(f"{int(number):02}-"), f"chapter {number} is not {target}"
    # A number without a link cannot be clicked, and nothing would notice when it is wrong.
    loose = re.sub(r"\[[^\]]*\]\([^)]*\)", "", text)
    loose = re.sub(r"^```.*?^```", "", loose, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"\b[Cc]hapters? \d", loose)


def test_the_files_numbers_are_the_books():
    contents = yaml.safe_load((pairs.ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    numbered = [
        entry["file"].removeprefix("notebooks/")
        for part in contents["parts"]
        if "numbered" in part
        for entry in part["chapters"]
    ]
    assert numbered == [path.stem for path in CHAPTERS]
    assert [int(name[:2]) for name in numbered] == list(range(1, len(numbered) + 1))


@each_chapter
def test_each_exercise_has_its_solution_in_words(path):
    text = path.read_text(encoding="utf-8")
    asked = re.findall(r"^\*\*(\d+)\.", text.split("## Exercises")[1], re.MULTILINE)
    solved = re.findall(r"<summary>Solution to exercise (\d+)</summary>", text)
    assert asked == solved and asked
    assert len(re.findall('<details class="solution">', text)) == len(asked)


@each_chapter
def test_a_solution_s_code_is_folded_and_named(path):
    for cell in cells(path, "code"):
        if "solution" in cell.metadata.get("tags", []):
            prompt = cell.metadata["mystnb"]["code_prompt_show"]
            assert "hide-cell" in cell.metadata.tags
            assert re.fullmatch(r"Solution to exercise \d+, .+", prompt)
            assert len(cell.source.split("\n")) <= LINES, prompt
