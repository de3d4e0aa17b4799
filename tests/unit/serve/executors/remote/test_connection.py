from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.executors.remote.batches import batch_parts, read_batch
from serve.executors.remote.connection import RING_BYTES, FrameConnection
from serve.executors.remote.messages import Goodbye, decode
from serve.executors.remote.wire import (
    HEADER_BYTES,
    STRANGER,
    Header,
    Kind,
    Limits,
    control_frame,
    pack_header,
    parse_header,
    preamble,
)
from serve.tensors import Batch


class Wire(asyncio.Transport):
    """A transport whose bytes the test sees."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closing = self.aborted = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def writelines(self, data: Any) -> None:
        self.sent += [bytes(part) for part in data]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing


class Peer(FrameConnection):
    """Keeps the frames that it gets."""

    def __init__(self, limits: Limits, greeted: bool = True) -> None:
        super().__init__(greeted=greeted)
        self.limits = limits
        self.frames: list[tuple[Header, bytes]] = []
        self.reason: str | None = None
        self.wire = Wire()
        self.connection_made(self.wire)

    def opened(self) -> None:
        pass

    def received(self, header: Header, body: bytes | memoryview) -> None:
        self.frames.append((header, bytes(body)))

    def closed(self, reason: str) -> None:
        self.reason = reason

    def feed(self, data: bytes, piece: int = 1 << 30) -> None:
        """Receive ``data`` as a transport would, in pieces of any size."""
        start = 0
        while start < len(data) and not self.wire.closing:
            buffer = self.get_buffer(-1)
            count = min(piece, len(buffer), len(data) - start)
            assert count, "a transport takes an empty buffer for an error"
            buffer[:count] = data[start : start + count]
            start += count
            self.buffer_updated(count)

    @property
    def goodbye(self) -> str:
        """The reason that was sent for the end."""
        frame = self.wire.sent[-1]
        assert parse_header(frame, 0, STRANGER).kind == Kind.GOODBYE
        return decode(frame[HEADER_BYTES:], Goodbye).reason


def frame_of(rows: int, number: int = 1) -> bytes:
    batch = Batch((np.arange(rows * 16, dtype=np.float32).reshape(rows, 16),), rows)
    return b"".join(bytes(memoryview(part)) for part in batch_parts(batch, 0).framed(number))


@pytest.mark.parametrize("piece", [1, 7, 48, 1000, 1 << 30])
async def test_frames_come_out_whatever_the_pieces(piece: int) -> None:
    peer = Peer(Limits())
    frames = [control_frame(Kind.PING, id=1), frame_of(3), control_frame(Kind.GOODBYE, b"x" * 90)]
    peer.feed(b"".join(frames) * 3, piece)
    got = [header.kind for header, _ in peer.frames]
    assert got == [Kind.PING, Kind.BATCH, Kind.GOODBYE] * 3
    assert peer.frames[1][1] == frames[1][HEADER_BYTES:]


@pytest.mark.parametrize("piece", [60_000, 1 << 30])
async def test_large_frame_is_received_into_memory_of_its_own(piece: int) -> None:
    peer = Peer(Limits())
    large = frame_of(RING_BYTES // 16)
    peer.feed(control_frame(Kind.PING) + large + control_frame(Kind.PING), piece)
    assert [header.kind for header, _ in peer.frames] == [Kind.PING, Kind.BATCH, Kind.PING]
    header, body = peer.frames[1]
    assert read_batch(header, body, body, header.meta).inputs[0][-1, -1] == RING_BYTES - 1


async def test_nothing_is_allocated_for_a_claim_beyond_the_limits() -> None:
    peer = Peer(Limits(max_payload=1 << 20))
    peer.feed(pack_header(Kind.BATCH, tensors=1, meta=32, rows=1, payload=1 << 40))
    assert "1099511627776 of payload" in peer.goodbye
    assert peer.frames == []


async def test_what_follows_an_error_is_not_read() -> None:
    peer = Peer(STRANGER)
    peer.feed(pack_header(0) + control_frame(Kind.PING))
    assert peer.wire.closing
    assert peer.frames == []


async def test_preamble_comes_first() -> None:
    peer = Peer(Limits(), greeted=False)
    peer.feed(preamble() + control_frame(Kind.PING), 5)
    assert [header.kind for header, _ in peer.frames] == [Kind.PING]


async def test_peer_that_speaks_something_else_is_told_so() -> None:
    peer = Peer(Limits(), greeted=False)
    peer.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "does not speak" in peer.goodbye


@given(st.lists(st.binary(max_size=200), max_size=6), st.integers(1, 300))
def test_any_bytes_give_frames_within_the_limits_or_the_end(parts: list[bytes], piece: int) -> None:
    async def feed() -> None:
        peer = Peer(Limits(max_payload=4096, max_meta=4096, max_extra=4096))
        peer.feed(b"".join(parts), piece)
        assert all(len(body) <= 3 * 4096 for _, body in peer.frames)

    asyncio.run(feed())


@given(st.data())
def test_a_frame_with_flipped_bytes_never_breaks_the_reader(data: st.DataObject) -> None:
    frame = bytearray(frame_of(2))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))

    async def feed() -> None:
        peer = Peer(Limits(max_payload=1 << 16, max_meta=1 << 16, max_extra=1 << 16))
        peer.feed(bytes(frame) + control_frame(Kind.PING))

    asyncio.run(feed())


@pytest.mark.parametrize("rows", [1, 5000])
async def test_what_is_sent_is_the_frame(rows: int) -> None:
    peer = Peer(Limits())
    batch = Batch((np.arange(rows * 16, dtype=np.float32).reshape(rows, 16),), rows)
    parts = batch_parts(batch, 0)
    peer.send_buffers(parts.framed(1), parts.packed.size)
    assert b"".join(peer.wire.sent) == frame_of(rows)


async def test_nothing_is_sent_after_the_end() -> None:
    peer = Peer(Limits())
    peer.end("enough")
    sent = len(peer.wire.sent)
    peer.send(control_frame(Kind.PING))
    peer.send_buffers([b"x" * 100_000], 100_000)
    assert len(peer.wire.sent) == sent
    peer.connection_lost(None)
    assert peer.reason == "enough"
