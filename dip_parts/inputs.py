"""What a fit begins with: the network's first weights, and its input z."""

from __future__ import annotations

import math

import torch
from torch import nn

from dip_parts.ablations import other_z
from dip_parts.checks import (
    check_generator,
    check_is_recipe,
    check_net,
    check_tensors,
    check_weights,
    sides_of,
)


def draw_weights(net: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """Give a network weights as PyTorch draws them, but from a generator of one's own, in place.

    Kaiming's, uniform: the numbers of a network built after `torch.manual_seed` with the
    generator's seed.  A network that was built on the "meta" device, without memory, comes to lie
    on the CPU.

    Raises TypeError for what is no network, or no generator.
    """
    check_net(net)
    check_generator(generator)
    check_weights(sum(weight.numel() for weight in net.parameters()))
    if any(weight.is_meta for weight in net.parameters()):
        net.to_empty(device="cpu")
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                bound = 1 / math.sqrt(module.weight[0].numel())
                module.weight.uniform_(-bound, bound, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-bound, bound, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()  # ones and zeros
    return net


def draw_z(recipe, shape, x_hat=None, mask=None, generator=None) -> torch.Tensor:
    """The network's fixed input z for a picture of a shape (C, H, W): (1, channels, H, W).

    "uniform" noise, 0 to z_scale, is the paper's for reconstruction; drawn by ``generator``,
    PyTorch's global one if None.  "known" holds what is known itself, (1, C + 1, H, W): the pixels
    of x̂ less one half, 0 where they are missing, and the mask.  For other kinds see `other_z`.

    Raises TypeError for what is no recipe, no generator, or no x̂ and mask where they are needed;
    ValueError for what is no shape.
    """
    check_is_recipe(recipe)
    check_generator(generator)
    if recipe.z_kind == "known":
        check_tensors("C, H, W", x_hat=x_hat, mask=mask)
        return torch.cat([(x_hat - 0.5) * mask, mask])[None]
    sides = sides_of(shape)
    if recipe.z_kind == "uniform":
        size = (1, recipe.z_channels, *sides)
        return recipe.z_scale * torch.rand(size, generator=generator)
    return recipe.z_scale * other_z(recipe.z_kind, recipe.z_channels, *sides)
