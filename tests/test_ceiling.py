"""The ceiling of a last ×2 upsampling: operator, adjoint, projection."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from dip_book import images
from dip_book.results import ceiling


def dots(a, b):
    return float((a * b).sum())


@pytest.mark.parametrize("method", ceiling.METHODS)
@pytest.mark.parametrize("shape", [(8, 8), (6, 10), (32, 2), (1, 3)])
def test_the_upsampling_is_pytorchs(method, shape):
    half = np.random.default_rng(0).standard_normal(shape)
    theirs = F.interpolate(torch.from_numpy(half)[None, None], scale_factor=2, mode=method)[0, 0]
    assert np.allclose(ceiling.enlarge(half, method), theirs.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ceiling.METHODS)
@pytest.mark.parametrize("shape", [(8, 8), (6, 10), (32, 2)])
def test_the_adjoint_is_the_adjoint(method, shape):
    draw = np.random.default_rng(0).standard_normal
    for _ in range(5):
        y, x = draw(shape), draw((2 * shape[0], 2 * shape[1]))
        assert dots(ceiling.enlarge(y, method), x) == pytest.approx(
            dots(y, ceiling.adjoint(x, method)), rel=1e-12
        )


@pytest.mark.parametrize("method", ceiling.METHODS)
def test_the_closest_is_a_projection(method, picture):
    found = ceiling.closest(picture, method)
    missing = picture.astype(np.float64) - found
    assert np.abs(ceiling.adjoint(missing, method)).max() < 1e-12, (
        "what is left stands at right angles to all enlargements"
    )
    assert np.allclose(ceiling.closest(found, method), found, atol=1e-12), (
        "an enlargement is its own closest"
    )


def test_nearest_is_the_mean_of_each_block(picture):
    means = picture.reshape(16, 2, 16, 2).mean(axis=(1, 3))
    assert np.allclose(
        ceiling.closest(picture, "nearest"), means.repeat(2, 0).repeat(2, 1), atol=1e-12
    )


def decibels(image, truth):
    return -10 * np.log10(((image - truth) ** 2).mean())


def test_no_enlargement_is_closer():
    x = images.load("camera", size=64)
    found = ceiling.closest(x)
    random = np.random.default_rng(0).standard_normal((32, 32))
    for scale in (-0.01, 0.01):
        assert decibels(found + scale * ceiling.enlarge(random, "bilinear"), x) < decibels(found, x)


def test_a_sigmoid_does_not_lower_the_ceiling_and_changes_nothing_for_nearest():
    x = images.load("brick", size=64)
    assert decibels(ceiling.closest(x, sigmoid=True), x) > decibels(ceiling.closest(x), x) - 0.05
    assert decibels(ceiling.closest(x, "nearest", sigmoid=True), x) == pytest.approx(
        decibels(ceiling.closest(x, "nearest"), x), abs=0.01
    )


@pytest.mark.parametrize("name", ["house", "barbara"])
def test_stored_ceilings_are_what_is_computed(name):
    if not images.available(name):
        pytest.skip(f"the test images are not here: set {images.IMAGES_VARIABLE}")
    x, stored = images.load(name), ceiling.stored_ceilings()["images"][name]
    for title, psnr in ceiling.ceilings_of(x).items():
        assert psnr == pytest.approx(stored[title], abs=1e-3), title


@pytest.mark.parametrize(
    ("image", "method", "words"),
    [
        ((7, 8), "bilinear", "even"),
        ((8, 8), "bicubic", "bilinear, nearest"),
        ((8, 8, 3), "nearest", "grey"),
    ],
)
def test_what_has_no_ceiling_is_refused(image, method, words):
    with pytest.raises(ValueError, match=words):
        ceiling.closest(np.zeros(image), method)


# From the known pixels -----------------------------------------------------------------------


def test_second_differences_and_their_adjoint():
    draw = np.random.default_rng(0).standard_normal
    half, down, across = draw((7, 9)), draw((5, 9)), draw((7, 7))
    bent = ceiling._bent(half)
    left = dots(bent[0], down) + dots(bent[1], across)
    assert left == pytest.approx(dots(half, ceiling._bent_back((down, across), half.shape)))


def test_conjugate_gradients_solve():
    a = np.random.default_rng(0).standard_normal((12, 12))
    a = a @ a.T + np.eye(12)
    b = np.arange(12.0)
    assert np.allclose(a @ ceiling.conjugate_gradients(lambda y: a @ y, b, 1e-10), b)


def test_with_all_pixels_known_and_no_smoothness_the_fit_is_the_ceiling():
    x = images.load("camera", size=64)
    fit = ceiling.fitted(x, np.ones_like(x, bool), smoothness=1e-9)
    assert decibels(fit, x) == pytest.approx(decibels(ceiling.closest(x, sigmoid=True), x), abs=0.1)


@pytest.mark.parametrize("way", ceiling.HALF)
def test_what_is_drawn_from_known_pixels_is_behind_the_upsampling_and_never_saw_the_others(way):
    x = images.load("camera", size=64)
    mask = np.random.default_rng(0).random(x.shape) < 0.5
    drawn = ceiling.HALF[way](x * mask, mask)
    assert np.array_equal(drawn, ceiling.HALF[way](np.where(mask, x, 1 - x), mask))
    before = np.log(drawn / (1 - drawn))
    assert np.allclose(ceiling.closest(before), before, atol=1e-6)


def test_no_way_from_half_of_the_pixels_reaches_the_ceiling_but_on_known_pixels_it_may():
    found = ceiling.half_of(images.load("camera", size=128))
    whole, known = found.pop(ceiling.BLOGS)
    for over_all, over_known in found.values():
        assert over_all < whole and over_known > known


def test_the_ceiling_of_a_stored_picture_is_of_values_inside_the_range():
    x = images.load("camera", size=64)
    cut = decibels(np.clip(ceiling.closest(x), 0, 1), x)
    assert ceiling.ceilings_of(x)["bilinear"] == pytest.approx(cut, abs=1e-3)


def test_the_search_ends_at_one_ceiling_from_two_starts():
    x = images.load("camera", size=64)
    grey = ceiling.closest(x, sigmoid=True, start=np.full((32, 32), 0.5))
    projected = ceiling.closest(x, sigmoid=True)
    assert decibels(grey, x) == pytest.approx(decibels(projected, x), abs=0.02)
