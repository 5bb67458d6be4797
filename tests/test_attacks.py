"""A few attempts of every attack; `make attack` makes thousands."""

import json

import attacks
import pytest
from attacks import __main__ as command
from dip_book import runs


@pytest.mark.parametrize("attack", attacks.attacks(), ids=lambda attack: attack.name)
def test_a_few_attempts_find_nothing(attack):
    counts = attacks.run(attack, seed=0, most=attack.few)
    assert counts.attempts == attack.few
    assert not counts.faults, "\n".join(counts.faults.values())


def test_a_fault_is_counted_with_its_number_and_comes_again(capsys):
    def attempt(rng, folder):
        assert rng.random() < 0.5, "too large"
        return "held"

    attack = attacks.Attack("coin", "Coins fall on one side.", attempt)
    counts = attacks.run(attack, seed=3, most=20)
    assert counts.attempts == 20 and counts.outcomes["held"] and counts.faults
    for number in range(20):
        if number in counts.faults:
            with pytest.raises(AssertionError, match="too large"):
                attacks.attempt(attack, 3, number)
        else:
            assert attacks.attempt(attack, 3, number) == "held"


def test_an_interrupt_keeps_the_counts_of_the_attacks_before_it(tmp_path, monkeypatch, capsys):
    def interrupted(rng, folder):
        raise KeyboardInterrupt

    whole = attacks.Attack("whole", "It holds.", lambda rng, folder: "held")
    cut = attacks.Attack("cut", "It is cut short.", interrupted)
    monkeypatch.setattr(command, "attacks", lambda: [whole, cut, whole])
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    (tmp_path / command.FILE).write_text('{"cut": {"attempts": 7}}')
    assert command.main(["--write", "--minutes", "0.0001"]) == 130
    stored = json.loads((tmp_path / command.FILE).read_text())
    assert stored["whole"]["attempts"] and stored["cut"] == {"attempts": 7}
    assert "Interrupted." in capsys.readouterr().err


def test_names_are_unique():
    names = [attack.name for attack in attacks.attacks()]
    assert len(names) == len({*names})
