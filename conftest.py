"""For tests and chapters, from whichever folder pytest is started."""

from pathlib import Path


def pytest_configure(config):
    """With --nbval, what differs from run to run is made equal before it is compared."""
    if getattr(config.option, "nbval", False) and not config.option.nbval_sanitize_with:
        sanitize = Path(__file__).parent / "tests" / "nbval-sanitize.cfg"
        config.option.nbval_sanitize_with = str(sanitize)
