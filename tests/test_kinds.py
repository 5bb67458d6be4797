"""What stands where it does not belong is refused in a sentence: an example each.

The attacks of `attacks.kinds` exchange every argument for every value.
"""

import numpy as np
import pytest
import torch
from attacks import kinds
from attacks.callers import sentence

import dip_blocks
from dip_parts import checks


@pytest.fixture(scope="module")
def ground():
    return kinds.Ground()


@pytest.mark.parametrize(
    "name, argument, value, said",
    [
        ("Recipe", "lr", "numbers on the way", "lr must be a number"),
        ("but", "config", "recipe", "a dictionary, such as"),
        ("draw_z", "recipe", "text", "must be a Recipe"),
        ("draw_z", "shape", "3", r"shape is \(C, H, W\)"),
        ("draw_z", "generator", "3", "one of PyTorch's"),
        ("draw_weights", "net", "text", "net must be a network"),
        ("UNet", "channels", "text", "channels must be a whole number from 1"),
        ("UNet", "out_channels", "0", "out_channels must be a whole number from 1"),
        ("bernoulli_mask", "height", "10^30", "at most 1,000,000,000 pixels"),
        ("Masked.apply", "image", "a smaller one", r"The mask's shape is \(1, 16, 16\)"),
        ("Masked.degrade", "image", "a smaller one", r"The mask's shape is \(1, 16, 16\)"),
        ("Shrunk.apply", "image", "text", "image must be a tensor of floats"),
        ("as_image", "image", "of no values", "lies on the device 'meta'"),
        ("as_mask", "width", "None", "two whole numbers"),
        ("paste", "image", "a tensor", r"a tensor \(C, H, W\) on the CPU"),
        ("paste", "image", "of no values", "on the CPU"),
        ("blend", "damping", "10^30", "damping must be 0 or above"),
        ("masked_loss", "output", "text", r"output must be a tensor, \(…, C, H, W\)"),
        ("masked_loss", "mask", "a picture", "by a mask"),
        ("total_variation", "image", "ones", "image must be a tensor of floats"),
        ("total_variation", "image", "sparse", "not one of torch.sparse_coo"),
        ("decibel", "mse", "-1", "a number, 0 or above, not -1"),
        ("decibel", "mse", "text", "a number, 0 or above, not 'x'"),
        ("orthogonalised", "matrices", "a tensor", r"\(…, rows, columns\)"),
        ("for_muon", "net", "text", "net must be a network"),
        ("restore", "iterations", "numbers on the way", "iterations must be a number"),
        ("restore", "watch", "3", "watch is a function"),
        ("Fit", "recipe", "text", "must be a Recipe"),
        ("as_device", "device", "10^30", "no device"),
        ("best_precision", "device", "text", "knows no device 'x'"),
        ("numerics", "device", "None", "knows no device None"),
        ("numerics", "precision", "fp16", "precision must be one of"),
        ("check_recipe", "values", "recipe", "all of what its as_dict"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_is_wrong(ground, name, argument, value, said):
    function, arguments = ground.functions()[name]
    with pytest.raises((ValueError, TypeError, RuntimeError), match=said) as error:
        function(**{**arguments, argument: ground.values()[value]})
    sentence(error.value)


def test_a_z_of_known_pixels_needs_them(ground):
    hidden = dip_blocks.RECIPES["best-hidden"]
    with pytest.raises(TypeError, match="x_hat must be a tensor of floats, .* not None"):
        dip_blocks.draw_z(hidden, (3, 16, 16))
    with pytest.raises(TypeError, match="mask must be a tensor of floats, .* not None"):
        dip_blocks.draw_z(hidden, (3, 16, 16), ground.x_hat)
    z = dip_blocks.draw_z(hidden, (3, 16, 16), ground.x_hat, ground.mask)
    assert z.shape == (1, 4, 16, 16)


def test_a_network_without_a_last_layer_has_nothing_for_muon():
    with pytest.raises(TypeError, match="A Linear has no last layer"):
        dip_blocks.for_muon(torch.nn.Linear(2, 2))


def test_what_counts_as_a_number_still_does(ground):
    """NumPy's, a scalar tensor, a fraction, a device by its name: as before they were checked."""
    for mse in (0.1, np.float32(0.1), torch.tensor(0.1)):
        assert dip_blocks.decibel(mse) == pytest.approx(10, abs=1e-5)
    for device in ("cpu", torch.device("cpu"), "cuda"):
        assert dip_blocks.best_precision(device) in ("fp32", "tf32", "bf16")
    assert dip_blocks.UNet(np.int64(4), 3, ground.recipe.config).depth == 2
    batch = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)
    expected = (batch[0] - batch[1]).square().sum() / (64 * 3)
    assert float(dip_blocks.masked_loss(*batch)) == pytest.approx(float(expected))
    same = dip_blocks.masked_loss(*batch[:2], batch[2][None])
    assert float(same) == pytest.approx(float(expected)), "a mask (1, 1, H, W)"


def test_every_function_takes_what_the_attacks_exchange(ground):
    """Or an exchanged argument would be refused for another's sake."""
    for function, arguments in ground.functions().values():
        function(**arguments)


# To the last value --------------------------------------------------------------------------------


def test_as_many_pixels_and_channels_as_may_be_and_no_more(ground, monkeypatch):
    monkeypatch.setattr(checks, "MAX_PIXELS", 20)
    assert dip_blocks.bernoulli_mask(4, 5).shape == (1, 4, 5)
    with pytest.raises(ValueError, match="at most 20 pixels, not 3 × 7"):
        dip_blocks.bernoulli_mask(3, 7)
    monkeypatch.setattr(checks, "MAX_CHANNELS", 4)
    for of_z, of_image in ((1, 1), (4, 4)):
        checks.check_network(of_z, of_image, ground.recipe.config, dip_blocks.CHOICES)
    for wrong in ((0, 3), (5, 3), (4, 0), (4, 5), (True, 3), (4, 1.0)):
        with pytest.raises(ValueError, match="channels must be a whole number from 1 to 4, not"):
            dip_blocks.UNet(*wrong, ground.recipe.config)


def test_a_damping_up_to_a_billion(ground):
    for damping in (0, 1e9):
        dip_blocks.blend(ground.picture, ground.x_hat, ground.mask, damping)
    with pytest.raises(ValueError, match="at most a billion"):
        dip_blocks.blend(ground.picture, ground.x_hat, ground.mask, 1e9 + 1)


def test_a_mask_s_size_is_two_numbers_or_none(ground):
    for size in ((), (None, "16"), (16, 16)):  # without a height, the mask's own
        assert torch.equal(dip_blocks.as_mask(ground.mask, *size), ground.mask)
    for size in ((16, None), ("16", 16), (16, 16.0)):
        with pytest.raises(ValueError, match="two whole numbers, or neither"):
            dip_blocks.as_mask(ground.mask, *size)


@pytest.mark.parametrize("take", [dip_blocks.paste, dip_blocks.blend])
def test_pictures_of_two_axes_are_put_back_and_of_one_are_not(ground, take):
    flat = take(ground.picture[0], ground.x_hat[0], ground.mask)
    assert torch.equal(flat, take(ground.picture[:1], ground.x_hat[:1], ground.mask))
    for wrong in (ground.picture[0, 0], torch.tensor(1.0), torch.ones(3, 16, 16, device="meta")):
        with pytest.raises(ValueError, match=r"a tensor \(C, H, W\) on the CPU; this one is \("):
            take(wrong, ground.x_hat, ground.mask)


def test_what_a_loss_compares_fits_each_other(ground):
    x, x_hat, mask = ground.picture, ground.x_hat, ground.mask
    assert dip_blocks.masked_loss(x, x_hat, mask) >= 0
    for given in (
        (x[:1], x_hat, mask), (x, x_hat[:1], mask), (x, x_hat[:, :8], mask),
        (x, x_hat, mask[:, :8]), (x, x_hat, mask[..., :8]), (x, x_hat, mask.expand(3, 16, 16)),
        (x[..., :8], x_hat, mask),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"by a mask \(…, 1, H, W\); here are"):
            dip_blocks.masked_loss(*given)
    flat = {
        "output": (x[0], x_hat, mask),
        "x_hat": (x, x_hat[0], mask),
        "mask": (x, x_hat, mask[0]),
    }
    for name, given in flat.items():
        with pytest.raises(TypeError, match=rf"^{name} must be a tensor, \(…, C, H, W\), not "):
            dip_blocks.masked_loss(*given)
    assert dip_blocks.masked_loss((255 * x).int(), x_hat, mask > 0) > 0  # of whole numbers, too


def test_as_many_axes_as_a_function_needs(ground):
    x = ground.picture
    assert dip_blocks.total_variation(x[0]) >= 0
    with pytest.raises(TypeError, match=r"not torch.float32, \(16,\)"):
        dip_blocks.total_variation(x[0, 0])
    with pytest.raises(TypeError, match="not torch.int32"):
        dip_blocks.total_variation(x.int())
    assert dip_blocks.orthogonalised(x[0]).shape == (16, 16)
    for wrong in (x[0, 0], x.int()):
        with pytest.raises(TypeError, match="matrices must be a tensor of floats"):
            dip_blocks.orthogonalised(wrong)
    with pytest.raises(TypeError, match="image must be a tensor of floats"):
        dip_blocks.Shrunk(2).apply(x[0, 0])
    with pytest.raises(TypeError, match="image must be a tensor, "):
        dip_blocks.Masked(ground.mask).apply(x[0, 0])
    masked = dip_blocks.Masked(ground.mask)
    assert torch.equal(masked.apply((x > 0.5).int()), (x > 0.5) * ground.mask)
    for wrong in (x[:, :8], x[..., :8]):
        with pytest.raises(ValueError, match=r"The mask's shape is \(1, 16, 16\), the picture's"):
            masked.apply(wrong)


def test_a_shape_has_three_numbers(ground):
    for shape in ((3, 8, 8), [3, 8, 8], torch.Size([3, 8, 8])):
        assert dip_blocks.draw_z(ground.recipe, shape).shape == (1, 4, 8, 8)
    for shape in ((8, 8), (1, 3, 8, 8)):
        with pytest.raises(ValueError, match="A picture's shape is"):
            dip_blocks.draw_z(ground.recipe, shape)
    with pytest.raises(ValueError, match="shape has to give the picture's height and width"):
        dip_blocks.draw_z(ground.recipe, (3, 8, 0))


@pytest.mark.parametrize("name", ["z_kind", "z_channels", "hide", "optimiser", "lr", "averaging"])
def test_a_recipe_s_values_are_all_of_them(ground, name):
    values = ground.recipe.as_dict()
    checks.check_recipe(values)
    del values["config"]  # `check_config` looks at that
    checks.check_recipe(values)
    del values[name]
    with pytest.raises(ValueError, match=r"all of what its as_dict\(\) gives"):
        checks.check_recipe(values)


def test_weights_are_drawn_for_a_network_by_a_generator(ground):
    with pytest.raises(TypeError, match="generator must be one of PyTorch's"):
        dip_blocks.draw_weights(ground.net, 3)
    assert dip_blocks.draw_weights(ground.net) is ground.net
    with pytest.raises(TypeError, match="net must be a network"):
        dip_blocks.draw_weights(None)
