"""An engine: one model version behind a socket, in a thread with an event loop of its own.

Whoever owns the process (a Ray Serve replica, ``serve.executors.remote.process``) starts it, asks
for its health and its counters, and drains it; the batches come straight from the gateways.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import threading

import uvloop

from serve.clock import NS_PER_S, Clock
from serve.errors import Unavailable
from serve.executors.in_process import InProcessExecutor
from serve.executors.loader import Prepared, limits_of
from serve.executors.remote import local_socket
from serve.executors.remote.arena import Window, new_arena
from serve.executors.remote.describe import describe
from serve.executors.remote.engine_connection import EngineConnection, Served
from serve.executors.remote.engine_options import EngineOptions
from serve.executors.remote.runner import Runner, Statistics
from serve.executors.remote.wire import FrameError
from serve.monitoring.metrics import Histogram
from serve.repository.digest import digest_of
from serve.scheduling.cost import CostModel
from serve.scheduling.row_cost import RowCost

__all__ = ["Engine"]

log = logging.getLogger("penstock.engine")

START_S = 30.0
STOP_S = 5.0
TRIM_S = 30.0
DRAIN_POLL_S = 0.02
ACCEPT_AGAIN_S = 0.1


class Engine:
    """Serves a prepared version to gateways, which it closes when it is closed.

    Every method may be called from any thread but the engine's own, and may block; ``start`` is
    called once.
    """

    def __init__(
        self, prepared: Prepared, options: EngineOptions, *, replica: str, clock: Clock
    ) -> None:
        """Blocks while the digest is computed."""
        self._prepared = prepared
        self._options = options
        self._clock = clock
        source = prepared.source
        digest = prepared.digest or digest_of(source.artefact, source.config)
        self.description = describe(prepared, replica, digest, options.queue)
        self.port = 0
        """The port of TCP, once started."""
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, name=f"penstock-engine-{replica[:32]}", daemon=True
        )
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._over: asyncio.Event | None = None
        self._served: Served | None = None

    # from any other thread

    def start(self) -> None:
        """Listen; returns when gateways can connect.

        Raises:
            OSError: an address cannot be listened on.
        """
        self._thread.start()
        self._started.result(START_S)

    def statistics(self) -> Statistics:
        """The counters; does not wait for the engine's thread."""
        served = self._running_state()
        return served.runner.statistics(len(served.connections))

    @property
    def durations(self) -> Histogram:
        """For how long batches ran, in nanoseconds; it grows meanwhile."""
        return self._running_state().runner.durations

    def waiting_ns(self) -> int:
        """Nanoseconds of execution of what waits in the gateways, as each said last."""
        return sum(
            [connection.waiting_ns for connection in list(self._running_state().connections)]
        )

    def health(self, timeout_s: float = 5.0) -> None:
        """Ask the thread that serves the gateways, and look for a batch that hangs.

        Raises:
            Unavailable: it does not answer, or a batch does not come back.
        """
        served = self._running_state()
        answered: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(answered.set_result, None)
        try:
            answered.result(timeout_s)
        except TimeoutError:
            raise Unavailable(f"the engine did not answer within {timeout_s:g} s") from None
        if stalled_ns := served.runner.stalled_ns():
            raise Unavailable(f"a batch has been running for {stalled_ns / NS_PER_S:.0f} s")

    def drain(self, timeout_s: float) -> bool:
        """Take no more batches, answer those taken, and wait until all gateways hung up.

        False: not all of them had after ``timeout_s``.
        """
        return asyncio.run_coroutine_threadsafe(self._drain(timeout_s), self._loop).result()

    def close(self) -> None:
        """Hang up on everybody, stop the thread and close the backend."""
        if self._thread.is_alive() and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(STOP_S)

    # in the engine's thread

    def _running_state(self) -> Served:
        if self._served is None or not self._thread.is_alive():
            raise Unavailable("the engine is not running")
        return self._served

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            if self._started.done():
                log.exception("the engine ended")
            else:
                self._started.set_exception(error)
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        options, prepared = self._options, self._prepared
        config = prepared.source.config
        executor = InProcessExecutor(
            prepared.backend,
            prepared.signature,
            name=prepared.source.model_name,
            instances=config.resources.instances,
            inline=prepared.inline,
            clock=self._clock,
            loop=self._loop,
        )
        self._over = asyncio.Event()
        served = self._served = Served(
            description=self.description,
            runner=Runner(
                executor,
                options.max_queued,
                self._clock,
                int(options.stall_s * NS_PER_S),
                RowCost(
                    CostModel(prepared.profile), limits_of(config, self.description.max_batch_rows)
                ),
            ),
            limits=options.limits,
            secret=options.secret,
            shared_from_bytes=options.shared_from_bytes,
            handshake_timeout_s=options.handshake_timeout_s,
            max_connections=options.max_connections,
        )
        listeners: list[asyncio.AbstractServer] = []
        accepting: asyncio.Task[None] | None = None
        trimming = asyncio.create_task(self._trim(served))
        try:
            if options.socket is not None:
                listener = local_socket.listen(options.socket)
                accepting = asyncio.create_task(self._accept(listener, served))
            if options.host is not None:
                tcp = socket.create_server((options.host, options.port))
                self.port = tcp.getsockname()[1]
                server = await self._loop.create_server(
                    lambda: EngineConnection(served, local=False),
                    sock=tcp,
                    ssl=options.tls,
                    ssl_handshake_timeout=options.handshake_timeout_s if options.tls else None,
                )
                listeners.append(server)
            self._started.set_result(None)
            await self._over.wait()
        finally:
            trimming.cancel()
            for server in listeners:
                server.close()
            if accepting is not None:
                accepting.cancel()
                await asyncio.wait((accepting,))
            for connection in (*served.connections, *served.strangers):
                connection.end("the replica ends")
            await asyncio.sleep(0)
            executor.close()

    async def _accept(self, listener: socket.socket, served: Served) -> None:
        """Accept from the Unix socket until cancelled."""
        options = self._options
        assert options.socket is not None
        greeting: set[asyncio.Task[None]] = set()
        try:
            while True:
                try:
                    sock, _ = await self._loop.sock_accept(listener)
                except OSError as error:  # out of descriptors, mostly
                    log.warning("%s: %s", options.socket, error)
                    await asyncio.sleep(ACCEPT_AGAIN_S)
                    continue
                if len(served.connections) + len(greeting) >= options.max_connections:
                    log.warning("a gateway was refused: %d connections", options.max_connections)
                    sock.close()
                    continue
                task = asyncio.create_task(self._let_in(sock, served))
                greeting.add(task)
                task.add_done_callback(greeting.discard)
        finally:
            listener.close()
            options.socket.unlink(missing_ok=True)
            for task in greeting:
                task.cancel()

    async def _let_in(self, sock: socket.socket, served: Served) -> None:
        """Exchange preambles and shared memory, then frames."""
        options = self._options
        arena = new_arena(options.shared_bytes)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(options.handshake_timeout_s):
                fd = await local_socket.exchange(sock, arena.fd if arena else None)
            window = Window(fd) if fd is not None else None
        except (FrameError, OSError, TimeoutError) as error:
            log.warning("a gateway was refused: %s", error or "it said nothing")
            sock.close()
            return
        except BaseException:
            sock.close()
            raise
        finally:
            if arena is not None:
                arena.close_file()
        await self._loop.connect_accepted_socket(
            lambda: EngineConnection(served, local=True, arena=arena, window=window), sock
        )

    async def _trim(self, served: Served) -> None:
        while True:
            await asyncio.sleep(TRIM_S)
            for connection in served.connections:
                connection.trim()

    async def _drain(self, timeout_s: float) -> bool:
        served = self._served
        assert served is not None
        served.draining = True
        empty = asyncio.Event()

        def look() -> None:
            if not served.connections and served.runner.idle:
                empty.set()

        served.gone = look
        for connection in (*served.connections, *served.strangers):
            connection.drain()
        look()
        try:
            async with asyncio.timeout(timeout_s):
                await empty.wait()
        except TimeoutError:
            return False
        return True
