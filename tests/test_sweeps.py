"""Making runs: resumed, killed, shared, scaled out; archives; the command line."""

import errno
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from conftest import small_config, store_run
from dip_book import bench, images, runs
from dip_book.cli import main, parser
from dip_book.commands import TABLES
from dip_book.results import tables
from dip_book.results.selection import best_run
from dip_book.runs import archives, checkpoints, cluster, placing, plan, sweeps
from dip_book.table import Figure, Table
from PIL import Image

import dip_blocks

HERE = Path(__file__).parents[1]
TINY = dip_blocks.Recipe(
    config=small_config(), z_channels=4, iterations=40, lr=0.3, jump=1.3
)  # jumps now and then
SPEC = runs.Spec("camera", 32, "tiny")

#: The same in a process of its own, as a worker of a cluster is: slow enough to be killed on the
#: way.
ELSEWHERE = f"""
import sys, time
sys.path[:0] = [{str(HERE)!r}, {str(HERE / "book")!r}]
import dip_blocks
from dip_book import runs
from dip_book.runs import sweeps
dip_blocks.RECIPES["tiny"] = dip_blocks.Recipe(
    config={small_config()!r}, z_channels=4, iterations=40, lr=0.3, jump=1.3)
SLOW = 0.0
if not hasattr(dip_blocks.Fit, "plain_step"):  # Dask executes this more than once
    dip_blocks.Fit.plain_step = dip_blocks.Fit.step
def slow(fit):
    time.sleep(SLOW)
    fit.plain_step()
dip_blocks.Fit.step = slow
"""


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(dip_blocks.RECIPES, "tiny", TINY)


def perform(spec, store, **options):
    return sweeps.perform(spec, store, device="cpu", progress=False, **options)


def comparable(run: runs.Run) -> dict:
    """The facts that a resumed run must share with an uninterrupted one."""
    return {
        key: run.facts[key]
        for key in ("psnr_db", "ssim", "iterations", "backtracked", "recipe", "seeds")
    }


class StopError(Exception):
    """Stands in for a power cut."""


def cut_off_after(monkeypatch, iteration):
    original = dip_blocks.Fit.step

    def step(fit):
        if fit.iteration == iteration:
            raise StopError
        original(fit)

    monkeypatch.setattr(dip_blocks.Fit, "step", step)


# Checkpoints ------------------------------------------------------------------------------


def test_what_takes_a_place_is_on_the_disk_before(tmp_path, monkeypatch):
    """A power cut would else leave its name, and nothing in it; also of a disk that cannot say."""
    synced, unsynced, replace_, fsync = set(), [], os.replace, os.fsync

    def sync(descriptor):
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)
        raise OSError(errno.EINVAL, "not here")

    def named(source, target):
        inside = [source] if Path(source).is_file() else Path(source).rglob("*.*")
        unsynced.extend(path for path in inside if os.stat(path).st_ino not in synced)
        replace_(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", named)
    sweeps.perform(SPEC, tmp_path, checkpoint_s=0.0)
    runs.tidy(tmp_path, {SPEC.path: "record"})
    assert len(synced) >= 4 and unsynced == []

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        placing.write_whole(tmp_path / "figures.json", b"{}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_cut_off_goes_on_from_its_checkpoint_bitwise(tmp_path, monkeypatch):
    whole = perform(SPEC, tmp_path / "whole", every=1)
    with monkeypatch.context() as patch, pytest.raises(StopError):
        cut_off_after(patch, 23)
        perform(SPEC, tmp_path / "cut", checkpoint_s=0)
    assert runs.paths(tmp_path / "cut") == [], "nothing is half there"
    assert sweeps.progress_of(SPEC, tmp_path / "cut") == "  (checkpoint at iteration 23)"
    steps, original = [], dip_blocks.Fit.step
    monkeypatch.setattr(
        dip_blocks.Fit, "step", lambda fit: (steps.append(fit.iteration), original(fit))
    )
    resumed = perform(SPEC, tmp_path / "cut", every=1)
    assert steps == list(range(23, 40))
    assert comparable(resumed) == comparable(whole) and resumed.history == whole.history
    for suffix in (".webp", ".frames.webp"):
        assert (
            Path(f"{resumed.place}{suffix}").read_bytes()
            == Path(f"{whole.place}{suffix}").read_bytes()
        )
    assert sorted(resumed.frames) == sorted(sweeps.frame_iterations(40))
    assert list((tmp_path / "cut" / runs.WORK).glob("*.safetensors")) == [], (
        "a stored run needs no checkpoint"
    )


@pytest.mark.parametrize("how", ["other code", "other versions", "damaged", "other precision"])
def test_a_checkpoint_that_does_not_fit_is_not_used(tmp_path, monkeypatch, how):
    whole = perform(SPEC, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(StopError):
        cut_off_after(patch, 23)
        perform(SPEC, tmp_path / "cut", checkpoint_s=0)
    if how == "damaged":
        (saved,) = (tmp_path / "cut" / runs.WORK).glob("*.safetensors")
        saved.write_bytes(saved.read_bytes()[:1000])
    with monkeypatch.context() as patch:
        if how == "other code":
            patch.setattr(checkpoints, "code_digest", lambda: "another")
        if how == "other versions":
            patch.setattr(torch, "__version__", "0.0")
        if how == "other precision":
            patch.setattr(dip_blocks, "best_precision", lambda device: "tf32")
        steps, original = [], dip_blocks.Fit.step
        patch.setattr(
            dip_blocks.Fit, "step", lambda fit: (steps.append(fit.iteration), original(fit))
        )
        again = perform(SPEC, tmp_path / "cut")
    assert steps == list(range(40)), "from the beginning"
    if how != "other precision":
        assert comparable(again) == comparable(whole)


def test_a_checkpoint_of_other_settings_waits_for_who_goes_back(tmp_path, monkeypatch):
    """Another commit or number of threads is a slip: hours of work are not written over for it."""
    whole = perform(SPEC, tmp_path / "whole")
    store = tmp_path / "cut"

    def cut(after):
        with monkeypatch.context() as patch, pytest.raises(StopError):
            cut_off_after(patch, after)
            perform(SPEC, store, checkpoint_s=0)

    cut(23)
    for after, code in ((7, "another"), (5, "and a third")):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "code_digest", lambda code=code: code)
            with pytest.warns(UserWarning, match=r"begun anew.* iteration \d+ is of another code;"):
                cut(after)
    steps, original = [], dip_blocks.Fit.step
    monkeypatch.setattr(
        dip_blocks.Fit, "step", lambda fit: (steps.append(fit.iteration), original(fit))
    )
    assert comparable(perform(SPEC, store)) == comparable(whole)
    assert 20 < steps[0] <= 23, "from where the first was cut off"
    assert not [*(store / runs.WORK).glob("*.other"), *(store / runs.WORK).glob("*.safetensors")]


def test_what_an_earlier_version_set_aside_is_gone_on_from(tmp_path, monkeypatch):
    """It had room for one."""
    with monkeypatch.context() as patch, pytest.raises(StopError):
        cut_off_after(patch, 23)
        perform(SPEC, tmp_path, checkpoint_s=0)
    (saved,) = (tmp_path / runs.WORK).glob("*.safetensors")
    saved.rename(saved.with_suffix(".other"))
    steps, original = [], dip_blocks.Fit.step
    monkeypatch.setattr(
        dip_blocks.Fit, "step", lambda fit: (steps.append(fit.iteration), original(fit))
    )
    perform(SPEC, tmp_path)
    assert 20 < steps[0] <= 23
    assert not [*(tmp_path / runs.WORK).glob("*.other")]


def test_seconds_add_up_over_a_stop(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(StopError):
        cut_off_after(patch, 30)
        original = dip_blocks.Fit.step
        patch.setattr(dip_blocks.Fit, "step", lambda fit: (time.sleep(0.02), original(fit)))
        perform(SPEC, tmp_path, checkpoint_s=0)
    assert perform(SPEC, tmp_path).facts["wall_time_s"] > 0.55


def test_a_working_folder_that_is_cleaned_away_is_made_again(tmp_path, monkeypatch, recwarn):
    """As `git clean` and `git stash -u` do: without it, no checkpoint would be written any more."""
    original = dip_blocks.Fit.step

    def step(fit):
        if fit.iteration == 9:
            shutil.rmtree(tmp_path / runs.WORK)
        if fit.iteration == 12:
            raise KeyboardInterrupt
        original(fit)

    monkeypatch.setattr(dip_blocks.Fit, "step", step)
    with pytest.raises(KeyboardInterrupt):
        perform(SPEC, tmp_path, checkpoint_s=0.0)
    assert "12" in sweeps.progress_of(SPEC, tmp_path)
    assert not [warning for warning in recwarn if "No checkpoint" in str(warning.message)]


def test_an_interrupt_is_passed_on_and_stores_nothing(tmp_path, monkeypatch):
    original = dip_blocks.Fit.step

    def step(fit):
        if fit.iteration == 9:
            raise KeyboardInterrupt
        original(fit)

    monkeypatch.setattr(dip_blocks.Fit, "step", step)
    with pytest.raises(KeyboardInterrupt):
        perform(SPEC, tmp_path)
    assert runs.paths(tmp_path) == []


# Several at once --------------------------------------------------------------------------


def test_what_is_stored_is_not_made_again(tmp_path, monkeypatch):
    first = perform(replace(SPEC, iterations=3), tmp_path)
    monkeypatch.setattr(dip_blocks, "restore", lambda *a, **k: pytest.fail("it was made again"))
    assert perform(replace(SPEC, iterations=3), tmp_path).facts == first.facts


def test_the_checkpoint_of_a_run_whose_maker_died_after_storing_it_is_swept_up(tmp_path):
    perform(SPEC, tmp_path)
    left = tmp_path / runs.WORK / f"{runs.work_name(SPEC.path)}.safetensors"
    left.write_bytes(b"rest")
    perform(SPEC, tmp_path)
    assert not left.exists()


@pytest.mark.parametrize("how", ["perform", "sweep", "tidied"])
def test_making_anew_that_was_cut_off_outlives_who_asks_for_what_is_stored(
    tmp_path, monkeypatch, how
):
    """Hours may be in it; and what went before it was stored, not what came after, is left over."""
    stored = perform(SPEC, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(checkpoints, "now", lambda: "9999-01-01T00:00:00+00:00")
        cut_off_after(patch, 23)
        perform(SPEC, tmp_path, again=True, checkpoint_s=0)
    if how == "perform":
        assert perform(SPEC, tmp_path).facts == stored.facts
    else:
        if how == "tidied":
            runs.tidy(tmp_path, {SPEC.path: "pictures"})
        outcomes = [outcome for *_, outcome in sweeps.sweep([SPEC], tmp_path)]
        assert outcomes == ["stored already"]
    assert sweeps.progress_of(SPEC, tmp_path) == "  (checkpoint at iteration 23)"
    steps, original = [], dip_blocks.Fit.step
    monkeypatch.setattr(
        dip_blocks.Fit, "step", lambda fit: (steps.append(fit.iteration), original(fit))
    )
    perform(SPEC, tmp_path, again=True)
    assert steps == list(range(23, 40))


def test_the_last_checkpoint_of_a_stored_run_is_swept_up(tmp_path, monkeypatch):
    """Its maker died between the two."""
    monkeypatch.setattr(checkpoints.Checkpoint, "discard", lambda self: None)
    perform(SPEC, tmp_path, checkpoint_s=0)
    assert sweeps.progress_of(SPEC, tmp_path)
    assert [outcome for *_, outcome in sweeps.sweep([SPEC], tmp_path)] == ["stored already"]
    assert not sweeps.progress_of(SPEC, tmp_path)


def test_a_run_in_progress_elsewhere_is_left_alone(tmp_path):
    work = tmp_path / runs.WORK
    work.mkdir()
    specs = [replace(SPEC, iterations=i) for i in (2, 3)]
    with filelock.FileLock(work / f"{runs.work_name(specs[0].path)}.lock"):
        with pytest.raises(sweeps.Busy, match="Another process"):
            perform(specs[0], tmp_path)
        outcome = [
            (spec, what)
            for spec, _, what in sweeps.sweep(specs, tmp_path, device="cpu", progress=False)
        ]
    assert outcome == [(specs[0], "another process is making it"), (specs[1], "done")]
    assert perform(specs[0], tmp_path).facts["iterations"] == 2, "free again"


def test_pictures_of_one_name_are_told_apart(tmp_path):
    for folder, name in (("a", "brick"), ("b", "grass")):
        (tmp_path / folder).mkdir()
        images.save_png(tmp_path / folder / "camera.png", images.load(name, size=32))
    specs = [
        replace(SPEC, iterations=2),
        *(
            replace(SPEC, image=str(tmp_path / folder / "camera.png"), iterations=2)
            for folder in "ab"
        ),
    ]
    for spec in specs:
        assert perform(spec, tmp_path / "store").facts["image"]["name"] == spec.image_name
    assert len({spec.path for spec in specs}) == 3 == len(runs.find(tmp_path / "store"))
    (book,) = runs.find(tmp_path / "store", image="camera")
    assert (
        book.facts["image"]["name"] == "camera"
        and best_run("tiny", "camera", 32, tmp_path / "store").place == book.place
    )
    outcome = [
        what for _, _, what in sweeps.sweep(specs, tmp_path / "store", device="cpu", progress=False)
    ]
    assert outcome == ["stored already"] * 3
    images.save_png(tmp_path / "house-256.png", images.load("brick", size=32))
    assert runs.Spec(str(tmp_path / "house-256.png"), None).path.parts[1] not in (
        "house-256",
        "house",
    )


def test_a_damaged_run_does_not_stop_a_sweep(tmp_path):
    specs = [replace(SPEC, iterations=2), replace(SPEC, iterations=3)]
    Path(f"{perform(specs[0], tmp_path).place}.json").write_text("{")
    outcome = [what for _, _, what in sweeps.sweep(specs, tmp_path, device="cpu", progress=False)]
    assert outcome[0].startswith("failed: ") and outcome[1] == "done"


def test_a_history_of_every_zeroth_iteration_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="1 or more"):
        perform(SPEC, tmp_path, every=0)


def test_a_task_waits_for_a_worker_that_is_still_dying(tmp_path):
    spec = replace(SPEC, iterations=2)
    (tmp_path / runs.WORK).mkdir()
    lock = filelock.FileLock(
        tmp_path / runs.WORK / f"{runs.work_name(spec.path)}.lock", thread_local=False
    )
    lock.acquire()
    threading.Timer(1.0, lock.release).start()
    with ThreadPoolExecutor(1) as executor:
        assert [
            what for _, _, what in sweeps.sweep([spec], tmp_path, executor=executor, device="cpu")
        ] == ["done"]


def test_one_failure_does_not_stop_a_sweep(tmp_path):
    specs = [runs.Spec("nowhere.png", 32, "tiny"), replace(SPEC, iterations=2)]
    outcome = [what for _, _, what in sweeps.sweep(specs, tmp_path, device="cpu", progress=False)]
    assert outcome[0].startswith("failed: There is no picture") and outcome[1] == "done"


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_a_picture_that_changes_while_its_run_is_made(tmp_path, monkeypatch, capsys, how):
    """The run is stored, as one of the picture that it saw."""
    file, store = tmp_path / "own.png", tmp_path / "store"
    for seed, name in enumerate(("own.png", "next.png")):
        images.save_png(tmp_path / name, np.random.default_rng(seed).random((32, 32)))
    path, whole = replace(SPEC, image=str(file)).path, file.read_bytes()
    fit = dip_blocks.restore

    def restore(*given, **options):
        result = fit(*given, **options)
        shutil.copy(tmp_path / "next.png", file) if how == "replaced" else file.unlink()
        return result

    monkeypatch.setattr(dip_blocks, "restore", restore)
    words = ["run", str(file), "--size", "32", "--recipe", "tiny", "--store", str(store)]
    assert main([*words, "--device", "cpu"]) == 0
    assert f"{path}: done" in capsys.readouterr().out
    assert runs.paths(store) == [path]
    facts = runs.read(store / path).facts["image"]
    assert facts["name"] == f"own@{facts['sha256'][:8]}"
    file.write_bytes(whole)
    assert runs.stored(replace(SPEC, image=str(file)), store)


def test_a_picture_that_changes_before_it_is_read_is_said(tmp_path, monkeypatch):
    file = tmp_path / "own.png"
    images.save_png(file, np.zeros((32, 32)))
    spec = replace(SPEC, image=str(file))
    assert spec.path
    loaded = images.load(file, size=32)
    monkeypatch.setattr(images, "load", lambda *_, **__: loaded + np.float32(0.5))
    with pytest.raises(runs.RunError, match="being changed just now"):
        perform(spec, tmp_path / "store")
    assert not runs.paths(tmp_path / "store")


def test_any_executor_will_do(tmp_path):
    specs = [replace(SPEC, iterations=i, seed=seed) for i in (2, 3) for seed in (0, 1)]
    perform(specs[0], tmp_path)
    with ThreadPoolExecutor(2) as executor:
        outcome = {
            spec: what
            for spec, _, what in sweeps.sweep(specs, tmp_path, executor=executor, device="cpu")
        }
    assert outcome == {specs[0]: "stored already", **dict.fromkeys(specs[1:], "done")}
    assert len(runs.find(tmp_path)) == 4


@pytest.mark.parametrize("executor", ["dask", type("Client", (), {"submit": None})()])
def test_what_is_no_executor_is_said_before_anything_is_handed_over(executor, tmp_path):
    with pytest.raises(runs.RunError, match="executor of concurrent.futures, or to Dask by client"):
        next(sweeps.sweep([SPEC], tmp_path, executor=executor))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two", True, 10**6])
def test_threads_that_no_machine_has_are_refused_before_they_end_the_process(threads, tmp_path):
    with pytest.raises(runs.RunError, match="Threads: from 1 to 1,024, not"):
        next(sweeps.sweep([SPEC], tmp_path, threads=threads))


@pytest.mark.parametrize("key", ["every", "frames"])
@pytest.mark.parametrize("value", ["ten", None, 1.5])
def test_what_is_no_whole_number_is_said(key, value, tmp_path):
    with pytest.raises(runs.RunError, match=f"not (every )?{value}"):
        perform(SPEC, tmp_path, **{key: value})
    assert not runs.paths(tmp_path)


@pytest.mark.parametrize(
    "name", ["tiny:wide", "own/tiny", "/own/tiny", "..", ".tiny", "bench", "tiny\n", "tiny\\", ""]
)
def test_a_recipes_name_that_is_no_folders_everywhere_is_refused_before_the_fit(
    name, tmp_path, monkeypatch
):
    monkeypatch.setitem(dip_blocks.RECIPES, name, TINY)
    with pytest.raises(runs.RunError, match="cannot be stored: its name"):
        perform(replace(SPEC, recipe=name), tmp_path)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 3), np.longdouble(0.3)])
def test_a_share_may_be_any_kind_of_number(share, tmp_path):
    spec = replace(SPEC, p=share)
    made = perform(spec, tmp_path)
    assert made.facts["p"] == float(share)
    assert runs.stored(spec, tmp_path).facts == made.facts


def test_what_was_not_begun_is_cancelled_when_a_sweep_is_left(tmp_path):
    class Waiting(Executor):
        futures = []

        def submit(self, *_arguments):
            self.futures.append(Future())
            if len(self.futures) == 1:
                self.futures[0].set_exception(StopError("first"))
            return self.futures[-1]

    going = sweeps.sweep(
        [replace(SPEC, iterations=i) for i in (2, 3, 4)], tmp_path, executor=Waiting()
    )
    assert next(going)[2] == "failed: first"
    going.close()
    assert [future.cancelled() for future in Waiting.futures] == [False, True, True]


def test_a_worker_may_have_begun_in_another_folder(tmp_path, monkeypatch):
    """It stored into a folder of its own, and did not find a picture that was named from here."""
    (here := tmp_path / "here").mkdir()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    Image.new("L", (32, 32), 90).save(here / "photo.png")

    class Elsewhere(Executor):
        def submit(self, work, *arguments):
            done = Future()
            monkeypatch.chdir(elsewhere)
            done.set_result(work(*arguments))
            monkeypatch.chdir(here)
            return done

    monkeypatch.chdir(here)
    specs = [SPEC, replace(SPEC, image="photo.png", size=None)]
    swept = {outcome: run for _, run, outcome in sweeps.sweep(specs, "store", executor=Elsewhere())}
    assert [*swept] == ["done"] and not list(elsewhere.iterdir())
    assert len(runs.paths(here / "store")) == 2
    again = sweeps.sweep(specs, "store", executor=Elsewhere())
    assert [outcome for *_, outcome in again] == ["stored already"] * 2


def test_a_store_behind_a_link_is_handed_on_by_the_name_that_was_given(tmp_path):
    """Where the link leads need not exist on a worker: it made its runs there, on its own disk."""

    class Asked(Executor):
        def submit(self, work, spec, store, *arguments):
            Asked.store, done = store, Future()
            done.set_result(work(spec, store, *arguments))
            return done

    (tmp_path / "disk").mkdir()
    (link := tmp_path / "shared").symlink_to("disk", target_is_directory=True)
    ((*_, outcome),) = sweeps.sweep([SPEC], link, executor=Asked())
    assert outcome == "done" and Asked.store == str(link)


@pytest.mark.parametrize("change", [{"lr": 0.1}, {"iterations": 3}])
def test_a_worker_with_another_recipe_of_the_name_makes_nothing(tmp_path, monkeypatch, change):
    """As one that began before an update: its runs were told as done, and of another recipe."""

    class BeforeTheUpdate(Executor):
        def submit(self, work, *arguments):
            done = Future()
            with monkeypatch.context() as there:
                older = replace(TINY, **change)
                there.setitem(dip_blocks.RECIPES, "tiny", older)
                try:
                    done.set_result(work(*arguments))
                except runs.RunError as error:
                    done.set_exception(error)
            return done

    ((_, run, outcome),) = sweeps.sweep([SPEC], tmp_path, executor=BeforeTheUpdate())
    assert run is None and outcome.startswith("failed: The worker has another recipe"), outcome
    assert [*change][0] in outcome and not runs.paths(tmp_path)


def test_a_cluster_without_workers_is_told_of(capsys, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.04)

    class Client:
        asked = 0

        def nthreads(self):
            self.asked += 1
            return {"tcp://127.0.0.1:1": 1} if 2 < self.asked < 5 else {}

    client = Client()
    with cluster._telling_of_no_workers(client):
        while client.asked < 8:
            time.sleep(0.01)
    assert capsys.readouterr().out.count("has no worker") == 2


def test_runs_that_a_cluster_gave_up_are_told_of(tmp_path):
    class Lost(Executor):
        def submit(self, *arguments):
            lost = Future()
            lost.set_exception(CancelledError())
            return lost

    ((_, run, outcome),) = sweeps.sweep([SPEC], tmp_path, executor=Lost())
    assert run is None and outcome.startswith("failed: it was given up")
    assert "the same command goes on" in outcome.lower()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_pool_that_forks_is_refused_before_it_hangs(tmp_path):
    """After a fit with two threads its workers would wait for ever, without a word."""
    forks = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(1, mp_context=forks) as executor,
        pytest.raises(runs.RunError, match="get_context\\('spawn'\\)"),
    ):
        list(sweeps.sweep([SPEC], tmp_path, executor=executor))
    assert runs.paths(tmp_path) == []


def start(code: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE + code], stdout=subprocess.PIPE, text=True
    )


def test_what_a_process_left_that_died_after_storing_is_swept_up(tmp_path):
    perform(SPEC, tmp_path)
    work = tmp_path / runs.WORK
    left = work / f"{runs.work_name(SPEC.path)}.safetensors"
    left.write_bytes(b"a checkpoint")
    draft = work / "some__run.12345678.draft"
    draft.mkdir()
    Path(f"{draft}.lock").touch()
    rest = work / "some__run.abcdef01.draft.one"
    rest.mkdir()
    with runs.lock(tmp_path, SPEC.path):  # somebody is at it
        assert [outcome for *_, outcome in sweeps.sweep([SPEC], tmp_path)] == ["stored already"]
        assert left.exists()
    assert [outcome for *_, outcome in sweeps.sweep([SPEC], tmp_path)] == ["stored already"]
    assert not left.exists() and not draft.exists() and not rest.exists()


def test_two_sweeps_on_one_folder_share_the_work(tmp_path):
    """Two processes get the same eight runs: each run is made once, by one of them, and whole."""
    code = f"""
SLOW = 0.005
from pathlib import Path
specs = [runs.Spec("camera", 32, "tiny", iterations=20, seed=seed) for seed in range(8)]
for spec, run, what in sweeps.sweep(\
specs, Path({str(tmp_path)!r}), device="cpu", threads=1, progress=False):
    print(what, spec.seed)
"""
    said = [
        process.communicate(timeout=120)[0].splitlines() for process in [start(code), start(code)]
    ]
    made = sorted(line for lines in said for line in lines if line.startswith("done"))
    assert made == [f"done {seed}" for seed in range(8)]
    assert not [line for lines in said for line in lines if line.startswith("failed")]
    assert len(runs.find(tmp_path)) == 8


def test_a_killed_sweep_goes_on(tmp_path):
    """SIGKILL in mid-run; the same command finishes from the checkpoint, with the same numbers."""
    code = f"""
from pathlib import Path
for spec, run, what in sweeps.sweep(\
[runs.Spec("camera", 32, "tiny")], Path({str(tmp_path / "cut")!r}),
                                    device="cpu", threads=1, progress=False, checkpoint_s=0):
    print(what)
"""
    process = start("SLOW = 0.2" + code)
    deadline = time.monotonic() + 60
    while (
        not re.search(r"iteration (\d+)", sweeps.progress_of(SPEC, tmp_path / "cut") or "")
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = int(re.search(r"iteration (\d+)", sweeps.progress_of(SPEC, tmp_path / "cut"))[1])
    assert 0 < before < 40 and runs.paths(tmp_path / "cut") == []
    second = start(code)
    assert second.communicate(timeout=120)[0].strip() == "done"
    (resumed,) = runs.find(tmp_path / "cut")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert comparable(resumed) == comparable(perform(SPEC, tmp_path / "whole"))
    finally:
        torch.set_num_threads(threads)


def test_a_dask_worker_killed_in_mid_run_loses_nothing(tmp_path):
    """A real cluster of two processes; one is killed while it works.

    Every run is made, once, and whole.
    """
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    (tmp_path / "preload.py").write_text(ELSEWHERE + "SLOW = 0.05\n")
    store = tmp_path / "store"
    specs = [replace(SPEC, seed=seed) for seed in range(5)]
    local = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        preload=str(tmp_path / "preload.py"),
    )
    try:
        with cluster.dask_executor(local.scheduler_address) as executor:
            going = sweeps.sweep(
                specs, store, executor=executor, device="cpu", threads=1, checkpoint_s=0
            )
            outcome = [next(going)]
            with distributed.Client(local) as client:
                busy = [worker for worker, tasks in client.processing().items() if tasks]
                killed = client.run(os.getpid, workers=busy[:1])[busy[0]]
                os.kill(killed, signal.SIGKILL)
            outcome += list(going)
    finally:
        with suppress(TimeoutError):  # Dask's own: a machine that is busy ends processes slowly
            local.close()
    assert sorted(spec.seed for spec, _, _ in outcome) == [0, 1, 2, 3, 4]
    assert {what for _, _, what in outcome} <= {"done", "stored already"}, outcome
    found = runs.find(store)
    assert len(found) == 5 and all(run.history[-1].iteration == 40 for run in found)
    assert not list((store / runs.WORK).glob("*.safetensors"))


def test_a_scheduler_that_is_not_there(capsys, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    import distributed

    monkeypatch.setattr(
        distributed, "Client", lambda *a, **k: (_ for _ in ()).throw(OSError("refused"))
    )
    assert (
        main(
            [
                "run",
                "camera",
                "--recipe",
                "tiny",
                "--size",
                "32",
                "--scheduler",
                "tcp://127.0.0.1:1",
            ]
        )
        == 2
    )
    assert "No Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err


def asked_of(address):
    """What `run` says that hands its work to an address: nothing is computed here."""
    return main(["run", "camera", "--recipe", "tiny", "--size", "32", "--scheduler", address])


@pytest.mark.parametrize(
    "address",
    ["localhost", "tcp://127.0.0.1", "127.0.0.1:port", "http://127.0.0.1:8787", "tcp:/127.0.0.1:1",
     "tls://127.0.0.1:8786", "inproc://x", "tcp://", "scheduler.json"],
)  # fmt: skip
def test_what_is_no_address_of_a_scheduler(capsys, address):
    pytest.importorskip("distributed", reason="Dask is not installed")
    assert asked_of(address) == 2
    assert f"'{address}' is no address that Dask can use" in capsys.readouterr().err


def test_a_server_that_is_no_scheduler_is_not_waited_for(capsys, monkeypatch):
    """As that of the dashboard: it waits for a request, and Dask's client for its greeting."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.2)
    monkeypatch.setattr(distributed, "Client", lambda *a, **k: pytest.fail("it waits for ever"))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert asked_of(f"tcp://127.0.0.1:{mute.getsockname()[1]}") == 2
    assert "is no Dask scheduler" in capsys.readouterr().err


# Archives ---------------------------------------------------------------------------------


@pytest.fixture
def filled(tmp_path):
    store = tmp_path / "here"
    for seed in range(3):
        perform(replace(SPEC, iterations=4, seed=seed), store)
    return store


def test_a_run_is_compressed_once_to_know_its_size_and_once_to_be_packed(tmp_path, monkeypatch):
    """Not once for each run that follows it into the archive: minutes, for a book's."""
    contents = {f"tiny/camera-32/seed{n}-3it": bytes(range(256)) * (n + 1) for n in range(40)}
    monkeypatch.setattr(
        archives, "_files", lambda store, path: [(f"{path}.json", contents[str(path)])]
    )
    packed, whole = [], archives._zip
    monkeypatch.setattr(archives, "_zip", lambda part: packed.extend(part) or whole(part))
    paths = [*map(Path, contents)]
    for alone in (paths[0], str(paths[0])):
        with pytest.raises(runs.RunError, match="in a list, also where it is one"):
            runs.pack(alone, tmp_path, tmp_path / "one")
    (one,) = runs.pack(paths, tmp_path, tmp_path / "one")
    assert len(packed) == 2 * len(paths)
    exact = one.stat().st_size / 1e6
    assert len(runs.pack(paths, tmp_path, tmp_path / "same", limit_mb=exact)) == 1
    two = runs.pack(paths, tmp_path, tmp_path / "two", limit_mb=exact - 1e-6)
    assert len(two) == 2 and all(box.stat().st_size < exact * 1e6 for box in two)


def test_runs_travel_in_archives(filled, tmp_path):
    paths = runs.paths(filled)
    size = max(
        sum(file.stat().st_size for file in (filled / path).parent.glob(f"{path.name}.*"))
        for path in paths
    )
    archives = runs.pack(paths, filled, tmp_path / "box" / "runs", limit_mb=1.5 * size / 1e6)
    assert len(archives) >= 2 and all(archive.stat().st_size <= 1.5 * size for archive in archives)
    there = tmp_path / "there"
    assert [what for archive in archives for _, what in runs.unpack(archive, there)] == ["new"] * 3
    assert [run.facts for run in runs.find(there)] == [run.facts for run in runs.find(filled)]
    assert all(
        Path(f"{there / path}.webp").read_bytes() == Path(f"{filled / path}.webp").read_bytes()
        for path in paths
    )
    assert [what for archive in archives for _, what in runs.unpack(archive, there)] == [
        "there already"
    ] * 3
    assert {file.suffix for file in (there / runs.WORK).iterdir()} <= {".lock"}
    assert len(runs.find(there)) == 3


def test_unpacking_replaces_nothing(filled, tmp_path):
    (archive,) = runs.pack([replace(SPEC, iterations=4).path], filled, tmp_path / "runs")
    mine = Path(f"{filled / replace(SPEC, iterations=4).path}.json")
    mine.write_text(mine.read_text().replace('"p": 0.5', '"p": 0.25'))
    before = mine.read_text()
    assert [what for _, what in runs.unpack(archive, filled)] == ["kept ours"]
    assert mine.read_text() == before


def test_unpacking_a_backup_mends_a_run_whose_pictures_are_damaged_or_gone(filled, tmp_path):
    path = replace(SPEC, iterations=4).path
    (archive,) = runs.pack([path], filled, tmp_path / "runs")
    pictures, record = (Path(f"{filled / path}{end}") for end in (".webp", ".json"))
    whole = pictures.read_bytes()
    for content in (whole[:-9], None):
        pictures.unlink() if content is None else pictures.write_bytes(content)
        assert runs.unpack(archive, filled) == [(path, "mended: ours was damaged")]
        assert pictures.read_bytes() == whole
        assert [what for _, what in runs.unpack(archive, filled)] == ["there already"]
    record.write_text(record.read_text()[:-40])  # what it was of, nobody can tell now
    (kept,) = [what for _, what in runs.unpack(archive, filled)]
    assert kept.startswith("kept ours, which is damaged or of another format: move it away")
    assert pictures.read_bytes() == whole


def test_a_backup_without_frames_takes_the_place_of_no_run_that_has_them(tmp_path):
    here, backup = tmp_path / "here", tmp_path / "backup"
    path = perform(SPEC, here, frames=3).place.relative_to(here)
    shutil.copytree(here, backup)
    runs.tidy(backup, {path: "pictures"})
    (archive,) = runs.pack([path], backup, tmp_path / "runs")
    Path(f"{here / path}.webp").write_bytes(b"broken")
    (outcome,) = [what for _, what in runs.unpack(archive, here)]
    assert outcome.startswith("kept ours, which is damaged")
    assert Path(f"{here / path}.frames.webp").exists()


def test_runs_to_pack_are_named_by_their_paths(filled, tmp_path):
    for given in (runs.find(filled), [SPEC], [None]):
        with pytest.raises(runs.RunError, match="named by their paths, as run.name"):
            runs.pack(given, filled, tmp_path / "box")
    named = [run.name for run in runs.find(filled)]
    assert runs.pack(iter(named), filled, tmp_path / "box")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../evil/x.json", "no part of a stored run"),
        ("/a/b/c.json", "no part"),
        ("a/b/c/d.json", "no part"),
        ("a/b/c.txt", "no part"),
        (".work/b/c.json", "no part"),
        ("C:/b/c.json", "no part"),
        ("a\\b/c/d.json", "no part"),
        ("a/../b.json", "no part"),
        ("a/b/c.json", "is damaged"),
        ("a/b/c/", "no stored run"),
        ("a/b/c.webp", "no stored run"),
        ("a/b/c/run.json", "runs of format 2"),
    ],
)
def test_a_strange_archive_is_refused(tmp_path, name, words):
    with zipfile.ZipFile(tmp_path / "strange.zip", "w") as file:
        file.writestr(name, "{}")
    with pytest.raises(runs.RunError, match=words):
        runs.unpack(tmp_path / "strange.zip", tmp_path / "store")
    assert runs.paths(tmp_path / "store") == []


def test_what_cannot_be_packed(filled, tmp_path):
    with pytest.raises(runs.RunError, match="no stored run to pack"):
        runs.pack([], tmp_path / "empty", tmp_path / "runs")
    with pytest.raises(runs.RunError, match="alone is over"):
        runs.pack([SPEC.path.with_name("seed0-4it")], filled, tmp_path / "runs", limit_mb=0.001)
    (tmp_path / "no.zip").write_text("no")
    with pytest.raises(runs.RunError, match="not an archive"):
        runs.unpack(tmp_path / "no.zip", filled)


# The plan ---------------------------------------------------------------------------------


def test_the_plan_names_runs_that_can_be_made():
    for group, specs in plan.WANTED.items():
        assert len({spec.path for spec in specs}) == len(specs) > 0, group
        for spec in specs:
            for member in spec.members:
                member.resolved()
            assert images.of_the_book(spec.image)
    assert all(
        {spec.image for spec in plan.WANTED[group]} == set(images.STANDARD)
        for group in (
            *("table", "table-short", "best", "best-seeds", "best-wide", "best-wide-seeds"),
            *("blog-muon", "paper-muon"),
        )
    )
    assert {spec.resolved().iterations for spec in plan.WANTED["table"]} == {11_000}


def test_every_stored_run_is_wanted():
    """What no chapter shows need not be in the repository; a reader's own runs may lie beside."""
    listed = subprocess.run(
        ["git", "ls-files", "*.json"], cwd=runs.ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a clone: which runs belong to the repository is not known")
    files = set(listed.stdout.splitlines())
    kept = {
        path for path in runs.paths() if f"{path}.json" in files or f"{path.parts[0]}.json" in files
    }
    assert len(kept) > 100 and kept <= plan.of_the_book()


def test_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        plan, "WANTED", {"few": [replace(SPEC, iterations=2), replace(SPEC, iterations=3)]}
    )
    perform(replace(SPEC, iterations=2), tmp_path)
    assert plan.missing(store=tmp_path) == [replace(SPEC, iterations=3)]


# Tables of many runs ----------------------------------------------------------------------


def stored_run(store, name, seed, iterations, psnr, whole=11_000):
    """A run's record, without having been run: tables are about numbers."""
    store_run(
        store,
        runs.Spec(name, None, seed=seed, iterations=iterations),
        psnr,
        psnr_db={"averaged": psnr + 1},
        recipe_iterations=whole,
    )


@pytest.fixture
def table_store(tmp_path):
    (tmp_path / "baselines.json").write_text((runs.ROOT / "baselines.json").read_text())
    for seed, psnr in enumerate((32.0, 33.0, 34.0)):
        stored_run(tmp_path, "house", seed, 11_000, psnr)
    stored_run(tmp_path, "house", 0, 2_000, 30.0)
    stored_run(tmp_path, "montage", 0, 2_000, 28.0)
    stored_run(tmp_path, "lena", 0, 11_000, 32.5)
    return tmp_path


def row(table: Table, image: str) -> dict[str, str]:
    return dict(zip(table.header, next(row for row in table.shown() if row[0] == image)))


def test_the_table_says_what_each_number_is(table_store):
    rerun = "blog's recipe, rerun"
    assert rerun not in tables.standard(table_store).header, (
        "a column that is not complete is not shown"
    )
    table = tables.rerun(table_store)
    assert [line[0] for line in table.rows] == ["House", "Lena", "Montage", "**mean of 3**"], (
        "nor a row that was not run"
    )
    assert row(table, "House")[rerun] == "33.00 ± 1.00", "the seeds' longest runs, of one length"
    assert row(table, "Montage")[rerun] == "28.00 (2,000\xa0it.)", (
        "marked as shorter than the recipe"
    )
    assert row(table, "Lena")[rerun] == "32.50"
    assert row(table, "**mean of 3**")[rerun] == "–", "no mean over what was cut short"
    assert row(tables.averaged(table_store), "Lena")["averaged output"] == "33.50"
    assert row(tables.ssim(table_store), "Lena")[f"{rerun}: raw output"] == "0.900"
    for name in images.STANDARD:
        stored_run(table_store, name, 0, 11_000, 32.0)
    assert row(tables.standard(table_store), "Boat")[rerun] == "32.00"
    assert row(tables.differences(table_store), "Lena")["rerun − blog"] == "−0.71"


@pytest.mark.parametrize("form", ["markdown", "csv", "latex"])
def test_tables_are_written_in_three_ways(form):
    several = Figure(-2.0, 1.0, difference=True)
    table = Table(["image", "a − b"], [["C_1", 1.234], ["**mean**", several], ["x", None]])
    expected = {
        "markdown": "| image | a − b |\n| --- | ---: |\n| C_1 | 1.23 |\n"
        "| **mean** | −2.00 ± 1.00 |\n| x | – |",
        "csv": "image,a − b,a − b: standard deviation\nC_1,1.234,\nmean,-2.0,1.0\nx,,",
        "latex": "\\begin{tabular}{lr}\n\\hline\nimage & a $-$ b \\\\\n\\hline\nC\\_1 & 1.23 \\\\\n"
        "\\textbf{mean} & $-$2.00 $\\pm$ 1.00 \\\\\nx & – \\\\\n\\hline\n\\end{tabular}",
    }
    assert table.to(form) == expected[form]


def test_what_stands_in_a_file_is_shown_and_not_obeyed():
    hostile = "<img src=x onerror=alert(1)> | & \n\n# no"
    (row,) = Table(["device", "s"], [[hostile, 1.0]]).to("markdown").splitlines()[2:]
    assert "<" not in row and row.replace("\\|", "").count("|") == 3
    assert row.startswith("| &lt;img src=x onerror=alert(1)> \\| &amp; # no | 1.00 |")


# The benchmark ----------------------------------------------------------------------------


def test_the_benchmark_times_in_turn_and_stores(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(dip_blocks.RECIPES, "blog", replace(TINY, jump=2.0, lr=0.001))
    monkeypatch.setattr(bench, "IMAGE", "brick")
    monkeypatch.setattr(bench, "memory", lambda *a: 7)
    monkeypatch.setattr(
        bench, "device_peak", lambda device: {"fp32_gflop_s": 1.0, "copy_gbyte_s": 1.0}
    )
    order, time_one, both = (
        [],
        bench._time,
        {"straightforward": bench.Straightforward, "ours": bench.Ours},
    )
    monkeypatch.setattr(
        bench,
        "_time",
        lambda thing, count, device: (
            order.append(type(thing).__name__),
            time_one(thing, 1, device),
        )[1],
    )
    monkeypatch.setattr(
        bench, "contestants",
        lambda device, size, network="blog": {
            who: partial(make, bench.recipe_of(network)) for who, make in both.items()
        },
    )  # fmt: skip
    path = bench.bench(tmp_path, sizes=[32], rounds=3, seconds=0.5, device="cpu", name="here")
    assert order[-6:] == ["Straightforward", "Ours"] * 3
    (stored,) = bench.results(tmp_path)
    assert path.name == "here.json" and stored["commit"] and stored["device"].startswith("cpu")
    entry = stored["sizes"]["32"]
    assert entry["floor"]["gflop"] > 0 and entry["floor"]["gbyte"] > 0
    assert len(entry["contestants"]["ours"]["seconds_per_iteration"]) == 3
    assert entry["contestants"]["straightforward"]["speedup"] == 1.0
    assert set(stored["time_to_psnr"]["reached"]) == {"straightforward", "ours"}
    assert "32×32" in capsys.readouterr().out


def test_a_floor_is_that_of_the_fastest_loop_s_precision():
    def result(fp32, bf16):
        loops = {
            "one vector, fp32": {"median_s": fp32},
            "+ bf16": {"median_s": bf16},
            "straightforward": {"median_s": 0.001},
        }
        peak = {"fp32_gflop_s": 100.0, "bf16_gflop_s": 400.0, "copy_gbyte_s": 10.0}
        return {
            "device": "cpu",
            "peak": peak,
            "sizes": {"128": {"floor": {"gflop": 20.0, "gbyte": 1.0}, "contestants": loops}},
        }

    # 20 GFLOP take 200 ms in fp32 and 50 in bf16; 1 GB takes 100 ms, half as many bytes 50.
    assert bench.floors(result(0.4, 0.5)).shown() == [
        ["128²", "20.00", "1.00", "200.0", "100.0", "400.0 (one vector, fp32)", "50 %"]
    ]
    assert bench.floors(result(0.4, 0.1)).shown() == [
        ["128²", "20.00", "1.00", "50.0", "50.0", "100.0 (+ bf16)", "50 %"]
    ]


@pytest.fixture
def products():
    """PyTorch's settings for products of matrices, given back after the test."""
    settings = torch.backends.cuda.matmul
    before = settings.allow_tf32
    yield settings
    settings.allow_tf32 = before


@pytest.mark.parametrize("tf32", [True, False])
def test_a_peak_is_measured_with_tf32_as_it_is_wanted(products, tf32):
    products.allow_tf32 = not tf32
    seen = []

    class Matrix:
        shape = (8, 8)

        def __matmul__(self, other):
            seen.append(products.allow_tf32)

    assert bench.product_peak(Matrix(), Matrix(), torch.device("cpu"), tf32=tf32) > 0
    assert seen and set(seen) == {tf32} and products.allow_tf32 is not tf32


def test_a_gpus_peaks_are_those_of_each_precision(monkeypatch):
    measured, empty = [], torch.empty
    monkeypatch.setattr(
        bench,
        "product_peak",
        lambda a, b, device, tf32=False: measured.append((a.dtype, tf32)) or 1.0,
    )
    monkeypatch.setattr(bench, "_peak", lambda *_: 1.0)
    for name in ("randn", "empty"):
        monkeypatch.setattr(torch, name, lambda *shape, device: empty(*shape, device="meta"))
    peak = bench.device_peak(torch.device("cuda"))
    assert list(peak) == ["fp32_gflop_s", "tf32_gflop_s", "bf16_gflop_s", "copy_gbyte_s"]
    assert measured == [(torch.float32, False), (torch.float32, True), (torch.bfloat16, False)]


def test_a_floor_of_a_loop_in_tf32():
    loops = {"+ CUDA graph": {"median_s": 0.4, "precision": "tf32"}}
    peak = {
        "fp32_gflop_s": 100.0,
        "tf32_gflop_s": 200.0,
        "bf16_gflop_s": 400.0,
        "copy_gbyte_s": 10.0,
    }
    result = {
        "device": "cpu",
        "peak": peak,
        "sizes": {"128": {"floor": {"gflop": 20.0, "gbyte": 0.1}, "contestants": loops}},
    }
    assert bench.floors(result).shown()[0][3:] == ["100.0", "10.0", "400.0 (+ CUDA graph)", "25 %"]


def test_what_watching_costs_is_measured_in_a_kernel_and_stored(tmp_path):
    path = bench.watching(tmp_path, rounds=1, iterations=3, name="here")
    (stored,) = bench.results(tmp_path, bench.WATCHING)
    assert path.name == "here.json" and not bench.results(tmp_path), (
        "kept apart from the loops' results"
    )
    assert len(stored["plain_s"]) == len(stored["shown_s"]) == 1 and stored["updates"][0] >= 1
    assert 0 < stored["updating_s"][0] < stored["shown_s"][0] and stored["median_ratio"] > 0


def test_replays_are_compared_with_plain_iterations_and_stored(tmp_path, monkeypatch, recipe):
    """On a CPU nothing is recorded; who plays a recording that forgets is found out."""
    with pytest.raises(bench.RunError, match="recorded on an NVIDIA GPU; here is cpu"):
        bench.replays(tmp_path, device="cpu")
    plain = bench._replayed(recipe, 32, torch.device("cpu"), "fp32", 4)
    assert plain["same_bits"] and plain["recorded"] is False and plain["plain_s"] > 0

    def forgetful(fit):
        fit._replay = lambda: (fit.step(), fit.weights.mul_(1.001))
        return True

    monkeypatch.setattr(bench.dip_blocks.Fit, "record", forgetful)
    other = bench._replayed(recipe, 32, torch.device("cpu"), "fp32", 4)
    assert other["recorded"] and not other["same_bits"]

    found = iter([plain, other] * len(bench.RECORDED))
    monkeypatch.setattr(bench, "_replayed", lambda *_: next(found))
    monkeypatch.setattr(bench, "describe_device", lambda _: "cuda (a GPU)")
    assert bench.replays(tmp_path, device="cuda").name == "cuda-a-gpu.json"
    assert not bench.results(tmp_path), "kept apart from the loops' results"
    (stored,) = bench.results(tmp_path, bench.REPLAYS)
    shown = bench.replayed(stored).shown()
    assert [row[3] for row in shown[:2]] == ["not recorded", "no"]
    assert len(shown) == len(bench.RECORDED)


def test_operations_are_counted(monkeypatch):
    """A 3×3 convolution's count is known: 2·9·C_in·C_out·H·W, twice more for the way back."""
    with bench.FlopCounterMode(display=False) as flops, bench._Bytes() as moved:
        torch.nn.functional.conv2d(torch.ones(1, 4, 8, 8), torch.ones(4, 4, 3, 3), padding=1)
    assert flops.get_total_flops() == 2 * 9 * 4 * 4 * 64
    assert moved.total >= 4 * (4 * 64 + 4 * 64 + 9 * 16)


# Command line -----------------------------------------------------------------------------


def test_run_status_show_and_skip(tmp_path, capsys):
    words = [
        "run",
        "camera",
        "brick",
        "--recipe",
        "tiny",
        "--size",
        "32",
        "--iterations",
        "3",
        "--store",
        str(tmp_path),
    ]
    assert main([*words, "--set", "lr=0.02", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("done: ") == 2
    assert main([*words, "--set", "lr=0.02"]) == 0
    assert capsys.readouterr().out.count("stored already") == 2
    assert main(["status", "--store", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "tiny+lr=0.02/camera-32/seed0-3it" in said and "table: 0 of 11" in said
    assert main(["show", "tiny+lr=0.02/camera-32/seed0-3it", "--store", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "3 of 40 iterations" in said and "averaged output, known pixels pasted back" in said
    assert main(["status", "--missing", "--store", str(tmp_path)]) == 0
    assert "blog/house/seed0-11000it" in capsys.readouterr().out.splitlines()


def test_a_damaged_run_does_not_end_the_status(filled, capsys, monkeypatch):
    good, bad, _ = paths = runs.paths(filled)
    Path(f"{filled / bad}.webp").write_bytes(b"another's")
    assert main(["status", "--store", str(filled)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "tiny/" in line]
    assert (
        len(lines) == len(paths)
        and f"dB {good}" in lines[0]
        and "damaged" in lines[1]
        and f"dB {bad}" not in lines[1]
    )


def test_a_picture_that_cannot_be_had_holds_up_no_other(tmp_path, capsys, monkeypatch):
    load = images.load

    def without_house(name, *args, **options):
        if name == "house":
            raise images.ImageError("The test image 'house' is missing.")
        return load(name, *args, **options)

    monkeypatch.setattr(images, "load", without_house)
    monkeypatch.setitem(
        plan.WANTED,
        "table",
        [replace(SPEC, image="house", iterations=2), replace(SPEC, iterations=3)],
    )
    assert main(["run", "--missing", "table", "--store", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "failed: The test image 'house' is missing." in said and "seed0-3it: done" in said
    assert main(["run", "house", "--recipe", "tiny", "--store", str(tmp_path)]) == 2, (
        "asked for by name, it is a mistake"
    )


def test_running_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(
        plan.WANTED, "table", [replace(SPEC, iterations=2), replace(SPEC, iterations=3)]
    )
    assert main(["run", "--missing", "table", "--store", str(tmp_path)]) == 0
    assert len(runs.find(tmp_path)) == 2
    assert main(["run", "--missing", "table", "--store", str(tmp_path)]) == 0
    assert "Nothing is missing" in capsys.readouterr().out


def test_pack_and_unpack_on_the_command_line(filled, tmp_path, capsys):
    assert main(["pack", "--store", str(filled), "--to", str(tmp_path / "box")]) == 0
    assert main(["unpack", str(tmp_path / "box-1.zip"), "--store", str(tmp_path / "there")]) == 0
    assert capsys.readouterr().out.count(": new") == 3


@pytest.fixture
def nothing_run(tmp_path):
    """A store without runs, but with what the tables compare them with."""
    for name in ("baselines.json", "ceilings.json"):
        shutil.copy(runs.ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", [name for name in TABLES if name not in ("embedded", "quick", "repeated")]
)
def test_a_table_without_rows_says_what_would_fill_it(nothing_run, capsys, name):
    assert main(["table", name, "--store", str(nothing_run)]) == 0
    markdown = capsys.readouterr().out
    if "| ---" in markdown:  # what others report, or what there is to run
        assert len(markdown.splitlines()) > 2
        return
    named = re.fullmatch(
        r"The runs of this table are not stored yet: "
        r"`python -m dip_book run --missing ([\w -]+)` makes them\.\n",
        markdown,
    )
    assert set(named[1].split()) <= set(plan.WANTED)
    assert main(["table", name, "--store", str(nothing_run), "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1 and said.err == markdown


@pytest.mark.parametrize(
    "name", ["members", "at_rest", "averaged", "distances", "final", "muon", "pairs", "longer",
             "sooner", "hidden", "blends", "large"]
)  # fmt: skip
def test_the_groups_that_an_empty_table_names_fill_it(nothing_run, name):
    table = TABLES[name](store=nothing_run)
    history = [dip_blocks.Step(i, 0.001, 0.001, False, 30.0, 30.0) for i in (10, 400)]
    better = {"raw_pasted": 33.0, "averaged_pasted": 33.0}
    wanted = [spec for group in table.filled_by for spec in plan.WANTED[group]]
    for spec in {spec for mean in wanted for spec in (mean, *mean.members)}:
        grey = np.full((spec.size or 8,) * 2, 0.5, np.float32)
        pictures = {"raw": grey, "averaged": grey} if spec.image in images.EMBEDDED else {}
        store_run(nothing_run, spec, 30.0, pictures, history, core_seconds=1.0, psnr_db=better)
    assert table.rows == [] and TABLES[name](store=nothing_run).rows


def test_what_waiting_brings_is_told_of_runs_at_full_length(nothing_run):
    """A run that was cut short has no end to compare with."""
    on_the_way = ((2000, 31.0), (2001, 9.0), (10_000, 32.0))
    history = [dip_blocks.Step(i, 0.001, 0.001, False, 30.0, psnr) for i, psnr in on_the_way]

    def run(name, iterations=None, end=31.5):
        spec = runs.Spec(name, None, iterations=iterations)
        store_run(nothing_run, spec, 30.0, {}, history, psnr_db={"averaged": end})

    run("house")
    run("montage", iterations=2500)
    house = ["House", "31.00", "32.00", "31.50", "+0.50"]
    assert TABLES["lengthened"](store=nothing_run).shown() == [house]
    run("peppers", end=30.0)
    *rows, mean = TABLES["lengthened"](store=nothing_run).shown()
    assert [row[0] for row in rows] == ["House", "Peppers"]
    assert mean == ["**mean of 2, 256×256**", "31.00", "32.00", "30.75", "−0.25"]


def test_both_readings_are_compared_after_the_same_iterations(nothing_run):
    """The longer run's end is not set against the shorter one's."""
    for recipe, last, at in (("blog", 11_000, 30.0), ("paper", 1000, 32.0)):
        spec = runs.Spec("house", None, recipe, iterations=last)
        history = [dip_blocks.Step(i, 0.001, 0.001, False, 1, at + i / 1e4) for i in (1000, 11_000)]
        store_run(nothing_run, spec, 30.0, {}, [s for s in history if s.iteration <= last])
    (shown,) = TABLES["both_readings"](store=nothing_run).shown()
    assert shown[:5] == ["House", "1,000", "30.10", "32.10", "+2.00"]


@pytest.mark.parametrize(
    "name", [name for name in TABLES if name not in ("embedded", "quick", "repeated")]
)
def test_every_table_is_printed(capsys, name):
    assert main(["table", name, "--format", "csv"]) == 0
    first = {
        "precision": "fp32",
        "switches": "the blog's reading",
        "ideas": "the second reading",
        "reached": "Astronaut",
        "noise_distances": "BM3D",
        "set5_gains": "Butterfly",
        "one_precision": "no connecting",
    }
    first |= {
        "muon": "Muon",
        "pairs": "one network",
        "sooner": "picture",
        "longer": "picture",
        "longer_hidden": "picture",
        "papers_with_muon": "image",
        "seconds": "image",
        "straightforward": "picture",
        "final": "image",
        "lengthened": "House",
        "both_readings": "House",
        "beside": "image",
        "members": "image",
        "at_rest": "image",
        "distances": "image",
        "hidden": "idea",
        "hidden_pairs": "one network",
        "hidden_seeds": "mean of two",
        "large": "picture",
        "blends": "averaged output of",
        "noise": "non-local means",
        "noise_rules": "held-out pixels",
        "noise_ideas": "a hiding network",
        "noise_papers": "House",
        "shrunk": "bicubic",
        "shrunk_ideas": "nearest",
        "set5": "bicubic",
        "large_hole": "biharmonic",
        "covered": "biharmonic",
        "holes_papers": "Kate",
        "filling": "hole",
        "filling_recipes": "hole",
        "filling_errors": "hole",
        "decibel": "deepinv",
    }
    assert first.get(name, "Montage") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nowhere.png"], "There is no picture"),
        (["run", "camera", "--recipe", "good"], "No recipe is called"),
        (["run", "camera", "--set", "lr"], "KEY=VALUE"),
        (["run"], "Name at least one picture"),
        (["run", "camera", "--missing", "table"], "not both"),
        (["show", "blog/nothing/here"], "No run is stored at"),
        (["unpack", "nothing.zip"], "cannot be read: No such file"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, capsys, words, message):
    assert main([*words, "--store", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.rglob("*.json")) == []


def test_a_failed_run_shows_in_the_exit_status(tmp_path, capsys):
    assert (
        main(
            [
                "run",
                "camera",
                "--size",
                "32",
                "--recipe",
                "blog",
                "--iterations",
                "1",
                "--store",
                str(tmp_path),
            ]
        )
        == 1
    )
    assert "failed: An input of 32×32 is too small" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["camera", "brick", "--recipe", "tiny"], "it makes those too once more: name only the"),
        (["camera", "--recipe", "two-tiny"], "it makes a mean's finished members once more, too"),
    ],
)
def test_an_interrupted_again_says_what_it_makes_once_more(
    tmp_path, capsys, monkeypatch, words, message
):
    one, made = sweeps._perform_one, []

    def perform_one(spec, store, **options):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(spec)
        return one(spec, store, **options)

    monkeypatch.setattr(sweeps, "_perform_one", perform_one)
    monkeypatch.setitem(dip_blocks.RECIPES, "tiny-too", dip_blocks.RECIPES["tiny"])
    monkeypatch.setitem(dip_blocks.MEANS, "two-tiny", ("tiny", "tiny-too"))
    line = ["run", *words, "--size", "32", "--iterations", "2", "--store", str(tmp_path), "--again"]
    assert main(line) == 130
    said, count = capsys.readouterr().out, len(words) - 2
    assert f"{count - 1} of {count} are stored" in said and message in said


def test_an_interrupt_on_the_command_line(tmp_path, capsys, monkeypatch):
    """What is said is what there is: nothing yet, or a checkpoint."""
    words = ["run", "camera", "--recipe", "tiny", "--size", "32", "--store", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "_perform", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(words) == 130
    said = capsys.readouterr().out
    assert "0 of 1 are stored" in said and "there is no checkpoint yet" in said
    original, count = dip_blocks.Fit.step, []

    def step(fit):
        count.append(None)
        if len(count) == 5:
            raise KeyboardInterrupt
        original(fit)

    monkeypatch.setattr(dip_blocks.Fit, "step", step)
    one = sweeps._perform_one
    monkeypatch.setattr(
        sweeps, "_perform_one", lambda *a, **k: one(*a, **{**k, "checkpoint_s": 0.0})
    )
    assert main(words) == 130
    said = capsys.readouterr().out
    assert "0 of 1 are stored" in said and "goes on from the last checkpoint" in said


def test_help_teaches():
    said = parser().format_help()
    for command in ("run", "status", "show", "table", "pack", "unpack", "bench"):
        assert re.search(rf"^\s+{command}\b", said, re.MULTILINE)
    assert "python -m dip_book run --missing best" in said


def test_a_picture_too_small_for_ssim_is_refused_before_the_fit(tmp_path, monkeypatch):
    images.save_png(tmp_path / "sliver.png", np.full((6, 200), 0.5))
    monkeypatch.setattr(dip_blocks.Fit, "step", lambda fit: pytest.fail("the fit began"))
    with pytest.raises(images.ImageError, match="200×6 pixels is too small"):
        perform(replace(SPEC, image=str(tmp_path / "sliver.png"), size=None), tmp_path)


def test_a_sweep_leaves_the_number_of_threads_as_it_was(tmp_path):
    before = torch.get_num_threads()
    list(
        sweeps.sweep(
            [runs.Spec("brick", 32, "tiny", iterations=2)],
            tmp_path,
            threads=before + 1,
            device="cpu",
            progress=False,
        )
    )
    assert torch.get_num_threads() == before


def test_a_mean_that_is_being_made_is_left_to_whom_makes_it(tmp_path, monkeypatch):
    monkeypatch.setitem(dip_blocks.MEANS, "twice", ("tiny", "tiny"))
    spec = runs.Spec("brick", 32, "twice", iterations=2)
    with sweeps._holding(spec, tmp_path, 0.0), pytest.raises(sweeps.Busy, match="twice/brick-32"):
        sweeps.perform(spec, tmp_path, device="cpu", progress=False)


def test_a_mean_whose_member_is_being_made_elsewhere_is_told_as_missing(tmp_path, monkeypatch):
    """Nobody is making the mean then; the other member is made, and the mean when it is free."""
    monkeypatch.setitem(
        dip_blocks.RECIPES, "tiny-too", replace(dip_blocks.RECIPES["tiny"], lr=0.02)
    )
    monkeypatch.setitem(dip_blocks.MEANS, "two-tiny", ("tiny", "tiny-too"))
    spec = runs.Spec("brick", 32, "two-tiny", iterations=2)
    how = {"device": "cpu", "progress": False}
    busy, free = spec.members
    with sweeps._holding(busy, tmp_path, 0.0):
        ((_, run, outcome),) = sweeps.sweep([spec], tmp_path, **how)
        assert run is None and outcome.startswith(f"failed: Another process is making {busy.path}")
        assert runs.state(free, tmp_path)[0] and not runs.state(busy, tmp_path)[0]
    ((_, run, outcome),) = sweeps.sweep([spec], tmp_path, **how)
    assert outcome == "done" and runs.state(busy, tmp_path)[0]
