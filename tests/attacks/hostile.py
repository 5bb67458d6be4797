"""Text from files, hostile, in everything that shows it: no element, no attribute, no formula.

What is shown of a hostile text is parsed, and so is what is shown of a harmless one: both must
have the same structure, and the hostile text must be read as text.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import numpy as np
from attacks import Attack
from dip_book import bench, cli, images, runs, words
from dip_book.results import filling, selection, tables, wanted
from dip_book.runs import plan
from dip_book.show import costs, explorer, figures, gap, own, photographs, views
from dip_book.table import Figure, Table
from markdown_it import MarkdownIt

#: A run of `MARK` shows that something of a text was obeyed.
MARK = "window.hit=(window.hit||0)+1"
HTML = [
    f'<img src=x onerror="{MARK}">', f"<script>{MARK}</script>",
    f"</script><script>{MARK}</script>",
    f"--></style></title></textarea><svg onload={MARK}>", f'" onmouseover="{MARK}" x="',
    f"' autofocus onfocus='{MARK}", "<!--", "<![CDATA[", "</td></tr></table><h1>x</h1>",
    f'<a href="javascript:{MARK}">x</a>', f'<iframe srcdoc="<script>parent.{MARK}</script>">',
    "<style>*{display:none}</style>", "<base href=//evil.example>", "&lt;b&gt;", "&#x3c;b>",
    '<meta http-equiv="refresh" content="0;url=//evil.example">', "<svg><use href=data:x></svg>",
    "<img src=//evil.example/x.png>", "<link rel=stylesheet href=//evil.example/x.css>",
]  # fmt: skip
MARKDOWN = [
    f"[x](javascript:{MARK})", "![x](//evil.example/x.png)", "`", "``", "`a` `<b>`", "**",
    "***x***",
    "|", "| a | b |", "a\n\n# b", "\n\n<h1>b</h1>", "$x$", "$$x$$",
    rf"$\href{{javascript:{MARK}}}{{x}}$",
    r"\(x\)", r"\[x\]", r"\begin{equation}x\end{equation}", r"\\", r"\`<b>`",
    "{raw html}`<b>x</b>`",
    "{{ x }}", "{% x %}", "```{raw} html\n<b>x</b>\n```", "<https://evil.example>",
    "https://evil.example",
    "www.evil.example", "evil.com", "a@evil.com", "_x_", "__x__", "~~x~~", "~x~",
    "[x]: //evil.example",
    "[x][y]", "[^1]", ":::{note}\nx\n:::", "- x", "1. x", "> x", "&amp;", "\\<b>", "\\|", "$",
    "$ $", "$$",
    r"\input{/etc/passwd}", r"\$", "^x^", "x_{y}", "%x", "#x", "{ } {", "$\\frac{$", "_hidden",
    "**`<b>`**",
]  # fmt: skip
SIGNS = [
    "\x1b[2J\x1b[31m", "\x1b]8;;http://evil.example\x07x\x1b]8;;\x07", "\x9b31m", "\x07", "\r",
    "\x08\x08",
    "\x00", "\u202etxt.exe\u202c", "\u2066x\u2069", "\u200b", "\ufeff", "\u2028", "\u2029",
    "\ud800",
    "\x7f", "\t", "a\nb", "\N{ZERO WIDTH JOINER}", "é", "中文", "\N{PILE OF POO}", "ﷺ",
    "e\u0301" * 9,
]  # fmt: skip
CELLS = ["=1+1", "=cmd|' /C calc'!A0", "+1+cmd|x", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1"]
PAYLOADS = HTML + MARKDOWN + SIGNS + CELLS
HARMLESS = "quite harmless"


def payload(rng: np.random.Generator) -> str:
    """One or some of them, in whatever order."""
    parts = [str(PAYLOADS[rng.integers(len(PAYLOADS))]) for _ in range(rng.choice([1, 1, 2, 3]))]
    glue = ["", " ", "x"][rng.integers(3)]
    return glue.join([*(["x"] if rng.random() < 0.3 else []), *parts])


# What is shown, parsed ---------------------------------------------------------------------------


class Structure(HTMLParser):
    """Elements and attributes, in order, and the text; of an attribute's value no more than that
    it is there, but for those that a browser acts on."""

    def __init__(self, shown: str):
        super().__init__(convert_charrefs=True)
        self.found, self.text, self.ignored = [], [], 0
        self.feed(shown)
        self.close()

    def handle_starttag(self, tag, attributes):
        acts = ("src", "href", "style", "class", "id")
        kept = [(key, value if key in acts else None) for key, value in attributes]
        self.found.append((tag, *kept))
        self.text += [value for key, value in attributes if key in ("alt", "aria-label") and value]

    def handle_endtag(self, tag):
        self.found.append((f"/{tag}",))

    def handle_comment(self, data):
        self.found.append(("comment",))

    def handle_decl(self, decl):
        self.found.append(("declaration",))

    def unknown_decl(self, data):
        self.found.append(("declaration",))

    def handle_pi(self, data):
        self.found.append(("instruction",))

    def handle_data(self, data):
        self.text.append(data)


#: Elements by which a text may be shown without being obeyed.
QUIET = {"code", "strong", "br"}


def bones(shown: str) -> tuple[list, str]:
    parsed = Structure(shown)
    found = [one for one in parsed.found if one[0].removeprefix("/") not in QUIET]
    return [without_formulas(one) for one in found], "".join(parsed.text)


def without_formulas(element: tuple) -> tuple:
    return tuple(part for part in element if part != ("class", words.NO_MATH))


def readable(text: str) -> str:
    """What must be found of a text, however it is marked and wherever its lines end."""
    return re.sub(r"[\s*`']|\ufffd", "", text)


def formulas(markdown: str) -> bool:
    """Would a notebook's MathJax find a formula in the page?  It does not look into code."""
    outside = re.sub(r"<code>.*?</code>", "<code></code>", markdown, flags=re.DOTALL)
    text = "".join(Structure(outside).text)
    return bool(re.search(r"\$|\\[(\[]|\\begin\b", text))


#: As GitHub, JupyterLab and the book's pages read it: with tables, HTML and addresses as links.
READER = MarkdownIt("gfm-like", {"html": True, "linkify": True})


def check_markdown(shown: str, harmless: str, text: str) -> None:
    page, other = READER.render(shown), READER.render(harmless)
    (found, said), (expected, _) = bones(page), bones(other)
    assert found == expected, f"{shown!r} has another structure than {harmless!r}"
    assert not formulas(page), f"a formula in {shown!r}"
    assert readable(words.plain(text)) in readable(said), f"{text!r} cannot be read in {said!r}"


def check_html(shown: str, harmless: str, text: str) -> None:
    (found, said), (expected, _) = bones(shown), bones(harmless)
    assert found == expected, f"another structure: {[a for a in found if a not in expected]}"
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", shown, re.DOTALL)
    ways = (readable(words.plain(text, lines)) for lines in (False, True))
    assert scripts or any(way in readable(said) for way in ways), f"{text!r} cannot be read"


def check_text(shown: str, harmless: str, text: str) -> None:
    """What a terminal prints: no character that it obeys but ends of lines."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode("utf-8")


def check_latex(shown: str, harmless: str, text: str) -> None:
    """No command but those of a harmless table and those that write a sign."""
    known = {
        "textbackslash",
        "textasciitilde",
        "textasciicircum",
        "textbf",
        "texttt",
        "pm",
        "times",
    }
    known |= set(re.findall(r"\\([a-zA-Z]+)", harmless))
    assert set(re.findall(r"\\([a-zA-Z]+)", shown)) <= known, shown
    bare = re.sub(r"\\[a-zA-Z]+|\\.", "", shown, flags=re.DOTALL)
    assert bare.count("{") == bare.count("}") == len(re.findall(r"(?<!\\)\{", shown)), shown
    for line in shown.splitlines():
        assert len(re.findall(r"(?<!\\)&", line)) <= 2 and "%" not in line.replace("\\%", ""), line


def check_csv(shown: str, harmless: str, text: str) -> None:
    import csv

    rows, others = (list(csv.reader(io.StringIO(one))) for one in (shown, harmless))
    assert [len(row) for row in rows] == [len(row) for row in others], shown
    for cell in (cell for row in rows for cell in row):
        assert not re.match(r"[=@\t\r]|[+-].*[(|!=]", cell), cell


CHECKS: dict[str, Callable] = {
    "markdown": check_markdown, "html": check_html, "text": check_text, "latex": check_latex,
    "csv": check_csv,
}  # fmt: skip


# Where a text may come from, and what shows it ---------------------------------------------------

SIDE = 12


def record(place: tuple, text) -> dict:
    """A record whose entry at a place is a text."""
    recipe = {"name": "quick", "changes": {"lr": 0.01}, "config": {}, "iterations": 3}
    x = np.full((SIDE, SIDE), 0.5, np.float32)
    facts = {
        "format": runs.FORMAT, "about": "x", "recipe": recipe,
        "image": {"name": "own@12345678", "size": None, "shape": [SIDE, SIDE],
                  "sha256": images.digest(x)},
        "p": 0.5, "seeds": {"mask": 0, "weights, z and noise": 0}, "iterations": 3,
        "recipe_iterations": 3, "psnr_db": dict.fromkeys(runs.KINDS, 20.0),
        "ssim": dict.fromkeys(runs.KINDS, 0.9), "backtracked": 0, "wall_time_s": 1.0,
        "core_seconds": 1.0, "device": "cpu (x)", "precision": "fp32", "threads": 1,
        "machine": {"system": "x", "cores": 2, "capability": "x"}, "versions": {"torch": "2.0"},
        "commit": "x", "dirty": False, "started": "x", "label": None, "note": "",
    }  # fmt: skip
    *way, last = place
    into = facts
    for key in way:
        into = into[key]
    if last is KEY:
        into[text] = 1.0
    else:
        into[last] = text
    return {key: value for key, value in facts.items() if value is not None}


KEY = object()
PLACES = [
    ("about",), ("recipe", "name"), ("recipe", "changes", KEY), ("recipe", "changes", "lr"),
    ("image", "name"), ("device",), ("precision",), ("machine", "system"),
    ("machine", "capability"),
    ("versions", "torch"), ("versions", KEY), ("commit",), ("started",), ("label",), ("note",),
]  # fmt: skip


def stored(
    folder: Path, place: tuple, text, path: Path = Path("quick/own-12/seed0-3it")
) -> runs.Run:
    """A run of it in a store, with pictures; of a text that no record may hold, in memory alone."""
    grey = np.full((SIDE, SIDE), 0.5, np.float32)
    steps = [views.dip_blocks.Step(i, 0.1 / i, 0.01, i == 2, 20.0 + i, 20.0) for i in (1, 2, 3)]
    made = runs.Run(record(place, text), steps, {"raw": grey, "averaged": grey}, {1: grey, 3: grey})
    legal = isinstance(text, str) and text.isprintable() and len(text) < 9000
    return runs.write(folder, path, made) if legal else made


def shown_run(folder: Path, rng: np.random.Generator, text: str):
    """A run's record, in the explorer, in a caption, by `show`, `status` and `rerun`."""
    place = PLACES[rng.integers(len(PLACES))]
    compact = bool(rng.random() < 0.5)

    def show(value: str, where: Path):
        run = stored(where, place, value)
        yield "html", explorer.Explorer([run], compact=compact)._repr_html_()
        machines = selection.machines([run])
        yield (
            "markdown",
            Table(["a"], [[run.facts["precision"]]], caption=machines)._repr_markdown_(),
        )
        yield "text", repr(tables.kinds(run))
        for command in (
            ["show", "quick/own-12/seed0-3it"],
            ["status"],
            ["rerun", "quick/own-12/seed0-3it"],
        ):
            yield "text", printed([*command, "--store", str(where)])

    # of a record much is nowhere shown: only what is shown can be read
    return show, False


def shown_table(folder: Path, rng: np.random.Generator, text: str):
    """A cell, a title, a note, a caption."""
    at = rng.integers(4)

    def show(value: str, where: Path):
        cells = ["x", "y", "z", "w"]
        cells[at] = value
        table = Table(
            ["a", cells[0]], [["b", cells[1]], ["c", Figure(1.0, note=f" ({cells[2]})")]],
            caption=f"On {cells[3]}.",
        )  # fmt: skip
        yield "markdown", table._repr_markdown_()
        for form in ("latex", "csv"):
            yield form, table.to(form)
        with redirect_stdout(out := io.StringIO()):
            words.print(table.to("markdown"), table.to("csv"))
        yield "text", out.getvalue()

    return show, False


def shown_pictures(folder: Path, rng: np.random.Generator, text: str):
    """A title of pictures, a name in drawings, what a screen reader is told."""
    grey = np.full((SIDE, SIDE), 0.5, np.float32)
    steps = [views.dip_blocks.Step(i, 0.1, 0.01, False, 20.0, 20.0) for i in (1, 2)]

    def show(value: str, where: Path):
        row = photographs.row({value: grey, "other": grey})
        yield "html", row._repr_html_()
        drawings = [
            lambda: row.figure, lambda: figures.curves({value: steps, "other": steps}),
            lambda: figures.ranges({value: [0.1, 0.2]}, "x"),
            lambda: figures.dots({value: {"camera": 2.0, value: 1.0}}),
            lambda: figures.waterfall(1.0, [(value, [0.1, 0.2])], value, "last"),
            lambda: figures.cost({value: ([1, 2], [3, 4])}, {f"{value}2": (1, 2)}),
            lambda: gap.bar({value: (20.0, 21.0, 22.0, 23.0)}),
        ]  # fmt: skip
        draw(drawings[rng.integers(len(drawings))]())
        states = {value: {value: grey, "text": value}, "other": {value: grey, "text": value}}
        shown = views.steps_view(states, value, value)
        yield "html", re.sub(r'src="data:[^"]*"', 'src="data:"', shown._repr_html_())

    return show, True


def shown_bench(folder: Path, rng: np.random.Generator, text: str):
    """A stored benchmark: its machine, its loops."""
    original = json.loads(sorted((runs.ROOT / "bench").glob("*.json"))[0].read_text())
    at = rng.integers(4)

    def show(value: str, where: Path):
        result = json.loads(json.dumps(original))
        if at == 0:
            result["device"] = value
        elif at == 1:
            result["default precision"] = value
        elif at == 2:
            result["versions"]["torch"] = value
        else:
            for entry in result["sizes"].values():
                entry["contestants"] = {
                    (value if who == "deepinv" or "channels" in who else who): timed
                    for who, timed in entry["contestants"].items()
                }
        for made in (bench.compared(result), bench.floors(result), bench.estimates(result)):
            yield "markdown", made._repr_markdown_()
        (where / "bench").mkdir()
        (where / "bench" / "one.json").write_text(json.dumps(result))
        yield "markdown", wanted.timed(where)._repr_markdown_()
        draw(costs.growth([result]) if rng.random() < 0.5 else costs.gains([result]))

    return show, False


def shown_results(folder: Path, rng: np.random.Generator, text: str):
    """Stored results that are no runs."""
    stored_cases = filling.stored_filling()
    trials = json.loads((runs.ROOT / filling.TRIALS).read_text())

    def show(value: str, where: Path):
        cases = dict(list(stored_cases["cases"].items())[:2])
        kind = next(iter(cases)).split("/")[0]
        name = value.replace("/", "∕")
        (where / filling.FILE).write_text(
            json.dumps(stored_cases | {"cases": {f"{kind}/{name}": next(iter(cases.values()))}})
        )
        yield "markdown", filling.filling(where)._repr_markdown_()
        changed = {f"{name}/{name}": next(iter(trials["cases"].values()))}
        (where / filling.TRIALS).write_text(
            json.dumps(trials | {"cases": changed, "iterations": value})
        )
        yield "markdown", filling.recipes(where)._repr_markdown_()

    return show, False


def shown_files(folder: Path, rng: np.random.Generator, text: str):
    """A picture's name, and a file's in a store, in what is printed."""

    def show(value: str, where: Path):
        name = own._plain_name(value)
        assert name.isprintable() and "/" not in name and "\\" not in name
        plain = (
            re.sub(r"[/\x00]", "∕", value)
            .encode("utf-8", "replace")[:90]
            .decode("utf-8", "replace")
        )
        with warnings.catch_warnings(record=True):
            (where / "quick" / f"{plain}-12").mkdir(parents=True)
            (where / "quick" / f"{plain}-12" / f"{plain}.json").write_text("{")
        yield "text", printed(["status", "--store", str(where)])
        yield "text", printed(["show", f"quick/{plain}-12/{plain}", "--store", str(where)])
        yield "text", printed(["run", plain or "x", "--store", str(where), "--iterations", "1"])
        target = str(where / "r.png")
        yield "text", printed(["restore", str(where / (plain or "x")), "--to", target])

    return show, False


def printed(arguments: list[str]) -> str:
    """What a command prints, on both ways."""
    wanted_none = mock.patch.dict(plan.WANTED, clear=True)  # which takes seconds to look for
    with wanted_none, redirect_stdout(out := io.StringIO()), redirect_stderr(out):
        try:
            cli.main(arguments)
        except SystemExit:
            return ""  # argparse: what somebody typed
    return out.getvalue()


def draw(figure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of signs that the font lacks
        figure.savefig(io.BytesIO(), dpi=30)


def attempt_of(what: Callable) -> Callable:
    def attempt(rng: np.random.Generator, folder: Path) -> str:
        text = payload(rng)
        show, all_of_it = what(folder, rng, text)
        state = rng.bit_generator.state
        found = {}
        for name, value in (("hostile", text), ("harmless", HARMLESS)):
            rng.bit_generator.state = state  # what is drawn is drawn alike
            (folder / name).mkdir()
            try:
                found[name] = list(show(value, folder / name))
            except (runs.RunError, images.ImageError) as error:
                assert name == "hostile", "the harmless one must be shown"
                check_text(words.plain(str(error), lines=True), "", text)
                return "refused"
            shutil.rmtree(folder / name)
        for (kind, shown), (_, harmless) in zip(found["hostile"], found["harmless"], strict=True):
            said = text if all_of_it or words.plain(text) in words.plain(shown) else ""
            CHECKS[kind](shown, harmless, said)
        return "shown as text"

    return attempt


ATTACKS = [
    Attack("hostile record", "Nothing that a run's record says is obeyed where it is shown.",
           attempt_of(shown_run), 4),
    Attack("hostile table", "A table's cell, title or caption is text, in Markdown, LaTeX and CSV.",
           attempt_of(shown_table), 40),
    Attack("hostile title", "A picture's title and a drawing's names are text.",
           attempt_of(shown_pictures), 3),
    Attack("hostile benchmark", "Nothing that a stored benchmark says is obeyed.",
           attempt_of(shown_bench), 3),
    Attack("hostile result", "Nothing that a stored result says is obeyed.",
           attempt_of(shown_results), 10),
    Attack("hostile name", "A terminal obeys no file's name.", attempt_of(shown_files), 5),
]  # fmt: skip
