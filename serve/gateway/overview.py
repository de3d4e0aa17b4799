"""How every version is, for ``penstock models`` and for scrapers: what the admin port tells of it.

Plain data, with the names that the JSON has. Counters are this process's since its start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from serve.monitoring.metrics import (
    DURATION_BOUNDS_NS,
    Histogram,
    ServerMetrics,
    VersionMetrics,
)

__all__ = ["Member", "Overview", "Replicas", "Row", "make_overview", "scrape_targets"]

NS_PER_MS = 1e6


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A replica as this gateway sees it.

    ``batches`` are under way there; ``admin`` is host:port of its metrics, "" if there are none
    or they cannot be reached from here. ``pid`` is of its process, on the node ``node``.
    """

    name: str
    state: str
    problem: str = ""
    slots: int = 0
    batches: int = 0
    address: str = ""
    admin: str = ""
    node: str = ""
    pid: int = 0


class Replicas(msgspec.Struct, frozen=True, kw_only=True):
    """The replicas of a version: ``least`` to ``most`` are wanted, ``ready`` can be sent to."""

    least: int
    most: int
    ready: int
    members: tuple[Member, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One version, or a model as a whole (version ""). ``replicas`` is None in one process.

    Percentiles are of answered requests, from the first byte to the answer, as precise as the
    buckets of the metrics; None before the first.
    """

    name: str
    version: str
    state: str
    reason: str = ""
    platform: str = ""
    slots: int = 0
    requests: int = 0
    errors: int = 0
    refused: int = 0
    in_flight: int = 0
    queued_rows: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    replicas: Replicas | None = None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All versions that are known. ``remote``: models run in replicas, not in this process."""

    server: str
    ready: bool
    remote: bool
    models: tuple[Row, ...] = ()


def make_overview(
    server: str,
    ready: bool,
    index: Iterable[Mapping[str, Any]],
    metrics: ServerMetrics,
    live: Mapping[tuple[str, str], tuple[str, int]],
    replicas: Mapping[tuple[str, str], Replicas] | None,
) -> Overview:
    """Put together what is known.

    ``index`` is the protocol's; ``live`` has (platform, slots) of the versions that can be asked;
    ``replicas`` is None where there are none.
    """
    rows = []
    for entry in index:
        key = (entry["name"], entry["version"])
        platform, slots = live.get(key, ("", 0))
        rows.append(
            Row(
                name=entry["name"],
                version=entry["version"],
                state=str(entry["state"]),
                reason=entry["reason"],
                platform=platform,
                slots=slots,
                replicas=None if replicas is None else replicas.get(key),
                **_counted(metrics.versions.get(key)),
            )
        )
    return Overview(server=server, ready=ready, remote=replicas is not None, models=tuple(rows))


def scrape_targets(own: str, overview: Overview) -> list[dict[str, Any]]:
    """The targets of Prometheus's HTTP service discovery: this process, and its engines.

    ``own`` is host:port at which whoever asks has reached us.
    """
    found = [{"targets": [own], "labels": {"role": "gateway" if overview.remote else "server"}}]
    for row in overview.models:
        if row.replicas is None:
            continue
        for member in row.replicas.members:
            if member.admin:
                labels = {"role": "engine", "node": member.node}
                found.append({"targets": [member.admin], "labels": labels})
    return found


def _counted(metrics: VersionMetrics | None) -> dict[str, Any]:
    if metrics is None:
        return {}
    merged = Histogram(DURATION_BOUNDS_NS)
    for series in list(metrics.series.values()):
        merged.counts = [a + b for a, b in zip(merged.counts, series.total.counts, strict=True)]
    return {
        "requests": metrics.successes + metrics.failures + metrics.cancellations,
        "errors": metrics.failures,
        "refused": sum(metrics.refusals.values()),
        "in_flight": metrics.in_flight,
        "queued_rows": metrics.queued_rows,
        "p50_ms": quantile_ms(merged, 0.50),
        "p99_ms": quantile_ms(merged, 0.99),
    }


def quantile_ms(histogram: Histogram, share: float) -> float | None:
    """A percentile from buckets, evenly spread inside each, as Prometheus has it.

    Beyond the last bound it is that bound. None: there is nothing.
    """
    wanted = share * sum(histogram.counts)
    if not wanted:
        return None
    before, low_ns = 0, 0
    for bound_ns, count in zip(histogram.bounds, histogram.counts, strict=False):
        if before + count >= wanted:
            part = (wanted - before) / count
            return float((low_ns + part * (bound_ns - low_ns)) / NS_PER_MS)
        before, low_ns = before + count, bound_ns
    return low_ns / NS_PER_MS
