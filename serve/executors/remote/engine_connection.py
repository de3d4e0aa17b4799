"""A gateway as an engine sees it: let in or not, its batches, its answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from serve.clock import NS_PER_S
from serve.errors import InvalidRequest, PenstockError, TooLarge
from serve.executors.remote import auth
from serve.executors.remote.arena import Arena, Window
from serve.executors.remote.batches import failure_frame, outcome_parts, read_batch
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
from serve.executors.remote.runner import Runner, Work
from serve.executors.remote.wire import (
    SHARED,
    FrameError,
    Header,
    Kind,
    Limits,
    control_frame,
    preamble,
)
from serve.scheduling.execution import Outcome
from serve.tensors import DATATYPES, Batch

__all__ = ["EngineConnection", "Served"]

log = logging.getLogger("penstock.engine")


@dataclass(slots=True, eq=False)
class Served:
    """What all connections of an engine share."""

    description: Description
    runner: Runner
    limits: Limits
    secret: bytes | None
    shared_from_bytes: int
    handshake_timeout_s: float
    max_connections: int
    draining: bool = False
    connections: set[EngineConnection] = field(default_factory=set)
    strangers: dict[EngineConnection, None] = field(default_factory=dict)
    """Over TCP, and not let in yet: those who keep quiet must not keep gateways out. Oldest
    first."""
    gone: Callable[[], None] = lambda: None
    """Called when a connection is over."""


class EngineConnection(FrameConnection):
    """One gateway. ``arena`` is what answers are written to, ``window`` where its batches lie."""

    def __init__(
        self,
        served: Served,
        *,
        local: bool,
        arena: Arena | None = None,
        window: Window | None = None,
    ) -> None:
        super().__init__(greeted=local)
        self._served = served
        self._local = local
        self._arena = arena
        self._window = window
        self._nonce = auth.new_nonce()
        self._let_in = False
        self._gateway = "a stranger"
        self._working: dict[int, Work] = {}
        description = served.description
        self._most_working = description.slots + description.queue
        self._dtypes = [DATATYPES[tensor.datatype].dtype for tensor in description.inputs]
        self._timer: asyncio.TimerHandle | None = None
        self.waiting_ns = 0
        """Nanoseconds of execution of what waits in the gateway, as it said last."""

    # FrameConnection

    def opened(self) -> None:
        served = self._served
        if self._local:
            if not self._has_room():
                return
            served.connections.add(self)
        else:
            if len(served.strangers) >= served.max_connections:
                oldest = next(iter(served.strangers))
                del served.strangers[oldest]
                oldest.abort("too many have connected since, and it has not said who it is")
            served.strangers[self] = None
        timeout_s = served.handshake_timeout_s
        self._timer = asyncio.get_running_loop().call_later(
            timeout_s, self.abort, f"no greeting within {timeout_s:g} s"
        )
        challenge = Challenge(self._nonce, self._needs_proof)
        first = b"" if self._local else preamble()
        self.send(first + control_frame(Kind.CHALLENGE, encode(challenge)))

    def closed(self, reason: str) -> None:
        served = self._served
        if self._timer is not None:
            self._timer.cancel()
        for work in self._working.values():
            served.runner.withdraw(work)
        self._working.clear()
        self._arena = self._window = None
        log.info("gateway %s: %s", self._gateway, reason)
        served.connections.discard(self)
        served.strangers.pop(self, None)
        served.gone()

    def received(self, header: Header, body: bytes | memoryview) -> None:
        kind = header.kind
        if not self._let_in:
            if kind != Kind.GREETING:
                raise FrameError(f"a frame of kind {kind} before a greeting")
            self._welcome(decode(body, Greeting))
        elif kind == Kind.BATCH:
            self._take(header, body)
        elif kind == Kind.PING:
            self.waiting_ns = header.aux
            stalled_ns = self._served.runner.stalled_ns()
            self.send(control_frame(Kind.PONG, id=header.id, aux=stalled_ns))
        elif kind == Kind.FREE:
            if self._arena is None:
                raise FrameError("there is no shared memory to free a region of")
            self._arena.free(header.region)
        elif kind == Kind.WITHDRAW:
            work = self._working.get(header.id)
            if work is not None and self._served.runner.withdraw(work):
                self._decline(header.id)
        elif kind == Kind.GOODBYE:
            self.abort(f"said goodbye: {decode(body, Goodbye).reason}")
        else:
            raise FrameError(f"a gateway does not send frames of kind {kind}")

    def pause_writing(self) -> None:
        """A gateway that does not read its answers is not given more to wait for."""
        super().pause_writing()
        if self.transport is not None:
            self.transport.pause_reading()

    def writable_again(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # for the engine

    def drain(self) -> None:
        """Ask the gateway to hang up when its last batch is answered."""
        if self._let_in:
            self.send(control_frame(Kind.DRAIN))
        else:
            self.end("the replica is draining")

    def trim(self) -> None:
        """Give shared memory back that is not in use."""
        if self._arena is not None:
            self._arena.trim()

    # the handshake

    def _has_room(self) -> bool:
        most = self._served.max_connections
        if len(self._served.connections) < most:
            return True
        self.end(f"this engine has {most} connections, and takes no more")
        return False

    @property
    def _needs_proof(self) -> bool:
        return not self._local and self._served.secret is not None

    def _welcome(self, greeting: Greeting) -> None:
        served = self._served
        secret = served.secret
        proof = b""
        if self._needs_proof:
            assert secret is not None
            wanted = auth.gateway_proof(secret, self._nonce, greeting.nonce)
            if not auth.same(greeting.proof, wanted):
                log.warning("a gateway was refused: it does not know the secret")
                self.end("the secret is not the one of this engine")
                return
            proof = auth.engine_proof(secret, self._nonce, greeting.nonce)
        description = served.description
        for what in ("model", "version", "digest"):
            wants, has = getattr(greeting, what), getattr(description, what)
            if wants and wants != has:
                self.end(f"this replica serves {what} {has!r}, not {wants!r}")
                return
        if served.draining:
            self.end("the replica is draining")
            return
        if stalled_ns := served.runner.stalled_ns():
            self.end(f"the replica has been running one batch for {stalled_ns / NS_PER_S:.0f} s")
            return
        if not self._local:
            if not self._has_room():
                return
            served.strangers.pop(self, None)
            served.connections.add(self)
        if self._timer is not None:
            self._timer.cancel()
        self._let_in = True
        self._gateway = greeting.gateway
        self.limits = served.limits
        self.send(control_frame(Kind.HELLO, encode(Hello(description, proof))))
        log.info("gateway %s connected", self._gateway)

    # batches

    def _take(self, header: Header, body: bytes | memoryview) -> None:
        served = self._served
        number = header.id
        if number in self._working:
            raise FrameError(f"batch {number} was sent twice")
        if len(self._working) >= self._most_working:
            raise FrameError(f"more than {self._most_working} batches at once")
        if header.flags & SHARED:
            if self._window is None:
                raise FrameError("there is no shared memory of this gateway")
            region = self._window.region(header.region, header.payload)
            batch = read_batch(header, body, region, 0)
        else:
            batch = read_batch(header, body, body, header.meta)
        self._check(batch)
        work = Work(batch, header.aux, partial(self._answer, number))
        self._working[number] = work
        if served.draining or not served.runner.take(work):
            self._decline(number)

    def _check(self, batch: Batch) -> None:
        """A backend is given nothing that its signature does not allow."""
        description = self._served.description
        if batch.rows > description.max_batch_rows:
            raise FrameError(
                f"a batch of {batch.rows} rows, at most {description.max_batch_rows} are allowed"
            )
        if [array.dtype for array in batch.inputs] != self._dtypes:
            raise FrameError("the tensors of a batch are not those of the model's signature")
        if description.batched:
            for array in batch.inputs:
                if not array.ndim or len(array) != batch.rows:
                    raise FrameError("a tensor has not the rows of its batch")

    def _decline(self, number: int) -> None:
        self._working.pop(number, None)
        self.send(control_frame(Kind.DECLINED, id=number))

    def _answer(self, number: int, outcome: Outcome) -> None:
        work = self._working.pop(number, None)
        if work is None or self.transport is None:
            return  # nobody is left to be told
        error = outcome.error
        if error is None:
            assert outcome.outputs is not None
            try:
                self._send_outputs(number, work.batch.rows, outcome)
            except PenstockError as problem:
                error = problem
            except KeyError as problem:
                error = InvalidRequest(f"an output has a dtype that cannot be sent: {problem}")
        if error is not None:
            self.send(failure_frame(number, error, outcome.execute_ns))

    def _send_outputs(self, number: int, rows: int, outcome: Outcome) -> None:
        assert outcome.outputs is not None
        parts = outcome_parts(outcome.outputs, rows, outcome.execute_ns)
        size = parts.packed.size
        if size > self.limits.max_payload:
            raise TooLarge(
                f"the outputs of {rows} rows are {size} bytes, and at most"
                f" {self.limits.max_payload} can be sent: lower batching.max_batch_size"
            )
        if self._arena is not None and size >= self._served.shared_from_bytes:
            region = self._arena.write(parts.packed.buffers, size)
            if region is not None:
                self.send(parts.shared(number, region))
                return
        self.send_buffers(parts.framed(number), size)
