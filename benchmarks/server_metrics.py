"""What a server says of itself, in its Prometheus metrics: its batches, and what it counts."""

from __future__ import annotations

import contextlib
import http.client
import re
from collections import Counter
from collections.abc import Mapping

from benchmarks.subject import Served

__all__ = ["batches_between", "counted", "fetch_batches", "parse_batches"]

_BUCKET = re.compile(r"^penstock_batch_rows_bucket\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def fetch_batches(server: Served, model: str) -> Counter[float]:
    """Batches so far by upper bound of their rows; empty where the server does not tell.

    ``model`` empty: of all models.
    """
    return parse_batches(_page(server), model)


def counted(server: Served, name: str, **labels: str) -> float:
    """The sum of the samples of ``name`` that have these labels; 0 where there is none."""
    total = 0.0
    for labels_text, value in re.findall(rf"^{name}\{{([^}}]*)\}} (\S+)$", _page(server), re.M):
        if labels.items() <= dict(_LABEL.findall(labels_text)).items():
            total += float(value)
    return total


def _page(server: Served) -> str:
    """The metrics; empty where the server does not tell."""
    if not server.admin_port:
        return ""
    connection = http.client.HTTPConnection(server.admin_host, server.admin_port, timeout=10.0)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    return ""


def parse_batches(text: str, model: str) -> Counter[float]:
    """The histogram of batch rows, not cumulative as Prometheus has it but bucket by bucket."""
    bounds: Counter[float] = Counter()
    for labels_text, count in _BUCKET.findall(text):
        labels = dict(_LABEL.findall(labels_text))
        if not model or labels.get("model") == model:
            bounds[float(labels["le"])] += float(count)  # type: ignore[assignment]
    below = 0
    single: Counter[float] = Counter()
    for bound in sorted(bounds):
        single[bound] = int(bounds[bound]) - below
        below = int(bounds[bound])
    return single


def batches_between(before: Mapping[float, int], after: Mapping[float, int]) -> dict[int, int]:
    """Batches run meanwhile; those beyond the last bound are put to it."""
    finite = [bound for bound in after if bound != float("inf")]
    ran: Counter[int] = Counter()
    for bound, count in after.items():
        rows = int(max(finite) if bound == float("inf") else bound)
        ran[rows] += count - before.get(bound, 0)
    return {rows: count for rows, count in sorted(ran.items()) if count}
