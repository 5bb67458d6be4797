"""Live figures: a few lines of JavaScript with their data, in one piece of HTML.

They need neither kernel nor network, so they work in the rendered book, in JupyterLab, VS Code and
Colab alike.  Where scripts do not run (GitHub's preview, print) a static picture stands instead.
The scripts in ``js/`` have the form of anywidget modules: ``export default {render({model, el})}``.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

import dip_blocks
from dip_book import figures, images
from dip_book.runs import Run

HERE = Path(__file__).parent / "js"


class View:
    """One live figure; the value of a cell shows it.

    Args:
        module: name of a script in ``js/``.
        data: what the script's ``model.get(name)`` returns, JSON by nature.
        fallback: a matplotlib figure, shown where scripts do not run.
        words: what the figure shows, for readers who cannot see it.
    """

    def __init__(self, module: str, data: dict, fallback, words: str):
        self._module, self._data, self._words = module, data, words
        self._fallback = _figure_url(fallback)

    def _repr_html_(self) -> str:
        script = (HERE / f"{self._module}.js").read_text(encoding="utf-8").replace("export default", "const view =")
        # "<" is written as an escape: text in the data can then not end the script element.
        data = json.dumps(self._data, separators=(",", ":")).replace("<", "\\u003c")
        style = (HERE / "view.css").read_text(encoding="utf-8")
        key = hashlib.sha256((script + data).encode()).hexdigest()[:12]
        return (
            f'<style>{style}</style>\n<div class="dip-view" data-dip="{key}" role="group" aria-label="{html.escape(self._words)}">'
            f'<div class="dip-fallback"><img src="{self._fallback}" alt="{html.escape(self._words)}"></div></div>\n'
            f"<script>(() => {{\n{script}\nconst data = {data};\n"
            f"for (const el of document.querySelectorAll('[data-dip=\"{key}\"]:not([data-ready])')) {{\n"
            f"  el.dataset.ready = ''; view.render({{ model: {{ get: (name) => data[name] }}, el }});\n}}\n}})();</script>"
        )


def mask_view(image: np.ndarray) -> View:
    """What a Bernoulli mask leaves of a grey picture (H, H), with a slider for p."""
    x_hat, mask = dip_blocks.degrade(image)
    fallback = figures.row({"x": image, "m, p = 0.5": mask, "x̂ = m ⊙ x": x_hat}).figure
    data = {"side": image.shape[0], "picture": _image_url(image)}
    return View("mask", data, fallback, "A picture, a random mask with p = 0.5, and their product")


def explorer(runs: list[Run]) -> View:
    """Runs to choose from by picture and recipe: what was given beside what came out, iteration by iteration.

    A scrubber goes through the frames that a run stored, with a cursor in the curves of loss, PSNR and
    learning rate; the last stop is the run's final output.  A run without frames shows that alone.
    """
    first = runs[0]
    fallback = figures.run_summary(first)
    entries = []
    for run in runs:
        x_hat, _ = run.degraded()
        recipe = run.facts["recipe"]
        entries.append(
            {
                "title": images.title(run.facts["image"]["name"]),
                "recipe": f"{recipe['name']}, {run.facts['iterations']:,} iterations" + run.facts.get("note", ""),
                "facts": describe(run),
                "truth": _image_url(run.truth()),
                "degraded": _image_url(x_hat, lossless=True),
                "restored": _image_url(run.restored),
                "frames": [{"iteration": iteration, "url": _image_url(frame)} for iteration, frame in run.frames.items()],
                "history": _columns(run),
            }
        )
    words = "A restored picture beside what was given, and the run's loss, PSNR and learning rate"
    return View("explorer", {"runs": entries}, fallback, words)


def describe(run: Run) -> str:
    """A run in one line: what, how long, how good."""
    facts = run.facts
    side = "×".join(str(n) for n in reversed(facts["image"]["shape"][:2]))
    count = facts["restorations"]
    return (
        f"{side} pixels, {facts['iterations']:,} iterations, {run.psnr:.2f} dB, "
        f"{count} restoration{'' if count == 1 else 's'}; {facts['wall_time_s']:.0f} s on {facts['device']}, seed {facts['seeds']['mask']}"
    )


def _columns(run: Run, points: int = 120) -> dict:
    """A history thinned for drawing; restorations are kept as marks."""
    every = max(1, len(run.history) // points)
    kept = [step for i, step in enumerate(run.history) if i % every == 0 or step is run.history[-1]]
    return {
        "iteration": [step.iteration for step in kept],
        "loss": [float(f"{step.loss:.4g}") for step in kept],
        "psnr": [round(step.psnr, 3) for step in kept],
        "lr": [float(f"{step.lr:.4g}") for step in kept],
        "restored": [step.iteration for step in run.history if step.restored],
    }


def _image_url(image, lossless: bool = False) -> str:
    """A data URL small enough for a page: WebP, exact where single pixels matter."""
    buffer = io.BytesIO()
    Image.fromarray(images.to_bytes(image)).save(buffer, "WEBP", quality=72, lossless=lossless, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _figure_url(figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=68)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").save(small, "WEBP", quality=80, method=6)
    return "data:image/webp;base64," + base64.b64encode(small.getvalue()).decode()
