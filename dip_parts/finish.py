"""What is done with what networks drew: averaged, and the known pixels put back."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real

import torch
import torch.nn.functional as F

from dip_parts.checks import as_image, as_mask
from dip_parts.engine import Restoration


def paste(image: torch.Tensor, x_hat, mask) -> torch.Tensor:
    """The image (C, H, W) with the known pixels put back: m ⊙ x̂ + (1 − m) ⊙ image.

    x̂ and the mask may be whatever `dip_blocks.restore` takes; errors as there.
    """
    known, x_hat = _what_is_known(image, x_hat, mask)
    return torch.where(known, x_hat, image)


def blend(image: torch.Tensor, x_hat, mask, damping: float = 0.5) -> torch.Tensor:
    """The image (C, H, W) with the known pixels put back, and its missing ones moved along.

    What the image was off by at the known pixels is handed on to the missing ones
    between them: each gets the sum of its four neighbours' corrections, divided by
    4 + ``damping``, and so on until nothing changes.  Without damping this is the membrane
    with which Pérez et al. ("Poisson image editing", 2003) paste without a seam; with it,
    a correction dies out within a few pixels (book, "A better optimiser").  Arguments and
    errors as in `paste`.
    """
    if not isinstance(damping, Real) or not 0 <= damping <= 1e9:
        raise ValueError(f"damping must be 0 or above, and at most a billion, not {damping!r:.60}.")
    known, x_hat = _what_is_known(image, x_hat, mask)
    off = torch.where(known, x_hat - image, 0.0)
    correction = off
    for _ in range(50):  # a hundredth is left after forty, where nothing is known near by
        c = F.pad(correction, (1, 1, 1, 1), mode="replicate")
        around = c[:, :-2, 1:-1] + c[:, 2:, 1:-1] + c[:, 1:-1, :-2] + c[:, 1:-1, 2:]
        correction = torch.where(known, off, around / (4 + float(damping)))
    return torch.where(known, x_hat, (image + correction).clamp(0, 1))


def _what_is_known(image: torch.Tensor, x_hat, mask) -> tuple[torch.Tensor, torch.Tensor]:
    """Where, bool (1, H, W), and what, (C, H, W); ValueError for another size than the image's."""
    if not isinstance(image, torch.Tensor):
        raise TypeError(
            "The image is what a network drew, such as restoration.averaged, a tensor (C, H, W); "
            f"this is a {type(image).__name__}."
        )
    if image.ndim < 2 or image.device.type != "cpu":
        raise ValueError(
            f"The image is a tensor (C, H, W) on the CPU; this one is {tuple(image.shape)}, on "
            f"{str(image.device)!r}. image.cpu() brings one there."
        )
    known, x_hat = as_mask(mask, *image.shape[-2:]) == 1, as_image(x_hat)
    if x_hat.shape[-image.ndim :] != image.shape:
        raise ValueError(
            f"The known pixels' shape is {tuple(x_hat.shape)}, the image's {tuple(image.shape)}."
        )
    return known, x_hat


def mean_of(restorations: Iterable[Restoration]) -> Restoration:
    """The mean of what several networks drew of one picture: raw outputs, and averages.

    Where all have come as far, it is nearer to the truth than each (book, "A better optimiser").
    An iterable that fits them one after the other, such as ``(restore(x_hat, mask, RECIPES[name])
    for name in MEANS["best"])``, is read no further than an interrupt.  There is no history.

    Raises ValueError for none, and for pictures of two shapes; TypeError for anything else than
    what `dip_blocks.restore` returns.
    """
    drawn = []
    for restoration in restorations if isinstance(restorations, Iterable) else [restorations]:
        if not isinstance(restoration, Restoration):
            raise TypeError(
                "A mean is of what dip_blocks.restore returns, several in a list; among these is a "
                f"{type(restoration).__name__}."
            )
        drawn.append(restoration)
        if restoration.interrupted:
            break
    if not drawn:
        raise ValueError("A mean needs what one network drew, or more.")
    if len(shapes := {tuple(one.image.shape) for one in drawn}) > 1:
        raise ValueError(f"A mean is of one picture; these have the shapes {sorted(shapes)}.")
    kinds = ("image", "averaged")
    means = (torch.stack([getattr(one, kind) for one in drawn]).mean(0) for kind in kinds)
    return Restoration(*means, interrupted=drawn[-1].interrupted)
