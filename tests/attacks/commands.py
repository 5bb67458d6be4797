"""Command lines that nobody means: every command, with values drawn from what goes wrong."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import warnings
from pathlib import Path

import numpy as np
from attacks import Attack
from attacks._apart import apart
from attacks._store import CHANGES, OTHERS, SPEC, content, filled
from dip_book import commands
from dip_book.cli import main
from dip_book.restoring import photos
from dip_book.runs import plan
from PIL import Image

SECONDS = 60
WHOLE = ("0", "-1", "1", "3", "99999999", "1000000000000000000000000", "1.5", "nan", "x", "", "-0")
NUMBERS = (*WHOLE, "inf", "-inf", "1e400", "1e-400", "0x10", "１", "1_0", " 1", "true")
TEXTS = (
    "", " ", "x", "\u202egnp", "\x1b[2J", "a\nb", "x" * 5000, "'\"`$(x)", "-x",
    "日本", "a/b/c", ".", "\ud800", "%s{0}", "blog", "camera",
)  # fmt: skip
PATHS = ("store", *TEXTS, "photo.png", "folder", "notes.txt", "box-1.zip", "/dev/null", "/dev/full")
KEYS = (
    "lr", "depth", "width", "z_channels", "sigma_p", "averaging", "optimiser", "negative_slope",
    "kernels_down", "channels_skip", "dropout", "hide", "tv", "z_scale", "padding_mode",
    "upsampling_method", "jump", "iterations", "config", "name", "",
)  # fmt: skip
#: Command → its options and what they may be given; "" stands for words without an option.
OPTIONS = {
    "run": {
        "--size": ("16", *WHOLE), "--iterations": ("1", *WHOLE), "--seed": WHOLE,
        "--mask-seed": WHOLE,
        "--frames": WHOLE, "--every": WHOLE, "--threads": ("1", *WHOLE),
        "--device": ("cpu", "meta", "cuda:99", *TEXTS), "--precision": ("fp32", *TEXTS),
        "--recipe": ("quick", *TEXTS), "--task": ("hole3", "noise1e9", "shrink0", *TEXTS),
        "--store": PATHS, "--again": (), "--missing": ("few", *TEXTS),
        "": ("camera", "photo.png", *PATHS),
    },
    "restore": {
        "--mask": PATHS, "--to": ("result.png", "result.tif", *PATHS), "--missing": ("red", *TEXTS),
        "--tolerance": NUMBERS, "--grow": WHOLE, "--minutes": NUMBERS, "--iterations": WHOLE,
        "--seed": WHOLE, "--recipe": TEXTS, "--device": ("cpu", "meta", *TEXTS), "--invert": (),
        "--again": (), "--smaller": (), "": ("photo.png", "photo.png", *PATHS),
    },
    "show": {"": (SPEC.path.as_posix(), *PATHS), "--store": PATHS},
    "status": {"--missing": (), "--store": PATHS, "": TEXTS},
    "table": {"": ("standard", "final", *TEXTS), "--format": ("csv", *TEXTS), "--store": PATHS},
    "pack": {"": (SPEC.path.as_posix(), *PATHS), "--to": PATHS, "--store": PATHS},
    "unpack": {"": PATHS, "--store": PATHS},
    "tidy": {"--store": PATHS, "": TEXTS},
    "rerun": {
        "": (SPEC.path.as_posix(), *PATHS), "--picture": PATHS, "--store": PATHS,
        "--threads": WHOLE,
        "--device": ("cpu", "meta", *TEXTS),
    },
    "bench": {
        "--rounds": ("0", "-1", "x", ""), "--size": ("-1", "0", "x"), "--seconds": ("nan", "-1"),
        "--name": ("../x", "/", "a/b", "\x1b"), "--device": ("meta",), "--network": TEXTS,
    },
}  # fmt: skip


def drawn(rng: np.random.Generator) -> list[str]:
    """A command line."""
    command = str(rng.choice([*OPTIONS, "run", "run", "restore", "restore"]))
    words, options = [command], OPTIONS[command]
    if command == "bench":  # one that is wrong, or it would measure for minutes
        options = {str(rng.choice(sorted(options))): ()} | options
    for option in rng.permutation(sorted(options))[: int(rng.integers(1, 4))]:
        values = OPTIONS[command][str(option)]
        words += [str(option)] if option else []
        usual = rng.random() < 0.4  # the first of them is one that is meant
        words += [values[0 if usual else int(rng.integers(len(values)))]] if values else []
    if command == "run":
        for _ in range(int(rng.choice([0, 1, 2, 60], p=[0.4, 0.3, 0.25, 0.05]))):
            key, value = (str(rng.choice(kind)) for kind in (KEYS, (*NUMBERS, "x", "a=b")))
            words += ["--set", f"{key}={value}"]
    return words


def _whole(words: list[str]) -> list[str]:
    """With what makes a run or a restoration short, where nothing else is said."""
    if words[0] == "run":
        for key, value in CHANGES:
            words += ["--set", f"{key}={value}"]
        words += [] if "--size" in words else ["--size", "16"]
        words += [] if "--iterations" in words else ["--iterations", "1"]
        words += [] if "--device" in words else ["--device", "cpu"]
    if words[0] == "bench" and not {"--rounds", "--size", "--seconds", "--name", "--device"} & {
        *words
    }:
        words += ["--rounds", "0"]
    if words[0] not in ("restore",) and "--store" not in words:
        words += ["--store", "store"]
    return words


def command_line(rng, folder):
    """One, in a folder with a store, a picture, an archive and others."""
    words = _whole(drawn(rng))
    store = filled(folder / "store")
    pixels = np.random.default_rng(1).integers(1, 256, (16, 16)).astype(np.uint8)
    pixels[3:6, 4:9] = 0
    Image.fromarray(pixels).save(folder / "photo.png")
    (folder / "folder").mkdir()
    (folder / "notes.txt").write_text("a, b")
    before = content(store)
    photo = (folder / "photo.png").read_bytes()
    found = apart(lambda: _done(folder, words), seconds=SECONDS, noise=folder / "noise.txt")
    status, said = found["value"]
    assert status in (0, 1, 2, 130), (words, status, said)
    last = said.strip().splitlines()[-1:] if status == 2 else []
    assert status != 2 or last, (words, "it failed without a word")
    assert "Traceback" not in said and all(len(line) < 2000 for line in last), (words, said[-3000:])
    assert all(line.isprintable() for line in last), (words, last)
    assert (folder / "photo.png").read_bytes() == photo, words
    if words[0] != "tidy":
        now = content(store)
        kept = before if "--again" not in words else {}
        assert {name: now.get(name) for name in kept} == kept, words
    return f"{words[0]}: {['done', 'in part', 'refused'][min(status, 2)]}"


def _done(folder: Path, words: list[str]) -> tuple[int, str]:
    os.chdir(folder)
    warnings.simplefilter("ignore")
    plan.WANTED = dict.fromkeys(plan.WANTED, []) | {"few": [SPEC, *OTHERS]}
    commands.TABLES = {
        name: lambda store: commands.tables.kinds(commands.runs.read(store / SPEC.path))
        for name in commands.TABLES
    }
    photos.work_root = lambda: folder / "cache"
    photos.core.fill = _stand_in
    errors = io.StringIO()
    signal.alarm(0)
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(words)
        except SystemExit as end:  # by argparse
            status = end.code
    return int(status), errors.getvalue().encode("utf-8", "replace").decode()


def _stand_in(image, known, *, progress=None, minutes=1.0, iterations=None, **options):
    """What `core.fill` checks of its arguments, and no network."""
    job = photos.core._Job(
        image, known, minutes, options.get("recipe"), iterations, options.get("seed", 0),
        options.get("device"), options.get("precision"), options.get("smaller", False),
    )  # fmt: skip
    job.tell = progress
    return job._result("Filled.")


ATTACKS = [
    Attack(
        "command lines",
        "Whatever is typed behind a command: it is done, or refused in a sentence without a "
        "traceback, and no file of the user's or of a store changes.",
        command_line,
        few=5,
    )
]
