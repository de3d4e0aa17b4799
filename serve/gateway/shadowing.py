"""A version that is given copies of requests, and whose answers nobody gets.

Copies are made when the answers are out. They wait until the versions that answer have nothing
else to do, run one batch at a time, behind all other requests of the shadow, and are the first to
go: what does not fit into their small queue is dropped, and counted. So whatever the shadow does,
it does to copies.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import cast

import msgspec
import numpy as np

from serve.clock import NS_PER_MS, Clock
from serve.config.traffic import Shadow
from serve.errors import Overloaded, PenstockError
from serve.executors.live import LiveModel
from serve.gateway.agreement import Agreement, compare
from serve.gateway.arms import ArmCounter
from serve.gateway.endpoint import Endpoint, Observer
from serve.scheduling.batch import join
from serve.scheduling.entry import Entry
from serve.tensors import Array, InferRequest, InferResponse, Parameter

__all__ = ["Chance", "Shadowing"]

log = logging.getLogger("penstock.traffic")

Chance = Callable[[], float]
"""Gives numbers from 0 to below 1, all as probable."""

LAST = 2**62
"""The priority of copies: behind whatever callers ask for."""
MAX_WAITING_BYTES = 64 * 2**20
"""Memory of copies that wait; more are dropped."""
LOOK_AGAIN_S = 0.005
"""How long copies wait at least for the others to be done."""
LARGE_BYTES = 2**19
"""Answers that are compared in a thread, so that nobody waits for it."""
SERIES = "shadow"
"""Stands for the protocol, where metrics tell requests apart by it."""


class _Source(msgspec.Struct, eq=False, frozen=True):
    """A version that answers: the places of the shadow's inputs among its own, and the pairs of
    places of outputs, its own and the shadow's."""

    live: LiveModel
    inputs: tuple[int, ...]
    outputs: tuple[tuple[int, int], ...]


class _Parcel(msgspec.Struct, eq=False):
    """Requests of one batch, copied: inputs in the shadow's order, and the answers.

    ``row_ns``: what a row took to execute.
    """

    source: _Source
    inputs: tuple[Array, ...]
    answers: list[Array]
    group: Hashable
    row_bytes: float
    row_ns: float = 0.0


class _Copy(msgspec.Struct, eq=False):
    """One request of a parcel, with its rows there; the ``Sink`` of its run."""

    shadowing: Shadowing
    parcel: _Parcel
    start: int
    rows: int
    parameters: Mapping[str, Parameter] | None

    def answered(self, response: InferResponse) -> None:
        """See ``Sink``; never called, because ``Shadowing`` answers the run."""
        raise NotImplementedError

    def failed(self, error: PenstockError) -> None:
        """See ``Sink``."""
        self.shadowing.failed()


class Shadowing:
    """Copies requests of versions that answer to one that does not. Belongs to the event loop.

    It is the ``Answerer`` of the copies.
    """

    def __init__(
        self,
        settings: Shadow,
        live: LiveModel,
        counter: ArmCounter,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        chance: Chance = random.random,
    ) -> None:
        """``live`` is the shadow, and ``counter`` its own."""
        # shared
        self._settings = settings
        self._live = live
        self._counter = counter
        self._clock = clock
        self._loop = loop
        self._chance = chance
        # what follows from them
        self._batched = live.signature.batched
        self._variable = any(-1 in spec.shape[1:] for spec in live.signature.inputs)
        self._share = settings.percent / 100
        self._timeout_ns = int(live.config.slo.timeout_ms * NS_PER_MS)
        self._request = InferRequest(live.name, live.version, [], protocol=SERIES)
        # state
        self._sources: list[_Source] = []
        self._waiting: deque[_Copy] = deque()
        self._waiting_rows = 0
        self._waiting_bytes = 0.0
        self._running: list[Entry] = []
        self._under_way = 0  # those that run, or have yet to be compared
        self._due: asyncio.Handle | None = None
        self._closed = False

    def follow(self, endpoint: Endpoint) -> None:
        """Copy the requests of an endpoint, as long as it has the observer that it gets here.

        Its version must fit; see ``misfit``.
        """
        mine, theirs = endpoint.live.signature, self._live.signature
        inputs = [spec.name for spec in mine.inputs]
        outputs = [spec.name for spec in theirs.outputs]
        source = _Source(
            endpoint.live,
            tuple(inputs.index(spec.name) for spec in theirs.inputs),
            tuple((index, outputs.index(spec.name)) for index, spec in enumerate(mine.outputs)),
        )
        self._sources.append(source)
        endpoint.observer = partial(self._observe, source, endpoint.observer)

    def close(self) -> None:
        """Copy nothing any more, and forget what has been copied."""
        self._closed = True
        self._waiting.clear()
        if self._due is not None:
            self._due.cancel()
        for entry in self._running:
            entry.cancel()
        self._running = []

    # from the versions that answer

    def _observe(
        self,
        source: _Source,
        before: Observer | None,
        entries: Sequence[Entry],
        answered: Sequence[Entry],
        outputs: list[Array],
    ) -> None:
        """See ``Observer``; ``before`` is told first."""
        if before is not None:
            before(entries, answered, outputs)
        if self._closed:
            return
        room = self._settings.max_pending_rows - self._waiting_rows
        if room <= 0 and self._share >= 1:
            self._counter.dropped += len(answered)
            return
        there = {id(entry) for entry in answered}
        groups: dict[Hashable, list[tuple[Entry, int]]] = {}
        start = 0
        for entry in entries:
            if id(entry) in there and (self._share >= 1 or self._chance() < self._share):
                if entry.rows <= room:
                    room -= entry.rows
                    groups.setdefault(entry.group, []).append((entry, start))
                else:
                    self._counter.dropped += 1
            start += entry.rows
        for chosen in groups.values():
            self._copy(source, chosen, start, outputs)
        self._schedule()

    def _copy(
        self,
        source: _Source,
        chosen: list[tuple[Entry, int]],
        of_rows: int,
        outputs: list[Array],
    ) -> None:
        """Copy requests, with where their rows begin in the ``of_rows`` rows of the outputs."""
        entries = [entry for entry, _ in chosen]
        rows = sum([entry.rows for entry in entries])
        answers = [outputs[index] for index, _ in source.outputs]
        inputs = entries[0].inputs
        if self._batched:
            inputs = join(entries, rows).inputs
            if rows < of_rows:
                picked = np.concatenate([np.arange(at, at + e.rows) for e, at in chosen])
                answers = [answer[picked] for answer in answers]
        size_bytes = sum(map(_size_bytes, (*inputs, *answers)))
        if self._waiting_bytes + size_bytes > MAX_WAITING_BYTES:
            self._counter.dropped += len(entries)
            return
        # What was received, and what is being sent, is not to be held on to.
        inputs = tuple([inputs[index].copy() for index in source.inputs])
        answers = [answer.copy() for answer in answers]
        group = tuple([array.shape[1:] for array in inputs]) if self._variable else ()
        parcel = _Parcel(source, inputs, answers, group, size_bytes / rows)
        start = 0
        for entry in entries:
            self._waiting.append(_Copy(self, parcel, start, entry.rows, entry.parameters))
            start += entry.rows
        self._waiting_rows += rows
        self._waiting_bytes += size_bytes

    # to the shadow

    def _schedule(self) -> None:
        if self._due is None and self._waiting and not (self._under_way or self._closed):
            self._due = self._loop.call_soon(self._send)

    def _send(self) -> None:
        """Give the shadow a batch, unless there is other work."""
        self._due = None
        if self._closed:
            return
        if any(_busy(source.live) for source in self._sources):
            self._due = self._loop.call_later(LOOK_AGAIN_S, self._send)
            return
        now_ns = self._clock()
        for copy in self._take():
            self._submit(copy, now_ns)
        self._schedule()

    def _take(self) -> list[_Copy]:
        """The copies of the next batch."""
        waiting = self._waiting
        group = waiting[0].parcel.group
        max_rows = self._live.max_batch_rows
        taken: list[_Copy] = []
        rows = 0
        while waiting and waiting[0].parcel.group == group:
            copy = waiting[0]
            if rows + copy.rows > max_rows and taken:
                break
            rows += copy.rows
            taken.append(waiting.popleft())
            self._waiting_rows -= copy.rows
            self._waiting_bytes -= copy.rows * copy.parcel.row_bytes
        return taken

    def _submit(self, copy: _Copy, now_ns: int) -> None:
        parcel, counter = copy.parcel, self._counter
        parcel.row_ns = parcel.source.live.metrics.row_ns
        entry = Entry(
            self._request,
            copy,
            self,
            parcel.inputs,
            copy.rows,
            parcel.group,
            now_ns,
            now_ns + self._timeout_ns,
            self._live.metrics.series[SERIES],
            copy.start if self._batched else -1,
            priority=LAST,
            parameters=copy.parameters,
        )
        if copy.rows > self._live.max_batch_rows:
            counter.shadow_failed += 1  # as it would refuse the request
            return
        try:
            self._live.batcher.submit(entry, now_ns)
        except Overloaded:
            counter.copies_refused += 1
            counter.dropped += 1
        except PenstockError:
            counter.shadow_failed += 1
        else:
            self._running.append(entry)
            self._under_way += 1

    # from the shadow

    def failed(self) -> None:
        """A copy has got an error."""
        self._counter.copies_failed += 1
        self._counter.shadow_failed += 1
        self._finished(1)

    def answer(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        """See ``Answerer``."""
        waiting = [entry for entry in entries if not entry.done]
        if not waiting:
            return
        if len(waiting) < len(entries):
            there = [not entry.done for entry in entries]
            picked = np.repeat(there, [entry.rows for entry in entries])
            outputs = [output[picked] for output in outputs]
        for entry in waiting:
            entry.done = True
        self._counter.copies_answered += len(waiting)
        self._counter.observe_scores(outputs)
        copies = [cast(_Copy, entry.sink) for entry in waiting]
        # Later, when the batch has been counted, and by then the outputs may be another's.
        self._loop.call_soon(self._compare, copies, [output.copy() for output in outputs])

    def _compare(self, copies: list[_Copy], outputs: list[Array]) -> None:
        tolerance = self._settings.tolerance
        work = partial(_agreements, copies, outputs, self._batched, tolerance)
        if sum([output.nbytes for output in outputs]) > LARGE_BYTES:
            self._loop.run_in_executor(None, work).add_done_callback(
                lambda done: self._compared(copies, done.result)
            )
        else:
            self._compared(copies, work)

    def _compared(self, copies: list[_Copy], result: Callable[[], list[Agreement]]) -> None:
        counter = self._counter
        try:
            for agreement in result():
                counter.compared += agreement.compared
                counter.disagreed += agreement.disagreed
                counter.distance_sum += agreement.distance_sum
                counter.distance_max = max(counter.distance_max, agreement.distance_max)
            primary_ns = sum([copy.rows * copy.parcel.row_ns for copy in copies])
            shadow_ns = sum([copy.rows for copy in copies]) * self._live.metrics.row_ns
            if primary_ns and shadow_ns:
                counter.primary_ns += primary_ns
                counter.shadow_ns += shadow_ns
        except Exception:
            log.exception("model '%s': copies could not be compared", self._live.name)
        finally:
            self._finished(len(copies))

    def _finished(self, number: int) -> None:
        self._under_way -= number
        if not self._under_way:
            self._running = []
            self._schedule()


def _busy(live: LiveModel) -> bool:
    """Whether copies would stand in the way: requests wait, or run on the same machine."""
    if live.executor.elsewhere:
        return live.batcher.waiting_ns() > 0
    return not live.batcher.idle


def _size_bytes(array: Array) -> int:
    if array.dtype.kind != "O":
        return array.nbytes
    return array.nbytes + sum([len(element) for element in array.flat])


def _agreements(
    copies: Sequence[_Copy], outputs: list[Array], batched: bool, tolerance: float
) -> list[Agreement]:
    """Compare the answers to copies with what they should be; all at once, where shapes allow."""
    pairs = copies[0].parcel.source.outputs
    rows = [copy.rows for copy in copies]
    expected = [
        [
            answer[copy.start : copy.start + copy.rows] if batched else answer
            for answer in copy.parcel.answers
        ]
        for copy in copies
    ]
    alike = all(copy.parcel.source is copies[0].parcel.source for copy in copies)
    if len(copies) == 1:
        return [compare(expected[0], [outputs[index] for _, index in pairs], rows, tolerance)]
    columns = list(zip(*expected, strict=True)) if alike else []
    if alike and all(len({array.shape[1:] for array in column}) == 1 for column in columns):
        whole = [np.concatenate(column) for column in columns]
        return [compare(whole, [outputs[index] for _, index in pairs], rows, tolerance)]
    agreements = []
    start = 0
    for copy in copies:
        part = [output[start : start + copy.rows] for output in outputs]
        agreements += _agreements([copy], part, batched, tolerance)
        start += copy.rows
    return agreements
