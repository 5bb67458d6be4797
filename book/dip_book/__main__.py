"""``python -m dip_book``: see `dip_book.cli`."""

import builtins
import signal
import sys

if __name__ == "__main__":
    try:
        from dip_book.cli import main
    except KeyboardInterrupt:  # it takes a second
        print("Interrupted.")
        sys.exit(130)
    try:
        sys.exit(main())
    finally:  # who presses Ctrl-C twice meets libraries that tidy up: there is nothing left to stop
        if not hasattr(builtins, "get_ipython"):  # by %run in a session, which lives on
            signal.signal(signal.SIGINT, signal.SIG_IGN)
