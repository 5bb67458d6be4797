"""Tasks beyond missing pixels: what a degradation is, and that the loop asks for nothing else."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import small_config
from skimage import data

from dip_blocks import (
    Degradation,
    Fit,
    Masked,
    Noisy,
    Recipe,
    Shrunk,
    bernoulli_mask,
    degrade,
    psnr,
    restore,
)
from dip_parts.degradations import lanczos

RECIPE = Recipe(config=small_config(), z_channels=8, iterations=60, lr=0.01, averaging=0.9)


@pytest.fixture(scope="module")
def truth():
    """A colour picture, (3, 32, 48)."""
    picture = torch.from_numpy(data.astronaut()[40:168:4, 120:312:4].copy())
    return picture.permute(2, 0, 1).float() / 255


def test_a_mask_and_a_masked_picture_are_one_task(truth):
    x_hat, mask = degrade(truth)
    one, other = (restore(x_hat, d, RECIPE, progress=False) for d in (mask, Masked(mask)))
    assert torch.equal(one.image, other.image)
    assert torch.equal(Masked(mask).degrade(truth), x_hat)
    assert torch.equal(Masked(mask).known(x_hat), mask)


def test_noise_has_its_sigma_and_its_seed(truth):
    noise = Noisy(25 / 255).degrade(truth.repeat(1, 8, 8), seed=3) - truth.repeat(1, 8, 8)
    assert abs(noise.std() * 255 - 25) < 0.3 and abs(noise.mean() * 255) < 0.3
    assert torch.equal(Noisy(0.1).degrade(truth, 3), Noisy(0.1).degrade(truth, 3))
    assert not torch.equal(Noisy(0.1).degrade(truth, 3), Noisy(0.1).degrade(truth, 4))
    dark = Noisy(0.1).degrade(torch.zeros(1, 32, 32))
    assert dark.min() < 0, "clipped noise would not be Gaussian"


def test_shrinking_keeps_what_is_flat_and_halves_as_pillow_does(truth):
    flat = Shrunk(4).apply(torch.full((3, 32, 48), 0.3))
    assert flat.shape == (3, 8, 12) and torch.allclose(flat, torch.tensor(0.3))
    from PIL import Image

    x = truth[0].numpy()
    theirs = Image.fromarray(x).resize((12, 8), Image.Resampling.LANCZOS)
    assert np.allclose(Shrunk(4).apply(truth)[0].numpy(), np.asarray(theirs), atol=1e-5)


@pytest.mark.parametrize(
    "degradation",
    [Masked(bernoulli_mask(32, 48)), Noisy(0.1), Shrunk(2), Shrunk(4), Shrunk(8, lobes=2)],
    ids=repr,
)
def test_the_gradient_is_the_adjoint(degradation):
    """⟨D x, y⟩ = ⟨x, Dᵀ y⟩, with Dᵀ as autograd has it."""
    x = torch.rand(3, 32, 48, dtype=torch.float64).float().requires_grad_()
    seen = degradation.apply(x)
    y = torch.rand_like(seen)
    (back,) = torch.autograd.grad(seen, x, y)
    with torch.no_grad():
        assert math.isclose(float((seen * y).sum()), float((x * back).sum()), rel_tol=1e-4)


def test_each_row_of_the_filter_sums_to_one_and_has_its_window():
    matrix = lanczos(40, 4, 3, torch.device("cpu"))
    assert torch.allclose(matrix.sum(1), torch.ones(10))
    inside = matrix[5][matrix[5] != 0]  # three new pixels to either side
    assert len(inside) == 24 and torch.allclose(inside, inside.flip(0)) and inside.min() < 0


@pytest.mark.parametrize("degradation", [Noisy(25 / 255), Shrunk(2)], ids=repr)
def test_the_loop_solves_it(truth, degradation):
    x_hat = degradation.degrade(truth, seed=1)
    result = restore(
        x_hat, degradation, replace(RECIPE, iterations=300), truth=truth, progress=False
    )
    assert result.image.shape == truth.shape
    untrained = restore(x_hat, degradation, RECIPE, iterations=1, progress=False).image
    assert psnr(result.averaged, truth) > psnr(untrained, truth) + 4
    assert result.history[-1].loss < result.history[0].loss / 4
    assert math.isclose(
        result.history[-1].psnr_averaged, psnr(result.averaged, truth), abs_tol=1e-3
    )


class Mirrored(Degradation):
    """A reader's own: only the mean of the picture and its mirror image is seen."""

    def apply(self, image):
        return (image + image.flip(-1)) / 2


def test_a_degradation_of_ones_own_needs_apply_alone(truth):
    x_hat = Mirrored().degrade(truth)
    result = restore(x_hat, Mirrored(), replace(RECIPE, iterations=200), progress=False)
    seen = Mirrored().apply(result.image)
    assert ((seen - x_hat) ** 2).mean() < ((0.5 - x_hat) ** 2).mean() / 4
    assert ((result.image - truth) ** 2).mean() > ((seen - x_hat) ** 2).mean()


def test_a_checkpoint_is_of_its_degradation(truth):
    x_hat = Noisy(0.1).degrade(truth)
    fit = Fit(x_hat, Noisy(0.1), RECIPE, device="cpu")
    fit.run(3)
    state = fit.state()
    again = Fit(x_hat, Noisy(0.1), RECIPE, device="cpu")
    again.load(state)
    for one in (fit, again):
        one.run(3)
    assert torch.equal(fit.output, again.output)
    with pytest.raises(ValueError, match=r"Noisy\(sigma=0.2\)"):
        Fit(x_hat, Noisy(0.2), RECIPE, device="cpu").load(state)


OF_ONES_OWN = """
import logging
import numpy as np
from dip_blocks import Degradation

class Own(Degradation):
    def __init__(self):
        self.kept, self.also = {"red", "green", "blue"}, frozenset(map(str, range(9)))
        self.xp, self.log, self.calls = np, logging.getLogger("own"), 0

    def apply(self, image):
        self.calls += 1
        return image / 2
"""


def test_a_degradation_is_known_in_another_process():
    """Sets have another order there; modules and loggers hold what changes from hour to hour."""
    code = OF_ONES_OWN + "\nprint(Own())"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "5")
    }
    (own,) = told
    assert own.endswith("xp=numpy, log=own, calls=0)") and "'blue', 'green', 'red'" in own


def test_a_degradation_that_counts_its_calls_is_gone_on_with(truth):
    namespace = {}
    exec(OF_ONES_OWN, namespace)
    fit, again = (Fit(truth / 2, namespace["Own"](), RECIPE, device="cpu") for _ in range(2))
    fit.run(3)
    again.load(fit.state())
    assert again.iteration == 3


def test_two_degradations_are_told_apart_in_a_message_that_can_be_read(truth):
    class Listed(Mirrored):
        def __init__(self, count):
            self.numbers = list(range(count))

    state = Fit(truth, Listed(5000), RECIPE, device="cpu").state()
    with pytest.raises(ValueError, match="is of another fit, and nothing was loaded: ") as refused:
        Fit(truth, Listed(6000), RECIPE, device="cpu").load(state)
    assert len(str(refused.value)) < 1000


def test_what_cannot_be_is_refused(truth):
    for wrong, words in [
        (lambda: Noisy(-1), "sigma must be from 0 to 1"),
        (lambda: Noisy(float("nan")), "sigma must be from 0 to 1"),
        (lambda: Shrunk(1), "2 or more"),
        (lambda: Shrunk(2.5), "whole number"),
        (lambda: Shrunk(5).degrade(truth), "crop it to 45×30"),
        (lambda: Masked(torch.zeros(1, 4, 4)), "no pixel as known"),
        (lambda: Fit(truth, Masked(torch.ones(1, 4, 4)), RECIPE), "mask's shape"),
        (lambda: Fit(truth, Shrunk(2), RECIPE, truth=truth), r"\(3, 64, 96\)"),
        (lambda: Fit(truth, Noisy(0.1), RECIPE, truth=truth[:1]), "truth has shape"),
        (
            lambda: Fit(
                truth, Shrunk(2), replace(RECIPE, z_kind="known", z_channels=0, hide=0.3)
            ),
            "picture's own size",
        ),
        (lambda: Fit(2 * truth, torch.ones(1, 32, 48), RECIPE), r"\[0, 1\]"),
        (lambda: Fit(truth / 0, Noisy(0.1), RECIPE), "NaN"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=words):
            wrong()
    assert Fit(2 * truth - 0.5, Noisy(0.1), RECIPE, device="cpu").x_hat.max() > 1
