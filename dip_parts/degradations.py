"""What was done to a picture: all that the loop knows of a task.

The paper's energy E(x; x̂) compares x̂, the data, with what the degradation would make of a
candidate x (paper, section 2).  A new task is a new class with an `apply`; the network, the loss
and the loop stay as they are.
"""

from __future__ import annotations

import re
from copy import copy
from functools import cache, partial
from hashlib import sha256
from logging import Logger
from numbers import Real
from types import FunctionType, MethodType, ModuleType

import numpy as np
import torch

from dip_parts.checks import as_image, as_mask, as_seed, check_tensors


class Degradation:
    """What of a picture x, (C, H, W), is seen in x̂.  Subclass it, and write `apply`."""

    #: Do the data lie in [0, 1], as a picture does?
    bounded = True

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """What x̂ would be of this picture without noise; differentiable.  (C, H, W) → (C, h, w)."""
        name = type(self).__name__
        raise NotImplementedError(
            f"{name} has no apply(self, image): write what x̂ is of a picture."
        )

    def size(self, x_hat: torch.Tensor) -> tuple[int, int]:
        """H and W of the picture, of which x̂ (C, h, w) is left."""
        return tuple(x_hat.shape[-2:])

    def compared(self, x_hat: torch.Tensor) -> torch.Tensor:
        """Which of the data the loss compares: (1, h, w), 1 or 0.  Here all."""
        return torch.ones(1, *x_hat.shape[-2:])

    def known(self, x_hat: torch.Tensor) -> torch.Tensor:
        """Which pixels of the picture are in x̂ as they were: (1, H, W), 1 or 0.  Here none."""
        return torch.zeros(1, *self.size(x_hat))

    def degrade(self, image, seed: int = 0) -> torch.Tensor:
        """x̂ of a picture (see `as_image`), noise from the seed where the degradation has any."""
        return self.apply(as_image(image))

    def __init_subclass__(cls):
        cls.__repr__ = cls.__repr__  # its own: a dataclass would write another, which shortens

    def __repr__(self) -> str:
        """Its values, the same in every process: by this a checkpoint knows whose it is."""
        values = {}
        for kind in reversed(type(self).__mro__):
            for name, value in vars(kind).items():
                told = callable(value) or isinstance(value, property)
                if not (told or hasattr(Degradation, name) or name.startswith("_")):
                    values[name] = value
        said = ", ".join(f"{key}={_short(v)}" for key, v in (values | vars(self)).items())
        return f"{type(self).__name__}({said})"


def _short(value, depth: int = 0) -> str:
    """A value in few letters, without where it lies in memory.

    An array is known by its bytes; a function by its name and by the values that it took along; and
    an object by its own, to a ``depth`` at which none is looked for any more.
    """
    within = partial(_short, depth=depth + 1)
    if depth > 5:
        return type(value).__name__
    if isinstance(value, torch.Tensor) and value.layout != torch.strided:  # its whole may be huge
        parts = _sparse_parts(value.detach())
        return f"{value.layout}{tuple(value.shape)}{within(parts)}"
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg().reshape(-1)
        value = value.contiguous().view(torch.uint8).numpy()  # bfloat16, too
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return sha256(value.tobytes()).hexdigest()[:8]
    if isinstance(value, torch.nn.Module):
        return f"{value}{within(dict(value.state_dict()))}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {within(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, (set, frozenset)):  # in another order in every process
        return f"{{{', '.join(sorted(map(within, value)))}}}"
    if isinstance(value, (ModuleType, Logger)):  # what it holds is not the degradation's
        return getattr(value, "__name__", "") or value.name
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(within, value))})"
    if isinstance(value, partial):
        return f"partial{within([value.func, value.args, value.keywords])}"
    if isinstance(value, FunctionType):
        taken = [cell.cell_contents for cell in value.__closure__ or ()]
        taken += [value.__defaults__, value.__kwdefaults__]
        return f"{value.__qualname__}{within([v for v in taken if v is not None])}"
    if isinstance(value, MethodType):
        return f"{value.__func__.__qualname__}{within(value.__self__)}"
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return f"{type(value).__qualname__}{within(vars(value))}"
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))


def _sparse_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Where a sparse tensor has values, and which."""
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce()
        return [tensor.indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]


class Masked(Degradation):
    """Some pixels are missing: x̂ = m ⊙ x.  The mask as in `as_mask`, 1 where a pixel is known."""

    def __init__(self, mask: torch.Tensor):
        self.mask = as_mask(mask)
        if self.mask.sum() == 0:
            raise ValueError("The mask marks no pixel as known (p = 0?): there is nothing to fit.")

    def apply(self, image):
        check_tensors("H, W", floats=False, image=image)
        if image.shape[-2:] != self.mask.shape[-2:]:
            raise ValueError(
                f"The mask's shape is {tuple(self.mask.shape)}, the picture's "
                f"{tuple(image.shape)}: one value a pixel."
            )
        return image * self.mask

    def compared(self, x_hat):
        return self.mask

    known = compared


class Noisy(Degradation):
    """Noise was added: x̂ = x + n, n ~ N(0, σ²) for each pixel and channel, and not clipped.

    Args:
        sigma: σ, on the scale of pixels in [0, 1]: the usual "σ = 25" is 25 / 255.
    """

    bounded = False

    def __init__(self, sigma: float):
        if not isinstance(sigma, Real) or not 0 <= sigma <= 1:
            raise ValueError(
                f"sigma must be from 0 to 1, on the scale of the picture's values, not {sigma!r}; "
                "one of 25, counted in steps of 255, is 25 / 255."
            )
        self.sigma = sigma

    def apply(self, image):
        return image  # the noise is the data's; the loss looks for the picture beneath

    def degrade(self, image, seed=0):
        x = as_image(image)
        generator = torch.Generator().manual_seed(as_seed(seed))
        noise = torch.randn(x.shape, generator=generator)
        return x + self.sigma * noise


class Shrunk(Degradation):
    """The picture was shrunk: x̂ = D x, D a Lanczos filter and every ``factor``-th pixel.

    Args:
        factor: how many times smaller, 2 or more; it must divide height and width.
        lobes: of the Lanczos window on each side, 2 or 3 as a rule.
    """

    bounded = False  # the filter overshoots at edges

    def __init__(self, factor: int, lobes: int = 3):
        if not (isinstance(factor, int) and factor >= 2):
            raise ValueError(f"factor must be a whole number, 2 or more, not {factor!r}.")
        if not (isinstance(lobes, int) and 1 <= lobes <= 16):
            raise ValueError(f"lobes must be a whole number from 1 to 16, not {lobes!r}.")
        self.factor, self.lobes = factor, lobes

    def apply(self, image):
        check_tensors("H, W", image=image)
        height, width = image.shape[-2:]
        if min(height, width) < self.factor:
            raise ValueError(
                f"A picture of {width}×{height} pixels is too small to be shrunk {self.factor} "
                "times."
            )
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"A picture of {width}×{height} pixels cannot be shrunk {self.factor} times: crop "
                f"it to {width - width % self.factor}×{height - height % self.factor}."
            )
        down, across = (
            lanczos(length, self.factor, self.lobes, image.device) for length in (height, width)
        )
        return down @ image @ across.T

    def size(self, x_hat):
        return tuple(self.factor * length for length in x_hat.shape[-2:])


@cache
@torch.inference_mode(False)  # it is kept, and others follow gradients through it
def lanczos(length: int, factor: int, lobes: int, device: torch.device) -> torch.Tensor:
    """The matrix (length / factor, length) that shrinks a line of so many pixels.

    Each row is a Lanczos window, `lobes` new pixels to either side, about the middle of a new
    pixel.  What would lie beyond the border is left out and the rest made to sum to one.
    """
    centres = (torch.arange(length // factor).double() + 0.5) * factor - 0.5
    t = (torch.arange(length).double() - centres[:, None]) / factor
    window = torch.where(t.abs() < lobes, torch.sinc(t) * torch.sinc(t / lobes), 0.0)
    return (window / window.sum(1, keepdim=True)).float().to(device)


def as_degradation(given, x_hat) -> tuple[Degradation, torch.Tensor]:
    """A `Degradation`, or the mask of one, and its data x̂, both checked; errors as `as_image`."""
    if isinstance(x_hat, (tuple, list)) and any(isinstance(v, torch.Tensor) for v in x_hat):
        raise TypeError(
            "x̂ and the mask are two arguments: unpack what degrade returns, as in "
            "restore(*degrade(image))."
        )
    if not isinstance(given, Degradation):
        x_hat = as_image(x_hat)
        return Masked(as_mask(given, *x_hat.shape[-2:])), x_hat
    return given, as_image(x_hat, bounded=given.bounded)


def on(degradation: Degradation, device: torch.device) -> Degradation:
    """The same with its tensors on a device: the loop then copies nothing in an iteration."""
    moved = copy(degradation)
    values = vars(moved)  # not by setattr: a frozen dataclass refuses that
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            value = value.to(device)
            # One made in inference mode takes no part in a gradient; its copy does.
            values[name] = value.clone() if value.is_inference() else value
    return moved
