"""What the tests share: a network small enough for a test, and a picture."""

import signal

import numpy as np
import pytest
from browser import browser, opened, server  # noqa: F401  (fixtures of two modules)
from dip_book import images, runs

import dip_blocks

#: Lines that tests want to be read: measurements, which nothing is asserted about but a wide bound.
REPORT = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[REPORT] = []
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as shells begin jobs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests interrupt what they began


def pytest_collection_modifyitems(config, items):
    """Chapters that `make book` has just executed are compared, in `test_notebooks`, not run."""
    if not any(type(item).__module__.startswith("nbval") for item in items):
        return
    from executed import chapter_of, executed  # needs what builds the book; the other tests do not

    again = {}
    for item in items:
        if type(item).__module__.startswith("nbval"):
            name = chapter_of(item.path)
            again.setdefault(bool(name and executed(name)), []).append(item)
    if done := again.get(True):
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item not in set(done)]


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


def store_run(folder, spec, psnr, pictures=None, history=(), **more):
    """A stored run with a given PSNR of all its pictures, never run: tables are about numbers."""
    known = spec.image not in images.STANDARD or images.available(spec.image)
    x = images.load(spec.image, size=spec.size) if known else np.zeros((8, 8), np.float32)
    recipes = [member.resolved().as_dict() for member in spec.members]
    facts = {
        "format": runs.FORMAT,
        "recipe": {
            "name": spec.recipe, "changes": dict(spec.changes),
            **(recipes[0] if len(recipes) == 1 else {"members": recipes}),
        },
        "image": {
            "name": spec.image_name, "size": spec.size, "shape": list(x.shape),
            "sha256": images.digest(x),
        },
        "p": spec.p, "seeds": spec.seeds, "iterations": spec.iterations_in_all,
        "recipe_iterations": sum(
            dip_blocks.RECIPES[member.recipe].iterations for member in spec.members
        ),
        "psnr_db": dict.fromkeys(runs.KINDS, psnr), "ssim": dict.fromkeys(runs.KINDS, 0.9),
        "backtracked": 3, "wall_time_s": 1.0, "device": "cpu",
        "precision": spec.precision or "fp32", "threads": 1,
    }  # fmt: skip
    for key, value in more.items():
        facts[key] = {**facts[key], **value} if isinstance(facts.get(key), dict) else value
    return runs.write(folder, spec.path, runs.Run(facts, list(history), pictures))
