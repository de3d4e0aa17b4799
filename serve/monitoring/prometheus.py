"""The metrics as Prometheus text, made when they are scraped.

A scrape runs in a worker thread beside the event loop, so it copies each dictionary (atomically,
under the interpreter's lock) before it walks over it.
"""

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
from serve.monitoring.cache_families import cache_families
from serve.monitoring.metrics import Histogram, ServerMetrics
from serve.monitoring.traffic_families import traffic_families

__all__ = ["States", "exposition", "seconds"]

States = Callable[[], Iterable[tuple[str, str, str]]]
"""Gives (model, version, state) of every version known."""

ALL_STATES = ("LOADING", "READY", "UNAVAILABLE", "UNLOADING")


class _ServerCollector(Collector):
    """Turns the request path's counters into families."""

    def __init__(self, metrics: ServerMetrics, states: States, gauges: Gauges) -> None:
        self._metrics = metrics
        self._states = states
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        yield from self._requests()
        yield from self._batches()
        yield from self._replicas()
        yield from cache_families(self._metrics)
        yield from traffic_families(self._metrics)
        yield self._errors()
        yield self._model_states()
        for name, (text, read) in self._gauges.items():
            yield GaugeMetricFamily(name, text, value=read())

    def _requests(self) -> Iterable[Metric]:
        durations = HistogramMetricFamily(
            "penstock_request_duration_seconds",
            "Time of answered requests by stage: queue, execute, total.",
            labels=["model", "version", "protocol", "stage"],
        )
        for version in list(self._metrics.versions.values()):
            for protocol, series in list(version.series.items()):
                for stage in ("queue", "execute", "total"):
                    buckets, total = seconds(getattr(series, stage))
                    labels = [version.model, version.version, protocol, stage]
                    durations.add_metric(labels, buckets, total)
        yield durations
        outcomes = CounterMetricFamily(
            "penstock_requests",
            "Requests by outcome: success, failure, cancelled.",
            labels=["model", "version", "outcome"],
        )
        refusals = CounterMetricFamily(
            "penstock_refusals",
            "Requests refused at admission, by reason.",
            labels=["model", "version", "reason"],
        )
        for version in list(self._metrics.versions.values()):
            names = [version.model, version.version]
            outcomes.add_metric([*names, "success"], version.successes)
            outcomes.add_metric([*names, "failure"], version.failures)
            outcomes.add_metric([*names, "cancelled"], version.cancellations)
            for reason, count in list(version.refusals.items()):
                refusals.add_metric([*names, reason], count)
        yield outcomes
        yield refusals

    def _batches(self) -> Iterable[Metric]:
        labels = ["model", "version"]
        rows = HistogramMetricFamily(
            "penstock_batch_rows", "Rows of executed batches.", labels=labels
        )
        gauges = {
            "queued_rows": GaugeMetricFamily(
                "penstock_queue_rows", "Rows that wait for an executor.", labels=labels
            ),
            "running_batches": GaugeMetricFamily(
                "penstock_running_batches", "Batches under way.", labels=labels
            ),
            "in_flight": GaugeMetricFamily(
                "penstock_in_flight_requests", "Requests accepted and not answered.", labels=labels
            ),
        }
        for version in list(self._metrics.versions.values()):
            names = [version.model, version.version]
            histogram = version.batch_rows
            buckets = [(_bound(bound, 1), count) for bound, count in histogram.cumulative()]
            rows.add_metric(names, buckets, histogram.total)
            for field, family in gauges.items():
                family.add_metric(names, getattr(version, field))
        yield rows
        yield from gauges.values()

    def _replicas(self) -> Iterable[Metric]:
        labels = ["model", "version"]
        transport = HistogramMetricFamily(
            "penstock_batch_transport_seconds",
            "Time of a batch sent to a replica that was not spent on running it.",
            labels=labels,
        )
        retries = CounterMetricFamily(
            "penstock_batch_retries",
            "Batches sent again, by reason: lost (with the replica), declined (by it).",
            labels=[*labels, "reason"],
        )
        given_up = CounterMetricFamily(
            "penstock_batches_given_up", "Batches that were sent too often.", labels=labels
        )
        states = GaugeMetricFamily(
            "penstock_replicas", "Replicas by state.", labels=[*labels, "state"]
        )
        slots = GaugeMetricFamily(
            "penstock_replica_slots", "Batches that the replicas run at once.", labels=labels
        )
        for version in list(self._metrics.versions.values()):
            replicas = version.replicas
            if replicas is None:
                continue
            names = [version.model, version.version]
            transport.add_metric(names, *seconds(replicas.transport))
            for reason, count in list(replicas.retries.items()):
                retries.add_metric([*names, reason], count)
            given_up.add_metric(names, replicas.given_up)
            for state, number in replicas.states.items():
                states.add_metric([*names, state], number)
            slots.add_metric(names, replicas.slots)
        yield from (transport, retries, given_up, states, slots)

    def _errors(self) -> Metric:
        errors = CounterMetricFamily(
            "penstock_errors",
            "Error answers by code; the model is empty where the request named none that is known.",
            labels=["protocol", "code", "model"],
        )
        for labels, count in list(self._metrics.errors.items()):
            errors.add_metric(list(labels), count)
        return errors

    def _model_states(self) -> Metric:
        states = GaugeMetricFamily(
            "penstock_model_state",
            "1 for the state that a version is in, 0 for the others.",
            labels=["model", "version", "state"],
        )
        for model, version, current in self._states():
            for state in ALL_STATES:
                states.add_metric([model, version, state], float(state == current))
        return states


Gauges = dict[str, tuple[str, Callable[[], float]]]
"""Metric name to (help text, reader)."""


def exposition(metrics: ServerMetrics, states: States, gauges: Gauges) -> Callable[[], bytes]:
    """A function that gives the page in Prometheus text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_ServerCollector(metrics, states, gauges))
    ProcessCollector(registry=registry)

    def page() -> bytes:
        return generate_latest(registry)

    return page


def _bound(bound: int | None, unit: int) -> str:
    return "+Inf" if bound is None else str(float(bound) / unit)


def seconds(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Buckets and sum of a histogram of nanoseconds, as families want them."""
    buckets = [(_bound(bound, NS_PER_S), float(count)) for bound, count in histogram.cumulative()]
    return buckets, histogram.total / NS_PER_S
