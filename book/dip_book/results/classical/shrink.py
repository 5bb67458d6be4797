"""A picture that was shrunk, without a network."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from dip_blocks import Degradation
from dip_book import tasks


def bicubic(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """Cubic interpolation, a = −1/2, by Pillow, on floats."""
    enlarged = _resized(x_hat, degradation.size(x_hat), Image.Resampling.BICUBIC)
    return tasks.channels_last(enlarged.clamp(0, 1))


def lanczos(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """Interpolation by a Lanczos window of three lobes, by Pillow, on floats."""
    enlarged = _resized(x_hat, degradation.size(x_hat), Image.Resampling.LANCZOS)
    return tasks.channels_last(enlarged.clamp(0, 1))


#: Back-projection ends when the data are met as well as 8 bits could hold them: root mean square.
MET, PASSES = 0.5 / 255, 100


def back_projection(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """Bicubic, and what the data still differ by enlarged and added, until they are met.

    Irani and Peleg, "Improving resolution by image registration", 1991, for a single picture.  It
    ends at `MET`, or after `PASSES`: a rule that asks the data alone.
    """
    size, cubic = degradation.size(x_hat), Image.Resampling.BICUBIC
    x = _resized(x_hat, size, cubic)
    for _ in range(PASSES):
        off = x_hat - degradation.apply(x)
        if off.square().mean().sqrt() < MET:
            break
        x = (x + _resized(off, size, cubic)).clamp(0, 1)
    return tasks.channels_last(x)


#: Weight of the total variation, and steps of L-BFGS, chosen on colour pictures of scikit-image's
#: (book, "Super-resolution").
TV_WEIGHT, TV_STEPS = 3e-5, 100


def total_variation(
    x_hat: torch.Tensor, degradation: Degradation, weight: float = TV_WEIGHT, steps: int = TV_STEPS
) -> np.ndarray:
    """The x in (0, 1) that minimises ‖D x − x̂‖² + weight · TV(x), by PyTorch's L-BFGS from bicubic.

    TV sums, over the pixels, the length of the gradient of all channels together (Rudin et al.
    1992; for colour Blomgren and Chan 1998), rounded off below 0.001.  A sigmoid holds x in (0, 1),
    as it does the network's output.
    """
    first = np.moveaxis(np.atleast_3d(bicubic(x_hat, degradation)), -1, 0)
    u = torch.from_numpy(first.copy()).clamp(0.01, 0.99).logit().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [u], max_iter=steps, history_size=5, line_search_fn="strong_wolfe",
        tolerance_grad=1e-9, tolerance_change=1e-12,
    )  # fmt: skip

    def energy() -> torch.Tensor:
        optimiser.zero_grad()
        x = u.sigmoid()
        down = x[:, 1:, :-1] - x[:, :-1, :-1]
        across = x[:, :-1, 1:] - x[:, :-1, :-1]
        length = (down.square() + across.square()).sum(0).add(1e-6).sqrt()
        loss = (degradation.apply(x) - x_hat).square().sum() + weight * length.sum()
        loss.backward()
        return loss

    optimiser.step(energy)
    return tasks.channels_last(u.detach().sigmoid())


def _resized(image: torch.Tensor, size: tuple[int, int], how) -> torch.Tensor:
    """(C, h, w) → (C, H, W) by Pillow, channel by channel, on floats."""
    height, width = size
    resized = (
        np.asarray(Image.fromarray(channel).resize((width, height), how))
        for channel in image.numpy()
    )
    return torch.from_numpy(np.stack(list(resized)))
