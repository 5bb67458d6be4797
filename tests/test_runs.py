"""Stored runs, the command line, baselines and tables."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_config
from dip_book import images, runs
from dip_book.results import baselines
from dip_book.results.reported import REPORTED
from dip_book.results.selection import best_run
from dip_book.runs import plan, sweeps
from dip_book.show import explorer, views
from dip_book.table import Table, mean
from PIL import Image

import dip_blocks
from dip_parts.checks import PRECISIONS


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A recipe that takes a second stands beside the named ones."""
    recipe = dip_blocks.Recipe(config=small_config(), z_channels=4, iterations=25, lr=0.003)
    monkeypatch.setitem(dip_blocks.RECIPES, "tiny", recipe)


SPEC = runs.Spec("camera", 32, "tiny")


def test_a_run_is_stored_whole_and_readable_without_our_code(tmp_path):
    run = sweeps.perform(SPEC, tmp_path, device="cpu", every=10, progress=False)
    folder = tmp_path / "tiny" / "camera-32"
    assert sorted(path.name for path in folder.iterdir()) == [
        "seed0-25it.frames.webp",
        "seed0-25it.json",
        "seed0-25it.webp",
    ]
    text = (folder / "seed0-25it.json").read_text()
    facts = json.loads(text)
    assert facts["recipe"]["lr"] == 0.003 and facts["recipe"]["config"] == small_config()
    assert facts["image"] == {
        "name": "camera",
        "size": 32,
        "shape": [32, 32],
        "sha256": images.digest(images.load("camera", 32)),
    }
    assert (
        facts["seeds"] == {"mask": 0, "weights, z and noise": 0}
        and facts["p"] == 0.5
        and facts["iterations"] == facts["recipe_iterations"] == 25
    )
    for key in (
        "device",
        "threads",
        "commit",
        "dirty",
        "wall_time_s",
        "iterations_per_s",
        "peak_memory_mib",
        "started",
    ):
        assert key in facts
    assert facts["versions"]["torch"] == version("torch")
    assert facts["columns"] == ["iteration", "loss", "lr", "backtracked", "psnr", "psnr_averaged"]
    assert [row[0] for row in facts["history"]] == [1, 10, 20, 25]
    assert re.search(r"^ +\[10, 0\.\d+, 0\.003, 0, [\d.]+, [\d.]+\],$", text, re.MULTILINE), (
        "a row a line"
    )
    assert facts["pictures"]["kinds"] == ["raw", "averaged"] and Image.open(
        folder / "seed0-25it.webp"
    ).size == (32, 64)
    frames = facts["frames"]["iterations"]
    assert frames[0] == 1 and frames[-1] == 25 and 8 <= len(frames) <= 12
    assert Image.open(folder / "seed0-25it.frames.webp").size == (32, 32 * len(frames))
    assert "known pixels put back" in facts["about"] and facts["precision"] in PRECISIONS
    assert run.complete and run.place == folder / "seed0-25it"


def test_what_is_stored_is_what_was_measured(tmp_path):
    run = sweeps.perform(SPEC, tmp_path, device="cpu", progress=False)
    x, known = run.truth(), run.degraded()[1]
    result = dip_blocks.restore(
        *dip_blocks.degrade(x), dip_blocks.RECIPES["tiny"], device="cpu", progress=False
    )
    exact = result.image[0].numpy()
    psnr = lambda image: -10 * math.log10(np.mean((np.float64(image) - np.float64(x)) ** 2))  # noqa: E731
    assert run.psnr == pytest.approx(psnr(exact), abs=1e-3)
    assert run.facts["psnr_db"]["raw_pasted"] == pytest.approx(
        psnr(np.where(known, x, exact)), abs=1e-3
    )
    averaged = result.averaged[0].numpy()
    assert run.facts["psnr_db"]["averaged"] == pytest.approx(psnr(averaged), abs=1e-3)
    assert run.facts["psnr_db"]["averaged_pasted"] == pytest.approx(
        psnr(np.where(known, x, averaged)), abs=1e-3
    )
    blended = dip_blocks.blend(result.averaged, torch.from_numpy(x)[None], torch.from_numpy(known))[
        0
    ].numpy()
    assert run.facts["psnr_db"]["averaged_blended"] == pytest.approx(psnr(blended), abs=1e-3)
    assert set(run.facts["ssim"]) == set(run.facts["psnr_db"]) == set(runs.KINDS)
    assert np.abs(run.raw - exact).max() <= 0.5 / 255 + 1e-6
    assert np.abs(run.averaged - averaged).max() <= 0.5 / 255 + 1e-6
    assert run.history[-1].loss == pytest.approx(result.history[-1].loss, rel=1e-5)


def test_choices_of_the_network_can_be_changed():
    spec = replace(
        SPEC,
        changes=(
            ("skip_from", "input"),
            ("connect", False),
            ("channels_skip", 2.0),
            ("depth", 3.0),
        ),
    )
    assert str(spec.path.parts[0]) == "tiny+skip_from=input+connect=false+channels_skip=2+depth=3"
    config = spec.resolved().config
    assert config["skip_from"] == "input" and config["connect"] is False
    wide = replace(SPEC, changes=(("width", 5.0),)).resolved().config
    assert wide["channels_down"] == wide["channels_up"] == [5, 5] and wide["channels_skip"] == [
        4,
        4,
    ]
    assert config["channels_skip"] == [2, 2, 2] and config["channels_down"] == [8, 8, 8]
    assert dip_blocks.RECIPES["tiny"].config == small_config(), "the named recipe is as before"


def test_changes_and_iterations_are_part_of_the_name():
    spec = replace(SPEC, changes=(("lr", 0.01), ("jump", 3.0)), iterations=7, seed=2, p=0.25)
    assert str(spec.path) == "tiny+lr=0.01+jump=3/camera-32/seed2-p0.25-7it"
    assert (
        str(replace(spec, mask_seed=0).path)
        == "tiny+lr=0.01+jump=3/camera-32/seed2-mask0-p0.25-7it"
    )
    assert (spec.resolved().lr, spec.resolved().jump, spec.resolved().iterations) == (0.01, 3.0, 7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": "good"}, "No recipe is called 'good'; there are blog"),
        ({"changes": (("learning_rate", 1.0),)}, "no value 'learning_rate'.*lr"),
        ({"changes": (("config", 1.0),)}, "no value 'config'"),
        ({"changes": (("lr", -1.0),)}, "lr must be above 0"),
        ({"changes": (("lr", "fast"),)}, "lr must be a number"),
        ({"changes": (("skip_from", "middle"),)}, "skip_from must be one of"),
        ({"changes": (("depth", 0.0),)}, "depth is a whole number from 1"),
    ],
)
def test_a_wrong_spec(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SPEC, **change).resolved()


@pytest.mark.parametrize("jump", [math.inf, 1e20])
def test_a_run_that_never_goes_back_is_stored(tmp_path, jump):
    spec = replace(SPEC, changes=(*SPEC.changes, ("jump", jump)))
    sweeps.perform(spec, tmp_path, device="cpu", progress=False)
    assert runs.stored(spec, tmp_path).facts["recipe"]["jump"] == jump


def test_a_number_that_no_record_holds_is_refused_before_the_fit():
    with pytest.raises(runs.RunError, match="sigma_p: a run keeps numbers below"):
        replace(SPEC, changes=(*SPEC.changes, ("sigma_p", 1e19))).resolved()


def test_a_luma_that_is_met_exactly_is_read(tmp_path):
    run = sweeps.perform(SPEC, tmp_path, device="cpu", progress=False)
    run.facts["psnr_luma_db"] = {"raw": math.inf, "averaged": math.inf}
    assert runs.write(tmp_path, SPEC.path, run).facts["psnr_luma_db"]["raw"] == math.inf


def test_a_run_that_dies_while_it_is_written_is_not_found(tmp_path, monkeypatch):
    run = sweeps.perform(SPEC, tmp_path / "whole", device="cpu", progress=False)
    monkeypatch.setattr(
        Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError):
        runs.write(tmp_path / "store", SPEC.path, run)
    assert (
        runs.find(tmp_path / "store") == [] and [*(tmp_path / "store" / runs.WORK).iterdir()] == []
    )


def test_find(tmp_path):
    for spec in (
        SPEC,
        replace(SPEC, image="brick"),
        replace(SPEC, changes=(("lr", 0.01),)),
        replace(SPEC, size=48),
    ):
        sweeps.perform(replace(spec, iterations=3), tmp_path, device="cpu", progress=False)
    assert len(runs.find(tmp_path)) == 4
    assert [run.facts["image"]["name"] for run in runs.find(tmp_path, recipe="tiny", size=32)] == [
        "brick",
        "camera",
    ]
    assert len(runs.find(tmp_path, image="camera", size=48)) == 1
    assert best_run("tiny", "grass", 32, tmp_path) is None


def test_the_longest_run_represents_an_image(tmp_path):
    for iterations in (4, 12, 8):
        sweeps.perform(replace(SPEC, iterations=iterations), tmp_path, device="cpu", progress=False)
    run = best_run("tiny", "camera", 32, tmp_path)
    assert run.facts["iterations"] == 12 and not run.complete


@pytest.mark.parametrize(
    "damage",
    [
        "no history",
        "not json",
        "other format",
        "no picture",
        "facts of another kind",
        "a row too short",
        "no figure",
    ],
)
def test_a_damaged_store_is_named(tmp_path, damage):
    place = sweeps.perform(
        replace(SPEC, iterations=2), tmp_path, device="cpu", progress=False
    ).place
    record = place.with_name("seed0-2it.json")
    content = json.loads(record.read_text())
    if damage == "no picture":
        place.with_name("seed0-2it.webp").unlink()
    else:
        changed = {
            "other format": {"format": 99},
            "no history": {"history": None},
            "facts of another kind": {"image": []},
        }
        changed |= {
            "a row too short": {"history": [[1, 0.1]]},
            "no figure": {"psnr_db": {"raw": "good"}},
        }
        record.write_text("{" if damage == "not json" else json.dumps(content | changed[damage]))
    with pytest.raises(runs.RunError, match="seed0-2it"):
        runs.read(place)
    with pytest.warns(runs.DamagedRun, match="seed0-2it"):
        assert runs.find(tmp_path) == [], "skipped, and named"


def test_a_copy_in_somebody_elses_repository_names_no_commit_of_theirs(tmp_path):
    here = Path(dip_blocks.__file__).parent
    git = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=nobody",
        "-c",
        "user.email=nobody@example.org",
    ]
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "theirs"], check=True)
    shutil.copytree(
        here / "book" / "dip_book",
        tmp_path / "copied" / "book" / "dip_book",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(here / "dip_blocks.py", tmp_path / "copied")
    shutil.copytree(here / "dip_parts", tmp_path / "copied" / "dip_parts")
    paths = os.pathsep.join(str(tmp_path / "copied" / part) for part in ("", "book"))
    words = [
        sys.executable,
        "-c",
        "from dip_book.runs import provenance; print(provenance.commit())",
    ]
    said = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == "{'commit': None, 'dirty': None}"


def test_another_picture_is_noticed(tmp_path):
    run = sweeps.perform(replace(SPEC, iterations=2), tmp_path, device="cpu", progress=False)
    run.facts["image"]["name"] = "brick"
    with pytest.raises(runs.RunError, match="another picture"):
        run.truth()


# The committed store ----------------------------------------------------------------------


def test_the_books_runs_are_what_they_say():
    stored = runs.find()
    assert len({run.facts["image"]["name"] for run in stored if run.place.parts[-3] == "blog"}) >= 4
    for run in stored:
        facts = run.facts
        assert facts["commit"] and facts["dirty"] is False, run.place
        assert facts["image"]["name"] in {**images.EMBEDDED, **images.STANDARD}
        assert run.place.name.endswith(f"-{facts['iterations']}it")
        parts = [runs.read(runs.ROOT / path) for path in facts.get("members", [])] or [
            run
        ]  # of a mean, its members
        assert facts["iterations"] == sum(part.history[-1].iteration for part in parts)
        assert facts["backtracked"] == sum(
            step.backtracked for part in parts for step in part.history
        )
        if not run.kinds:
            continue
        runs.check(run)
        assert list(run.raw.shape) == facts["image"]["shape"]
        if images.available(facts["image"]["name"]):
            measured = dip_blocks.psnr(
                dip_blocks.as_image(run.raw), dip_blocks.as_image(run.truth())
            )
            rounded = -10 * math.log10(
                10 ** (-run.psnr / 10) + 1 / (12 * 255**2)
            )  # 8 bits cost a little
            # A mean of two pictures of 8 bits lies between two values every other time, and all of
            # these are rounded to one side.  In one picture it goes with its errors a little.
            assert measured == pytest.approx(rounded, abs=0.06 if "members" in facts else 0.011), (
                run.place
            )


def test_the_books_runs_are_of_their_specs_and_keep_the_pictures_that_are_shown():
    kept = plan.kept()
    wanted = [spec for specs in plan.WANTED.values() for spec in specs]
    for spec in dict.fromkeys(run for one in wanted for run in (one, *one.members)):
        run, wrong = runs.state(spec)
        assert wrong is None
        if run is not None:
            assert bool(run.kinds) == (kept[spec.path] != "record"), spec.path
            assert bool(run.frames) == (kept[spec.path] == "frames"), spec.path


def test_the_store_is_a_few_files():
    listed = subprocess.run(["git", "ls-files", "."], cwd=runs.ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone")
    assert len(listed.stdout.splitlines()) < 550  # a run with pictures has a file of its own


def test_stored_baselines_are_what_the_methods_give():
    stored = baselines.stored_baselines()
    assert list(stored["images"]) == list(images.STANDARD) and stored["dirty"] is False
    checked = [name for name in ("house", "montage") if images.available(name)]
    if not checked:
        pytest.skip(f"the test images are not here: set {images.IMAGES_VARIABLE}")
    for name in checked:
        for method in baselines.BASELINES:
            measured = baselines.baseline(name, method)
            assert measured["psnr_db"] == pytest.approx(
                stored["images"][name][method]["psnr_db"], abs=0.05
            )


# Baselines --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", baselines.BASELINES.values(), ids=baselines.BASELINES)
def test_baselines(method, picture):
    x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(picture))
    filled = method(x_hat, mask)
    assert filled.shape == picture.shape and filled.dtype == np.float32
    assert np.array_equal(filled[mask == 1], picture[mask == 1])
    assert np.abs(filled - picture).mean() < 0.02
    colour = np.stack([picture] * 3, axis=-1)
    assert method(colour * mask[..., None], mask).shape == colour.shape
    assert np.array_equal(method(picture, np.ones_like(picture)), picture)
    with pytest.raises(ValueError, match="no pixel as known"):
        method(x_hat, np.zeros_like(mask))
    with pytest.raises(ValueError, match="must agree"):
        method(x_hat, mask[:-1])


def test_linear_interpolation_is_exact_on_a_plane():
    y, x = np.mgrid[:16, :16] / 40
    plane = (0.1 + x + y).astype(np.float32)
    mask = np.random.default_rng(0).random(plane.shape) < 0.5
    mask[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    assert np.allclose(baselines.linear(plane * mask, mask), plane, atol=1e-6)


@pytest.mark.parametrize("known", [[(2, 3)], [(0, 0), (3, 3), (7, 7)], [(4, x) for x in range(8)]])
def test_linear_interpolation_without_a_triangle_takes_the_nearest(known):
    mask = np.zeros((8, 8), bool)
    mask[tuple(np.transpose(known))] = True
    picture = np.random.default_rng(0).random(mask.shape).astype(np.float32)
    filled = baselines.linear(picture * mask, mask)
    distances = [np.hypot(*(np.indices(mask.shape) - np.reshape(at, (2, 1, 1)))) for at in known]
    of = np.array([picture[at] for at in known])
    nearest = np.sort(distances, axis=0)
    alone = (nearest[1:2] > nearest[0] + 1e-9).all(0)  # where no two are as near as each other
    assert alone.sum() > 20
    assert np.array_equal(filled[alone], of[np.argmin(distances, axis=0)][alone])


# Tables -----------------------------------------------------------------------------------


def test_reported_numbers_have_the_known_means():
    means = {who: round(mean(numbers.values()), 2) for who, numbers in REPORTED.items()}
    assert means == {"blog": 28.53, "paper": 33.48, "convolutional sparse coding": 31.19}


def test_no_cell_of_a_table_is_blank():
    table = Table(["a", "b"], [["x", 1.005], ["y", None], ["", 12_345]])
    rows = "| x | 1.00 |\n| y | – |\n| – | 12,345 |"
    assert table._repr_markdown_() == f"| a | b |\n| --- | ---: |\n{rows}"
    assert mean([1.0, None]) is None and mean([1.0, 2.0]) == 1.5


# Live figures -----------------------------------------------------------------------------


def test_views_are_one_piece_of_html_without_outside_addresses(tmp_path):
    run = sweeps.perform(SPEC, tmp_path, device="cpu", progress=False)
    run.facts["image"]["name"] = "camera"
    for view in (views.mask_view(images.load("camera", 32)), explorer.Explorer([run])):
        html = view._repr_html_()
        assert "https://" not in html and html.count("<script>") == html.count("</script>") == 1
        assert 'alt="' in html and "data:image/webp" in html
        assert html == view._repr_html_(), "the same every time: notebooks are compared"


def test_the_network_is_drawn_with_what_it_is():
    config = dip_blocks.BLOG.config
    blocks = {block["name"]: block for block in views.network_view(config, 128, 128).data["blocks"]}
    assert len(blocks) == 1 + 3 * 5 + 2
    assert sum(block.get("weights", 0) for block in blocks.values()) == 2_513_637
    assert sum(block.get("share", 0) for block in blocks.values()) == pytest.approx(1, abs=1e-3)
    assert blocks["d1"]["in"] == [32, 128, 128] and blocks["d1"]["out"] == [128, 64, 64]
    # by hand: 9·32·128 products at each of 128² pixels, then 9·128·128 at each of 64²
    assert blocks["d1"]["work"] == 9 * 32 * 128 * 128**2 + 9 * 128 * 128 * 64**2
    assert blocks["d1"]["code"].startswith("class Down") and "class Up" in blocks["u1"]["code"]
    places = [(block["row"], block["column"]) for block in blocks.values()]
    assert len(set(places)) == len(places), "two blocks in one place"


def test_the_network_without_skips_is_drawn_too():
    config = {**dip_blocks.BLOG.config, "channels_skip": [0] * 5}
    assert {block["kind"] for block in views.network_view(config, 128, 128).data["blocks"]} == {
        "z",
        "down",
        "up",
        "connect",
        "out",
    }
    reading = {**dip_blocks.BLOG.config, **dip_blocks.SECOND_READING}
    assert "connect" not in {
        block["name"] for block in views.network_view(reading, 128, 128).data["blocks"]
    }


def test_a_figure_of_several_states():
    light, dark = np.full((8, 8), 0.9), np.full((8, 8), 0.1)
    view = views.steps_view(
        {"a": {"p": light, "text": "one"}, "b": {"p": dark, "text": "two"}}, "which", "two greys"
    )
    assert [state["name"] for state in view.data["states"]] == ["a", "b"] and view.data[
        "captions"
    ] == ["p"]
    assert view.data["states"][0]["pictures"] != view.data["states"][1]["pictures"]


def test_quality_over_the_share_of_known_pixels():
    found = baselines.over_density("camera", store=runs.ROOT)
    biharmonic = found["biharmonic"]
    assert list(biharmonic.values()) == sorted(biharmonic.values()), "more known pixels, better"
    assert biharmonic[0.5] == pytest.approx(28.57, abs=0.01)
    assert 0.5 in found["Deep Image Prior, quick"]


def test_data_cannot_end_the_script():
    view = views.View(
        "mask",
        {"words": "</script><b>"},
        views.figures.row({"x": np.zeros((4, 4))}).figure,
        "a <b>",
    )
    assert view._repr_html_().count("</script>") == 1 and "<b>" not in view._repr_html_()


def test_a_recipe_changed_in_a_session_lends_its_name_to_no_run(monkeypatch):
    """A notebook's earlier cell has changed it: a run would not be what it is called."""
    with monkeypatch.context() as changed:
        changed.setitem(dip_blocks.QUICK.config, "upsampling_method", "bilinear")
        with pytest.raises(runs.RunError, match="'quick' was changed in this session"):
            runs.Spec("camera", recipe="quick").resolved()
        assert runs.Spec("camera", recipe="blog").resolved()
    monkeypatch.setitem(dip_blocks.RECIPES, "quick", replace(dip_blocks.QUICK, lr=0.3))
    with pytest.raises(runs.RunError, match="'quick' was changed in this session"):
        runs.Spec("camera", recipe="quick").resolved()
