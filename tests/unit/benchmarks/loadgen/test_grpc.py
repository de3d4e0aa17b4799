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


async def drive(port, protocol, payloads):
    load = OpenLoop(phases=PHASES, arrivals="constant")
    target = Target(port=port, protocol=protocol)
    spec = LoadSpec(target=target, payloads=payloads, load=load, connections=4, channels=2)
    generator = OpenGenerator(spec, load)
    await generator.connect(4)
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
        load = OpenLoop(phases=PHASES, arrivals="constant")
        target = Target(port=port, protocol=protocol)
        spec = LoadSpec(target=target, payloads=PAYLOADS[:1], load=load, connections=2, grace_s=0.1)
        generator = OpenGenerator(spec, load)
        await generator.connect(2)
    (only,) = (await generator.run(time.perf_counter())).phases

    assert (only.ok, only.refused, only.failed) == (0, 0, 20)
    assert only.statuses["lost"] >= 18  # a call that was just beginning may end with another error
