"""Classical interpolation: what a second of computing reaches without any network.

Both take a degraded image (H, W) or (H, W, 3) with values in [0, 1] and a mask (H, W), true where a
pixel is known, and return an image of the same shape in which known pixels are untouched.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import griddata
from skimage.restoration import inpaint_biharmonic


def linear(x_hat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Linear interpolation on the Delaunay triangles of the known pixels (`scipy.interpolate.griddata`).

    Outside their convex hull, in the corners, the nearest known pixel is taken.
    """
    known = _checked(x_hat, mask)
    points, wanted = np.argwhere(known), np.argwhere(~known)
    result = np.array(x_hat, dtype=np.float64)
    if len(wanted):
        values = griddata(points, result[known], wanted, method="linear") if len(points) > 3 else np.nan
        nearest = griddata(points, result[known], wanted, method="nearest")
        result[~known] = np.where(np.isnan(values), nearest, values)
    return np.clip(result, 0, 1).astype(np.float32)  # barycentric weights sum to 1 only nearly


def biharmonic(x_hat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The biharmonic equation solved over the missing pixels (`skimage.restoration.inpaint_biharmonic`)."""
    known = _checked(x_hat, mask)
    channel_axis = -1 if np.ndim(x_hat) == 3 else None
    filled = inpaint_biharmonic(np.asarray(x_hat, dtype=np.float64), ~known, channel_axis=channel_axis)
    return np.clip(filled, 0, 1).astype(np.float32)


BASELINES = {"linear": linear, "biharmonic": biharmonic}


def _checked(x_hat, mask) -> np.ndarray:
    known = np.asarray(mask).astype(bool)
    if known.shape != np.shape(x_hat)[:2]:
        raise ValueError(f"The mask's shape is {known.shape}, the image's {np.shape(x_hat)}: they must agree.")
    if not known.any():
        raise ValueError("The mask marks no pixel as known: there is nothing to interpolate.")
    return known
