"""What a network whose last spatial operation enlarges by two can draw at best.

Behind a last ×2 upsampling a 1×1 convolution only mixes channels, so what comes out is the
enlargement of some half-size picture y, perhaps through a sigmoid.  The closest such picture to a
given one is found here with the whole truth in view: a bound, not a method.

Bilinear and nearest upsampling treat rows and columns one after the other: U_h y U_wᵀ, with one
small matrix for each direction.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

import dip_blocks
from dip_book import images, runs
from dip_book.results import per_image

METHODS = ("bilinear", "nearest")
#: Title → arguments of `closest`.
CEILINGS = {
    "bilinear": {"method": "bilinear"},
    "nearest": {"method": "nearest"},
    "bilinear, sigmoid": {"method": "bilinear", "sigmoid": True},
}
FILE = "ceilings.json"


@functools.cache
def upsampling(length: int, method: str) -> np.ndarray:
    """U: the matrix (2n, n) that enlarges a row of n = ``length`` values, as PyTorch does.

    A new pixel's middle lies a quarter of an old one's width beside the old one's middle, so
    bilinear upsampling takes 3/4 of the nearer old pixel and 1/4 of the next; at the border,
    where there is no next, all of the nearer.  The array is shared: do not write to it.
    """
    near = np.repeat(np.eye(length), 2, axis=0)
    if method == "nearest":
        return near
    new = np.arange(2 * length)
    beside = np.clip(new // 2 + np.where(new % 2, 1, -1), 0, length - 1)
    return 0.75 * near + 0.25 * np.eye(length)[beside]


@functools.cache
def projection(length: int, method: str) -> np.ndarray:
    """P = U U⁺: the matrix (2n, 2n) that takes a row to the closest enlargement of n values."""
    u = upsampling(length, method)
    return u @ np.linalg.pinv(u)


def enlarge(half: np.ndarray, method: str) -> np.ndarray:
    """(h, w) → (2h, 2w), as PyTorch's own upsampling, in double precision."""
    height, width = half.shape
    return upsampling(height, method) @ half @ upsampling(width, method).T


def adjoint(image: np.ndarray, method: str) -> np.ndarray:
    """(2h, 2w) → (h, w), so that ⟨enlarge(y), x⟩ = ⟨y, adjoint(x)⟩ for all x and y."""
    height, width = (side // 2 for side in image.shape)
    return upsampling(height, method).T @ image @ upsampling(width, method)


def closest(image: np.ndarray, method: str = "bilinear", sigmoid: bool = False) -> np.ndarray:
    """The closest picture, in squares, that a last ×2 upsampling can draw.

    Args:
        image: (H, W) in [0, 1], H and W even.
        method: "bilinear" or "nearest".
        sigmoid: with a sigmoid behind the upsampling.  The problem is then no longer convex: what
            is found bounds the best from below.  (Neither set of pictures contains the other.)

    Returns (H, W), float64; without the sigmoid it is the least-squares projection P_h x P_wᵀ,
    whose values may lie slightly outside [0, 1].  Raises ValueError for another method or an odd
    size.
    """
    if method not in METHODS:
        raise ValueError(f"The upsampling is one of {', '.join(METHODS)}, not '{method}'.")
    if image.ndim != 2 or image.shape[0] % 2 or image.shape[1] % 2:
        raise ValueError(
            "Only a grey picture of even height and width is twice another one; "
            f"this is {image.shape}."
        )
    image = np.asarray(image, np.float64)
    height, width = shape = image.shape[0] // 2, image.shape[1] // 2
    if not sigmoid:
        return projection(height, method) @ image @ projection(width, method).T

    def draw(y: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-enlarge(y.reshape(shape), method)))

    def squares(y: np.ndarray) -> tuple[float, np.ndarray]:
        drawn = draw(y)
        error = drawn - image
        return (error**2).sum(), 2 * adjoint(error * drawn * (1 - drawn), method).ravel()

    rows, columns = (np.linalg.pinv(upsampling(side, method)) for side in (height, width))
    start = np.clip(rows @ image @ columns.T, 0.02, 0.98).ravel()
    start = np.log(start / (1 - start))
    options = {"maxiter": 500, "maxfun": 1000}
    found = minimize(squares, start, jac=True, method="L-BFGS-B", options=options)
    return draw(found.x)


def ceilings_of(image: np.ndarray) -> dict[str, float]:
    """Title → PSNR in dB of the best that each kind of last ×2 upsampling can draw.

    Of a grey picture (H, W) in [0, 1], H and W even; errors of `closest`.
    """
    truth = torch.from_numpy(np.asarray(image, np.float64))
    found = {title: torch.from_numpy(closest(image, **how)) for title, how in CEILINGS.items()}
    return {title: round(dip_blocks.psnr(drawn, truth), 4) for title, drawn in found.items()}


def store_ceilings(store: Path = runs.ROOT) -> Path:
    """Compute the ceilings of the 11 test images and store them; gives the file's path."""
    what = (
        "PSNR in dB of the closest picture that a last x2 upsampling can draw, "
        "full size, grey, truth in view"
    )
    return per_image.write(FILE, what, lambda name: ceilings_of(images.load(name)), store)


def stored_ceilings(store: Path = runs.ROOT) -> dict:
    """What `store_ceilings` stored; the book's own where a store has none."""
    return per_image.read(FILE, store)
