"""Words that come from files, shown as what they are: text.

A run's record, a stored result or a picture's name may hold anything: HTML, Markdown, formulae,
a terminal's escape codes, characters that turn the direction of writing.  What shows them takes
them through one of these functions.
"""

from __future__ import annotations

import builtins
import html
import re
import sys
import unicodedata

#: Characters shown of one text; a record may hold megabytes.
LONGEST = 2000
#: Unseen, but part of how words are written, in Persian or in emoji.
JOINERS = "\u200c\u200d"
#: Classes whose text MathJax leaves alone, in versions 2 and 3.
NO_MATH = "tex2jax_ignore mathjax_ignore"
#: The only markup of a table's cells and caption: `code` and **bold**.
_MARKUP = re.compile(r"(?<![`}\\])`([^`\n]+)`(?!`)|\*\*(?=\S)([^*\n]+)(?<=\S)\*\*")
_UNSEEN = re.compile(r"[^ -~]")


def plain(text, lines: bool = False) -> str:
    """As text in one line; what cannot be seen as the escape that Python would write.

    Args:
        text: anything; what is no string is written as `str` does.
        lines: keep the ends of lines.
    """
    text = text if isinstance(text, str) else str(text)
    if len(text) > LONGEST and not lines:
        text = f"{text[:LONGEST]} …"
    if not lines:
        text = " ".join(text.split())
    return _UNSEEN.sub(lambda found: _visible(found[0]), text)


def _visible(character: str) -> str:
    if character in "\n\t" or character in JOINERS:
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def markdown(text) -> str:
    """As Markdown, CommonMark's or GitHub's, that shows the text as it is; also in a table."""
    return _inert(plain(text))


def markup(text) -> str:
    """As Markdown whose only markup are pairs of ` and of ** in the text."""
    text, parts, at = plain(text), [], 0
    for found in _MARKUP.finditer(text):
        parts.append(_inert(text[at : found.start()]))
        if found[1] is not None:
            parts.append(_code(found[1]))
        else:
            parts.append(f"**{markup(found[2])}**")
        at = found.end()
    return "".join([*parts, _inert(text[at:])])


def _code(text: str) -> str:
    """A code span; nothing in it is markup, but a bar would end a table's cell."""
    return "`" + text.replace("|", r"\|") + "`"


def _inert(text: str) -> str:
    links = "](" in text or "][" in text or "]:" in text

    def written(found: re.Match) -> str:
        some = found[0]
        if some[0] in "$\\":  # in code no program looks for formulae
            rest = text[found.end() :]
            formula = "$" in some or rest[:1] in ("(", "[", ")", "]") or rest.startswith("begin")
            return f"`{some}`" if formula else "\\\\" * len(some)
        if some in _ENTITIES:
            return _ENTITIES[some]
        if some in "[!":
            return f"\\{some}" if links else some
        return f"\\{some}"

    return _ACTIVE.sub(written, text)


#: What begins a formula, a tag, code, emphasis or a link.  A line within a word begins no emphasis.
#: GitHub's Markdown makes links of addresses too, some programs even of "setup.py", of Paraguay.
_ACTIVE = re.compile(
    r"[$\\]+|[&<|`*~\[!]|(?<![^\W_])_|_(?![^\W_])|/(?=/)|(?<=\S)@(?=\S)|(?<=www)\."
    r"|(?<=\w)\.(?=[^\W\d_]{2}(?![^\W\d_])|xn--|biz|com|edu|gov|net|org|pro|web|xxx|aero|asia|coop"
    r"|info|museum|name|shop)",
    re.IGNORECASE,
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", "`": "&#96;", "/": "&#47;", ".": "&#46;", "@": "&#64;"}


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "#": r"\#",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "%": r"\%", "_": r"\_", "&": r"\&",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$",
}  # fmt: skip
_LATEX_ACTIVE = re.compile("[" + "".join(map(re.escape, _LATEX)) + r"]|(?<!\w)-(?=\d)")


def latex(text) -> str:
    """As LaTeX; pairs of ` and of ** are markup, as in `markup`."""
    text, parts, at = plain(text), [], 0
    for found in _MARKUP.finditer(text):
        parts.append(_latex(text[at : found.start()]))
        command, inner = ("texttt", _latex(found[1])) if found[1] else ("textbf", latex(found[2]))
        parts.append(rf"\{command}{{{inner}}}")
        at = found.end()
    return "".join([*parts, _latex(text[at:])])


def _latex(text: str) -> str:
    return _LATEX_ACTIVE.sub(lambda found: _LATEX.get(found[0], "$-$"), text)


def csv(text) -> str:
    """As a cell of CSV that no spreadsheet takes for a formula; without emphasis."""
    text = plain(text).replace("**", "")
    formula = text[:1] in ("=", "@") or (text[:1] in ("+", "-") and re.search(r"[(|!=]", text))
    return f"'{text}" if formula else text


def in_html(text, lines: bool = False) -> str:
    """As HTML in an element or a quoted attribute."""
    return html.escape(plain(text, lines))


def no_formulas(text) -> str:
    """A class for the element of a text that MathJax might take for formulae."""
    text = str(text)
    return f' class="{NO_MATH}"' if "$" in text or "\\" in text else ""


def drawn(text) -> str:
    """As matplotlib draws it: no formulae, and no name that its legends leave out."""
    text = plain(text, lines=True).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def told(*words, **options) -> None:
    """`print` of how far some work is: a full disk behind the words does not end the work.

    Nor does a stream that somebody has closed, nor the window of a terminal.
    """
    _said(print, *words, flush=True, **options)


def live(*words, **options) -> None:
    """`told` of what a terminal is to obey."""
    _said(builtins.print, *words, flush=True, **options)


def _said(by, *words, **options) -> None:
    try:
        by(*words, **options)
    except BrokenPipeError:  # nobody reads on
        raise
    except (OSError, ValueError):
        pass


def print(*words, **options) -> None:  # noqa: A001
    """`print` for what holds words from files: a terminal obeys none of them.

    A letter that the stream has not got is "?".
    """
    stream = options.get("file") or sys.stdout
    builtins.print(*(encodable(plain(word, lines=True), stream) for word in words), **options)


def encodable(text: str, stream) -> str:
    """The text without letters at which writing to this stream would fail.

    A script's stdout may be of ASCII alone, where no command has reconfigured it.
    """
    encoding = getattr(stream, "encoding", None)
    if not isinstance(encoding, str) or getattr(stream, "errors", "strict") != "strict":
        return text
    return text.encode(encoding, "replace").decode(encoding)
