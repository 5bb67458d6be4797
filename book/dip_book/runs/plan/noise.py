"""Noise (book, chapter 13)."""

from __future__ import annotations

from itertools import product

from dip_book.runs.plan.optimiser import UNDER_MUON
from dip_book.runs.spec import Spec

NOISE = "noise25"
#: The pictures that choices about noise are made on: free ones, in colour.
NOISY_PICTURES = ("astronaut-rgb", "chelsea-rgb", "coffee-rgb")
#: Their size: small, so that two CPU cores get through what is tried.
NOISY_SIZE = 96
#: Against noise the recipes of `best` are taken as they are, but for their length: as few
#: iterations as two networks have at 512×512 in ten minutes of a core.
DENOISE_ITERATIONS = 280
#: What is tried on top of it, each alone: name → change; "iterations" is their number.  Seed 0, on
#: `NOISY_PICTURES`, PSNR of the averaged output after the last iteration.
NOISE_IDEAS = {
    "a hiding network": {},
    "twice as long": {"iterations": 2 * DENOISE_ITERATIONS},
    "half of the pixels hidden": {"hide": 0.5},
    "average over about 100 outputs": {"averaging": 0.99},
    "dropout 0.2": {"dropout": 0.2},
    "width 32": {"width": 32},
}


def rising(image: str, seed: int = 0, size: int = NOISY_SIZE) -> Spec:
    """Random z and nothing that protects from over-fitting, on a noisy picture.

    The settings are those with which the ideas for Muon began: quality rises, then falls.  The
    paper denoises with 1,800 iterations; a fifth of it, as Muon needs a fifth of Adam's.
    """
    return Spec(image, size, "paper", tuple(UNDER_MUON.items()), 360, seed, task=NOISE)


def against_noise(name: str, image: str, size: int | None = NOISY_SIZE, seed: int = 0) -> Spec:
    """The run that tries one of `NOISE_IDEAS`."""
    changes = dict(NOISE_IDEAS[name])
    iterations = changes.pop("iterations", DENOISE_ITERATIONS)
    return Spec(image, size, "best-hidden", tuple(changes.items()), iterations, seed, task=NOISE)


def at_random(image: str, size: int | None = NOISY_SIZE, seed: int = 0) -> Spec:
    """Random z with what protects hiding networks too: dropout, decay, a falling rate."""
    return Spec(image, size, "best-nearest", (), DENOISE_ITERATIONS, seed, task=NOISE)


def denoised(image: str, size: int | None = None, seed: int = 0) -> Spec:
    """The mean of two hiding networks of different depth on a noisy picture."""
    return Spec(image, size, "best", (), DENOISE_ITERATIONS, seed, task=NOISE)


def denoised_by_one(image: str, size: int | None = None, seed: int = 0) -> Spec:
    """The deeper of the two alone."""
    return denoised(image, size, seed).members[0]


#: Group → its runs.
GROUPS = {
    # noise: free pictures, on which everything was chosen
    "noise": [denoised(image, NOISY_SIZE) for image in NOISY_PICTURES]
    + [rising("astronaut-rgb"), *(at_random(image) for image in NOISY_PICTURES)]
    + [against_noise(name, image) for name, image in product(NOISE_IDEAS, NOISY_PICTURES)],
    # the paper's pictures of this problem, those of its nine that the book has
    "denoising": [
        denoised(image) for image in ("house-rgb", "peppers-rgb", "lena-rgb", "baboon-rgb", "f16")
    ],
}
