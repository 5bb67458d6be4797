"""What a network whose last spatial operation enlarges by two can draw at best.

Behind a last ×2 upsampling a 1×1 convolution only mixes channels, so what comes out is the
enlargement of some half-size picture y, perhaps through a sigmoid.  The closest such picture to a
given one is found here with the whole truth in view: a ceiling, not a method.  So is what can be
drawn from known pixels alone, in two ways that need no network (`HALF`).

Bilinear and nearest upsampling treat rows and columns one after the other: U_h y U_wᵀ, with one
small matrix for each direction.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

import dip_blocks
from dip_book import images, runs
from dip_book.results import baselines, per_image

METHODS = ("bilinear", "nearest")
#: Title → arguments of `closest`.
CEILINGS = {
    "bilinear": {"method": "bilinear"},
    "nearest": {"method": "nearest"},
    "bilinear, sigmoid": {"method": "bilinear", "sigmoid": True},
}
FILE = "ceilings.json"
#: The ceiling of the blog's network: what its last upsampling and its sigmoid can draw.
BLOGS = "bilinear, sigmoid"
#: Weight of the squared second differences in `fitted`: of 0.003, 0.01 and 0.03 the best on the
#: development pictures at 128×128 and 256×256.
SMOOTHNESS = 0.01


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


def closest(
    image: np.ndarray,
    method: str = "bilinear",
    sigmoid: bool = False,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """The closest picture, in squares, that a last ×2 upsampling can draw.

    Args:
        image: (H, W) in [0, 1], H and W even.
        method: "bilinear" or "nearest".
        sigmoid: with a sigmoid behind the upsampling.  The problem is then no longer convex, and
            this is a local search: the closest picture may be closer than what is found, never
            farther.  (Neither set of pictures contains the other.)
        start: with a sigmoid, the half-size picture (H/2, W/2) that the search begins with; the
            projection's if None.

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
    height, width = image.shape[0] // 2, image.shape[1] // 2
    if not sigmoid:
        return projection(height, method) @ image @ projection(width, method).T

    if start is None:
        rows, columns = (np.linalg.pinv(upsampling(side, method)) for side in (height, width))
        start = rows @ image @ columns.T
    return _through_sigmoid(image, start, method)


def _through_sigmoid(
    image: np.ndarray,
    start: np.ndarray,
    method: str = "bilinear",
    known: np.ndarray | float = 1.0,
    smoothness: float = 0.0,
    iterations: int = 500,
) -> np.ndarray:
    """σ(U y) by local search over y: squares over ``known`` pixels, and a smooth half-size picture.

    ``start`` is the half-size picture to begin with, as it is before σ⁻¹.
    """

    def draw(y: np.ndarray) -> np.ndarray:
        return _sigmoid(enlarge(y.reshape(start.shape), method))

    def squares(y: np.ndarray) -> tuple[float, np.ndarray]:
        drawn = draw(y)
        error = known * (drawn - image)
        loss, slope = (error**2).sum(), 2 * adjoint(error * drawn * (1 - drawn), method)
        if smoothness:
            half = _sigmoid(y.reshape(start.shape))
            bent = _bent(half)
            loss += smoothness * sum((part**2).sum() for part in bent)
            slope += 2 * smoothness * _bent_back(bent, half.shape) * half * (1 - half)
        return loss, slope.ravel()

    inside = np.clip(start, 0.02, 0.98).ravel()
    options = {"maxiter": iterations, "maxfun": 2 * iterations}
    begin = np.log(inside / (1 - inside))
    return draw(minimize(squares, begin, jac=True, method="L-BFGS-B", options=options).x)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def _bent(half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Second differences down and across."""
    return np.diff(half, 2, axis=0), np.diff(half, 2, axis=1)


def _bent_back(bent: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The adjoint of `_bent`."""
    result = np.zeros(shape)
    for part, along in zip(bent, (result, result.T)):
        part = part if along is result else part.T
        for at, weight in enumerate((1, -2, 1)):
            along[at : at + len(part)] += weight * part
    return result


def fitted(x_hat: np.ndarray, mask: np.ndarray, smoothness: float = SMOOTHNESS) -> np.ndarray:
    """The picture behind a last bilinear ×2 and a sigmoid that fits the known pixels, smoothly.

    Minimises ‖(σ(U y) − x̂) ⊙ m‖² + smoothness · ‖second differences of σ(y)‖² over the half-size
    picture y: the network's own loss without the network.  First without the sigmoid, where the
    problem is convex (conjugate gradients); from there by local search.

    Args:
        x_hat: (H, W), H and W even; what it holds at missing pixels is not used.
        mask: (H, W), true where a pixel is known.
        smoothness: above 0, for some of y no known pixel decides.

    Returns (H, W), float64, inside (0, 1).
    """
    known = np.asarray(mask, np.float64)
    x_hat = known * x_hat
    shape = x_hat.shape[0] // 2, x_hat.shape[1] // 2

    def operator(y: np.ndarray) -> np.ndarray:
        bend = _bent_back(_bent(y), shape)
        return adjoint(known * enlarge(y, "bilinear"), "bilinear") + smoothness * bend

    start = conjugate_gradients(operator, adjoint(x_hat, "bilinear"))
    return _through_sigmoid(x_hat, start, "bilinear", known, smoothness, iterations=300)


def conjugate_gradients(
    operator: Callable[[np.ndarray], np.ndarray],
    right: np.ndarray,
    tolerance: float = 1e-5,
    most: int = 1000,
) -> np.ndarray:
    """Solve operator(y) = right, the operator symmetric and positive; begins at 0.

    Ends when the residual is ``tolerance`` times ``right``, or after ``most`` steps.
    """
    y, residual = np.zeros_like(right), right.copy()
    direction, squares = residual.copy(), float((residual**2).sum())
    goal = tolerance**2 * squares
    for _ in range(most):
        if squares <= goal:
            break
        image = operator(direction)
        step = squares / float((direction * image).sum())
        y, residual = y + step * direction, residual - step * image
        before, squares = squares, float((residual**2).sum())
        direction = residual + squares / before * direction
    return y


def filled(x_hat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Biharmonic interpolation, and then the closest picture behind a bilinear ×2 and a sigmoid.

    Arguments and result as of `fitted`.
    """
    return closest(baselines.biharmonic(x_hat, mask), sigmoid=True)


#: What the blog's network could draw from the known pixels, found without a network.
HALF = {"smooth fit": fitted, "biharmonic": filled}


def ceilings_of(image: np.ndarray) -> dict[str, float]:
    """Title → PSNR in dB of the best that each kind of last ×2 upsampling can draw.

    Of a grey picture (H, W) in [0, 1], H and W even; errors of `closest`.  Values outside [0, 1]
    are cut off, as when a picture is stored.  With a sigmoid a lower bound, see there.
    """
    return {title: _decibel(closest(image, **how), image) for title, how in CEILINGS.items()}


def half_of(image: np.ndarray, p: float = 0.5, seed: int = 0) -> dict[str, list[float]]:
    """What can be drawn of a picture from a share p of its pixels: `HALF`, and the ceiling.

    Title → PSNR in dB over the whole picture, and over the known pixels only; the last title is
    `BLOGS`, the ceiling of the blog's network, which knows all pixels.
    """
    x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(image, p=p, seed=seed))
    known = mask > 0
    drawn = {title: draw(x_hat, known) for title, draw in HALF.items()}
    drawn[BLOGS] = closest(image, **CEILINGS[BLOGS])
    return {
        title: [_decibel(picture, image), _decibel(picture[known], image[known])]
        for title, picture in drawn.items()
    }


def _decibel(drawn: np.ndarray, truth: np.ndarray) -> float:
    both = (torch.from_numpy(np.array(a, np.float64)) for a in (np.clip(drawn, 0, 1), truth))
    return round(dip_blocks.psnr(*both), 4)


def store_ceilings(store: Path = runs.ROOT) -> Path:
    """Compute the ceilings of the 11 test images and store them; gives the file's path."""
    what = (
        "PSNR in dB of the closest picture that a last x2 upsampling can draw, full size, grey, "
        "truth in view; half: what can be drawn from half of the pixels, mask seed 0, and the "
        "ceiling: PSNR over the whole picture, and over the known pixels"
    )

    def measure(name: str) -> dict:
        image = images.load(name)
        return {**ceilings_of(image), "half": half_of(image)}

    return per_image.write(FILE, what, measure, store)


def stored_ceilings(store: Path = runs.ROOT) -> dict:
    """What `store_ceilings` stored; the book's own where a store has none, or none of `half_of`."""
    stored = per_image.read(FILE, store)
    whole = all("half" in facts for facts in stored["images"].values())
    return stored if whole else per_image.read(FILE, runs.ROOT)
