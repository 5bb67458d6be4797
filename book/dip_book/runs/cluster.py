"""A Dask cluster, to which a sweep hands its runs: found, or told why not.

Needs ``dask[distributed]``, an optional requirement.
"""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager, suppress

from dip_book.runs.spec import RunError, brief
from dip_book.words import told

PATIENCE_S = 20.0  # seconds for a scheduler's answer


@contextmanager
def dask_executor(address: str):
    """A Dask cluster as an executor.

    A run whose worker dies is given to another, which resumes it.  Its progress is also on the
    cluster's dashboard.

    Raises RunError where there is no Dask, the address is none that it can use, or no scheduler
    answers there.
    """
    try:
        from distributed import Client
    except ImportError:
        raise RunError("--scheduler needs Dask: pip install 'dask[distributed]'") from None
    try:
        _check_greeting(address)
        client = Client(address, timeout=f"{PATIENCE_S:g}s")
    except RunError:
        raise
    except OSError as error:
        raise RunError(f"No Dask scheduler answers at {address}: {error}") from None
    except (ValueError, TypeError, RuntimeError, ImportError) as error:  # Dask's for odd addresses
        raise RunError(
            f"'{brief(address)}' is no address that Dask can use, as tcp://127.0.0.1:8786 is one: "
            f"{' '.join(str(error).split())}"
        ) from None
    with _without_tracebacks(), client, _telling_of_no_workers(client):
        print(f"Dashboard: {client.dashboard_link}", flush=True)
        # Not pure: asked again after --again, a run is to be made again.
        with client.get_executor(pure=False) as executor:
            yield executor


def _check_greeting(address: str) -> None:
    """RunError for a server that is no Dask scheduler, as its dashboard's: a client waits for ever.

    Dask speaks first on a connection by TCP.  Where none is to be had, its client tells why.
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    scheme, place = parse_address(address)
    if scheme != "tcp":
        return
    try:
        host, port = parse_host_port(place)
        connection = socket.create_connection((host, port), timeout=PATIENCE_S)
    except (OSError, OverflowError, UnicodeError):
        return
    with connection, suppress(OSError):
        if connection.recv(1):
            return
    raise RunError(
        f"What answers at {address} is no Dask scheduler, or one that is reached by tls:// alone: "
        "it names its address when it starts (Scheduler at: tcp://...)."
    )


@contextmanager
def _telling_of_no_workers(client):
    """Say where a cluster has none: they may come yet, but one without the book's code ends itself.

    Dask waits for them without a word.
    """
    over = threading.Event()

    def look():
        lacking = False
        while not over.wait(PATIENCE_S / 4):
            try:
                before, lacking = lacking, not client.nthreads()
            except Exception:  # the scheduler is gone: the sweep tells of it
                return
            if lacking and not before and not over.is_set():
                told(
                    "The cluster has no worker: the runs wait for one. If one was there, its own "
                    "output says why it ended, as where it did not find the book's code."
                )

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE_S)


@contextmanager
def _without_tracebacks():
    """Dask's client prints one where it loses its scheduler: `_failure` tells of it."""
    logger = logging.getLogger("distributed.client")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
