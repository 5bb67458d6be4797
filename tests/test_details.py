"""Details that no other test held: each was found by a mutant that survived (`make mutants`)."""

import io
import math
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import small_config

import dip_blocks
from dip_blocks import SECOND_READING, Fit, Recipe, UNet, degrade, psnr
from dip_parts.ablations import Lanczos, other_z
from dip_parts.checks import as_image
from dip_parts.degradations import on
from dip_parts.layers import Reflecting, padded
from dip_parts.muon import Muon, for_muon

# Loop ---------------------------------------------------------------------------------------


@pytest.fixture
def fit(picture, recipe):
    return Fit(*degrade(picture), recipe, device="cpu")


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e3])
def test_a_jump_leaves_the_last_good_loss_as_it_was(fit, monkeypatch, bad):
    fit.run(3)
    good, original = fit.good_loss.clone(), dip_blocks.masked_loss
    monkeypatch.setattr(dip_blocks, "masked_loss", lambda *given: original(*given) * bad)
    fit.run(1)
    assert fit.history[-1].backtracked and torch.equal(fit.good_loss, good)


def test_only_what_is_above_the_limit_is_a_jump(fit):
    fit.run(2)
    limit = fit.recipe.jump * fit.good_loss
    above = torch.nextafter(limit, torch.tensor(math.inf))
    assert not fit.has_jumped(limit) and fit.has_jumped(above)
    assert fit._within(float(limit), float(limit))
    assert not fit._within(float(above), float(limit)) and not fit._within(math.nan, math.nan)


def test_after_a_jump_whatever_is_finite_counts_as_good(fit):
    fit.run(2)
    fit.jumped.fill_(True)
    assert not fit.has_jumped(100 * fit.good_loss) and fit.has_jumped(torch.tensor(math.nan))


def test_a_last_step_that_ruined_the_picture_a_little_does_not_count(fit):
    """All is finite, but the loss is much higher than it was: back to the last good picture.

    Not to the best one, which is of another iteration here.
    """
    other = fit.weights.clone()
    fit.run(30)
    fit.best[0].copy_(other)
    with torch.no_grad():
        expected, loss = fit._drawn(fit.good[0])
        fit.net.out[0].bias += 3
        assert fit.recipe.jump * loss < fit._drawn(fit.weights)[1] < math.inf
    assert torch.equal(fit.image(), expected)


def test_an_interrupt_in_a_step_brings_the_last_good_state_back(fit, monkeypatch):
    """Half a step has changed the weights a little, as no loss would show."""
    fit.run(5)
    step = torch.optim.Adam.step

    def interrupted(adam):
        step(adam)
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    assert fit.run_through(10, (), False, None) is False
    assert all(torch.equal(live, good) for live, good in zip(fit.live, fit.good))


@pytest.mark.parametrize("seed", [0, 5])
def test_the_seed_decides_the_perturbation(picture, recipe, seed):
    fit = Fit(*degrade(picture), recipe, device="cpu", seed=seed)
    noise = torch.randn(fit.z.shape, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(fit.perturbed(), fit.z + recipe.sigma_p * noise)


def test_the_weight_of_total_variation_counts(picture, recipe):
    plain, *weighted = (
        Fit(*degrade(picture), replace(recipe, tv=tv), device="cpu") for tv in (0.0, 0.1, 0.3)
    )
    losses = []
    for fit in (plain, *weighted):
        fit.run(1)
        losses.append(fit.history[0].loss)
    variation = float(dip_blocks.total_variation(plain.output))
    for fit, loss in zip(weighted, losses[1:]):
        assert loss == pytest.approx(losses[0] + fit.recipe.tv * variation, rel=1e-5)


def test_a_schedule_stays_at_its_end_when_a_run_goes_on(picture, recipe):
    bent = replace(recipe, lr_end=0.1, iterations=4)
    fit = Fit(*degrade(picture), bent, device="cpu")
    fit.run(9)
    assert [step.lr for step in fit.history[3:]] == [pytest.approx(0.1 * recipe.lr)] * 6


def test_a_checkpoint_holds_all_that_stands_alone(fit, picture, recipe, monkeypatch):
    original = dip_blocks.masked_loss
    fit.run(2)
    monkeypatch.setattr(dip_blocks, "masked_loss", lambda *given: original(*given) * math.nan)
    fit.run(1)  # the last iteration went back
    assert fit.jumped and fit.recoveries == 1 and fit.lr < recipe.lr
    again = Fit(*degrade(picture), recipe, device="cpu")
    again.load(fit.state())
    for name in ("lr", "good_loss", "jumped", "recoveries", "output", "averaged", "done"):
        ours, theirs = getattr(fit, name), getattr(again, name)
        assert torch.equal(ours, theirs) and ours.data_ptr() != theirs.data_ptr(), name


@pytest.mark.parametrize("good", [0, 1])
def test_so_many_goings_back_in_a_row_are_tried_and_no_more(fit, monkeypatch, good):
    fit.run(good)
    monkeypatch.setattr("dip_parts.engine.MAX_RECOVERIES", 2)
    original = dip_blocks.masked_loss
    monkeypatch.setattr(dip_blocks, "masked_loss", lambda *given: original(*given) * math.nan)
    fit.run(2)
    with pytest.raises(dip_blocks.DivergenceError, match=f"nan in iteration {good + 3}"):
        fit.run(1)


def test_a_bar_is_shown_on_whatever_can_be_written_to(picture, recipe, monkeypatch):
    class Plain:  # a stream of somebody's, without all that Python's own have
        shown = ""

        def write(self, text):
            self.shown += text

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stderr", stream := Plain())
    dip_blocks.restore(*degrade(picture), replace(recipe, iterations=2), device="cpu")
    assert "restoring" in stream.shown


# Borders ------------------------------------------------------------------------------------


def test_a_picture_is_continued_at_the_right_and_below_by_reflection():
    z = torch.rand(1, 2, 13, 22)
    assert torch.equal(padded(z, 2, True), F.pad(z, (0, 2, 0, 3), mode="reflect"))
    thin = torch.rand(1, 2, 3, 29)  # five more rows than it has to mirror
    assert torch.equal(padded(thin, 2, True), F.pad(thin, (0, 3, 0, 5), mode="replicate"))


def test_what_was_continued_is_cut_off_again():
    torch.manual_seed(0)
    net, z = UNet(4, 1, small_config()), torch.rand(1, 4, 13, 22)
    whole = net(padded(z, net.depth, True))
    assert whole.shape[-2:] == (16, 24) and torch.equal(net(z), whole[..., :13, :22])


@pytest.mark.parametrize("size", [(1, 6), (2, 7), (6, 1)])
def test_a_strip_too_thin_to_be_mirrored_is_continued_by_its_ends(size):
    conv, x = Reflecting(1, 1, 5, 1, 2), torch.rand(1, 1, *size)
    there = x
    for dim in (2, 3):
        n = x.shape[dim]
        before, after = ([2, 1], [n - 2, n - 3]) if n > 2 else ([0, 0], [n - 1, n - 1])
        there = there.index_select(dim, torch.tensor([*before, *range(n), *after]))
    expected = F.conv2d(there, conv.weight, conv.bias)
    assert torch.allclose(conv(x), expected, atol=1e-6)


def test_lanczos_has_its_window():
    """Lanczos-2 in new pixels, by NumPy: sinc(t) sinc(t / 2), shown by a line one pixel wide."""
    t = (np.arange(8) - 3.5) / 2
    window = np.sinc(t) * np.sinc(t / 2)
    line = torch.zeros(1, 1, 32, 32)
    line[..., 15] = 1
    expected = np.zeros(16)
    for tap in range(1, 9, 2):  # the new pixel n sees the old ones from 2 n − 3 to 2 n + 4
        expected[(15 + 3 - tap + 1) // 2] = (window / window.sum())[tap - 1]
    assert Lanczos()(line)[0, 0, 8].numpy() == pytest.approx(expected, abs=1e-6)


# Recipes and what they may be ---------------------------------------------------------------


def test_the_recipes_numbers():
    """Typed again: a stored run's name says "quick", and means these."""
    names = ("iterations", "optimiser", "lr", "lr_end", "weight_decay", "sigma_p", "averaging")
    values = {
        "blog": (11_000, "adam", 0.001, 1, 0, 1 / 30, 0.99),
        "blog-low-lr": (11_000, "adam", 0.0001, 1, 0, 1 / 30, 0.99),
        "paper": (11_000, "adam", 0.001, 1, 0, 1 / 30, 0.99),
        "best-adam": (11_000, "adam", 0.003, 1, 0, 1 / 90, 0.99),
        "quick-adam": (700, "adam", 0.003, 1, 0, 1 / 90, 0.97),
        "quick": (500, "muon", 0.02, 0.1, 1, 1 / 90, 0.97),
        "best-nearest": (400, "muon", 0.02, 0.1, 1, 1 / 90, 0.97),
        "best-bilinear": (400, "muon", 0.02, 0.1, 1, 1 / 90, 0.97),
        "best-hidden": (400, "muon", 0.04, 0.1, 1, 0, 0.97),
        "best-hidden-shallow": (400, "muon", 0.04, 0.1, 1, 0, 0.97),
        "best-hidden-bilinear": (400, "muon", 0.04, 0.1, 1, 0, 0.97),
        "best-hidden-wide": (400, "muon", 0.04, 0.1, 1, 0, 0.97),
    }
    for name, recipe in dip_blocks.RECIPES.items():
        assert tuple(getattr(recipe, key) for key in names) == values[name], name
        others = (recipe.jump, recipe.lr_decay, recipe.z_scale, recipe.tv, recipe.sigma_end)
        assert others == (2, 0.9, 0.1, 0, 1), name
        assert recipe.lr_adam == 0.003 and recipe.hide == (0.3 if "hidden" in name else 0)


@pytest.mark.parametrize(
    ("change", "need"),
    [
        ({"lr": math.inf}, "lr must be above 0, not inf"),
        ({"lr_adam": math.inf}, "lr_adam must be above 0, not inf"),
        ({"lr_adam": 0.0}, "lr_adam must be above 0, not 0.0"),
        ({"lr_end": math.inf}, "lr_end must be 0 .*, not inf"),
        ({"weight_decay": math.inf}, "weight_decay must be 0 .*, not inf"),
        ({"tv": math.inf}, "tv must be 0 .*, not inf"),
        ({"averaging": 1}, "averaging must be 0 .* below 1, not 1"),
        ({"averaging": -0.1}, "averaging must be 0 .*, not -0.1"),
        ({"jump": 1.0}, "jump must be above 1"),
        ({"lr_decay": 0}, "lr_decay must be above 0 and at most 1, not 0"),
        ({"z_scale": 0}, "z_scale must be above 0"),
        ({"sigma_end": -0.1}, "sigma_end must be 0 or above"),
    ],
)
def test_limits_of_a_recipe(change, need):
    with pytest.raises(ValueError, match=need):
        Recipe(config=small_config(), **change)


def test_values_at_the_limit_are_fine():
    at = {
        "averaging": 0, "lr_decay": 1, "jump": math.inf, "lr_end": 0, "weight_decay": 0, "tv": 0,
        "sigma_p": 0, "sigma_end": 0, "iterations": 0, "z_channels": 1,
    }  # fmt: skip
    assert Recipe(config=small_config(), **at).jump == math.inf
    assert Recipe(config=small_config(), z_channels=10_000).z_channels == 10_000


def test_only_numbers_outside_of_float32_are_told_what_it_holds():
    with pytest.raises(ValueError, match="Numbers are float32's"):
        Recipe(config=small_config(), lr=1e39)
    for change in ({"lr": -1.0}, {"lr": 0.0}, {"averaging": 2.0}):
        with pytest.raises(ValueError) as told:
            Recipe(config=small_config(), **change)
        assert "float32" not in str(told.value)


def test_the_seed_of_a_damage_decides():
    picture = np.full((16, 16), 0.5)
    masks = [degrade(picture, seed=seed)[1] for seed in (0, 1)]
    assert not torch.equal(*masks) and torch.equal(degrade(picture)[1], masks[0])


# Pictures and quality -----------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(-1e-5, 1), (0, 1 + 1e-5)])
def test_more_than_a_rounding_error_is_a_mistake(low, high):
    with pytest.raises(ValueError, match="must lie in"):
        as_image(np.array([[low, high]]))
    nearly = as_image(np.array([[low / 20, 1 + (high - 1) / 20]]))
    assert nearly.min() >= 0 and nearly.max() <= 1


def test_psnr_counts_in_double_precision():
    """Two pictures a millionth apart: in single precision their difference is mostly rounding."""
    truth = np.full((8, 8), 0.7)
    assert psnr(truth + 1e-6, truth) == pytest.approx(120, abs=1e-4)
    assert psnr(truth + 1e-9, truth) == pytest.approx(180, abs=1e-2)


# Parts --------------------------------------------------------------------------------------


def test_a_degradation_on_a_device_has_all_its_tensors_there():
    class Blurred(dip_blocks.Degradation):
        def __init__(self):
            self.kernel, self.width = torch.ones(3), 3

    here = Blurred()
    there = on(here, torch.device("meta"))
    assert there.kernel.is_meta and there.width == 3 and not here.kernel.is_meta


def test_muon_takes_matrices_in_the_order_of_their_sizes():
    """Then those of one size lie in a row, whatever their level, and are one product."""
    config = small_config(3) | {"channels_down": [8, 24, 16], "channels_up": [24, 8, 16]}
    sizes = [(len(w), w[0].numel()) for w in for_muon(UNet(4, 1, config | SECOND_READING))]
    assert sizes == sorted(sizes) and len({*sizes}) < len(sizes)


def test_defaults_are_what_stored_runs_were_made_with():
    mask = dip_blocks.bernoulli_mask(30, 40)
    assert torch.equal(mask, dip_blocks.bernoulli_mask(30, 40, 0.5, 0))
    x_hat, same = degrade(np.full((30, 40), 0.5))
    assert torch.equal(same, mask) and torch.equal(x_hat, 0.5 * mask)
    weights = torch.zeros(6)
    assert Muon(weights, [torch.Size((2, 3))], torch.tensor(0.1)).decay == 0
    assert dip_blocks.Shrunk(2).lobes == 3 and dip_blocks.OutConv(5)[0].out_channels == 3


def test_fourier_features_are_sines_and_cosines():
    waves = 2 * other_z("fourier", 8, 16, 24)[0] - 1
    assert torch.allclose(waves[:4] ** 2 + waves[4:] ** 2, torch.ones(4, 16, 24), atol=1e-5)
    assert (waves[:4, 0, 0] == 0).all() and (waves[4:, 0, 0] == 1).all()


def test_a_degradation_knows_no_pixel_unless_it_says_so_and_needs_an_apply():
    x_hat = torch.rand(3, 4, 6)
    bare, shrunk = dip_blocks.Degradation(), dip_blocks.Shrunk(2)
    assert torch.equal(bare.known(x_hat), torch.zeros(1, 4, 6))
    assert torch.equal(shrunk.known(x_hat), torch.zeros(1, 8, 12))
    assert torch.equal(bare.compared(x_hat), torch.ones(1, 4, 6))
    with pytest.raises(NotImplementedError, match="Degradation has no apply"):
        bare.apply(x_hat)


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="sigma_p must be a number, not 'some'"):
        Recipe(config=small_config(), sigma_p="some")


def test_a_checkpoint_holds_the_frames(fit, picture, recipe):
    fit.run_through(3, (1, 3), False, None)
    again = Fit(*degrade(picture), recipe, device="cpu")
    again.load(fit.state())
    assert sorted(again.frames) == [1, 3]
    assert all(torch.equal(again.frames[i], fit.frames[i]) for i in (1, 3))


# The loop as a whole ------------------------------------------------------------------------


def test_no_state_carries_a_graph_along(fit):
    fit.run(3)
    names = (
        "lr",
        "rate",
        "good_loss",
        "best_loss",
        "jumped",
        "recoveries",
        "output",
        "averaged",
        "notes",
    )
    tensors = [getattr(fit, name) for name in names] + [*fit.live, *fit.good, *fit.best]
    assert not any(tensor.requires_grad for tensor in tensors)
    assert not fit.image().requires_grad and not fit.state()["averaged"].requires_grad


def test_before_the_first_iteration_pictures_are_black_and_nothing_is_noted(fit):
    assert not fit.output.any() and not fit.averaged.any() and fit.history == []
    assert fit.state()["recipe"].dtype == torch.uint8 and fit.iteration == fit.done == 0


def test_looking_at_a_failed_state_leaves_it(fit):
    fit.run(5)
    fit.weights.fill_(math.nan)
    assert torch.isfinite(fit.image()).all() and fit.weights.isnan().all()
    fit.run(1)
    assert fit.history[-1].backtracked and torch.isfinite(fit.weights).all()


@pytest.mark.parametrize(
    ("iterations", "rates"), [(1, [1.0]), (2, [1.0, 0.1]), (3, [1, 0.55, 0.1])]
)
def test_short_schedules(picture, recipe, iterations, rates):
    bent = replace(recipe, lr_end=0.1, iterations=iterations)
    fit = Fit(*degrade(picture), bent, device="cpu")
    fit.run(iterations)
    assert [step.lr / recipe.lr for step in fit.history] == pytest.approx(rates, rel=1e-5)


def test_the_bar_says_how_far_it_is(picture, recipe, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    fit = Fit(*degrade(picture), recipe, device="cpu")
    fit.run(2)
    assert fit.run_through(6, (), True, None)
    begin, *_, end = terminal.getvalue().strip().split("\r")
    assert begin.startswith("restoring:  33%") and "2/6" in begin
    assert "6/6" in end and "it/s" in end or "s/it" in end
    assert f"loss={fit.history[-1].loss:.2e}, lr=0.003" in end


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (1.0005, True), (1.005, False)])
def test_a_replay_may_differ_by_a_thousandth(fit, monkeypatch, factor, same):
    def replay():
        fit.step()
        fit.notes[int(fit.row) - 1, 0] *= factor

    fit.notes = torch.zeros(50, 6)
    assert fit.same_as_plain(replay) == same


def test_data_of_another_size_hide_nothing(picture, recipe):
    hiding = replace(recipe, z_kind="known", z_channels=0, hide=0.3)
    shrunk = dip_blocks.Shrunk(2)
    with pytest.raises(ValueError, match=r"hidden \(hide = 0.3\) only of data that have"):
        Fit(shrunk.degrade(picture), shrunk, hiding, device="cpu")
    assert Fit(shrunk.degrade(picture), shrunk, recipe, device="cpu").shape == (1, 32, 32)


def test_one_channel_is_enough_and_fewer_are_refused():
    one = small_config() | {"channels_down": [1, 1], "channels_up": [1, 1], "channels_skip": [0, 1]}
    assert UNet(1, 1, one)(torch.rand(1, 1, 16, 16)).shape == (1, 1, 16, 16)
    for change, need in (
        ({"channels_up": [4, 0]}, r"channels_up\[1\] must be 1 or more, not 0"),
        ({"channels_skip": [-1, 4]}, r"channels_skip\[0\] must be 0 \(no skip\) or more, not -1"),
        ({"kernels_up": [3, -1]}, r"kernels_up\[1\] must be odd and positive, not -1"),
    ):
        with pytest.raises(ValueError, match=need):
            UNet(1, 1, small_config() | change)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_muon_works_in_the_fits_precision(picture, recipe, precision, dtype):
    muon = replace(recipe, optimiser="muon")
    fit = Fit(*degrade(picture), muon, device="cpu", precision=precision)
    assert fit.muon.dtype is getattr(torch, dtype)


def test_the_recipes_networks_and_means():
    values = {  # depth, channels, those of the skips, dropout
        "blog": (5, 128, 4, 0), "blog-low-lr": (5, 128, 4, 0), "paper": (5, 128, 4, 0),
        "best-adam": (5, 128, 4, 0), "quick-adam": (5, 64, 4, 0), "quick": (5, 64, 4, 0.05),
        "best-nearest": (5, 64, 4, 0.05), "best-bilinear": (5, 64, 4, 0.1),
        "best-hidden": (4, 64, 16, 0.05), "best-hidden-shallow": (3, 64, 16, 0.05),
        "best-hidden-bilinear": (4, 64, 16, 0.05), "best-hidden-wide": (4, 128, 16, 0.05),
    }  # fmt: skip
    for name, recipe in dip_blocks.RECIPES.items():
        depth, channels, skip, dropout = values[name]
        config = recipe.config
        assert config["channels_down"] == config["channels_up"] == [channels] * depth, name
        assert config["channels_skip"] == [skip] * depth, name
        assert config["kernels_down"] == config["kernels_up"] == [3] * depth, name
        assert config["kernels_skip"] == [1] * depth, name
        assert config.get("dropout", 0) == dropout and config.get("connect", True) == (
            name.startswith("blog")
        ), name
        assert recipe.z_channels == (0 if "hidden" in name else 32), name
        smooth = "bilinear" in name or name in ("blog", "blog-low-lr", "paper")
        assert config["upsampling_method"] == ("bilinear" if smooth else "nearest"), name
    assert dip_blocks.MEANS == {
        "best": ("best-hidden", "best-hidden-shallow"),
        "best-wide": ("best-hidden-bilinear", "best-hidden-wide"),
        "two-upsamplings": ("best-nearest", "best-bilinear"),
    }


def test_a_recipe_does_not_change(recipe):
    with pytest.raises(FrozenInstanceError):
        recipe.lr = 1.0


def test_the_seed_is_0_where_none_is_said(picture, recipe):
    given = degrade(picture)
    how = {"iterations": 1, "device": "cpu", "progress": False}
    assert torch.equal(
        dip_blocks.restore(*given, recipe, **how).image,
        dip_blocks.restore(*given, recipe, seed=0, **how).image,
    )
    assert torch.equal(Fit(*given, recipe).z, Fit(*given, recipe, seed=0).z)
    assert not torch.equal(Fit(*given, recipe).z, Fit(*given, recipe, seed=1).z)


@pytest.mark.parametrize(("known", "loss"), [(0, 0.0), (1, 0.25), (2, 0.25)])
def test_the_loss_of_few_known_pixels(known, loss):
    mask = torch.zeros(1, 2, 3)
    mask.view(-1)[:known] = 1
    half = torch.full((3, 2, 3), 0.5)
    assert float(dip_blocks.masked_loss(half, torch.zeros(3, 2, 3), mask)) == loss


def test_a_degradation_has_one_name_for_good():
    """It stands in every checkpoint: another name would refuse them all."""

    class Kept(dip_blocks.Degradation):
        def __init__(self):
            self.mask, self.width = torch.ones(2), 3

    assert repr(dip_blocks.Noisy(0.1)) == "Noisy(sigma=0.1)"
    assert repr(Kept()) == "Kept(mask=80b8fd6d, width=3)"


def test_how_far_a_picture_may_overshoot():
    truth = np.full((4, 4), 0.5)
    for extreme in (-1.0, -0.5, 2.0):
        wrong = truth.copy()
        wrong[0, 0] = extreme
        assert psnr(wrong, truth) == pytest.approx(-10 * math.log10((extreme - 0.5) ** 2 / 16))
    for extreme in (-1.01, 2.01):
        wrong[0, 0] = extreme
        with pytest.raises(ValueError, match="PSNR takes images in"):
            psnr(wrong, truth)


@pytest.mark.parametrize("call", [Fit, dip_blocks.restore])
def test_all_but_data_and_recipe_is_said_by_name(picture, recipe, call):
    with pytest.raises(TypeError, match="positional"):
        call(*degrade(picture), recipe, 5)


def test_a_depth_is_a_whole_number_of_levels_that_a_picture_can_have():
    for depth in (0, 17, 2.0):
        with pytest.raises(ValueError, match="depth must be a whole number from 1 to 16"):
            dip_blocks.at_depth(small_config(), depth)
    assert len(dip_blocks.at_depth(small_config(), 16)["channels_up"]) == 16


def test_a_restoration_is_whole_unless_it_is_said_to_be_interrupted():
    assert dip_blocks.Restoration(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)).interrupted is False


def test_blending_hands_corrections_on_up_to_the_border():
    mask = torch.zeros(1, 8, 8)
    mask[:, 2:6, 2:6] = 1
    blended = dip_blocks.blend(torch.full((1, 8, 8), 0.4), torch.full((1, 8, 8), 0.5), mask, 0.0)
    assert blended.min() > 0.49  # without damping nothing is lost, beyond the picture neither


def test_an_array_with_a_mode_of_its_own_is_no_picture_of_pillow_s():
    class Array(np.ndarray):
        mode = "somebody's"

    assert as_image(np.full((4, 4), 0.5).view(Array)).shape == (1, 4, 4)


def test_a_window_has_lobes():
    for lobes in (0, 17, 2.5):
        with pytest.raises(ValueError, match="lobes must be a whole number from 1 to 16"):
            dip_blocks.Shrunk(2, lobes)


def test_a_seed_may_be_large(recipe):
    x_hat, mask = degrade(np.full((16, 16), 0.5))
    fit = Fit(x_hat, mask, recipe, seed=2**63 - 1, device="cpu")
    assert not torch.equal(fit.z, Fit(x_hat, mask, recipe, seed=0, device="cpu").z)
