"""How runs lie in a folder: identity, collections, pictures opened late, damage, kills."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import filelock
import numpy as np
import pytest
from conftest import small_config, store_run
from dip_book import images, runs
from dip_book.build import first_cell
from dip_book.cli import main
from dip_book.commands import TABLES
from dip_book.results import ablation
from dip_book.results.selection import best_run
from dip_book.runs import archives, placing, plan, record, sweeps
from dip_book.show import explorer, figures
from PIL import Image

import dip_blocks

HERE = Path(__file__).parents[1]
TINY = dip_blocks.Recipe(config=small_config(), z_channels=4, iterations=40, lr=0.003)
SPEC = runs.Spec("camera", 32, "tiny", iterations=2)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(dip_blocks.RECIPES, "tiny", TINY)


def perform(spec, store, **options):
    return sweeps.perform(spec, store, device="cpu", progress=False, **options)


def own(store, spec, suffix=".json"):
    """A file of the run's own."""
    return Path(f"{store / spec.path}{suffix}")


def edit(store, spec, **changes):
    """Change a stored record."""
    facts = json.loads(own(store, spec).read_text())
    own(store, spec).write_text(json.dumps(facts | changes))


def test_the_present_folder_is_a_store_like_any(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert perform(SPEC, Path(".")).kinds == ["raw", "averaged"]
    assert runs.state(SPEC, Path("."))[1] is None and len(runs.find(Path("."))) == 1
    assert main(["status", "--store", "."]) == 0 and "damaged" not in capsys.readouterr().out
    assert main(["show", SPEC.path.as_posix(), "--store", "."]) == 0
    assert main(["pack", "--store", "."]) == 0 and not capsys.readouterr().err
    assert main(["unpack", "runs-1.zip", "--store", "."]) == 0
    assert "there already" in capsys.readouterr().out


# Pictures ---------------------------------------------------------------------------------


def test_a_run_is_read_without_opening_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(plan.WANTED, "quick", [SPEC])
    perform(SPEC, tmp_path)
    whole = perform(replace(SPEC, image="brick"), tmp_path).raw
    opened, original = [], Image.open
    stand_in = type(
        "Image",
        (),
        {
            "open": lambda *a, **k: (opened.append(a), original(*a, **k))[1],
            "fromarray": Image.fromarray,
        },
    )
    monkeypatch.setattr(record, "Image", stand_in)
    (run,) = runs.find(tmp_path, image="brick")
    assert run.psnr and run.kinds == ["raw", "averaged"] and plan.missing(["quick"], tmp_path) == []
    for command in (
        ["status"],
        ["show", str(SPEC.path)],
        ["table", "quick"],
        ["pack", "--to", str(tmp_path / "box")],
    ):
        assert main([*command, "--store", str(tmp_path)]) == 0
    assert opened == []
    assert (
        np.abs(run.raw - whole).max() < 1e-6 and run.averaged.shape == (32, 32) and len(opened) == 1
    ), "both from one file"
    assert run.raw is run.raw and run.frames and len(opened) == 2


def frames_of(tmp_path, frames, shape=(16, 16)):
    run = store_run(tmp_path, SPEC, 20.0, {"raw": np.zeros(shape)})
    return runs.write(
        tmp_path, SPEC.path, runs.Run(run.facts, [], {"raw": np.zeros(shape)}, frames)
    )


def test_equal_frames_are_all_kept_and_in_order(tmp_path):
    levels = {1: 0.2, 2: 0.8, 3: 0.8, 40: 0.8, 50: 0.2}
    run = frames_of(tmp_path, {i: np.full((16, 16), level) for i, level in levels.items()})
    assert {i: round(float(frame.mean()), 1) for i, frame in run.frames.items()} == levels


def test_more_than_fits_below_one_another_goes_on_beside(tmp_path):
    shape, frames = (6000, 8), 5
    run = frames_of(tmp_path, {i: np.full(shape, i / 10) for i in range(frames)}, shape)
    assert Image.open(own(tmp_path, SPEC, ".frames.webp")).size == (3 * 8, 2 * 6000)
    assert all(
        run.frames[i].shape == shape and abs(run.frames[i].mean() - i / 10) < 0.02
        for i in range(frames)
    )


def test_a_picture_that_no_file_can_hold_is_refused_before_the_fit(tmp_path, monkeypatch):
    images.save_png(tmp_path / "strip.png", np.full((16, 16_400), 0.5))
    monkeypatch.setattr(dip_blocks.Fit, "step", lambda fit: pytest.fail("the fit began"))
    with pytest.raises(runs.RunError, match="16400×16 pixels do not fit"):
        perform(replace(SPEC, image=str(tmp_path / "strip.png"), size=None), tmp_path)


def test_pictures_that_are_not_kept_are_named(tmp_path):
    run = store_run(tmp_path, SPEC, 20.0)
    assert run.kinds == [] and run.frames == {}
    with pytest.raises(
        runs.RunError, match="No raw output is kept of the run .*seed0-2it: make it again"
    ):
        _ = run.raw


# Identity ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (
            {"seeds": {"mask": 7, "weights, z and noise": 0}},
            "the seed of mask is 7 in it and 0 here",
        ),
        (
            {"seeds": {"mask": 0, "weights, z and noise": 7}},
            "the seed of weights, z and noise is 7",
        ),
        ({"p": 0.25}, "p is 0.25 in it and 0.5 here"),
        ({"iterations": 3}, "the number of iterations is 3 in it and 2 here"),
        (
            {"image": {"name": "camera", "size": 32, "shape": [32, 32], "sha256": "0"}},
            "the digest of the pixels is '0'",
        ),
        (
            {"recipe": {"name": "tiny", **TINY.as_dict(), "iterations": 2, "lr": 0.01}},
            "lr is 0.01 in it and 0.003 here",
        ),
        (
            {
                "recipe": {
                    "name": "tiny",
                    **TINY.as_dict(),
                    "iterations": 2,
                    "tv": 1,
                    "config": small_config() | {"dropout": 0.5},
                }
            },
            "config.dropout is 0.5",
        ),
    ],
)
def test_a_run_of_something_else_is_not_the_specs(
    tmp_path, monkeypatch, capsys, change, difference
):
    monkeypatch.setattr(plan, "WANTED", {"few": [SPEC]})
    perform(SPEC, tmp_path)
    assert plan.missing(store=tmp_path) == []
    edit(tmp_path, SPEC, **change)
    with pytest.raises(runs.RunError, match="is of something else: .*again=True") as raised:
        perform(SPEC, tmp_path)
    assert difference in str(raised.value)
    assert plan.missing(store=tmp_path) == [SPEC]
    with pytest.warns(runs.DamagedRun, match="of something else"):
        assert runs.stored(SPEC, tmp_path) is None
    assert main(["status", "--store", str(tmp_path)]) == 0
    assert difference in capsys.readouterr().out
    assert [what for _, _, what in sweeps.sweep([SPEC], tmp_path)][0].startswith(
        "failed: The stored run"
    )
    perform(SPEC, tmp_path, again=True)
    assert plan.missing(store=tmp_path) == []


def test_a_group_that_there_is_not_is_named(tmp_path):
    with pytest.raises(runs.RunError, match="No group is called 'tabel'; there are .*table"):
        plan.missing(["table", "tabel"], tmp_path)


def test_a_recipe_that_has_changed_is_noticed(tmp_path, monkeypatch):
    perform(SPEC, tmp_path)
    monkeypatch.setitem(dip_blocks.RECIPES, "tiny", replace(TINY, lr=0.01))
    with pytest.raises(runs.RunError, match=r"lr is 0.003 in it and 0.01 here"):
        perform(SPEC, tmp_path)


def test_values_that_differ_behind_the_digits_of_a_path_are_told_apart(tmp_path):
    first, second = (replace(SPEC, changes=(("sigma_p", value),)) for value in (1 / 90, 0.0111111))
    assert first.path == second.path
    perform(first, tmp_path)
    with pytest.raises(runs.RunError, match="sigma_p"):
        perform(second, tmp_path)


def test_a_record_older_than_a_value_has_its_default(tmp_path, monkeypatch):
    perform(SPEC, tmp_path)
    older = {"name": "tiny", **TINY.as_dict(), "iterations": 2}
    for key in ("hide", "weight_decay", "optimiser"):
        del older[key]
    edit(tmp_path, SPEC, recipe=older)
    assert perform(SPEC, tmp_path).facts["recipe"] == older
    monkeypatch.setitem(dip_blocks.RECIPES, "tiny", replace(TINY, weight_decay=1.0))
    with pytest.raises(runs.RunError, match=r"weight_decay is 0.0 in it and 1.0 here"):
        perform(SPEC, tmp_path)


def test_a_precision_is_compared_where_the_spec_names_one(tmp_path):
    exact = replace(SPEC, precision="fp32")
    perform(SPEC, tmp_path), perform(exact, tmp_path)
    for spec in (SPEC, exact):
        edit(tmp_path, spec, precision="bf16")
    assert perform(SPEC, tmp_path).facts["precision"] == "bf16"
    with pytest.raises(runs.RunError, match="the precision is 'bf16' in it and 'fp32' here"):
        perform(exact, tmp_path)


def test_a_readers_picture_is_never_the_books(tmp_path):
    images.save_png(tmp_path / "camera.png", images.load("brick", size=48))
    images.save_png(tmp_path / "house-256.png", images.load("brick", size=32))
    mine = replace(SPEC, image=str(tmp_path / "camera.png"))
    assert mine.path != SPEC.path and mine.path.parts[1].startswith("camera@")
    assert (
        runs.Spec(str(tmp_path / "house-256.png"), None, "tiny").path.parts[1]
        != runs.Spec("house", 256, "tiny").path.parts[1]
    )
    perform(mine, tmp_path)
    assert (
        runs.find(tmp_path, image="camera") == []
        and best_run("tiny", "camera", 32, tmp_path) is None
    )
    before = mine.path
    images.save_png(tmp_path / "camera.png", images.load("grass", size=48))
    assert mine.path != before, "another picture in the same file"


def test_runs_of_a_readers_picture_are_shown_without_it(tmp_path, capsys):
    images.save_png(tmp_path / "mine.png", images.load("brick", size=48))
    spec = replace(SPEC, image=str(tmp_path / "mine.png"))
    path = spec.path
    run = perform(spec, tmp_path)
    assert explorer.entry(run)["truth"] and run.degraded()[0].shape == (32, 32), (
        "while it is at hand"
    )
    assert explorer.entry(perform(spec, tmp_path))["truth"], "stored already"
    (tmp_path / "mine.png").unlink()
    assert main(["show", str(path), "--store", str(tmp_path)]) == 0
    assert "2 of 40 iterations" in capsys.readouterr().out
    (run,) = runs.find(tmp_path)
    with pytest.raises(images.ImageError, match="a file of yours, 'mine', which is not stored"):
        run.truth()
    view = explorer.Explorer([run])
    (entry,) = view.data["runs"]
    assert (
        entry["title"] == "mine"
        and entry["truth"] is entry["degraded"] is None
        and entry["restored"]
    )
    assert view.data["pictures"] == [] and view._repr_html_() and figures.run_summary(run)


# Collections ------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path):
    """A store of three runs.

    The first is to be shown with frames, the second's record is enough, the third is a reader's.
    """
    store, specs = tmp_path / "store", [replace(SPEC, seed=seed) for seed in range(3)]
    for spec in specs:
        perform(spec, store)
    return store, specs, {specs[0].path: "frames", specs[1].path: "record"}


def names(store):
    return sorted(
        file.relative_to(store).as_posix()
        for file in store.rglob("*")
        if file.is_file() and runs.WORK not in file.parts
    )


def test_tidying_gathers_records_and_drops_pictures(three):
    store, specs, kept = three
    before = {run.place: (run.facts, run.history) for run in runs.find(store)}
    assert {path for path, _ in runs.tidy(store, kept)} == set(kept)
    folder = "tiny/camera-32"
    assert names(store) == [
        "tiny.json", *(f"{folder}/seed0-2it{suffix}" for suffix in (".frames.webp", ".webp")),
        *(f"{folder}/seed2-2it{suffix}" for suffix in (".frames.webp", ".json", ".webp")),
    ]  # fmt: skip
    assert {run.place: (run.facts, run.history) for run in runs.find(store)} == before
    assert [bool(run.kinds) for run in runs.find(store)] == [True, False, True]
    assert runs.tidy(store, kept) == [], "nothing is left to do"
    assert list(json.loads((store / "tiny.json").read_text())) == [
        "camera-32/seed0-2it",
        "camera-32/seed1-2it",
    ]
    assert perform(specs[1], store).facts == before[store / specs[1].path][0], "stored already"
    runs.tidy(store, {specs[0].path: "record", specs[2].path: "pictures"})
    assert names(store) == ["tiny.json", f"{folder}/seed2-2it.webp"]


def test_pictures_that_lost_their_records_are_named(three, tmp_path, capsys):
    """As `rsync` merges two stores that were tidied: one's collection over the other's."""
    store, specs, kept = three
    for place, path in (("one", specs[0].path), ("other", specs[1].path)):
        shutil.copytree(store, tmp_path / place)
        for what in ("record", "pictures", "frames"):
            for spec in specs:
                if spec.path != path:
                    placing.beside(tmp_path / place / spec.path, what).unlink()
        runs.tidy(tmp_path / place, {path: "pictures"})
    shutil.copytree(tmp_path / "other", tmp_path / "one", dirs_exist_ok=True)
    assert main(["status", "--store", str(tmp_path / "one")]) == 0
    assert f"Of 1 run only pictures are there, of {specs[0].path}" in capsys.readouterr().out
    (tmp_path / "one" / "tiny.json").write_text("{")
    main(["status", "--store", str(tmp_path / "one")])
    assert "only pictures" not in capsys.readouterr().out, "the damaged collection is named"
    main(["status", "--store", str(store)])
    assert "only pictures" not in capsys.readouterr().out


def test_a_runs_own_record_wins_and_is_gathered_again(three):
    store, specs, kept = three
    runs.tidy(store, kept)
    anew = perform(specs[1], store, again=True, every=1)
    assert own(store, specs[1]).exists() and runs.read(store / specs[1].path).facts == anew.facts
    assert runs.read(store / specs[1].path).kinds and len(runs.paths(store)) == 3
    runs.tidy(store, kept)
    assert (
        runs.read(store / specs[1].path).facts == anew.facts and not own(store, specs[1]).exists()
    )


def test_a_run_that_is_being_written_is_not_gathered(three):
    store, specs, kept = three
    with filelock.FileLock(store / runs.WORK / f"{runs.work_name(specs[1].path)}.lock"):
        report = dict(runs.tidy(store, kept))
    assert "another process" in report[specs[1].path] and own(store, specs[1]).exists()


def test_runs_of_a_collection_travel(three, tmp_path):
    store, specs, kept = three
    runs.tidy(store, kept)
    (archive,) = runs.pack(runs.paths(store), store, tmp_path / "box")
    there = tmp_path / "there"
    assert [outcome for _, outcome in runs.unpack(archive, there)] == ["new"] * 3
    assert [(run.facts, run.kinds) for run in runs.find(there)] == [
        (run.facts, run.kinds) for run in runs.find(store)
    ]
    assert [outcome for _, outcome in runs.unpack(archive, store)] == ["there already"] * 3
    runs.tidy(store, dict.fromkeys(kept, "record"))
    assert [outcome for _, outcome in runs.unpack(archive, store)] == ["there already"] * 3, (
        "with fewer pictures"
    )


def test_members_keep_their_pictures_until_their_mean_is_stored(tmp_path, monkeypatch):
    monkeypatch.setitem(dip_blocks.RECIPES, "other", replace(TINY, lr=0.01))
    monkeypatch.setitem(dip_blocks.MEANS, "both", ("tiny", "other"))
    mean = replace(SPEC, recipe="both")
    monkeypatch.setattr(
        plan, "WANTED", {"best": [mean]} | dict.fromkeys(set(plan.WANTED) - {"best"}, [])
    )
    for one in (plan.with_frames, plan.with_pictures):
        monkeypatch.setattr(plan, one.__name__, list)
    assert plan.kept(tmp_path)[SPEC.path] == "pictures"
    perform(mean, tmp_path)
    assert plan.kept(tmp_path)[SPEC.path] == "record"
    edit(tmp_path, mean, p=0.4)  # a mean of something else is not the mean that is wanted
    assert plan.kept(tmp_path)[SPEC.path] == "pictures"
    edit(tmp_path, mean, p=0.5)
    assert main(["tidy", "--store", str(tmp_path)]) == 0
    assert names(tmp_path) == ["both.json", "other.json", "tiny.json"]
    assert perform(mean, tmp_path).complete is False


# Damage -----------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """A store of one whole run and one that is damaged in some way; the plan wants both."""
    specs = [SPEC, replace(SPEC, image="brick")]
    monkeypatch.setattr(plan, "WANTED", dict.fromkeys(plan.WANTED, specs))
    for spec in specs:
        perform(spec, tmp_path)
    return tmp_path, specs


WAYS = {
    "no JSON": (".json", b"{"), "not even text": (".json", b"\xff\xfe\x00"),
    "a list": (".json", b"[]"), "null": (".json", b"null"),
    "of another format": (".json", b'{"format": 2}'), "no record": (".json", b"{}"),
    "other pictures": (".webp", b"RIFF"), "other frames": (".frames.webp", b""),
    "no name": (".json", {"image": {}}), "no mask": (".json", {"seeds": {}}),
    "no members": (".json", {"recipe": {"members": None}}),
    "no config": (".json", {"recipe": {"members": [{"config": None}]}}),
}  # fmt: skip


def damage(store, spec, way):
    suffix, content = WAYS[way]
    if isinstance(content, dict):  # a part of a record that is whole otherwise
        content = json.dumps(json.loads(own(store, spec).read_text()) | content).encode()
    own(store, spec, suffix).write_bytes(content)


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_run_ends_no_command(damaged, tmp_path, capsys, way):
    store, (good, bad) = damaged
    damage(store, bad, way)
    for command in (
        ["status"],
        ["status", "--missing"],
        ["table", "quick"],
        ["table", "switches"],
        ["tidy"],
        ["pack", "--to", str(tmp_path / "box")],
    ):
        assert main([*command, "--store", str(store)]) == 0, command
        said = capsys.readouterr()
        assert str(bad.path) in said.out + said.err or command[0] == "table", command
    with zipfile.ZipFile(tmp_path / "box-1.zip") as archive:
        assert all(name.startswith(good.path.as_posix()) for name in archive.namelist())
    assert plan.missing(["quick"], store) == [bad]
    with pytest.raises(runs.RunError, match="brick-32"):
        perform(bad, store)
    assert perform(bad, store, again=True) and plan.missing(["quick"], store) == []


def test_a_damaged_collection_is_named_and_the_rest_is_found(damaged, capsys):
    store, (good, _) = damaged
    (store / "other.json").write_text("{")
    (store / "third.json").write_text('{"camera-32/seed0-2it": 3, "nothing": {}}')
    for command in (["status"], ["tidy"], ["table", "quick"]):
        assert main([*command, "--store", str(store)]) == 0
    assert main(["status", "--store", str(store)]) == 0
    said = capsys.readouterr()
    assert (
        "other.json is damaged" in said.err
        and str(good.path) in said.out
        and "third/camera-32/seed0-2it" in said.out
    )
    with pytest.warns(runs.DamagedRun):
        assert len(runs.find(store)) == 2


def test_a_pipe_in_the_place_of_pictures_is_not_waited_for(damaged, capsys):
    store, (_, bad) = damaged
    own(store, bad, ".webp").unlink()
    os.mkfifo(own(store, bad, ".webp"))
    assert main(["status", "--store", str(store)]) == 0
    assert "seed0-2it.webp is no file" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["closed", "names alone"])
def test_a_folder_that_may_not_be_looked_into_is_not_taken_for_an_empty_one(
    damaged, monkeypatch, how
):
    store, (good, bad) = damaged
    shut = [store / bad.path.parent]
    scandir = os.scandir

    def look(place="."):
        if how == "closed" and Path(place) in shut:
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", look)  # and no rights: they do not bind everybody
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) not in shut)
    with pytest.warns(runs.DamagedRun, match=f"{bad.path.parent} cannot be read: Permission"):
        assert good.path in runs.paths(store)
    shut.append(store)
    with pytest.raises(runs.RunError, match="The store '.*' cannot be read: Permission denied"):
        runs.paths(store)


def test_a_store_that_may_not_be_looked_into_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)
    for words in (["status", "--missing"], ["pack"], ["table", "quick"]):
        assert main([*words, "--store", str(tmp_path)]) == 2
        assert "cannot be read: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("way", [*WAYS, "no pictures", "a folder", "a collection"])
def test_a_warning_names_a_run_by_its_path_in_the_store(damaged, way):
    """It gets into pages, where a path of the machine that made them says nothing."""
    store, (_, bad) = damaged
    name = str(bad.path)
    if way in WAYS:
        damage(store, bad, way)
    elif way == "no pictures":
        own(store, bad, ".webp").unlink()
    elif way == "a folder":
        own(store, bad).unlink()
        own(store, bad).mkdir()
    else:
        name = "other.json"
        (store / name).mkdir()
    with pytest.warns(runs.DamagedRun) as warned:
        runs.find(store), runs.stored(bad, store)
    for told in map(str, (warning.message for warning in warned)):
        assert name in told and str(store) not in told


def test_a_notebook_s_warnings_name_no_place_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    first_cell.notebook()
    (tmp_path / "other.json").write_text("[]")
    with pytest.warns(runs.DamagedRun) as warned:
        runs.find(tmp_path)
    (one,) = warned
    said = warnings.formatwarning(one.message, one.category, one.filename, one.lineno)
    assert said == "DamagedRun: Skipped. other.json is damaged: it holds no record.\n"


def test_a_run_of_a_newer_book_is_not_to_be_made_anew(tmp_path):
    perform(SPEC, tmp_path)
    record_ = json.loads(own(tmp_path, SPEC).read_text())
    own(tmp_path, SPEC).write_text(json.dumps(record_ | {"format": 4}))
    with pytest.raises(runs.RunError, match="a newer version of the book reads it") as raised:
        runs.read(tmp_path / SPEC.path)
    assert "again" not in str(raised.value)


def test_a_run_of_format_2_is_refused_in_a_sentence(tmp_path):
    (tmp_path / SPEC.path).mkdir(parents=True)
    (tmp_path / SPEC.path / "run.json").write_text('{"format": 2}')
    with pytest.raises(runs.RunError, match=r"has format 2, this version reads 3: make it again"):
        runs.read(tmp_path / SPEC.path)
    with pytest.raises(runs.RunError, match="has format 2"):
        perform(SPEC, tmp_path)
    with pytest.warns(runs.DamagedRun, match="has format 2"):
        assert runs.find(tmp_path) == []
    assert perform(SPEC, tmp_path, again=True).psnr and len(runs.find(tmp_path)) == 1


def test_a_change_of_a_collection_is_seen(three):
    store, specs, kept = three
    runs.tidy(store, kept)
    content = json.loads((store / "tiny.json").read_text())
    content["camera-32/seed0-2it"]["psnr_db"]["raw"] = 99.0
    (store / "tiny.json").write_text(json.dumps(content))
    assert runs.read(store / specs[0].path).psnr == 99.0
    runs.read(store / specs[0].path).facts["label"] = "a reader's"
    assert "label" not in runs.read(store / specs[0].path).facts


# Killed while writing ---------------------------------------------------------------------


def test_a_run_whose_pictures_are_another_s_is_noticed(tmp_path):
    perform(SPEC, tmp_path)
    Image.new("L", (32, 64)).save(own(tmp_path, SPEC, ".webp"))
    run = runs.read(tmp_path / SPEC.path)
    assert run.psnr, "its figures can be read"
    with pytest.raises(runs.RunError, match="not the file that its record names"):
        _ = run.raw
    with pytest.raises(runs.RunError, match="not the file that its record names.*again=True"):
        perform(SPEC, tmp_path)
    assert perform(SPEC, tmp_path, again=True).raw.shape == (32, 32)


@pytest.mark.parametrize("again", ["a new run", "one that is replaced"])
def test_a_death_at_any_line_leaves_the_old_run_or_the_new_one(tmp_path, again):
    """The process is gone at the n-th line of what brings files to their place, for all n."""
    levels = (0.25, 0.75)
    whole = perform(SPEC, tmp_path / "made")
    pictures = [np.full((32, 32), level, np.float32) for level in levels]
    made = [runs.Run(whole.facts, [], {"raw": p, "averaged": p}, {1: p}) for p in pictures]
    made[1] = runs.Run(whole.facts, [], {"raw": pictures[1]})  # no frames: the old ones must go
    found, n = [], 0
    while True:
        store, n = tmp_path / f"store{n}", n + 1
        if again != "a new run":
            runs.write(store, SPEC.path, made[0])
        child = os.fork()
        if child == 0:
            _die_at_line(n, placing.__file__)
            try:
                runs.write(store, SPEC.path, made[1])
            finally:
                os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break  # it has lived through all lines
        paths = runs.paths(store)
        assert paths in ([SPEC.path], []) if again == "a new run" else [SPEC.path]
        if paths:
            run = runs.check(runs.read(store / SPEC.path))
            level = round(float(run.raw.mean()), 2)
            assert run.kinds == (["raw", "averaged"] if level == 0.25 else ["raw"])
            assert list(run.frames) == ([1] if level == 0.25 else [])
            assert Path(f"{store / SPEC.path}.frames.webp").exists() == (level == 0.25)
            found.append(level)
        runs.write(store, SPEC.path, made[0])  # the next who writes sweeps up
        left = {file.suffix for file in (store / runs.WORK).iterdir()}
        assert left <= {".lock"} and not list((store / runs.WORK).glob("*.draft*"))
    assert n > 40 and 0.75 in found and (again == "a new run" or 0.25 in found)


def _die_at_line(n: int, file: str) -> None:
    """End this process without a word when so many lines of a file have begun."""
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        if frame.f_code.co_filename != file:
            return None
        if event == "line":
            lines += 1
            if lines == n:
                os._exit(9)
        return trace

    sys.settrace(trace)


def test_what_a_dead_process_had_decided_is_finished_by_who_looks(tmp_path, monkeypatch):
    perform(SPEC, tmp_path)
    picture = np.full((32, 32), 0.75, np.float32)
    other = runs.Run(runs.read(tmp_path / SPEC.path).facts, [], {"raw": picture})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(placing, "_move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        runs.write(tmp_path, SPEC.path, other)
    assert abs(runs.read(tmp_path / SPEC.path).raw.mean() - 0.75) < 0.01
    assert not list((tmp_path / runs.WORK).glob("*.decided"))


@pytest.mark.parametrize("arrived", ["no record", "half a record", "no picture", "half a picture"])
def test_what_had_been_decided_and_arrives_in_part_takes_no_runs_place(
    arrived, tmp_path, monkeypatch
):
    """Of a store that is being copied, when its process had died; the rest is waited for."""
    perform(SPEC, tmp_path)
    before = {file: file.read_bytes() for file in (tmp_path / SPEC.path).parent.iterdir()}
    other = runs.Run(
        runs.read(tmp_path / SPEC.path).facts, [], {"raw": np.full((32, 32), 0.75, np.float32)}
    )
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(placing, "_move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        runs.write(tmp_path, SPEC.path, other)
    (decided,) = (tmp_path / runs.WORK).glob("*.decided")
    late = own(decided, SPEC, ".json" if "record" in arrived else ".webp")
    content = late.read_bytes()
    if arrived.startswith("no"):
        late.unlink()
    else:
        late.write_bytes(content[: len(content) // 2])
    runs.check(runs.read(tmp_path / SPEC.path))
    assert {file: file.read_bytes() for file in before} == before
    late.write_bytes(content)
    assert abs(runs.read(tmp_path / SPEC.path).raw.mean() - 0.75) < 0.01
    assert not list((tmp_path / runs.WORK).glob("*.decided"))


def test_a_folder_tidied_away_before_it_is_filled_is_made_again(tmp_path, monkeypatch):
    original, removed = os.replace, []

    def tidied(source, target):
        if runs.WORK not in str(target) and not removed:
            removed.append(target)
            Path(target).parent.rmdir()
        original(source, target)

    monkeypatch.setattr(os, "replace", tidied)
    assert perform(SPEC, tmp_path).psnr == runs.read(tmp_path / SPEC.path).psnr and removed


WRITER = f"""
import sys
sys.path[:0] = [{str(HERE)!r}, {str(HERE / "book")!r}]
from pathlib import Path
import numpy as np
from dip_book import runs
store, path = Path(sys.argv[1]), Path("tiny/camera-32/seed0-2it")
facts = runs.read(store / path).facts
first = True
while True:
    for level in (0.25, 0.75):
        facts["psnr_db"]["raw"] = 100 * level
        picture = np.full((64, 64), level)
        runs.write(store, path, runs.Run(facts, [],\
 {{"raw": picture, "averaged": picture}}, {{1: picture}}))
        if first:
            print("ready", flush=True)
            first = False
"""


def test_sigkill_leaves_the_old_run_or_the_new_one(tmp_path):
    """Whenever it strikes: what can be looked at belongs together."""
    perform(SPEC, tmp_path)
    for pause in (0.0, 0.003, 0.007, 0.013, 0.02):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2 + pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert runs.paths(tmp_path) == [SPEC.path]
        run = runs.check(runs.read(tmp_path / SPEC.path))
        assert all(
            abs(100 * picture.mean() - run.psnr) < 2
            for picture in (run.raw, run.averaged, run.frames[1])
        )


# Archives ---------------------------------------------------------------------------------


def test_what_the_system_refuses_is_not_blamed_on_the_archive(tmp_path, monkeypatch):
    perform(SPEC, tmp_path / "here")
    (archive,) = runs.pack([SPEC.path], tmp_path / "here", tmp_path / "box")
    monkeypatch.setattr(
        Path,
        "write_bytes",
        lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(
        runs.RunError, match="cannot be unpacked into .*No space left on device"
    ) as raised:
        runs.unpack(archive, tmp_path / "there")
    assert "not an archive" not in str(raised.value)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    perform(SPEC, tmp_path / "here")
    (archive,) = runs.pack([SPEC.path], tmp_path / "here", tmp_path / "box")
    monkeypatch.setattr(archives, "LARGEST", archive.stat().st_size)
    with pytest.raises(runs.RunError, match="would take more than"):
        runs.unpack(archive, tmp_path / "there")


def test_an_archive_with_anothers_picture_is_refused(tmp_path):
    perform(SPEC, tmp_path / "here")
    own(tmp_path / "here", SPEC, ".webp").write_bytes(b"RIFF")
    with pytest.raises(runs.RunError, match="not the file that its record names"):
        runs.pack([SPEC.path], tmp_path / "here", tmp_path / "box")
    with zipfile.ZipFile(tmp_path / "box.zip", "w") as file:
        for suffix in (".json", ".webp", ".frames.webp"):
            file.write(own(tmp_path / "here", SPEC, suffix), f"{SPEC.path.as_posix()}{suffix}")
    with pytest.raises(runs.RunError, match="not the file that its record names"):
        runs.unpack(tmp_path / "box.zip", tmp_path / "there")
    assert runs.paths(tmp_path / "there") == []


# What comes from elsewhere ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("device",), "\x1b]0;title\x07"),
        (("psnr_db", "raw"), float("nan")),
        (("psnr_db", "raw"), True),
        (("wall_time_s",), 2**70),
        (("image", "shape"), [10**9, 10**9]),
        (("image", "shape"), "32"),
        (("seeds", "mask"), "0"),
        (("p",), 0),
        (("task",), "nonsense"),
        (("machine",), "mine"),
        (("recipe", "config"), 3),
        (("pictures", "kinds"), ["raw"] * 9),
        (("pictures", "shape"), [3, 5]),
        (("more",), [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]),
        (("more",), "x" * 20_000),
    ],
)
def test_a_value_that_nobody_measured_is_named_and_the_others_are_found(
    tmp_path, capsys, way, value
):
    others = perform(replace(SPEC, image="brick"), tmp_path)
    perform(SPEC, tmp_path)
    record_ = json.loads(own(tmp_path, SPEC).read_text())
    holder = record_
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    own(tmp_path, SPEC).write_text(json.dumps(record_))
    with pytest.raises(runs.RunError, match="is damaged") as raised:
        runs.check(runs.read(tmp_path / SPEC.path))
    assert str(raised.value).isprintable() and len(str(raised.value)) < 300
    assert main(["status", "--store", str(tmp_path)]) == 0
    assert "damaged" in capsys.readouterr().out
    assert runs.check(runs.read(tmp_path / others.place.relative_to(tmp_path))).psnr == others.psnr


def boxed(tmp_path):
    """An archive of one run, as names and contents."""
    perform(SPEC, tmp_path / "here")
    (archive,) = runs.pack([SPEC.path], tmp_path / "here", tmp_path / "box")
    with zipfile.ZipFile(archive) as file:
        return archive, {entry.filename: file.read(entry) for entry in file.infolist()}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("extra", "which no run of it describes"),
        ("twice", "twice"),
        ("record too large", "no file of that kind is larger than 8 MB"),
        ("deep", "is damaged"),
        ("damaged stream", "or is damaged"),
        ("encrypted", "is encrypted"),
        ("unknown packing", "packed in an unknown way"),
        ("escape in a name", "no name of a stored run"),
        ("larger format", "made for more files"),
        ("no zip", "no zip file, or is cut off"),
        ("picture of another size", "another size"),
    ],
)
def test_what_an_archive_may_not_hold_is_refused_in_a_sentence(tmp_path, capsys, how, words):
    archive, parts = boxed(tmp_path)
    place = f"{SPEC.path.as_posix()}.json"
    kind, more = zipfile.ZIP_DEFLATED, []
    if how == "extra":
        more = [("a/b/c.webp", b"RIFF")]
    elif how == "twice":
        more = [(place, parts[place])]
    elif how == "record too large":
        parts[place] = b" " * 9_000_000
    elif how == "deep":
        parts[place] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    elif how == "unknown packing":
        kind = zipfile.ZIP_LZMA
    elif how == "escape in a name":
        more = [("a/b/\x1b[2J.json", b"{}")]
    elif how == "picture of another size":
        Image.new("L", (3, 5)).save(tmp_path / "a.webp", lossless=True)
        parts[place.replace(".json", ".webp")] = (tmp_path / "a.webp").read_bytes()
        record_ = json.loads(parts[place])
        record_["pictures"]["sha256"] = hashlib.sha256(
            (tmp_path / "a.webp").read_bytes()
        ).hexdigest()
        parts[place] = json.dumps(record_).encode()
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "w", kind) as file:
        warnings.simplefilter("ignore")
        for name, data in [*parts.items(), *more]:
            file.writestr(zipfile.ZipInfo(name), data, kind)
    data = bytearray(archive.read_bytes())
    if how == "damaged stream":
        data[100:160] = bytes(60)
    elif how == "encrypted":
        at = data.find(b"PK\1\2")
        data[at + 8] |= 1
    elif how == "larger format":
        data[-22:-22] = b"PK\6\7" + bytes(16)
    elif how == "no zip":
        data = data[:-30]
    archive.write_bytes(data)
    assert main(["unpack", str(archive), "--store", str(tmp_path / "there")]) == 2
    said = capsys.readouterr().err
    assert words in said and archive.name in said and said.count("\n") == 1
    assert runs.WORK not in said and said[:-1].isprintable(), "no path of the working folder"
    assert runs.paths(tmp_path / "there") == []
    left = {file.suffix for file in (tmp_path / "there" / runs.WORK).iterdir()}
    assert left <= {".lock"}


def test_an_archive_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    archive, _ = boxed(tmp_path)
    before = archive.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(runs.RunError, match="cannot be written: No space left on device"):
        runs.pack([SPEC.path], tmp_path / "here", tmp_path / "box")
    assert archive.read_bytes() == before and not list(tmp_path.glob(".*.part"))


def test_an_archive_takes_no_others_place(tmp_path, capsys):
    """Of files that are none of ours, and of runs that have been carried here and not unpacked."""
    archive, _ = boxed(tmp_path)
    before = archive.read_bytes()
    pack = ["pack", "--to", str(tmp_path / "box"), "--store", str(tmp_path / "there")]
    perform(replace(SPEC, iterations=1), tmp_path / "there")
    assert main(pack) == 2
    assert "holds what this store does not: unpack it first" in capsys.readouterr().err
    assert archive.read_bytes() == before
    runs.unpack(archive, tmp_path / "there")
    assert main(pack) == 0 and archive.read_bytes() != before, "all of it is in the new one"
    archive.write_text("photographs")
    assert main(pack) == 2 and archive.read_text() == "photographs"


def test_paths_as_shells_complete_them(tmp_path, monkeypatch, capsys):
    """They lead into the store, or are refused; an archive holds none that leads elsewhere."""
    perform(SPEC, tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    store, around = Path("store"), SPEC.path.parent / ".." / Path(*SPEC.path.parts[1:])
    for number, path in enumerate((SPEC.path, store / SPEC.path, tmp_path / "store" / SPEC.path)):
        assert main(["pack", str(path), "--to", f"box{number}", "--store", "store"]) == 0
        assert main(["show", str(path), "--store", "store"]) == 0
        assert runs.unpack(Path(f"box{number}-1.zip"), Path(f"new{number}"))[0][0] == SPEC.path
        for ending in (".json", ".webp", ".frames.webp"):
            assert main(["show", f"{path}{ending}", "--store", "store"]) == 0
    runs.tidy(store, {SPEC.path: "frames"})
    capsys.readouterr()
    for command in ("pack", "show", "rerun"):
        where = tmp_path / "store"
        assert main([command, f"{where}/{SPEC.recipe}.json", "--store", str(where)]) == 2
        assert "No run is stored at" in capsys.readouterr().err, "a collection is whole"
    for path in (around, Path("..", SPEC.path), Path("/", SPEC.path)):
        for command in ("pack", "show", "rerun"):
            assert main([command, str(path), "--store", "store"]) == 2
            assert "is no path of a run in a store" in capsys.readouterr().err
    with pytest.raises(runs.RunError, match="no path of a run"):
        runs.pack([tmp_path / "store" / SPEC.path], store, tmp_path / "box")


@pytest.mark.parametrize("command", ["pack", "show", "rerun"])
def test_a_run_of_a_store_within_the_store_is_named_by_its_own_store(tmp_path, capsys, command):
    """The archive would hold what `unpack` refuses."""
    perform(SPEC, tmp_path / "lab" / "hers")
    arguments = ["--to", str(tmp_path / "box")] if command == "pack" else []
    path = Path("hers", SPEC.path).as_posix()
    assert main([command, path, "--store", str(tmp_path / "lab"), *arguments]) == 2
    assert "is no path of a run in a store" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize("store, path", [("/runs", "blog"), ("/srv/runs", "."), ("/", "blog/lena")])
def test_what_is_too_short_for_a_path_of_a_run_beside_a_root(store, path):
    with pytest.raises(runs.RunError, match="No run is stored at"):
        runs.read(Path(store, path))
    with pytest.raises(runs.RunError, match="No run is stored at"):
        runs.pack([Path(path)], Path(store), Path("box"))


def test_a_picture_whose_name_begins_with_a_dot_travels(tmp_path):
    Image.fromarray(np.full((32, 32), 99, np.uint8)).save(tmp_path / ".hidden.png")
    spec = replace(SPEC, image=str(tmp_path / ".hidden.png"))
    perform(spec, tmp_path / "here")
    (archive,) = runs.pack([spec.path], tmp_path / "here", tmp_path / "box")
    assert runs.unpack(archive, tmp_path / "there") == [(spec.path, "new")]


def test_a_part_of_the_store_on_another_disk(tmp_path, monkeypatch):
    """Behind a link, or mounted: nothing can be renamed from one disk to another."""
    whole = os.replace

    def replace_on_one_disk(source, target):
        parts = [
            Path(path).resolve().is_relative_to(tmp_path / "disk") for path in (source, target)
        ]
        if len({*parts}) > 1:
            raise OSError(18, "Invalid cross-device link")
        whole(source, target)

    store = tmp_path / "store"
    store.mkdir()
    (tmp_path / "disk").mkdir()
    (store / SPEC.path.parts[0]).symlink_to(tmp_path / "disk")
    monkeypatch.setattr(os, "replace", replace_on_one_disk)
    run = perform(SPEC, store)
    assert runs.check(runs.read(store / SPEC.path)).psnr == run.psnr
    assert runs.read(store / SPEC.path).pictures.keys() == {"raw", "averaged"}
    assert not list((store / runs.WORK).glob(f"*{placing.DECIDED}"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "100000"], "from 2 to 4,096"),
        (["--set", "depth=1e9"], "from 1 to 30"),
        (["--set", "depth=inf"], "from 1 to 30"),
        (["--set", "width=1e9"], "none above 65,536"),
        (["--set", "negative_slope=foo"], "negative_slope must be"),
        (["--device", "meta"], "There is no device 'meta'"),
        (["--iterations", "0"], "Iterations: from 1"),
        (["--seed", "-1"], "A seed is a number from 0"),
        (["--threads", "0"], "Threads: from 1"),
        (["--frames", "-1"], "Frames: from 0"),
        (["--every", "0"], "every 1 or more"),
        (
            [word for i in range(60) for word in ("--set", f"lr=0.0{i + 1}")],
            "longer path than files",
        ),
        (["--store", "a\0b"], "has a zero byte"),
    ],
    ids=lambda part: part[:20] if isinstance(part, str) else " ".join(part)[:20],
)
def test_absurd_values_are_refused_before_any_work(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr(dip_blocks.Fit, "step", lambda fit: pytest.fail("the fit began"))
    store = [] if "--store" in words else ["--store", str(tmp_path)]
    line = ["run", "camera", "--size", "16", "--set", "width=4", *words, *store]
    assert main(line) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_memory_is_estimated(monkeypatch):
    """About 4.2 kB a pixel were measured for the blog's network; a gigantic one is refused."""
    blog = dip_blocks.RECIPES["blog"]
    per_pixel = (sweeps.memory(blog, (512, 512)) - sweeps.memory(blog, (256, 256))) / (3 * 256**2)
    assert 3500 < per_pixel < 5000
    with pytest.raises(runs.RunError, match="would take about .* GB of memory"):
        sweeps.check_memory(dip_blocks.but(blog, z_channels=10_000), (65_536, 65_536))
    sweeps.check_memory(blog, (128, 128))


# The command line -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, ImportError, KeyError, TypeError])
def test_a_fault_of_ours_shows_its_traceback(monkeypatch, tmp_path, error):
    def faulty(store):
        """A table."""
        raise error("a slip")

    monkeypatch.setitem(TABLES, "standard", faulty)
    with pytest.raises(error, match="a slip"):
        main(["table", "standard", "--store", str(tmp_path)])


@pytest.mark.parametrize(
    "error", [runs.RunError, images.ImageError, dip_blocks.DivergenceError, PermissionError]
)
def test_what_is_raised_on_purpose_is_said(monkeypatch, tmp_path, capsys, error):
    def strict(store):
        """A table."""
        raise error("what is wrong, and what to do")

    monkeypatch.setitem(TABLES, "standard", strict)
    assert main(["table", "standard", "--store", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "what is wrong, and what to do\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "camera", "--set", "lr=-1"], "lr must be above 0"),
        (["run", "camera", "--set", "depth=deep"], "depth is a whole number"),
        (["run", "camera", "--set", "width=inf"], "width takes one number"),
        (["run", "camera", "--set", "width=64.5"], "width takes one number"),
        (["run", "camera", "--set", "depth=3.7"], "depth is a whole number"),
        (
            ["run", "--missing", "table", "--precision", "bf16", "--seed", "7"],
            "leave --seed, --pre",
        ),
        (["show", "/abc"], "is no path of a run in a store"),
        (["run", "camera", "--set", "skip_from=middle"], "skip_from must be one of"),
        (["restore", "nowhere.png"], "There is no picture"),
        (["bench", "--device", "abacus"], "There is no device 'abacus'"),
        (["bench", "--size", "128", "64"], "more than 64 pixels"),
        (["bench", "--size", "8", "--network", "second"], "more than 32 pixels"),
        (["bench", "--name", "..", "--size", "128"], "'..' is no name"),
        (["picture"], "run --missing front"),
        (["pack"], "no stored run to pack"),
        (["show", "blog"], "No run is stored"),
    ],
)
def test_bad_input_is_answered_in_a_sentence(tmp_path, capsys, arguments, message):
    store = [] if arguments[0] == "restore" else ["--store", str(tmp_path)]
    assert main([*arguments, *store]) == 2
    assert message in capsys.readouterr().err


def test_a_store_inside_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    store = tmp_path / "file" / "runs" / "mine"
    assert main(["run", "camera", "--store", str(store)]) == 2
    assert capsys.readouterr().err.startswith(f"'{tmp_path / 'file'}' is no folder")


def test_a_seed_is_added_to_a_seed():
    from dip_book import cli

    line = ["run", "camera", "--recipe", "quick", "--seed", "1", "2", "--seed", "3"]
    assert cli.parser().parse_args(line).seed == [1, 2, 3]


def test_a_picture_smaller_than_the_network_is_restored(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = np.full((9, 9), 0.5)
    picture[4, 4] = 0
    images.save_png("small.png", picture)
    assert main(["restore", "small.png", "--device", "cpu", "--iterations", "1"]) == 0
    assert Image.open("small-restored.png").size == (9, 9)
    assert "1 of them (1.2%) are missing" in capsys.readouterr().out


def test_nothing_is_said_of_a_store_in_order(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error", runs.DamagedRun)
        assert runs.find() and ablation.switches().rows
