"""A ``penstock`` command whose every HTTP request costs some more CPU, burnt before it is read."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.gates.provenance import ROOT

__all__ = ["write_slowed"]

LAUNCHER = """\
#!{python}
import sys
from time import perf_counter_ns as clock_ns

sys.path.insert(0, {root!r})
from serve.transport.http.connection import Connection

EXTRA_NS = {extra_ns}
received = Connection.data_received


def slowed(self, data):
    until_ns = clock_ns() + EXTRA_NS
    while clock_ns() < until_ns:
        pass
    received(self, data)


if EXTRA_NS:
    Connection.data_received = slowed
from serve.cli import main

sys.exit(main())
"""


def write_slowed(path: Path, extra_us: float = 0.0, root: Path = ROOT) -> Path:
    """Write the command; 0: the same launcher, and nothing burnt."""
    path.write_text(
        LAUNCHER.format(python=sys.executable, root=str(root), extra_ns=round(extra_us * 1000))
    )
    path.chmod(0o755)
    return path
