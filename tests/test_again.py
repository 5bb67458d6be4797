"""Stored runs made again from their records alone, and compared with what was stored."""

import io
import json
import os
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from attacks.surroundings import Full
from conftest import small_config
from dip_book import images, runs
from dip_book.cli import main
from dip_book.runs import again, means, provenance, sweeps

import dip_blocks

TINY = dip_blocks.Recipe(config=small_config(), z_channels=4, iterations=12, lr=0.02, jump=1.3)
SPEC = runs.Spec("camera", 32, "tiny")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(dip_blocks.RECIPES, "tiny", TINY)
    monkeypatch.setitem(dip_blocks.RECIPES, "other", dip_blocks.but(TINY, sigma_p=0.05))
    monkeypatch.setitem(dip_blocks.MEANS, "pair", ("tiny", "other"))


def perform(spec, store, **options):
    return sweeps.perform(spec, store, device="cpu", progress=False, every=1, **options)


def forget(monkeypatch):
    """What recipes of these names are today: nothing."""
    for name in ("tiny", "other"):
        monkeypatch.delitem(dip_blocks.RECIPES, name)
    monkeypatch.delitem(dip_blocks.MEANS, "pair")


def rerun(store, spec, *more):
    return main(["rerun", spec.path.as_posix(), "--store", str(store), "--device", "cpu", *more])


SPECS = {
    "mask": SPEC,
    "mean": replace(SPEC, recipe="pair"),
    "noise": replace(SPEC, task="noise25"),
    "shrink": replace(SPEC, task="shrink2"),
    "text": replace(SPEC, task="text10", size=48),
    "colour": replace(SPEC, image="chelsea-rgb"),
    "set": replace(
        SPEC, changes=(("lr", 0.01), ("width", "4-6"), ("upsampling_method", "nearest"))
    ),
    "Muon": replace(SPEC, changes=(("optimiser", "muon"), ("dropout", 0.1))),
    "seeds": replace(SPEC, seed=3, mask_seed=5, p=0.3, iterations=7),
    "bf16": replace(SPEC, precision="bf16"),
}


@pytest.mark.parametrize("kind", SPECS)
def test_a_run_is_made_again_from_its_record_alone(kind, tmp_path, monkeypatch, capsys):
    spec = SPECS[kind]
    run, path = perform(spec, tmp_path), spec.path
    assert run.facts["psnr_db"]["raw"] > 0
    forget(monkeypatch)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    words = ["rerun", path.as_posix(), "--store", str(tmp_path), "--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "The same." in said and f"{run.psnr:.2f} dB stored, {run.psnr:.2f} dB now" in said
    after = {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    assert before == after, "what is stored stays as it is"


def test_of_all_files_of_a_run_it_is_made_again_once(tmp_path, monkeypatch, capsys):
    """As a shell completes `my-runs/*/*/*`: each run has three, and may take hours."""
    specs = [SPEC, replace(SPEC, seed=1)]
    for spec in specs:
        perform(spec, tmp_path)
    monkeypatch.chdir(tmp_path)
    files = [str(file) for file in sorted(Path().glob("*/*/*"))]
    assert len(files) == 6
    assert main(["rerun", *files, "--store", ".", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert said.count("The same.") == 2 and all(f"{spec.path}." in said for spec in specs)
    assert main(["rerun", *files[:3], "--store", ".", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("The same.") == 1


def test_what_differs_is_said(tmp_path, monkeypatch, capsys):
    perform(SPEC, tmp_path)
    path = SPEC.path
    forget(monkeypatch)
    record = Path(f"{tmp_path / path}.json")
    facts = json.loads(record.read_text())
    facts["recipe"]["lr"] = 0.021
    facts["machine"]["capability"] = "AVX17"
    facts["versions"]["torch"] = "1.0"
    record.write_text(json.dumps(facts))
    words = ["rerun", path.as_posix(), "--store", str(tmp_path), "--device", "cpu"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "Not the same." in said and "differ from iteration 2 on" in said
    assert f"Another capability: AVX17 then, {torch.backends.cpu.get_cpu_capability()} now" in said
    assert f"Another torch: 1.0 then, {version('torch')} now" in said
    assert main([*words, "--within", "50"]) == 0, "as near as was asked for"
    assert "Not the same." in capsys.readouterr().out


def test_a_run_that_was_resumed_is_made_again_in_one_go(tmp_path, monkeypatch, capsys):
    kept = sweeps.Checkpoint.__call__

    def stopped(self, fit):
        kept(self, fit)
        if fit.iteration == 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweeps.Checkpoint, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            perform(SPEC, tmp_path, checkpoint_s=0.0)
    assert sweeps.progress_of(SPEC, tmp_path) == "  (checkpoint at iteration 8)"
    perform(SPEC, tmp_path)
    assert rerun(tmp_path, SPEC) == 0
    assert "The same." in capsys.readouterr().out


def test_ones_own_picture_is_found_by_its_digest(tmp_path, capsys):
    (tmp_path / "photos" / "of" / "mine").mkdir(parents=True)
    mine = tmp_path / "photos" / "of" / "mine" / "wall.png"
    images.save_png(mine, images.load("brick", size=24))
    spec = replace(SPEC, image=str(mine), size=None, iterations=5)
    perform(spec, tmp_path / "store")
    store = tmp_path / "store"
    assert rerun(store, spec) == 2
    assert "a file of yours" in capsys.readouterr().err
    other = tmp_path / "photos" / "wall.png"  # of the same name
    images.save_png(other, images.load("grass", size=24))
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    assert rerun(store, spec, "--picture", str(other)) == 2
    said = capsys.readouterr().err
    digests = [images.digest(images.load(name, size=24))[:16] for name in ("grass", "brick")]
    assert "is another picture" in said and all(digest in said for digest in digests)
    assert rerun(store, spec, "--picture", str(mine)) == 0
    path = mine.rename(mine.with_name("renamed.png"))
    spec_path = ["rerun", next(iter(runs.paths(store))).as_posix(), "--store", str(store)]
    assert main([*spec_path, "--device", "cpu", "--picture", str(tmp_path / "photos")]) == 0
    path.unlink()
    assert main([*spec_path, "--picture", str(tmp_path / "photos")]) == 2
    said = capsys.readouterr().err
    assert "None of the 2 files" in said and digests[1] in said


def test_several_runs_and_times_are_written_down(tmp_path, monkeypatch, capsys):
    specs = [SPEC, replace(SPEC, seed=1)]
    for spec in specs:
        perform(spec, tmp_path)
    names = [spec.path.as_posix() for spec in specs]
    forget(monkeypatch)
    words = ["rerun", *names, "--store", str(tmp_path), "--device", "cpu", "--write"]
    assert main([*words, "--times", "2"]) == 0
    said = capsys.readouterr().out
    assert said.count("Made 2 times: equal to the last bit.") == said.count("The same.") == 2
    stored = json.loads((tmp_path / "reruns.json").read_text())
    assert [*stored] == sorted(names) and stored[names[0]]["same"]
    one = stored[names[0]]
    assert one["stored_db"] == one["again_db"] and one["apart_db"] == one["times_spread_db"] == 0
    assert one["stored_with"] == one["again_with"] and one["again_with"]["capability"]
    assert one["times"] == 2 and one["times_equal"] and one["seconds"] > 0
    assert [run.name for run in runs.find(tmp_path)], "the file is taken for no collection"
    assert main([*words[:2], *words[3:]]) == 0
    assert json.loads((tmp_path / "reruns.json").read_text()).keys() == stored.keys()
    (tmp_path / "reruns.json").write_text("{")
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr()
    assert "reruns.json' is damaged" in said.err and "stored" not in said.out, "before the work"
    assert main([*words, "--times", "0"]) == 2


def test_a_spread_is_told(tmp_path):
    perform(SPEC, tmp_path)
    one = again.made_again(runs.read(tmp_path / SPEC.path), device="cpu", progress=False)
    assert one.same and one.apart == 0 and one.differences == []
    moved = {kind: of + np.float32(1e-7) for kind, of in one.drawn.items()}
    other = replace(one, drawn=moved, now={kind: db + 0.25 for kind, db in one.now.items()})
    assert again.spread([one, one]) == (True, 0.0)
    assert again.spread([one, other]) == (False, pytest.approx(0.25))
    assert not other.same and other.apart == pytest.approx(0.25)


def test_threads_are_the_record_s_and_afterwards_as_before(tmp_path, monkeypatch):
    perform(SPEC, tmp_path)
    run = runs.read(tmp_path / SPEC.path)
    run.facts["threads"] = 2

    def restore(*arguments, **options):
        raise ValueError(f"on {torch.get_num_threads()} threads")

    monkeypatch.setattr(dip_blocks, "restore", restore)
    before = torch.get_num_threads()
    with pytest.raises(runs.RunError, match="on 2 threads"):
        again.made_again(run, device="cpu", progress=False)
    assert torch.get_num_threads() == before


def test_a_mean_tells_how_its_members_were_made(tmp_path, monkeypatch):
    mean, here = SPECS["mean"], provenance.provenance()
    elsewhere = {"threads": 7, "machine": {"system": "Linux x86_64"}, "versions": {"torch": "1.0"}}
    monkeypatch.setattr(sweeps, "provenance", lambda: here | elsewhere)
    members = [perform(member, tmp_path) for member in mean.members]
    facts = perform(mean, tmp_path).facts
    assert {key: facts[key] for key in elsewhere} == elsewhere, "that decides its bits"
    monkeypatch.setattr(sweeps, "provenance", lambda: here)
    perform(mean.members[0], tmp_path, again=True)
    members[0] = runs.read(tmp_path / mean.members[0].path)
    facts = means.combine(mean, members).facts
    assert {key: facts[key] for key in elsewhere} == {key: here[key] for key in elsewhere}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": {"name": "tiny", "changes": {}}}, "has no whole recipe"),
        ({"recipe": {"name": "tiny", "members": [{"lr": 1}]}}, "has no whole recipe"),
        ({"precision": "fp32 and bf16"}, "make each again"),
        ({"precision": "fp7"}, "precision must be one of"),
    ],
)
def test_a_record_that_says_too_little_is_refused_in_words(tmp_path, change, words):
    perform(SPEC, tmp_path)
    run = runs.read(tmp_path / SPEC.path)
    run.facts.update(change)
    with pytest.raises(runs.RunError, match=words):
        again.made_again(run, device="cpu", progress=False)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (["threads"], 0, "its threads are 0"),
        (["threads"], 2**40, "its threads are 1099511627776"),
        (["recipe", "members"], [], "its members are"),
        (["image", "shape"], [32, 40], "its picture has the shape [32, 32], and not [32, 40]"),
        (["image", "shape"], [32, 32, 3], "its picture has the shape [32, 32], and not"),
        (["seeds", "mask"], -5, "its seed of mask is -5"),
        (["p"], 1e-300, "marks no pixel as known"),
        (["task"], "shrink3", "cannot be shrunk 3 times"),
    ],
)
def test_an_edited_record_is_refused_in_a_sentence(tmp_path, capsys, place, value, words):
    perform(SPEC, tmp_path)
    file = Path(f"{tmp_path / SPEC.path}.json")
    facts = json.loads(file.read_text())
    inner = facts
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    file.write_text(json.dumps(facts))
    assert rerun(tmp_path, SPEC) == 2
    assert words in capsys.readouterr().err


def test_a_pipe_holds_no_results_of_reruns(tmp_path):
    os.mkfifo(tmp_path / again.FILE)
    with pytest.raises(runs.RunError, match="it is no file"):
        again.check(tmp_path)


def test_what_is_no_run_and_no_number_of_threads_is_said(tmp_path):
    with pytest.raises(runs.RunError, match="as runs.read or runs.find give it, not 'blog/"):
        again.made_again(Path("blog/camera-128/seed0-300it"))
    run = runs.find(task="pixels")[0]
    for threads in (0, "two", 10**6):
        with pytest.raises(runs.RunError, match="Threads: from 1 to 1,024, not"):
            again.made_again(run, threads=threads)


def test_what_was_made_again_outlives_a_terminal_that_is_closed(tmp_path, monkeypatch):
    perform(SPEC, tmp_path)
    closed = io.TextIOWrapper(io.BufferedWriter(Full()), "utf-8", line_buffering=True)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", closed)
        rerun(tmp_path, SPEC, "--write")
    assert SPEC.path.as_posix() in (tmp_path / "reruns.json").read_text()
