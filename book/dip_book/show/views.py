"""Live figures: a few lines of JavaScript with their data, in one piece of HTML.

They need neither kernel nor network, so they work in the rendered book, in JupyterLab, VS Code and
Colab alike.  Where scripts do not run (GitHub's preview, print) a static picture stands instead.
The scripts in ``js/`` have the form of anywidget modules: ``export default {render({model, el})}``.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import textwrap
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import dip_blocks
from dip_book import images, words
from dip_book.results import baselines
from dip_book.show import figures, photographs, style

HERE = Path(__file__).parent / "js"


#: Said below the static picture of a live figure, where scripts do not run.
UNSCRIPTED = (
    '<noscript><p class="dip-muted"><small>Where scripts run, this figure can be operated.'
    "</small></p></noscript>"
)


class View:
    """One live figure; the value of a cell shows it.

    Args:
        module: name of a script in ``js/``.
        data: what the script's ``model.get(name)`` returns, JSON by nature.
        fallback: a matplotlib figure, shown where scripts do not run.
        description: what the figure shows, for readers who cannot see it.
    """

    def __init__(self, module: str, data: dict, fallback, description: str):
        self.data = data
        self._module, self._description = module, description
        self._fallback = figure_url(fallback)

    def _repr_html_(self) -> str:
        code = script(self._module).replace("export default", "const view =")
        # "<" is written as an escape: text in the data can then not end the script element.
        data = json.dumps(self.data, separators=(",", ":")).replace("<", "\\u003c")
        key = hashlib.sha256((code + data).encode()).hexdigest()[:12]
        return (
            f'<style>{styles()}</style>\n<div class="dip-view" data-dip="{key}" role="group" '
            f'aria-label="{words.in_html(self._description)}">'
            f'<div class="dip-fallback"><img src="{self._fallback}" '
            f'alt="{words.in_html(self._description)}">{UNSCRIPTED}</div></div>\n'
            f"{started(key, code, data)}"
        )


def started(key: str, code: str, data: str) -> str:
    """The script element that renders a figure, each time that it stands in the page.

    What is rendered is told by a property: an attribute would be kept by a browser that saves the
    page, and its controls would be dead.
    """
    return (
        f"<script>(() => {{\n{code}\nconst data = {data};\n"
        f"for (const el of document.querySelectorAll('[data-dip=\"{key}\"]')) {{\n"
        "  if (el.dipReady) continue;\n  el.dipReady = true;\n"
        "  view.render({ model: { get: (name) => data[name] }, el });\n}\n})();</script>"
    )


def script(module: str) -> str:
    """The code of a script in ``js/``, with what it needs of others before it."""
    code = (HERE / f"{module}.js").read_text(encoding="utf-8")
    for other, used in (("chart", "chart("), ("keys", "ownKeys(")):
        if used in code:
            code = (HERE / f"{other}.js").read_text(encoding="utf-8") + code
    return code


def styles() -> str:
    """The style of all live figures."""
    return (HERE / "view.css").read_text(encoding="utf-8")


#: The shares p of known pixels that the mask's slider stops at.
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def mask_view(
    image: np.ndarray,
    measured: dict[str, dict[float, float]] | None = None,
    drawn: dict[str, dict[float, np.ndarray]] | None = None,
    seed: int = 0,
) -> View:
    """What a Bernoulli mask leaves of a grey picture (H, H), and what methods make of it.

    A slider goes through `SHARES`.  The truth is hidden until it is asked for.

    Args:
        measured: method → {p: PSNR in dB}; drawn as curves over p, with those of the
            interpolations, as what they are above linear interpolation; the slider's place is
            marked.
        drawn: method → {p: its picture (H, H) of the same mask}, beside the interpolations; where
            there is none, the figure says so.
        seed: of the masks.
    """
    curves: dict[str, dict[float, float]] = {name: {} for name in baselines.BASELINES}
    states, truth = [], dip_blocks.as_image(image)

    def quality(picture) -> float | None:
        if picture is None:
            return None
        return round(dip_blocks.psnr(dip_blocks.as_image(picture), truth), 2)

    for p in SHARES:
        x_hat, mask = (tensor[0].numpy() for tensor in dip_blocks.degrade(image, p=p, seed=seed))
        filled = {name: fill(x_hat, mask) for name, fill in baselines.BASELINES.items()}
        for name, picture in filled.items():
            curves[name][p] = quality(picture)
        shown = [*filled.values(), *(pictures.get(p) for pictures in (drawn or {}).values())]
        states.append(
            {
                "p": p,
                "known": int(mask.sum()),
                "of": int(mask.size),
                "pictures": [
                    image_url(x_hat, lossless=True),
                    *(None if picture is None else image_url(picture) for picture in shown),
                ],
                "psnr": [None, *map(quality, shown)],
            }
        )
        if p == 0.5:
            fallback = figures.row(
                {"given, p = 0.5": x_hat}
                | filled
                | {name: of[p] for name, of in (drawn or {}).items() if p in of}
            ).figure
    for name, points in (measured or {}).items():
        curves[name] = curves.get(name, {}) | dict(points)
    series = [
        {
            "name": name,
            "x": sorted(points),
            "y": [round(points[p], 2) for p in sorted(points)],
            **line(name),
        }
        for name, points in curves.items()
    ]
    data = {
        "states": states,
        "methods": [*baselines.BASELINES, *(drawn or {})],
        "measured": series,
        "truth": image_url(image),
        "start": SHARES.index(0.2),
    }
    description = (
        f"What a random mask leaves of a picture, and what {', '.join(data['methods'])} make of "
        "it, for shares p of known pixels from 0.05 to 0.9"
    )
    return View("mask", data, fallback, description)


def steps_view(
    states: dict[str, dict],
    label: str,
    description: str,
    slider: bool = False,
    start: str | None = None,
) -> View:
    """One thing in several states, to go through with a slider or to choose from.

    Args:
        states: name of the state → {caption: picture in [0, 1], "text": a line}; the same
            captions in each.
        label: what is chosen.
        description: what the figure shows.
        slider: the states have an order.
        start: name of the state that is shown first; if None the first of which no picture is one
            grey square, or else the one that is furthest from it.

    Raises ValueError where there is no state.
    """
    if not states:
        raise ValueError(f"There is nothing to go through: no state of '{label}' is given.")
    shown = {
        name: {caption: entry for caption, entry in state.items() if caption != "text"}
        for name, state in states.items()
    }
    captions = list(next(iter(shown.values())))
    fallback = figures.row(
        {f"{caption}\n{name}": shown[name][caption] for caption in captions for name in shown},
        columns=len(shown),
    ).figure
    entries = [
        {
            "name": name,
            "text": states[name].get("text", ""),
            "pictures": [image_url(picture) for picture in pictures.values()],
        }
        for name, pictures in shown.items()
    ]
    names = list(shown)
    if start is None:
        least = [
            min(float(figures.numbers(picture).std()) for picture in shown[name].values())
            for name in names
        ]
        first = next((i for i, spread in enumerate(least) if spread > FLAT), int(np.argmax(least)))
    else:
        first = names.index(start)
    return View(
        "steps",
        {
            "states": entries,
            "captions": captions,
            "label": label,
            "slider": slider,
            "start": first,
        },
        fallback,
        description,
    )


#: Standard deviation below which a picture looks like one grey square.
FLAT = 0.02


def difference(picture, reference, gain: float | None = None) -> tuple[np.ndarray, float]:
    """A picture's difference to another, around middle grey, strong enough to be seen.

    Args:
        picture, reference: (H, W) in [0, 1].
        gain: what the difference is multiplied by; if None a round number, at most 16, with which
            99 in 100 pixels keep within [0, 1].

    Returns the picture in [0, 1], and the gain, for a caption.  Raises ValueError for two shapes.
    """
    one, other = map(figures.numbers, (picture, reference))
    if one.shape != other.shape:
        raise ValueError(f"A difference is of one shape; got {one.shape} and {other.shape}.")
    change = one - other
    if gain is None:
        largest = np.quantile(abs(change), 0.99)
        gain = next((g for g in (16, 8, 4, 2) if g * largest <= 0.5), 1)
    return (0.5 + gain * change).clip(0, 1), float(gain)


def network_view(
    config: dict, height: int, width: int, z_channels: int = 32, out_channels: int = 1
) -> View:
    """The blog's network as a drawing.

    A block that is pointed at shows its code, its shapes and its share of the work.
    """
    blocks = _blocks(config, height, width, z_channels, out_channels)
    fallback = figures.network(config, height, width, z_channels, out_channels)
    return View(
        "network",
        {"blocks": blocks},
        fallback,
        "The network: five levels down, a skip on each level, five levels up",
    )


#: What each kind of block does, and who says so.
ROLES = {
    "down": "Halves the picture and describes it: convolution, max pooling, convolution.",
    "skip": "Hands a few channels across, past all that lies below.",
    "up": "Takes what comes from below and from the skip, describes it anew and doubles its size.",
    "connect": "The turning point at the bottom, an addition of the blog's.",
    "out": "Turns channels into grey values between 0 and 1.",
}


def _blocks(config, height, width, z_channels, out_channels) -> list[dict]:
    """Every block of the network with its place in the drawing, measured in one pass."""
    net = dip_blocks.UNet(channels=z_channels, out_channels=out_channels, config=config)
    depth = len(net.down)
    named = {
        f"{kind} {i + 1}": block
        for kind in ("down", "skip", "up")
        for i, block in enumerate(getattr(net, kind))
        if block is not None
    }
    named |= {
        name: block
        for name, block in {"connect": net.connect, "out": net.out}.items()
        if block is not None
    }
    work, shapes, hooks = dict.fromkeys(named, 0), {}, []
    for name, block in named.items():

        def note_shapes(block, inputs, output, name=name):
            shapes[name] = [list(inputs[0].shape[1:]), list(output.shape[1:])]

        def note_work(conv, inputs, output, name=name):
            work[name] += output.numel() * conv.weight[0].numel()

        hooks.append(block.register_forward_hook(note_shapes))
        hooks += [
            part.register_forward_hook(note_work)
            for part in block.modules()
            if isinstance(part, torch.nn.Conv2d)
        ]
    with torch.no_grad():
        net(torch.zeros(1, z_channels, height, width))
    weights = {
        name: sum(weight.numel() for weight in block.parameters()) for name, block in named.items()
    }
    places = {"out": (0, 2), "connect": (depth + 1, 1)}
    places |= {
        f"{kind} {i + 1}": (i + 1, column)
        for column, kind in enumerate(("down", "skip", "up"))
        for i in range(depth)
    }
    signs = {"down": "d", "skip": "s", "up": "u"}
    blocks = [
        {
            "name": "z",
            "row": 0,
            "column": 0,
            "kind": "z",
            "out": [z_channels, height, width],
            "role": "The input: drawn once, uniformly, "
            "and then left alone but for the perturbation.",
        }
    ]
    for name, block in named.items():
        kind, _, level = name.partition(" ")
        blocks.append(
            {
                "name": signs[kind] + level if level else name,
                "kind": kind,
                "row": places[name][0],
                "column": places[name][1],
                "in": shapes[name][0],
                "out": shapes[name][1],
                "weights": weights[name],
                "share": round(weights[name] / sum(weights.values()), 4),
                "work": work[name],
                "work_share": round(work[name] / sum(work.values()), 4),
                "role": ROLES[kind],
                "code": _code(block),
            }
        )
    return blocks


def _code(block: torch.nn.Module) -> str:
    """The class of a block of ours as its module has it; what PyTorch says of one of its own."""
    if type(block).__module__ == dip_blocks.__name__:
        return textwrap.dedent(inspect.getsource(type(block))).rstrip()
    return str(block)


def line(name: str) -> dict:
    """How a method's curve is drawn, as in all figures of the book: colour, mark, pattern."""
    colour, mark, pattern = style.method(name) or style.Method(style.ACCENT, "o", "-")
    plain = {"-": "", "--": "6 3", "-.": "7 2 1.5 2", ":": "1.5 2.5"}
    dash = plain[pattern] if isinstance(pattern, str) else " ".join(f"{2 * n}" for n in pattern[1])
    return {"colour": colour, "mark": mark, "dash": dash}


def short(value) -> str:
    """A value of a recipe in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else words.plain(value)


def image_url(image, lossless: bool = False, quick: bool = False) -> str:
    """A data URL small enough for a page: WebP, exact where single pixels matter.

    ``quick``: made in a millisecond.
    """
    method = 0 if quick else 6
    exact = images.to_bytes(image)
    return photographs.data_url(
        photographs.webp(exact, method=method, quality=72, lossless=lossless)
    )


def figure_url(figure) -> str:
    """A matplotlib figure as a data URL, small: what stands where scripts do not run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=68)
    picture = np.asarray(Image.open(buffer).convert("RGB"))
    return photographs.data_url(photographs.webp(picture, quality=80))
