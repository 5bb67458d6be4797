"""A Sphinx extension: the network that learns in the reader's browser, as one file of the site.

The sources are ES modules, ``show/js/live/``, and over http a page could load them as they stand.
A page opened from a disk may load neither modules nor a worker's file, so `bundle` writes them as
one classic script, and the worker's code in it as a text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "show" / "js" / "live"
LIBRARY = SOURCES / "vendor" / "jax.js"
#: In the site: the script, which a page asks for when its figure comes into view.
NAME = "_static/live.js"

_IMPORT = re.compile(r'^import (?:\{\s*([\w,\s]+?),?\s*\} from )?"\./([\w/.]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


def setup(app):
    """Sphinx calls this."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(app, exception) -> None:
    """Put the script beside the site's other static files."""
    if exception is None and app.builder.format == "html":
        path = Path(app.outdir) / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(bundle(), encoding="utf-8")


def bundle() -> str:
    """All modules as one classic script; the worker's code is a text in it.

    Raises ValueError for a line of a module that begins with import or export and is of a form that
    is not known here.
    """
    worker = LIBRARY.read_text(encoding="utf-8") + "\n" + classic("worker.js", skip=set())
    start = (
        f"const WORKER = {json.dumps(worker)};\n"
        "const live_start = { startWorker() {\n"
        '  const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));\n'
        "  const worker = new Worker(url);\n"
        "  setTimeout(() => URL.revokeObjectURL(url), 10000); // the worker has read it by then\n"
        "  return worker;\n} };\n"
    )
    return "(() => {\n" + start + classic("stage.js", skip={"start.js"}) + "})();\n"


def classic(name: str, skip: set[str]) -> str:
    """A module and those that it imports, each once, as functions that return their exports.

    Args:
        skip: files that are there already; the library always is.
    """
    code = (SOURCES / name).read_text(encoding="utf-8")
    before = ""
    for _, imported in _IMPORT.findall(code):
        if imported not in skip and SOURCES / imported != LIBRARY:
            skip.add(imported)
            before += classic(imported, skip)
    exports = _EXPORT.findall(code)
    code = _EXPORT.sub("", _IMPORT.sub(_as_constant, code))
    if odd := re.search(r"^(import|export)\b.*", code, re.MULTILINE):
        raise ValueError(f"{name}: cannot bundle the line {odd[0]!r}.")
    own = f"const {_constant(name)} = " if exports else ""
    return f"{before}{own}(() => {{\n{code}\nreturn {{ {', '.join(exports)} }};\n}})();\n"


def _constant(name: str) -> str:
    return "live_" + name.removesuffix(".js")


def _as_constant(found: re.Match) -> str:
    names, file = found.groups()
    return f"const {{ {names} }} = {_constant(file)};" if names else ""
