"""Callers: what a notebook's earlier cells have switched, and in which forms data arrive."""

from __future__ import annotations

import copy
import pickle
import random
import sys
import traceback
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from attacks import Attack
from attacks._drawn import Drawn, attack
from attacks.divergence import a_problem, a_recipe
from dip_book import images, runs
from dip_book.restoring import core
from PIL import Image

import dip_blocks
import dip_parts

OURS = tuple(str(Path(path)) for path in (dip_blocks.__file__, *dip_parts.__path__))


@contextmanager
def switched(turn, back):
    turn()
    try:
        yield
    finally:
        back()


def _default_dtype(dtype):
    return lambda: switched(
        lambda: torch.set_default_dtype(dtype), lambda: torch.set_default_dtype(torch.float32)
    )


def _deterministic():
    return switched(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    )


@contextmanager
def _errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


#: What somebody may have switched before a fit: name → a context.
SWITCHES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast bf16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast fp16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "default device": lambda: torch.device("meta"),
    "deterministic": _deterministic,
    "errstate": lambda: np.errstate(all="raise"),
    "warnings": _errors,
    "small stack": lambda: switched(
        lambda: sys.setrecursionlimit(500), lambda: sys.setrecursionlimit(1000)
    ),
    "float64": _default_dtype(torch.float64),
    "bfloat16": _default_dtype(torch.bfloat16),
}
DTYPES = ("float64", "bfloat16")


def globals_now() -> tuple:
    """What a fit may not change for its caller."""
    generators = torch.get_rng_state().numpy().tobytes(), random.getstate(), np.random.get_state()
    return (
        *map(repr, generators), torch.get_default_dtype(), torch.get_default_device(),
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads(),
        torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(), torch.are_deterministic_algorithms_enabled(),
        torch.backends.mkldnn.enabled, np.geterr(),
    )  # fmt: skip


def fitted(x_hat, degradation, recipe, **how) -> list:
    how = {"device": "cpu", "progress": False} | how
    result = dip_blocks.restore(x_hat, degradation, recipe, **how)
    return [result.image, result.averaged, *(step.loss for step in result.history)]


def equal(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(one, other)
    )


def sentence(error: Exception) -> str:
    """What a refusal says; an AssertionError where a library said it, deep inside."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = frames[-1].filename.startswith((*OURS, str(Path(core.__file__).parents[1])))
    said = str(error)
    assert (
        ours and (said[:1].isalnum() or said[:1] == "'") and said.rstrip().endswith((".", ")"))
    ), f"{type(error).__name__}: {error}"
    return said


def surrounded(d: Drawn) -> str:
    """Whatever is switched: the same bits, or a sentence; and it stays switched as it was."""
    x_hat, degradation, _ = a_problem(d)
    recipe = a_recipe(d, d.whole(1, 4), wild=False)
    how = {"precision": d.one_of("fp32", "bf16"), "seed": d.whole(0, 99)}
    try:
        expected = fitted(x_hat, degradation, recipe, **how)
    except ValueError:
        return "refused anyway"
    names = sorted({d.one_of(*SWITCHES) for _ in range(d.whole(1, 3))})
    inside, wrong = ExitStack(), {*names} & {*DTYPES}
    with inside:
        for name in names:
            inside.enter_context(SWITCHES[name]())
        before = globals_now()
        try:
            found = fitted(x_hat, degradation, recipe, **how)
        except ValueError as error:
            assert wrong and "torch.set_default_dtype(torch.float32)" in sentence(error), error
        else:
            assert not wrong and equal(found, expected), names
            assert not any(t.requires_grad or t.is_inference() for t in found[:2])
        assert globals_now() == before, names
    assert equal(fitted(x_hat, degradation, recipe, **how), expected), f"other bits after {names}"
    return "refused in a sentence" if wrong else "the same bits"


class Subclass(np.ndarray):
    """As other libraries make them."""


#: Forms of one picture, float32 (H, W), that say the same.
FORMS = {
    "as it is": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "long double": lambda x: x.astype(np.longdouble),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "Fortran's order": np.asfortranarray,
    "negative strides": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "every second": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "a subclass": lambda x: x.view(Subclass),
    "list": lambda x: x.tolist(),
    "memoryview": memoryview,
    "(1, H, W) tensor": lambda x: torch.tensor(x)[None],
    "needs a gradient": lambda x: torch.tensor(x).float().requires_grad_(),
    "inference tensor": lambda x: _inferred(x),
    "parameter": lambda x: torch.nn.Parameter(torch.tensor(x).float()),
    "transposed twice": lambda x: torch.tensor(x).T.contiguous().T,
}
OF_MASKS = FORMS | {
    "bool": lambda m: m.astype(bool), "uint8": lambda m: m.astype(np.uint8),
    "int64": lambda m: m.astype(np.int64), "bfloat16": lambda m: torch.tensor(m).bfloat16(),
    "Pillow's": lambda m: Image.fromarray(m.astype(bool)),
}  # fmt: skip
#: Forms that say something else, or nothing.
STRANGE = {
    "masked array": lambda x: np.ma.MaskedArray(x, mask=x > 0.5),
    "objects": lambda x: x.astype(object), "text": lambda x: x.astype(str),
    "complex": lambda x: x + 1j, "records": lambda x: np.zeros(x.shape, [("a", "f4")]),
    "None": lambda x: None, "a path": lambda x: "photo.png", "bytes": lambda x: x.tobytes(),
    "five axes": lambda x: x[None, None, None], "a line": lambda x: x.ravel(),
    "nothing": lambda x: x[:0],
}  # fmt: skip


def _inferred(x: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return torch.tensor(x).float() * 1


def readonly(given):
    if isinstance(given, np.ndarray):
        given = given.copy() if not given.flags.owndata else given
        given.setflags(write=False)
    return given


def formed(d: Drawn) -> str:
    """A picture and a mask in any form: the same bits; or a sentence of ours."""
    height, width = d.whole(3, 12), d.whole(3, 12)
    x, drawn = d.rng().random((2, height, width), dtype=np.float32)
    mask = (drawn < 0.6).astype(np.float32)
    mask[0, 0] = 1
    recipe = a_recipe(d, d.whole(1, 2), wild=False)
    try:
        expected = fitted(x, mask, recipe, precision="fp32")
    except ValueError:
        return "refused anyway"
    pair = [FORMS[d.one_of(*FORMS)](x), OF_MASKS[d.one_of(*OF_MASKS)](mask)]
    pair = [readonly(given) for given in pair] if d.rarely(3) else pair
    if d.rarely(3):
        side, strange = d.whole(0, 1), d.one_of(*STRANGE)
        pair[side] = STRANGE[strange]((x, mask)[side])
        if side and strange == "five axes":  # of which three are of length 1
            return "a mask"
        try:
            fitted(*pair, recipe, precision="fp32")
        except (ValueError, TypeError) as error:
            sentence(error)
            return "refused in a sentence"
        raise AssertionError(f"{strange} was taken")
    with _errors():
        assert equal(fitted(*pair, recipe, precision="fp32"), expected)
    return "the same bits"


def belongs(d: Drawn) -> str:
    """What the caller does with arrays, recipe and results meanwhile changes nothing."""
    x_hat, degradation, _ = a_problem(d)
    recipe = a_recipe(d, 4, wild=False)
    try:
        expected = fitted(x_hat, degradation, recipe, precision="fp32")
    except ValueError:
        return "refused anyway"
    config = copy.deepcopy(recipe.config)
    theirs, other = dip_blocks.but(recipe, config), dip_blocks.but(recipe, lr=0.5)
    given = x_hat.clone(), degradation.clone() if torch.is_tensor(degradation) else degradation
    fit = dip_blocks.Fit(*given, theirs, device="cpu", precision="fp32")
    for changed in given:
        if torch.is_tensor(changed):
            changed.fill_(1)
    for lists in (config, other.config):
        lists["channels_down"][0], lists["padding_mode"] = 99, "nonsense"
    for _ in range(4):
        fit.run(1)
        for drawn in (fit.image(), fit.averaged_image(), *fit.state().values()):
            drawn.zero_()
    losses = [step.loss for step in fit.history]
    assert equal([fit.image(), fit.averaged_image(), *losses], expected)
    return "the same bits"


def of_another(d: Drawn) -> str:
    """A checkpoint of another fit is refused, and what differs is named."""
    x_hat, mask, _ = a_problem(d)
    if not torch.is_tensor(mask):
        return "no mask"
    recipe = a_recipe(d, 3, wild=False)
    kind = d.one_of("picture", "mask", "seed", "lr", "nothing", "a missing pixel", "iterations")
    theirs, seed = [x_hat.clone(), mask.clone()], 0
    where = d.one_of(*torch.nonzero(mask[0] == (kind != "a missing pixel")).tolist() or [None])
    if where is None or (kind == "mask" and mask.sum() == 1):
        return "no such pixel"
    if kind in ("picture", "a missing pixel"):
        theirs[0][0, where[0], where[1]] = 0.25 + 0.5 * (theirs[0][0, where[0], where[1]] < 0.5)
    elif kind == "mask":
        theirs[1][0, where[0], where[1]] = 0
    seed = 7 if kind == "seed" else 0
    changed = {"lr": 0.123} if kind == "lr" else {"iterations": 9} if kind == "iterations" else {}
    try:
        begun = dip_blocks.Fit(*theirs, dip_blocks.but(recipe, **changed), seed=seed, device="cpu")
        begun.run(1)
        fit = dip_blocks.Fit(x_hat, mask, recipe, device="cpu")
    except ValueError:
        return "refused anyway"
    before = fit.state()
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        try:
            copied(begun)
        except TypeError as error:
            assert "state()" in sentence(error)
        else:
            raise AssertionError("a fit was copied")
    if kind in ("nothing", "a missing pixel", "iterations"):
        fit.load(begun.state())
        return "taken"
    try:
        fit.load(begun.state())
    except ValueError as error:
        assert f"{kind} is " in sentence(error), error
    else:
        raise AssertionError(f"a state of another {kind} was taken")
    assert all(torch.equal(tensor, before[name]) for name, tensor in fit.state().items())
    return "refused in a sentence"


#: Values of kinds that nothing asks for, and some that only look right.
VALUES = (
    "0.5", "", None, True, [1], (), {}, 1j, float("nan"), float("inf"), -1, 10**400, 2.5,
    np.float32(0.5), np.bool_(True), np.array([1, 2]), np.array("x"), torch.tensor(0.5),
    torch.ones(2, 2), object, b"1", range(3), np.int64(2), np.float64(0.5),
)  # fmt: skip


def of_another_kind(d: Drawn) -> str:
    """A value of any kind anywhere: it works, checkpoint and all, or is refused in a sentence."""
    x = d.rng().random((8, 9), dtype=np.float32)
    data, mask = dip_blocks.degrade(x)
    recipe = a_recipe(d, 2, wild=False)
    value, where = d.one_of(*VALUES), d.one_of("recipe", "config", "list", "call")
    try:
        call = {"seed": 0, "precision": "fp32"}
        if where == "recipe":
            names = [name for name in recipe.as_dict() if name != "config"]
            recipe = dip_blocks.but(recipe, **{d.one_of(*names): value})
        elif where == "config":
            names = [*dip_blocks.CHOICES, *dip_blocks.CONFIG_LISTS]
            recipe = dip_blocks.but(recipe, {d.one_of(*names): value})
        elif where == "list":
            recipe = dip_blocks.but(recipe, {d.one_of(*dip_blocks.CONFIG_LISTS): [value]})
        else:
            call |= {d.one_of("seed", "precision", "iterations", "truth", "frames"): value}
        if recipe.iterations > 9:
            return "too long"
        fitted(data, mask, recipe, **call)
        fit = dip_blocks.Fit(data, mask, recipe, device="cpu")
        fit.run(1)
        fit.load(fit.state())
        return "done"
    except (ValueError, TypeError, dip_blocks.DivergenceError) as error:
        sentence(error)
        return "refused in a sentence"


def filled(d: Drawn) -> str:
    """`fill`: the same, whoever draws on what it shows; or a sentence before anything is done."""
    x = d.rng().random((20, 24), dtype=np.float32)
    known = np.ones(x.shape, bool)
    known[4:8, 5:9] = False
    how = {"iterations": 1, "device": "cpu", "precision": "fp32"}
    kind = d.one_of("drawn on", "switched", "value", "value", "masked")
    if kind == "masked":
        given = [x, known]
        side = d.whole(0, 1)
        given[side] = np.ma.MaskedArray(given[side], mask=~known)
    try:
        if kind == "masked":
            core.fill(*given, **how)
        elif kind == "value":
            name = d.one_of("minutes", "iterations", "recipe", "seed", "precision")
            value = d.one_of("2", [1], (), 1j, float("nan"), -1, np.array([1, 2]), object, b"1")
            core.fill(x, known, **how | {name: value})
            raise AssertionError(f"{name} = {value!r} was taken")
    except (runs.RunError, images.ImageError) as error:
        sentence(error) if kind == "masked" else str(error)
        return "refused in a sentence"
    assert kind != "masked", "masked pixels were taken as they are"
    expected = core.fill(x, known, **how).image

    def draw(seen: core.Progress) -> None:
        if seen.image is not None:
            seen.image[:] = 0

    names = [] if kind == "drawn on" else [d.one_of(*(n for n in SWITCHES if n not in DTYPES))]
    with ExitStack() as inside:
        for name in names:
            inside.enter_context(SWITCHES[name]())
        result = core.fill(x, known, **how, progress=draw if kind == "drawn on" else None)
    assert np.array_equal(result.image, expected), (kind, names)
    return "the same picture"


ATTACKS = [
    Attack(
        "switches",
        "Whatever a notebook has switched in PyTorch, NumPy and Python, a fit is the same bit for "
        "bit, or says what to switch back; and leaves it as it was.",
        attack(surrounded),
        few=8,
    ),
    Attack(
        "forms of data",
        "Pictures and masks in any form that says the same give the same bits; one that says "
        "something else is refused in a sentence.",
        attack(formed),
        few=8,
    ),
    Attack(
        "whose data",
        "What a caller does with arrays, recipes and results while a fit goes on does not change "
        "it.",
        attack(belongs),
        few=6,
    ),
    Attack(
        "whose checkpoint",
        "A checkpoint of another picture, mask, seed or recipe is refused, and what differs is "
        "named.",
        attack(of_another),
        few=8,
    ),
    Attack(
        "kinds of values",
        "A value of any kind, anywhere in a recipe or a call, works, or is refused in a sentence "
        "of the project's own.",
        attack(of_another_kind),
        few=20,
    ),
    Attack(
        "filling, called",
        "Filling draws the same whatever is switched and whoever draws on what it shows; wrong "
        "values are refused in a sentence.",
        attack(filled),
        few=2,
    ),
]
