"""Tests are tested: small changes of the method that once went unnoticed, each by its test.

`make mutants` makes and judges all others that Cosmic Ray can think of, two thousand.
"""

import json
import os
import subprocess
import sys

import pytest
from mutants import HERE, ROOT, Known, Mutant, Stale, applied, excuses, known, source_of
from mutants.__main__ import Memory, stale_entries
from mutants.judge import Verdict

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="judged in forked processes")

#: Changes nothing that counts, so no test may notice it: a judge that kills everything is no judge.
SAME = """\
from mutants import Mutant
from mutants.judge import Judge

same = Mutant("dip_blocks", "return x * mask, mask", "return mask * x, mask", "degrade")
wrong = Mutant("dip_blocks", "return x * mask, mask", "return x, mask", "degrade")
endless = Mutant("dip_blocks", "x = as_image(image)", "while True: pass", "degrade")
broken = Mutant("dip_blocks", "MEANS = {", "MEANS = nothing = 1 / 0, {")
test = "tests/test_degradation.py::test_degrade_multiplies_and_shares_one_mask_among_channels"
with Judge(patience=0.5) as judge:
    for mutant in (same, wrong, endless, broken):
        verdict = judge.judge(mutant, [test])
        print(verdict.killed, verdict.by)
    print(judge.judge(same, [test + "_that_there_is_not"]).killed)
"""


def run(*arguments) -> subprocess.CompletedProcess:
    paths = [str(ROOT / "tests"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=environment
    )


def test_mutants_that_once_survived_are_killed_each_by_its_test():
    done = run("-m", "mutants", "--named")
    assert done.returncode == 0, done.stdout + done.stderr
    entries = known("named.toml")
    assert len(entries) >= 28
    reasons = sum(bool(entry.why) for entry in entries)
    assert done.stdout.split() == f"{reasons} excused, {len(entries) - reasons} killed".split()


def test_a_verdict_is_that_of_the_tests():
    done = run("-c", SAME)
    test = "test_degrade_multiplies_and_shares_one_mask_among_channels"
    same, wrong, endless, broken, none = done.stdout.splitlines() or [done.stderr]
    assert same == "False 1 tests pass"
    assert wrong == f"True tests/test_degradation.py::{test}"
    assert endless == f"True tests/test_degradation.py::{test} (hangs)"
    assert broken == "True pytest ends with 4" or broken.endswith("(import)")
    assert none == "False"


def test_a_place_where_no_test_runs_kills_no_mutant(monkeypatch):
    from mutants import judge as judging

    test = "tests/test_degradation.py::test_degrade_multiplies_and_shares_one_mask_among_channels"
    mutant = known("named.toml")[0].mutant
    judge = judging.Judge()
    ends = [{"failed": "pytest ends with 4", "passed": 0}]
    monkeypatch.setattr(judge, "_tried", lambda tests, *finders: ends[0])
    with pytest.raises(judging.Unable, match=f"without a mutant, {test} does not pass either"):
        judge.judge(mutant, [test])
    ends[:] = [None]
    with pytest.raises(judging.Unable, match="does not pass either .the process died."):
        judge.judge(mutant, [test])
    fine = {"failed": "", "passed": 1}
    broken = {"failed": "pytest ends with 4", "passed": 0}
    monkeypatch.setattr(judge, "_tried", lambda tests, *finders: broken if finders else fine)
    assert judge.judge(mutant, [test]).by == "pytest ends with 4"


def test_every_entry_is_of_the_source_as_it_is_and_says_enough():
    assert stale_entries() == []
    for entry in known("named.toml"):
        assert entry.name and (entry.why or entry.by)
        compile(applied(source_of(entry.mutant.module), entry.mutant), entry.name, "exec")
    for entry in known("excused.toml"):
        assert len(entry.why.split()) > 3, entry.mutant


SOURCE = "class A:\n    def f(x):\n        return x + 1\n\n\ndef f(x):\n    return x + 1\n"


def test_a_mutant_is_found_by_its_text_and_not_by_its_line():
    mutant = Mutant("m", "return x + 1", "return x - 1", "A.f")
    for above in ("", "import os\n\n"):
        assert applied(above + SOURCE, mutant) == above + SOURCE.replace("x + 1", "x - 1", 1)
    second = applied(SOURCE, Mutant("m", "return x + 1", "return x - 1", nth=1))
    assert second == applied(SOURCE, Mutant("m", "return x + 1", "return x - 1", "f"))
    with pytest.raises(Stale, match="m:A.f has no longer 'return x"):
        applied(SOURCE.replace("1", "2"), mutant)
    with pytest.raises(Stale, match="no function A.f any more"):
        applied("x = 1\n", mutant)


def test_an_excuse_is_of_one_mutant_or_of_a_text():
    mutant = Mutant("m", "return x + 1", "return x - 1", "A.f")
    entry = Known(mutant, why="for a reason")
    assert excuses([entry], mutant) is entry
    assert excuses([entry], Mutant("m", "return x + 1", "return x + 2", "A.f")) is None
    whole = Known(Mutant("m", "x + 1", "", "A.f"), why="for a reason", every=True)
    assert excuses([whole], mutant) is whole
    assert excuses([whole], Mutant("m", "return x + 1", "return x - 1", "f")) is None
    dropped = Known(Mutant("", "", ""), why="for a reason", without=", a=1")
    assert excuses([dropped], Mutant("m", "f(x, a=1, b=2)", "f(x, b=2)")) is dropped
    assert excuses([dropped], Mutant("m", "f(x, a=1, b=2)", "f(x, a=1)")) is None


def test_a_verdict_is_remembered_while_it_holds(tmp_path):
    mutant = Mutant("m", "return x + 1", "return x - 1", "A.f")
    path = tmp_path / "verdicts.jsonl"
    killer = "tests/test_degradation.py::test_psnr"
    Memory(path).keep(mutant, Verdict(True, killer, 0.5))
    with path.open("a") as lines:
        lines.write('{"key": "cut sh')
    assert Memory(path).of(mutant)["by"] == killer
    assert Memory(path, ask_again=True).of(mutant) is None
    line = json.loads(path.read_text().splitlines()[0])
    for change in ({"method": "another"}, {"tests": "others", "file_digest": "another"}):
        path.write_text(json.dumps(line | change) + "\n")
        assert Memory(path).of(mutant) is None, "the method has changed, or the test"
    path.write_text(json.dumps(line | {"tests": "others"}) + "\n")
    assert Memory(path).of(mutant)["by"] == killer, "other tests have changed"
    path.write_text(json.dumps(line | {"tests": "others", "killed": False}) + "\n")
    assert Memory(path).of(mutant) is None, "a new test may kill it"


def test_the_operators_do_what_they_say():
    pytest.importorskip("cosmic_ray", reason="the extra `mutants` is not installed")
    from cosmic_ray.mutating import mutate_code
    from mutants.generate import OWN, described, meaning

    for operator in OWN:
        for example in operator.examples():
            made = mutate_code(example.pre_mutation_code, operator(), example.occurrence)
            assert meaning(made) == meaning(example.post_mutation_code), operator.__name__
    source = source_of("dip_blocks")
    for old, new in (("sigma_p=1 / 90", "sigma_p=1 / 91"), ("        x = stage(x)\n", "")):
        mutated = source.replace(old, new, 1)
        line, mutant = described("dip_blocks", source, mutated)
        assert applied(source, mutant) == mutated and source.splitlines()[line - 1].strip()
    assert HERE.name == "mutants"


def test_a_memory_that_was_cut_short_is_made_again(monkeypatch, tmp_path):
    from mutants import __main__ as command

    monkeypatch.setattr(command, "CACHE", tmp_path)
    (tmp_path / "generated.json").write_text('{"of": "abc", "muta')
    one = Mutant(**known("named.toml")[0].mutant.__dict__)
    fake = type(command)("mutants.generate")
    fake.generated = lambda: [one]
    monkeypatch.setitem(sys.modules, "mutants.generate", fake)
    assert command.every_mutant() == command.every_mutant() == [one]


def test_a_key_of_no_mutant_is_refused(monkeypatch, capsys):
    from mutants import __main__ as command

    monkeypatch.setattr(command, "every_mutant", list)
    with pytest.raises(SystemExit):
        command.main(["--only", "zzz"])
    assert "no mutant's key begins with 'zzz'" in capsys.readouterr().err
