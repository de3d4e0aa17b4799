"""LoadGen's summary, as LoadGen 6 writes it."""

import pytest

from benchmarks.mlperf.log_summary import parse

LATENCIES = """
50.00 percentile latency (ns)   : 1121678
90.00 percentile latency (ns)   : 5391290
99.00 percentile latency (ns)   : 10776070
"""
SERVER = "Completed samples per second    : 500.08\nResult is : VALID\n" + LATENCIES
SINGLE = "90.0th percentile latency (ns) : 359477\nResult is : VALID\n"
SINGLE += "QPS w/ loadgen overhead         : 1655.29\nQPS w/o loadgen overhead        : 2094.57\n"
OFFLINE = """Samples per second: 9570.72
Result is : INVALID
  Min duration satisfied : NO
Recommendations:
 * Increase expected QPS so the loadgen pre-generates a larger (coalesced) query.

Additional Stats
 * not a recommendation
"""


def test_parse_reads_verdict_rate_and_percentiles():
    seen = parse(SERVER, "Server", failed=0)

    assert (seen.valid, seen.per_s, seen.reasons) == (True, 500.08, ())
    assert (seen.p50_ms, seen.p90_ms, seen.p99_ms) == (1.122, 5.391, 10.776)


@pytest.mark.parametrize(
    ("text", "scenario", "per_s"),
    [(SINGLE, "SingleStream", 2094.57), (OFFLINE, "Offline", 9570.72)],
)
def test_parse_finds_the_rate_of_every_scenario(text, scenario, per_s):
    assert parse(text + LATENCIES, scenario, failed=0).per_s == per_s


def test_parse_gives_loadgens_reason_for_an_invalid_run():
    seen = parse(OFFLINE + LATENCIES, "Offline", failed=0)

    assert not seen.valid
    assert [reason.split()[0] for reason in seen.reasons] == ["Increase"]


def test_parse_calls_no_run_valid_whose_answers_failed():
    seen = parse(SERVER, "Server", failed=2)

    assert not seen.valid
    assert "2 requests had no good answer" in seen.reasons


def test_parse_refuses_something_else():
    with pytest.raises(ValueError, match="Result is"):
        parse("Segmentation fault", "Server", failed=0)
