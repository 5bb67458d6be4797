"""The tables of chapter 20, from what attacks and the like have stored."""

import json

import pytest
from conftest import store_run
from dip_book import runs
from dip_book.results import trust

import dip_blocks


def test_a_table_is_made_of_what_is_stored_and_says_when_nothing_is(tmp_path):
    for table in (trust.attacks, trust.mutants, trust.reruns, trust.twice, trust.versions):
        assert table(tmp_path).rows == [] and "not stored yet" in table(tmp_path).to("markdown")
    assert trust.attempts(tmp_path) == {"attempts": 0, "faults": 0, "seconds": 0}


def test_attacks_are_counted_together(tmp_path):
    outcomes = {"refused": 9, "opened": 5, "a": 3, "b": 2, "c": 1}
    one = {"promise": "It holds.", "attempts": 21, "outcomes": outcomes, "faults": 1, "seconds": 30}
    (tmp_path / trust.ATTACKS).write_text(json.dumps({"files": one, "loops": one}))
    assert trust.attempts(tmp_path) == {"attempts": 42, "faults": 2, "seconds": 60}
    table = trust.attacks(tmp_path)
    assert table.rows[0] == ["files", 21, 1, 5, "refused"]
    assert trust.promises(tmp_path).data == "- **files**: It holds.\n- **loops**: It holds."
    assert "about 30 seconds on one core. A" in table.caption
    (tmp_path / trust.ATTACKS).write_text(
        json.dumps({"a": one, "b": one, "c": one | {"seconds": 600}})
    )
    assert "30 seconds on one core, the longest for 10 minutes." in trust.attacks(tmp_path).caption


def test_mutants_are_added_up(tmp_path):
    counts = {"mutants": 10, "judged": 4, "killed": 3, "excused": 1, "survived": 0}
    counts["commit"] = "of which it is"
    stored = {"modules": {"one": counts, "two": counts}}
    (tmp_path / trust.MUTANTS).write_text(json.dumps(stored))
    assert trust.mutants(tmp_path).rows[-1] == ["**all**", 20, 8, 6, 2, 0]
    assert "first time" not in trust.mutants(tmp_path).caption
    stored["first"] = {"judged": 2000, "survived": 7}
    (tmp_path / trust.MUTANTS).write_text(json.dumps(stored))
    assert trust.mutants(tmp_path).caption.endswith("all were tried, 7 of 2,000 went unnoticed.")


@pytest.mark.parametrize("file", [trust.ATTACKS, trust.MUTANTS, trust.RERUNS, trust.VERSIONS])
def test_the_book_has_it(file):
    assert trust.read(file), f"{runs.ROOT / file} is not there"


def test_the_book_s_own_counts_hold_no_fault_and_no_surviving_mutant():
    assert trust.attempts()["faults"] == 0
    assert {row[-1] for row in trust.mutants().rows} == {0}
    assert {row[7] for row in trust.versions().rows} == {0}  # failed tests


def test_equal_runs_are_compared_digit_by_digit(tmp_path):
    def run(image, iterations, losses, **facts):
        spec = runs.Spec(image, None, iterations=iterations)
        history = [
            dip_blocks.Step(at, loss, 0.001, False, 20.0, 20 + loss) for at, loss in losses.items()
        ]
        store_run(tmp_path, spec, 30.0, {}, history, **facts)

    run("man", 2000, {1: 1.0, 2000: 0.5})
    run("man", None, {1: 1.0, 2000: 0.5, 11_000: 0.1})
    run("boat", 2000, {1: 1.0, 11: 0.9, 2000: 0.5})
    run(
        "boat",
        None,
        {1: 1.0, 11: 0.900001, 2000: 0.6},
        device="cuda (NVIDIA H100 80GB)",
        precision="tf32",
    )
    run("lena", 2000, {1: 1.0})
    boat, man = trust.twice(tmp_path).shown()
    assert boat == ["Boat", "cpu, fp32", "NVIDIA H100, tf32", "3", "11", "+0.10"]
    assert man == ["Man", "cpu, fp32", "the same", "2", "nowhere", "+0.00"]
