"""The explorer with a kernel behind it: runs started, paused, stopped from the figure."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from dip_book import images, runs
from dip_book.build import first_cell
from dip_book.results import baselines
from dip_book.results.selection import best_run
from dip_book.runs import plan, sweeps
from dip_book.show import explorer, figures, views

TINY = {"picture": "brick", "recipe": "quick", "size": 64, "iterations": 12}


@pytest.fixture
def live(monkeypatch):
    """A live explorer whose messages to the browser are kept; ``heard`` waits for one of a kind."""
    made = explorer.Live([], [], size=64, iterations=12)
    made.said = []
    monkeypatch.setattr(
        made,
        "send",
        lambda content, buffers=None: made.said.append(json.loads(json.dumps(content))),
    )

    def heard(kind, count=1):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if len(found := [news for news in list(made.said) if news["kind"] == kind]) >= count:
                return found[-1]
            time.sleep(0.01)
        raise AssertionError(f"no {kind} among {[news['kind'] for news in made.said]}")

    made.heard = heard
    yield made
    made.answer({"do": "stop"})
    made.join(60)


def test_a_run_is_shown_from_start_to_end_and_kept(live):
    live.answer({"do": "start", **TINY})
    begun, ended = live.heard("started"), live.heard("ended")
    live.join(10)
    assert begun["now"]["title"] == "Brick" and begun["now"]["truth"].startswith("data:image/webp")
    assert ended["text"] == "Done." and ended["now"]["history"]["iteration"][-1] == 12
    assert not live.running and live.run.facts["iterations"] == 12
    assert live.runs[-1]["facts"] == ended["now"]["facts"] == explorer.describe(live.run)
    # what was shown is what a run without a figure gives
    plain = explorer.dip_blocks.restore(
        *explorer.dip_blocks.degrade(images.load("brick", 64)),
        runs.Spec("brick", 64, "quick", iterations=12).resolved(),
        progress=False,
    )
    assert (plain.image[0].numpy() == live.run.raw).all()


def test_pause_halts_the_run_and_resume_goes_on(live, monkeypatch):
    show = explorer.Watch._show

    def noticed(self, fit, words):
        show(self, fit, words)
        if fit.iteration == 1:
            live.answer({"do": "pause"})

    monkeypatch.setattr(explorer.Watch, "_show", noticed)
    live.answer({"do": "start", **TINY})
    assert "Paused in iteration 2" in live.heard("running")["text"]
    count = len(live.said)
    time.sleep(0.3)
    assert len(live.said) == count and live.running, "nothing happens while it is paused"
    live.answer({"do": "resume"})
    live.heard("ended")
    live.join(10)
    assert live.run.facts["iterations"] == 12
    assert live.run.facts["wall_time_s"] < 60 and live.run.facts["wall_time_s"] > 0


def test_stop_keeps_what_was_reached(live):
    live.answer({"do": "start", **TINY, "iterations": 100_000})
    live.heard("started")
    live.answer({"do": "stop"})
    ended = live.heard("ended")
    live.join(10)
    assert "Stopped after" in ended["text"] and 1 <= live.run.facts["iterations"] < 100_000


def test_a_run_of_a_cell_that_was_run_again_gives_way(live):
    """Its Stop button is gone with the cell's output, paused or not."""
    live.answer({"do": "start", **TINY, "iterations": 100_000})
    live.heard("started")
    live.answer({"do": "pause"})
    live.heard("running")
    again = explorer.Live([], [], size=64, iterations=12)
    again.answer({"do": "start", **TINY, "iterations": 2})
    assert "Stopped after" in live.heard("ended")["text"]
    live.join(10)
    again.join(60)
    assert again.run.facts["iterations"] == 2 and live.run.facts["iterations"] < 100_000


def test_a_paused_run_can_be_stopped(live):
    live.answer({"do": "start", **TINY, "iterations": 100_000})
    live.heard("started")
    live.answer({"do": "pause"})
    live.heard("running")
    live.answer({"do": "stop"})
    live.answer({"do": "pause"})  # too late
    live.answer({"do": "resume"})
    live.heard("ended")
    live.join(10)
    assert live.run.facts["iterations"] < 100_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iterations": 0}, "1 or more"),
        ({"iterations": None}, "1 or more"),
        ({"recipe": "soup"}, "No recipe is called 'soup'"),
        ({"picture": "nobody"}, "nobody"),
        ({"size": 7}, ""),
    ],
)
def test_a_wish_that_cannot_be_met_is_answered_in_words(live, change, words):
    live.answer({"do": "start", **TINY, **change})
    said = live.heard("failed")["text"]
    assert words in said and "Error:" not in said
    assert live.run is None


def test_a_second_start_does_not_disturb_the_first(live):
    live.answer({"do": "start", **TINY, "iterations": 100_000})
    live.heard("started")
    live.answer({"do": "start", **TINY})
    assert "under way" in live.heard("running")["text"]
    assert live.running


def test_showing_a_run_takes_a_small_share_of_its_time():
    """The clock is the test's. An update that took 0.1 s is followed by 5 s or more without one."""
    clock, shown = [0.0], []

    class Slow(explorer.Watch):
        def _show(self, fit, words):
            shown.append(clock[0])
            clock[0] += 0.1

    class Quiet:
        _going, _stopping = threading.Event(), False

    Quiet._going.set()
    watch = Slow(Quiet, runs.Spec("brick", 64, "quick"))
    fit = type("Fit", (), {"iteration": 1})
    before, explorer.time = (
        explorer.time,
        type("Clock", (), {"perf_counter": staticmethod(lambda: clock[0])}),
    )
    try:
        while clock[0] < 60:
            watch(fit)
            clock[0] += 0.05
    finally:
        explorer.time = before
    assert 0.1 * len(shown) / 60 <= explorer.SHARE * 1.1


def test_the_widget_is_made_only_where_somebody_can_operate_it(monkeypatch, tmp_path):
    run = sweeps.perform(
        runs.Spec("brick", 64, "quick", iterations=3), tmp_path, device="cpu", progress=False
    )
    figure = explorer.Explorer([run])
    assert set(figure._repr_mimebundle_()) == {"text/html", "text/plain"}
    monkeypatch.setattr(explorer, "has_reader", lambda: True)
    data, _ = figure._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and "text/html" in data
    assert figure.widget.runs == figure.data["runs"] and figure.widget.offers["pictures"]


def test_what_runs_share_is_written_once(tmp_path):
    made = [
        sweeps.perform(
            runs.Spec("brick", 64, "quick", iterations=count),
            tmp_path,
            device="cpu",
            progress=False,
        )
        for count in (2, 3)
    ]
    data = explorer.Explorer(made).data
    assert len(data["pictures"]) == len({"degraded", "linear", "biharmonic", "truth"})
    assert data["runs"][0]["truth"] == data["runs"][1]["truth"]
    assert data["pictures"][data["runs"][1]["degraded"]] == explorer.entry(made[1])["degraded"]


def test_what_a_run_is_compared_with_is_measured():
    """Half of the pixels: interpolation is far better than black pixels; the truth is exact."""
    x = images.load("brick", size=64)
    x_hat, mask = explorer.dip_blocks.degrade(x)
    made = explorer.stills(x, x_hat, "pixels", explorer.dip_blocks.Masked(mask))
    assert set(made) == {*explorer.STILLS, "quality"}
    quality = made["quality"]
    assert "truth" not in quality
    assert quality["biharmonic"] > quality["degraded"] + 5
    assert quality["linear"] > quality["degraded"] + 5
    stored = baselines.baseline("brick", "biharmonic", 64)["psnr_db"]
    assert abs(quality["biharmonic"] - stored) < 0.01


@pytest.mark.parametrize("name", ["house", "camera", "holiday"])
def test_a_run_of_a_readers_own_picture_is_shown(name, tmp_path, recipe, monkeypatch):
    """Whatever the file is called; as measured now, and as stored, where the file is unknown."""
    monkeypatch.setitem(explorer.dip_blocks.RECIPES, "tiny", replace(recipe, iterations=3))
    images.save_png(tmp_path / f"{name}.png", np.random.default_rng(0).random((32, 32)))
    spec = runs.Spec(str(tmp_path / f"{name}.png"), None, "tiny")
    made = sweeps.perform(spec, tmp_path / "store", device="cpu", progress=False)
    assert spec.path not in plan.of_the_book()
    for run in (made, runs.read(tmp_path / "store" / spec.path)):
        (shown,) = explorer.Explorer([run]).data["runs"]
        assert shown["title"] == name and shown["restored"] and explorer.still(run)
    assert all(shown[key] is None for key in explorer.STILLS), "the file is not stored"


def test_a_picture_without_a_free_licence_is_never_put_into_a_page(monkeypatch):
    """Of the paper's images a page has what the networks drew, which the store holds, only."""
    run = best_run("blog", "house", None)
    monkeypatch.setattr(images, "load", lambda *_, **__: pytest.fail("the truth was asked for"))
    data = explorer.Explorer([run]).data
    (shown,) = data["runs"]
    assert all(shown[key] is None for key in explorer.STILLS) and not data["pictures"]
    assert shown["restored"].startswith("data:image/webp") and not shown["frames"]


def test_a_run_without_pictures_has_its_curves():
    found = runs.find(runs.ROOT, image="camera", size=128)
    run = next(run for run in found if not run.kinds and run.facts["backtracked"])
    shown = explorer.entry(run)
    assert shown["restored"] is None and shown["truth"]
    assert len(shown["history"]["backtracked"]) == run.facts["backtracked"]


def test_a_history_is_json_whatever_it_holds():
    step = explorer.dip_blocks.Step
    row = [step(iteration=1, loss=0.5, psnr=float("nan"), psnr_averaged=float("nan"), lr=0.01,
                backtracked=False)]  # fmt: skip
    made = explorer.columns(row)
    assert made["psnr"] == [None] and json.dumps(made, allow_nan=False)


def test_a_thinned_history_keeps_the_iterations_that_are_pictured():
    step = explorer.dip_blocks.Step
    history = [
        step(iteration=i, loss=1 / i, psnr=float(i), psnr_averaged=0.0, lr=0.01, backtracked=False)
        for i in range(1, 1001)
    ]
    made = explorer.columns(history, pictured=[3, 500])
    assert {1, 3, 500, 1000} <= set(made["iteration"]) and len(made["iteration"]) < 140
    assert made["psnr"][made["iteration"].index(3)] == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (99.2, "99 s"),
        (99.7, "2 min"),
        (600, "10 min"),
        (5990, "1.7 h"),
        (7369, "2.0 h"),
    ],
)
def test_times_are_told_in_the_unit_that_fits(seconds, words):
    assert explorer.duration(seconds) == words.replace(" ", explorer.NBSP)


def test_a_machine_in_words():
    assert explorer.machine("cpu (AMD EPYC)") == "a CPU (AMD EPYC)"
    assert explorer.machine("cuda:1 (NVIDIA H100)") == "a GPU (NVIDIA H100)"
    assert explorer.machine("cpu") == "a CPU" and explorer.machine("abacus") == "abacus"


def test_where_scripts_do_not_run_a_figure_says_that_it_could_be_operated():
    x = images.load("camera", size=32)
    html = views.steps_view({"a": {"x": x}, "b": {"x": 1 - x}}, "What", "a figure")._repr_html_()
    assert html.count(views.UNSCRIPTED) == 1 and html.count("<noscript>") == 1


def test_steps_open_on_a_state_that_shows_something():
    x = images.load("camera", size=32)
    grey = np.full_like(x, 0.5)
    states = {"nothing": {"lost": grey}, "something": {"lost": x}, "more": {"lost": 1 - x}}
    assert views.steps_view(states, "What", "a figure").data["start"] == 1
    assert views.steps_view(states, "What", "a figure", start="more").data["start"] == 2
    faint = {"a": {"lost": grey}, "b": {"lost": grey + 0.001 * x}}
    assert views.steps_view(faint, "What", "a figure").data["start"] == 1


def test_a_figure_of_nothing_says_so():
    for nothing in (lambda: views.steps_view({}, "Iteration", "x"), lambda: figures.dots({})):
        with pytest.raises(ValueError, match="There is nothing to"):
            nothing()


def test_a_difference_is_made_visible():
    x = images.load("camera", size=32)
    picture, gain = views.difference(x + 0.01, x)
    assert gain == 16 and abs(picture - 0.66).max() < 1e-6
    picture, gain = views.difference(1 - x, x)
    assert gain == 1 and picture.min() >= 0 and picture.max() <= 1


def test_the_masks_figure_has_both_interpolations_for_each_share():
    x = images.load("camera", size=32)
    data = views.mask_view(x, {"quick": {0.5: 30.0}}, {"quick": {0.5: 0.9 * x}}).data
    assert [state["p"] for state in data["states"]] == list(views.SHARES)
    assert [one["name"] for one in data["measured"]] == ["linear", "biharmonic", "quick"]
    assert data["methods"] == ["linear", "biharmonic", "quick"]
    given, linear, biharmonic, drawn = data["states"][5]["psnr"]
    assert given is None and linear > 10 and biharmonic > 10 and drawn > 10
    assert data["states"][0]["pictures"][3] is None, "said in words where there is no picture"
    shares = [state["known"] / state["of"] for state in data["states"]]
    assert all(abs(a - b) < 0.06 for a, b in zip(shares, views.SHARES, strict=True))


def test_nobody_operates_a_widget_while_a_page_is_made(monkeypatch):
    import IPython

    assert not first_cell.has_reader(), "plain Python has no notebook"
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": object()})())
    monkeypatch.delenv(first_cell.STILL, raising=False)
    assert first_cell.has_reader()
    monkeypatch.setenv(first_cell.STILL, "1")
    assert not first_cell.has_reader()
