"""What runs of several networks draw together: their averaged outputs, averaged.

What they get wrong in different places, a mean takes away (book, "A better optimiser").  Each
member is a stored run that stands alone.  The mean is a stored run too, with its members' paths,
and no history: it was never fitted.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.metrics import structural_similarity

import dip_blocks
from dip_book import images, runs
from dip_book.runs import Run, RunError, Spec
from dip_book.runs.provenance import provenance


def measured(
    raw: torch.Tensor,
    averaged: torch.Tensor,
    picture: np.ndarray,
    degradation: dip_blocks.Degradation,
) -> dict:
    """PSNR in dB and SSIM of both outputs (C, H, W), alone and with known pixels put back.

    This is part of a record.  Where the data hold no pixel as it was, nothing is put back: None.
    Where they are smaller than the picture, "psnr_luma_db" is what the field reports (`luma`).

    Args:
        picture: the truth, (H, W) or (H, W, 3) in [0, 1].
    """
    truth, kinds = dip_blocks.as_image(picture), {"raw": raw, "averaged": averaged}
    x_hat = degradation.apply(truth)
    known = degradation.known(x_hat)
    if known.any():
        kinds |= {
            f"{kind}_pasted": dip_blocks.paste(image, truth, known) for kind, image in kinds.items()
        }
        kinds["averaged_blended"] = dip_blocks.blend(averaged, truth, known)
    found = {
        "psnr_db": {kind: round(dip_blocks.psnr(kinds[kind], truth), 4) for kind in kinds},
        "ssim": {kind: round(_ssim(kinds[kind], truth), 5) for kind in kinds},
    }
    found = {what: dict.fromkeys(runs.KINDS) | values for what, values in found.items()}
    if isinstance(degradation, dip_blocks.Shrunk):
        border = degradation.factor
        inner = {kind: luma(image, border) for kind, image in kinds.items()}
        found["psnr_luma_db"] = {
            kind: round(dip_blocks.psnr(image, luma(truth, border)), 4)
            for kind, image in inner.items()
        }
    return found


def luma(image: torch.Tensor, border: int = 0) -> torch.Tensor:
    """Luma of a picture (C, H, W) in [0, 1], less ``border`` pixels on each side: (1, h, w).

    The first channel of ITU-R BT.601's Y'CbCr, 16 to 235 of 255, as super-resolution is measured.
    """
    weights = torch.tensor([65.481, 128.553, 24.966] if len(image) == 3 else [219.0])
    y = (16 + (weights[:, None, None] * image).sum(0, keepdim=True)) / 255
    return y[:, border : y.shape[1] - border, border : y.shape[2] - border]


def mean_of(members: list[Run]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of raw and of averaged outputs, (H, W[, 3]), from the stored pictures of 8 bits.

    Raises RunError for fewer than two members, or members that saw different pictures or pixels:
    it names what differs.
    """
    if len(members) < 2:
        raise RunError("A mean needs two runs or more.")
    for what, key in (
        ("pictures", lambda facts: facts["image"]["sha256"]),
        ("masks", lambda facts: (facts["seeds"]["mask"], facts["p"], facts.get("task"))),
    ):
        if len({key(run.facts) for run in members}) > 1:
            raise RunError(
                f"A mean of networks of different {what} means nothing: "
                f"{', '.join(run.name for run in members)}."
            )
    return tuple(
        mean_of_pictures([getattr(run, kind) for run in members]) for kind in ("raw", "averaged")
    )


def mean_of_pictures(pictures: list[np.ndarray]) -> np.ndarray:
    """The mean of pictures (H, W[, 3]) in [0, 1], each rounded to 8 bits, as stored ones are."""
    kept = [images.to_bytes(picture).astype(np.float32) / 255 for picture in pictures]
    return np.mean(kept, axis=0, dtype=np.float32)


def combine(spec: Spec, members: list[Run]) -> Run:
    """The run of a spec whose recipe is one of `dip_blocks.MEANS`, of its members' runs.

    Needs the true picture, for PSNR.  The seconds are those of all members.  Errors as `mean_of`.
    """
    raw, averaged = mean_of(members)
    first, truth = members[0].facts, members[0].truth()
    outputs = [dip_blocks.as_image(array) for array in (raw, averaged)]

    def total(key: str) -> float | None:
        values = [
            run.facts.get(key) for run in members
        ]  # core_seconds: not of a GPU's runs, nor of old ones
        return None if None in values else round(sum(values), 2)

    facts = {
        "format": runs.FORMAT,
        "about": "The mean of what several networks drew, each a stored run (members), from their "
        "pictures of 8 bits. Iterations and seconds are those of all members together. "
        "PSNR in dB (peak 1) and SSIM are over the whole picture.",
        "recipe": {
            "name": spec.recipe,
            "changes": dict(spec.changes),
            "members": [run.facts["recipe"] for run in members],
        },
        "members": [member.path.as_posix() for member in spec.members],
        **{key: first[key] for key in ("image", "p", "task", "seeds") if key in first},
        "iterations": total("iterations"),
        "recipe_iterations": total("recipe_iterations"),
        **measured(*outputs, truth, members[0].degradation()),
        "backtracked": total("backtracked"),
        "wall_time_s": total("wall_time_s"),
        "core_seconds": total("core_seconds"),
        "iterations_per_s": round(total("iterations") / total("wall_time_s"), 3),
        "peak_memory_mib": max(
            (run.facts["peak_memory_mib"] for run in members if run.facts["peak_memory_mib"]),
            default=None,
        ),
        **{
            key: " and ".join(dict.fromkeys(run.facts[key] for run in members))
            for key in ("device", "precision")
        },
        **_made_with(members),
    }
    return Run(facts, [], {"raw": raw, "averaged": averaged})


def _made_with(members: list[Run]) -> dict:
    """`provenance`, but what computed is what computed the members, as far as they agree.

    A mean may be taken on another machine, or on other threads; what decides its bits, and what
    making it again has to be like, is how its members were fitted.
    """
    facts = provenance()
    for what in (("threads",), ("machine",), ("versions",), ("commit", "dirty")):
        first, *others = ({key: run.facts.get(key) for key in what} for run in members)
        if first[what[0]] is not None and all(other == first for other in others):
            facts |= first
    return facts


def _ssim(image: torch.Tensor, truth: torch.Tensor) -> float:
    pair = image.numpy(), truth.numpy()
    if len(truth) == 1:
        return float(structural_similarity(*(one[0] for one in pair), data_range=1.0))
    return float(structural_similarity(*pair, data_range=1.0, channel_axis=0))
