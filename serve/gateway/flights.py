"""Requests under way whose answers will be kept: the same request again joins the first one's run.

A flight is one run of the model and all who wait for it. The run belongs to none of them: it
goes on as long as one is left, whoever goes, and until the last deadline of those who wait. What
the model makes of it is kept, and every client has its own answer rendered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from serve.cache import MemoryCache, SharedCache
from serve.clock import NS_PER_MS, NS_PER_S, Clock
from serve.errors import DeadlineExceeded, PenstockError, Unavailable
from serve.executors.live import LiveModel
from serve.monitoring.metrics import CacheMetrics
from serve.scheduling.alarm import Alarm
from serve.scheduling.entry import Answerer, Entry
from serve.tensors import Array, InferResponse

__all__ = ["Flight", "Flights"]

log = logging.getLogger("penstock.cache")


class Flight:
    """One run and its clients; it is the ``Sink`` of the run, and hears only of its failure.

    ``first`` stays, also when that client has gone. ``run`` is None while the shared store is
    asked, and once it has landed.
    """

    __slots__ = ("clients", "first", "key", "run", "table")

    def __init__(self, table: Flights, key: bytes, first: Entry) -> None:
        self.table = table
        self.key = key
        self.first = first
        self.clients = [first]
        self.run: Entry | None = None

    def waiting(self) -> list[Entry]:
        """The clients that are still to be answered."""
        return [client for client in self.clients if not client.done]

    def left(self, client: Entry) -> None:
        """A client has cancelled."""
        self.table.left(self)

    def answered(self, response: InferResponse) -> None:
        """See ``Sink``; never called, because a ``_Landing`` answers the run."""
        raise NotImplementedError

    def failed(self, error: PenstockError) -> None:
        """See ``Sink``."""
        self.table.failed(self, error)


class Flights:
    """The flights of one version. Belongs to the event loop."""

    def __init__(
        self,
        live: LiveModel,
        store: MemoryCache,
        metrics: CacheMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        shared: SharedCache | None = None,
    ) -> None:
        ttl_s = live.config.cache.ttl_s if live.config.cache is not None else None
        self._ttl_ns = int(ttl_s * NS_PER_S) if ttl_s else 0
        self._shared = shared
        self._outputs = live.signature.outputs
        self._batched = live.signature.batched
        self._batcher = live.batcher
        self._version = live.metrics
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._flights: dict[bytes, Flight] = {}
        self._landings: dict[Answerer, _Landing] = {}
        # A run has the last deadline of its clients, and the batcher keeps it; this keeps theirs.
        self._deadline = Alarm(loop, self._sweep)

    def close(self) -> None:
        """Hold nothing any more; the batcher has told all who waited."""
        self._deadline.cancel()
        self._landings.clear()

    def join(self, key: bytes, client: Entry, now_ns: int) -> bool:
        """Wait for the run of the same request; False if there is none."""
        flight = self._flights.get(key)
        if flight is None:
            return False
        client.withdraw = flight.left
        flight.clients.append(client)
        self._metrics.joined += 1
        self._version.in_flight += 1
        if flight.run is not None:
            self._prolong(flight.run, flight.clients, now_ns)
        return True

    def begin(self, key: bytes, client: Entry) -> Flight:
        """A flight for a request that is not under way; it has no run yet."""
        self._version.in_flight += 1
        flight = self._flights[key] = Flight(self, key, client)
        client.withdraw = flight.left
        return flight

    def start(self, flight: Flight, now_ns: int) -> None:
        """Queue the run of a flight. Raises what ``Batcher.submit`` does, and then it is none."""
        run = self._run(flight, flight.first.inputs, flight.first.start)
        if len(flight.clients) > 1:
            self._prolong(run, flight.clients, now_ns)
        self._metrics.misses += 1
        self._version.in_flight -= 1  # the batcher counts it from now on
        try:
            self._batcher.submit(run, now_ns)
        except PenstockError:
            self._end(flight)
            raise

    def start_all(self, flights: list[Flight], whole: bool, now_ns: int) -> None:
        """Queue the runs of flights whose clients are of one block; refusals are told at once.

        ``whole``: they are all of the block, so that its arrays can be run as they are.
        """
        inputs = flights[0].first.inputs
        rows = flights[0].first.rows
        if not whole:
            starts = np.array([flight.first.start for flight in flights])
            picked = (starts[:, None] + np.arange(rows)).ravel()
            inputs = tuple([array[picked] for array in inputs])
        runs = [self._run(flight, inputs, index * rows) for index, flight in enumerate(flights)]
        for flight, run in zip(flights, runs, strict=True):
            if len(flight.clients) > 1:
                self._prolong(run, flight.clients, now_ns)
        self._metrics.misses += len(runs)
        self._version.in_flight -= len(runs)
        outcomes = self._batcher.submit_block(runs, now_ns)
        for flight, outcome in zip(flights, outcomes, strict=True):
            if isinstance(outcome, PenstockError):
                self._refuse(self._end(flight), outcome)

    def look_up(self, flight: Flight) -> None:
        """Ask the shared store before anything runs."""
        assert self._shared is not None
        self._batcher.expected += 1
        self._shared.look_up(flight.key, partial(self._looked_up, flight))

    def _looked_up(self, flight: Flight, data: bytes | None) -> None:
        """Answer a flight with what the shared store has, or run it."""
        self._batcher.expected -= 1
        waiting = flight.waiting()
        if not waiting:
            return
        now_ns = self._clock()
        if data is not None and self._answer_kept(flight, waiting, data, now_ns):
            return
        try:
            self.start(flight, now_ns)
        except PenstockError as refusal:
            self._refuse(waiting, refusal)

    def _answer_kept(self, flight: Flight, waiting: list[Entry], data: bytes, now_ns: int) -> bool:
        """Answer all who wait with an answer of the shared store, unless it is of no use."""
        assert self._shared is not None
        rows = flight.first.rows if self._batched else None
        try:
            outputs, age_ns, took_ns = self._shared.unpack(data, self._outputs, rows)
        except ValueError as error:
            log.warning("model '%s': a shared answer is not used: %s", self._version.model, error)
            return False
        if self._ttl_ns and age_ns >= self._ttl_ns:
            return False
        expires_ns = now_ns + self._ttl_ns - age_ns if self._ttl_ns else 0
        self._store.put(flight.key, outputs, took_ns, expires_ns)
        self._end(flight)
        self._metrics.hits += 1
        self._metrics.shared_hits += 1
        self._metrics.saved_ns += took_ns
        self._answer_each(waiting, outputs)
        return True

    def land(self, runs: Sequence[Entry], outputs: list[Array], answerer: Answerer) -> None:
        """Keep what the model made of runs, and answer all who wait for it."""
        now_ns = self._clock()
        store, ttl_ns = self._store, self._ttl_ns
        flights = [cast(Flight, run.sink) for run in runs]
        parts = []
        start = 0
        for run, flight in zip(runs, flights, strict=True):
            stop = start + run.rows
            part = outputs if len(runs) == 1 else [output[start:stop] for output in outputs]
            parts.append(part)
            start = stop
            if not run.done:
                took_ns = now_ns - run.enqueued_ns
                store.put(flight.key, part, took_ns, ttl_ns and now_ns + ttl_ns)
                if self._shared is not None:
                    self._shared.keep(flight.key, part, self._outputs, took_ns, ttl_ns)
        self._metrics.miss_ns += self._clock() - now_ns
        firsts = [flight.first for flight in flights]
        present = [not first.done for first in firsts]
        answerer.answer(firsts, outputs)
        for run, flight, part, first in zip(runs, flights, parts, present, strict=True):
            if not run.done:
                run.done = True
                self._landed(flight, part, first)

    def left(self, flight: Flight) -> None:
        """A client of a flight has cancelled; the last one takes the run with it."""
        run = flight.run
        if flight.waiting() or run is None:
            self._version.in_flight -= 1
            self._version.cancellations += 1
        if not flight.waiting():
            self._end(flight)
            if run is not None:
                run.cancel()

    def failed(self, flight: Flight, error: PenstockError) -> None:
        """The run has failed, and is counted so.

        One client is told. The others are not to suffer for being the same: they run by
        themselves, unless the error is one that concerns them as much.
        """
        now_ns = self._clock()
        waiting = self._end(flight)
        if isinstance(error, Unavailable):
            told = waiting
        elif isinstance(error, DeadlineExceeded):
            told = [client for client in waiting if client.deadline_ns <= now_ns]
        else:
            told = waiting[:1]
        version = self._version
        if waiting:
            version.in_flight -= len(waiting) - 1
            version.failures += len(told) - 1
        for client in waiting:
            if client in told:
                client.fail(error)
                continue
            try:
                self._batcher.submit(client, now_ns)
            except PenstockError as refusal:
                version.failures += 1
                client.fail(refusal)

    def _run(self, flight: Flight, inputs: tuple[Array, ...], start: int) -> Entry:
        first = flight.first
        landing = self._landings.get(first.answerer)
        if landing is None:
            landing = self._landings[first.answerer] = _Landing(self, first.answerer)
        flight.run = run = Entry(
            first.request,
            flight,
            landing,
            inputs,
            first.rows,
            first.group,
            first.received_ns,
            first.deadline_ns,
            first.series,
            start,
            priority=first.priority,
            parameters=first.parameters,
        )
        return run

    def _landed(self, flight: Flight, outputs: list[Array], first: bool) -> None:
        """Answer those who joined; the first has been, if it was still there."""
        joined = [
            client for client in flight.clients if client is not flight.first and not client.done
        ]
        self._end(flight)
        if joined:
            self._answer_each(joined, outputs)
        # The batcher counts one, whoever that is.
        if not first:
            self._version.successes -= 1
            self._version.in_flight += 1

    def _answer_each(self, clients: list[Entry], outputs: list[Array]) -> None:
        """Answer clients of a flight, each by itself, and count them."""
        now_ns = self._clock()
        version = self._version
        for client in clients:
            client.answerer.answer((client,), outputs)
            waited_ns = now_ns - client.received_ns
            client.series.total.observe(waited_ns)
            version.success_ns += waited_ns
        version.successes += len(clients)
        version.in_flight -= len(clients)
        version.last_ns = now_ns

    def _refuse(self, waiting: list[Entry], refusal: PenstockError) -> None:
        """Tell all clients of a run that was never queued."""
        self._version.in_flight -= len(waiting) - 1
        for client in waiting:
            client.fail(refusal)

    def _prolong(self, run: Entry, clients: Sequence[Entry], now_ns: int) -> None:
        """Let a run have the last deadline of its clients, and watch over the earlier ones."""
        deadlines_ns = [client.deadline_ns for client in clients]
        run.deadline_ns = max(run.deadline_ns, max(deadlines_ns))
        earliest_ns = min(deadlines_ns)
        if earliest_ns < min(run.deadline_ns, self._deadline.due_ns):
            self._deadline.set(earliest_ns, now_ns)

    def _sweep(self) -> None:
        """Answer the clients whose deadline has passed, and whose run goes on for others."""
        now_ns = self._clock()
        left: list[int] = []
        alone = False
        for flight in list(self._flights.values()):
            run = flight.run
            if run is None:
                continue
            for client in flight.waiting():
                if client.deadline_ns >= run.deadline_ns:
                    continue
                if client.deadline_ns > now_ns:
                    left.append(client.deadline_ns)
                elif len(flight.waiting()) == 1:
                    run.deadline_ns = client.deadline_ns
                    alone = True
                else:
                    self._expire(client, now_ns)
        if left:
            self._deadline.set(min(left), now_ns)
        if alone:
            self._batcher.sweep()

    def _expire(self, client: Entry, now_ns: int) -> None:
        waited_ns = now_ns - client.received_ns
        self._version.in_flight -= 1
        self._version.failures += 1
        self._version.failure_ns += waited_ns
        client.fail(
            DeadlineExceeded(
                f"model '{self._version.model}' did not answer within the deadline; waited"
                f" {waited_ns / NS_PER_MS:.0f} ms"
            )
        )

    def _end(self, flight: Flight) -> list[Entry]:
        """Take a flight down; those who still wait for it."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        waiting = flight.waiting()
        for client in flight.clients:  # else they would hold one another for ever
            client.withdraw = None
        flight.clients = []
        flight.run = None
        return waiting


class _Landing:
    """The ``Answerer`` of runs whose first clients share one."""

    __slots__ = ("_answerer", "_flights")

    def __init__(self, flights: Flights, answerer: Answerer) -> None:
        self._flights = flights
        self._answerer = answerer

    def answer(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        """See ``Answerer``."""
        self._flights.land(entries, outputs, self._answerer)
