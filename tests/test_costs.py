"""The drawings of the benchmark, and the listing of what the book wants."""

import pytest
from dip_book import bench
from dip_book.results import wanted
from dip_book.runs import plan
from dip_book.show import costs
from dip_book.show.style import METHODS


@pytest.mark.parametrize("draw", [costs.growth, costs.gains])
def test_one_panel_a_machine(draw):
    results = bench.results()
    panels = draw(results, leave_out=("deepinv",)).axes
    assert [panel.get_title() for panel in panels] == [costs.machine(one) for one in results]


def test_rows_are_named_once_and_no_legend_stands_among_the_marks():
    figure = costs.gains(bench.results(), leave_out=("deepinv",))
    first, *others = figure.axes
    assert all(panel.get_shared_y_axes().joined(first, panel) for panel in others)
    assert not [panel for panel in figure.axes if panel.get_legend()] and len(figure.legends) == 1


def test_growth_shows_each_loop_and_each_floor():
    result = bench.results()[0]
    (panel,) = costs.growth([result], leave_out=("deepinv",)).axes
    loops = set(result["sizes"]["128"]["contestants"]) - {"deepinv"}
    labels = {line.get_label() for line in panel.lines}
    assert labels == loops | {"floor in fp32"}


def test_a_loop_is_faster_than_no_floor():
    for result in bench.results():
        floor = costs.floor_of(result, "fp32")
        for size, entry in result["sizes"].items():
            assert entry["contestants"]["straightforward"]["median_s"] > floor[int(size)]


def test_loops_of_one_device_differ_in_colour_and_mark():
    gpu = "on the device, fp32", "+ channels_last, TF32", "+ CUDA graph"
    cpu = {name: look for name, look in costs.LOOPS.items() if name not in gpu}
    assert len(set(cpu.values())) == len(cpu)
    assert costs.LOOPS["+ Muon"][0] == METHODS["muon"].colour


def test_every_group_says_what_it_is_for():
    assert set(wanted.PURPOSES) == set(plan.WANTED)


def test_the_listing_counts_every_run(tmp_path):
    *rows, total = wanted.listing(tmp_path).rows
    assert len(rows) == len(plan.WANTED) and all(row[3] == 0 for row in rows)
    assert total[2:] == [sum(map(len, plan.WANTED.values())), 0, total[2]]


def test_every_stored_benchmark_is_listed():
    stored = sum(len(bench.results(network=name)) for name in bench.NETWORKS)
    assert len(wanted.timed().rows) == stored > 0
