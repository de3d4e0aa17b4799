"""What a timeline tells of a server that was pushed: how soon it is back to normal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measurement import Slice

__all__ = ["back_to_slo_s"]

STEADY_S = 1.0


def back_to_slo_s(timeline: Sequence[Slice], from_s: float, until_s: float, slo_ms: float) -> float:
    """Seconds from ``from_s`` to the beginning of the first whole second in which all is well.

    Well: no request that was due in it is refused, failed or, but for one in a hundred, slower than
    the SLO. Slices may be of any width; those before ``until_s`` count, which is also the end of
    the last second. ``until_s`` − ``from_s``: it did not come back. What happens after that second
    is not this figure's: it is in the percentiles and the error rate.
    """
    inside = [one for one in timeline if from_s - 1e-9 <= one.start_s < until_s - 1e-9]
    for one in inside:
        end_s = min(one.start_s + STEADY_S, until_s) - 1e-9
        second = [other for other in inside if one.start_s <= other.start_s < end_s]
        if all(_is_good(other, slo_ms) for other in second):
            return one.start_s - from_s
    return until_s - from_s


def _is_good(one: Slice, slo_ms: float) -> bool:
    return one.failed == one.refused == 0 and one.p99_ms <= slo_ms
