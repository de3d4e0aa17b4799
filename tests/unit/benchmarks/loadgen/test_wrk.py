"""What wrk is told, and what it prints."""

from pathlib import Path

import msgspec
import pytest

from benchmarks.loadgen import wrk
from benchmarks.loadgen.spec import ClosedLoop, Latency, LoadSpec, OpenLoop, Target

REPORT = """Running 2s test @ http://127.0.0.1:8000/v2/models/small/infer
  62904 requests in 2.00s, 13.02MB read
Requests/sec:  31444.09
penstock requests=62904 duration_us=2000000 connect=1 read=2 write=0 status=40 timeout=3 \
p50=1980 p90=2280 p99=9125 p999=12000 max=12700
"""


@pytest.fixture
def spec(payload):
    load = ClosedLoop(duration_s=1.0, tool="auto")
    return LoadSpec(target=Target(port=1), payloads=(payload,), load=load)


def test_parse_reads_counts_and_percentiles():
    phase = wrk.parse(REPORT)

    assert (phase.offered, phase.ok, phase.failed) == (62910, 62864, 46)
    assert phase.statuses == {"2xx": 62864, "other": 40, "lost": 6}
    assert phase.latency_ms == Latency(1.98, 2.28, 9.125, 12.0, 12.7)
    assert phase.ok_per_s == 31432.0


def test_parse_refuses_what_is_not_a_report():
    with pytest.raises(wrk.WrkError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_script_names_method_headers_and_body(payload):
    lua = wrk.script(payload, Path("body.bin"))

    assert 'wrk.method = "POST"' in lua
    assert 'wrk.headers["Content-Type"] = "text/plain"' in lua
    assert 'io.open("body.bin", "rb")' in lua


def test_takes_only_what_it_can_drive(spec, monkeypatch):
    monkeypatch.setattr(wrk, "available", lambda: True)
    two = msgspec.structs.replace(spec, payloads=spec.payloads * 2)
    grpc = msgspec.structs.replace(spec, target=Target(port=1, protocol="grpc"))
    still = msgspec.structs.replace(spec, load=OpenLoop(phases=()))
    own = msgspec.structs.replace(spec, load=ClosedLoop(duration_s=1.0))

    assert [wrk.takes(one) for one in (spec, two, grpc, still, own)] == [True, *[False] * 4]


def test_takes_says_so_when_wrk_is_asked_for_and_missing(spec, monkeypatch):
    monkeypatch.setattr(wrk, "available", lambda: False)
    asked = msgspec.structs.replace(spec, load=ClosedLoop(duration_s=1.0, tool="wrk"))

    with pytest.raises(wrk.WrkError, match="not installed"):
        wrk.takes(asked)
    assert not wrk.takes(spec)
