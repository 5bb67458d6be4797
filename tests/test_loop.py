"""The learning loop: it restores, backtracks, repeats itself, and survives what can go wrong."""

import copy
import io
import math
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import small_config
from torch.utils._python_dispatch import TorchDispatchMode

import dip_blocks
from dip_blocks import DivergenceError, Fit, degrade, psnr, restore
from dip_parts import devices
from dip_parts.checks import OPTIMISERS, PRECISIONS
from dip_parts.engine import MAX_RECOVERIES


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
    assert all(
        math.isfinite(step.loss) and step.lr == recipe.lr and not step.backtracked
        for step in result.history
    )
    assert all(step.psnr is not None for step in result.history)
    assert result.history[-1].loss < result.history[0].loss
    assert (
        not result.interrupted
        and result.image.shape == (1, 32, 32)
        and result.image.dtype == torch.float32
    )
    assert not result.image.requires_grad


def test_the_truth_never_influences_the_result(picture, recipe):
    x_hat, mask = degrade(picture)
    without = restore(x_hat, mask, recipe, progress=False)
    for truth in (picture, np.zeros_like(picture)):
        assert torch.equal(
            restore(x_hat, mask, recipe, truth=truth, progress=False).image, without.image
        )
    assert all(step.psnr is None for step in without.history)


def test_missing_pixels_do_not_influence_the_result(picture, recipe):
    x_hat, mask = degrade(picture)
    filled = torch.where(mask == 1, x_hat, torch.full_like(x_hat, 0.9))
    assert torch.equal(*(restore(x, mask, recipe, progress=False).image for x in (x_hat, filled)))


DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
    ),
    pytest.param(
        "mps",
        marks=pytest.mark.skipif(
            not torch.backends.mps.is_available(), reason="no MPS device here"
        ),
    ),
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


def test_fits_in_several_threads_do_not_disturb_each_other(picture, recipe):
    """Weights, z and noise come from a fit's own generators: in a pool, a seed gives the same."""
    x_hat, mask = degrade(picture)
    alone = [
        restore(x_hat, mask, recipe, seed=seed, iterations=1, device="cpu", progress=False).image
        for seed in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        fits = [
            pool.submit(
                restore,
                x_hat,
                mask,
                recipe,
                seed=seed % 4,
                iterations=1,
                device="cpu",
                progress=False,
            )
            for seed in range(24)
        ]
    assert all(torch.equal(fit.result().image, alone[i % 4]) for i, fit in enumerate(fits))


def test_weights_are_drawn_as_pytorch_draws_them(recipe):
    torch.manual_seed(3)
    theirs = dip_blocks.UNet(4, 1, recipe.config)
    ours = dip_blocks.draw_weights(
        dip_blocks.UNet(4, 1, recipe.config), torch.Generator().manual_seed(3)
    )
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


def reference(x_hat, mask, recipe, iterations, seed=0):
    """The method written out plainly, in fp32, asking for the loss every time.

    `restore` must agree with it.
    """
    torch.manual_seed(seed)
    net = dip_blocks.UNet(recipe.z_channels, x_hat.shape[0], recipe.config)
    z = recipe.z_scale * torch.rand(1, recipe.z_channels, *x_hat.shape[1:])
    noise = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(net.parameters(), lr=recipe.lr)
    losses, went_back, good, good_loss = [], [], None, math.inf
    for iteration in range(1, iterations + 1):
        output = net(z + recipe.sigma_p * torch.randn(z.shape, generator=noise))[0]
        loss = ((output - x_hat) * mask).square().sum() / (mask.sum() * x_hat.shape[0])
        losses.append(loss.item())
        if not math.isfinite(losses[-1]) or (
            losses[-1] > recipe.jump * good_loss and iteration - 1 not in went_back
        ):
            went_back.append(iteration)
            net.load_state_dict(good[0])
            adam.load_state_dict(
                copy.deepcopy(good[1]) | {"param_groups": adam.state_dict()["param_groups"]}
            )
            adam.param_groups[0]["lr"] *= recipe.lr_decay
            continue
        good, good_loss = copy.deepcopy((net.state_dict(), adam.state_dict())), losses[-1]
        adam.zero_grad()
        loss.backward()
        adam.step()
    return losses, went_back


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_it_agrees_with_the_loop_written_out(picture, recipe, device, size):
    """The first 50 losses: to 0.01 %, then, as the order of the sums begins to tell, to 1 %."""
    image = np.resize(picture, size)
    x_hat, mask = degrade(image)
    losses, went_back = reference(x_hat, mask, recipe, 50)
    if device != "cpu":  # another generator: the perturbations differ, so leave them out
        recipe = replace(recipe, sigma_p=0)
        losses, went_back = reference(x_hat, mask, recipe, 50)
    result = restore(
        x_hat, mask, recipe, iterations=50, device=device, precision="fp32", progress=False
    )
    ours = [step.loss for step in result.history]
    assert ours[:20] == pytest.approx(losses[:20], rel=1e-4) and ours == pytest.approx(
        losses, rel=1e-2
    )
    assert went_back == []


def test_it_goes_back_where_the_loop_written_out_does(picture, recipe):
    """A learning rate that makes the fit diverge: the loop goes back in the same iterations."""
    x_hat, mask = degrade(picture)
    reckless = replace(recipe, lr=0.3, jump=1.3)
    losses, went_back = reference(x_hat, mask, reckless, 40)
    result = restore(
        x_hat, mask, reckless, iterations=40, device="cpu", precision="fp32", progress=False
    )
    assert [step.iteration for step in result.history if step.backtracked] == went_back
    assert len(went_back) >= 3, "a run that never goes back would show nothing"


def test_a_state_of_another_fit_is_refused(picture, recipe):
    """Another member of a mean, say: the sentence names what differs, and nothing is loaded."""
    x_hat, mask = degrade(picture)
    fit = Fit(x_hat, mask, recipe, device="cpu", truth=picture)
    fit.run(2)
    before = fit.state()
    other = Fit(x_hat, mask, replace(recipe, optimiser="muon", lr=0.02), device="cpu")
    other.run(1)
    with pytest.raises(
        ValueError,
        match="of another fit, and nothing was loaded: lr is 0.003 here, 0.02 there; "
        "optimiser is 'adam' here",
    ):
        fit.load(other.state())
    with pytest.raises(ValueError, match="an earlier version made it"):
        fit.load({name: tensor for name, tensor in before.items() if name != "recipe"})
    for odd in (
        {k: v for k, v in before.items() if k != "live.1"},
        before | {"nonsense": before["lr"]},
    ):
        with pytest.raises(ValueError, match="lacks, or has too much: (live.1|nonsense)"):
            fit.load(odd)
    small = Fit(x_hat[:, :20], mask[:, :20], recipe, device="cpu")
    with pytest.raises(ValueError, match=r"shape is \[1, 20, 32\] here, \[1, 32, 32\] there"):
        restore(x_hat[:, :20], mask[:, :20], recipe, device="cpu", progress=False, resume=before)
    assert small.iteration == 0 and all(
        torch.equal(tensor, before[name]) for name, tensor in fit.state().items()
    )


class NothingIsAsked(TorchDispatchMode):
    """Raises when a value is brought from the device to Python."""

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        assert operation is not torch.ops.aten._local_scalar_dense.default, (
            "a GPU would be waited for"
        )
        assert operation is not torch.ops.aten.nonzero.default
        return operation(*arguments, **(keywords or {}))


@pytest.mark.parametrize("hide", [0.0, 0.3])
def test_an_iteration_never_waits_for_the_device(picture, recipe, monkeypatch, hide):
    x_hat, mask = degrade(picture)
    recipe = replace(recipe, z_kind="known", z_channels=0, hide=hide) if hide else recipe
    fit = Fit(x_hat, mask, recipe, device="cpu", truth=picture)
    # On a CPU, Adam itself reads its counter and learning rate; on a GPU it is told to keep them
    # there.
    monkeypatch.setattr(fit.adam, "step", lambda: None)
    with NothingIsAsked():
        fit.step()
    with pytest.raises(AssertionError, match="waited for"), NothingIsAsked():
        fit.image()


def test_one_vector_holds_all_weights(picture, recipe):
    fit = Fit(*degrade(picture), recipe, device="cpu")
    assert fit.weights.numel() == sum(w.numel() for w in fit.net.parameters())
    fit.weights.fill_(0.25)
    assert all((w == 0.25).all() for w in fit.net.parameters())
    assert list(fit.net.buffers()) == [], "no running averages of batch norm to keep in step"
    fit.step()
    assert all(w.grad.data_ptr() >= fit.weights.grad.data_ptr() for w in fit.net.parameters())
    assert fit.weights.grad.abs().sum() > 0


@pytest.mark.parametrize("cut", [1, 17, 29])
@pytest.mark.parametrize(
    "how",
    [
        {"lr": 0.3},
        {"optimiser": "muon", "lr": 0.5, "jump": 1.02},
        {"lr": 0.3, "config": {**small_config(), "dropout": 0.2}},
    ],
)
def test_resuming_changes_nothing(picture, recipe, cut, how):
    """Stopped and continued from what `state` holds: every bit as without the stop."""
    reckless = replace(
        recipe, **{"jump": 1.3, **how}
    )  # so that a restoration or two lie on either side
    x_hat, mask = degrade(picture)
    whole = restore(x_hat, mask, reckless, truth=picture, device="cpu", progress=False)
    states = {}
    restore(
        x_hat, mask, reckless, truth=picture, device="cpu", iterations=cut, progress=False,
        watch=lambda fit: states.update({fit.iteration: fit.state()}),
    )  # fmt: skip
    torch.manual_seed(99)
    resumed = restore(
        x_hat, mask, reckless, truth=picture, device="cpu", progress=False, resume=states[cut]
    )
    assert torch.equal(whole.image, resumed.image) and torch.equal(whole.averaged, resumed.averaged)
    assert whole.history == resumed.history and any(step.backtracked for step in whole.history)


def test_going_on_with_the_truth_where_there_was_none(picture, recipe):
    """What was not measured then stays unmeasured; it is not NaN."""
    x_hat, mask = degrade(picture)
    first = Fit(x_hat, mask, recipe, device="cpu")
    first.run(3)
    history = restore(
        x_hat,
        mask,
        recipe,
        iterations=5,
        truth=picture,
        resume=first.state(),
        device="cpu",
        progress=False,
    ).history
    assert [step.psnr is None for step in history] == [True] * 3 + [False] * 2


def test_schedules_go_from_one_value_to_the_other(picture, recipe):
    x_hat, mask = degrade(picture)
    bent = replace(recipe, lr_end=0.1, iterations=21)
    rates = [step.lr for step in restore(x_hat, mask, bent, device="cpu", progress=False).history]
    half_a_cosine = recipe.lr * (0.1 + 0.9 * (1 + np.cos(np.pi * np.linspace(0, 1, 21))) / 2)
    assert rates == pytest.approx(half_a_cosine, rel=1e-5)
    plain, same = (
        restore(x_hat, mask, replace(recipe, **ends), device="cpu", progress=False)
        for ends in ({}, {"lr_end": 1.0, "sigma_end": 1.0})
    )
    assert torch.equal(plain.image, same.image)


def test_the_perturbation_fades(picture, recipe, monkeypatch):
    inputs = []
    draw = Fit.draw
    monkeypatch.setattr(
        Fit, "draw", lambda fit, z: (inputs.append((z - fit.z).std().item()), draw(fit, z))[1]
    )
    restore(
        *degrade(picture),
        replace(recipe, sigma_p=0.1, sigma_end=0.0, iterations=11),
        device="cpu",
        progress=False,
    )
    assert inputs[1] == pytest.approx(0.1, rel=0.1) and inputs[6] == pytest.approx(
        0.05, rel=0.1
    )  # the first is a check of the size
    assert inputs[11] == pytest.approx(0, abs=1e-8)


def test_a_scheduled_run_resumes_where_it_was(picture, recipe):
    x_hat, mask = degrade(picture)
    bent = replace(recipe, lr=0.3, jump=1.3, lr_end=0.1, sigma_end=0.2)
    states = {}
    whole = restore(
        x_hat,
        mask,
        bent,
        device="cpu",
        progress=False,
        watch=lambda fit: states.update({fit.iteration: fit.state()}),
    )
    resumed = restore(x_hat, mask, bent, device="cpu", progress=False, resume=states[17])
    assert torch.equal(whole.image, resumed.image) and whole.history == resumed.history
    assert any(step.backtracked for step in whole.history)


def test_total_variation_smoothes(picture, recipe):
    assert dip_blocks.total_variation(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])) == 1
    noisy = np.clip(picture + 0.1 * np.random.default_rng(0).standard_normal(picture.shape), 0, 1)
    x_hat, mask = degrade(noisy)
    plain, flat = (
        restore(
            x_hat, mask, replace(recipe, tv=tv), iterations=200, device="cpu", progress=False
        ).image
        for tv in (0.0, 0.5)
    )
    assert dip_blocks.total_variation(flat) < 0.7 * dip_blocks.total_variation(plain)


@pytest.mark.parametrize(
    ("kind", "channels"), [("uniform", 5), ("meshgrid", 2), ("meshgrid", 6), ("fourier", 8)]
)
def test_what_z_is_made_of(recipe, kind, channels):
    recipe = replace(recipe, z_kind=kind, z_channels=channels, z_scale=0.1)
    z = dip_blocks.draw_z(recipe, (1, 32, 48))
    assert z.shape == (1, channels, 32, 48) and 0 <= z.min() < 0.02 and 0.08 < z.max() <= 0.1 + 1e-7
    again = dip_blocks.draw_z(recipe, (1, 32, 48))
    assert torch.equal(z, again) == (kind != "uniform")
    if kind == "meshgrid":
        assert torch.equal(z[0, 0, :, 0], z[0, 0, :, 5]) and torch.equal(z[0, 1, 0], z[0, 1, 5])
        assert z[0, 0, -1, 0] == z[0, 1, 0, -1] == pytest.approx(0.1)
    if (
        kind == "fourier"
    ):  # as many waves as promised: one over the height, a quarter of the longer side at most
        spectrum = np.abs(
            np.fft.rfft(
                z[0, :, 0, :].numpy() - z[0, :, 0, :].mean(-1, keepdim=True).numpy(), axis=-1
            )
        )
        assert spectrum[1].argmax() == 1 and spectrum[3].argmax() in (11, 12)


def test_z_has_its_own_needs(recipe):
    with pytest.raises(ValueError, match="multiple of 4"):
        replace(recipe, z_kind="fourier", z_channels=6)
    with pytest.raises(
        ValueError, match="z_kind must be one of uniform, meshgrid, fourier, known, not 'sine'"
    ):
        replace(recipe, z_kind="sine")


def test_the_average_is_an_exponential_moving_average(picture, recipe):
    x_hat, mask = degrade(picture)
    result = restore(
        x_hat,
        mask,
        replace(recipe, averaging=0.8),
        frames=range(1, 31),
        device="cpu",
        truth=picture,
        progress=False,
    )
    expected = result.frames[1]
    for i in range(2, 31):
        expected = 0.8 * expected + 0.2 * result.frames[i]
    assert torch.allclose(result.averaged, expected, atol=1e-5)
    assert result.history[-1].psnr_averaged == pytest.approx(
        psnr(expected, torch.from_numpy(picture)[None]), abs=0.01
    )
    assert result.history[7].psnr == pytest.approx(
        psnr(result.frames[8], torch.from_numpy(picture)[None]), abs=0.01
    )
    assert sorted(result.frames) == list(range(1, 31))


def test_a_failed_step_does_not_enter_the_average(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    sabotage({4: math.nan})
    result = restore(
        x_hat,
        mask,
        replace(recipe, averaging=0.5),
        frames=range(1, 7),
        device="cpu",
        iterations=4,
        progress=False,
    )
    assert [step.iteration for step in result.history if step.backtracked] == [4]
    expected = 0.25 * result.frames[1] + 0.25 * result.frames[2] + 0.5 * result.frames[3]
    assert torch.allclose(result.averaged, expected, atol=1e-6)


def test_known_pixels_are_pasted_back(picture):
    x_hat, mask = degrade(picture)
    image = torch.full_like(x_hat, 0.3)
    pasted = dip_blocks.paste(image, x_hat, mask)
    assert torch.equal(pasted * mask, x_hat) and (pasted[mask == 0] == 0.3).all()
    # what a user has in hand: a picture as NumPy array, a mask of booleans
    assert torch.equal(
        pasted, dip_blocks.paste(image, x_hat.permute(1, 2, 0).numpy(), mask[0].numpy() > 0)
    )


def test_blending_hands_a_correction_on(picture):
    x_hat, mask = degrade(picture)
    image = (x_hat * mask + 0.5 * (1 - mask)).clamp(0.2, 0.8)
    blended = dip_blocks.blend(image, x_hat, mask)
    assert torch.equal(blended * mask, x_hat) and blended.min() >= 0 and blended.max() <= 1
    assert torch.equal(
        blended, dip_blocks.blend(image, x_hat.permute(1, 2, 0).numpy(), mask[0].numpy() > 0)
    )
    # one missing pixel, its four neighbours off by 0.1: a correction of 4 × 0.1 / (4 + damping),
    # solved by hand
    truth, flat, known = torch.full((1, 3, 3), 0.5), torch.full((1, 3, 3), 0.4), torch.ones(1, 3, 3)
    known[0, 1, 1] = 0
    assert dip_blocks.blend(flat, truth, known)[0, 1, 1].item() == pytest.approx(0.4 + 0.4 / 4.5)
    assert dip_blocks.blend(flat, truth, known, damping=0)[0, 1, 1].item() == pytest.approx(0.5)


def test_a_membrane_draws_a_ramp_again():
    """An image off by a plane comes back whole without damping: a plane is its own membrane."""
    off = torch.linspace(0, 0.2, 24).expand(1, 24, 24)
    truth = torch.full((1, 24, 24), 0.5)
    mask = dip_blocks.bernoulli_mask(24, 24, 0.6, seed=1)
    mask[:, :, [0, -1]] = mask[:, [0, -1]] = 1
    assert torch.allclose(dip_blocks.blend(truth - off, truth, mask, damping=0), truth, atol=1e-5)
    assert not torch.allclose(dip_blocks.paste(truth - off, truth, mask), truth, atol=1e-2)


def test_a_correction_dies_out_in_a_large_hole():
    truth, mask = torch.full((1, 32, 32), 0.6), torch.ones(1, 32, 32)
    mask[:, 4:28, 4:28] = 0
    blended = dip_blocks.blend(truth - 0.2, truth, mask)
    assert blended[0, 4, 16] > 0.5 and blended[0, 16, 16].item() == pytest.approx(0.4, abs=1e-3)


def test_what_blending_refuses(picture):
    x_hat, mask = degrade(picture)
    with pytest.raises(ValueError, match="damping must be 0 or above"):
        dip_blocks.blend(x_hat, x_hat, mask, damping=-1)
    with pytest.raises(ValueError, match="one value a pixel"):
        dip_blocks.blend(x_hat, x_hat, mask[:, 1:])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions(picture, recipe, precision):
    x_hat, mask = degrade(picture)
    exact = restore(x_hat, mask, recipe, device="cpu", precision="fp32", progress=False)
    result = restore(x_hat, mask, recipe, device="cpu", precision=precision, progress=False)
    assert result.image.dtype == torch.float32
    assert result.history[-1].loss == pytest.approx(
        exact.history[-1].loss, rel=0.3 if precision == "bf16" else 1e-2
    )
    if precision == "bf16":
        assert not torch.equal(result.image, exact.image), "autocast was on"


@pytest.mark.parametrize(
    ("device", "able", "precision"),
    [
        ("cuda", {}, "tf32"),
        ("cpu", {"avx512_bf16": True}, "bf16"),
        ("cpu", {"amx_bf16": True}, "bf16"),
        ("cpu", {"avx2": True, "avx512_bf16": False}, "fp32"),
        ("mps", {"avx512_bf16": True}, "fp32"),
    ],
)
def test_the_precision_that_a_device_is_built_for(
    picture, recipe, monkeypatch, device, able, precision
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert dip_blocks.best_precision(device) == precision
    if device == "cpu":
        assert Fit(*degrade(picture), recipe, device="cpu").precision == precision


def test_an_unknown_precision_is_refused(picture, recipe):
    with pytest.raises(ValueError, match="precision must be one of fp32, tf32, bf16"):
        restore(*degrade(picture), recipe, precision="fp8", progress=False)


def test_recording_leaves_the_state_as_it_was(picture, recipe):
    """The warm-up before a capture runs real iterations; none of that may show in the result."""
    x_hat, mask = degrade(picture)
    plain, fit = (Fit(x_hat, mask, recipe, device="cpu", truth=picture) for _ in range(2))
    plain.run(20)
    fit.run(5)
    fit.notes = torch.zeros(50, 6)  # read rarely, as on a GPU
    assert not fit.record(), "there is nothing to record on a CPU"
    replayed = []

    def capture(step):
        for _ in range(4):
            step()
        return lambda: (replayed.append(fit.iteration), step())

    assert fit.record(capture)
    fit.run(15)
    assert replayed[-15:] == list(range(5, 20)), "every iteration was a replay"
    assert fit.history == plain.history and torch.equal(fit.weights, plain.weights)


def test_a_capture_that_fails_falls_back_to_the_plain_step(picture, recipe):
    x_hat, mask = degrade(picture)
    plain, fit = (Fit(x_hat, mask, recipe, device="cpu", truth=picture) for _ in range(2))
    fit.notes = torch.zeros(50, 6)

    def capture(step):
        step()
        raise RuntimeError("not here")

    with pytest.warns(UserWarning, match="No CUDA graph here.*RuntimeError: not here"):
        assert not fit.record(capture)
    fit.run(10), plain.run(10)
    assert fit.history == plain.history and torch.equal(fit.weights, plain.weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_cuda_graph(picture, recipe, optimiser):
    chosen = replace(recipe, optimiser=optimiser, config={**small_config(), "dropout": 0.1})
    plain, fit = (Fit(*degrade(picture), chosen, device="cuda", truth=picture) for _ in range(2))
    assert fit.record()
    fit.run(20), plain.run(20)
    assert [s.loss for s in fit.history] == pytest.approx([s.loss for s in plain.history], rel=1e-3)


def frozen(fit):
    """What a wrong recording does: the same random numbers in every replay."""
    kept = fit.noise.get_state()

    def replay():
        fit.noise.set_state(kept)
        fit.step()

    return replay


def forgetful(fit):
    """The pictures are drawn, and the weights stay."""

    def replay():
        live = [tensor.clone() for tensor in fit.live]
        fit.step()
        for tensor, before in zip(fit.live, live):
            tensor.copy_(before)

    return replay


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(
    "drawn", [{"sigma_p": 1 / 30}, {"sigma_p": 0.0, "config": {**small_config(), "dropout": 0.1}}]
)
def test_a_replay_is_only_trusted_when_it_leads_where_plain_iterations_do(
    picture, recipe, optimiser, drawn
):
    """On any device: what a recording would do is played by functions, right and wrong ones."""
    fit = Fit(
        *degrade(picture),
        replace(recipe, optimiser=optimiser, **drawn),
        device="cpu",
        truth=picture,
    )
    fit.run(5)
    fit.notes = torch.zeros(50, 6)
    before = fit.state()
    assert fit.same_as_plain(fit.step)
    assert not fit.same_as_plain(frozen(fit)), "a perturbation or a dropout that is drawn once"
    assert not fit.same_as_plain(forgetful(fit)), "a step that is left out"
    assert all(torch.equal(tensor, before[name]) for name, tensor in fit.state().items()), (
        "and nothing has moved"
    )


def test_a_wrong_recording_falls_back_to_the_plain_step(picture, recipe):
    x_hat, mask = degrade(picture)
    plain, fit = (Fit(x_hat, mask, recipe, device="cpu", truth=picture) for _ in range(2))
    fit.notes = torch.zeros(50, 6)
    plain.run(10)
    with pytest.warns(UserWarning, match="does not lead where plain iterations do"):
        assert not fit.record(lambda step: frozen(fit))
    fit.run(10)
    assert fit.history == plain.history and torch.equal(fit.weights, plain.weights)


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
        ({"degradation": np.ones((16, 16))}, "mask's shape"),
        ({"truth": np.zeros((16, 16))}, "truth has shape"),
        ({"x_hat": np.full((32, 32), np.nan)}, "NaN"),
        ({"x_hat": np.full((32, 32), 2.0)}, r"\[0, 1\]"),
        ({"iterations": -5}, "iterations must be 0 or more"),
    ],
)
def test_bad_input_is_refused(picture, recipe, change, words):
    x_hat, mask = degrade(picture)
    with pytest.raises(ValueError, match=words):
        restore(
            **{"x_hat": x_hat, "degradation": mask, "recipe": recipe, "progress": False, **change}
        )


def test_too_small_for_the_network():
    x_hat, mask = degrade(np.full((40, 40), 0.5, np.float32))
    with pytest.raises(ValueError, match="too small for a network of depth 5"):
        restore(x_hat, mask, progress=False)


# --------------------------------------------------------------------------------------
# Backtracking
# --------------------------------------------------------------------------------------


def test_the_last_good_state_is_everything_and_a_copy(picture, recipe):
    fit = Fit(*degrade(picture), recipe, device="cpu")
    assert len(fit.live) == 4, "weights, two moments and a counter"
    assert not {tensor.data_ptr() for tensor in fit.live} & {
        tensor.data_ptr() for tensor in fit.good
    }
    fit.run(3)
    assert all(not torch.equal(live, good) for live, good in zip(fit.live, fit.good)), (
        "the last step is not in it"
    )
    before = [tensor.clone() for tensor in fit.good]
    for tensor in fit.live:
        tensor.fill_(math.nan)
    fit.bring_back()
    assert all(torch.equal(live, kept) for live, kept in zip(fit.live, before))
    assert float(fit.adam.state[fit.weights]["step"]) == 2


@pytest.fixture
def sabotage(monkeypatch):
    """Multiply the loss in chosen iterations: {iteration: factor}."""

    def install(factors):
        calls, original = [], dip_blocks.masked_loss

        def loss(*arguments):
            if not torch.is_grad_enabled():  # not an iteration
                return original(*arguments)
            calls.append(None)
            return original(*arguments) * factors.get(len(calls), 1)

        monkeypatch.setattr(dip_blocks, "masked_loss", loss)

    return install


@pytest.mark.parametrize("factor", [10.0, math.nan, math.inf])
def test_a_jump_is_undone(picture, recipe, sabotage, factor):
    x_hat, mask = degrade(picture)
    sabotage({10: factor})
    history = restore(x_hat, mask, recipe, progress=False).history
    assert [step.iteration for step in history if step.backtracked] == [10]
    assert [step.lr for step in history] == [0.003] * 9 + [pytest.approx(0.0027)] * 21
    assert history[10].loss == pytest.approx(history[8].loss, rel=0.5), "back where iteration 9 was"


def test_a_jump_right_after_the_first_step(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    sabotage({2: math.nan})
    history = restore(x_hat, mask, recipe, progress=False).history
    assert [step.iteration for step in history if step.backtracked] == [2]
    assert history[-1].loss < history[0].loss


def test_what_counts_as_a_jump_is_a_parameter(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    for jump, expected in [(2.0, [10]), (4.0, []), (math.inf, [])]:
        sabotage({10: 3.0})
        history = restore(x_hat, mask, replace(recipe, jump=jump), progress=False).history
        assert [step.iteration for step in history if step.backtracked] == expected


def test_an_unlucky_draw_cannot_stall_the_run(picture, recipe, sabotage):
    """After the loop went back, the state is taken as good, even if its next loss is high again."""
    x_hat, mask = degrade(picture)
    sabotage(dict.fromkeys(range(10, 31), 10.0))
    history = restore(x_hat, mask, recipe, progress=False).history
    assert [step.iteration for step in history if step.backtracked] == [10]


def test_a_step_that_ruins_the_weights(picture, recipe, monkeypatch):
    """Weights, buffers and moments full of NaN come back as they were."""
    x_hat, mask = degrade(picture)
    original, steps = torch.optim.Adam.step, []

    def ruin(adam, *arguments):
        result = original(adam, *arguments)
        steps.append(None)
        if len(steps) == 1 + 10:  # one before the first iteration makes the moments
            with torch.no_grad():
                for weight in adam.param_groups[0]["params"]:
                    weight.fill_(math.nan)
                for state in adam.state.values():
                    state["exp_avg"].fill_(math.nan)
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", ruin)
    result = restore(x_hat, mask, recipe, progress=False)
    assert [step.iteration for step in result.history if step.backtracked] == [11]
    assert torch.isfinite(result.image).all()
    assert result.history[-1].loss < result.history[0].loss


def test_the_very_last_step_is_checked_too(picture, recipe, monkeypatch):
    x_hat, mask = degrade(picture)
    original, steps = torch.optim.Adam.step, []

    def ruin(adam, *arguments):
        original(adam, *arguments)
        steps.append(None)
        if len(steps) == 1 + recipe.iterations:
            with torch.no_grad():
                for weight in adam.param_groups[0]["params"]:
                    weight.fill_(math.nan)

    monkeypatch.setattr(torch.optim.Adam, "step", ruin)
    assert torch.isfinite(restore(x_hat, mask, recipe, progress=False).image).all()


def test_divergence_without_recovery_names_the_iteration(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    sabotage(dict.fromkeys(range(8, 1000), math.nan))
    with pytest.raises(DivergenceError, match=f"nan in iteration {8 + MAX_RECOVERIES}"):
        restore(x_hat, mask, recipe, iterations=200, progress=False)


def test_a_step_that_always_fails_is_given_up(picture, recipe, sabotage):
    """Finite again after every restoration, NaN after every step: no progress, so an error."""
    x_hat, mask = degrade(picture)
    sabotage(dict.fromkeys(range(8, 1000, 2), math.nan))
    with pytest.raises(DivergenceError, match="in iteration"):
        restore(x_hat, mask, recipe, iterations=400, progress=False)


def test_good_steps_in_between_forgive(picture, recipe, sabotage):
    """More failures than are borne in a row, but never two without a good step between them."""
    x_hat, mask = degrade(picture)
    failures = range(3, 3 * (MAX_RECOVERIES + 5), 3)
    sabotage(dict.fromkeys(failures, math.nan))
    history = restore(x_hat, mask, recipe, iterations=failures[-1], progress=False).history
    assert [step.iteration for step in history if step.backtracked] == [*failures]


def test_a_checkpoint_remembers_how_often_it_went_back(picture, recipe, sabotage):
    x_hat, mask = degrade(picture)
    sabotage(dict.fromkeys(range(8, 1000), math.nan))
    fit = Fit(x_hat, mask, recipe, device="cpu")
    fit.run(40)
    again = Fit(x_hat, mask, recipe, device="cpu")
    again.load(fit.state())
    with pytest.raises(DivergenceError, match=f"nan in iteration {8 + MAX_RECOVERIES}"):
        again.run(100)


# --------------------------------------------------------------------------------------
# The best state
# --------------------------------------------------------------------------------------


def drawn(fit, weights):
    """f_θ(z) with these weights, and its loss by hand."""
    before = fit.weights.clone()
    fit.weights.copy_(weights)
    fit.net.eval()
    with torch.no_grad():
        image = fit.net(fit.z)[0]
    fit.net.train()
    fit.weights.copy_(before)
    return image, float((((image - fit.x_hat) * fit.mask) ** 2).sum() / fit.mask.sum())


def spoilt(picture, recipe, iterations=1):
    """A fit whose weights were lost after 20 iterations, and whose loop took what came for good."""
    fit = Fit(*degrade(picture), recipe, device="cpu", precision="fp32")
    fit.run(20)
    fit.weights.copy_(5 * torch.randn(fit.weights.shape, generator=torch.Generator()))
    fit.jumped.fill_(True)  # as after going back: the next state is good, whatever its loss
    fit.run(iterations)
    assert not fit.history[20].backtracked and fit.history[20].loss > 3 * fit.history[19].loss
    return fit


def test_the_best_state_is_kept(picture, recipe):
    """Weights and average as of the accepted iteration with the lowest loss; copies."""
    fit, states = Fit(*degrade(picture), replace(recipe, lr=0.1), device="cpu"), []
    for _ in range(30):
        before = fit.weights.clone()
        fit.run(1)
        states.append((before, fit.averaged.clone(), fit.history[-1].loss))
        accepted = [s for s, step in zip(states, fit.history) if not step.backtracked]
        weights, averaged, loss = min(accepted, key=lambda state: state[2])
        assert torch.equal(fit.best[0], weights) and torch.equal(fit.best[1], averaged)
        assert float(fit.best_loss) == pytest.approx(loss)
    assert any(a[2] < b[2] for a, b in zip(states, states[1:])), "not always the last one"


@pytest.mark.parametrize("known", [1, 2, 500])
def test_an_iteration_asks_for_one_pixel_at_least(picture, recipe, known):
    """One that asks for nothing has a loss of 0: the best state, and a jump right after it."""
    mask = torch.zeros(1, 32, 32)
    mask.view(-1)[torch.randperm(1024, generator=torch.Generator().manual_seed(0))[:known]] = 1
    hiding = replace(recipe, z_kind="known", z_channels=0, hide=0.1, sigma_p=0.0)
    fit = Fit(picture, mask, hiding, device="cpu")
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        z, wanted = fit.hidden()
        drawn = torch.rand(mask.shape, generator=draws)
        least = drawn[mask == 1].min()
        expected = (mask == 1) & ((drawn < 0.1) | (drawn == least))
        assert torch.equal(wanted == 1, expected) and int(wanted.sum()) >= 1
        assert torch.equal(z, fit.z * ~expected)
    if known == 500:
        assert least < 0.1, "with many, some are hidden anyway"


def test_a_jump_is_never_the_best_state(picture, recipe, sabotage):
    sabotage({5: math.nan, 9: math.inf, 12: -1.0})
    fit = Fit(*degrade(picture), recipe, device="cpu")
    fit.run(11)
    assert float(fit.best_loss) == min(s.loss for s in fit.history if not s.backtracked)


def test_a_healthy_fit_returns_its_present_weights(picture, recipe):
    fit = Fit(*degrade(picture), recipe, device="cpu", precision="fp32")
    for _ in range(15):
        fit.run(2)
        assert torch.equal(fit.image(), drawn(fit, fit.weights)[0])
        assert torch.equal(fit.averaged_image(), fit.averaged)


def test_a_ruined_last_step_returns_the_last_good_state(picture, recipe):
    """And not the best, which was another."""
    fit = Fit(*degrade(picture), replace(recipe, lr=0.1, sigma_p=0.3), device="cpu")
    fit.run(5)
    while fit.history[-1].backtracked or torch.equal(fit.good[0], fit.best[0]):
        fit.run(1)
    assert fit.iteration < 100
    with torch.no_grad():
        fit.net.out[0].bias += 3
    good, loss = fit._drawn(fit.good[0])
    fit.good_loss.fill_(max(loss, float(fit.best_loss)))  # it was no jump itself
    assert not torch.equal(good, fit._drawn(fit.best[0])[0])
    fit.best_loss.fill_(max(loss, float(fit.best_loss)))
    assert torch.equal(fit.image(), good)


def test_weights_that_have_grown_are_the_learning_rates_doing(picture, recipe):
    fit = Fit(*degrade(picture), replace(recipe, sigma_p=3e38), device="cpu")
    assert "not to blame" in fit._why()
    fit.good[0].mul_(1e4)
    assert fit._why() == "Start with a smaller learning rate than lr = 0.003."


def test_moments_that_are_not_finite_are_named(picture, recipe):
    """They make every step a jump; and were kept with weights that were good."""
    fit = Fit(*degrade(picture[:12, :12]), recipe, device="cpu")
    fit.run(3)
    fit.live[1][7] = math.nan
    with pytest.raises(DivergenceError, match="did not help. The optimiser's moments are not fin"):
        fit.run(130)


@pytest.mark.parametrize("hide", [0.0, 0.3])
def test_a_bad_end_returns_the_best_state(picture, recipe, hide):
    if hide:
        recipe = replace(recipe, z_kind="known", z_channels=0, hide=hide, sigma_p=0.0)
    fit = spoilt(picture, recipe)
    best, least = drawn(fit, fit.best[0])
    now = [tensor.clone() for tensor in fit.live]
    assert drawn(fit, fit.weights)[1] > 2 * max(float(fit.best_loss), least)
    assert torch.equal(fit.image(), best)
    assert all(map(torch.equal, fit.live, now)) and fit.net.training, "looking changes nothing"


def test_how_bad_an_end_is_borne_is_the_factor_of_a_jump(picture, recipe):
    fit = spoilt(picture, recipe)
    now, best = (drawn(fit, weights) for weights in (fit.weights, fit.best[0]))
    factor = now[1] / max(best[1], float(fit.best_loss))
    for jump, image in [(1.01 * factor, now[0]), (0.99 * factor, best[0]), (math.inf, now[0])]:
        fit.recipe = replace(recipe, jump=jump)
        fit.good_loss.fill_(math.inf)  # the step before is not at issue
        assert torch.equal(fit.image(), image)


def test_an_average_of_a_bad_end_returns_to_the_best_state(picture, recipe):
    fit = spoilt(picture, replace(recipe, averaging=0.5, jump=100.0))
    fit.recipe = replace(fit.recipe, jump=2.0)
    assert float(fit.loss(fit.averaged)) > 2 * float(fit.loss(fit.best[1]))
    assert torch.equal(fit.averaged_image(), fit.best[1])
    fit.recipe = replace(fit.recipe, jump=math.inf)
    assert torch.equal(fit.averaged_image(), fit.averaged)


def test_total_variation_counts_in_what_is_worse(picture, recipe):
    """Two states that fit the data alike: the one that flickers is the worse one."""
    fit = Fit(*degrade(picture), replace(recipe, tv=1.0), device="cpu")
    flat, noise = torch.full(fit.shape, 0.5), torch.rand(fit.shape)
    here = fit.mask == 1
    same = torch.where(here, flat, noise)
    assert float(fit.loss(same)) > float(fit.loss(flat)) + 0.1
    data = dip_blocks.masked_loss(flat, fit.x_hat, fit.mask)
    assert float(fit.loss(flat)) == pytest.approx(float(data))


def test_one_known_pixel_at_a_rate_of_one(recipe):
    """It ended 13 times above the lowest loss, for each going back made the next state good."""
    mask = np.zeros((32, 32))
    mask[10, 20] = 1
    for seed in range(3):
        chosen = replace(recipe, lr=1.0)
        fit = Fit(np.full((32, 32), 0.7), mask, chosen, device="cpu", precision="fp32", seed=seed)
        fit.run(40)
        least = max(drawn(fit, fit.best[0])[1], min(step.loss for step in fit.history))
        assert float(fit.loss(fit.image())) <= 2.0001 * least


def test_before_any_iteration_the_average_is_what_is_drawn(picture, recipe):
    result = restore(*degrade(picture), recipe, iterations=0, progress=False)
    assert torch.equal(result.image, result.averaged)


def test_a_checkpoint_keeps_the_best_state(picture, recipe):
    fit = spoilt(picture, recipe)
    again = Fit(*degrade(picture), recipe, device="cpu", precision="fp32")
    again.load(fit.state())
    assert torch.equal(again.image(), fit.image())
    assert torch.equal(again.averaged_image(), fit.averaged_image())
    with pytest.raises(ValueError, match=r"lacks, or has too much: best\.0"):
        again.load({name: t for name, t in fit.state().items() if name != "best.0"})


# --------------------------------------------------------------------------------------
# Reasons
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sigma_p": 3e38}, "before any step, so the learning rate is not to blame.*sigma_p = 3e"),
        ({"z_scale": 3e38, "sigma_p": 3e38}, "learning rate is not to blame.*z_scale = 3e"),
        ({"lr": 3e38, "lr_decay": 1.0}, r"Start with a smaller learning rate than lr = 3e\+38\.$"),
        (
            {"lr": 1e30, "optimiser": "muon", "lr_end": 10.0},
            r"than lr = 1e\+30 and lr_adam = 0.003 and lr_end = 10\.$",
        ),
    ],
)
def test_why_it_diverged(picture, recipe, change, words):
    if "lr" in change:  # batch norm forgives any
        recipe = replace(recipe, config={**small_config(), "norm": "none"})
    small = picture[:12, :12]
    with pytest.raises(DivergenceError, match=words):
        restore(*degrade(small), replace(recipe, **change), iterations=130, progress=False)


def test_a_gradient_that_is_never_finite_is_named(picture, recipe, monkeypatch):
    plain = Fit.gradients

    def gradients(fit, loss):
        plain(fit, loss)
        fit.weights.grad[3] = math.nan

    monkeypatch.setattr(Fit, "gradients", gradients)
    with pytest.raises(DivergenceError, match="its gradient is not finite, so the learning rate"):
        restore(*degrade(picture[:12, :12]), recipe, iterations=130, progress=False)


def test_what_is_drawn_before_any_iteration_may_be_nothing(picture, recipe, monkeypatch):
    plain = Fit.draw
    monkeypatch.setattr(Fit, "draw", lambda fit, z: plain(fit, z) * math.nan)
    with pytest.raises(DivergenceError, match="what the network draws is nan"):
        restore(*degrade(picture), recipe, iterations=0, progress=False)


@pytest.mark.parametrize("size", [(1, 40), (40, 1)])
def test_a_total_variation_without_neighbours(recipe, size):
    """A picture one pixel wide has no differences across; their mean was not a number."""
    x_hat, mask = degrade(np.full(size, 0.5, np.float32))
    history = restore(x_hat, mask, replace(recipe, tv=0.1), progress=False).history
    assert all(math.isfinite(step.loss) for step in history)


def test_the_largest_rate_leaves_the_first_weights_alone(picture, recipe):
    for optimiser in OPTIMISERS:
        chosen = replace(recipe, lr=3e38, lr_adam=3e38, optimiser=optimiser)
        first, plain = (
            Fit(*degrade(picture), r, device="cpu")
            for r in (chosen, replace(recipe, optimiser=optimiser))
        )
        assert torch.equal(first.weights, plain.weights)


def test_weight_decay_takes_all_of_a_weight_at_most(picture, recipe):
    greedy = replace(recipe, optimiser="muon", weight_decay=1e30, lr=0.02)
    result = restore(*degrade(picture), greedy, progress=False)
    assert math.isfinite(result.history[-1].loss)


def test_an_interrupt_leaves_no_switch_turned(picture, recipe, monkeypatch):
    """It may come where a ``with`` would have turned it back."""

    def step(fit):
        torch.set_grad_enabled(False)
        torch.autocast("cpu", torch.bfloat16).__enter__()
        raise KeyboardInterrupt

    monkeypatch.setattr(Fit, "step", step)
    assert restore(*degrade(picture), recipe, precision="fp32", progress=False).interrupted
    assert torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    torch.autocast_increment_nesting()
    assert torch.autocast_decrement_nesting() == 0


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
            if len(calls) == (
                6 if where == "loss" else 7
            ):  # Adam is called once before the first iteration
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


@pytest.mark.parametrize("method", ["draw", "loss"])
def test_a_second_interrupt_while_the_pictures_are_drawn_loses_nothing(
    picture, recipe, monkeypatch, method
):
    """The first shows nothing for a while, and is pressed again; the third is meant."""
    data = degrade(picture)
    original, presses = getattr(Fit, method), []

    def stop(fit):
        if fit.iteration == 3:
            raise KeyboardInterrupt

    once = restore(*data, recipe, progress=False, watch=stop)

    def call(fit, image):
        if fit.iteration == 3 and presses:
            presses.pop()
            raise KeyboardInterrupt
        return original(fit, image)

    monkeypatch.setattr(Fit, method, call)
    presses.append("second")
    result = restore(*data, recipe, progress=False, watch=stop)
    assert not presses and result.interrupted and len(result.history) == 3
    assert torch.equal(result.image, once.image) and torch.equal(result.averaged, once.averaged)
    presses.extend(["second", "third"])
    with pytest.raises(KeyboardInterrupt):
        restore(*data, recipe, progress=False, watch=stop)


def test_an_interrupt_while_memory_is_given_back_is_late(picture, recipe, monkeypatch):
    given_back = []

    def trim(keep):
        given_back.append(keep)
        raise KeyboardInterrupt

    monkeypatch.setattr(devices, "_glibc", lambda: (lambda *words: None, trim))
    result = restore(*degrade(picture), recipe, device="cpu", iterations=2, progress=False)
    assert len(result.history) == 2 and given_back


def interrupts(step):
    """A capture that is interrupted after two of its warm-up iterations."""
    step(), step()
    raise KeyboardInterrupt


def complains(step):
    """The same, and the driver complains of what the interrupt left."""
    try:
        interrupts(step)
    finally:
        raise RuntimeError("capture is not valid")


@pytest.mark.parametrize("capture", [interrupts, complains])
def test_an_interrupt_of_the_recording_leaves_the_fit_as_it_was(picture, recipe, capture):
    x_hat, mask = degrade(picture)
    plain, fit = (Fit(x_hat, mask, recipe, device="cpu", truth=picture) for _ in range(2))
    fit.run(5), plain.run(15)
    fit.notes = torch.zeros(50, 6)  # read rarely, as on a GPU
    before = fit.state()
    with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
        warnings.simplefilter("error")
        fit.record(capture)
    assert all(torch.equal(tensor, before[name]) for name, tensor in fit.state().items())
    fit.run(10)
    assert fit.history == plain.history and torch.equal(fit.weights, plain.weights)


@pytest.mark.parametrize("capture", [interrupts, complains])
def test_an_interrupt_of_the_recording_returns_what_there_is(picture, recipe, monkeypatch, capture):
    x_hat, mask = degrade(picture)
    five = Fit(x_hat, mask, recipe, truth=picture)
    five.run(5)
    record = Fit.record

    def as_on_a_gpu(fit):
        fit.notes = torch.zeros(50, 6)
        return record(fit, capture)

    monkeypatch.setattr(Fit, "record", as_on_a_gpu)
    for state in (None, five.state()):
        result = restore(
            x_hat, mask, recipe, iterations=200, truth=picture, resume=state, progress=False
        )
        assert result.interrupted and result.history == (five.history if state else [])
        assert torch.isfinite(result.image).all()
    assert torch.equal(result.averaged, five.averaged.cpu())


def test_progress_is_shown_or_not(picture, recipe, capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    x_hat, mask = degrade(picture)
    restore(x_hat, mask, recipe, iterations=5, progress=False)
    restore(x_hat, mask, recipe, iterations=5)  # a file, not a terminal
    assert capfd.readouterr().err == ""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    restore(x_hat, mask, recipe, iterations=5)
    assert "restoring" in terminal.getvalue() and "5/5" in terminal.getvalue()


def test_best_device_is_one_that_works():
    torch.zeros(1, device=dip_blocks.best_device())


def test_a_recipe_s_name_is_not_a_recipe(picture):
    with pytest.raises(TypeError, match=r"RECIPES\['quick'\], not 'quick'"):
        dip_blocks.restore(picture, np.ones_like(picture), "quick")


@pytest.mark.parametrize("device", ["cuda", "gpu", "cuda:7", "meta"])
def test_a_device_that_is_not_here_is_named(device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("it is here")
    with pytest.raises(ValueError, match=f"no device '{device}' here"):
        dip_blocks.as_device(device)
    assert dip_blocks.as_device(None).type == dip_blocks.best_device()
