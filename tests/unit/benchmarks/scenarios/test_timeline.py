"""When a server is back to normal."""

import pytest

from benchmarks.measurement import Slice
from benchmarks.scenarios.timeline import back_to_slo_s


def timeline(*p99_ms, refused=()):
    """A slice a second."""
    return [
        Slice(float(number), 10, 10, int(number in refused), 0, 1.0, value, value)
        for number, value in enumerate(p99_ms)
    ]


@pytest.mark.parametrize(
    ("p99_ms", "seconds"),
    [
        ((1, 1, 1, 1, 1), 0.0),
        ((1, 500, 1, 1, 1), 1.0),
        ((1, 500, 1, 500, 1), 3.0),
        ((1, 1, 1, 1, 500), 4.0),
        ((500, 1, 1, 1, 1), 0.0),
    ],
)
def test_back_to_slo_s_is_when_it_stays_good(p99_ms, seconds):
    assert back_to_slo_s(timeline(*p99_ms), 1.0, 5.0, slo_ms=100) == seconds


def test_back_to_slo_s_counts_refusals_as_bad():
    assert back_to_slo_s(timeline(1, 1, 1, 1, refused={2}), 1.0, 4.0, slo_ms=100) == 2.0
