"""One way to draw a case: attacks draw many, and hypothesis makes one that fails smaller."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st


class Drawn:
    """Choices made by a generator of random numbers, or by hypothesis (its ``data``)."""

    def __init__(self, rng: np.random.Generator | None = None, data=None):
        self._rng, self._data = rng, data

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        if self._data is not None:
            return self._data.draw(st.integers(low, high))
        return int(self._rng.integers(low, high, endpoint=True))

    def number(self, low: float, high: float) -> float:
        if self._data is not None:
            return self._data.draw(st.floats(low, high))
        return float(self._rng.uniform(low, high))

    def magnitude(self, low: float, high: float) -> float:
        """A number above 0, every power of ten as likely as another."""
        return min(max(math.exp(self.number(math.log(low), math.log(high))), low), high)

    def one_of(self, *options):
        return options[self.whole(0, len(options) - 1)]

    def rarely(self, one_in: int = 4) -> bool:
        return self.whole(1, one_in) == one_in

    def rng(self) -> np.random.Generator:
        """For an array: nobody makes that one smaller pixel by pixel."""
        return np.random.default_rng(self.whole(0, 2**32))


def attack(check):
    """An attempt that draws what it needs, and no files."""
    return lambda rng, folder: check(Drawn(rng))
