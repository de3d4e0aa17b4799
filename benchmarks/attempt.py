"""One attempt at a scenario: watches the machine, drives loads, and makes the measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks.context import Context
from benchmarks.loadgen.health import too_few
from benchmarks.loadgen.launch import LoadInterrupted, run_load
from benchmarks.loadgen.spec import LoadReport, LoadSpec
from benchmarks.measurement import Measurement
from benchmarks.noise import NoiseMonitor, is_quiet
from benchmarks.server_metrics import batches_between, fetch_batches
from benchmarks.subject import Served

__all__ = ["LOAD_METRICS", "Attempt", "Driven", "Interrupted"]

MIB = 2**20
LOAD_METRICS = {
    "latency_ms.p50": "Latency of good answers, from the intended send time.",
    "latency_ms.p90": "The same.",
    "latency_ms.p99": "The same.",
    "latency_ms.p999": "The same.",
    "latency_ms.max": "The slowest good answer.",
    "rate_per_s.offered": "Requests that were due.",
    "rate_per_s.achieved": "Requests that the generator dealt with in time.",
    "rate_per_s.ok": "Good answers.",
    "goodput_per_s": "Good answers within the SLO.",
    "error_rate": "Part of the requests neither answered well nor refused.",
    "refused_rate": "Part of the requests refused for want of capacity.",
    "requests": "Requests that count.",
    "server_cpu_us_per_req": "CPU of all the server's threads and processes, a request answered.",
    "server_rss_mib.start": "Memory resident before.",
    "server_rss_mib.end": "Memory resident after.",
    "server_rss_mib.peak": "Most memory resident so far.",
    "generator.send_lag_ms.p99": "How late the generator was.",
    "generator.cpu_share": "Of one core, by the busiest generator process.",
}
"""What a driven load yields; the server's CPU and memory only where its process is known."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a scenario: ``measurement`` is what was measured until then, as invalid."""

    def __init__(self, measurement: Measurement) -> None:
        super().__init__("interrupted")
        self.measurement = measurement


@dataclass(frozen=True, slots=True)
class Driven:
    """A load that was driven, and what it did to the server."""

    report: LoadReport
    metrics: dict[str, float]
    batch_rows: dict[int, int]
    quiet: bool
    """Whether throughput and percentiles may be trusted."""


class Attempt:
    """Entered around all of a scenario; ``notes``, ``invalid``, ``inconclusive`` may grow."""

    def __init__(self, context: Context, scenario: str, params: msgspec.Struct) -> None:
        self._context = context
        self._scenario = scenario
        self._params: dict[str, Any] = msgspec.to_builtins(params)
        self.noise = NoiseMonitor()
        self._waited_share = 0.0
        self.notes: list[str] = []
        self.invalid: list[str] = []
        self.inconclusive: list[str] = []

    def __enter__(self) -> Attempt:
        self.noise.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.noise.__exit__(*error)

    def say(self, what: str, part: float | None = None) -> None:
        """Tell what is under way."""
        self._context.progress(f"{self._scenario}: {what}", part)

    def note(self, text: str) -> None:
        """Something a reader has to know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def drive(
        self,
        server: Served,
        spec: LoadSpec,
        what: str,
        meanwhile: Callable[[float], None] = lambda part: None,
    ) -> Driven:
        """Drive a load on a server; why it was not driven honestly is up to the caller to use.

        ``meanwhile`` is told the part of it that is over, some five times a second.

        Raises:
            LoadError: it could not be driven at all.
            Interrupted: Ctrl-C.
        """
        self.noise.watch(server.tree)
        batches = fetch_batches(server, self._context.model)
        rss_start = cpu_start_s = 0.0
        if server.tree is not None:
            rss_start, cpu_start_s = server.tree.rss_bytes(), server.tree.cpu_s()
        before = self.noise.read()
        self.say(what, 0.0)
        interrupted = False

        def progress(part: float) -> None:
            self.say(what, part)
            meanwhile(part)

        try:
            report = run_load(spec, progress)
        except LoadInterrupted as stop:
            report, interrupted = stop.report, True
        sample = before.until(self.noise.read(), self.noise.start_s)
        metrics = load_metrics(report)
        if server.tree is None:
            self.note("the server's process is not known: its CPU and memory were not measured")
        else:
            cpu_s = server.tree.cpu_s() - cpu_start_s
            metrics["server_cpu_us_per_req"] = cpu_s / max(1, report.answered) * 1e6
            metrics["server_rss_mib.start"] = rss_start / MIB
            metrics["server_rss_mib.end"] = server.tree.rss_bytes() / MIB
            metrics["server_rss_mib.peak"] = server.tree.peak_rss_bytes() / MIB
        self._waited_share = max(self._waited_share, report.health.waited_share)
        driven = Driven(
            report,
            metrics,
            batches_between(batches, fetch_batches(server, self._context.model)),
            is_quiet([sample], self._context.limits),
        )
        if interrupted:
            self.invalid.append(f"interrupted during {what}")
            raise Interrupted(self.of_load(driven))
        return driven

    def of_load(self, driven: Driven, **more: Any) -> Measurement:
        """The measurement of a scenario that is one load."""
        health = driven.report.health
        self.invalid += health.reasons
        if not health.enough_requests:
            self.invalid.append(too_few(driven.report.total.offered))
        return self.measurement(
            {**driven.metrics, **more.pop("metrics", {})},
            histogram=driven.report.total.histogram,
            timeline=driven.report.timeline,
            batch_rows=driven.batch_rows,
            **more,
        )

    def measurement(self, metrics: dict[str, float], **more: Any) -> Measurement:
        """The measurement, with what is known of the attempt itself."""
        if self._waited_share > 0.01:
            self.note(
                f"up to {self._waited_share:.0%} of a load's requests found every connection taken"
                " and waited for one, which their latency counts"
            )
        return Measurement(
            scenario=self._scenario,
            params=self._params,
            metrics={name: float(value) for name, value in metrics.items()},
            noise=self.noise.samples,
            duration_s=round(time.perf_counter() - self.noise.start_s, 3),
            invalid=tuple(dict.fromkeys(self.invalid)),
            inconclusive=tuple(self.inconclusive),
            notes=tuple(self.notes),
            **more,
        )


def load_metrics(report: LoadReport) -> dict[str, float]:
    """The part of ``LOAD_METRICS`` that the generator sees."""
    total, health = report.total, report.health
    latency = msgspec.structs.asdict(total.latency_ms)
    return {
        **{f"latency_ms.{name}": value for name, value in latency.items()},
        "rate_per_s.offered": total.per_s(total.offered),
        "rate_per_s.achieved": health.achieved_per_s or total.per_s(total.offered),
        "rate_per_s.ok": total.ok_per_s,
        "goodput_per_s": total.good_per_s,
        "error_rate": total.error_rate,
        "refused_rate": total.refused_rate,
        "requests": total.offered,
        "generator.send_lag_ms.p99": health.send_lag_ms.p99,
        "generator.cpu_share": health.cpu_share,
    }
