"""The closed loop keeps every connection busy."""

import asyncio
import time

import pytest

from benchmarks.loadgen.closed_loop import ClosedGenerator
from benchmarks.loadgen.spec import ClosedLoop, LoadSpec, Target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


async def connected(port, payload, connections=2, **load):
    closed = ClosedLoop(**load)
    spec = LoadSpec(target=Target(port=port), payloads=(payload,), load=closed, grace_s=0.01)
    generator = ClosedGenerator(spec, closed)
    await generator.connect(connections)
    return generator


async def test_closed_loop_counts_what_was_answered_after_warming_up(answering, payload):
    async with answering(OK) as port:
        generator = await connected(port, payload, duration_s=0.1, warmup_s=0.05)
        part = await generator.run(time.perf_counter())

    warmup, closed = part.phases[:2]
    assert (warmup.name, warmup.measured) == ("warmup", False)
    assert (closed.name, closed.measured) == ("closed", True)
    assert closed.duration_s == pytest.approx(0.1)
    assert closed.ok == closed.offered > 2
    assert closed.latency_ms.p50 > 0


async def test_closed_loop_counts_refusals_and_goes_on(answering, payload):
    async with answering(OK, REFUSED) as port:
        generator = await connected(port, payload, duration_s=0.1)
        (closed, *_) = (await generator.run(time.perf_counter())).phases

    assert abs(closed.ok - closed.refused) <= 2
    assert closed.refused > 2
    assert closed.refusals_without_hint == closed.refused


async def test_closed_loop_replaces_connections_that_are_lost(answering, payload):
    async with answering(OK, b"") as port:
        generator = await connected(port, payload, duration_s=0.2)
        (closed, *_) = (await generator.run(time.perf_counter())).phases

    assert closed.statuses["lost"] > 2
    assert closed.ok > 2


async def test_closed_loop_charges_a_server_that_never_answers(answering, payload):
    async with answering(None) as port:
        generator = await connected(port, payload, duration_s=0.05)
        (closed, *_) = (await generator.run(time.perf_counter())).phases

    assert (closed.ok, closed.failed, closed.statuses) == (0, 2, {"lost": 2})


async def test_closed_loop_that_is_stopped_reports_the_time_it_had(answering, payload):
    async with answering(OK) as port:
        generator = await connected(port, payload, duration_s=60.0)
        asyncio.get_running_loop().call_later(0.05, generator.stop)
        part = await generator.run(time.perf_counter())

    assert part.interrupted
    assert 0 < part.phases[0].duration_s < 60.0
