"""The Sphinx extension: where the site is published, a chapter's opening, what is mended."""

import subprocess
import sys

import pytest
from dip_book.build import front, site
from docutils import nodes
from docutils.core import publish_doctree


@pytest.mark.parametrize("module", ["first_cell", "front", "pairs", "site"])
def test_what_builds_the_book_loads_no_pytorch(module):
    """Sphinx, `make notebooks` and the installation in a notebook start without waiting for it."""
    code = f"import sys, dip_book.build.{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("repository", "pages"),
    [
        ("", ""),
        ("https://example.org/a/b", ""),
        ("https://github.com/Someone/book", "https://someone.github.io/book/"),
        ("https://github.com/someone/book.git", "https://someone.github.io/book/"),
        ("https://github.com/someone/someone.github.io/", "https://someone.github.io/"),
    ],
)
def test_where_a_repository_is_published(repository, pages):
    assert site.pages_url(repository) == pages


def chapter(body="In this chapter\n\n    - Tell a from b\n"):
    return publish_doctree(
        f"Title\n=====\n\n    {body}\nText " + "word " * 400 + "\n\n::\n\n    code " + "x " * 900
    )


def dressed(doctree, runtime=None):
    metadata = {"notebooks/01-a": {"exec_data": {"runtime": runtime}}} if runtime else {}
    app = type(
        "App", (), {"env": type("Env", (), {"docname": "notebooks/01-a", "nb_metadata": metadata})}
    )
    site.dress(app, doctree)
    return doctree


def test_an_opening_becomes_a_box_that_says_how_long():
    doctree = dressed(chapter(), runtime=7.4)
    (box,) = doctree.findall(nodes.admonition)
    assert not list(doctree.findall(nodes.block_quote))
    assert box[0].astext() == "In this chapter" and "Tell a from b" in box.astext()
    assert "About 2 minutes to read. Its code ran in 7 seconds" in box.astext(), (
        "code does not count as reading"
    )


def test_a_page_without_an_opening_stays_as_it_is():
    assert not list(dressed(chapter("Some quotation\n")).findall(nodes.admonition))


def test_a_figure_says_which_cell_made_it():
    doctree = chapter()
    cell = nodes.container(nb_element="cell_code", cell_index=5)
    figure = nodes.figure("", nodes.image(uri="a.png"), nodes.caption("", "What is seen."))
    cell += figure
    doctree += cell
    dressed(doctree)
    links = {
        link.astext(): link.get("refid") or link.get("refuri")
        for link in figure.findall(nodes.reference)
    }
    assert figure[0]["alt"] == "What is seen." and figure["classes"] == ["dip-drawing"]
    assert figure.astext().endswith("What is seen. Made by cell 5 of 01-a.ipynb")
    assert links == {"cell 5": "cell-5", "01-a.ipynb": "01-a.ipynb"} and cell["ids"] == ["cell-5"]


def test_what_is_mended():
    page = (
        '<link rel="preload" as="font" href="a.woff2" />\n'
        '<link rel="preload" as="script" href="b.js"/><div role="list" class="citation-list">'
    )
    assert (
        site.mend(page)
        == '<link rel="preload" as="script" href="b.js"/><div class="citation-list">'
    )


def test_pages_without_a_source_go(tmp_path):
    kept = ["index.html", "genindex.html", "notebooks/01-a.html", "notebooks/01-a.ipynb",
            "notebooks/plot.png", "_sources/notebooks/01-a.md", "_static/b.html"]  # fmt: skip
    stale = ["notebooks/02-a.html", "notebooks/02-a.ipynb", "_sources/notebooks/02-a.md",
             "book/old.html"]  # fmt: skip
    for name in (*kept, *stale):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    site.remove_stale(tmp_path, {"notebooks/01-a", "book/index", "top"})
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert left == {*kept}


def test_a_site_knows_what_it_was_built_from(tmp_path, monkeypatch):
    before = site.site_digest()
    assert before == site.site_digest()
    monkeypatch.setattr(site, "code_digest", lambda: "other code")
    assert site.site_digest() != before


def test_the_front_page_brings_no_formulas_script_unless_it_has_a_formula():
    app = type("App", (), {"config": type("Config", (), {"root_doc": "book/index"})})
    scripts = [type("File", (), {"filename": name}) for name in ("a/MathJax.js", "book.js")]

    def left(page, text):
        context = {"script_files": list(scripts)}
        front.leave_out_formulas(app, page, "page.html", context, publish_doctree(text))
        return [file.filename for file in context["script_files"]]

    assert left("book/index", "words") == ["book.js"]
    assert len(left("book/index", ":math:`x`")) == len(left("notebooks/01-a", "words")) == 2
