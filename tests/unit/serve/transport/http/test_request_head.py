"""Heads that are known by heart: what is learnt, and that it never changes an answer."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.transport.http import request_head
from serve.transport.http.request_head import Head, HeadMemory
from tests.support.http import FakePlane, Wire, chunked, get, infer_body, post

BODY = infer_body([1.0, 2.0])
OTHER = infer_body([3.0, 4.0])
HEAD_ALONE = post(BODY)[: -len(BODY)]


def head(**headers: str) -> Head:
    named = {name.encode(): value.encode() for name, value in headers.items()}
    return Head(b"POST", b"/v2", named, keep_alive=True, shaped=False)


async def test_second_request_of_a_client_is_not_parsed(wire):
    wire.send(post(BODY))
    wire.connection._reader._parser = None  # it would fail, were it used
    wire.send(post(OTHER))
    assert [reply.json["outputs"][0]["data"] for reply in wire.replies] == [[1, 2], [3, 4]]


async def test_head_that_comes_without_its_body_is_not_parsed_either(wire):
    wire.send(HEAD_ALONE)
    wire.send(BODY)
    wire.connection._reader._parser = None  # it would fail, were it used
    wire.send(HEAD_ALONE)
    assert len(wire.replies) == 1
    wire.send(OTHER)
    wire.send(post(BODY))
    data = [reply.json["outputs"][0]["data"] for reply in wire.replies]
    assert data == [[1, 2], [3, 4], [1, 2]]


async def test_body_in_pieces_behind_a_known_head_is_parsed(wire):
    wire.send(post(BODY))
    for piece in (HEAD_ALONE, OTHER[:10], OTHER[10:], post(BODY)):
        wire.send(piece)
    data = [reply.json["outputs"][0]["data"] for reply in wire.replies]
    assert data == [[1, 2], [3, 4], [1, 2]]


async def test_body_that_does_not_come_behind_a_known_head_times_out(wire):
    wire.send(post(BODY))
    wire.send(HEAD_ALONE)
    wire.connection.sweep(wire.context.clock() + wire.context.body_timeout_ns + 1)
    assert [reply.status for reply in wire.replies] == [200, 408]


async def test_connections_share_what_is_known(connect, plane, wire):
    wire.send(get("/v2"))
    assert wire.context.heads.get(get("/v2"))


@pytest.mark.parametrize(
    "request_",
    [
        post(BODY, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"),
        post(BODY, X_Request_Id="7"),
        post(BODY, Expect="100-continue"),
        post(BODY, Connection="close"),
        post(BODY, X_Padding="x" * 3000),
        post(BODY) + b"\r\n",
        post(BODY) + post(BODY),
        b"\r\n" + chunked(BODY, 9),
    ],
    ids=["trace", "id", "expect", "close", "long", "empty line", "two", "chunked"],
)
async def test_head_that_would_not_come_again_is_not_learnt(wire, request_):
    wire.send(request_)
    assert not wire.context.heads._heads


async def test_request_behind_part_of_another_is_parsed(connect, wire):
    wire.send(get("/v2"))
    wire.send(b"PO")
    wire.send(get("/v2"))
    assert [reply.status for reply in wire.replies] == [200, 400]


@pytest.mark.parametrize("piece", [post(BODY) + b"PO", post(BODY) + b"\r", chunked(BODY, 9)])
async def test_request_behind_what_the_parser_may_hold_is_parsed(wire, piece):
    wire.send(post(BODY))
    wire.send(piece)
    assert wire.connection._reader.recall(post(BODY)) is None


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(request_head, "MAX_HEADS", 2)
    memory = HeadMemory()
    for number in range(5):
        memory.learn(b"GET /%d HTTP/1.1\r\n\r\n" % number, head(), 0)
    assert len(memory._heads) == 1


PIECES = [
    post(BODY),
    post(OTHER),
    post(BODY)[:40],
    post(BODY)[40:],
    HEAD_ALONE,
    BODY,
    OTHER,
    BODY[:9],
    BODY[9:],
    post(b"", length=5),
    b"hello",
    get("/v2"),
    get("/v2/nothing"),
    chunked(BODY, 9),
    post(BODY, Connection="close"),
    post(BODY, Accept_Encoding="gzip"),
    b"\r\n",
    b"\r",
    b"\n",
    b"POST",
    BODY + b"PO",
    b"ST",
    post(OTHER) + post(BODY),
    post(BODY) + b"\r\n",
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=8))
def test_memory_changes_no_answer(pieces):
    async def written(*, remembers: bool) -> bytes:
        wire = Wire(FakePlane())
        for request in (get("/v2"), post(BODY)):
            other = Wire(wire.plane, context=wire.context)
            other.send(request)
            other.hang_up()
        if not remembers:
            wire.context.heads.get = lambda raw: None
        for piece in pieces:
            wire.send(piece)
        wire.hang_up()
        assert wire.context.inflight_bytes == 0
        return bytes(wire.transport.written)

    async def both() -> None:
        assert await written(remembers=True) == await written(remembers=False)

    asyncio.run(both())
