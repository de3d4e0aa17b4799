"""Hours under load: do memory, file descriptors and threads stay flat?

Poisson arrivals at a moderate rate, in windows of a minute each with connections of its own, while
the server's memory, open files and threads are read every second. The slope of memory is that of
Theil and Sen (the median of the slopes between all pairs of readings, which outliers do not move)
with its 95 % interval; the beginning, in which caches and pools fill, is left out. That growth is
told from none within some minutes takes a slope of megabytes an hour; smaller ones need hours.
"""

from __future__ import annotations

import time
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, MIB, Attempt, Driven
from benchmarks.context import Context
from benchmarks.loadgen.profiles import steady
from benchmarks.loadgen.spec import OpenLoop
from benchmarks.measurement import Measurement, Slice
from benchmarks.proctree import ProcessTree
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.slope import theil_sen
from benchmarks.subject import UnsupportedError
from benchmarks.ticker import Ticker

NAME = "soak"
READ_EVERY_S = 1.0
REST_S, REST_READINGS = 0.5, 10
METRICS = {
    **{name: f"{text} The last window's." for name, text in LOAD_METRICS.items()},
    "error_rate": "Over all windows: neither answered well nor refused.",
    "requests": "Over all windows.",
    "latency_ms.p99": "The highest of all windows.",
    "first.latency_ms.p99": "The first window's.",
    "last.latency_ms.p99": "The last window's.",
    "p99_ratio": "Last window / first window.",
    "rss_slope_mib_per_h": "Growth of resident memory.",
    "rss_slope_mib_per_h.low": "Lower end of its 95 % interval.",
    "rss_slope_mib_per_h.high": "Upper end.",
    "open_files_growth": "File descriptors between the windows, end less beginning.",
    "threads_growth": "Threads, the same way.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much for how long."""

    rate: Annotated[float, Meta(gt=0, description="Requests a second, on average.")] = 500.0
    duration_s: Annotated[float, Meta(gt=0, description="Load that counts.")] = 600.0
    settle_s: Annotated[float, Meta(ge=0, description="Load before it.")] = 30.0
    window_s: Annotated[float, Meta(gt=0, description="Length of a window.")] = 60.0


class Reading(NamedTuple):
    """What the server held at a moment."""

    at_s: float
    rss_bytes: int

    @classmethod
    def of(cls, tree: ProcessTree) -> Reading:
        """Now."""
        return cls(time.perf_counter(), tree.rss_bytes())


def planned_s(params: Params) -> float:
    """About how long it takes."""
    count = max(2, round(params.duration_s / params.window_s))
    return SERVER_S + loads_s(1, params.settle_s) + loads_s(count, params.duration_s / count)


def run(context: Context, params: Params) -> Measurement:
    """One window after the other."""
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        tree = server.tree
        if tree is None:
            raise UnsupportedError("the server's process is not known, and so not its memory")
        payloads = payloads_for(context, params, server)

        def window(number: int, length_s: float, what: str) -> Driven:
            load = OpenLoop(phases=steady(params.rate, length_s), seed=context.seed + number)
            return attempt.drive(server, load_spec(params, server, payloads, load), what)

        if params.settle_s:
            window(0, params.settle_s, "settling")
        count = max(2, round(params.duration_s / params.window_s))
        driven: list[Driven] = []
        files, threads = _at_rest(tree)
        readings: list[Reading] = []
        with Ticker(READ_EVERY_S, lambda: readings.append(Reading.of(tree))):
            for number in range(1, count + 1):
                what = f"window {number} of {count}"
                driven.append(window(number, params.duration_s / count, what))
                attempt.invalid += [f"{what}: {why}" for why in driven[-1].report.health.reasons]
        files_after, threads_after = _at_rest(tree)
        metrics = {
            **driven[-1].metrics,
            **_memory(readings),
            **_windows(driven),
            "open_files_growth": files_after - files,
            "threads_growth": threads_after - threads,
        }
        return attempt.measurement(
            metrics,
            histogram=driven[-1].report.total.histogram,
            timeline=_timeline(driven, params.duration_s / count),
            batch_rows=driven[-1].batch_rows,
        )


def _at_rest(tree: ProcessTree) -> tuple[int, int]:
    """Open files and threads once the connections of the last load are gone: the least seen."""
    seen = []
    for _ in range(REST_READINGS):
        seen.append((tree.open_files(), tree.threads()))
        time.sleep(REST_S / REST_READINGS)
    files, threads = zip(*seen, strict=True)
    return min(files), min(threads)


def _memory(readings: list[Reading]) -> dict[str, float]:
    if len(readings) < 3:
        return {}
    hours = np.array([one.at_s for one in readings]) / 3600
    slope = theil_sen(hours, np.array([one.rss_bytes for one in readings]) / MIB)
    return {
        "rss_slope_mib_per_h": slope.median,
        "rss_slope_mib_per_h.low": slope.low,
        "rss_slope_mib_per_h.high": slope.high,
    }


def _windows(driven: list[Driven]) -> dict[str, float]:
    totals = [one.report.total for one in driven]
    offered = sum(one.offered for one in totals)
    first, last = totals[0].latency_ms.p99, totals[-1].latency_ms.p99
    return {
        "error_rate": sum(one.failed for one in totals) / max(1, offered),
        "requests": offered,
        "latency_ms.p99": max(one.latency_ms.p99 for one in totals),
        "first.latency_ms.p99": first,
        "last.latency_ms.p99": last,
        "p99_ratio": last / first if first else float("inf"),
    }


def _timeline(driven: list[Driven], window_s: float) -> tuple[Slice, ...]:
    """A slice a window, because seconds of hours are too many to show."""
    return tuple(
        Slice(
            start_s=round(number * window_s, 3),
            offered=one.report.total.offered,
            ok=one.report.total.ok,
            refused=one.report.total.refused,
            failed=one.report.total.failed,
            p50_ms=one.report.total.latency_ms.p50,
            p99_ms=one.report.total.latency_ms.p99,
            max_ms=one.report.total.latency_ms.max,
        )
        for number, one in enumerate(driven)
    )
