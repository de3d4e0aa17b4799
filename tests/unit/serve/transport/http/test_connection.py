"""Order, framing, back-pressure and the end of connections, with raw bytes in memory."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.errors import Code, InternalError
from serve.transport.http import connection as connection_module
from tests.support.http import (
    FakePlane,
    Wire,
    binary_body,
    chunked,
    get,
    infer_body,
    parse_replies,
    post,
    settle,
)

BODY = infer_body([1.0, 2.0])


async def test_request_is_answered(wire):
    wire.send(post(BODY))
    assert wire.reply.status == 200
    assert wire.reply.json["outputs"][0]["data"] == [1.0, 2.0]
    assert not wire.transport.closed


async def test_received_time_is_that_of_the_first_byte(wire):
    request = post(BODY)
    began_ns = wire.clock()
    wire.send(request[:20])
    wire.clock.advance_ms(5)
    wire.send(request[20:])
    assert wire.plane.requests[0].received_ns == began_ns
    assert wire.plane.requests[0].protocol == "http"


@pytest.mark.parametrize("request_", [post(BODY), chunked(BODY, 7)], ids=["length", "chunked"])
async def test_request_is_answered_when_split_anywhere(plane, request_):
    for at in range(1, len(request_)):
        wire = Wire(plane)
        wire.send(request_[:at])
        wire.send(request_[at:])
        assert wire.reply.json["outputs"][0]["data"] == [1.0, 2.0]
        wire.hang_up()
        assert wire.context.inflight_bytes == 0


async def test_request_is_answered_when_it_comes_byte_by_byte(wire):
    for byte in chunked(BODY, 5) + post(BODY):
        wire.send(bytes([byte]))
    assert [reply.status for reply in wire.replies] == [200, 200]


async def test_pipelined_answers_keep_the_order_when_the_last_is_ready_first(connect, held):
    wire = connect(held)
    wire.send(b"".join(post(infer_body([float(i)])) for i in range(4)) + get("/v2"))
    assert not wire.transport.written
    for index in (3, 1, 0, 2):
        held.answer(index)
        await settle()
    *inferred, metadata = wire.replies
    assert [reply.json["outputs"][0]["data"] for reply in inferred] == [[0.0], [1.0], [2.0], [3.0]]
    assert metadata.json["name"] == "penstock"


async def test_answer_does_not_wait_for_a_slow_one_behind_it(connect, held):
    wire = connect(held)
    wire.send(post(BODY) * 2)
    held.answer(0)
    await settle()
    assert len(wire.replies) == 1


async def test_pipelining_beyond_the_limit_waits_and_stops_reading(connect, held):
    limit = connection_module.MAX_PENDING
    wire = connect(held)
    wire.send(post(BODY) * (limit + 3))
    assert len(held.requests) == limit
    assert wire.transport.paused
    for index in range(limit):
        held.answer(index)
    await settle()
    assert len(held.requests) == limit + 3
    assert not wire.transport.paused
    for index in range(limit, limit + 3):
        held.answer(index)
    await settle()
    assert len(wire.replies) == limit + 3
    assert wire.context.inflight_bytes == 0


async def test_requests_wait_while_the_client_does_not_read(wire):
    wire.connection.pause_writing()
    assert wire.transport.paused
    wire.send(post(BODY) * 2)
    assert not wire.plane.requests
    wire.connection.resume_writing()
    assert len(wire.replies) == 2
    assert not wire.transport.paused


async def test_head_has_the_headers_of_get_and_no_body(wire):
    wire.send(get("/v2"))
    length = wire.reply.headers["content-length"]
    wire.transport.written.clear()
    wire.send(get("/v2", "HEAD"))
    (reply,) = parse_replies(bytes(wire.transport.written), bodiless=True)
    assert (reply.status, reply.headers["content-length"]) == (200, length)


async def test_connection_closes_after_the_answer_when_asked(wire):
    wire.send(post(BODY, Connection="close") + post(BODY))
    assert wire.reply.headers["connection"] == "close"
    assert wire.transport.closed
    assert len(wire.plane.requests) == 1


async def test_http_1_0_closes_unless_kept_alive(connect):
    closing, kept = connect(), connect()
    closing.send(get("/v2", version="1.0"))
    kept.send(get("/v2", version="1.0", Connection="keep-alive"))
    assert (closing.transport.closed, kept.transport.closed) == (True, False)
    assert kept.reply.headers["connection"] == "keep-alive"


async def test_continue_is_sent_once_earlier_answers_have_left(connect, held):
    wire = connect(held)
    wire.send(post(BODY) + post(b"", length=len(BODY), Expect="100-continue"))
    assert not wire.transport.written
    held.answer(0)
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 100]
    wire.send(BODY)
    held.answer(1)
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 100, 200]


async def test_continue_is_not_sent_when_the_body_came_along(wire):
    wire.send(post(BODY, Expect="100-continue"))
    assert wire.reply.status == 200


async def test_continue_is_refused_for_a_body_over_the_limit(connect):
    wire = connect(max_body_bytes=1000)
    wire.send(post(b"", length=1001, Expect="100-continue"))
    assert wire.reply.status == 413


async def test_unknown_expectation_is_refused(wire):
    wire.send(post(BODY, Expect="a-miracle"))
    assert wire.reply.status == 417


async def test_upgrade_is_declined_and_answered_in_http_1_1(wire):
    upgrade = {"Connection": "Upgrade", "Upgrade": "h2c"}
    wire.send(post(BODY, **upgrade) + get("/v2", **upgrade) + get("/v2"))
    assert [reply.status for reply in wire.replies] == [200, 200, 200]


@pytest.mark.parametrize("at", [60, 90, 130, -1])
async def test_upgrade_with_a_body_is_answered_when_the_body_comes_later(wire, at):
    request = post(BODY, Connection="Upgrade", Upgrade="h2c")
    wire.send(request[:at])
    wire.send(request[at:])
    wire.send(post(BODY))
    assert [reply.status for reply in wire.replies] == [200, 200]


LARGE = np.arange(300_000, dtype=np.float32)


@pytest.mark.parametrize("first", [1, 200, 150_000, 10**9], ids=str)
async def test_large_body_is_not_parsed_and_its_tensors_are_views_of_it(wire, first):
    body, json_bytes = binary_body(LARGE)
    request = post(body, Inference_Header_Content_Length=str(json_bytes)) + get("/v2")
    wire.send(request[:first])
    wire.send(request[first:])
    inferred, metadata = wire.replies
    assert (inferred.status, metadata.status) == (200, 200)
    start = int(inferred.headers["inference-header-content-length"])
    assert inferred.headers["content-type"] == "application/octet-stream"
    assert inferred.body[start:] == LARGE.tobytes()
    array = wire.plane.requests[0].inputs[0].array
    assert not array.flags.owndata
    assert wire.transport.protocol is wire.connection


async def test_large_body_counts_as_it_arrives_not_as_declared(connect):
    wire = connect()
    wire.send(post(b"abc", length=10_000_000))
    assert wire.context.inflight_bytes == 3
    wire.send(b"x" * 1000)
    assert wire.context.inflight_bytes == 1003
    wire.hang_up()
    assert wire.context.inflight_bytes == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v2/mod",
        b"POST /v2/models/echo/infer HTTP/1.1\r\nHos",
        post(b"{", length=500),
        post(b"{", length=500_000),
        chunked(BODY, 10)[:-9],
        post(BODY),
        post(BODY) * 3 + b"POST",
        post(BODY) * 100,
    ],
    ids=["line", "headers", "body", "large", "chunked", "answer", "pipelined", "waiting"],
)
@pytest.mark.parametrize("eof", [False, True])
async def test_hang_up_in_any_phase_withdraws_and_keeps_nothing(connect, held, sent, eof):
    wire = connect(held)
    wire.send(sent)
    if eof:
        wire.transport.protocol.eof_received()
    wire.hang_up()
    await settle()
    assert held.cancelled == list(range(len(held.sinks)))
    assert wire.context.inflight_bytes == 0
    assert not wire.context.connections
    assert not wire.transport.written


async def test_hang_up_leaves_an_answer_that_is_already_there_to_nobody(connect, held):
    wire = connect(held)
    wire.send(post(BODY))
    wire.hang_up()
    held.answer(0)
    held.sinks[0].failed(InternalError("too late as well"))
    await settle()
    assert not wire.transport.written


async def test_lost_connection_is_freed_without_the_collector(connect, held):
    wire = connect(held)
    wire.send(post(BODY) + post(b"", length=100))
    wire.hang_up()
    await settle()
    parser_owner = wire.connection._reader
    assert parser_owner._parser is None
    assert parser_owner._receiver is None


@pytest.mark.parametrize("request_", [post(BODY), post(BODY, Connection="close"), post(BODY) * 70])
async def test_answer_for_a_transport_that_has_failed_goes_nowhere(connect, held, caplog, request_):
    wire = connect(held)
    wire.send(request_)
    wire.transport.closed = True  # connection_lost comes in a later turn of the loop
    for index in range(len(held.sinks)):
        held.answer(index)
    await settle()
    wire.hang_up()
    assert not wire.transport.written
    assert not caplog.records
    assert wire.context.inflight_bytes == 0


async def test_neighbours_are_answered_when_one_client_hangs_up(held):
    first = Wire(held)
    second = Wire(held, context=first.context)
    first.send(post(BODY))
    second.send(post(BODY))
    first.hang_up()
    held.answer(1)
    await settle()
    assert second.reply.status == 200


async def test_connections_beyond_the_limit_are_refused(held):
    first = Wire(held, max_connections=1)
    second = Wire(held, context=first.context)
    assert second.reply.status == 503
    assert second.reply.headers["retry-after"] == "1"
    assert second.transport.eof_written
    first.send(get("/v2"))
    assert first.reply.status == 200
    assert held.errors == [("http", Code.UNAVAILABLE, "")]


async def test_refused_connections_are_bounded_too(held):
    first = Wire(held, max_connections=1)
    wires = [Wire(held, context=first.context) for _ in range(connection_module.MAX_REFUSED + 1)]
    assert wires[-1].transport.aborted
    assert len(first.context.connections) == 1 + connection_module.MAX_REFUSED


async def test_large_answer_waits_in_its_place(connect, held):
    wire = connect(held)
    body, json_bytes = binary_body(LARGE)
    wire.send(post(body, Inference_Header_Content_Length=str(json_bytes)) + post(BODY))
    held.answer(1)
    held.answer(0)
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 200]


async def test_unread_answers_stop_further_work_in_the_same_input(connect, plane, monkeypatch):
    wire = connect()
    monkeypatch.setattr(connection_module, "MAX_HELD_BYTES", 100)
    real_write = wire.transport.write

    def write(data):
        real_write(data)
        if not wire.transport.paused:
            wire.connection.pause_writing()

    monkeypatch.setattr(wire.transport, "write", write)
    wire.send(post(BODY) * 10)
    assert len(plane.requests) < 10
    for _ in range(10):
        wire.connection.resume_writing()
        await settle()
    assert len(wire.replies) == 10


@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [
                    post(BODY),
                    chunked(BODY, 9),
                    get("/v2"),
                    b"POST /v2/models/echo/infer HTTP/1.1\r\n",
                    b"Content-Length: 70000\r\n",
                    b"Content-Length: 5\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Connection: Upgrade\r\nUpgrade: x\r\n",
                    b"Content-Encoding: gzip\r\n",
                    b"Expect: 100-continue\r\n",
                    b"\r\n",
                    b"0\r\n\r\n",
                ]
            ),
        ),
        max_size=8,
    )
)
def test_any_bytes_end_in_an_answer_or_a_time_out(data):
    async def scenario():
        wire = Wire(FakePlane())
        for piece in data:
            wire.send(piece)
        for _ in range(4):
            wire.advance_s(80)
        assert wire.transport.closed or wire.transport.eof_written
        replies = [reply for reply in wire.replies if reply.status != 100]
        assert all(200 <= reply.status < 600 for reply in replies)
        assert not any(reply.status == 500 for reply in replies)
        wire.hang_up()
        assert wire.context.inflight_bytes == 0

    asyncio.run(scenario())
