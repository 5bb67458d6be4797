"""A picture of the reader's own: what is known of it, and its restoration."""

import numpy as np
import pytest
from conftest import small_config
from dip_book import images, photo
from dip_book.cli import main
from PIL import Image
from skimage import data

import dip_blocks

TINY = dip_blocks.Recipe(config=small_config(), z_channels=4, iterations=25, lr=0.003)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(dip_blocks.RECIPES, "quick", TINY)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clean():
    """A colour picture of odd size, (37, 51, 3), 8 bits, with no black pixel."""
    return np.maximum(data.astronaut()[:74:2, 200:302:2], 1)


@pytest.fixture
def missing():
    return np.random.default_rng(1).random((37, 51)) < 0.4


def write(path, array):
    Image.fromarray(array).save(path)
    return path


# What is known ----------------------------------------------------------------------------


def test_black_pixels_are_missing(clean, missing, tmp_path):
    path = write(tmp_path / "a.png", np.where(missing[..., None], 0, clean).astype(np.uint8))
    x_hat, m = images.load_damaged(path)
    assert (m == ~missing).all() and x_hat.shape == (37, 51, 3)
    assert np.allclose(x_hat[m], clean[m] / 255, atol=1e-6) and not x_hat[~m].any()


def test_a_pixel_black_in_one_channel_is_known(clean, tmp_path):
    clean[5, 5], clean[6, 6] = (0, 9, 9), (0, 0, 0)
    _, m = images.load_damaged(write(tmp_path / "a.png", clean))
    assert m[5, 5] and not m[6, 6] and m.sum() == m.size - 1


def test_transparency_says_what_is_missing_and_black_may_then_be_black(clean, missing, tmp_path):
    clean[0, 0] = 0
    missing[0, 0], missing[0, 1] = False, True
    alpha = np.where(missing, 0, 255).astype(np.uint8)
    alpha[0, 1] = 128  # half transparent: its colour is a mixture
    x_hat, m = images.load_damaged(write(tmp_path / "a.png", np.dstack([clean, alpha])))
    assert (m == ~missing).all() and m[0, 0] and not x_hat[~m].any()


@pytest.mark.parametrize("kind", ["bool", "grey", "colour"])
def test_a_mask_says_what_is_missing(clean, missing, tmp_path, kind):
    drawn = np.where(missing, 0, 255).astype(np.uint8)
    drawn = {"bool": ~missing, "grey": drawn, "colour": np.dstack([drawn] * 3)}[kind]
    x_hat, m = images.load_damaged(
        write(tmp_path / "a.png", clean), write(tmp_path / "m.png", drawn)
    )
    assert (m == ~missing).all() and not x_hat[missing].any()


def test_a_grey_picture_stays_grey_with_its_16_bits(missing, tmp_path):
    values = np.random.default_rng(0).integers(1, 65536, (37, 51)).astype(np.uint16)
    x_hat, m = images.load_damaged(
        write(tmp_path / "a.png", np.where(missing, 0, values).astype(np.uint16))
    )
    assert x_hat.shape == (37, 51) and np.allclose(x_hat[m], values[m] / 65535, atol=1e-7)
    eight = np.dstack([(values // 256 + 1).clip(0, 255).astype(np.uint8)] * 3)
    assert (
        images.load_damaged(
            write(tmp_path / "b.png", np.where(missing[..., None], 0, eight).astype(np.uint8))
        )[0].ndim
        == 2
    )


def test_what_cannot_be_used_is_said(clean, missing, tmp_path):
    whole, holed = (
        write(tmp_path / "whole.png", clean),
        np.where(missing[..., None], 0, clean).astype(np.uint8),
    )
    for path, mask, words in [
        (whole, None, "nothing is missing"),
        (
            whole,
            write(tmp_path / "white.png", np.full((37, 51), 255, np.uint8)),
            "white everywhere",
        ),
        (whole, write(tmp_path / "black.png", np.zeros((37, 51), np.uint8)), "No pixel"),
        (
            whole,
            write(tmp_path / "other.png", np.zeros((51, 37), np.uint8)),
            "37×51 pixels, the picture 51×37",
        ),
        (write(tmp_path / "dark.png", np.zeros_like(clean)), None, "No pixel"),
        (write(tmp_path / "holed.jpg", holed), None, "JPEG"),
        (tmp_path / "none.png", None, "There is no picture"),
        (whole, tmp_path / "none.png", "There is no picture"),
    ]:
        with pytest.raises(images.ImageError, match=words):
            images.load_damaged(path, mask)
    assert (
        images.load_damaged(tmp_path / "holed.jpg", write(tmp_path / "m.png", ~missing))[1].sum()
        == (~missing).sum()
    )


# The restoration --------------------------------------------------------------------------


@pytest.fixture
def holed(clean, missing, tmp_path):
    return write(tmp_path / "photo.png", np.where(missing[..., None], 0, clean).astype(np.uint8))


def test_the_command_fills_what_is_missing_and_nothing_else(
    holed, clean, missing, tmp_path, capsys
):
    assert main(["restore", "photo.png", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert (
        f"51×37 pixels, colour; {missing.sum():,} of them" in said and "photo-restored.png" in said
    )
    made = np.asarray(Image.open("photo-restored.png"))
    assert made.shape == clean.shape and (made[~missing] == clean[~missing]).all()
    error = np.abs(made[missing].astype(float) - clean[missing]).mean()
    assert error < np.abs(0.0 - clean[missing]).mean() / 2, (
        "what is drawn is nearer to the truth than black is"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "photo-restored.png",
        "photo.png",
    ], "no checkpoint is left"


def test_an_interrupted_restoration_goes_on_to_the_same_picture(
    holed, monkeypatch, tmp_path, capsys
):
    whole = photo.restore(holed, "whole.png", device="cpu", progress=False).read_bytes()
    monkeypatch.setattr(photo, "CHECKPOINT_S", 0.0)
    original = dip_blocks.Fit.step

    def step(fit):
        if fit.iteration == 12:
            raise KeyboardInterrupt
        original(fit)

    with monkeypatch.context() as patch:
        patch.setattr(dip_blocks.Fit, "step", step)
        assert main(["restore", "photo.png", "--device", "cpu", "--to", "cut.png"]) == 130
    said = capsys.readouterr().out
    assert (
        "Stopped after 12 of 25 iterations" in said
        and "cut.png" in said
        and "goes on from the last checkpoint" in said
    )
    assert (tmp_path / "cut.png").read_bytes() != whole, "the picture so far"
    steps = []
    monkeypatch.setattr(
        dip_blocks.Fit, "step", lambda fit: (steps.append(fit.iteration), original(fit))
    )
    assert main(["restore", "photo.png", "--device", "cpu", "--to", "cut.png"]) == 0
    assert steps == list(range(12, 25)) and (tmp_path / "cut.png").read_bytes() == whole
    assert not list(tmp_path.glob("*.checkpoint"))


def test_an_interrupt_before_the_first_checkpoint_says_how_to_begin_anew(
    holed, monkeypatch, capsys
):
    def stop(fit):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dip_blocks.Fit, "step", stop)
        assert main(["restore", "photo.png", "--device", "cpu"]) == 130
    assert "with --again" in capsys.readouterr().out
    assert main(["restore", "photo.png", "--device", "cpu"]) == 2, (
        "the picture so far is not overwritten unasked"
    )
    assert main(["restore", "photo.png", "--device", "cpu", "--again"]) == 0


def test_nothing_is_overwritten_unasked(holed, tmp_path, capsys):
    before = holed.read_bytes()
    for words, said in [
        (["--to", "photo.png"], "would replace"),
        (["--to", "a.jpg"], "call it 'a.png'"),
        (["--to", "nowhere/a.png"], "no folder 'nowhere'"),
        (["--recipe", "slow"], "No recipe is called 'slow'; there are blog"),
        (["--iterations", "0"], "1 or more"),
        (["--device", "gpu"], "no device 'gpu' here"),
    ]:
        assert main(["restore", "photo.png", *words]) == 2
        assert said in capsys.readouterr().err
    assert holed.read_bytes() == before and list(tmp_path.iterdir()) == [holed]
    assert main(["restore", "photo.png", "--iterations", "1"]) == 0
    assert (
        main(["restore", "photo.png", "--iterations", "1"]) == 2
        and "there already" in capsys.readouterr().err
    )
    assert main(["restore", "photo.png", "--iterations", "1", "--again"]) == 0
