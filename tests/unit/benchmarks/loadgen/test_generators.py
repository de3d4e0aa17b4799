"""Both generators against a small server of this process."""

import asyncio
import contextlib
import itertools

import pytest

from benchmarks.loadgen import closed_loop, open_loop
from benchmarks.loadgen.spec import ClosedLoop, OpenLoop, Phase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
UNHINTED = REFUSED.replace(b"Retry-After: 1\r\n", b"")
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Answering(asyncio.Protocol):
    """Gives the answers in turn, over all connections; an empty one hangs up."""

    def __init__(self, answers, transports):
        self._answers = answers
        self._transports = transports

    def connection_made(self, transport):
        self._transport = transport
        self._transports.append(transport)

    def data_received(self, data):
        if answer := next(self._answers):
            self._transport.write(answer)
        else:
            self._transport.abort()


@contextlib.asynccontextmanager
async def answering(*answers):
    """A server on this loop; yields its port, and leaves no connection behind."""
    turns, transports = itertools.cycle(answers), []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(turns, transports), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for transport in transports:
            transport.abort()
    for _ in range(3):  # connections end in the turns after the one that closed them
        await asyncio.sleep(0)


@pytest.fixture
def request_file(tmp_path):
    file = tmp_path / "request"
    file.write_bytes(REQUEST)
    return str(file)


def open_spec(port, request_file):
    return OpenLoop(
        port=port,
        request_file=request_file,
        connections=4,
        phases=(Phase("only", 200.0, 0.2),),
        arrivals="constant",
        slo_ms=60_000.0,
    )


async def test_open_loop_sends_everything_that_is_due(request_file):
    async with answering(OK) as port:
        result = await open_loop.run(open_spec(port, request_file))

    assert result.phase("only").statuses == {"200": 40}
    assert result.phase("only").good == 40


async def test_open_loop_counts_refusals_and_their_hints(request_file):
    async with answering(OK, REFUSED, OK, UNHINTED) as port:
        result = await open_loop.run(open_spec(port, request_file))

    assert result.phase("only").statuses == {"200": 20, "503": 20}
    assert result.phase("only").refusals_without_hint == 10


async def test_open_loop_goes_on_when_connections_are_lost(request_file):
    async with answering(OK, OK, OK, b"") as port:
        result = await open_loop.run(open_spec(port, request_file))

    assert result.phase("only").statuses == {"0": 10, "200": 30}


async def test_closed_loop_counts_answers_and_failures(request_file):
    async with answering(OK, OK, OK, REFUSED) as port:
        spec = ClosedLoop(port=port, request_file=request_file, connections=2, duration_s=0.1)
        result = await closed_loop.run(spec)

    assert result.requests > 4
    assert result.failed == pytest.approx(result.requests / 4, abs=2)
    assert 0 < result.p50_ms <= result.p99_ms
