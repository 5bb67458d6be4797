"""Details that no other test held: each was found by a mutant that survived (`make mutants`)."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import small_config

import dip_blocks
from dip_blocks import SECOND_READING, Fit, Recipe, UNet, degrade, psnr
from dip_parts.ablations import Lanczos
from dip_parts.checks import as_image
from dip_parts.degradations import on
from dip_parts.layers import Reflecting, padded
from dip_parts.muon import for_muon

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
    limit, above = float(limit), float(above)
    assert fit._within(limit, limit) and not fit._within(above, limit)


def test_after_a_jump_whatever_is_finite_counts_as_good(fit):
    fit.run(2)
    fit.jumped.fill_(True)
    assert not fit.has_jumped(100 * fit.good_loss) and fit.has_jumped(torch.tensor(math.nan))


def test_a_last_step_that_ruined_the_picture_a_little_does_not_count(fit):
    """All is finite, and the loss is much higher than it was: that is no picture to hand out."""
    fit.run(30)
    limit = fit.recipe.jump * float(fit.good_loss)
    with torch.no_grad():
        fit.net.out[0].bias += 3
        loss = dip_blocks.masked_loss(fit.draw(fit.z), fit.x_hat, fit.mask)
    assert limit < float(loss) < math.inf
    assert dip_blocks.masked_loss(fit.image(), fit.x_hat, fit.mask) <= limit


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
        ({"lr_end": math.inf}, "lr_end must be 0 or above, not inf"),
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
