"""From a picture with holes to one without: `fill`.

First within seconds, without a network; then, as long as the time allows, by a network that sees
nothing but this picture.  Known pixels that neither was shown say which is better, and how much of
each the result has.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from skimage.measure import block_reduce

import dip_blocks
from dip_book import images, runs, words
from dip_book.restoring import budget, classical, held_out, networks, regions
from dip_book.runs.checkpoints import Checkpoint
from dip_book.runs.placing import write_whole
from dip_book.runs.provenance import code_digest
from dip_book.runs.spec import brief, is_number
from dip_parts.checks import as_seed, check_precision
from dip_parts.devices import numerics

CHECKPOINT_S = 15.0  # seconds between checkpoints
LOOK_S = 8.0  # seconds between pictures on the way
MARGIN = 0.92  # share of the time that is planned for iterations: pictures on the way take some
OVERRUN = 1.5  # a fit that takes so much longer than it was measured to is ended
FACTORS = (2, 3, 4, 6, 8)  # how many times smaller a picture a network may draw
PLAN = "restoring.json"  # in the folder of checkpoints: what they are of
#: And what they are called: by a canvas's number and a network's name.
OF_A_FIT = re.compile(
    r"\d+-({})\.(safetensors|([0-9a-f]{{8}}\.)?other)".format(
        "|".join(re.escape(one.name) for members in networks.RECIPES.values() for one in members)
    )
)
FORMAT = 1
LITTLE = 0.2  # dB
ROUNDS, ROUNDS_SHARE = 8, 0.1  # of hiding others, and the share of the time that they may take
FEW_UNITS = 4  # holes that say too little for a confident word
SMALLEST = 64  # pixels a side of a canvas: a network of five levels needs some


@dataclass
class Progress:
    """What is said on the way: ``said``, a line; ``image``, the picture so far, or None where it is
    as before; ``done``, from 0 to 1; ``left_s``, seconds that are left, or None."""

    said: str
    image: np.ndarray | None
    done: float
    left_s: float | None


@dataclass
class Filled:
    """What `fill` returns.

    ``image``: as given, with its missing pixels filled and its known pixels bit for bit;
    ``report``: what was measured and chosen, as JSON can hold it; ``said``: the same in a sentence
    or two; ``interrupted``: the picture is the best so far; ``methods``: what "biharmonic" and
    "network" make of the missing pixels, each (missing pixels, channels), as far as they got.
    """

    image: np.ndarray
    report: dict
    said: str
    interrupted: bool
    methods: dict[str, np.ndarray] = field(default_factory=dict, repr=False)


class _OutOfTime(Exception):
    """The fit takes much longer than it was measured to."""


def fill(
    image: np.ndarray,
    known: np.ndarray,
    *,
    minutes: float = 2.0,
    recipe: str | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    smaller: bool = False,
    work: Path | None = None,
    again: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Filled:
    """Fill the missing pixels of a picture, in about so many minutes.

    Only windows round the damage are worked on (`regions`): 16 to 64 pixels round it, the more the
    thicker it is.  So the whole process takes less than 2 GB (a photo of 12 megapixels with
    scratches: 1.2 GB), and a picture that would take more is refused.  First comes biharmonic
    interpolation; then networks, the most damaged windows first, as far as the time allows.  What
    a network is worth in this picture is measured at pixels that no method was shown
    (`held_out`), and its share in the result follows from that.  Interpolation is measured in up
    to `ROUNDS` rounds, each with other pixels hidden; the network in the first of them.  It is not
    fitted again with them: they are few, and the result has them as they were given.

    Args:
        image: float32 (H, W) or (H, W, 3), values in [0, 1]; what it holds at missing pixels is
            not used.
        known: bool (H, W), true where a pixel is known.
        minutes: for everything.  The width of the network and the number of iterations follow from
            a few timed iterations.
        recipe: a name among `networks.RECIPES`; chosen by the kind of damage if None.
        iterations: exactly so many, however long they take.
        seed: of weights, z, noise, and of what is held out.  Same seed and same number of
            iterations, on one machine with one number of threads: the same picture.
        device, precision: see `dip_blocks.restore`.
        smaller: let a network draw large damage at a lower resolution where the time does not
            suffice for the full one.
        work: a folder for checkpoints: the same call goes on from them.  A finished run goes
            on with more minutes or iterations; another picture comes of it than of so many from
            the beginning, as its learning rate has fallen already.  None: none are kept.
        again: begin anew, whatever lies in ``work``.
        progress: called with every line and picture.
        stop: asked between any two iterations or windows, and so about once a second; as soon as
            it says true, the call ends as after an interrupt.

    An interrupt (KeyboardInterrupt) or ``stop`` returns the best so far: `Filled.interrupted` is
    true, and the sentence begins with "Stopped early".  Checkpoints are kept, as far as there is a
    folder for them.

    Raises:
        ImageError: a picture that is not as above; no known pixel; more pixels than memory holds.
        RunError: an unknown recipe or device; no time, no iteration; checkpoints of other settings.
    """
    job = _Job(image, known, minutes, recipe, iterations, seed, device, precision, smaller)
    if work is not None and not isinstance(work, (str, PathLike)):
        raise runs.RunError(f"work is the path of a folder for checkpoints, not {brief(work)}.")
    job.work, job.again = None if work is None else Path(work), again
    if job.work is not None:
        with suppress(OSError):  # a folder that is gone: what cannot be written is said later
            job.work = job.work.absolute()  # a notebook's %cd meanwhile leads nothing elsewhere
    if job.work is not None and job.work.exists() and not job.work.is_dir():
        raise runs.RunError(f"'{job.work}' is a file: work is a folder for checkpoints.")
    for name, function in (("progress", progress), ("stop", stop)):
        if function is not None and not callable(function):
            raise runs.RunError(f"{name} is a function that is called, not {brief(function)}.")
    job.tell = progress or (lambda _: None)
    job.stop = stop or job.stop
    return job.run()


class _Job:
    """One call of `fill`: what was asked for, and what there is so far."""

    def __init__(self, image, known, minutes, recipe, iterations, seed, device, precision, smaller):
        self.begun = budget.clock()
        self.stop: Callable[[], bool] = lambda: False
        self.image, self.known = _checked(image, known)
        self.picture = self.image if self.image.ndim == 3 else self.image[..., None]
        if not is_number(minutes, Real) or not 0 < minutes < math.inf:
            raise runs.RunError(f"minutes: a number above 0, not {minutes!r}.")
        if iterations is not None and (not is_number(iterations, Integral) or iterations < 1):
            raise runs.RunError(f"Iterations: a whole number, 1 or more, not {iterations!r}.")
        named = isinstance(recipe, str) and recipe in networks.RECIPES
        if recipe is not None and not named:
            raise runs.RunError(
                f"No recipe is called '{recipe}'; there are {', '.join(networks.RECIPES)}."
            )
        with runs.blocks_errors():
            self.device = str(dip_blocks.as_device(device))
            seed = as_seed(seed)
            if precision is not None:
                check_precision(precision)
        iterations = None if iterations is None else int(iterations)
        self.precision = precision or dip_blocks.best_precision(self.device)
        # As JSON can hold them, in whichever kind they came.
        self.minutes, self.smaller = float(minutes), bool(smaller)
        self.iterations, self.seed = iterations, seed
        self.missing = ~self.known
        self.count = int(self.missing.sum())
        self.recipe = recipe or networks.recipe_for(self.known)
        self.easier = 0.0
        self.all_or_none = False  # is a part of the damage not worth drawing?
        self.values: np.ndarray | None = None  # of the missing pixels, as they are so far
        self.methods: dict[str, np.ndarray] = {}
        self.report: dict = {
            "pixels": list(self.known.shape), "missing": self.count,
            "recipe": self.recipe, "seed": seed, "device": self.device, "precision": self.precision,
            "chosen": "biharmonic", "weight": 0.0, "biharmonic": None, "network": None,
            "mixed": None, "iterations": 0, "width": None, "regions": 0,
            "hidden": None, "hidden_pixels": 0, "hidden_whole": None, "hidden_units": 0,
            "hidden_rounds": 0, "seconds": 0.0,
        }  # fmt: skip

    # The whole ------------------------------------------------------------------------------

    def run(self) -> Filled:
        """All steps, one after the other; an interrupt ends them."""
        if self.count == 0:
            return self._result("Nothing is missing.")
        needed = self._memory()
        self.kept = self._kept()
        self._say_what(needed)
        interrupted = False
        try:
            self._classical()
            self._hold_out()
            interrupted = not self._network()
        except KeyboardInterrupt:
            interrupted = True
        said = self._words()
        if interrupted:
            said = f"Stopped early; this is the picture so far. {said}"
        return self._result(said, interrupted)

    def _may_stop(self, *_) -> None:
        """Ask whether to go on; an interrupt if not."""
        if self.stop():
            raise KeyboardInterrupt

    def so_far(self) -> np.ndarray:
        """The picture with its missing pixels as they are so far."""
        filled = self.picture.copy()
        if self.count and self.values is None:
            self.values = classical.quick(self.picture, self.known)[self.missing]
        if self.count:
            filled[self.missing] = self.values
        return filled.reshape(self.image.shape)

    def _result(self, said: str, interrupted: bool = False) -> Filled:
        filled = self.so_far()
        self.report["seconds"] = round(self._spent(), 2)
        if not interrupted:
            self.tell(Progress(said, filled.copy(), 1.0, 0.0))  # whoever draws on it has a copy
        return Filled(filled, self.report, said, interrupted, self.methods)

    def _spent(self) -> float:
        return budget.clock() - self.begun

    def _left(self) -> float:
        return 60 * self.minutes - self._spent()

    # What it will take ------------------------------------------------------------------------

    def _memory(self) -> int:
        """Bytes in all; ImageError where they are too many."""
        pixels, channels = self.known.size, self.picture.shape[2]
        canvas = max(regions.CANVAS, (regions.SIDES[0][0] + 2 * regions.CONTEXT[1]) ** 2)
        canvas = min(canvas, max(pixels, SMALLEST**2))
        bytes_needed = budget.memory(pixels, channels, self.count, canvas)
        if bytes_needed > budget.MEMORY:
            fits = budget.largest(channels, self.count / pixels, canvas)
            height, width = self.known.shape
            scale = (fits / pixels) ** 0.5
            raise images.ImageError(
                f"{width}×{height} pixels would take {bytes_needed / 1e9:.1f} GB of memory, more "
                f"than {budget.MEMORY / 1e9:.0f} GB. Make the picture smaller: "
                f"{int(width * scale)}×{int(height * scale)} pixels fit."
            )
        return bytes_needed

    def _say_what(self, bytes_needed: int) -> None:
        (height, width), channels = self.known.shape, self.picture.shape[2]
        time = (
            f"{self.iterations:,} iterations"
            if self.iterations
            else f"about {self.minutes:g} minute{'' if self.minutes == 1 else 's'}"
        )
        self.report["memory_bytes_at_most"] = bytes_needed
        self.tell(
            Progress(
                f"{width}×{height} pixels, {'colour' if channels == 3 else 'grey'}; "
                f"{self.count:,} of them ({self.count / self.known.size:.1%}) are missing. "
                f"This takes {time} and at most {bytes_needed / 1e9:.1f} GB of memory.",
                None, 0.0, 60.0 * self.minutes,
            )
        )  # fmt: skip

    # Without a network --------------------------------------------------------------------------

    def _classical(self) -> None:
        self.values = classical.quick(self.picture, self.known)[self.missing]
        self.tell(Progress("A smooth filling, to begin with.", self.so_far(), 0.01, self._left()))
        last = budget.clock()

        def seen(share: float) -> None:
            nonlocal last
            self._may_stop()
            if budget.clock() - last > LOOK_S:
                last = budget.clock()
                said = f"Biharmonic interpolation: {share:.0%}."
                self.tell(Progress(said, None, 0.01 + 0.1 * share, None))

        until = budget.clock() + 60 * self.minutes * 0.5
        self.values, counts = classical.biharmonic(
            self.picture, self.known, self.missing, seen, until
        )
        self.base = self.methods["biharmonic"] = self.values
        self.report["filled_by"] = counts
        self.report["seconds_biharmonic"] = round(self._spent(), 2)
        self.tell(
            Progress(
                f"Filled by {_by(counts)} after {self._spent():.0f} s.",
                self.so_far(), 0.1, self._left(),
            )
        )  # fmt: skip

    # What measures ------------------------------------------------------------------------------

    def _hold_out(self) -> None:
        held = held_out.choose(self.known, seed=self.seed)
        self.held, self.fitted = held.mask, self.known & ~held.mask
        self.truth = self.picture[self.held]
        self.units = held.units()
        begun = budget.clock()
        self.held_base, _ = classical.biharmonic(
            self.picture, self.fitted, self.held, self._may_stop, begun + 60 * self.minutes * 0.2
        )
        self.report |= {
            "hidden": held.how, "hidden_pixels": held.count, "hidden_whole": held.whole,
            "hidden_units": len(np.unique(self.units)), "hidden_rounds": 1,
            "biharmonic": held_out.decibel(self.held_base - self.truth),
        }  # fmt: skip
        self._more_rounds(budget.clock() - begun)

    def _more_rounds(self, took: float) -> None:
        """Hide other pixels, and others again, while a round takes little of the time.

        One round's pixels may be easier or harder than the damage.  Interpolation costs so little
        that it can be measured at many; a network is measured where it was not shown the pixels,
        in the first round, and is taken to be ahead of interpolation everywhere as it is there.
        """
        first = self.report["biharmonic"]
        if first is None:  # nothing could be hidden
            return
        errors = [self.held_base - self.truth]
        affordable, each = ROUNDS, math.inf  # with so many iterations, whatever the clock says
        if self.iterations is None:
            affordable = ROUNDS_SHARE * 60 * self.minutes / max(took, 1e-3)
            each = took * ROUNDS
        for number in range(1, min(ROUNDS, int(affordable))):
            held = held_out.choose(self.known, seed=[self.seed, number])
            drawn, _ = classical.biharmonic(
                self.picture,
                self.known & ~held.mask,
                held.mask,
                self._may_stop,
                budget.clock() + each,
            )
            errors.append(drawn - self.picture[held.mask])
            self.report["hidden_rounds"] += 1
            self.report["hidden_pixels"] += held.count
        self.report["biharmonic"] = held_out.decibel(np.concatenate(errors))
        #: How much easier the pixels of all rounds are than the first's, in dB.
        self.easier = self.report["biharmonic"] - first

    # With one -------------------------------------------------------------------------------------

    def _network(self) -> bool:
        """Fit what the time allows; False if an interrupt ended it."""
        self.cutting = self._cut()
        self.report["regions"] = len(self.cutting.windows)
        self.canvases = self._canvases()
        wanted = self.cutting.wanted
        self.of_missing = np.flatnonzero(self.missing.flat[wanted])
        self.of_held = np.flatnonzero(self.held.flat[wanted])
        chosen = self._plan()
        if chosen.canvases < len(self.canvases) and self.smaller:
            return self._at_lower_resolution()
        if chosen.canvases < (len(self.canvases) if self.all_or_none else 1):
            return True
        self.report |= {
            "iterations_planned": chosen.iterations, "width": chosen.width,
            "canvases": chosen.canvases, "canvases_in_all": len(self.canvases),
        }  # fmt: skip
        return self._fits(chosen)

    def _cut(self) -> regions.Cutting:
        """Windows; one of the whole picture, where they would be most of it."""
        lacking = ~self.fitted
        cutting = regions.cut(lacking)
        if self.known.size <= regions.CANVAS and cutting.area > 0.6 * self.known.size:
            rows, columns = np.nonzero(lacking)
            places = np.arange(len(rows))
            whole = regions.Window(
                0, 0, *self.known.shape, places, rows, columns, np.ones(len(rows))
            )
            return regions.Cutting([whole], cutting.wanted, cutting.shape)
        return cutting

    def _canvases(self) -> list[regions.Canvas]:
        """Windows on canvases, those with the most damage an area first."""
        windows = self.cutting.windows
        dense = [-len(window.places) / (window.height * window.width) for window in windows]
        canvases, some, area = [], [], 0
        for number in sorted(range(len(windows)), key=lambda n: (dense[n], n)):
            window = windows[number]
            own = (window.height + regions.GAP) * (window.width + regions.GAP)
            if some and area + own > 0.8 * regions.CANVAS:
                canvases += regions.lay_out(self.cutting, some)
                some, area = [], 0
            some.append(number)
            area += own
        canvases += regions.lay_out(self.cutting, some)
        for canvas in canvases:
            canvas.shape = tuple(max(side, SMALLEST) for side in canvas.shape)
        return canvases

    def _plan(self) -> budget.Plan:
        """From the checkpoints' folder, or from a few timed iterations."""
        kept, members = dict(self.kept), networks.RECIPES[self.recipe]
        width = max(member.width for member in members)
        if self.iterations is not None:
            own = {"width": kept.get("width", width), "canvases": len(self.canvases)}
            return self._keep(kept | own | {"iterations": self.iterations})
        if kept.get("minutes") == self.minutes:
            return self._keep(kept)
        areas = [canvas.pixels for canvas in self.canvases]
        if not kept.get("minutes"):
            pace = self._pace()
            most = max(member.recipe.iterations for member in members)
            chosen = budget.plan(
                MARGIN * self._left(), pace, areas, most=most, width=width, members=len(members)
            )
            if chosen.canvases < len(areas):
                seconds = self._spent() + budget.needed(pace, areas, len(members)) / MARGIN
                self.report["minutes_for_all"] = max(round(seconds / 60, 1), 0.1)
            chosen = replace(  # what was begun with so many iterations stays a part of the picture
                chosen,
                width=kept.get("width", chosen.width),
                canvases=max(chosen.canvases, kept.get("canvases", 0)),
            )
            plan = {"pace": pace, "minutes": self.minutes} | asdict(chosen)
            return self._keep(
                plan | {"iterations": max(chosen.iterations, kept.get("iterations", 0))}
            )
        # a run that was planned for less time goes on: to more canvases, or for longer
        per_pixel = kept["pace"] * len(members) * kept["width"] / width
        more = MARGIN * 60 * max(self.minutes - kept["minutes"], 0.0) / per_pixel
        while kept["canvases"] < len(areas):
            more -= areas[kept["canvases"]] * kept["iterations"]
            if more < 0:
                break
            kept["canvases"] += 1
        else:
            most = max(max(member.recipe.iterations for member in members), kept["iterations"])
            kept["iterations"] = min(kept["iterations"] + int(more / sum(areas)), most)
        kept["minutes"] = max(self.minutes, kept["minutes"])
        return self._keep(kept)

    def _pace(self) -> float:
        """Seconds that an iteration takes a pixel of a canvas."""
        member = networks.RECIPES[self.recipe][0]
        fit = self._fit(member, self.canvases[0], member.width, budget.TIMED)
        most, begun, times = 60 * self.minutes * budget.TIMING, budget.clock(), []
        with numerics(fit.device, fit.precision):
            while len(times) < budget.TIMED:
                self._may_stop()
                before = budget.clock()
                fit.run(1)
                float(fit.good_loss)  # waits for a GPU
                times.append(budget.clock() - before)
                if len(times) > 1 and budget.clock() - begun > most:
                    break
        return max(float(np.median(times[1:])), 1e-6) / self.canvases[0].pixels

    def _fit(self, member, canvas, width: int, iterations: int) -> dip_blocks.Fit:
        x, m = self._laid(canvas)
        with runs.blocks_errors():
            return member.fit(
                x, m, width, iterations, seed=self.seed, device=self.device,
                precision=self.precision,
            )  # fmt: skip

    def _laid(self, canvas) -> tuple[np.ndarray, np.ndarray]:
        m = canvas.lay(self.cutting, self.fitted, False)
        x = canvas.lay(self.cutting, self.picture)
        x = np.where(m[..., None], x, np.float32(0))
        return (x if x.shape[2] == 3 else x[..., 0]), m

    def _fits(self, chosen: budget.Plan) -> bool:
        """All fits, one after the other; False if an interrupt ended them."""
        members = networks.RECIPES[self.recipe]
        targets = self.canvases[: chosen.canvases]
        self.total = chosen.iterations * len(targets) * len(members)
        self.done, self.drawn = 0, {}  # window → what each network drew in it
        self.fit_begun = self.last_look = budget.clock()
        self.limit = None if self.iterations else OVERRUN * max(self._left(), 10.0)
        finished = True
        for k, canvas in enumerate(targets):
            for member in members:
                finished = self._one(f"{k}-{member.name}", canvas, member, chosen)
                if not finished:
                    break
            if not finished:
                break
        self._choose(self.drawn)
        return finished or self.report.get("stopped") == "time"

    def _one(self, name: str, canvas, member, chosen: budget.Plan) -> bool:
        """Fit one network to one canvas; False if something ended it."""
        fit = self._fit(member, canvas, chosen.width, chosen.iterations)
        saved = self._checkpoint(name, member, chosen.width)
        if saved is not None and saved.state is not None:
            with runs.blocks_errors():
                fit.load(saved.state)
        before, finished = self.done, True

        def watch(fit) -> None:
            self.done = before + fit.iteration
            if saved is not None:
                saved(fit)
            now = budget.clock()
            if now - self.last_look > LOOK_S:
                self.last_look = now
                self._look(canvas, member, fit)
            self._may_stop()
            if self.limit is not None and now - self.fit_begun > self.limit:
                raise _OutOfTime

        with numerics(fit.device, fit.precision):
            try:
                if fit.iteration < chosen.iterations:
                    finished = fit.run_through(chosen.iterations, (), False, watch)
            except _OutOfTime:
                self.report["stopped"] = "time"
                finished = False
            self.done = before + fit.iteration
            self.report["iterations"] = max(self.report["iterations"], fit.iteration)
            if saved is not None and (finished or self.report.get("stopped")):
                saved.fit = fit  # after an interrupt the last step is undone: not this state
                saved.finish()
            if fit.iteration:
                self._note(self.drawn, canvas, member, fit.averaged_image().numpy())
        return finished

    def _note(self, drawn: dict, canvas, member, laid: np.ndarray) -> None:
        """Keep what a network drew on a canvas, (channels, H, W), window by window."""
        x, m = self._laid(canvas)
        k = canvas.lay(self.cutting, self.known, False)
        full = canvas.lay(self.cutting, self.picture)
        full = np.where(k[..., None], full, np.float32(0))
        full = full if full.shape[2] == 3 else full[..., 0]
        laid = torch.from_numpy(np.ascontiguousarray(laid))
        for_held = dip_blocks.blend(laid, x, m).numpy().transpose(1, 2, 0)
        for_missing = dip_blocks.blend(laid, full, k).numpy().transpose(1, 2, 0)
        picked = zip(
            canvas.pick(self.cutting, for_held).items(),
            canvas.pick(self.cutting, for_missing).values(),
        )
        for (number, held), missing in picked:
            window = self.cutting.windows[number]
            at = window.rows, window.columns
            drawn.setdefault(number, {})[member.name] = (held[at], missing[at])

    def _gathered(self, drawn: dict) -> tuple[np.ndarray, np.ndarray]:
        """What the networks drew, at the held-out and at the missing pixels; NaN where nothing."""
        sums = np.zeros((2, len(self.cutting.wanted), self.picture.shape[2]), np.float32)
        weights = np.zeros((len(self.cutting.wanted), 1), np.float32)
        for number, by in drawn.items():
            window = self.cutting.windows[number]
            weight = window.weights[:, None].astype(np.float32)
            weights[window.places] += weight
            for kind in (0, 1):
                mean = np.mean([pair[kind] for pair in by.values()], axis=0)
                sums[kind, window.places] += weight * mean
        with np.errstate(invalid="ignore", divide="ignore"):
            held, missing = np.where(weights > 0, sums / weights, np.nan)
        return held[self.of_held], missing[self.of_missing]

    def _choose(self, drawn: dict) -> None:
        """Mix by what was measured; where the network drew nothing, nothing changes."""
        if not drawn:
            return
        self._mix(*self._gathered(drawn))

    def _mix(self, held: np.ndarray, missing: np.ndarray) -> None:
        """The result, from what a network drew of the held-out and of the missing pixels."""
        there = np.isfinite(held).all(1)
        choice = held_out.mix(
            self.truth[there], self.held_base[there], held[there], self.units[there]
        )
        mixed = self.base + choice.weight * (missing - self.base)
        self.values = np.where(np.isfinite(mixed), mixed, self.base).clip(0, 1)
        self.report |= {
            "network": self._everywhere(choice.second_db),
            "mixed": self._everywhere(choice.mixed_db), "weight": choice.weight,
            "chosen": _chosen(choice.weight),
            "drawn": round(float(np.isfinite(missing).all(1).mean()), 3),
        }  # fmt: skip
        if choice.first_db is not None:
            self.report["biharmonic"] = self._everywhere(choice.first_db)
        self.methods["network"] = missing

    def _everywhere(self, db: float | None) -> float | None:
        """PSNR at the pixels of all rounds, from that at the first's."""
        return None if db is None else round(db + self.easier, 3)

    def _look(self, canvas, member, fit) -> None:
        """A picture on the way: with what this fit has averaged so far."""
        now = {number: dict(by) for number, by in self.drawn.items()}
        self._note(now, canvas, member, fit.averaged_image().numpy())
        self._choose(now)
        share = self.done / max(self.total, 1)
        took = budget.clock() - self.fit_begun
        left = took / max(share, 1e-6) * (1 - share)
        self.tell(
            Progress(
                f"Network: {self.done:,} of {self.total:,} iterations, {self._estimates()}.",
                self.so_far(), 0.1 + 0.9 * share, left,
            )
        )  # fmt: skip

    # At a lower resolution ------------------------------------------------------------------------

    def _at_lower_resolution(self) -> bool:
        """Let the network draw a smaller picture, and enlarge that; False if interrupted."""
        for factor in (self.kept["factor"],) if "factor" in self.kept else FACTORS:
            small, known = _shrunk(self.picture, self.fitted, factor)
            if known.all() or not known.any():
                return True  # what is missing is too small to be seen there
            inner = _Job(
                small if small.shape[2] == 3 else small[..., 0], known,
                max(self._left(), 1.0) / 60, self.recipe, None, self.seed, self.device,
                self.precision, False,
            )  # fmt: skip
            inner.tell = lambda seen, inner=inner, factor=factor: self._look_smaller(
                inner, factor, seen
            )
            inner.stop = self.stop
            inner.work, inner.again = self.work and self.work / f"smaller-{factor}", False
            inner.measure_nothing()
            inner.all_or_none = factor < FACTORS[-1] and "factor" not in self.kept
            finished = inner.network_alone()
            if inner.report["iterations"]:
                self._keep(self.kept | {"factor": factor})
                self._take_enlarged(inner, factor)
                return finished
        return True

    def network_alone(self) -> bool:
        """As a part of another call: nothing where there is no time for all of the damage."""
        self.kept = self._kept()
        if self.kept.get("minutes"):  # begun by the same call before: not planned anew
            self.minutes = self.kept["minutes"]
        return self._network()

    def measure_nothing(self) -> None:
        """As a part of another call, which measures for itself."""
        self.base = self.values = classical.quick(self.picture, self.known)[self.missing]
        self.held, self.fitted = np.zeros_like(self.known), self.known
        self.truth = self.held_base = self.picture[self.held]
        self.units = np.zeros(0, int)

    def _take_enlarged(self, inner: _Job, factor: int) -> None:
        """Mix what a network drew at a lower resolution into what there is."""
        drawn = inner.picture.copy()
        values = inner.methods["network"]
        drawn[inner.missing] = np.where(np.isfinite(values), values, inner.base)
        enlarged = (_enlarged(drawn, where, factor) for where in (self.held, self.missing))
        self._mix(*enlarged)
        self.report |= {
            key: inner.report.get(key)
            for key in ("recipe", "iterations", "iterations_planned", "width", "regions")
        } | {"smaller": factor}

    def _look_smaller(self, inner: _Job, factor: int, seen: Progress) -> None:
        """A picture on the way, at full size."""
        if seen.image is None:
            self.tell(Progress(seen.said, None, 0.1, seen.left_s))
            return
        self._take_enlarged(inner, factor)
        said = (
            f"Network at 1/{factor} of the resolution: {inner.done:,} of {inner.total:,} "
            f"iterations, {self._estimates()}."
        )
        self.tell(Progress(said, self.so_far(), seen.done, seen.left_s))

    # Checkpoints ----------------------------------------------------------------------------------

    def _settings(self) -> dict:
        """What must be the same for a call to go on from checkpoints, each with its name."""
        return {
            "picture": hashlib.sha256(
                np.ascontiguousarray(self.image[self.known], np.float32).tobytes()
            ).hexdigest(),
            "mask": hashlib.sha256(self.known.tobytes()).hexdigest(),
            "recipe": self.recipe, "seed": self.seed,
            "device": torch.device(self.device).type, "precision": self.precision,
            "smaller": self.smaller, "threads": torch.get_num_threads(),
            "PyTorch": torch.__version__, "code": code_digest(), "format": FORMAT,
        }  # fmt: skip

    def _kept(self) -> dict:
        """The plan that lies in the folder; RunError if it is of other settings."""
        if self.work is None:
            return {}
        file = self.work / PLAN
        if self.again and self.work.is_dir():
            try:
                for folder in (self.work, *(self.work / f"smaller-{factor}" for factor in FACTORS)):
                    for old in _of_a_fit(folder):
                        old.unlink(missing_ok=True)
            except OSError as error:
                raise runs.RunError(
                    f"What lies in {self.work} of a fit before cannot be removed "
                    f"({words.plain(str(error))}): choose another folder for work."
                ) from error
            self.again = False
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            theirs = dict(kept["settings"])
            _check_plan(kept)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise runs.RunError(
                f"{file} cannot be read ({error}). Begin anew with --again (again=True)."
            ) from error
        different = [
            f"{name} is another one"
            if name in ("picture", "mask", "code")
            else f"{name} is {value!r} here and {theirs.get(name)!r} there"
            for name, value in self._settings().items()
            if theirs.get(name) != value
        ]
        if different:
            raise runs.RunError(
                f"The checkpoints in {self.work} are of other settings: {'; '.join(different)}. "
                "Go on with the settings they are of, or begin anew with --again (again=True)."
            )
        return kept

    def _keep(self, plan: dict) -> budget.Plan:
        """Write the plan down, and give it.  A full disk ends no work: it is said."""
        self.kept = plan
        if self.work is not None:
            content = json.dumps(plan | {"settings": self._settings()}, indent=2)
            try:
                self.work.mkdir(parents=True, exist_ok=True)
                write_whole(self.work / PLAN, content.encode())
            except OSError as error:
                self.tell(
                    Progress(
                        f"What going on later needs cannot be written ({error.strerror or error}); "
                        "the work goes on.",
                        None, 0.1, self._left(),
                    )
                )  # fmt: skip
        return budget.Plan(plan["width"], plan["iterations"], plan["canvases"])

    def _checkpoint(self, name: str, member, width: int) -> Checkpoint | None:
        if self.work is None:
            return None
        same = self._settings() | {"member": member.name, "width": width}
        return Checkpoint(self.work / f"{name}.safetensors", same, CHECKPOINT_S)

    # Words ----------------------------------------------------------------------------------------

    def _estimates(self) -> str:
        """What was measured at the held-out pixels, so far."""
        first, second = self.report["biharmonic"], self.report["network"]
        if first is None or second is None:
            return "nothing to measure it by"
        return f"{second:.1f} dB where it was not shown (biharmonic {first:.1f} dB)"

    def _words(self) -> str:
        report = self.report
        if self.values is None:
            return "Filled smoothly, without a network."
        by = _by(report["filled_by"]) if "filled_by" in report else "a smooth filling"
        if report["network"] is None and not report["iterations"]:
            if "minutes_for_all" in report:
                return (
                    f"Filled by {by}. A network needs more time for so much damage: about "
                    f"{report['minutes_for_all']:g} minutes."
                )
            return f"Filled by {by}."
        if report["network"] is None:
            return f"Filled by {by}: no known pixel could be spared to measure a network by."
        first = f"{by} {report['biharmonic']:.1f} dB"
        where = f"{report['hidden_pixels']:,} known pixels that were hidden"
        if report["hidden_rounds"] > 1:
            where += f" in {report['hidden_rounds']} rounds"
        measured = f"At {where}, {first} and the network {report['network']:.1f} dB"
        if report["chosen"] == "biharmonic":
            said = f"The network does not help here, and was left out. {measured}."
        elif report["chosen"] == "network":
            said = f"The network helps. {measured}."
        else:
            little = " little" if report["mixed"] - report["biharmonic"] < LITTLE else ""
            said = (
                f"The network helps{little}: {report['weight']:.0%} of the result are its own. "
                f"{measured}, both together {report['mixed']:.1f} dB."
            )
        if report["hidden"] == held_out.SINGLE and not regions.scattered(self.known):
            said += " No hole of the damage's shape found room there, so single pixels were hidden."
        elif report["hidden_units"] < FEW_UNITS:
            said += " Few holes were compared, so that may differ at the damage."
        if report["drawn"] < 0.995:
            said += (
                f" It drew {report['drawn']:.0%} of what is missing; the rest is filled by {by}."
            )
            if "minutes_for_all" in report:
                said += f" All of it takes about {report['minutes_for_all']:g} minutes."
        return said


def _of_a_fit(folder: Path) -> list[Path]:
    """Plan and checkpoints in a folder; what else is there may be the reader's, or other fits'."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir())
    return [folder / name for name in names if name == PLAN or OF_A_FIT.fullmatch(name)]


def _check_plan(kept: dict) -> None:
    """ValueError for a plan that no `_Job` has written: somebody has edited it."""
    timed = {"pace": float, "width": int, "iterations": int, "canvases": int}
    if kept.get("minutes") and (lacking := timed.keys() - kept.keys()):
        raise ValueError(f"it lacks {min(lacking)}")
    for name, kind in (timed | {"minutes": float, "factor": int}).items():
        if name not in kept or name == "minutes" and kept[name] is None:
            continue
        sound = type(kept[name]) in {int, kind} and 0 <= kept[name] < math.inf
        if not sound or name in ("pace", "width") and not kept[name]:
            raise ValueError(f"{name} is {brief(kept[name])!r}")
    if kept.get("factor", FACTORS[0]) not in FACTORS:
        raise ValueError(f"factor is {kept['factor']}")


def _shrunk(picture: np.ndarray, known: np.ndarray, factor: int):
    """A picture so many times smaller, means of what is known; and where half of it is."""
    counts = block_reduce(known.astype(np.float32), (factor, factor), np.sum)
    sums = [
        block_reduce(np.where(known, picture[..., channel], 0), (factor, factor), np.sum)
        for channel in range(picture.shape[2])
    ]
    small = np.stack(sums, -1) / np.maximum(counts, 1)[..., None]
    return small.clip(0, 1).astype(np.float32), counts >= factor * factor / 2


def _enlarged(small: np.ndarray, where: np.ndarray, factor: int) -> np.ndarray:
    """The values that an enlarged picture has at some pixels, (pixels, channels)."""
    at = [(axis + 0.5) / factor - 0.5 for axis in np.nonzero(where)]
    channels = [
        ndimage.map_coordinates(small[..., channel], at, order=1, mode="nearest")
        for channel in range(small.shape[2])
    ]
    return np.stack(channels, -1)


def _chosen(weight: float) -> str:
    """What a weight amounts to."""
    if weight < 0.005:
        return "biharmonic"
    return "both" if weight < 0.95 else "network"


def _by(counts: dict) -> str:
    """How the classical filling was done, in words."""
    names = {
        "biharmonic": "biharmonic interpolation",
        "coarse": "biharmonic interpolation at a lower resolution",
        "quick": "means of what is near",
    }
    used = [names[how] for how, count in counts.items() if count]
    return " and ".join(used) or names["biharmonic"]


def _as_array(given) -> np.ndarray:
    """An array, or a tensor as one; ImageError for a tensor of which NumPy has no like."""
    if not isinstance(given, torch.Tensor):
        return np.asarray(given)
    try:
        return given.detach().cpu().numpy()
    except (TypeError, RuntimeError):  # bfloat16, or a sparse one
        raise images.ImageError(
            f"A tensor of {given.dtype}, {given.layout}, is no picture: pass image.float(), dense."
        ) from None


def _checked(image, known) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask as they must be, or an ImageError that says what is wrong."""
    if any(isinstance(given, np.ma.MaskedArray) for given in (image, known)):
        raise images.ImageError(
            "A masked array hides pixels that would be taken as they are: pass array.filled(0) as "
            "the picture, and ~np.ma.getmaskarray(array) as known."
        )
    image, known = map(_as_array, (image, known))
    if image.dtype != np.float32 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise images.ImageError(
            "A picture is float32, (H, W) or (H, W, 3), with values from 0 to 1; this is "
            f"{image.dtype}, {image.shape}."
        )
    if known.dtype != bool or known.shape != image.shape[:2]:
        raise images.ImageError(
            f"The mask is bool and has the picture's height and width, {image.shape[:2]}; this is "
            f"{known.dtype}, {known.shape}."
        )
    if known.size == 0 or not known.any():
        raise images.ImageError("No pixel is known: there is nothing to go by.")
    values = image[known]
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise images.ImageError(
            "Known pixels have values from 0 to 1; divide 8-bit values by 255, and mark what is "
            "not a number as missing."
        )
    return image, known
