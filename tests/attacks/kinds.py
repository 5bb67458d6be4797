"""Each argument of every public function of the method in turn exchanged for what it is not."""

from __future__ import annotations

import datetime
import decimal
import fractions
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from attacks import Attack
from attacks._drawn import Drawn, attack
from attacks.callers import sentence

import dip_blocks
from dip_parts import checks

SIDE = 16
PLAIN = {
    "None": None, "true": True, "0": 0, "-1": -1, "1.5": 1.5, "infinity": float("inf"),
    "NaN": float("nan"), "3": 3, "10^30": 10**30, "complex": 1j, "decimal": decimal.Decimal("0.5"),
    "fraction": fractions.Fraction(1, 2), "NumPy's": np.float32(1), "NumPy's 1": np.int64(1),
    "text": "x", "no text": "", "bytes": b"x", "list": [1, 2], "empty list": [], "tuple": (),
    "dictionary": {"a": 1}, "empty dictionary": {}, "set": {1}, "range": range(3),
    "slice": slice(3), "dots": ..., "object": object(), "error": ValueError("x"),
    "date": datetime.date(2020, 1, 1), "path": Path("x"), "cpu": "cpu", "cuda:99": "cuda:99",
    "muon": "muon", "bf16": "bf16", "fp16": "fp16",
}  # fmt: skip


def _arrays() -> dict:
    square, ones = (SIDE, SIDE), np.ones((SIDE, SIDE))
    return {
        "a line": np.ones(3), "ones": ones, "whole numbers": ones.astype(int),
        "no pixels": np.ones((0, 0)), "objects": np.array([None, 1]), "texts": np.array(["a"]),
        "complex numbers": ones.astype(complex), "to 255": np.full((*square, 3), 255.0),
        "bytes of a picture": np.full((*square, 3), 255, np.uint8), "a tensor": torch.ones(2),
        "a batch": torch.rand(2, 3, *square), "a picture": torch.rand(3, *square),
        "a smaller one": torch.rand(3, 8, 8), "grey": torch.rand(1, *square),
        "of bool": torch.ones(1, *square, dtype=torch.bool), "zeros": torch.zeros(1, *square),
        "NaNs": torch.full((3, *square), float("nan")),
        "sparse": torch.ones(1, *square).to_sparse(),
        "of no values": torch.ones(3, *square, device="meta"),
    }  # fmt: skip


class Ground:
    """A problem so small that every function can be called on it."""

    def __init__(self):
        levels = {"channels_down": [4, 4], "channels_up": [4, 4], "channels_skip": [2, 2]}
        quick = dip_blocks.RECIPES["quick"]
        config = dip_blocks.at_depth(quick.config, 2) | levels
        self.recipe = dip_blocks.but(quick, config, z_channels=4, iterations=2)
        self.picture = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        self.x_hat, self.mask = dip_blocks.degrade(self.picture)
        how = {"device": "cpu", "precision": "fp32"}
        self.fit = dip_blocks.Fit(self.x_hat, self.mask, self.recipe, **how)
        self.net = dip_blocks.UNet(4, 3, config)
        self.result = dip_blocks.mean_of(
            [dip_blocks.Restoration(self.picture, self.picture.clone())]
        )

    def values(self) -> dict:
        """What is put in an argument's place: a name → a value."""
        things = {
            "recipe": self.recipe, "config": self.recipe.config, "fit": self.fit, "net": self.net,
            "result": self.result, "device": torch.device("cpu"), "generator": torch.Generator(),
            "masked": dip_blocks.Masked(self.mask), "noisy": dip_blocks.Noisy(0.1),
            "shrunk": dip_blocks.Shrunk(2), "numbers on the way": (i for i in range(3)),
        }  # fmt: skip
        return {**PLAIN, **_arrays(), **things}

    def functions(self) -> dict[str, tuple[Callable, dict]]:
        """A name → the function, and arguments that it takes."""
        d, x, x_hat, mask, recipe = (
            dip_blocks, self.picture, self.x_hat, self.mask, self.recipe
        )  # fmt: skip
        known = {"x_hat": x_hat, "mask": mask}
        fitted = {
            "x_hat": x_hat, "degradation": mask, "recipe": recipe, "seed": 0, "device": "cpu",
            "precision": "fp32", "truth": x,
        }  # fmt: skip
        whole = fitted | {"iterations": 1, "frames": [1], "resume": None, "watch": None}
        of = {"image": x, "seed": 0}
        return {
            "Recipe": (d.Recipe, vars(recipe)),
            "but": (d.but, {"recipe": recipe, "config": {"dropout": 0.1}, "lr": 0.1}),
            "at_depth": (d.at_depth, {"config": recipe.config, "depth": 3}),
            "draw_z": (
                d.draw_z,
                {"recipe": recipe, "shape": (3, 8, 8), "generator": None, **known},
            ),
            "draw_weights": (d.draw_weights, {"net": self.net, "generator": None}),
            "UNet": (d.UNet, {"channels": 4, "out_channels": 3, "config": recipe.config}),
            "bernoulli_mask": (d.bernoulli_mask, {"height": 4, "width": 5, "p": 0.5, "seed": 0}),
            "degrade": (d.degrade, {**of, "p": 0.5}),
            "Masked": (d.Masked, {"mask": mask}),
            "Noisy": (d.Noisy, {"sigma": 0.1}),
            "Shrunk": (d.Shrunk, {"factor": 2, "lobes": 3}),
            "Masked.degrade": (d.Masked(mask).degrade, of),
            "Noisy.degrade": (d.Noisy(0.1).degrade, of),
            "Shrunk.degrade": (d.Shrunk(2).degrade, of),
            "Masked.apply": (d.Masked(mask).apply, {"image": x}),
            "Shrunk.apply": (d.Shrunk(2).apply, {"image": x}),
            "as_image": (d.as_image, {"image": x}),
            "as_mask": (d.as_mask, {"mask": mask, "height": SIDE, "width": SIDE}),
            "paste": (d.paste, {"image": x, **known}),
            "blend": (d.blend, {"image": x, "damping": 0.5, **known}),
            "masked_loss": (d.masked_loss, {"output": x, **known}),
            "total_variation": (d.total_variation, {"image": x}),
            "psnr": (d.psnr, {"image": x, "truth": x_hat}),
            "decibel": (d.decibel, {"mse": 0.1}),
            "orthogonalised": (d.orthogonalised, {"matrices": x}),
            "for_muon": (d.for_muon, {"net": self.net}),
            "restore": (lambda **how: d.restore(**how, progress=False), whole),
            "mean_of": (d.mean_of, {"restorations": [self.result]}),
            "Fit": (d.Fit, fitted),
            "Fit.load": (lambda state: d.Fit(**fitted).load(state), {"state": self.fit.state()}),
            "Fit.run": (lambda iterations: _run(d.Fit(**fitted), iterations), {"iterations": 1}),
            "as_device": (d.as_device, {"device": "cpu"}),
            "best_precision": (d.best_precision, {"device": "cpu"}),
            "numerics": (_entered, {"device": "cpu", "precision": "fp32"}),
            "check_recipe": (checks.check_recipe, {"values": recipe.as_dict()}),
            "check_precision": (checks.check_precision, {"precision": "fp32"}),
            "as_truth": (lambda truth: checks.as_truth(truth, (3, SIDE, SIDE)), {"truth": x}),
            "as_iterations": (checks.as_iterations, {"given": [1]}),
        }


def _run(fit, iterations) -> None:
    """But for a number that would have it run for ever, as it should."""
    if iterations is not PLAIN["10^30"]:
        fit.run(iterations)


def _entered(device, precision) -> None:
    with dip_blocks.numerics(device, precision):
        pass


#: What a function is given there it calls: what that raises is the caller's own affair.
CALLED = {"watch", "progress", "stop"}


def exchanged(d: Drawn, functions: dict, values: dict) -> str:
    """One function, one argument, every value: a sentence, or it works."""
    name = d.one_of(*functions)
    function, arguments = functions[name]
    argument, refused = d.one_of(*arguments), 0
    for what, value in values.items():
        if argument in CALLED and callable(value):
            continue
        if getattr(value, "is_meta", False) and name in ("masked_loss", "Masked.apply"):
            continue  # beside tensors of another device, where PyTorch says which two they are
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(**{**arguments, argument: value})
        except (ValueError, TypeError, RuntimeError) as error:
            try:
                sentence(error)
            except AssertionError as bare:
                raise AssertionError(f"{name}({argument}={what}): {bare}") from error
            refused += 1
    return "refused in a sentence" if refused else "taken"


def _attempt(d: Drawn) -> str:
    ground = Ground()
    return exchanged(d, ground.functions(), ground.values())


ATTACKS = [
    Attack(
        "kinds of arguments",
        "Any argument of any public function of the method may be of any kind: it works, or a "
        "sentence of the project's own says what is wrong.",
        attack(_attempt),
        few=20,
    ),
]
