"""The edges of what the method takes, and its formulas by hand: each a mutant that had survived.

As `test_details`, of which it is the second part (`make mutants`).
"""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import small_config
from PIL import Image

import dip_blocks
from dip_blocks import Fit, Recipe, Restoration, UNet, blend, degrade, masked_loss, mean_of, psnr
from dip_parts import checks, engine
from dip_parts.ablations import Lanczos, other_z, total_variation
from dip_parts.checks import as_image, as_mask, as_seed, check_config, check_weights
from dip_parts.degradations import Degradation, Noisy, Shrunk
from dip_parts.engine import DivergenceError
from dip_parts.layers import Dropout, Pointwise, Upsample, padded
from dip_parts.muon import Muon, for_muon

# Networks -----------------------------------------------------------------------------------


def test_the_bottom_has_the_deepest_levels_kernel():
    config = small_config() | {"kernels_down": [3, 5]}
    assert UNet(2, 1, config).connect[1].kernel_size == (5, 5)


def test_without_a_bottom_the_deepest_levels_channels_go_up():
    config = small_config() | {"channels_down": [6, 10], "connect": False}
    net = UNet(2, 1, config)
    assert net.up[-1].body[1].in_channels == 10 + 4
    assert net(torch.rand(1, 2, 16, 16)).shape == (1, 1, 16, 16)


def test_lanczos_does_the_same_down_as_across():
    x = torch.rand(1, 2, 12, 12)
    assert torch.allclose(Lanczos()(x).mT, Lanczos()(x.mT), atol=1e-6)


@pytest.mark.parametrize(
    "shape", [(1, 4, 5), (3, 5, 4), (1, 1, 6), (2, 6, 1), (1, 2, 2), (1, 1, 1)]
)
def test_total_variation_is_the_mean_difference_down_and_across(shape):
    x = np.random.default_rng(0).random(shape)
    parts = [np.abs(np.diff(x, axis=axis)) for axis in (1, 2)]
    expected = sum(part.mean() for part in parts if part.size)
    assert float(total_variation(torch.from_numpy(x))) == pytest.approx(expected)


@pytest.mark.parametrize(("height", "width"), [(40, 24), (4, 3)])
def test_fourier_features_go_from_a_wave_a_picture_to_one_in_four_pixels(height, width):
    z = other_z("fourier", 12, height, width).double().numpy()[0]
    waves = np.geomspace(1, max(height, width) / 4, 3)
    down, across = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    phases = [2 * np.pi * wave * side for wave in waves for side in (down, across)]
    expected = np.stack([np.sin(p) for p in phases] + [np.cos(p) for p in phases])
    np.testing.assert_allclose(z, (expected + 1) / 2, atol=1e-4)


def test_coordinates_come_in_pairs():
    with pytest.raises(ValueError, match="multiple of 2"):
        Recipe(config=small_config(), z_kind="meshgrid", z_channels=3)


# Pictures, masks, seeds ---------------------------------------------------------------------


def test_a_rounding_error_is_a_millionth():
    nearly = np.array([[-9.6e-7, 1 + 8 * 2.0**-23]], np.float32)  # float32's next are beyond 1e-6
    assert as_image(nearly).tolist() == [[[0, 1]]]


def test_psnr_of_8_bit_pictures():
    a, b = np.full((4, 4), 100, np.uint8), np.full((4, 4), 110, np.uint8)
    assert psnr(a, b) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr(a, a / 255) == math.inf


def test_psnr_says_from_where_to_where_a_picture_goes():
    with pytest.raises(ValueError, match="goes from -3 to 7"):
        psnr(np.array([[-3.0, 7.0]]), np.zeros((1, 2)))


def test_an_array_that_may_not_be_written_to_is_copied():
    x = np.random.default_rng(0).random((4, 4), np.float32)
    x.flags.writeable = False
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.array_equal(as_image(x)[0], x)
    finally:
        torch.set_warn_always(before)


def test_a_16_bit_picture_of_pillows_is_divided_by_65535():
    picture = Image.fromarray(np.array([[0, 65535, 13107]], np.uint16))
    assert picture.mode == "I;16"
    assert as_image(picture).tolist() == [[[0, 1, pytest.approx(0.2)]]]


def test_one_value_between_known_and_missing_is_too_many():
    with pytest.raises(ValueError, match="A mask holds 1"):
        as_mask(np.array([[0, 1, 0.5]]), 1, 3)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", True, None, math.nan])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match="A seed must be a whole number from 0"):
        as_seed(seed)


def test_the_first_and_the_last_seed():
    assert as_seed(0) == 0 and as_seed(np.int64(2**63 - 1)) == 2**63 - 1


# Configs and recipes ------------------------------------------------------------------------

CHOICES = dip_blocks.CHOICES


@pytest.mark.parametrize("config", [None, [3], "blog"])
def test_a_config_is_a_dictionary(config):
    with pytest.raises(ValueError, match="must be a dictionary"):
        check_config(config, CHOICES)


@pytest.mark.parametrize("key", checks.CONFIG_LISTS)
@pytest.mark.parametrize("value", [8, (8, 8), "88", None])
def test_a_level_is_an_entry_of_a_list(key, value):
    with pytest.raises(ValueError, match=f"{key} must be a list"):
        check_config(small_config() | {key: value}, CHOICES)


def test_a_config_has_a_depth_that_a_picture_can_have():
    check_config(small_config(depth=16), CHOICES)
    with pytest.raises(ValueError, match="from 1 to 16, not 17"):
        check_config(small_config(depth=17), CHOICES)


@pytest.mark.parametrize("size", [np.int64(2), "3", [3]])
def test_a_size_that_is_not_used_is_a_size_still(size):
    """Or the checkpoint, which says it, could not be written."""
    config = small_config() | {"channels_skip": [0, 4]}
    for unused in (2, None):
        check_config(config | {"kernels_skip": [unused, 1]}, CHOICES)
    with pytest.raises(ValueError, match=r"kernels_skip\[0\] must be a whole number"):
        check_config(config | {"kernels_skip": [size, 1]}, CHOICES)


@pytest.mark.parametrize(("kind", "most"), [("channels", 10**6), ("kernels", 999)])
def test_no_size_overflows_on_the_way_to_the_count_of_weights(kind, most):
    for key in (f"{kind}_down", f"{kind}_up", f"{kind}_skip"):
        check_config(small_config() | {key: [most - 1 + most % 2, most]}, CHOICES)
        for value in (most + 1 + most % 2, 10**400 + 1):
            with pytest.raises(ValueError, match=rf"{key}\[1\] must be at most {most:,}.$"):
                check_config(small_config() | {key: [1, value]}, CHOICES)
    config = small_config()
    config |= {f"channels_{side}": [10**6] * 2 for side in ("down", "up", "skip")}
    config |= {f"kernels_{side}": [999] * 2 for side in ("down", "up", "skip")}
    x = np.zeros((8, 8))
    with pytest.raises(ValueError, match="weights, more than"):
        Fit(x, np.ones((8, 8)), Recipe(config=config), device="cpu")


@pytest.mark.parametrize("precision", ["", "fp16", (), torch.ones(2), np.array(["fp32", "bf16"])])
def test_a_precision_is_one_of_three_words(picture, recipe, precision):
    with pytest.raises(ValueError, match="precision must be one of fp32, tf32, bf16, not"):
        Fit(*degrade(picture), recipe, device="cpu", precision=precision)


def test_dropout_is_a_number_of_256ths():
    for share in (0, 0.002, 0.998):
        check_config(small_config() | {"dropout": share}, CHOICES)
    for share in (0.001, 0.999):
        with pytest.raises(ValueError, match="from 0.002 to 0.998"):
            check_config(small_config() | {"dropout": share}, CHOICES)


def test_a_network_may_have_a_billion_weights():
    check_weights(10**9)
    with pytest.raises(ValueError, match="more than 1,000,000,000"):
        check_weights(10**9 + 1)


TINY, LARGEST = (float(getattr(torch.finfo(torch.float32), end)) for end in ("tiny", "max"))


@pytest.mark.parametrize(
    "values",
    [
        {"lr": TINY}, {"lr": LARGEST}, {"sigma_p": LARGEST}, {"jump": LARGEST},
        {"iterations": 10**9}, {"z_kind": "uniform", "z_channels": 10_000},
    ],
)  # fmt: skip
def test_a_recipes_last_values(values):
    recipe = Recipe(config=small_config(), **values)
    assert {name: getattr(recipe, name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "need"),
    [
        ({"iterations": 10**9 + 1}, "at most a billion"),
        ({"z_channels": 10_001}, r"to 10,000"),
        ({"lr": TINY / 2}, "above 0.*Numbers are float32's"),
        ({"sigma_p": 1e39}, "0 or above.*Numbers are float32's"),
        ({"sigma_p": math.inf}, "0 or above, not inf.$"),
    ],
)
def test_beyond_a_recipes_last_values(values, need):
    with pytest.raises(ValueError, match=need):
        Recipe(config=small_config(), **values)


# Degradations -------------------------------------------------------------------------------


class Halved(Degradation):
    def apply(self, image):
        return image / 2


def test_only_a_degradation_that_says_so_has_data_out_of_the_range(picture, recipe):
    beyond = torch.full((1, 32, 32), 1.5)
    with pytest.raises(ValueError, match="must lie in"):
        Fit(beyond, Halved(), recipe, device="cpu")
    for degradation in (Noisy(0.5), Shrunk(2)):
        assert Fit(beyond, degradation, recipe, device="cpu").x_hat.max() == 1.5


def test_noise_is_added_from_the_seed(picture):
    for given, seed in (({}, 0), ({"seed": 3}, 3)):
        noise = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(seed))
        noisy = Noisy(0.1).degrade(picture, **given)
        assert torch.equal(noisy, torch.from_numpy(picture)[None] + 0.1 * noise)
        assert torch.equal(Halved().degrade(picture, **given), torch.from_numpy(picture)[None] / 2)


def test_noise_has_a_sigma_on_the_scale_of_the_picture():
    assert torch.equal(Noisy(0).degrade(np.full((2, 2), 0.5)), torch.full((1, 2, 2), 0.5))
    assert Noisy(1).sigma == 1
    for sigma in (-0.1, 1.01, 25, math.inf, math.nan, "0.1"):
        with pytest.raises(ValueError, match="sigma must be from 0 to 1.* is 25 / 255"):
            Noisy(sigma)


def test_a_window_may_have_1_to_16_lobes():
    for lobes in (1, 16):
        assert Shrunk(2, lobes).apply(torch.ones(1, 4, 4)).shape == (1, 2, 2)
    for lobes in (0, 17, 2.0):
        with pytest.raises(ValueError, match="from 1 to 16"):
            Shrunk(2, lobes)


def test_what_can_be_shrunk():
    assert Shrunk(4).apply(torch.ones(1, 4, 8)).shape == (1, 1, 2)
    for height, width in ((3, 8), (8, 3)):
        with pytest.raises(
            ValueError, match=f"{width}×{height} pixels is too small to be shrunk 4"
        ):
            Shrunk(4).apply(torch.ones(1, height, width))
    for height, width in ((8, 9), (9, 8)):
        with pytest.raises(ValueError, match="crop it to 8×8"):
            Shrunk(4).apply(torch.ones(1, height, width))


# Loop ---------------------------------------------------------------------------------------


def test_how_often_the_loop_goes_back_in_a_row():
    assert engine.MAX_RECOVERIES == 50  # quickly: what follows takes longer


def test_the_loop_gives_up_when_50_goings_back_did_not_help(picture, recipe, monkeypatch):
    monkeypatch.setattr(dip_blocks, "masked_loss", lambda *given: masked_loss(*given) * math.nan)
    fit = Fit(*degrade(picture), replace(recipe, iterations=60), device="cpu")
    with pytest.raises(DivergenceError, match="in iteration 51, and going back 50 times"):
        fit.run(60)
    assert len(fit.history) == 50


def test_a_rate_may_be_a_whole_number(picture, recipe):
    fit = Fit(*degrade(picture), replace(recipe, lr=1), device="cpu")
    assert fit.lr.dtype == torch.float32


@pytest.fixture
def fit(picture, recipe):
    """As on a GPU, what iterations note is read rarely."""
    fit = Fit(*degrade(picture), recipe, device="cpu")
    fit.notes = torch.zeros(50, 6)
    return fit


def test_frames_and_end_are_met_wherever_notes_are_read_rarely(fit, picture, recipe):
    assert fit.run_through(12, {3, 7}, False, None)
    assert fit.iteration == len(fit.history) == 12
    plain = Fit(*degrade(picture), recipe, device="cpu")
    plain.run(3)
    assert torch.equal(fit.frames[3], plain.output) and [*fit.frames] == [3, 7]


def test_the_bar_is_closed_at_the_end(fit, monkeypatch):
    closed = []
    monkeypatch.setattr(engine.tqdm, "__del__", lambda bar: None)  # which would close it, too
    monkeypatch.setattr(engine.tqdm, "close", lambda bar: closed.append(True))
    fit.run_through(2, (), True, None)
    assert len(closed) == 1


def test_recording_without_a_gpu_is_not_tried(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit.record() is False


@pytest.mark.parametrize(("off", "same"), [(5e-6, True), (5e-5, False)])
def test_what_is_nearly_black_may_differ_in_the_sixth_place(fit, off, same):
    fit.run(1)
    fit.step = lambda: Fit.step(fit) or fit.output.mul_(1e-4)
    assert fit.same_as_plain(lambda: fit.step().add_(off)) == same


def test_a_loss_that_is_not_finite_before_any_step_names_what_may_be_at_fault(fit, monkeypatch):
    monkeypatch.setattr(dip_blocks, "masked_loss", lambda *given: masked_loss(*given) * math.nan)
    said = "z_scale = 0.1, sigma_p = 0.0333333, sigma_end = 1, tv = 0, hide = 0."
    assert "nan before any step" in (why := fit._why()) and why.endswith(said)


def test_a_rate_that_grows_is_named(picture, recipe):
    fit = Fit(*degrade(picture), replace(recipe, lr_end=1.5), device="cpu")
    fit.run(2)
    assert fit._why() == "Start with a smaller learning rate than lr = 0.003 and lr_end = 1.5."


def test_a_checkpoint_holds_the_last_good_state(fit):
    assert {"live.0", "good.0", "best.0", "good.3"} <= {*fit.state()}


# The rest -----------------------------------------------------------------------------------


def test_blending_stays_in_the_range():
    mask = torch.tensor([[1.0, 0, 0, 1, 0, 0]])
    x_hat = torch.tensor([[0.0, 0, 0, 1, 0, 0]])
    image = torch.tensor([[[0.5, 0.1, 0.1, 0.5, 0.9, 0.9]]])
    blended = blend(image, x_hat, mask)
    assert blended.min() == 0 and blended.max() == 1


def test_a_mean_is_interrupted_where_its_last_was():
    one, cut = (Restoration(*torch.ones(2, 1, 2, 2), interrupted=i) for i in (False, True))
    assert mean_of([one, one, cut]).interrupted and not mean_of([one, one, one]).interrupted
    assert mean_of([one]).interrupted is False


def test_a_network_beyond_a_machine_is_refused_before_it_takes_memory(picture, recipe):
    wide = recipe.config | {"channels_down": [8192, 8192], "channels_up": [8192, 8192]}
    with pytest.raises(ValueError, match="weights, more than 1,000,000,000"):
        Fit(*degrade(picture), replace(recipe, config=wide), device="cpu")


@pytest.mark.parametrize("pictures", [1, 2])
def test_a_pointwise_convolution_is_one_in_any_layout(pictures):
    x, layer = torch.rand(pictures, 4, 5, 6), Pointwise(4, 3)
    other = layer(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(layer(x), other, atol=1e-6)


def test_bilinear_upsampling_from_shifts_is_pytorchs():
    x, layer = torch.rand(1, 2, 4, 5), Upsample("bilinear")
    assert torch.allclose(layer.from_shifts(x), layer(x), atol=1e-6)


def test_a_mask_with_a_palette_is_refused():
    """Its numbers say nothing of black and white: it might be taken the other way round."""
    picture = Image.new("P", (2, 2), 1)
    picture.putpalette([255] * 3 + [0] * 3)
    with pytest.raises(ValueError, match=r"palette.*convert\('L'\)\) > 127"):
        as_mask(picture, 2, 2)
    assert as_mask(Image.new("1", (2, 2), 1), 2, 2).sum() == 4


@pytest.mark.parametrize("empty", [[[]], Image.new("L", (0, 5)), np.zeros((5, 0))])
def test_a_picture_without_pixels_is_named(empty):
    with pytest.raises(ValueError, match="The image is empty: its shape is"):
        as_image(empty)


def test_nothing_is_drawn_before_the_first_iteration(picture, recipe):
    """A picture is drawn before it, to refuse what is too small; without dropout."""
    spotted = dip_blocks.but(recipe, {"dropout": 0.3})
    fit = Fit(*degrade(picture), spotted, seed=5, device="cpu")
    assert torch.equal(fit.noise.get_state(), torch.Generator().manual_seed(5).get_state())


def test_dropout_is_rounded_to_256ths():
    layer = Dropout(0.7)  # 179 of 256
    layer.generator = torch.Generator().manual_seed(0)
    assert layer(torch.ones(1, 1, 64, 64)).unique().tolist() == [0, pytest.approx(256 / 77)]


@pytest.mark.parametrize(("height", "width"), [(4, 64), (64, 4)])
def test_a_picture_as_narrow_as_what_it_lacks_is_continued_by_its_last_pixels(height, width):
    z = torch.rand(1, 2, height, width)
    whole = padded(z, 3, False)
    assert torch.equal(whole[..., :height, :width], z)
    assert torch.equal(whole[..., -1, -1], z[..., -1, -1]) and whole.shape[-2:] == (
        max(height, 8), max(width, 8),
    )  # fmt: skip


def test_muon_takes_a_convolution_to_one_channel():
    net = UNet(2, 1, small_config(skip=1))
    assert {weight.shape[0] for weight in for_muon(net)} == {1, 8}


def test_decay_takes_all_of_a_weight_and_no_more():
    weights = torch.ones(4)
    weights.grad = torch.zeros(4)
    for rate, left in ((0.25, 0.75), (2.0, 0.0)):
        Muon(weights, [(2, 2)], torch.tensor(rate), decay=1.0).step()
        assert torch.equal(weights, torch.full((4,), left))
