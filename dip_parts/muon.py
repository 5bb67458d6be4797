"""Muon: descent with momentum, each matrix's update made orthogonal (Jordan et al. 2024)."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import nn

from dip_parts.checks import check_net, check_tensors


def for_muon(net: nn.Module) -> list[nn.Parameter]:
    """The weights that Muon takes: of all convolutions but the last; equal shapes in a row.

    Biases, batch norm's weights and the last 1×1 convolution, which draws the pixels, stay with
    Adam: they are vectors, or map to one channel, and an update of which all directions are equally
    long says nothing there.

    Raises TypeError for what is no network with an ``out``, as a `UNet` has it.
    """
    check_net(net)
    if not isinstance(out := getattr(net, "out", None), nn.Module):
        raise TypeError(f"A {type(net).__name__} has no last layer ``out``, as a UNet has it.")
    last = {*out.parameters()}
    found = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d) and m.weight not in last]
    return sorted(found, key=lambda weight: (weight.shape[0], weight[0].numel()))  # as matrices


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The orthogonal matrices nearest to these (N, rows, columns), roughly.

    Which are A B' of the singular value decomposition A S B'.  Five steps of a Newton–Schulz
    iteration whose polynomial pulls every singular value towards 1 and stops between 0.7 and 1.2,
    which is near enough (Jordan et al., "Muon", 2024; PyTorch's coefficients).
    """
    check_tensors("rows, columns", matrices=matrices)
    x = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if matrices.shape[-2] > matrices.shape[-1] else x


class Muon:
    """Gradient descent with momentum, each matrix's update made orthogonal.

    A convolution's weights (out, in, k, k) count as a matrix out × in·k·k.  The same numbers as
    `torch.optim.Muon`; that one takes matrices alone, one by one, and a learning rate that Python
    must know, where backtracking here changes it on the device.

    Weight decay matters here as it does not in most of deep learning.  Batch norm follows every one
    of these convolutions, so only the direction of its weights counts; steps of one length make the
    weights grow, and turn them by less each time, whatever the learning rate.  Decay keeps their
    length, and so the speed.

    Args:
        weights: one vector that holds all matrices, and has their gradients as its ``grad``.
        shapes: of the convolutions' weights, in their order in the vector.
        rate: the learning rate, a tensor.
        decay: decoupled weight decay; the weights lose rate × decay of themselves in a step.
        dtype: what Newton–Schulz computes in.
    """

    MOMENTUM = 0.95

    def __init__(
        self,
        weights: torch.Tensor,
        shapes: list[torch.Size],
        rate: torch.Tensor,
        decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
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
            self.weights.mul_((1 - self.rate * self.decay).clamp(min=0))  # all of it, no more
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = zip(self.weights.split(sizes), updates.split(sizes), self.shapes)
        for weights, update, (count, rows, columns) in parts:
            update = orthogonalised(update.view(count, rows, columns).to(self.dtype))
            length = max(1, rows / columns) ** 0.5
            weights.sub_(self.rate * length * update.to(weights.dtype).flatten())
