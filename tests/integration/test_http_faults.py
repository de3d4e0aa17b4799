"""Bad clients on real sockets: each gets its answer, the good ones beside it never notice."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import uvloop

from serve.clock import monotonic_ns
from serve.config import HttpSettings
from serve.protocol.status import DEFAULT
from serve.transport.http import HttpServer, create_http_server
from tests.support.http import FakePlane, chunked, get, infer_body, parse_replies, post

BODY = infer_body([1.0, 2.0])
LIMITS = {
    "max_body_bytes": 1_000_000,
    "max_header_bytes": 4096,
    "header_timeout_s": 0.5,
    "body_timeout_s": 0.5,
}


class Running:
    """A server on a loop and thread of its own."""

    def __init__(self, plane: FakePlane, **settings: Any) -> None:
        self.plane = plane
        self.server: HttpServer = create_http_server(
            plane, HttpSettings(host="127.0.0.1", port=0, **settings), monotonic_ns, DEFAULT
        )
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.call(self.server.start)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a coroutine function on the loop."""
        return asyncio.run_coroutine_threadsafe(function(*args), self.loop).result(30)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the server to notice what a socket did."""

        async def wait() -> None:
            while not condition():  # noqa: ASYNC110 - a socket has no event to give
                await asyncio.sleep(0.002)

        self.call(wait)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=30)

    def ask(self, data: bytes) -> bytes:
        """Everything the server says to these bytes until it closes."""
        with self.connect() as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := sock.recv(65536):
                    received += piece
            return received

    def stop(self) -> None:
        self.call(self.server.stop, 5)
        assert (self.server.connections, self.server.inflight_bytes) == (0, 0)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running(FakePlane(), **LIMITS)
    yield running
    running.stop()


@pytest.fixture
def holding() -> Iterator[Running]:
    """A server whose answers the test gives."""
    running = Running(FakePlane(auto=False), **LIMITS)
    yield running
    running.stop()


class GoodClient:
    """Asks again and again beside the bad ones, and keeps count."""

    def __init__(self, running: Running) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=30)
        self.answered = 0
        self.wrong: list[Any] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.connection.request("POST", "/v2/models/echo/infer", BODY)
            response = self.connection.getresponse()
            reply = json.loads(response.read())
            if response.status != 200 or reply["outputs"][0]["data"] != [1.0, 2.0]:
                self.wrong.append((response.status, reply))
            self.answered += 1

    def __enter__(self) -> GoodClient:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.connection.close()
        assert self.answered
        assert not self.wrong


UPLOAD = "POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\n"

FAULTS = {
    "not http": (b"\x16\x03\x01\x00\xff" * 10, 400),
    "both lengths": (
        f"{UPLOAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
        400,
    ),
    "two lengths": (f"{UPLOAD}Content-Length: 4\r\nContent-Length: 5\r\n\r\n".encode(), 400),
    "negative length": (f"{UPLOAD}Content-Length: -4\r\n\r\n".encode(), 400),
    "bad chunk": (f"{UPLOAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode(), 400),
    "declared too large": (post(b"", length=1_000_001), 413),
    "sent too large": (post(b"x" * 1_500_000), 413),
    "chunked too large": (chunked(b"x" * 1_500_000, 60_000), 413),
    "header too large": (get("/v2", X_Long="x" * 5000), 431),
    "slow headers": (UPLOAD.encode(), 408),
    "slow body": (post(b"{", length=100), 408),
    "slow large body": (post(b"{", length=900_000), 408),
    "unfinished chunk": (chunked(BODY, 10)[:-8], 408),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_answered_and_closed_beside_a_good_client(running, fault):
    data, status = FAULTS[fault]
    with GoodClient(running):
        replies = parse_replies(running.ask(data))
    assert [reply.status for reply in replies] == [status]
    assert replies[0].json["error"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(BODY, Content_Encoding="br"), 501),
        (post(b"\x1f\x8b broken", Content_Encoding="gzip"), 400),
        (post(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"), 413),
        (post(BODY, Inference_Header_Content_Length="99999999999999999999"), 400),
        (post(b"[" * 100_000), 400),
        (post(BODY, "/v2/models/%ff/infer"), 400),
        (post(BODY, "/v2/models/nobody/infer"), 404),
        (get("/../../etc/passwd"), 404),
    ],
)
def test_bad_request_leaves_the_connection_usable(running, request_, status):
    with GoodClient(running):
        replies = parse_replies(running.ask(request_ + get("/v2", Connection="close")))
    assert [reply.status for reply in replies] == [status, 200]


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
def test_hang_up_while_waiting_withdraws_only_its_own_request(holding, reset):
    plane = holding.plane
    leaving, staying = holding.connect(), holding.connect()
    leaving.sendall(post(BODY))
    holding.until(lambda: len(plane.sinks) == 1)
    staying.sendall(post(BODY))
    holding.until(lambda: len(plane.sinks) == 2)
    if reset:
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leaving.close()
    holding.until(lambda: plane.cancelled == [0])
    holding.loop.call_soon_threadsafe(plane.answer, 1)
    assert staying.recv(4096).startswith(b"HTTP/1.1 200 OK")
    staying.close()


def test_stalled_uploads_cost_nothing_and_refuse_nobody(running):
    """Clients that declare large bodies and send nothing hold no memory that others need."""
    before = psutil.Process().memory_info().rss
    stalled = [running.connect() for _ in range(200)]
    for sock in stalled:
        sock.sendall(post(b"{", length=1_000_000))
    running.until(lambda: running.server.connections == 200)
    with GoodClient(running):
        for sock in stalled:
            sock.recv(1)
    assert psutil.Process().memory_info().rss - before < 100_000_000
    for sock in stalled:
        sock.close()


def test_storm_of_faults_leaves_nothing_behind(running):
    process = psutil.Process()
    running.ask(get("/v2", Connection="close"))
    running.until(lambda: running.server.connections == 0)
    before = process.num_fds()
    with GoodClient(running):
        for _ in range(20):
            for data, status in FAULTS.values():
                if status != 408:
                    sock = running.connect()
                    with contextlib.suppress(OSError):
                        sock.sendall(data)
                    sock.close()
    running.until(lambda: running.server.connections == 0)
    assert running.server.inflight_bytes == 0
    assert process.num_fds() <= before


def test_head_of_line_is_kept_under_pipelining(holding):
    plane = holding.plane
    with holding.connect() as sock:
        sock.sendall(b"".join(post(infer_body([float(i)])) for i in range(10)))
        holding.until(lambda: len(plane.sinks) == 10)
        for index in reversed(range(10)):
            holding.loop.call_soon_threadsafe(plane.answer, index)
        sock.sendall(get("/v2", Connection="close"))
        received = b""
        while piece := sock.recv(65536):
            received += piece
    replies = parse_replies(received)
    assert [reply.json["outputs"][0]["data"][0] for reply in replies[:10]] == list(range(10))
