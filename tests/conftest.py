"""What the tests share: a network small enough for a test, and a picture."""

import numpy as np
import pytest

import dip_blocks

#: Lines that tests want to be read: measurements, which nothing is asserted about but a wide bound.
REPORT = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[REPORT] = []


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[REPORT]:
        terminalreporter.section("the site, measured")
        for line in config.stash[REPORT]:
            terminalreporter.write_line(line)


def small_config(depth=2, channels=8, skip=4):
    """A config of the blog's form, narrow and shallow."""
    return {
        "channels_down": [channels] * depth,
        "channels_up": [channels] * depth,
        "channels_skip": [skip] * depth,
        "kernels_down": [3] * depth,
        "kernels_up": [3] * depth,
        "kernels_skip": [1] * depth,
        "upsampling_method": "bilinear",
    }


@pytest.fixture
def recipe():
    """A recipe that runs in a second."""
    return dip_blocks.Recipe(config=small_config(), z_channels=4, iterations=30, lr=0.003)


@pytest.fixture
def picture():
    """A smooth grey picture (32, 32) in [0, 1]."""
    y, x = np.mgrid[:32, :32] / 31
    return (0.5 + 0.4 * np.sin(5 * x) * np.cos(4 * y)).astype(np.float32)
