"""Content codings: negotiation, damage, caps, and both directions through a connection."""

import contextlib
import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import Code, InvalidRequest, PenstockError, TooLarge
from serve.transport.http.compression import (
    body_coding,
    deflate,
    inflate,
    response_coding,
)
from tests.support.http import chunked, get, infer_body, post, settle

BODY = infer_body([1.0, 2.0])
LONG = infer_body([0.5] * 1000)
HUGE = infer_body([0.5] * 40_000)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"", b""),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"deflate, gzip", b"gzip"),
        (b"gzip;q=0.5, deflate;q=0.8", b"deflate"),
        (b"gzip ; q=0", b""),
        (b"gzip;q=0, *", b"deflate"),
        (b"*", b"gzip"),
        (b"*;q=0", b""),
        (b"identity", b""),
        (b"identity;q=1, gzip;q=0.5", b""),
        (b"identity;q=0.5, gzip", b"gzip"),
        (b"br", b""),
        (b"gzip;q=nonsense", b""),
        (b"gzip;q=nan", b""),
        (b"gzip;q=7", b""),
        (b";;,,q=", b""),
    ],
)
def test_response_coding_follows_the_weights(accept, coding):
    assert response_coding(accept) == coding


@given(st.binary(max_size=50))
def test_response_coding_never_raises(accept):
    assert response_coding(accept) in (b"", b"gzip", b"deflate")


def test_body_coding_knows_its_names():
    assert [body_coding(name) for name in (b"", b"Identity", b" GZIP ", b"x-gzip", b"deflate")] == [
        b"",
        b"",
        b"gzip",
        b"gzip",
        b"deflate",
    ]


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_deflate_joins_the_parts(coding):
    plain = inflate(deflate([b"ab", memoryview(b"cd"), b""], coding), coding, 4)
    assert plain == b"abcd"


def test_inflate_takes_deflate_without_its_header():
    assert inflate(raw_deflate(BODY), b"deflate", 1000) == BODY


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_inflate_stops_at_the_cap(coding):
    bomb = deflate([bytes(10_000_000)], coding)
    assert len(inflate(bomb, coding, 10_000_000)) == 10_000_000
    with pytest.raises(TooLarge, match="--max-body-bytes"):
        inflate(bomb, coding, 9_999_999)


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"plain text", gzip.compress(BODY)[:-1], gzip.compress(BODY) + b"x"],
    ids=["empty", "short", "plain", "cut", "followed"],
)
def test_inflate_refuses_what_is_damaged(body):
    with pytest.raises(InvalidRequest):
        inflate(body, b"gzip", 10_000)


@given(st.binary(max_size=100), st.sampled_from([b"gzip", b"deflate"]))
def test_inflate_raises_nothing_but_its_errors(body, coding):
    with contextlib.suppress(PenstockError):
        assert len(inflate(body, coding, 1000)) <= 1000


@pytest.mark.parametrize("body", [BODY, LONG, HUGE], ids=["small", "long", "huge"])
@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
async def test_compressed_body_is_taken(wire, body, coding, compress):
    wire.send(post(compress(body), Content_Encoding=coding))
    await settle()
    assert wire.reply.status == 200


async def test_compressed_body_may_be_chunked(wire):
    request = chunked(gzip.compress(BODY), 10)
    wire.send(request.replace(b"Host: x", b"Host: x\r\nContent-Encoding: gzip"))
    assert wire.reply.status == 200


async def test_compressed_body_may_be_large(wire):
    body = infer_body(np.random.default_rng(0).random(100_000).tolist())
    wire.send(post(gzip.compress(body), Content_Encoding="gzip"))
    await settle()
    assert wire.reply.status == 200


async def test_unknown_coding_is_not_implemented(wire):
    wire.send(post(BODY, Content_Encoding="br") + get("/v2"))
    assert [reply.status for reply in wire.replies] == [501, 200]
    assert wire.replies[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("cap", [10_000, 1_000_000])
async def test_bomb_costs_at_most_the_cap(connect, cap):
    wire = connect(max_body_bytes=cap)
    bomb = gzip.compress(bytes(cap + 1))
    wire.send(post(bomb, Content_Encoding="gzip") + get("/v2"))
    await settle()
    assert [reply.status for reply in wire.replies] == [413, 200]
    assert wire.plane.errors == [("http", Code.TOO_LARGE, "")]
    assert wire.context.inflight_bytes == 0


async def test_decompressed_bytes_count_as_in_flight(connect, held):
    wire = connect(held, max_inflight_bytes=10_000)
    wire.send(post(gzip.compress(LONG), Content_Encoding="gzip"))
    assert wire.context.inflight_bytes == len(LONG)
    wire.send(post(gzip.compress(infer_body([0.5] * 2000)), Content_Encoding="gzip"))
    held.answer(0)
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 503]
    assert wire.context.inflight_bytes == 0


@pytest.mark.parametrize("body", [LONG, HUGE], ids=["long", "huge"])
@pytest.mark.parametrize(
    ("coding", "expand"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
async def test_answer_is_compressed_when_accepted(wire, body, coding, expand):
    wire.send(post(body, Accept_Encoding=coding))
    await settle()
    reply = wire.reply
    assert reply.headers["content-encoding"] == coding
    assert reply.headers["vary"] == "Accept-Encoding"
    assert len(reply.body) < len(body) / 5
    assert b'"data":[0.5,0.5' in expand(reply.body)


async def test_small_answer_is_not_worth_compressing(wire):
    wire.send(post(BODY, Accept_Encoding="gzip"))
    assert "content-encoding" not in wire.reply.headers


async def test_order_is_kept_when_an_answer_is_compressed_elsewhere(wire):
    wire.send(post(HUGE, Accept_Encoding="gzip") + get("/v2"))
    await settle()
    assert [reply.headers.get("content-encoding") for reply in wire.replies] == ["gzip", None]


async def test_hang_up_while_a_worker_compresses_keeps_nothing(connect):
    wire = connect()
    wire.send(post(HUGE, Accept_Encoding="gzip"))
    wire.hang_up()
    await settle()
    assert not wire.transport.written
    assert wire.context.inflight_bytes == 0
