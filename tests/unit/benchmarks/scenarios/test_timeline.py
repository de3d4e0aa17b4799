"""When a server is back to normal."""

import pytest

from benchmarks.measurement import Slice
from benchmarks.scenarios.timeline import back_to_slo_s


def timeline(*p99_ms, refused=()):
    """A slice every half second."""
    return [
        Slice(number / 2, 10, 10, int(number in refused), 0, 1.0, value, value)
        for number, value in enumerate(p99_ms)
    ]


@pytest.mark.parametrize(
    ("p99_ms", "seconds"),
    [
        ((500, 500, 1, 1, 1, 1, 1, 1), 0.0),
        ((1, 1, 500, 1, 1, 1, 1, 1), 0.5),
        ((1, 1, 1, 500, 1, 500, 1, 1), 2.0),
        ((1, 1, 500, 1, 1, 500, 1, 1), 0.5),
        ((1, 1, 500, 500, 500, 500, 500, 500), 3.0),
    ],
)
def test_back_to_slo_s_is_when_a_whole_second_is_good(p99_ms, seconds):
    assert back_to_slo_s(timeline(*p99_ms), 1.0, 4.0, slo_ms=100) == seconds


def test_back_to_slo_s_counts_refusals_as_bad():
    assert back_to_slo_s(timeline(1, 1, 1, 1, 1, refused={1}), 0.0, 2.5, slo_ms=100) == 1.0


def test_back_to_slo_s_takes_what_is_left_of_the_last_second():
    assert back_to_slo_s(timeline(1, 500, 500, 500, 1), 0.0, 2.5, slo_ms=100) == 2.0
