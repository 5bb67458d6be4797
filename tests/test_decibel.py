"""What a decibel costs: the curves that are measured, stored, drawn and told."""

import math
from dataclasses import replace

import pytest
import torch
from dip_book import bench, runs
from dip_book.results import decibel
from dip_book.runs import measured
from dip_book.show import costs

import dip_blocks


@pytest.fixture
def short(monkeypatch):
    """Two loops that are there, and three iterations of quick."""
    made = []

    class Slow(bench.Straightforward):
        def __init__(self, recipe, *problem):
            made.append(problem[0].shape)
            super().__init__(recipe, *problem)

    recipe = replace(dip_blocks.PAPER, config={**dip_blocks.PAPER.config, **NARROW})
    loops = {who: lambda *problem: Slow(recipe, *problem) for who in ("straightforward", "deepinv")}
    monkeypatch.setattr(decibel, "loops", lambda: loops)
    monkeypatch.setattr(decibel, "version", lambda name: "0")
    quick = replace(dip_blocks.RECIPES["quick"], iterations=3)
    monkeypatch.setitem(dip_blocks.RECIPES, "quick", quick)
    return made


NARROW = {f"channels_{way}": [4] * 5 for way in ("down", "up")}


def test_curves_end_where_the_time_or_the_recipe_does(short):
    threads = torch.get_num_threads()
    curves = decibel.measure("camera", 64, 0.3)
    assert [*curves] == ["biharmonic", "quick", "quick, averaged", "straightforward", "deepinv"]
    assert len(curves["biharmonic"]) == 1 and len(curves["quick"]) <= 3
    for curve in curves.values():
        seconds = [at for at, db in curve]
        assert seconds == sorted(seconds) and all(math.isfinite(db) for at, db in curve)
    for who in ("straightforward", "deepinv"):
        assert 0.3 <= curves[who][-1][0] < 30
    assert curves["quick"][-1][0] == curves["quick, averaged"][-1][0]
    assert torch.get_num_threads() == threads


def test_what_is_measured_stays_and_the_rest_is_measured(short, tmp_path):
    file = decibel.store_decibel(tmp_path, 64, 0.1)
    first = decibel.stored_decibel(tmp_path)
    assert [*first["pictures"]] == ["camera", "astronaut"] and len(short) == 4
    facts = {**first, "pictures": {"camera": first["pictures"]["camera"]}}
    measured.write(file, decibel.json.dumps(facts))
    decibel.store_decibel(tmp_path, 64, 0.1)
    again = decibel.stored_decibel(tmp_path)
    assert len(short) == 6 and again["pictures"]["camera"] == first["pictures"]["camera"]
    decibel.store_decibel(tmp_path, 64, 0.2)  # another length: nothing stays
    assert len(short) == 10
    assert len(costs.decibels(again).axes) == 2


def test_a_curve_keeps_its_end_and_what_an_axis_can_show():
    curve = [(0.01 * i, 0.002 * i) for i in range(1, 10_001)]
    kept = decibel._thinned(curve)
    assert kept[0] == (0.01, 0.002) and kept[-1] == (100, 20) and len(kept) < 170
    assert decibel._thinned([(1.0, float("nan")), (2.0, 3.0)]) == [(2.0, 3.0)]


def test_the_table_tells_when_quick_was_there(tmp_path):
    curves = {
        "biharmonic": [(0.1, 25.0)],
        "quick": [(1.0, 20.0), (2.0, 26.0)],
        "quick, averaged": [(1.0, 21.0), (2.0, 27.0)],
        "straightforward": [(500.0, 29.0)],
    }
    facts = {"pictures": {"camera": curves}, "size": 128, "seconds": 600.0}
    facts["provenance"] = {"device": "cpu (X)", "threads": 1}
    measured.write(tmp_path / decibel.FILE, decibel.json.dumps(facts))
    rows = {row[0]: row[1:] for row in decibel.decibel(tmp_path).rows}
    assert rows["Camera, biharmonic"] == [0.1, 25.0, 2.0]  # not before: 21 dB are too few
    assert rows["Camera, straightforward"] == [500.0, 29.0, None]
    assert rows["Camera, quick"][2] is None


def test_without_deepinv_it_says_so_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "deepinv", None)
    monkeypatch.setattr(decibel, "measure", lambda *words: 1 / 0)
    with pytest.raises(runs.RunError, match=r"deepinv is needed .*pip install"):
        decibel.store_decibel(tmp_path)
    assert not list(tmp_path.iterdir())
