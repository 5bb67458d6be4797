"""The pairs: chapters as MyST text and as .ipynb with light outputs.

People edit the text; GitHub and Colab show the .ipynb, and nbval compares it.

``make notebooks`` brings both sides together; see `sync`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import yaml
from jupytext.compare import NotebookDifference, compare_notebooks
from PIL import Image

from dip_book.build.first_cell import ROOT, STILL

FOLDER = ROOT / "notebooks"
TEXT = "md:myst"
COLAB = "https://colab.research.google.com/github"

#: The cell tagged "setup" in every chapter.  It cannot be imported: it is what makes imports work.
SETUP = """\
# Finds the book's code: installed, in a folder above, or in the repository (Colab).
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = {url!r}  # written by `make notebooks`, from _config.yml
if importlib.util.find_spec("dip_book") is None:
    here = Path.cwd()
    around = (here, *here.parents)
    root = next((f for f in around if (f / "book" / "dip_book").exists()), None)
    if root is None:
        source = os.environ.get("DIP_REPOSITORY") or REPOSITORY
        if not source:
            raise ModuleNotFoundError(
                "The book's code is not here. Open this notebook inside a clone of the "
                "book's repository, or set the environment variable DIP_REPOSITORY to "
                "the repository's address."
            )
        root = here / "deep-image-prior-rebuilt"
        if not root.exists():
            if shutil.which("git") is None:
                raise ModuleNotFoundError(
                    "The book's code is not here, and git, which fetches it, neither: "
                    "install it, or open this notebook inside a clone."
                )
            part = here / "deep-image-prior-rebuilt.part"  # half a clone is none
            shutil.rmtree(part, ignore_errors=True)
            clone = ["git", "clone", "--quiet", "--depth", "1", source, str(part)]
            done = subprocess.run(clone, capture_output=True, text=True)
            if done.returncode:
                why = f"The book's code cannot be fetched from {{source}}:"
                raise ModuleNotFoundError(f"{{why}} {{done.stderr.strip()}}")
            part.rename(root)
        if not (root / "book" / "dip_book").exists():
            raise ModuleNotFoundError(
                f"'{{root}}' is not the book's code, which would be fetched there: move "
                "it away."
            )
    sys.path[:0] = [str(root), str(root / "book")]

from dip_book.build import first_cell

first_cell.notebook()"""


class PairError(RuntimeError):
    """No program can bring the two sides of a pair together; the message says what to do."""


def repository_url() -> str:
    """The public repository's address; "" while none is configured.

    `_config.yml` is the one place for it.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return (config.get("repository", {}).get("url") or "").rstrip("/")


def texts() -> list[Path]:
    """The chapters' text sides, in the book's order."""
    return sorted(FOLDER.glob("*.md"))


def with_setup(notebook, name: str, url: str):
    """Write the setup cell, and above it the link to Colab, for the configured repository."""
    tagged = [
        i for i, cell in enumerate(notebook.cells) if "setup" in cell.metadata.get("tags", [])
    ]
    if len(tagged) != 1:
        raise PairError(f"{name} must have one code cell tagged 'setup'; it has {len(tagged)}.")
    setup = notebook.cells[tagged[0]]
    setup.source = SETUP.format(url=url)
    notebook.cells = [
        cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])
    ]
    if url:
        link = f"[Open this chapter in Colab]({colab_url(url, name)})"
        # The site has a button of its own, so there this cell is left out.
        cell = nbformat.v4.new_markdown_cell(link, metadata={"tags": ["colab", "remove-cell"]})
        notebook.cells.insert(notebook.cells.index(setup), cell)
    return notebook


def colab_url(url: str, name: str) -> str:
    """Where Colab opens a chapter of a GitHub repository."""
    return f"{COLAB}/{url.split('github.com/', 1)[-1]}/blob/main/notebooks/{name}.ipynb"


def differences(text, stored) -> str | None:
    """What differs between the inputs of the two sides, or None."""
    try:
        compare_notebooks(
            stored, text, fmt=TEXT, compare_outputs=False, raise_on_first_difference=False
        )
    except NotebookDifference as error:
        return str(error)
    return None


def sync(path: Path, url: str, execute: bool = False) -> str:
    """Bring one pair together and say what was done.

    The side that was edited wins; the .ipynb remembers what both were when they last agreed.  Then
    it is executed anew if its code changed, or if ``execute``.

    Raises PairError if both sides were edited apart, if one holds what the other cannot, and if the
    executed notebook failed.
    """
    pair = path.with_suffix(".ipynb")
    text = _parsed(path)
    stored = _read(pair) if pair.exists() else None
    same_code, done = stored is not None and _code(stored) == _code(text), ".ipynb"
    if stored is not None and differences(text, stored) and _edited(stored, stored):
        if _edited(text, stored):
            raise PairError(
                f"{path.name} and {pair.name} were both edited and disagree. Keep one, restore the "
                "other (with git, say), and run this again."
            )
        text, done = _as_text(stored, pair), "text"
    text = with_setup(text, path.stem, url)
    written = jupytext.writes(text, fmt=TEXT)
    if written != path.read_text(encoding="utf-8"):
        _replace(path, written)
    text = jupytext.reads(written, fmt=TEXT)

    same_code = same_code and _code(stored) == _code(
        text
    )  # the setup cell may have been written anew
    if same_code and not execute:
        if not differences(text, stored) and not _edited(stored, stored):
            return "in step"  # and the .ipynb knows it
        outputs = iter([cell for cell in stored.cells if cell.cell_type == "code"])
        for cell in text.cells:
            if cell.cell_type == "code":
                run = next(outputs)
                cell.outputs, cell.execution_count = run.outputs, run.execution_count
        done = f"prose written to the {done}"
    else:
        run_cells(text)
        done = "executed"
    _replace(pair, nbformat.writes(_light(text)) + "\n")
    return done


def _parsed(path: Path):
    """A chapter's text side; PairError for what cannot be read as one."""
    try:
        text = jupytext.read(path, fmt=TEXT)
        nbformat.validate(text)
        return text
    except OSError:
        raise
    except Exception as error:  # of jupytext, YAML, nbformat, or of letters in no UTF-8
        said = " ".join(str(error).split())[:200]
        raise PairError(f"{path.name} cannot be read as a chapter's text ({said}).") from None


def _as_text(stored, pair: Path):
    """A notebook as its text side has it; PairError where that would lose or change a cell."""
    if any(cell.get("attachments") for cell in stored.cells):
        raise PairError(
            f"{pair.name} holds a picture that was pasted into a cell, and its text has no place "
            "for one: save the picture as a file, and link to that."
        )
    try:
        text = jupytext.reads(jupytext.writes(stored, fmt=TEXT), fmt=TEXT)
    except Exception:  # jupytext reads not all that it writes
        text = None
    if text is None or _content(text) != _content(stored):
        raise PairError(
            f"{pair.name} has a cell that its text would cut or join: a +++, a ``` that is never "
            "closed, or a {code-cell} in a cell of text. Change it, and run this again."
        )
    return text


def _content(notebook) -> list[tuple[str, str]]:
    """Kinds and sources of the cells that say something; blanks around them do not count."""
    found = [(c.cell_type, "\n".join(c.source.splitlines()).strip()) for c in notebook.cells]
    return [(kind, source) for kind, source in found if source]


def _read(pair: Path):
    """A stored notebook; PairError for what is none, as after a merge that left its marks."""
    try:
        return nbformat.read(pair, as_version=4)
    except Exception as error:  # nbformat raises what it likes
        said = " ".join(str(error).split())[:120]
        raise PairError(
            f"{pair.name} is no notebook ({said}). Restore it (with git, say), or remove it to "
            "have it made anew."
        ) from None


def _replace(path: Path, content: str) -> None:
    """Write a chapter's side, whole or not at all: a full disk must not cost the text."""
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_text(content, encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def run_cells(notebook) -> None:
    """Execute a notebook in place, in the chapters' folder.

    Raises PairError with the cell's error if it fails.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    os.environ |= {"TQDM_DISABLE": "1", STILL: "1"}
    try:
        NotebookClient(
            notebook,
            timeout=1800,
            kernel_name="python3",
            coalesce_streams=True,
            extra_arguments=[
                "--IPKernelApp.log_level=40"
            ],  # errors; not each kernel's words on its transport
            resources={"metadata": {"path": str(FOLDER)}},
        ).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise PairError(f"A cell failed:\n{error}") from None


def _light(notebook):
    """Only what readers of an .ipynb need.

    No timings, no machine's kernel, no notes on stderr, light drawings.
    """
    notebook.metadata = nbformat.from_dict(
        {
            "jupytext": {"formats": f"ipynb,{TEXT}"},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
            "dip": {"in_step": _digest(notebook)},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"  # random ones would change with every execution
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                data = output.get("data", {})
                if "image/png" in data:
                    data["image/png"] = _palette(data["image/png"])
                if "dip-view" in data.get("text/html", ""):
                    data["text/html"] = _still(data["text/html"])
    return notebook


def _palette(png: str) -> str:
    """A drawing (PNG in base64) with a palette, at a quarter of the bytes.

    Lines and text do with one.  Photographs are WebP in HTML (`dip_book.show.photographs`).
    """
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    if picture.mode == "P":
        return png
    buffer = io.BytesIO()
    picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        buffer, "png", optimize=True
    )
    return base64.b64encode(buffer.getvalue()).decode()


def _still(html: str) -> str:
    """A live figure without its script and data: the static picture.

    That is what GitHub's preview shows anyway.  Running the cell brings the live one back.
    """
    return re.sub(r"<(script|style)\b.*?</\1>\s*", "", html, flags=re.DOTALL)


def _code(notebook) -> list[str]:
    """The code that outputs come from: the setup cell, written above, only makes imports work."""
    return [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    ]


def _digest(notebook) -> str:
    kept = ("tags", "mystnb", "jupyter")  # captions, prompts; not what executing leaves behind
    cells = [
        (
            cell.cell_type,
            cell.source,
            {key: cell.metadata[key] for key in kept if key in cell.metadata},
        )
        for cell in notebook.cells
    ]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def _edited(side, stored) -> bool:
    """Is this side another than when the pair last agreed?"""
    return _digest(side) != stored.metadata.get("dip", {}).get("in_step")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="dip_book.build.pairs", description="Bring the chapters' two sides together."
    )
    parser.add_argument("names", nargs="*", help="chapters, e.g. 02-problems (default: all)")
    parser.add_argument("--execute", action="store_true", help="execute also what did not change")
    options = parser.parse_args(arguments)
    known = {path.stem: path for path in texts()}
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"there is no chapter {unknown[0]!r}, only {', '.join(known)}.")
    chosen = [known[name] for name in options.names or known]
    status = 0
    for path in chosen:
        print(f"{path.stem}: ", end="", flush=True)
        try:
            print(sync(path, repository_url(), options.execute), flush=True)
        except (PairError, OSError) as error:  # a disk that is full, a file that may not be read
            print(error)
            status = 1
        except KeyboardInterrupt:
            print("interrupted")
            return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
