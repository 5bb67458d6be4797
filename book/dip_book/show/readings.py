"""The two readings of the supplement's figure, drawn: hourglasses as wide as the picture is large.

Every operation is a bar, as wide as the picture it works on; pooling and upsampling are the slopes
between.  The drawing is made from a config, like the network itself, so it cannot say anything
else.  It is SVG with the page's colours and works without scripts; with them, one level at a time
can be picked out.
"""

from __future__ import annotations

import hashlib
import json
from numbers import Integral
from typing import NamedTuple

import dip_blocks
from dip_book import images
from dip_book.show import views
from dip_book.show.style import ACCENT, INK, MUTED, VIOLET, WARM
from dip_book.words import in_html
from dip_parts import checks

#: Title → config.
READINGS = {
    "the blog's reading": dip_blocks.BLOG.config,
    "the second reading": dip_blocks.PAPER.config,
}
COLOURS = {"conv": ACCENT, "mix": MUTED, "pool": MUTED, "up": WARM}


class Operation(NamedTuple):
    """One bar of the drawing, or a slope where ``before`` and ``after`` differ."""

    kind: str  # "conv", "mix" (a 1×1), "pool", "up"
    before: int  # pixels a side of what enters
    after: int  # and of what leaves
    kernel: int = 1


class Block(NamedTuple):
    """z, d_i, the block at the bottom, u_i or the last 1×1."""

    name: str
    level: int  # 0: of none
    channels: int  # that leave it
    operations: list[Operation]
    skip: int | None = None  # u_i: before which of its operations the skip joins

    @property
    def side(self) -> int:
        """Pixels a side of what leaves the block."""
        return self.operations[-1].after


def blocks(config: dict, size: int, z_channels: int = 32, out_channels: int = 1) -> list[Block]:
    """The network of a config as a list of blocks, in the order of computation (no skips).

    ``size``: pixels a side of the picture, a multiple of what the levels divide by.
    """
    choices = {key: config.get(key, blogs) for key, blogs in dip_blocks.BLOGS_CHOICES.items()}
    down, up = config["channels_down"], config["channels_up"]
    depth, first = len(down), choices["upsampling_position"] == "first"
    found = [Block("z", 0, z_channels, [Operation("in", size, size)])]
    for i in range(depth):
        big, k = size // 2**i, config["kernels_down"][i]
        small, last = big // 2, Operation("conv", big // 2, big // 2, k)
        if choices["downsampling_method"] == "stride":
            halving = [Operation("conv", big, small, k)]
        else:
            halving = [Operation("conv", big, big, k), Operation("pool", big, small)]
        found.append(Block(f"d{i + 1}", i + 1, down[i], [*halving, last]))
    if choices["connect"]:
        big, k = size // 2**depth, config["kernels_down"][-1]
        convs = [Operation("conv", big // 2, big // 2, k)] * 2
        within = [Operation("pool", big, big // 2), *convs, Operation("up", big // 2, big)]
        found.append(Block("connect", 0, up[-1], within))
    for i in reversed(range(depth)):
        big, k = size // 2**i, config["kernels_up"][i]
        doubling, works = Operation("up", big // 2, big), big if first else big // 2
        convs = [Operation("conv", works, works, k), Operation("mix", works, works)]
        joins = int(first) if choices["skip_from"] == "input" or not first else 0
        if choices["skip_from"] == "input" and not first:
            joins = 3  # larger than what it should join: only behind the upsampling
        found.append(
            Block(
                f"u{i + 1}", i + 1, up[max(i - 1, 0)],
                [doubling, *convs] if first else [*convs, doubling],
                joins if config["channels_skip"][i] else None,
            )
        )  # fmt: skip
    return [*found, Block("out", 0, out_channels, [Operation("mix", size, size)])]


def in_the_decoder(config: dict, size: int) -> tuple[int, int]:
    """Convolutions of the u_i that see neighbours: how many work at full size, and how many in all.

    Those of the d_i are not counted: what they see at full size is z, and what leaves them is half
    as large.
    """
    ups = [block for block in blocks(config, size) if block.name.startswith("u")]
    wide = [op for block in ups for op in block.operations if op.kernel > 1]
    return sum(op.after == size for op in wide), len(wide)


def says(config: dict, level: int, size: int) -> str:
    """A level in words: where its skip leaves, and at which size its decoder works."""
    big = size // 2 ** (level - 1)
    source = "before" if config.get("skip_from") == "input" else "after"
    leaves = big if source == "before" else big // 2
    up = next(block for block in blocks(config, size) if block.name == f"u{level}")
    works = next(op.after for op in up.operations if op.kernel > 1)
    index = _index(level)
    return f"s{index} leaves {source} d{index}, at {leaves}²; the 3×3 of u{index} works at {works}²"


# Drawing ------------------------------------------------------------------------------------------

HIGH = {"in": 9, "conv": 12, "mix": 6, "pool": 9, "up": 11}  # of an operation, in pixels
#: A block's height, the space behind it, what stands for full size, and from one skip to the next.
BLOCK, GAP, WIDE, STEP = 40, 7, 148, 16


class Drawing:
    """One or more hourglasses, each under its title; the value of a cell shows it.

    Args:
        readings: title → config.
        size: pixels a side of the picture, a multiple of what the levels divide by.
        shapes: write channels and size beside each block, not the size alone.

    Raises ValueError for another size, or what is no network's config.
    """

    def __init__(self, readings: dict[str, dict], size: int = 256, shapes: bool = False):
        for config in readings.values():
            checks.check_config(config, dip_blocks.CHOICES)
            connect = (dip_blocks.BLOGS_CHOICES | config)["connect"]
            least, most = 2 ** (len(config["channels_down"]) + connect), images.LARGEST_SIZE
            if not (isinstance(size, Integral) and least <= size <= most and size % least == 0):
                raise ValueError(
                    f"size: pixels a side of the picture, a multiple of {least} up to {most:,}, "
                    f"not {size!r}."
                )
        self.readings, self.size, self.shapes = readings, size, shapes
        depth = max(len(config["channels_down"]) for config in readings.values())
        several = len(readings) > 1
        #: What the script says of each level.
        self.data = {
            "levels": [
                [(f"{title}: " if several else "") + says(config, level, size)
                 for title, config in readings.items()]
                for level in range(1, depth + 1)
            ]
        }  # fmt: skip

    @property
    def description(self) -> str:
        """The drawing in words, for readers who cannot see it."""
        told = []
        for title, config in self.readings.items():
            count, whole = in_the_decoder(config, self.size)
            told.append(
                f"{title}: {says(config, 1, self.size)}; {count} of the decoder's {whole} "
                "3×3 convolutions work at full resolution"
            )
        return "The network as an hourglass. " + ". ".join(told) + "."

    def _repr_html_(self) -> str:
        parts = [self._panel(title, config) for title, config in self.readings.items()]
        data = json.dumps(self.data, separators=(",", ":")).replace("<", "\\u003c")
        code = views.script("readings").replace("export default", "const view =")
        key = hashlib.sha256((code + data + "".join(parts)).encode()).hexdigest()[:12]
        return (
            f"<style>{views.styles()}{style()}</style>\n"
            f'<div class="dip-view" data-dip="{key}" role="group" '
            f'aria-label="{in_html(self.description)}">'
            f'<div class="dip-readings"><div class="dip-pair">{"".join(parts)}</div>{_key()}</div>'
            f"{views.UNSCRIPTED}</div>\n"
            f"{views.started(key, code, data)}"
        )

    def __repr__(self) -> str:
        return "<readings>"

    def _panel(self, title: str, config: dict) -> str:
        count, whole = in_the_decoder(config, self.size)
        heading = (
            f'<div class="dip-head">{in_html(title[0].upper() + title[1:])}</div>'
            if len(self.readings) > 1
            else ""
        )
        counted = f"<b>{count} of {whole}</b> 3×3 convolutions of the decoder"
        return (
            f"<div>{heading}{self._svg(title, config)}"
            f"<p>{counted} run at full resolution, {self.size}²</p></div>"
        )

    def _svg(self, title: str, config: dict) -> str:
        margin = 116 if self.shapes else 64
        middle, right = margin + WIDE / 2, margin + WIDE
        depth = len(config["channels_down"])
        levels: dict[int, list[str]] = {level: [] for level in range(depth + 1)}
        leaves, joins, y, before = {}, {}, 2.0, None
        drawn = blocks(config, self.size)
        bottom = next(i for i, block in enumerate(drawn) if block.name.startswith("u"))
        for i, block in enumerate(drawn):
            into = levels[block.level]
            if i == bottom and before.name != "connect":  # keep both hourglasses in step
                into.append(_line(middle, y - GAP, middle, y + BLOCK + GAP))
                y += BLOCK + GAP
            inner = sum(HIGH[op.kind] + 1 for op in block.operations)
            high = BLOCK if len(block.operations) > 1 else inner
            if block.name.startswith("d"):
                source = y - GAP / 2 if config.get("skip_from") == "input" else y + high + GAP / 2
                side = block.operations[0].before
                side = side if config.get("skip_from") == "input" else side // 2
                leaves[block.level] = source, side
            y_top, y = y, y + (high - inner) / 2
            parts: list[str] = []
            for number, op in enumerate(block.operations):
                if block.skip == number:
                    joins[block.level] = y - 0.5, op.before
                parts.append(self._bar(block, op, middle, y))
                y += HIGH[op.kind] + 1
            if block.skip == len(block.operations):
                joins[block.level] = y, block.side
            parts.append(self._names(block, y_top, high))
            drawing = "".join(parts)
            into.append(
                f'<g class="r-connect">{drawing}</g>' if block.name == "connect" else drawing
            )
            if block.name == "out" and len(self.readings) > 1:
                some = "a" if in_the_decoder(config, self.size)[0] else "no"
                words = f"{some} 3×3 at {self.size}²"
                into.append(_text(right + 8, y_top + high + 1, words, "r-note", fill=INK))
            y, before = y_top + high + GAP, block
        for level, (end, there) in joins.items():
            start, here = leaves[level]
            x = right + 12 + (depth - level) * STEP
            a, b = (middle + self._wide(side) / 2 + 1 for side in (here, there))
            path = f"M{a:.1f} {start:.1f}H{x}V{end:.1f}H{b + 6:.1f}"
            tip = f"M{b + 7:.1f} {end - 3.5:.1f}v7l-6 -3.5z"
            levels[level].append(
                f'<path class="r-skip" d="{path}" fill="none" stroke="{VIOLET}" '
                'stroke-width="1.6"/>'
                f'<circle class="r-up" cx="{a:.1f}" cy="{start:.1f}" r="4" fill="{WARM}"/>'
                f'<path class="r-tip" d="{tip}" fill="{VIOLET}"/>'
            )
            # a skip's name on its line, where no other line crosses
            names = _text(x, (start + end) / 2 + 4, f"s{_index(level)}", "r-on", "middle")
            levels[level].append(names)
            if level == 1 and len(self.readings) > 1:
                where = "before" if config.get("skip_from") == "input" else "after"
                note = _text(x - 4, start - 6, f"{where} d₁", "r-note", "end", INK)
                levels[level].append(note)
        width = right + 12 + depth * STEP + 4
        groups = "".join(
            f'<g data-level="{level}">{"".join(parts)}</g>' if level else "".join(parts)
            for level, parts in levels.items()
        )
        return (
            f'<svg viewBox="0 0 {width:.0f} {y:.0f}" role="img" '
            f'aria-label="{in_html(f"{title}, as an hourglass")}" '
            f'font-family="sans-serif" style="max-width:{1.25 * width:.0f}px;margin:0 auto">'
            f"{groups}</svg>"
        )

    def _wide(self, side: int) -> float:
        return WIDE * side / self.size

    def _bar(self, block: Block, op: Operation, middle: float, y: float) -> str:
        a, b, high = self._wide(op.before) / 2, self._wide(op.after) / 2, HIGH[op.kind]
        if op.kind == "in":
            return (
                f'<rect class="r-box" x="{middle - a:.1f}" y="{y:.1f}" width="{2 * a:.1f}" '
                f'height="{high}" fill="none" stroke="{INK}" stroke-dasharray="2 2"/>'
            )
        corners = (
            f"M{middle - a:.1f} {y:.1f}H{middle + a:.1f}"
            f"L{middle + b:.1f} {y + high:.1f}H{middle - b:.1f}z"
        )
        pale = ' fill-opacity=".3"' if op.kind == "pool" else ""
        bar = f'<path class="r-{op.kind}" d="{corners}" fill="{COLOURS[op.kind]}"{pale}/>'
        name = {"conv": f"{op.kernel}×{op.kernel}", "up": "×2"}.get(op.kind)
        if name and min(a, b) > 15:
            bar += _text(middle, y + high - 2.6, name, "r-inside", "middle", "#fff")
        if block.name.startswith("u") and op.kernel > 1 and op.after == self.size:
            bar += (
                f'<rect class="r-box" x="{middle - a - 2.5:.1f}" y="{y - 2.5:.1f}" '
                f'width="{2 * a + 5:.1f}" height="{high + 5}" fill="none" stroke="{INK}" '
                'stroke-width="2"/>'
            )
        return bar

    def _names(self, block: Block, y: float, high: float) -> str:
        name = block.name[0] + _index(int(block.name[1:])) if block.level else block.name
        size = f"{block.side}²"
        if self.shapes:
            size = f"{block.channels}×{block.side}×{block.side}"
        if high < 20:  # a line for both
            return _text(0, y + high - 0.5, name, "r-name") + _text(29, y + high - 0.5, size, "")
        middle = y + high / 2
        return _text(0, middle - 1, name, "r-name") + _text(0, middle + 12, size, "")


def two_readings(size: int = 256) -> Drawing:
    """Both readings of the supplement's figure, side by side, for a square picture."""
    return Drawing(READINGS, size)


def assembled(config: dict = dip_blocks.BLOG.config, size: int = 128) -> Drawing:
    """One network as an hourglass, with the shape of what leaves each block."""
    return Drawing({"the network": config}, size, shapes=True)


def style() -> str:
    """The style of these drawings, beside that of all live figures."""
    return (views.HERE / "readings.css").read_text(encoding="utf-8")


def _index(level: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(level))


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start", fill: str = MUTED):
    looks = {
        "r-name": f'fill="{INK}" font-weight="600" font-size="13"',
        "r-on": f'fill="{INK}" font-size="12" stroke="#fff" stroke-width="5" paint-order="stroke"',
        "r-inside": f'fill="{fill}" font-size="9.5"',
    }.get(kind, f'fill="{fill}" font-size="11"')
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {looks}>'
        f"{in_html(words)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<path class="r-line" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{MUTED}" '
        'stroke-width="1.5"/>'
    )


def _key() -> str:
    """What the colours mean."""

    def entry(marks: str, name: str) -> str:
        return f'<span><svg viewBox="0 0 18 11" aria-hidden="true">{marks}</svg>{name}</span>'

    def bar(kind: str) -> str:
        pale = ' fill-opacity=".3"' if kind == "pool" else ""
        fill = COLOURS[kind]
        return f'<rect class="r-{kind}" width="18" height="11" fill="{fill}"{pale}/>'

    skip = (
        f'<path class="r-skip" d="M3 5.5H18" stroke="{VIOLET}" stroke-width="1.8"/>'
        f'<circle class="r-up" cx="4" cy="5.5" r="4" fill="{WARM}"/>'
    )
    names = {"conv": "3×3 convolution", "mix": "1×1 convolution", "pool": "max pooling"}
    names["up"] = "upsampling"
    shown = [entry(bar(kind), name) for kind, name in names.items()]
    shown.append(entry(skip, "skip, from the dot"))
    return f'<div class="dip-key">{"".join(shown)}</div>'
