"""What the first cell of every notebook calls.

Needs the standard library only: it may have to install the rest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import warnings
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

#: Environment variable that is set while notebooks are executed for the book's pages and the
#: stored .ipynb.
STILL = "DIP_STILL"

#: Packages whose installed versions are left as they are: Colab's are built for its GPUs.
KEPT = ("torch", "numpy")


def notebook() -> None:
    """Make a notebook ready: install what is missing, let widgets in, say what it runs on."""
    install(missing())
    _let_commands_find_the_book()
    warnings.formatwarning = told
    if "google.colab" in sys.modules:
        from google.colab import output

        output.enable_custom_widget_manager()
    import torch

    import dip_blocks

    device = dip_blocks.best_device()
    threads = torch.get_num_threads()
    name = f"{threads} thread{'s' if threads != 1 else ''}"
    if device == "cuda":
        name = torch.cuda.get_device_name()
    print(
        f"Runs on {device} ({name}), PyTorch {torch.__version__}, Python {sys.version.split()[0]}."
    )
    if book() is None:
        print(
            "The book is installed without its stored runs, which most chapters show: open this "
            "notebook inside a clone of the book's repository."
        )


def _let_commands_find_the_book() -> None:
    """So that ``!python -m dip_book`` in a cell runs the code that the notebook runs."""
    if not (ROOT / "pyproject.toml").is_file() or os.pathsep in str(ROOT):
        return  # installed: any Python of this environment finds it; or a path that cannot be named
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    ours = [str(ROOT), str(ROOT / "book")]
    os.environ["PYTHONPATH"] = os.pathsep.join([*ours, *(p for p in before if p not in ours)])


def book() -> Path | None:
    """The repository's folder: this file's own, or else the one that one stands in.  None without.

    The second is asked for where the package was installed without the book.
    """
    around = [ROOT]
    with suppress(OSError):  # the present folder is gone
        around += [here := Path.cwd(), *here.parents]
    for folder in around:
        with suppress(OSError):  # it may not be looked into
            if all((folder / name).is_file() for name in ("dip_blocks.py", "book/_toc.yml")):
                return folder
    return None


def told(message, category, filename, lineno, line=None) -> str:
    """A warning as text, without the place in the code: a path of the machine that made a page."""
    return f"{category.__name__}: {message}\n"


def has_reader() -> bool:
    """Is somebody there to operate a widget?

    Not while a program executes a notebook to store its outputs.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel") and STILL not in os.environ


def requirements() -> list[str]:
    """What the project's metadata asks for, as requirement lines; empty without a checkout."""
    metadata = ROOT / "pyproject.toml"
    if not metadata.exists():  # installed as a package: its installer has seen to the requirements
        return []
    return tomllib.loads(metadata.read_text(encoding="utf-8"))["project"]["dependencies"]


def missing() -> list[str]:
    """The requirements of which no version is installed."""
    return [line for line in requirements() if _installed(re.match(r"[\w.-]+", line)[0]) is None]


def install(lines: list[str]) -> None:
    """Install with pip, without touching the packages in `KEPT`.

    Raises RuntimeError with pip's words if it fails.
    """
    if not lines:
        return
    print(f"Installing {', '.join(lines)} …")
    pins = [f"{name}=={found}" for name in KEPT if (found := _installed(name))]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(pins))
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--constraint",
            str(constraints),
            *lines,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip could not install {', '.join(lines)}:\n{done.stderr.strip()}")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
