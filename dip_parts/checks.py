"""What is put in, checked and brought into the form that `dip_blocks` works with.

Written by hand: the errors say which value of which setting was wrong, what it has to be and why,
where a validation library's say that a constraint does not hold.
"""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import islice
from numbers import Integral, Real
from operator import index

import numpy as np
import torch

#: Lists of a network's config, an entry for each level: n_d, n_u, n_s, k_d, k_u, k_s.
CONFIG_LISTS = (
    "channels_down", "channels_up", "channels_skip", "kernels_down", "kernels_up", "kernels_skip",
)  # fmt: skip
#: What z may be made of, and a multiple of how many channels each needs; 0: the picture's, and one.
Z_KINDS = {"uniform": 1, "meshgrid": 2, "fourier": 4, "known": 0}
OPTIMISERS = ("adam", "muon")
PRECISIONS = ("fp32", "tf32", "bf16")
#: Levels of a network; each halves the picture, so more would want one of 65,536 pixels a side.
MAX_DEPTH = 16
#: Channels of a level, and pixels along a side of a kernel: far more than any that could be used.
MAX_CHANNELS, MAX_KERNEL = 10**6, 999
#: Weights of a network: with what the loop keeps of each, some 30 GB.
MAX_WEIGHTS = 10**9
#: Pixels of a mask: with its random numbers, some 10 GB.
MAX_PIXELS = 10**9
#: Outputs that a fit keeps on the way.
MAX_FRAMES = 10**5


def as_image(image, bounded: bool = True) -> torch.Tensor:
    """Turn a picture into the module's convention: float32, (C, H, W), values in [0, 1].

    Args:
        image: a NumPy array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W).  8- and 16-bit
            unsigned integers are divided by 255 and 65535; floats must lie in [0, 1] already.  Or
            a picture of Pillow's, grey or colour; a palette is looked up.
        bounded: False for data that noise or a filter carried out of [0, 1]: floats are then
            taken as they are.

    Raises:
        ValueError: another number of dimensions or channels, an empty picture, NaN or infinite
            pixels, values outside [0, 1].
        TypeError: a type of number that has no obvious range.
    """
    x = _channels_first(image)
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        raise ValueError(
            "Expected one grey or colour image: an array (H, W) or (H, W, 3), or a tensor "
            f"(1, H, W) or (3, H, W). Got shape {tuple(np.shape(image))}."
        )
    if x.numel() == 0:
        raise ValueError(f"The image is empty: its shape is {tuple(np.shape(image))}.")
    if x.dtype == torch.uint8:
        return x.float() / 255
    if not x.dtype.is_floating_point:
        raise TypeError(_no_range(x.dtype))
    if bad := int((~torch.isfinite(x)).sum()):
        raise ValueError(
            f"{bad} values of the image are NaN or infinite. Mark such pixels as missing: 0 in "
            "image and mask."
        )
    x = x.float()
    if not bounded:
        return x.clone()  # the caller's may change
    low, high = float(x.min()), float(x.max())
    if low < -1e-6 or high > 1 + 1e-6:  # a rounding error is not a mistake
        raise ValueError(
            f"Values must lie in [0, 1]; these go from {low:.4g} to {high:.4g}. Divide 8-bit "
            "values by 255."
        )
    return x.clamp(0, 1)


def as_pair(image, truth) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images of one shape, float64, white 1; each an array or a tensor, see `as_image`.

    What a method draws may overshoot [0, 1], but not by as much as if it were in [0, 255].

    Raises ValueError for two shapes and for such values, TypeError as `as_image`.
    """
    pair = []
    for x in map(_channels_first, (image, truth)):
        if x.numel() == 0 or (x.is_floating_point() and not torch.isfinite(x).all()):
            raise ValueError("PSNR takes images of numbers: one is empty, or has NaN or infinity.")
        if x.dtype == torch.uint8:
            x = x.double() / 255
        if not x.dtype.is_floating_point:
            raise TypeError(_no_range(x.dtype))
        if float(x.min()) < -1 or float(x.max()) > 2:
            raise ValueError(
                f"PSNR takes images in [0, 1]; this one goes from {float(x.min()):.4g} to "
                f"{float(x.max()):.4g}. Divide 8-bit values by 255."
            )
        pair.append(x.double())
    if pair[0].shape != pair[1].shape:
        shapes = f"{tuple(np.shape(image))} and {tuple(np.shape(truth))}"
        raise ValueError(f"PSNR compares images of one shape; got {shapes}.")
    return pair[0], pair[1]


def _channels_first(image) -> torch.Tensor:
    """An array, a tensor or a picture of Pillow's as a tensor, (C, H, W) if it has 2 or 3 axes."""
    if isinstance(image, torch.Tensor):
        x = _dense(image)
        x = x.double() / 65535 if x.dtype == torch.uint16 else x  # few operations know uint16
        x = x.float() if x.is_floating_point() and x.dtype != torch.float64 else x  # or float8
    else:
        array = _array(_looked_up(image))
        if array.dtype == np.uint16:
            array = array.astype(np.float64) / 65535
        if array.dtype.kind in "OU" and not isinstance(image, np.ndarray):
            raise TypeError(
                "An image is an array, a tensor or an opened picture of Pillow's, not a "
                f"{type(image).__name__}."
            )
        if array.dtype.kind not in "uif":
            raise TypeError(_no_range(array.dtype))
        x = torch.from_numpy(array)
        x = x.permute(2, 0, 1) if x.ndim == 3 else x
    return x[None] if x.ndim == 2 else x


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """On the CPU, without a history, every value in its place."""
    if tensor.is_meta:
        raise ValueError("This tensor lies on the device 'meta': it has a shape, and no values.")
    here = tensor.detach().cpu()
    return here if here.layout == torch.strided else here.to_dense()


def _array(given) -> np.ndarray:
    """An array as PyTorch takes it: this machine's numbers, one after the other, writable."""
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(
            "A masked array hides pixels that would be taken as they are: pass array.filled(0), "
            "and ~np.ma.getmaskarray(array) in what is known."
        )
    if hasattr(given, "load") and hasattr(given, "mode"):
        try:
            given.load()
        except (AssertionError, AttributeError, ValueError):  # by Pillow's version and format
            raise ValueError(
                "This picture is closed, or its file is: open it anew, and use it while it is open."
            ) from None
    array = np.asarray(given)
    own = np.double if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
    return np.require(array.astype(own, copy=False), requirements="CW")


def _looked_up(image):
    """A picture of Pillow's whose numbers are colours; anything else as it is."""
    mode = getattr(image, "mode", None)
    if mode is None or not hasattr(image, "convert"):
        return image
    if mode == "P" and "transparency" not in image.info:
        return image.convert("RGB")  # its numbers are places in a palette
    if mode in ("I", "F"):
        raise ValueError(
            f"A picture of the mode {mode} has numbers of no known range: pass np.asarray(image), "
            "divided so that white is 1."
        )
    if mode not in ("L", "RGB") and not mode.startswith("I;16"):
        raise ValueError(
            f"A picture of the mode {mode} is neither grey nor colour alone: "
            "image.convert('RGB') or image.convert('L') makes it so."
        )
    return image


def _no_range(dtype) -> str:
    return f"An image of {dtype} has no known range: pass uint8, uint16 or floats in [0, 1]."


def as_mask(mask, height: int | None = None, width: int | None = None) -> torch.Tensor:
    """Check a mask for an image of height × width and give it the shape (1, H, W), float32.

    Without a size it is a mask of its own.

    Raises ValueError for another shape, for values other than 0 (missing) and 1 (known), and for a
    picture of Pillow's with a palette.
    """
    if getattr(mask, "mode", None) == "P":
        raise ValueError(
            "The mask is a picture with a palette, whose numbers are places there: take "
            "np.asarray(mask.convert('L')) > 127."
        )
    if not isinstance(mask, torch.Tensor):
        array = _array(mask)
        if array.dtype.kind not in "buif":
            raise TypeError(f"A mask is an array or a tensor of ones and zeros, not {mask!r:.60}.")
        mask = torch.from_numpy(array)
    m = _dense(mask).float().clone()  # the caller's may change
    if height is None:
        if m.ndim < 2 or m.numel() == 0:
            raise ValueError(f"A mask's shape is (H, W), a value a pixel; not {tuple(m.shape)}.")
        height, width = m.shape[-2:]
    elif not (_is_number(height, Integral) and _is_number(width, Integral)):
        raise ValueError(
            "The image's height and width are two whole numbers, or neither is given, not "
            f"{height!r:.60} and {width!r:.60}."
        )
    if m.numel() != height * width or tuple(m.shape[-2:]) != (height, width):
        raise ValueError(
            f"The mask's shape is {tuple(m.shape)}, but the image is {height}×{width}: one value a "
            "pixel."
        )
    if not ((m == 0) | (m == 1)).all():
        raise ValueError(
            "A mask holds 1 (or True) where a pixel is known, 0 (or False) where it is missing; of "
            "a picture take mask > 127."
        )
    return m.reshape(1, height, width)


def as_truth(truth, shape: tuple[int, int, int]) -> torch.Tensor | None:
    """The true image, as `as_image` has it, or None; ValueError if it has another size."""
    if truth is None:
        return None
    truth = as_image(truth)
    if truth.shape != shape:
        raise ValueError(
            f"truth has shape {tuple(truth.shape)}, the picture that is looked for {shape}."
        )
    return truth


def check_config(config: dict, choices: dict) -> None:
    """Raise a ValueError that says which entry of a network config is wrong, and why.

    ``choices``: name → the possible values, or a number that stands for any from 0 to below 1.
    """
    if not isinstance(config, dict):
        raise ValueError(f"The config must be a dictionary of a network's values, not {config!r}.")
    if strange := [key for key in config if not isinstance(key, str)]:
        raise ValueError(f"The config's entries have names; {strange[0]!r} is none.")
    needed = {*CONFIG_LISTS, "upsampling_method"}
    if missing := sorted(needed - set(config)):
        raise ValueError(f"The config lacks {', '.join(missing)}.")
    known = {*needed, *choices}
    if unknown := sorted(set(config) - known):
        raise ValueError(
            f"The config has unknown entries: {', '.join(unknown)}. Known are "
            f"{', '.join(sorted(known))}."
        )
    for key in CONFIG_LISTS:
        if not isinstance(config[key], list):
            raise ValueError(f"{key} must be a list, an entry a level, not {config[key]!r}.")
    lengths = {key: len(config[key]) for key in CONFIG_LISTS}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            "The config's lists must all have one length, the depth (1 or more); they have "
            f"{lengths}."
        )
    check_depth(lengths["channels_down"])
    for i in range(lengths["channels_down"]):
        for key in CONFIG_LISTS:
            unused = key == "kernels_skip" and config["channels_skip"][i] == 0
            if unused and isinstance(config[key][i], (int, type(None))):
                continue  # no skip at this depth, so whichever size stands here is not used
            _check_entry(f"{key}[{i}]", config[key][i])
    for key, values in choices.items():
        value = config.get(key, values[0] if isinstance(values, tuple) else values)
        if isinstance(values, tuple):
            if not isinstance(value, type(values[0])) or value not in values:
                raise ValueError(
                    f"{key} must be one of {', '.join(map(str, values))}, not {value!r}."
                )
        elif not _is_number(value, (int, float)) or not 0 <= value < 1:
            raise ValueError(f"{key} must be a number, 0 or above and below 1, not {value!r}.")
    if (share := config.get("dropout", 0)) and not 1 <= round(256 * share) < 256:
        raise ValueError(
            f"dropout is rounded to 1/256, so it must be 0 or from 0.002 to 0.998, not {share!r}."
        )


def copied(config: dict) -> dict:
    """A config of its own: a plain dictionary, since `asdict` knows no defaultdict."""
    return deepcopy(dict(config))


def check_network(channels, out_channels, config: dict, choices: dict) -> None:
    """Raise a ValueError for what is no number of channels, or is wrong in a config."""
    for name, count in (("channels", channels), ("out_channels", out_channels)):
        if not _is_number(count, Integral) or not 1 <= count <= MAX_CHANNELS:
            raise ValueError(
                f"{name} must be a whole number from 1 to {MAX_CHANNELS:,}, not {count!r:.60}."
            )
    check_config(config, choices)


def as_changes(config) -> dict:
    """Entries of a config that are changed; ValueError for what is no dictionary. None is none."""
    if config is not None and not isinstance(config, dict):
        raise ValueError(
            "What changes in a network's config is a dictionary, such as {'dropout': 0.1}, not "
            f"{config!r:.60}."
        )
    return config or {}


def check_is_recipe(recipe) -> None:
    """Raise a TypeError for a name, a config or anything else in a recipe's place."""
    if not hasattr(recipe, "as_dict"):
        raise TypeError(f"recipe must be a Recipe, such as RECIPES['quick'], not {recipe!r:.60}.")


def check_lists(config) -> None:
    """Raise a ValueError for what is not the config of a network, or lacks one of its lists."""
    if not isinstance(config, dict) or not all(
        isinstance(config.get(n), list) for n in CONFIG_LISTS
    ):
        raise ValueError(
            f"A network's config, such as QUICK.config, has the lists {', '.join(CONFIG_LISTS)}."
        )


def check_depth(depth) -> None:
    """Raise a ValueError for what is no number of levels."""
    if not _is_number(depth, Integral) or not 1 <= depth <= MAX_DEPTH:
        raise ValueError(
            f"The depth must be a whole number from 1 to {MAX_DEPTH}, not {depth!r}: each level "
            "halves the picture."
        )


def as_seed(seed) -> int:
    """A seed as a plain integer; ValueError for what no generator takes."""
    if not _is_number(seed, Integral) or not 0 <= seed < 2**63:
        raise ValueError(f"A seed must be a whole number from 0 to 2^63 - 1, not {seed!r}.")
    return int(seed)


def check_tensors(axes: str, floats: bool = True, **given) -> None:
    """Raise a TypeError for what is no tensor with as many axes as these, such as "C, H, W"."""
    for name, tensor in given.items():
        if not isinstance(tensor, torch.Tensor):
            what = f"{tensor!r:.60}"
        elif tensor.layout != torch.strided:
            what = f"one of {tensor.layout}"
        elif tensor.ndim <= axes.count(",") or floats > tensor.is_floating_point():
            what = f"{tensor.dtype}, {tuple(tensor.shape)}"
        else:
            continue
        kind = "tensor of floats" if floats else "tensor"
        raise TypeError(f"{name} must be a {kind}, (…, {axes}), not {what}.")


def check_comparable(output, x_hat, mask) -> None:
    """Raise a TypeError or a ValueError for what `masked_loss` would not compare pixel by pixel."""
    check_tensors("C, H, W", floats=False, output=output, x_hat=x_hat, mask=mask)
    size = tuple(output.shape[-3:])
    if tuple(x_hat.shape[-3:]) != size or tuple(mask.shape[-3:]) != (1, *size[1:]):
        raise ValueError(
            "The loss compares an output with an x̂ of its shape, (…, C, H, W), by a mask "
            f"(…, 1, H, W); here are {tuple(output.shape)}, {tuple(x_hat.shape)} and "
            f"{tuple(mask.shape)}."
        )


def check_generator(generator) -> None:
    """Raise a TypeError for what is no generator of PyTorch's, nor None, its global one."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be one of PyTorch's, such as torch.Generator().manual_seed(0), not "
            f"{generator!r:.60}."
        )


def check_net(net) -> None:
    """Raise a TypeError for anything else than a network."""
    if not isinstance(net, torch.nn.Module):
        raise TypeError(f"net must be a network, such as a UNet, not {net!r:.60}.")


def check_draw(height, width, p) -> None:
    """Raise a ValueError for what is no size of a mask, or no probability."""
    check_pixels(height, width)
    if not _is_number(p) or not 0 <= p <= 1:
        raise ValueError(f"p is the probability that a pixel is known, between 0 and 1; got {p!r}.")


def check_pixels(height, width) -> None:
    """Raise a ValueError for what is no size of a mask."""
    for size in (height, width):
        if not _is_number(size, Integral) or size < 1:
            raise ValueError(
                f"A mask has a whole number of pixels a side, 1 or more, not {size!r}."
            )
    if height * width > MAX_PIXELS:
        raise ValueError(f"A mask has at most {MAX_PIXELS:,} pixels, not {height} × {width}.")


def check_count(iterations) -> None:
    """Raise a ValueError for what is no number of iterations."""
    if not _is_number(iterations, Integral) or iterations < 0:
        raise ValueError(f"Iterations are counted in whole numbers, 0 or more, not {iterations!r}.")


def as_sides(given, name: str) -> tuple[int, int]:
    """Height and width of a picture, as what has this name gives them, or a ValueError."""
    try:
        height, width = sides = [int(side) for side in given]
        right = min(sides) >= 1 and sides == list(given)
    except (TypeError, ValueError, OverflowError):
        right = False
    if not right:
        raise ValueError(
            f"{name} has to give the picture's height and width, two whole numbers, not "
            f"{given!r:.60}."
        )
    return height, width


def sides_of(given) -> tuple[int, int]:
    """H and W of a picture's shape (C, H, W), or a ValueError."""
    if not isinstance(given, (tuple, list)) or len(given) != 3:
        raise ValueError(f"A picture's shape is (C, H, W), such as (3, 64, 64), not {given!r:.60}.")
    return as_sides(given[1:], "shape")


def as_iterations(given) -> set[int]:
    """Iterations whose output is kept; ValueError for what is not whole numbers."""
    try:
        wanted = {index(iteration) for iteration in islice(given, MAX_FRAMES + 1)}
    except TypeError:
        raise ValueError(
            f"frames are the numbers of iterations, such as [100, 200], not {given!r}."
        ) from None
    if len(wanted) > MAX_FRAMES:
        raise ValueError(f"frames are at most {MAX_FRAMES:,} iterations: each keeps a picture.")
    return wanted


def _is_number(value, kind=Real) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def check_weights(count: int) -> None:
    """Raise a ValueError for a network of more weights than a machine holds."""
    if count > MAX_WEIGHTS:
        raise ValueError(
            f"This network would have {count:.2g} weights, more than {MAX_WEIGHTS:,}: take fewer "
            "channels or smaller kernels."
        )


def _check_entry(name: str, value) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, not {value!r}.")
    if name.startswith("kernels") and (value < 1 or value % 2 == 0):
        raise ValueError(
            f"{name} must be odd and positive, not {value}: an even kernel shifts the image."
        )
    most = MAX_KERNEL if name.startswith("kernels") else MAX_CHANNELS
    if value > most:  # no size of a tensor overflows on the way to `check_weights`
        raise ValueError(f"{name} must be at most {most:,}.")
    skip = name.startswith("channels_skip")
    if name.startswith("channels") and value < (0 if skip else 1):
        raise ValueError(
            f"{name} must be {'0 (no skip) or more' if skip else '1 or more'}, not {value}."
        )


#: What the loop computes in, float32, knows nothing smaller above 0, in full, and nothing larger.
_SMALLEST, _LARGEST = (float(getattr(torch.finfo(torch.float32), end)) for end in ("tiny", "max"))
_POSITIVE = (lambda v: _SMALLEST <= v <= _LARGEST, "above 0")
_FROM_0 = (lambda v: 0 <= v <= _LARGEST, "0 or above")
_NONE_OR_MORE = (_FROM_0[0], "0 (none) or above")

#: Values of a recipe that are numbers: what must hold of each, and how it is said.
_BOUNDS = {
    "z_scale": _POSITIVE,
    "sigma_p": _FROM_0,
    "sigma_end": _FROM_0,
    "iterations": (lambda v: 0 <= v <= 10**9, "0 or more, and at most a billion"),
    "lr": _POSITIVE,
    "lr_adam": _POSITIVE,
    "weight_decay": _NONE_OR_MORE,
    "lr_end": _FROM_0,
    "jump": (
        lambda v: 1 < v <= _LARGEST or v == math.inf,
        "above 1 (math.inf turns backtracking off)",
    ),
    "lr_decay": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    "tv": _NONE_OR_MORE,
    "averaging": (lambda v: 0 <= v < 1, "0 (no averaging) or above, and below 1"),
}


def check_recipe(values: dict) -> None:
    """Raise a ValueError that says which of a recipe's values is wrong, and why."""
    needed = {"z_kind", "z_channels", "hide", "optimiser", *_BOUNDS}
    if not isinstance(values, dict) or not needed <= {*values}:
        raise ValueError(
            "A recipe's values are all of what its as_dict() gives, a dictionary, not "
            f"{values!r:.60}."
        )
    for name, value in values.items():
        if name in ("config", "z_kind", "optimiser"):
            continue
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ValueError(f"{name} must be a number, not {value!r}.")
        if name in ("iterations", "z_channels") and not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number, not {value!r}.")
    for name, known in (("z_kind", (*Z_KINDS,)), ("optimiser", OPTIMISERS)):
        if values[name] not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {values[name]!r}.")
    bounds = {**_BOUNDS, **_of_z(values["z_kind"])}
    for name, (holds, need) in bounds.items():
        if not holds(values[name]):
            float32 = holds in (_POSITIVE[0], _FROM_0[0]) and 0 < values[name] < math.inf
            note = " Numbers are float32's: from 1.2e-38 to 3.4e38." if float32 else ""
            raise ValueError(f"{name} must be {need}, not {values[name]}.{note}")


def _of_z(kind: str) -> dict:
    """What z is made of decides how many channels it has, and whether pixels can be hidden."""
    least = Z_KINDS[kind]
    if least == 0:
        return {
            "z_channels": (
                lambda v: v == 0,
                f"0 where z is known pixels (z_kind {kind!r}): it has the picture's channels, "
                "and the mask",
            ),
            "hide": (
                lambda v: 0 < v < 1,
                "above 0 and below 1 where z is known pixels: a network that sees all it is asked "
                "for copies it",
            ),
        }
    return {
        "z_channels": (
            lambda v: 1 <= v <= 10_000 and v % least == 0,
            f"a multiple of {least}, and at least {least} (to 10,000)",
        ),
        "hide": (
            lambda v: v == 0,
            f"0 where z is no pixels (z_kind {kind!r}): there is nothing to hide",
        ),
    }


def check_precision(precision: str) -> None:
    """Raise a ValueError for what is not one of `PRECISIONS`."""
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")
