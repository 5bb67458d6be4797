"""What surrounds a command: terminal, home, folders, environment, limits; and words in pictures."""

from __future__ import annotations

import io
import os
import re
import resource
import shutil
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
from attacks import Attack
from attacks._apart import apart
from attacks._jobs import JOBS, act, finished, prepare, sound
from attacks._store import content, made
from attacks.hostile import payload
from dip_book.restoring import files, photos
from PIL import Image, ImageCms

SECONDS = 120
#: Folders that nobody means: blanks, signs of shells, of patterns and of format strings, a line's
#: end, no UTF-8, composed and decomposed letters, a very long name.
FOLDERS = (
    "a b", "100%", "{0}{x}", "[a-z]*?", "$HOME", "~", "-x", "'\"`", "#;&|", "a\nb", "\udcff\udcfe",
    "\u00fc", "u\u0308", "\u202egnp", "日本", "x" * 200, "/".join(["deep" * 9] * 20), "a__b", "@1",
)  # fmt: skip
NONSENSE = ("", "~", "~nobody-at-all/x", "x" * 5000, "relative", "/dev/null", "0", "-1", "abc", " ")
VARIABLES = (
    "DIP_IMAGES", "COLUMNS", "LINES", "TERM", "LANG", "LC_ALL", "TZ", "GIT_DIR", "GIT_WORK_TREE",
    "TMPDIR", "MPLCONFIGDIR", "TQDM_DISABLE", "PYTHONIOENCODING", "NO_COLOR", "XDG_CONFIG_HOME",
)  # fmt: skip


class Full(io.RawIOBase):
    """A stream on a full disk."""

    def writable(self):
        return True

    def write(self, data):
        raise OSError(28, "No space left on device")


def _stdout(rng):
    """One that lacks letters, is full, closed, or breaks off."""
    kind = str(rng.choice(["ascii", "cp1252", "latin-1", "full", "no buffer", "closed"]))
    if kind == "closed":
        return kind, "closed"
    if kind in ("full", "no buffer"):
        buffered = io.BufferedWriter(Full(), 1 if kind == "no buffer" else 8192)
        return kind, io.TextIOWrapper(buffered, "utf-8", write_through=kind == "no buffer")
    return kind, io.TextIOWrapper(io.BytesIO(), kind)


def _home(rng, folder: Path) -> str:
    """A home that is missing, a file, no absolute path, or may not be written to."""
    (folder / "file").write_text("x")
    homes = {"a file": "file", "missing": "none/at/all", "relative": None, "not expanded": None}
    kind = str(rng.choice(sorted(homes)))
    for name in ("XDG_CACHE_HOME", "HOME"):
        os.environ.pop(name, None)
    if homes[kind] is not None:
        os.environ["HOME"] = str(folder / homes[kind])
    elif kind == "relative":
        os.environ["HOME"] = "home"
    else:
        os.environ |= {"HOME": str(folder / "home"), "XDG_CACHE_HOME": "~/cache"}
    return kind


def _limits(rng) -> None:
    """Few files may be open."""
    there = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 20
    few = there + int(rng.integers(1, 12))
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))


def surrounded(rng, folder):
    """A job in surroundings that nobody means; then in plain ones."""
    job = str(rng.choice(JOBS))
    kind = str(
        rng.choice(["stdout", "home", "folder", "variables", "limits", "warnings", "umask", "link"])
    )
    if kind == "folder":
        folder = folder / str(rng.choice(FOLDERS))
        folder.mkdir(parents=True)
    made()
    apart(lambda: prepare(folder, job), seconds=SECONDS)
    if kind == "link":
        kind = _linked(folder)
    before = content(folder / "store")
    linked = [path for path in folder.rglob("*") if path.is_symlink()]

    def work():
        out, options, name = None, {}, kind
        if kind == "stdout":
            name, out = _stdout(rng)
            if out == "closed":
                out = None
                sys.stdout = None
        elif kind == "home":
            name, options = _home(rng, folder), {"cache": False}
        elif kind == "variables":
            for variable in rng.choice(VARIABLES, 3, replace=False):
                os.environ[str(variable)] = str(rng.choice(NONSENSE))
            if hasattr(time, "tzset"):
                time.tzset()
        elif kind == "limits":
            _limits(rng)
        elif kind == "warnings":
            warnings.simplefilter("error", UserWarning)
        elif kind == "umask":
            os.umask(int(rng.choice([0, 0o277, 0o077])))
        os.chdir(folder)
        status, said = act(folder, job, out=out, **options)
        return [name, status, said]

    name, status, said = apart(work, seconds=SECONDS)["value"]
    _in_a_sentence(status, said)
    words = apart(lambda: sound(folder, job, before), seconds=SECONDS)["value"]
    assert [path for path in linked if not path.is_symlink()] == [], "a link has become a file"
    assert not (folder / "~").exists(), "a folder of a strange name"
    apart(lambda: _at_last(folder, job), seconds=SECONDS)
    return f"{name}: {'done' if status == 0 else 'said'}, {words}"


def _linked(folder: Path) -> str:
    """Store or result lie elsewhere, behind a link."""
    (folder / "elsewhere").mkdir()
    for name in ("store", "result.png"):
        place = folder / name
        if place.exists():
            target = folder / "elsewhere" / name
            shutil.move(place, target)
            place.symlink_to(target)
            return "behind a link"
    (folder / "result.png").symlink_to(folder / "elsewhere" / "result.png")
    return "behind a link to nowhere"


def _in_a_sentence(status: int, said: str) -> None:
    assert status in (0, 1, 2), said
    assert "Traceback" not in said and len(said) < 1500, said
    lines = said.splitlines()
    assert status != 2 or lines, "it failed without a word"
    assert all(line.isprintable() for line in lines), lines


def _at_last(folder: Path, job: str) -> None:
    """The same command, undisturbed, does it after all."""
    status, said = act(folder, job)
    if job == "restore" and "is there already" in said:  # nothing of it could be noted
        status, said = act(folder, "restore again")
    assert status == 0, said
    if (folder / "result.png").is_symlink():
        (folder / "elsewhere" / "link").symlink_to("result.png")
    finished(folder, job)


# Beside the pixels --------------------------------------------------------------------------------


def _profile(text: str) -> bytes:
    """A colour profile with such a description, which is no plain one."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    words = text.encode("utf-16-be", "replace")[:60]
    at = profile.find(b"mluc")
    return profile if at < 0 else profile[: at + 28] + words + profile[at + 28 + len(words) :]


def _exif(rng, text: str) -> bytes:
    """Tags of known and of unknown numbers, with texts and numbers of any length."""
    exif = Image.Exif()
    for tag in rng.choice([270, 271, 272, 305, 306, 315, 33432, 37510, 40000, 700], 4):
        exif[int(tag)] = text.encode("utf-8", "replace") if rng.random() < 0.4 else text
    exif[0x0112] = int(rng.integers(0, 10))
    exif.get_ifd(0x8769)[int(rng.choice([0x9003, 0x9286, 0x927C]))] = text
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


def _text_chunk(rng, text: str) -> tuple[bytes, bytes]:
    said = text.encode("utf-8", "replace")
    key = (re.sub(rb"[^ -~]", b"", said) or b"Comment")[:79]
    kind = str(rng.choice(["tEXt", "zTXt", "iTXt", "of XMP"]))
    if kind == "tEXt":
        return b"tEXt", key + b"\0" + said.replace(b"\0", b"")
    if kind == "zTXt":
        return b"zTXt", key + b"\0\0" + zlib.compress(said)
    if kind == "iTXt":
        return b"iTXt", key + b"\0\0\0en\0" + key + b"\0" + said
    return b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + said


def _beside(rng) -> tuple[str, bytes, list]:
    """A picture with words beside its pixels: its suffix, its bytes, its chunks of text."""
    pixels = np.random.default_rng(1).integers(1, 256, (12, 15, 3)).astype(np.uint8)
    pixels[3:6, 4:9] = 0
    kind, text = (
        str(rng.choice(["PNG", "TIFF", "WEBP"])),
        payload(rng) * int(rng.choice([1, 1, 99])),
    )
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    for name, value in (("exif", _exif), ("icc_profile", lambda _, text: _profile(text))):
        if rng.random() < 0.7:
            try:
                options[name] = value(rng, text)
            except Exception:  # nobody can write that into a file
                continue
    buffer, chunks = io.BytesIO(), []
    try:
        Image.fromarray(pixels).save(buffer, kind, **options)
    except Exception:  # libtiff takes not every tag
        options.pop("exif", None)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **options)
    if kind == "PNG":
        chunks = [_text_chunk(rng, payload(rng)) for _ in range(int(rng.integers(0, 4)))]
    data = buffer.getvalue()
    return kind.lower(), files._with_chunks(data, chunks) if chunks else data, chunks


def beside_the_pixels(rng, folder):
    """A restoration of a picture with such words, into any format."""
    suffix, data, chunks = _beside(rng)
    (folder / f"photo.{suffix}").write_bytes(data)
    to = folder / f"result.{rng.choice(['png', 'tif', 'webp', 'jpg'])}"
    work = lambda: _restored(folder, folder / f"photo.{suffix}", to, chunks)  # noqa: E731
    return apart(work, seconds=SECONDS, noise=folder / "noise.txt")["value"]


def _restored(folder: Path, picture: Path, to: Path, chunks: list) -> str:
    from attacks._jobs import _fill

    photos.work_root = lambda: folder / "cache"
    photos.core.fill = lambda image, known, **options: _fill(image, known, 0.5, **options)
    heard, complaints = [], []
    status = photos.restore_all([picture], to, say=heard.append, complain=complaints.append)
    for line in (*heard, *complaints):
        assert line.isprintable() and len(line) < 1500, line
    if status:
        assert len(complaints) == 1 and not to.exists(), complaints
        return "refused"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nor does a reader stumble over what is kept
        given, made = files.read(picture), files.read(to)
    gone = (given.pixels == 0).all(-1)
    if to.suffix != ".jpg":
        assert np.array_equal(made.pixels[~gone], given.pixels[~gone]), "a known pixel has changed"
    assert made.turned is None, "it is turned once more"
    if to.suffix == ".png":
        kept = [chunk for chunk in chunks if b"XML:com.adobe" not in chunk[1]]
        kept = [chunk for chunk in kept if not chunk[1].startswith(b"Raw profile")]
        assert [chunk for chunk in made.chunks if chunk[0] in files._WORDS] == kept
        assert made.icc == given.icc and (made.exif is None) == (given.exif is None)
    return f"{picture.suffix[1:]} to {to.suffix[1:]}"


ATTACKS = [
    Attack(
        "surroundings",
        "Whatever surrounds a command - a terminal without letters, a full or closed output, no "
        "home, strange folders and variables, links, limits: it is done, or refused in a sentence, "
        "and nothing is lost.",
        surrounded,
        few=3,
    ),
    Attack(
        "beside the pixels",
        "Words beside a picture's pixels (EXIF, colour profile, texts) are never obeyed, break no "
        "restoration, and are kept where the format has a place for them.",
        beside_the_pixels,
        few=8,
    ),
]
