"""A short run of each recipe gives the numbers it always gave: a change of form may not change one.

`same_numbers.json` holds the first losses, which hold everywhere within rounding, and digests of
what was drawn, bit by bit, for the environments in which they were computed.  After a change that
is meant to change numbers, write the file anew, `python tests/test_same_numbers.py`, and say so in
the changelog.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import dip_blocks

EXPECTED = Path(__file__).with_name("same_numbers.json")
ITERATIONS = 3


def picture() -> np.ndarray:
    """Waves and an edge.

    (96, 96), the smallest that every recipe's depth takes, less a little, so that it is padded.
    """
    y, x = np.mgrid[:90, :94] / 94
    return (0.5 + 0.3 * np.sin(40 * x * y) + 0.15 * (x + y > 1)).astype(np.float32)


def environment() -> str:
    """What decides the last bit on a CPU."""
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


def short_run(name: str) -> tuple[list[float], str]:
    """Losses of the first iterations in fp32 on one thread; digest of raw and averaged output."""
    x_hat, mask = dip_blocks.degrade(picture())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = dip_blocks.restore(
            x_hat, mask, dip_blocks.RECIPES[name], iterations=ITERATIONS, device="cpu",
            precision="fp32", progress=False,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    drawn = torch.stack([result.image, result.averaged]).numpy().tobytes()
    return [step.loss for step in result.history], hashlib.sha256(drawn).hexdigest()


@pytest.mark.parametrize(
    "name", json.loads(EXPECTED.read_text())["losses"] if EXPECTED.exists() else []
)
def test_same_numbers(name):
    expected = json.loads(EXPECTED.read_text())
    losses, digest = short_run(name)
    assert losses == pytest.approx(expected["losses"][name], rel=1e-2)
    assert digest == expected["digests"].get(environment(), {}).get(name, digest)


def test_every_recipe_is_held():
    assert set(json.loads(EXPECTED.read_text())["losses"]) == set(dip_blocks.RECIPES)


if __name__ == "__main__":
    found = {name: short_run(name) for name in dip_blocks.RECIPES}
    before = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {"digests": {}}
    held = before.get("losses", {})
    same = all(found[n][0] == pytest.approx(held[n], rel=1e-3) for n in {*held} & {*found})
    digests = before["digests"] if same else {}  # digests of other numbers are of no use
    digests[environment()] = {name: digest for name, (_, digest) in found.items()}
    losses = {name: values for name, (values, _) in found.items()}
    EXPECTED.write_text(json.dumps({"losses": losses, "digests": digests}, indent=1) + "\n")
