"""Archives of runs: damaged, or made to do harm."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from attacks import Attack
from attacks._apart import apart
from attacks._store import OTHERS, SPEC, content, filled, left
from dip_book import commands, runs  # noqa: F401 - commands: now, not in every process
from dip_book.cli import main
from dip_book.runs import plan
from PIL import Image

SECONDS, MOST_BYTES = 60, 350_000_000
#: What a field of a record may be replaced by.
VALUES = (
    None, True, 0, -1, 1e308, float("nan"), float("inf"), -float("inf"), 2**70, 10**4000, "", "x",
    "\x1b]0;title\x07", "\u202egnp", "a\nb", "<img src=x onerror=alert(1)>", "x" * 20_000,
    [], {}, [[]], {"": {}}, [1, [2, [3]]], "../../etc/passwd",
)  # fmt: skip
NAMES = (
    "../x/y/z.json", "/a/b/c.json", "a/b/c.json", "a/b/.json", "a/b/.webp", "a/b/c.txt",
    "C:/b/c.json", "a\\b\\c.json", "a/b/\x1b[2Jc.json", f"a/b/{'c' * 300}.json", ".work/b/c.json",
    "bench/b/c.json", "a/../b/c.json", "a//b/c.json", "a/b/c/run.json", "./a/b/c.json", "a/b/", "",
    "a/b/c.frames.webp", "a/b/\u202ec.json", "blog.json", "a/./c.json", ".a/b/c.json",
)  # fmt: skip


@cache
def _parts() -> tuple[tuple[str, bytes], ...]:
    """Names and contents of an archive's files."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = filled(Path(folder) / "store")
        (archive,) = runs.pack([SPEC.path, OTHERS[1].path], store, Path(folder) / "box")
        with zipfile.ZipFile(archive) as file:
            return tuple((entry.filename, file.read(entry)) for entry in file.infolist())


def _zip(parts, kind=zipfile.ZIP_DEFLATED, level=6) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", kind, compresslevel=level) as file:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in parts:
            file.writestr(zipfile.ZipInfo(name), data, kind)
    return buffer.getvalue()


def _places(value, at=()):
    """The way to every value inside one."""
    yield at
    if isinstance(value, (dict, list)):
        keys = value if isinstance(value, dict) else range(min(len(value), 3))
        for key in keys:
            yield from _places(value[key], (*at, key))


def _changed(facts: dict, rng) -> dict:
    """A record of which one value is another, is missing, or is there that was not."""
    facts = copy.deepcopy(facts)
    ways = [way for way in _places(facts) if way]
    way = ways[int(rng.integers(len(ways)))]
    holder = facts
    for key in way[:-1]:
        holder = holder[key]
    value = VALUES[int(rng.integers(len(VALUES)))]
    chance = rng.random()
    if chance < 0.15:
        del holder[way[-1]]
    elif chance < 0.25 and isinstance(holder, dict):
        holder[str(rng.choice(["", "x", "\x1b[2J", "config", "members"]))] = value
    elif chance < 0.35:
        for _ in range(int(rng.choice([3, 20, 200]))):
            value = [value] if rng.random() < 0.5 else {"x": value}
        holder[way[-1]] = value
    elif chance < 0.4 and isinstance(holder, list):
        holder *= 50_000
    else:
        holder[way[-1]] = value
    return facts


def _dumped(facts) -> bytes:
    import sys

    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(facts).encode("utf-8", "surrogatepass")
    finally:
        sys.set_int_max_str_digits(before)


def _of_other_size(rng) -> bytes:
    buffer = io.BytesIO()
    size = tuple(int(side) for side in rng.choice([1, 3, 16, 32, 5000], 2))
    Image.new("L", size).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def _with_picture(parts: dict, data: bytes) -> dict:
    """Another picture, with a record that names it."""
    import hashlib

    name = next(name for name in parts if name.endswith("2it.webp"))
    place = name.removesuffix(".webp") + ".json"
    facts = json.loads(parts[place])
    facts["pictures"]["sha256"] = hashlib.sha256(data).hexdigest()
    return parts | {name: data, place: json.dumps(facts).encode()}


def spoiled(rng) -> tuple[str, bytes]:
    """What was done to an archive, and the archive."""
    parts = dict(_parts())
    records = [name for name in parts if name.endswith(".json")]
    name = records[int(rng.integers(len(records)))]
    how = str(rng.choice([
        "bytes", "bytes", "cut", "header", "record", "record", "record", "json", "name", "twice",
        "extra", "missing", "picture", "other picture", "bomb", "packing", "deep", "not zip",
        "collection", "comment", "larger",
    ]))  # fmt: skip
    if how == "record":
        facts = json.loads(parts[name])
        for _ in range(int(rng.integers(1, 3))):
            facts = _changed(facts, rng)
        return how, _zip((parts | {name: _dumped(facts)}).items())
    if how == "json":
        text = bytearray(parts[name])
        for _ in range(int(rng.integers(1, 9))):
            text[int(rng.integers(len(text)))] = int(rng.integers(256))
        return how, _zip((parts | {name: bytes(text)}).items())
    if how == "deep":
        depth = int(rng.choice([10, 100, 900, 3000, 100_000]))
        opened, closed = (b"[", b"]") if rng.random() < 0.5 else (b'{"a":', b"}")
        deep = opened * depth + b"1" + closed * depth
        facts = parts[name].rstrip()[:-1] + b', "more": ' + deep + b"}"
        return how, _zip((parts | {name: facts if rng.random() < 0.5 else deep}).items())
    if how == "name":
        new = NAMES[int(rng.integers(len(NAMES)))]
        return how, _zip((new if n == name else n, data) for n, data in parts.items())
    if how == "twice":
        return how, _zip([*parts.items(), (name, parts[name] + b" ")])
    if how == "extra":
        new = NAMES[int(rng.integers(len(NAMES)))]
        return how, _zip([*parts.items(), (new, rng.bytes(99))])
    if how == "missing":
        del parts[list(parts)[int(rng.integers(len(parts)))]]
        return how, _zip(parts.items())
    if how == "picture":
        picture = next(n for n in parts if n.endswith(".webp"))
        return how, _zip((parts | {picture: rng.bytes(int(rng.integers(0, 200)))}).items())
    if how == "other picture":
        return how, _zip(_with_picture(parts, _of_other_size(rng)).items())
    if how == "bomb":
        size = int(rng.choice([7_000_000, 9_000_000, 130_000_000]))
        filling = rng.choice([b" ", b"[],", b"1,"])
        data = bytes(filling) * (size // len(filling))
        data = b'{"a":[' + data if filling != b" " else data
        return how, _zip((parts | {name: data}).items(), level=1)
    if how == "packing":
        kind = int(rng.choice([zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED]))
        return how, _zip(parts.items(), kind)
    if how == "not zip":
        return how, rng.bytes(int(rng.integers(0, 500)))
    if how == "collection":
        return how, _zip([("blog.json", b'{"a/b": {}}'), *parts.items()])
    whole = bytearray(_zip(parts.items()))
    if how == "bytes":
        for _ in range(int(rng.integers(1, 9))):
            whole[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
    elif how == "cut":
        del whole[int(rng.integers(len(whole))) :]
    elif how == "comment":
        whole += rng.bytes(int(rng.integers(1, 99)))
    elif how == "larger":  # marks of zip64 in front of the end
        whole[-22:-22] = b"PK\6\7" + rng.bytes(16)
    else:  # numbers of the local and of the central headers
        marks = [
            i for i in range(len(whole)) if whole[i : i + 4] in (b"PK\1\2", b"PK\3\4", b"PK\5\6")
        ]
        at = marks[int(rng.integers(len(marks)))] + int(rng.integers(4, 46))
        length = int(rng.choice([1, 2, 4]))
        value = int(rng.choice([0, 1, 2, 8, 14, 99, 255, 65535, 2**31 - 1, 2**32 - 1]))
        whole[at : at + length] = (value % 256**length).to_bytes(length, "little")
    return how, bytes(whole)


def unpacked(rng, folder):
    """`unpack` of such an archive into a store that holds runs; then what looks at the store."""
    store, archive = filled(folder / "store"), folder / "box.zip"
    before = content(store)
    how, data = spoiled(rng)
    archive.write_bytes(data)
    if rng.random() < 0.5:  # one of its runs is not there yet
        for file in (store / SPEC.path).parent.glob(f"{SPEC.path.name}.*"):
            del before[file.relative_to(store).as_posix()]
            file.unlink()
    found = apart(lambda: _unpack(archive, store), seconds=SECONDS, noise=folder / "noise.txt")
    status, said = found["value"]
    assert status in (0, 2), said
    assert found["bytes"] is None or found["bytes"] < MOST_BYTES, f"{found['bytes'] / 1e6:.0f} MB"
    if status:
        assert said.count("\n") == 1 and said[:-1].isprintable() and len(said) < 600, said
        assert "box.zip" in said and str(store / runs.WORK) not in said, said
    after = content(store)
    new = {name: digest for name, digest in after.items() if name not in before}
    assert {name: after.get(name) for name in before} == before, "what was there is another"
    assert status == 0 or not new, f"refused, and yet stored: {new}"
    known = {name for name, _ in _parts()}
    assert {*new} <= known or how in ("name", "record", "json"), f"stored: {new}"
    assert not left(store), left(store)
    return f"refused ({how})" if status else ("taken in" if new else "nothing new")


def _unpack(archive: Path, store: Path) -> tuple[int, str]:
    """The command; then all that looks at the store goes on."""
    plan.WANTED = dict.fromkeys(plan.WANTED, []) | {
        "few": [SPEC, *OTHERS]
    }  # of this process, which ends
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = main(["unpack", str(archive), "--store", str(store)])
    said = errors.getvalue()
    for path in runs.paths(store):
        run = runs.check(runs.read(store / path))
        for picture in (*run.pictures.values(), *run.frames.values()):
            assert picture.dtype == np.float32
        assert run.degradation() is not None and repr(run)
        assert main(["show", str(path), "--store", str(store)]) == 0
    assert len(runs.find(store)) == len(runs.paths(store))
    for words in (["status"], ["pack", "--to", str(archive.parent / "out")]):
        assert main([*words, "--store", str(store)]) == 0, words
    return status, said


def record_in_store(rng, folder):
    """A record in a store, changed by hand: named as damaged, and nothing else suffers."""
    store = filled(folder / "store")
    place = store / f"{SPEC.path}.json"
    facts = _changed(json.loads(place.read_text()), rng)
    place.write_bytes(_dumped(facts))
    found = apart(lambda: _looked_at(store), seconds=SECONDS, noise=folder / "noise.txt")
    return found["value"]


def _looked_at(store: Path) -> str:
    plan.WANTED = dict.fromkeys(plan.WANTED, []) | {
        "few": [SPEC, *OTHERS]
    }  # of this process, which ends
    warnings.simplefilter("ignore", runs.DamagedRun)
    words = "taken for whole"
    try:
        run = runs.check(runs.read(store / SPEC.path))
        _ = run.pictures, run.frames, run.degradation(), repr(run)
    except runs.RunError as error:
        words = "named as damaged"
        assert str(error).isprintable() and len(str(error)) < 500, str(error)
        assert SPEC.path.name in str(error)
    assert {*runs.paths(store)} == {SPEC.path, *(other.path for other in OTHERS)}
    assert {other.path for other in OTHERS} <= {_path(store, run) for run in runs.find(store)}
    status = main(["show", str(SPEC.path), "--store", str(store)])
    assert status == 0 or words == "named as damaged"
    for words_of in (["status"], ["tidy"]):
        assert main([*words_of, "--store", str(store)]) == 0, words_of
    for other in OTHERS:
        runs.check(runs.read(store / other.path))
    runs.stored(SPEC, store)
    return words


def _path(store: Path, run: runs.Run) -> Path:
    return run.place.relative_to(store)


ATTACKS = [
    Attack(
        "archives",
        "A damaged or hostile archive is refused in a sentence, or only whole runs of it are "
        "stored; memory is bounded and the store as it was.",
        unpacked,
        few=12,
    ),
    Attack(
        "records",
        "A record that was changed by hand is named as damaged, and all other runs are found.",
        record_in_store,
        few=12,
    ),
]
