"""Classical interpolation: what a second of computing reaches without any network.

Both methods take a degraded image (H, W) or (H, W, 3) with values in [0, 1] and a mask (H, W), true
where a pixel is known, and return an image of the same shape in which known pixels are untouched.
They raise ValueError for a mask of another size, and for one that marks no pixel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.interpolate import griddata
from scipy.spatial import QhullError
from skimage.metrics import structural_similarity
from skimage.restoration import inpaint_biharmonic

import dip_blocks
from dip_book import images, runs
from dip_book.results import per_image
from dip_book.results.selection import best_run
from dip_book.runs import plan

FILE = "baselines.json"


def linear(x_hat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Linear interpolation on the Delaunay triangles of the known pixels.

    By `scipy.interpolate.griddata`.  Outside the known pixels' convex hull, in the corners, the
    nearest of them is taken; everywhere, where they are too few, or all on a line.
    """
    known = _checked(x_hat, mask)
    points, wanted = np.argwhere(known), np.argwhere(~known)
    result = np.array(x_hat, dtype=np.float64)
    if len(wanted):
        try:
            values = griddata(points, result[known], wanted, method="linear")
        except QhullError:  # one or two pixels, or all of them on a line: no triangle
            values = np.full_like(result[~known], np.nan)
        nearest = griddata(points, result[known], wanted, method="nearest")
        result[~known] = np.where(np.isnan(values), nearest, values)
    return np.clip(result, 0, 1).astype(np.float32)  # barycentric weights sum to 1 only nearly


def biharmonic(x_hat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The biharmonic equation solved over the missing pixels.

    By `skimage.restoration.inpaint_biharmonic`.
    """
    known = _checked(x_hat, mask)
    channel_axis = -1 if np.ndim(x_hat) == 3 else None
    filled = inpaint_biharmonic(
        np.asarray(x_hat, dtype=np.float64), ~known, channel_axis=channel_axis
    )
    return np.clip(filled, 0, 1).astype(np.float32)


BASELINES = {"linear": linear, "biharmonic": biharmonic}


def baseline(
    image: str, method: str, size: int | None = None, p: float = 0.5, seed: int = 0
) -> dict[str, float]:
    """PSNR in dB and SSIM of a method on a degraded grey picture, rounded as in stored runs.

    Args:
        image, size: see `images.load`, whose errors it raises.
        method: a key of `BASELINES`.
        p, seed: share of known pixels, and seed of the mask.

    Returns {"psnr_db", "ssim"}.
    """
    x = images.load(image, size=size)
    x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(x, p=p, seed=seed))
    filled = BASELINES[method](x_hat, mask)
    psnr = dip_blocks.psnr(dip_blocks.as_image(filled), dip_blocks.as_image(x))
    ssim = float(structural_similarity(filled, x, data_range=1.0))
    return {"psnr_db": round(psnr, 4), "ssim": round(ssim, 5)}


def store_baselines(store: Path = runs.ROOT) -> Path:
    """Run both on the 11 test images (mask seed 0) and store the figures; gives the file's path."""
    what = (
        "linear and biharmonic interpolation, "
        "50 % of the pixels known, mask seed 0, grey, full size"
    )

    def measure(name: str) -> dict:
        return {method: baseline(name, method) for method in BASELINES}

    return per_image.write(FILE, what, measure, store)


def stored_baselines(store: Path = runs.ROOT) -> dict:
    """What `store_baselines` stored; the book's own where a store has none."""
    return per_image.read(FILE, store)


def over_density(
    image: str, size: int = 128, store: Path = runs.ROOT
) -> dict[str, dict[float, float]]:
    """Method → {share p of known pixels: PSNR in dB, known pixels pasted back}.

    The recipe quick as it is stored, biharmonic as computed now.
    """
    biharmonic, quick = {}, {}
    for p in sorted({0.5, *plan.DENSITIES}):
        biharmonic[p] = baseline(image, "biharmonic", size, p)["psnr_db"]
        if (run := best_run("quick", image, size, store, p=p)) is not None:
            quick[p] = run.facts["psnr_db"]["averaged_pasted"]
    found = {"biharmonic": biharmonic, "Deep Image Prior, quick": quick}
    return {method: points for method, points in found.items() if points}


def drawn_over_density(
    image: str, size: int = 128, store: Path = runs.ROOT
) -> dict[str, dict[float, np.ndarray]]:
    """Method → {share p of known pixels: its picture (H, W), known pixels pasted back}.

    Of the recipe quick, for each p whose run is stored with its pictures.
    """
    drawn = {}
    for p in sorted({0.5, *plan.DENSITIES}):
        run = best_run("quick", image, size, store, p=p)
        if run is not None and "averaged" in run.kinds:
            x_hat, mask = run.degraded()
            drawn[p] = np.where(mask, x_hat, run.averaged)
    return {"Deep Image Prior, quick": drawn}


def _checked(x_hat, mask) -> np.ndarray:
    known = np.asarray(mask).astype(bool)
    if known.shape != np.shape(x_hat)[:2]:
        raise ValueError(
            f"The mask's shape is {known.shape}, the image's {np.shape(x_hat)}: they must agree."
        )
    if not known.any():
        raise ValueError("The mask marks no pixel as known: there is nothing to interpolate.")
    return known
