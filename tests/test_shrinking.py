"""Super-resolution: the data put back, methods without a network, what the tables are made of."""

import json

import numpy as np
import pytest
import torch
from dip_book import images, runs
from dip_book.results import classical, shrinking
from dip_book.runs import plan, sweeps
from PIL import Image

import dip_blocks

SMALL = (("width", 8), ("depth", 2), ("channels_skip", 2))


@pytest.fixture(scope="module")
def coffee():
    return dip_blocks.as_image(images.load("coffee-rgb", size=64))


@pytest.fixture(scope="module", params=shrinking.FACTORS)
def shrunk(request):
    return dip_blocks.Shrunk(request.param)


def test_whatever_it_was_it_meets_the_data_afterwards(coffee, shrunk):
    x_hat = shrunk.degrade(coffee)
    for start in (torch.full_like(coffee, 0.5), torch.rand(coffee.shape)):
        assert shrinking.off(start, x_hat, shrunk) > 10
        on_data = shrinking.onto_data(start, x_hat, shrunk)
        assert float((shrunk.apply(on_data) - x_hat).abs().max()) < 1e-4
        drawn = shrinking.put_back(start, x_hat, shrunk)
        assert drawn.min() >= 0 and drawn.max() <= 1
        assert shrinking.off(drawn, x_hat, shrunk) < 1


def test_no_turn_leads_away_from_the_truth(coffee, shrunk, monkeypatch):
    start, far = torch.rand(coffee.shape), []
    for turns in (0, 1, 2, 20):
        monkeypatch.setattr(shrinking, "TURNS", turns)
        drawn = shrinking.put_back(start, shrunk.degrade(coffee), shrunk)
        far.append(float((drawn - coffee).square().sum()))
    assert far == sorted(far, reverse=True) and len(set(far)) == 4


def test_the_way_to_the_data_is_at_a_right_angle(coffee, shrunk):
    start = torch.rand(coffee.shape, generator=torch.Generator().manual_seed(1))
    drawn = shrinking.onto_data(start, shrunk.degrade(coffee), shrunk)
    to_set, onwards, direct = (
        float((a - b).square().sum()) for a, b in ((start, drawn), (drawn, coffee), (start, coffee))
    )
    assert to_set > 1 and to_set + onwards == pytest.approx(direct, rel=1e-4)


def test_what_meets_the_data_stays(coffee, shrunk):
    drawn = shrinking.put_back(coffee, shrunk.degrade(coffee), shrunk)
    assert torch.allclose(drawn, coffee, atol=1e-5)


def test_a_picture_that_is_not_square(shrunk):
    x = torch.rand(1, 48, 32)
    drawn = shrinking.onto_data(torch.zeros_like(x), shrunk.degrade(x), shrunk)
    assert drawn.shape == x.shape
    assert torch.allclose(shrunk.apply(drawn), shrunk.apply(x), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", shrinking.TITLES)
def test_every_method_draws_a_picture_of_the_size(coffee, shrunk, method, channels):
    x_hat = shrunk.degrade(coffee[:channels])
    drawn = classical.methods("shrink4")[method](x_hat, shrunk)
    assert drawn.shape == ((64, 64, 3) if channels == 3 else (64, 64))
    assert drawn.dtype == np.float32 and drawn.min() >= 0 and drawn.max() <= 1


def test_back_projection_stops_where_the_data_are_met(coffee, monkeypatch):
    degradation = dip_blocks.Shrunk(4)
    x_hat = degradation.degrade(coffee)
    bicubic, projected = (
        shrinking.off(draw(x_hat, degradation), x_hat, degradation)
        for draw in (classical.shrink.bicubic, classical.shrink.back_projection)
    )
    assert projected <= 0.5 < 3 < bicubic
    monkeypatch.setattr(classical.shrink, "PASSES", 1)
    once = shrinking.off(classical.shrink.back_projection(x_hat, degradation), x_hat, degradation)
    assert projected < once < bicubic


def test_total_variation_is_what_its_weight_says(coffee):
    degradation = dip_blocks.Shrunk(4)
    x_hat = degradation.degrade(coffee)
    variation, missed = [], []
    for weight in (3e-5, 0.1):
        drawn = dip_blocks.as_image(classical.shrink.total_variation(x_hat, degradation, weight))
        variation.append(float(drawn.diff(dim=-1).abs().mean()))
        missed.append(shrinking.off(drawn, x_hat, degradation))
    assert variation[1] < 0.8 * variation[0] and missed[0] < 1 < missed[1]
    cubic = classical.shrink.bicubic(x_hat, degradation)
    usual = classical.shrink.total_variation(x_hat, degradation)
    better, worse = (shrinking.quality(one, coffee, 4)["psnr_db"] for one in (usual, cubic))
    assert better > worse + 0.5


def test_the_field_s_psnr_leaves_colour_and_border_out(coffee):
    frame = coffee.clone()
    frame[:, :4], frame[:, -4:], frame[..., :4], frame[..., -4:] = 0, 0, 0, 0
    found = shrinking.quality(frame, coffee, 4)
    assert found["psnr_db"] < 20 and found["psnr_luma_db"] == float("inf")
    assert np.isfinite(shrinking.quality(frame, coffee, 2)["psnr_luma_db"])


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with both members of the astronaut, tiny, and one of the coffee."""
    monkeypatch.setattr(plan.shrinking, "SHRUNK_CHANGES", SMALL)
    monkeypatch.setattr(plan.shrinking, "SHRUNK_ITERATIONS", 3)
    monkeypatch.setattr(plan, "SHRUNK_SIZES", (32,))
    monkeypatch.setattr(classical.shrink, "TV_STEPS", 3)
    monkeypatch.setattr(shrinking, "SET5", ())
    shrinking.write(tmp_path)
    both, one = plan.shrunk("astronaut-rgb", 4, 32), plan.shrunk("coffee-rgb", 4, 32)
    for spec in (*both.members, one.members[0]):
        sweeps.perform(spec, tmp_path, device="cpu", progress=False, frames=0)
    return tmp_path


def test_networks_stand_beside_methods_as_far_as_they_are_stored(store):
    table = shrinking.development(4, 32, store)
    rows = {row[0]: row for row in table.rows}
    assert table.header[1:3] == ["Astronaut", "Coffee"]
    assert rows["mean of both"][1] is not None and rows["mean of both"][2] is None
    assert rows["mean of both"][3] is None, "no mean of what one picture lacks"
    assert rows["bicubic"][3] == pytest.approx(np.mean(rows["bicubic"][1:3]))
    run = shrinking.free(4, 32, store)["astronaut-rgb"]["nearest"]
    stored = run.facts["psnr_db"]["averaged"]
    assert rows["network, nearest"][1] == pytest.approx(stored, abs=0.02)
    assert rows["network, nearest, data put back"][1] >= rows["network, nearest"][1]
    luma = shrinking.quality(run.averaged, run.truth(), 4)["psnr_luma_db"]
    assert luma == pytest.approx(run.facts["psnr_luma_db"]["averaged"], abs=0.02)


def test_a_mean_is_the_mean(store):
    drawn = shrinking.drawn_by(shrinking.free(4, 32, store)["astronaut-rgb"])
    assert torch.allclose(drawn["mean"], (drawn["nearest"] + drawn["bilinear"]) / 2)
    assert list(drawn)[3:] == [f"{name}{shrinking.PUT_BACK}" for name in shrinking.NETWORKS]


def test_what_was_measured_is_kept_when_its_pictures_are_gone(store, monkeypatch):
    pictures = {name: images.load(name, size=32) for name in images.EMBEDDED_RGB}
    monkeypatch.setattr(shrinking, "SET5", tuple(pictures))
    monkeypatch.setattr(plan, "SHRUNK_SIZES", ())
    monkeypatch.setattr(shrinking.images, "load", lambda name, size=None: pictures[name])
    found = shrinking.free(4, 32, store)
    monkeypatch.setattr(
        shrinking, "members", lambda name, factor, *_: found.get(name, {}) if factor == 4 else {}
    )
    first = json.loads(shrinking.write(store).read_text())
    assert first["commit"] and "mean" in first["set5"]["4"]["astronaut-rgb"]
    assert "mean" not in first["set5"]["8"]["astronaut-rgb"]
    monkeypatch.setattr(shrinking, "members", lambda *_: {})
    second = json.loads(shrinking.write(store).read_text())["set5"]["4"]["astronaut-rgb"]
    assert second["mean"] == first["set5"]["4"]["astronaut-rgb"]["mean"]
    table = shrinking.set5(4, store)
    assert "for 1 of 3 pictures" in table.caption
    assert [row[0] for row in table.rows if row[4] is None] == [
        row[0] for row in table.rows if "network" in row[0] or "mean" in row[0]
    ]


def test_what_was_tried_has_a_row_where_all_pictures_are_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(
        plan, "SHRINK_IDEAS", {"tiny": ("best-nearest", SMALL), "other": ("best-bilinear", SMALL)}
    )
    monkeypatch.setattr(
        plan,
        "shrink_idea",
        lambda name, image: runs.Spec(
            image, 32, *plan.SHRINK_IDEAS[name], iterations=2, task="shrink4"
        ),
    )
    for image in plan.SHRINK_TRIED:
        sweeps.perform(plan.shrink_idea("tiny", image), tmp_path, device="cpu", progress=False)
    table = shrinking.tried(tmp_path)
    assert [row[0] for row in table.rows] == ["tiny"]
    assert table.rows[0][2] >= table.rows[0][1] and len(table.header) == len(table.rows[0])


def test_a_picture_is_cropped_to_what_its_factors_divide(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 21, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    monkeypatch.setattr(images, "fetch", lambda name: path)
    cropped, whole = images.load("set5-woman"), images.load("set5-bird")
    assert cropped.shape == (24, 16, 3) and whole.shape == (30, 21, 3)
    assert (cropped == whole[:24, :16]).all()
