"""Choices that serve a row of a table: mentioned by the supplement or others, in no recipe."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from dip_parts.checks import check_tensors


class Lanczos(nn.Module):
    """Halves height and width by a Lanczos-2 low-pass filter.  (N, C, H, W) → (N, C, H/2, W/2)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels, taps = x.shape[1], self.taps(x.device).to(x.dtype)
        down, across = (
            taps.view(shape).expand(channels, 1, -1, -1) for shape in ((-1, 1), (1, -1))
        )
        x = F.pad(x, (3, 3, 3, 3), mode="replicate")
        x = F.conv2d(x, down, stride=(2, 1), groups=channels)
        return F.conv2d(x, across, stride=(1, 2), groups=channels)

    @staticmethod
    @cache
    def taps(device: torch.device) -> torch.Tensor:
        t = torch.arange(-3.5, 4) / 2  # eight pixels around the new one, in new pixels
        taps = torch.sinc(t) * torch.sinc(t / 2)
        return (taps / taps.sum()).to(device)


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring pixels, down plus across.  (C, H, W) → a scalar.

    0 along a side of one pixel, which has no neighbours.  TypeError for what is no such tensor.
    """
    check_tensors("H, W", image=image)
    parts = (image.diff(dim=dim).abs() for dim in (-2, -1) if image.shape[dim] > 1)
    return sum((part.mean() for part in parts), torch.zeros((), device=image.device))


def other_z(kind: str, channels: int, height: int, width: int) -> torch.Tensor:
    """An input of another kind than noise: (1, channels, height, width), values from 0 to 1.

    "meshgrid", the paper's for large holes, holds each pixel's two coordinates, repeated to as many
    channels.  "fourier" holds sines and cosines of the coordinates, from one wave a picture up to
    one in four pixels (Tancik et al., "Fourier Features", NeurIPS 2020).
    """
    down, across = torch.linspace(0, 1, height), torch.linspace(0, 1, width)
    grid = torch.stack(torch.meshgrid(down, across, indexing="ij"))
    if kind == "meshgrid":
        return grid.repeat(channels // 2, 1, 1)[None]
    waves = torch.logspace(0, math.log2(max(height, width, 4) / 4), channels // 4, base=2)
    phases = 2 * math.pi * (waves[:, None, None, None] * grid).flatten(0, 1)
    return (torch.cat([phases.sin(), phases.cos()])[None] + 1) / 2
