"""What stands where it does not belong, in the functions of the book: an example each."""

from contextlib import chdir

import pytest
from attacks import kinds, kinds_of_the_book
from attacks.callers import sentence
from dip_book import runs
from dip_book.runs import sweeps


@pytest.fixture(scope="module")
def values():
    return kinds.Ground().values()


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    with chdir(folder):
        yield kinds_of_the_book.functions(folder)


@pytest.mark.parametrize(
    "name, argument, value, said",
    [
        ("load", "name", "no text", "name is empty"),
        ("title", "name", "None", "by its name or path"),
        ("save_png", "image", "of no values", "'meta'"),
        ("fill", "progress", "3", "progress is a function"),
        ("fill", "stop", "true", "stop is a function"),
        ("files.read", "path", "None", "by its path"),
        ("read", "place", "None", "A stored run is named by its path"),
        ("stored", "store", "None", "A store is named by its path"),
        ("paths", "store", "0", "A store is named by its path"),
        ("find", "image", "3", "names of recipes and pictures"),
        ("find", "size", "text", "number of pixels a side"),
        ("pack", "target", "None", "An archive is named by its path"),
        ("pack", "limit_mb", "NaN", "a number above 0"),
        ("unpack", "archive", "None", "An archive is named by its path"),
        ("perform", "store", "None", "A store is named by its path"),
        ("sweep", "store", "None", "A store is named by its path"),
        ("made_again", "picture", "3", "The picture is named by its path"),
        ("hole", "side", "1.5", "whole number of pixels a side"),
        ("hole", "height", "None", "whole number of pixels a side"),
        ("text", "share", "None", "A share of missing pixels"),
        ("text", "seed", "-1", "A seed must be"),
        ("scratches", "width", "-1", "whole number of pixels a side"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_is_wrong(functions, values, name, argument, value, said):
    function, arguments = functions[name]
    with pytest.raises((ValueError, TypeError, RuntimeError), match=said) as error:
        function(**{**arguments, argument: values[value]})
    sentence(error.value)


def test_a_store_that_is_a_file_and_an_option_that_is_none(tmp_path):
    spec = runs.Spec("camera", 16, "quick", (("depth", 1), ("width", 4)), 1)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(runs.RunError, match="file' is no folder"):
        sweeps.perform(spec, tmp_path / "file", device="cpu", progress=False)
    with pytest.raises(runs.RunError, match="no option 'devce'"):
        next(sweeps.sweep([spec], tmp_path, devce="cpu"))
    assert (tmp_path / "file").read_text() == "mine"


def test_every_function_takes_what_the_attacks_exchange(functions):
    """Or an exchanged argument would be refused for another's sake."""
    for function, arguments in functions.values():
        function(**arguments)
