"""What a timeline tells of a server that was pushed: how soon it is back to normal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measurement import Slice

__all__ = ["back_to_slo_s"]


def back_to_slo_s(timeline: Sequence[Slice], from_s: float, until_s: float, slo_ms: float) -> float:
    """Seconds from ``from_s`` until every answer is good again, and stays so up to ``until_s``.

    By intended send time. 0: it never was otherwise; ``until_s`` − ``from_s``: it did not come
    back.
    """
    inside = [one for one in timeline if from_s <= one.start_s < until_s]
    bad = [index for index, one in enumerate(inside) if not _is_good(one, slo_ms)]
    if not bad:
        return 0.0
    if bad[-1] + 1 == len(inside):
        return until_s - from_s
    return inside[bad[-1] + 1].start_s - from_s


def _is_good(one: Slice, slo_ms: float) -> bool:
    return one.failed == one.refused == 0 and one.p99_ms <= slo_ms
