"""A connection, told by bytes what the server does."""

import asyncio

import hpack
import pytest

from benchmarks.loadgen.http2 import REFILL_BYTES, Http2Connection, connect
from benchmarks.loadgen.http2_frames import (
    HEAD,
    PREFACE,
    Flag,
    Kind,
    Setting,
    frame,
    settings,
    window_update,
)
from benchmarks.process import free_port

TRAILERS = hpack.Encoder().encode([("grpc-status", "0")])
ACK = frame(Kind.SETTINGS, Flag.ACK, 0)


class FakeTransport:
    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return False

    def take(self):
        """The frames written since the last time: kind, flags, stream, payload."""
        data, self.written = self.written.removeprefix(PREFACE), b""
        frames = []
        while data:
            high, low, kind, flags, stream = HEAD.unpack_from(data)
            end = HEAD.size + (high << 16 | low)
            frames.append((kind, flags, stream, data[HEAD.size : end]))
            data = data[end:]
        return frames


class Sink:
    def __init__(self):
        self.told = []

    def received(self, data):
        self.told.append(data)

    def ended(self, status):
        self.told.append(status)

    def left(self):
        self.told.append("left")


@pytest.fixture
async def transport():
    return FakeTransport()


@pytest.fixture
async def connection(transport):
    """Ready, its greetings taken."""
    made = Http2Connection()
    made.connection_made(transport)
    made.data_received(settings({Setting.INITIAL_WINDOW: 100}) + ACK)
    await asyncio.sleep(0)
    transport.take()
    return made


@pytest.fixture
async def sink(connection):
    one = Sink()
    connection.sinks.add(one)
    return one


async def test_connection_is_ready_once_its_settings_are_in_force(transport):
    connection = Http2Connection()
    connection.connection_made(transport)
    connection.data_received(settings({}))
    assert not connection.ready.done()

    connection.data_received(ACK)

    assert connection.ready.done()


async def test_open_sends_headers_and_message_in_one_write(connection, transport, sink):
    connection.open(sink, b"block", b"message", end=True)
    connection.open(sink, b"block", b"message", end=True)
    await asyncio.sleep(0)

    assert transport.take() == [
        (Kind.HEADERS, Flag.END_HEADERS, 1, b"block"),
        (Kind.DATA, Flag.END_STREAM, 1, b"message"),
        (Kind.HEADERS, Flag.END_HEADERS, 3, b"block"),
        (Kind.DATA, Flag.END_STREAM, 3, b"message"),
    ]


async def test_send_waits_for_room_on_the_stream(connection, transport, sink):
    connection.open(sink, b"", b"x" * 150, end=True)
    await asyncio.sleep(0)
    assert [len(payload) for *_, payload in transport.take()] == [0, 100]

    connection.data_received(window_update(1, 50))
    await asyncio.sleep(0)

    assert transport.take() == [(Kind.DATA, Flag.END_STREAM, 1, b"x" * 50)]


async def test_send_grows_with_the_settings_and_keeps_the_order(connection, transport, sink):
    stream = connection.open(sink, b"", b"a" * 120)
    connection.send(stream, b"b", end=True)
    connection.data_received(settings({Setting.INITIAL_WINDOW: 200}))
    await asyncio.sleep(0)

    data = [payload for kind, *_, payload in transport.take() if kind == Kind.DATA]
    assert b"".join(data) == b"a" * 120 + b"b"


async def test_answers_are_told_whole_or_in_pieces(connection, sink):
    connection.open(sink, b"", b"m", end=True)
    answer = (
        frame(Kind.HEADERS, Flag.END_HEADERS, 1, hpack.Encoder().encode([(":status", "200")]))
        + frame(Kind.DATA, 0, 1, b"body")
        + frame(Kind.HEADERS, Flag.END_STREAM, 1, TRAILERS[:3])
        + frame(Kind.CONTINUATION, Flag.END_HEADERS, 1, TRAILERS[3:])
    )

    for byte in answer:
        connection.data_received(bytes((byte,)))

    assert sink.told == [b"body", 0]


async def test_pings_are_answered_and_windows_refilled(connection, transport, sink):
    connection.open(sink, b"", b"m")
    connection.data_received(frame(Kind.PING, 0, 0, b"12345678"))
    connection._received = REFILL_BYTES
    connection.data_received(frame(Kind.DATA, 0, 1, b"xx"))
    await asyncio.sleep(0)

    ping, refill = transport.take()[-2:]
    assert ping == (Kind.PING, Flag.ACK, 0, b"12345678")
    assert refill[0] == Kind.WINDOW_UPDATE
    assert int.from_bytes(refill[3]) == REFILL_BYTES + 2


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (frame(Kind.RST_STREAM, 0, 1, b"\0\0\0\1"), [None]),
        (frame(Kind.DATA, Flag.END_STREAM, 1, b"x"), [b"x", None]),
        (frame(Kind.GOAWAY, 0, 0, b"\0\0\0\1" + b"\0\0\0\0"), ["left"]),
        (frame(Kind.GOAWAY, 0, 0, b"\0\0\0\0" + b"\0\0\0\0"), [None, "left"]),
    ],
    ids=["reset", "no trailers", "goodbye, answers", "goodbye, does not"],
)
async def test_streams_that_end_otherwise_have_no_status(connection, sink, frames, told):
    connection.open(sink, b"", b"m", end=True)

    connection.data_received(frames)

    assert sink.told == told


async def test_lost_connection_ends_every_stream(connection, sink):
    connection.open(sink, b"", b"m", end=True)

    connection.connection_lost(None)

    assert sink.told == [None, "left"]
    assert connection.is_left


async def test_connect_needs_a_server():
    with pytest.raises(ConnectionRefusedError):
        await connect("127.0.0.1", free_port())


async def test_connect_needs_a_server_that_stays(answering):
    async with answering(b"") as port:
        with pytest.raises(OSError, match="hung up"):
            await connect("127.0.0.1", port)
