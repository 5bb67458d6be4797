"""The learning loop: it restores, backtracks, repeats itself, and survives what can go wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import small_config

import dip_blocks
from dip_blocks import DivergenceError, LastGood, degrade, psnr, restore


def test_it_restores(picture, recipe):
    x_hat, mask = degrade(picture)
    result = restore(x_hat, mask, recipe, iterations=400, truth=picture, progress=False)
    missing = mask[0].numpy() == 0
    error = np.abs(result.image[0].numpy() - picture)[missing].mean()
    assert error < 0.25 * np.abs(0.5 - picture)[missing].mean()
    assert psnr(result.image, torch.from_numpy(picture)[None]) > 25


def test_the_history(picture, recipe):
    x_hat, mask = degrade(picture)
    result = restore(x_hat, mask, recipe, truth=picture, progress=False)
    assert [step.iteration for step in result.history] == list(range(1, 31))
    assert all(math.isfinite(step.loss) and step.lr == recipe.lr and not step.restored for step in result.history)
    assert all(step.psnr is not None for step in result.history)
    assert result.history[-1].loss < result.history[0].loss
    assert not result.interrupted and result.image.shape == (1, 32, 32) and result.image.dtype == torch.float32
    assert not result.image.requires_grad


def test_the_truth_never_influences_the_result(picture, recipe):
    x_hat, mask = degrade(picture)
    without = restore(x_hat, mask, recipe, progress=False)
    for truth in (picture, np.zeros_like(picture)):
        assert torch.equal(restore(x_hat, mask, recipe, truth=truth, progress=False).image, without.image)
    assert all(step.psnr is None for step in without.history)


def test_missing_pixels_do_not_influence_the_result(picture, recipe):
    x_hat, mask = degrade(picture)
    filled = torch.where(mask == 1, x_hat, torch.full_like(x_hat, 0.9))
    assert torch.equal(*(restore(x, mask, recipe, progress=False).image for x in (x_hat, filled)))


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
    pytest.param("mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no MPS device here")),
]


@pytest.mark.parametrize("device", DEVICES)
def test_same_seed_same_numbers(picture, recipe, device):
    x_hat, mask = degrade(picture)
    torch.manual_seed(1)
    first = restore(x_hat, mask, recipe, seed=3, device=device, progress=False)
    torch.manual_seed(2)  # the global generator has no say
    second = restore(x_hat, mask, recipe, seed=3, device=device, progress=False)
    assert torch.equal(first.image, second.image) and first.history == second.history
    other = restore(x_hat, mask, recipe, seed=4, device=device, progress=False)
    assert not torch.equal(first.image, other.image)


def test_the_global_generator_is_left_alone(picture, recipe):
    x_hat, mask = degrade(picture)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    restore(x_hat, mask, recipe, progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_it_agrees_with_a_loop_written_out(picture, recipe):
    """The method in a dozen lines, without backtracking: the same losses."""
    x_hat, mask = degrade(picture)
    torch.manual_seed(0)
    net = dip_blocks.UNet(4, 1, recipe.config)
    z = 0.1 * torch.rand(1, 4, 32, 32)
    noise = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(net.parameters(), lr=0.003)
    losses = []
    for _ in range(30):
        output = net(z + recipe.sigma_p * torch.randn(z.shape, generator=noise))
        loss = ((output - x_hat) * mask).square().sum() / mask.sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    result = restore(x_hat, mask, recipe, device="cpu", progress=False)
    assert [step.loss for step in result.history] == pytest.approx(losses, rel=1e-4)


def test_colour(recipe):
    image = np.random.default_rng(0).random((32, 40, 3)).astype(np.float32)
    x_hat, mask = degrade(image)
    result = restore(x_hat, mask, recipe, iterations=3, truth=image, progress=False)
    assert result.image.shape == (3, 32, 40)


@pytest.mark.parametrize("size", [(31, 45), (20, 9)])
def test_any_size(recipe, size):
    x_hat, mask = degrade(np.full(size, 0.5, np.float32))
    assert restore(x_hat, mask, recipe, iterations=2, progress=False).image.shape == (1, *size)


def test_everything_known(picture, recipe):
    x_hat, mask = degrade(picture, p=1)
    assert restore(x_hat, mask, recipe, progress=False).history[-1].loss < 0.05


def test_nothing_known(picture, recipe):
    x_hat, mask = degrade(picture, p=0)
    with pytest.raises(ValueError, match="no pixel as known"):
        restore(x_hat, mask, recipe, progress=False)


def test_no_iterations_give_the_untrained_drawing(picture, recipe):
    x_hat, mask = degrade(picture)
    result = restore(x_hat, mask, recipe, iterations=0, progress=False)
    assert result.history == [] and result.image.shape == (1, 32, 32)
    assert torch.isfinite(result.image).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": np.ones((16, 16))}, "mask's shape"),
        ({"truth": np.zeros((16, 16))}, "truth has shape"),
        ({"x_hat": np.full((32, 32), np.nan)}, "NaN"),
        ({"x_hat": np.full((32, 32), 2.0)}, r"\[0, 1\]"),
        ({"iterations": -5}, "iterations must be 0 or more"),
    ],
)
def test_bad_input_is_refused(picture, recipe, change, words):
    x_hat, mask = degrade(picture)
    with pytest.raises(ValueError, match=words):
        restore(**{"x_hat": x_hat, "mask": mask, "recipe": recipe, "progress": False, **change})


def test_too_small_for_the_network():
    x_hat, mask = degrade(np.full((40, 40), 0.5, np.float32))
    with pytest.raises(ValueError, match="too small for a network of depth 5"):
        restore(x_hat, mask, progress=False)


# --------------------------------------------------------------------------------------
# Backtracking
# --------------------------------------------------------------------------------------


def test_the_last_good_state_is_everything_and_a_copy():
    net = dip_blocks.UNet(2, 1, small_config())
    adam = torch.optim.Adam(net.parameters(), lr=0.1)

    def step():
        adam.zero_grad()
        net(torch.rand(1, 2, 32, 32)).mean().backward()
        adam.step()

    def state():
        return [tensor.clone() for tensor in good._live()]

    good = LastGood(net, adam)  # before Adam has any moments
    untouched = state()
    step()
    good.bring_back()
    weights_and_buffers = len(untouched)
    assert all(torch.equal(a, b) for a, b in zip(untouched, state()))
    assert all((tensor == 0).all() for tensor in state()[weights_and_buffers:]), "Adam starts afresh"

    step()
    good.keep()
    kept = state()
    step()
    assert not all(torch.equal(a, b) for a, b in zip(kept, state()))
    good.bring_back()
    assert all(torch.equal(a, b) for a, b in zip(kept, state()))
    names = len(list(net.parameters())), len(list(net.buffers()))
    assert len(kept) == sum(names) + 3 * names[0], "weights, buffers, two moments and a counter each"


@pytest.fixture
def sabotage(monkeypatch):
    """Replace the loss in chosen calls: {call: factor}; calls are counted from 1."""

    def install(factors):
        calls, original = [], dip_blocks.masked_loss

        def loss(*arguments):
            calls.append(None)
            return original(*arguments) * factors.get(len(calls), 1)

        monkeypatch.setattr(dip_blocks, "masked_loss", loss)

    return install


@pytest.mark.parametrize("factor", [10.0, math.nan, math.inf])
def test_a_jump_is_undone(picture, recipe, sabotage, factor):
    x_hat, mask = degrade(picture)
    sabotage({10: factor})
    history = restore(x_hat, mask, recipe, progress=False).history
    assert [step.iteration for step in history if step.restored] == [10]
    assert [step.lr for step in history] == [0.003] * 9 + [pytest.approx(0.0027)] * 21
    assert history[10].loss == pytest.approx(history[8].loss, rel=0.5), "back where iteration 9 was"


def test_a_jump_right_after_the_first_step(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    sabotage({2: math.nan})
    history = restore(x_hat, mask, recipe, progress=False).history
    assert [step.iteration for step in history if step.restored] == [2]
    assert history[-1].loss < history[0].loss


def test_what_counts_as_a_jump_is_a_parameter(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    for jump, expected in [(2.0, [10]), (4.0, []), (math.inf, [])]:
        sabotage({10: 3.0})
        history = restore(x_hat, mask, replace(recipe, jump=jump), progress=False).history
        assert [step.iteration for step in history if step.restored] == expected


def test_an_unlucky_draw_cannot_stall_the_run(picture, recipe, sabotage):
    """After a restoration the restored state is taken as good, even if its next loss is high again."""
    x_hat, mask = degrade(picture)
    sabotage(dict.fromkeys(range(10, 31), 10.0))
    history = restore(x_hat, mask, recipe, progress=False).history
    assert [step.iteration for step in history if step.restored] == [10]


def test_a_step_that_ruins_the_weights(picture, recipe, monkeypatch):
    """Weights, buffers and moments full of NaN come back as they were."""
    x_hat, mask = degrade(picture)
    original, steps = torch.optim.Adam.step, []

    def ruin(adam, *arguments):
        result = original(adam, *arguments)
        steps.append(None)
        if len(steps) == 10:
            with torch.no_grad():
                for weight in adam.param_groups[0]["params"]:
                    weight.fill_(math.nan)
                for state in adam.state.values():
                    state["exp_avg"].fill_(math.nan)
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", ruin)
    result = restore(x_hat, mask, recipe, progress=False)
    assert [step.iteration for step in result.history if step.restored] == [11]
    assert torch.isfinite(result.image).all()
    assert result.history[-1].loss < result.history[0].loss


def test_the_very_last_step_is_checked_too(picture, recipe, monkeypatch):
    x_hat, mask = degrade(picture)
    original, steps = torch.optim.Adam.step, []

    def ruin(adam, *arguments):
        original(adam, *arguments)
        steps.append(None)
        if len(steps) == recipe.iterations:
            with torch.no_grad():
                for weight in adam.param_groups[0]["params"]:
                    weight.fill_(math.nan)

    monkeypatch.setattr(torch.optim.Adam, "step", ruin)
    assert torch.isfinite(restore(x_hat, mask, recipe, progress=False).image).all()


def test_divergence_without_recovery_names_the_iteration(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    sabotage(dict.fromkeys(range(8, 1000), math.nan))
    with pytest.raises(DivergenceError, match=f"nan in iteration {8 + dip_blocks.MAX_RECOVERIES}"):
        restore(x_hat, mask, recipe, iterations=200, progress=False)


def test_a_step_that_always_fails_is_given_up(picture, recipe, sabotage):
    """Finite again after every restoration, NaN after every step: no progress, so an error."""
    x_hat, mask = degrade(picture)
    sabotage(dict.fromkeys(range(8, 1000, 2), math.nan))
    with pytest.raises(DivergenceError, match="in iteration"):
        restore(x_hat, mask, recipe, iterations=400, progress=False)


# --------------------------------------------------------------------------------------
# Interrupts and progress
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["loss", "step"])
def test_an_interrupt_returns_what_there_is(picture, recipe, monkeypatch, where):
    x_hat, mask = degrade(picture)
    calls = []

    def interrupted(original):
        def call(*arguments):
            calls.append(None)
            if len(calls) == 6:
                if where == "step":  # in the middle of a step: half of it is done
                    with torch.no_grad():
                        arguments[0].param_groups[0]["params"][0].fill_(math.nan)
                raise KeyboardInterrupt
            return original(*arguments)

        return call

    if where == "loss":
        monkeypatch.setattr(dip_blocks, "masked_loss", interrupted(dip_blocks.masked_loss))
    else:
        monkeypatch.setattr(torch.optim.Adam, "step", interrupted(torch.optim.Adam.step))
    result = restore(x_hat, mask, recipe, progress=False)
    assert result.interrupted and len(result.history) == 5
    assert torch.isfinite(result.image).all()


def test_progress_is_shown_or_not(picture, recipe, capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    x_hat, mask = degrade(picture)
    restore(x_hat, mask, recipe, iterations=5, progress=False)
    assert capfd.readouterr().err == ""


def test_best_device_is_one_that_works():
    torch.zeros(1, device=dip_blocks.best_device())
