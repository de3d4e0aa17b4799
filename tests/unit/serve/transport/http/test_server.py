"""Real sockets, on both event loops: start, large bodies, TLS, hang-ups, drain and stop."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import pytest
import uvloop

from serve.clock import FakeClock, monotonic_ns
from serve.config import HttpSettings
from serve.protocol.status import DEFAULT
from serve.transport.http import HttpServer, create_http_server
from serve.transport.http.connection import Connection
from tests.support.http import (
    TLS_CERT,
    TLS_KEY,
    FakePlane,
    Reply,
    binary_body,
    get,
    infer_body,
    post,
)

BODY = infer_body([1.0, 2.0])
TLS = {"tls_cert": TLS_CERT, "tls_key": TLS_KEY}

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request) -> Run:
    """Runs a scenario to its end on one kind of event loop."""

    def run(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scenario)

    return run


@asynccontextmanager
async def serving(
    plane: FakePlane, clock=monotonic_ns, **settings: Any
) -> AsyncIterator[HttpServer]:
    settings = {"host": "127.0.0.1", "port": 0, **settings}
    server = create_http_server(plane, HttpSettings(**settings), clock, DEFAULT)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)
        assert (server.connections, server.inflight_bytes) == (0, 0)


class Client:
    """One connection that speaks raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server: HttpServer, tls: ssl.SSLContext | None = None) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", server.port, ssl=tls, limit=2**26))

    async def ask(self, request: bytes) -> Reply:
        self.writer.write(request)
        return await self.reply()

    async def reply(self) -> Reply:
        top = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in top[1:] if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(int(top[0].split()[1]), headers, body)

    async def ended(self) -> bytes:
        try:
            return await self.reader.read()
        finally:
            await self.close()

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another end of a socket brings about."""
    while not condition():  # noqa: ASYNC110 - the other end has no event to give
        await asyncio.sleep(0.001)


async def accepted(server: HttpServer) -> list[Any]:
    await until(lambda: server.connections > 0)
    return list(server._context.connections)


def test_server_answers_over_one_connection(run):
    async def scenario():
        async with serving(FakePlane()) as server:
            client = await Client.open(server)
            for _ in range(3):
                assert (await client.ask(post(BODY))).json["outputs"][0]["data"] == [1.0, 2.0]
            assert server.connections == 1
            await client.close()
            await until(lambda: server.connections == 0)

    run(scenario())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_server_takes_and_gives_16_mb_tensors(run, tls):
    values = np.arange(4_000_000, dtype=np.float32)
    body, json_bytes = binary_body(values)
    request = post(body, Inference_Header_Content_Length=str(json_bytes))

    async def scenario():
        async with serving(FakePlane(), **(TLS if tls else {})) as server:
            context = ssl.create_default_context(cafile=TLS["tls_cert"]) if tls else None
            client = await Client.open(server, context)
            for _ in range(2):
                reply = await client.ask(request + get("/v2"))
                assert reply.status == 200, reply.body
                start = int(reply.headers["inference-header-content-length"])
                assert reply.body[start:] == values.tobytes()
                assert (await client.reply()).status == 200
            await client.close()
            await until(lambda: server.connections == 0)

    run(scenario())


def test_server_refuses_a_large_body_and_says_so_before_it_closes(run):
    async def scenario():
        async with serving(FakePlane(), max_body_bytes=1000) as server:
            client = await Client.open(server)
            reply = await client.ask(post(b"x" * 200_000))
            assert reply.status == 413
            assert await client.ended() == b""

    run(scenario())


def test_server_stops_working_for_a_client_that_does_not_read(run):
    plane = FakePlane()
    body = infer_body([0.5] * 20_000)
    clock = FakeClock()

    async def scenario():
        async with serving(plane, clock, write_timeout_s=60) as server:
            loop = asyncio.get_running_loop()
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.setblocking(False)
            send = asyncio.ensure_future(loop.sock_sendall(sock, post(body) * 2000))
            (connection,) = await accepted(server)
            await until(lambda: connection._write_paused)
            assert len(plane.requests) < 2000
            assert server.inflight_bytes < 64 * 2**20
            clock.advance_ms(61_000)
            server.sweep()
            with pytest.raises(OSError):
                await send
            sock.close()
            await until(lambda: server.connections == 0)

    run(scenario())


def test_server_withdraws_the_request_of_a_client_that_hangs_up(run):
    plane = FakePlane(auto=False)

    async def scenario():
        async with serving(plane) as server:
            client = await Client.open(server)
            client.writer.write(post(BODY))
            await until(lambda: len(plane.sinks) == 1)
            client.writer.transport.abort()
            await until(lambda: plane.cancelled == [0])
            await until(lambda: server.connections == 0)

    run(scenario())


def count_connections() -> int:
    return sum(type(thing) is Connection for thing in gc.get_objects())


def test_server_holds_a_thousand_idle_connections_and_forgets_them(run):
    async def scenario():
        async with serving(FakePlane()) as server:
            gc.collect()
            before = count_connections()
            sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1000)]
            await until(lambda: server.connections == 1000)
            client = await Client.open(server)
            assert (await client.ask(post(BODY))).status == 200
            for sock in sockets:
                sock.close()
            await client.close()
            await until(lambda: server.connections == 0)
            gc.collect()
            after = count_connections()
            assert after == before

    run(scenario())


def test_server_refuses_connections_beyond_the_limit(run):
    async def scenario():
        async with serving(FakePlane(), max_connections=1) as server:
            first = await Client.open(server)
            assert (await first.ask(get("/v2"))).status == 200
            second = await Client.open(server)
            assert (await second.ask(get("/v2"))).status == 503
            assert await second.ended() == b""
            assert (await first.ask(get("/v2"))).status == 200
            await first.close()

    run(scenario())


def test_drain_answers_what_was_accepted_and_closes(run):
    plane = FakePlane(auto=False)

    async def scenario():
        async with serving(plane) as server:
            idle, busy, sending = [await Client.open(server) for _ in range(3)]
            assert (await idle.ask(get("/v2"))).status == 200
            busy.writer.write(post(BODY))
            sending.writer.write(post(BODY)[:-5])
            await until(lambda: len(plane.sinks) == 1 and server.inflight_bytes > len(BODY))
            server.begin_drain()
            assert await idle.ended() == b""
            plane.answer(0)
            reply = await busy.reply()
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            assert await busy.ended() == b""
            sending.writer.write(post(BODY)[-5:])
            await until(lambda: len(plane.sinks) == 2)
            plane.answer(1)
            assert (await sending.reply()).headers["connection"] == "close"
            assert await sending.ended() == b""
            await server.drained()
            with pytest.raises(OSError):
                await Client.open(server)

    run(scenario())


def test_drain_answers_a_connection_that_was_on_its_way(run):
    async def scenario():
        async with serving(FakePlane()) as server:
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.sendall(get("/v2"))
            server.begin_drain()  # before the loop could accept it
            client = Client(*await asyncio.open_connection(sock=sock))
            reply = await client.reply()
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            assert await client.ended() == b""
            await server.drained()

    run(scenario())


def test_drain_closes_a_connection_that_never_says_anything(run):
    clock = FakeClock(1)

    async def scenario():
        async with serving(FakePlane(), clock) as server:
            client = await Client.open(server)
            await accepted(server)
            server.begin_drain()
            clock.advance_ms(1001)
            server.sweep()
            assert await client.ended() == b""
            await server.drained()

    run(scenario())


def test_drain_answers_all_that_was_pipelined(run):
    plane = FakePlane(auto=False)

    async def scenario():
        async with serving(plane) as server:
            client = await Client.open(server)
            client.writer.write(post(BODY) * 3)
            await until(lambda: len(plane.sinks) == 3)
            server.begin_drain()
            for index in (1, 0, 2):
                plane.answer(index)
            assert [(await client.reply()).status for _ in range(3)] == [200] * 3
            assert await client.ended() == b""

    run(scenario())


def test_stop_withdraws_what_does_not_end_in_time(run):
    plane = FakePlane(auto=False)

    async def scenario():
        async with serving(plane) as server:
            client = await Client.open(server)
            client.writer.write(post(BODY))
            await until(lambda: len(plane.sinks) == 1)
            await server.stop(0)
            assert plane.cancelled == [0]
            await client.close()

    run(scenario())


def test_start_says_which_flag_when_the_port_is_taken(run):
    async def scenario():
        async with serving(FakePlane()) as server:
            with pytest.raises(OSError, match=rf"{server.port}: port already in use.*--http-port"):
                async with serving(FakePlane(), port=server.port):
                    pass

    run(scenario())


def test_stop_without_start_does_nothing(run):
    run(create_http_server(FakePlane(), HttpSettings(), monotonic_ns, DEFAULT).stop(0))


def test_tls_port_does_not_answer_plain_text(run):
    async def scenario():
        async with serving(FakePlane(), **TLS) as server:
            client = await Client.open(server)
            client.writer.write(get("/v2"))
            with suppress(ConnectionError):
                assert b"HTTP" not in await client.ended()

    run(scenario())


def test_json_over_tls_closes_when_asked(run):
    async def scenario():
        async with serving(FakePlane(), **TLS) as server:
            client = await Client.open(server, ssl.create_default_context(cafile=TLS["tls_cert"]))
            reply = await client.ask(post(BODY, Connection="close"))
            assert json.loads(reply.body)["outputs"][0]["data"] == [1.0, 2.0]
            assert await client.ended() == b""

    run(scenario())
