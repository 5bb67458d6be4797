"""Filling the holes of a reader's picture: arrays in, arrays out."""

import json
import math
import os
import re

import numpy as np
import pytest
import torch
from conftest import small_config
from dip_book import images, runs
from dip_book.restoring import budget, classical, core, held_out, networks, regions
from dip_book.restoring.core import fill
from dip_book.results import filling

import dip_blocks

RANDOM = dip_blocks.Recipe(config=small_config(), z_channels=4, iterations=20, lr=0.01)
HIDING = dip_blocks.Recipe(
    config=small_config(), z_kind="known", z_channels=0, hide=0.3, sigma_p=0.0, iterations=20,
    lr=0.01, averaging=0.9,
)  # fmt: skip


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Networks that take a moment, and few iterations."""
    members = {
        "quick": (networks.Member("quick", RANDOM),),
        "best-hidden": (networks.Member("best-hidden", HIDING),),
        "shapes": (networks.Member("shapes", HIDING, shapes=True),),
        "both": (networks.Member("quick", RANDOM), networks.Member("shapes", HIDING, True)),
    }
    monkeypatch.setattr(networks, "RECIPES", members)
    monkeypatch.setattr(dip_blocks, "best_precision", lambda device: "fp32")
    monkeypatch.setattr(networks, "recipe_for", lambda known: "best-hidden")


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a step whenever somebody looks at it."""

    class Clock:
        now, step = 0.0, 0.01

        def __call__(self):
            self.now += self.step
            return self.now

    fake = Clock()
    monkeypatch.setattr(budget, "clock", fake)
    return fake


def photo(height=96, width=128, colour=True, seed=0):
    """A smooth picture with some texture, and no two channels alike."""
    y, x = np.mgrid[:height, :width] / 20
    noise = np.random.default_rng(seed).normal(0, 0.02, (height, width, 3))
    waves = np.stack([np.sin(3 * x + y), np.cos(y - x), np.sin(x * y / 3)], -1)
    picture = (0.5 + 0.3 * waves + noise).clip(0, 1).astype(np.float32)
    return picture if colour else np.ascontiguousarray(picture[..., 0])


def with_hole(height=96, width=128, top=20, left=30, side=12):
    known = np.ones((height, width), bool)
    known[top : top + side, left : left + side] = False
    return known


def damaged(picture, known):
    return np.where(known if picture.ndim == 2 else known[..., None], picture, np.float32(0))


def scratched(height, width):
    known = np.ones((height, width), bool)
    for k in range(-height, width, 90):
        rows = np.arange(height)
        for thick in (0, 1):
            columns = k + rows + thick
            good = (columns >= 0) & (columns < width)
            known[rows[good], columns[good]] = False
    return known


# The result -------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [True, False])
def test_known_pixels_stay_bit_for_bit_and_missing_ones_are_filled(colour):
    x, known = photo(colour=colour), with_hole()
    given = damaged(x, known)
    before = given.copy()
    filled = fill(given, known, iterations=10)
    assert filled.image.shape == x.shape and filled.image.dtype == np.float32
    assert (filled.image[known] == x[known]).all() and (given == before).all()
    assert not filled.interrupted and filled.report["iterations"] == 10
    off = np.abs(filled.image - x)[~known].mean()
    assert off < np.abs(given - x)[~known].mean() / 3
    assert filled.image.min() >= 0 and filled.image.max() <= 1
    json.dumps(filled.report)


def test_what_stands_at_missing_pixels_is_not_looked_at():
    x, known = photo(), with_hole()
    other = np.where(known[..., None], x, np.float32("nan"))
    one = fill(damaged(x, known), known, iterations=3).image
    assert (one == fill(other, known, iterations=3).image).all()


def test_the_same_seed_and_iterations_give_the_same_bits():
    x, known = photo(), np.random.default_rng(1).random((96, 128)) < 0.5
    one, two = (fill(damaged(x, known), known, iterations=5) for _ in range(2))
    assert (one.image == two.image).all()
    assert one.report["network"] == two.report["network"]
    other = fill(damaged(x, known), known, iterations=5, seed=1)
    assert other.report["network"] != one.report["network"]


def test_nothing_missing_is_said_and_nothing_done():
    x = photo()
    filled = fill(x, np.ones((96, 128), bool))
    assert filled.said == "Nothing is missing." and (filled.image == x).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (2, 2)])
def test_tiny_and_narrow_pictures(shape):
    x = photo(*shape)
    known = np.ones(shape, bool)
    known[-1, -1] = False
    if not known.any():
        with pytest.raises(images.ImageError, match="No pixel is known"):
            fill(x, known)
        return
    filled = fill(x, known, iterations=2)
    assert np.isfinite(filled.image).all() and (filled.image[known] == x[known]).all()


def test_all_but_one_pixel_missing_gives_its_colour():
    known = np.zeros((20, 30), bool)
    known[5, 7] = True
    x = photo(20, 30)
    filled = fill(damaged(x, known), known, iterations=2)
    assert np.allclose(filled.image, x[5, 7], atol=1e-5)
    assert filled.report["hidden_pixels"] == 0 and filled.report["chosen"] == "biharmonic"


def test_means_of_two_networks():
    x, known = photo(), with_hole()
    filled = fill(damaged(x, known), known, recipe="both", iterations=4)
    assert filled.report["recipe"] == "both" and filled.report["network"] is not None


# What cannot be done ----------------------------------------------------------------------


def test_bad_input_gets_one_sentence():
    x, known = photo(), with_hole()
    for bad, mask, words in (
        (x.astype(np.float64), known, "float32"),
        (x * 255, known, "divide 8-bit"),
        (x, known[:50], "height and width"),
        (x, np.zeros_like(known), "No pixel is known"),
    ):
        with pytest.raises(images.ImageError, match=words):
            fill(bad, mask)
    for options, words in (
        ({"recipe": "none"}, "No recipe"),
        ({"minutes": 0}, "minutes"),
        ({"iterations": 0}, "Iterations"),
        ({"device": "abacus"}, "no device"),
    ):
        with pytest.raises(runs.RunError, match=words):
            fill(x, known, **options)


def test_too_large_a_picture_is_refused_with_the_size_that_fits(monkeypatch):
    monkeypatch.setattr(budget, "MEMORY", budget.memory(64 * 64, 3, 100, 96 * 128))
    x, known = photo(), with_hole()
    with pytest.raises(
        images.ImageError, match=r"Make the picture smaller: (\d+)×(\d+)"
    ) as refused:
        fill(damaged(x, known), known)
    import re

    width, height = map(int, re.search(r"(\d+)×(\d+) pixels fit", str(refused.value)).groups())
    assert 0.5 < width / height / (128 / 96) < 2 and width < 128
    small, known = photo(height, width), with_hole(height, width, 5, 5, 2)
    fill(damaged(small, known), known, iterations=1)


# Windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("side, overlap", [(None, None), (40, 8), (64, 32)])
def test_windows_cover_all_damage_and_their_weights_sum_to_one(side, overlap):
    missing = ~scratched(150, 230)
    missing[100:140, 60:200] = True
    cutting = regions.cut(missing, side=side, overlap=overlap)
    sums = cutting.sums()
    assert (cutting.wanted == np.flatnonzero(missing)).all() and sums.min() > 0
    normalised = np.zeros(len(sums))
    for window in cutting.windows:
        normalised[window.places] += window.weights / sums[window.places]
        assert (missing[window.box][window.rows, window.columns]).all()
    assert np.allclose(normalised, 1)
    picture = photo(150, 230)
    gathered = cutting.gather((picture[w.box] for w in cutting.windows), 3)
    assert np.allclose(gathered, picture[missing], atol=1e-6)


def test_weights_change_smoothly_between_windows():
    missing = np.ones((40, 300), bool)
    cutting = regions.cut(missing, 8, side=100, overlap=30)
    sums, share = cutting.sums(), np.zeros(missing.size)
    share[cutting.windows[0].places] = cutting.windows[0].weights
    share = (share / sums).reshape(missing.shape)
    assert share[20, 0] == 1 and share[20, 150] == 0
    assert np.abs(np.diff(share, axis=1)).max() < 0.1


def test_windows_leave_out_what_is_far_from_the_damage():
    cutting = regions.cut(~with_hole(500, 500, 200, 200, 20))
    (window,) = cutting.windows
    assert window.height < 100 and window.width < 100 and cutting.area < 10_000


def test_canvases_hold_each_window_once_without_touching():
    missing = np.zeros((400, 400), bool)
    for k in range(10, 390, 60):
        missing[k : k + 3, k : k + 5] = True
        missing[k, 390 - k] = True
    cutting = regions.cut(missing)
    canvases = regions.lay_out(cutting, list(range(len(cutting.windows))), 120**2)
    assert len(canvases) > 1
    assert sorted(n for c in canvases for n in c.windows) == list(range(len(cutting.windows)))
    picture = photo(400, 400)
    for canvas in canvases:
        taken = canvas.lay(cutting, np.ones((400, 400), np.int64))
        assert taken.sum() == sum(
            cutting.windows[n].height * cutting.windows[n].width for n in canvas.windows
        )
        for number, part in canvas.pick(cutting, canvas.lay(cutting, picture)).items():
            assert (part == picture[cutting.windows[number].box]).all()


def test_what_there_is_time_for_is_drawn_and_more_time_draws_more(tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "CANVAS", 100**2)
    monkeypatch.setattr(budget, "FEWEST", 4)
    x, known = photo(200, 200), scratched(200, 200)
    given = damaged(x, known)
    monkeypatch.setattr(
        budget, "plan", lambda seconds, pace, areas, **_: budget.Plan(8, 4, len(areas) // 2)
    )
    monkeypatch.setattr(  # so that another minute suffices for the other half, and no more
        core._Job,
        "_pace",
        lambda self: core.MARGIN * 60 / (4 * 0.65 * sum(c.pixels for c in self.canvases)),
    )
    half = fill(given, known, work=tmp_path, minutes=2)
    assert 0.1 < half.report["drawn"] < 0.9 and "the rest is filled by" in half.said
    drawn = np.isfinite(half.methods["network"]).all(1)
    kept = half.image[~known][~drawn]
    assert np.allclose(kept, half.methods["biharmonic"][~drawn], atol=1e-6)
    more = fill(given, known, work=tmp_path, minutes=3)
    assert more.report["drawn"] == 1.0 and more.report["iterations"] == 4


# Without a network ------------------------------------------------------------------------


def test_window_by_window_biharmonic_is_that_of_the_whole_picture():
    from skimage.restoration import inpaint_biharmonic

    x = photo(120, 160)
    known = with_hole(120, 160, 40, 50, 14) & scratched(120, 160)
    values, counts = classical.biharmonic(x, known, ~known)
    whole = inpaint_biharmonic(damaged(x, known).astype(float), ~known, channel_axis=-1)
    assert np.abs(values - whole[~known].clip(0, 1)).max() < 1e-3
    assert counts["biharmonic"] == (~known).sum()


def test_a_huge_hole_is_filled_at_a_lower_resolution_and_called_so(monkeypatch):
    monkeypatch.setattr(classical, "LARGEST", 3000)
    y, x = np.mgrid[:200, :200] / 200
    ramp = np.stack([x, y, (x + y) / 2], -1).astype(np.float32)
    known = with_hole(200, 200, 50, 60, 90)
    known[5, 5] = False
    values, counts = classical.biharmonic(damaged(ramp, known), known, ~known)
    assert counts == {"biharmonic": 1, "coarse": 8100, "quick": 0}
    assert np.abs(values - ramp[~known]).max() < 0.02


def test_without_time_the_rest_is_filled_by_means(clock):
    x, known = photo(), with_hole()
    values, counts = classical.biharmonic(damaged(x, known), known, ~known, until=0.0)
    assert counts["quick"] == 144 and np.isfinite(values).all()


# What measures ----------------------------------------------------------------------------


def test_held_out_pixels_have_the_shapes_of_the_damage():
    known = np.ones((200, 200), bool)
    known[50:70, 60:75] = known[150:153, 20:60] = False
    held = held_out.choose(known, of_missing=None)
    assert (known | ~held.mask).all() and held.whole and held.shaped
    labels = held.units()
    for unit in np.unique(labels):
        rows, columns = (axis[labels == unit] for axis in np.nonzero(held.mask))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) in ((20, 15), (3, 20))
    assert 0.01 < held.count / known.sum() < 0.1
    assert (held_out.choose(known, of_missing=None).mask == held.mask).all()
    assert (held_out.choose(known, of_missing=None, seed=1).mask != held.mask).any()


def test_copies_keep_from_the_edge_if_the_damage_does():
    for seed in range(5):
        mask = held_out.choose(with_hole(120, 120, 40, 40, 24), seed=seed).mask
        assert mask.any() and not np.concatenate([mask[:8], mask[-8:]]).any()
        assert not np.concatenate([mask[:, :8], mask[:, -8:]]).any()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.001])
def test_scattered_damage_hides_single_pixels(share):
    known = np.random.default_rng(0).random((100, 100)) < share
    held = held_out.choose(known)
    assert (known | ~held.mask).all() and held.how == "single pixels"
    assert 1 <= held.count <= max(0.06 * known.sum(), 1)


def test_with_everything_known_pixels_are_hidden_for_whoever_removes_noise():
    held = held_out.choose(np.ones((100, 100), bool), share=0.02)
    assert held.count == 200
    with pytest.raises(ValueError, match="share"):
        held_out.choose(np.ones((9, 9), bool), share=0.7)


@pytest.mark.parametrize("seed", range(5))
def test_a_mixture_is_never_worse_where_it_was_chosen(seed):
    random = np.random.default_rng(seed)
    truth = random.random((300, 3))
    first = truth + random.normal(0, 0.1, truth.shape)
    second = truth + random.normal(0.05 * seed - 0.1, 0.02 + 0.05 * seed, truth.shape)
    choice = held_out.mix(truth, first, second, np.arange(300) // 60)
    assert choice.mixed_db >= choice.first_db and 0 <= choice.weight <= 5 / 8


def test_a_mixture_follows_what_is_better_and_trusts_many_holes_more():
    truth = np.zeros((100, 1))
    good, bad = truth + 0.01, truth + 0.2
    assert held_out.mix(truth, good, bad, np.zeros(100)).weight == 0
    assert held_out.mix(truth, bad, good, np.zeros(100)).weight == 0.25
    assert held_out.mix(truth, bad, good, np.arange(100)).weight > 0.95
    assert held_out.mix(truth[:0], bad[:0], good[:0], np.arange(0)).weight == 0


def test_held_out_pixels_are_hidden_from_every_method():
    x, known = photo(), with_hole()
    held = held_out.choose(known)
    other = x.copy()
    other[held.mask] = 1 - other[held.mask]  # the same picture but for what is held out
    one, two = (fill(damaged(p, known), known, iterations=4) for p in (x, other))
    assert one.report["biharmonic"] != two.report["biharmonic"]
    fits = []
    original = dip_blocks.Fit.__init__

    def noted(self, x_hat, mask, *arguments, **options):
        fits.append((np.array(x_hat), np.array(mask)))
        original(self, x_hat, mask, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dip_blocks.Fit, "__init__", noted)
        for p in (x, other):
            fill(damaged(p, known), known, iterations=1)
    assert (fits[0][0] == fits[1][0]).all() and (fits[0][1] == fits[1][1]).all()


# Networks ---------------------------------------------------------------------------------


def test_a_network_is_asked_for_holes_of_the_damages_shape():
    x, known = photo(colour=False), with_hole(side=16)
    fit = networks.ShapesFit(x, known, HIDING, device="cpu", precision="fp32")
    shares = []
    for _ in range(20):
        z, wanted = fit.hidden()
        hidden = wanted[0].bool().numpy()
        assert not (z[0, -1].bool().numpy() & hidden).any()  # what is asked for is not shown
        assert not (hidden & ~known).any()
        shares.append(hidden.sum() / known.sum())
    assert abs(np.mean(shares) - networks.share((~known).mean())) < 0.05
    assert abs(np.mean(shares) - networks.HIDE) < 0.1
    again = networks.ShapesFit(x, known, HIDING, device="cpu", precision="fp32")
    assert (again.hidden()[1] != wanted).any()


def test_a_narrower_network_is_one():
    member = networks.Member("quick", RANDOM)
    x, known = photo(64, 64, colour=False), with_hole(64, 64)
    wide, narrow = (member.fit(x, known, width, 5, device="cpu") for width in (8, 4))
    assert len(narrow.weights) < len(wide.weights) / 2 and narrow.recipe.iterations == 5


# Time and memory --------------------------------------------------------------------------


def test_a_plan_takes_the_seconds_that_there_are():
    areas, pace = [1000, 500], 1e-3
    plan = budget.plan(300, pace, areas, most=400)
    assert plan == budget.Plan(64, 200, 2) and 200 * pace * 1500 <= 300
    assert budget.plan(3000, pace, areas, most=400).iterations == 400
    assert budget.plan(80, pace, areas, most=400) == budget.Plan(32, 106, 2)
    assert budget.plan(80, pace, areas, most=400, members=2).canvases == 0
    assert budget.plan(120, pace, [1000, 900, 800], most=400) == budget.Plan(64, 100, 1)
    assert budget.needed(pace, areas) == 75  # of a network half as wide


@pytest.mark.parametrize("step", [0.001, 0.01])
def test_the_time_is_kept_by_a_fake_clock(clock, monkeypatch, step):
    """Each look at the clock costs: an iteration has one, so a slow clock means slow iterations."""
    monkeypatch.setattr(budget, "FEWEST", 3)
    clock.step = step
    x, known = photo(), with_hole()
    before = clock.now
    filled = fill(damaged(x, known), known, minutes=0.005)
    assert clock.now - before < 0.005 * 60 * 1.6
    assert filled.report["seconds"] < 0.005 * 60 * 1.6


def test_a_machine_that_slows_down_ends_the_fit(clock, monkeypatch):
    monkeypatch.setattr(budget, "FEWEST", 3)
    monkeypatch.setattr(core._Job, "_pace", lambda self: 1e-9)
    monkeypatch.setattr(core, "OVERRUN", 0.3)
    clock.step = 1.0
    x, known = photo(), with_hole()
    filled = fill(damaged(x, known), known, minutes=1)
    assert filled.report["stopped"] == "time" and not filled.interrupted
    assert 0 < filled.report["iterations"] < filled.report["iterations_planned"]


def test_timing_iterations_is_cut_short_where_they_are_slow(clock, monkeypatch):
    stepped = []
    original = dip_blocks.Fit.step
    monkeypatch.setattr(dip_blocks.Fit, "step", lambda self: stepped.append(1) or original(self))
    x, known = photo(), with_hole()
    for step, expected in ((0.001, budget.TIMED), (3.0, 2)):
        clock.step = step
        job = core._Job(damaged(x, known), known, 1, None, None, 0, None, None, False)
        job.work, job.again, job.tell, job.kept = None, False, lambda _: None, {}
        job._classical()
        job._hold_out()
        job.cutting = job._cut()
        job.canvases = job._canvases()
        stepped.clear()
        job._pace()
        assert len(stepped) == expected


def test_without_time_for_a_network_that_is_said(monkeypatch):
    monkeypatch.setattr(core._Job, "_pace", lambda self: 1.0)
    x, known = photo(), with_hole()
    filled = fill(damaged(x, known), known, minutes=0.2)
    assert "needs more time" in filled.said and filled.report["iterations"] == 0


def test_what_there_is_no_time_for_is_drawn_smaller(monkeypatch, tmp_path):
    monkeypatch.setattr(budget, "FEWEST", 5)
    monkeypatch.setattr(core, "LOOK_S", 0.0)
    monkeypatch.setattr(
        core._Job, "_pace", lambda self: 100.0 if self.known.size > 60 * 80 else 1e-5
    )
    x, known = photo(), with_hole(side=24)
    seen = []
    options = {"smaller": True, "work": tmp_path}
    filled = fill(damaged(x, known), known, progress=seen.append, **options)
    assert filled.report["smaller"] == 2 and filled.report["iterations"] == 20
    assert filled.report["network"] is not None and (filled.image[known] == x[known]).all()
    assert any("1/2 of the resolution" in p.said for p in seen)
    again = fill(damaged(x, known), known, **options)
    assert (again.image == filled.image).all() and again.report["smaller"] == 2


def test_what_is_said_before_anything_starts():
    seen = []
    x, known = photo(), with_hole()
    fill(damaged(x, known), known, iterations=2, progress=seen.append)
    assert "128×96 pixels, colour; 144 of them (1.2%) are missing" in seen[0].said
    assert "GB" in seen[0].said and seen[0].done == 0
    assert [p.done for p in seen] == sorted(p.done for p in seen) and seen[-1].done == 1
    pictures = [p.image for p in seen if p.image is not None]
    assert len(pictures) >= 3
    assert all((p[known] == x[known]).all() and p.shape == x.shape for p in pictures)


def test_the_estimate_of_memory_is_an_upper_bound_and_not_a_wild_one():
    """Tensors that an iteration keeps, as PyTorch counts them, against what is reckoned."""
    member = networks.Member("quick", dip_blocks.RECIPES["quick"])
    x, known = photo(128, 128), with_hole(128, 128)
    fit = member.fit(x, known, 64, 1, device="cpu", precision="fp32")
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append((t.untyped_storage().data_ptr(), t.untyped_storage().nbytes())) or t,
        lambda t: t,
    ):
        fit.draw(fit.perturbed())
    taken = sum(dict(kept).values())
    reckoned = budget.memory(0, 3, 0, 128**2) - budget.BASE
    assert 0.5 * taken < reckoned < 4 * taken


# Stopping and going on --------------------------------------------------------------------


@pytest.fixture
def interrupted_after(monkeypatch):
    """Ctrl-C after so many iterations of the next fit."""

    def arm(count):
        original = core._Job._look

        def look(self, canvas, member, fit):
            original(self, canvas, member, fit)
            if fit.iteration >= count:
                raise KeyboardInterrupt

        monkeypatch.setattr(core, "LOOK_S", -1.0)
        monkeypatch.setattr(core, "CHECKPOINT_S", -1.0)
        monkeypatch.setattr(core._Job, "_look", look)
        return lambda: monkeypatch.setattr(core._Job, "_look", original)

    return arm


@pytest.mark.parametrize("recipe", ["quick", "shapes"])
def test_an_interrupted_call_goes_on_to_the_same_picture(tmp_path, interrupted_after, recipe):
    x, known = photo(), with_hole()
    given = damaged(x, known)
    whole = fill(given, known, recipe=recipe, iterations=12)
    disarm = interrupted_after(5)
    first = fill(given, known, recipe=recipe, iterations=12, work=tmp_path)
    assert first.interrupted and first.report["iterations"] == 5
    assert (first.image[known] == x[known]).all() and "Stopped early" in first.said
    disarm()
    rest = fill(given, known, recipe=recipe, iterations=12, work=tmp_path)
    assert not rest.interrupted and (rest.image == whole.image).all()
    assert rest.report["network"] == whole.report["network"]


@pytest.mark.parametrize("calls", [0, 1, 2, 8, 14])
def test_whoever_called_can_stop_and_gets_the_best_so_far(tmp_path, calls):
    x, known = photo(), with_hole()
    asked = []

    def stop():
        asked.append(None)
        return len(asked) > calls

    given = damaged(x, known)
    filled = fill(given, known, iterations=500, stop=stop, work=tmp_path)
    assert len(asked) == calls + 1, "asked no more once it has said so"
    assert filled.interrupted and filled.said.startswith("Stopped early; this is the picture so")
    assert (filled.image[known] == x[known]).all() and np.isfinite(filled.image).all()
    assert filled.report["iterations"] < 15
    whole = fill(given, known, iterations=5, stop=lambda: False)
    assert not whole.interrupted and whole.report["iterations"] == 5


def test_each_part_of_the_work_can_be_stopped(monkeypatch):
    """Where it was when it was stopped, for each time that it asks."""
    x, known = photo(), with_hole()
    seen = set()
    for part in ("_classical", "_hold_out", "_pace", "_one"):
        original = getattr(core._Job, part)

        def noted(self, *arguments, part=part, original=original):
            before = self.stop
            self.stop = lambda: seen.add(part) or True
            try:
                return original(self, *arguments)
            finally:
                self.stop = before

        with monkeypatch.context() as patched:
            patched.setattr(core._Job, part, noted)
            options = {} if part == "_pace" else {"iterations": 3}
            filled = fill(damaged(x, known), known, **options)
        assert filled.interrupted and part in seen, part


def test_a_full_disk_for_the_plan_is_said_and_ends_no_work(tmp_path, monkeypatch):
    def full(to, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(core, "write_whole", full)
    x, known = photo(), with_hole()
    seen = []
    filled = fill(
        damaged(x, known), known, iterations=5, work=tmp_path / "fit", progress=seen.append
    )
    assert not filled.interrupted and filled.report["iterations"] == 5
    said = "What going on later needs cannot be written (No space left on device)"
    assert sum(said in progress.said for progress in seen) == 1
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_an_interrupt_before_the_network_keeps_a_picture(monkeypatch):
    x, known = photo(), with_hole()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(classical, "biharmonic", interrupt)
    filled = fill(damaged(x, known), known)
    assert filled.interrupted and np.isfinite(filled.image).all()
    assert (filled.image[known] == x[known]).all()


def test_other_settings_are_named_and_again_begins_anew(tmp_path):
    x, known = photo(), with_hole()
    given = damaged(x, known)
    fill(given, known, iterations=3, work=tmp_path)
    with pytest.raises(runs.RunError, match=r"seed is 1 here and 0 there.*again=True"):
        fill(given, known, iterations=3, seed=1, work=tmp_path)
    with pytest.raises(runs.RunError, match="mask is another one"):
        fill(given, with_hole(top=40), iterations=3, work=tmp_path)
    filled = fill(given, known, iterations=3, seed=1, work=tmp_path, again=True)
    assert filled.report["iterations"] == 3


def test_what_begins_anew_removes_its_own_checkpoints_and_nothing_else(tmp_path):
    """The folder may be one that the reader keeps networks in, and other fits below it."""
    x, known = photo(), with_hole()
    given = damaged(x, known)
    theirs = [tmp_path / name for name in ("1-mine.safetensors", "a.other", "models/a.safetensors")]
    theirs[-1].parent.mkdir()
    for file in theirs:
        file.write_bytes(b"theirs")
    fill(given, known, iterations=3, work=tmp_path)
    fill(given, with_hole(top=40), iterations=3, work=tmp_path / "second")
    seconds = {file: file.read_bytes() for file in (tmp_path / "second").iterdir()}
    assert len(seconds) == 2
    (tmp_path / "smaller-2").mkdir()
    own = [*tmp_path.glob("0-*.safetensors"), tmp_path / "smaller-2" / core.PLAN]
    own.append(own[0].with_suffix(".0123abcd.other"))
    assert len(own) == 3
    for file in own:
        file.write_bytes(b"of the fit before")
    fill(given, known, iterations=3, seed=1, work=tmp_path, again=True)
    assert all(file.read_bytes() == b"theirs" for file in theirs)
    assert all(file.read_bytes() == data for file, data in seconds.items())
    assert [file.exists() for file in own] == [True, False, False], "the first is made anew"


def test_a_finished_run_is_there_at_once_and_goes_on_with_more_iterations(tmp_path, monkeypatch):
    x, known = photo(), with_hole()
    given = damaged(x, known)
    one = fill(given, known, iterations=6, work=tmp_path)
    stepped = []
    original = dip_blocks.Fit.step
    monkeypatch.setattr(dip_blocks.Fit, "step", lambda self: stepped.append(1) or original(self))
    two = fill(given, known, iterations=6, work=tmp_path)
    assert not stepped and (one.image == two.image).all()
    more = fill(given, known, iterations=9, work=tmp_path)
    assert len(stepped) == 3 and more.report["iterations"] == 9


def test_more_minutes_go_on_with_the_same_network(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(budget, "FEWEST", 2)
    clock.step = 0.0
    paces = []
    monkeypatch.setattr(
        core._Job, "_pace", lambda self: paces.append(1) or 1.0 / self.canvases[0].pixels
    )
    x, known = photo(), with_hole()
    given = damaged(x, known)
    first = fill(given, known, minutes=0.1, work=tmp_path)
    assert first.report["iterations"] == 5  # 6 s less a margin, a second each
    second = fill(given, known, minutes=0.2, work=tmp_path)
    assert second.report["iterations"] == 10 and len(paces) == 1


@pytest.mark.parametrize("pace", [1.0, 100.0])  # time for a narrower network; for none at all
def test_what_was_begun_with_so_many_iterations_is_kept_where_minutes_go_on(
    tmp_path, clock, monkeypatch, interrupted_after, pace
):
    """Hours may be in it, and no option asks for the width that it was begun with."""
    monkeypatch.setattr(budget, "FEWEST", 8)
    clock.step = 0.0
    monkeypatch.setattr(core._Job, "_pace", lambda self: pace / self.canvases[0].pixels)
    x, known = photo(), with_hole()
    given = damaged(x, known)
    disarm = interrupted_after(9)
    first = fill(given, known, iterations=12, work=tmp_path)
    assert first.report["iterations"] == 9
    disarm()
    second = fill(given, known, minutes=0.1, work=tmp_path)
    whole = fill(given, known, iterations=12, work=tmp_path)
    assert second.report["iterations"] == 12 and (second.image == whole.image).all()
    assert not [*tmp_path.glob("*.other")]


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / core.PLAN).write_text("{")
    x, known = photo(), with_hole()
    with pytest.raises(runs.RunError, match="again=True"):
        fill(damaged(x, known), known, iterations=1, work=tmp_path)


def test_what_cannot_be_removed_is_named(tmp_path):
    (tmp_path / core.PLAN).mkdir()
    x, known = photo(), with_hole()
    with pytest.raises(runs.RunError, match=r"cannot be removed \(.*choose another folder"):
        fill(damaged(x, known), known, iterations=1, work=tmp_path, again=True)


PLANNED = {"pace": 1e-7, "minutes": 0.5, "width": 4, "iterations": 2, "canvases": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pace": "fast"}, "pace is 'fast'"),
        ({"pace": 0}, "pace is '0'"),
        ({"width": 0}, "width is '0'"),
        ({"width": 4.5}, "width is '4.5'"),
        ({"width": True}, "width is 'True'"),
        ({"iterations": None}, "iterations is 'None'"),
        ({"iterations": -1}, "iterations is '-1'"),
        ({"minutes": math.inf}, "minutes is 'inf'"),
        ({"minutes": math.nan}, "minutes is 'nan'"),
        ({"factor": 5}, "factor is 5"),
        ({"factor": [2]}, "factor is '[2]'"),
    ],
)
def test_an_edited_plan_is_refused(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        core._check_plan(PLANNED | change)


def test_a_plan_is_whole():
    for name in PLANNED.keys() - {"minutes"}:
        plan = {key: value for key, value in PLANNED.items() if key != name}
        with pytest.raises(ValueError, match=f"lacks {name}"):
            core._check_plan(plan)
        core._check_plan(plan | {"minutes": None})
    for sound in ({}, {"pace": 1}, {"canvases": 0}, {"factor": 8}, {"minutes": 3}):
        core._check_plan(PLANNED | sound)


@pytest.mark.parametrize(
    ("minutes", "iterations", "rounds"),
    [(2.0, 2, core.ROUNDS), (0.05, 2, core.ROUNDS), (0.05, None, 1)],
)
def test_interpolation_is_measured_in_as_many_rounds_as_are_affordable(
    clock, minutes, iterations, rounds
):
    clock.step = 0.1
    known = with_hole()
    x = damaged(photo(), known)
    filled = fill(x, known, minutes=minutes, iterations=iterations)
    assert filled.report["hidden_rounds"] == rounds
    errors = []
    for number in range(rounds):
        hidden = held_out.choose(known, seed=[0, number] if number else 0).mask
        errors.append(classical.biharmonic(x, known & ~hidden, hidden)[0] - x[hidden])
    assert filled.report["hidden_pixels"] == sum(map(len, errors))
    assert filled.report["biharmonic"] == held_out.decibel(np.concatenate(errors))
    assert (f"in {rounds} rounds" in filled.said) == (rounds > 1)


def test_more_rounds_leave_picture_and_lead_as_they_are(monkeypatch):
    known = with_hole()
    x = damaged(photo(), known)
    many = fill(x, known, iterations=4)
    monkeypatch.setattr(core, "ROUNDS", 1)
    one = fill(x, known, iterations=4)
    assert many.report["hidden_rounds"] > one.report["hidden_rounds"] == 1
    assert (many.image == one.image).all() and many.report["weight"] == one.report["weight"]
    leads = [f.report["network"] - f.report["biharmonic"] for f in (many, one)]
    assert leads[0] == pytest.approx(leads[1], abs=2e-3)
    assert many.report["biharmonic"] != one.report["biharmonic"]


def test_shapes_that_fall_on_the_damage_leave_something_to_ask_for():
    x, known = photo(32, 32, colour=False), with_hole(32, 32, 8, 8, 8)
    fit = networks.RECIPES["shapes"][0].fit(
        dip_blocks.as_image(x), torch.from_numpy(known)[None].float(), 8, 4, device="cpu"
    )
    fit.copies = 0  # as if each had fallen there
    z, wanted = fit.hidden()
    assert torch.equal(wanted, fit.mask) and not z.any()


# The evidence -----------------------------------------------------------------------------


def test_the_evidence_is_stored_case_by_case_and_made_into_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "MASKS", {"scratches": 64, "scattered": 48})
    monkeypatch.setattr(images, "EMBEDDED", {"camera": images.EMBEDDED["camera"]})
    file = filling.store_filling(tmp_path, iterations=2)
    before = json.loads(file.read_text())
    assert [*before["cases"]] == ["scratches/camera", "scattered/camera"]
    before["cases"].pop("scattered/camera")
    file.write_text(json.dumps(before))
    filling.store_filling(tmp_path, iterations=2)
    after = filling.stored_filling(tmp_path)
    assert after["cases"]["scratches/camera"] == before["cases"]["scratches/camera"]

    found = after["cases"]["scattered/camera"]
    (_, row) = filling.errors(tmp_path).rows
    expected = abs(found["estimated"]["network"] - found["measured"]["network"])
    assert row[0] == "scattered" and row[2] == pytest.approx(expected)
    shown = filling.filling(tmp_path)
    assert [r[0] for r in shown.rows] == ["scratches, Camera", "scattered, Camera"]
    assert float(shown.rows[1][-1]) == pytest.approx(
        found["measured"]["chosen"] - found["measured"]["biharmonic"]
    )


def test_the_stored_evidence_says_what_it_is_of():
    facts = filling.stored_filling()
    assert facts["iterations"] > 0 and "Protocol" in facts["what"]
    assert facts["provenance"]["versions"]["torch"]
    for case in facts["cases"].values():
        assert set(case["estimated"]) == set(case["measured"]) == {
            "biharmonic", "network", "chosen",
        }  # fmt: skip
    trials = json.loads((runs.ROOT / filling.TRIALS).read_text())
    assert "Protocol" in trials["what"] and len(filling.recipes().rows) == len(trials["cases"])


def test_checkpoints_stay_in_one_folder_where_the_current_one_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(core, "CHECKPOINT_S", 0.0)
    x, known = photo(), with_hole()
    seen = []

    def away(progress):
        seen.append(progress)
        os.chdir(tmp_path / "elsewhere")

    fill(damaged(x, known), known, iterations=5, work="fit", progress=away)
    assert seen and not (tmp_path / "elsewhere" / "fit").exists()
    assert list((tmp_path / "fit").glob("*.safetensors"))
