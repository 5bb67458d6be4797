"""The network that learns in the reader's own browser, and its code beside PyTorch's.

The element ``<dip-live>`` is JavaScript alone, ``js/live/``; see `dip_book.build.live`.  On a page
of the book its script is a file of the site's, asked for when the figure comes into view.  Where a
notebook is run, the script is part of the output.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
import textwrap
from collections.abc import Iterable

import dip_blocks
from dip_book import images, words
from dip_book.build import live
from dip_book.build.first_cell import has_reader
from dip_book.show.views import figure_url

SIZE = 128  # of the pictures that are handed over; the element halves them itself

#: The network of the figure as this book's code has it: `dip_blocks.PAPER` but smaller.  Both rates
#: are the best of three on two free pictures at 64×64, two seeds each, 300 iterations.
RECIPE = dip_blocks.but(
    dip_blocks.PAPER,
    dip_blocks.at_depth(dip_blocks.PAPER.config, 3)
    | dip_blocks.NEAREST
    | {"channels_down": [16] * 3, "channels_up": [16] * 3},
    z_channels=16,
    sigma_p=1 / 90,
    averaging=0.95,
    iterations=300,
    lr=0.01,
)
MUON_RATE = 0.04

LOADER = """(() => {
  const load = () => {
    if (window.dipLiveAsked || customElements.get("dip-live")) return; // saved with the page
    window.dipLiveAsked = true;
    const script = document.createElement("script");
    script.src = (document.documentElement.dataset.content_root ?? "../") + "NAME";
    script.onerror = () => {
      script.remove();
      window.dipLiveAsked = false;
      for (const element of document.querySelectorAll("dip-live:not(.dip-missed)")) {
        element.classList.add("dip-missed");
        const said = Object.assign(document.createElement("p"), { className: "dip-said" });
        said.setAttribute("role", "status");
        said.textContent = "The script of this figure did not arrive: load the page again.";
        element.append(said);
      }
    };
    document.head.append(script);
  };
  if (location.hash.startsWith("#live=") || !window.IntersectionObserver) return load();
  const watch = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) { watch.disconnect(); load(); }
  });
  for (const element of document.querySelectorAll("dip-live")) watch.observe(element);
})();"""


class Stage:
    """The figure; the value of a cell shows it.

    Args:
        names: of the pictures to choose from, see `images.load`, the first one first.
        fallback: a matplotlib figure, shown where scripts do not run.
        description: what the fallback shows, for readers who cannot see it.
    """

    def __init__(self, names: Iterable[str], fallback, description: str):
        self._pictures = {
            name: {"title": images.title(name), "bytes": grey_bytes(images.load(name, size=SIZE))}
            for name in names
        }
        self._fallback, self._description = figure_url(fallback), description

    def _repr_html_(self) -> str:
        # "<" is written as an escape: text in the data can then not end the script element.
        data = json.dumps(self._pictures, separators=(",", ":")).replace("<", "\\u003c")
        inline = has_reader()  # a kernel, so no site around
        code = live.bundle().replace("</", "<\\/") if inline else LOADER.replace("NAME", live.NAME)
        description = words.in_html(self._description)
        return (
            f"<style>{styles()}</style>\n<dip-live>"
            f'<script type="application/json">{data}</script>'
            f'<div class="dip-fallback"><img src="{self._fallback}" alt="{description}">'
            "<noscript><p><small>Where scripts run, the network learns here, on this page."
            f"</small></p></noscript></div></dip-live>\n<script>{code}</script>"
        )


def grey_bytes(picture) -> str:
    """A grey picture (H, W) in [0, 1] as bytes, in base64."""
    return base64.b64encode(images.to_bytes(picture).tobytes()).decode()


def styles() -> str:
    """The style of the figure and of code side by side."""
    return (live.SOURCES / "live.css").read_text(encoding="utf-8")


def javascript(file: str, name: str) -> str:
    """The code of a function at the top of a module of ``js/live/``, its comment above it.

    Raises KeyError where there is none of this name.
    """
    code = (live.SOURCES / file).read_text(encoding="utf-8")
    form = rf"(?:^//[^\n]*\n)*^(?:export )?function {name}\(.*?^}}$"
    found = re.search(form, code, re.MULTILINE | re.DOTALL)
    if found is None:
        raise KeyError(f"{file} has no function {name}.")
    return found[0].replace("export ", "")


class Beside:
    """A function or class of `dip_blocks` on the left, what does the same in the browser right.

    Args:
        python: one, or several that are shown below one another.
        script: pairs of a file of ``js/live/`` and a function in it.
    """

    def __init__(self, python, *script: tuple[str, str]):
        several = python if isinstance(python, (list, tuple)) else [python]
        sources = [textwrap.dedent(inspect.getsource(one)).rstrip() for one in several]
        self.python = "\n\n\n".join(sources)
        self.javascript = "\n\n".join(javascript(*one) for one in script)

    def _repr_markdown_(self) -> str:
        return (
            f'<div class="dip-beside">\n\n```python\n{self.python}\n```\n\n'
            f"```javascript\n{self.javascript}\n```\n\n</div>"
        )
