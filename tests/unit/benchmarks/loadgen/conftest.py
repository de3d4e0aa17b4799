"""Small HTTP and gRPC servers to load."""

import asyncio
import contextlib
import itertools
import threading
import time

import grpc
import pytest

from benchmarks.payloads import Payload

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Answering(asyncio.Protocol):
    """Gives the answers in turn, over all connections; an empty one hangs up, None keeps quiet."""

    def __init__(self, answers, alive, seen):
        self._answers = answers
        self._alive = alive
        self._seen = seen

    def connection_made(self, transport):
        self._transport = transport
        self._alive.add(transport)

    def connection_lost(self, exc):
        self._alive.discard(self._transport)

    def data_received(self, data):
        self._seen.append(data)
        if answer := next(self._answers):
            self._transport.write(answer)
        elif answer is not None:
            self._transport.abort()


@contextlib.asynccontextmanager
async def answering(*answers, seen=None):
    """A server on this loop; yields its port, and leaves no connection behind."""
    turns, alive = itertools.cycle(answers), set()
    seen = [] if seen is None else seen
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(turns, alive, seen), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # Connections may still be on their way in, as tasks, then as calls that are due; a server
        # that is closed meanwhile would forget them.
        idle_turns = 0
        while idle_turns < 5:
            for transport in alive:
                transport.abort()
            await asyncio.sleep(0)
            busy = alive or len(asyncio.all_tasks()) > 1
            idle_turns = 0 if busy else idle_turns + 1
        server.close()


class ThreadedServer:
    """The same in a thread of its own, for generators in other processes; it can be stalled."""

    def __init__(self):
        self.stalls = []
        self.arrivals = 0
        self._first_s = 0.0
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))
        self._thread.start()
        self._ready.wait()

    async def _run(self):
        async with answering(OK, seen=self) as self.port:
            self._ready.set()
            await self._stopping.wait()

    def append(self, request):
        """Called with every request, on the server's loop."""
        self.arrivals += 1
        self._first_s = self._first_s or time.perf_counter()

    def stall_every(self, period_s, stall_s):
        """From now on, do nothing at all for a while again and again."""

        def stall():
            time.sleep(stall_s)
            self._loop.call_later(period_s - stall_s, stall)

        self._loop.call_soon_threadsafe(self._loop.call_later, period_s / 2, stall)
        self._loop.call_soon_threadsafe(self._beat, time.perf_counter())

    def _beat(self, last_s):
        """Write down every standstill, those that the machine causes as well."""
        now_s = time.perf_counter()
        if now_s - last_s > 0.01:
            self.stalls.append((last_s, now_s))
        self._loop.call_later(0.001, self._beat, now_s)

    def stall_lengths_s(self, duration_s):
        """Of those between the first request and the end of the load."""
        until_s = self._first_s + duration_s
        inside = [(max(a, self._first_s), min(b, until_s)) for a, b in self.stalls]
        return [end_s - begun_s for begun_s, end_s in inside if end_s > begun_s]

    def cpu_s(self):
        """CPU that the server's thread has used."""
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def stop(self):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def http_server():
    server = ThreadedServer()
    yield server
    server.stop()


@contextlib.asynccontextmanager
async def answering_grpc(unary, stream, **options):
    """A gRPC server with these two handlers, which take and give bytes; yields its port."""
    server = grpc.aio.server(options=[(f"grpc.{name}", value) for name, value in options.items()])
    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(unary),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(stream),
    }
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.fixture(name="answering")
def answering_fixture():
    return answering


@pytest.fixture(name="answering_grpc")
def answering_grpc_fixture():
    return answering_grpc


@pytest.fixture
def payload():
    return Payload("p", "/infer", (("Content-Type", "text/plain"),), b"body", 1)
