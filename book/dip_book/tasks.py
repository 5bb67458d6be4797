"""What a run's picture has lost, by name: the degradations that stored runs are of.

A name is a word and its number: "pixels" (half of them missing, or another share p), "noise25"
(σ = 25 of 255), "shrink4" (a quarter of the side).
"""

from __future__ import annotations

import re

import numpy as np
import torch

import dip_blocks

PIXELS = "pixels"
_NUMBER = r"([1-9]\d*(?:\.\d+)?)"


def degradation(
    task: str, height: int, width: int, *, p: float = 0.5, seed: int = 0
) -> dip_blocks.Degradation:
    """The degradation of that name for a picture of height × width.

    Args:
        p: of "pixels", the share that is known.
        seed: of the mask, where there is one.

    Raises ValueError for an unknown name.
    """
    if task == PIXELS:
        return dip_blocks.Masked(dip_blocks.bernoulli_mask(height, width, p=p, seed=seed))
    if found := re.fullmatch(f"noise{_NUMBER}", task):
        return dip_blocks.Noisy(float(found[1]) / 255)
    if (found := re.fullmatch(f"shrink{_NUMBER}", task)) and "." not in found[1]:
        return dip_blocks.Shrunk(int(found[1]))
    raise ValueError(
        f"There is no task '{task}'; there are {PIXELS}, noise and σ of 255 (noise25), shrink and "
        "how many times (shrink4)."
    )


def check(task: str) -> None:
    """Raise the ValueError of `degradation` for a name that is none."""
    degradation(task, 1, 1, p=1)


def title(task: str) -> str:
    """A task in words, for tables and captions."""
    word, number = re.fullmatch(r"([a-z]+)([\d.]*)", task).groups()
    known = {"noise": f"noise, σ = {number}", "shrink": f"{number} times smaller"}
    return known.get(word, "missing pixels" if task == PIXELS else task)


def for_eyes(x_hat: torch.Tensor, height: int, width: int) -> np.ndarray:
    """Data (C, h, w) as a picture of height × width in [0, 1]: (H, W), or (H, W, 3) if C is 3.

    What is smaller is enlarged pixel by pixel; what noise carried out of range is clipped.
    """
    rows, columns = (
        torch.arange(length) * seen // length
        for length, seen in zip((height, width), x_hat.shape[-2:])
    )
    return channels_last(x_hat[:, rows][:, :, columns].clamp(0, 1))


def channels_last(image: torch.Tensor) -> np.ndarray:
    """(1, H, W) → (H, W), (3, H, W) → (H, W, 3): as `images.load` gives pictures."""
    array = image.detach().cpu().numpy()
    return np.ascontiguousarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
