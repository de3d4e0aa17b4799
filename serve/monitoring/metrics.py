"""Counters and histograms of the request path, cheap enough for every request.

Plain Python numbers, touched on the event loop only, so that observing costs a bisection and an
addition. ``serve.monitoring.prometheus`` turns them into Prometheus families when asked. All
durations are nanoseconds here, and seconds there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from serve.clock import NS_PER_MS

__all__ = [
    "DURATION_BOUNDS_NS",
    "ROW_BOUNDS",
    "Answered",
    "BatchCost",
    "CacheMetrics",
    "Histogram",
    "ReplicaMetrics",
    "RequestSeries",
    "ServerMetrics",
    "SharedCacheMetrics",
    "TrafficMetrics",
    "VersionMetrics",
]

DURATION_BOUNDS_NS = tuple(
    int(ms * NS_PER_MS)
    for ms in (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 60000)
)
ROW_BOUNDS = tuple(2**power for power in range(11))


class Histogram:
    """Counts per bucket; the last bucket has no upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, value: int, times: int = 1) -> None:
        """Count a value, ``times`` over."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def observe_all(self, values: Sequence[int]) -> int:
        """Count every value, of which there is one at least; gives back their sum."""
        bounds, counts = self.bounds, self.counts
        bucket = bisect_left(bounds, min(values))
        if bucket == len(bounds) or max(values) <= bounds[bucket]:
            counts[bucket] += len(values)  # all in one, as those of one batch mostly are
        else:
            for value in values:
                counts[bisect_left(bounds, value)] += 1
        total = sum(values)
        self.total += total
        return total

    def cumulative(self) -> Iterable[tuple[int | None, int]]:
        """(upper bound or None, count of values up to it), as Prometheus wants them."""
        running = 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            running += count
            yield bound, running


class Answered(Protocol):
    """What is counted of a request that was answered."""

    @property
    def series(self) -> RequestSeries: ...

    @property
    def enqueued_ns(self) -> int: ...

    @property
    def received_ns(self) -> int: ...


class RequestSeries:
    """Durations of the answered requests of one model version over one protocol."""

    __slots__ = ("execute", "queue", "total")

    def __init__(self) -> None:
        self.queue = Histogram(DURATION_BOUNDS_NS)
        self.execute = Histogram(DURATION_BOUNDS_NS)
        self.total = Histogram(DURATION_BOUNDS_NS)


@dataclass(slots=True)
class BatchCost:
    """Sums over all executions of one size: executions and nanoseconds by stage."""

    executions: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0

    def add(self, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """Count one execution."""
        self.executions += 1
        self.input_ns += input_ns
        self.infer_ns += infer_ns
        self.output_ns += output_ns


@dataclass(slots=True)
class ReplicaMetrics:
    """The replicas of one model version, as this gateway sees them.

    ``transport``: nanoseconds between a batch and its outcome that it did not execute; ``retries``
    by reason; ``given_up``: batches that were not tried again; ``states``: replicas by state.
    """

    transport: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_NS))
    retries: Counter[str] = field(default_factory=Counter)
    given_up: int = 0
    states: dict[str, int] = field(default_factory=dict)
    slots: int = 0


@dataclass(slots=True)
class CacheMetrics:
    """The response cache of one model version.

    ``hits``: requests answered from it, of them ``shared_hits`` with an answer of the shared store;
    ``joined``: those that shared the run of the same request, which was under way; ``misses``:
    those that ran; ``bypassed``: those that asked to run.
    ``hit_ns`` and ``miss_ns``: time spent on looking up, and on keeping answers. ``saved_ns``: what
    the answers of all hits had taken to make. ``evicted``, ``expired``: answers that went to make
    room, and for their age; ``too_large``: those never kept. ``answers`` and ``held_bytes``: what
    is kept now.
    """

    hits: int = 0
    shared_hits: int = 0
    hit_ns: int = 0
    joined: int = 0
    misses: int = 0
    miss_ns: int = 0
    bypassed: int = 0
    saved_ns: int = 0
    evicted: int = 0
    expired: int = 0
    too_large: int = 0
    answers: int = 0
    held_bytes: int = 0


@dataclass(slots=True)
class SharedCacheMetrics:
    """The store that several servers share. ``failures`` of commands by reason."""

    commands: int = 0
    command_ns: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    available: bool = True


@dataclass(slots=True, kw_only=True)
class TrafficMetrics:
    """A version that the traffic rules of its model name.

    ``weight``: its share of the requests that name no version, 0 to 1; ``agreed`` to ``dropped``:
    what became of the copies that it was given as a shadow; ``outcomes``, ``outcome_sum``: what
    callers said became of its predictions.
    """

    weight: float = 0.0
    agreed: int = 0
    disagreed: int = 0
    failed: int = 0
    dropped: int = 0
    outcomes: int = 0
    outcome_sum: float = 0.0


@dataclass(slots=True)
class VersionMetrics:
    """Everything counted about one model version; gauges are read from its batcher."""

    model: str
    version: str
    series: dict[str, RequestSeries] = field(default_factory=lambda: defaultdict(RequestSeries))
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROW_BOUNDS))
    batches: dict[int, BatchCost] = field(default_factory=lambda: defaultdict(BatchCost))
    refusals: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    row_ns: float = 0.0
    """What a row of the last batch took to execute."""
    successes: int = 0
    success_ns: int = 0
    queue_ns: int = 0
    failures: int = 0
    failure_ns: int = 0
    cancellations: int = 0
    last_ns: int = 0
    in_flight: int = 0
    queued_rows: int = 0
    running_batches: int = 0
    replicas: ReplicaMetrics | None = None
    cache: CacheMetrics | None = None

    def count_batch(
        self, rows: int, input_ns: int, infer_ns: int, output_ns: int, now_ns: int
    ) -> None:
        """Count one execution of ``rows`` rows."""
        self.batch_rows.observe(rows)
        self.batches[rows].add(input_ns, infer_ns, output_ns)
        self.rows += rows
        self.row_ns = infer_ns / rows
        self.last_ns = now_ns

    def count_answers(
        self, answered: Sequence[Answered], started_ns: int, execute_ns: int, now_ns: int
    ) -> None:
        """Count the requests of one batch, which was started and answered at these times.

        They are in the order in which they were queued.
        """
        self.in_flight -= len(answered)
        self.successes += len(answered)
        if len(self.series) == 1:
            groups = [(answered[0].series, answered)]
        else:
            key = attrgetter("series")
            groups = [(series, list(group)) for series, group in groupby(answered, key)]
        for series, group in groups:
            first_ns = group[0].enqueued_ns
            if group[-1].enqueued_ns == first_ns:  # queued in one turn, as they mostly are
                series.queue.observe(started_ns - first_ns, len(group))
                self.queue_ns += (started_ns - first_ns) * len(group)
            else:
                waits = [started_ns - e.enqueued_ns for e in group]
                self.queue_ns += series.queue.observe_all(waits)
            series.execute.observe(execute_ns, len(group))
            self.success_ns += series.total.observe_all([now_ns - e.received_ns for e in group])


class ServerMetrics:
    """The process's metrics: one ``VersionMetrics`` a version ever served, and its errors.

    A version that is unloaded keeps its counters, so that rates do not jump when it returns.
    """

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], VersionMetrics] = {}
        self.errors: Counter[tuple[str, str, str]] = Counter()
        self.shared_cache: SharedCacheMetrics | None = None
        self.traffic: Callable[[], Mapping[tuple[str, str], TrafficMetrics]] = dict
        """Reads them by model and version; called in any thread."""

    def version(self, model: str, version: str) -> VersionMetrics:
        """The metrics of a version, made on first use."""
        key = (model, version)
        if key not in self.versions:
            self.versions[key] = VersionMetrics(model, version)
        return self.versions[key]

    def count_error(self, protocol: str, code: str, model: str) -> None:
        """Count an error answer; ``model`` must be a served one or "", to bound the labels."""
        self.errors[(protocol, code, model)] += 1
