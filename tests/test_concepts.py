"""The drawings of the space of pictures: the thought one is drawn, the measured one is right."""

import numpy as np
import pytest
from dip_book.results.selection import best_run
from dip_book.show import concepts

import dip_blocks


@pytest.fixture(scope="module")
def run():
    return best_run("quick", "camera", 128)


def test_the_squares_of_a_place_add_up_to_the_error():
    rng = np.random.default_rng(0)
    truth, image, mask = rng.random((6, 8)), rng.random((6, 8)), rng.random((6, 8)) < 0.5
    along, off = concepts.place(image, truth, mask)
    error = concepts.LEVELS**2 * ((image - truth) ** 2).mean()
    assert along**2 + off**2 == pytest.approx(error)
    pasted = np.where(mask, truth, image)
    assert concepts.place(pasted, truth, mask) == pytest.approx((along, 0)), "straight down"


def test_a_way_is_read_off_the_history(run):
    """Loss and PSNR say where an output lay; the stored picture lies where the facts say."""
    way = concepts.way(run)
    assert len(way) == len(run.history)
    for step, (along, off) in zip(run.history, way):
        error = (along**2 + off**2) / concepts.LEVELS**2
        assert -10 * np.log10(error) == pytest.approx(step.psnr, abs=1e-6)
    measured = concepts.place(run.raw, run.truth(), run.degraded()[1])  # from 8 bits
    assert concepts.end(run) == pytest.approx(measured, abs=0.05)


def test_both_are_drawn_with_and_without_pictures(run):
    for pictures in ({}, {"truth": run.truth()}):
        assert concepts.picture_space(pictures).axes
    ways = {"quick": [*concepts.way(run), concepts.end(run)]}
    figure = concepts.measured(ways, {"biharmonic": concepts.Place(9.5, 0.0)})
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["truth", "quick", "biharmonic"] and len(figure.axes) == 2


def test_an_arc_is_one_psnr():
    error = np.full((8, 8), 10 ** (-30 / 20))
    place = concepts.place(error, np.zeros((8, 8)), np.zeros((8, 8)))
    assert place.along == pytest.approx(concepts.LEVELS * 10 ** (-30 / 20))
    image, truth = (dip_blocks.as_image(x.astype(np.float32)) for x in (error, 0 * error))
    assert dip_blocks.psnr(image, truth) == pytest.approx(30, abs=1e-4)
