"""The figures of the argument: what they draw is what they are given."""

from itertools import pairwise

import pytest
from conftest import store_run
from dip_book import images, runs
from dip_book.results import tables
from dip_book.runs import plan
from dip_book.show import gap
from hypothesis import given
from hypothesis import strategies as st

import dip_blocks


def words(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_the_parts_add_up_to_the_distance():
    for names in (images.STANDARD, plan.LARGE, plan.SMALL):
        *rows, mean = tables.parts(names).rows
        assert len(rows) == len(names)
        for _, blog, _, _, paper, *apart in (*rows, mean):
            assert sum(map(float, apart)) == pytest.approx(paper - blog)


def test_the_bar_shows_its_levels_and_its_parts():
    found = words(gap.bar({"all": (28.5, 29.6, 31.4, 33.5), "some": (29.6, 28.6, 33.4, 34.5)}))
    for word in ("+1.1", "−1.0", "+4.8", "blog 28.50", "half 29.60", "ceiling 33.40"):
        assert word in found
    assert gap.signed(-0.04) == "+0.0"
    assert "half 28.74" in words(gap.bar({"close": (28.7, 28.74, 31.4, 33.5)}))


def history(last=30):
    return [dip_blocks.Step(i, 0.01 / i, 0.02, False, 20 + i / 10, 20.0) for i in range(1, last)]


def test_a_run_at_rest_has_its_panel_and_unused_panels_are_empty(tmp_path):
    found = {}
    for name in plan.SMALL:
        spec = runs.Spec(name, None, "blog", plan.MUON, 800)
        found[name] = store_run(tmp_path, spec, 22.0, history=history())
    for count in (1, 4):
        chosen = dict(list(found.items())[:count])
        figure = gap.rest(chosen, dict.fromkeys(found, 25.0))
        assert [axis.get_title() for axis in figure.axes] == list(chosen)
        fit, psnr, bound = figure.axes[0].lines
        assert fit.get_ydata()[0] == pytest.approx(20) and psnr.get_ydata()[-1] == 22.9
        assert bound.get_ydata()[0] == 25
    (axis,) = gap.rest({"house": found["house"]}, {"house": 40.0}).axes
    assert axis.get_ylim()[0] < 22.9 < 40 < axis.get_ylim()[1]  # no run below its panel


def test_what_waiting_brings_is_counted_from_one_iteration():
    late = [step._replace(psnr_averaged=float(step.iteration)) for step in history(30)]
    figure = gap.waiting({"small": {"House": late, "Boat": late}, "large": {}}, since=10)
    small, large = figure.axes
    assert [list(line.get_ydata()) for line in small.lines[:2]] == [list(range(20))] * 2
    assert [text.get_text() for text in small.texts] == ["House", "Boat"] and not large.texts
    assert small.texts[1].xy[1] - small.texts[0].xy[1] == pytest.approx(0.36), "not on each other"


@given(st.lists(st.floats(-9, 9), max_size=7))
def test_labels_keep_their_order_and_their_distance(heights):
    moved = gap.spread(heights, 0.3)
    ordered = sorted(zip(heights, moved), key=lambda pair: pair[0])
    for (_, low), (_, high) in pairwise(ordered):
        assert high - low >= 0.29


def test_what_is_unperturbed_stands_at_the_end_of_what_is_perturbed():
    of = {"the blog's reading": (history(), 24.0), "the second reading": (history(), 25.0)}
    (axis,) = gap.perturbed({"Camera": of}, {"Camera": 27.0}).axes
    ends = [line.get_ydata() for line in axis.lines if len(line.get_xdata()) == 1]
    assert [float(end[0]) for end in ends] == [24.0, 25.0] and axis.get_ylim() == (16, 27.5)


def test_the_error_on_known_pixels_is_what_pasting_takes_away(tmp_path):
    spec = runs.Spec("camera", 128, "blog", plan.MUON, 800)
    run = store_run(tmp_path, spec, 20.0, psnr_db={"raw": 20.0, "raw_pasted": 23.0})
    share = float(dip_blocks.bernoulli_mask(128, 128).mean())
    left = (10**-2 - 10**-2.3) / share
    assert 10 ** (-tables.on_known(run) / 10) == pytest.approx(left)


def test_a_store_of_older_ceilings_is_as_good_as_none(tmp_path):
    (tmp_path / "ceilings.json").write_text('{"images": {"house": {"bilinear": 33.7}}}')
    assert tables.parts(store=tmp_path).shown() == tables.parts().shown()


def test_what_half_of_the_pixels_give_is_shown_beside_the_ceiling():
    table = tables.from_half("camera", size=64)
    assert [row[0] for row in table.rows] == list(tables.DRAWN.values())
    assert [row[0] for row in tables.from_half().rows] == list(tables.DRAWN.values())
    assert "64×64" in table.caption
