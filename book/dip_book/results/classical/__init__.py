"""What is done without a network about noise, small pictures and missing pixels: a file each.

Every method takes data x̂ (C, h, w) and their degradation, and returns a picture in [0, 1], (H, W)
or (H, W, 3).  They are libraries' own where there is one, with the settings that its documentation
recommends for a known σ; nothing is tuned on the pictures of a table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dip_blocks import Degradation
from dip_book import images, tasks
from dip_book.results import baselines
from dip_book.results.classical import noise, shrink

Method = Callable[[torch.Tensor, Degradation], np.ndarray]


def _filled(fill) -> Method:
    def draw(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
        known = degradation.known(x_hat)[0].numpy().astype(bool)
        return fill(tasks.channels_last(x_hat), known)

    return draw


#: A task's word → the keys that explorers and tables know → methods.
METHODS: dict[str, dict[str, Method]] = {
    "pixels": {name: _filled(fill) for name, fill in baselines.BASELINES.items()},
    "noise": {
        "nlm": noise.non_local_means,
        "tv": noise.total_variation,
        "wavelet": noise.wavelet,
    },
    "shrink": {
        "bicubic": shrink.bicubic,
        "lanczos": shrink.lanczos,
        "projected": shrink.back_projection,
        "tv": shrink.total_variation,
    },
}
#: Holes are missing pixels that lie together.
HOLES = ("text", "scratches", "hole", *images.MASKS)
METHODS |= dict.fromkeys(HOLES, METHODS["pixels"])


def methods(task: str) -> dict[str, Method]:
    """The methods for a task; none for one that has none."""
    return METHODS.get(tasks.parsed(task)[0], {})
