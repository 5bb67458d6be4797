"""Stored runs: what decides one (`spec`), what is recorded of it (`record`), how records lie in a
folder (`store`) and how they travel (`archives`).

How runs are computed is in `dip_book.runs.sweeps`.
"""

from dip_book.runs.archives import pack, unpack
from dip_book.runs.record import FORMAT, KINDS, Run, check_size
from dip_book.runs.spec import RunError, Spec, blocks_errors
from dip_book.runs.store import (
    ANY,
    ROOT,
    WORK,
    DamagedRun,
    check,
    find,
    lock,
    of_their_names,
    paths,
    read,
    state,
    stored,
    tidy,
    without_record,
    work_name,
    write,
)

__all__ = [
    "ANY",
    "FORMAT",
    "KINDS",
    "ROOT",
    "WORK",
    "DamagedRun",
    "Run",
    "RunError",
    "Spec",
    "blocks_errors",
    "check",
    "check_size",
    "find",
    "lock",
    "of_their_names",
    "pack",
    "paths",
    "read",
    "state",
    "stored",
    "tidy",
    "unpack",
    "without_record",
    "work_name",
    "write",
]
