"""What makes the method fast and keeps it from over-fitting: Muon, dropout, folded upsampling.

Held against PyTorch's own.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import small_config
from torch import nn

import dip_blocks
from dip_blocks import DivergenceError, Fit, Recipe, UNet, degrade, restore
from dip_parts import devices
from dip_parts.layers import Dropout, upsampled_conv
from dip_parts.muon import Muon, for_muon, orthogonalised

FOLDED = {
    "upsampling_position": "first",
    "upsampling_method": "nearest",
    "skip_from": "input",
    "connect": False,
}


@pytest.fixture
def muon(recipe):
    return replace(recipe, optimiser="muon", lr=0.02)


# Muon -------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 2.0])
def test_muon_agrees_with_pytorchs(decay):
    """Several shapes, batched by shape here, one by one there; both in bf16, as PyTorch has it."""
    generator = torch.Generator().manual_seed(0)
    matrices = [
        torch.randn(shape, generator=generator) for shape in ((8, 20), (8, 20), (20, 8), (6, 6))
    ]
    theirs = [nn.Parameter(matrix.clone()) for matrix in matrices]
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=decay)
    ours = torch.cat([matrix.flatten() for matrix in matrices])
    ours.grad = torch.zeros_like(ours)
    muon = Muon(
        ours, [matrix.shape for matrix in matrices], torch.tensor(0.02), decay, torch.bfloat16
    )
    for _ in range(10):
        gradients = [torch.randn(matrix.shape, generator=generator) for matrix in matrices]
        for parameter, gradient in zip(theirs, gradients):
            parameter.grad = gradient
        ours.grad.copy_(torch.cat([gradient.flatten() for gradient in gradients]))
        reference.step()
        muon.step()
    moved = torch.cat(
        [(parameter - matrix).flatten() for parameter, matrix in zip(theirs, matrices)]
    ).detach()
    apart = ours - torch.cat([parameter.flatten() for parameter in theirs]).detach()
    assert apart.norm() < 0.03 * moved.norm(), (
        "bf16 rounds the two differently, by no more than this"
    )
    assert moved.norm() > 0.3


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 5, 40), (2, 40, 5), (1, 1, 7)])
def test_an_update_is_made_orthogonal(shape):
    """All singular values near 1, whatever they were; the directions stay."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert values.min() > 0.6 and values.max() < 1.3
    along = (u.mT @ orthogonalised(matrices) @ v.mT).diagonal(dim1=-2, dim2=-1)
    assert (along > 0.6).all()
    assert torch.equal(orthogonalised(torch.zeros(shape)), torch.zeros(shape)), (
        "no gradient, no step"
    )


def test_which_weights_muon_takes(picture, muon):
    fit = Fit(*degrade(picture), muon, device="cpu")
    taken = {id(weight) for weight in for_muon(fit.net)}
    for name, weight in fit.net.named_parameters():
        matrix = weight.ndim == 4 and not name.startswith("out.")
        assert (id(weight) in taken) == matrix, name
    count = sum(weight.numel() for weight in for_muon(fit.net))
    assert (
        fit.muon.weights.numel() == count and fit.muon.weights.data_ptr() == fit.weights.data_ptr()
    )
    rest = fit.adam.param_groups[0]["params"][0]
    assert rest.numel() == fit.weights.numel() - count, (
        "Adam keeps the rest: biases, batch norm, the last 1×1"
    )
    assert rest.data_ptr() == fit.weights[count:].data_ptr()
    assert Fit(*degrade(picture), replace(muon, optimiser="adam"), device="cpu").muon is None


def test_matrices_of_one_shape_lie_together_whatever_their_kernels(recipe):
    """72 channels read by 1×1 are as many columns as 8 read by 3×3, with another width between."""
    config = {**small_config(depth=1, channels=72, skip=2), "skip_from": "input", "connect": False}
    recipe = replace(recipe, config=config, z_channels=8, optimiser="muon", lr=0.02)
    fit = Fit(*degrade(np.full((16, 16), 0.5, np.float32)), recipe, device="cpu")
    at = 0
    for count, rows, columns in fit.muon.shapes:
        for _ in range(count):
            (weight,) = (
                w for w in for_muon(fit.net) if w.data_ptr() == fit.weights[at:].data_ptr()
            )
            assert (weight.shape[0], weight[0].numel()) == (rows, columns)
            at += weight.numel()


def written_out(x_hat, mask, recipe, iterations, seed=0):
    """Muon's loop with PyTorch's optimisers, in fp32: what `restore` must agree with."""
    torch.manual_seed(seed)
    net = UNet(recipe.z_channels, x_hat.shape[0], recipe.config)
    z = recipe.z_scale * torch.rand(1, recipe.z_channels, *x_hat.shape[1:])
    noise = torch.Generator().manual_seed(seed)
    matrices = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in for_muon(net)]
    taken = {id(weight) for weight in for_muon(net)}
    optimisers = [
        torch.optim.Muon(matrices, lr=recipe.lr, weight_decay=0.0),
        torch.optim.Adam(
            [weight for weight in net.parameters() if id(weight) not in taken], lr=recipe.lr_adam
        ),
    ]
    losses = []
    for _ in range(iterations):
        net.zero_grad()
        output = net(z + recipe.sigma_p * torch.randn(z.shape, generator=noise))[0]
        loss = ((output - x_hat) * mask).square().sum() / mask.sum()
        losses.append(loss.item())
        loss.backward()
        for matrix, weight in zip(matrices, for_muon(net)):
            matrix.grad = weight.grad.flatten(1)
        for optimiser in optimisers:
            optimiser.step()
        with torch.no_grad():
            for matrix, weight in zip(matrices, for_muon(net)):
                weight.copy_(matrix.view_as(weight))
    return losses


def test_the_loop_agrees_with_pytorchs_optimisers(picture, muon):
    x_hat, mask = degrade(picture)
    losses = [
        step.loss
        for step in restore(
            x_hat, mask, muon, iterations=15, device="cpu", precision="fp32", progress=False
        ).history
    ]
    assert losses[:6] == pytest.approx(written_out(x_hat, mask, muon, 6), rel=0.03), (
        "theirs orthogonalises in bf16, so they drift apart"
    )
    assert losses[-1] < 0.5 * losses[0]


def test_muon_needs_fewer_iterations(picture, recipe, muon):
    x_hat, mask = degrade(picture)
    adam = restore(x_hat, mask, recipe, iterations=120, device="cpu", progress=False).history
    there = next(
        step.iteration
        for step in restore(x_hat, mask, muon, iterations=120, device="cpu", progress=False).history
        if step.loss < adam[-1].loss
    )
    assert there < 60


def test_both_rates_are_cut_and_fall_together(picture, muon):
    fit = Fit(*degrade(picture), replace(muon, lr_end=0.1, iterations=11), device="cpu")
    fit.run(11)
    assert fit.history[0].lr == pytest.approx(0.02) and fit.history[-1].lr == pytest.approx(0.002)
    assert float(fit.adam_rate) == pytest.approx(0.0003)
    fit.good_loss.fill_(1e-9)  # the next loss is a jump
    fit.run(1)
    assert fit.history[-1].backtracked and float(fit.lr) == pytest.approx(0.018)
    fit.run(1)
    assert float(fit.adam_rate) == pytest.approx(0.9 * 0.0003)


@pytest.mark.parametrize("rate", [0.02, 30.0, 1e4])
def test_muon_at_any_rate_loses_nothing(picture, muon, rate):
    """It recovers or says why not.

    What it returns is finite and no worse than its best known state by far.
    """
    x_hat, mask = degrade(picture)
    try:
        result = restore(
            x_hat,
            mask,
            replace(muon, lr=rate, lr_adam=rate / 10),
            iterations=60,
            device="cpu",
            progress=False,
        )
    except DivergenceError as error:
        assert "learning rate" in str(error)
        return
    assert torch.isfinite(result.image).all() and torch.isfinite(result.averaged).all()


def test_a_gradient_that_is_not_a_number_is_undone_under_muon(picture, muon, monkeypatch):
    fit = Fit(*degrade(picture), muon, device="cpu")
    fit.run(3)
    step, calls = Muon.step, []

    def spoilt(self):
        calls.append(None)
        if len(calls) == 2:
            self.weights.grad.fill_(math.nan)
        step(self)

    monkeypatch.setattr(Muon, "step", spoilt)
    fit.run(6)
    assert [s.iteration for s in fit.history if s.backtracked] == [6] and math.isfinite(
        fit.history[-1].loss
    )
    assert all(torch.isfinite(tensor).all() for tensor in fit.live)


# Dropout ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_is_pytorchs_but_for_where_it_draws(layout):
    drop, x = (
        Dropout(0.25),
        torch.rand(2, 6, 40, 50).add(1).contiguous(memory_format=layout).requires_grad_(),
    )
    drop.generator = torch.Generator().manual_seed(3)
    y = drop(x)
    gone = y == 0
    assert gone.float().mean() == pytest.approx(0.25, abs=0.01)
    assert torch.allclose(y[~gone], x[~gone] / 0.75) and y.stride() == x.stride()
    y.sum().backward()
    assert torch.equal(x.grad == 0, gone) and torch.allclose(x.grad[~gone], torch.tensor(1 / 0.75))
    assert not torch.equal(drop(x) == 0, gone), "others each time"
    drop.generator.manual_seed(3)
    assert torch.equal(drop(x), y), "the same from the same seed"
    assert gone.float().mean(dim=(0, 2, 3)).std() < 0.02 and gone.float().mean(
        dim=(0, 1)
    ).mean() == pytest.approx(0.25, abs=0.01)
    assert drop.eval()(x) is x


def test_where_dropout_stands():
    net = UNet(4, 1, {**small_config(), "dropout": 0.1})
    for up in net.up:
        assert [type(layer) for layer in up.dropout] == [Dropout], (
            "before the first convolution, at the smaller size"
        )
        after = [type(layer).__name__ for layer in up.body]
        assert after[after.index("Dropout") + 1] == "Conv2d" and after.count("Dropout") == 1, (
            "before the second"
        )
    others = [block for name, block in net.named_children() if name != "up"]
    assert not [
        layer for block in others for layer in block.modules() if isinstance(layer, Dropout)
    ]
    assert not [
        layer for layer in UNet(4, 1, small_config()).modules() if isinstance(layer, Dropout)
    ]


def test_dropout_belongs_to_the_seed_and_not_to_the_final_picture(picture, recipe):
    x_hat, mask = degrade(picture)
    dropping = replace(recipe, config={**recipe.config, "dropout": 0.2}, sigma_p=0.0)
    runs = []
    for world in (1, 2):
        torch.manual_seed(world)  # the global generator has no say
        runs.append(restore(x_hat, mask, dropping, device="cpu", progress=False))
    assert torch.equal(runs[0].image, runs[1].image) and runs[0].history == runs[1].history
    fit = Fit(x_hat, mask, dropping, device="cpu")
    fit.run(5)
    assert torch.equal(fit.image(), fit.image()), "nothing is drawn for it"
    with torch.no_grad():
        assert not torch.equal(fit.draw(fit.z), fit.draw(fit.z)), "but while it is fitted"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimiser": "sgd"}, "optimiser must be one of adam, muon, not 'sgd'"),
        ({"lr_adam": 0.0}, "lr_adam must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 .none. or above"),
        (
            {"config": {**small_config(), "dropout": 1.0}},
            "dropout must be a number, 0 or above and below 1, not 1.0",
        ),
        (
            {"config": {**small_config(), "dropout": -0.1}},
            "dropout must be a number, 0 or above and below 1, not -0.1",
        ),
        (
            {"config": {**small_config(), "dropout": 0.999}},
            "dropout is rounded to 1/256, so it must be 0 or from 0.002 to 0.998, not 0.999",
        ),
        ({"config": {**small_config(), "dropout": 0.001}}, "dropout is rounded to 1/256"),
        (
            {"config": {**small_config(), "dropout": "some"}},
            "dropout must be a number, .* not 'some'",
        ),
    ],
)
def test_bad_values_are_named(recipe, change, words):
    with pytest.raises(ValueError, match=words):
        replace(recipe, **change)


# Less work for the same numbers -------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("skip", [0, 4])
@pytest.mark.parametrize("size", [(8, 8), (1, 3), (5, 2)])
def test_upsampling_and_convolution_are_one_transposed_convolution(kernel, skip, size):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    x, weight, bias = draw(2, 6, *size), draw(7, 6 + skip, kernel, kernel), draw(7)
    s = draw(2, skip, 2 * size[0], 2 * size[1]) if skip else None
    large = F.interpolate(x, scale_factor=2, mode="nearest")
    expected = F.conv2d(
        large if s is None else torch.cat([large, s], 1), weight, bias, padding=kernel // 2
    )
    assert torch.allclose(upsampled_conv(x, s, weight, bias), expected, atol=1e-12)


@pytest.mark.parametrize("skips", [4, 0])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_folded_network_draws_the_same_and_learns_the_same(skips, norm):
    torch.manual_seed(0)
    net = UNet(
        4, 1, {**small_config(depth=3), **FOLDED, "channels_skip": [skips] * 3, "norm": norm}
    )
    z, results = torch.rand(1, 4, 32, 48), []
    for fold in (True, False):
        for up in net.up:
            assert up.fold or not fold
            up.fold = fold
        net.zero_grad()
        out = net(z)
        out.square().sum().backward()
        results.append([out.detach(), *(weight.grad.clone() for weight in net.parameters())])
    for ours, theirs in zip(*results):
        assert (ours - theirs).norm() <= 1e-4 * max(
            float(theirs.norm()), 1.0
        )  # biases before batch norm have none


def test_only_what_is_exact_is_folded():
    for change, folded in (
        ({}, True),
        ({"padding_mode": "reflect"}, False),
        ({"upsampling_method": "bilinear"}, False),
        ({"upsampling_position": "last"}, False),
    ):
        assert all(
            up.fold == folded for up in UNet(4, 1, {**small_config(), **FOLDED, **change}).up
        )


def test_the_last_convolution_goes_before_the_last_upsampling():
    """In the blog's reading: the same picture, of one channel upsampled and not of all."""
    torch.manual_seed(0)
    net, z = UNet(4, 1, small_config()), torch.rand(1, 4, 32, 32)
    assert [type(layer).__name__ for layer in net.out] == ["Pointwise", "Upsample", "Sigmoid"]
    drawn = net(z)
    net.up[0].upsample = net.out[1]
    del net.out[1]
    assert torch.allclose(net(z), drawn, atol=1e-6)


# Means ------------------------------------------------------------------------------------


def test_a_mean_of_networks(picture, recipe, muon):
    x_hat, mask = degrade(picture)
    alone = [restore(x_hat, mask, one, device="cpu", progress=False) for one in (recipe, muon)]
    mean = dip_blocks.mean_of(alone)
    assert torch.allclose(mean.averaged, (alone[0].averaged + alone[1].averaged) / 2)
    assert torch.allclose(mean.image, (alone[0].image + alone[1].image) / 2) and mean.history == []
    with pytest.raises(ValueError, match="one network drew, or more"):
        dip_blocks.mean_of([])


def test_a_mean_goes_no_further_than_an_interrupt(picture, recipe):
    whole = restore(*degrade(picture), recipe, iterations=3, device="cpu", progress=False)
    cut = replace(whole, interrupted=True)
    fits = iter([whole, cut, whole])
    mean = dip_blocks.mean_of(fits)
    assert mean.interrupted and len(list(fits)) == 1, "the third was not begun"
    assert torch.allclose(mean.image, whole.image)


def test_the_means_are_of_recipes_that_there_are():
    for name, members in dip_blocks.MEANS.items():
        assert name not in dip_blocks.RECIPES and len(members) > 1
        assert all(isinstance(dip_blocks.RECIPES[member], Recipe) for member in members)


def test_memory_is_kept_and_given_back(picture, recipe):
    """The C library's settings are changed while a loop runs on a CPU.

    Another loop, after it, finds all in order.
    """
    x_hat, mask = degrade(picture)
    with devices.kept_memory():
        inside = restore(x_hat, mask, recipe, device="cpu", progress=False)
        assert devices._keepers == 1, "the inner loop's end is not the outer one's"
    assert devices._keepers == 0
    assert torch.equal(
        inside.image, restore(x_hat, mask, recipe, device="cpu", progress=False).image
    )
    assert np.isfinite(inside.image.numpy()).all()
