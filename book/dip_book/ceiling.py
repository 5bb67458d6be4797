"""What a network whose last spatial operation enlarges by two can draw at best.

Behind a last ×2 upsampling U a 1×1 convolution only mixes channels, so what comes out is the
enlargement U y of some half-size picture y, perhaps through a sigmoid.  The closest such picture to
a given one is found here with the whole truth in view: a bound, not a method.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg

METHODS = ("bilinear", "nearest")


def enlarge(half: np.ndarray, method: str) -> np.ndarray:
    """U: (h, w) → (2h, 2w), PyTorch's own upsampling, in double precision."""
    return F.interpolate(_batch(half), scale_factor=2, mode=method)[0, 0].numpy()


def adjoint(image: np.ndarray, method: str) -> np.ndarray:
    """Uᵀ: (2h, 2w) → (h, w), so that ⟨U y, x⟩ = ⟨y, Uᵀ x⟩ for all x and y: the gradient of the left side."""
    half = torch.zeros(1, 1, image.shape[0] // 2, image.shape[1] // 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(F.interpolate(half, scale_factor=2, mode=method), half, _batch(image))
    return gradient[0, 0].numpy()


def closest(image: np.ndarray, method: str = "bilinear", sigmoid: bool = False) -> np.ndarray:
    """The closest picture, in squares, that a last ×2 upsampling can draw.

    Args:
        image: (H, W) in [0, 1], H and W even.
        method: "bilinear" or "nearest".
        sigmoid: with a sigmoid behind the upsampling.  The problem is then no longer convex: what is
            found bounds the best from below.  (Neither set of pictures contains the other.)

    Returns (H, W), float64; without the sigmoid it is the least-squares projection itself, whose
    values may lie slightly outside [0, 1].  Raises ValueError for another method or an odd size.
    """
    if method not in METHODS:
        raise ValueError(f"The upsampling is one of {', '.join(METHODS)}, not '{method}'.")
    if image.ndim != 2 or image.shape[0] % 2 or image.shape[1] % 2:
        raise ValueError(f"Only a grey picture of even height and width is twice another one; this is {image.shape}.")
    image = np.asarray(image, np.float64)
    shape = image.shape[0] // 2, image.shape[1] // 2

    def normal(y):  # UᵀU, whose inverse on Uᵀx is the least-squares solution
        return adjoint(enlarge(y.reshape(shape), method), method).ravel()

    count = shape[0] * shape[1]
    half, failed = cg(LinearOperator((count, count), normal, dtype=np.float64), adjoint(image, method).ravel(), rtol=1e-8)
    if failed:
        raise ArithmeticError("The conjugate gradients did not converge.")
    linear = enlarge(half.reshape(shape), method)
    if not sigmoid:
        return linear

    def squares(y):
        drawn = 1 / (1 + np.exp(-enlarge(y.reshape(shape), method)))
        difference = drawn - image
        return (difference**2).sum(), 2 * adjoint(difference * drawn * (1 - drawn), method).ravel()

    start = np.clip(half, 0.02, 0.98)
    found = minimize(squares, np.log(start / (1 - start)), jac=True, method="L-BFGS-B", options={"maxiter": 500, "maxfun": 1000})
    return 1 / (1 + np.exp(-enlarge(found.x.reshape(shape), method)))


def _batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float64))[None, None]
