"""Masks: known pixels stay as they were."""

import numpy as np
import torch
from attacks import Attack

import dip_blocks


def degraded(rng, folder):
    """x̂ = m ⊙ x, of any size and share."""
    shape = tuple(int(side) for side in rng.integers(1, 60, 2))
    channels, p = int(rng.choice([1, 3])), float(rng.random())
    x = torch.from_numpy(rng.random((channels, *shape), dtype=np.float32))
    x_hat, mask = dip_blocks.degrade(x, p, int(rng.integers(99)))
    assert mask.shape == (1, *shape) and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(x_hat, x * mask)
    return "equal"


ATTACKS = [Attack("degradation", "A damaged picture is m ⊙ x to the last bit.", degraded, few=20)]
