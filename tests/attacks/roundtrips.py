"""Specs and runs that nobody would write down, through a store and an archive and back.

What is drawn comes from whatever draws (`Draw`): here a generator of random numbers, in
`test_roundtrips` hypothesis, which makes what it finds small.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from attacks import Attack
from dip_book import images, runs
from dip_book.runs import means, plan
from dip_book.runs.spec import stem

import dip_blocks

#: Names of pictures' files.
NAMES = (
    "a", "photo", "my photo", "a.b.c", "-x", "é", "e\u0301", "中文", "\N{PILE OF POO}", "x+y=1",
    "a@b",
    "seed0-400it", "CON", "a'b", 'a"b', "a%20b", "#1", "$HOME", "a;b", "~", "run", "bench",
    "x" * 90,
    "\u202etxt", "a\tb", "a\nb", "\x1b[31m", "q?", "*", "[a]", "{b}", "(c)", "&", "é" * 40,
    "caf\udce9",
)  # fmt: skip
WORDS = (*NAMES, "", " ", "\\", "\x00", "\ud800", "null", "NaN", "<b>", "'", '"')
TASKS = (
    "pixels", "noise25", "noise12.5", "shrink2", "shrink8", "text10", "scratches2.5", "hole12",
    "hole1",
)  # fmt: skip
NUMBERS = (
    0.0, -0.0, 1.0, 0.5, 0.1, 1 / 3, 1e-300, 1e300, 5e-324, math.inf, -math.inf, math.nan, 30.1234,
    1e16 + 1, 123456789.123, 2**53,
)  # fmt: skip


class Draw:
    """Draws by a generator of random numbers.

    ``odd``: also what no record may hold, texts that cannot be printed and numbers without end.
    """

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.odd = rng.random() < 0.1

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, choices):
        return choices[self.whole(0, len(choices) - 1)]

    def number(self) -> float:
        if self.whole(0, 2) == 0:
            return self.one_of(NUMBERS)
        return float(self.rng.normal() * 10.0 ** self.whole(-9, 9))

    def text(self) -> str:
        return self.one_of([word for word in WORDS if self.odd or word.isprintable()])

    def measured(self, endless: bool) -> float:
        """A figure of a record; without end is the PSNR of equal pictures alone."""
        value = self.number()
        if self.odd or abs(value) < 2**63 or endless and value == math.inf:
            return value
        return 30.0


def a_spec(draw) -> runs.Spec:
    """A spec that can be resolved, of a picture of the book's."""
    recipe = draw.one_of([*dip_blocks.RECIPES, *dip_blocks.MEANS])
    changes = []
    if recipe in dip_blocks.RECIPES:
        offered = [
            ("lr", abs(draw.number()) or 0.5), ("width", draw.one_of([8, 64.0, "8-16", "3-5-9"])),
            ("depth", draw.one_of([1, 3, 5.0])),
            ("upsampling_method", draw.one_of(["nearest", "bilinear"])),
            ("sigma_p", abs(draw.number())), ("connect", draw.one_of([True, False])),
            ("channels_skip", draw.one_of([0, 4, "0-4"])),
            ("dropout", draw.one_of([0.0, 0.1, 0.25])),
            ("averaging", draw.one_of([0.0, 0.5, 0.97, 0.123456789])),
            ("optimiser", draw.one_of(["adam", "muon"])),
        ]  # fmt: skip
        changes = [change for change in offered if draw.whole(0, 3) == 0]
    members = dip_blocks.MEANS.get(recipe, [recipe])
    return runs.Spec(
        image=draw.one_of([*images.EMBEDDED, *images.EMBEDDED_RGB]),
        size=draw.one_of([None, 16, 32, 33, 128]),
        recipe=recipe,
        changes=tuple(changes),
        iterations=draw.one_of([None, 1, 300, 10**6]) if len(members) == 1 else None,
        seed=draw.one_of([0, 1, 2**31, 7]),
        mask_seed=draw.one_of([None, 0, 3]),
        p=draw.one_of([0.5, 0.05, 0.999, 1 / 3, 1.0]),
        task=draw.one_of(TASKS),
        precision=draw.one_of([None, "fp32", "tf32", "bf16"]),
    )


def a_run(draw, spec: runs.Spec | None = None) -> tuple[Path, runs.Run]:
    """A run that might have been, and its path: of a spec, or of a file by whatever name."""
    shape = [draw.whole(1, 20), draw.whole(1, 20), *([3] if draw.whole(0, 2) == 0 else [])]
    recipes = (
        [member.resolved() for member in spec.members] if spec else [dip_blocks.RECIPES["quick"]]
    )
    one = recipes[0].as_dict() if len(recipes) == 1 else {"members": [r.as_dict() for r in recipes]}
    digest = "".join(draw.one_of("0123456789abcdef") for _ in range(64))
    name = spec.image if spec else f"{stem(draw.one_of(NAMES))}@{digest[:8]}"
    count = 0 if len(recipes) > 1 else draw.whole(0, 6)
    history = [
        dip_blocks.Step(
            i, six_digits(draw.number()), six_digits(draw.number()), bool(draw.whole(0, 1)),
            draw.one_of([None, three_decimals(draw.number())]),
            draw.one_of([None, three_decimals(draw.number())]),
        )
        for i in range(1, count + 1)
    ]  # fmt: skip
    psnr, ssim = (
        {
            kind: draw.measured(endless) if kind == "raw" or draw.whole(0, 1) else None
            for kind in runs.KINDS
        }
        for endless in (True, False)
    )
    facts = {
        "format": runs.FORMAT,
        "about": draw.text(),
        "recipe": {
            "name": spec.recipe if spec else draw.text(),
            "changes": dict(spec.changes) if spec else {draw.text(): draw.one_of([1, True, "a"])},
            **one,
        },
        "image": {
            "name": name, "size": spec.size if spec else draw.one_of([None, 32]), "shape": shape,
            "sha256": digest,
        },
        "p": spec.p if spec else draw.one_of([0.5, 1, 0.25]),
        "seeds": spec.seeds if spec else {"mask": 0, "weights, z and noise": draw.whole(0, 2**40)},
        "iterations": draw.whole(0, 10**6), "recipe_iterations": draw.whole(1, 10**6),
        "psnr_db": psnr, "ssim": ssim, "backtracked": draw.whole(0, 9),
        "wall_time_s": draw.one_of([0, 0.01, 1e7]), "core_seconds": draw.one_of([None, 3.25]),
        "device": draw.text(), "precision": draw.text(), "threads": draw.whole(1, 999),
        "versions": {"torch": draw.text()}, "commit": draw.one_of([None, draw.text()]),
        draw.text() or "x": draw.one_of([draw.text(), [], {}, [1, [draw.text(), {}]], None]),
    }  # fmt: skip
    if spec is None or spec.task != "pixels":
        facts["task"] = spec.task if spec else draw.one_of(TASKS)
    pictures, frames = {}, {}
    if draw.whole(0, 3):
        pictures = {
            kind: picture(draw, shape) for kind in draw.one_of([["raw"], ["raw", "averaged"]])
        }
        frames = {i: picture(draw, shape) for i in range(1, draw.whole(1, 4))}
    facts = {
        key: value for key, value in facts.items() if key not in ("pictures", "frames", "history")
    }
    path = (
        spec.path
        if spec
        else Path(draw.one_of(["quick", "best+lr=0.1"]), f"{name}-32", "seed0-3it")
    )
    return path, runs.Run(facts, history, pictures, frames)


def six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def three_decimals(value: float) -> float:
    return round(value, 3)


def picture(draw, shape: list[int]) -> np.ndarray:
    """Of 8 bits, and small; smooth or not."""
    levels = np.random.default_rng(draw.whole(0, 2**32 - 1)).integers(0, 256, shape)
    return (levels // draw.one_of([1, 255]) * draw.one_of([0, 1])).astype(np.float32) / 255


def same(a, b) -> bool:
    """Equal, NaN too, and of one type; as JSON tells types."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [*a] == [*b] and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b) or a != a and b != b
    return type(a) is type(b) and a == b


def equal(one: runs.Run, other: runs.Run, of_files: bool = True) -> None:
    """The same run, pictures too; what of it is not equal is told."""
    for key in {**one.facts, **other.facts}:
        a, b = one.facts.get(key), other.facts.get(key)
        assert same(a, b), f"{key}: {a!r} and {b!r}"
    assert same([list(step) for step in one.history], [list(step) for step in other.history])
    assert [*one.pictures] == [*other.pictures] and [*one.frames] == [*other.frames]
    for kind, drawn in one.pictures.items():
        assert np.array_equal(drawn, other.pictures[kind]), kind
    for i, frame in one.frames.items():  # on the way into a store they lose something
        assert np.array_equal(frame, other.frames[i]) or not of_files


def through(draw, folder: Path, several: list[tuple[Path, runs.Run]]) -> str:
    """Write, read, gather, pack, unpack, read: equal after each."""
    here, there = folder / "here", folder / "there"
    written = {}
    for path, run in several:
        written[path] = (run, runs.write(here, path, run))
    for path, (run, _) in written.items():
        equal(run, runs.read(here / path), of_files=False)
    assert set(runs.paths(here)) == set(written)
    if draw.whole(0, 1):
        kept = {path: "frames" for path in written}
        assert not [line for line in runs.tidy(here, kept) if "left alone" in line[1]]
        for path, (_, stored) in written.items():
            equal(stored, runs.read(here / path))
    archives = runs.pack(list(written), here, folder / "a", limit_mb=draw.one_of([15, 0.05]))
    for archive in archives:
        assert {outcome for _, outcome in runs.unpack(archive, there)} == {"new"}
        assert {outcome for _, outcome in runs.unpack(archive, there)} == {"there already"}
        assert {outcome for _, outcome in runs.unpack(archive, here)} == {"there already"}
    for path, (_, stored) in written.items():
        equal(stored, runs.check(runs.read(there / path)))
    assert set(runs.paths(there)) == set(written)
    again = runs.pack(list(written), there, folder / "b", limit_mb=15)
    assert len(again) > 1 or again[0].read_bytes() == archives[0].read_bytes() or len(archives) > 1
    return f"{'one run' if len(written) == 1 else 'several runs'} came back"


def runs_of_files(rng: np.random.Generator, folder: Path) -> str:
    draw = Draw(rng)
    several = dict(a_run(draw) for _ in range(draw.one_of([1, 1, 2, 4])))
    return kept_or_refused(draw, folder, list(several.items()))


def kept_or_refused(draw, folder: Path, several: list[tuple[Path, runs.Run]]) -> str:
    try:
        return through(draw, folder, several)
    except runs.RunError as error:
        assert draw.odd and "is damaged" in str(error), error
        return "refused"


def specs(rng: np.random.Generator, folder: Path) -> str:
    draw = Draw(rng)
    try:
        spec = a_spec(draw)
        path = spec.path
        for member in spec.members:
            member.resolved()
    except runs.RunError:
        return "refused"
    path, run = a_run(draw, spec)
    recipes = run.facts["recipe"].get("members", [run.facts["recipe"]])
    values = json.loads(json.dumps(recipes))
    assert [dip_blocks.Recipe(**of).as_dict() for of in map(fields_of, values)] == [
        member.resolved().as_dict() for member in spec.members
    ], "a recipe comes back from its record"
    run.facts["iterations"] = spec.iterations_in_all
    run.facts["precision"] = spec.precision or "bf16"
    run.facts["image"]["sha256"] = images.digest(images.load(spec.image, size=spec.size))
    outcome = kept_or_refused(draw, folder, [(path, run)])
    if outcome == "refused":
        return outcome
    assert not spec.differences(runs.read(folder / "there" / path).facts)
    other = replace(spec, seed=spec.seed + 1, mask_seed=spec.seeds["mask"])
    assert other.differences(run.facts) and other.path != path, "another seed is another run"
    return outcome


def fields_of(recipe: dict) -> dict:
    return {k: v for k, v in recipe.items() if k not in ("name", "changes")}


def a_mean(rng: np.random.Generator, folder: Path) -> str:
    """A mean of stored members is what is read back, and is the same when it is made again."""
    draw = Draw(rng)
    draw.odd = False
    spec = runs.Spec("camera", 16, draw.one_of([*dip_blocks.MEANS]), seed=draw.whole(0, 9))
    truth, members = images.load("camera", size=16), []
    for member in spec.members:
        path, run = a_run(draw, member)
        run.facts |= {
            "image": {"name": "camera", "size": 16, "shape": [16, 16],
                      "sha256": images.digest(truth)},
            "core_seconds": 1.0, "wall_time_s": 1.0, "peak_memory_mib": 5, "p": 0.5,
            "precision": "bf16",
        }  # fmt: skip
        run.facts.pop("task", None)
        run.pictures = {kind: picture(draw, [16, 16]) for kind in ("raw", "averaged")}
        run.frames = {}
        members.append(runs.write(folder / "here", path, run))
    one, other = (means.combine(spec, members) for _ in range(2))
    other.facts["started"] = one.facts["started"]
    equal(one, other)
    stored = runs.write(folder / "here", spec.path, one)
    equal(stored, runs.read(folder / "here" / spec.path))
    (archive,) = runs.pack(runs.paths(folder / "here"), folder / "here", folder / "a")
    runs.unpack(archive, folder / "there")
    equal(stored, runs.read(folder / "there" / spec.path))
    assert not spec.differences(runs.read(folder / "there" / spec.path).facts | {
        "iterations": spec.iterations_in_all,
    })  # fmt: skip
    return "a mean came back"


def planned(rng: np.random.Generator, folder: Path) -> str:
    """A run that the book wants, however its spec is made."""
    draw = Draw(rng)
    spec = draw.one_of(plan.WANTED[draw.one_of([*plan.WANTED])])
    if not (spec.image in images.EMBEDDED or spec.image in images.EMBEDDED_RGB):
        return "of a picture that is not free"
    path, run = a_run(draw, spec)
    return kept_or_refused(draw, folder, [(path, run)])


ATTACKS = [
    Attack("run there and back", "A run comes back from store and archive as it was, by any name.",
           runs_of_files, 8),
    Attack("spec there and back", "A spec, its recipe and its record come back as they were.",
           specs, 6),
    Attack("mean there and back", "A mean comes back as it was, and is made again the same.",
           a_mean, 4),
    Attack("planned run there and back", "So does every run that the book wants.", planned, 4),
]  # fmt: skip
