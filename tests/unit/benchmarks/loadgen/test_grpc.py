"""Both kinds of gRPC: the same counts as over HTTP."""

import time

import grpc
import pytest

from benchmarks.loadgen.open_loop import OpenGenerator
from benchmarks.loadgen.spec import LoadSpec, OpenLoop, Phase, Target
from benchmarks.payloads import Payload

ANSWER, ERROR = b"\x12\x00", b"\x0a\x01x"  # infer_response and error_message
PHASES = (Phase("only", 200.0, 0.1),)
PAYLOADS = tuple(Payload(name, "", (), name.encode(), 1) for name in ("good", "full", "bad"))


async def unary(request, context):
    if request == b"full":
        await context.abort(grpc.StatusCode.UNAVAILABLE, "no room")
    if request == b"bad":
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad")
    return b""


async def stream(requests, context):
    async for request in requests:
        if request == b"full":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no room")
        yield ERROR if request == b"bad" else ANSWER


async def connected(port, protocol, payloads, connections=4):
    load = OpenLoop(phases=PHASES, arrivals="constant")
    target = Target(port=port, protocol=protocol)
    spec = LoadSpec(
        target=target,
        payloads=payloads,
        load=load,
        connections=connections,
        channels=2,
        grace_s=1.0,
    )
    generator = OpenGenerator(spec, load)
    await generator.connect(connections)
    return generator


async def drive(port, protocol, payloads, connections=4):
    generator = await connected(port, protocol, payloads, connections)
    (only,) = (await generator.run(time.perf_counter())).phases
    return only


@pytest.mark.parametrize("protocol", ["grpc", "grpc_stream"])
async def test_grpc_answers_count_as_good(answering_grpc, protocol):
    async with answering_grpc(unary, stream) as port:
        only = await drive(port, protocol, PAYLOADS[:1])

    assert (only.statuses, only.ok) == ({"OK": 20}, 20)
    assert only.latency_ms.p50 > 0


async def test_grpc_unary_tells_refusals_from_errors(answering_grpc):
    async with answering_grpc(unary, stream) as port:
        only = await drive(port, "grpc", PAYLOADS)

    assert only.statuses == {"OK": 7, "UNAVAILABLE": 7, "INVALID_ARGUMENT": 6}
    assert (only.ok, only.refused, only.failed) == (7, 7, 6)


async def test_grpc_stream_goes_on_after_errors_and_ended_streams(answering_grpc):
    async with answering_grpc(unary, stream) as port:
        only = await drive(port, "grpc_stream", PAYLOADS)

    assert only.statuses == {"OK": 7, "UNAVAILABLE": 7, "UNKNOWN": 6}
    assert (only.ok, only.refused, only.failed) == (7, 7, 6)


@pytest.mark.parametrize("protocol", ["grpc", "grpc_stream"])
async def test_grpc_counts_a_server_that_is_gone_as_lost(answering_grpc, protocol):
    async with answering_grpc(unary, stream) as port:
        generator = await connected(port, protocol, PAYLOADS[:1])
    (only,) = (await generator.run(time.perf_counter())).phases

    assert (only.ok, only.refused, only.statuses) == (0, 0, {"lost": 20})


@pytest.mark.parametrize("protocol", ["grpc", "grpc_stream"])
async def test_grpc_opens_connections_as_a_server_allows_few_streams(answering_grpc, protocol):
    async with answering_grpc(unary, stream, max_concurrent_streams=1) as port:
        only = await drive(port, protocol, PAYLOADS[:1], connections=5)

    assert only.statuses == {"OK": 20}


@pytest.mark.parametrize("protocol", ["grpc", "grpc_stream"])
async def test_grpc_sends_and_receives_messages_larger_than_any_window(answering_grpc, protocol):
    seen = []

    async def unary_large(request, context):
        seen.append(len(request))
        return request

    async def stream_large(requests, context):
        async for request in requests:
            seen.append(len(request))
            yield ANSWER + request

    large = Payload("large", "", (), b"x" * 1_000_000, 1)
    async with answering_grpc(unary_large, stream_large, max_receive_message_length=-1) as port:
        only = await drive(port, protocol, (large,))

    assert (only.statuses, seen) == ({"OK": 20}, [1_000_000] * 20)


async def test_grpc_sends_metadata(answering_grpc):
    seen = []

    async def noting(request, context):
        seen.append(dict(context.invocation_metadata())["x-tenant"])
        return b""

    async with answering_grpc(noting, stream) as port:
        await drive(port, "grpc", (Payload("p", "", (("X-Tenant", "a"),), b"", 1),))

    assert seen == ["a"] * 20
