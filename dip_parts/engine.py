"""The machinery of the loop: what makes it fast, the same on every device, and safe to interrupt.

All weights lie in one vector.  All that an iteration decides, it decides on the device: nothing is
asked back until `Engine.read`, so that a GPU never waits for Python, and a whole iteration can be
recorded once and replayed.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from dip_parts.checks import (
    as_iterations,
    as_mask,
    as_sides,
    as_truth,
    check_count,
    check_is_recipe,
    check_precision,
)
from dip_parts.degradations import Masked, as_degradation, on
from dip_parts.devices import as_device, best_precision, cuda_graph, switches_kept, undisturbed
from dip_parts.layers import Dropout
from dip_parts.muon import Muon, for_muon


class Step(NamedTuple):
    """One iteration of the history."""

    iteration: int
    loss: float  # of the perturbed input, before this iteration's step
    lr: float  # the learning rate that this iteration used, or was cut to
    backtracked: bool  # True: the loss had jumped, the last good state came back
    psnr: float | None = None  # of this iteration's output, in dB; None without the truth
    psnr_averaged: float | None = None  # of the moving average of the outputs, in dB


@dataclass(eq=False)  # two are not compared pixel by pixel: `list.remove` looks for one
class Restoration:
    """What `dip_blocks.restore` returns.  Images are (C, H, W), values in (0, 1), float32, CPU."""

    image: torch.Tensor  # f_θ(z), the network's raw output
    averaged: torch.Tensor  # the moving average of all iterations' outputs
    history: list[Step] = field(default_factory=list, repr=False)  # a notebook shows the rest
    frames: dict[int, torch.Tensor] = field(default_factory=dict, repr=False)  # by iteration
    interrupted: bool = False

    def __getstate__(self):
        """As arrays: between processes, PyTorch would hold a file open for each of its tensors."""
        frames = {iteration: frame.numpy() for iteration, frame in self.frames.items()}
        pictures = {"image": self.image.numpy(), "averaged": self.averaged.numpy()}
        return vars(self) | pictures | {"frames": frames}

    def __setstate__(self, state):
        frames = {iteration: torch.as_tensor(f) for iteration, f in state["frames"].items()}
        pictures = {name: torch.as_tensor(state[name]) for name in ("image", "averaged")}
        vars(self).update(state | pictures | {"frames": frames})


class DivergenceError(ArithmeticError):
    """The loss is not finite, and going back with smaller and smaller steps did not help."""


#: Goings back in a row, without one good step between them, before the loop gives up on NaNs.
MAX_RECOVERIES = 50


def decibel(mse: float) -> float:
    """PSNR in dB, peak 1, of a mean squared error; inf for none.  ValueError for what is none."""
    try:
        mse = float(mse)
        is_error = not mse < 0
    except (TypeError, ValueError, RuntimeError, OverflowError):
        is_error = False
    if not is_error:
        raise ValueError(f"A mean squared error is a number, 0 or above, not {mse!r:.60}.")
    return math.inf if mse == 0 else -10 * math.log10(mse)


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Engine:
    """The state of a fit, and what is done with it; `dip_blocks.Fit` says what one iteration is.

    A subclass calls `begin` with its network and z, and defines `draw(z)`, an image (C, H, W);
    `loss(image)`, a scalar, of all that is known; and `step()`, one iteration, of the verbs here:
    `gradients`, `has_jumped`, `step_or_go_back`, `average`, `note`.
    """

    def __init__(self, x_hat, degradation, recipe, truth, device, precision):
        check_is_recipe(recipe)
        degradation, x_hat = as_degradation(degradation, x_hat)
        #: Of the picture that is looked for; x̂ may be smaller.
        sides = as_sides(degradation.size(x_hat), f"{type(degradation).__name__}.size")
        self.shape = (x_hat.shape[0], *sides)
        if recipe.hide and self.shape != x_hat.shape:
            raise ValueError(
                f"Pixels can be hidden (hide = {recipe.hide:g}) only of data that have the "
                "picture's own size: take a recipe without."
            )
        truth = as_truth(truth, self.shape)
        self.recipe, self.device = recipe, as_device(device)
        self.precision = best_precision(self.device) if precision is None else precision
        check_precision(self.precision)
        self.degradation = on(degradation, self.device)
        self.told = repr(degradation)  # by its values of now: `apply` may count its calls
        self.x_hat = x_hat.to(self.device)
        compared = as_mask(degradation.compared(x_hat), *x_hat.shape[-2:])
        if compared.sum() == 0:
            name = type(degradation).__name__
            raise ValueError(f"{name}.compared marks none of the data: there is nothing to fit.")
        self.mask = compared.to(self.device)  # (1, h, w), of the data
        self.truth = None if truth is None else truth.to(self.device)

    def begin(self, net: nn.Module, z: torch.Tensor, seed: int) -> None:
        """Take a network with its first weights, and z, (1, channels, H, W), both on the CPU."""
        self.seed = int(seed)
        # Tensor cores, and bf16 on a CPU, want the channels innermost; fp32 on a CPU does not.
        layout = torch.contiguous_format if self.precision == "fp32" else torch.channels_last
        self.z = z.to(self.device).contiguous(memory_format=layout)
        self.net = net.to(self.device)
        matrices = for_muon(self.net) if self.recipe.optimiser == "muon" else []
        self._one_vector(matrices)
        self._optimisers(matrices)
        scalar = partial(torch.tensor, device=self.device)
        self.good = [tensor.clone() for tensor in self.live]
        self.good_loss = scalar(math.inf)
        self.jumped = scalar(False)
        self.recoveries = scalar(0)  # goings back since the last good step
        self.output, self.averaged = torch.zeros(2, *self.shape, device=self.device)
        #: Weights and average as of the accepted iteration whose loss was the lowest: to draw from,
        #: should the end be a bad one; never to go on from.
        self.best = [tensor.clone() for tensor in (self.weights, self.averaged)]
        self.best_loss = scalar(math.inf)
        self.iteration, self.history, self.frames = 0, [], {}
        # Notes of the iterations since the last reading.  A GPU is read rarely: it would wait.
        rows = 1 if self.device.type == "cpu" else 50
        self.notes = torch.zeros(rows, 6, device=self.device)
        self.row = scalar([0])
        self._replay, self._running = None, False
        self.draw_from(torch.Generator(self.device).manual_seed(self.seed))
        with torch.no_grad():
            self.net.eval()
            drawn = self.draw(self.z)  # refuses a picture too small for the network
            self.net.train()
        self._check_apply(drawn)
        #: As it is told before its first use, and after: what it has computed meanwhile, and keeps,
        #: is no other degradation.
        self.told = [*{self.told: None, repr(self.degradation): None}]

    def _check_apply(self, drawn: torch.Tensor) -> None:
        """Does a degradation make data of a picture, and can it be followed back to the picture?"""
        picture = drawn.requires_grad_().clone()
        version = picture._version
        seen = self.degradation.apply(picture)
        name, shape = type(self.degradation).__name__, tuple(self.x_hat.shape)
        what = tuple(seen.shape) if isinstance(seen, torch.Tensor) else type(seen).__name__
        if what != shape:
            raise ValueError(
                f"{name}.apply has to make x̂, {shape}, of a picture {self.shape}; it made {what}. "
                f"What size a picture has, {name}.size says."
            )
        if picture._version != version:
            raise ValueError(f"{name}.apply changes the picture that it is given: make another.")
        if not seen.requires_grad or seen.is_complex():
            raise ValueError(
                f"What {name}.apply makes does not follow from the picture in a way that PyTorch "
                "can differentiate: compute it of real tensors, without detach or NumPy."
            )

    def _one_vector(self, matrices: list[nn.Parameter]) -> None:
        """All weights in one vector, on which the network's are windows; so the gradients.

        A step, a copy, a choice between two states: each is then one operation, not a hundred.
        What Muon takes lies in front; with Adam alone, that is nothing.
        """
        taken = {*matrices}
        order = [*matrices, *(weight for weight in self.net.parameters() if weight not in taken)]
        self.weights = nn.utils.parameters_to_vector(order).detach()
        self.weights.grad = torch.zeros_like(self.weights)
        nn.utils.vector_to_parameters(self.weights, order)
        parts = self.weights.grad.split([weight.numel() for weight in order])
        for weight, part in zip(order, parts):
            weight.grad = part.view_as(weight)

    def _optimisers(self, matrices: list[nn.Parameter]) -> None:
        recipe, cuda = self.recipe, self.device.type == "cuda"
        # The learning rate as backtracking has left it; after the schedule, which is what the
        # optimiser uses; and how many iterations the schedules have seen.
        self.lr = torch.tensor(recipe.lr, dtype=torch.float32, device=self.device)
        self.rate, self.done = self.lr.clone(), torch.tensor(0.0, device=self.device)
        count = sum(weight.numel() for weight in matrices)
        rest, self.muon = self.weights, None
        #: Adam's share of the learning rate: both are cut, and fall, together.
        self.adam_rate, self.adam_share = self.rate, 1.0
        if count:
            front, rest = self._window(slice(None, count)), self._window(slice(count, None))
            low = cuda or self.precision == "bf16"  # PyTorch's Muon: always
            dtype = torch.bfloat16 if low else torch.float32
            shapes = [matrix.shape for matrix in matrices]
            self.muon = Muon(front, shapes, self.rate, recipe.weight_decay, dtype)
            self.adam_rate, self.adam_share = self.rate.clone(), recipe.lr_adam / recipe.lr
        how = {"fused": True, "capturable": True} if cuda else {"foreach": False}
        self.adam = torch.optim.Adam([rest], self.adam_rate, **how)
        self.adam._warned_capturable_if_run_uncaptured = True  # it is run both ways, knowingly
        rate = self.adam_rate.clone()
        self.adam_rate.zero_()  # no times zero: a huge rate would overflow
        self.adam.step()  # makes the moments and moves nothing
        self.adam_rate.copy_(rate)
        moments = self.adam.state[rest]
        moments["step"].zero_()
        #: What a step changes; `good` is the same as of the last good iteration.
        self.live = [self.weights, moments["exp_avg"], moments["exp_avg_sq"], moments["step"]]
        self.live += [self.muon.momentum] if self.muon else []

    def _window(self, part: slice) -> torch.Tensor:
        window = self.weights[part]
        window.grad = self.weights.grad[part]
        return window

    def scheduled(self, end: float) -> torch.Tensor | float:
        """From 1 in the first iteration to ``end`` in the last, along half a cosine."""
        if end == 1:
            return 1.0
        share = (self.done / max(self.recipe.iterations - 1, 1)).clamp(max=1)
        return end + (1 - end) * (1 + torch.cos(math.pi * share)) / 2

    # The verbs of an iteration -----------------------------------------------------------

    def gradients(self, loss: torch.Tensor) -> None:
        """Of the loss, for every weight."""
        self.weights.grad.zero_()
        loss.backward()

    @torch.no_grad()
    def has_jumped(self, loss: torch.Tensor) -> torch.Tensor:
        """Is the loss so much larger than the last good one that the last step must be undone?

        Just after going back the state is the last good one by definition: its loss becomes the
        reference again, or an unlucky perturbation would stall the run.
        """
        jumped = (loss > self.recipe.jump * self.good_loss) & ~self.jumped | ~torch.isfinite(loss)
        again = torch.where(jumped, self.recoveries + 1, self.recoveries * self.jumped)
        self.recoveries.copy_(again)
        return jumped

    @torch.no_grad()
    def step_or_go_back(self, jumped: torch.Tensor) -> None:
        """A step; but where the loss has jumped, the last good state and a lower rate.

        Both are computed and one is chosen: nobody has to ask the device which it was.
        """
        for live, good in zip(self.live, self.good):  # keep this state, unless it is bad
            torch.where(jumped.to(good.device), good, live, out=good)
        self.rate.copy_(self.lr * self.scheduled(self.recipe.lr_end))
        if self.muon:
            self.muon.step()
            self.adam_rate.copy_(self.rate * self.adam_share)
        self.adam.step()
        for live, good in zip(self.live, self.good):  # weights, moments, counter
            torch.where(jumped.to(good.device), good, live, out=live)
        for rate in (self.lr, self.rate):
            rate.copy_(torch.where(jumped, rate * self.recipe.lr_decay, rate))

    @torch.no_grad()
    def average(self, output: torch.Tensor, wanted: torch.Tensor, jumped: torch.Tensor) -> None:
        """Let the output into the moving average, unless the state was bad; the first in full.

        Where pixels were hidden, the average of a known one waits for its turn: what was shown was
        not asked for.
        """
        recipe, first = self.recipe, self.good_loss.isinf()
        share = torch.where(first, 1.0, 1 - recipe.averaging)
        if recipe.hide:
            turn = (share * (1 - self.mask + wanted / recipe.hide)).clamp(max=1)
            share = torch.where(first, share, turn)
        averaged = torch.lerp(self.averaged, output, share)
        self.averaged.copy_(torch.where(jumped, self.averaged, averaged))
        self.output.copy_(output)

    @torch.no_grad()
    def note(self, loss: torch.Tensor, jumped: torch.Tensor) -> None:
        """Write the iteration down, on the device, and keep the best; `read` fetches the notes."""
        better = (loss < self.best_loss) & ~jumped
        for best, now in zip(self.best, (self.good[0], self.averaged)):
            torch.where(better, now, best, out=best)
        self.best_loss.copy_(torch.where(better, loss, self.best_loss))
        self.good_loss.copy_(torch.where(jumped, self.good_loss, loss))
        self.jumped.copy_(jumped)
        errors = [self._mse(self.output), self._mse(self.averaged)]
        values = [loss.detach(), self.rate, jumped, self.recoveries, *errors]
        row = torch.stack([value.float() for value in values])[None]
        try:
            self.notes.index_copy_(0, self.row, row)
        except IndexError:  # on a CPU; a GPU says so later
            raise RuntimeError(
                "step() is one iteration as run() calls it, which then reads what was noted: call "
                "run(1) instead, again and again."
            ) from None
        self.row += 1
        self.done += 1

    def _mse(self, image: torch.Tensor) -> torch.Tensor:
        if self.truth is None:
            return torch.zeros_like(self.good_loss)
        return (image - self.truth).square().mean()

    # A fit as a whole --------------------------------------------------------------------

    @undisturbed()
    def run(self, iterations: int) -> None:
        """So many iterations; the history has them when this returns.

        Raises ValueError for what is no number of iterations; RuntimeError while another thread
        runs this fit, and for a network that was taken out of the fit's hands (`_check_tied`).
        """
        check_count(iterations)
        if self._running:
            raise RuntimeError("This fit is running already: wait for it, or begin another Fit.")
        self._check_tied()
        self.read()  # what an interrupt has left
        self.done.fill_(self.iteration)
        try:
            self._running = True
            while iterations > 0:
                some = min(iterations, len(self.notes))
                for _ in range(some):
                    (self._replay or self.step)()
                    self.iteration += 1
                iterations -= some
                self.read()
        finally:
            self._running = False

    def _check_tied(self) -> None:
        """Are the network's weights and gradients windows on the vector that is stepped?

        ``net.to(...)`` or ``net.zero_grad()`` puts others in their place, and nothing is learnt.
        """
        wholes = (_place(self.weights), _place(self.weights.grad))
        for weight in self.net.parameters():
            if weight.grad is None or (_place(weight), _place(weight.grad)) != wholes:
                raise RuntimeError(
                    "The network's weights or gradients are no longer those that this fit steps: "
                    "something like net.to(...) or net.zero_grad() has put others in their place. "
                    "Begin another Fit, and load this one's state into it."
                )

    def run_through(self, total: int, frames, progress: bool, watch: Callable | None) -> bool:
        """From where the fit is to ``total`` iterations; False if an interrupt ended it.

        Frames, bar and ``watch`` as in `dip_blocks.restore`.
        """
        if watch is not None and not callable(watch):
            raise TypeError(f"watch is a function that is called with the fit, not {watch!r:.60}.")
        with switches_kept(self.device):
            return self._run_through(total, as_iterations(frames), progress, watch)

    def _run_through(self, total: int, wanted: set, progress: bool, watch) -> bool:
        there = sys.stderr is not None and not getattr(sys.stderr, "closed", False)
        hidden = None if progress and there else True  # under pythonw there is none
        bar = tqdm(initial=self.iteration, total=total, desc="restoring", unit="it", disable=hidden)
        try:
            if total - self.iteration > 100:  # recording takes as long as a few dozen iterations
                self.record()
            while self.iteration < total:
                end = min(i for i in (*wanted, total) if i > self.iteration)
                self.run(min(end - self.iteration, len(self.notes)))
                if self.iteration in wanted:
                    self.frames[self.iteration] = self.output.cpu().clone()
                last = self.history[-1]
                bar.set_postfix(loss=f"{last.loss:.2e}", lr=f"{last.lr:.2g}", refresh=False)
                bar.update(self.iteration - bar.n)
                if watch is not None:
                    watch(self)
        except KeyboardInterrupt:
            self.bring_back()  # it may have come in the middle of a step
            return False
        finally:
            bar.close()
        return True

    def read(self) -> None:
        """Bring the notes of the last iterations from the device into the history."""
        count = self.iteration - len(self.history)
        for loss, lr, jumped, recoveries, *errors in self.notes[:count].tolist():
            iteration = len(self.history) + 1
            if recoveries > MAX_RECOVERIES:
                raise DivergenceError(
                    f"The loss was {loss:.4g} in iteration {iteration}, and going back "
                    f"{MAX_RECOVERIES} times, the learning rate last at {lr:.2g}, did not help. "
                    f"{self._why()}"
                )
            quality = (None, None) if self.truth is None else map(decibel, errors)
            self.history.append(Step(iteration, loss, float(f"{lr:.7g}"), bool(jumped), *quality))
        self.row.zero_()

    @torch.enable_grad()
    def _why(self) -> str:
        """Why going back did not help: once more from the last good state, with the fit at its end.

        Only what a step does is the learning rate's doing; and so are weights a hundred times as
        large as those that a network begins with.
        """
        self.bring_back()
        self.draw_from(torch.Generator(self.device).manual_seed(0))  # a recording may hold the old
        small = float(self.weights.abs().max()) < 100
        if small and not all(bool(torch.isfinite(moment).all()) for moment in self.live[1:]):
            return (
                "The optimiser's moments are not finite, where weights and losses were: a gradient "
                "beyond float32, or a fault of the machine. Begin anew."
            )
        self.row.zero_()
        self.step()
        loss, sound = float(self.notes[0, 0]), bool(torch.isfinite(self.weights.grad).all())
        names = ("z_scale", "sigma_p", "sigma_end", "tv", "hide")
        values = ", ".join(f"{name} = {getattr(self.recipe, name):g}" for name in names)
        if small and not math.isfinite(loss):
            return (
                f"It is {loss:.4g} before any step, so the learning rate is not to blame. The "
                f"data, or one of these, may be out of all proportion: {values}."
            )
        if small and not sound:
            return (
                f"There the loss is {loss:.4g}, but its gradient is not finite, so the learning "
                f"rate is not to blame. Try another precision than {self.precision}, or look "
                f"whether one of these is out of all proportion: {values}."
            )
        names = ["lr", *(["lr_adam"] if self.muon else [])]
        names += ["lr_end"] if self.recipe.lr_end > 1 else []
        values = " and ".join(f"{name} = {getattr(self.recipe, name):g}" for name in names)
        return f"Start with a smaller learning rate than {values}."

    def bring_back(self) -> None:
        """Return to the last good state, as after a jump; also right after a step cut in two."""
        for live, good in zip(self.live, self.good):
            live.copy_(good)

    @torch.no_grad()
    def image(self) -> torch.Tensor:
        """f_θ(z), z unperturbed, nothing hidden or dropped: (C, H, W), on the CPU.

        θ are the present weights; or those of the last good iteration, where the last step made the
        loss jump; or those of the best, the accepted iteration with the lowest loss.  So the `loss`
        of what is returned is at most `jump` times that of the best: the larger one of what was
        noted then, of the perturbed z, and what is drawn from it now.  Within that factor the
        present weights stand: what an iteration is asked is another thing each time.

        Raises DivergenceError where even that is not finite.
        """
        jump, good_loss = self.recipe.jump, float(self.good_loss)
        # Where known pixels are hidden in every iteration, all are shown here: a loss of what the
        # network sees is not to be compared with that of what it did not see.
        limit = math.inf if self.recipe.hide else jump * good_loss
        image, loss = self._drawn(self.weights)
        if self.iteration and not self._within(loss, limit):
            image, loss = self._drawn(self.good[0])
        if not self._within(loss, jump * float(self.best_loss)):
            best, least = self._drawn(self.best[0])
            if not self._within(loss, jump * least):
                image, loss = best, least
        if not math.isfinite(loss):
            raise DivergenceError(
                f"The loss of what the network draws is {loss:.4g} after {self.iteration} "
                f"iterations, of the best of them, too. {self._why()}"
            )
        return image.cpu()

    @torch.no_grad()
    def averaged_image(self) -> torch.Tensor:
        """The moving average of the outputs, (C, H, W), on the CPU; before any, what is drawn.

        As it was at the best iteration, where its `loss` has come to more than `jump` times that.
        """
        if self.best_loss.isinf():
            return self.image()
        now, best = (float(self.loss(image)) for image in (self.averaged, self.best[1]))
        within = self._within(now, self.recipe.jump * best)
        return (self.averaged if within else self.best[1]).cpu().clone()

    def pictures(self) -> tuple[torch.Tensor, torch.Tensor]:
        """`image` and `averaged_image`; an interrupt meanwhile, of one who pressed twice, is late.

        A large picture takes seconds to draw, and a second press would cost the whole fit; a third
        does end it.
        """
        try:
            return self.image(), self.averaged_image()
        except KeyboardInterrupt:
            return self.image(), self.averaged_image()

    @staticmethod
    def _within(loss: float, limit: float) -> bool:
        return math.isfinite(loss) and not loss > limit  # with a limit that is NaN, too

    @torch.no_grad()
    def _drawn(self, weights: torch.Tensor) -> tuple[torch.Tensor, float]:
        """What these weights draw of z, and its loss."""
        now = self.weights.clone()
        self.weights.copy_(weights)
        self.net.eval()  # dropout off; batch norm knows no difference
        try:
            image = self.draw(self.z)
            return image, float(self.loss(image))
        finally:
            self.net.train()
            self.weights.copy_(now)

    def draw_from(self, generator: torch.Generator) -> None:
        """Let the perturbations of z, and dropout, come from this generator."""
        self.noise = generator
        for module in self.net.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    # Checkpoints -------------------------------------------------------------------------

    def __reduce_ex__(self, protocol):
        raise TypeError(
            "A fit is neither copied nor pickled: its network's weights are windows on one vector, "
            "and a copy's would not be. Load its state() into another Fit of the same arguments."
        )

    _GROUPS = ("live", "good", "best")
    _SINGLE = ("lr", "good_loss", "best_loss", "jumped", "recoveries", "output", "averaged")

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of all that the next iteration depends on, history and frames: a checkpoint."""
        groups = {group: getattr(self, group) for group in self._GROUPS}
        parts = {f"{group}.{i}": t for group, all_ in groups.items() for i, t in enumerate(all_)}
        parts |= {name: getattr(self, name) for name in self._SINGLE}
        steps = [[math.nan if v is None else float(v) for v in step] for step in self.history]
        history = torch.tensor(steps, dtype=torch.float64).reshape(-1, len(Step._fields))
        parts |= {f"frame.{iteration}": frame for iteration, frame in self.frames.items()}
        parts |= {"history": history, "noise": self.noise.get_state(), "recipe": self._signature()}
        return {name: tensor.detach().cpu().clone() for name, tensor in parts.items()}

    def _signature(self) -> torch.Tensor:
        """The recipe, less its length, as bytes: a state is one of this recipe."""
        values = {k: v for k, v in self.recipe.as_dict().items() if k != "iterations"}
        values |= {"shape": list(self.x_hat.shape), "seed": self.seed, "precision": self.precision}
        known = self.x_hat.cpu() * self.mask.cpu()  # what it holds elsewhere is not used
        for name, tensor in (("picture", known), ("mask", self.mask.cpu())):
            values[name] = sha256(tensor.numpy().tobytes()).hexdigest()[:8]
        if type(self.degradation) is not Masked:
            values["degradation"] = self.told
        text = json.dumps(values, sort_keys=True)
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    @torch.no_grad()
    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Go on where `state` was taken: the same picture, mask, recipe and seed; bitwise.

        Raises, before anything is loaded, TypeError for what is no state, and ValueError for one of
        another picture, mask, recipe, precision or seed, of another member of a mean, say; names
        what differs.
        """
        self._check_signature(state)
        for name, tensor in state.items():
            group, _, index = name.partition(".")
            if group == "noise":
                self.noise.set_state(tensor)
            elif group == "history":
                self.history = [self._step_of(row) for row in tensor.tolist()]
            elif group == "frame":
                self.frames[int(index)] = tensor.clone()
            elif group in self._GROUPS:
                getattr(self, group)[int(index)].copy_(tensor)
            elif group in self._SINGLE:
                getattr(self, group).copy_(tensor)
        self.iteration = len(self.history)
        self.done.fill_(self.iteration)
        self.row.zero_()

    def _check_signature(self, state: dict[str, torch.Tensor]) -> None:
        if not isinstance(state, dict):
            raise TypeError(
                "What a fit goes on from is its state(), a dictionary of tensors, not a "
                f"{type(state).__name__}. One in a file is torch.load(file)."
            )
        if strange := [k for k, v in state.items() if not isinstance(v, torch.Tensor)]:
            raise TypeError(f"A fit's state holds tensors alone; {strange[0]!r} is none.")
        ours = json.loads(bytes(self._signature().tolist()))
        try:
            theirs = dict(json.loads(bytes(state["recipe"].tolist())))
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                "This state does not say which fit it is of: an earlier version made it, or it was "
                "changed. Begin anew."
            ) from None
        told = [[v] if isinstance(v := of.get("degradation"), str) else v for of in (ours, theirs)]
        if all(told) and {*told[0]} & {*told[1]}:
            theirs["degradation"] = ours["degradation"]
        if different := [
            f"{key} is {ours.get(key)!r:.300} here, {theirs.get(key)!r:.300} there"
            for key in ours
            if ours[key] != theirs.get(key)
        ]:
            raise ValueError(
                f"This state is of another fit, and nothing was loaded: {'; '.join(different)}."
            )
        own = self.state()
        if different := {k for k in {*state} ^ {*own} if not k.startswith("frame.")}:
            raise ValueError(
                f"This state lacks, or has too much: {', '.join(sorted(different))}. An earlier "
                "version made it. Begin anew."
            )
        for name, tensor in state.items():
            like = own.get(name, own["output"])  # a frame
            any_length = name in ("history", "recipe")
            here, there = ((t.dtype, *t.shape[any_length:]) for t in (like, tensor))
            if here != there:
                raise ValueError(
                    f"This state's {name} is {tensor.dtype}, {tuple(tensor.shape)}, and this fit's "
                    f"{like.dtype}, {tuple(like.shape)}: it was changed, or is of another device."
                )

    def _step_of(self, row: list[float]) -> Step:
        iteration, loss, lr, backtracked, *quality = row
        unmeasured = self.truth is None
        quality = [None if unmeasured or math.isnan(value) else value for value in quality]
        return Step(int(iteration), loss, lr, bool(backtracked), *quality)

    # Recording ---------------------------------------------------------------------------

    def record(self, capture: Callable | None = None) -> bool:
        """Record one iteration, to be replayed from now on; False where that cannot be.

        A replay starts all of an iteration's kernels at once, without Python in between.  It is
        only trusted when it leads where plain iterations do (`same_as_plain`).

        Args:
            capture: takes an iteration and returns its replay; `cuda_graph`, on a GPU, if None.

        An interrupt (KeyboardInterrupt) goes on to the caller, and the fit is where it was before.
        """
        if capture is None:
            if self.device.type != "cuda":
                return False
            capture = partial(cuda_graph, generator=self.noise)
        before, stop = self.state(), None
        try:
            replay = capture(self.step)
            self.load(before)
            if self.same_as_plain(replay):
                self._replay = replay
                return True
            why = "its replay does not lead where plain iterations do"
        except KeyboardInterrupt as interrupt:
            stop = interrupt
        except Exception as error:  # whatever a driver may raise: the plain step is there
            why, stop = f"{type(error).__name__}: {error}", error.__context__
        # A generator that a graph has held is not used again.
        self.draw_from(torch.Generator(self.z.device))
        self.load(before)
        if isinstance(stop, KeyboardInterrupt):  # or what it left broken was complained of
            raise stop
        warnings.warn(
            f"No CUDA graph here, the plain step is used, which is slower: {why}", stacklevel=2
        )
        return False

    def same_as_plain(self, replay: Callable[[], None], steps: int = 3) -> bool:
        """Do a few replayed iterations lead where as many plain ones do?  Leaves all as it was.

        From one state, each its own losses, rates and pictures; a perturbation or a dropout that is
        not drawn anew, or a step that is left out, shows in the second loss.
        """
        before, reached = self.state(), []
        for iterate in (replay, self.step):
            for _ in range(steps):
                iterate()
            reached.append([self.notes[:steps].clone(), self.output.clone(), self.averaged.clone()])
            self.load(before)
        return all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*reached))
