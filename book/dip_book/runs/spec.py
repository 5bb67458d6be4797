"""What decides a run, and whether a record is of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import MISSING, dataclass, fields, replace
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path

import numpy as np

import dip_blocks
from dip_book import images, tasks


class RunError(ValueError):
    """A run that is requested wrongly or stored wrongly; the message says which."""


def lacks_memory(error: BaseException) -> bool:
    """Does an error say that memory does not suffice?  PyTorch says it in words alone."""
    said = str(error)
    return isinstance(error, MemoryError) or any(
        words in said for words in ("not enough memory", "out of memory")
    )


@contextmanager
def blocks_errors():
    """What `dip_blocks` refuses because of a reader's input, as a RunError."""
    try:
        yield
    except RunError:
        raise
    except ValueError as error:
        raise RunError(str(error)) from error


@dataclass(frozen=True)
class Spec:
    """What decides a run's numbers, but for the machine.  RunError for what cannot be run.

    A picture is one of the book's by its name, or a file by its path.  A file is never taken for a
    picture of the book's, nor for another file: its runs have a digest of its pixels in their path.
    """

    image: str
    size: int | None = 128  # pixels a side; None: as the picture comes
    recipe: str = "blog"
    #: What differs from the recipe of that name: its values, `dip_blocks.CHOICES` of its network,
    #: "depth", "width" (channels_down and channels_up), or one of `dip_blocks.CONFIG_LISTS`; these
    #: with one number for all levels, or one for each, full resolution first: "32-64-128".
    #: As pairs, or as a dictionary.
    changes: tuple[tuple[str, float | str | bool], ...] = ()
    iterations: int | None = None  # None: the recipe's
    seed: int = 0  # of weights, z and noise
    mask_seed: int | None = None  # None: the same
    p: float = 0.5  # share of known pixels
    task: str = tasks.PIXELS  # what the picture has lost, see `tasks.degradation`
    precision: str | None = None  # of the convolutions; None: the device's default

    def __post_init__(self):
        plain = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        plain["changes"] = _pairs(plain["changes"])
        for name, value in plain.items():
            kind, need = KINDS.get(name, (object, ""))
            if not (isinstance(value, kind) or value is None and name in OPTIONAL):
                raise RunError(f"{name}: {need}, not {brief(value)!r}.")
            object.__setattr__(self, name, value)

    def resolved(self) -> dip_blocks.Recipe:
        """The recipe with every change applied.

        Raises RunError for an unknown name or an impossible value.
        """
        if self.recipe in dip_blocks.MEANS:
            members = ", ".join(dip_blocks.MEANS[self.recipe])
            raise RunError(
                f"'{self.recipe}' is the mean of several networks: {members}. "
                "Each has a recipe of its own."
            )
        if self.recipe not in dip_blocks.RECIPES:
            known = ", ".join([*dip_blocks.RECIPES, *dip_blocks.MEANS])
            raise RunError(f"No recipe is called '{brief(self.recipe)}'; there are {known}.")
        recipe = dip_blocks.RECIPES[self.recipe]
        if recipe != _RECIPES.get(self.recipe, recipe):
            raise RunError(
                f"The recipe '{self.recipe}' was changed in this session: a run would not be what "
                "its name says. Begin the session anew, and give a changed recipe a name of its "
                "own, or a run its changes."
            )
        values = {f.name for f in fields(dip_blocks.Recipe)} - {"config", "iterations"}
        config, changed = _copied(recipe.config), {}
        with blocks_errors():
            tasks.check(self.task)
            for key, value in self.changes:
                if key == "depth":
                    config = dip_blocks.at_depth(config, _whole(key, value))
                elif key == "width" or key in dip_blocks.CONFIG_LISTS:
                    names = ("channels_down", "channels_up") if key == "width" else (key,)
                    for name in names:
                        config[name] = _by_level(key, value, len(config[name]))
                elif key in dip_blocks.CHOICES:
                    config[key] = value
                elif key in values:
                    changed[key] = _like(getattr(recipe, key), value)
                    if key != "jump" and is_number(changed[key], Real) and changed[key] >= 2**63:
                        raise RunError(  # which its record would not hold, after all iterations
                            f"{key}: a run keeps numbers below 2⁶³, not {brief(value)}."
                        )
                else:
                    lists = dip_blocks.CONFIG_LISTS
                    known = sorted({*values, *lists, *dip_blocks.CHOICES, "depth", "width"})
                    raise RunError(
                        f"A recipe has no value '{brief(key)}' to change; there are "
                        f"{', '.join(known)}."
                    )
            if self.iterations is not None:
                if not 1 <= self.iterations <= MOST_ITERATIONS:
                    raise RunError(
                        f"Iterations: from 1 to {MOST_ITERATIONS:,}, not {brief(self.iterations)}."
                    )
                changed["iterations"] = self.iterations
            for seed in (self.seed, self.mask_seed or 0):
                if not 0 <= seed < 2**63:
                    raise RunError(f"A seed is a number from 0 to 2⁶³ − 1, not {brief(seed)}.")
            return replace(recipe, config=config, **changed)  # at once: some go only together

    @property
    def members(self) -> list[Spec]:
        """The runs of the networks that a mean is of; of anything else, the run itself."""
        names = dip_blocks.MEANS.get(self.recipe, [self.recipe])
        return [replace(self, recipe=name) for name in names]

    @property
    def iterations_in_all(self) -> int:
        """Of all members; RunError as `resolved`."""
        return sum(member.resolved().iterations for member in self.members)

    @property
    def seeds(self) -> dict[str, int]:
        """Every seed with its purpose, as a record has them."""
        mask = self.seed if self.mask_seed is None else self.mask_seed
        return {"mask": mask, "weights, z and noise": self.seed}

    @property
    def image_name(self) -> str:
        """What a record calls the picture: "camera" for the book's, "camera@1f2e3d4c" for a file.

        Behind the @ begins `images.digest` of the pixels at the spec's size.  ImageError, see
        `images.load`, for a file that cannot be read.
        """
        if images.of_the_book(self.image):
            return self.image
        return self.name_of(pixels(self.image, self.size))

    def name_of(self, digest: str) -> str:
        """The same for pixels that were read before: the file may be another one by now."""
        if images.of_the_book(self.image):
            return self.image
        return f"{stem(self.image)}@{digest[:8]}"

    @property
    def path(self) -> Path:
        """Where the run lies, relative to the store; errors as `resolved` and `image_name`."""
        changes = (f"{key}={_short(value)}" for key, value in self.changes)
        size = "" if self.size is None else f"-{self.size}"
        mask = self.seeds["mask"]
        parts = [
            f"seed{self.seed}",
            "" if mask == self.seed else f"-mask{mask}",
            "" if self.task == tasks.PIXELS else f"-{self.task}",
            "" if self.p == 0.5 else f"-p{self.p:g}",
            "" if self.precision is None else f"-{self.precision}",
            f"-{self.iterations_in_all}it",
        ]
        names = "+".join([self.recipe, *changes]), f"{self.image_name}{size}", "".join(parts)
        if len("__".join(names).encode("utf-8", "surrogatepass")) > LONGEST_PATH:
            raise RunError(
                "So many changes, or so long a picture's name, make a longer path than files may "
                "have: leave some away, or rename the picture."
            )
        return Path(*names)

    def differences(self, facts: dict) -> list[str]:
        """What a record's computation differs in from the one that this spec asks for, in phrases.

        A value of a recipe that the record lacks counts as its default: the record is older than
        that value.  Without a precision in the spec any will do.  Of a picture that is not at
        hand, the name and the size are compared.
        """
        found = self.differences_of_recipe(facts)
        compared = [("the number of iterations", self.iterations_in_all, facts.get("iterations"))]
        for purpose, seed in self.seeds.items():
            there = facts.get("seeds", {}).get(purpose)
            compared.append((f"the seed of {purpose}", seed, there))
        image = facts.get("image", {})
        compared += [
            ("p", self.p, facts.get("p")),
            ("the task", self.task, facts.get("task", tasks.PIXELS)),
            ("the picture", self.image_name, image.get("name")),
            ("the size", self.size, image.get("size")),
        ]
        with suppress(images.ImageError):
            if not images.of_the_book(self.image) or images.available(self.image):
                digest = pixels(self.image, self.size)
                compared.append(("the digest of the pixels", digest, image.get("sha256")))
        if self.precision is not None:
            compared.append(("the precision", self.precision, facts.get("precision")))
        return found + _unequal(compared)

    def differences_of_recipe(self, facts: dict) -> list[str]:
        """The same of the recipe alone, a mean's members' included, and without iterations."""
        recipes = facts.get("recipe", {})
        recorded = recipes.get("members", [recipes])
        compared = [("the number of networks", len(self.members), len(recorded))]
        for member, values in zip(self.members, recorded):
            prefix = f"{member.recipe}: " if len(recorded) > 1 else ""
            here, there = _flat(member.resolved().as_dict()), _flat(values)
            keys = (here | there).keys() - {"iterations"}
            compared += [(prefix + key, here.get(key), there.get(key)) for key in sorted(keys)]
        return _unequal(compared)


#: What kind a spec's value has to be of.
KINDS = {
    "image": (str, "the name of a picture, or the path of one"),
    "recipe": (str, "the name of one, such as 'quick'; what differs from it stands in changes"),
    "iterations": (Real, "a whole number, or None"),
    "seed": (Real, "a whole number"),
    "mask_seed": (Real, "a whole number, or None"),
    "p": (Real, "a number between 0 and 1"),
    "task": (str, "a word, such as 'pixels'"),
    "precision": (str, "a word, such as 'fp32', or None"),
}  # fmt: skip
OPTIONAL = ("iterations", "mask_seed", "precision")


def _plain(value):
    """A number as one of Python's own kinds, a path as text: a record can hold no other."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Real) and not isinstance(value, (int, float)):
        return float(value)  # of a fraction; a long double has no item but itself
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _pairs(changes) -> tuple:
    """Changes as pairs; RunError for what is neither pairs nor a dictionary."""
    pairs = changes.items() if isinstance(changes, Mapping) else changes
    try:
        pairs = [(None if isinstance(pair, str) else pair) for pair in pairs]
        pairs = tuple((key, _plain(value)) for key, value in pairs)
    except (TypeError, ValueError):
        pairs = ((None, None),)
    if not all(isinstance(key, str) for key, _ in pairs):
        raise RunError(
            "changes: pairs of a name and a value, such as (('lr', 0.01), ('depth', 3)), or a "
            f"dictionary, not {brief(changes)!r}."
        )
    return pairs


#: What the recipes' names stand for, whatever a session's earlier cells did to them.
_RECIPES = deepcopy(dip_blocks.RECIPES)
#: Of a file's name, characters: with all that is added it fits into a file system's 255 bytes.
LONGEST = 50


def stem(file: str) -> str:
    """A file's name without suffix, as every system and every archive can have it in a path."""
    name = Path(file).stem[:LONGEST]
    return "".join(
        letter if letter.isprintable() and letter not in STRANGE else "_" for letter in name
    )


#: What Windows has in no name.
STRANGE = '<>:"/\\|?*'


def pixels(image: str, size: int | None) -> str:
    """`images.digest` of a picture; of one that was asked for before and has not changed, at once.

    ImageError, see `images.load`.
    """
    if images.of_the_book(image):
        embedded = image in images.EMBEDDED or image in images.EMBEDDED_RGB
        path = None if embedded else images.fetch(image)
    else:
        path = Path(image)
    stamp = None
    if path is not None and path.exists():
        stat = path.stat()
        stamp = (os.path.realpath(path), stat.st_mtime_ns, stat.st_size)
    return _pixels(image, size, stamp)


@lru_cache(maxsize=1000)
def _pixels(image: str, size: int | None, stamp: tuple | None) -> str:
    return images.digest(images.load(image, size=size))


def _copied(config: dict) -> dict:
    return {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in config.items()}


def _unequal(compared: list[tuple]) -> list[str]:
    """Of (what, here, in a record) those that differ, in phrases."""
    return [
        f"{what} is {there!r} in it and {here!r} here"
        for what, here, there in compared
        if here != there
    ]


def _flat(recipe: dict) -> dict:
    """A recipe's values and its config's side by side, with defaults for what it does not name."""
    defaults = {f.name: f.default for f in fields(dip_blocks.Recipe) if f.default is not MISSING}
    values = defaults | {k: v for k, v in recipe.items() if k not in ("name", "changes", "config")}
    config = dip_blocks.BLOGS_CHOICES | _copied(recipe.get("config", {}))
    return values | {f"config.{key}": value for key, value in config.items()}


def _like(default, value):
    """A command line's 2.0 as 2, where the recipe has a whole number."""
    whole = isinstance(default, int) and isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


#: Levels of a network, and channels or pixels of a kernel in one: more is a slip of the keyboard.
MOST_LEVELS, MOST_OF_A_LEVEL = 30, 65_536
MOST_ITERATIONS = 100_000_000
MOST_THREADS = 1024  # with too many more the system ends the process, without a word
LONGEST_PATH = 215  # bytes; with what is added to it a name has 255 at most


def _whole(key: str, value) -> int:
    try:
        if isinstance(value, bool) or isinstance(value, float) and not value.is_integer():
            raise ValueError
        if not 0 < int(value) <= MOST_LEVELS:
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise RunError(
            f"{key} is a whole number from 1 to {MOST_LEVELS}, not '{brief(value)}'."
        ) from None


def is_number(value, kind: type) -> bool:
    """Is it of a kind of `numbers`?  True and False are none, whatever Python says."""
    return isinstance(value, kind) and not isinstance(value, bool)


def as_path(given, what: str = "A store") -> Path:
    """A path; RunError for anything else."""
    if not isinstance(given, (str, os.PathLike)):
        raise RunError(f"{what} is named by its path, not by '{brief(given)}'.")
    return Path(given)


def check_threads(threads: int | None) -> None:
    """RunError for a number of threads that a run cannot be computed with."""
    if threads is not None and not (is_number(threads, Integral) and 1 <= threads <= MOST_THREADS):
        raise RunError(f"Threads: from 1 to {MOST_THREADS:,}, not {brief(threads)}.")


def brief(value) -> str:
    """What somebody typed, in a message: a few letters of it on one line."""
    said = "".join(letter if letter.isprintable() else "?" for letter in str(value)[:61])
    return said if len(said) <= 60 else f"{said[:60]}…"


def _by_level(key: str, value: float | str, depth: int) -> list[int]:
    """One number for all levels, or "32-64-128", of which the last holds for all below."""
    try:
        parts = str(value).split("-") if isinstance(value, str) else [value]
        if any(isinstance(level, float) and not level.is_integer() for level in parts):
            raise ValueError
        if isinstance(value, bool):
            raise ValueError
        levels = [int(level) for level in parts]
        if max(levels) > MOST_OF_A_LEVEL:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise RunError(
            f"{key} takes one number for all levels, or one for each with hyphens between, "
            f"such as 32-64-128, and none above {MOST_OF_A_LEVEL:,}; not '{brief(value)}'."
        ) from None
    if len(levels) > depth:
        raise RunError(f"{key}={value} has {len(levels)} levels, the network {depth}.")
    return levels + [levels[-1]] * (depth - len(levels))


def _short(value: float | str | bool) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:g}" if number else str(value).lower()
