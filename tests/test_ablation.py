"""What the ablation's tables say of stored runs: paired, complete, silent about what is missing."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import store_run
from dip_book import images, runs
from dip_book.results import ablation, compared, optimiser, tables
from dip_book.results.selection import USED, seeds_of
from dip_book.runs import plan
from dip_book.show import figures

import dip_blocks


def store(folder, spec: runs.Spec, psnr: float, averaged=None, **more):
    """A stored run with a given PSNR, and what it drew."""
    pictures = {} if averaged is None else {"raw": np.zeros_like(averaged), "averaged": averaged}
    return store_run(folder, spec, psnr, pictures, **more)


def row(table, label):
    """The cells of a row, as numbers."""
    (found,) = (row for row in table.rows if row[0].strip("*") == label)
    return found[1:]


def shown(table, label):
    """The cells of a row, as text."""
    (found,) = (row for row in table.shown() if row[0].strip("*") == label)
    return found[1:]


def test_the_ways_ends_are_the_two_readings_and_every_step_is_one_switch():
    assert set(plan.SWITCHES) == set(dip_blocks.SECOND_READING)
    for image in plan.DEVELOPMENT:
        named = plan.ablation(image, 1)
        configs = {
            name: {**dip_blocks.BLOGS_CHOICES, **spec.resolved().config}
            for name, spec in named.items()
        }
        before = configs["blog"]
        for key in plan.SWITCHES:
            after = configs[f"to {key}"]
            assert [k for k in after if after[k] != before[k]] == [key]
            assert [k for k in after if configs[f"+ {key}"][k] != configs["blog"][k]] == [key]
            assert [k for k in after if configs[f"- {key}"][k] != configs["paper"][k]] == [key]
            before = after
        assert before == configs["paper"] and {spec.seeds["mask"] for spec in named.values()} == {1}


def test_choices_are_made_on_pictures_that_are_not_in_the_table():
    groups = ("ablation", "ideas", "repeated")
    assert not {spec.image for group in groups for spec in plan.WANTED[group]} & set(
        images.STANDARD
    )


def test_every_idea_changes_something():
    base = plan.ablation("camera", 0)["paper"].resolved()
    resolved = [plan.idea(words, "camera").resolved() for words in plan.IDEAS]
    assert all(recipe != base for recipe in resolved)
    assert len({str(recipe) for recipe in resolved}) == len(resolved)


def test_differences_are_paired(tmp_path):
    for seed, (blog, switched) in enumerate(((20.0, 21.0), (30.0, 31.5))):
        store(tmp_path, plan.ablation("camera", seed)["blog"], blog)
        store(tmp_path, plan.ablation("camera", seed)["+ skip_from"], switched)
    store(
        tmp_path, plan.ablation("astronaut", 0)["+ skip_from"], 99.0
    )  # nothing to be compared with
    table = ablation.switches(tmp_path)
    assert shown(table, "+ skips leave above dᵢ") == [
        "26.25 ± 7.42",
        "99.00",
        "+1.25 ± 0.35",
        "2",
        "3.0",
    ]
    assert row(table, "the second reading")[:2] == [None, None] and row(
        table, "− reflection for zeros"
    )[2:] == [None, 0, None]
    assert "| – |" in table.to("markdown")


def test_the_way_and_its_picture(tmp_path):
    named = plan.ablation("camera", 0)
    keys = list(plan.SWITCHES)
    for psnr, name in zip((20.0, 24.0, 23.5), ("blog", f"to {keys[0]}", f"to {keys[1]}")):
        store(tmp_path, named[name], psnr, np.zeros((8, 8), np.float32))
    way = ablation.way(tmp_path)
    assert [differences for _, differences in way] == [[4.0], [-0.5], [], [], []]
    figure = figures.waterfall(20.0, way, "one", "other")
    words = {text.get_text() for text in figure.axes[0].texts}
    assert words == {"+4.00", "−0.50"}, "steps that were not run are left out"
    assert list(ablation.steps_drawn("camera", tmp_path)) == [
        "the blog's reading",
        *(f"+ {ablation.SWITCHES[key]}" for key in keys[:2]),
        "truth",
    ]


def test_ideas(tmp_path):
    store(tmp_path, plan.ablation("camera", 0)["paper"], 25.0)
    store(tmp_path, plan.idea("no skips", "camera"), 24.0)
    table = ablation.ideas(tmp_path)
    assert (
        shown(table, "no skips") == ["−1.00", "−1.00", "–", "–"]
        and row(table, "width 32") == [None] * 4
    )


def test_the_mean_of_several_runs(tmp_path):
    x = images.load("camera", size=128)
    errors = np.random.default_rng(0).normal(0, 0.05, (2, *x.shape)).astype(np.float32)
    for spec, error in zip(plan.repeated("camera"), errors):
        store(tmp_path, spec, 20.0, np.clip(x + error, 0, 1))
    one, two, three, four = row(ablation.repeated(tmp_path), "Camera")
    assert (
        two - one == pytest.approx(3, abs=0.4) and three is four is None
    )  # independent errors: half the square
    mask = dip_blocks.bernoulli_mask(128, 128)
    pasted = dip_blocks.paste(
        torch.from_numpy(np.clip(x + errors[0], 0, 1))[None], torch.from_numpy(x)[None], mask
    )
    assert one == pytest.approx(dip_blocks.psnr(pasted, torch.from_numpy(x)[None]), abs=0.05)


def test_runs_of_other_precision_are_no_further_seeds(tmp_path):
    spec = runs.Spec("house", None, iterations=500)
    for chosen in (spec, replace(spec, seed=1, precision="bf16"), replace(spec, seed=2, p=0.3)):
        store(tmp_path, chosen, 30.0)
    assert [run.facts["seeds"]["mask"] for run in seeds_of("blog", "house", None, tmp_path)] == [0]


def test_runs_to_look_at_carry_their_words(tmp_path):
    store(tmp_path, plan.ablation("camera", 0)["blog"], 20.0)
    store(tmp_path, plan.ablation("camera", 0)["- connect"], 21.0)
    store(tmp_path, plan.ablation("camera", 1)["paper"], 22.0)  # another seed
    assert [run.facts["label"] for run in ablation.labelled(("camera",), store=tmp_path)] == [
        "the blog's reading",
        "− no connecting block",
    ]


def test_how_soon_best_is_where_paper_ends(tmp_path):
    assert row(ablation.reached(tmp_path), "Camera") == [None] * 4
    for spec in plan.WANTED["cost"]:
        if spec.image == "camera":
            store(
                tmp_path,
                spec,
                25.0,
                history=[
                    dip_blocks.Step(i, 0.1, 0.001, False, 20.0, 24.0 + i / 500)
                    for i in range(0, 1000, 10)
                ],
            )
    assert shown(ablation.reached(tmp_path), "Camera") == ["1,000", "25.00", "500", "0.50"]


def with_best(tmp_path, name, psnr, seed=0):
    """The mean's run and its members', without having been run."""
    spec = runs.Spec(name, None, "best", seed=seed)
    for one in (spec, *spec.members):
        store(
            tmp_path,
            one,
            psnr,
            psnr_db={USED: psnr + (1 if one is spec else 0)},
            core_seconds=100.0,
        )


def test_the_final_table_has_a_row_for_each_image_that_was_run(tmp_path):
    assert compared.final("best", tmp_path).rows == [], "no run, no row"
    for seed, psnr in enumerate((38.0, 39.0)):
        with_best(tmp_path, "house", psnr, seed)
    with_best(tmp_path, "barbara", 33.0)
    table = compared.final("best", tmp_path)
    assert [line[0] for line in table.rows] == ["Barbara", "House", "**mean of 2**"]
    house = dict(zip(table.header[1:], shown(table, "House")))
    assert (
        house["`best`: averaged, blended"] == "39.00"
        and house["`best` − paper"] == "−0.16"
        and house["`best` − biharmonic"] == "+3.50"
    ), "no seed that others lack"
    assert (
        dict(zip(table.header[1:], row(table, "Barbara")))["Self2Self: averaged, reported"] == 36.32
    )
    for name in images.STANDARD:
        with_best(tmp_path, name, 33.0)
        with_best(tmp_path, name, 34.0, seed=1)
    table = compared.final("best", tmp_path)
    last, seen = (dict(zip(table.header, rows[-1])) for rows in (table.rows, table.shown()))
    assert last["image"] == "**mean**" and last["Self2Self: averaged, reported"] == 35.14
    assert (
        last["`best`: averaged, blended"] == pytest.approx(34.5)
        and seen["`best` − paper"] == "+1.02"
    ), "of several seeds their mean"
    assert float(last["`best` − paper"]) == pytest.approx(34.5 - 33.4836, abs=1e-4), (
        "and unrounded, to compute with"
    )


def test_runs_of_a_recipe_that_was_changed_and_kept_its_name_are_in_no_table(tmp_path, monkeypatch):
    """Old figures do not stand under the new recipe's name, nor are they averaged with new ones."""
    for seed in (0, 1):
        with_best(tmp_path, "house", 38.0, seed)
    changed = dip_blocks.but(dip_blocks.RECIPES["best-hidden"], lr=0.02)
    monkeypatch.setattr("dip_book.runs.spec._RECIPES", {})  # as in another session, with other code
    monkeypatch.setitem(dip_blocks.RECIPES, "best-hidden", changed)
    told = "best/house/seed[01]-800it is of something else: best-hidden: lr is 0.04 in it and 0.02"
    with pytest.warns(runs.DamagedRun, match=told):
        assert compared.final("best", tmp_path).rows == []
    with pytest.warns(runs.DamagedRun):
        assert tables.members(tmp_path).rows == []
    with_best(tmp_path, "house", 30.0)
    with pytest.warns(runs.DamagedRun):
        assert shown(compared.final("best", tmp_path), "House")[3] == "31.00"


def test_two_recipes_stand_beside_each_other_with_one_mask(tmp_path):
    """Not a mean over three masks beside a figure of one."""
    for name, psnr, seconds in (("house", 38.0, 90.0), ("barbara", 33.0, 360.0)):
        for recipe, more in (("best", 0.0), ("best-wide", 0.5)):
            spec, quality = runs.Spec(name, None, recipe), {USED: psnr + more}
            store(tmp_path, spec, 20.0, psnr_db=quality, core_seconds=seconds * (1 + 2 * more))
    with_best(tmp_path, "house", 50.0, seed=1)
    with_best(tmp_path, "peppers", 33.0)
    table = compared.beside(store=tmp_path)
    assert [line[0] for line in table.rows] == ["Barbara", "House", "**mean of 2**"]
    assert shown(table, "House") == ["38.00", "38.50", "+0.50", "−0.66", "90", "180"]
    assert shown(table, "mean of 2") == ["35.50", "36.00", "+0.50", "+0.31", "225", "450"]


def test_what_is_not_as_long_as_its_recipe_asks_for_says_so(tmp_path):
    """A trial of few iterations, or one run made longer, among the whole ones."""
    for recipe in ("best", "best-wide"):
        for name, iterations in (("house", None), ("peppers", 3), ("montage", 1000)):
            spec = runs.Spec(name, None, recipe, iterations=iterations)
            paths = [member.path.as_posix() for member in spec.members]
            store(tmp_path, spec, 20.0, psnr_db={USED: 38.0}, core_seconds=90.0, members=paths)
            for member in spec.members:
                store(tmp_path, member, 20.0, psnr_db={USED: 37.0})
    final, beside = compared.final("best", tmp_path), compared.beside(store=tmp_path)
    assert shown(final, "House")[3:] == ["38.00", "−1.16", "+2.50"]
    assert shown(final, "Peppers")[3:] == ["38.00 (6\xa0it.)", "–", "–"]
    assert shown(final, "Montage")[3:] == ["38.00 (2,000\xa0it.)", "–", "–"]
    assert shown(final, "mean of 3")[3:] == ["–", "–", "–"]
    ends = ["38.00 (6\xa0it.)", "38.00 (6\xa0it.)", "–", "–", "90 (6\xa0it.)", "90 (6\xa0it.)"]
    assert shown(beside, "Peppers") == ends and shown(beside, "mean of 3") == ["–"] * 6
    costs = tables.seconds("best", tmp_path)
    assert shown(costs, "Montage") == ["90 (2,000\xa0it.)"] and shown(costs, "all 3") == ["–"]
    members = tables.members(tmp_path)
    assert shown(members, "Montage")[0] == "37.00 (1,000\xa0it.)"
    assert shown(members, "mean, sum") == ["–"] * 5


def test_a_mean_stands_beside_the_members_that_it_is_of(tmp_path):
    spec = runs.Spec("house", None, "best")
    for member in spec.members:
        store(tmp_path, member, 20.0, psnr_db={USED: 38.0})
    paths = [member.path.as_posix() for member in spec.members]
    store(tmp_path, spec, 20.0, psnr_db={USED: 39.0}, core_seconds=90.0, members=paths)
    store(tmp_path, replace(spec.members[0], iterations=900), 20.0, psnr_db={USED: 50.0})
    assert shown(tables.members(tmp_path), "House") == ["38.00", "38.00", "39.00", "+1.00", "90"]
    runs.find(tmp_path, recipe="best-hidden-shallow")[0].place.with_suffix(".json").unlink()
    assert tables.members(tmp_path).rows == [], "of which one is stored no more"


def test_members_and_what_their_mean_adds(tmp_path):
    with_best(tmp_path, "house", 38.0)
    assert shown(tables.members(tmp_path), "House") == ["38.00", "38.00", "39.00", "+1.00", "100"]
    assert shown(tables.seconds("best", tmp_path), "House") == ["100"]
    store(
        tmp_path, runs.Spec("house", None, "best"), 38.0, psnr_db={USED: 39.0}, core_seconds=None
    )  # as a GPU's
    assert (
        row(tables.members(tmp_path), "House")[-1] is None
        and tables.seconds("best", tmp_path).rows == []
    )


def test_at_rest_under_the_ceiling(tmp_path):
    ends = {"raw": 32.0, "raw_pasted": 34.0, "averaged": 33.0}
    store(tmp_path, runs.Spec("house", None, "blog", plan.MUON, 800), 32.0, psnr_db=ends)
    store(tmp_path, runs.Spec("house", None, iterations=2000), 30.0)  # not its end
    store(tmp_path, runs.Spec("boat", None), 29.0, psnr_db=ends | {"raw": 29.0})
    table = tables.at_rest(tmp_path)
    house, boat = (dict(zip(table.header[1:], row(table, name))) for name in ("House", "Boat"))
    assert (house["Muon"], house["rerun"], boat["Muon"], boat["rerun"]) == (32.0, None, None, 29.0)
    assert house["Muon"] < house["ceiling"] < house["known pixels: ceiling"] + 1
    assert house["known pixels: Muon"] == tables.on_known(tables.rested(tmp_path)["house"])
    assert boat["known pixels: rerun"] == tables.on_known(tables.whole("blog", tmp_path)["boat"])
    assert table.rows[-1][0] == "**mean of 2**"


def test_quality_against_time():
    figure = figures.cost({"a": ([1, 10], [20.0, 25.0])}, {"b": (0.1, 24.0)})
    (axis,) = figure.axes
    assert axis.get_xscale() == "log" and [
        text.get_text() for text in axis.get_legend().get_texts()
    ] == ["a", "b"]


def test_pairs_of_two_precisions_are_told_apart(tmp_path):
    for seed, precision in enumerate(("fp32", "bf16")):
        store(tmp_path, plan.ablation("camera", seed)["blog"], 20.0, precision="fp32")
        store(
            tmp_path, plan.ablation("camera", seed)["+ connect"], 21.0 + seed, precision=precision
        )
    assert shown(ablation.one_precision(tmp_path), "+ no connecting block") == [
        "+1.50 ± 0.71",
        "2",
        "+1.00",
        "1",
    ]
    assert ablation.precisions(plan.WANTED["ablation"], tmp_path) == "3 in fp32, 1 in bf16"


def test_distances_are_differences_to_what_others_reached(tmp_path):
    stored = store(tmp_path, runs.Spec("house", None, "best-adam", iterations=1000), 33.0)
    table, facts = tables.distances("best-adam", tmp_path), stored.facts["psnr_db"]
    assert [line[0] for line in table.rows] == ["House", "**mean**"]
    assert float(table.rows[0][2]) == pytest.approx(facts["raw"] - 32.64)
    assert (
        table.shown()[0][3]
        == f"{facts['raw'] - 39.16:+.2f}".replace("-", "−")
        == table.shown()[1][3]
    )
    assert tables.distances("quick", tmp_path).rows == [], "no run, no row, and no mean of nothing"


# Under Muon -------------------------------------------------------------------------------


def under_muon(tmp_path, words, psnrs, **more):
    for image, psnr in zip(plan.TUNING, psnrs):
        store(tmp_path, plan.under_muon(words, image), psnr, **more)


def test_only_ideas_that_were_tried_on_all_pictures_have_a_row(tmp_path):
    assert optimiser.ideas(optimiser.under_muon(store=tmp_path)).rows == []
    under_muon(tmp_path, "Muon", (28.0, 26.0, 32.0, 23.0))
    under_muon(tmp_path, "dropout 0.05", (29.0, 25.5, 36.0, 23.5))
    under_muon(tmp_path, "dropout 0.2", (29.0, 25.5))
    table = optimiser.ideas(optimiser.under_muon(store=tmp_path))
    assert [line[0] for line in table.rows] == ["**Muon**, PSNR", "dropout 0.05"]
    assert shown(table, "dropout 0.05") == ["+1.00", "−0.50", "+4.00", "+0.50", "+1.25", "–"]


def test_pairs_are_means_of_what_was_drawn(tmp_path):
    """Two that err alike gain nothing; two that err in opposite directions gain all."""
    for words, sign in (("Muon", 1), ("dropout 0.05", 1), ("dropout 0.1", -1)):
        for image in plan.TUNING:
            x = images.load(image, size=128)
            store(
                tmp_path,
                plan.under_muon(words, image),
                20.0,
                np.clip(0.8 * x + 0.1 + sign * 0.1, 0, 1).astype(np.float32),
            )
    table = optimiser.pairs(optimiser.under_muon(store=tmp_path), best=3)
    values = {line[0]: line[-1] for line in table.rows}
    assert values["Muon + dropout 0.05"] == pytest.approx(values["Muon"], abs=0.01)
    assert values["Muon + dropout 0.1"] > values["Muon"] + 3
    table = optimiser.pairs(
        optimiser.under_muon(store=tmp_path), best=1, chosen=("Muon", "dropout 0.05")
    )
    assert [line[0] for line in table.rows][-1] == "**Muon + dropout 0.05**", "best or not"
    table = optimiser.pairs(optimiser.under_muon(store=tmp_path), chosen=("Muon", "dropout 0.1"))
    assert sum("dropout 0.1" in line[0] and "Muon" in line[0] for line in table.rows) == 1


def test_hiding_is_shown_against_random_z(tmp_path):
    for psnr, specs in {
        30.0: {image: runs.Spec(image, 256, "best-nearest") for image in plan.TUNING},
        31.0: {image: plan.with_hidden("best-hidden", image) for image in plan.TUNING},
        29.0: {image: plan.with_hidden("depth 5", image) for image in plan.DEVELOPMENT},
    }.items():
        for spec in specs.values():
            store(tmp_path, spec, psnr, core_seconds=7.0)
    table = optimiser.ideas(optimiser.with_hidden(tmp_path))
    assert [line[0] for line in table.rows] == [f"**{optimiser.RANDOM}**, PSNR", "best-hidden"]
    assert shown(table, "best-hidden") == [*["+1.00"] * 5, "7"]


def test_pairs_are_compared_over_masks_and_seeds(tmp_path):
    """Only over seeds with which all of them were run, each against the two of `best`."""
    off = dict(zip(plan.HIDDEN_SEEDS, (0.1, 0.1, -0.1, 0.1)))  # what a network errs by, of one kind
    for name, sign in off.items():
        for seed, image in itertools.product((0, 1), plan.TUNING):
            x = images.load(image, size=256)
            drawn = np.clip(0.6 * x + 0.2 + (1 + seed) * sign, 0, 1).astype(np.float32)
            store(tmp_path, plan.with_hidden(name, image, seed), 20.0, drawn, core_seconds=9.0)
        if name == "best-hidden":
            assert optimiser.hidden_seeds(tmp_path).rows == []
    store(tmp_path, plan.with_hidden("depth 3", "camera", 2), 20.0)  # a third seed, not of all
    table = optimiser.hidden_seeds(tmp_path)
    first, best, *others = table.rows
    assert first[0] == "**best-hidden + depth 3**, PSNR" and first[-1] == 18
    assert "2 masks and seeds" in table.caption and len(others) == 4
    assert "bilinear upsampling" in best[0], "errors in opposite directions"
    assert float(best[-2]) > 3 and best[-2].deviation > 0.1, "more of it where they err more"
    same = next(row for row in others if row[0] == "best-hidden + width 128")
    assert float(same[-2]) == pytest.approx(0, abs=0.01)


def test_free_pictures_as_large_as_the_tables_large_ones(tmp_path):
    assert optimiser.large(tmp_path).rows == []
    x = images.load("camera", size=512)
    for recipe, sign in (("best-nearest", 1), ("best-hidden", -1)):
        store(
            tmp_path,
            runs.Spec("camera", 512, recipe),
            20.0,
            np.clip(0.8 * x + 0.1 + sign * 0.1, 0, 1).astype(np.float32),
            core_seconds=9.0,
        )
    ((name, *values, one, two),) = optimiser.large(tmp_path).rows
    assert name == "Camera" and values[2] > 23 and one == two == 9, (
        "errors in opposite directions, and their mean"
    )


def test_how_soon_muon_is_where_adam_ends(tmp_path):
    for words, slope in (("Adam in its place", 0.01), ("Muon", 0.04)):
        spec = plan.under_muon(words, "camera")
        history = [
            dip_blocks.Step(i, 0.1, 0.001, False, 20 + slope * i, 20 + slope * i)
            for i in range(10, 401, 10)
        ]
        store(tmp_path, spec, 24.0, history=history)
    assert optimiser.sooner(store=tmp_path).shown() == [["Camera", "400", "24.00", "100", "0.25"]]


def test_core_seconds_against_the_straightforward_loop(tmp_path):
    assert optimiser.against_straightforward(tmp_path).rows == []
    loop = {
        "threads": 2,
        "network": "paper",
        "sizes": {"256": {"contestants": {"straightforward": {"median_s": 1.5}}}},
    }
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "here-paper.json").write_text(json.dumps(loop))
    history = [
        dip_blocks.Step(i, 0.1, 0.001, False, 20 + i / 40, 20 + i / 40) for i in range(10, 401, 10)
    ]
    for recipe, iterations, psnr in (("paper", 1000, 25.0), ("best-nearest", 400, 30.0)):
        spec = runs.Spec(
            "camera", 256, recipe, iterations=iterations if recipe == "paper" else None
        )
        store(tmp_path, spec, psnr, history=history, core_seconds=100.0)
    assert optimiser.against_straightforward(tmp_path).shown() == [
        ["Camera, 256²", "25.00", "3,000", "`best-nearest`", "200", "50", "0.017"]
    ]


def test_what_an_update_looks_like():
    spectra = optimiser.singular_values("camera", iterations=2, size=96)
    assert set(spectra) == {"adam", "muon"} and all(
        values[0] == 1 and (np.diff(values) <= 1e-6).all() for values in spectra.values()
    )
    assert spectra["muon"][-1] > 0.4 > spectra["adam"][-1], "all directions alike, or a few"
    assert len(figures.orthogonal(spectra).axes) == 2
