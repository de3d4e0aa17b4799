"""Runs the batches of one model version on replicas: the gateway's end of the data path.

A batch goes to the replica with the most free slots. If that is lost before it answers, the batch
is sent again, alone on a replica, at most three times in all: what is run is a pure function, so
that running it twice harms nobody, but a batch may be what killed the replica. The third time its
requests are sent one by one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serve.backends.output_check import check_outputs
from serve.clock import Clock
from serve.errors import BackendError, DeadlineExceeded, PenstockError, TooLarge, Unavailable
from serve.executors.remote.batches import batch_parts, read_failure, read_outputs
from serve.executors.remote.decisions import Fate, after_loss, most_free, reservable
from serve.executors.remote.flight import Flight
from serve.executors.remote.messages import Description
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.executors.remote.replica import Replica, State
from serve.executors.remote.wire import FAILED, FrameError, Header
from serve.monitoring.metrics import ReplicaMetrics
from serve.scheduling.execution import Outcome
from serve.tensors import Batch, Signature

__all__ = ["RemoteExecutor", "ReplicaStatus"]

log = logging.getLogger("penstock.remote")

TRIM_TICKS = 30
EAGER_NS = 200_000
"""If batches run for less than it takes to get one to a replica and its answer back, one is on its
way while another runs, even if that is not full."""
FOLLOW = 8
"""One part in so many of what is known of batches comes from the last."""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """A replica as this gateway sees it."""

    name: str
    endpoint: Endpoint
    state: State
    problem: str
    slots: int
    in_flight: int


class RemoteExecutor:
    """Implements ``Executor`` over a changing set of replicas. Belongs to the gateway's loop."""

    elsewhere = True

    def __init__(
        self,
        wanted: WantedModel,
        options: RemoteOptions,
        metrics: ReplicaMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        # shared
        self.wanted = wanted
        self._options = options
        self._metrics = metrics
        self._clock = clock
        self._loop = loop
        # state
        self.slots = 0
        self.prefetch = 0
        self.eager = False
        self._execute_ns = 0
        self._replicas: dict[str, Replica] = {}
        self._order: list[Replica] = []
        self._leaving: set[Replica] = set()
        self._last = -1
        self._waiting: deque[Flight] = deque()
        self._suspects: deque[Flight] = deque()
        self._description: Description | None = None
        self._signature: Signature | None = None
        self._described: asyncio.Future[Description] = loop.create_future()
        self._room: Callable[[], None] = _nothing
        self.on_starved: Callable[[], None] = _nothing
        """Called, perhaps often, when there is something to run, and no replica."""
        self.waiting_ns: Callable[[], int] = _no_work
        """Nanoseconds of execution of what has not been submitted; replicas are told."""
        self._pumping = False
        self._ticks = 0
        self._timer = loop.call_later(options.ping_s, self._tick)

    # for whoever knows the replicas

    def update(self, endpoints: Mapping[str, Endpoint]) -> None:
        """The replicas there are from now on, by name.

        One that is no longer among them is sent nothing more, and hung up on when its last batch
        is answered; one whose address has changed is taken for another.
        """
        for name, replica in list(self._replicas.items()):
            if endpoints.get(name) != replica.endpoint:
                del self._replicas[name]
                self._order.remove(replica)
                self._leaving.add(replica)
                replica.leave()
        for name, endpoint in endpoints.items():
            if name not in self._replicas:
                replica = Replica(name, endpoint, self, self._options, self._clock)
                self._replicas[name] = replica
                self._order.append(replica)
        self._recount()

    async def described(self) -> Description:
        """What the first replica said that it serves; waits until there is one."""
        return await asyncio.shield(self._described)

    def replicas(self) -> list[ReplicaStatus]:
        """The replicas and how they are, those that are leaving last."""
        return [
            ReplicaStatus(r.name, r.endpoint, r.state, r.problem, r.slots, len(r.flights))
            for r in (*self._order, *self._leaving)
        ]

    # Executor

    def attach(self, room: Callable[[], None]) -> None:
        """See ``Executor``."""
        self._room = room

    def starved(self) -> None:
        """See ``Executor``."""
        self.on_starved()

    def submit(self, batch: Batch, quick_ns: int, done: Callable[[Outcome], None]) -> None:
        """See ``Executor``. A batch waits here if no replica has room for it any more."""
        try:
            parts = batch_parts(batch, quick_ns)
        except (PenstockError, KeyError, OverflowError, TypeError) as error:
            done(Outcome(None, BackendError(f"the batch cannot be sent: {error}"), 0))
            return
        most = self._options.limits.max_payload
        if parts.packed.size > most:
            problem = f"a batch of {parts.packed.size} bytes; at most {most} can be sent"
            done(Outcome(None, TooLarge(problem), 0))
            return
        flight = Flight(batch, parts, done, batch.lost)
        if batch.lost:
            self._suspects.append(flight)
            self._pump()
            return
        replica = None if self._waiting else self._most_free()
        if replica is None:
            self._waiting.append(flight)
            if not self.slots:
                self.on_starved()
        else:
            replica.send(flight, self._clock())

    def withdraw(self, done: Callable[[Outcome], None]) -> None:
        """See ``Executor``."""
        for queue in (self._waiting, self._suspects):
            for flight in queue:
                if flight.done is done:
                    queue.remove(flight)
                    self._drop(flight)
                    return
        for replica in (*self._order, *self._leaving):
            for flight in list(replica.flights.values()):
                if flight.done is done:
                    flight.withdrawn = True
                    replica.withdraw(flight)

    def close(self) -> None:
        """Hang up on all replicas; batches under way are forgotten."""
        self._timer.cancel()
        self._room = _nothing
        self._waiting.clear()
        self._suspects.clear()
        for replica in (*self._order, *self._leaving):
            replica.close()
        self._order.clear()
        self._replicas.clear()
        self._leaving.clear()
        self._recount()
        if not self._described.done():
            self._described.set_exception(Unavailable("the executor was closed"))
            self._described.exception()  # nobody may be waiting

    # Pool

    def accepts(self, description: Description) -> str:
        """See ``Pool``: all replicas must be alike."""
        first = self._description
        if first is None:
            self._description = description
            self._signature = description.signature
            if not self._described.done():
                self._described.set_result(description)
            return ""
        for what in ("model", "version", "digest", "batched", "inputs", "outputs"):
            if getattr(first, what) != getattr(description, what):
                return f"its {what} is not that of the other replicas"
        if description.max_batch_rows < first.max_batch_rows:
            return (
                f"it takes {description.max_batch_rows} rows in a batch, and the other replicas"
                f" {first.max_batch_rows}"
            )
        return ""

    def changed(self, replica: Replica) -> None:
        """See ``Pool``."""
        if replica in self._leaving and replica.state is State.FAILED:
            self._leaving.discard(replica)
        self._recount()
        self._pump()

    def outcome(
        self, replica: Replica, flight: Flight, header: Header, body: bytes | memoryview
    ) -> None:
        """See ``Pool``."""
        result = self._read(replica, flight, header, body)
        transport_ns = self._clock() - flight.sent_ns - result.execute_ns
        self._metrics.transport.observe(max(0, transport_ns))
        self._execute_ns += (result.execute_ns - self._execute_ns) // FOLLOW
        self.eager = self._execute_ns < EAGER_NS
        if replica.suspect:
            self._release(replica)
        if self._waiting or self._suspects:
            self._pump()
        flight.done(result)

    def refused(self, replica: Replica, flight: Flight) -> None:
        """See ``Pool``."""
        self._metrics.retries["declined"] += 1
        if replica.suspect:
            self._release(replica)
        if flight.withdrawn:
            self._drop(flight)
        else:
            (self._suspects if flight.sent else self._waiting).appendleft(flight)
        self._pump()

    def lost(self, replica: Replica, flights: list[Flight], reason: str) -> None:
        """See ``Pool``."""
        for flight in flights:
            flight.sent += 1
            alone = flight.batch.rows <= 1
            fate = after_loss(flight.sent, self._options.tries, flight.withdrawn, alone)
            if fate is Fate.AGAIN:
                self._metrics.retries["lost"] += 1
                self._suspects.append(flight)
            elif fate is Fate.SPLIT:
                self._metrics.retries["lost"] += 1
                error = Unavailable(f"replica {replica.name} was lost: {reason}")
                flight.done(Outcome(None, error, 0, lost=flight.sent))
            elif fate is Fate.DROPPED:
                self._drop(flight)
            else:
                self._metrics.given_up += 1
                error = Unavailable(
                    f"{flight.sent} replicas of model '{self.wanted.model}' were lost with this"
                    f" batch, the last ({replica.name}) because {reason}: it is not tried again"
                )
                log.error("%s", error)
                flight.done(Outcome(None, error, 0))
        self._pump()

    # inside

    def _read(
        self, replica: Replica, flight: Flight, header: Header, body: bytes | memoryview
    ) -> Outcome:
        if header.flags & FAILED:
            return Outcome(None, read_failure(header, body), header.aux)
        assert self._signature is not None
        payload, offset = replica.payload(header, body)
        outputs = read_outputs(header, body, payload, offset)
        try:
            outputs = check_outputs(self._signature, outputs, flight.batch.rows)
        except BackendError as error:
            raise FrameError(f"not an answer of this model: {error}") from None
        return Outcome(outputs, None, header.aux)

    def _drop(self, flight: Flight) -> None:
        error = DeadlineExceeded(f"model '{self.wanted.model}' did not answer in time")
        flight.done(Outcome(None, error, 0))

    def _most_free(self) -> Replica | None:
        order = self._order
        index = most_free([replica.free for replica in order], self._last)
        if index < 0:
            return None
        self._last = index
        return order[index]

    def _pump(self) -> None:
        """Send what waits, as far as there is room; suspects first."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._suspects and self._send_alone():
                pass
            while self._waiting and (replica := self._most_free()) is not None:
                replica.send(self._waiting.popleft(), self._clock())
        finally:
            self._pumping = False
        if not self.slots and (self._waiting or self._suspects):
            self.on_starved()

    def _send_alone(self) -> bool:
        """Send the next suspect to a replica that is kept empty for it; False if it must wait."""
        for replica in self._order:
            if replica.suspect and not replica.flights and replica.state is State.READY:
                replica.send(self._suspects.popleft(), self._clock())
                return True
        ready = [replica for replica in self._order if replica.usable]
        reserved = sum([replica.suspect for replica in self._order])
        index = reservable([len(replica.flights) for replica in ready], reserved)
        if index < 0:
            return False
        ready[index].suspect = True
        self._recount()
        return not ready[index].flights

    def _release(self, replica: Replica) -> None:
        """Let a replica have ordinary batches again, if no suspect needs it any more."""
        if not replica.flights and not self._suspects:
            replica.suspect = False
            self._recount()

    def _recount(self) -> None:
        """Follow what the replicas can take, and tell the batcher if that has become more."""
        before = self.slots + self.prefetch
        usable = [replica for replica in self._order if replica.usable]
        self.slots = sum([replica.slots for replica in usable])
        self.prefetch = len(usable)
        metrics = self._metrics
        metrics.slots = self.slots
        states = Counter({str(state): 0 for state in State})
        states.update(str(replica.state) for replica in (*self._order, *self._leaving))
        metrics.states = dict(states)
        if self.slots + self.prefetch > before:
            self._loop.call_soon(self._room)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._options.ping_s, self._tick)
        self._ticks += 1
        now_ns = self._clock()
        waiting_ns = self.waiting_ns()
        for replica in (*self._order, *self._leaving):
            replica.look(now_ns, waiting_ns)
            if self._ticks % TRIM_TICKS == 0 and replica.connection is not None:
                replica.connection.trim()


def _nothing() -> None:
    """Nobody is attached."""


def _no_work() -> int:
    """Nobody is attached."""
    return 0
