"""Deep Image Prior in one file: blocks, network, degradation, loss, loop.

The task is *image reconstruction*: of an image x we are given x̂ = m ⊙ x, where the mask m keeps
each pixel with probability p.  We look for x by fitting an untrained encoder-decoder f_θ to the
pixels that are known,

    min over θ of  ‖(f_θ(z) − x̂) ⊙ m‖²,

with z fixed random input.  Nothing is learnt from other images; the structure of f_θ is the prior.

Sources, named in the docstrings below:
    *paper*       D. Ulyanov, A. Vedaldi, V. Lempitsky, "Deep Image Prior", CVPR 2018
    *supplement*  its supplementary material, where the network is described
    *blog*        the reproduction that this project rebuilds ("Deep Image Prior Reproducibility
                  Project", TU Delft Deep Learning course); its names are kept

Conventions.  Images are float32 tensors of shape (C, H, W) with values in [0, 1]; C is 1 (grey)
or 3 (colour).  Masks have shape (1, H, W): 1 where the pixel is known, 0 where it is missing.
Inside the network everything has a batch dimension of one.
"""

from __future__ import annotations

import ctypes
import json
import math
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

# --------------------------------------------------------------------------------------
# Blocks
# --------------------------------------------------------------------------------------

#: Where the supplement's text and figure leave room: the possible choices, the blog's first.
CHOICES = {
    "skip_from": ("output", "input"),  # of the level's d_i: is a skip's size that below or above it?
    "upsampling_position": ("last", "first"),  # in u_i
    "upsampling_method": ("bilinear", "nearest"),
    "downsampling_method": ("max", "stride", "average", "lanczos"),
    "padding_mode": ("zeros", "reflect"),  # of the convolutions
    "norm": ("batch", "none"),  # (instance norm is the same for one picture)
    "connect": (True, False),  # the blog's block at the bottom
    "negative_slope": 0.01,  # of LeakyReLU: any number from 0 to below 1
    "dropout": 0.0,  # before each convolution of u_i, not in the supplement: from 0 to below 1
}
BLOGS_CHOICES = {key: values[0] if isinstance(values, tuple) else values for key, values in CHOICES.items()}


def conv(channels_in: int, channels_out: int, kernel_size: int, choices: dict = BLOGS_CHOICES, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps height and width, or halves them (stride 2); odd kernels only."""
    kind = Reflecting if choices["padding_mode"] == "reflect" else nn.Conv2d
    return kind(channels_in, channels_out, kernel_size, stride, kernel_size // 2)


class Reflecting(nn.Conv2d):
    """A convolution that sees the picture mirrored beyond its border, as the supplement has it.

    Made of slices: the way back through PyTorch's own reflection gives other sums every time on a GPU,
    and it refuses a picture no wider than the border, which is then continued by its last pixels.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for dim, width in zip((2, 3), self.padding):
            n = x.shape[dim]
            if width < n:
                before, after = x.narrow(dim, 1, width).flip(dim), x.narrow(dim, n - 1 - width, width).flip(dim)
            else:
                before, after = (x.narrow(dim, i, 1).repeat_interleave(width, dim) for i in (0, n - 1))
            x = torch.cat([before, x, after], dim)
        return F.conv2d(x, self.weight, self.bias, self.stride)


def normalise(channels: int, choices: dict = BLOGS_CHOICES) -> nn.Module:
    """Batch norm by the statistics of the one picture at hand, always; or none.

    Running averages over thousands of different networks would be those of none of them, so none
    are kept: `eval` changes nothing.
    """
    return nn.BatchNorm2d(channels, track_running_stats=False) if choices["norm"] == "batch" else nn.Identity()


def norm_act(channels: int, choices: dict = BLOGS_CHOICES) -> tuple[nn.Module, nn.Module]:
    """Norm and LeakyReLU, the pair that follows nearly every convolution."""
    return normalise(channels, choices), nn.LeakyReLU(choices["negative_slope"])


class Lanczos(nn.Module):
    """Halves height and width with a Lanczos-2 low-pass filter.  (N, C, H, W) → (N, C, H/2, W/2)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels, taps = x.shape[1], self.taps(x.device).to(x.dtype)
        x = F.pad(x, (3, 3, 3, 3), mode="replicate")
        x = F.conv2d(x, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(2, 1), groups=channels)
        return F.conv2d(x, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, 2), groups=channels)

    @staticmethod
    @cache
    def taps(device: torch.device) -> torch.Tensor:
        t = torch.arange(-3.5, 4) / 2  # eight pixels around the new one, in new pixels
        taps = torch.sinc(t) * torch.sinc(t / 2)
        return (taps / taps.sum()).to(device)


class Upsample(nn.Upsample):
    """Doubles height and width.  (N, C, H, W) → (N, C, 2H, 2W).

    PyTorch's own; but its bilinear way back on a GPU gives other sums every time, or is slow.  There,
    the same is computed from shifted copies: a new pixel is three parts its nearest and one the next.
    """

    def __init__(self, method: str):
        super().__init__(scale_factor=2, mode=method)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.from_shifts(x) if self.mode == "bilinear" and x.is_cuda else super().forward(x)

    @staticmethod
    def from_shifts(x: torch.Tensor) -> torch.Tensor:
        for dim in (2, 3):
            n = x.shape[dim]
            before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, n - 1)], dim)
            after = torch.cat([x.narrow(dim, 1, n - 1), x.narrow(dim, n - 1, 1)], dim)
            x = torch.stack([torch.lerp(x, before, 0.25), torch.lerp(x, after, 0.25)], dim + 1).flatten(dim, dim + 1)
        return x


def upsampled_conv(x: torch.Tensor, skip: torch.Tensor | None, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Nearest ×2, concatenation and a k×k convolution with zeros at the border, as one transposed convolution.

    (N, C, H, W) and a skip (N, S, 2H, 2W), weight (O, C + S, k, k) → (N, O, 2H, 2W).  Exact, and a 3×3
    kernel costs 2.25 times fewer multiplications: a pixel of x stands for 2×2 equal ones, so taps that
    meet the same pixel are added before they are multiplied, which leaves 4×4 taps a pixel of x, not
    36.  The skip joins as the four pixels of each 2×2 block, a channel each.
    """
    channels, size = x.shape[1], weight.shape[-1]
    taps = weight.transpose(0, 1).flatten(2)  # (C + S, O, k·k)
    corners = at_corners(size, weight.device).to(weight.dtype)
    kernel = taps[:channels] @ corners.sum(0)
    if skip is not None:
        x = torch.cat([x, F.pixel_unshuffle(skip, 2)], dim=1)
        own = taps[channels:, None] @ corners  # one kernel a corner, in the unshuffling's order
        kernel = torch.cat([kernel, own.flatten(0, 1)])
    return F.conv_transpose2d(x, kernel.unflatten(2, (size + 1, size + 1)), bias, stride=2, padding=size // 2)


@cache
def at_corners(size: int, device: torch.device) -> torch.Tensor:
    """For each of the four pixels of a 2×2 block, where its k×k taps come to lie in a kernel one wider, turned round."""
    taps = torch.eye(size**2, device=device).view(-1, size, size).flip(1, 2)
    corners = [F.pad(taps, (left, 1 - left, top, 1 - top)) for top in (0, 1) for left in (0, 1)]
    return torch.stack(corners).flatten(2)  # (4, k·k, (k+1)²)


class Dropout(nn.Module):
    """Sets a share of all values to 0, others each time, and the rest up by as much; `eval` turns it off.

    PyTorch's own draws from the one global generator; this draws from ``generator``, so that the seed of
    a fit decides it.  On a CPU a random byte a value is enough, and six times as fast; so the share is one of 1/256.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share, self.generator = share, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        least = round(256 * self.share)
        if x.device.type == "cpu":
            words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None, generator=self.generator)
            kept = words.view(torch.uint8)[: x.numel()] >= least
            kept = kept.as_strided(x.shape, torch.empty_like(x, device="meta").stride())  # in the order that x has in memory
        else:
            kept = torch.rand(x.shape, device=x.device, generator=self.generator) >= least / 256
        return x * (kept.to(x.dtype) * (256 / (256 - least)))


def dropout(choices: dict) -> tuple[nn.Module, ...]:
    """The layer that the choices ask for, or nothing."""
    return (Dropout(choices["dropout"]),) if choices["dropout"] else ()


class Down(nn.Sequential):
    """d_i: one level down.  (N, channels_in, H, W) → (N, channels_out, H/2, W/2).

    The supplement halves the size with a strided convolution and reports average pooling, max
    pooling and Lanczos to be about as good; the blog chose max pooling (blog, "Structure of the
    network").
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, choices: dict = BLOGS_CHOICES):
        method = choices["downsampling_method"]
        pool = {"max": nn.MaxPool2d(2), "average": nn.AvgPool2d(2), "lanczos": Lanczos(), "stride": nn.Identity()}[method]
        super().__init__(
            conv(channels_in, channels_out, kernel_size, choices, stride=2 if method == "stride" else 1),
            pool,
            *norm_act(channels_out, choices),
            conv(channels_out, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
        )


class Skip(nn.Sequential):
    """s_i: a narrow bypass.  (N, channels_in, H, W) → (N, channels_out, H, W)."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, choices: dict = BLOGS_CHOICES):
        super().__init__(conv(channels_in, channels_out, kernel_size, choices), *norm_act(channels_out, choices))


class Up(nn.Module):
    """u_i: one level up.  (N, channels_in, H, W) and a skip → (N, channels_out, 2H, 2W).

    In the blog's reading of the supplement's figure the block *ends* with the upsampling; in the
    other reading it *begins* with it, so that the convolutions work at the larger size.  A skip
    joins as soon as it has the size of what comes from below.

    Args:
        channels_in: of what the first convolution sees: with the skip's, unless that joins last.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, choices: dict = BLOGS_CHOICES):
        super().__init__()
        self.body = nn.Sequential(
            normalise(channels_in, choices),
            conv(channels_in, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
            *dropout(choices),
            conv(channels_out, channels_out, 1, choices),
            *norm_act(channels_out, choices),
        )
        self.dropout = nn.Sequential(*dropout(choices))  # at the smaller size
        self.upsample = Upsample(choices["upsampling_method"])
        self.first = choices["upsampling_position"] == "first"
        self.fold = self.first and choices["upsampling_method"] == "nearest" and choices["padding_mode"] == "zeros"

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        x = self.dropout(x)
        if self.fold and (skip is None or skip.shape[-1] == 2 * x.shape[-1]):
            return self.folded(x, skip)
        for stage in (self.upsample, self.body) if self.first else (self.body, self.upsample):
            if skip is not None and skip.shape[-2:] == x.shape[-2:]:
                x, skip = torch.cat([x, skip], dim=1), None
            x = stage(x)
        return x if skip is None else torch.cat([x, skip], dim=1)

    def folded(self, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """The same as upsampling, joining, norm and convolution, in less work; then the rest of the body.

        Batch norm may go first: a picture whose pixels are all there four times has the same statistics.
        """
        norm, conv, *rest = self.body
        if isinstance(norm, nn.BatchNorm2d):
            parts = [part.split([x.shape[1], norm.num_features - x.shape[1]]) for part in (norm.weight, norm.bias)]
            (w, w_skip), (b, b_skip) = parts
            x = F.batch_norm(x, None, None, w, b, training=True, eps=norm.eps)
            skip = None if skip is None else F.batch_norm(skip, None, None, w_skip, b_skip, training=True, eps=norm.eps)
        x = upsampled_conv(x, skip, conv.weight, conv.bias)
        for stage in rest:
            x = stage(x)
        return x


class Connect(nn.Sequential):
    """The bottom of the U: down once more and back.  (N, channels_in, H, W) → (N, channels_out, H, W).

    Not in the supplement's figure.  The blog takes it from the original U-Net so that encoder and
    decoder stay joined when every skip is omitted (blog, "Resolving the peculiarities").
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, choices: dict = BLOGS_CHOICES):
        super().__init__(
            nn.MaxPool2d(2),
            conv(channels_in, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
            conv(channels_out, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
            Upsample(choices["upsampling_method"]),
        )


class OutConv(nn.Sequential):
    """From features to pixels.  (N, channels_in, H, W) → (N, channels_out, H, W), values in (0, 1)."""

    def __init__(self, channels_in: int, channels_out: int = 3):
        super().__init__(nn.Conv2d(channels_in, channels_out, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        conv, *rest = self
        if x.is_contiguous(memory_format=torch.channels_last):  # a pixel's channels lie together: products of matrices
            rows = [x.movedim(1, -1) @ weight for weight in conv.weight.flatten(1)]
            x = torch.stack(rows, dim=1) + conv.bias.view(-1, 1, 1)
        else:
            x = conv(x)
        for stage in rest:
            x = stage(x)
        return x


# --------------------------------------------------------------------------------------
# Network
# --------------------------------------------------------------------------------------

CONFIG_LISTS = (
    "channels_down", "channels_up", "channels_skip",  # n_d, n_u, n_s in the supplement
    "kernels_down", "kernels_up", "kernels_skip",  # k_d, k_u, k_s
)  # fmt: skip


class UNet(nn.Module):
    """The encoder-decoder f_θ of the paper, in the blog's reading or another.

    (N, channels, H, W) → (N, out_channels, H, W), values in (0, 1), for any H and W: an input that
    the levels do not divide is padded by reflection and the output is cropped.

    Args:
        channels: channels of the input z.
        out_channels: channels of the image, 1 or 3 as a rule.
        config: a dictionary with six lists of one length, the depth, first entry at full
            resolution: ``channels_down``, ``channels_up``, ``channels_skip``, ``kernels_down``,
            ``kernels_up``, ``kernels_skip``; ``upsampling_method``; and any other of `CHOICES`
            that differs from the blog's.  A skip of 0 channels means no skip at that depth (its
            kernel may be None).

    Raises:
        ValueError: what is wrong with the config, or that the input is too small for the depth:
            batch norm needs more than one value per channel at the deepest level.
    """

    def __init__(self, channels: int, out_channels: int, config: dict):
        super().__init__()
        check_config(config)
        down, up, skip = config["channels_down"], config["channels_up"], config["channels_skip"]
        choices = {key: config.get(key, blogs) for key, blogs in BLOGS_CHOICES.items()}
        self.depth, self.skip_from = len(down), choices["skip_from"]
        before = [channels, *down[:-1]]  # channels of the input of each d_i
        self.down = nn.ModuleList(
            Down(before[i], down[i], config["kernels_down"][i], choices) for i in range(self.depth)
        )
        sources = before if self.skip_from == "input" else down
        self.skip = nn.ModuleList(
            Skip(sources[i], skip[i], config["kernels_skip"][i], choices) if skip[i] > 0 else None
            for i in range(self.depth)
        )
        self.connect = Connect(down[-1], up[-1], config["kernels_down"][-1], choices) if choices["connect"] else None

        # A skip of the larger size meets a block that works at the smaller one only at its end.
        late = self.skip_from == "input" and choices["upsampling_position"] == "last"
        below, enters = up[-1] if choices["connect"] else down[-1], {}
        for i in reversed(range(self.depth)):
            enters[i] = below if late else below + skip[i]
            below = up[max(i - 1, 0)] + (skip[i] if late else 0)
        self.up = nn.ModuleList(
            Up(enters[i], up[max(i - 1, 0)], config["kernels_up"][i], choices) for i in range(self.depth)
        )
        self.out = OutConv(below, out_channels)
        # Where the last upsampling meets the 1×1 convolution, they change places: the same numbers (a weighted
        # mean of sums is the sum of weighted means), but one channel is upsampled, not 128.
        if choices["upsampling_position"] == "last" and not late:
            self.out.insert(1, self.up[0].upsample)
            self.up[0].upsample = nn.Identity()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        height, width = z.shape[-2:]
        levels = [self._pad(z)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels[-1] if self.connect is None else self.connect(levels[-1])
        for i in reversed(range(self.depth)):
            source = levels[i] if self.skip_from == "input" else levels[i + 1]
            x = self.up[i](x, None if self.skip[i] is None else self.skip[i](source))
        with torch.autocast(x.device.type, enabled=False):  # the pixels themselves in full precision
            return self.out(x.float())[..., :height, :width]

    def _pad(self, z: torch.Tensor) -> torch.Tensor:
        height, width = z.shape[-2:]
        step = 2 ** (self.depth + (self.connect is not None))
        down, right = -height % step, -width % step
        if z.shape[0] * (height + down) * (width + right) <= step**2:
            raise ValueError(
                f"An input of {height}×{width} is too small for a network of depth {self.depth}: its deepest "
                f"level would be a single pixel, on which batch norm has nothing to normalise. Use an image "
                f"of more than {step} pixels on one side, or shorter lists in the config."
            )
        # Reflection needs a border narrower than the picture; a sliver is repeated instead.
        mode = "reflect" if down < height and right < width else "replicate"
        return F.pad(z, (0, right, 0, down), mode=mode) if down or right else z


def at_depth(config: dict, depth: int) -> dict:
    """The same config with so many levels: its lists cut, or begun again until they are long enough."""
    return config | {name: (config[name] * depth)[:depth] for name in CONFIG_LISTS}


def check_config(config: dict) -> None:
    """Raise a ValueError that says which entry of a network config is wrong, and why."""
    needed = {*CONFIG_LISTS, "upsampling_method"}
    if missing := sorted(needed - set(config)):
        raise ValueError(f"The config lacks {', '.join(missing)}.")
    known = {*needed, *CHOICES}
    if unknown := sorted(set(config) - known):
        raise ValueError(f"The config has unknown entries: {', '.join(unknown)}. Known are {', '.join(sorted(known))}.")
    lengths = {key: len(config[key]) for key in CONFIG_LISTS}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(f"The config's lists must all have one length, the depth (1 or more); they have {lengths}.")
    for i in range(lengths["channels_down"]):
        for key in CONFIG_LISTS:
            value, skipped = config[key][i], config["channels_skip"][i] == 0
            if key == "kernels_skip" and skipped:
                continue  # no skip at this depth, so whatever stands here is not used
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"{key}[{i}] must be a whole number, not {value!r}.")
            if key.startswith("kernels") and (value < 1 or value % 2 == 0):
                raise ValueError(f"{key}[{i}] must be odd and positive, not {value}: an even kernel shifts the image.")
            if key.startswith("channels") and value < (0 if key == "channels_skip" else 1):
                least = "0 (no skip) or more" if key == "channels_skip" else "1 or more"
                raise ValueError(f"{key}[{i}] must be {least}, not {value}.")
    for key, values in CHOICES.items():
        value = config.get(key, BLOGS_CHOICES[key])
        if isinstance(values, tuple) and value not in values:
            raise ValueError(f"{key} must be one of {', '.join(map(str, values))}, not {value!r}.")
    for key in ("negative_slope", "dropout"):
        value = config.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ValueError(f"{key} must be a number, 0 or above and below 1, not {value!r}.")
    if (share := config.get("dropout", 0)) and not 1 <= round(256 * share) < 256:
        raise ValueError(f"dropout is rounded to 1/256, so it must be 0 or from 0.002 to 0.998, not {share!r}.")


# --------------------------------------------------------------------------------------
# Recipe
# --------------------------------------------------------------------------------------


#: What z may be made of, and a multiple of how many channels each needs; 0: as many as the picture and its mask have.
Z_KINDS = {"uniform": 1, "meshgrid": 2, "fourier": 4, "known": 0}
OPTIMISERS = ("adam", "muon")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run but the image, the mask and the seed.

    Raises ValueError for a value that cannot work.
    """

    config: dict  # the network, see UNet
    z_kind: str = "uniform"  # what z is made of, see draw_z
    z_channels: int = 32  # z ∈ R^(32×H×W) …
    z_scale: float = 0.1  # … ~ U(0, 0.1)
    sigma_p: float = 1 / 30  # z is perturbed by N(0, sigma_p²) in every iteration
    hide: float = 0.0  # with z_kind "known": share of the known pixels that an iteration hides in z and asks for
    sigma_end: float = 1.0  # share of sigma_p in the last iteration, reached along half a cosine; 1: constant
    iterations: int = 11_000
    optimiser: str = "adam"  # or "muon"
    lr: float = 0.001  # its learning rate
    lr_adam: float = 0.003  # with Muon: Adam's, for the weights that Muon leaves to it
    weight_decay: float = 0.0  # with Muon: share of its weights that a step of rate 1 would take away
    lr_end: float = 1.0  # share of it in the last iteration, likewise
    jump: float = 2.0  # a loss above jump × the previous loss is undone (book, "Learning process")
    lr_decay: float = 0.9  # and the learning rate multiplied by this
    tv: float = 0.0  # weight of the output's total variation, added to the loss
    averaging: float = 0.99  # decay of the moving average of the outputs, a picture of its own

    def __post_init__(self):
        check_config(self.config)
        for name, value in self.as_dict().items():
            if name not in ("config", "z_kind", "optimiser") and not isinstance(value, (int, float)):
                raise ValueError(f"{name} must be a number, not {value!r}.")
            if name in ("iterations", "z_channels") and not isinstance(value, int):
                raise ValueError(f"{name} must be a whole number, not {value!r}.")
        least = Z_KINDS.get(self.z_kind)
        if least is None:
            raise ValueError(f"z_kind must be one of {', '.join(Z_KINDS)}, not {self.z_kind!r}.")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser must be one of {', '.join(OPTIMISERS)}, not {self.optimiser!r}.")
        for name, ok, need in (
            ("z_channels", *self._channels_of(least)),
            ("z_scale", self.z_scale > 0, "above 0"),
            ("sigma_p", self.sigma_p >= 0, "0 or above"),
            ("sigma_end", self.sigma_end >= 0, "0 or above"),
            ("hide", *self._hidden()),
            ("iterations", self.iterations >= 0, "0 or more"),
            ("lr", 0 < self.lr < math.inf, "above 0"),
            ("lr_adam", 0 < self.lr_adam < math.inf, "above 0"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 (none) or above"),
            ("lr_end", 0 <= self.lr_end < math.inf, "0 or above"),
            ("jump", self.jump > 1, "above 1 (math.inf turns backtracking off)"),
            ("lr_decay", 0 < self.lr_decay <= 1, "above 0 and at most 1"),
            ("tv", 0 <= self.tv < math.inf, "0 (none) or above"),
            ("averaging", 0 <= self.averaging < 1, "0 (no averaging) or above, and below 1"),
        ):
            if not ok:
                raise ValueError(f"{name} must be {need}, not {getattr(self, name)}.")

    def _channels_of(self, least: int) -> tuple[bool, str]:
        if least == 0:
            return self.z_channels == 0, f"0 where z is known pixels (z_kind {self.z_kind!r}): it has the picture's channels, and the mask"
        return self.z_channels >= 1 and self.z_channels % least == 0, f"a multiple of {least}, and at least {least}"

    def _hidden(self) -> tuple[bool, str]:
        if self.z_kind == "known":
            return 0 < self.hide < 1, "above 0 and below 1 where z is known pixels: a network that sees all it is asked for copies it"
        return self.hide == 0, f"0 where z is no pixels (z_kind {self.z_kind!r}): there is nothing to hide"

    def as_dict(self) -> dict:
        """Every value, as plain Python, ready for JSON."""
        return asdict(self)


#: The supplement's hyperparameters for reconstruction, as the blog lists them.
BLOG = Recipe(
    config={
        "channels_down": [128] * 5,
        "channels_up": [128] * 5,
        "channels_skip": [4] * 5,
        "kernels_down": [3] * 5,
        "kernels_up": [3] * 5,
        "kernels_skip": [1] * 5,
        "upsampling_method": "bilinear",
    }
)

#: The paper's text and figure read the other way: what the blog's reading differs in, and nothing else.
SECOND_READING = {
    "skip_from": "input",  # the first skip sees z itself, at full resolution
    "upsampling_position": "first",  # so the last 3×3 convolution works on the pixels
    "downsampling_method": "stride",
    "padding_mode": "reflect",
    "connect": False,
}
PAPER = replace(BLOG, config={**BLOG.config, **SECOND_READING})

#: The same with the other learning rate the blog gives, in its section on the learning process.
BLOG_LOW_LR = replace(BLOG, lr=0.0001)

#: Past the paper, with the paper's optimiser: chosen on two free pictures in short runs (book, "Closing the gap").
BEST_ADAM = replace(
    PAPER, config={**PAPER.config, "padding_mode": "zeros", "upsampling_method": "nearest"}, sigma_p=1 / 90, lr=0.003
)
QUICK_ADAM = replace(
    BEST_ADAM, config={**BEST_ADAM.config, "channels_down": [64] * 5, "channels_up": [64] * 5}, iterations=700, averaging=0.97
)

#: Past the paper, with Muon: a minute of two CPU cores at 128×128 (book, "A better optimiser").
QUICK = replace(
    QUICK_ADAM, config={**QUICK_ADAM.config, "dropout": 0.05}, iterations=500,
    optimiser="muon", lr=0.02, lr_end=0.1, weight_decay=1.0,
)  # fmt: skip

#: A network that sees what is known, some of it hidden in every iteration, and is asked for that: not the paper's
#: random z, but a single picture and the same kind of network still (book, "A better optimiser").
BEST_HIDDEN = replace(
    QUICK, config=at_depth(QUICK.config, 4) | {"channels_skip": [16] * 4},
    z_kind="known", z_channels=0, sigma_p=0.0, hide=0.3, iterations=400, lr=0.04,
)  # fmt: skip

#: The same with three levels, to be averaged with it.
BEST_HIDDEN_SHALLOW = replace(BEST_HIDDEN, config=at_depth(BEST_HIDDEN.config, 3))

#: Random z, as in the paper; and the same with the other upsampling.
BEST_NEAREST = replace(QUICK, iterations=400)
BEST_BILINEAR = replace(BEST_NEAREST, config={**QUICK.config, "upsampling_method": "bilinear", "dropout": 0.1})

RECIPES = {
    "blog": BLOG, "blog-low-lr": BLOG_LOW_LR, "paper": PAPER, "best-adam": BEST_ADAM, "quick-adam": QUICK_ADAM,
    "quick": QUICK, "best-nearest": BEST_NEAREST, "best-bilinear": BEST_BILINEAR, "best-hidden": BEST_HIDDEN, "best-hidden-shallow": BEST_HIDDEN_SHALLOW,
}  # fmt: skip

#: Means of several networks, by their recipes' names: each is fitted alone, see `restore_mean`.
MEANS = {"best": ("best-hidden", "best-hidden-shallow"), "two-upsamplings": ("best-nearest", "best-bilinear")}


def draw_weights(net: UNet, generator: torch.Generator | None = None) -> UNet:
    """Give a network weights as PyTorch draws them (Kaiming, uniform), but from a generator of one's own, in place.

    The numbers are those of a network built after `torch.manual_seed` with the generator's seed.  A network that
    was built on the "meta" device, without memory, comes to lie on the CPU.
    """
    if any(weight.is_meta for weight in net.parameters()):
        net.to_empty(device="cpu")
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                bound = 1 / math.sqrt(module.weight[0].numel())
                module.weight.uniform_(-bound, bound, generator=generator)
                module.bias.uniform_(-bound, bound, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()  # ones and zeros
    return net


def draw_z(recipe: Recipe, x_hat: torch.Tensor, mask: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """The network's fixed input z for a picture (C, H, W) and its mask: (1, z_channels, H, W), values between 0 and z_scale.

    "uniform" noise is the paper's for reconstruction; drawn by ``generator``, PyTorch's global one if None.  "meshgrid",
    the paper's for large holes, holds each pixel's two coordinates, repeated to as many channels.
    "fourier" holds sines and cosines of the coordinates, from one wave a picture up to one in four pixels
    (Tancik et al., "Fourier Features", NeurIPS 2020).  "known" holds what is known itself, (1, C + 1, H, W): the
    pixels less one half, 0 where they are missing, and the mask; see `Recipe.hide`.
    """
    height, width = x_hat.shape[-2:]
    if recipe.z_kind == "known":
        return torch.cat([(x_hat - 0.5) * mask, mask])[None]
    if recipe.z_kind == "uniform":
        return recipe.z_scale * torch.rand(1, recipe.z_channels, height, width, generator=generator)
    grid = torch.stack(torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij"))
    if recipe.z_kind == "meshgrid":
        return recipe.z_scale * grid.repeat(recipe.z_channels // 2, 1, 1)[None]
    waves = torch.logspace(0, math.log2(max(height, width, 4) / 4), recipe.z_channels // 4, base=2)
    phases = 2 * math.pi * (waves[:, None, None, None] * grid).flatten(0, 1)
    return recipe.z_scale * (torch.cat([phases.sin(), phases.cos()])[None] + 1) / 2


# --------------------------------------------------------------------------------------
# Degradation
# --------------------------------------------------------------------------------------


def as_image(image) -> torch.Tensor:
    """Turn a picture into the module's convention: float32, (C, H, W), values in [0, 1].

    Args:
        image: a NumPy array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W).  8- and 16-bit
            unsigned integers are divided by 255 and 65535; floats must lie in [0, 1] already.

    Raises:
        ValueError: another number of dimensions or channels, an empty picture, NaN or infinite
            pixels, values outside [0, 1].
        TypeError: a type of number that has no obvious range.
    """
    if isinstance(image, torch.Tensor):
        x = image.detach().cpu()
        x = x.double() / 65535 if x.dtype == torch.uint16 else x  # torch knows few operations on uint16
    else:
        array = np.asarray(image)
        if array.dtype == np.uint16:  # torch knows few operations on uint16
            array = array.astype(np.float64) / 65535
        if array.dtype.kind not in "uif":
            raise TypeError(f"An image of {array.dtype} has no known range: pass uint8, uint16 or floats in [0, 1].")
        x = torch.from_numpy(np.ascontiguousarray(array))
        x = x.permute(2, 0, 1) if x.ndim == 3 else x
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        raise ValueError(
            f"Expected one grey or colour image: an array (H, W) or (H, W, 3), or a tensor (1, H, W) or (3, H, W). "
            f"Got shape {tuple(image.shape)}."
        )
    if x.numel() == 0:
        raise ValueError(f"The image is empty: its shape is {tuple(image.shape)}.")
    if x.dtype == torch.uint8:
        return x.float() / 255
    if not x.dtype.is_floating_point:
        raise TypeError(f"An image of {x.dtype} has no known range: pass uint8, uint16 or floats in [0, 1].")
    if bad := int((~torch.isfinite(x)).sum()):
        raise ValueError(f"{bad} values of the image are NaN or infinite. Mark such pixels as missing: 0 in image and mask.")
    x = x.float()
    low, high = float(x.min()), float(x.max())
    if low < -1e-6 or high > 1 + 1e-6:  # a rounding error is not a mistake
        raise ValueError(f"Values must lie in [0, 1]; these go from {low:.4g} to {high:.4g}. Divide 8-bit values by 255.")
    return x.clamp(0, 1)


def as_mask(mask, height: int, width: int) -> torch.Tensor:
    """Check a mask for an image of height × width and give it the shape (1, H, W), float32.

    Raises ValueError for another shape, and for values other than 0 (missing) and 1 (known).
    """
    m = torch.as_tensor(np.asarray(mask.detach().cpu() if isinstance(mask, torch.Tensor) else mask)).float()
    if m.numel() != height * width or tuple(m.shape[-2:]) != (height, width):
        raise ValueError(f"The mask's shape is {tuple(m.shape)}, but the image is {height}×{width}: one value a pixel.")
    if not ((m == 0) | (m == 1)).all():
        raise ValueError("A mask holds 1 (or True) where a pixel is known, 0 (or False) where it is missing; of a picture take mask > 127.")
    return m.reshape(1, height, width)


def bernoulli_mask(height: int, width: int, p: float = 0.5, seed: int = 0) -> torch.Tensor:
    """m_ij ~ Bernoulli(p): a mask (1, H, W), one for all channels of a colour image.

    Args:
        p: the probability that a pixel is **known**, in [0, 1].  The paper and the blog use 0.5.
        seed: the same seed, size and p give the same mask on every machine.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is the probability that a pixel is known, between 0 and 1; got {p}.")
    # The uniform draws do not depend on p: a larger p keeps every pixel that a smaller one kept.
    known = np.random.default_rng(seed).random((height, width)) < p
    return torch.from_numpy(known)[None].float()


def degrade(image, p: float = 0.5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The degradation x̂ = m ⊙ x (blog, "Problems tackled by the paper").

    Returns x̂ (C, H, W) and m (1, H, W).  See `as_image` for what an image may be and
    `bernoulli_mask` for p and seed.
    """
    x = as_image(image)
    mask = bernoulli_mask(*x.shape[-2:], p=p, seed=seed)
    return x * mask, mask


# --------------------------------------------------------------------------------------
# Loss and quality
# --------------------------------------------------------------------------------------


def masked_loss(output: torch.Tensor, x_hat: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """‖(f_θ(z) − x̂) ⊙ m‖² divided by the number of known pixels (times channels).

    The division makes it a mean squared error over what is known: one learning rate then serves
    all image sizes and masks.  Shapes (…, C, H, W) and (…, 1, H, W); returns a scalar.
    """
    known_values = mask.sum().clamp(min=1) * output.shape[-3]
    return (((output - x_hat) * mask) ** 2).sum() / known_values


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring pixels, down plus across (anisotropic).  (C, H, W) → a scalar.

    Needs two pixels in either direction.
    """
    return image.diff(dim=-2).abs().mean() + image.diff(dim=-1).abs().mean()


def psnr(image: torch.Tensor, truth: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB, peak 1, over the *whole* image; inf if they are equal."""
    if image.shape != truth.shape:
        raise ValueError(f"PSNR compares images of one shape; got {tuple(image.shape)} and {tuple(truth.shape)}.")
    return _decibel(float(((image.detach().double() - truth.double()) ** 2).mean()))


def _decibel(mse: float) -> float:
    return math.inf if mse == 0 else -10 * math.log10(mse)


# --------------------------------------------------------------------------------------
# Optimiser
# --------------------------------------------------------------------------------------


def for_muon(net: UNet) -> list[nn.Parameter]:
    """The weights that Muon takes: of all convolutions but the last, which draws the pixels; equal shapes in a row.

    Biases, batch norm's weights and the last 1×1 convolution stay with Adam: they are vectors, or map to one
    channel, and an update of which all directions are equally long says nothing there.
    """
    last = {*net.out.parameters()}
    found = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d) and m.weight not in last]
    return sorted(found, key=lambda weight: (weight.shape[0], weight[0].numel()))  # as matrices


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The orthogonal matrices nearest to these (N, rows, columns), roughly: U V' of the singular value decomposition U S V'.

    Five steps of a Newton–Schulz iteration whose polynomial pulls every singular value towards 1 and stops
    between 0.7 and 1.2, which is near enough (Jordan et al., "Muon", 2024; PyTorch's coefficients).
    """
    x = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if matrices.shape[-2] > matrices.shape[-1] else x


class Muon:
    """Gradient descent with momentum in which each matrix's update is made orthogonal (Jordan et al. 2024).

    A convolution's weights (out, in, k, k) count as a matrix out × in·k·k.  The same numbers as
    `torch.optim.Muon`; that one takes matrices alone, one by one, and a learning rate that Python must know,
    where backtracking here changes it on the device.

    Weight decay matters here as it does not in most of deep learning.  Batch norm follows every one of these
    convolutions, so only the direction of its weights counts; steps of one length make the weights grow,
    and turn them by less each time, whatever the learning rate.  Decay keeps their length, and so the speed.

    Args:
        weights: one vector that holds all matrices, and has their gradients as its ``grad``.
        shapes: of the convolutions' weights, in their order in the vector.
        rate: the learning rate, a tensor.
        decay: decoupled weight decay; the weights lose rate × decay of themselves in a step.
        dtype: what Newton–Schulz computes in.
    """

    MOMENTUM = 0.95

    def __init__(
        self, weights: torch.Tensor, shapes: list[torch.Size], rate: torch.Tensor, decay: float = 0.0, dtype: torch.dtype = torch.float32
    ):
        self.weights, self.rate, self.decay, self.dtype = weights, rate, decay, dtype
        self.momentum = torch.zeros_like(weights)
        counts = Counter((shape[0], math.prod(shape[1:])) for shape in shapes)
        self.shapes = [(count, rows, columns) for (rows, columns), count in counts.items()]

    @torch.no_grad()
    def step(self) -> None:
        self.momentum.lerp_(self.weights.grad, 1 - self.MOMENTUM)
        updates = self.weights.grad.lerp(self.momentum, self.MOMENTUM)  # Nesterov's
        if self.decay:
            self.weights.mul_(1 - self.rate * self.decay)
        sizes = [math.prod(shape) for shape in self.shapes]
        for weights, update, shape in zip(self.weights.split(sizes), updates.split(sizes), self.shapes):
            _, rows, columns = shape
            update = orthogonalised(update.view(shape).to(self.dtype)).to(weights.dtype)
            weights.sub_(self.rate * max(1, rows / columns) ** 0.5 * update.flatten())


# --------------------------------------------------------------------------------------
# Learning loop
# --------------------------------------------------------------------------------------

PRECISIONS = ("fp32", "tf32", "bf16")


class Step(NamedTuple):
    """One iteration of the history."""

    iteration: int
    loss: float  # of the perturbed input, before this iteration's step
    lr: float  # the learning rate that this iteration used, or was cut to
    backtracked: bool  # True: the loss had jumped, the loop went back to the last good state
    psnr: float | None = None  # of this iteration's output, in dB; None without the truth
    psnr_averaged: float | None = None  # of the moving average of the outputs, in dB


@dataclass
class Restoration:
    """What `restore` returns.  Images are (C, H, W), values in (0, 1), float32, on the CPU."""

    image: torch.Tensor  # f_θ(z), the network's raw output
    averaged: torch.Tensor  # the moving average of all iterations' outputs
    history: list[Step] = field(default_factory=list)
    frames: dict[int, torch.Tensor] = field(default_factory=dict)  # iteration → its output
    interrupted: bool = False


class DivergenceError(ArithmeticError):
    """The loss is not finite, and going back with smaller and smaller steps did not help."""


#: Restorations in a row, without one good step between them, before the loop gives up on NaNs.
MAX_RECOVERIES = 50


class Fit:
    """A network being fitted to one picture: the state of the loop, and one iteration of it.

    All that an iteration decides, it decides on the device: nothing is asked back until `read`,
    so that a GPU never waits for Python, and a whole iteration can be recorded once and replayed
    (`record`).  Arguments and errors are those of `restore`.
    """

    def __init__(self, x_hat, mask, recipe: Recipe = BLOG, *, seed=0, device=None, precision=None, truth=None):
        x_hat = as_image(x_hat)
        channels, height, width = x_hat.shape
        mask = as_mask(mask, height, width)
        if mask.sum() == 0:
            raise ValueError("The mask marks no pixel as known (p = 0?): there is nothing to fit.")
        truth = None if truth is None else as_image(truth)
        if truth is not None and truth.shape != x_hat.shape:
            raise ValueError(f"truth has shape {tuple(truth.shape)}, the degraded image {tuple(x_hat.shape)}.")
        self.recipe, self.device = recipe, as_device(device)
        self.precision = precision or best_precision(self.device)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")

        # Weights and z are drawn on the CPU, so that every device starts from the same ones; by a generator of
        # their own, so that fits in several threads do not disturb each other.
        generator = torch.Generator().manual_seed(seed)
        with torch.device("meta"):  # builds without drawing
            net = UNet(recipe.z_channels or channels + 1, channels, recipe.config)
        draw_weights(net, generator)
        z = draw_z(recipe, x_hat, mask, generator)
        # Tensor cores, and bf16 on a CPU, want the channels innermost; fp32 on a CPU does not.
        layout = torch.contiguous_format if self.precision == "fp32" else torch.channels_last
        self.z = z.to(self.device).contiguous(memory_format=layout)
        self.x_hat, self.mask = x_hat.to(self.device), mask.to(self.device)
        self.truth = None if truth is None else truth.to(self.device)

        # All weights lie in one vector, on which the network's are windows; so do the gradients.
        # A step, a copy, a choice between two states: each is then one operation, not a hundred.
        # What Muon takes lies in front; with Adam alone, that is nothing.
        self.net = net.to(self.device)
        matrices = for_muon(self.net) if recipe.optimiser == "muon" else []
        taken = {*matrices}
        order = [*matrices, *(weight for weight in self.net.parameters() if weight not in taken)]
        self.weights = nn.utils.parameters_to_vector(order).detach()
        self.weights.grad = torch.zeros_like(self.weights)
        nn.utils.vector_to_parameters(self.weights, order)
        for weight, part in zip(order, self.weights.grad.split([weight.numel() for weight in order])):
            weight.grad = part.view_as(weight)
        cuda, scalar = self.device.type == "cuda", partial(torch.tensor, device=self.device)
        self.lr = scalar(recipe.lr, dtype=torch.float32)  # as backtracking has left it …
        self.rate = self.lr.clone()  # … and after the schedule: what the optimiser uses
        self.done = scalar(0.0)  # iterations, for the schedules
        count = sum(weight.numel() for weight in matrices)
        front, rest = (self._window(slice(None, count)), self._window(slice(count, None))) if count else (None, self.weights)
        half = torch.bfloat16 if cuda or self.precision == "bf16" else torch.float32  # PyTorch's Muon: always
        self.muon = Muon(front, [m.shape for m in matrices], self.rate, recipe.weight_decay, half) if count else None
        #: Adam's share of the learning rate: both are cut, and fall, together.
        self.adam_rate, self.adam_share = (self.rate.clone(), recipe.lr_adam / recipe.lr) if count else (self.rate, 1.0)
        self.adam = torch.optim.Adam([rest], self.adam_rate, fused=cuda or None, foreach=False if not cuda else None, capturable=cuda)
        self.adam._warned_capturable_if_run_uncaptured = True  # it is run both ways, knowingly
        self.adam.step()  # with a gradient of zero: makes the moments and moves nothing
        moments = self.adam.state[rest]
        moments["step"].zero_()
        #: What a step changes; each beside its copy from the last good iteration.
        self.live = [self.weights, moments["exp_avg"], moments["exp_avg_sq"], moments["step"]]
        self.live += [self.muon.momentum] if self.muon else []
        self.good = [tensor.clone() for tensor in self.live]
        self.good_loss = scalar(math.inf)
        self.jumped = scalar(False)
        self.recoveries = scalar(0)  # restorations since the last good step
        self.output, self.averaged = torch.zeros_like(self.x_hat), torch.zeros_like(self.x_hat)

        self.iteration, self.history, self.frames = 0, [], {}
        # Notes of the iterations since the last reading.  A GPU is read rarely: reading makes it wait.
        self.notes = torch.zeros(1 if self.device.type == "cpu" else 50, 6, device=self.device)
        self.row = scalar([0])
        self._replay = None
        self.draw_from(torch.Generator(self.device).manual_seed(seed))
        with torch.no_grad():
            self.net.eval()
            self.draw(self.z)  # refuses a picture too small for the network
            self.net.train()

    def _window(self, part: slice) -> torch.Tensor:
        window = self.weights[part]
        window.grad = self.weights.grad[part]
        return window

    def draw(self, z: torch.Tensor) -> torch.Tensor:
        """f_θ(z) with the present weights: (1, 32, H, W) → (C, H, W)."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            return self.net(z)[0]

    def perturbed(self) -> torch.Tensor:
        """z and fresh noise."""
        perturbation = torch.randn(self.z.shape, generator=self.noise, device=self.device)
        return self.z + self.recipe.sigma_p * self.scheduled(self.recipe.sigma_end) * perturbation

    def hidden(self) -> tuple[torch.Tensor, torch.Tensor]:
        """z with some of the known pixels hidden, others in every iteration; and where they are, (1, H, W).

        A network that is asked for what it does not see has to work it out from what is around it (Quan et al.,
        "Self2Self", CVPR 2020: the same input and loss, with another network and Adam).
        """
        shown = (torch.rand(self.mask.shape, generator=self.noise, device=self.device) >= self.recipe.hide).float()
        return self.z * shown, self.mask * (1 - shown)

    def scheduled(self, end: float) -> torch.Tensor | float:
        """From 1 in the first iteration to ``end`` in the last, along half a cosine."""
        if end == 1:
            return 1.0
        share = (self.done / max(self.recipe.iterations - 1, 1)).clamp(max=1)
        return end + (1 - end) * (1 + torch.cos(math.pi * share)) / 2

    def step(self) -> None:
        """One iteration of the blog's "Learning process"."""
        recipe = self.recipe
        z, wanted = self.hidden() if recipe.hide else (self.perturbed(), self.mask)
        output = self.draw(z)
        loss = masked_loss(output, self.x_hat, wanted)
        if recipe.tv:
            loss = loss + recipe.tv * total_variation(output)
        self.weights.grad.zero_()
        loss.backward()
        with torch.no_grad():
            loss, output = loss.detach(), output.detach()
            # Just after a restoration the state is the last good one by definition: its loss
            # becomes the reference again, or an unlucky perturbation would stall the run.
            jumped = (loss > recipe.jump * self.good_loss) & ~self.jumped | ~torch.isfinite(loss)
            self.recoveries.copy_(torch.where(jumped, self.recoveries + 1, self.recoveries * self.jumped))
            for live, good in zip(self.live, self.good):
                torch.where(jumped.to(good.device), good, live, out=good)  # keep this state, unless it is bad
            self.rate.copy_(self.lr * self.scheduled(recipe.lr_end))
            if self.muon:
                self.muon.step()
                self.adam_rate.copy_(self.rate * self.adam_share)
            self.adam.step()
            for live, good in zip(self.live, self.good):
                torch.where(jumped.to(good.device), good, live, out=live)  # go back: weights, moments, counter
            self.lr.copy_(torch.where(jumped, self.lr * recipe.lr_decay, self.lr))
            self.rate.copy_(torch.where(jumped, self.rate * recipe.lr_decay, self.rate))

            share = torch.where(self.good_loss.isinf(), 1.0, 1 - recipe.averaging)  # the first one counts in full
            if recipe.hide:  # what was shown was not asked for: there the average waits for its turn
                share = torch.where(self.good_loss.isinf(), share, (share * (1 - self.mask + wanted / recipe.hide)).clamp(max=1))
            self.averaged.copy_(torch.where(jumped, self.averaged, torch.lerp(self.averaged, output, share)))
            self.output.copy_(output)
            self.good_loss.copy_(torch.where(jumped, self.good_loss, loss))
            self.jumped.copy_(jumped)
            note = [loss, self.rate, jumped, self.recoveries, self._mse(output), self._mse(self.averaged)]
            self.notes.index_copy_(0, self.row, torch.stack([value.float() for value in note])[None])
            self.row += 1
            self.done += 1

    def _mse(self, image: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(self.good_loss) if self.truth is None else (image - self.truth).square().mean()

    def run(self, iterations: int) -> None:
        """So many iterations; the history has them when this returns."""
        while iterations > 0:
            some = min(iterations, len(self.notes))
            for _ in range(some):
                (self._replay or self.step)()
                self.iteration += 1
            iterations -= some
            self.read()

    def read(self) -> None:
        """Bring the notes of the last iterations from the device into the history."""
        count = self.iteration - len(self.history)
        for loss, lr, jumped, recoveries, *errors in self.notes[:count].tolist():
            iteration = len(self.history) + 1
            if recoveries > MAX_RECOVERIES:
                raise DivergenceError(
                    f"The loss was {loss} in iteration {iteration}, and {MAX_RECOVERIES} restorations with the "
                    f"learning rate cut to {lr:.2g} did not help. Start with a smaller one than {self.recipe.lr:g}."
                )
            quality = (None, None) if self.truth is None else [_decibel(error) for error in errors]
            self.history.append(Step(iteration, loss, float(f"{lr:.7g}"), bool(jumped), *quality))
        self.row.zero_()

    def bring_back(self) -> None:
        """Return to the last good state, as after a jump; also right after a step cut in two."""
        for live, good in zip(self.live, self.good):
            live.copy_(good)

    @torch.no_grad()
    def image(self) -> torch.Tensor:
        """f_θ(z) for the unperturbed z, (C, H, W) on the CPU; of the last good state if the last step failed.

        Where known pixels are hidden in every iteration, here all are shown.  What it draws there it was never asked
        for, so only a loss that is not finite tells of a failed step.
        """
        self.net.eval()  # dropout off; batch norm knows no difference
        output = self.draw(self.z)
        loss = float(masked_loss(output, self.x_hat, self.mask))
        limit = math.inf if self.recipe.hide else self.recipe.jump * float(self.good_loss)
        if self.iteration and (not math.isfinite(loss) or loss > limit):
            last = [tensor.clone() for tensor in self.live]
            self.bring_back()
            output = self.draw(self.z)
            for live, tensor in zip(self.live, last):  # looking changes nothing
                live.copy_(tensor)
        self.net.train()
        return output.cpu()

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of all that the next iteration depends on, the history, the frames: what a checkpoint holds."""
        parts = {f"live.{i}": tensor for i, tensor in enumerate(self.live)}
        parts |= {f"good.{i}": tensor for i, tensor in enumerate(self.good)}
        parts |= {name: getattr(self, name) for name in ("lr", "good_loss", "jumped", "recoveries", "output", "averaged")}
        history = [[math.nan if value is None else float(value) for value in step] for step in self.history]
        parts["history"] = torch.tensor(history, dtype=torch.float64).reshape(-1, len(Step._fields))
        parts |= {f"frame.{iteration}": frame for iteration, frame in self.frames.items()}
        parts |= {"noise": self.noise.get_state(), "recipe": self._signature()}
        return {name: tensor.detach().cpu().clone() for name, tensor in parts.items()}

    def _signature(self) -> torch.Tensor:
        """The recipe, less its length, as bytes: a state is one of this recipe."""
        values = {key: value for key, value in self.recipe.as_dict().items() if key != "iterations"}
        return torch.tensor(list(json.dumps(values | {"shape": list(self.x_hat.shape)}, sort_keys=True).encode()), dtype=torch.uint8)

    @torch.no_grad()
    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Go on where `state` was taken: with the same picture, mask, recipe and seed, bitwise on one machine.

        Raises ValueError for a state of another recipe or size, of another member of a mean, say; names what differs.
        """
        if "recipe" not in state:
            raise ValueError("This state does not say which fit it is of: an earlier version made it. Begin anew.")
        theirs, ours = (json.loads(bytes(signature.tolist())) for signature in (state["recipe"], self._signature()))
        if different := [f"{key} is {ours.get(key)!r} here, {theirs.get(key)!r} there" for key in ours if ours[key] != theirs.get(key)]:
            raise ValueError(f"This state is of another fit, and nothing was loaded: {'; '.join(different)}.")
        for name, tensor in state.items():
            if name == "recipe":
                continue
            if name == "noise":
                self.noise.set_state(tensor)
            elif name == "history":
                self.history = [
                    Step(int(i), loss, lr, bool(back), *(None if self.truth is None or math.isnan(value) else value for value in quality))
                    for i, loss, lr, back, *quality in tensor.tolist()
                ]
            else:
                group, _, index = name.partition(".")
                if group == "frame":
                    self.frames[int(index)] = tensor
                    continue
                (getattr(self, group)[int(index)] if index else getattr(self, group)).copy_(tensor)
        self.iteration = len(self.history)
        self.done.fill_(self.iteration)
        self.row.zero_()

    def record(self) -> bool:
        """Record one iteration as a CUDA graph, to be replayed from now on; False where that cannot be.

        A replay starts all of an iteration's kernels at once, without Python in between.  It is only
        trusted when it leads where plain iterations do (`same_as_plain`).
        """
        if self.device.type != "cuda":
            return False
        before = self.state()
        with torch.cuda.device(self.device):
            main, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            try:
                aside.wait_stream(main)
                with torch.cuda.stream(aside):
                    for _ in range(3):  # libraries choose and allocate in their first calls
                        self.step()
                main.wait_stream(aside)
                graph = torch.cuda.CUDAGraph()
                graph.register_generator_state(self.noise)
                with torch.cuda.graph(graph, stream=aside):
                    self.step()
                self.load(before)
                if self.same_as_plain(graph.replay):
                    self._replay = graph.replay
                    return True
                why = "its replay does not lead where plain iterations do"
            except Exception as error:  # whatever a driver or a version may raise: the plain step is there
                why = f"{type(error).__name__}: {error}"
                torch.cuda.set_stream(main)  # a capture cut short may leave another stream behind
                torch.cuda.synchronize()
            self.draw_from(torch.Generator(self.z.device))  # nor is a generator that a graph has held used again
        self.load(before)
        warnings.warn(f"No CUDA graph here, the plain step is used, which is slower: {why}", stacklevel=2)
        return False

    def same_as_plain(self, replay: Callable[[], None], steps: int = 3) -> bool:
        """Do a few replayed iterations lead where as many plain ones do?  Leaves the state as it was.

        From one state, each its own losses, rates and pictures; a perturbation or a dropout that is not drawn
        anew, or a step that is left out, shows in the second loss.
        """
        before, reached = self.state(), []
        for iterate in (replay, self.step):
            for _ in range(steps):
                iterate()
            reached.append([self.notes[:steps].clone(), self.output.clone(), self.averaged.clone()])
            self.load(before)
        return all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*reached))

    def draw_from(self, generator: torch.Generator) -> None:
        """Let the perturbations of z, and dropout, come from this generator."""
        self.noise = generator
        for module in self.net.modules():
            if isinstance(module, Dropout):
                module.generator = generator


def restore(
    x_hat,
    mask,
    recipe: Recipe = BLOG,
    *,
    seed: int = 0,
    iterations: int | None = None,
    device: str | torch.device | None = None,
    precision: str | None = None,
    truth=None,
    frames: Iterable[int] = (),
    progress: bool = True,
    resume: dict | None = None,
    watch: Callable[[Fit], None] | None = None,
) -> Restoration:
    """Fit a randomly initialised network to the known pixels and return what it draws.

    The loop of the blog's "Learning process": Adam on `masked_loss`, z perturbed afresh in every
    iteration, and backtracking.  When a step has made the loss jump to more than ``recipe.jump``
    times its previous value (or to NaN), weights and Adam's moments return to the last good state,
    and the learning rate is multiplied by ``recipe.lr_decay``.

    Args:
        x_hat: the degraded image, see `as_image`; what it holds at missing pixels is not used.
        mask: see `as_mask`; at least one pixel must be known.
        seed: of the weights, z and the perturbations.  Same seed, device, precision, thread count
            and versions give the same numbers.
        iterations: instead of the recipe's; 0 gives what the untrained network draws.
        device: "cuda", "mps" or "cpu"; the first of these that is there if None.
        precision: of the convolutions: "fp32"; "tf32" (the same on hardware without it); "bf16"
            (autocast; last layer and loss stay in fp32).  `best_precision` if None.
        truth: the true image, only ever used to write PSNR into the history.
        frames: iterations whose output is kept in the result.
        progress: show a bar.
        resume: a `Fit.state` of an earlier call with the same arguments; goes on from there.
        watch: called with the `Fit` after every reading of the device: each iteration on a CPU,
            every 50 on a GPU.

    An interrupt (Ctrl-C, a notebook's stop button) returns the last good state.

    Raises:
        ValueError, TypeError: bad input, see `as_image`, `as_mask`, `UNet`, `as_device`; a recipe's name for a recipe.
        DivergenceError: non-finite losses from which the loop cannot recover; names the iteration.
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, such as RECIPES['quick'], not {recipe!r}.")
    if iterations is not None:
        recipe = replace(recipe, iterations=iterations)
    fit = Fit(x_hat, mask, recipe, seed=seed, device=device, precision=precision, truth=truth)
    if resume is not None:
        fit.load(resume)
    result, wanted = Restoration(fit.output, fit.averaged, fit.history), set(frames)
    with numerics(fit.device, fit.precision):
        if recipe.iterations - fit.iteration > 100:  # recording takes as long as a few dozen iterations
            fit.record()
        bar = tqdm(
            initial=fit.iteration, total=recipe.iterations, desc="restoring", unit="it", disable=None if progress else True
        )
        try:
            while fit.iteration < recipe.iterations:
                end = min((i for i in (*wanted, recipe.iterations) if i > fit.iteration), default=0)
                fit.run(min(end - fit.iteration, len(fit.notes)))
                if fit.iteration in wanted:
                    fit.frames[fit.iteration] = fit.output.cpu().clone()
                last = fit.history[-1]
                bar.set_postfix(loss=f"{last.loss:.2e}", lr=f"{last.lr:.2g}", refresh=False)
                bar.update(fit.iteration - bar.n)
                if watch is not None:
                    watch(fit)
        except KeyboardInterrupt:
            result.interrupted = True
            fit.bring_back()  # the interrupt may have come in the middle of a step
        finally:
            bar.close()
        result.image, result.averaged = fit.image(), fit.averaged.cpu().clone()
    result.history, result.frames = fit.history, fit.frames
    return result


def restore_mean(x_hat, mask, recipes: Iterable[Recipe], **options) -> Restoration:
    """Fit several networks, one after the other, and average what they draw: raw outputs, and averages.

    Where both have come as far, their mean is nearer to the truth than each (book, "A better optimiser").  The
    options and errors are those of `restore`; there is no history, and no ``resume``.  An interrupt ends it: the
    mean is then of what was drawn until then.
    """
    if "resume" in options:
        raise TypeError("A mean takes no state to go on from: resume its networks one by one, with restore.")
    results = []
    for recipe in recipes:
        results.append(restore(x_hat, mask, recipe, **options))
        if results[-1].interrupted:
            break
    if not results:
        raise ValueError("A mean needs a recipe or more.")
    image, averaged = (torch.stack([getattr(r, kind) for r in results]).mean(0) for kind in ("image", "averaged"))
    return Restoration(image, averaged, interrupted=results[-1].interrupted)


def paste(image: torch.Tensor, x_hat, mask) -> torch.Tensor:
    """The image (C, H, W) with the known pixels put back: m ⊙ x̂ + (1 − m) ⊙ image.

    x̂ and the mask may be whatever `restore` takes; errors as there.
    """
    return torch.where(as_mask(mask, *image.shape[-2:]) == 1, as_image(x_hat), image)


def blend(image: torch.Tensor, x_hat, mask, damping: float = 0.5) -> torch.Tensor:
    """The image (C, H, W) with the known pixels put back, and its missing ones moved along with them.

    What the image was off by at the known pixels is handed on to the missing ones between them: each gets the sum
    of its four neighbours' corrections, divided by 4 + ``damping``, and so on until nothing changes.  Without damping
    this is the membrane with which Pérez et al. ("Poisson image editing", 2003) paste without a seam; with it, a
    correction dies out within a few pixels (book, "A better optimiser").  Arguments and errors as in `paste`.
    """
    if not damping >= 0:
        raise ValueError(f"damping must be 0 or above, not {damping!r}.")
    known = as_mask(mask, *image.shape[-2:]) == 1
    off = torch.where(known, as_image(x_hat) - image, 0.0)
    correction = off
    for _ in range(50):  # a hundredth of a correction is left after forty, where nothing is known near by
        around = F.pad(correction, (1, 1, 1, 1), mode="replicate")
        neighbours = around[:, :-2, 1:-1] + around[:, 2:, 1:-1] + around[:, 1:-1, :-2] + around[:, 1:-1, 2:]
        correction = torch.where(known, off, neighbours / (4 + damping))
    return torch.where(known, as_image(x_hat), (image + correction).clamp(0, 1))


def best_device() -> str:
    """The fastest device that PyTorch finds here: "cuda", else "mps", else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def as_device(device: str | torch.device | None) -> torch.device:
    """A device, `best_device` if None.  Raises ValueError for one that is not here."""
    try:
        return torch.empty(0, device=device or best_device()).device
    except (AssertionError, RuntimeError, NotImplementedError):  # what PyTorch raises depends on what it was built for
        raise ValueError(f"There is no device {str(device)!r} here that PyTorch can use; there is {best_device()!r}.") from None


def best_precision(device: str | torch.device) -> str:
    """The default: "tf32" on CUDA (as PyTorch has it); "bf16" on a CPU built for it; else "fp32".

    A CPU without bf16 instructions emulates them, many times slower (book, "How fast").
    """
    if torch.device(device).type == "cuda":
        return "tf32"
    able = getattr(torch.cpu, "get_capabilities", dict)() if torch.device(device).type == "cpu" else {}
    return "bf16" if any(able.get(name) for name in ("avx512_bf16", "amx_bf16")) else "fp32"


@contextmanager
def kept_memory():
    """Let the C library keep the memory that an iteration frees, for the next one; where it is glibc's.

    By default it gives every large tensor back to the system and fetches it anew, page by page, which
    at 512×512 takes half of an iteration's time (book, "How fast").  Given back at the end.
    """
    try:
        libc = ctypes.CDLL(None)
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, TypeError, AttributeError):  # another system, another C library
        mallopt = None
    mmap_threshold, mmap_max, trim_threshold = -3, -4, -1  # of malloc.h
    with _KEEPING:
        _KEEPING.depth += 1
        if mallopt and _KEEPING.depth == 1:
            mallopt(mmap_max, 0), mallopt(trim_threshold, 2**31 - 1)
    try:
        yield
    finally:
        with _KEEPING:
            _KEEPING.depth -= 1
            if mallopt and _KEEPING.depth == 0:
                # Once set, thresholds no longer adapt themselves: leave them where they would have come to.
                mallopt(mmap_max, 2**16), mallopt(mmap_threshold, 2**25), mallopt(trim_threshold, 2**26)
                trim(0)


class _Counter:
    """How many loops in this process keep memory, behind a lock."""

    def __init__(self):
        self.lock, self.depth = threading.Lock(), 0

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *error):
        self.lock.release()


_KEEPING = _Counter()


@contextmanager
def numerics(device: torch.device, precision: str):
    """While the loop runs: on a GPU deterministic kernels, and TF32 if asked for; on a CPU, freed memory is kept."""
    if device.type != "cuda":
        with kept_memory():
            yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # an aid for debugging that costs time
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=precision != "fp32"):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled

