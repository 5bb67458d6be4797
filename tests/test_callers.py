"""What a notebook's earlier cells have done to a fit's surroundings and data: an example each.

The attacks of `attacks.callers` draw many.
"""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from attacks.callers import SWITCHES, fitted

import dip_blocks
from dip_parts.devices import numerics


@pytest.fixture
def data(picture):
    return dip_blocks.degrade(picture[:16, :16])


@pytest.fixture
def small(recipe):
    return dip_blocks.but(recipe, iterations=3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_inside_anothers_autocast_a_fit_still_learns(data, small, precision):
    """Casts of weights would be kept while the weights change."""
    expected = fitted(*data, small, precision=precision)
    with SWITCHES["autocast bf16"]():
        found = fitted(*data, small, precision=precision)
    assert found[2:] == expected[2:] and torch.equal(found[0], expected[0])


@pytest.mark.parametrize("name", ["no_grad", "inference_mode", "default device"])
def test_what_is_switched_for_this_thread_is_switched_back(data, small, name):
    expected = fitted(*data, small)
    with SWITCHES[name]():
        fit = dip_blocks.Fit(*data, small, device="cpu")
        fit.run(3)
        found = fitted(*data, small)
    assert torch.equal(found[0], expected[0]) and torch.equal(fit.image(), expected[0])


def test_another_default_dtype_is_refused(data, small):
    with SWITCHES["float64"](), pytest.raises(ValueError, match="set_default_dtype"):
        fitted(*data, small)


def test_a_recipe_has_its_config_to_itself(small):
    """Somebody changes a list: the recipes made from it, and those it was made from, stay."""
    config = copy.deepcopy(small.config)
    one = dip_blocks.but(small, config)
    config["channels_down"][0] = 99
    other = dip_blocks.but(one, lr=0.1)
    other.config["channels_down"][0] = 98
    assert one.config == small.config
    assert dip_blocks.BLOG.config["channels_up"] is not dip_blocks.BLOG_LOW_LR.config["channels_up"]


def test_arrays_are_copied(data, small):
    x_hat, mask = (tensor.numpy().copy() for tensor in data)
    fit = dip_blocks.Fit(torch.from_numpy(x_hat), mask, small, device="cpu")
    x_hat[:], mask[:] = 0, 1
    fit.run(3)
    assert torch.equal(fit.image(), fitted(*data, small)[0])
    noisy = dip_blocks.Noisy(0.1)
    x_hat = noisy.degrade(data[0])
    fit = dip_blocks.Fit(x_hat, noisy, small, device="cpu")
    x_hat.zero_()
    assert fit.x_hat.any()


def test_a_masked_array_is_refused(data, small):
    hidden = np.ma.MaskedArray(data[1][0].numpy(), mask=data[1][0].numpy() == 0)
    for given in ((hidden, data[1]), (data[0], hidden)):
        with pytest.raises(TypeError, match="hides pixels"):
            fitted(*given, small)


def test_a_mask_in_any_order_and_only_of_numbers(data, small):
    flipped = np.ascontiguousarray(data[1][0].numpy()[::-1])[::-1]
    assert torch.equal(dip_blocks.as_mask(flipped, 16, 16), data[1])
    assert torch.equal(dip_blocks.as_mask(flipped.astype(">f8"), 16, 16), data[1])
    assert torch.equal(dip_blocks.as_mask(data[1].bfloat16(), 16, 16), data[1])
    for strange in (None, "mask.png", flipped.astype(object), flipped + 1j):
        with pytest.raises(TypeError, match="ones and zeros"):
            dip_blocks.as_mask(strange, 16, 16)


def test_a_fit_is_neither_copied_nor_pickled(data, small):
    fit = dip_blocks.Fit(*data, small, device="cpu")
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"Load its state\(\) into another Fit"):
            copied(fit)


@pytest.mark.parametrize("other", ["picture", "mask", "seed"])
def test_a_state_of_another_problem_is_refused(data, small, other):
    x_hat, mask = data[0].clone(), data[1].clone()
    where = tuple(torch.nonzero(mask[0])[3])
    if other == "picture":
        x_hat[(0, *where)] = 0.123
    if other == "mask":
        mask[(0, *where)] = 0
    fit = dip_blocks.Fit(x_hat, mask, small, seed=int(other == "seed"), device="cpu")
    with pytest.raises(ValueError, match=rf"nothing was loaded: .*{other} is"):
        dip_blocks.Fit(*data, small, device="cpu").load(fit.state())
    missing = data[0] + (1 - data[1]) * 0.5  # what stands there is not used
    fit = dip_blocks.Fit(missing, data[1], small, device="cpu")
    dip_blocks.Fit(*data, small, device="cpu").load(fit.state())


def test_frames_are_whole_numbers_before_anything_is_computed(data, small):
    """Not after the iterations that lead to the first of them."""
    with pytest.raises(ValueError, match="frames are the numbers of iterations"):
        fitted(*data, small, frames=np.linspace(1, 3, 3))
    how = {"device": "cpu", "progress": False}
    for frames in (np.arange(1, 3), torch.tensor([1, 2])):
        assert [*dip_blocks.restore(*data, small, frames=frames, **how).frames] == [1, 2]


def test_numbers_of_numpy(data, small):
    """As a seed they are taken; what JSON does not hold is no value of a config."""
    same = fitted(*data, small, seed=np.int64(3)), fitted(*data, small, seed=3)
    assert torch.equal(same[0][0], same[1][0])
    for changed in ({"connect": np.True_}, {"connect": 1}, {"dropout": np.float32(0.1)}):
        with pytest.raises(ValueError, match=f"{[*changed][0]} must be"):
            dip_blocks.but(small, changed)
    with pytest.raises(ValueError, match="entries have names"):
        dip_blocks.but(small, {3: 1})


def test_known_pixels_of_another_size_are_not_put_back(data):
    image = torch.zeros(3, 16, 16)
    for put in (dip_blocks.paste, dip_blocks.blend):
        for x_hat in (data[0], data[0][:, :1].expand(3, 1, 16)):
            with pytest.raises(ValueError, match="known pixels' shape is"):
                put(image, x_hat, data[1])


@pytest.mark.parametrize(
    "mask",
    [None, "mask.png", [object()], np.ones((16, 16), complex)],
    ids=["none", "path", "objects", "complex"],
)
def test_a_mask_is_an_array_of_numbers(data, small, mask):
    with pytest.raises(TypeError, match="A mask is an array or a tensor of ones and zeros, not"):
        dip_blocks.Fit(data[0], mask, small, device="cpu")


def test_a_config_has_names():
    config = dip_blocks.BLOG.config | {3: 1, 4: 2}
    with pytest.raises(ValueError, match="entries have names; 3 is none"):
        dip_blocks.Recipe(config=config)


def test_a_fit_whose_network_was_taken_from_it_says_so(data, small):
    """Its own vector would be stepped, and the network would learn nothing."""
    expected = fitted(*data, small)
    for taken in (
        lambda net: net.to(torch.float64),
        lambda net: net.to(torch.float64).to(torch.float32),
        lambda net: net.zero_grad(),
    ):
        fit = dip_blocks.Fit(*data, small, device="cpu")
        fit.run(1)
        state = fit.state()
        taken(fit.net)
        with pytest.raises(RuntimeError, match="no longer those that this fit steps.*another Fit"):
            fit.run(1)
        another = dip_blocks.Fit(*data, small, device="cpu")
        another.load(state)
        another.run(2)
        assert torch.equal(another.image(), expected[0])


def test_a_fit_is_run_by_one_thread_at_a_time(data, small, monkeypatch):
    expected = fitted(*data, small)
    fit = dip_blocks.Fit(*data, small, device="cpu")
    inside, done, run_step = threading.Event(), threading.Event(), fit.step

    def step():
        inside.set()
        done.wait(20)
        run_step()

    monkeypatch.setattr(fit, "step", step)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fit.run, 3)
        assert inside.wait(20)
        with pytest.raises(RuntimeError, match="is running already.*begin another"):
            fit.run(1)
        done.set()
        first.result()
    assert torch.equal(fit.image(), expected[0])


def test_a_run_that_ended_in_an_error_can_be_run_again(data, small, monkeypatch):
    fit = dip_blocks.Fit(*data, small, device="cpu")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fit, "step", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        fit.run(3)
    fit.run(3)
    assert torch.equal(fit.image(), fitted(*data, small)[0])


def test_a_bar_needs_somewhere_to_be_shown(data, small, monkeypatch):
    """Without a console, as under pythonw, there is no sys.stderr."""
    monkeypatch.setattr(sys, "stderr", None)
    found = dip_blocks.restore(*data, small, device="cpu", progress=True)
    assert torch.equal(found.image, fitted(*data, small)[0])


def test_what_is_switched_on_a_gpu_is_switched_back_after_the_last_fit():
    """Two threads may fit at once, and end in any order."""
    device = torch.device("cuda")

    def state():
        return torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic

    before = state()
    one, two = numerics(device, "tf32"), numerics(device, "bf16")
    one.__enter__(), two.__enter__()
    with pytest.raises(RuntimeError, match="without TF32|with TF32"), numerics(device, "fp32"):
        pass
    one.__exit__(None, None, None)
    assert state() == (True, True)
    two.__exit__(None, None, None)
    assert state() == before
    with numerics(device, "fp32"):
        assert state() == (True, True) and not torch.backends.cudnn.allow_tf32
    assert state() == before
