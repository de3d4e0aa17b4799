"""How disturbed the machine is while a scenario runs, sampled by a thread.

Two figures that tell others from ourselves. Foreign share: CPU used on the whole machine, less
what this process, its descendants (servers, generators) and a given server used. Pressure: the
share of time in which something waited for a core (``/proc/pressure/cpu``, ``some``), less the time
that our own threads waited for one. Server and generator wait for each other on a small machine
(alone they raise the pressure to 20 % and more on two cores), which says nothing of neighbours;
neighbours that make our threads wait show as foreign share.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import busy_s, own_s
from benchmarks.measurement import NoiseSample
from benchmarks.proctree import ProcessTree, process_cpu_s, process_waits_ns
from benchmarks.ticker import Ticker

__all__ = ["Limits", "NoiseMonitor", "Reading", "is_quiet"]

INTERVAL_S = 1.0
READINGS_A_SAMPLE = 4
"""What a thread waited between the last reading and its end is not known, so they are frequent."""
PRESSURE = Path("/proc/pressure/cpu")


@dataclass(frozen=True, slots=True)
class Limits:
    """Up to where a machine counts as quiet, on average over what was measured."""

    foreign_share: float = 0.10
    psi_some: float = 0.10


@dataclass(frozen=True, slots=True)
class Reading:
    """Running totals, in seconds."""

    at_s: float
    busy_s: float
    own_s: float
    pressure_s: float
    waited_s: float

    def until(self, later: Reading, start_s: float) -> NoiseSample:
        """The disturbance between two readings."""
        elapsed_s = max(1e-9, later.at_s - self.at_s)
        foreign_s = (later.busy_s - self.busy_s) - (later.own_s - self.own_s)
        pressure_s = later.pressure_s - self.pressure_s - (later.waited_s - self.waited_s)
        return NoiseSample(
            at_s=round(later.at_s - start_s, 3),
            foreign_share=round(_share(foreign_s, elapsed_s * (os.cpu_count() or 1)), 4),
            psi_some=round(_share(pressure_s, elapsed_s), 4),
        )


class NoiseMonitor:
    """Samples while it is entered; ``samples`` may be read at any time."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._trees = [ProcessTree(os.getpid())]
        self._samples: list[NoiseSample] = []
        self._ticker = Ticker(interval_s / READINGS_A_SAMPLE, self._watch)
        # Readings are made by the thread and by whoever wants one of his own.
        self._lock = threading.Lock()
        self._waits_ns: dict[tuple[int, int], int] = {}
        self._waited_ns = 0
        self.start_s = time.perf_counter()

    def watch(self, tree: ProcessTree | None) -> None:
        """A server that is ours although it was not started here."""
        if tree is not None:
            with self._lock:
                if all(tree.pid != other.pid for other in self._trees):
                    self._trees.append(tree)

    @property
    def samples(self) -> tuple[NoiseSample, ...]:
        """What was seen so far."""
        return tuple(self._samples)

    def __enter__(self) -> NoiseMonitor:
        self._last = self.read()
        self._ticker.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._ticker.__exit__(*error)

    def read(self) -> Reading:
        """The totals now; between two of them lies one sample of any length."""
        with self._lock:
            pressure_s = _pressure_s()
            used_s = own_s() - time.process_time()  # this process is in its own tree as well
            for pid in self._pids():
                used_s += process_cpu_s(pid)
                self._count_waits(pid)
            return Reading(time.perf_counter(), busy_s(), used_s, pressure_s, self._waited_ns / 1e9)

    def _watch(self) -> None:
        reading = self.read()
        if reading.at_s - self._last.at_s >= self._interval_s:
            self._samples.append(self._last.until(reading, self.start_s))
            self._last = reading

    def _pids(self) -> set[int]:
        """All processes that are watched, each once: servers started here are in our own tree."""
        found: set[int] = set()
        for tree in self._trees:
            if tree.pid not in found:
                found.update(tree.pids())
        return found

    def _count_waits(self, pid: int) -> None:
        """Add up what threads have waited, because one that ends takes its own count along."""
        for thread, wait_ns in process_waits_ns(pid).items():
            self._waited_ns += max(0, wait_ns - self._waits_ns.get(thread, 0))
            self._waits_ns[thread] = wait_ns


def is_quiet(samples: Iterable[NoiseSample], limits: Limits) -> bool:
    """Whether throughput and percentiles may be trusted; without a sample they may not."""
    taken = list(samples)
    if not taken:
        return False
    foreign = sum(one.foreign_share for one in taken) / len(taken)
    known = [one.psi_some for one in taken if not math.isnan(one.psi_some)]
    pressure = sum(known) / len(known) if known else 0.0
    return foreign <= limits.foreign_share and pressure <= limits.psi_some


def _share(part: float, whole: float) -> float:
    return part if math.isnan(part) else min(1.0, max(0.0, part / whole))


def _pressure_s() -> float:
    """Time in which something waited for a core, since the machine started."""
    try:
        some = PRESSURE.read_text().partition("\n")[0]
    except OSError:
        return math.nan
    return int(some.rpartition("=")[2]) / 1e6
