"""Layers as PyTorch has not got them: the same on every device, or in less work."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import nn


class Reflecting(nn.Conv2d):
    """A convolution that sees the picture mirrored beyond its border, as the supplement has it.

    Made of slices: the way back through PyTorch's own reflection gives other sums every time on a
    GPU, and it refuses a picture no wider than the border, which is then continued by its last
    pixels.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for dim, width in zip((2, 3), self.padding):
            n = x.shape[dim]
            if width < n:
                before = x.narrow(dim, 1, width).flip(dim)
                after = x.narrow(dim, n - 1 - width, width).flip(dim)
            else:
                ends = (x.narrow(dim, i, 1) for i in (0, n - 1))
                before, after = (end.repeat_interleave(width, dim) for end in ends)
            x = torch.cat([before, x, after], dim)
        return F.conv2d(x, self.weight, self.bias, self.stride)


class Pointwise(nn.Conv2d):
    """A 1×1 convolution to few channels; (N, C, H, W) → (N, channels_out, H, W)."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        # A pixel's channels lie together: products of matrices, faster than the convolution.
        rows = [x.movedim(1, -1) @ weight for weight in self.weight.flatten(1)]
        return torch.stack(rows, dim=1) + self.bias.view(-1, 1, 1)


class Upsample(nn.Upsample):
    """Doubles height and width.  (N, C, H, W) → (N, C, 2H, 2W).

    PyTorch's own; but its bilinear way back on a GPU gives other sums every time, or is slow.
    There, the same is computed from shifted copies: a new pixel is three parts its nearest and one
    the next.
    """

    def __init__(self, method: str):
        super().__init__(scale_factor=2, mode=method)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shifts = self.mode == "bilinear" and x.is_cuda
        return self.from_shifts(x) if shifts else super().forward(x)

    @staticmethod
    def from_shifts(x: torch.Tensor) -> torch.Tensor:
        for dim in (2, 3):
            n = x.shape[dim]
            before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, n - 1)], dim)
            after = torch.cat([x.narrow(dim, 1, n - 1), x.narrow(dim, n - 1, 1)], dim)
            pair = [torch.lerp(x, before, 0.25), torch.lerp(x, after, 0.25)]
            x = torch.stack(pair, dim + 1).flatten(dim, dim + 1)
        return x


def upsampled_conv(
    x: torch.Tensor, skip: torch.Tensor | None, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Nearest ×2, concatenation and a k×k convolution with zeros at the border, in less work.

    (N, C, H, W) and a skip (N, S, 2H, 2W), weight (O, C + S, k, k) → (N, O, 2H, 2W).  Exact, as one
    transposed convolution, and a 3×3 kernel costs 2.25 times fewer multiplications: a pixel of x
    stands for 2×2 equal ones, so taps that meet the same pixel are added before they are
    multiplied, which leaves 4×4 taps a pixel of x, not 36.  The skip joins as the four pixels of
    each 2×2 block, a channel each.
    """
    channels, size = x.shape[1], weight.shape[-1]
    taps = weight.transpose(0, 1).flatten(2)  # (C + S, O, k·k)
    corners = at_corners(size, weight.device).to(weight.dtype)
    kernel = taps[:channels] @ corners.sum(0)
    if skip is not None:
        x = torch.cat([x, F.pixel_unshuffle(skip, 2)], dim=1)
        own = taps[channels:, None] @ corners  # one kernel a corner, in the unshuffling's order
        kernel = torch.cat([kernel, own.flatten(0, 1)])
    kernel = kernel.unflatten(2, (size + 1, size + 1))
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=size // 2)


@cache
@torch.inference_mode(False)  # it is kept, and others follow gradients through it
def at_corners(size: int, device: torch.device) -> torch.Tensor:
    """Where the k×k taps of each pixel of a 2×2 block lie in a kernel one wider, turned round.

    (4, k·k, (k+1)²), ones and zeros.
    """
    taps = torch.eye(size**2, device=device).view(-1, size, size).flip(1, 2)
    corners = [F.pad(taps, (left, 1 - left, top, 1 - top)) for top in (0, 1) for left in (0, 1)]
    return torch.stack(corners).flatten(2)


def upsampled_body(body: nn.Sequential, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
    """Nearest upsampling, joining the skip, and a body (norm, convolution, …), in less work.

    Batch norm may go first: a picture whose pixels are all there four times has the same
    statistics.
    """
    norm, conv, *rest = body
    if isinstance(norm, nn.BatchNorm2d):
        sizes = [x.shape[1], norm.num_features - x.shape[1]]
        (w, w_skip), (b, b_skip) = (part.split(sizes) for part in (norm.weight, norm.bias))
        own = {"training": True, "eps": norm.eps}  # by the statistics of the picture itself
        x = F.batch_norm(x, None, None, w, b, **own)
        if skip is not None:
            skip = F.batch_norm(skip, None, None, w_skip, b_skip, **own)
    x = upsampled_conv(x, skip, conv.weight, conv.bias)
    for stage in rest:
        x = stage(x)
    return x


class Dropout(nn.Module):
    """Sets a share of all values to 0, others each time, and the rest up by as much.

    `eval` turns it off.  PyTorch's own draws from the one global generator; this draws from
    ``generator``, so that the seed of a fit decides it.  On a CPU a random byte a value is enough,
    and six times as fast; so the share is one of 1/256.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share, self.generator = share, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        least = round(256 * self.share)
        if x.device.type == "cpu":
            count, order = x.numel(), torch.empty_like(x, device="meta").stride()
            eights = torch.empty(-(-count // 8), dtype=torch.int64)
            eights.random_(-(2**63), None, generator=self.generator)
            kept = eights.view(torch.uint8)[:count] >= least
            kept = kept.as_strided(x.shape, order)  # in the order that x has in memory
        else:
            drawn = torch.rand(x.shape, device=x.device, generator=self.generator)
            kept = drawn >= least / 256
        return x * (kept.to(x.dtype) * (256 / (256 - least)))


def dropout(share: float) -> tuple[nn.Module, ...]:
    """`Dropout` of so much, or nothing."""
    return (Dropout(share),) if share else ()


def padded(z: torch.Tensor, depth: int, connect: bool) -> torch.Tensor:
    """z, continued at the right and below until every level can be halved.

    Raises ValueError where the deepest level would be a single pixel: batch norm needs more.
    """
    height, width = z.shape[-2:]
    step = 2 ** (depth + connect)
    down, right = -height % step, -width % step
    if z.shape[0] * (height + down) * (width + right) <= step**2:
        raise ValueError(
            f"An input of {height}×{width} is too small for a network of depth {depth}: its "
            "deepest level would be a single pixel, on which batch norm has nothing to normalise. "
            f"Use an image of more than {step} pixels on one side, or shorter lists in the config."
        )
    # Reflection needs a border narrower than the picture; a sliver is repeated instead.
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(z, (0, right, 0, down), mode=mode) if down or right else z
