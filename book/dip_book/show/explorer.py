"""The explorer: what was given beside what came out, iteration by iteration.

It shows runs, to choose from by picture and recipe.  In the rendered book it is HTML with its data
(`dip_book.show.views`).  Where a kernel runs (JupyterLab, VS Code, Colab) the same object is an
anywidget, from the same script, that can also start, pause and stop a run.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterable

import anywidget
import numpy as np
import torch
import traitlets

import dip_blocks
from dip_book import images, tasks, words
from dip_book.build.first_cell import has_reader
from dip_book.results import classical
from dip_book.runs import Run, Spec, sweeps
from dip_book.show import figures, views

#: While a run is watched, showing it takes at most this share of its time, and no more than so many
#: pictures a second.
SHARE, RATE = 0.02, 4.0
SIZES = (96, 128, 256)
#: Between a number and what it is of.
NBSP = "\N{NO-BREAK SPACE}"


class Explorer(views.View):
    """Stored runs to look at; where a kernel runs, also a run to start.

    Each side of a divider shows what was given, the truth, an interpolation, or what any of the
    runs of the same picture drew.  A scrubber goes through the frames that a run stored, with a
    cursor in the curves of loss, PSNR and learning rate; the last stop is the run's final output.
    It plays once when it is first seen, unless the reader wants no motion.  A run without frames
    shows its end alone, one without pictures its curves; the figure says so.

    Truth, given and interpolation are missing where the picture is not at hand.  Of pictures
    without a free licence they are shown to a reader with a kernel, and never put into a page.

    Args:
        runs: what to choose from; the first that has frames is shown first.
        size, iterations: what a run started here begins with, in pixels a side and in steps.
        compact: pictures and scrubber only, without curves and facts.
    """

    def __init__(
        self, runs: list[Run] | Run, size: int = 128, iterations: int = 300, compact: bool = False
    ):
        text = (
            "A picture on either side of a divider: what was given, what a network drew of it, "
            "what interpolation made of it, the truth"
        )
        if not (runs := [runs] if isinstance(runs, Run) else list(runs)):
            raise ValueError(
                "There is no run to show: what was looked for is not stored. `python -m dip_book "
                "status` lists what is."
            )
        if strange := [run for run in runs if not isinstance(run, Run)]:
            raise ValueError(
                f"An explorer shows stored runs; among these is {strange[0]!r:.60}. What "
                "runs.stored gives for a run that is not stored is None."
            )
        first = next((run for run in runs if run.frames), runs[0])
        entries = [entry(run) for run in runs]
        super().__init__("explorer", shared(entries), still(first, compact), text)
        self.data |= {"compact": True} if compact else {}
        self._offers = {"size": size, "iterations": iterations}
        self._widget: Live | None = None

    @property
    def widget(self) -> Live:
        """The live side, made when it is first asked for."""
        if self._widget is None:
            known = {key: self.data[key] for key in ("runs", "pictures")}
            self._widget = Live(**known, **self._offers)
        return self._widget

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/html": self._repr_html_(), "text/plain": "<explorer>"}
        if not has_reader():
            return bundle
        data, metadata = self.widget._repr_mimebundle_()
        return {**data, **bundle}, metadata


class Live(anywidget.AnyWidget):
    """The explorer with a kernel behind it: one run at a time, in a thread of its own.

    A run that another explorer has begun is stopped: a cell that was run again has taken its button
    away.

    ``run`` is the last run that ended (or was stopped) here, as
    `dip_book.runs.sweeps.recording` has it.
    """

    _begun_here: weakref.WeakSet = weakref.WeakSet()
    _esm = views.script("explorer")
    _css = views.styles()
    runs = traitlets.List().tag(sync=True)
    pictures = traitlets.List().tag(sync=True)
    offers = traitlets.Dict().tag(sync=True)

    def __init__(self, runs: list[dict], pictures: list[str], size: int, iterations: int):
        known = [{"name": name, "title": images.title(name)} for name in images.EMBEDDED]
        sizes = sorted({*SIZES, size})
        offers = {
            "pictures": known,
            "recipes": list(dip_blocks.RECIPES),
            "sizes": sizes,
            "size": size,
            "iterations": iterations,
        }
        super().__init__(runs=runs, pictures=pictures, offers=offers)
        self.run: Run | None = None
        self._thread: threading.Thread | None = None
        self._going, self._stopping, self._count = threading.Event(), False, 0
        self.on_msg(lambda _, content, buffers: self.answer(content))

    @property
    def running(self) -> bool:
        """Is a run under way (or paused)?"""
        return self._thread is not None and self._thread.is_alive()

    def answer(self, content: dict) -> None:
        """Do what a button says: start, pause, resume or stop.

        ``content`` is {"do": "start" (with picture, recipe, size, iterations), "pause", "resume",
        "stop"}.
        """
        what = content.get("do")
        if what == "start":
            self.start(*(content[key] for key in ("picture", "recipe", "size", "iterations")))
        elif what == "pause" and not self._stopping:
            self._going.clear()
        elif what in ("resume", "stop"):
            self._stopping |= what == "stop"
            self._going.set()

    def start(self, picture: str, recipe: str, size: int, iterations: int) -> None:
        """Start a run; the figure says what is wrong with the wish, and a run under way goes on."""
        try:
            if self.running:
                raise ValueError("A run is under way; stop it first.")
            if not isinstance(iterations, int) or iterations < 1:
                raise ValueError("Iterations: a whole number, 1 or more.")
            spec = Spec(picture, size, recipe, iterations=iterations)
            spec.resolved()
            truth = images.load(picture, size=size)
        except (ValueError, TypeError) as error:
            self.send({"kind": "running" if self.running else "failed", "text": words.plain(error)})
            return
        for other in {*Live._begun_here} - {self}:
            if other.running:
                other.answer({"do": "stop"})
        Live._begun_here.add(self)
        self._stopping = False
        self._going.set()
        self._count += 1
        self._thread = threading.Thread(target=self._work, args=(spec, truth), daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the run under way to end."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _work(self, spec: Spec, truth: np.ndarray) -> None:
        degradation = sweeps.degradation_of(spec, truth)
        x_hat = degradation.degrade(truth, spec.seeds["mask"])
        watch = Watch(self, spec)
        try:
            with sweeps.recording(spec, truth) as record:
                result = dip_blocks.restore(
                    x_hat, degradation, spec.resolved(), seed=spec.seed, truth=truth,
                    progress=False, watch=watch,
                )  # fmt: skip
                run = record(result)
            run.facts["wall_time_s"] = round(run.facts["wall_time_s"] - watch.paused, 2)
            run.facts["iterations_per_s"] = round(
                run.facts["iterations"] / max(run.facts["wall_time_s"], 0.01), 3
            )
            run.facts["note"] = f", run {self._count} here"
            run.frames.update(watch.kept)
            self.run = run
            shown = entry(run)
            self.runs = [*self.runs, shown]  # a second view of this widget shows it too
            text = (
                f"Stopped after {len(result.history):,} iterations."
                if result.interrupted
                else "Done."
            )
            self.send(
                {
                    "kind": "ended",
                    "text": text,
                    "now": {key: shown[key] for key in ("restored", "facts", "psnr", "history")},
                }
            )
        except Exception as error:  # of whatever kind: in a thread nobody else would hear of it
            sentence = isinstance(error, ValueError)  # as the method and the book say what is wrong
            said = str(error) if sentence else f"{type(error).__name__}: {error}"
            self.send({"kind": "failed", "text": words.plain(said)})


class Watch:
    """What `dip_blocks.restore` calls while it runs for a `Live` explorer: shows, waits, stops.

    It keeps its own time: after an update that took t seconds the next comes t / `SHARE` seconds
    later at the earliest, so that showing a run does not slow it.
    """

    def __init__(self, live: Live, spec: Spec):
        self.live, self.spec = live, spec
        self.paused, self.next, self.begun = 0.0, 0.0, False
        self.kept: dict[int, np.ndarray] = {}
        self.begun_at = time.perf_counter()

    def __call__(self, fit: dip_blocks.Fit) -> None:
        if not self.live._going.is_set():
            halted = time.perf_counter()
            self.live.send(
                {"kind": "running", "text": f"Paused in iteration {fit.iteration:,}.", "now": {}}
            )
            self.live._going.wait()
            self.paused += time.perf_counter() - halted
        if self.live._stopping:
            raise KeyboardInterrupt  # `restore` then returns the last good state
        now = time.perf_counter()
        if now >= self.next:
            self._show(fit, f"Iteration {fit.iteration:,} of {self.spec.resolved().iterations:,}")
            self.next = now + max(1 / RATE, (time.perf_counter() - now) / SHARE)

    def _show(self, fit: dip_blocks.Fit, text: str) -> None:
        picture = tasks.channels_last(fit.output)
        url = views.image_url(picture, quick=True)
        seconds = time.perf_counter() - self.begun_at - self.paused
        now = {
            "restored": url,
            "history": columns(fit.history, [*self.kept, fit.iteration]),
            "facts": f"{picture.shape[1]}×{picture.shape[0]} pixels, "
            f"{fit.iteration:,} iterations in {duration(seconds)}, "
            f"seed{NBSP}{self.spec.seed}",
        }
        if not self.begun:
            self.begun = True
            now |= {
                "title": images.title(self.spec.image),
                "recipe": f"{self.spec.recipe}, run {self.live._count} here",
                **stills(
                    tasks.channels_last(fit.truth),
                    fit.x_hat.cpu(),
                    self.spec.task,
                    sweeps.degradation_of(self.spec, tasks.channels_last(fit.truth)),
                ),  # fmt: skip
                "line": views.line(self.spec.recipe),
                "ratio": round(picture.shape[1] / picture.shape[0], 4),
                "frames": [],
            }
            self.live.send({"kind": "started", "text": text, "now": now})
            return
        self.kept[fit.iteration] = picture
        self.kept = (
            self.kept if len(self.kept) <= 60 else dict(list(self.kept.items())[1::2])
        )  # as in the script
        self.live.send(
            {
                "kind": "grown",
                "text": text,
                "now": now,
                "frame": {"iteration": fit.iteration, "url": url},
            }
        )


def entry(run: Run) -> dict:
    """A run as the script wants it: JSON with pictures as data URLs.

    What is not at hand is None: the truth, what was given and the interpolations of a reader's own
    picture, or of one without a free licence; the run's own pictures where none are kept.
    """
    try:
        if not showable(run):
            raise images.ImageError("not to be put into a page")
        pair = stills(run.truth(), run.data(), run.task, run.degradation())
    except images.ImageError:
        pair = dict.fromkeys(STILLS) | {"quality": {}}
    recipe = run.facts["recipe"]
    changed = recipe["changes"] if isinstance(recipe["changes"], dict) else {}
    changes = "".join(f", {key} {views.short(value)}" for key, value in changed.items())
    label = run.facts.get("label")
    told = label or (
        f"{recipe['name']}{changes}, {run.facts['iterations']:,} iterations"
        f"{run.facts.get('note', '')}"
    )
    height, width = run.facts["image"]["shape"][:2]
    return {
        "title": words.plain(images.title(run.facts["image"]["name"])),
        "recipe": words.plain(told),
        "line": views.line(words.plain(label or recipe["name"])),
        "ratio": round(width / height, 4),
        "facts": describe(run),
        "psnr": round(
            run.psnr, 2
        ),  # of the picture that is shown last; the history's are of perturbed input
        **pair,
        "restored": views.image_url(run.raw) if "raw" in run.kinds else None,
        "frames": [
            {"iteration": iteration, "url": views.image_url(frame)}
            for iteration, frame in run.frames.items()
        ],
        "history": columns(run.history, run.frames),
    }


#: What a picture is compared with besides runs: keys of an entry.
CLASSICAL = dict.fromkeys(key for known in classical.METHODS.values() for key in known)
STILLS = ("degraded", *CLASSICAL, "truth")
#: Pixels beyond which a classical method takes more than a moment.
MOMENT = 512 * 512


def showable(run: Run) -> bool:
    """May the truth be shown, and is it here without asking the network?"""
    name = run.facts["image"]["name"]
    licensed = name not in images.STANDARD and name not in images.COLOUR
    return licensed or (has_reader() and images.available(name))


def stills(truth: np.ndarray, x_hat: torch.Tensor, task: str, degradation) -> dict:
    """The keys of `STILLS` → pictures as data URLs, and "quality": key → PSNR in dB.

    Args:
        truth: (H, W), or (H, W, 3), in [0, 1].
        x_hat: the data (C, h, w) that the degradation of the task left.
    """
    key = (*_hashable(truth), *_hashable(x_hat.numpy()), task, repr(degradation))
    if key not in _made:
        if len(_made) >= 24:  # an explorer shows several runs of a picture
            _made.clear()
        _made[key] = _stills(truth, x_hat, task, degradation)
    return dict(_made[key])


_made: dict[tuple, dict] = {}


def _hashable(array: np.ndarray) -> tuple:
    return (np.ascontiguousarray(array).tobytes(), array.dtype.str, array.shape)


def _stills(truth: np.ndarray, x_hat: torch.Tensor, task: str, degradation) -> dict:
    height, width = truth.shape[:2]
    made = {"degraded": tasks.for_eyes(x_hat, height, width)}
    if height * width <= MOMENT:
        known = classical.methods(task)
        made |= {key: draw(x_hat, degradation) for key, draw in known.items()}
    psnr = {
        key: dip_blocks.psnr(dip_blocks.as_image(picture), dip_blocks.as_image(truth))
        for key, picture in made.items()
    }
    return dict.fromkeys(STILLS) | {
        **{key: views.image_url(made[key], lossless=key == "degraded") for key in made},
        "truth": views.image_url(truth),
        "quality": {key: round(value, 2) for key, value in psnr.items() if np.isfinite(value)},
    }


def still(run: Run, compact: bool = False):
    """A matplotlib figure for where scripts do not run."""
    if "raw" in run.kinds and (compact or not showable(run)):
        pictures = {f"restored, {run.psnr:.2f} dB": run.raw}
        if showable(run):
            with contextlib.suppress(images.ImageError):
                pictures = {"given": run.degraded()[0], **pictures, "the truth": run.truth()}
        return figures.row(pictures, width=2.9 * len(pictures)).figure
    return figures.run_summary(run) if run.kinds else figures.curves({"loss": run.history})


def shared(entries: list[dict]) -> dict:
    """The script's data.

    What several runs have in common, such as the truth, is written once and numbered.
    """
    pictures: dict[str, int] = {}
    for shown in entries:
        for key in STILLS:
            if shown[key] is not None:
                shown[key] = pictures.setdefault(shown[key], len(pictures))
    return {"runs": entries, "pictures": list(pictures)}


def describe(run: Run) -> str:
    """A run in one line: what, how long, how good."""
    facts = run.facts
    side = "×".join(str(n) for n in reversed(facts["image"]["shape"][:2]))
    count = facts["backtracked"]
    took = duration(facts["wall_time_s"])
    if facts.get("core_seconds"):  # the clock of a busy machine tells of its other work
        took = f"{duration(facts['core_seconds'])} of a core"
    return (
        f"{side} pixels, {facts['iterations']:,} iterations, {run.psnr:.2f} dB, "
        f"went back {count} time{'' if count == 1 else 's'}; "
        f"{took} on {machine(facts['device'])}, "
        f"seed{NBSP}{facts['seeds']['mask']}"
    )


def duration(seconds: float) -> str:
    """A time in the unit that keeps its number short."""
    for unit, size in (("s", 1), ("min", 60)):
        if seconds < 99.5 * size:
            return f"{seconds / size:.0f}{NBSP}{unit}"
    return f"{seconds / 3600:.1f}{NBSP}h"


def machine(device: str) -> str:
    """A device as `Run.facts` has it, in words: "cpu (AMD EPYC)" is a CPU (AMD EPYC)."""
    kind, _, model = device.partition(" ")
    known = {"cpu": "a CPU", "cuda": "a GPU", "mps": "a GPU"}.get(kind.partition(":")[0], kind)
    return words.plain(f"{known} {model}")


def columns(
    history: list[dip_blocks.Step], pictured: Iterable[int] = (), points: int = 120
) -> dict:
    """A history thinned for drawing; where the loop went back is kept as marks.

    Args:
        pictured: iterations whose outputs are shown; they are kept.
        points: how many steps are kept besides, roughly.
    """
    every, pictured = max(1, len(history) // points), set(pictured)
    kept = [
        step
        for i, step in enumerate(history)
        if i % every == 0 or step is history[-1] or step.iteration in pictured
    ]
    return {
        "iteration": [step.iteration for step in kept],
        "loss": [finite(step.loss, 4) for step in kept],
        "psnr": [finite(step.psnr, 5) for step in kept],
        "lr": [finite(step.lr, 4) for step in kept],
        "backtracked": [step.iteration for step in history if step.backtracked],
    }


def finite(value: float, digits: int) -> float | None:
    """A number with so many digits; None, which JSON has, for what is none."""
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None
