"""What holds the project's files together."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
import versions
import yaml
from dip_book import bench, cli, commands
from dip_book.build import lock, site
from dip_book.build.first_cell import ROOT
from dip_book.results.reported import REPORTED
from dip_book.runs import plan
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

import dip_blocks
from dip_parts import checks

METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = {name: (ROOT / name).read_text() for name in (lock.LOCK, lock.TORCH, lock.CPU, lock.OLDEST)}
LOCK = {**lock.pinned(LOCKS[lock.LOCK]), **lock.pinned(LOCKS[lock.TORCH])}
LOCKED = ("book", "test")  # the other extras are for machines of other kinds
WANTED = [
    Requirement(line)
    for line in sum(
        (METADATA["optional-dependencies"][extra] for extra in LOCKED), METADATA["dependencies"]
    )
]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_conda_and_the_virtual_environment_install_one_list():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert pip == ["-r requirements.lock", "-r requirements-torch.lock"]
    others = {re.split("[=<> ]", entry)[0] for entry in conda if isinstance(entry, str)}
    assert others == {"python", "pip", "make"}, "packages belong into requirements.lock"
    makefile = (ROOT / "Makefile").read_text()
    assert "pip install --quiet --disable-pip-version-check --no-deps\n" in makefile
    installs = re.findall(r"\$\(INSTALL\) ([^|]*?)(?: 2> |\n|  #)", makefile)
    assert installs == [
        "--require-hashes -r requirements.lock",
        "--require-hashes -r requirements-cpu.lock",
        "--require-hashes -r requirements-torch.lock",
        "--no-build-isolation -e .",
    ]


ENTRY = re.compile(
    r"[a-z0-9][a-z0-9-]*==[\w.+]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_the_hashes_of_its_files_and_names_no_place_to_get_them(name):
    assert ENTRY.sub("", LOCKS[name]) == ""


@pytest.mark.parametrize(
    "bad",
    ["numpy==1.26.0\n", "--index-url https://x\n", "a==1 \\\n    --hash=sha256:12\n", "a>=1\n"],
)
def test_a_pin_without_its_hash_is_noticed(bad):
    assert ENTRY.sub("", bad)


def test_pytorch_stands_apart_from_the_rest():
    """Its build is the machine's choice: the small one would else bring NVIDIA's libraries."""
    for name in (lock.LOCK, lock.OLDEST):
        assert not [pin for pin in lock.pinned(LOCKS[name]) if lock.TORCHS_OWN.match(pin)]
    version = lock.pinned(LOCKS[lock.TORCH])["torch"]
    assert lock.pinned(LOCKS[lock.CPU]) == {"torch": f"{version}+cpu"}


def lower_bound(requirement):
    return next(spec.version for spec in requirement.specifier if spec.operator in (">=", "=="))


@pytest.mark.parametrize("requirement", WANTED, ids=str)
def test_the_oldest_versions_are_the_lower_bounds(requirement):
    """Exactly, or the first release that a bound of fewer figures means: 1.11 is 1.11.1 there."""
    bound, name = Version(lower_bound(requirement)), normal(requirement.name)
    oldest = {**lock.pinned(LOCKS[lock.OLDEST]), "torch": versions.oldest_torch().split("==")[1]}
    assert requirement.specifier.contains(oldest[name])
    assert Version(oldest[name]).release[: len(bound.release)] == bound.release


@pytest.mark.parametrize("requirement", WANTED, ids=str)
def test_the_lock_pins_every_requirement_within_its_range(requirement):
    assert requirement.specifier.contains(LOCK[normal(requirement.name)])


def test_the_environment_is_the_locked_one():
    different = {}
    for name, pin, condition in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?", LOCKS[lock.LOCK], re.MULTILINE
    ):
        if not condition or Marker(condition).evaluate():
            found = next((there.version for there in distributions(name=name)), "missing")
            if found != pin:
                different[name] = pin, found
    if version("torch").split("+")[0] != LOCK["torch"]:
        different["torch"] = LOCK["torch"], version("torch")
    assert not different, "install with `make`, or renew the lock with `make lock`"


def test_metadata_leaves_colabs_torch_and_numpy_alone():
    for requirement in map(Requirement, METADATA["dependencies"]):
        assert {spec.operator for spec in requirement.specifier} == {">="}, requirement


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_imports_run_one_way():
    assert "dip_book" not in set(imports(ROOT / "dip_blocks.py"))
    for path in (ROOT / "dip_parts").glob("*.py"):
        assert not {"dip_book", "dip_blocks"} & set(imports(path)), path
    for path in (ROOT / "book" / "dip_book").rglob("*.py"):
        assert not {"tests", "notebooks", "conftest"} & set(imports(path)), path


def test_modules_do_not_import_each_other_in_circles():
    """What is imported at the top of a module; what waits inside a function is no circle."""
    package = ROOT / "book" / "dip_book"
    names = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for path in package.rglob("*.py")
    }
    graph = {}
    for name in names:
        path = package.parent / f"{name.replace('.', '/')}.py"
        wanted = [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ImportFrom)
        ]
        graph[name] = {f"{node.module}.{alias.name}" for node in wanted for alias in node.names} | {
            node.module for node in wanted
        }
        graph[name] &= names
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert (
        order.index("dip_book.table")
        < order.index("dip_book.bench")
        < order.index("dip_book.results.optimiser")
    )


def test_public_names_are_documented():
    parts = [*(ROOT / "dip_parts").glob("*.py"), *(ROOT / "book" / "dip_book").rglob("*.py")]
    for path in [ROOT / "dip_blocks.py", *parts]:
        module = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(module), path
        for node in module.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_the_method_is_read_in_one_sitting():
    lines = (ROOT / "dip_blocks.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 500 and max(map(len, lines)) <= 100


def test_every_page_of_the_contents_exists():
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    pages = [
        contents["root"],
        *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"]),
    ]
    assert all((ROOT / f"{page}.md").exists() for page in pages)
    chapters = sorted(path.stem for path in (ROOT / "notebooks").glob("*.md"))
    assert [page.split("/")[1] for page in pages if page.startswith("notebooks/")] == chapters


def test_the_execution_cache_is_keyed_on_the_code(monkeypatch, tmp_path):
    names = (
        "dip_blocks.py",
        "requirements.lock",
        "book/dip_book/show/figures.py",
        "book/runs/blog/camera-128/seed0-1500it.json",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    seen = {site.code_digest()}
    assert site.code_digest() in seen
    for name in names:
        (tmp_path / name).write_text("after")
        assert site.code_digest() not in seen
        seen.add(site.code_digest())
    (tmp_path / "book/runs/a/b").mkdir(parents=True)
    (tmp_path / "book/runs/a/b/c.json").write_text("a reader's own")
    assert site.code_digest() in seen


#: What starts a server: lines of shell, and calls in Python.
STARTS = re.compile(r"^.*(?:\bdask scheduler\b|\bhttp\.server\b|\w*Cluster\().*$", re.MULTILINE)


def test_what_the_book_starts_listens_to_its_own_machine_only():
    """A scheduler runs whatever code it is sent; Dask's own default is every network."""
    pages = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.md"), ROOT / "README.md"]
    texts = [path.read_text(encoding="utf-8") for path in [*pages, ROOT / "Makefile"]]
    started = [line for text in texts for line in STARTS.findall(text) if "SLURM" not in line]
    assert len(started) >= 2, "the scheduler and `make serve`"
    for line in started:
        assert re.search(r"(--host|--bind) 127\.0\.0\.1\b", line), line
        assert "dask" not in line or "--no-dashboard" in line, line


@pytest.mark.parametrize("url", ["", "https://github.com/someone/book"])
def test_no_dead_buttons(url, tmp_path):
    class App:
        outdir = tmp_path / "html"

    config = {"html_theme_options": {"repository_url": url, "launch_buttons": {"colab_url": "x"}}}
    site.configure(App, config)
    assert config["html_theme_options"]["launch_buttons"] == ({"colab_url": "x"} if url else {})
    assert config["html_theme_options"]["use_issues_button"] is bool(url)


def test_no_number_of_the_paper_is_typed_into_a_chapter():
    """Tables come from `reported.REPORTED` and from stored runs."""
    printed = {f"{value:.2f}" for numbers in REPORTED.values() for value in numbers.values()}
    for path in (ROOT / "notebooks").glob("*.md"):
        assert not printed & set(re.findall(r"\d\d\.\d\d", path.read_text(encoding="utf-8"))), path


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == METADATA["version"] and citation["license"] == METADATA["license"]
    assert f"version {METADATA['version']}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_workflows_check_what_a_commit_checks():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for repo in repos for hook in repo["hooks"] if "additional_dependencies" in hook]
    tools = {tool for hook in hooks for tool in hook["additional_dependencies"]}
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert len(tools) == 2 and all(tool in workflow for tool in tools)
    assert len(hooks) == 3 and all(f"- run: {hook['entry']}" in workflow for hook in hooks)


def test_the_command_line_knows_the_names_of_what_there_is():
    assert set(cli.RECIPES) == {*dip_blocks.RECIPES, *dip_blocks.MEANS}
    assert set(cli.GROUPS) == set(plan.WANTED) and set(cli.TABLES) == set(commands.TABLES)
    assert set(cli.MEASURED) == set(commands.MEASURED)
    plain = vars(cli.parser().parse_args(["run"]))
    assert {name: plain[name] for name in commands.DECIDED} == commands.DECIDED
    assert set(cli.NETWORKS) == set(bench.NETWORKS) and set(cli.PRECISIONS) == set(
        checks.PRECISIONS
    )


@pytest.mark.parametrize("words", [["--help"], ["restore", "--help"], ["run", "--help"]])
def test_a_word_of_help_loads_neither_torch_nor_matplotlib(words):
    code = (
        "import sys\nfrom dip_book import cli\n"
        f"try:\n    cli.main({words})\nexcept SystemExit:\n    pass\n"
    )
    code += "print({'torch', 'matplotlib', 'skimage', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage:" in done.stdout and done.stdout.strip().endswith("set()")


def test_imports_between_rooms_run_one_way():
    """The contracts in `pyproject.toml`."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_code_is_written_as_the_style_has_it(command):
    command = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
