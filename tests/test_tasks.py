"""Stored runs of other tasks than missing pixels, and of pictures in colour."""

import dataclasses

import numpy as np
import pytest
import torch
from dip_book import images, runs, tasks
from dip_book.cli import main
from dip_book.results import classical
from dip_book.runs import RunError, Spec, means, sweeps
from dip_book.show import explorer

import dip_blocks

SMALL = (("width", 8), ("depth", 2), ("channels_skip", 2))


def small(task, **values):
    values = {"image": "astronaut-rgb", "size": 48, "recipe": "quick", "iterations": 25} | values
    return Spec(changes=SMALL, task=task, **values)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module", params=["noise25", "shrink4", "pixels"])
def run(request, store):
    return sweeps.perform(small(request.param), store, device="cpu", progress=False)


def test_a_run_of_any_task_is_stored_in_colour_and_found_again(run, store):
    again = runs.check(runs.read(run.place))
    assert again.task == run.task and again.raw.shape == (48, 48, 3)
    assert np.ptp(again.raw, axis=-1).max() > 0.02, "colours"
    assert again.degraded()[0].shape == (48, 48, 3) and again.truth().shape == (48, 48, 3)
    assert again.frames[25].shape == (48, 48, 3)
    spec = small(run.task)
    assert runs.state(spec, store)[1] is None and run.place == store / spec.path
    assert ("pixels" in run.place.name) is False and (run.task in run.place.name) == (
        run.task != tasks.PIXELS
    )
    assert [found.place for found in runs.find(store, task=run.task)] == [run.place]


def test_what_is_put_back_is_what_was_known(run):
    put_back = {k for k, v in run.facts["psnr_db"].items() if v is not None} - {"raw", "averaged"}
    assert len(put_back) == (3 if run.task == tasks.PIXELS else 0)
    assert run.degraded()[1].any() == (run.task == tasks.PIXELS)
    assert ("psnr_luma_db" in run.facts) == (run.task == "shrink4")


def test_the_explorer_shows_it_beside_its_classical_methods(run):
    shown = explorer.entry(run)
    known = set(classical.methods(run.task))
    assert known and {key for key in explorer.CLASSICAL if shown[key]} == known
    assert all(shown["quality"][key] > shown["quality"]["degraded"] for key in known)
    assert shown["truth"] and shown["degraded"] and len(shown["frames"]) == len(run.frames)


def test_a_run_of_another_task_is_not_taken_for_this_one(store):
    spec = small("noise25")
    run = sweeps.perform(spec, store, device="cpu", progress=False)
    facts = {key: value for key, value in run.facts.items() if key != "task"}
    assert any("the task" in said for said in spec.differences(facts))
    assert not spec.differences(run.facts)
    assert spec.path != dataclasses.replace(spec, task="noise15").path


def test_a_mean_is_of_one_task(store, monkeypatch):
    monkeypatch.setitem(dip_blocks.MEANS, "pair", ("quick", "quick-adam"))
    made = sweeps.perform(small("noise25", recipe="pair"), store, device="cpu", progress=False)
    assert made.task == "noise25" and made.raw.shape == (48, 48, 3)
    assert made.facts["psnr_db"]["averaged_pasted"] is None
    members = [sweeps.perform(small(t), store, progress=False) for t in ("noise25", "pixels")]
    with pytest.raises(RunError, match="different masks"):
        means.mean_of(members)


@pytest.mark.parametrize("task", ["noise", "noise-3", "shrink2.5", "blur", "", "shrink0"])
def test_a_task_that_there_is_not_is_named(task, store, capsys):
    with pytest.raises(ValueError, match="There is no task"):
        tasks.check(task)
    with pytest.raises(RunError, match="noise25"):
        small(task).resolved()
    assert main(["run", "camera", "--task", task, "--store", str(store)]) == 2
    assert "There is no task" in capsys.readouterr().err


def test_the_command_runs_a_task(store, capsys):
    words = ["--recipe", "quick", "--iterations", "2", "--size", "40", "--task", "shrink4"]
    changes = [word for key, value in SMALL for word in ("--set", f"{key}={value}")]
    assert main(["run", "chelsea-rgb", *words, *changes, "--store", str(store)]) == 0
    assert "seed0-shrink4-2it: done" in capsys.readouterr().out


def test_a_size_that_cannot_be_shrunk_is_said_before_the_first_iteration(store):
    with pytest.raises(RunError, match="crop it to 40×40"):
        sweeps.perform(small("shrink4", size=42), store, progress=False)


@pytest.mark.parametrize("task", ["shrink16", "shrink32"])
def test_what_leaves_nothing_to_measure_is_said_before_the_first_iteration(
    task, store, monkeypatch
):
    monkeypatch.setattr(dip_blocks.Fit, "run", None)
    with pytest.raises(RunError, match="a picture of 32×32 has nothing else"):
        sweeps.perform(small(task, size=32), store, progress=False)
    assert tasks.degradation(task, 80, 81).factor in (16, 32)


def test_luma_is_as_the_field_has_it():
    white, grey = torch.ones(3, 8, 8), torch.full((1, 8, 8), 0.5)
    assert torch.allclose(means.luma(white), torch.tensor(235 / 255))
    assert torch.allclose(means.luma(grey), torch.tensor((16 + 109.5) / 255))
    assert means.luma(white, border=3).shape == (1, 2, 2)


def test_data_for_eyes_have_the_pictures_size_and_range():
    shown = tasks.for_eyes(torch.tensor([[[-0.5, 0.25], [0.5, 1.5]]]), 4, 6)
    assert shown.shape == (4, 6) and shown.min() == 0 and shown.max() == 1
    assert (shown[:2, :3] == 0).all() and (shown[:2, 3:] == 0.25).all()


def test_pictures_in_colour_have_names_of_their_own():
    for name, grey in images.EMBEDDED_RGB.items():
        assert images.load(name, size=32).shape == (32, 32, 3)
        assert images.load(grey, size=32).shape == (32, 32)
        assert images.title(name) == images.title(grey) and images.of_the_book(name)
    assert not images.of_the_book("photo-rgb.png")


@pytest.mark.parametrize("name", [*images.COLOUR, *images.MASKS])
def test_the_colour_pictures_are_the_ones_with_their_hash(name):
    if not images.available(name):
        pytest.skip(f"{name} is not at hand")
    x = images.load(name)
    assert (x.ndim == 3) == (name in images.COLOUR)
    if name in images.MASKS:
        assert x.shape == images.load(name.removesuffix("-mask")).shape[:2]
        assert set(np.unique(x)) == {0, 1} and 0.2 < x.mean() < 1
