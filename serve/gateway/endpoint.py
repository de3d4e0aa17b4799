"""One live model version as a request meets it: check, queue, answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from serve.clock import NS_PER_MS, Clock
from serve.errors import InvalidRequest, PenstockError, Unsupported
from serve.executors.live import LiveModel
from serve.gateway.classification import classify
from serve.gateway.interface import Ticket, Together
from serve.gateway.validation import Bound, Validator
from serve.scheduling.entry import Answerer, Entry, Sink
from serve.tensors import (
    Array,
    InferRequest,
    InferResponse,
    Parameter,
    RequestBlock,
    RequestedOutput,
    Tensor,
    datatype_of,
)

__all__ = ["Endpoint", "Observer", "submit_each"]

log = logging.getLogger("penstock.gateway")

NS_PER_US = 1000
RESERVED = frozenset(
    (
        "binary_data_output",
        "model_version",
        "priority",
        "response_cache",
        "sequence_end",
        "sequence_id",
        "sequence_start",
        "timeout",
    )
)
"""Request parameters that are the server's; all others reach the backend."""


Observer = Callable[[Sequence[Entry], Sequence[Entry], list[Array]], None]
"""Told of requests of one batch, once their answers are out: all of them, those that were answered
now, and the outputs, which have the rows of all, in order. It must not keep what it is given."""


class Endpoint:
    """Makes entries of requests and responses of outputs. One for each live version.

    ``observer``, if there is one, is told of every batch.
    """

    def __init__(self, live: LiveModel, clock: Clock) -> None:
        self.live = live
        self.observer: Observer | None = None
        self._clock = clock
        self._validator = Validator(
            live.signature,
            live.config,
            live.max_batch_rows,
            utf8=live.backend == "onnxruntime" or live.config.tokenizer is not None,
        )
        self._outputs = [(spec.name, spec.datatype) for spec in live.signature.outputs]
        self._output_index = {name: index for index, (name, _) in enumerate(self._outputs)}
        self._timeout_ns = int(live.config.slo.timeout_ms * NS_PER_MS)
        self._series = live.metrics.series
        self._shared: dict[Together, Answerer] = {}

    def submit(self, request: InferRequest, sink: Sink, together: Together | None = None) -> Ticket:
        """Check a request and queue it; ``sink`` is told of its answer, see ``DataPlane.submit``.

        Raises:
            InvalidRequest, Unsupported: it does not fit the model.
            Overloaded, NotReady, DeadlineExceeded: it cannot be answered in time.
        """
        now_ns = self._clock()
        entry = self._entry(request, sink, together, now_ns)
        self.live.batcher.submit(entry, now_ns)
        return entry

    def submit_block(
        self, block: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> Sequence[Ticket | PenstockError]:
        """``submit`` for all requests of a block, each with its own outcome."""
        bound = self._validator.bind_block(block)
        if bound is None:
            return submit_each(partial(self.submit, together=together), block, sinks)
        now_ns = self._clock()
        entries = self._entries(block, sinks, together, bound, now_ns)
        return self._queue(entries, now_ns)

    def _queue(self, entries: list[Entry], now_ns: int) -> Sequence[Ticket | PenstockError]:
        """Queue the entries of a block, which share the arrays that their rows are all of."""
        return self.live.batcher.submit_block(entries, now_ns)

    def _entry(
        self, request: InferRequest, sink: Sink, together: Together | None, now_ns: int
    ) -> Entry:
        """A request, checked."""
        received_ns = request.received_ns or now_ns
        deadline_ns = received_ns + self._timeout_ns
        if request.deadline_ns and request.deadline_ns < deadline_ns:
            deadline_ns = request.deadline_ns
        inputs, rows, group = self._validator.bind(request.inputs)
        priority = 1
        parameters = None
        answerer: Answerer = self
        if request.outputs is not None:
            self._check_outputs(request.outputs)
        elif together is not None and not request.parameters:
            answerer = self._shared.get(together) or self._share(together)
        if request.parameters:
            priority, timeout_us = _schedule(request.parameters)
            if timeout_us:
                deadline_ns = min(deadline_ns, received_ns + timeout_us * NS_PER_US)
            parameters = {k: v for k, v in request.parameters.items() if k not in RESERVED}
        return Entry(
            request,
            sink,
            answerer,
            inputs,
            rows,
            group,
            received_ns,
            deadline_ns,
            self._series[request.protocol],
            priority=priority,
            parameters=parameters,
        )

    def _entries(
        self,
        block: RequestBlock,
        sinks: Sequence[Sink],
        together: Together,
        bound: Bound,
        now_ns: int,
    ) -> list[Entry]:
        """The requests of a block, whose inputs have been checked and are ``bound``."""
        inputs, _, group = bound
        rows, timeout_ns = block.rows, self._timeout_ns
        answerer = self._shared.get(together) or self._share(together)
        series = self._series[block.requests[0].protocol]
        entries = []
        start = 0
        for request, sink in zip(block.requests, sinks, strict=True):
            received_ns = request.received_ns or now_ns
            deadline_ns = received_ns + timeout_ns
            entries.append(
                Entry(
                    request,
                    sink,
                    answerer,
                    inputs,
                    rows,
                    group,
                    received_ns,
                    deadline_ns,
                    series,
                    start,
                )
            )
            start += rows
        return entries

    def answer(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        """Answer each entry with a response of its own; see ``Answerer``."""
        if self.observer is None:
            self._answer_each(entries, outputs)
        else:
            self.answer_observed(self._answer_each, entries, outputs)

    def answer_observed(
        self,
        answer: Callable[[Sequence[Entry], list[Array]], None],
        entries: Sequence[Entry],
        outputs: list[Array],
    ) -> None:
        """Have ``answer`` answer, and tell the observer."""
        waiting = [entry for entry in entries if not entry.done]
        answer(entries, outputs)
        if self.observer is None:
            return
        try:
            self.observer(entries, waiting, outputs)
        except Exception:
            log.exception("model '%s': %d requests were not counted", self.live.name, len(waiting))

    def _answer_each(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        start = 0
        for entry in entries:
            stop = start + entry.rows
            part = outputs if len(entries) == 1 else [output[start:stop] for output in outputs]
            start = stop
            if entry.done:
                continue
            entry.done = True
            try:
                response = self._response(entry.request, part)
            except PenstockError as error:
                entry.sink.failed(error)
            else:
                entry.sink.answered(response)

    def _share(self, together: Together) -> Answerer:
        """The answerer of all requests that want every output as it is, one for each transport."""
        self._shared[together] = answerer = _Together(self, together)
        return answerer

    def whole(self, outputs: list[Array], request_id: str = "") -> InferResponse:
        """The response that has every output as it is."""
        tensors = [
            Tensor(name, datatype, array)
            for (name, datatype), array in zip(self._outputs, outputs, strict=True)
        ]
        return InferResponse(self.live.name, self.live.version, tensors, request_id)

    def _response(self, request: InferRequest, outputs: list[Array]) -> InferResponse:
        if request.outputs is None:
            return self.whole(outputs, request.id)
        tensors = [self._requested(wanted, outputs) for wanted in request.outputs]
        return InferResponse(self.live.name, self.live.version, tensors, request.id)

    def _requested(self, wanted: RequestedOutput, outputs: list[Array]) -> Tensor:
        index = self._output_index[wanted.name]
        name, datatype = self._outputs[index]
        array = outputs[index]
        if wanted.classification:
            settings = self.live.config.outputs.get(name)
            labels = settings.labels if settings else ()
            array = classify(array, wanted.classification, labels, self.live.signature.batched)
            datatype = datatype_of(array)
        return Tensor(name, datatype, array)

    def _check_outputs(self, requested: list[RequestedOutput]) -> None:
        for wanted in requested:
            if wanted.name not in self._output_index:
                names = ", ".join(self._output_index)
                raise InvalidRequest(
                    f"unexpected output '{wanted.name[:100]}': the model's outputs are {names}"
                )
            datatype = self._outputs[self._output_index[wanted.name]][1]
            if wanted.classification and datatype in ("BYTES", "BOOL"):
                raise InvalidRequest(
                    f"output '{wanted.name}': classification needs numbers, it has {datatype}"
                )


def submit_each(
    submit: Callable[[InferRequest, Sink], Ticket], block: RequestBlock, sinks: Sequence[Sink]
) -> list[Ticket | PenstockError]:
    """Submit the requests of a block one by one, with the outcome of each."""
    outcomes: list[Ticket | PenstockError] = []
    for request, sink in zip(block.split(), sinks, strict=True):
        try:
            outcomes.append(submit(request, sink))
        except PenstockError as error:
            outcomes.append(error)
    return outcomes


class _Together:
    """An ``Answerer`` that leaves the rows of a batch together for the transport to render."""

    def __init__(self, endpoint: Endpoint, together: Together) -> None:
        self._endpoint = endpoint
        self._together = together

    def answer(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        """See ``Answerer``."""
        endpoint = self._endpoint
        if endpoint.observer is None:
            self._together(endpoint.whole(outputs), entries)
        else:
            endpoint.answer_observed(self._answer, entries, outputs)

    def _answer(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        self._together(self._endpoint.whole(outputs), entries)


def _schedule(parameters: Mapping[str, Parameter]) -> tuple[int, int]:
    """Priority level (1 is the highest) and timeout in microseconds (0: none).

    Priority 0 means the default level, and that is 1: a request may step back behind those that
    say nothing, but none can push in before them.
    """
    if parameters.get("sequence_id") or parameters.get("sequence_start"):
        raise Unsupported("parameter 'sequence_id': no model here keeps state between requests")
    return _whole(parameters, "priority") or 1, _whole(parameters, "timeout")


def _whole(parameters: Mapping[str, Any], name: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or not 0 <= value < 2**63:
        raise InvalidRequest(f"parameter '{name}' must be a whole number >= 0, got {value!r:.80}")
    return value
