"""A Sphinx extension: what building this book needs beyond Jupyter Book's own options."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from docutils import nodes

from dip_book.build.first_cell import ROOT, STILL

WORDS_A_MINUTE = 200  # of prose that explains something
#: What the paragraph above a table that is its caption begins with, as `dip_book.table` writes it.
CAPTION = "Table."
#: Cells whose drawings hold photographs.
PHOTOGRAPHS = re.compile(r"\bimshow\(|\brun_summary\(|\bpicture_space\(")
#: In the built site: the digest of what it was built from.
DIGEST = "_digest.txt"


def setup(app):
    """Sphinx calls this."""
    os.environ.setdefault(
        "TQDM_DISABLE", "1"
    )  # a progress bar is for people who wait, not for a page
    os.environ[STILL] = "1"  # nor does a page have a kernel behind its figures
    app.connect("config-inited", configure)
    app.connect("doctree-read", dress)
    app.connect("doctree-read", caption_tables)
    app.connect("doctree-read", tell_pictures_apart)
    app.connect("html-page-context", leave_out_thebe, priority=900)
    app.connect("html-page-context", offer_notebook, priority=900)
    app.connect("build-finished", finish)
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

    # MathJax in the parts that _config.yml names: without its menu, which makes every formula a
    # stop of the Tab key and is a third of the whole.
    config["mathjax_path"] = "mathjax/startup.js"

    options = config["html_theme_options"]
    published = bool(options.get("repository_url"))
    options["use_repository_button"] = options["use_issues_button"] = published
    if not published:
        options["launch_buttons"] = {}
    config["ogp_site_url"] = pages_url(options.get("repository_url") or "")


def pages_url(repository: str) -> str:
    """Where GitHub Pages publishes a repository; "" for other addresses."""
    found = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+?)(\.git)?/?", repository)
    if not found:
        return ""
    owner, name = found[1], found[2]
    host = f"https://{owner.lower()}.github.io/"
    return host if host == f"https://{name.lower()}/" else f"{host}{name}/"


def dress(app, doctree) -> None:
    """A chapter's opening becomes a box that also says how long it takes.

    Its figures say which cell made them.
    """
    name = app.env.docname
    metadata = getattr(app.env, "nb_metadata", {}).get(name, {})
    opening = next(iter(doctree.findall(nodes.block_quote)), None)
    if (
        not name.startswith("notebooks/")
        or opening is None
        or not opening.astext().startswith("In this chapter")
    ):
        return
    title, *goals = opening.children
    box = nodes.admonition(classes=["dip-goals"])
    box += nodes.title("", title.astext())
    box.extend(goals)
    box += nodes.paragraph(
        "", time_needed(doctree, metadata.get("exec_data")), classes=["dip-time"]
    )
    opening.replace_self(box)
    for figure in doctree.findall(nodes.figure):
        cell, caption = _cell_of(figure), next(iter(figure.findall(nodes.caption)), None)
        if cell is None or caption is None:
            continue
        number = f"cell-{cell['cell_index']}"
        if number not in cell["ids"]:
            cell["ids"].append(number)
        notebook = f"{Path(name).name}.ipynb"
        for image in figure.findall(nodes.image):
            image["alt"] = caption.astext()  # else a screen reader spells out the file's name
        figure["classes"].append(
            "dip-pictures" if "figures.row(" in cell.astext() else "dip-drawing"
        )
        origin = nodes.inline(classes=["dip-origin"])
        origin += nodes.Text("Made by ")
        origin += nodes.reference("", f"cell {cell['cell_index']}", refid=number, internal=True)
        origin += nodes.Text(" of ")
        origin += nodes.reference("", notebook, refuri=notebook, internal=True)
        caption += [nodes.Text(" "), origin]
    for image in doctree.findall(nodes.image):  # a drawing without a caption: at least no file name
        image.setdefault("alt", "A drawing of the cell above")


def caption_tables(app, doctree) -> None:
    """A paragraph that `dip_book.table` put above a table becomes the table's title.

    It is numbered like a figure, and it is what HTML calls a caption.
    """
    tables = [table for table in doctree.findall(nodes.table) if _cell_of(table) is not None]
    for count, table in enumerate(tables, 1):
        at = table.parent.index(table)
        above = table.parent[at - 1] if at else None
        if not isinstance(above, nodes.paragraph) or not above.astext().startswith(CAPTION):
            continue
        mark = next(child for child in above if child.astext() == CAPTION)
        title = nodes.title("", "", *above.children[above.index(mark) + 1 :])
        if title.children and isinstance(title[0], nodes.Text):
            title[0] = nodes.Text(title[0].astext().lstrip())
        above.parent.remove(above)
        table.insert(0, title)
        table["ids"].append(f"table-{count}")
        table["classes"].append("dip-table")


def tell_pictures_apart(app, doctree) -> None:
    """Plots of cells get a class of their own: in the dark they are drawn the other way round.

    What holds photographs stands on a light card instead: their pixels are the point.
    """
    for image in doctree.findall(nodes.image):
        cell = _cell_of(image)
        if cell is not None:
            photographs = PHOTOGRAPHS.search(cell.astext())
            image["classes"].append("dip-card" if photographs else "dip-plot")


def _cell_of(node):
    """The code cell whose output a node is; None of one in the text."""
    while node is not None and node.get("nb_element") != "cell_code":
        node = node.parent
    return node


def offer_notebook(app, pagename, templatename, context, doctree) -> None:
    """A chapter's download is its .ipynb, which `finish` puts beside the page; no other source."""
    for group in context.get("header_buttons", []):
        if group.get("label") != "download-buttons":
            continue
        kept = [button for button in group["buttons"] if button["label"] == "download-pdf-button"]
        if pagename.startswith("notebooks/"):
            notebook = {
                "type": "link",
                "url": f"{pagename.rsplit('/', 1)[-1]}.ipynb",
                "text": ".ipynb",
                "icon": "fas fa-code",
                "tooltip": "Download the notebook",
                "label": "download-notebook-button",
            }
            kept.insert(0, notebook)
        group["buttons"] = kept


def time_needed(doctree, execution: dict | None) -> str:
    """How long a chapter takes.

    Reading by its count of words, running as measured when the page was built.
    """
    text = (
        node.astext()
        for node in doctree.findall(nodes.Text)
        if not _inside(node, (nodes.literal_block, nodes.raw))
    )
    minutes = max(1, round(sum(len(part.split()) for part in text) / WORDS_A_MINUTE))
    reading = f"About {minutes} minute{'s' if minutes > 1 else ''} to read."
    seconds = (execution or {}).get("runtime")
    if not seconds:
        return reading
    running = (
        f"{seconds / 60:.0f} minutes" if seconds > 100 else f"{max(1, round(seconds))} seconds"
    )
    return f"{reading} Its code ran in {running} when this page was built."


def _inside(node, kinds) -> bool:
    while node is not None and not isinstance(node, kinds):
        node = node.parent
    return node is not None


def finish(app, exception) -> None:
    """The notebooks that the captions name, and what the site was built from, beside the pages.

    Pages that no source has any more go.
    """
    if exception is None and app.builder.format == "html":
        remove_stale(Path(app.outdir), app.env.found_docs)
        for notebook in (ROOT / "notebooks").glob("*.ipynb"):
            shutil.copy(notebook, Path(app.outdir) / "notebooks" / notebook.name)
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            if text != (mended := mend(text)):
                page.write_text(mended, encoding="utf-8")
        # Draws the icons once more that the style sheet's fonts have drawn already: half of most
        # pages' weight.
        for script in (Path(app.outdir) / "_static").glob("vendor/fontawesome/*/js/all.min.js"):
            script.write_text("// left out: the style sheet's fonts are enough\n", encoding="utf-8")
        (Path(app.outdir) / DIGEST).write_text(site_digest() + "\n", encoding="utf-8")


def remove_stale(site: Path, pages: set[str]) -> None:
    """Remove what earlier builds left of pages that were renamed or removed.

    Args:
        site: the built site's folder.
        pages: all that it has now, without suffix, such as "notebooks/01-introduction".
    """
    for folder in {Path(page).parent for page in pages} - {Path()}:
        for file in [*(site / folder).iterdir(), *(site / "_sources" / folder).glob("*.md")]:
            place = (site / folder / file.name).relative_to(site).with_suffix("").as_posix()
            if file.suffix in {".html", ".ipynb", ".md"} and place not in pages:
                file.unlink()


#: Before the theme's first script: where a reader lets pages keep nothing, asking for the storage
#: alone is an error, and the theme's scripts end at it.  Then a choice lasts as long as the page.
STORAGE = """<script>
    for (const name of ["localStorage", "sessionStorage"]) {
      try { window[name].length; } catch {
        const kept = new Map();
        Object.defineProperty(window, name, { configurable: true, value: {
          getItem: (key) => kept.get(String(key)) ?? null,
          setItem: (key, value) => { kept.set(String(key), String(value)); },
          removeItem: (key) => { kept.delete(String(key)); },
          clear: () => { kept.clear(); },
          key: (i) => [...kept.keys()][i] ?? null,
          get length() { return kept.size; },
        } });
      }
    }
  </script>"""


def mend(page: str) -> str:
    """What the theme and docutils write that browsers or screen readers stumble over."""
    if STORAGE not in page:  # a page that was not built anew has it already
        page = page.replace("<head>", f"<head>\n  {STORAGE}", 1)
    # Preloading fonts gains nothing here, and from file:// browsers refuse it with errors.
    page = re.sub(r'<link rel="preload" as="font"[^>]*>\s*', "", page)
    # A list must hold list items; these are entries of a bibliography.
    return page.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def site_digest() -> str:
    """A hash of everything that the pages are made of."""
    sources = [
        ROOT / "_config.yml",
        *sorted((ROOT / "book").glob("*.*")),
        *sorted((ROOT / "notebooks").glob("*.md")),
    ]
    sources += sorted((ROOT / "book" / "theme").iterdir())
    return hashlib.sha256(
        code_digest().encode() + b"".join(path.read_bytes() for path in sources)
    ).hexdigest()[:16]


def code_digest() -> str:
    """A hash of everything that a chapter's outputs depend on besides its own cells."""
    from dip_book.runs import plan  # here: it brings PyTorch, which an extension should not

    sources = [ROOT / "dip_blocks.py", *sorted(ROOT.glob("requirements*.lock"))]
    sources += sorted((ROOT / "dip_parts").glob("*.py"))
    sources += sorted(
        path
        for path in (ROOT / "book" / "dip_book").rglob("*")
        if path.suffix in {".py", ".js", ".css"}
    )
    # A reader's own runs are no source of the pages, as long as the plan does not want them.
    # A record names its pictures by their digest.
    store, wanted = ROOT / "book" / "runs", {f"{path}.json" for path in plan.of_the_book()}
    stored = {file.relative_to(store).as_posix(): file for file in sorted(store.rglob("*.json"))}
    sources += [
        file
        for name, file in stored.items()
        if name.count("/") < 2 or name.startswith("bench/") or name in wanted
    ]
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
