"""Images, masks, loss and PSNR."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from dip_blocks import as_image, as_mask, bernoulli_mask, degrade, masked_loss, psnr


def test_the_mask_is_bernoulli_and_seeded():
    mask = bernoulli_mask(200, 300, p=0.3, seed=1)
    assert mask.shape == (1, 200, 300) and set(mask.unique().tolist()) == {0.0, 1.0}
    assert abs(mask.mean().item() - 0.3) < 0.01
    assert torch.equal(mask, bernoulli_mask(200, 300, p=0.3, seed=1))
    assert not torch.equal(mask, bernoulli_mask(200, 300, p=0.3, seed=2))


def test_p_is_the_probability_of_being_known():
    assert bernoulli_mask(8, 8, p=0).sum() == 0
    assert bernoulli_mask(8, 8, p=1).sum() == 64
    few, many = bernoulli_mask(64, 64, p=0.2), bernoulli_mask(64, 64, p=0.8)
    assert few.sum() < many.sum() and ((many - few) >= 0).all()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_out_of_range(p):
    with pytest.raises(ValueError, match="probability that a pixel is known"):
        bernoulli_mask(8, 8, p=p)


def test_a_known_mask():
    """Stored runs depend on these bits: the generator must never change."""
    assert bernoulli_mask(2, 8, seed=0)[0].int().tolist() == [
        [0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 1, 0, 1],
    ]


def test_degrade_multiplies_and_shares_one_mask_among_channels():
    image = np.random.default_rng(0).uniform(0.1, 1, (16, 16, 3)).astype(np.float32)
    x_hat, mask = degrade(image)
    assert x_hat.shape == (3, 16, 16) and mask.shape == (1, 16, 16)
    assert torch.equal(x_hat, as_image(image) * mask)
    assert ((x_hat == 0).all(dim=0) == (mask[0] == 0)).all()


def test_kinds_of_numbers():
    eight = np.arange(64, dtype=np.uint8).reshape(8, 8)
    wide = np.full((8, 8), 65535, dtype=np.uint16)
    assert torch.equal(as_image(eight), torch.arange(64).reshape(1, 8, 8) / 255)
    assert torch.equal(as_image(wide), torch.ones(1, 8, 8))
    assert torch.equal(as_image(torch.from_numpy(wide)), torch.ones(1, 8, 8))
    double = np.linspace(0, 1, 64).reshape(8, 8)
    assert as_image(double).dtype == torch.float32
    assert torch.equal(as_image(double), torch.from_numpy(double).float()[None])
    assert as_image(torch.rand(3, 5, 7)).shape == (3, 5, 7)
    assert as_image(np.random.rand(5, 7, 3)).shape == (3, 5, 7)
    assert as_image(np.random.rand(5, 7, 1)).shape == (1, 5, 7)


def test_the_callers_array_is_left_alone():
    image = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    before = image.copy()
    x_hat, _ = degrade(image)
    x_hat += 1
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.full((4, 4), 1.5), ValueError, r"\[0, 1\]; these go from 1.5 to 1.5"),
        (np.full((4, 4), -0.5), ValueError, r"\[0, 1\]"),
        (np.full((4, 4), 200.0), ValueError, "Divide 8-bit values by 255"),
        (np.where(np.eye(4), np.nan, 0.5), ValueError, "4 values of the image are NaN"),
        (np.full((4, 4), np.inf), ValueError, "NaN or infinite"),
        (np.zeros((0, 4)), ValueError, "empty"),
        (np.zeros(16), ValueError, r"Got shape \(16,\)"),
        (np.zeros((4, 4, 2)), ValueError, r"Got shape \(4, 4, 2\)"),
        (np.zeros((1, 2, 4, 4)), ValueError, "Got shape"),
        (np.zeros((4, 4), dtype=np.int64), TypeError, "int64"),
        (np.zeros((4, 4), dtype=bool), TypeError, "bool"),
        (np.zeros((4, 4), dtype=complex), TypeError, "complex"),
        (np.array([["a"]]), TypeError, "known range"),
    ],
)
def test_bad_images(image, error, words):
    with pytest.raises(error, match=words):
        as_image(image)


def test_a_rounding_error_is_not_a_mistake():
    image = as_image(np.array([[-1e-9, 1 + 1e-7], [0.5, 0.5]]))
    assert image.min() == 0 and image.max() == 1


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8)])
@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64])
def test_masks(shape, kind):
    mask = as_mask(np.eye(8).reshape(shape).astype(kind), 8, 8)
    assert torch.equal(mask, torch.eye(8)[None])


@pytest.mark.parametrize("shape", [(8, 9), (9, 8), (3, 8, 8), (64,), (8, 8, 1)])
def test_a_mask_of_another_shape(shape):
    with pytest.raises(ValueError, match="The mask's shape is .* but the image is 8×8"):
        as_mask(np.ones(shape), 8, 8)


@pytest.mark.parametrize("value", [0.5, 255, -1, np.nan])
def test_a_mask_of_other_values(value):
    with pytest.raises(ValueError, match="1 .* known, 0 .* missing"):
        as_mask(np.full((8, 8), value), 8, 8)


def test_the_loss_by_hand():
    output = torch.tensor([[[[0.5, 0.5], [0.5, 0.5]]]])
    x_hat = torch.tensor([[[0.1, 0.9], [0.0, 0.0]]])
    mask = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert masked_loss(output, x_hat, mask).item() == pytest.approx((0.4**2 + 0.4**2) / 2)


def test_the_loss_is_a_mean_over_known_values():
    """Neither the size, the mask's density nor the number of channels changes its scale."""
    for shape in [(1, 8, 8), (3, 8, 8), (1, 64, 64)]:
        for p in (0.2, 0.9):
            mask = bernoulli_mask(*shape[1:], p=p)
            assert masked_loss(
                torch.full(shape, 0.7)[None], torch.full(shape, 0.5) * mask, mask
            ).item() == pytest.approx(0.04)


def test_missing_pixels_do_not_count():
    x_hat, mask = degrade(np.full((8, 8), 0.5, np.float32))
    output = torch.full((1, 1, 8, 8), 0.25, requires_grad=True)
    scribbled = torch.where(mask == 1, x_hat, torch.ones_like(x_hat))
    assert masked_loss(output, x_hat, mask) == masked_loss(output, scribbled, mask)
    masked_loss(output, x_hat, mask).backward()
    assert ((output.grad[0] == 0) == (mask == 0)).all()


def test_psnr():
    truth = torch.full((1, 4, 4), 0.5)
    assert psnr(truth + 0.1, truth) == pytest.approx(20)
    assert psnr(truth, truth) == math.inf
    wrong_at_one = truth.clone()
    wrong_at_one[0, 0, 0] = 0.9
    assert psnr(wrong_at_one, truth) == pytest.approx(-10 * math.log10(0.4**2 / 16))
    with pytest.raises(ValueError, match="one shape"):
        psnr(truth, truth[:, :2])


def test_psnr_of_arrays_and_bytes():
    """Right, or one clear error; never a number of something else."""
    truth = np.random.default_rng(0).random((5, 6, 3))
    wrong = truth.copy()
    wrong[0] = 1 - wrong[0]
    tensors = [torch.from_numpy(x).permute(2, 0, 1) for x in (wrong, truth)]
    expected = -10 * math.log10(((wrong - truth) ** 2).mean())
    assert psnr(*tensors) == psnr(wrong, truth) == psnr(wrong, tensors[1])
    assert psnr(wrong, truth) == pytest.approx(expected)
    eight = [np.round(x * 255).astype(np.uint8) for x in (wrong, truth)]
    assert psnr(*eight) == pytest.approx(expected, abs=0.05)
    assert psnr(*map(torch.from_numpy, eight)) == pytest.approx(psnr(*eight))
    assert psnr(truth[..., 0], tensors[1][:1]) == math.inf
    with pytest.raises(ValueError, match="PSNR takes images in .*Divide 8-bit values by 255"):
        psnr(torch.from_numpy(wrong * 255), torch.from_numpy(truth * 255))
    with pytest.raises(TypeError, match="no known range"):
        psnr(np.ones((4, 4), np.int64), np.ones((4, 4), np.int64))


def test_pictures_of_pillows():
    """Numbers of a palette are looked up; what has no plain colours is refused."""
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    picture = Image.fromarray(colours)
    assert torch.equal(as_image(picture), as_image(colours))
    palette = picture.quantize(8)
    assert torch.equal(as_image(palette), as_image(np.asarray(palette.convert("RGB"))))
    assert torch.equal(as_image(picture.convert("L")), as_image(np.asarray(picture.convert("L"))))
    for mode in ("CMYK", "HSV", "YCbCr", "RGBA", "LA"):
        with pytest.raises(ValueError, match=f"of the mode {mode} is neither grey nor colour"):
            as_image(picture.convert(mode))
