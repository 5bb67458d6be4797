"""A Sphinx extension: the front page without what only formulas need, half of its weight."""

from __future__ import annotations

from docutils import nodes


def setup(app):
    """Sphinx calls this."""
    app.connect("html-page-context", leave_out_formulas, priority=901)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def leave_out_formulas(app, pagename, templatename, context, doctree) -> None:
    """No MathJax on the front page as long as that has no formula."""
    formulas = () if doctree is None else doctree.findall(nodes.math)
    blocks = () if doctree is None else doctree.findall(nodes.math_block)
    if pagename != app.config.root_doc or any(formulas) or any(blocks):
        return
    context["script_files"] = [
        file
        for file in context.get("script_files", [])
        if "mathjax" not in str(getattr(file, "filename", file)).lower()
    ]
