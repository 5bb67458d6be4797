"""A few attempts of every attack; `make attack` makes thousands."""

import attacks
import pytest


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


def test_names_are_unique():
    names = [attack.name for attack in attacks.attacks()]
    assert len(names) == len({*names})
