"""A network that is shown some of the known pixels and asked for the others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import dip_blocks
from dip_blocks import Fit, UNet, degrade, draw_z, restore


@pytest.fixture
def hiding(recipe):
    return replace(recipe, z_kind="known", z_channels=0, sigma_p=0.0, hide=0.3)


@pytest.mark.parametrize("channels", [1, 3])
def test_z_is_what_is_known_and_nothing_else(picture, hiding, channels):
    x_hat, mask = degrade(np.stack([picture] * channels, -1) if channels > 1 else picture)
    scribbled = torch.where(mask == 1, x_hat, 0.123)
    z = draw_z(hiding, scribbled.shape, scribbled, mask)
    assert z.shape == (1, channels + 1, 32, 32) and torch.equal(
        z, draw_z(hiding, x_hat.shape, x_hat, mask)
    )
    assert torch.equal(z[0, -1:], mask) and torch.equal(z[0, :-1], (x_hat - 0.5) * mask)


def reference(x_hat, mask, recipe, iterations, seed=0):
    """The loop written out, with Adam in fp32, and what it averages."""
    torch.manual_seed(seed)
    net = UNet(2, 1, recipe.config)
    draws = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(net.parameters(), lr=recipe.lr)
    losses, averaged = [], None
    for _ in range(iterations):
        shown = (torch.rand(mask.shape, generator=draws) >= recipe.hide) & (mask == 1)
        wanted = (mask == 1) & ~shown
        output = net(torch.cat([(x_hat - 0.5) * shown, shown.float()])[None])[0]
        loss = (output - x_hat)[wanted].square().mean()
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
        output = output.detach()
        if averaged is None:
            averaged = output.clone()
            continue
        missing = mask == 0
        averaged[missing] = torch.lerp(averaged, output, 1 - recipe.averaging)[missing]
        averaged[wanted] = torch.lerp(
            averaged, output, min((1 - recipe.averaging) / recipe.hide, 1)
        )[wanted]
    return losses, averaged


@pytest.mark.parametrize("averaging", [0.95, 0.6])
def test_it_agrees_with_the_loop_written_out(picture, hiding, averaging):
    hiding = replace(hiding, averaging=averaging)
    x_hat, mask = degrade(picture)
    losses, averaged = reference(x_hat, mask, hiding, 15)
    result = restore(
        x_hat, mask, hiding, iterations=15, device="cpu", precision="fp32", progress=False
    )
    assert [step.loss for step in result.history] == pytest.approx(losses, rel=1e-3), (
        "later, sums in other orders drift apart"
    )
    assert torch.allclose(result.averaged, averaged, atol=2e-3)


def test_what_is_asked_for_is_not_shown_and_differs_every_time(picture, hiding):
    fit = Fit(*degrade(picture), hiding, device="cpu")
    (z, wanted), (_, other) = fit.hidden(), fit.hidden()
    assert (z[:, :, wanted[0] == 1] == 0).all() and ((z[0, 1:] == 1) | (wanted == 1)).eq(
        fit.mask == 1
    ).all()
    assert not torch.equal(wanted, other)
    share = sum(float(fit.hidden()[1].sum()) for _ in range(50)) / 50 / float(fit.mask.sum())
    assert share == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("known", [1, 3])
def test_an_iteration_in_which_nothing_is_hidden_changes_no_picture_into_nan(hiding, known):
    mask = np.zeros((32, 32), np.float32)
    mask[0, :known] = 1
    result = restore(np.full((32, 32), 0.5, np.float32), mask, hiding, device="cpu", progress=False)
    assert torch.isfinite(result.image).all() and torch.isfinite(result.averaged).all()
    assert all(np.isfinite(step.loss) for step in result.history)


def test_resuming_changes_nothing(picture, hiding):
    hiding = replace(hiding, optimiser="muon", lr=0.04, config={**hiding.config, "dropout": 0.1})
    x_hat, mask = degrade(picture)
    whole = restore(x_hat, mask, hiding, device="cpu", progress=False)
    first = Fit(x_hat, mask, hiding, device="cpu")
    first.run(11)
    rest = restore(x_hat, mask, hiding, device="cpu", progress=False, resume=first.state())
    assert torch.equal(whole.image, rest.image) and torch.equal(whole.averaged, rest.averaged)
    assert [s.loss for s in whole.history] == [s.loss for s in rest.history]


def test_it_restores_better_than_it_began_and_asks_about_hidden_pixels_alone(picture, hiding):
    x_hat, mask = degrade(picture)
    result = restore(
        x_hat,
        mask,
        replace(hiding, averaging=0.9),
        iterations=300,
        device="cpu",
        truth=picture,
        progress=False,
    )
    assert (
        dip_blocks.psnr(
            dip_blocks.paste(result.averaged, x_hat, mask), dip_blocks.as_image(picture)
        )
        > 25
    )
    assert result.history[-1].psnr_averaged > 22, (
        "the average is a whole picture: every known pixel is hidden now and then"
    )


@pytest.mark.parametrize(("changes", "words"), [
    ({"hide": 0.3}, "hide must be 0 where z is no pixels .* there is nothing to hide, not 0.3"),
    (
        {"z_kind": "known", "z_channels": 0},
        "hide must be above 0 and below 1 where z is known pixels: "
        "a network that sees all it is asked for copies it",
    ),
    ({"z_kind": "known", "z_channels": 0, "hide": 1.0}, "hide must be .* below 1"),
    ({"z_kind": "known", "z_channels": 0, "hide": float("nan")}, "hide must be"),
    ({"z_kind": "known", "hide": 0.3}, "z_channels must be 0 where z is known pixels"),
    ({"z_channels": 0}, "z_channels must be a multiple of 1, and at least 1"),
])  # fmt: skip
def test_what_cannot_be_hidden_is_refused(recipe, changes, words):
    with pytest.raises(ValueError, match=words):
        replace(recipe, **changes)


@pytest.mark.parametrize("hide", [False, True])
def test_looking_at_the_picture_changes_nothing(picture, recipe, hiding, hide):
    """A learning rate so high that the last step is mostly a bad one; with and without looks."""
    chosen = replace(hiding if hide else recipe, lr=0.3, jump=1.3)
    fits = [Fit(*degrade(picture), chosen, device="cpu") for _ in range(2)]
    looks = []
    for _ in range(25):
        for fit in fits:
            fit.run(1)
        before = [tensor.clone() for tensor in fits[1].live]
        looks.append(fits[1].image())
        assert all(map(torch.equal, before, fits[1].live))
    assert fits[0].history == fits[1].history
    if not hide:  # it showed the last good state where the live one is bad
        assert any(step.backtracked for step in fits[0].history)


def test_the_recipe_takes_colour(hiding):
    colour = np.random.default_rng(0).random((24, 24, 3), np.float32)
    result = restore(*degrade(colour), hiding, device="cpu", progress=False)
    assert result.averaged.shape == (3, 24, 24)


def test_best_hidden_is_a_whole_recipe():
    recipe = dip_blocks.RECIPES["best-hidden"]
    lengths = {key: len(recipe.config[key]) for key in dip_blocks.CONFIG_LISTS}
    assert set(lengths.values()) == {4} and recipe.z_kind == "known" and recipe.hide == 0.3
