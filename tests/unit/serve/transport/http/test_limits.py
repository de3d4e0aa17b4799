"""What breaks HTTP or a limit: status, close, and nothing kept."""

import pytest

from serve.errors import Code, InternalError, NotReady, Overloaded
from serve.protocol.status import TRITON
from tests.support.http import chunked, get, infer_body, post, settle

BODY = infer_body([1.0, 2.0])
HEAD = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\n"


def refused(wire, status, code):
    """The last answer is the error, and the connection takes nothing more."""
    assert wire.replies[-1].status == status
    assert wire.replies[-1].headers["connection"] == "close"
    assert set(wire.replies[-1].json) == {"error"}
    assert wire.transport.eof_written
    assert wire.context.inflight_bytes == 0
    assert wire.plane.errors[-1][:2] == ("http", code)
    wire.connection.data_received(get("/v2"))
    assert wire.replies[-1].status == status
    return wire.replies[-1].json["error"]


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00",
        b"GARBAGE\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"GET /v2\x00 HTTP/1.1\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nA: b\r\n continued\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: +5\r\n\r\nabcde",
        HEAD + b"Content-Length: 5_0\r\n\r\nabcde",
        HEAD + b"Content-Length: 0x5\r\n\r\nabcde",
        HEAD + b"Content-Length: 5, 5\r\n\r\nabcde",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n0\r\n\r\n",
    ],
)
async def test_malformed_http_is_refused(wire, request_):
    wire.send(request_)
    refused(wire, 400, Code.INVALID_ARGUMENT)
    assert not wire.plane.requests


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity", "chunked, chunked"])
async def test_other_transfer_codings_are_refused(wire, coding):
    wire.send(HEAD + f"Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".encode())
    assert wire.reply.status in (400, 501)
    assert wire.transport.eof_written


async def test_body_longer_than_declared_is_no_part_of_the_request(wire):
    wire.send(post(BODY + b"!" * 10, length=len(BODY)))
    refused(wire, 400, Code.INVALID_ARGUMENT)
    assert [reply.status for reply in wire.replies] == [200, 400]


async def test_refusal_waits_for_the_answers_before_it(connect, held):
    wire = connect(held)
    wire.send(post(BODY) + b"GARBAGE\r\n\r\n")
    assert not wire.transport.written
    held.answer(0)
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 400]


async def test_content_length_may_have_leading_zeros_and_spaces(wire):
    length = b"0" * 40 + b"%d" % len(BODY)
    wire.send(HEAD + b"Content-Length:  " + length + b"   \r\n\r\n" + BODY)
    assert wire.reply.status == 200


async def test_declared_body_over_the_limit_is_refused_unread(connect):
    wire = connect(max_body_bytes=1000)
    wire.send(post(b"", length=1001))
    assert "--max-body-bytes" in refused(wire, 413, Code.TOO_LARGE)


async def test_body_over_the_limit_has_tritons_status_when_compatible(connect):
    wire = connect(max_body_bytes=1000, status=TRITON)
    wire.send(post(b"", length=1001))
    refused(wire, 400, Code.TOO_LARGE)


async def test_chunked_body_over_the_limit_is_refused_as_it_comes(connect):
    wire = connect(max_body_bytes=1000)
    wire.send(chunked(b"x" * 1001, 100))
    refused(wire, 413, Code.TOO_LARGE)


async def test_body_of_exactly_the_limit_is_taken(connect):
    wire = connect(max_body_bytes=len(BODY))
    wire.send(post(BODY) + chunked(BODY, 10))
    assert [reply.status for reply in wire.replies] == [200, 200]


@pytest.mark.parametrize("size", [1, 50, 10_000])
async def test_headers_over_the_limit_are_refused(connect, size):
    wire = connect(max_header_bytes=1000)
    request = get("/v2", X_Long="y" * 1000)
    for at in range(0, len(request), size):
        wire.send(request[at : at + size])
    refused(wire, 431, Code.TOO_LARGE)


async def test_endless_header_is_refused_before_it_ends(connect):
    wire = connect(max_header_bytes=1000)
    wire.send(b"GET /v2 HTTP/1.1\r\nX: ")
    for _ in range(11):
        wire.send(b"y" * 100)
    refused(wire, 431, Code.TOO_LARGE)


async def test_many_headers_over_the_limit_are_refused(connect):
    wire = connect(max_header_bytes=1000)
    wire.send(b"GET /v2 HTTP/1.1\r\n" + b"A: b\r\n" * 600 + b"\r\n")
    refused(wire, 431, Code.TOO_LARGE)


async def test_long_target_is_refused(connect):
    wire = connect(max_header_bytes=1000)
    wire.send(get("/v2/" + "a" * 1000))
    refused(wire, 431, Code.TOO_LARGE)


async def test_endless_trailer_is_refused(connect):
    wire = connect(max_header_bytes=1000)
    wire.send(chunked(BODY, 10)[:-2] + b"X: ")
    for _ in range(11):
        wire.send(b"y" * 100)
    refused(wire, 431, Code.TOO_LARGE)


async def test_trailers_are_ignored(wire):
    wire.send(chunked(BODY, 10)[:-2] + b"Inference-Header-Content-Length: 3\r\n\r\n")
    assert wire.reply.status == 200


async def test_small_chunks_in_small_pieces_are_no_endless_framing(connect):
    wire = connect(max_header_bytes=256)
    request = chunked(infer_body([1.0] * 200), 1)
    for at in range(0, len(request), 3):
        wire.send(request[at : at + 3])
    assert wire.reply.status == 200


async def test_bytes_in_flight_over_the_limit_are_refused(connect, held):
    wire = connect(held, max_inflight_bytes=len(BODY) + 10)
    wire.send(post(BODY) * 2)
    held.answer(0)
    await settle()
    assert wire.replies[-1].headers["retry-after"] == "1"
    assert "--max-inflight-bytes" in refused(wire, 503, Code.UNAVAILABLE)


async def test_large_body_is_refused_at_once_when_it_cannot_fit(connect):
    wire = connect(max_inflight_bytes=100_000)
    wire.send(post(b"", length=100_001))
    refused(wire, 503, Code.UNAVAILABLE)


async def test_large_body_is_refused_midway_when_others_filled_the_room(connect):
    wire = connect(max_inflight_bytes=200_000)
    wire.send(post(b"", length=150_000))
    wire.send(b"x" * 1000)
    wire.context.inflight_bytes += 199_500
    wire.send(b"x" * 1000)
    wire.context.inflight_bytes -= 199_500
    refused(wire, 503, Code.UNAVAILABLE)
    assert wire.transport.protocol is wire.connection


async def test_slow_headers_time_out(connect):
    wire = connect(header_timeout_s=10)
    for byte in b"GET /v2/he":
        wire.send(bytes([byte]))
        wire.advance_s(1)
    assert not wire.transport.written
    wire.advance_s(1)
    assert "--header-timeout" in refused(wire, 408, Code.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("length", [1000, 1_000_000])
async def test_slow_body_times_out(connect, length):
    wire = connect(body_timeout_s=60)
    wire.send(post(b"", length=length))
    for _ in range(60):
        wire.send(b"x")
        wire.advance_s(1)
    assert not wire.transport.written
    wire.advance_s(1)
    refused(wire, 408, Code.DEADLINE_EXCEEDED)


async def test_idle_connection_is_closed_without_a_word(connect):
    wire = connect(idle_timeout_s=75)
    wire.send(get("/v2"))
    wire.advance_s(75)
    assert not wire.transport.closed
    wire.advance_s(1)
    assert wire.transport.closed
    assert len(wire.replies) == 1


async def test_empty_lines_do_not_keep_an_idle_connection(connect):
    wire = connect(idle_timeout_s=75)
    for _ in range(76):
        wire.send(b"\r\n")
        wire.advance_s(1)
    assert wire.transport.closed
    assert not wire.transport.written


async def test_waiting_for_an_answer_is_not_idle(connect, held):
    wire = connect(held, idle_timeout_s=75)
    wire.send(post(BODY))
    for _ in range(10):
        wire.advance_s(50)
    held.answer(0)
    await settle()
    assert wire.reply.status == 200
    wire.advance_s(74)
    assert not wire.transport.closed


async def test_client_that_does_not_read_is_cut_off(connect):
    wire = connect(write_timeout_s=60)
    wire.transport.unsent_bytes = 100_000
    wire.connection.pause_writing()
    wire.advance_s(50)
    wire.transport.unsent_bytes = 90_000  # it read a little
    wire.advance_s(20)
    wire.advance_s(60)
    assert not wire.transport.closed
    wire.advance_s(1)
    assert wire.transport.aborted


async def test_client_that_keeps_the_connection_after_a_refusal_is_cut_off(wire):
    wire.send(b"GARBAGE\r\n\r\n")
    wire.advance_s(2)
    assert not wire.transport.aborted
    wire.advance_s(1)
    assert wire.transport.aborted


async def test_close_that_does_not_finish_is_forced(connect):
    wire = connect(write_timeout_s=60)
    wire.send(get("/v2", Connection="close"))
    wire.advance_s(61)
    assert wire.transport.aborted


async def test_reading_that_we_paused_does_not_time_out(connect, held):
    wire = connect(held)
    wire.send(post(BODY) * 70 + b"POST /v2")
    wire.advance_s(1000)
    assert wire.transport.paused
    assert not wire.transport.written
    assert not wire.transport.closed


async def test_overload_says_when_to_try_again(wire):
    wire.plane.refusal = Overloaded("queue is full", reason="queue", retry_after_s=2.3)
    wire.send(post(BODY))
    assert (wire.reply.status, wire.reply.headers["retry-after"]) == (503, "3")
    assert wire.reply.json == {"error": "queue is full"}
    assert wire.plane.errors == [("http", Code.UNAVAILABLE, "echo")]
    assert not wire.transport.closed


async def test_bug_is_answered_as_internal_error_and_logged(wire, caplog):
    wire.plane.refusal = ZeroDivisionError("secret")
    wire.send(post(BODY) + get("/v2"))
    assert [reply.status for reply in wire.replies] == [500, 200]
    assert wire.replies[0].json == {"error": "internal error"}
    assert "ZeroDivisionError" in caplog.text


async def test_server_faults_are_logged_with_their_request(wire, caplog):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    wire.plane.refusal = InternalError("the model broke")
    wire.send(post(BODY, X_Request_Id="abc-1", Traceparent=trace))
    (record,) = caplog.records
    assert (record.levelname, record.request_id) == ("WARNING", "abc-1")
    assert (record.traceparent, record.model) == (trace, "echo")


async def test_unknown_model_is_no_metric_label(wire):
    wire.send(post(b"nonsense", "/v2/models/nobody/infer"))
    assert wire.reply.status == 400
    assert wire.plane.errors == [("http", Code.INVALID_ARGUMENT, "")]


async def test_request_that_fails_later_is_answered(connect, held):
    wire = connect(held)
    wire.send(post(BODY))
    held.sinks[0].failed(NotReady("being unloaded"))
    await settle()
    assert wire.reply.status == 503
