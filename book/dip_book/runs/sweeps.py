"""Making stored runs: one, or many on every machine at hand; interrupted, killed, resumed.

A run in progress holds a lock and leaves a checkpoint every minute, both in the store's working
folder.  Whoever asks for the same run meanwhile passes it by; whoever asks for it after a crash
goes on from the checkpoint.  So several sweeps may share a store, and a sweep may be killed at any
time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import replace
from inspect import signature
from numbers import Integral
from pathlib import Path

import filelock
import numpy as np
import torch

import dip_blocks
from dip_book import images, runs, tasks
from dip_book.runs import ROOT, WORK, Run, RunError, Spec, means, placing
from dip_book.runs.again import computed_with
from dip_book.runs.checkpoints import Checkpoint, asides, is_left, iterations_in
from dip_book.runs.provenance import describe_device, forget_peak, peak_memory, provenance
from dip_book.runs.record import LONGEST_HISTORY
from dip_book.runs.spec import STRANGE, as_path, brief, check_threads, is_number, lacks_memory
from dip_book.runs.store import OTHER_FOLDERS, check_spec

CHECKPOINT_S = 60.0  # seconds between checkpoints
#: Values a pixel that a level keeps for each of its channels, and what a process takes without a
#: fit: measured on a CPU, in fp32, at 256² (`test_memory_is_estimated`).
OUTPUTS, BASE_BYTES = 3.1, 400_000_000
SSIM_SIDE = 7  # pixels: scikit-image's window
ABOUT = (
    "One restoration by Deep Image Prior of a picture of which only a share p of the pixels was "
    "given. PSNR in dB (peak 1) and SSIM are over the whole picture. "
    "raw: the network's output after the last iteration; "
    "averaged: exponential moving average of the outputs of all iterations; "
    "pasted: known pixels put back. "
    "blended: and the missing ones moved along with them. "
    "backtracked: how often the loss had jumped and the loop went back to its last good state. "
    "history: loss, learning rate, whether the loop went back, PSNR of that iteration's output and "
    "of the average so far."
)


class Busy(RuntimeError):
    """Another process is making this run."""


class MemberBusy(Busy):
    """Another process is making a member of this mean, and nobody the mean."""


def perform(
    spec: Spec,
    store: Path = ROOT,
    *,
    device: str | None = None,
    every: int = 10,
    progress: bool = True,
    again: bool = False,
    frames: int = 12,
    checkpoint_s: float = CHECKPOINT_S,
) -> Run:
    """Make the run that a spec describes and store it; one that is stored already is only read.

    A run that was cut off goes on from its last checkpoint, with the same result to the last bit as
    an uninterrupted one on the same CPU.  A checkpoint made by other code, versions or another kind
    of device is set aside (`Checkpoint`).

    Args:
        every: write every so many iterations to the history; those in which the loop went back, and
            the last, are always written.
        again: make it anew even if it is stored.
        frames: so many outputs on the way are kept.
        checkpoint_s: seconds between checkpoints.

    Raises:
        Busy: another process is making the same run, or (MemberBusy) a member of this mean.
        RunError: a run of this path is stored, but damaged, or of something else: the message says
            what differs.  Or what is requested is impossible.
        ImageError: see `images.load`.
        KeyboardInterrupt: after an interrupt; at most ``checkpoint_s`` of work is lost.
    """
    options = {
        "device": device,
        "every": every,
        "progress": progress,
        "again": again,
        "frames": frames,
        "checkpoint_s": checkpoint_s,
    }
    return _perform(spec, as_path(store), **options)[0]


def _perform(spec: Spec, store: Path, *, every: int = 10, **options) -> tuple[Run, bool]:
    """As `perform`; also says whether the run was made now."""
    check_spec(spec)
    _check_name(spec.recipe)
    if not is_number(every, Integral) or every < 1:
        raise RunError(f"Write the history every 1 or more iterations, not every {brief(every)}.")
    if not is_number(frames := options.get("frames", 0), Integral):
        raise RunError(f"Frames: a whole number of them is kept, not {brief(frames)}.")
    if spec.iterations_in_all / every > LONGEST_HISTORY:
        raise RunError(
            f"{spec.iterations_in_all:,} iterations would make a history of more than "
            f"{LONGEST_HISTORY:,} rows: write it more seldom (--every)."
        )
    kind = _perform_mean if spec.recipe in dip_blocks.MEANS else _perform_one
    return kind(spec, store, every=every, **options)


def _check_name(recipe: str) -> None:
    """RunError for a recipe of a reader's own whose name cannot be a folder's everywhere.

    What is made of it could not be found again, or brought home in an archive.
    """
    known = recipe in dip_blocks.RECIPES or recipe in dip_blocks.MEANS
    strange = [c for c in recipe if c in STRANGE or not c.isprintable()]
    if known and (strange or recipe[:1] in ("", ".") or recipe in OTHER_FOLDERS):
        raise RunError(
            f"The runs of a recipe called '{brief(recipe)}' cannot be stored: its name is that of "
            f"their folder, on every system and in archives. Give it one without {STRANGE} and "
            "what cannot be printed, that begins with no dot, and is not 'bench'."
        )


def _perform_one(
    spec,
    store,
    *,
    device=None,
    every=10,
    progress=True,
    again=False,
    frames=12,
    checkpoint_s=CHECKPOINT_S,
    patience=0.0,
    pictures=False,
) -> tuple[Run, bool]:
    """One network's run.

    Waits ``patience`` seconds for the lock.  With ``pictures`` a run that is stored without them is
    made again, where it comes out the same: RunError where it might not.
    """
    recipe = spec.resolved()
    with _holding(spec, store, patience) as path:
        place = _checkpoint(path, store)
        if not again and (stored := _stored(spec, store)):
            if stored.kinds or not pictures:
                _remove_left(place, stored)  # who stored it may have died before that
                return stored, False
            _check_same_kind(spec, stored, device)
        x = images.load(spec.image, size=spec.size)
        name = spec.name_of(images.digest(x))
        if path.parts[1] != name + ("" if spec.size is None else f"-{spec.size}"):
            raise RunError(f"'{spec.image}' is being changed just now: start again.")
        runs.check_size(x.shape, frames)
        check_memory(recipe, x.shape)
        with runs.blocks_errors():
            degradation = degradation_of(spec, x)
            x_hat = degradation.degrade(x, spec.seeds["mask"])
            device = str(dip_blocks.as_device(device))
        precision = spec.precision or dip_blocks.best_precision(device)
        same = {
            "recipe": recipe.as_dict(), "image": images.digest(x), "p": spec.p,
            "seeds": [spec.seed, spec.seeds["mask"]],
            "device": torch.device(device).type, "precision": precision,
            **({} if spec.task == tasks.PIXELS else {"task": spec.task}),
        }  # fmt: skip
        saved = Checkpoint(place, same, checkpoint_s)
        with recording(spec, x, device, spent=saved.before, worked=saved.worked_before) as record:
            result = dip_blocks.restore(
                x_hat, degradation, recipe, seed=spec.seed, device=device, precision=precision,
                truth=x, frames=frame_iterations(recipe.iterations, frames), progress=progress,
                resume=saved.state, watch=saved,
            )  # fmt: skip
            run = record(whole(result))
        run.history = [
            s
            for s in run.history
            if s.iteration % every == 0 or s.backtracked or s.iteration in (1, len(run.history))
        ]
        stored = runs.write(store, path, run)
        saved.discard()
        return stored, True


def _check_same_kind(spec: Spec, run: Run, device: str | None) -> None:
    """RunError where a stored run, made again for its pictures, may become another.

    Nobody asked for another: its figures would be replaced without a word.
    """
    with runs.blocks_errors():
        device = str(dip_blocks.as_device(device))
    precision = spec.precision or dip_blocks.best_precision(device)
    now = provenance() | {"device": describe_device(device), "precision": precision}
    then, here = computed_with(run.facts), computed_with(now)
    matters = then.keys() & here.keys() - {"commit"}  # most commits change no number
    if torch.device(device).type == "cuda":
        matters -= {"threads"}
    if different := sorted(what for what in matters if then[what] != here[what]):
        said = "; ".join(f"{what}: {then[what]} then, {here[what]} now" for what in different)
        raise RunError(
            f"Of {run.name}, a member of this mean, only figures are stored. Made again for its "
            f"pictures it may come out otherwise ({said}). Make the mean in another store "
            "(--store), or that member alone anew, with again=True (--again), which replaces its "
            "figures."
        )


def memory(recipe: dip_blocks.Recipe, shape: tuple[int, ...]) -> float:
    """Bytes that a fit takes, about: outputs of all layers, weights with what an optimiser keeps.

    Args:
        shape: of the picture, (H, W) or (H, W, 3).
    """
    config, pixels = recipe.config, float(shape[0] * shape[1])
    down, up = config["channels_down"], config["channels_up"]
    kernels = config["kernels_down"], config["kernels_up"]
    values, weights, before = recipe.z_channels * pixels, 0.0, recipe.z_channels
    for level, channels in enumerate(zip(down, up)):
        values += OUTPUTS * sum(channels) * pixels / 4**level
        for number, kernel in zip(channels, (k[level] for k in kernels)):
            weights += float(before) * number * kernel**2
            before = number
    return BASE_BYTES + 4 * values + 16 * weights


def check_memory(recipe: dip_blocks.Recipe, shape: tuple[int, ...]) -> None:
    """RunError for what this machine has no memory for; where its size is not known: nothing."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return
    needed = memory(recipe, shape)
    if needed > there:
        raise RunError(
            f"{shape[1]}×{shape[0]} pixels would take about {needed / 1e9:,.0f} GB of memory, and "
            f"this machine has {there / 1e9:,.0f}: ask for a smaller picture (--size 256) or a "
            "narrower network (--set width=32)."
        )


def degradation_of(spec: Spec, x: np.ndarray) -> dip_blocks.Degradation:
    """Of a spec, for its picture (H, W) or (H, W, 3); RunError for an unknown task."""
    with runs.blocks_errors():
        return tasks.degradation(spec.task, *x.shape[:2], p=spec.p, seed=spec.seeds["mask"])


@contextmanager
def _holding(spec: Spec, store: Path, patience: float):
    """The run's lock; Busy where another process has it for longer than ``patience`` seconds.

    Gives the run's path, which is the spec's no more once somebody changes a picture of theirs.
    """
    path = spec.path
    lock = runs.lock(store, path, timeout=patience)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise Busy(f"Another process is making {path}.") from None
    try:
        yield path
    finally:
        lock.release()


def _checkpoint(path: Path, store: Path) -> Path:
    return store / WORK / f"{runs.work_name(path)}.safetensors"


def _remove_left(place: Path, run: Run) -> None:
    """Remove a stored run's checkpoints, but those of who began to make it anew."""
    for path in (place, *asides(place)):
        if path.exists() and is_left(path, str(run.facts.get("started", ""))):
            path.unlink(missing_ok=True)


def _sweep_up(spec: Spec, store: Path, run: Run) -> None:
    """Remove what a process left that died right after it had stored this run."""
    place = _checkpoint(spec.path, store)
    with suppress(OSError, Busy):
        placing.sweep_up(store / WORK)
        if place.exists() or asides(place):
            with _holding(spec, store, 0.0):
                _remove_left(place, run)


def _perform_mean(spec, store, *, again=False, patience=0.0, **options) -> tuple[Run, bool]:
    """The members first, each a run of its own; what is being made elsewhere is asked for last.

    Members whose pictures are stored are not made again for want of their mean.
    """
    with _holding(spec, store, patience) as path:
        if not again and (stored := _stored(spec, store)):
            return stored, False
        options |= {"again": again, "patience": patience, "pictures": True}
        made, elsewhere = {}, []
        for member in spec.members:
            try:
                made[member] = _perform(member, store, **options)[0]
            except Busy:
                elsewhere.append(member)
        for member in elsewhere:
            try:
                made[member] = _perform(member, store, **options)[0]
            except Busy:
                raise MemberBusy(
                    f"Another process is making {member.path}, a member of this mean: ask for the "
                    "mean again when that is stored."
                ) from None
        members = [made[member] for member in spec.members]
        return runs.write(store, path, means.combine(spec, members)), True


def _stored(spec: Spec, store: Path) -> Run | None:
    """The stored run, if there is one; RunError if it is damaged, or of something else."""
    run, wrong = runs.state(spec, store)
    if wrong:
        raise RunError(f"{wrong} Make it anew with again=True (--again).")
    return run


@contextmanager
def recording(
    spec: Spec, x: np.ndarray, device: str | None = None, spent: float = 0.0, worked: float = 0.0
):
    """Time what happens inside; gives a function that makes a `Run` of a `dip_blocks.Restoration`.

    Versions and commit are read at the beginning: they are those of the code that runs.

    Args:
        spent: seconds that went into the run before.
        worked: seconds of a core, likewise.
    """
    if min(x.shape[:2]) < SSIM_SIDE:  # now, not after all iterations
        raise images.ImageError(
            f"A picture of {x.shape[1]}×{x.shape[0]} pixels is too small for SSIM, which looks at "
            f"{SSIM_SIDE}×{SSIM_SIDE}."
        )
    device = device or dip_blocks.best_device()
    forget_peak(device)
    before, started, working = provenance(), time.perf_counter(), time.process_time()

    def record(result: dip_blocks.Restoration) -> Run:
        seconds = spent + time.perf_counter() - started
        recipe, done = spec.resolved(), len(result.history)
        digest = images.digest(x)
        degradation = degradation_of(spec, x)
        facts = {
            "format": runs.FORMAT,
            "about": ABOUT,
            "recipe": {"name": spec.recipe, "changes": dict(spec.changes), **recipe.as_dict()},
            "image": {
                "name": spec.name_of(digest),
                "size": spec.size,
                "shape": list(x.shape),
                "sha256": digest,
            },
            "p": spec.p,
            **({} if spec.task == tasks.PIXELS else {"task": spec.task}),
            "seeds": spec.seeds,
            "iterations": done,
            "recipe_iterations": dip_blocks.RECIPES[spec.recipe].iterations,
            **means.measured(result.image, result.averaged, x, degradation),
            "backtracked": sum(step.backtracked for step in result.history),
            "wall_time_s": round(seconds, 2),
            "core_seconds": round(worked + time.process_time() - working, 2)
            if torch.device(device).type == "cpu"
            else None,
            "iterations_per_s": round(done / seconds, 3),
            "peak_memory_mib": peak_memory(device),
            "device": describe_device(device),
            "precision": spec.precision or dip_blocks.best_precision(device),
            **before,
        }
        pictures = {"raw": result.image, "averaged": result.averaged}
        run = Run(
            facts,
            result.history,
            {kind: tasks.channels_last(image) for kind, image in pictures.items()},
            {i: tasks.channels_last(frame) for i, frame in sorted(result.frames.items())},
        )
        run.source = None if images.of_the_book(spec.image) else spec.image
        return run

    yield record


def frame_iterations(iterations: int, count: int = 12) -> set[int]:
    """A dozen iterations, evenly spaced on a log scale, the first and the last among them."""
    return (
        set()
        if iterations < 1 or count < 1
        else {int(round(i)) for i in np.geomspace(1, iterations, count)}
    )


def sweep(
    specs: list[Spec],
    store: Path = ROOT,
    *,
    executor: Executor | None = None,
    threads: int | None = None,
    **options,
) -> Iterator[tuple[Spec, Run | None, str]]:
    """Make many runs; yields each spec, its run, and "stored already", "done" or what went wrong.

    Args:
        executor: any `concurrent.futures.Executor` but one that forks processes; a run is then one
            task, and the store must be a folder that its workers see.  None: one after the other,
            here.
        threads: CPU threads of each run.
        options: see `perform`.

    A run that fails does not stop the others.  KeyboardInterrupt leaves what is complete stored.
    RunError for anything but specs, for a number of threads that no machine has, for what is no
    executor, and for processes that are forked, before the first run.
    """
    if isinstance(specs, (Spec, str)) or not isinstance(specs, Iterable):
        raise RunError("A sweep takes Specs in a list, also where it is one: sweep([Spec(...)]).")
    specs = list(specs)
    for spec in specs:
        check_spec(spec)
    _check_executor(executor)
    check_threads(threads)
    if unknown := {*options} - {*signature(perform).parameters}:
        raise RunError(f"A sweep has no option '{brief(min(unknown))}': see sweeps.perform.")
    # A worker may stand in another folder, and may not see what a link here leads to.
    store = as_path(store).absolute()
    todo = []
    for spec in specs:
        try:
            done = not options.get("again") and _stored(spec, store)
        except (
            Exception
        ) as error:  # a picture that cannot be had, a run that is damaged: the others go on
            yield spec, None, _failure(error)
            continue
        if done:
            _sweep_up(spec, store, done)
            yield spec, done, "stored already"
        else:
            todo.append(spec)
    if executor is None:
        for spec in todo:
            yield (
                spec,
                *_outcome(
                    lambda spec=spec: _perform_task(spec, str(store), threads, options), store, spec
                ),
            )
        return
    # A run may come back to a cluster before the worker that was killed over it has let go of its
    # lock.
    options = {**options, "progress": False, "patience": 30.0}
    futures = {
        executor.submit(
            _perform_task, _anywhere(spec), str(store), threads, options, _recipes(spec)
        ): spec
        for spec in todo
    }
    try:
        for future in as_completed(futures):
            spec = futures[future]
            yield spec, *_outcome(future.result, store, spec)
    finally:
        for future in futures:
            future.cancel()


def _anywhere(spec: Spec) -> Spec:
    """The same for a process that has begun in another folder."""
    if images.of_the_book(spec.image):
        return spec
    return replace(spec, image=os.path.abspath(spec.image))


def _check_executor(executor: Executor | None) -> None:
    """RunError for what is no executor, as Dask's client, and for a pool that forks.

    A fork of a process that has computed waits for ever: it has no threads, and PyTorch's libraries
    wait for those that the first process had.
    """
    if executor is not None and not isinstance(executor, Executor):
        raise RunError(
            "A sweep is handed to an executor of concurrent.futures, or to Dask by "
            f"client.get_executor(pure=False), not to a {type(executor).__name__}."
        )
    context = getattr(executor, "_mp_context", None)  # of ProcessPoolExecutor
    if context is not None and context.get_start_method() == "fork":
        raise RunError(
            "Processes that are forked hang where PyTorch has computed before: have them spawned, "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))."
        )


def whole(restoration: dip_blocks.Restoration) -> dip_blocks.Restoration:
    """What `dip_blocks.restore` returned, if it came to its end.

    Raises KeyboardInterrupt if an interrupt ended it: so a cell that fits several networks stops as
    a whole, and compares no half fit with whole ones.
    """
    if restoration.interrupted:
        raise KeyboardInterrupt
    return restoration


def progress_of(spec: Spec, store: Path = ROOT) -> str:
    """How far a checkpoint has got, as a sentence has it; empty where there is none."""
    try:
        done = iterations_in(_checkpoint(spec.path, Path(store)))
    except images.ImageError:  # a picture of somebody's that is gone
        done = 0
    return f"  (checkpoint at iteration {done:,})" if done else ""


def _recipes(spec: Spec) -> list[dict] | None:
    """What a spec's recipes stand for here; None for an unknown one, of which its run will tell."""
    try:
        return [member.resolved().as_dict() for member in spec.members]
    except RunError:
        return None


def _check_recipes(spec: Spec, asked: list[dict] | None) -> None:
    """RunError where this process has another recipe of the name than the one that asks for a run.

    As a worker that began before an update: it would make hours of runs that nobody wants.
    """
    if not asked:
        return
    wrong = spec.differences_of_recipe({"recipe": {"members": asked}})
    if (there := sum(values["iterations"] for values in asked)) != spec.iterations_in_all:
        wrong.append(f"iterations is {there} in it and {spec.iterations_in_all} here")
    if wrong:
        raise RunError(
            f"The worker has another recipe than the one that is asked for: {'; '.join(wrong)}. "
            "Start the worker anew, with the same code of the book."
        )


def _perform_task(
    spec: Spec, store: str, threads: int | None, options: dict, asked: list[dict] | None = None
) -> tuple[Path, bool]:
    """One run, in whichever process: its path in the store, and whether it was computed now.

    Args:
        asked: see `_recipes`; of the process that hands the run on.
    """
    before = torch.get_num_threads()
    try:
        _check_recipes(spec, asked)
        torch.set_num_threads(threads or before)
        run, new = _perform(spec, Path(store), **options)
        return run.place.relative_to(store), new
    finally:
        torch.set_num_threads(before)


def _outcome(work: Callable, store: Path, spec: Spec) -> tuple[Run | None, str]:
    try:
        path, new = work()
        run = runs.read(store / path)
        run.source = None if images.of_the_book(spec.image) else spec.image
        return run, "done" if new else "stored already"
    except MemberBusy as error:  # and so nobody makes the mean
        return None, _failure(error)
    except Busy:
        return None, "another process is making it"
    except Exception as error:  # whatever it is, the other runs go on
        return None, _failure(error)


def _failure(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"'{brief(error.filename)}': "
        said = f"{place}{error.strerror}."
    if isinstance(error, CancelledError):
        said = (
            "it was given up: the cluster's scheduler is gone, or the executor was shut down. "
            "The same command goes on from the last checkpoint."
        )
    if lacks_memory(error):
        said = "it does not fit into this machine's memory; ask for a smaller picture (--size)."
    return f"failed: {said if len(said) < 600 else f'{said[:600]} …'}"
