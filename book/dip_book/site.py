"""A Sphinx extension: what building this book needs beyond Jupyter Book's own options."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from dip_book.setup import ROOT


def setup(app):
    """Sphinx calls this."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # a progress bar is for people who wait, not for a page
    app.connect("config-inited", configure)
    app.connect("html-page-context", leave_out_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def configure(app, config) -> None:
    """Key the execution cache on the code, and show only buttons that lead somewhere."""
    # The cache compares the cells only; a change in the modules they import must empty it too.
    caches = Path(app.outdir).parent / ".jupyter_cache"
    cache = caches / code_digest()
    for old in caches.glob("*"):
        if old != cache:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    config["nb_execution_cache_path"] = str(cache)

    options = config["html_theme_options"]
    published = bool(options.get("repository_url"))
    options["use_repository_button"] = options["use_issues_button"] = published
    if not published:
        options["launch_buttons"] = {}


def code_digest() -> str:
    """A hash of everything that a chapter's outputs depend on besides its own cells."""
    sources = [ROOT / "dip_blocks.py", ROOT / "requirements.lock"]
    sources += sorted(path for path in (ROOT / "book" / "dip_book").rglob("*") if path.suffix in {".py", ".js", ".css"})
    sources += sorted((ROOT / "book" / "runs").rglob("*.json"))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def leave_out_thebe(app, pagename, templatename, context, doctree) -> None:
    """Live-kernel scripts that the book does not use: they ask for files of other hosts."""

    def wanted(file) -> bool:
        inline = getattr(file, "attributes", {}).get("body") or ""
        return "thebe" not in f"{getattr(file, 'filename', file)} {inline}".lower()

    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if wanted(file)]
