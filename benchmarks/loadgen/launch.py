"""Starts the generator processes of a run, begins them at the same moment, and merges their parts.

report = run_load(LoadSpec(
    target=Target(port=8000),
    payloads=(json_rows("small", 1, 30),),
    load=OpenLoop(phases=steady(1000, 30, warmup_s=3)),
))
report.total.latency_ms.p99, report.health.reasons
"""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import IO, cast

import msgspec

from benchmarks.child import start_child
from benchmarks.loadgen import wrk
from benchmarks.loadgen.frames import Job, read_frame, write_frame
from benchmarks.loadgen.merge import report
from benchmarks.loadgen.outcomes import Part
from benchmarks.loadgen.spec import ClosedLoop, LoadReport, LoadSpec, OpenLoop

__all__ = ["LoadError", "LoadInterrupted", "planned_s", "run_load"]

LEAD_S = 0.1
"""From the word to begin to the beginning, so that all processes have heard it."""
POLL_S = 0.2

Progress = Callable[[float], None]
"""Told the part of the run that is over, 0 to 1, some five times a second."""


class LoadError(RuntimeError):
    """A generator could not do its work; carries what it said."""


class LoadInterrupted(KeyboardInterrupt):
    """Ctrl-C: ``report`` is what was seen until then, a valid one of a shorter run."""

    def __init__(self, partial: LoadReport) -> None:
        super().__init__("interrupted")
        self.report = partial


def planned_s(spec: LoadSpec) -> float:
    """How long the load itself lasts."""
    if isinstance(spec.load, OpenLoop):
        return sum(phase.duration_s for phase in spec.load.phases)
    return spec.load.warmup_s + spec.load.duration_s


def run_load(spec: LoadSpec, progress: Progress | None = None) -> LoadReport:
    """Drive one load, blocking until it is over; the generators are processes of their own.

    Raises:
        LoadError: the server cannot be reached, or a generator failed.
        LoadInterrupted: Ctrl-C; what was seen until then is in it.
    """
    if not spec.payloads:
        raise ValueError("a load needs at least one payload")
    if spec.expected and spec.target.protocol != "http":
        raise ValueError("answers are compared over HTTP only")
    if spec.expected and len(spec.expected) != len(spec.payloads):
        raise ValueError("each payload needs its right answers, or none")
    if isinstance(spec.load, ClosedLoop) and wrk.takes(spec):
        return wrk.run(spec, spec.load)
    with contextlib.ExitStack() as stack:
        generators = [stack.enter_context(_generator(spec, n)) for n in range(spec.processes)]
        for generator in generators:
            generator.wait_ready()
        zero_s = time.perf_counter() + LEAD_S
        for generator in generators:
            generator.begin(zero_s)
        try:
            _wait(generators, zero_s, planned_s(spec), progress)
        except KeyboardInterrupt:
            for generator in generators:
                generator.stop()
            raise LoadInterrupted(report(spec, [one.part() for one in generators])) from None
        return report(spec, [generator.part() for generator in generators])


class Generator:
    """One generator process, from this side."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors
        self._input = cast(IO[bytes], process.stdin)
        self.output = cast(IO[bytes], process.stdout)

    def tell(self, message: bytes) -> None:
        """Send a frame; a process that has ended is found out about when it is read from."""
        with contextlib.suppress(BrokenPipeError):
            write_frame(self._input, message)

    def begin(self, zero_s: float) -> None:
        """The schedule's time zero, by the monotonic clock that all processes share."""
        self.tell(msgspec.msgpack.encode(zero_s))

    def stop(self) -> None:
        """Send no more."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def wait_ready(self) -> None:
        """Until every slot is open.

        Raises:
            LoadError: that failed.
        """
        self._read()

    def part(self) -> Part:
        """What it saw, once it is over.

        Raises:
            LoadError: it failed.
        """
        return msgspec.msgpack.decode(self._read(), type=Part)

    def _read(self) -> bytes:
        try:
            return read_frame(self.output)
        except EOFError:
            self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            raise LoadError(
                "a load generator failed: " + (lines[-1] if lines else "it said nothing")
            ) from None


@contextlib.contextmanager
def _generator(spec: LoadSpec, number: int) -> Iterator[Generator]:
    with tempfile.TemporaryFile() as errors:
        process = start_child(
            [sys.executable, "-m", "benchmarks.loadgen"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        generator = Generator(process, errors)
        try:
            generator.tell(msgspec.msgpack.encode(Job(spec, number)))
            yield generator
        finally:
            generator.stop()
            generator.output.close()
            process.kill()  # it has said all it had to say, or nobody listens any more
            process.wait()


def _wait(
    generators: list[Generator], zero_s: float, lasts_s: float, progress: Progress | None
) -> None:
    """Until every generator has begun to say what it saw."""
    with selectors.DefaultSelector() as selector:
        for generator in generators:
            selector.register(generator.output, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(POLL_S):
                selector.unregister(key.fileobj)
            if progress is not None:
                gone_s = time.perf_counter() - zero_s
                progress(min(1.0, max(0.0, gone_s / lasts_s)))
