"""A picture of the reader's own by the command: where to, going on, interrupts, many at once."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dip_book import images
from dip_book.build.first_cell import ROOT
from dip_book.cli import main
from dip_book.restoring import core, photos
from dip_book.runs import RunError, placing
from PIL import Image
from skimage import data


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photos, "work_root", lambda: tmp_path / ".work")


@pytest.fixture
def clean():
    """A colour picture of odd size, (37, 51, 3), 8 bits, with no black pixel."""
    return np.maximum(data.astronaut()[:74:2, 200:302:2], 30)


@pytest.fixture
def missing():
    gone = np.zeros((37, 51), bool)
    gone[10:14, 5:40] = gone[20:30, 22:24] = True
    return gone


def write(path, array):
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def holed(clean, missing, tmp_path):
    return write(tmp_path / "photo.png", np.where(missing[..., None], 0, clean).astype(np.uint8))


class Fake:
    """In the place of `core.fill`: three pictures, each lighter; notes what it was asked for."""

    def __init__(self):
        self.asked, self.fail, self.stop_at = [], None, None

    def __call__(self, image, known, *, work=None, again=False, progress=None, **options):
        self.asked.append({"work": work, "again": again, **options})
        if self.fail:
            raise self.fail
        filled = image.copy()
        for step, said in enumerate(("A smooth filling.", "Better.", "Better still.")):
            filled[~known] = 0.25 * (step + 1)
            progress(core.Progress(said, filled, (0.01, 0.5, 0.9)[step], 1.0))
            if step == self.stop_at:
                (work / "state").write_text("where it was")
                return core.Filled(filled, {}, "Stopped early.", True)
        return core.Filled(filled, {"chosen": "network"}, "It helps.", False)


@pytest.fixture
def fake(monkeypatch):
    made = Fake()
    monkeypatch.setattr(core, "fill", made)
    monkeypatch.setattr(photos, "SELDOM", 0.0)
    return made


def filled_with(path, missing):
    """What the missing pixels of a result hold, as one of the fake's three pictures."""
    values = np.unique(np.asarray(Image.open(path))[missing])
    assert len(values) == 1
    return {64: "first", 128: "second", 191: "last"}[int(values[0])]


# One picture ------------------------------------------------------------------------------


def test_the_command_fills_what_is_missing_and_nothing_else(
    holed, clean, missing, tmp_path, capsys
):
    """With the network, in short."""
    assert main(["restore", "photo.png", "--device", "cpu", "--iterations", "3"]) == 0
    said = capsys.readouterr().out
    assert f"51×37 pixels, colour, 8 bits; {missing.sum():,} of them" in said
    assert "Written: photo-restored.png" in said
    made = np.asarray(Image.open("photo-restored.png"))
    assert made.shape == clean.shape and (made[~missing] == clean[~missing]).all()
    error = np.abs(made[missing].astype(float) - clean[missing]).mean()
    assert error < np.abs(0.0 - clean[missing]).mean() / 2
    names = sorted(path.name for path in tmp_path.iterdir() if path.name != ".work")
    assert names == ["photo-restored.png", "photo.png"], "nothing else lies there"


def test_options_reach_the_fit(holed, fake):
    words = "--minutes 3 --recipe best --iterations 7 --seed 4 --device cpu --precision fp32"
    assert main(["restore", "photo.png", *words.split(), "--smaller"]) == 0
    (asked,) = fake.asked
    assert {key: asked[key] for key in asked if key not in ("work", "again")} == {
        "minutes": 3.0, "recipe": "best", "iterations": 7, "seed": 4, "device": "cpu",
        "precision": "fp32", "smaller": True,
    }  # fmt: skip
    assert main(["restore", "photo.png", "--to", "other.png"]) == 0
    assert {key for key in fake.asked[1]} == {"work", "again", "seed", "smaller"}


def test_pictures_on_the_way_are_on_disk_and_lines_come_without_a_terminal(
    holed, fake, missing, monkeypatch
):
    seen = []
    original = photos.Showing.__call__

    def looked(showing, progress):
        original(showing, progress)
        seen.append(filled_with("photo-restored.png", missing))

    monkeypatch.setattr(photos.Showing, "__call__", looked)
    monkeypatch.setattr(photos, "PLAIN_S", 0.0)
    lines = []
    photos.restore("photo.png", say=lines.append)
    assert seen == ["first", "second", "last"]
    assert "A smooth filling. The picture so far is in 'photo-restored.png'." in lines
    assert [line for line in lines if line in ("Better.", "Better still.")]
    assert lines[-2:] == ["It helps.", "Written: photo-restored.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "photo.png"], "would replace a picture that it is made from"),
        (["--mask", "mask.png", "--to", "mask.png"], "would replace a picture"),
        (["--to", "a.gif"], "call it 'a.png'"),
        (["--to", "nowhere/a.png"], "no folder 'nowhere'"),
        (["--recipe", "slow"], "No recipe is called 'slow'; there are blog"),
        (["--iterations", "0"], "from 1 to"),
        (["--minutes", "0"], "above 0"),
        (["--minutes", "nan"], "above 0"),
        (["--device", "gpu"], "no device 'gpu' here"),
        (["--mask", "none.png"], "There is no picture 'none.png'"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_what_is_wrong_is_said_before_any_work(holed, missing, tmp_path, capsys, words, said):
    write(tmp_path / "mask.png", ~missing)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert main(["restore", "photo.png", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("*.png")} == before


def test_a_folder_that_cannot_be_written_to_is_found_before_any_work(holed, fake, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(placing.Path, "write_bytes", refuse)
    with pytest.raises(images.ImageError, match=r"cannot be written to \(Permission denied\)"):
        photos.restore("photo.png", say=None)
    assert not fake.asked


def test_a_folder_as_target(holed, fake, tmp_path):
    (tmp_path / "out").mkdir()
    assert main(["restore", "photo.png", "--to", "out"]) == 0
    assert main(["restore", "photo.png", "--to", "new/"]) == 0
    assert (tmp_path / "out/photo-restored.png").exists()
    assert (tmp_path / "new/photo-restored.png").exists()


def test_a_full_disk_is_said_and_ends_no_work_that_has_a_picture(holed, fake, monkeypatch):
    lines, wrote = [], []
    original = photos.files.write_whole

    def full(to, data):
        if to.name == "a.png" and len(wrote) == 1:
            wrote.append(None)
            raise OSError(28, "No space left on device")
        original(to, data)
        wrote.extend([None] if to.name == "a.png" else [])

    monkeypatch.setattr(photos.files, "write_whole", full)
    monkeypatch.setattr(photos, "SELDOM", 0.0)
    photos.restore("photo.png", "a.png", say=lines.append)
    assert len(wrote) > 2 and any("No space left on device); the work goes on" in s for s in lines)


def test_a_disk_that_is_full_for_pictures_on_the_way_lets_the_result_be_tried(
    holed, fake, missing, monkeypatch
):
    lines, tries = [], []
    original = photos.files.write_whole

    def full(to, data):
        if to.name == "a.png":
            tries.append(to)
            if len(tries) <= 3:
                raise OSError(28, "No space left on device")
        original(to, data)

    monkeypatch.setattr(photos.files, "write_whole", full)
    assert photos.restore("photo.png", "a.png", say=lines.append).name == "a.png"
    assert len(tries) == 4 and filled_with("a.png", missing) == "last"
    assert sum("No space left on device); the work goes on" in line for line in lines) == 3
    assert not any("so far is in" in line for line in lines)


def test_a_disk_that_stays_full_is_said_at_the_end(holed, fake, monkeypatch, capsys):
    def full(to, data):
        raise OSError(28, "No space left on device", str(to))

    monkeypatch.setattr(photos.files, "write_whole", full)
    assert main(["restore", "photo.png", "--to", "a.png"]) == 2
    assert "'a.png': No space left on device." in capsys.readouterr().err
    assert len(fake.asked) == 1, "all the work was done"


def test_a_kill_between_a_picture_and_its_note_is_gone_on_from(holed, fake, monkeypatch):
    original = photos.Job.note

    def killed(job, **facts):
        if "written" in facts:
            raise SystemExit(9)
        original(job, **facts)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(photos.Job, "note", killed)
        photos.restore("photo.png", "a.png", say=None)
    assert photos.restore("photo.png", "a.png", say=None).exists(), "it knows its own result"


def test_what_a_dead_process_left_beside_the_result_is_swept_up(holed, fake, tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    left, mine = tmp_path / f".a.png.{dead}.part", tmp_path / ".b.png.1.part"
    left.write_bytes(b"half"), mine.write_bytes(b"of another result")
    old, new = tmp_path / ".a.png.1.part", tmp_path / f".a.png.{os.getppid()}.part"
    old.write_bytes(b"half"), new.write_bytes(b"half")  # of numbers that live: of others by now
    os.utime(old, (time.time() - placing.OLD - 60,) * 2)
    here, there = (
        tmp_path / f".a.png.{machine}-{dead}.part" for machine in (placing._machine(), "0ther0")
    )
    here.write_bytes(b"half"), there.write_bytes(b"another machine's, on a shared disk")
    photos.restore("photo.png", "a.png", say=None)
    assert not left.exists() and mine.exists() and not here.exists() and there.exists()
    assert not old.exists() and new.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "-1"], "A seed is a number from 0"),
        (["--to", "x" * 5000 + ".png"], "is no path: it is too long"),
        (["--mask", "a\0b"], "has a zero byte"),
        (["--device", "meta"], "There is no device 'meta'"),
    ],
)  # fmt: skip
def test_what_no_system_takes_is_said(holed, fake, capsys, words, said):
    assert main(["restore", "photo.png", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and len(error) < 200


@pytest.mark.parametrize("of", ["picture", "mask", "to"])
@pytest.mark.parametrize("path", ["x" * 300 + ".png", "x" * 300, "x" * 300 + "/a.png"])
def test_a_name_that_is_too_long_is_said_in_python_too(holed, fake, of, path):
    with pytest.raises(images.ImageError, match="is no path: it is too long"):
        photos.restore(**{"picture": "photo.png", of: path}, say=None)
    if of != "to":
        with pytest.raises(images.ImageError, match="is no path: it is too long"):
            photos.load_damaged(**{"picture": "photo.png", of: path})


# Going on ---------------------------------------------------------------------------------


def test_an_interrupt_keeps_the_best_so_far_and_the_same_command_goes_on(
    holed, fake, missing, capsys
):
    fake.stop_at = 1
    assert main(["restore", "photo.png"]) == 130
    said = capsys.readouterr().out
    assert "The picture so far is in 'photo-restored.png'; the same command goes on." in said
    assert filled_with("photo-restored.png", missing) == "second"
    work = fake.asked[0]["work"]
    assert (work / "state").exists() and not fake.asked[0]["again"]
    fake.stop_at = None
    assert main(["restore", "photo.png"]) == 0
    assert fake.asked[1]["work"] == work and not fake.asked[1]["again"]
    assert filled_with("photo-restored.png", missing) == "last"


def test_going_on_never_replaces_a_result_by_a_worse_one(holed, fake, missing, monkeypatch):
    fake.stop_at = 1
    assert main(["restore", "photo.png"]) == 130
    fake.stop_at = 0
    assert main(["restore", "photo.png"]) == 130, "interrupted before it was where it had been"
    assert filled_with("photo-restored.png", missing) == "second"
    fake.fail = RunError("The checkpoints are of other settings: seed is 1 here and 0 there.")
    assert main(["restore", "photo.png", "--seed", "1"]) == 2
    assert filled_with("photo-restored.png", missing) == "second"


def test_an_interrupt_before_there_is_a_picture(holed, fake, capsys, tmp_path):
    fake.fail = KeyboardInterrupt()
    assert main(["restore", "photo.png"]) == 130
    said = capsys.readouterr().out
    assert "There is no picture yet; the same command goes on." in said
    assert not (tmp_path / "photo-restored.png").exists()
    fake.fail = None
    assert main(["restore", "photo.png"]) == 0


def test_who_follows_what_is_said_after_an_interrupted_again_loses_no_work(
    holed, fake, missing, capsys
):
    """With --again, the same command would throw away the hours that it says it goes on from."""
    assert main(["restore", "photo.png"]) == 0
    fake.stop_at = 1
    assert main(["restore", "photo.png", "--again"]) == 130
    assert "; the same command without --again (again=True) goes on." in capsys.readouterr().out
    fake.stop_at = None
    assert main(["restore", "photo.png"]) == 0 and not fake.asked[2]["again"]
    assert filled_with("photo-restored.png", missing) == "last"


def test_an_again_that_was_interrupted_before_it_wrote_begins_anew(holed, fake, capsys):
    """Without --again, what lies there would be somebody's."""
    Path("photo-restored.png").write_bytes(b"to be written over")
    fake.fail = KeyboardInterrupt()
    assert main(["restore", "photo.png", "--again"]) == 130
    said = capsys.readouterr().out
    assert "'photo-restored.png' is as it was; the same command begins anew." in said
    fake.fail = None
    assert main(["restore", "photo.png", "--again"]) == 0


def test_a_finished_run_is_left_or_continued(holed, fake, capsys):
    assert main(["restore", "photo.png"]) == 0
    assert main(["restore", "photo.png"]) == 0 and len(fake.asked) == 1
    assert "is there already, restored from 'photo.png'. Go on with" in capsys.readouterr().out
    assert main(["restore", "photo.png", "--minutes", "5"]) == 0
    assert fake.asked[1]["minutes"] == 5 and not fake.asked[1]["again"]
    assert main(["restore", "photo.png", "--again"]) == 0 and fake.asked[2]["again"]
    assert main(["restore", "photo.png", "--seed", "3"]) == 0, "here the fit says what differs"
    assert len(fake.asked) == 4


def test_other_pixels_missing_or_another_picture_is_said(holed, clean, fake, missing, capsys):
    assert main(["restore", "photo.png"]) == 0
    assert main(["restore", "photo.png", "--missing", "black", "--grow", "1"]) == 2
    assert "was made from other missing pixels: choose another name" in capsys.readouterr().err
    write(holed, np.where(missing[..., None], 0, clean[:, ::-1]).astype(np.uint8))
    assert main(["restore", "photo.png"]) == 2
    assert "was made from other pixels of the picture" in capsys.readouterr().err
    assert main(["restore", "photo.png", "--again"]) == 0


def test_a_file_that_is_there_already_is_only_replaced_when_asked(holed, clean, fake, capsys):
    other = write(Path("photo-restored.png"), clean).read_bytes()
    assert main(["restore", "photo.png"]) == 2
    assert "is there already: choose another name, or write over it" in capsys.readouterr().err
    assert Path("photo-restored.png").read_bytes() == other and not fake.asked
    assert main(["restore", "photo.png", "--again"]) == 0
    write(Path("photo-restored.png"), clean)  # and then by hand
    assert main(["restore", "photo.png"]) == 2


def test_files_of_the_users_are_left_alone(holed, fake, tmp_path):
    theirs = [tmp_path / name for name in ("a.checkpoint", "a.quick.checkpoint", "a.png.tmp")]
    for path in theirs:
        path.write_text("mine")
    folder = photos.place(tmp_path / "a.png")
    folder.mkdir(parents=True)
    (folder / "diary.txt").write_text("mine")  # even there
    assert main(["restore", "photo.png", "--to", "a.png", "--again"]) == 0
    assert all(path.read_text() == "mine" for path in (*theirs, folder / "diary.txt"))
    assert fake.asked[0]["work"] is None, "nothing is kept in a folder that is somebody else's"


@pytest.mark.parametrize("again", [[], ["--again"]])
def test_the_picture_so_far_may_be_edited_while_better_ones_are_made(
    holed, fake, again, monkeypatch, capsys
):
    result, beside = Path("photo-restored.png"), Path("photo-restored-3.png")
    if again:
        result.write_bytes(b"to be written over")
    Path("photo-restored-2.png").write_bytes(b"somebody's")
    wrote = photos.Showing.write

    def edited(showing, image):
        wrote(showing, image)
        if showing.to == result:
            result.write_bytes(b"retouched")  # while the next picture is made

    monkeypatch.setattr(photos.Showing, "write", edited)
    assert main(["restore", "photo.png", *again]) == 0
    assert result.read_bytes() == b"retouched"
    assert Path("photo-restored-2.png").read_bytes() == b"somebody's"
    assert np.asarray(Image.open(beside))[12, 20, 0] == 191, "the last picture, beside it"
    said = capsys.readouterr().out
    assert said.count("'photo-restored.png' has been changed meanwhile, and stays as it is") == 1
    assert f"Written: {beside}" in said
    assert main(["restore", "photo.png"]) == 2 and result.read_bytes() == b"retouched"
    assert "'photo-restored.png' is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stop_at", "why"), [(None, errno.EPERM), (1, errno.EPERM), (None, errno.EBUSY)]
)
def test_the_result_of_long_work_goes_beside_a_file_that_may_not_be_replaced(
    holed, fake, stop_at, why, monkeypatch, capsys
):
    result, beside = Path("photo-restored.png"), Path("photo-restored-2.png")
    result.write_bytes(b"another's")
    replace, fake.stop_at = os.replace, stop_at

    def protected(source, target):  # another's, in /tmp, say; or mounted by itself
        if Path(target).name == result.name:
            raise OSError(why, os.strerror(why), str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", protected)
    assert main(["restore", "photo.png", "--again"]) == (0 if stop_at is None else 130)
    assert result.read_bytes() == b"another's"
    assert np.asarray(Image.open(beside))[12, 20, 0] == (191 if stop_at is None else 128)
    said = capsys.readouterr().out
    assert f"'photo-restored.png' cannot be replaced ({os.strerror(why)})" in said
    there = "Written: {}" if stop_at is None else "The picture so far is in '{}'"
    assert there.format(beside) in said
    assert not list(Path().glob("*.part"))


def test_an_interrupt_after_the_picture_so_far_was_edited(holed, fake, monkeypatch, capsys):
    result, beside = Path("photo-restored.png"), Path("photo-restored-2.png")
    wrote, fake.stop_at = photos.Showing.write, 1

    def edited(showing, image):
        wrote(showing, image)
        if showing.to == result:
            result.write_bytes(b"retouched")

    monkeypatch.setattr(photos.Showing, "write", edited)
    assert main(["restore", "photo.png"]) == 130
    assert (
        "The picture so far is in 'photo-restored-2.png'; the same command goes on, once "
        "'photo-restored.png' is moved away." in capsys.readouterr().out
    )
    monkeypatch.setattr(photos.Showing, "write", wrote)
    result.rename("mine.png")
    fake.stop_at = None
    assert main(["restore", "photo.png"]) == 0 and result.exists() and beside.exists()
    assert (fake.asked[1]["work"] / "state").exists(), "it goes on, and does not begin anew"


def test_what_was_begun_long_ago_is_forgotten(holed, fake):
    assert main(["restore", "photo.png"]) == 0
    old, other = photos.place(Path("photo-restored.png")), photos.work_root() / "other"
    other.mkdir()
    (other / photos.JOB).write_text(json.dumps({"what": "something else"}))
    for folder in (old, other):
        os.utime(folder / photos.JOB, (0, 0))
    assert main(["restore", "photo.png", "--to", "b.png"]) == 0
    assert not old.exists() and other.exists()


def test_what_was_begun_long_ago_and_goes_on_is_not_forgotten(holed, fake):
    """The machine slept, or its clock was wrong."""
    assert main(["restore", "photo.png"]) == 0
    old = photos.place(Path("photo-restored.png"))
    os.utime(old / photos.JOB, (0, 0))
    with photos.filelock.FileLock(old / "lock"):
        assert main(["restore", "photo.png", "--to", "b.png"]) == 0
    assert old.exists()


@pytest.mark.parametrize("copied", [False, True])
def test_a_restoration_goes_on_where_its_folder_was_moved(holed, fake, capsys, copied):
    """Of a copy it does not: that has two results, and one job."""
    Path("photos").mkdir()
    Path("photo.png").rename("photos/photo.png")
    fake.stop_at = 1
    assert main(["restore", "photos/photo.png", "--to", "photos"]) == 130
    (fake.asked[0]["work"] / "state").write_text("hours of work")
    fake.stop_at = None
    if copied:
        shutil.copytree("photos", "album")
    else:
        Path("photos").rename("album")
    status = main(["restore", "album/photo.png", "--to", "album"])
    if copied:
        assert status == 2 and "is there already" in capsys.readouterr().err
    else:
        assert status == 0 and not fake.asked[0]["work"].exists()
        assert (fake.asked[1]["work"] / "state").read_text() == "hours of work"
        record = json.loads((fake.asked[1]["work"].parent / photos.JOB).read_text())
        assert record["to"] == os.path.realpath("album/photo-restored.png"), "not where it was"


def test_what_was_interrupted_and_moved_outlives_another_result_of_its_name(
    holed, missing, fake, tmp_path
):
    """The picture with another mask is tried under the old name; then the first goes on."""
    write(tmp_path / "mask.png", np.where(missing, 0, 255).astype(np.uint8))
    more = np.where(missing, 0, 255).astype(np.uint8)
    more[0, 0] = 0
    write(tmp_path / "more.png", more)
    fake.stop_at = 1
    assert main(["restore", "photo.png", "--mask", "mask.png"]) == 130
    (fake.asked[0]["work"] / "state").write_text("hours of work")
    Path("older").mkdir()
    Path("photo-restored.png").rename("older/photo-restored.png")
    fake.stop_at = None
    assert main(["restore", "photo.png", "--mask", "more.png"]) == 0
    assert not (fake.asked[1]["work"] / "state").exists()
    assert main(["restore", "photo.png", "--mask", "mask.png", "--to", "older"]) == 0
    assert (fake.asked[2]["work"] / "state").read_text() == "hours of work"
    (fake.asked[1]["work"] / "state").write_text("hours of work, finished")
    Path("photo-restored.png").rename("older/another.png")
    assert main(["restore", "photo.png", "--mask", "mask.png"]) == 0
    more = ["--mask", "more.png", "--minutes", "9"]
    assert main(["restore", "photo.png", *more, "--to", "older/another.png"]) == 0
    assert (fake.asked[4]["work"] / "state").read_text() == "hours of work, finished"


@pytest.mark.parametrize("mask", ["mask.png", "more.png"])
def test_what_was_interrupted_and_moved_outlives_a_file_put_in_its_place(
    holed, missing, fake, tmp_path, mask
):
    """An older result comes back to its name and is begun anew there; then the newer goes on."""
    known = np.where(missing, 0, 255).astype(np.uint8)
    write(tmp_path / "mask.png", known)
    known[0, 0] = 0
    write(tmp_path / "more.png", known)
    result = Path("photo-restored.png")
    assert main(["restore", "photo.png", "--mask", mask]) == 0
    result.rename("older.png")
    fake.stop_at = 1
    assert main(["restore", "photo.png", "--mask", "mask.png"]) == 130
    (fake.asked[1]["work"] / "state").write_text("hours of work")
    result.rename("newer.png")
    Path("older.png").rename(result)
    fake.stop_at = None
    assert main(["restore", "photo.png", "--mask", mask, "--again"]) == 0
    assert not (fake.asked[2]["work"] / "state").exists()
    assert main(["restore", "photo.png", "--mask", "mask.png", "--to", "newer.png"]) == 0
    assert (fake.asked[3]["work"] / "state").read_text() == "hours of work"


def test_a_moved_result_goes_on_also_where_it_was_a_copy_at_first(holed, fake, capsys):
    """The copy is refused, as long as there are two; that leaves nothing in its way."""
    result = Path("photo-restored.png")
    fake.stop_at = 1
    assert main(["restore", "photo.png"]) == 130
    (fake.asked[0]["work"] / "state").write_text("hours of work")
    shutil.copy(result, "newer.png")
    fake.stop_at = None
    assert main(["restore", "photo.png", "--to", "newer.png"]) == 2
    assert "is there already" in capsys.readouterr().err
    result.write_bytes(b"somebody's")
    assert main(["restore", "photo.png", "--to", "newer.png"]) == 0
    assert (fake.asked[1]["work"] / "state").read_text() == "hours of work"
    assert result.read_bytes() == b"somebody's"


@pytest.mark.parametrize("stop_at", [None, 1, "no picture"])
def test_a_result_goes_on_where_it_was_moved_onto_an_older_one(holed, fake, tmp_path, stop_at):
    """The better of two takes the name; what it replaced, moved away before, goes on there."""
    result, better = Path("photo-restored.png"), Path("better.png")
    fake.stop_at = 1 if stop_at else None
    main(["restore", "photo.png"])
    (fake.asked[0]["work"] / "state").write_text("hours of work")
    if stop_at == "no picture":  # it was killed before it had written one
        record = fake.asked[0]["work"].parent / photos.JOB
        facts = json.loads(record.read_text())
        record.write_text(json.dumps({k: facts[k] for k in ("what", "to", "picture", "missing")}))
    another = np.array(Image.open("photo.png"))
    another[-1, -1, :3] = 77
    write(tmp_path / "another.png", another)
    fake.stop_at = 1
    assert main(["restore", "another.png", "--to", str(better)]) == 130
    (fake.asked[1]["work"] / "state").write_text("better work")
    result.rename("older.png")
    better.rename(result)
    fake.stop_at = None
    assert main(["restore", "another.png", "--to", str(result)]) == 0
    assert (fake.asked[2]["work"] / "state").read_text() == "better work"
    if stop_at == "no picture":
        return
    assert main(["restore", "photo.png", "--to", "older.png"]) == 0
    if stop_at:
        assert (fake.asked[3]["work"] / "state").read_text() == "hours of work"


def test_a_record_that_a_power_cut_emptied_ends_no_going_on(holed, fake):
    """Its result is begun anew, when asked for; that is kept, and goes on."""
    fake.stop_at = 1
    assert main(["restore", "photo.png"]) == 130
    record = photos.place(Path("photo-restored.png")) / photos.JOB
    for emptied in (b"", bytes(300)):
        record.write_bytes(emptied)
        assert main(["restore", "photo.png"]) == 2, "it cannot tell whose result this is"
        assert main(["restore", "photo.png", "--again"]) == 130
        assert fake.asked[-1]["work"].is_dir()
        assert main(["restore", "photo.png"]) == 130


def test_a_copy_of_a_result_that_was_moved_and_left_as_it_is_is_refused(holed, fake, capsys):
    """The job knows the new place at once, also where nothing was to be written there."""
    result, copy = Path("newer.png"), Path("copy.png")
    assert main(["restore", "photo.png"]) == 0
    Path("photo-restored.png").rename(result)
    assert main(["restore", "photo.png", "--to", "newer.png"]) == 0
    shutil.copy(result, copy)
    more = ["--minutes", "5"]
    assert main(["restore", "photo.png", "--to", "copy.png", *more]) == 2
    assert "is there already" in capsys.readouterr().err
    assert copy.read_bytes() == result.read_bytes()
    assert main(["restore", "photo.png", "--to", "newer.png", *more]) == 0


def test_a_result_of_another_process_is_waited_for(holed, fake, capsys):
    folder = photos.place(Path("photo-restored.png"))
    folder.mkdir(parents=True)
    with photos.filelock.FileLock(folder / "lock"):
        assert main(["restore", "photo.png"]) == 2
    assert "Another process is restoring into 'photo-restored.png'" in capsys.readouterr().err


def test_numbers_of_other_kinds_are_numbers(holed, fake):
    """A loop over numpy's; and what was made with one is found again."""
    options = {"seed": np.int64(1), "minutes": np.float32(3), "smaller": np.bool_(True)}
    photos.restore("photo.png", **options, say=None)
    photos.restore("photo.png", "few.png", iterations=np.int32(3), say=None)
    said = []
    photos.restore("photo.png", "few.png", iterations=3, say=said.append)
    assert len(fake.asked) == 2 and "is there already, restored from" in said[-1]


@pytest.mark.parametrize("line", ["51×37 pixels", "A smooth filling"])
def test_a_result_goes_where_it_was_to_go_when_its_reader_stands_elsewhere(
    holed, fake, missing, tmp_path, line
):
    """A notebook's %cd while a thread restores; a picture of the same name there stays."""
    theirs = tmp_path / "elsewhere" / "photo-restored.png"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")

    def say(text):
        if line in text:
            os.chdir(theirs.parent)

    photos.restore(tmp_path / "photo.png", "photo-restored.png", say=say)
    said = []
    photos.restore(tmp_path / "photo.png", tmp_path / "photo-restored.png", say=said.append)
    assert "is there already, restored from" in said[-1], "it was not found again"
    assert Path.cwd() == theirs.parent and theirs.read_bytes() == b"theirs"
    assert filled_with(tmp_path / "photo-restored.png", missing) == "last"


SLOW = """
import sys, time
from pathlib import Path
from dip_book.restoring import core, photos
def fill(image, known, *, progress, work, **options):
    filled = image.copy()
    filled[~known] = 0.5
    try:
        progress(core.Progress("A smooth filling.", filled, 0.1, 60))
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        return core.Filled(filled, {}, "Stopped early.", True)
core.fill = fill
photos.work_root = lambda: Path(".work").absolute()
from dip_book.cli import main
sys.exit(main(["restore", "photo.png"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_keeps_the_best_so_far(holed, missing, tmp_path):
    path = os.pathsep.join([str(ROOT), str(ROOT / "book")])
    working = subprocess.Popen(
        [sys.executable, "-c", SLOW], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    for line in working.stdout:
        if "The picture so far" in line:
            break
    working.send_signal(signal.SIGTERM)
    said, _ = working.communicate(timeout=60)
    assert working.returncode == 128 + signal.SIGTERM
    assert "The picture so far is in 'photo-restored.png'; the same command goes on." in said
    assert filled_with(tmp_path / "photo-restored.png", missing) == "second"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_destructor_is_not_forgotten(number):
    """Python shows such a one and goes on."""

    class Dying:
        def __del__(self):
            signal.raise_signal(number)

    with photos.stopped_by_signals() as stopped, pytest.raises(KeyboardInterrupt):
        Dying()
        for _ in range(200):  # as a fit has a moment between two steps
            time.sleep(0.01)
    assert stopped == [number] * 2 * (number != signal.SIGINT)


# Many pictures ----------------------------------------------------------------------------


def test_one_that_fails_leaves_the_others_to_be_restored(holed, fake, clean, capsys, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    write(tmp_path / "third.png", np.asarray(Image.open(holed)))
    assert main(["restore", "photo.png", "broken.png", "third.png", "--to", "out"]) == 1
    said = capsys.readouterr()
    assert "'broken.png' is no picture of a known kind" in said.err
    assert "1 of 3 pictures were not restored." in said.err and "[3/3] third.png" in said.out
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert main(["restore", "broken.png"]) == 2
    for fault in (MemoryError(), RuntimeError("a fault of ours")):
        fake.fail = fault
        words = ["restore", "photo.png", "--to", "b.png"]
        if isinstance(fault, MemoryError):
            assert main(words) == 2 and "does not fit into" in capsys.readouterr().err
        else:
            with pytest.raises(RuntimeError, match="a fault of ours"):
                main(words)


def test_a_folder_of_masks(holed, clean, missing, fake, tmp_path, capsys):
    for name in ("a.jpg", "b.png", "c.png"):
        write(tmp_path / name, clean)
    masks = tmp_path / "masks"
    masks.mkdir()
    write(masks / "a.png", ~missing)
    write(masks / "b.png", missing)
    assert main(["restore", "a.jpg", "b.png", "c.png", "--mask", "masks", "--to", "out"]) == 1
    assert "'masks' holds no mask of the name 'c'" in capsys.readouterr().err
    assert filled_with("out/a-restored.png", missing) == "last"
    assert filled_with("out/b-restored.png", ~missing) == "last"
    write(masks / "a.bmp", ~missing)
    assert main(["restore", "a.jpg", "--mask", "masks", "--again"]) == 2
    assert "holds 2 masks for 'a.jpg': a.bmp, a.png" in capsys.readouterr().err


def test_a_picture_is_not_its_own_mask(holed, clean, missing, fake, tmp_path, capsys):
    """Letters on white look like a mask, and would all be filled in; the mask lies beside it."""
    write(tmp_path / "scan.png", (~missing * 255).astype(np.uint8))
    for mask in ("scan.png", "./scan.png"):
        assert main(["restore", "scan.png", "--mask", mask]) != 0
        assert "is the picture itself: its mask is another file" in capsys.readouterr().err
    for folder in (".", ""):
        assert main(["restore", "scan.png", "--mask", folder]) != 0
        assert "holds no mask of the name 'scan'" in capsys.readouterr().err
    write(tmp_path / "scan.bmp", missing)
    assert main(["restore", "scan.png", "--mask", "."]) == 0
    assert filled_with("scan-restored.png", ~missing) == "last"


def test_two_pictures_never_share_a_result(holed, fake, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub/photo.jpg", np.asarray(Image.open(holed)))
    assert main(["restore", "photo.png", "sub/photo.jpg"]) == 2
    assert "would both be written to 'photo-restored.png'" in capsys.readouterr().err
    assert main(["restore", "photo.png", "sub/photo.jpg", "--to", "x.png"]) == 2
    assert "give --to a folder" in capsys.readouterr().err
    assert main(["restore", "photo.png", "sub/photo.jpg", "--to", "no/where"]) == 2
    assert "no folder 'no'" in capsys.readouterr().err
    assert main(["restore", "photo.png", "photo.png"]) == 0, "one picture, named twice"
    assert len(fake.asked) == 1


def test_an_interrupt_ends_all_and_says_how_many_are_left(holed, fake, tmp_path, capsys):
    write(tmp_path / "b.png", np.asarray(Image.open(holed)))
    fake.stop_at = 0
    assert main(["restore", "photo.png", "b.png"]) == 130
    assert "Not begun: 1 more." in capsys.readouterr().out and len(fake.asked) == 1


# In Python --------------------------------------------------------------------------------


def test_arrays_of_a_damaged_picture(holed, clean, missing):
    with pytest.raises(images.ImageError, match="not int"):
        photos.load_damaged(123)
    x_hat, known = photos.load_damaged(holed)
    assert (known == ~missing).all() and not x_hat[missing].any()
    assert np.allclose(x_hat[known], clean[known] / 255, atol=1e-6)


def test_in_python_an_interrupt_is_an_error_of_its_own(holed, fake):
    fake.stop_at = 1
    with pytest.raises(photos.Unfinished, match="The picture so far is in 'b.png'"):
        photos.restore(holed, "b.png", say=None)
