"""Divergence: whatever a fit is given and whatever befalls it, it recovers, or says why not."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from attacks import Attack
from attacks._drawn import Drawn, attack
from attacks.networks import a_config

import dip_blocks
import dip_parts

SIDES = (1, 10)
NUMBERS = (math.nan, math.inf, -math.inf, 1e30)


class Faulty(dip_blocks.Fit):
    """A fit that something befalls in chosen iterations, and that keeps what it accepted.

    Attributes:
        faults: iteration, from 0 → the kind, one of `KINDS`, and the number that appears.
        befell: the same, to the end.
        accepted: loss, weights and average of each accepted iteration.
    """

    KINDS = ("gradient", "output", "weights")
    faults: dict[int, tuple[str, float]] = {}  # noqa: RUF012 - set for a fit as a whole

    def begin(self, *arguments):
        self.accepted, self.befell = [], self.faults
        super().begin(*arguments)

    def _now(self, kind: str) -> float | None:
        found, value = self.faults.get(self.iteration, (None, None))
        return value if found == kind else None

    def draw(self, z):
        output, value = super().draw(z), self._now("output")
        inside = self.net.training and torch.is_grad_enabled()  # an iteration, not a look
        return output if value is None or not inside else output * value

    def gradients(self, loss):
        super().gradients(loss)
        if (value := self._now("gradient")) is not None:
            self.weights.grad[:: max(1, self.iteration)] = value

    def step_or_go_back(self, jumped):
        super().step_or_go_back(jumped)
        if (value := self._now("weights")) is not None:
            self.live[self.iteration % 2][:: max(1, self.iteration)] = value  # or a moment

    def _why(self):
        if len(self.faults) < 100:  # what befalls one iteration does not befall the look after it
            self.faults = {}
        return super()._why()

    def note(self, loss, jumped):
        if not jumped:
            kept = self.good[0].clone(), self.averaged.clone()
            self.accepted.append((float(loss.detach()), *kept))
        super().note(loss, jumped)


def a_problem(d: Drawn) -> tuple[torch.Tensor, object, int]:
    """Data, a degradation, channels: pictures that are hard, masks that are barely allowed."""
    height, width, channels = d.whole(*SIDES), d.whole(*SIDES), d.one_of(1, 3)
    rng = d.rng()
    noise = rng.random((channels, height, width), dtype=np.float32)
    flat = np.ones_like(noise)
    x = torch.from_numpy(d.one_of(noise, 0 * flat, flat, 0.5 * flat, np.round(noise)))
    kind = d.one_of("some", "one", "all", "column", "noisy", "shrunk")
    if kind == "noisy":
        noisy = dip_blocks.Noisy(d.number(0, 1))
        return noisy.degrade(x, 0), noisy, channels
    if kind == "shrunk":
        return x, dip_blocks.Shrunk(2), channels
    mask = torch.full((1, height, width), float(kind == "all"))
    if kind == "some":
        mask = torch.from_numpy((rng.random((1, height, width)) < 0.5).astype(np.float32))
    mask[0, height // 2, width // 2] = 1
    if kind == "column":
        mask[:, :, width // 2] = 1
    return x * mask, mask, channels


def a_recipe(d: Drawn, iterations: int, wild: bool = True) -> dip_blocks.Recipe:
    config = a_config(d, most=2, width=4)
    hides = d.rarely(4)
    values = {
        "z_kind": "known" if hides else "uniform",
        "z_channels": 0 if hides else d.whole(1, 3),
        "hide": d.number(0.05, 0.95) if hides else 0.0,
        "sigma_p": d.one_of(1 / 30, 0.0, 10.0), "optimiser": d.one_of("adam", "muon"),
        "lr": d.magnitude(1e-6, 3e38 if wild else 1e-2), "iterations": iterations,
        "tv": d.one_of(0.0, 0.01, 1.0), "averaging": d.one_of(0.99, 0.5, 0.0),
    }  # fmt: skip
    if wild:
        values |= {
            "lr_adam": d.one_of(0.003, d.magnitude(1e-6, 3e38)),
            "weight_decay": d.one_of(0.0, 1.0, d.magnitude(1e-3, 3e38)),
            "jump": d.one_of(2.0, 1.1, 100.0), "lr_decay": d.one_of(0.9, 0.1, 1.0),
            "lr_end": d.one_of(1.0, 0.1, 0.0, 10.0), "sigma_end": d.one_of(1.0, 0.0, 10.0),
        }  # fmt: skip
    return dip_blocks.Recipe(config, **values)


def some_faults(d: Drawn, iterations: int) -> dict[int, tuple[str, float]]:
    """None, a few, or one kind from some iteration on."""
    kind, value = d.one_of(*Faulty.KINDS), d.one_of(*NUMBERS)
    if d.rarely(6):
        return dict.fromkeys(range(d.whole(0, 5), 10**4), (kind, value))
    return {
        d.whole(0, iterations): (d.one_of(*Faulty.KINDS), d.one_of(*NUMBERS))
        for _ in range(d.whole(0, 4))
    }


@contextmanager
def befallen(faults: dict):
    """`restore` fits by `Faulty`; gives the fits that were made."""
    fits = []

    class Ours(Faulty):
        def __init__(self, *arguments, **named):
            self.faults = faults
            super().__init__(*arguments, **named)
            fits.append(self)

    with mock.patch.object(dip_blocks, "Fit", Ours):
        yield fits


def check_result(fit: Faulty, result: dip_blocks.Restoration) -> None:
    """Finite, in [0, 1], and no worse than the best of what was accepted."""
    jump = fit.recipe.jump
    for picture in (result.image, result.averaged):
        assert picture.shape == fit.shape and picture.dtype == torch.float32
        assert bool(((picture >= 0) & (picture <= 1)).all()), "NaN is in no range"
    if not fit.accepted:
        return
    # An interrupt may have come between the last acceptance and its being kept as the best.
    candidates = [
        min(part, key=lambda one: one[0])
        for part in (fit.accepted, fit.accepted[:-1] if result.interrupted else [])
        if part
    ]
    with torch.no_grad():
        image, averaged = (
            float(fit.loss(picture.to(fit.device))) for picture in (result.image, result.averaged)
        )
        limits = []
        for noted, weights, average in candidates:
            drawn = fit._drawn(weights)[1]
            limits.append((jump * max(noted, drawn), jump * float(fit.loss(average))))
    assert any(image <= 1.0001 * limit for limit, _ in limits), (image, limits)
    if not result.interrupted:
        assert averaged <= 1.0001 * limits[0][1], (averaged, limits)


def outcome(fits: list, fit_it) -> str:
    """What comes of a restoration; checks what it returns, or the reason it gives."""
    try:
        result = fit_it()
    except ValueError as error:
        assert not fits or not fits[-1].history
        words = ("too small for a network", "no known", "no pixel", "own size")
        assert any(word in str(error) for word in words), error
        return "refused"
    except dip_blocks.DivergenceError as error:
        check_reason(fits[-1], str(error))
        return "stopped with its reason"
    check_result(fits[-1], result)
    if result.interrupted:
        return "interrupted: the last good state"
    return "recovered" if any(s.backtracked for s in result.history) else "finished"


def check_reason(fit: Faulty, said: str) -> None:
    """Where the learning rates are harmless, they are not to blame; where they are not, they are.

    Between the two, or with a harmless rate and a fault in half of the steps, all may be said.
    """
    recipe = fit.recipe
    lasting = bool(fit.faults)  # those of single iterations are forgotten by now
    fault = fit.faults.get(max(fit.faults, default=0), ("", 0.0))
    rates = [recipe.lr * max(1, recipe.lr_end)]
    rates += [rates[0] * recipe.lr_adam / recipe.lr] if recipe.optimiser == "muon" else []
    harmless = max(rates) <= 0.1
    if "The optimiser's moments are not finite" in said:
        assert any(kind == "weights" for kind, _ in fit.befell.values()), said
        return
    assert lasting or not harmless, f"nothing befell it: {said}"
    if not lasting:
        assert "Start with a smaller learning rate than lr = " in said, said
    elif harmless and fault[0] == "output":
        assert "before any step, so the learning rate is not to blame" in said, said
    elif harmless and fault[0] == "gradient" and not math.isfinite(fault[1]):
        assert "its gradient is not finite, so the learning rate is not to blame" in said, said


def diverging(d: Drawn) -> str:
    x_hat, degradation, _ = a_problem(d)
    iterations = 110 if d.rarely(8) else d.whole(1, 15)  # goings back up to where it gives up
    recipe, faults = a_recipe(d, iterations), some_faults(d, iterations)
    how = {"seed": d.whole(0, 99), "device": "cpu", "progress": False}
    how["precision"] = d.one_of("fp32", "fp32", "bf16")
    with befallen(faults) as fits:
        return outcome(
            fits, lambda: dip_blocks.restore(x_hat, degradation, recipe, **how, truth=None)
        )


def resumed(d: Drawn) -> str:
    """Cut in two by a checkpoint, a fit leads to the same bits, whatever befalls it."""
    x_hat, degradation, _ = a_problem(d)
    total = d.whole(2, 10)
    recipe, faults, first = a_recipe(d, total), some_faults(d, total), d.whole(1, total - 1)
    results = []
    for cut in (None, first):
        with befallen(faults):
            try:
                fit = dip_blocks.Fit(x_hat, degradation, recipe, device="cpu")
                if cut is not None:
                    fit.run(cut)
                    state = fit.state()
                    fit = dip_blocks.Fit(x_hat, degradation, recipe, device="cpu")
                    fit.load(state)
                fit.run(total - fit.iteration)
                results.append((fit.image(), fit.averaged_image(), fit.best_loss, fit.best[0]))
            except (ValueError, dip_blocks.DivergenceError) as error:
                results.append(str(error))
    whole, cut = results
    if isinstance(whole, str):
        assert whole == cut
        return "the same refusal"
    assert all(map(torch.equal, whole, cut))
    return "the same bits"


class Interrupt:
    """Ctrl-C before the n-th line of the method that is executed: once, as a user presses it."""

    def __init__(self, after: int):
        self.left = after
        folder = dip_parts.__path__[0]
        self.files = (dip_blocks.__file__, folder)

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(self.files):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self

    @contextmanager
    def pressed(self):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)


def interrupted(d: Drawn) -> str:
    x_hat, degradation, _ = a_problem(d)
    recipe = a_recipe(d, d.whole(2, 10), wild=d.rarely(3))
    precision = d.one_of("fp32", "bf16")
    interrupt = Interrupt(after=d.whole(1, 150 * recipe.iterations))
    original = dip_blocks.Fit._run_through

    def run_through(fit, *arguments):  # before and after it, an interrupt is the caller's
        with interrupt.pressed():
            return original(fit, *arguments)

    with befallen({}) as fits, mock.patch.object(dip_blocks.Fit, "_run_through", run_through):
        try:
            return outcome(
                fits,
                lambda: dip_blocks.restore(
                    x_hat, degradation, recipe, device="cpu", precision=precision, progress=False
                ),
            )
        except KeyboardInterrupt:
            return "handed on"  # it came before the loop, or after its last step
        finally:
            assert torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
            assert (
                torch.autocast_increment_nesting() == 1 and torch.autocast_decrement_nesting() == 0
            )


ATTACKS = [
    Attack(
        "divergence",
        "Whatever the learning rate, picture, mask and recipe, and whatever number appears in "
        "gradients, weights or outputs: the loop recovers, or stops with its true reason, and what "
        "it returns is finite and no worse than its best state, but for the factor of a jump.",
        attack(diverging),
        few=5,
    ),
    Attack(
        "divergence, resumed",
        "A fit cut in two by a checkpoint leads to the same bits, whatever befalls it.",
        attack(resumed),
        few=3,
    ),
    Attack(
        "interrupt",
        "An interrupt at any line of the loop returns the last good state.",
        attack(interrupted),
        few=5,
    ),
]
