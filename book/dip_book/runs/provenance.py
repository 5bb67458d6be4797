"""Who made a number: code, versions, machine, time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import dip_blocks
import dip_parts

#: The method's code as imported, whatever is edited later.
_METHOD = [Path(dip_blocks.__file__), *sorted(Path(dip_parts.__file__).parent.glob("*.py"))]
_CODE = hashlib.sha256(b"".join(path.read_bytes() for path in _METHOD)).hexdigest()
PACKAGES = ("torch", "numpy", "scikit-image", "pillow")


def provenance() -> dict:
    """Versions, commit, time, machine: what every stored result carries."""
    return {
        "threads": torch.get_num_threads(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            # two processors of one name need not compute alike
            "capability": torch.backends.cpu.get_cpu_capability(),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
        **commit(),
        "started": now(),
    }


def now() -> str:
    """The time; of two of these the later one is the greater."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@functools.cache
def commit() -> dict:
    """The commit of the code in use, and whether the code differs from it; None outside git.

    Asked once, when this module is imported: what is edited later is not what runs.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments):
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, check=True)
        return os.fsdecode(done.stdout).strip()  # paths, in whatever encoding

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != here.parents[2]:
            return {
                "commit": None,
                "dirty": None,
            }  # of a copy inside somebody else's repository, that tells nothing
        code = git(
            "status", "--porcelain", "--", ":/dip_blocks.py", ":/dip_parts", ":/book/dip_book"
        )
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(code)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def code_digest() -> str:
    """SHA-256 of `dip_blocks` and its parts.

    A run begun with one version is not continued with another.
    """
    return _CODE


def describe_device(device: str | torch.device) -> str:
    """A device in words, such as "cuda (Tesla T4)"."""
    if torch.device(device).type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device} ({_processor()})"


def forget_peak(device: str | torch.device) -> None:
    """Let `peak_memory` begin anew, where the system can (CUDA, Linux)."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str | torch.device) -> int | None:
    """Largest memory use since `forget_peak`, in MiB.

    Of the GPU where one was used, else of this process.
    """
    if torch.device(device).type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    try:  # getrusage would count what the parent process had before it started this one
        status = Path("/proc/self/status").read_text()
        return round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024)
    except (OSError, TypeError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


commit()
