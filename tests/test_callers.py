"""What a notebook's earlier cells have done to a fit's surroundings and data: an example each.

The attacks of `attacks.callers` draw many.
"""

import copy
import functools
import itertools
import math
import pickle
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from attacks.callers import SWITCHES, fitted
from PIL import Image
from torch import nn

import dip_blocks
from dip_parts import checks
from dip_parts.degradations import lanczos
from dip_parts.devices import numerics
from dip_parts.layers import at_corners


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


# One thing taken for another -------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("a path", "dictionary of tensors, not a str. One in a file is torch.load"),
        ("a fit", "dictionary of tensors, not a Fit"),
        ("a restoration", "dictionary of tensors, not a Restoration"),
        ("arrays", "holds tensors alone; 'live.0' is none"),
        ("half", r"live.0 is torch.float16, \(\d+,\), and this fit's torch.float32"),
        ("a cut history", r"history is torch.float64, \(2, 3\), and this fit's torch.float64"),
        ("longer weights", r"good.0 is torch.float32, \(\d+,\)"),
        ("a frame of another size", r"frame.1 is torch.float32, \(1, 8, 8\), .*\(1, 16, 16\)"),
        ("no recipe", "does not say which fit it is of"),
        ("a recipe of numbers", "does not say which fit it is of"),
        ("a recipe that is a list", "does not say which fit it is of"),
        ("a recipe of another type", "recipe is torch.int64"),
    ],
)
def test_only_a_state_is_gone_on_from(data, small, what, words):
    """And whatever is refused, the fit is as it was."""
    fit = dip_blocks.Fit(*data, small, device="cpu")
    fit.run(2)
    state = fit.state()

    def recipe(text):
        return state | {"recipe": torch.tensor(list(text.encode()), dtype=torch.uint8)}

    given = {
        "a path": "state.pt",
        "a fit": fit,
        "a restoration": dip_blocks.Restoration(fit.image(), fit.averaged_image()),
        "arrays": {name: tensor.numpy() for name, tensor in state.items()},
        "half": {k: t.half() if t.is_floating_point() else t for k, t in state.items()},
        "a cut history": state | {"history": state["history"][:, :3]},
        "longer weights": state | {"good.0": torch.cat([state["good.0"], torch.ones(1)])},
        "a frame of another size": state | {"frame.1": torch.zeros(1, 8, 8)},
        "no recipe": {k: t for k, t in state.items() if k != "recipe"},
        "a recipe of numbers": state | {"recipe": state["recipe"].double()},
        "a recipe that is a list": recipe("[1, 2]"),
        "a recipe of another type": state | {"recipe": state["recipe"].long()},
    }[what]
    with pytest.raises((TypeError, ValueError), match=words):
        dip_blocks.restore(*data, small, device="cpu", progress=False, resume=given)
    other = dip_blocks.Fit(*data, small, device="cpu")
    before = other.state()
    with pytest.raises((TypeError, ValueError), match=words):
        other.load(given)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state().items())


def test_a_state_of_another_length_goes_on(data, small):
    """The history is as long as it is; frames come and go."""
    fit = dip_blocks.Fit(*data, small, device="cpu")
    fit.run(2)
    state = fit.state() | {"frame.1": torch.zeros(1, 16, 16)}
    other = dip_blocks.Fit(*data, small, device="cpu")
    other.load(state)
    assert other.iteration == 2 and [*other.frames] == [1]


def test_a_state_of_another_precision_is_refused(data, small):
    state = dip_blocks.Fit(*data, small, device="cpu", precision="fp32").state()
    other = dip_blocks.Fit(*data, small, device="cpu", precision="bf16")
    with pytest.raises(ValueError, match="precision is 'bf16' here, 'fp32' there"):
        other.load(state)


class Own(dip_blocks.Degradation):
    def __init__(self, value, applied=None):
        self.value = value
        self._applied = applied

    def apply(self, image):
        return self._applied(image) if self._applied else image


@pytest.mark.parametrize(
    ("applied", "words"),
    [
        (lambda image: None, r"Own.apply has to make x̂, \(3, 16, 16\), .*; it made NoneType"),
        (lambda image: image[:1], r"it made \(1, 16, 16\)"),
        (lambda image: image[..., ::2], r"picture \(3, 16, 16\); it made \(3, 16, 8\)"),
        (lambda image: image.detach(), "can differentiate"),
    ],
    ids=["nothing", "a channel", "half", "detached"],
)
def test_an_apply_that_makes_other_data_is_refused_before_anything_is_computed(
    small, applied, words
):
    with pytest.raises(ValueError, match=words):
        dip_blocks.Fit(torch.rand(3, 16, 16), Own(None, applied), small, device="cpu")


def test_a_degradation_is_known_by_its_values():
    """In every process, so without addresses; and two that differ anywhere are two."""

    def blur(size):
        layer = torch.nn.Conv2d(1, 1, size, bias=False)
        torch.nn.init.constant_(layer.weight, 1 / size**2)
        return layer

    long = np.arange(5000.0)
    pairs = [
        (long, long + np.eye(1, 5000, 2500)[0]),
        (torch.from_numpy(long), torch.from_numpy(long[::-1].copy())),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
        (torch.tensor(1.0), torch.tensor(2.0)),
        (torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)),
        ([long, 1], [long, 2]),
        ((long,), (-long,)),
        ({"psf": long}, {"psf": -long}),
        ({"psf": 1}, {"other": 1}),
        (blur(3), blur(5)),
        (3, "3"),
    ]
    for one, other in pairs:
        assert repr(Own(one)) == repr(Own(copy.deepcopy(one))) != repr(Own(other))
    layer = blur(3)
    before = repr(Own(layer))
    torch.nn.init.zeros_(layer.weight)
    assert repr(Own(layer)) != before
    assert " at 0x" not in repr(Own(lambda image: image)) + repr(Own([object()]))
    assert repr(Own(torch.tensor)) == repr(Own(torch.tensor)) != repr(Own(torch.zeros))
    assert repr(Own(np.array([None, "a"]))) == repr(Own(np.array([None, "a"])))
    assert repr(Own(0.5)) == "Own(value=0.5, _applied=None)"


def test_a_degradation_is_known_by_what_its_functions_took_along():
    """By a dataclass's fields, by a class's values, and by objects that hold others."""

    @dataclass
    class Weighted(dip_blocks.Degradation):
        weights: torch.Tensor
        apply = Own.apply

    class Kernel(dip_blocks.Degradation):
        size_of_it = 3

        @property
        def asked(self):
            return 1

    class Holding:
        def __init__(self, value):
            self.value = value

        def times(self, image):
            return image * self.value

    def times(value):
        return lambda image: image * value

    def given(image, by=2, *, more=3):
        return image * by * more

    def another(image, by=3, *, more=3):
        return image * by * more

    def keyword(image, by=2, *, more=4):
        return image * by * more

    another.__qualname__ = keyword.__qualname__ = given.__qualname__
    ones = torch.ones(2000)
    pairs = [
        (times(2), times(3)),
        (times(ones), times(ones.index_fill(0, torch.tensor(999), 2.0))),
        (given, another),
        (given, keyword),
        (functools.partial(given, by=4), functools.partial(given, by=5)),
        (functools.partial(given, 4), functools.partial(given, 5)),
        (functools.partial(given, 4), functools.partial(another, 4)),
        (Holding(2), Holding(3)),
        (Holding(2).times, Holding(3).times),
        (Holding(2).times, Holding(2).__init__),
        ([Holding(ones)], [Holding(-ones)]),
    ]
    for one, other in pairs:
        assert repr(Own(one)) == repr(Own(one)) != repr(Own(other))
    assert repr(Own(times(2))) == repr(Own(times(2)))
    other = ones.index_fill(0, torch.tensor(999), 2.0)
    assert repr(Weighted(ones)) == repr(Weighted(ones + 0)) != repr(Weighted(other))
    assert repr(Kernel()) == "Kernel(size_of_it=3)"
    circle = []
    circle.append(circle)
    assert "list" in repr(Own(circle))  # and no recursion without end
    assert "value=(((((1))))), " in repr(Own([[[[[1]]]]])) and "int" in repr(Own([[[[[[1]]]]]]))


def test_a_mean_is_of_restorations_of_one_picture(data, small):
    one = fitted(*data, small)
    one = dip_blocks.Restoration(*one[:2])
    assert torch.equal(dip_blocks.mean_of(one).image, one.image)
    for wrong, kind in (([one, one.image], "Tensor"), ({"a": one}, "str"), (None, "NoneType")):
        with pytest.raises(TypeError, match=f"among these is a {kind}"):
            dip_blocks.mean_of(wrong)
    smaller = dip_blocks.Restoration(one.image[:, :8], one.averaged[:, :8])
    with pytest.raises(ValueError, match=r"\[\(1, 8, 16\), \(1, 16, 16\)\]"):
        dip_blocks.mean_of([one, smaller])


@pytest.mark.parametrize("put", [dip_blocks.paste, dip_blocks.blend])
def test_known_pixels_are_put_into_a_tensor(data, put):
    image = dip_blocks.Restoration(data[0], data[0])
    for wrong in (image, data[0].numpy(), None):
        with pytest.raises(TypeError, match=f"this is a {type(wrong).__name__}"):
            put(wrong, *data)


def test_what_degrade_returns_is_two_things(picture, small):
    x_hat, mask = dip_blocks.degrade(picture)
    for pair in ((x_hat, mask), [x_hat, mask], (x_hat, mask.numpy())):
        with pytest.raises(TypeError, match=r"restore\(\*degrade\(image\)\)"):
            dip_blocks.restore(pair, small)


@pytest.mark.parametrize("wrong", ["photo.png", None, object()])
def test_an_image_is_no_path(data, small, wrong):
    words = f"opened picture of Pillow's, not a {type(wrong).__name__}"
    for take in (dip_blocks.degrade, lambda image: dip_blocks.psnr(data[0], image)):
        with pytest.raises(TypeError, match=words):
            take(wrong)
    with pytest.raises(TypeError, match=r"object has no known range"):
        dip_blocks.degrade(np.array([[None]]))


@pytest.mark.parametrize("p", ["0.5", None, True, float("nan"), -0.1, 1.1])
def test_a_probability_is_a_number(picture, p):
    with pytest.raises(ValueError, match=f"between 0 and 1; got {p!r}"):
        dip_blocks.degrade(picture, p=p)
    for fine in (0, 1, np.float32(0.5)):
        dip_blocks.degrade(picture, p=fine)


@pytest.mark.parametrize("wrong", ["quick", {}, None])
def test_a_recipe_is_no_name(data, wrong):
    for take in (dip_blocks.but, lambda recipe: dip_blocks.restore(*data, recipe)):
        with pytest.raises(TypeError, match=r"must be a Recipe, such as RECIPES\['quick'\]"):
            take(wrong)


@pytest.mark.parametrize("wrong", [dip_blocks.QUICK, {}, {"channels_down": 5}, None])
def test_a_depth_is_of_a_config(wrong):
    with pytest.raises(ValueError, match=r"such as QUICK.config, has the lists channels_down, "):
        dip_blocks.at_depth(wrong, 2)
    tuples = dip_blocks.QUICK.config | {"kernels_skip": (1,) * 5}
    with pytest.raises(ValueError, match="has the lists"):
        dip_blocks.at_depth(tuples, 2)


def test_a_mask_of_its_own_size():
    assert dip_blocks.Masked([[1, 0, 1]]).mask.shape == (1, 1, 3)
    for wrong in (1, [1, 0], np.ones((0, 3)), np.ones((2, 3, 3))):
        with pytest.raises(ValueError, match="mask's shape is"):
            dip_blocks.Masked(wrong)
    with pytest.raises(TypeError, match="array or a tensor"):
        dip_blocks.Masked("mask.png")


def test_no_device_is_called_by_a_number(data, small):
    with pytest.raises(ValueError, match="There is no device '3.5'"):
        dip_blocks.Fit(*data, small, device=3.5)


class Odd(dip_blocks.Degradation):
    """One that says strange things of its data."""

    def __init__(self, compared, size=(16, 16)):
        self._compared, self._size = compared, size

    def apply(self, image):
        return image

    def size(self, x_hat):
        return self._size

    def compared(self, x_hat):
        return self._compared


@pytest.mark.parametrize(
    ("compared", "words"),
    [
        (torch.zeros(1, 16, 16), "Odd.compared marks none of the data"),
        (torch.ones(1, 8, 16), "mask's shape is"),
        (torch.ones(3, 16, 16), "mask's shape is"),
        (torch.full((1, 16, 16), 0.5), "A mask holds 1"),
    ],
)
def test_what_of_the_data_is_compared_is_a_mask(small, compared, words):
    with pytest.raises(ValueError, match=words):
        dip_blocks.Fit(torch.rand(3, 16, 16), Odd(compared), small, device="cpu")


@pytest.mark.parametrize(
    "size", [(1, 16, 16), 16, None, "16", (16.5, 16), (0, 16), (16, float("inf")), ("16", "16")]
)
def test_a_size_is_height_and_width(small, size):
    with pytest.raises(ValueError, match=r"Odd.size has to give .* two whole numbers"):
        dip_blocks.Fit(torch.rand(3, 16, 16), Odd(torch.ones(16, 16), size), small, device="cpu")


@pytest.mark.parametrize("count", ["10", 10.5, 2.0, None, -1, True])
def test_iterations_are_counted(data, small, count):
    fit = dip_blocks.Fit(*data, small, device="cpu")
    with pytest.raises(ValueError, match="Iterations are counted in whole numbers"):
        fit.run(count)
    fit.run(np.int64(2))
    assert fit.iteration == 2


def test_who_steps_by_hand_is_told_of_run(data, small):
    fit = dip_blocks.Fit(*data, small, device="cpu")
    fit.step()
    with pytest.raises(RuntimeError, match="call run"):
        fit.step()


#: Tensors that have no bytes to look at as they are.
LAYOUTS = {
    "COO": lambda: torch.eye(16).to_sparse(),
    "CSR": lambda: torch.eye(16).to_sparse_csr(),
    "CSC": lambda: torch.eye(16).to_sparse_csc(),
    "BSR": lambda: torch.eye(16).to_sparse_bsr((2, 2)),
    "conjugate": lambda: torch.fft.fft(torch.arange(9.0)).conj(),
    "negative": lambda: torch.fft.fft(torch.arange(9.0)).conj().imag,
    "expanded": lambda: torch.zeros(1).expand(9),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_degradation_may_hold_any_tensor(small, name):
    """A checkpoint knows it by its values, however they lie in memory."""
    own = Odd(torch.ones(1, 16, 16))
    own.matrix = LAYOUTS[name]()
    fit = dip_blocks.Fit(torch.rand(3, 16, 16), own, small, device="cpu")
    fit.run(1)
    fit.load(fit.state())
    before = repr(own)
    own.matrix = LAYOUTS[name]()
    assert repr(own) == before
    own.matrix = own.matrix + own.matrix if name != "expanded" else torch.ones(1).expand(9)
    assert repr(own) != before


@dataclass(frozen=True)
class Frozen(dip_blocks.Degradation):
    """As somebody writes it who wants nothing to change."""

    kernel: torch.Tensor

    def apply(self, image):
        return image * self.kernel


def test_a_degradation_may_be_a_frozen_dataclass(small):
    own = Frozen(torch.full((1, 16, 16), 0.5))
    fit = dip_blocks.Fit(torch.rand(3, 16, 16), own, small, device="cpu")
    fit.run(1)
    assert fit.degradation.kernel is not None and own.kernel.shape == (1, 16, 16)


@pytest.mark.parametrize("kind", [np.array, torch.tensor], ids=["array", "tensor"])
def test_a_mask_of_another_kind_is_compared_all_the_same(small, kind):
    x_hat, where = torch.rand(3, 16, 16), np.eye(16, dtype=bool)
    fit = dip_blocks.Fit(x_hat, Odd(kind(where), (16.0, 16.0)), small, device="cpu")
    assert fit.mask.shape == (1, 16, 16) and fit.mask.sum() == 16 and fit.shape == (3, 16, 16)


def test_an_apply_leaves_the_picture_and_computes_in_real_numbers(small):
    def painted(image):
        image[:, :4] = 0
        return image

    for applied, words in (
        (painted, "changes the picture that it is given"),
        (lambda image: image.to(torch.complex64), "of real tensors"),
    ):
        with pytest.raises(ValueError, match=words):
            dip_blocks.Fit(torch.rand(3, 16, 16), Own(None, applied), small, device="cpu")


def test_frames_without_end_are_refused(data, small):
    with pytest.raises(ValueError, match="at most 3 iterations"), pytest.MonkeyPatch.context() as m:
        m.setattr("dip_parts.checks.MAX_FRAMES", 3)
        fitted(*data, small, frames=itertools.count(1))
    assert checks.as_iterations(range(100_000)) == {*range(100_000)}
    with pytest.raises(ValueError, match="at most 100,000 iterations"):
        checks.as_iterations(range(100_001))
    endless = itertools.count(1)
    with pytest.raises(ValueError, match="at most"):
        checks.as_iterations(endless)
    assert next(endless) == 100_002  # no more than it takes to know


def test_a_fits_frames_are_not_those_of_the_state_it_went_on_from(data, small):
    fit = dip_blocks.Fit(*data, small, device="cpu")
    state = fit.state() | {"frame.1": torch.ones(1, 16, 16)}
    fit.load(state)
    fit.frames[1].zero_()
    assert state["frame.1"].all()


def test_the_kinds_of_pillows_numbers():
    """16 bits in any order; what has no known range says what to do that does not cut values."""
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    swapped = Image.frombytes("I;16B", (16, 16), deep.astype(">u2").tobytes())
    assert torch.equal(checks.as_image(swapped), checks.as_image(deep))
    for mode in ("I", "F"):
        with pytest.raises(ValueError, match=f"mode {mode} has numbers of no known range"):
            checks.as_image(Image.new(mode, (4, 4)))


def test_a_closed_picture_says_so(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    for take in (checks.as_image, lambda mask: checks.as_mask(mask, 4, 4)):
        with Image.open(tmp_path / "one.png") as closed:
            pass
        with pytest.raises(ValueError, match="is closed, or its file is: open it anew"):
            take(closed)
    with Image.open(tmp_path / "one.png") as opened:
        assert checks.as_image(opened).shape == (1, 4, 4)
        assert checks.as_mask(opened, 4, 4).sum() == 0


def test_tensors_that_few_operations_know(data):
    x, mask = torch.eye(8)[None], torch.eye(8)
    for kind in (torch.float16, torch.bfloat16, torch.float8_e4m3fn):
        assert torch.equal(checks.as_image(x.to(kind)), x)
        assert checks.as_image(x.to(kind)).dtype == torch.float32
    assert torch.equal(checks.as_image(x.to_sparse()), x)
    assert torch.equal(checks.as_mask(mask.to_sparse_csr(), 8, 8), x)
    assert dip_blocks.psnr(x.to_sparse(), x.half()) == math.inf


@pytest.mark.parametrize(
    "wrong",
    [np.where(np.eye(4), np.nan, 0.5), np.where(np.eye(4), np.inf, 0.5), np.ones((0, 4))],
    ids=["nan", "inf", "empty"],
)
def test_psnr_is_of_numbers(wrong):
    for pair in ((wrong, np.ones((4, 4))), (np.ones((4, 4)), wrong)):
        with pytest.raises(ValueError, match="empty, or has NaN"):
            dip_blocks.psnr(*pair)


@pytest.mark.parametrize("size", [(8.0, 8), (8, "8"), (0, 8), (8, -1), (True, 8)])
def test_a_masks_size_is_whole_numbers(size):
    with pytest.raises(ValueError, match="whole number of pixels a side, 1 or more, not"):
        dip_blocks.bernoulli_mask(*size)
    assert dip_blocks.bernoulli_mask(np.int64(1), 1).shape == (1, 1, 1)


@pytest.mark.parametrize("damping", ["1", None, torch.ones(1), float("nan"), -0.1])
def test_a_damping_is_a_number(data, damping):
    with pytest.raises(ValueError, match="damping must be 0 or above"):
        dip_blocks.blend(data[0], *data, damping)


def test_a_restoration_is_shown_without_its_history(data, small):
    one = dip_blocks.restore(*data, small, frames=[1], device="cpu", progress=False)
    assert one.history and one.frames
    assert "Step(" not in repr(one) and "frames" not in repr(one)


def test_a_bar_is_not_shown_where_stderr_is_closed(data, small, monkeypatch, tmp_path):
    stream = (tmp_path / "log").open("w")
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(dip_blocks.restore(*data, small, device="cpu").history) == 3


def test_a_fit_interrupted_after_its_note_runs_on(data, small):
    """The note of the step that was cut in two is not another row's."""
    fit = dip_blocks.Fit(*data, small, device="cpu")
    fit.run(1)
    note = fit.note

    def cut(*arguments):
        note(*arguments)
        raise KeyboardInterrupt

    fit.note = cut
    with pytest.raises(KeyboardInterrupt):
        fit.run(1)
    fit.note = note
    fit.run(2)
    assert [step.iteration for step in fit.history] == [1, 2, 3] and int(fit.done) == 3


def test_a_fit_begins_with_nothing_behind_it(data, small):
    fit = dip_blocks.Fit(*data, small, device="cpu")
    behind = {name: float(getattr(fit, name)) for name in ("recoveries", "jumped", "done", "row")}
    assert behind == dict.fromkeys(behind, 0.0)


# What is kept, and what goes elsewhere ----------------------------------------------------

HOW = {"progress": False, "device": "cpu"}


def test_what_was_made_in_inference_mode_is_restored_from(picture, small):
    lanczos.cache_clear()
    x_hat, mask = dip_blocks.degrade(picture)
    with torch.inference_mode():
        masked, shrunk = dip_blocks.Masked(mask), dip_blocks.Shrunk(2).degrade(picture)
    dip_blocks.restore(x_hat, masked, small, **HOW)
    dip_blocks.restore(shrunk, dip_blocks.Shrunk(2), small, **HOW)


def test_what_a_network_keeps_was_not_made_in_inference_mode():
    at_corners.cache_clear()
    with torch.inference_mode():
        assert not at_corners(3, torch.device("cpu")).is_inference()


def test_weights_are_drawn_of_convolutions_without_a_bias():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    drawn = dip_blocks.draw_weights(net, torch.Generator().manual_seed(0))[0].weight
    torch.manual_seed(0)
    assert torch.equal(drawn, nn.Conv2d(3, 4, 3, bias=False).weight)


def test_one_restoration_is_taken_out_of_a_list(data, small):
    all_of_them = [dip_blocks.restore(*data, small, seed=seed, **HOW) for seed in (0, 1)]
    second = all_of_them[1]
    all_of_them.remove(second)
    assert second not in all_of_them and len(all_of_them) == 1 and len({second}) == 1


def test_a_restoration_goes_between_processes_without_open_files(data, small):
    one = dip_blocks.restore(*data, small, frames=[1, 2], **HOW)
    assert b"rebuild_storage" not in bytes(ForkingPickler.dumps(one))
    back = pickle.loads(pickle.dumps(one))
    assert torch.equal(back.image, one.image) and torch.equal(back.frames[2], one.frames[2])
    assert torch.equal(back.averaged, one.averaged) and back.history == one.history


class Kept(dip_blocks.Degradation):
    def __init__(self):
        self.made = {}

    @cached_property
    def factor(self):
        return torch.tensor(0.5)

    def apply(self, image):
        self.made[image.shape] = 1.0
        return self.factor * image


def test_what_a_degradation_has_computed_and_keeps_makes_it_no_other(picture, small):
    used, states = Kept(), []
    x_hat = used.degrade(picture)
    dip_blocks.restore(x_hat, used, small, watch=lambda fit: states.append(fit.state()), **HOW)
    dip_blocks.restore(x_hat, Kept(), small, resume=states[0], **HOW)
    dip_blocks.restore(x_hat, used, small, resume=states[0], **HOW)


def test_a_degradations_state_is_not_a_masks_and_the_other_way_round(data, small):
    x_hat, mask = data
    fits = [dip_blocks.Fit(x_hat, of, small, device="cpu") for of in (mask, Kept())]
    for one, other in (fits, fits[::-1]):
        with pytest.raises(ValueError, match="This state is of another fit"):
            one.load(other.state())


class Halved(dip_blocks.Masked):
    def __init__(self, mask, share):
        super().__init__(mask)
        self.share = share

    def apply(self, image):
        return self.share * super().apply(image)


def test_another_kind_of_mask_is_known_by_its_values(data, small):
    fit = dip_blocks.Fit(data[0], Halved(data[1], 0.5), small, device="cpu")
    with pytest.raises(ValueError, match="degradation"):
        dip_blocks.Fit(data[0], Halved(data[1], 0.9), small, device="cpu").load(fit.state())


def test_a_config_may_be_built_level_by_level(recipe):
    config = defaultdict(list, recipe.config)
    assert dip_blocks.Recipe(config).config == recipe.config
