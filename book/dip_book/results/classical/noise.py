"""Noise of a known σ, without a network."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

from dip_blocks import Degradation
from dip_book import tasks


def non_local_means(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """Means of similar patches (Buades et al. 2005), by scikit-image; h = 0.8 σ as it advises."""
    sigma = degradation.sigma
    noisy = tasks.channels_last(x_hat)
    drawn = denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True,
        channel_axis=-1 if noisy.ndim == 3 else None,
    )  # fmt: skip
    return np.clip(drawn, 0, 1).astype(np.float32)


def total_variation(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """The flattest picture that is off by no more than the noise (Chambolle 2004), by scikit-image.

    Its weight is the one with which the mean squared difference to x̂ is σ², found by bisection:
    σ alone decides.
    """
    noisy, sigma = tasks.channels_last(x_hat), degradation.sigma
    low, high = 0.0, 20 * sigma  # more takes away what is more than noise, too
    for _ in range(10):
        weight = (low + high) / 2
        drawn = denoise_tv_chambolle(
            noisy, weight=weight, channel_axis=-1 if noisy.ndim == 3 else None
        )
        low, high = (weight, high) if np.mean((drawn - noisy) ** 2) < sigma**2 else (low, weight)
    return np.clip(drawn, 0, 1).astype(np.float32)


def wavelet(x_hat: torch.Tensor, degradation: Degradation) -> np.ndarray:
    """Wavelet coefficients shrunk by BayesShrink (Chang et al. 2000), by scikit-image.

    Soft thresholds; in colour, in YCbCr: as its documentation advises.
    """
    noisy = tasks.channels_last(x_hat)
    colour = noisy.ndim == 3
    drawn = denoise_wavelet(
        noisy, sigma=degradation.sigma, method="BayesShrink", mode="soft", rescale_sigma=True,
        convert2ycbcr=colour, channel_axis=-1 if colour else None,
    )  # fmt: skip
    return np.clip(drawn, 0, 1).astype(np.float32)
