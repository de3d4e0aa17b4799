"""An engine's own metrics as Prometheus text, made when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from serve.clock import NS_PER_S
from serve.executors.remote.engine import Engine
from serve.monitoring.prometheus import seconds

__all__ = ["engine_page"]

LABELS = ("model", "version", "replica")
GAUGES = {
    "slots": ("penstock_engine_slots", "Batches that can run at once."),
    "running": ("penstock_engine_running_batches", "Batches that run."),
    "queued": ("penstock_engine_queued_batches", "Batches that wait for a slot."),
    "connections": ("penstock_engine_connections", "Gateways that are connected."),
}


class _EngineCollector(Collector):
    """Turns the counters of one engine into families."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        described = engine.description
        self._names = [described.model, described.version, described.replica]

    def collect(self) -> Iterable[Metric]:
        statistics, names = self._engine.statistics(), self._names
        for field, (name, text) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=LABELS)
            gauge.add_metric(names, getattr(statistics, field))
            yield gauge
        outcomes = CounterMetricFamily(
            "penstock_engine_batches",
            "Batches by outcome: success, failure, declined (too many waited).",
            labels=[*LABELS, "outcome"],
        )
        succeeded = statistics.batches - statistics.failures
        outcomes.add_metric([*names, "success"], succeeded)
        outcomes.add_metric([*names, "failure"], statistics.failures)
        outcomes.add_metric([*names, "declined"], statistics.declined)
        yield outcomes
        rows = CounterMetricFamily("penstock_engine_rows", "Rows of batches run.", labels=LABELS)
        rows.add_metric(names, statistics.rows)
        yield rows
        busy = CounterMetricFamily(
            "penstock_engine_busy_seconds",
            "Time in which slots were in use, summed over them.",
            labels=LABELS,
        )
        busy.add_metric(names, statistics.busy_ns / NS_PER_S)
        yield busy
        durations = HistogramMetricFamily(
            "penstock_engine_batch_seconds", "Time that batches ran.", labels=LABELS
        )
        durations.add_metric(names, *seconds(self._engine.durations))
        yield durations


def engine_page(engine: Engine) -> Callable[[], bytes]:
    """A function that gives the page of a started engine, in Prometheus text format 0.0.4.

    It may be called in any thread, and raises Unavailable once the engine has ended.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_EngineCollector(engine))
    ProcessCollector(registry=registry)

    def page() -> bytes:
        return generate_latest(registry)

    return page
