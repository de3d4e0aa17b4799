"""What wrk prints, and the script it is given."""

from pathlib import Path

import pytest

from benchmarks.loadgen.wrk import parse, script
from benchmarks.payloads import Payload

HEALTHY = """Running 2s test @ http://127.0.0.1:8000/v2/models/small/infer
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.03ms  312.11us  12.70ms   88.52%
    Req/Sec    31.61k     1.21k   33.52k    70.00%
  Latency Distribution
     50%    1.98ms
     75%    2.10ms
     90%    2.28ms
     99%  912.50us
  62904 requests in 2.00s, 13.02MB read
Requests/sec:  31444.09
Transfer/sec:      6.51MB
"""
TROUBLED = """  Latency Distribution
     50%    1.20s
     99%    1.02m
  100 requests in 1.10m, 13.02MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 40
Requests/sec:  1.51
"""


def test_parse_reads_counts_and_percentiles_in_any_unit():
    result = parse(HEALTHY)

    assert (result.requests, result.failed, result.duration_s) == (62904, 0, 2.0)
    assert (result.p50_ms, result.p99_ms) == (1.98, 0.9125)
    assert result.ok_per_s == pytest.approx(31452.0)


def test_parse_counts_errors_and_lost_requests_as_failed():
    result = parse(TROUBLED)

    assert (result.requests, result.failed) == (106, 46)
    assert (result.p50_ms, result.p99_ms, result.duration_s) == (1200.0, 61200.0, 66.0)


def test_parse_refuses_what_is_not_a_report():
    with pytest.raises(ValueError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_script_names_method_headers_and_body():
    payload = Payload("p", "/x", (("Content-Type", "text/plain"),), b"\x00", 1)

    lua = script(payload, Path("body.bin"))

    assert 'wrk.method = "POST"' in lua
    assert 'wrk.headers["Content-Type"] = "text/plain"' in lua
    assert 'io.open("body.bin", "rb")' in lua
