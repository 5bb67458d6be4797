"""Recipes of several networks.

Members that stand alone, their mean as a run, and what cannot be a mean.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import small_config
from dip_book import runs
from dip_book.cli import main
from dip_book.runs import means, sweeps

import dip_blocks

SMOOTH = dip_blocks.Recipe(config=small_config(), z_channels=4, iterations=12, lr=0.003)
SHARP = replace(
    SMOOTH,
    config={**small_config(), "upsampling_method": "nearest"},
    optimiser="muon",
    lr=0.02,
    iterations=15,
)
SPEC = runs.Spec("brick", 32, "both")


@pytest.fixture(autouse=True)
def two_networks(monkeypatch, tmp_path):
    monkeypatch.setitem(dip_blocks.RECIPES, "smooth", SMOOTH)
    monkeypatch.setitem(dip_blocks.RECIPES, "sharp", SHARP)
    monkeypatch.setitem(dip_blocks.MEANS, "both", ("smooth", "sharp"))
    monkeypatch.chdir(tmp_path)


def perform(spec, store, **options):
    return sweeps.perform(spec, store, device="cpu", progress=False, **options)


def test_a_mean_is_a_run_and_so_are_its_members(tmp_path):
    run = perform(SPEC, tmp_path)
    assert run.place == tmp_path / "both" / "brick-32" / "seed0-27it"
    members = [runs.read(tmp_path / path) for path in run.facts["members"]]
    assert [member.facts["recipe"]["name"] for member in members] == ["smooth", "sharp"]
    assert [member.facts["iterations"] for member in members] == [12, 15] and run.complete
    for kind in ("raw", "averaged"):
        mean = np.mean([getattr(member, kind) for member in members], axis=0)
        assert np.abs(getattr(run, kind) - mean).max() <= 0.5 / 255 + 1e-6
    truth = run.truth()
    expected = -10 * np.log10(
        np.mean((np.mean([m.averaged for m in members], axis=0) - truth) ** 2)
    )
    assert run.facts["psnr_db"]["averaged"] == pytest.approx(expected, abs=1e-3)
    for cost in ("wall_time_s", "core_seconds"):
        assert run.facts[cost] == pytest.approx(
            sum(member.facts[cost] for member in members), abs=0.02
        )
    assert run.history == [] and perform(SPEC, tmp_path).place == run.place


def test_members_that_are_stored_are_not_made_again(tmp_path, monkeypatch):
    perform(SPEC.members[0], tmp_path)
    fitted, restore = [], dip_blocks.restore
    monkeypatch.setattr(
        dip_blocks, "restore", lambda *a, **k: (fitted.append(a[2]), restore(*a, **k))[1]
    )
    perform(SPEC, tmp_path)
    assert fitted == [SHARP]


def test_members_whose_pictures_were_dropped_are_made_again_for_their_mean(tmp_path):
    perform(SPEC.members[0], tmp_path)
    runs.tidy(tmp_path, {SPEC.members[0].path: "record"})
    assert not perform(SPEC.members[0], tmp_path).kinds, "for its own sake it is not"
    assert perform(SPEC, tmp_path).kinds == ["raw", "averaged"]


@pytest.mark.parametrize("other", ["device", "threads", "torch"])
def test_figures_of_another_machine_are_not_replaced_for_the_sake_of_a_mean(tmp_path, other):
    member = SPEC.members[0]
    perform(member, tmp_path)
    runs.tidy(tmp_path, {member.path: "record"})
    collection = tmp_path / f"{member.path.parts[0]}.json"
    records = json.loads(collection.read_text())
    facts = records["/".join(member.path.parts[1:])]
    values = {"device": "cuda (NVIDIA H100)", "threads": 64, "torch": "1.0"}
    (facts["versions"] if other == "torch" else facts)[other] = values[other]
    collection.write_text(json.dumps(records))
    before = runs.read(tmp_path / member.path).facts
    with pytest.raises(runs.RunError, match=f"only figures are stored.*{other}: .* then, .* now"):
        perform(SPEC, tmp_path)
    assert runs.read(tmp_path / member.path).facts == before
    assert perform(member, tmp_path, again=True).kinds == ["raw", "averaged"]
    assert perform(SPEC, tmp_path).kinds == ["raw", "averaged"]


def test_a_mean_of_what_does_not_belong_together_is_refused(tmp_path):
    brick, grass, other = (
        perform(spec, tmp_path)
        for spec in (
            SPEC.members[0],
            replace(SPEC.members[0], image="grass"),
            replace(SPEC.members[1], seed=1),
        )
    )
    with pytest.raises(runs.RunError, match="of different pictures means nothing: .*brick.*grass"):
        means.mean_of([brick, grass])
    with pytest.raises(runs.RunError, match="of different masks means nothing"):
        means.mean_of([brick, other])
    with pytest.raises(runs.RunError, match="two runs or more"):
        means.mean_of([brick])


def test_a_mean_has_no_recipe_of_its_own():
    with pytest.raises(
        runs.RunError, match="'both' is the mean of several networks: smooth, sharp"
    ):
        SPEC.resolved()
    changed = replace(SPEC, changes=(("lr", 0.01),), iterations=5)
    assert [member.resolved().lr for member in changed.members] == [0.01, 0.01]
    assert changed.path.parts[0] == "both+lr=0.01" and changed.path.name == "seed0-10it"


def test_a_mean_on_the_command_line(tmp_path, capsys):
    arguments = ["run", "brick", "--recipe", "both", "--size", "32", "--store", str(tmp_path)]
    assert main([*arguments, "--set", "tv=-1"]) == 2
    assert "tv must be" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "both/brick-32/seed0-27it: done" in capsys.readouterr().out
    assert main(["show", "both/brick-32/seed0-27it", "--store", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "27 of 27 iterations" in said and "averaged output, known pixels pasted back" in said
    assert main(["pack", "--store", str(tmp_path), "--to", str(tmp_path / "box")]) == 0
    shutil.rmtree(tmp_path / "both")
    assert main(["unpack", str(tmp_path / "box-1.zip"), "--store", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "both" / "brick-32" / "seed0-27it.json").read_text())["members"]
