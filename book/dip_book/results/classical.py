"""What is done without a network about noise and small pictures, and about missing pixels.

Every method takes data x̂ (C, h, w) and their degradation, and returns a picture in [0, 1], (H, W)
or (H, W, 3).  They are libraries' own, with the settings that their documentation recommends for a
known σ; nothing is tuned on the pictures of a table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from skimage.restoration import denoise_nl_means

from dip_blocks import Degradation
from dip_book import images, tasks
from dip_book.results import baselines

Method = Callable[[torch.Tensor, Degradation], np.ndarray]


def non_local_means(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """Means of similar patches (Buades et al. 2005), by scikit-image; h = 0.8 σ as it advises."""
    sigma = degradation.sigma
    noisy = tasks.channels_last(x_hat)
    drawn = denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True,
        channel_axis=-1 if noisy.ndim == 3 else None,
    )  # fmt: skip
    return np.clip(drawn, 0, 1).astype(np.float32)


def bicubic(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """Cubic interpolation, a = −1/2, by Pillow, on floats."""
    height, width = degradation.size(x_hat)
    resized = [
        np.asarray(Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC))
        for channel in x_hat.numpy()
    ]
    return tasks.channels_last(torch.from_numpy(np.stack(resized)).clamp(0, 1))


def _filled(fill) -> Method:
    def draw(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
        known = degradation.known(x_hat)[0].numpy().astype(bool)
        return fill(tasks.channels_last(x_hat), known)

    return draw


#: A task's word → the keys that explorers and tables know → methods.
METHODS: dict[str, dict[str, Method]] = {
    "pixels": {name: _filled(fill) for name, fill in baselines.BASELINES.items()},
    "noise": {"nlm": non_local_means},
    "shrink": {"bicubic": bicubic},
}
#: Holes are missing pixels that lie together.
HOLES = ("text", "scratches", "hole", *images.MASKS)
METHODS |= dict.fromkeys(HOLES, METHODS["pixels"])


def methods(task: str) -> dict[str, Method]:
    """The methods for a task; none for one that has none."""
    return METHODS.get(tasks.parsed(task)[0], {})
