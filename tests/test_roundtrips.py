"""Specs and runs of all kinds through a store and an archive and back, made small by hypothesis."""

import tempfile
from pathlib import Path

import pytest
from attacks import roundtrips
from dip_book import runs
from dip_book.runs import spec as specs
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st


class Draw(roundtrips.Draw):
    """Draws by hypothesis: numbers and texts that it knows to be odd, too."""

    def __init__(self, data):
        self.data, self.odd = data, False

    def whole(self, low, high):
        return self.data.draw(st.integers(low, high))

    def number(self):
        return self.data.draw(st.floats())

    def text(self):
        return self.data.draw(
            st.text(st.characters(categories=("L", "M", "N", "P", "S")), max_size=20)
        )


few = settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    derandomize=True,
)  # fmt: skip


@few
@given(st.data())
def test_a_run_comes_back_from_store_and_archive(data):
    draw = Draw(data)
    several = dict(roundtrips.a_run(draw) for _ in range(draw.whole(1, 2)))
    with tempfile.TemporaryDirectory() as folder:
        roundtrips.through(draw, Path(folder), list(several.items()))


@few
@given(st.data())
def test_a_spec_and_its_recipe_come_back_from_their_record(data):
    draw = Draw(data)
    try:
        spec = roundtrips.a_spec(draw)
        assert spec.path == roundtrips.replace(spec).path
        [member.resolved() for member in spec.members]
    except runs.RunError:
        assume(False)
    path, run = roundtrips.a_run(draw, spec)
    with tempfile.TemporaryDirectory() as folder:
        roundtrips.through(draw, Path(folder), [(path, run)])


@given(st.text(st.characters(exclude_characters="/\\0"), min_size=1))
@settings(deadline=None, database=None, derandomize=True)
def test_any_file_s_name_makes_a_path_that_every_system_takes(name):
    stem = specs.stem(name)
    assert len(f"{stem}@12345678-10000.frames.webp".encode()) < 256
    assert stem.isprintable() and not set(stem) & set(specs.STRANGE)
    assert stem == specs.stem(f"{name}.png") or "." in name


@pytest.mark.parametrize("attack", roundtrips.ATTACKS[2:], ids=lambda attack: attack.name)
def test_what_is_not_equal_is_noticed(attack, monkeypatch, tmp_path):
    """The comparison itself: a run of which one bit was lost does not pass."""
    read = runs.read

    def other(place):
        run = read(place)
        run.facts["psnr_db"] = {**run.facts["psnr_db"], "raw": 1.0}
        return run

    monkeypatch.setattr(runs, "read", other)
    generator = roundtrips.np.random.default_rng(1)
    with pytest.raises(AssertionError, match="psnr_db"):
        attack.attempt(generator, tmp_path)
