"""What the book wants to have run: every stored run that a chapter shows or waits for."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from dip_blocks import BLOGS_CHOICES, SECOND_READING
from dip_book import images, runs
from dip_book.runs import ROOT, Spec

NEVER = 1e9  # a jump factor that turns backtracking off

#: The pictures that choices are made on: free ones, none of the 11 that the final tables are about.
DEVELOPMENT = ("camera", "astronaut")
SEEDS = (0, 1, 2)
#: Shares of known pixels, beside the paper's one half.
DENSITIES = (0.1, 0.2, 0.3, 0.7, 0.9)
#: Half the blog's width, so that two CPU cores get through three seeds.
NARROW = (("width", 64),)
#: The switches between the two readings, in the order of the waterfall.
SWITCHES = {
    "upsampling_position": "upsampling first in u_i",
    "skip_from": "skips leave above d_i",
    "downsampling_method": "stride for max pooling",
    "padding_mode": "reflection for zeros",
    "connect": "no connecting block",
}
#: What is tried on top of the second reading, each alone: name → change.
IDEAS = {
    "learning rate 0.003": {"lr": 0.003},
    "learning rate 0.01": {"lr": 0.01},
    "learning rate 0.003, falling to a tenth": {"lr": 0.003, "lr_end": 0.1},
    "average over about 30 outputs": {"averaging": 0.97},
    "no perturbation of z": {"sigma_p": 0.0},
    "a third of the perturbation": {"sigma_p": 1 / 90},
    "a third of it, learning rate 0.003": {"sigma_p": 1 / 90, "lr": 0.003},
    "a third of it, 0.003 falling to a tenth": {"sigma_p": 1 / 90, "lr": 0.003, "lr_end": 0.1},
    "a third of it, learning rate 0.003, zeros at the border": {
        "sigma_p": 1 / 90,
        "lr": 0.003,
        "padding_mode": "zeros",
    },
    "a third of it, 0.003, zeros, nearest upsampling": {
        "sigma_p": 1 / 90,
        "lr": 0.003,
        "padding_mode": "zeros",
        "upsampling_method": "nearest",
    },
    "a third of it, 0.003, zeros, nearest, Fourier features": {
        "sigma_p": 1 / 90,
        "lr": 0.003,
        "padding_mode": "zeros",
        "upsampling_method": "nearest",
        "z_kind": "fourier",
    },
    "a third of it, 16 channels in the skips": {"sigma_p": 1 / 90, "channels_skip": 16},
    "perturbation fades to none": {"sigma_end": 0.0},
    "16 channels in the skips": {"channels_skip": 16},
    "64 channels in the skips": {"channels_skip": 64},
    "no skips": {"channels_skip": 0},
    "LeakyReLU with slope 0.1": {"negative_slope": 0.1},
    "nearest upsampling": {"upsampling_method": "nearest"},
    "max pooling": {"downsampling_method": "max"},
    "z of Fourier features": {"z_kind": "fourier"},
    "z of coordinates": {"z_kind": "meshgrid"},
    "total variation, weight 0.01": {"tv": 0.01},
    "depth 3": {"depth": 3},
    "width 32": {"width": 32},
    "width 128": {"width": 128},
}


#: Where the search under Muon begins: what was chosen under Adam, at half the width, and nothing
#: else changed.
UNDER_MUON = {
    "width": 64, "sigma_p": 1 / 90, "padding_mode": "zeros", "upsampling_method": "nearest",
    "averaging": 0.97, "optimiser": "muon", "lr": 0.02,
}  # fmt: skip
#: What is tried on top of it, each alone: name → change.  The protocol, written down before the
#: runs:
#:
#: 1. At 128×128, 400 iterations, seed 0, on `TUNING`: each idea against the beginning, in PSNR of
#:    the averaged output with known pixels pasted, after the last iteration; and the picture's
#:    average gain over four pictures.
#: 2. Where ideas that would exclude each other differ by less than 0.3 dB on average: seeds 1
#:    and 2.
#: 3. What helps there is tried at 256×256, where the table's small pictures are, 300 iterations.
#: 4. Means of two members: all pairs of what was run at 256×256; the best pair by its mean over the
#:    pictures, among those whose cost fits the evening.
#:
#: The paper's 11 pictures have no part in it.  Where the choice departed from this, the chapter
#: says so.  The ideas with weight decay and a falling rate together, "dropout 0.05, bilinear" and
#: two combinations of the narrow full resolution were added while the first rows ran.
MUON_IDEAS = {
    "Muon": {},
    "Adam in its place": {"optimiser": "adam", "lr": 0.003},
    "bilinear upsampling": {"upsampling_method": "bilinear"},
    "dropout 0.05": {"dropout": 0.05},
    "dropout 0.1": {"dropout": 0.1},
    "dropout 0.2": {"dropout": 0.2},
    "dropout 0.1, bilinear": {"dropout": 0.1, "upsampling_method": "bilinear"},
    "dropout 0.05, bilinear": {"dropout": 0.05, "upsampling_method": "bilinear"},
    "width 32, 64, then 128": {"width": "32-64-128"},
    "width 32, 64, then 128, dropout 0.1": {"width": "32-64-128", "dropout": 0.1},
    "width 32, 64, then 128, dropout 0.1, bilinear": {
        "width": "32-64-128",
        "dropout": 0.1,
        "upsampling_method": "bilinear",
    },
    "dropout 0.1, no perturbation of z": {"dropout": 0.1, "sigma_p": 0.0},
    "perturbation of 1/60": {"sigma_p": 1 / 60},
    "perturbation of 1/150": {"sigma_p": 1 / 150},
    "16 channels in the skips": {"channels_skip": 16},
    "depth 4": {"depth": 4},
    "width 128": {"width": 128},
    "weight decay 1": {"weight_decay": 1.0},
    "learning rate falling to a tenth": {"lr_end": 0.1},
    "weight decay 1, falling rate": {"weight_decay": 1.0, "lr_end": 0.1},
    "weight decay 1, falling rate, dropout 0.05": {
        "weight_decay": 1.0,
        "lr_end": 0.1,
        "dropout": 0.05,
    },
    "weight decay 1, falling rate, dropout 0.1": {
        "weight_decay": 1.0,
        "lr_end": 0.1,
        "dropout": 0.1,
    },
    "weight decay 1, falling rate, dropout 0.1, bilinear": {
        "weight_decay": 1.0,
        "lr_end": 0.1,
        "dropout": 0.1,
        "upsampling_method": "bilinear",
    },
    "learning rate 0.01": {"lr": 0.01},
    "learning rate 0.04": {"lr": 0.04},
    "Adam's share at 0.01": {"lr_adam": 0.01},
    "average over about 10 outputs": {"averaging": 0.9},
    "average over about 100 outputs": {"averaging": 0.99},
}
#: Of these, what is tried at 256×256: what helped where pictures are small, and what it is compared
#: with.
LARGER_IDEAS = (
    "weight decay 1, falling rate, dropout 0.05",
    "weight decay 1, falling rate, dropout 0.1",
    "weight decay 1, falling rate, dropout 0.1, bilinear",
)
#: The pictures that it is tried on: two photographs, and two regular textures, of which the table
#: has some too.
TUNING = (*DEVELOPMENT, "brick", "grass")


#: What is tried on top of `best-hidden`, each alone: name → change.  The protocol: 256×256, 400
#: iterations, seed 0, on `TUNING`, PSNR of the averaged output with known pixels pasted, after the
#: last iteration.  The recipe itself was found by about 35 short trials at 256×256 and 512×512,
#: most on the camera, which were not stored; these runs are to confirm it, or not, and to choose
#: the second member of `best`: the best mean of two over the pictures, among those whose cost fits
#: the evening.  "depth 3" was added when the first rows were there.
HIDDEN_IDEAS = {
    "best-hidden": {},
    "depth 3": {"depth": 3},
    "bilinear upsampling": {"upsampling_method": "bilinear"},
    "64 channels in the first skip": {"channels_skip": "64-16"},
    "no dropout": {"dropout": 0.0},
    "4 channels in the skips": {"channels_skip": 4},
    "half of the known pixels hidden": {"hide": 0.5},
    "depth 5": {"depth": 5},
    "learning rate 0.02": {"lr": 0.02},
    "width 128": {"width": 128},
}
#: Of the free pictures, those that come as large as the table's large ones.
FREE_LARGE = ("camera", "brick", "grass")


#: Changes of the recipe quick-adam, tried at 256×256: name → change.
LARGER = {
    "quick-adam": (),
    "reflection for zeros": (("padding_mode", "reflect"),),
    "bilinear for nearest": (("upsampling_method", "bilinear"),),
}


def ablation(image: str, seed: int) -> dict[str, Spec]:
    """Name → run: both readings, each switch alone, all but each, the way from one to the other.

    "blog" and "paper"; "+ key" one switch from the blog's reading; "- key" one switch missing to
    the paper's; "to key" all switches up to that one.
    """

    def spec(recipe: str, *keys: str) -> Spec:
        values = SECOND_READING if recipe == "blog" else BLOGS_CHOICES
        return Spec(image, 128, recipe, (*NARROW, *((key, values[key]) for key in keys)), 500, seed)

    keys = list(SWITCHES)
    named = {"blog": spec("blog"), "paper": spec("paper")}
    named |= {f"+ {key}": spec("blog", key) for key in keys} | {
        f"- {key}": spec("paper", key) for key in keys
    }
    # The first step is one switch alone, the last but one all but the last, the last the paper's
    # reading.
    way = {
        keys[0]: named[f"+ {keys[0]}"],
        keys[-2]: named[f"- {keys[-1]}"],
        keys[-1]: named["paper"],
    }
    return named | {
        f"to {key}": way.get(key) or spec("blog", *keys[: n + 1]) for n, key in enumerate(keys)
    }


def idea(name: str, image: str, seed: int = 0) -> Spec:
    """The run that tries one of `IDEAS`."""
    changes = dict(NARROW) | IDEAS[name]
    return Spec(image, 128, "paper", tuple(changes.items()), 500, seed)


def under_muon(name: str, image: str, size: int = 128, seed: int = 0, times: int = 1) -> Spec:
    """The run that tries one of `MUON_IDEAS`; ``times`` as long as the others."""
    changes = UNDER_MUON | MUON_IDEAS[name]
    return Spec(
        image, size, "paper", tuple(changes.items()), times * (400 if size == 128 else 300), seed
    )


def repeated(image: str, count: int = 4) -> list[Spec]:
    """One mask, several networks: the second reading, to average what independent runs draw."""
    return [Spec(image, 128, "paper", NARROW, 500, seed, mask_seed=0) for seed in range(count)]


def with_hidden(name: str, image: str, size: int = 256, seed: int = 0) -> Spec:
    """The run that tries one of `HIDDEN_IDEAS`."""
    return Spec(image, size, "best-hidden", tuple(HIDDEN_IDEAS[name].items()), None, seed)


#: Of the paper's 11: those of 256×256, which two CPU cores run at full length, and those of
#: 512×512.
SMALL = ("house", "peppers", "cameraman", "montage")
LARGE = tuple(name for name in images.STANDARD if name not in SMALL)
#: Muon for Adam, and nothing else.
MUON = (("optimiser", "muon"), ("lr", 0.02))

#: Group → its runs, the most wanted group first.  `python -m dip_book status` lists what is
#: missing.
WANTED: dict[str, list[Spec]] = {
    # a better optimiser: the mean of two networks on the 11; the seeds, of mask and all else,
    # confirm
    "best": [Spec(name, None, "best") for name in (*SMALL, *LARGE)],
    "best-seeds": [
        Spec(name, None, "best", seed=seed) for seed, name in product((1, 2), (*SMALL, *LARGE))
    ],
    # one network with random z, as the paper has it
    "best-nearest": [Spec(name, None, "best-nearest") for name in (*SMALL, *LARGE)],
    # what the architecture costs, and what the training: the blog's network until its loss is flat
    "blog-muon": [Spec(name, None, "blog", MUON, 800) for name in (*SMALL, *LARGE)],
    # the paper's reading and settings, but for the optimiser
    "paper-muon": [Spec(name, None, "paper", MUON, 600) for name in (*SMALL, *LARGE)],
    # the blog's own recipe: at full length where that is hours of a CPU, and as far as they get
    # elsewhere
    "table": [Spec(name, None) for name in SMALL]
    + [Spec(name, None, iterations=2000) for name in LARGE],
    "table-short": [Spec(name, None, iterations=2000) for name in SMALL],
    # the mean that was tried first: two kinds of upsampling, on five of the 11
    "two-upsamplings": [Spec(name, None, "two-upsamplings") for name in (*SMALL, "barbara")],
    "quick": [Spec(name, 128, "quick") for name in images.EMBEDDED],
    # the pictures of the front page, and of chapter 12's end
    "front": [Spec("camera", 256, "quick")],
    "best-free": [Spec("camera", 256, "best")],
    # what was best under Adam; and whether what was chosen at 128×128 is better at 256×256 too
    "quick-adam": [Spec(name, 128, "quick-adam") for name in images.EMBEDDED],
    "larger": [Spec("camera", 256, "quick-adam", changes) for changes in LARGER.values()],
    "best-adam": [Spec(name, None, "best-adam", iterations=1000) for name in SMALL]
    + [Spec("house", None, "paper", iterations=1000)],
    # what a decibel costs at 256×256, against the straightforward loop of the paper's recipe
    "cost-256": [
        Spec(image, 256, recipe, iterations=iterations)
        for image in DEVELOPMENT
        for recipe, iterations in (("paper", 1000), ("best", None))
    ],
    # the learning and results chapters: pictures that may be shipped, small enough for a CPU
    "embedded": [Spec(name, iterations=1500) for name in images.EMBEDDED],
    # closing the gap: what a decibel costs, at full width
    "cost": [
        Spec(image, 128, recipe, iterations=1000)
        for image, recipe in product(DEVELOPMENT, ("paper", "best-adam", "blog"))
    ],
    # the problem's chapter: how the share of known pixels matters
    "density": [Spec("camera", 128, "quick", p=p) for p in DENSITIES],
    # the chapter "How fast": what precision costs in dB; the seeds show what is chance
    "precision": [
        Spec("camera", iterations=100, seed=seed, precision=precision)
        for precision, seed in product(("fp32", "bf16"), range(3))
    ],
    # why it fell short: from one reading to the other, on the development pictures
    "ablation": list(
        dict.fromkeys(
            s for image, seed in product(DEVELOPMENT, SEEDS) for s in ablation(image, seed).values()
        )
    ),
    "ideas": [idea(name, image) for image, name in product(DEVELOPMENT, IDEAS)],
    # a better optimiser: what turns over under it
    "muon": [under_muon(name, image) for name, image in product(MUON_IDEAS, TUNING)],
    "muon-256": [under_muon(name, image, 256) for name, image in product(LARGER_IDEAS, TUNING)]
    + [
        under_muon("weight decay 1, falling rate, dropout 0.05", image, 256, times=2)
        for image in TUNING
    ],
    # a network that is shown a part: against the random input, what changes it, and as large as the
    # table's large pictures
    "hidden": [Spec(image, 256, "best-nearest") for image in TUNING]
    + [with_hidden(name, image) for name, image in product(HIDDEN_IDEAS, TUNING)],
    "hidden-512": [
        Spec(image, 512, recipe)
        for image, recipe in product(FREE_LARGE, ("best-nearest", "best-hidden"))
    ],
    # ideas were tried on two kinds of CPU, one of which computes in bf16: what that does to what
    # they are compared with
    "bases": [Spec(image, 128, "paper", NARROW, 500, precision="bf16") for image in DEVELOPMENT],
    "repeated": [spec for image in DEVELOPMENT for spec in repeated(image)],
    # the learning chapter: what counts as a jump
    "jump": [
        Spec("camera", changes=(("jump", NEVER),), iterations=1500),
        Spec("camera", changes=(("lr", 0.01), ("jump", NEVER)), iterations=1500),
        *(
            Spec("camera", changes=(("lr", 0.01), ("jump", jump)), iterations=500)
            for jump in (1.2, 1.5, 2.0, NEVER)
        ),
    ],
}


#: Super-resolution: what was tried at 128×128, shrunk 4 times, on `SHRINK_TRIED`: idea → recipe and
#: changes.  Chosen is by the mean PSNR of the averaged outputs with the data put back.
SHRINK_IDEAS = {
    "nearest, σₚ 1/90": ("best-nearest", ()),
    "nearest, σₚ 0.03": ("best-nearest", (("sigma_p", 0.03),)),
    "bilinear, σₚ 1/90": ("best-bilinear", ()),
    "bilinear, σₚ 0.03": ("best-bilinear", (("sigma_p", 0.03),)),
}
SHRINK_TRIED = ("astronaut-rgb", "coffee-rgb")
#: What was chosen: the recipe two-upsamplings as it is, but for the iterations of each member; and
#: the sides of the free pictures.
SHRUNK_CHANGES: tuple[tuple[str, float], ...] = ()
SHRUNK_ITERATIONS, SHRUNK_SIZES = 250, (128, 256)


def shrink_idea(name: str, image: str) -> Spec:
    """The run that tries one of `SHRINK_IDEAS`."""
    recipe, changes = SHRINK_IDEAS[name]
    return Spec(image, 128, recipe, changes, SHRUNK_ITERATIONS, task="shrink4")


def shrunk(image: str, factor: int, size: int | None) -> Spec:
    """The mean of two networks of a picture that was shrunk so many times."""
    task, many = f"shrink{factor}", SHRUNK_ITERATIONS
    return Spec(image, size, "two-upsamplings", SHRUNK_CHANGES, many, task=task)


WANTED |= {
    "shrink-ideas": [
        shrink_idea(name, image) for name, image in product(SHRINK_IDEAS, SHRINK_TRIED)
    ],
    "shrink-free": [
        shrunk(image, factor, size)
        for (factor, size), image in product(((4, 128), (4, 256), (8, 256)), images.EMBEDDED_RGB)
    ],
    **{
        f"set5-x{factor}": [
            shrunk(name, factor, None) for name in images.COLOUR if name.startswith("set5-")
        ]
        for factor in (4, 8)
    },
}


# Noise ------------------------------------------------------------------------------------

NOISE = "noise25"
#: The pictures that choices about noise are made on: free ones, in colour.
NOISY_PICTURES = ("astronaut-rgb", "chelsea-rgb", "coffee-rgb")
#: Their size: small, so that two CPU cores get through what is tried.
NOISY_SIZE = 96
#: Against noise the recipes of `best` are taken as they are, but for their length: as few
#: iterations as two networks have at 512×512 in ten minutes of a core.
DENOISE_ITERATIONS = 280
#: What is tried on top of it, each alone: name → change; "iterations" is their number.  Seed 0, on
#: `NOISY_PICTURES`, PSNR of the averaged output after the last iteration.
NOISE_IDEAS = {
    "a hiding network": {},
    "twice as long": {"iterations": 2 * DENOISE_ITERATIONS},
    "half of the pixels hidden": {"hide": 0.5},
    "average over about 100 outputs": {"averaging": 0.99},
    "dropout 0.2": {"dropout": 0.2},
    "width 32": {"width": 32},
}


def rising(image: str, seed: int = 0, size: int = NOISY_SIZE) -> Spec:
    """Random z and nothing that protects from over-fitting, on a noisy picture.

    The settings are those with which the ideas for Muon began: quality rises, then falls.  The
    paper denoises with 1,800 iterations; a fifth of it, as Muon needs a fifth of Adam's.
    """
    return Spec(image, size, "paper", tuple(UNDER_MUON.items()), 360, seed, task=NOISE)


def against_noise(name: str, image: str, size: int | None = NOISY_SIZE, seed: int = 0) -> Spec:
    """The run that tries one of `NOISE_IDEAS`."""
    changes = dict(NOISE_IDEAS[name])
    iterations = changes.pop("iterations", DENOISE_ITERATIONS)
    return Spec(image, size, "best-hidden", tuple(changes.items()), iterations, seed, task=NOISE)


def at_random(image: str, size: int | None = NOISY_SIZE, seed: int = 0) -> Spec:
    """Random z with what protects hiding networks too: dropout, decay, a falling rate."""
    return Spec(image, size, "best-nearest", (), DENOISE_ITERATIONS, seed, task=NOISE)


def denoised(image: str, size: int | None = None, seed: int = 0) -> Spec:
    """The mean of two hiding networks of different depth on a noisy picture."""
    return Spec(image, size, "best", (), DENOISE_ITERATIONS, seed, task=NOISE)


def denoised_by_one(image: str, size: int | None = None, seed: int = 0) -> Spec:
    """The deeper of the two alone."""
    return denoised(image, size, seed).members[0]


WANTED |= {
    # noise: free pictures, on which everything was chosen
    "noise": [denoised(image, NOISY_SIZE) for image in NOISY_PICTURES]
    + [rising("astronaut-rgb"), *(at_random(image) for image in NOISY_PICTURES)]
    + [against_noise(name, image) for name, image in product(NOISE_IDEAS, NOISY_PICTURES)],
    # the paper's pictures of this problem, those of its nine that the book has
    "denoising": [
        denoised(image) for image in ("house-rgb", "peppers-rgb", "lena-rgb", "baboon-rgb", "f16")
    ],
}


# The chapter on holes.

#: Colour pictures on which choices about holes are made.
COLOURED = ("astronaut-rgb", "chelsea-rgb", "coffee-rgb")
NO_SKIPS = {"channels_skip": 0}
#: Coordinates as the input.  Their range is that of the unit square, so that the perturbation,
#: which is the recipe's, does not hide them.
GRID = {"z_kind": "meshgrid", "z_channels": 2, "z_scale": 1.0}
#: What decides how far a network reaches, all under `best-nearest`: name → change; written down
#: before the runs.  128×128, 200 iterations, seed 0, a hole of 40×40 pixels; nothing was selected.
#: The last row was added when the astronaut's and half of Chelsea's were there, after nine short
#: trials at 64×64 on Chelsea and the coffee.
HOLE_IDEAS = {
    "depth 2, skips": {"depth": 2},
    "depth 2, no skips": {"depth": 2} | NO_SKIPS,
    "depth 5, skips": {},
    "depth 5, no skips": NO_SKIPS,
    "depth 5, skips, coordinates": GRID,
    "depth 5, no skips, coordinates": NO_SKIPS | GRID,
    "depth 5, no skips, a quarter of the rate": NO_SKIPS | {"lr": 0.005},
}
SLOWER = tuple(HOLE_IDEAS["depth 5, no skips, a quarter of the rate"].items())
#: What is tried under text and scratches: name → recipe and change.
COVERED = {
    "skips": ("best-nearest", {}),
    "no skips": ("best-nearest", NO_SKIPS),
    "some hidden": ("best-hidden", {}),
}


def filling(image: str, task: str, recipe: str = "best-nearest", changes=(), seed=0, **how) -> Spec:
    """A run that fills holes: 128×128, 200 iterations unless ``how`` has it otherwise.

    Args:
        changes: of the recipe, as a dictionary.
        how: further values of the `Spec`.
    """
    how = {"size": 128, "iterations": 200} | how
    return Spec(
        image, recipe=recipe, changes=tuple(dict(changes).items()), task=task, seed=seed, **how
    )


WANTED |= {
    # what fills a hole: skips, depth, input; and the network that is shown a part
    "holes": [
        spec
        for image in COLOURED
        for spec in (
            *(filling(image, "hole40", changes=changes) for changes in HOLE_IDEAS.values()),
            filling(image, "hole40", "best-hidden"),
        )
    ],
    "covered": [
        filling(image, task, recipe, changes)
        for task, image in product(("text10", "scratches10"), COLOURED)
        for recipe, changes in COVERED.values()
    ],
    # few known pixels: beyond `density`
    "sparse": [Spec("camera", 128, "quick", p=p) for p in (0.05, 0.02)],
    # the paper's pictures under its masks: wide gaps with what did best in the holes above, text
    # with what did best on text; so many iterations that each takes ten minutes of a core or less
    "inpainting": [
        Spec("vase", None, "best-nearest", SLOWER, 300, task="vase-mask"),
        Spec("kate", None, "best-hidden", (), 300, task="kate-mask"),
        Spec("library", None, "best-nearest", SLOWER, 300, task="library-mask"),
    ],
}


def missing(groups: list[str] | None = None, store: Path = ROOT) -> list[Spec]:
    """The wanted runs that are not stored; of all groups if None, most wanted first.

    A run that is damaged, or of something else than its spec, is missing too.
    """
    chosen = list(WANTED) if groups is None else groups
    return [spec for group in chosen for spec in WANTED[group] if not _stored(spec, store)]


def _stored(spec: Spec, store: Path) -> bool:
    run, wrong = runs.state(spec, store)
    return run is not None and wrong is None


def of_the_book() -> set[Path]:
    """The paths of the wanted runs, and of the members of wanted means."""
    return {
        run.path for specs in WANTED.values() for spec in specs for run in (spec, *spec.members)
    }


def with_frames() -> list[Spec]:
    """The runs of which a chapter shows outputs on the way.

    It does so in the explorer, the race, on the front page.
    """
    return [
        # chapters 1, 8, 9 and 11: the explorers of the embedded pictures
        *(Spec(name, iterations=1500) for name in images.EMBEDDED),
        *(
            Spec(name, 128, recipe)
            for name, recipe in product(images.EMBEDDED, ("quick", "quick-adam"))
        ),
        # chapter 10: both readings, each switch alone, all but each
        *(spec for name, spec in ablation("camera", 0).items() if not name.startswith("to ")),
        # noise: the explorer
        rising("astronaut-rgb"),
        # chapter 12: the race
        *(under_muon(idea, "camera") for idea in ("Adam in its place", "Muon")),
        *WANTED["front"],
        # super-resolution: the explorer
        *(member for spec in WANTED["shrink-free"] for member in spec.members),
        # chapter on holes: its explorer
        *(
            filling(image, "hole40", changes=HOLE_IDEAS[name])
            for image, name in product(COLOURED, ("depth 5, skips", "depth 5, no skips"))
        ),
    ]


def with_pictures() -> list[Spec]:
    """Further runs of which a chapter shows pictures, or computes from them."""
    ended = [
        spec
        for group in ("table", "table-short", "best-adam")
        for spec in WANTED[group]
        if spec.image in ("house", "montage")
    ]
    return [
        # chapter 2: what is drawn from few known pixels, and from many
        *WANTED["density"],
        # chapter 10: what is drawn on the way from one reading to the other
        *ablation("camera", 0).values(),
        # chapter 11: means of runs with several seeds; before and after; two of the 11
        *WANTED["repeated"], Spec("camera", 256, "quick-adam"), *ended,
        # noise: what the mean draws
        *(denoised(image, NOISY_SIZE) for image in NOISY_PICTURES),
        # chapter 12: what best draws; means of all pairs of ideas, correlations, blending
        *WANTED["best-free"],
        *WANTED["muon"], *WANTED["muon-256"], *WANTED["hidden"], *WANTED["hidden-512"],
        # super-resolution: data put back, means
        *WANTED["shrink-ideas"],
        # chapter on holes: PSNR of missing pixels alone is computed from them
        *WANTED["holes"], *WANTED["covered"], *WANTED["sparse"], *WANTED["inpainting"],
    ]  # fmt: skip


def kept(store: Path = ROOT) -> dict[Path, str]:
    """How much is kept of each run of the book's: "record", "pictures" or "frames".

    In the form that `runs.tidy` takes.  Members keep their pictures until their mean is stored,
    which is computed from them.
    """
    waiting = (
        member
        for specs in WANTED.values()
        for spec in specs
        if spec.members != [spec] and not _stored(spec, store)
        for member in spec.members
    )
    result = dict.fromkeys(of_the_book(), "record")
    result |= {spec.path: "pictures" for spec in (*with_pictures(), *waiting)}
    return result | {spec.path: "frames" for spec in with_frames()}
