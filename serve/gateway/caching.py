"""A live version whose answers are kept: a request that comes again does not run the model.

It stands in the place of a plain ``Endpoint`` only for models that ask for it, so that others do
not even know. A request is checked first, so that what is kept is only ever compared with what
the model would have been given; then looked up; then it joins the run of the same request, or
begins one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

import numpy as np

from serve.cache import Keys, MemoryCache, SharedCache, Stored
from serve.clock import Clock
from serve.errors import InvalidRequest, PenstockError
from serve.executors.live import LiveModel
from serve.gateway.endpoint import Endpoint
from serve.gateway.flights import Flight, Flights
from serve.gateway.interface import Ticket, Together
from serve.monitoring.metrics import CacheMetrics
from serve.scheduling.entry import Entry, Sink
from serve.tensors import Array, InferRequest

__all__ = ["CachingEndpoint", "EndpointMaker"]

log = logging.getLogger("penstock.cache")

BYPASS = "response_cache"
"""The request parameter that, if false, has the model run and nothing kept."""


OF_ANSWERS = {"backend", "inputs", "parameters", "tokenizer"}
"""The settings that the answer to given inputs may follow from."""


class EndpointMaker:
    """Makes the endpoint of a live version: one that keeps answers, where its model says so."""

    def __init__(
        self,
        cache_bytes: int,
        loop: asyncio.AbstractEventLoop,
        shared: SharedCache | None = None,
    ) -> None:
        """``cache_bytes``: most memory for the answers of a model that does not say."""
        self._cache_bytes = cache_bytes
        self._loop = loop
        self._shared = shared

    def __call__(self, live: LiveModel, clock: Clock) -> Endpoint:
        """The endpoint of ``live``.

        Raises:
            RepositoryError: a setting does not fit the model.
        """
        cache = live.config.cache
        if cache is None:
            return Endpoint(live, clock)
        if cache.shared and self._shared is None:
            log.warning(
                "model '%s': cache.shared has no effect without --cache-redis: answers are kept in"
                " this process",
                live.name,
            )
        shared = self._shared if cache.shared else None
        max_bytes = cache.max_bytes or self._cache_bytes
        return CachingEndpoint(live, clock, self._loop, max_bytes, shared)


class _Answered:
    """The ``Ticket`` of a request that was answered at once."""

    def cancel(self) -> None:
        """Too late."""


ANSWERED = _Answered()


class CachingEndpoint(Endpoint):
    """Keeps the answers of one live version, in ``max_bytes`` of memory and perhaps ``shared``."""

    def __init__(
        self,
        live: LiveModel,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        max_bytes: int,
        shared: SharedCache | None = None,
    ) -> None:
        super().__init__(live, clock)
        metrics = live.metrics.cache = live.metrics.cache or CacheMetrics()
        self._cache_metrics = metrics
        # Made with the version and gone with it: another version, and the same one loaded again,
        # start with nothing.
        self._store = MemoryCache(max_bytes, metrics)
        self._keys = Keys(_identity(live))
        self._shared_cache = shared
        self._flights = Flights(live, self._store, metrics, clock, loop, shared)
        live.on_close = self._closed

    def submit(self, request: InferRequest, sink: Sink, together: Together | None = None) -> Ticket:
        """See ``Endpoint.submit``."""
        clock = self._clock
        now_ns = clock()
        entry = self._entry(request, sink, together, now_ns)
        if request.parameters and _bypasses(request):
            self._cache_metrics.bypassed += 1
            self.live.batcher.submit(entry, now_ns)
            return entry
        asked_ns = clock()
        key = self._keys.of(entry.inputs, entry.parameters)
        found = self._store.get(key, asked_ns)
        if found is not None:
            self._hit([entry], [found], clock() - asked_ns)
            return ANSWERED
        if not self._flights.join(key, entry, asked_ns):
            flight = self._flights.begin(key, entry)
            self._cache_metrics.miss_ns += clock() - asked_ns
            if self._shared_cache is not None and self._shared_cache.lets_through():
                self._flights.look_up(flight)
            else:
                self._flights.start(flight, now_ns)
        return entry

    def _queue(self, entries: list[Entry], now_ns: int) -> Sequence[Ticket | PenstockError]:
        """See ``Endpoint._queue``: only what is new runs."""
        hits: list[Entry] = []
        found: list[Stored] = []
        begun: list[Flight] = []
        get, join = self._store.get, self._flights.join
        keys = self._keys.of_block(entries[0].inputs, entries[0].rows, len(entries))
        for entry, key in zip(entries, keys, strict=True):
            stored = get(key, now_ns)
            if stored is not None:
                hits.append(entry)
                found.append(stored)
            elif not join(key, entry, now_ns):
                begun.append(self._flights.begin(key, entry))
        looked_ns = self._clock() - now_ns
        if begun:
            self._cache_metrics.miss_ns += looked_ns * len(begun) // len(entries)
            if self._shared_cache is not None and self._shared_cache.lets_through():
                for flight in begun:
                    self._flights.look_up(flight)
            else:
                self._flights.start_all(begun, len(begun) == len(entries), now_ns)
        if hits:
            self._hit(hits, found, looked_ns * len(hits) // len(entries))
        return [ANSWERED if entry.done else entry for entry in entries]

    def _closed(self) -> None:
        self._store.clear()
        self._flights.close()

    def _hit(self, hits: list[Entry], found: list[Stored], looked_ns: int) -> None:
        """Answer requests of one answerer, for which it was looked so long."""
        answerer = hits[0].answerer
        together = _side_by_side(found) if len(hits) > 1 else found[0].outputs
        if together is not None:
            answerer.answer(hits, together)
        else:
            for hit, stored in zip(hits, found, strict=True):
                answerer.answer((hit,), stored.outputs)
        now_ns = self._clock()
        metrics, version = self._cache_metrics, self.live.metrics
        metrics.hits += len(hits)
        metrics.hit_ns += looked_ns
        metrics.saved_ns += sum([stored.took_ns for stored in found])
        version.successes += len(hits)
        version.success_ns += hits[0].series.total.observe_all(
            [now_ns - hit.received_ns for hit in hits]
        )
        version.last_ns = now_ns


def _bypasses(request: InferRequest) -> bool:
    assert request.parameters is not None
    wanted = request.parameters.get(BYPASS, True)
    if type(wanted) is not bool:
        raise InvalidRequest(f"parameter '{BYPASS}' must be true or false, got {wanted!r:.80}")
    return not wanted


def _side_by_side(found: Sequence[Stored]) -> list[Array] | None:
    """The outputs of several answers as those of one batch; None where their shapes differ."""
    joined = []
    for column in zip(*[stored.outputs for stored in found], strict=True):
        if len({array.shape[1:] for array in column}) > 1:
            return None
        joined.append(np.concatenate(column))
    return joined


def _identity(live: LiveModel) -> bytes:
    """Which version of what this is."""
    settings = live.config.model_dump(mode="json", include=OF_ANSWERS)
    signature = live.signature
    inputs = [[spec.name, spec.datatype, spec.shape] for spec in signature.inputs]
    outputs = [[spec.name, spec.datatype, spec.shape] for spec in signature.outputs]
    return json.dumps([live.name, live.version, live.digest, inputs, outputs, settings]).encode()
