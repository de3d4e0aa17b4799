"""A replica's connection as a gateway sees it: the handshake, batches out, outcomes in."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Protocol

from serve.executors.remote import auth, local_socket
from serve.executors.remote.arena import Arena, Window, new_arena
from serve.executors.remote.batches import Parts
from serve.executors.remote.connection import FrameConnection
from serve.executors.remote.messages import (
    Challenge,
    Description,
    Goodbye,
    Greeting,
    Hello,
    decode,
    encode,
)
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.executors.remote.tensors import Buffer
from serve.executors.remote.wire import (
    HANDSHAKE,
    SHARED,
    FrameError,
    Header,
    Kind,
    control_frame,
    preamble,
)

__all__ = ["GatewayConnection", "Owner", "connect"]


class Owner(Protocol):
    """Who has the connection, and is told what comes over it, on the loop."""

    def outcome(self, header: Header, body: bytes | memoryview) -> None:
        """A batch has ended; raises FrameError if it cannot have."""

    def declined(self, number: int) -> None:
        """A batch was not run."""

    def draining(self) -> None:
        """The replica takes no more batches."""

    def room(self) -> None:
        """The connection is writable again."""

    def lost(self, reason: str) -> None:
        """The connection is over, and was open."""


class GatewayConnection(FrameConnection):
    """One connection, from its first byte to its last."""

    def __init__(
        self,
        owner: Owner,
        wanted: WantedModel,
        options: RemoteOptions,
        *,
        local: bool,
        arena: Arena | None = None,
        window: Window | None = None,
    ) -> None:
        super().__init__(greeted=local)
        self._owner = owner
        self._wanted = wanted
        self._options = options
        self._local = local
        self._arena = arena
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._nonce = auth.new_nonce()
        self._engine_nonce = b""
        self._goodbye = ""
        self._released: deque[int] = deque()
        self._regions: dict[int, int] = {}
        self.stalled_ns = 0
        self.hello: asyncio.Future[Description] = self._loop.create_future()
        self.over: asyncio.Future[str] = self._loop.create_future()

    # FrameConnection

    def opened(self) -> None:
        if not self._local:
            self.send(preamble())

    def received(self, header: Header, body: bytes | memoryview) -> None:
        kind = header.kind
        if kind == Kind.OUTCOME and self.hello.done():
            self._owner.outcome(header, body)
        elif kind == Kind.GOODBYE:
            self._goodbye = decode(body, Goodbye).reason
            self.abort(self._goodbye)
        elif not self.hello.done():
            self._shake_hands(kind, body)
        elif kind == Kind.PONG:
            self.stalled_ns = header.aux
        elif kind == Kind.DECLINED:
            self._owner.declined(header.id)
        elif kind == Kind.DRAIN:
            self._owner.draining()
        else:
            raise FrameError(f"an engine does not send frames of kind {kind}")

    def closed(self, reason: str) -> None:
        reason = self._goodbye or reason
        self._arena = self._window = None
        self._regions.clear()
        if not self.hello.done():
            self.hello.set_exception(FrameError(reason))
            self.hello.exception()  # it may be that nobody waits for it any more
        elif not self.hello.cancelled() and self.hello.exception() is None:
            self._owner.lost(reason)
        if not self.over.done():
            self.over.set_result(reason)

    def writable_again(self) -> None:
        if self.hello.done():
            self._owner.room()

    # batches

    def send_batch(self, number: int, parts: Parts) -> None:
        """Send a batch, through shared memory if it is large and there is room."""
        packed = parts.packed
        size = packed.size
        if size >= self._options.shared_from_bytes and self._arena is not None:
            region = self._arena.write(packed.buffers, size)
            if region is not None:
                self._regions[number] = region
                self.send(parts.shared(number, region))
                return
        self.send_buffers(parts.framed(number), size)

    def ended(self, number: int) -> None:
        """The batch has come back: its shared memory is free for the next one."""
        if self._regions and self._arena is not None:
            region = self._regions.pop(number, None)
            if region is not None:
                self._arena.free(region)

    def payload(self, header: Header, body: bytes | memoryview) -> tuple[Buffer, int]:
        """Where the tensors of an outcome lie: a buffer and the offset in it.

        A region of shared memory is given back to the engine when no view of it is left.
        """
        if not header.flags & SHARED:
            return body, header.meta
        if self._window is None:
            raise FrameError("there is no shared memory of this engine")
        released = partial(self._release, header.region)
        return self._window.region(header.region, header.payload, released), 0

    def ping(self, waiting_ns: int = 0) -> None:
        """Ask for a sign of life, and say what waits for any replica: nanoseconds of execution."""
        self.send(control_frame(Kind.PING, aux=waiting_ns))

    def trim(self) -> None:
        """Give shared memory back that is not in use."""
        if self._arena is not None:
            self._arena.trim()

    def _release(self, region: int) -> None:
        """In any thread: the last view of an answer is gone."""
        self._released.append(region)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send_released)

    def _send_released(self) -> None:
        while self._released:
            self.send(control_frame(Kind.FREE, region=self._released.popleft()))

    # the handshake

    def _shake_hands(self, kind: int, body: bytes | memoryview) -> None:
        options, wanted = self._options, self._wanted
        if kind == Kind.CHALLENGE and not self._engine_nonce:
            challenge = decode(body, Challenge)
            self._engine_nonce = challenge.nonce
            proof = b""
            if not self._local:
                # Without it any process that listens there could give the answers.
                if options.secret is None or not challenge.secret:
                    side = "gateway" if options.secret is None else "engine"
                    raise FrameError(f"the {side} has no secret: batches over TCP need one")
                proof = auth.gateway_proof(options.secret, challenge.nonce, self._nonce)
            greeting = Greeting(
                options.gateway, wanted.model, wanted.version, wanted.digest, self._nonce, proof
            )
            self.send(control_frame(Kind.GREETING, encode(greeting)))
            self.limits = HANDSHAKE
        elif kind == Kind.HELLO and self._engine_nonce:
            hello = decode(body, Hello)
            if not self._local:
                assert options.secret is not None
                due = auth.engine_proof(options.secret, self._engine_nonce, self._nonce)
                if not auth.same(hello.proof, due):
                    raise FrameError("the engine does not know the secret")
            self.limits = options.limits
            self.hello.set_result(hello.description)
        else:
            raise FrameError(f"a frame of kind {kind} in the handshake")


async def connect(
    endpoint: Endpoint, owner: Owner, wanted: WantedModel, options: RemoteOptions
) -> GatewayConnection:
    """Connect and shake hands; the connection's ``hello`` is there.

    Raises:
        OSError, TimeoutError: nobody is there, or does not answer.
        FrameError: it is not the replica wanted, or not a Penstock engine; says why.
    """
    async with asyncio.timeout(options.handshake_timeout_s):
        if endpoint.path:
            connection = await _connect_local(endpoint.path, owner, wanted, options)
        else:
            connection = await _connect_tcp(endpoint, owner, wanted, options)
        try:
            await asyncio.shield(connection.hello)
        except BaseException:
            connection.abort("the handshake failed")
            raise
    return connection


async def _connect_local(
    path: str, owner: Owner, wanted: WantedModel, options: RemoteOptions
) -> GatewayConnection:
    sock = await local_socket.connect(path)
    arena = new_arena(options.shared_bytes)
    try:
        fd = await local_socket.exchange(sock, arena.fd if arena else None)
        window = Window(fd) if fd is not None else None
    except BaseException:
        sock.close()
        raise
    finally:
        if arena is not None:
            arena.close_file()
    _, connection = await asyncio.get_running_loop().create_unix_connection(
        lambda: GatewayConnection(owner, wanted, options, local=True, arena=arena, window=window),
        sock=sock,
    )
    return connection


async def _connect_tcp(
    endpoint: Endpoint, owner: Owner, wanted: WantedModel, options: RemoteOptions
) -> GatewayConnection:
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: GatewayConnection(owner, wanted, options, local=False),
        endpoint.host,
        endpoint.port,
        ssl=options.tls,
        server_hostname=(options.tls_name or endpoint.host) if options.tls else None,
    )
    return connection
