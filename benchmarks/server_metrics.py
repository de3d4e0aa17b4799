"""What a server says of itself: the sizes of the batches it ran, from its Prometheus metrics."""

from __future__ import annotations

import contextlib
import http.client
import re
from collections import Counter
from collections.abc import Mapping

from benchmarks.subject import Served

__all__ = ["batches_between", "fetch_batches", "parse_batches"]

_BUCKET = re.compile(r"^penstock_batch_rows_bucket\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def fetch_batches(server: Served, model: str) -> Counter[float]:
    """Batches so far by upper bound of their rows; empty where the server does not tell.

    ``model`` empty: of all models.
    """
    if not server.admin_port:
        return Counter()
    connection = http.client.HTTPConnection(server.admin_host, server.admin_port, timeout=10.0)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/metrics")
        return parse_batches(connection.getresponse().read().decode(), model)
    return Counter()


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
