"""Why it fell short, and what closes the gap under Adam (book, chapters 8, 10 and 11)."""

from __future__ import annotations

from itertools import product

from dip_blocks import BLOGS_CHOICES, SECOND_READING
from dip_book.runs.plan.pictures import DEVELOPMENT, SEEDS
from dip_book.runs.spec import Spec

NEVER = 1e9  # a jump factor that turns backtracking off
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


def repeated(image: str, count: int = 4) -> list[Spec]:
    """One mask, several networks: the second reading, to average what independent runs draw."""
    return [Spec(image, 128, "paper", NARROW, 500, seed, mask_seed=0) for seed in range(count)]


#: Group → its runs.
GROUPS = {
    # why it fell short: from one reading to the other, on the development pictures
    "ablation": list(
        dict.fromkeys(
            s for image, seed in product(DEVELOPMENT, SEEDS) for s in ablation(image, seed).values()
        )
    ),
    "ideas": [idea(name, image) for image, name in product(DEVELOPMENT, IDEAS)],
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
