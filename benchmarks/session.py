"""The plain ``session.run`` loop, as a process that is asked for one measurement at a time."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.child import start_child

__all__ = ["SessionLoop", "session_loop"]


class Measurement(msgspec.Struct, frozen=True):
    """One answer of ``benchmarks.floor.session_loop``."""

    rows: int
    rows_per_s: float
    cpu_s_per_run: float


class SessionLoop:
    """Talks to the subprocess; one thing at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def measure(self, rows: int, duration_s: float) -> Measurement:
        """Batches of ``rows`` rows for ``duration_s`` seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        command = {"rows": rows, "duration_s": duration_s}
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Measurement)

    def best_rows(self, sizes: Sequence[int], duration_s: float, tries: int = 2) -> int:
        """The batch size with the most rows a second; several tries, because noise only slows."""
        best: dict[int, float] = {}
        for _ in range(tries):
            for rows in sizes:
                rate = self.measure(rows, duration_s).rows_per_s
                best[rows] = max(best.get(rows, 0.0), rate)
        return max(best, key=lambda rows: best[rows])


@contextlib.contextmanager
def session_loop(model: Path, threads: int) -> Iterator[SessionLoop]:
    """A warm session in its own process."""
    command = [sys.executable, "-m", "benchmarks.floor.session_loop", str(model)]
    command += ["--threads", str(threads)]
    with start_child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield SessionLoop(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
