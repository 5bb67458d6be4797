"""``python -m dip_book``: see `dip_book.cli`."""

import sys

from dip_book.cli import main

if __name__ == "__main__":
    sys.exit(main())
