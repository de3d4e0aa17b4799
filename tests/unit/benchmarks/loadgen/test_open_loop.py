"""The open loop sends what is due, whatever becomes of it."""

import asyncio
import time

import pytest

from benchmarks.loadgen.open_loop import OpenGenerator
from benchmarks.loadgen.spec import Bounds, LoadSpec, OpenLoop, Phase, Target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
UNHINTED = REFUSED.replace(b"Retry-After: 1\r\n", b"")
LEAVING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
PHASES = (Phase("warmup", 200.0, 0.1, measured=False), Phase("steady", 200.0, 0.2))


async def connected(port, payloads, phases, connections=4):
    load = OpenLoop(phases=phases, arrivals="constant")
    target = Target(port=port)
    spec = LoadSpec(
        target=target, payloads=payloads, load=load, connections=connections, slo_ms=60_000.0
    )
    generator = OpenGenerator(spec, load)
    await generator.connect(connections)
    return generator


async def run(port, payloads, phases=PHASES, connections=4):
    generator = await connected(port, payloads, phases, connections)
    return await generator.run(time.perf_counter())


async def test_open_loop_sends_everything_that_is_due(answering, payload):
    async with answering(OK) as port:
        part = await run(port, (payload,))

    warmup, steady = part.phases
    assert (warmup.statuses, steady.statuses) == ({"200": 20}, {"200": 40})
    assert (steady.ok, steady.good, steady.failed) == (40, 40, 0)
    assert (warmup.measured, part.scheduled, part.dealt_with > 0) == (False, 40, True)


async def test_open_loop_sends_payloads_in_turn(answering, payload):
    seen = []
    other = type(payload)("q", "/other", (), b"", 1)
    async with answering(OK, seen=seen) as port:
        await run(port, (payload, other))

    assert len([request for request in seen if b"/other" in request]) == len(seen) / 2


async def test_open_loop_counts_refusals_and_their_hints(answering, payload):
    async with answering(OK, REFUSED, OK, UNHINTED) as port:
        part = await run(port, (payload,), PHASES[1:])

    (steady,) = part.phases
    assert steady.statuses == {"200": 20, "503": 20}
    assert (steady.refused, steady.refusals_without_hint, steady.failed) == (20, 10, 0)


@pytest.mark.parametrize(
    ("last", "statuses"),
    [
        (b"", {"lost": 10, "200": 30}),
        (LEAVING, {"200": 40}),
        (b"not HTTP", {"lost": 10, "200": 30}),
    ],
    ids=["hangs up", "says close", "talks nonsense"],
)
async def test_open_loop_opens_connections_anew(answering, payload, last, statuses):
    async with answering(OK, OK, OK, last) as port:
        part = await run(port, (payload,), PHASES[1:])

    assert part.phases[0].statuses == statuses


async def test_open_loop_counts_arrivals_that_waited_for_a_connection(answering, payload):
    burst = (Phase("burst", 100_000.0, 0.001),)
    async with answering(OK) as port:
        part = await run(port, (payload,), burst, connections=1)

    assert part.phases[0].ok == 100
    assert part.waited > 0


async def test_open_loop_that_is_stopped_reports_what_it_sent(answering, payload):
    async with answering(OK) as port:
        generator = await connected(port, (payload,), (*PHASES, Phase("never", 200.0, 60.0)))
        asyncio.get_running_loop().call_later(0.05, generator.stop)
        part = await generator.run(time.perf_counter())

    assert part.interrupted
    assert [phase.name for phase in part.phases] == ["warmup"]
    assert 0 < part.phases[0].offered < 20


async def test_open_loop_gives_up_a_load_that_cannot_be_kept(answering, payload):
    load = OpenLoop(
        phases=(Phase("steady", 1000.0, 60.0),),
        arrivals="constant",
        give_up=Bounds(slow_share=1.0, bad_share=0.0005),
    )
    async with answering(REFUSED) as port:
        target = Target(port=port)
        spec = LoadSpec(target=target, payloads=(payload,), load=load, slo_ms=60_000.0)
        generator = OpenGenerator(spec, load)
        await generator.connect(4)
        part = await generator.run(time.perf_counter())

    assert (part.given_up, part.interrupted) == (True, False)
    assert 31 < part.scheduled == part.phases[0].refused < 1000


def answer(value):
    """The body of an answer, and the answer."""
    output = b'{"name":"y","datatype":"FP32","shape":[1],"data":[%d]}' % value
    body = b'{"outputs":[%b]}' % output
    return body, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_open_loop_looks_at_answers_if_it_knows_the_right_ones(answering, payload):
    (right, good), (_, bad) = answer(1), answer(2)
    async with answering(good, bad, good, REFUSED) as port:
        load = OpenLoop(phases=PHASES[1:], arrivals="constant")
        spec = LoadSpec(
            target=Target(port=port), payloads=(payload,), load=load, expected=((right,),)
        )
        generator = OpenGenerator(spec, load)
        await generator.connect(2)
        part = await generator.run(time.perf_counter())

    (steady,) = part.phases
    assert steady.statuses == {"wrong": 10, "200": 20, "503": 10}
    assert (steady.ok, steady.failed, steady.refused, steady.wrong) == (20, 10, 10, 10)


async def test_open_loop_tells_expected_answers_apart(answering, payload):
    (old, first), (new, second), (_, bad) = answer(1), answer(2), answer(3)
    async with answering(first, second, first, bad) as port:
        load = OpenLoop(phases=PHASES[1:], arrivals="constant")
        spec = LoadSpec(
            target=Target(port=port),
            payloads=(payload,),
            load=load,
            expected=((old, new),),
            tell_apart=True,
        )
        generator = OpenGenerator(spec, load)
        await generator.connect(2)
        part = await generator.run(time.perf_counter())

    (steady,) = part.phases
    assert (steady.answers(0), steady.answers(1), steady.wrong) == (20, 10, 10)
    assert (steady.ok, steady.failed) == (30, 10)
