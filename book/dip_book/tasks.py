"""What a run's picture has lost, by name: the degradations that stored runs are of.

A name is a word and its number: "pixels" (half of them missing, or another share p), "noise25"
(σ = 25 of 255), "shrink4" (a quarter of the side), "text10" and "scratches10" (a tenth of the
picture is missing), "hole40" (40×40 pixels in the middle).  The paper's own masks have the names of
`images.MASKS`.
"""

from __future__ import annotations

import re

import numpy as np
import torch

import dip_blocks
from dip_book import holes, images

PIXELS = "pixels"
#: Words whose number is whole; of the others it may have decimals.
WHOLE = ("shrink", "hole")
_NAME = r"(noise|shrink|text|scratches|hole)([1-9]\d*(?:\.\d+)?)"


def degradation(
    task: str, height: int, width: int, *, p: float = 0.5, seed: int = 0
) -> dip_blocks.Degradation:
    """The degradation of that name for a picture of height × width.

    Args:
        p: of "pixels", the share that is known.
        seed: of the mask, where it is drawn at random.

    Raises ValueError for an unknown name, or a mask that leaves no pixel or has another size.
    """
    word, number = parsed(task)
    if word == "noise":
        return dip_blocks.Noisy(float(number) / 255)
    if word == "shrink":
        shrunk = dip_blocks.Shrunk(int(number))
        if min(height, width) <= 2 * shrunk.factor:
            raise ValueError(
                f"{task} is measured without {number} pixels at each border: a picture of "
                f"{width}×{height} has nothing else."
            )
        return shrunk
    if task == PIXELS:
        return dip_blocks.Masked(dip_blocks.bernoulli_mask(height, width, p=p, seed=seed))
    if task in images.MASKS:
        known = holes.stored(task, height, width)
    else:
        known = holes.known(word, number, height, width, seed)
    return dip_blocks.Masked(torch.from_numpy(known)[None].float())


def parsed(task: str) -> tuple[str, str]:
    """A task's word and its number, "" where it has none; ValueError for an unknown name."""
    if task == PIXELS or task in images.MASKS:
        return task, ""
    if (found := re.fullmatch(_NAME, task)) and ("." not in found[2] or found[1] not in WHOLE):
        return found[1], found[2]
    masks = ", ".join(images.MASKS)
    raise ValueError(
        f"There is no task '{task}'; there are {PIXELS}, noise and σ of 255 (noise25), shrink and "
        "how many times (shrink4), text or scratches and the percentage that is missing (text10), "
        f"hole and its side in pixels (hole40), {masks}."
    )


def check(task: str) -> None:
    """Raise the ValueError of `parsed` for a name that is none."""
    parsed(task)


def masked(task: str) -> bool:
    """Does the task leave known pixels, and others missing?"""
    return parsed(task)[0] not in ("noise", "shrink")


def title(task: str) -> str:
    """A task in words, for tables and captions."""
    word, number = parsed(task)
    known = {
        PIXELS: "missing pixels",
        "noise": f"noise, σ = {number}",
        "shrink": f"{number} times smaller",
        "text": f"text, {number} %",
        "scratches": f"scratches, {number} %",
        "hole": f"a hole of {number}×{number}",
    }
    return known[word] if word in known else images.MASKS[task].title


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
