"""What holds of every picture, network, recipe and fate, on cases that hypothesis draws.

The properties are those of the attacks, which draw thousands; here a failing case is made small.
"""

import json
import math
from dataclasses import fields, replace

import pytest
import torch
from attacks import divergence, networks, numbers
from attacks._drawn import Drawn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import dip_blocks
from dip_blocks import RECIPES, Fit, Recipe
from dip_parts import checks

#: The same cases every time: what makes a change fail is the change.
settings.register_profile(
    "these",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
these = settings.get_profile("these")


def holds(check, examples: int):
    @settings(these, max_examples=examples)
    @given(st.data())
    def test(data):
        check(Drawn(data=data))

    return test


test_any_network_draws_a_picture_of_the_inputs_size = holds(networks.check_network, 25)
test_no_weight_is_without_effect = holds(networks.check_every_weight_counts, 15)
test_any_fit_begins = holds(networks.check_fit, 10)
test_a_fit_recovers_or_says_why_not = holds(divergence.diverging, 15)
test_a_fit_cut_in_two_leads_to_the_same_bits = holds(divergence.resumed, 6)
test_an_interrupt_returns_the_last_good_state = holds(divergence.interrupted, 10)


@pytest.mark.parametrize("name", numbers.CHECKS)
def test_numbers_are_numpys(name):
    holds(numbers.CHECKS[name], 10)()


# --------------------------------------------------------------------------------------
# Recipes
# --------------------------------------------------------------------------------------

POSITIVE = st.floats(1.2e-38, 3.4e38)
FROM_0 = st.just(0.0) | POSITIVE


@st.composite
def recipes(draw):
    """Any recipe that is allowed."""
    config = networks.a_config(Drawn(data=draw(st.data())), most=5, width=200)
    kind, least = draw(st.sampled_from([*checks.Z_KINDS.items()]))
    return Recipe(
        config,
        z_kind=kind,
        z_channels=least * draw(st.integers(1, 99)),
        hide=0.0 if least else draw(st.floats(0, 1, exclude_min=True, exclude_max=True)),
        iterations=draw(st.integers(0, 10**9)),
        optimiser=draw(st.sampled_from(checks.OPTIMISERS)),
        jump=draw(st.floats(1, 3.4e38, exclude_min=True) | st.just(math.inf)),
        lr_decay=draw(st.floats(0, 1, exclude_min=True)),
        averaging=draw(st.floats(0, 1, exclude_max=True)),
        **{name: draw(POSITIVE) for name in ("z_scale", "lr", "lr_adam")},
        **{name: draw(FROM_0) for name in ("sigma_p", "sigma_end", "weight_decay", "lr_end", "tv")},
    )


def bits(value):
    """Equal only for what is the same number of the same type."""
    if isinstance(value, dict):
        return {key: bits(one) for key, one in value.items()}
    if isinstance(value, list):
        return [bits(one) for one in value]
    return value.hex() if isinstance(value, float) else (type(value), value)


def there_and_back(recipe: Recipe) -> None:
    again = Recipe(**json.loads(json.dumps(recipe.as_dict())))
    assert again == recipe and bits(again.as_dict()) == bits(recipe.as_dict())


@settings(these, max_examples=50)
@given(recipes())
def test_a_recipe_survives_its_record(recipe):
    there_and_back(recipe)


@pytest.mark.parametrize("name", RECIPES)
def test_the_books_recipes_survive_their_records(name):
    there_and_back(RECIPES[name])


NUMBERS = [f.name for f in fields(Recipe) if f.name not in ("config", "z_kind", "optimiser")]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -1, 1e39, 10**400, "foo", None, True, [1], 1j],
    ids=lambda value: str(value)[:9],
)
def test_what_is_no_number_of_a_recipe_is_refused_by_its_name(name, value):
    if name == "jump" and value == math.inf:
        return  # it turns backtracking off
    with pytest.raises(ValueError, match=f"^{name} must be") as refused:
        replace(RECIPES["quick"], **{name: value})
    if name in ("lr", "sigma_p", "tv"):  # positive, and still no number of the loop's
        said = "float32's: from 1.2e-38 to 3.4e38" in str(refused.value)
        assert said == (value in (1e39, 10**400))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 1.0, 1e9, "foo", None, True, [0.1]])
@pytest.mark.parametrize("name", ["negative_slope", "dropout"])
def test_what_is_no_share_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        dip_blocks.but(RECIPES["quick"], {name: value})


@pytest.mark.parametrize("depth", [0, -1, 17, 10**9, 1e9, 3.7, 3.0, math.inf, math.nan, "3", True])
def test_what_is_no_depth_is_refused(depth):
    """Before a list of a billion entries is made."""
    with pytest.raises(ValueError, match="depth must be a whole number from 1 to 16, not"):
        dip_blocks.at_depth(RECIPES["quick"].config, depth)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels_up": 8}, "channels_up must be a list, an entry a level, not 8"),
        ({"channels_up": "8888"}, "channels_up must be a list"),
        ({name: [3] * 17 for name in checks.CONFIG_LISTS}, "from 1 to 16, not 17"),
    ],
)
def test_what_is_no_config_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        dip_blocks.but(RECIPES["quick"], change)
    with pytest.raises(ValueError, match="must be a dictionary"):
        Recipe(config=None)


def test_a_network_that_no_machine_holds_is_refused_before_it_is_made(picture):
    wide = dip_blocks.but(RECIPES["quick"], {"channels_down": [10**6] * 5})
    with pytest.raises(ValueError, match=r"would have \d\.?\d*e\+13 weights, more than"):
        Fit(*dip_blocks.degrade(picture), wide)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, 0.0, "1", None, True])
def test_what_is_no_seed_is_refused(picture, recipe, seed):
    data = dip_blocks.degrade(picture)
    for use in (
        lambda: Fit(*data, recipe, seed=seed),
        lambda: dip_blocks.degrade(picture, seed=seed),
        lambda: dip_blocks.Noisy(0.1).degrade(picture, seed),
    ):
        with pytest.raises(ValueError, match="A seed must be a whole number from 0"):
            use()
    assert torch.equal(Fit(*data, recipe, seed=2**63 - 1).z, Fit(*data, recipe, seed=2**63 - 1).z)


@pytest.mark.parametrize("sigma", [-1, math.nan, math.inf, "0.1", None])
def test_what_is_no_noise_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be from 0 to 1"):
        dip_blocks.Noisy(sigma)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1,), "factor"), ((2.0,), "factor"), (("2",), "factor"),
        ((2, 0), "lobes"), ((2, 2.5), "lobes"), ((2, 10**6), "lobes"),
    ],
)  # fmt: skip
def test_what_is_no_shrinking_is_refused(arguments, words):
    with pytest.raises(ValueError, match=f"{words} must be a whole number"):
        dip_blocks.Shrunk(*arguments)


def test_a_picture_smaller_than_its_shrinking_is_refused():
    with pytest.raises(ValueError, match="3×5 pixels is too small to be shrunk 4 times"):
        dip_blocks.Shrunk(4).degrade(torch.rand(1, 5, 3))
