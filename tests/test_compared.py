"""Like with like: what the path of a fit is made of, and the tables of the 11 images."""

from types import SimpleNamespace

import numpy as np
import pytest
from dip_book import images
from dip_book.results import compared
from dip_book.results.reported import REPORTED, SELF2SELF_MEAN

import dip_blocks
from dip_parts.engine import Step


def test_a_path_tells_known_from_missing_pixels():
    """Loss and PSNR of the whole together give the error where nothing is known."""
    truth = images.load("camera", size=64)
    mask = dip_blocks.degrade(truth)[1][0].numpy() > 0
    off = np.where(mask, 0.01, 0.1)
    loss, psnr = (off[mask] ** 2).mean(), -10 * np.log10((off**2).mean())
    run = SimpleNamespace(
        degraded=lambda: (truth, mask), history=[Step(1, loss, 0.1, False, psnr, psnr)]
    )
    (known,), (missing,) = compared.path(run)
    assert (known, missing) == pytest.approx((40, 20))


def test_a_level_counts_where_it_is_first_reached():
    known, missing = [30.0, 34.0, 32.0, 36.0], [20.0, 22.0, 21.0, 25.0]
    assert compared._first_at(33.0, known, missing) == pytest.approx(21.5)
    assert compared._first_at(29.0, known, missing) == 20.0
    assert compared._first_at(40.0, known, missing) == "not reached", "and not the last one's"


def test_recipes_stand_side_by_side_with_the_papers():
    table = compared.recipes("best-adam", "best-hidden")
    assert table.header == ["entry", "`paper`", "`best-adam`", "`best-hidden`"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["optimiser"] == ["Adam", "Adam", "Muon"]
    assert rows["levels"] == ["5", "5", "4"] and rows["dropout"] == ["0", "0", "0.05"]
    assert all(len(set(values)) > 1 for values in rows.values()), "only what differs has a row"


def test_the_final_table_is_the_mean_of_its_masks():
    table, by_mask = compared.final(), compared.masks("best")
    assert [row[0] for row in table.rows[:-1]] == [images.title(n) for n in images.STANDARD]
    *_, (_, paper, self2self, _, ours, apart, _) = table.rows
    assert self2self == SELF2SELF_MEAN
    assert float(paper) == pytest.approx(np.mean(list(REPORTED["paper"].values())))
    assert float(apart) == pytest.approx(float(ours) - float(paper))
    assert float(ours) == pytest.approx(np.mean([row[2] for row in by_mask.rows]))
    assert f"over {len(by_mask.rows)} masks" in table.caption


def test_raw_is_compared_with_raw():
    table = compared.like_with_like("best-adam")
    assert [row[0] for row in table.rows] == [
        "House",
        "Peppers",
        "C.man",
        "Montage",
        "**mean of 4**",
    ]
    house = table.rows[0]
    assert float(house[3]) == pytest.approx(float(house[1]) - REPORTED["paper"]["house"])
