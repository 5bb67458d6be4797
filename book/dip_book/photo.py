"""Restoring a picture of yours: from a file with holes to a file without."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

import dip_blocks
from dip_book import images, runs
from dip_book.runs.checkpoints import Checkpoint

CHECKPOINT_S = 15.0  # seconds between checkpoints


class Unfinished(RuntimeError):
    """The fit was interrupted; the message says what there is so far and how to go on."""


def restore(
    picture: str | Path,
    to: str | Path | None = None,
    *,
    mask: str | Path | None = None,
    recipe: str = "quick",
    iterations: int | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    progress: bool = True,
    again: bool = False,
) -> Path:
    """Fill in the missing pixels of a picture file, and write the result.

    What is written is the moving average of the network's outputs, with the known pixels as they
    were, blended in.

    Args:
        picture, mask: see `images.load_damaged`.
        to: the file that is written, 8-bit PNG; if None, the picture's name with "-restored", in
            the current folder.
        recipe: a name among `dip_blocks.RECIPES`, or among `dip_blocks.MEANS`, whose networks are
            fitted one after the other; its `iterations` (each member's) unless others are given.
        progress: say what is missing, and show a bar.
        again: write over a result that is there already.

    Returns:
        The written file's path.

    Raises:
        ImageError: see `images.load_damaged`; a result that is there already, or that would replace
            its source.
        RunError: an unknown recipe; no iteration; a device that is not here; a picture too small
            for the network.
        Unfinished: after an interrupt.  The picture so far is written, and a checkpoint beside it:
            the same call goes on from it, at most `CHECKPOINT_S` seconds back, with the result of
            an uninterrupted one.
    """
    members = {
        spec.recipe: spec.resolved()
        for spec in runs.Spec(str(picture), None, recipe, iterations=iterations).members
    }
    if iterations is not None and iterations < 1:
        raise runs.RunError(f"Iterations: 1 or more, not {iterations}.")
    x_hat, known = images.load_damaged(picture, mask)
    to = Path(f"{Path(picture).stem}-restored.png") if to is None else Path(to)
    if to.suffix.lower() != ".png":
        raise images.ImageError(
            f"The result is written as PNG: call it '{to.with_suffix('.png')}', not '{to}'."
        )
    if any(
        to.resolve() == Path(source).resolve() for source in (picture, mask) if source is not None
    ):
        raise images.ImageError(
            f"'{to}' would replace the picture that it is made from: choose another name."
        )
    if not to.parent.is_dir():
        raise images.ImageError(f"There is no folder '{to.parent}' to write the result into.")
    with runs.blocks_errors():
        device = str(dip_blocks.as_device(device))
    precision = precision or dip_blocks.best_precision(device)
    same = {
        "image": images.digest(x_hat), "mask": hashlib.sha256(known.tobytes()).hexdigest(),
        "seed": seed, "device": torch.device(device).type, "precision": precision,
    }  # fmt: skip
    names = {
        name: to.with_suffix(f".{name}.checkpoint" if len(members) > 1 else ".checkpoint")
        for name in members
    }
    saved = {
        name: Checkpoint(names[name], same | {"recipe": chosen.as_dict()}, CHECKPOINT_S)
        for name, chosen in members.items()
    }
    if to.exists() and not any(checkpoint.state for checkpoint in saved.values()) and not again:
        raise images.ImageError(
            f"'{to}' is there already: choose another name, "
            "or write over it with --again (again=True)."
        )
    if progress:
        (height, width), missing = known.shape, int((~known).sum())
        kind = "colour" if x_hat.ndim == 3 else "grey"
        print(
            f"{width}×{height} pixels, {kind}; "
            f"{missing:,} of them ({missing / known.size:.1%}) are missing.",
            flush=True,
        )
    drawn, total = [], sum(chosen.iterations for chosen in members.values())
    for name, chosen in members.items():
        if progress and len(members) > 1:
            print(f"Network {len(drawn) + 1} of {len(members)}, {name}:", flush=True)
        with runs.blocks_errors():
            result = dip_blocks.restore(
                x_hat, known, chosen, seed=seed, device=device, precision=precision,
                progress=progress, resume=saved[name].state, watch=saved[name],
            )  # fmt: skip
        drawn.append(result)
        images.save_png(
            to, dip_blocks.blend(torch.stack([r.averaged for r in drawn]).mean(0), x_hat, known)
        )
        if result.interrupted:
            kept = any(checkpoint.path.exists() for checkpoint in saved.values())
            further = (
                "goes on from the last checkpoint"
                if kept
                else "with --again (again=True) begins anew: there is no checkpoint yet"
            )
            done = sum(len(r.history) for r in drawn)
            raise Unfinished(
                f"Stopped after {done:,} of {total:,} iterations. The picture so far is in {to}; "
                f"the same command {further}."
            )
        if len(drawn) < len(members):
            saved[name].finish()  # the next may be interrupted
    for checkpoint in saved.values():
        checkpoint.discard()
    return to
