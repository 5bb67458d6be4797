"""Deep Image Prior in one file: blocks, network, recipes, degradation, loss, loop.

The task is *image reconstruction*: of an image x we are given x̂ = m ⊙ x, where the mask m keeps
each pixel with probability p.  We look for x by fitting an untrained encoder-decoder f_θ to the
pixels that are known,

    min over θ of  ‖(f_θ(z) − x̂) ⊙ m‖²,

with z fixed random input.  Nothing is learnt from other images; the structure of f_θ is the prior.

Sources, named in the docstrings below:
    *paper*       D. Ulyanov, A. Vedaldi, V. Lempitsky, "Deep Image Prior", CVPR 2018
    *supplement*  its supplementary material, where the network is described
    *blog*        the reproduction that this project rebuilds ("Deep Image Prior Reproducibility
                  Project", TU Delft Deep Learning course); its names are kept

Conventions.  Images are float32 tensors of shape (C, H, W) with values in [0, 1]; C is 1 (grey)
or 3 (colour).  Masks have shape (1, H, W): 1 where the pixel is known, 0 where it is missing.
Inside the network everything has a batch dimension of one.  What `Fit` does with a loss is in
`dip_parts.engine`; other tasks are other degradations, in `dip_parts.degradations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import nn

from dip_parts import checks
from dip_parts.ablations import Lanczos, total_variation
from dip_parts.checks import CONFIG_LISTS, as_image, as_mask, as_pair, as_seed
from dip_parts.degradations import Degradation, Masked, Noisy, Shrunk
from dip_parts.devices import as_device, best_device, best_precision, numerics, undisturbed
from dip_parts.engine import DivergenceError, Engine, Restoration, Step, decibel
from dip_parts.finish import blend, mean_of, paste
from dip_parts.inputs import draw_weights, draw_z
from dip_parts.layers import Pointwise, Reflecting, Upsample, dropout, padded, upsampled_body
from dip_parts.muon import Muon, for_muon, orthogonalised

# Blocks -------------------------------------------------------------------------------------------

#: Where the supplement's text and figure leave room: the possible choices, the blog's first.
CHOICES = {
    "skip_from": ("output", "input"),  # of the level's d_i: is a skip's size that below or above?
    "upsampling_position": ("last", "first"),  # in u_i
    "upsampling_method": ("bilinear", "nearest"),
    "downsampling_method": ("max", "stride", "average", "lanczos"),
    "padding_mode": ("zeros", "reflect"),  # of the convolutions
    "norm": ("batch", "none"),  # (instance norm is the same for one picture)
    "connect": (True, False),  # the blog's block at the bottom
    "negative_slope": 0.01,  # of LeakyReLU: any number from 0 to below 1
    "dropout": 0.0,  # before each convolution of u_i, not in the supplement: from 0 to below 1
}
BLOGS_CHOICES = {key: v[0] if isinstance(v, tuple) else v for key, v in CHOICES.items()}


def conv(channels_in, channels_out, kernel_size, choices=BLOGS_CHOICES, stride=1) -> nn.Conv2d:
    """A convolution that keeps height and width, or halves them (stride 2); odd kernels only."""
    kind = Reflecting if choices["padding_mode"] == "reflect" else nn.Conv2d
    return kind(channels_in, channels_out, kernel_size, stride, kernel_size // 2)


def normalise(channels, choices=BLOGS_CHOICES) -> nn.Module:
    """Batch norm by the statistics of the one picture at hand, always (`eval` changes nothing)."""
    batch = choices["norm"] == "batch"
    return nn.BatchNorm2d(channels, track_running_stats=False) if batch else nn.Identity()


def norm_act(channels, choices=BLOGS_CHOICES) -> tuple[nn.Module, nn.Module]:
    """Norm and LeakyReLU, the pair that follows nearly every convolution."""
    return normalise(channels, choices), nn.LeakyReLU(choices["negative_slope"])


class Down(nn.Sequential):
    """d_i: one level down.  (N, channels_in, H, W) → (N, channels_out, H/2, W/2).

    The supplement halves the size with a strided convolution and reports average pooling, max
    pooling and Lanczos to be about as good; the blog chose max pooling (blog, "Structure of the
    network").
    """

    def __init__(self, channels_in, channels_out, kernel_size, choices=BLOGS_CHOICES):
        pools = {"max": nn.MaxPool2d(2), "average": nn.AvgPool2d(2), "lanczos": Lanczos()}
        method = choices["downsampling_method"]
        super().__init__(
            conv(channels_in, channels_out, kernel_size, choices, 2 if method == "stride" else 1),
            nn.Identity() if method == "stride" else pools[method],
            *norm_act(channels_out, choices),
            conv(channels_out, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
        )


class Skip(nn.Sequential):
    """s_i: a narrow bypass.  (N, channels_in, H, W) → (N, channels_out, H, W)."""

    def __init__(self, channels_in, channels_out, kernel_size, choices=BLOGS_CHOICES):
        first = conv(channels_in, channels_out, kernel_size, choices)
        super().__init__(first, *norm_act(channels_out, choices))


class Up(nn.Module):
    """u_i: one level up.  (N, channels_in, H, W) and a skip → (N, channels_out, 2H, 2W).

    In the blog's reading of the supplement's figure the block *ends* with the upsampling; in the
    other reading it *begins* with it, so that the convolutions work at the larger size.  A skip
    joins as soon as it has the size of what comes from below.

    Args:
        channels_in: of what the first convolution sees: with the skip's, unless that joins last.
    """

    def __init__(self, channels_in, channels_out, kernel_size, choices=BLOGS_CHOICES):
        super().__init__()
        self.body = nn.Sequential(
            normalise(channels_in, choices),
            conv(channels_in, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
            *dropout(choices["dropout"]),
            conv(channels_out, channels_out, 1, choices),
            *norm_act(channels_out, choices),
        )
        self.dropout = nn.Sequential(*dropout(choices["dropout"]))  # at the smaller size
        self.upsample = Upsample(choices["upsampling_method"])
        self.first = choices["upsampling_position"] == "first"
        nearest = choices["upsampling_method"] == "nearest"
        self.fold = self.first and nearest and choices["padding_mode"] == "zeros"

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        x = self.dropout(x)
        if self.fold and (skip is None or skip.shape[-1] == 2 * x.shape[-1]):
            return upsampled_body(self.body, x, skip)  # the same as below, in less work
        for stage in (self.upsample, self.body) if self.first else (self.body, self.upsample):
            if skip is not None and skip.shape[-2:] == x.shape[-2:]:
                x, skip = torch.cat([x, skip], dim=1), None
            x = stage(x)
        return x if skip is None else torch.cat([x, skip], dim=1)


class Connect(nn.Sequential):
    """The bottom of the U: down once more and back.  (N, C, H, W) → (N, channels_out, H, W).

    Not in the supplement's figure.  The blog takes it from the original U-Net so that encoder and
    decoder stay joined when every skip is omitted (blog, "Resolving the peculiarities").
    """

    def __init__(self, channels_in, channels_out, kernel_size, choices=BLOGS_CHOICES):
        super().__init__(
            nn.MaxPool2d(2),
            conv(channels_in, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
            conv(channels_out, channels_out, kernel_size, choices),
            *norm_act(channels_out, choices),
            Upsample(choices["upsampling_method"]),
        )


class OutConv(nn.Sequential):
    """From features to pixels.  (N, channels_in, H, W) → (N, channels_out, H, W), in (0, 1)."""

    def __init__(self, channels_in: int, channels_out: int = 3):
        super().__init__(Pointwise(channels_in, channels_out), nn.Sigmoid())


# Network ------------------------------------------------------------------------------------------


class UNet(nn.Module):
    """The encoder-decoder f_θ of the paper, in the blog's reading or another.

    (N, channels, H, W) → (N, out_channels, H, W), values in (0, 1).  An input that the levels do
    not divide is padded by reflection and the output is cropped.

    Args:
        channels: channels of the input z.
        out_channels: channels of the image, 1 or 3 as a rule.
        config: the lists of `CONFIG_LISTS`, all of one length, the depth, full resolution first;
            ``upsampling_method``; and any other of `CHOICES` that differs from the blog's.  A skip
            of 0 channels means no skip at that depth.

    Raises ValueError for what is wrong with the config, or an input too small for the depth.
    """

    def __init__(self, channels: int, out_channels: int, config: dict):
        super().__init__()
        checks.check_network(channels, out_channels, config, CHOICES)
        choices = {key: config.get(key, blogs) for key, blogs in BLOGS_CHOICES.items()}
        down, up, skip = (config[f"channels_{kind}"] for kind in ("down", "up", "skip"))
        self.depth, self.skip_from = len(down), choices["skip_from"]
        levels = range(self.depth)
        before = [channels, *down[:-1]]  # channels of the input of each d_i
        self.down = nn.ModuleList(
            Down(before[i], down[i], config["kernels_down"][i], choices) for i in levels
        )
        sources = before if self.skip_from == "input" else down
        kernels = config["kernels_skip"]
        self.skip = nn.ModuleList(
            Skip(sources[i], skip[i], kernels[i], choices) if skip[i] else None for i in levels
        )
        bottom = (down[-1], up[-1], config["kernels_down"][-1], choices)
        self.connect = Connect(*bottom) if choices["connect"] else None

        # A skip of the larger size meets a block that works at the smaller one only at its end.
        late = self.skip_from == "input" and choices["upsampling_position"] == "last"
        below, enters = up[-1] if choices["connect"] else down[-1], {}
        for i in reversed(levels):
            enters[i] = below if late else below + skip[i]
            below = up[max(i - 1, 0)] + (skip[i] if late else 0)
        self.up = nn.ModuleList(
            Up(enters[i], up[max(i - 1, 0)], config["kernels_up"][i], choices) for i in levels
        )
        self.out = OutConv(below, out_channels)
        # Where the last upsampling meets the 1×1 convolution, they change places: the same numbers
        # (a weighted mean of sums is the sum of weighted means), but one channel is upsampled.
        if choices["upsampling_position"] == "last" and not late:
            self.out.insert(1, self.up[0].upsample)
            self.up[0].upsample = nn.Identity()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        height, width = z.shape[-2:]
        levels = [padded(z, self.depth, self.connect is not None)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels[-1] if self.connect is None else self.connect(levels[-1])
        for i in reversed(range(self.depth)):
            source = levels[i] if self.skip_from == "input" else levels[i + 1]
            x = self.up[i](x, None if self.skip[i] is None else self.skip[i](source))
        with torch.autocast(x.device.type, enabled=False):  # the pixels in full precision
            return self.out(x.float())[..., :height, :width]


# Recipes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run but image, mask and seed.  ValueError for what cannot work."""

    config: dict  # the network, see UNet
    z_kind: str = "uniform"  # what z is made of, see draw_z
    z_channels: int = 32  # z ∈ R^(32×H×W) …
    z_scale: float = 0.1  # … ~ U(0, 0.1)
    sigma_p: float = 1 / 30  # z is perturbed by N(0, sigma_p²) in every iteration
    hide: float = 0.0  # z_kind "known": share of known pixels that an iteration hides and asks for
    sigma_end: float = 1.0  # share of sigma_p in the last iteration, along half a cosine
    iterations: int = 11_000
    optimiser: str = "adam"  # or "muon"
    lr: float = 0.001  # its learning rate
    lr_adam: float = 0.003  # with Muon: Adam's, for the weights that Muon leaves to it
    weight_decay: float = 0.0  # with Muon: share of its weights that a step of rate 1 takes away
    lr_end: float = 1.0  # share of it in the last iteration, likewise
    jump: float = 2.0  # a loss above jump × the previous loss is undone (book, "Learning process")
    lr_decay: float = 0.9  # and the learning rate multiplied by this
    tv: float = 0.0  # weight of the output's total variation, added to the loss
    averaging: float = 0.99  # decay of the moving average of the outputs, a picture of its own

    def __post_init__(self):
        checks.check_config(self.config, CHOICES)
        checks.check_recipe(vars(self))
        object.__setattr__(self, "config", checks.copied(self.config))  # no other follows a change

    def as_dict(self) -> dict:
        """Every value, as plain Python, ready for JSON."""
        return asdict(self)


def but(recipe: Recipe, config: dict | None = None, **values) -> Recipe:
    """The recipe with entries of its network's config, and other values, changed."""
    checks.check_is_recipe(recipe)
    return replace(recipe, config=recipe.config | checks.as_changes(config), **values)


def at_depth(config: dict, depth: int) -> dict:
    """The same config with so many levels: its lists cut, or begun again until long enough.

    ValueError for what is no depth, or no config.
    """
    checks.check_lists(config)
    checks.check_depth(depth)
    return config | {name: (config[name] * depth)[:depth] for name in CONFIG_LISTS}


#: The supplement's hyperparameters for reconstruction, as the blog lists them.
BLOG = Recipe(
    config={
        "channels_down": [128] * 5, "channels_up": [128] * 5, "channels_skip": [4] * 5,
        "kernels_down": [3] * 5, "kernels_up": [3] * 5, "kernels_skip": [1] * 5,
        "upsampling_method": "bilinear",
    }
)  # fmt: skip
#: The same with the other learning rate the blog gives, in its section on the learning process.
BLOG_LOW_LR = replace(BLOG, lr=0.0001)

#: The paper's text and figure read the other way: what the blog's reading differs in, no more.
SECOND_READING = {
    "skip_from": "input",  # the first skip sees z itself, at full resolution
    "upsampling_position": "first",  # so the last 3×3 convolution works on the pixels
    "downsampling_method": "stride",
    "padding_mode": "reflect",
    "connect": False,
}
PAPER = but(BLOG, SECOND_READING)  #: the blog's recipe, but for the second reading

#: Past the paper, with its optimiser (book, "Closing the gap"): from short runs on free pictures.
NEAREST = {"padding_mode": "zeros", "upsampling_method": "nearest"}
BEST_ADAM = but(PAPER, NEAREST, sigma_p=1 / 90, lr=0.003)
WIDTH_64 = {"channels_down": [64] * 5, "channels_up": [64] * 5}
QUICK_ADAM = but(BEST_ADAM, WIDTH_64, iterations=700, averaging=0.97)

#: With Muon (book, "A better optimiser"): a minute of two CPU cores at 128×128.
QUICK = but(
    QUICK_ADAM, {"dropout": 0.05},  # so fast a fit over-fits
    iterations=500, optimiser="muon", lr=0.02, lr_end=0.1, weight_decay=1.0,  # pay together
)  # fmt: skip
#: Random z, as in the paper; and the same with the other upsampling.
BEST_NEAREST = replace(QUICK, iterations=400)
BEST_BILINEAR = but(BEST_NEAREST, {"upsampling_method": "bilinear", "dropout": 0.1})

#: A network that sees what is known, some of it hidden in every iteration, and is asked for that:
#: not the paper's random z, but a single picture and the same kind of network still.
BEST_HIDDEN = but(
    QUICK, at_depth(QUICK.config, 4) | {"channels_skip": [16] * 4},  # a skip carries pixels now
    z_kind="known", z_channels=0,  # the picture's, and the mask
    iterations=400, lr=0.04, sigma_p=0.0, hide=0.3,  # hiding is perturbation enough
)  # fmt: skip
#: The same with three levels, to be averaged with it; and two more, for twice the seconds.
BEST_HIDDEN_SHALLOW = but(BEST_HIDDEN, at_depth(BEST_HIDDEN.config, 3))
BEST_HIDDEN_BILINEAR = but(BEST_HIDDEN, {"upsampling_method": "bilinear"})
BEST_HIDDEN_WIDE = but(BEST_HIDDEN, {"channels_down": [128] * 4, "channels_up": [128] * 4})

RECIPES = {
    "blog": BLOG, "blog-low-lr": BLOG_LOW_LR, "paper": PAPER, "best-adam": BEST_ADAM,
    "quick-adam": QUICK_ADAM, "best-nearest": BEST_NEAREST, "best-bilinear": BEST_BILINEAR,
    "quick": QUICK, "best-hidden": BEST_HIDDEN, "best-hidden-wide": BEST_HIDDEN_WIDE,
    "best-hidden-shallow": BEST_HIDDEN_SHALLOW, "best-hidden-bilinear": BEST_HIDDEN_BILINEAR,
}  # fmt: skip
#: Means of several networks, by their recipes' names: each is fitted alone, see `mean_of`.
MEANS = {
    "best": ("best-hidden", "best-hidden-shallow"),
    "best-wide": ("best-hidden-bilinear", "best-hidden-wide"),
    "two-upsamplings": ("best-nearest", "best-bilinear"),
}


# Degradation --------------------------------------------------------------------------------------


def bernoulli_mask(height: int, width: int, p: float = 0.5, seed: int = 0) -> torch.Tensor:
    """m_ij ~ Bernoulli(p): a mask (1, H, W), one for all channels of a colour image.

    Args:
        p: the probability that a pixel is **known**, in [0, 1].  The paper and the blog use 0.5.
        seed: the same seed, size and p give the same mask on every machine.
    """
    checks.check_draw(height, width, p)
    # The uniform draws do not depend on p: a larger p keeps every pixel that a smaller one kept.
    known = np.random.default_rng(as_seed(seed)).random((height, width)) < p
    return torch.from_numpy(known)[None].float()


def degrade(image, p: float = 0.5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The degradation x̂ = m ⊙ x (blog, "Problems tackled by the paper").

    Returns x̂ (C, H, W) and m (1, H, W).  See `as_image` for what an image may be and
    `bernoulli_mask` for p and seed.
    """
    x = as_image(image)
    mask = bernoulli_mask(*x.shape[-2:], p=p, seed=seed)
    return x * mask, mask


# Loss and quality ---------------------------------------------------------------------------------


def masked_loss(output: torch.Tensor, x_hat: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """‖(f_θ(z) − x̂) ⊙ m‖² divided by the number of known pixels (times channels).

    The division makes it a mean squared error over what is known: one learning rate then serves
    all image sizes and masks.  Shapes (…, C, H, W) and (…, 1, H, W); returns a scalar.
    """
    checks.check_comparable(output, x_hat, mask)
    known_values = mask.sum().clamp(min=1) * output.shape[-3]
    return (((output - x_hat) * mask) ** 2).sum() / known_values


def psnr(image, truth) -> float:
    """Peak signal-to-noise ratio in dB, peak 1, over the *whole* image; inf if they are equal.

    Of tensors or arrays, see `as_image`; ValueError for two shapes and for values in [0, 255].
    """
    return decibel(float(torch.sub(*as_pair(image, truth)).square().mean()))


# Learning loop ------------------------------------------------------------------------------------


class Fit(Engine):
    """A network being fitted to one picture, by the verbs of `dip_parts.engine`; see `restore`."""

    @undisturbed()
    def __init__(
        self, x_hat, degradation, recipe=BLOG, *, seed=0, device=None, precision=None, truth=None
    ):
        super().__init__(x_hat, degradation, recipe, truth, device, precision)
        # Weights and z are drawn on the CPU, so that every device starts from the same ones.
        generator, channels = torch.Generator().manual_seed(as_seed(seed)), self.shape[0]
        with torch.device("meta"):  # builds without drawing
            net = UNet(recipe.z_channels or channels + 1, channels, recipe.config)
        draw_weights(net, generator)
        z = draw_z(recipe, self.shape, self.x_hat.cpu(), self.mask.cpu(), generator)
        self.begin(net, z, seed)

    def draw(self, z: torch.Tensor) -> torch.Tensor:
        """f_θ(z) with the present weights: (1, 32, H, W) → (C, H, W)."""
        kind, low = self.device.type, self.precision == "bf16"
        with torch.autocast(kind, torch.bfloat16, low, False):  # nothing of it outlives this call
            return self.net(z)[0]

    def loss(self, image: torch.Tensor) -> torch.Tensor:
        """Of an image (C, H, W), by all that is known; `step` asks the same of an iteration's."""
        loss = masked_loss(self.degradation.apply(image), self.x_hat, self.mask)
        return loss + self.recipe.tv * total_variation(image)

    def perturbed(self) -> torch.Tensor:
        """z and fresh noise."""
        noise = torch.randn(self.z.shape, generator=self.noise, device=self.device)
        return self.z + self.recipe.sigma_p * self.scheduled(self.recipe.sigma_end) * noise

    def hidden(self) -> tuple[torch.Tensor, torch.Tensor]:
        """z with some of the known pixels hidden, others each time; and where, (1, H, W).

        A network that is asked for what it does not see has to work it out from what is around it
        (Quan et al., "Self2Self", CVPR 2020: the same input and loss, another network and Adam).
        """
        drawn = torch.rand(self.mask.shape, generator=self.noise, device=self.device)
        least = torch.where(self.mask == 1, drawn, 1.0).min()  # of a few, one is asked for at least
        shown = ((drawn >= self.recipe.hide) & (drawn > least)).float()
        return self.z * shown, self.mask * (1 - shown)

    def step(self) -> None:
        """One iteration of the blog's "Learning process", for `run` to call."""
        z, wanted = self.hidden() if self.recipe.hide else (self.perturbed(), self.mask)
        output = self.draw(z)
        loss = masked_loss(self.degradation.apply(output), self.x_hat, wanted)
        if self.recipe.tv:
            loss = loss + self.recipe.tv * total_variation(output)
        self.gradients(loss)
        jumped = self.has_jumped(loss)
        self.step_or_go_back(jumped)
        self.average(output, wanted, jumped)
        self.note(loss, jumped)


@undisturbed()
def restore(
    x_hat, degradation, recipe: Recipe = BLOG, *, seed: int = 0, iterations: int | None = None,
    device: str | torch.device | None = None, precision: str | None = None, truth=None,
    frames: Iterable[int] = (), progress: bool = True, resume: dict | None = None,
    watch: Callable[[Fit], None] | None = None,
) -> Restoration:  # fmt: skip
    """Fit a randomly initialised network to what is left of a picture and return what it draws.

    The loop of the blog's "Learning process": a step of the optimiser on `masked_loss`, z perturbed
    afresh in every iteration, and backtracking.  When a step has made the loss jump to more than
    ``recipe.jump`` times its previous value (or to NaN), weights and moments return to the last
    good state, and the learning rate is multiplied by ``recipe.lr_decay``.

    Args:
        x_hat: the degraded image, see `as_image`; what it holds at missing pixels is not used.
        degradation: a mask, see `as_mask`, at least one pixel known; or another `Degradation`.
        seed: of weights, z and perturbations.  Same seed, device, precision, thread count and
            versions give the same numbers.
        iterations: instead of the recipe's; 0 gives what the untrained network draws.
        device: "cuda", "mps" or "cpu"; the first of these that is there if None.
        precision: of the convolutions: "fp32"; "tf32" (fp32 where there is none); "bf16"
            (autocast; last layer and loss stay in fp32).  `best_precision` if None.
        truth: the true image, only ever used to write PSNR into the history.
        frames: iterations whose output is kept in the result.
        progress: show a bar.
        resume: a `Fit.state` of an earlier call with the same arguments; goes on from there.
        watch: called with the `Fit` after each iteration on a CPU, at least every 50 on a GPU.

    An interrupt (Ctrl-C, a notebook's stop button) returns the last good state.

    Raises:
        ValueError, TypeError: bad input, see `as_image`, `as_mask`, `UNet`, `as_device`.
        DivergenceError: non-finite losses from which the loop cannot recover; names the iteration.
    """
    recipe = recipe if iterations is None else but(recipe, iterations=iterations)
    how = {"seed": seed, "device": device, "precision": precision, "truth": truth}
    fit = Fit(x_hat, degradation, recipe, **how)
    if resume is not None:
        fit.load(resume)
    with numerics(fit.device, fit.precision):
        finished = fit.run_through(recipe.iterations, frames, progress, watch)
        image, averaged = fit.pictures()
    return Restoration(image, averaged, fit.history, fit.frames, interrupted=not finished)
