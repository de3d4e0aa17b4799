"""One replica in a gateway's table: kept connected, with the batches that are there."""

from __future__ import annotations

import asyncio
import logging
import random
from enum import StrEnum
from typing import Protocol

from serve.clock import NS_PER_S, Clock
from serve.executors.remote.decisions import backoff_s, hung
from serve.executors.remote.flight import Flight
from serve.executors.remote.gateway_connection import GatewayConnection, connect
from serve.executors.remote.messages import Description
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.executors.remote.tensors import Buffer
from serve.executors.remote.wire import FrameError, Header, Kind, control_frame

__all__ = ["Pool", "Replica", "State"]

log = logging.getLogger("penstock.remote")

REST_S = (0.005, 0.5)
"""Shortest and longest time for which a replica that declined a batch is sent none."""


class State(StrEnum):
    """What a replica is to this gateway; the value is a metric label."""

    CONNECTING = "connecting"
    READY = "ready"
    RESTING = "resting"
    """It declined a batch, and is not sent any for a moment."""
    DRAINING = "draining"
    FAILED = "failed"
    """It was lost or could not be reached; ``problem`` says why. It is tried again."""


class Pool(Protocol):
    """Who has the replicas; called on the loop."""

    wanted: WantedModel

    def accepts(self, description: Description) -> str:
        """What is wrong with a replica that describes itself so; "" if nothing is."""

    def changed(self, replica: Replica) -> None:
        """Its state, or what it can take, is another."""

    def outcome(
        self, replica: Replica, flight: Flight, header: Header, body: bytes | memoryview
    ) -> None:
        """A batch has ended; raises FrameError if it cannot have ended so."""

    def lost(self, replica: Replica, flights: list[Flight], reason: str) -> None:
        """The batches that were there will not come back."""

    def refused(self, replica: Replica, flight: Flight) -> None:
        """A batch was not run, and can be sent elsewhere."""


class Replica:
    """Implements ``Owner`` for its connection. Belongs to the gateway's loop."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        pool: Pool,
        options: RemoteOptions,
        clock: Clock,
    ) -> None:
        # shared
        self.name = name
        self.endpoint = endpoint
        self._pool = pool
        self._options = options
        self._clock = clock
        # state
        self.state = State.CONNECTING
        self.problem = ""
        self.leaving = False
        self.suspect = False
        """Kept empty for a batch that may kill it, or running it."""
        # per connection
        self.connection: GatewayConnection | None = None
        self.slots = 0
        self.capacity = 0
        self.flights: dict[int, Flight] = {}
        self._number = 0
        self._rests = 0
        self._seen_bytes = 0
        self._unsent_bytes = 0
        self._silent_looks = 0
        self._keeping = asyncio.get_running_loop().create_task(self._keep_connected())

    @property
    def usable(self) -> bool:
        """Whether it may be sent ordinary batches."""
        return self.state is State.READY and not self.suspect

    @property
    def free(self) -> int:
        """Ordinary batches that it can be sent now."""
        connection = self.connection
        if self.state is not State.READY or self.suspect or connection is None:
            return 0
        return self.capacity - len(self.flights) if connection.writable else 0

    def send(self, flight: Flight, now_ns: int) -> None:
        """Send a batch; it must have room."""
        connection = self.connection
        assert connection is not None
        self._number += 1
        flight.sent_ns = now_ns
        self.flights[self._number] = flight
        connection.send_batch(self._number, flight.parts)

    def withdraw(self, flight: Flight) -> None:
        """Tell the engine that nobody waits for a batch that is there."""
        for number, other in self.flights.items():
            if other is flight and self.connection is not None:
                self.connection.send(control_frame(Kind.WITHDRAW, id=number))

    def leave(self) -> None:
        """It is no longer in the table: hang up as soon as its last batch is answered."""
        self.leaving = True
        if self.connection is None:
            self.close()
            self._set(State.FAILED)
        else:
            self._set(State.DRAINING)
            self._hang_up_if_empty()

    def close(self) -> None:
        """Hang up now; the batches that are there are forgotten."""
        self.leaving = True
        self.flights.clear()
        self._keeping.cancel()
        if self.connection is not None:
            self.connection.end("the gateway closes")

    def look(self, now_ns: int, waiting_ns: int = 0) -> None:
        """Ask for a sign of life, say what waits, and hang up on a replica that hangs."""
        connection = self.connection
        if connection is None or connection.transport is None:
            return
        unsent = connection.transport.get_write_buffer_size()
        moved = connection.bytes_received != self._seen_bytes or unsent < self._unsent_bytes
        self._seen_bytes, self._unsent_bytes = connection.bytes_received, unsent
        # Looks are counted, not seconds: if this process stood still, the replica did not.
        self._silent_looks = 0 if moved else self._silent_looks + 1
        overdue = [now_ns - f.sent_ns for f in self.flights.values() if f.withdrawn]
        problem = hung(
            unanswered_ns=int(self._silent_looks * self._options.ping_s * NS_PER_S),
            silent_ns=int(self._options.silent_s * NS_PER_S),
            stalled_ns=connection.stalled_ns,
            overdue_ns=max(overdue, default=0),
            stall_ns=int(self._options.stall_s * NS_PER_S),
        )
        if problem:
            connection.abort(problem)
        else:
            connection.ping(waiting_ns)

    # Owner

    def outcome(self, header: Header, body: bytes | memoryview) -> None:
        flight = self._landed(header.id)
        try:
            self._pool.outcome(self, flight, header, body)
        except FrameError:
            self.flights[header.id] = flight  # it will be lost with the connection
            raise
        self._rests = 0
        if self.state is State.DRAINING:
            self._hang_up_if_empty()

    def declined(self, number: int) -> None:
        flight = self._landed(number)
        if self.state is State.READY and not flight.withdrawn:
            self._rests += 1
            wait_s = backoff_s(self._rests, *REST_S, random.random())  # noqa: S311
            self._set(State.RESTING)
            asyncio.get_running_loop().call_later(wait_s, self._rested, self.connection)
        self._pool.refused(self, flight)
        if self.state is State.DRAINING:
            self._hang_up_if_empty()

    def draining(self) -> None:
        self._set(State.DRAINING)
        self._hang_up_if_empty()

    def room(self) -> None:
        self._pool.changed(self)

    def lost(self, reason: str) -> None:
        self.connection = None
        self.slots = self.capacity = 0
        self.suspect = False
        flights, self.flights = list(self.flights.values()), {}
        self.problem = reason
        self._set(State.FAILED)
        if flights:
            log.warning("replica %s was lost with %d batches: %s", self.name, len(flights), reason)
            self._pool.lost(self, flights, reason)

    def payload(self, header: Header, body: bytes | memoryview) -> tuple[Buffer, int]:
        """See ``GatewayConnection.payload``."""
        assert self.connection is not None
        return self.connection.payload(header, body)

    # inside

    def _landed(self, number: int) -> Flight:
        flight = self.flights.pop(number, None)
        if flight is None:
            raise FrameError(f"an answer to batch {number}, which was not asked")
        if self.connection is not None:
            self.connection.ended(number)
        return flight

    def _hang_up_if_empty(self) -> None:
        if not self.flights and self.connection is not None:
            self.connection.end("the gateway sends no more batches")

    def _rested(self, connection: GatewayConnection | None) -> None:
        if self.state is State.RESTING and connection is self.connection:
            self._set(State.READY)

    def _set(self, state: State) -> None:
        self.state = state
        self._pool.changed(self)

    async def _keep_connected(self) -> None:
        """Connect, wait until that is over, and again with growing pauses, until it leaves."""
        options = self._options
        failures = 0
        while not self.leaving:
            try:
                connection = await connect(self.endpoint, self, self._pool.wanted, options)
                if self._begin(connection):
                    failures = 0
                await connection.over
            except (OSError, FrameError, TimeoutError) as error:
                self.problem = str(error) or "it did not answer in time"
                if not failures:
                    log.warning("replica %s at %s: %s", self.name, self.endpoint, self.problem)
                self._set(State.FAILED)
            if not self.leaving:
                failures += 1
                await asyncio.sleep(backoff_s(failures, *options.backoff_s, random.random()))  # noqa: S311

    def _begin(self, connection: GatewayConnection) -> bool:
        """Take a new connection into use; False if the replica is not one for this gateway."""
        description = connection.hello.result()
        if connection.over.done() or self.leaving:
            return False
        if description.replica == self.name:
            problem = self._pool.accepts(description)
        else:
            problem = f"it is replica {description.replica!r}"
        self.connection = connection
        if problem:
            connection.end(problem)
            return False
        self.slots = description.slots
        self.capacity = description.slots + description.queue
        self._seen_bytes = self._unsent_bytes = self._silent_looks = self._rests = 0
        self.problem = ""
        log.info("replica %s at %s is ready", self.name, self.endpoint)
        self._set(State.READY)
        return True
