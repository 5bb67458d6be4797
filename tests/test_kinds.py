"""What stands where it does not belong is refused in a sentence: an example each.

The attacks of `attacks.kinds` exchange every argument for every value.
"""

from contextlib import chdir

import numpy as np
import pytest
import torch
from attacks import kinds
from attacks.callers import sentence
from dip_book import runs
from dip_book.runs import sweeps

import dip_blocks


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return kinds.Ground(tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="module")
def functions(ground):
    return ground.of_the_method() | ground.of_the_book()


@pytest.mark.parametrize(
    "name, argument, value, said",
    [
        ("Recipe", "lr", "numbers on the way", "lr must be a number"),
        ("but", "config", "recipe", "a dictionary, such as"),
        ("draw_z", "recipe", "text", "must be a Recipe"),
        ("draw_z", "shape", "3", r"shape is \(C, H, W\)"),
        ("draw_z", "generator", "3", "one of PyTorch's"),
        ("draw_weights", "net", "text", "net must be a network"),
        ("UNet", "channels", "text", "channels must be a whole number from 1"),
        ("UNet", "out_channels", "0", "out_channels must be a whole number from 1"),
        ("bernoulli_mask", "height", "10^30", "at most 1,000,000,000 pixels"),
        ("Masked.apply", "image", "a smaller one", r"The mask's shape is \(1, 16, 16\)"),
        ("Masked.degrade", "image", "a smaller one", r"The mask's shape is \(1, 16, 16\)"),
        ("Shrunk.apply", "image", "text", "image must be a tensor of floats"),
        ("as_image", "image", "of no values", "lies on the device 'meta'"),
        ("as_mask", "width", "None", "two whole numbers"),
        ("paste", "image", "a tensor", r"a tensor \(C, H, W\) on the CPU"),
        ("paste", "image", "of no values", "on the CPU"),
        ("blend", "damping", "10^30", "damping must be 0 or above"),
        ("masked_loss", "output", "text", r"output must be a tensor, \(…, C, H, W\)"),
        ("masked_loss", "mask", "a picture", "by a mask"),
        ("total_variation", "image", "ones", "image must be a tensor of floats"),
        ("total_variation", "image", "sparse", "not one of torch.sparse_coo"),
        ("decibel", "mse", "-1", "a number, 0 or above, not -1"),
        ("decibel", "mse", "text", "a number, 0 or above, not 'x'"),
        ("orthogonalised", "matrices", "a tensor", r"\(…, rows, columns\)"),
        ("for_muon", "net", "text", "net must be a network"),
        ("restore", "iterations", "numbers on the way", "iterations must be a number"),
        ("restore", "watch", "3", "watch is a function"),
        ("Fit", "recipe", "text", "must be a Recipe"),
        ("as_device", "device", "10^30", "no device"),
        ("best_precision", "device", "text", "knows no device 'x'"),
        ("numerics", "device", "None", "knows no device None"),
        ("numerics", "precision", "fp16", "precision must be one of"),
        ("check_recipe", "values", "recipe", "all of what its as_dict"),
        ("load", "name", "no text", "name is empty"),
        ("title", "name", "None", "by its name or path"),
        ("save_png", "image", "of no values", "'meta'"),
        ("fill", "progress", "3", "progress is a function"),
        ("fill", "stop", "true", "stop is a function"),
        ("files.read", "path", "None", "by its path"),
        ("read", "place", "None", "A stored run is named by its path"),
        ("stored", "store", "None", "A store is named by its path"),
        ("paths", "store", "0", "A store is named by its path"),
        ("find", "image", "3", "names of recipes and pictures"),
        ("find", "size", "text", "number of pixels a side"),
        ("pack", "target", "None", "An archive is named by its path"),
        ("pack", "limit_mb", "NaN", "a number above 0"),
        ("unpack", "archive", "None", "An archive is named by its path"),
        ("perform", "store", "None", "A store is named by its path"),
        ("sweep", "store", "None", "A store is named by its path"),
        ("made_again", "picture", "3", "The picture is named by its path"),
        ("hole", "side", "1.5", "whole number of pixels a side"),
        ("hole", "height", "None", "whole number of pixels a side"),
        ("text", "share", "None", "A share of missing pixels"),
        ("text", "seed", "-1", "A seed must be"),
        ("scratches", "width", "-1", "whole number of pixels a side"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_is_wrong(ground, functions, name, argument, value, said):
    function, arguments = functions[name]
    with pytest.raises((ValueError, TypeError, RuntimeError), match=said) as error:
        function(**{**arguments, argument: ground.values()[value]})
    sentence(error.value)


def test_a_z_of_known_pixels_needs_them(ground):
    hidden = dip_blocks.RECIPES["best-hidden"]
    with pytest.raises(TypeError, match="x_hat must be a tensor of floats, .* not None"):
        dip_blocks.draw_z(hidden, (3, 16, 16))
    z = dip_blocks.draw_z(hidden, (3, 16, 16), ground.x_hat, ground.mask)
    assert z.shape == (1, 4, 16, 16)


def test_a_network_without_a_last_layer_has_nothing_for_muon():
    with pytest.raises(TypeError, match="A Linear has no last layer"):
        dip_blocks.for_muon(torch.nn.Linear(2, 2))


def test_what_counts_as_a_number_still_does(ground):
    """NumPy's, a scalar tensor, a fraction, a device by its name: as before they were checked."""
    for mse in (0.1, np.float32(0.1), torch.tensor(0.1)):
        assert dip_blocks.decibel(mse) == pytest.approx(10, abs=1e-5)
    for device in ("cpu", torch.device("cpu"), "cuda"):
        assert dip_blocks.best_precision(device) in ("fp32", "tf32", "bf16")
    assert dip_blocks.UNet(np.int64(4), 3, ground.recipe.config).depth == 2
    batch = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)
    expected = (batch[0] - batch[1]).square().sum() / (64 * 3)
    assert float(dip_blocks.masked_loss(*batch)) == pytest.approx(float(expected))


def test_a_store_that_is_a_file_and_an_option_that_is_none(tmp_path):
    spec = runs.Spec("camera", 16, "quick", (("depth", 1), ("width", 4)), 1)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(runs.RunError, match="file' is no folder"):
        sweeps.perform(spec, tmp_path / "file", device="cpu", progress=False)
    with pytest.raises(runs.RunError, match="no option 'devce'"):
        next(sweeps.sweep([spec], tmp_path, devce="cpu"))
    assert (tmp_path / "file").read_text() == "mine"


def test_every_function_takes_what_the_attacks_exchange(ground, functions):
    """Or an exchanged argument would be refused for another's sake."""
    with chdir(ground.folder):
        for function, arguments in functions.values():
            function(**arguments)
