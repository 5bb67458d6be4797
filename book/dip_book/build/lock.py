"""What ``make lock`` calls: the tested versions, each file of them by its SHA-256.

    requirements.lock           all packages but PyTorch, for every system
    requirements-torch.lock     PyTorch as PyPI has it, on Linux with NVIDIA's libraries
    requirements-cpu.lock       instead of that: PyTorch's small build for CPUs, of its own index
    requirements-oldest.lock    all but PyTorch, in the oldest versions that `pyproject.toml` admits

PyTorch stands apart because its build is the machine's choice.  Needs uv, and no other package.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from dip_book.build.first_cell import ROOT

LOCK, TORCH, CPU, OLDEST = (
    f"requirements{name}.lock" for name in ("", "-torch", "-cpu", "-oldest")
)
#: PyTorch and what its build for NVIDIA's GPUs asks for.
TORCHS_OWN = re.compile(r"(torch|triton|nvidia-|cuda-)")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PYTHON = "3.11"  # the oldest


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="lock", description="Write the locks anew.")
    parser.add_argument(
        "--keep", action="store_true", help="keep each version that pyproject.toml still admits"
    )
    keep = parser.parse_args(arguments).keep
    try:
        newest, torch = compiled(keep)
        oldest, _ = split(uv("--resolution", "lowest-direct", "--python-platform", "linux"))
    except subprocess.CalledProcessError as error:
        print(f"uv found no versions that agree:\n{error.stderr.strip()}", file=sys.stderr)
        return 1
    for name, text in ((LOCK, newest), (TORCH, torch), (OLDEST, oldest)):
        (ROOT / name).write_text(text, encoding="utf-8")
    version = pinned(torch)["torch"]
    try:
        text = uv(
            "--universal", "--no-deps", "--index-url", CPU_INDEX, wanted=f"torch=={version}+cpu"
        )
    except subprocess.CalledProcessError as error:
        if pinned((ROOT / CPU).read_text(encoding="utf-8"))["torch"] != f"{version}+cpu":
            print(
                f"{CPU} is of another version than {version}, and {CPU_INDEX} could not be asked:\n"
                f"{error.stderr.strip()}",
                file=sys.stderr,
            )
            return 1
        print(f"{CPU_INDEX} could not be asked; {CPU} is of this version already, and stays.")
    else:
        (ROOT / CPU).write_text(text, encoding="utf-8")
    return 0


def compiled(keep: bool) -> tuple[str, str]:
    """The texts of the first two locks.  PyTorch keeps its version: raise it by hand."""
    before = "".join((ROOT / name).read_text(encoding="utf-8") for name in (LOCK, TORCH))
    if keep:
        return split(uv("--universal", before=before))
    return split(uv("--universal", constraint=f"torch=={pinned(before)['torch']}"))


def uv(*options: str, before: str = "", constraint: str = "", wanted: str = "") -> str:
    """A lock by `uv pip compile`: of `wanted`, or of the project with its book and its tests.

    `before` are pins to keep where they may be kept.  Raises CalledProcessError with uv's words.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, source, limits = (Path(folder) / name for name in ("out", "in", "limits"))
        out.write_text(before, encoding="utf-8")
        source.write_text(wanted, encoding="utf-8")
        limits.write_text(constraint, encoding="utf-8")
        what = [source] if wanted else [ROOT / "pyproject.toml", "--extra=book", "--extra=test"]
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes"),
            *("--python-version", PYTHON, "--no-header", "--no-annotate"),
            *("--constraint", limits, "--output-file", out, *options, *what),
        ]
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
        return out.read_text(encoding="utf-8")


def split(text: str) -> tuple[str, str]:
    """A lock without PyTorch, and PyTorch with what its build for GPUs needs."""
    entries = re.findall(r"^\S.*\n(?:[ \t].*\n)*", text, re.MULTILINE)
    apart = [bool(TORCHS_OWN.match(entry)) for entry in entries]
    return tuple(
        "".join(entry for entry, its in zip(entries, apart) if its is wanted)
        for wanted in (False, True)
    )


def pinned(text: str) -> dict[str, str]:
    """Package → version of a lock; of several for different systems, the last."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
