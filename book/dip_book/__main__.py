"""``python -m dip_book``: see `dip_book.cli`."""

import sys

if __name__ == "__main__":
    try:
        from dip_book.cli import main
    except KeyboardInterrupt:  # it takes a second
        print("Interrupted.")
        sys.exit(130)
    sys.exit(main())
