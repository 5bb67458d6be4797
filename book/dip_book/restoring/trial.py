"""A trial of `fill`: a photo of 1600×1200 pixels with scratches, as a process of its own.

    python -m dip_book.restoring.trial

says after how many seconds there was a first filling, when it was done, and how much memory the
process took at most.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
from skimage import data
from skimage.draw import line

from dip_book import holes
from dip_book.restoring import core
from dip_book.runs.provenance import peak_memory, provenance


def photo(height: int = 1200, width: int = 1600) -> np.ndarray:
    """A colour picture of any size, made of scikit-image's free ones, mirrored at their edges."""
    parts = [data.rocket()[:400, :600], data.coffee()[:400, :600], data.astronaut()[:400, :500]]
    strip = np.concatenate(parts, axis=1)[:, :width]
    grown = (0, max(height - strip.shape[0], 0)), (0, max(width - strip.shape[1], 0)), (0, 0)
    return (np.pad(strip, grown, mode="symmetric")[:height] / 255).astype(np.float32)


def scratches(height: int, width: int, share: float, seed: int = 0) -> np.ndarray:
    """Which pixels are known, bool (H, W): but for lines of 3 pixels, until so many are missing.

    Raises ValueError for a share that is none: 6 % are 0.06.
    """
    holes.check_share(share)
    random, known = np.random.default_rng(seed), np.ones((height, width), bool)
    while known.mean() > 1 - share:
        row, column, angle = random.random(3) * (height, width, np.pi)
        length = random.uniform(0.1, 0.5) * max(height, width)
        end = row + length * np.sin(angle), column + length * np.cos(angle)
        rows, columns = line(int(row), int(column), int(end[0]), int(end[1]))
        for shift in (-1, 0, 1):
            steep = abs(np.sin(angle)) > 0.7
            r, c = (rows, columns + shift) if steep else (rows + shift, columns)
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            known[r[inside], c[inside]] = False
    return known


def trial(height: int = 1200, width: int = 1600, share: float = 0.017, **options) -> dict:
    """Fill such a photo with what `core.fill` has by default, and say what it took."""
    truth, known = photo(height, width), scratches(height, width, share)
    begun, first = time.monotonic(), None

    def progress(seen: core.Progress) -> None:
        nonlocal first
        if first is None and seen.done >= 0.1:
            first = time.monotonic() - begun
        print(f"{time.monotonic() - begun:6.1f} s  {seen.said}", file=sys.stderr, flush=True)

    given = np.where(known[..., None], truth, np.float32(0))
    filled = core.fill(given, known, progress=progress, **options)
    off = (filled.image - truth)[~known]
    return {
        "pixels": [height, width], "missing": int((~known).sum()),
        "first_filling_s": round(first, 1), "done_s": round(time.monotonic() - begun, 1),
        "peak_memory_mib": peak_memory("cpu"),
        "cpu_s": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1),
        "psnr_missing_db": round(float(-10 * np.log10(np.square(off).mean())), 2),
        "report": filled.report, "said": filled.said, **provenance(),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(trial(), indent=2))
