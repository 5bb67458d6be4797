"""Numbers: what the method computes, against the same written out in NumPy, in float64."""

from __future__ import annotations

import math

import numpy as np
import torch
from attacks import Attack
from attacks._drawn import Drawn

import dip_blocks
from dip_parts.ablations import Lanczos, total_variation
from dip_parts.layers import Reflecting, Upsample, padded
from dip_parts.muon import Muon, orthogonalised


def a_picture(d: Drawn, most: int = 30, kind=np.float32) -> np.ndarray:
    """(C, H, W) in [0, 1]."""
    shape = (d.one_of(1, 3), d.whole(1, most), d.whole(1, most))
    return d.rng().random(shape).astype(kind)


def a_mask(d: Drawn, height: int, width: int) -> np.ndarray:
    """(1, H, W), ones and zeros; all of one kind now and then."""
    return (d.rng().random((1, height, width)) < d.one_of(0.5, 0.0, 1.0, 0.1)).astype(np.float32)


def near(ours, theirs, relative: float = 1e-5, absolute: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=relative, atol=absolute)


def check_degradation(d: Drawn) -> None:
    x, p, seed = a_picture(d, 60), d.number(0, 1), d.whole(0, 99)
    x_hat, mask = dip_blocks.degrade(torch.from_numpy(x), p, seed)
    known = np.random.default_rng(seed).random(x.shape[1:]) < p
    assert np.array_equal(mask.numpy(), known[None]) and mask.dtype == torch.float32
    assert np.array_equal(x_hat.numpy(), x * known)
    if known.any():
        assert torch.equal(x_hat, dip_blocks.Masked(mask).apply(torch.from_numpy(x)))
    more = dip_blocks.bernoulli_mask(*x.shape[1:], p=min(1.0, 1.3 * p), seed=seed)
    assert bool((more >= mask).all()), "a larger p keeps every pixel that a smaller one kept"


def check_psnr(d: Drawn) -> None:
    """Also of pictures that differ by less than float32 can tell."""
    truth = a_picture(d, kind=np.float64)
    image = np.clip(truth + d.magnitude(1e-9, 1) * d.rng().standard_normal(truth.shape), -0.5, 1.5)
    error = np.mean((image - truth) ** 2)
    pair = (image, truth)
    kind = d.one_of("tensors", "arrays", "uint8", "uint16", "float32")
    if kind in ("uint8", "uint16"):
        white = np.iinfo(kind).max
        pair = [np.round(np.clip(x, 0, 1) * white).astype(kind) for x in pair]
        error = np.mean((pair[0] / white - pair[1] / white) ** 2)
    elif kind == "float32":
        pair = [x.astype(np.float32) for x in pair]
        error = np.mean((pair[0].astype(np.float64) - pair[1]) ** 2)
    if d.rarely(2):
        pair = [x.transpose(1, 2, 0) for x in pair]
    else:
        pair = [torch.from_numpy(x) for x in pair]
    ours = dip_blocks.psnr(*pair)
    assert ours == math.inf if error == 0 else abs(ours + 10 * math.log10(error)) < 1e-6


def check_loss(d: Drawn) -> None:
    x = a_picture(d)
    mask, data = a_mask(d, *x.shape[1:]), d.rng().standard_normal(x.shape).astype(np.float32)
    squares = ((x.astype(np.float64) - data) ** 2)[:, mask[0] == 1]
    expected = squares.mean() if squares.size else 0.0
    tensors = [torch.from_numpy(array) for array in (x, data, mask)]
    near(dip_blocks.masked_loss(*tensors), expected)
    near(dip_blocks.masked_loss(tensors[0][None], *tensors[1:]), expected)


def check_total_variation(d: Drawn) -> None:
    x = a_picture(d).astype(np.float64)
    down, across = (np.abs(np.diff(x, axis=axis)) for axis in (1, 2))
    expected = sum(part.mean() for part in (down, across) if part.size)
    near(total_variation(torch.from_numpy(x).float()), expected)


def check_noise(d: Drawn) -> None:
    sigma, seed = d.number(0, 1), d.whole(0, 99)
    noisy = dip_blocks.Noisy(sigma)
    x = np.full((3, 50, 50), d.number(0, 1), np.float32)
    data = noisy.degrade(torch.from_numpy(x), seed)
    noise = data.double().numpy() - x
    count = noise.size
    assert abs(noise.mean()) <= 5 * sigma / count**0.5 + 1e-7
    assert abs(noise.std() - sigma) <= 5 * sigma / (2 * count) ** 0.5 + 1e-7
    assert torch.equal(data, noisy.degrade(torch.from_numpy(x), seed))
    assert torch.equal(noisy.apply(data), data), "the loss looks for what is beneath"
    assert not bool(noisy.known(data).any()) and bool(noisy.compared(data).all())


def sinc(t: float) -> float:
    return 1.0 if t == 0 else math.sin(math.pi * t) / (math.pi * t)


def shrinking(length: int, factor: int, lobes: int) -> np.ndarray:
    """The matrix that shrinks a line, entry by entry."""
    matrix = np.zeros((length // factor, length))
    for new in range(length // factor):
        for old in range(length):
            t = (old + 0.5) / factor - (new + 0.5)  # from the middle of one to that of the other
            if abs(t) < lobes:
                matrix[new, old] = sinc(t) * sinc(t / lobes)
        matrix[new] /= matrix[new].sum()
    return matrix


def check_shrinking(d: Drawn) -> None:
    """D, and its way back: ⟨D x, y⟩ = ⟨x, Dᵀ y⟩, which is what the loss's gradient uses."""
    factor, lobes = d.whole(2, 5), d.whole(1, 4)
    h, w = d.whole(1, 5), d.whole(1, 5)
    x = d.rng().random((d.one_of(1, 3), h * factor, w * factor))
    shrunk = dip_blocks.Shrunk(factor, lobes)
    down, across = (shrinking(length, factor, lobes) for length in x.shape[1:])
    picture = torch.from_numpy(x).float().requires_grad_()
    data = shrunk.apply(picture)
    near(data.detach(), down @ x @ across.T, absolute=1e-5)
    assert shrunk.size(data) == x.shape[1:]
    y = d.rng().standard_normal(data.shape)
    (back,) = torch.autograd.grad((data * torch.from_numpy(y).float()).sum(), picture)
    near(back, down.T @ y @ across, absolute=1e-5)
    near(shrunk.degrade(np.full((h * factor, w * factor), 0.7)), 0.7)


def check_lanczos(d: Drawn) -> None:
    """The layer: every second pixel of a filter of eight taps, the border repeated."""
    x = d.rng().random((d.whole(1, 4), 2 * d.whole(1, 10), 2 * d.whole(1, 10)))
    taps = np.array([sinc(t / 2) * sinc(t / 4) for t in np.arange(-3.5, 4)])
    taps /= taps.sum()
    edged = np.pad(x, ((0, 0), (3, 3), (3, 3)), mode="edge")
    expected = np.zeros((len(x), x.shape[1] // 2, x.shape[2] // 2))
    for i in range(expected.shape[1]):
        for j in range(expected.shape[2]):
            window = edged[:, 2 * i : 2 * i + 8, 2 * j : 2 * j + 8]
            expected[:, i, j] = np.einsum("cij,i,j->c", window, taps, taps)
    near(Lanczos()(torch.from_numpy(x).float()[None])[0], expected, absolute=1e-5)


def check_convolution(d: Drawn) -> None:
    """With the picture mirrored beyond its border; continued by its last pixels where too thin."""
    kernel, stride, channels = d.one_of(1, 3, 5), d.one_of(1, 2), d.whole(1, 3)
    x = d.rng().random((channels, d.whole(1, 9), d.whole(1, 9)))
    layer = Reflecting(channels, 2, kernel, stride, kernel // 2)
    edged, border = x, kernel // 2
    for axis in (1, 2):
        widths = [(0, 0)] * 3
        widths[axis] = (border, border)
        edged = np.pad(edged, widths, mode="reflect" if border < x.shape[axis] else "edge")
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    drawn = layer(torch.from_numpy(x).float()[None])[0].detach()
    for i in range(drawn.shape[1]):
        for j in range(drawn.shape[2]):
            top, left = stride * i, stride * j
            window = edged[:, top : top + kernel, left : left + kernel]
            near(drawn[:, i, j], (weight * window).sum((1, 2, 3)) + bias, absolute=1e-5)


def check_border(d: Drawn) -> None:
    """A picture that the levels do not divide is continued at the right and below."""
    z = d.rng().random((1, d.whole(1, 2), d.whole(1, 40), d.whole(1, 40)))
    depth, connect = d.whole(1, 3), d.one_of(True, False)
    step = 2 ** (depth + connect)
    down, right = -z.shape[2] % step, -z.shape[3] % step
    if (z.shape[2] + down) * (z.shape[3] + right) == step**2:
        return
    fits = down < z.shape[2] and right < z.shape[3]
    expected = np.pad(
        z, ((0, 0), (0, 0), (0, down), (0, right)), mode="reflect" if fits else "edge"
    )
    assert np.array_equal(padded(torch.from_numpy(z), depth, connect).numpy(), expected)


def check_upsampling(d: Drawn) -> None:
    x = d.rng().random((2, d.whole(1, 9), d.whole(1, 9)))
    method = d.one_of("bilinear", "nearest")
    expected = x
    for axis in (1, 2):
        n = x.shape[axis]
        near_by = np.arange(2 * n) // 2
        other = np.clip(near_by + np.where(np.arange(2 * n) % 2, 1, -1), 0, n - 1)
        first, second = (np.take(expected, places, axis) for places in (near_by, other))
        expected = 0.75 * first + 0.25 * second if method == "bilinear" else first
    tensor = torch.from_numpy(x)[None]
    near(Upsample(method)(tensor)[0], expected)
    if method == "bilinear":
        near(Upsample.from_shifts(tensor)[0], expected)


def check_finish(d: Drawn) -> None:
    """Known pixels put back, as they are and blended; means."""
    image = a_picture(d, 16)
    mask = a_mask(d, *image.shape[1:])
    data, damping = d.rng().random(image.shape).astype(np.float32), d.number(0, 3)
    known = mask == 1
    tensors = [torch.from_numpy(array) for array in (image, data, mask)]
    assert np.array_equal(dip_blocks.paste(*tensors), np.where(known, data, image))
    off = np.where(known, data.astype(np.float64) - image, 0)
    correction = off
    for _ in range(50):
        c = np.pad(correction, ((0, 0), (1, 1), (1, 1)), mode="edge")
        around = c[:, :-2, 1:-1] + c[:, 2:, 1:-1] + c[:, 1:-1, :-2] + c[:, 1:-1, 2:]
        correction = np.where(known, off, around / (4 + damping))
    expected = np.where(known, data, np.clip(image + correction, 0, 1))
    near(dip_blocks.blend(*tensors, damping=damping), expected, absolute=1e-5)
    drawn = [
        dip_blocks.Restoration(*torch.from_numpy(d.rng().random((2, *image.shape), np.float32)))
        for _ in range(d.whole(1, 4))
    ]
    mean = dip_blocks.mean_of(iter(drawn))
    for kind in ("image", "averaged"):
        expected = np.mean([getattr(one, kind).double().numpy() for one in drawn], axis=0)
        near(getattr(mean, kind), expected)


def nearly_orthogonal(matrix: np.ndarray) -> np.ndarray:
    """By the singular value decomposition: five times the polynomial on each singular value."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / max(np.linalg.norm(matrix), 1e-7)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left * values @ right


def check_orthogonalised(d: Drawn) -> None:
    count, rows, columns = d.whole(1, 3), d.whole(1, 20), d.whole(1, 20)
    matrices = d.rng().standard_normal((count, rows, columns)) * d.magnitude(1e-4, 1e4)
    ours = orthogonalised(torch.from_numpy(matrices)).numpy()
    near(ours, np.stack([nearly_orthogonal(matrix) for matrix in matrices]), 1e-6, 1e-6)
    for matrix, close in zip(matrices, ours):
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        shares = np.diag(left.T @ close @ right.T)[values > 0.01 * np.linalg.norm(matrix)]
        assert ((shares > 0.65) & (shares < 1.25)).all(), (
            "the directions stay, the lengths become 1"
        )


def check_muon(d: Drawn) -> None:
    """A few steps: Nesterov's momentum, decay, the direction's length by the matrix's shape."""
    shapes = [(d.whole(1, 6), d.whole(1, 4), 3, 3) for _ in range(d.whole(1, 3))]
    shapes.sort(key=lambda shape: (shape[0], math.prod(shape[1:])))  # as `for_muon`
    rate, decay = d.magnitude(1e-4, 1), d.one_of(0.0, 1.0, d.number(0, 5))
    rng, total = d.rng(), sum(map(math.prod, shapes))
    weights = rng.standard_normal(total)
    vector = torch.from_numpy(weights.copy())
    vector.grad = torch.zeros_like(vector)
    muon = Muon(vector, shapes, torch.tensor(rate, dtype=torch.double), decay, torch.double)
    momentum = np.zeros(total)
    for _ in range(3):
        gradient = rng.standard_normal(total)
        vector.grad.copy_(torch.from_numpy(gradient))
        muon.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        update = 0.05 * gradient + 0.95 * momentum
        weights = weights * max(0.0, 1 - rate * decay)
        place = 0
        for shape in shapes:
            part = slice(place, place := place + math.prod(shape))
            matrix = nearly_orthogonal(update[part].reshape(shape[0], -1))
            length = math.sqrt(max(1, matrix.shape[0] / matrix.shape[1]))
            weights[part] -= rate * length * matrix.reshape(-1)
    near(vector, weights, 1e-6, 1e-6)


CHECKS = {
    "degradation": check_degradation,
    "PSNR": check_psnr,
    "loss": check_loss,
    "total variation": check_total_variation,
    "noise": check_noise,
    "shrinking": check_shrinking,
    "Lanczos": check_lanczos,
    "convolution": check_convolution,
    "border": check_border,
    "upsampling": check_upsampling,
    "pasted, blended, mean": check_finish,
    "orthogonalised": check_orthogonalised,
    "Muon": check_muon,
}


def equal_to_numpy(rng, folder) -> str:
    name = str(rng.choice([*CHECKS]))
    CHECKS[name](Drawn(rng))
    return name


ATTACKS = [
    Attack(
        "numbers",
        "What the method computes is what NumPy computes of the same formulas in float64.",
        equal_to_numpy,
        few=26,
    )
]
