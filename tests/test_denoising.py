"""Noise: what a stopping rule sees, where it stops, and what classical methods leave."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dip_book import images, tasks
from dip_book.results import classical, denoising
from dip_book.runs import RunError, Spec, plan, sweeps

import dip_blocks

SMALL = (("width", 8), ("depth", 2), ("channels_skip", 2))


@pytest.fixture
def tiny(monkeypatch):
    """Fits of seconds in the place of the chapter's, of two pictures."""

    def rising(image, seed=0):
        return Spec(image, 32, "quick", SMALL, 30, seed, task="noise25")

    monkeypatch.setattr(plan, "rising", rising)
    monkeypatch.setattr(plan, "NOISY_PICTURES", plan.NOISY_PICTURES[:2])


@pytest.fixture(scope="module")
def truth():
    return dip_blocks.as_image(images.load("astronaut-rgb", size=32))


def test_what_is_held_out_has_no_part_in_the_fit(truth):
    used = dip_blocks.bernoulli_mask(32, 32, p=0.9)
    task, recipe = denoising.HeldOut(0.1, used), Spec("camera", 32, "quick", SMALL).resolved()
    x_hat = task.degrade(truth)
    other = torch.where(used == 1, x_hat, torch.rand_like(x_hat))
    one, two = (
        dip_blocks.restore(data, task, recipe, iterations=3, progress=False)
        for data in (x_hat, other)
    )
    assert torch.equal(one.image, two.image) and not torch.equal(x_hat, other)


def test_a_watcher_measures_what_it_says(truth):
    used = dip_blocks.bernoulli_mask(32, 32, p=0.8)
    task, outputs, averages = denoising.HeldOut(0.1, used), [], []
    watcher, x_hat = denoising.Watcher(window=4), task.degrade(truth)

    def watch(fit):
        watcher(fit)
        outputs.append(fit.output.clone().numpy())
        averages.append(fit.averaged.clone())

    recipe = Spec("astronaut-rgb", 32, "quick", SMALL, 10).resolved()
    dip_blocks.restore(x_hat, task, recipe, truth=truth, device="cpu", progress=False, watch=watch)
    loss, raw, averaged, variance, error = np.array(watcher.rows).T
    assert len(watcher.rows) == 10 and np.isnan(variance[:3]).all()
    assert np.isclose(variance[5], np.var(outputs[2:6], axis=0).mean(), rtol=1e-4)
    held = (used == 0).expand(3, -1, -1)
    assert np.isclose(error[7], ((averages[7] - x_hat)[held] ** 2).mean(), rtol=1e-4)
    assert np.isclose(averaged[7], dip_blocks.psnr(averages[7], truth), atol=1e-3)
    assert np.isclose(raw[7], dip_blocks.psnr(torch.from_numpy(outputs[7]), truth), atol=1e-3)
    assert (loss > 0).all()


def test_the_held_out_error_is_the_true_one_plus_the_noise():
    """Over many draws of the noise: what was not fitted knows nothing of it."""
    x, guess = torch.full((1, 64, 64), 0.5), torch.full((1, 64, 64), 0.45)
    noisy = [dip_blocks.Noisy(0.1).degrade(x, seed) for seed in range(20)]
    measured = np.mean([float(((guess - one) ** 2).mean()) for one in noisy])
    assert np.isclose(measured, 0.05**2 + 0.1**2, rtol=0.02)


def test_a_rule_waits_and_takes_the_lowest_so_far():
    assert denoising.first_minimum([None, 5, 3, 4, 2, 6, 6, 6, 1], patience=3) == 4
    assert denoising.first_minimum([None, 5, 3, 4, 2, 6, 6, 6, 1], patience=9) == 8
    assert denoising.first_minimum([3, 4, 4, 1], patience=2) == 0
    with pytest.raises(ValueError, match="none"):
        denoising.first_minimum([None, None], patience=2)
    assert denoising.first_below([5, 3, 2, 3], 3) == 1
    assert denoising.first_below([5, 4], 3) == 1


def test_watched_fits_are_stored_once_and_read(tiny, tmp_path):
    path = denoising.store_stopping(tmp_path, seeds=(0,))
    first = path.read_bytes()
    assert denoising.store_stopping(tmp_path, seeds=(0,)).read_bytes() == first
    fits = denoising.stopping(tmp_path)
    assert set(fits) == {(image, 0) for image in plan.NOISY_PICTURES}
    fit = fits["astronaut-rgb", 0]
    assert fit["iteration"] == [5, 10, 15, 20, 25, 30]
    assert {"commit", "versions", "device", "precision", "sha256"} <= set(fit)
    for fit in fits.values():
        stops = denoising.stops(fit)
        assert stops["oracle"][1] == max(psnr for _, psnr in stops.values())
    rows = denoising.rules(tmp_path).rows
    assert [row[0] for row in rows] == ["oracle", *denoising.RULES]
    denoising.store_stopping(tmp_path, seeds=(0, 1))
    assert len(denoising.stopping(tmp_path)) == 2 * len(fits)


def test_total_variation_leaves_as_much_as_the_noise(truth):
    noise = tasks.degradation("noise25", 32, 32)
    for picture in (truth, truth[:1]):
        x_hat = noise.degrade(picture, 0)
        drawn = classical.noise.total_variation(x_hat, noise)
        off = (dip_blocks.as_image(drawn) - x_hat).square().mean()
        assert np.isclose(float(off), noise.sigma**2, rtol=0.1)  # before clipping it is exact
        assert dip_blocks.psnr(dip_blocks.as_image(drawn), picture) > dip_blocks.psnr(
            x_hat, picture
        )


def test_classical_figures_are_stored_with_bm3ds(tiny, tmp_path, monkeypatch):
    half = SimpleNamespace(
        bm3d_rgb=lambda noisy, sigma: noisy / 2 + 0.25, bm3d=lambda noisy, sigma: noisy
    )
    monkeypatch.setitem(sys.modules, "bm3d", half)
    path = denoising.store_classical(tmp_path, ["astronaut-rgb"])
    first = path.read_bytes()
    monkeypatch.setitem(sys.modules, "bm3d", None)
    assert denoising.store_classical(tmp_path, ["astronaut-rgb"]).read_bytes() == first
    with pytest.raises(RunError, match="pip install bm3d"):
        denoising.store_classical(tmp_path, ["chelsea-rgb"])
    figures = denoising.stored_classical(tmp_path)
    assert set(figures["chelsea-rgb-96"]) == set(denoising.METHODS) - {"bm3d"}
    assert set(figures["astronaut-rgb-96"]) == set(denoising.METHODS)
    assert 20 < figures["astronaut-rgb-96"]["degraded"] < 20.4


def test_tables_show_what_there_is(tmp_path, monkeypatch):
    assert denoising.hiding(tmp_path).rows == [] and denoising.tried(tmp_path) == {}
    rows = denoising.development(tmp_path).rows  # the book's own figures, no runs
    assert len(rows) >= len(denoising.METHODS)

    def spec(image, size=96, **values):
        return Spec(image, 16, "quick", SMALL, 2, task="noise25", **values)

    monkeypatch.setattr(plan, "against_noise", lambda name, image: spec(image, seed=len(name)))
    monkeypatch.setitem(denoising.NETWORKS, "a hiding network", spec)
    for image in plan.NOISY_PICTURES:
        sweeps.perform(spec(image), tmp_path, progress=False)
        sweeps.perform(plan.against_noise("a hiding network", image), tmp_path, progress=False)
        sweeps.perform(plan.against_noise("width 32", image), tmp_path, progress=False)
    table = denoising.hiding(tmp_path)
    assert [row[0] for row in table.rows] == ["a hiding network", "width 32"]
    assert table.rows[0][5] == pytest.approx(np.mean(table.rows[0][2:5]))
    titles = [row[0] for row in denoising.development(tmp_path).rows]
    assert "a hiding network, at the end" in titles
    assert not [title for title in titles if "mean of two" in title]


def test_a_hiding_networks_loss_says_when_noise_is_learnt_by_heart():
    sigma = denoising.SIGMA**2
    losses = [4 * sigma, 2 * sigma, 1.2 * sigma, 0.9 * sigma, 0.8 * sigma, 0.5 * sigma]
    quality = [20.0, 24.0, 26.0, 27.0, 26.0, 22.0]
    steps = [
        dip_blocks.Step(10 * i, loss, 0.01, False, 20.0, psnr)
        for i, (loss, psnr) in enumerate(zip(losses, quality), 1)
    ]
    found = denoising.honest_stop(SimpleNamespace(history=steps))
    assert found == {"stopped": (50, 26.0), "end": (60, 22.0), "oracle": (40, 27.0)}
    found = denoising.honest_stop(SimpleNamespace(history=steps[:3]))
    assert found["stopped"] == found["end"] == (30, 26.0)


def test_a_picture_that_was_not_run_has_no_row_and_no_part_in_the_mean(tmp_path, monkeypatch):
    known = {"house-rgb": dict.fromkeys(denoising.METHODS, 30.0), "f16": {"nlm": 20.0}}
    monkeypatch.setattr(denoising, "stored_classical", lambda store: known)
    assert [row[0] for row in denoising.papers(tmp_path).rows] == ["House", "F16"], "no mean of one"
    run = SimpleNamespace(
        history=[dip_blocks.Step(10, 1.0, 0.1, False, 20.0, 25.0)],
        facts={"psnr_db": {"averaged": 31.0}},
    )
    monkeypatch.setattr(denoising, "all_stored", lambda specs, store: dict.fromkeys(specs, run))
    known["lena-rgb"] = dict.fromkeys(denoising.METHODS, 20.0)
    rows = {row[0]: row[1:] for row in denoising.papers(tmp_path).rows}
    assert rows["House"][-2:] == [25.0, 31.0] and rows["F16"][0] is None
    assert rows["Baboon"][:5] == [None] * 5
    assert rows["**mean of 2**"] == [25.0] * 5 + [25.0, 31.0]


def test_choices_were_not_made_on_the_pictures_of_the_table():
    assert not {spec.image for spec in plan.WANTED["noise"]} & set(images.COLOUR)
    assert {spec.image for spec in plan.WANTED["denoising"]} == set(denoising.PAPERS)
