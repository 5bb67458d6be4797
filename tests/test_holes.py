"""Masks of holes, text and scratches; what fills them, in numbers with and without the truth."""

import hashlib
import sys

import numpy as np
import pytest
import torch
from dip_book import holes as masks
from dip_book import images, runs, tasks
from dip_book.cli import main
from dip_book.restoring import trial
from dip_book.results import classical
from dip_book.results import holes as results
from dip_book.runs import RunError, Spec, plan, sweeps
from dip_book.show import explorer

import dip_blocks

SMALL = (("width", 8), ("depth", 2), ("channels_skip", 2))


@pytest.mark.parametrize(
    "task, digest",
    [("text10", "6907e239587d"), ("scratches10", "d55736bb6f6d"), ("hole20", "c7f676cfae26")],
)
def test_a_mask_is_the_same_on_every_machine(task, digest):
    known = tasks.degradation(task, 64, 96, seed=3).mask[0].numpy().astype(bool)
    assert hashlib.sha256(np.packbits(known).tobytes()).hexdigest()[:12] == digest


@pytest.mark.parametrize("word", ["text", "scratches"])
def test_so_much_is_missing_and_elsewhere_from_another_seed(word):
    first, again, other = (
        tasks.degradation(f"{word}10", 128, 128, seed=seed).mask for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    for known in (first, other):
        assert 0.10 <= masks.missing(known) < 0.13


def test_the_inside_of_an_o_is_known():
    known = np.ones((60, 60), bool)
    masks._write(known, "o", 5, 50, 60)
    ring = np.argwhere(~known)
    middle = ring.mean(axis=0).round().astype(int)
    assert known[tuple(middle)] and not known[middle[0], ring[:, 1].min() + 2]


def test_a_hole_lies_in_the_middle():
    known = masks.hole(10, 20, 4)
    assert (~known).sum() == 16 and not known[3:7, 8:12].any()
    assert not masks.hole(10, 20, 12)[:, 4:16].any(), "higher than the picture"


@pytest.mark.parametrize(
    "task, said",
    [
        ("hole64", "smaller one"),
        ("text90", "ask for less"),
        ("scratches100", "leave a pixel"),
        ("hole2.5", "There is no task"),
        ("hole", "hole40"),
        ("text0", "There is no task"),
        ("kate", "kate-mask"),
    ],
)
def test_a_mask_that_cannot_be_is_said_in_a_sentence(task, said, tmp_path, capsys):
    with pytest.raises(ValueError, match=said):
        tasks.degradation(task, 64, 64)
    spec = Spec("camera", 64, "quick", SMALL, 2, task=task)
    with pytest.raises(RunError, match=said):
        sweeps.perform(spec, tmp_path, progress=False)


@pytest.mark.parametrize("name", images.MASKS)
def test_the_papers_own_masks_are_tasks(name):
    tasks.check(name)
    assert "mask" in tasks.title(name) and classical.methods(name)
    if not images.available(name):
        pytest.skip(f"{name} is not at hand")
    known = images.load(name)
    assert np.array_equal(tasks.degradation(name, *known.shape).mask[0].numpy(), known)
    with pytest.raises(ValueError, match="at its own size"):
        tasks.degradation(name, 64, 64)


def test_titles_and_methods():
    assert tasks.title("hole40") == "a hole of 40×40" and tasks.title("text10") == "text, 10 %"
    assert tasks.masked("text10") and tasks.masked("pixels") and not tasks.masked("noise25")
    for task in results.TASKS:
        assert set(classical.methods(task)) == set(classical.methods("pixels"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def run(store):
    spec = Spec("coffee-rgb", 48, "quick", SMALL, 25, task="text10")
    return sweeps.perform(spec, store, device="cpu", progress=False)


def test_a_run_is_filled_and_shown(run):
    truth, known = run.truth(), run.degraded()[1]
    drawn = results.filled(run)
    assert np.array_equal(drawn[known], truth[known]) and not np.array_equal(drawn, truth)
    whole, missing = results.quality(drawn, truth, known)
    assert whole == pytest.approx(run.facts["psnr_db"]["averaged_pasted"], abs=0.05)
    assert missing == pytest.approx(results._of_missing(run), abs=0.05) and missing < whole
    shown = explorer.entry(run)
    assert shown["biharmonic"] and shown["linear"] and shown["degraded"]


def test_the_two_numbers_differ_by_the_share_that_is_missing():
    truth = images.load("camera", size=32)
    known = masks.hole(32, 32, 16)
    drawn = np.where(known, 0.0, truth + 0.1)  # what is drawn at known pixels does not count
    whole, missing = results.quality(drawn, truth, known)
    assert missing == pytest.approx(20) and whole - missing == pytest.approx(10 * np.log10(4))
    pasted = np.where(known, truth, drawn).astype(np.float32)
    same = dip_blocks.psnr(torch.from_numpy(pasted)[None], torch.from_numpy(truth)[None])
    assert whole == pytest.approx(same, abs=1e-3)


def test_grain_tells_noise_from_shapes_and_looks_deep_inside_only():
    known = masks.hole(64, 64, 40)
    noise, flat = np.random.default_rng(0).random((64, 64)), np.full((64, 64), 0.5)
    wave = np.sin(np.arange(64) / 5)[None].repeat(64, 0)
    assert results.grain(noise, known) == pytest.approx(2 / np.sqrt(3), abs=0.05)
    assert results.grain(wave, known) < 0.2 and results.grain(flat, known) == 0
    rim = ~known & masks.hole(64, 64, 24)
    assert results.grain(np.where(rim, noise, wave), known) == results.grain(wave, known)
    coloured = np.stack([noise, noise, noise + 5], -1)
    assert results.grain(coloured, known) == pytest.approx(results.grain(noise, known))


@pytest.mark.parametrize("depth", [1, 2])
def test_the_reach_is_how_far_an_input_changes_an_output(depth):
    side, reach = 64, results.receptive_field(depth, 64)
    config = dip_blocks.at_depth(dip_blocks.BEST_NEAREST.config, depth)
    few = dict.fromkeys(("channels_down", "channels_up"), [4] * depth)
    net = dip_blocks.UNet(1, 1, config | few | {"norm": "none"}).eval()
    net.out = torch.nn.Identity()  # a sigmoid would swallow small changes
    z, rows = torch.ones(1, 1, side, side), []
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(0.2)
        before = net(z)[0, :, side // 2, side // 2]
        for row in range(side):
            other = z.clone()
            other[0, 0, row] += 100
            if not torch.equal(net(other)[0, :, side // 2, side // 2], before):
                rows.append(row)
    assert rows == list(range(rows[0], rows[0] + reach))


def test_a_store_without_runs_has_tables_all_the_same(tmp_path):
    for table in (results.large_hole, results.few_covered, results.papers):
        text = table(tmp_path).to("markdown")
        assert "biharmonic" in text and "Telea" in text
    assert set(results.sparse(tmp_path)) == {"linear", "biharmonic"}


def test_the_stored_methods_are_of_these_pictures():
    facts = results.stored_classical()
    assert facts["opencv"] and not facts["dirty"]
    for image in plan.COLOURED:
        truth = images.load(image, size=128)
        assert facts["pictures"][f"{image}-128"]["sha256"] == images.digest(truth)
        for task in facts["tasks"]:
            known = results._known(task, truth)
            for method in facts["methods"]:
                drawn = results.filled_classically(method, image, task)
                assert np.array_equal(drawn[known], truth[known])
                assert drawn[~known].std() > 0.01


def test_without_opencv_it_is_said_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert main(["holes", "--store", str(tmp_path)]) == 2
    assert "pip install opencv-contrib-python-headless" in capsys.readouterr().err


def test_with_opencv_known_pixels_stay():
    pytest.importorskip("cv2")
    truth = images.load("coffee-rgb", size=48)
    known = masks.hole(48, 48, 12)
    for name, draw in results.opencv().items():
        drawn = draw(truth * known[..., None], known)
        assert drawn.shape == truth.shape and drawn[~known].std() > 0, name


def test_the_groups_are_what_the_chapter_says():
    assert {spec.task for spec in plan.WANTED["holes"]} == {"hole40"}
    for spec in plan.WANTED["inpainting"]:
        assert spec.task == results.PAPERS[spec.image]
        spec.resolved()
    assert not set(plan.COLOURED) & set(results.PAPERS)
    kept = plan.kept(runs.ROOT)
    assert all(kept[spec.path] in ("pictures", "frames") for spec in plan.WANTED["holes"])


def test_the_papers_pictures_need_not_be_at_hand(monkeypatch):
    """Their runs are stored, and how far the missing pixels are from the whole."""

    def missing(name):
        raise images.ImageError(name)

    monkeypatch.setattr(images, "fetch", missing)
    rows = {row[0]: row[1:] for row in results.papers().rows}
    for picture in ("Kate", "Library"):
        whole, missing = rows[f"{picture}, whole"], rows[f"{picture}, missing pixels"]
        apart = [w - m for w, m in zip(whole[:6], missing[:6])]
        assert max(apart) == pytest.approx(min(apart), abs=0.01)


@pytest.mark.parametrize("share", [6, 1.0, -0.1, float("nan"), "6%", None])
@pytest.mark.parametrize("scratched", [masks.scratches, trial.scratches])
def test_a_share_of_scratches_leaves_a_pixel(scratched, share):
    """6 for 6 % would be waited for without end."""
    with pytest.raises(ValueError, match="6 % are 0.06; not"):
        scratched(32, 32, share)
    assert 0.9 > scratched(32, 32, 0.2).mean() > 0.3 and scratched(32, 32, 0).mean() > 0.5
