"""What surrounds a command: its terminal, folders, links, variables, limits, damaged results.

`attacks.surroundings` draws some of it at random; here is what was found, each with its end.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import dip_book
import numpy as np
import pytest
from attacks.surroundings import Full
from conftest import store_run
from dip_book import bench, cli, commands, images, runs, words
from dip_book.build import pairs
from dip_book.restoring import files, photos
from dip_book.results import decibel, denoising, filling, holes
from dip_book.runs import Spec, again, measured, placing, provenance, store, sweeps
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A picture with a hole, in a folder where the test stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photos, "work_root", lambda: tmp_path / ".work")
    pixels = np.random.default_rng(0).integers(1, 256, (12, 15)).astype(np.uint8)
    pixels[3:6, 4:9] = 0
    Image.fromarray(pixels).save("photo.png")

    def fill(image, known, *, progress=None, **options):
        filled = np.where(known, image, 0.5).astype(np.float32)
        progress(photos.core.Progress("half", filled, 0.5, None))
        return photos.core.Filled(filled, {}, "Filled.", False)

    monkeypatch.setattr(photos.core, "fill", fill)
    return "photo.png"


# The terminal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_that_a_terminal_has_not_got_are_no_reason_to_fail(photo, encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["restore", photo, "--to", "new.png"]) == 0
    with pytest.raises(SystemExit, match="0"):  # σ, ± and the like are in words of help
        cli.main(["run", "--help"])
    stream.flush()
    assert b"Written: new.png" in stream.buffer.getvalue()


def test_closed_streams_are_no_reason_to_fail(photo, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["restore", photo, "--to", "new.png"]) == 0 and Path("new.png").exists()


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    code = "from dip_book import cli; cli._open_streams(); print(open('x', 'w').fileno())"
    code = f"import os, sys; os.close(0); os.close(2); {code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert int(done.stdout) > 2


def test_a_full_disk_behind_the_words_is_said_and_ends_no_work(photo, monkeypatch, capfd):
    full = io.TextIOWrapper(io.BufferedWriter(Full()), "utf-8")
    monkeypatch.setattr(sys, "stdout", full)
    assert cli.main(["restore", photo, "--to", "new.png"]) == 2
    assert Path("new.png").exists(), "the work was ended"
    assert "What is printed cannot be written: No space left" in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no such terminals here")
def test_a_terminal_that_is_closed_ends_no_work(photo, monkeypatch, capfd):
    near, far = os.openpty()

    def fill(image, known, *, progress=None, **options):
        filled = np.where(known, image, 0.5).astype(np.float32)
        progress(photos.core.Progress("a quarter", filled, 0.25, None))
        os.close(near)  # its window; the work was put into the background before (disown)
        progress(photos.core.Progress("half", filled, 0.5, None))
        return photos.core.Filled(filled, {"all": "done"}, "Filled.", False)

    monkeypatch.setattr(photos.core, "fill", fill)
    with open(far, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("TERM", "xterm")
        assert cli.main(["restore", photo, "--to", "new.png"]) == 2
    (job,) = Path(".work").glob("*/job.json")
    assert json.loads(job.read_text())["report"] == {"all": "done"}, "the work was ended"
    assert "What is printed cannot be written" in capfd.readouterr().err


def test_words_to_a_closed_terminal_leave_the_other_pictures_to_be_restored(photo, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(Full()), "utf-8"))
    Path("to").mkdir()
    assert photos.restore_all(["none.png", photo], "to", say=lambda line: None) == 1
    assert Path("to/photo-restored.png").exists()


def test_nobody_who_listens_ends_the_work(monkeypatch):
    def broken(*words, **options):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(words, "print", broken)
    with pytest.raises(BrokenPipeError):
        words.told("x")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (OSError("it needs a folder"), 2, "This cannot start here: it needs a folder"),
        (ValueError("'x' is no backend"), 2, "'x' is no backend"),
    ],
)
def test_what_befalls_a_command_before_it_begins(error, status, said, monkeypatch, capsys):
    class Importing:
        @staticmethod
        def find_spec(name, path, target=None):
            if name == "dip_book.commands":
                raise error

    monkeypatch.delattr(dip_book, "commands", raising=False)
    monkeypatch.delitem(sys.modules, "dip_book.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Importing, *sys.meta_path])
    assert cli.main(["status"]) == status
    assert said in "".join(capsys.readouterr())


def test_warnings_stay_words_where_they_are_made_errors(tmp_path, capsys):
    (tmp_path / "blog.json").write_text("x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert commands.run(cli.parser().parse_args(["pack", "--store", str(tmp_path)])) == 2
    assert "blog.json is damaged" in capsys.readouterr().err


# Folders, links and variables ---------------------------------------------------------------------


def test_a_folder_that_is_gone_is_said(tmp_path, monkeypatch, capsys):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    assert cli.main(["status", "--store", str(tmp_path)]) == 2
    assert "has been removed" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody can remove it")
def test_a_folder_that_is_gone_is_said_before_a_library_stumbles_over_it(tmp_path):
    code = "import os, sys; os.rmdir(os.getcwd()); from dip_book.cli import main; main(['status'])"
    path = os.pathsep.join([str(ROOT), str(ROOT / "book")])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == "The folder that you are in has been removed: change into another (cd).\n"


def test_a_tilde_that_the_shell_left_is_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    parsed = cli.parser().parse_args
    assert parsed(["status", "--store=~/runs"]).store == tmp_path / "runs"
    assert parsed(["restore", "x.png", "--to=~/y.png"]).to == str(tmp_path / "y.png")
    assert parsed(["restore", "x.png", "--mask=~/m.png"]).mask == tmp_path / "m.png"


def test_pictures_in_a_home_that_there_is_not(monkeypatch):
    monkeypatch.setenv("DIP_IMAGES", "~nobody-at-all/images")
    monkeypatch.setattr("pooch.os_cache", lambda name: Path("~/.cache") / name)
    monkeypatch.setattr("pooch.retrieve", lambda *words, **options: 1 / 0)
    assert not images.available("house")
    with pytest.raises(images.ImageError, match="'house' is missing"):
        images.fetch("house")


@pytest.mark.parametrize("home", ["~/.cache", "relative", None])
def test_without_a_place_to_keep_anything_pictures_are_restored(photo, home, monkeypatch):
    def cache(name):
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return Path(home) / name

    monkeypatch.undo()
    monkeypatch.chdir(Path(photo).absolute().parent)
    monkeypatch.setattr("pooch.os_cache", cache)
    with pytest.raises(OSError):
        images.cache()
    with photos.Job.of(Path("new.png")) as job:
        assert job.folder is None
    assert not Path("~").exists() and not Path("relative").exists()


def test_a_user_without_a_home_is_told_why_the_book_s_pictures_cannot_be_had(tmp_path):
    code = (
        "import sys, pooch\n"
        "def cache(name): raise RuntimeError('could not determine the home directory')\n"
        "pooch.os_cache = cache\n"
        "from dip_book import cli\n"
        f"sys.exit(cli.main(['run', 'camera', '--size', '32', '--store', {str(tmp_path)!r}]))"
    )
    path = os.pathsep.join((str(ROOT), str(ROOT / "book")))
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'camera' cannot be opened here: could not determine the home" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_picture_of_the_paper_s_is_hashed_without_being_held(tmp_path, monkeypatch):
    monkeypatch.setenv("DIP_IMAGES", str(tmp_path))
    with (tmp_path / "house.png").open("wb") as file:
        file.truncate(50_000_000)
    monkeypatch.setattr(Path, "read_bytes", lambda path: 1 / 0)
    with pytest.raises(images.ImageError, match="SHA-256 differs"):
        images.fetch("house")


def test_links_in_a_circle_are_no_reason_to_fail(photo, capsys):
    Path("loop.png").symlink_to("loop.png")
    assert cli.main(["restore", "loop.png"]) == 2
    assert cli.main(["run", "loop.png", "--size", "16", "--store", "new"]) == 2
    assert cli.main(["status", "--store", "loop.png"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all("loop.png'" in line for line in lines)


def test_a_result_behind_a_link_that_leads_elsewhere_by_now_is_gone_on_with(photo, monkeypatch):
    Path("share").mkdir()
    Path("to").symlink_to("share")

    def fill(image, known, *, progress=None, **options):
        filled = np.where(known, image, 0.5).astype(np.float32)
        progress(photos.core.Progress("half", filled, 0.5, None))
        if Path("share").exists():  # a disk that is found at another place after it was lost
            os.rename("share", "share-2")
            os.unlink("to")
            os.symlink("share-2", "to")
            return photos.core.Filled(filled, {}, "", True)
        return photos.core.Filled(filled, {}, "Filled.", False)

    monkeypatch.setattr(photos.core, "fill", fill)
    with pytest.raises(photos.Unfinished, match="the same command goes on"):
        photos.restore(photo, "to/new.png", say=None)
    assert photos.restore(photo, "to/new.png", say=None) == Path("to/new.png")
    assert len([*Path(".work").iterdir()]) == 1, "there is nothing that went on"


def test_a_link_stays_one(tmp_path):
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "link.png", tmp_path / "far" / "target.png"
    link.symlink_to(target)
    for data in (b"first", b"second"):
        placing.try_writing(link)
        placing.write_whole(link, data)
        assert link.is_symlink() and target.read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["far", "link.png"]
    assert os.listdir(tmp_path / "far") == ["target.png"]


def test_a_repository_in_a_folder_of_any_name(monkeypatch):
    def run(command, **options):
        return subprocess.CompletedProcess(command, 0, b"/home/m\xfcller\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert provenance.commit.__wrapped__() == {"commit": None, "dirty": None}


def test_make_works_in_a_folder_with_a_blank(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("needs make")
    here = tmp_path / "my books"
    program = here / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", here)
    for name in ("requirements.lock", "requirements-torch.lock", "requirements-cpu.lock"):
        (here / name).touch()
    (here / "pyproject.toml").touch()
    program.write_text('#!/bin/sh\necho "$@" > asked\necho "$PATH" > path\n')
    program.chmod(0o755)
    later = time.time() + 10
    (here / ".venv" / ".ready").touch()
    os.utime(here / ".venv" / ".ready", (later, later))
    for target in ("bench", "test"):
        subprocess.run(["make", target], cwd=here, check=True, capture_output=True)
    assert "pytest" in (here / "asked").read_text()
    assert (here / "path").read_text().startswith(f"{here.resolve()}/.venv/bin:")


# What is asked for --------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_said(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("needs make")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("serve: book", "serve:")
    (tmp_path / "Makefile").write_text(makefile, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        make = ["make", "serve", f"BIN={Path(sys.executable).parent}", f"PORT={port}"]
        done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert f"Port {port} is taken" in done.stdout and done.returncode
    assert "Traceback" not in done.stderr


def test_two_results_that_are_one_file_on_this_disk(photo, tmp_path, capsys, monkeypatch):
    """As where "PHOTO" and "photo" are one name; the first is kept."""
    (tmp_path / "more").mkdir()
    shutil.copy(photo, tmp_path / "more" / "PHOTO.png")
    one = lambda path: str(path).replace("PHOTO-", "photo-")  # noqa: E731
    for there, name in ((files, "identity"), (os.path, "exists")):
        real = getattr(there, name)
        monkeypatch.setattr(there, name, lambda path, real=real: real(one(path)))
    assert cli.main(["restore", photo, "more/PHOTO.png", "--again"]) == 1
    assert "is the file that 'photo.png' was restored into" in capsys.readouterr().err
    assert Path("photo-restored.png").exists()


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("flock")])
def test_a_home_on_a_disk_without_locks(photo, monkeypatch, error):
    """Then nothing is kept to go on from, and the picture is restored."""

    def refused(self, *words, **options):
        raise error

    monkeypatch.setattr(photos.filelock.FileLock, "acquire", refused)
    assert cli.main(["restore", photo]) == 0
    assert Path("photo-restored.png").exists()


def test_a_picture_is_never_written_over_by_the_result_of_another(photo, capsys):
    shutil.copy(photo, "photo-restored.png")
    before = Path("photo-restored.png").read_bytes()
    assert cli.main(["restore", photo, "photo-restored.png", "--again"]) == 2
    assert "would be written over" in capsys.readouterr().err
    assert Path("photo-restored.png").read_bytes() == before


def test_a_mask_is_never_written_over_by_the_result_of_another_picture(photo, capsys):
    Path("masks").mkdir()
    mask = np.full((12, 15), 255, np.uint8)
    mask[3:6, 4:9] = 0
    for name in ("photo.png", "photo-restored.png"):
        Image.fromarray(mask).save(Path("masks", name))
    shutil.copy(photo, "photo-restored.png")
    before = Path("masks", "photo-restored.png").read_bytes()
    words = ["restore", photo, "photo-restored.png", "--mask", "masks", "--to", "masks"]
    assert cli.main([*words, "--again"]) == 2
    assert "is the mask of 'photo-restored.png'" in capsys.readouterr().err
    assert Path("masks", "photo-restored.png").read_bytes() == before


def test_a_file_that_may_not_be_read_is_nobodys_result(photo, monkeypatch, capsys):
    """Also where the same was begun before, and there was no picture yet."""
    fill = photos.core.fill

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(photos.core, "fill", interrupted)
    assert cli.main(["restore", photo, "--to", "new.png"]) == 130
    monkeypatch.setattr(photos.core, "fill", fill)
    Path("new.png").write_text("theirs")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(photos.hashlib, "file_digest", refused)
    assert cli.main(["restore", photo, "--to", "new.png"]) == 2
    assert "'new.png' is there already" in capsys.readouterr().err
    assert Path("new.png").read_text() == "theirs"


@pytest.mark.parametrize(
    ("option", "said"),
    [("--grow", "No pixel of"), ("--iterations", "Iterations: from 1 to 100,000,000")],
)
def test_numbers_that_no_machine_holds(photo, option, said, capsys):
    assert cli.main(["restore", photo, option, "1" + 400 * "0"]) == 2
    found = capsys.readouterr().err
    assert said in found and len(found) < 300


@pytest.mark.parametrize("said", ["DefaultCPUAllocator: not enough memory", "CUDA out of memory."])
def test_memory_that_does_not_suffice_is_said(photo, said, monkeypatch, capsys):
    def fill(*words, **options):
        raise RuntimeError(said)

    monkeypatch.setattr(photos.core, "fill", fill)
    assert cli.main(["restore", photo]) == 2
    assert "does not fit into this machine's memory" in capsys.readouterr().err
    monkeypatch.setattr(photos.core, "fill", lambda *words, **options: {}["other"])
    with pytest.raises(KeyError):
        cli.main(["restore", photo])


def test_what_is_named_twice_is_packed_once(tmp_path, capsys):
    path = store_run(tmp_path / "store", Spec("camera", 16, iterations=2), 20.0).place
    name = path.relative_to(tmp_path / "store").as_posix()
    options = ["--store", str(tmp_path / "store")]
    assert cli.main(["pack", name, name, "--to", str(tmp_path / "box"), *options]) == 0
    assert runs.unpack(tmp_path / "box-1.zip", tmp_path / "new") == [(Path(name), "new")]
    assert cli.main(["pack", name, "--to", ".", *options]) == 2
    assert "'.' is a folder" in capsys.readouterr().err


# Stored results -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"a": [', "Expecting value"), ("[]", "no results"), ("{}", "no images"), ("\xff", "codec")],
)
def test_damaged_results_are_named(tmp_path, content, said, capsys):
    (tmp_path / "baselines.json").write_bytes(content.encode("latin-1"))
    assert cli.main(["table", "standard", "--store", str(tmp_path)]) == 2
    found = capsys.readouterr().err
    assert "baselines.json' is damaged" in found and said in found


def test_a_pipe_holds_no_results(tmp_path, capsys):
    os.mkfifo(tmp_path / "baselines.json")
    assert cli.main(["table", "standard", "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("baselines.json") == 1 and "is damaged: it is no file" in said


def test_without_the_book_its_results_are_missing_and_not_damaged(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measured, "ROOT", tmp_path)
    assert cli.main(["table", "standard", "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("There are no results '") and "damaged" not in said


@pytest.fixture
def installed(tmp_path):
    """Runs code in a folder, by a package that was installed without the book (pip install .)."""
    packages = tmp_path / "site-packages"
    shutil.copytree(Path(dip_book.__file__).parent, packages / "dip_book")
    shutil.copytree(ROOT / "dip_parts", packages / "dip_parts")
    shutil.copy(ROOT / "dip_blocks.py", packages)

    def run(code: str, folder: Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(packages)},
        )  # fmt: skip
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    return run


def test_without_the_book_runs_are_no_part_of_what_is_installed(installed, tmp_path):
    """They would go when it is removed."""
    assert installed("from dip_book import runs; print(runs.ROOT)", tmp_path) == "runs"


def test_a_notebook_of_a_clone_shows_the_clone_s_runs_whatever_is_installed(installed, tmp_path):
    code = "from dip_book import runs; print(runs.ROOT); print(len(runs.paths()) > 0)"
    assert installed(code, ROOT / "notebooks").split() == [str(ROOT / "book" / "runs"), "True"]
    code = "from dip_book.build import first_cell; first_cell.notebook()"
    assert "without its stored runs" in installed(code, tmp_path)
    assert "without its stored runs" not in installed(code, ROOT / "notebooks")


def test_an_interrupt_while_it_starts(tmp_path):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    paths = os.pathsep.join([str(tmp_path), str(Path(dip_book.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "dip_book", "status"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "Interrupted.\n", "")


def test_an_interrupt_at_the_very_end():
    """Ctrl-C twice: the second one meets libraries that tidy up."""
    code = (
        "import atexit, os, runpy, signal, sys\n"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "sys.argv = ['dip_book', '--help']\n"
        "runpy.run_module('dip_book', run_name='__main__')"
    )
    paths = os.pathsep.join([str(ROOT), str(Path(dip_book.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"astronaut-128": "x"}, "indices"), ({"astronaut-128": {}}, "there is no 'linear'")],
)
def test_results_that_lack_something_inside_are_named(tmp_path, change, said, capsys):
    """Sound JSON with the right keys outside; the table that needs it finds out."""
    facts = json.loads((runs.ROOT / "baselines.json").read_text(encoding="utf-8"))
    for image in facts["images"]:
        facts["images"][image] = change["astronaut-128"]
    (tmp_path / "baselines.json").write_text(json.dumps(facts), encoding="utf-8")
    assert cli.main(["table", "standard", "--store", str(tmp_path)]) == 2
    found = capsys.readouterr().err
    assert "baselines.json' holds what it should not" in found and said in found


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_a_value_that_cannot_be_written_into_a_table_is_its_files_fault(tmp_path, capsys, form):
    facts = json.loads((runs.ROOT / "filling-recipes.json").read_text(encoding="utf-8"))
    for case in facts["cases"].values():
        case["missing"] = case["measured"]["quick"] = {"a": {}}
    (tmp_path / "filling-recipes.json").write_text(json.dumps(facts), encoding="utf-8")
    line = ["table", "filling_recipes", "--store", str(tmp_path), "--format", form]
    assert cli.main(line) == 2
    assert "filling-recipes.json' holds what it should not" in capsys.readouterr().err


def test_errors_that_no_file_is_to_blame_for_are_not_put_on_one():
    with pytest.raises(KeyError), measured.sound():
        {}["x"]


def test_a_damaged_benchmark_is_named(tmp_path):
    (tmp_path / bench.FOLDER).mkdir(parents=True)
    (tmp_path / bench.FOLDER / "x.json").write_text("[")
    with pytest.raises(runs.RunError, match="x.json' is damaged"):
        bench.results(tmp_path)


def test_results_are_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    measured.write(tmp_path / "new" / "x.json", '{"a": 1}')
    monkeypatch.setattr(os, "replace", lambda *words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measured.write(tmp_path / "new" / "x.json", '{"a": 2}')
    assert measured.read(tmp_path / "new" / "x.json") == {"a": 1}
    assert os.listdir(tmp_path / "new") == ["x.json"]


@pytest.mark.parametrize("command", [
    "baselines", "ceilings", "holes", "measure denoising", "measure shrinking", "measure filling",
    "measure decibel", "bench", "bench --watching",
])  # fmt: skip
def test_a_place_that_takes_no_results_is_named_before_the_work(
    command, tmp_path, monkeypatch, capsys
):
    def work(*words, **options):
        raise AssertionError("work that would be lost")

    for there, name in ((images, "load"), (bench, "floor"), (holes, "opencv"), (filling, "measure"),
                        (denoising, "watched"), (decibel, "measure")):  # fmt: skip
        monkeypatch.setattr(there, name, work if name != "opencv" else dict)
    monkeypatch.setitem(sys.modules, "cv2", None if command != "holes" else type(sys)("cv2"))
    monkeypatch.setattr("jupyter_client.manager.start_new_kernel", work)
    monkeypatch.setattr(bench, "device_peak", lambda device: {})
    (tmp_path / "file").touch()
    # which would see a file in the way; not a disk that is read-only
    monkeypatch.setattr(commands, "_check", lambda args: None)
    assert cli.main([*command.split(), "--store", str(tmp_path / "file" / "store")]) == 2
    assert "Not a directory" in capsys.readouterr().err


def test_a_folder_in_the_place_of_results_is_named(tmp_path):
    (tmp_path / "x.json").mkdir()
    with pytest.raises(IsADirectoryError):
        measured.check(tmp_path / "x.json")
    measured.check(tmp_path / "new" / "y.json")
    assert os.listdir(tmp_path / "new") == []


def test_a_benchmark_whose_words_find_no_place_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "timings", lambda *words, **options: {})
    for name in ("floor", "device_peak"):
        monkeypatch.setattr(bench, name, lambda *words: {})
    monkeypatch.setattr(bench, "_report", lambda *words: "words")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(Full()), "utf-8"))
    words = ["bench", "--store", str(tmp_path), "--name", "mine", "--seconds", "0"]
    cli.main([*words, "--device", "cpu", "--size", "96", "128"])
    facts = json.loads((tmp_path / bench.FOLDER / "mine.json").read_text())
    assert [*facts["sizes"]] == ["96", "128"]


def test_an_interrupted_benchmark_leaves_the_older_one(tmp_path, monkeypatch, capsys):
    def timed(size, *words, **options):
        if size == stop_at:
            raise KeyboardInterrupt
        return {}

    monkeypatch.setattr(bench, "timings", timed)
    for name in ("floor", "device_peak"):
        monkeypatch.setattr(bench, name, lambda *words: {})
    monkeypatch.setattr(bench, "_report", lambda *words: "")
    words = ["bench", "--store", str(tmp_path), "--name", "mine", "--seconds", "0"]
    words += ["--device", "cpu", "--size"]
    place, stop_at = tmp_path / bench.FOLDER / "mine.json", 192

    def sizes(file=place):
        return [*json.loads(file.read_text())["sizes"]]

    assert cli.main([*words, "96", "192"]) == 130
    assert sizes() == ["96"], "a first one is in its place as far as it came"
    stop_at = None
    assert cli.main([*words, "96", "192"]) == 0 and sizes() == ["96", "192"]
    assert os.listdir(place.parent) == ["mine.json"]
    stop_at = 192
    capsys.readouterr()
    assert cli.main([*words, "80", "192"]) == 130
    assert sizes() == ["96", "192"], "an older one is not replaced by a part"
    assert sizes(place.with_suffix(".unfinished")) == ["80"]
    assert f"{place} is as it was; what was timed since is in" in capsys.readouterr().out
    assert len(bench.results(tmp_path)) == 1


def test_results_of_two_who_make_runs_again_are_both_kept(tmp_path, monkeypatch):
    figures = {"raw": 20.0}
    drawn = {"raw": np.zeros((2, 2), np.float32)}
    found = [again.Comparison(figures, figures, None, {}, {}, {}, 1.0, drawn)]

    class Lock(store.filelock.FileLock):
        def acquire(self):  # somebody else was first
            super().acquire()
            again._add(tmp_path / again.FILE, Path("theirs"), found)

    monkeypatch.setattr(store.filelock, "FileLock", Lock)
    again.store(Path("ours"), found, tmp_path)
    assert {*json.loads((tmp_path / again.FILE).read_text())} == {"ours", "theirs"}


@pytest.mark.parametrize("words", ["tidy", "rerun --write quick/camera-32/seed0-3it"])
def test_a_lock_that_nobody_opens_again_is_not_waited_for_for_ever(
    words, tmp_path, monkeypatch, capsys
):
    """Before the work, where there is any."""
    spec = Spec("camera", 32, "quick", iterations=3)
    store_run(tmp_path, spec, 20.0)
    monkeypatch.setattr(store, "PATIENCE_S", 0.1)
    monkeypatch.setattr(again, "made_again", lambda *args, **options: pytest.fail("hours"))
    (tmp_path / placing.WORK).mkdir(exist_ok=True)
    name = "tidy" if words == "tidy" else again.FILE
    with store.filelock.FileLock(tmp_path / placing.WORK / f"{name}.lock"):
        assert cli.main([*words.split(), "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{name}.lock' is another process's for more than 0.1 seconds" in said


def test_a_whole_disk_is_not_searched_for_a_picture(tmp_path, monkeypatch):
    run = store_run(tmp_path / "store", Spec("camera", 16, iterations=2), 20.0)
    (tmp_path / "disk").mkdir()
    for number in range(30):
        (tmp_path / "disk" / f"{number}.txt").touch()
    looked = []
    real = images.is_file
    monkeypatch.setattr(images, "is_file", lambda path: looked.append(path) or real(path))
    monkeypatch.setattr(again, "LOOKED_AT", 7)
    with pytest.raises(images.ImageError, match="None of the 7 files"):
        again.found(tmp_path / "disk", run)
    assert len(looked) == 7


def test_more_runs_than_files_that_may_be_open_are_tidied(tmp_path, monkeypatch):
    specs = [Spec("camera", 16, iterations=2, seed=seed) for seed in range(5)]
    for spec in specs:
        store_run(tmp_path, spec, 20.0)
    held, real = [], store.lock
    monkeypatch.setattr(store, "AT_ONCE", 2)

    def lock(*words):
        assert sum(one.is_locked for one in held) < 2, "too many at once"
        held.append(real(*words))
        return held[-1]

    monkeypatch.setattr(store, "lock", lock)
    runs.tidy(tmp_path, {spec.path: "record" for spec in specs})
    assert len(store.collection(tmp_path, "blog")) == len(held) == 5


def test_a_failure_names_the_file_in_words():
    said = sweeps._failure(FileExistsError(17, "File exists", "x/.work"))
    assert said == "failed: 'x/.work': File exists."
    nameless = sweeps._failure(OSError(28, "No space left on device"))  # as writing raises it
    assert nameless == "failed: No space left on device."


# Chapters -----------------------------------------------------------------------------------------


def test_a_chapter_that_there_is_not_is_said(capsys):
    with pytest.raises(SystemExit):
        pairs.main(["99-none"])
    assert "no chapter '99-none'" in capsys.readouterr().err


def test_a_notebook_with_the_marks_of_a_merge_is_named(tmp_path):
    (tmp_path / "01-x.ipynb").write_text("<<<<<<< ours\n{}\n=======\n")
    (tmp_path / "01-x.md").write_text("# x\n")
    with pytest.raises(pairs.PairError, match=r"01-x\.ipynb is no notebook"):
        pairs.sync(tmp_path / "01-x.md", "")


def test_a_full_disk_costs_no_chapter_its_text(tmp_path, monkeypatch):
    def full(path, text, **options):
        path.write_bytes(text.encode()[:3])
        raise OSError(28, "No space left on device")

    chapter = tmp_path / "01-x.md"
    chapter.write_text("# All of it\n")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError):
        pairs._replace(chapter, "# Another text\n")
    assert chapter.read_bytes() == b"# All of it\n" and os.listdir(tmp_path) == ["01-x.md"]


def test_a_session_that_ran_a_command_can_still_be_interrupted(tmp_path):
    code = [
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)",
        f"%run -m dip_book status --missing --store {tmp_path}",
        "print('then', signal.getsignal(signal.SIGINT) is signal.default_int_handler)",
    ]
    script = tmp_path / "session.ipy"
    script.write_text("\n".join(code) + "\n", encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "IPython", script],
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.stdout.rstrip().endswith("then True"), said.stdout[-500:] + said.stderr[-2000:]
