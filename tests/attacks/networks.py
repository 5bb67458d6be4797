"""Networks: any picture, any shape of network, any choice."""

from __future__ import annotations

import numpy as np
import torch
from attacks import Attack
from attacks._drawn import Drawn, attack
from torch import nn

import dip_blocks


def a_config(d: Drawn, most: int = 4, width: int = 6) -> dict:
    """A network that is allowed, of up to so many levels and channels."""
    depth = d.whole(1, most)

    def levels(draw) -> list:
        return [draw() for _ in range(depth)]

    config = {
        "channels_down": levels(lambda: d.whole(1, width)),
        "channels_up": levels(lambda: d.whole(1, width)),
        "channels_skip": levels(lambda: d.whole(0, 3)),
        "kernels_down": levels(lambda: d.one_of(3, 1, 5, 7)),
        "kernels_up": levels(lambda: d.one_of(3, 1, 5, 7)),
        "kernels_skip": levels(lambda: d.one_of(1, 3, 5)),
    }
    for key, values in dip_blocks.CHOICES.items():
        if isinstance(values, tuple):
            config[key] = d.one_of(*values)
    config["negative_slope"] = d.one_of(0.01, 0, 0.2, 0.99, d.number(0, 0.99))
    config["dropout"] = d.one_of(0.0, 0.05, 0.5, d.number(0.002, 0.998))
    return config


def a_size(d: Drawn) -> tuple[int, int]:
    """Mostly small; now and then up to 200×300."""
    if d.rarely(12):
        return d.whole(1, 200), d.whole(1, 300)
    return d.whole(1, 40), d.whole(1, 40)


def is_too_small(config: dict, height: int, width: int) -> bool:
    """Is the deepest level, after all halvings, a single pixel?"""
    step = 2 ** (len(config["channels_down"]) + bool(config["connect"]))
    return -(-height // step) * -(-width // step) == 1


def check_network(d: Drawn) -> str:
    """The output has the input's size and lies in [0, 1]; every weight has a finite gradient."""
    config, (height, width) = a_config(d), a_size(d)
    channels_in, channels = d.whole(1, 5), d.one_of(1, 3)
    rng = d.rng()
    net = dip_blocks.UNet(channels_in, channels, config)
    dip_blocks.draw_weights(net, torch.Generator().manual_seed(int(rng.integers(2**31))))
    z = torch.from_numpy(rng.random((1, channels_in, height, width), dtype=np.float32))
    if is_too_small(config, height, width):
        try:
            net(z)
        except ValueError as error:
            assert f"{height}×{width} is too small for a network of depth" in str(error)
            return "refused: too small"
        raise AssertionError("a single pixel at the bottom, and no error")
    if d.rarely(3):
        net.eval()
    image = net(z)
    assert image.shape == (1, channels, height, width)
    assert bool(((image >= 0) & (image <= 1)).all()), "NaN is in no range"
    weights = dict(net.named_parameters())
    wish = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    gradients = torch.autograd.grad((image * wish).sum(), [*weights.values()])  # refuses unused
    for (name, weight), gradient in zip(weights.items(), gradients):
        assert gradient.shape == weight.shape and bool(torch.isfinite(gradient).all()), name
    return "drawn"


def check_every_weight_counts(d: Drawn) -> str:
    """Where nothing stands in its way, every weight's gradient is something.

    What may: a LeakyReLU of slope 0 and dropout, which let nothing through; one channel alone,
    whose scale the next batch norm takes away; biases before batch norm, whose means it takes away.
    """
    config = a_config(d, most=3)
    for key in ("channels_down", "channels_up"):
        config[key] = [count + 1 for count in config[key]]
    config |= {"negative_slope": d.number(0.01, 0.9), "dropout": 0.0}
    side = d.whole(2, 3) * 2 ** (len(config["channels_down"]) + 2)
    rng = d.rng()
    net = dip_blocks.UNet(3, 1, config)
    dip_blocks.draw_weights(net, torch.Generator().manual_seed(int(rng.integers(2**31))))
    z = torch.from_numpy(rng.random((1, 3, side, side), dtype=np.float32))
    wish = torch.from_numpy(rng.standard_normal((1, 1, side, side), dtype=np.float32))
    (net(z) * wish).sum().backward()
    alone = {  # skips of one channel
        id(weight)
        for skip in net.skip
        if skip is not None and skip[0].out_channels == 1
        for weight in skip.parameters()
    }
    for name, weight in net.named_parameters():
        if id(weight) in alone or (config["norm"] == "batch" and name.endswith("bias")):
            continue
        assert bool((weight.grad != 0).any()), name
    return "nonzero"


def check_fit(d: Drawn) -> str:
    """A few iterations of any network on any picture, with any optimiser and z."""
    config, size = a_config(d, most=3), a_size(d)
    kind, recipe = d.one_of("uniform", "meshgrid", "fourier", "known"), {}
    if kind == "known":
        recipe = {"z_channels": 0, "hide": d.number(0.05, 0.95)}
    else:
        recipe = {"z_channels": 4 * d.whole(1, 2)}
    recipe |= {
        "z_kind": kind, "optimiser": d.one_of("adam", "muon"), "iterations": d.whole(0, 3),
        "sigma_p": d.one_of(0.0, 1 / 30), "averaging": d.one_of(0.99, 0.0, d.number(0, 0.999)),
    }  # fmt: skip
    shape = (*size, d.one_of(1, 3))
    picture = d.rng().random(shape).astype(np.float32)
    x_hat, mask = dip_blocks.degrade(picture, d.one_of(0.5, 1.0), seed=d.whole(0, 99))
    if not mask.any():
        mask[0, 0, 0] = 1
    recipe = dip_blocks.Recipe(config, **recipe)
    precision = d.one_of("fp32", "tf32", "bf16")
    try:
        fit = dip_blocks.Fit(x_hat, mask, recipe, device="cpu", precision=precision)
    except ValueError as error:
        assert "too small for a network" in str(error) and is_too_small(config, *size), error
        return "refused: too small"
    fit.run(recipe.iterations)
    for picture in (fit.image(), fit.averaged_image()):
        assert picture.shape == x_hat.shape and picture.dtype == torch.float32
        assert bool(((picture >= 0) & (picture <= 1)).all()), "NaN is in no range"
    if recipe.iterations:
        unlearnt = [n for n, w in fit.net.named_parameters() if w.grad is None]
        assert not unlearnt and bool(torch.isfinite(fit.weights.grad).all())
    counted = sum(weight.numel() for weight in fit.net.parameters())
    assert fit.weights.numel() == counted and not any(
        isinstance(module, nn.BatchNorm2d) and module.track_running_stats
        for module in fit.net.modules()
    )
    return "fitted"


ATTACKS = [
    Attack(
        "any network",
        "Any picture, network and choice: an output of the picture's size, in [0, 1], and a finite "
        "gradient for every weight; or a sentence that the picture is too small.",
        attack(check_network),
        few=5,
    ),
    Attack(
        "every weight counts",
        "No weight of a network is without effect.",
        attack(check_every_weight_counts),
        few=3,
    ),
    Attack(
        "any fit",
        "Any network, z, optimiser and precision: the first iterations draw a picture.",
        attack(check_fit),
        few=5,
    ),
]
