"""POST .../infer: the path that nearly every request takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from serve.errors import PenstockError
from serve.gateway.interface import DataPlane, Entry, Ticket, Together
from serve.protocol.binary_turn import BinaryForm, BinaryHead, binary_head, decode_binary_turn
from serve.protocol.http_request import decode, decode_raw, parse_json_bytes
from serve.protocol.http_response import encode, encode_binary_rows, encode_rows
from serve.protocol.http_turn import Turn, decode_turn
from serve.protocol.json_frame import FrameMemory
from serve.tensors import InferRequest, InferResponse, RequestBlock, Tensor
from serve.transport.http.context import LARGE_BODY_BYTES
from serve.transport.http.exchange import Exchange
from serve.transport.http.headers import INFERENCE_LENGTH, TRACEPARENT, traceparent
from serve.transport.http.response import INFERENCE_LENGTH_LINE, OCTETS
from serve.transport.http.routes import Route

__all__ = ["InferHandler"]


class InferHandler:
    """Decodes requests, hands them to the data plane, and encodes the answers when they come.

    Requests are taken together, once a turn of the event loop has read every socket: what
    they have in common is then done once for all of them.
    """

    __slots__ = ("_binary_turns", "_frames", "_plane", "_turns", "_waiting")

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._frames = FrameMemory()
        self._turns: dict[Route | None, list[Exchange]] = {}
        self._binary_turns: dict[
            tuple[Route | None, BinaryForm], list[tuple[Exchange, BinaryHead]]
        ] = {}
        self._waiting = False

    def __call__(self, exchange: Exchange) -> None:
        """Begin one inference, or let it wait for the end of the turn."""
        body, head = exchange.body, exchange.head
        if INFERENCE_LENGTH in head.headers:
            json_bytes = parse_json_bytes(head.headers[INFERENCE_LENGTH], len(body))
            binary = None
            if json_bytes and len(body) <= LARGE_BODY_BYTES:
                binary = binary_head(bytes(body[:json_bytes]), len(body))
            if binary is None:
                self._begin(exchange, json_bytes)
                return
            self._binary_turns.setdefault((head.route, binary.form), []).append((exchange, binary))
        elif len(body) > LARGE_BODY_BYTES:
            self._begin(exchange, None)
            return
        else:
            self._turns.setdefault(head.route, []).append(exchange)
        if not self._waiting:
            self._waiting = True
            exchange.context.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._waiting = False
        turns, self._turns = self._turns, {}
        binary_turns, self._binary_turns = self._binary_turns, {}
        # Nothing is done for a client that has gone since.
        for exchanges in turns.values():
            waiting = [exchange for exchange in exchanges if exchange.connection is not None]
            if waiting:
                route = waiting[0].route
                bodies = [exchange.body for exchange in waiting]
                model = route.model_name, route.model_version
                self._begin_turn(decode_turn(bodies, *model, self._frames), waiting)
        for pairs in binary_turns.values():
            pairs = [pair for pair in pairs if pair[0].connection is not None]
            if pairs:
                waiting = [exchange for exchange, _ in pairs]
                route = waiting[0].route
                bodies = [exchange.body for exchange in waiting]
                heads = [head for _, head in pairs]
                model = route.model_name, route.model_version
                self._begin_turn(decode_binary_turn(heads, bodies, *model), waiting)

    def _begin_turn(self, turn: Turn, exchanges: list[Exchange]) -> None:
        for index, outcome in turn.others:
            exchanges[index].attempt(partial(self._begin_other, outcome))
        if turn.block is None:
            return
        if len(turn.members) < len(exchanges):
            exchanges = [exchanges[index] for index in turn.members]
        together = _render_binary_together if turn.binary_outputs else _render_together
        try:
            self._begin_block(turn.block, exchanges, together)
        except Exception as error:  # noqa: BLE001 - answered, and logged as what it is
            for exchange in exchanges:
                exchange.attempt(partial(_raise, error))

    def _begin_block(
        self, block: RequestBlock, exchanges: list[Exchange], together: Together
    ) -> None:
        for request, exchange in zip(block.requests, exchanges, strict=True):
            _prepare(exchange, request)
        tickets = self._plane.submit_block(block, exchanges, together)
        for ticket, exchange in zip(tickets, exchanges, strict=True):
            if exchange.connection is not None:  # not answered yet
                _hold(exchange, ticket)

    def _begin_other(self, outcome: InferRequest | PenstockError, exchange: Exchange) -> None:
        if isinstance(outcome, PenstockError):
            raise outcome
        self._submit(exchange, outcome)

    def _begin(self, exchange: Exchange, json_bytes: int | None) -> None:
        body, route = exchange.body, exchange.route
        if json_bytes == 0:
            signature = self._plane.signature(route.model_name, route.model_version)
            request = decode_raw(body, route.model_name, route.model_version, signature)
        else:
            request = decode(body, json_bytes, route.model_name, route.model_version)
        self._submit(exchange, request)

    def _submit(self, exchange: Exchange, request: InferRequest) -> None:
        _prepare(exchange, request)
        ticket = self._plane.submit(request, exchange, _render_together)
        if exchange.connection is not None:
            exchange.ticket = ticket


def _prepare(exchange: Exchange, request: InferRequest) -> None:
    request.received_ns = exchange.received_ns
    request.headers = headers = exchange.head.headers
    if TRACEPARENT in headers:
        request.traceparent = traceparent(headers)
    exchange.request = request
    exchange.body = b""  # where tensors are views of it, they keep it alive
    exchange.then = _render


def _hold(exchange: Exchange, ticket: Ticket | PenstockError) -> None:
    if isinstance(ticket, PenstockError):
        exchange.fail(ticket)
    else:
        exchange.ticket = ticket  # to withdraw it if the client goes before its answer


def _raise(error: Exception, exchange: Exchange) -> None:
    raise error


def _render(exchange: Exchange, response: InferResponse) -> None:
    assert exchange.request is not None
    encoded = encode(exchange.request, response)
    if encoded.json_bytes is None:
        exchange.reply(encoded.parts)
    else:
        length = INFERENCE_LENGTH_LINE % encoded.json_bytes
        exchange.reply(encoded.parts, content_type=OCTETS, extra=length)


def _render_together(response: InferResponse, entries: Sequence[Entry]) -> None:
    """See ``Together``: all answers of a batch are JSON, and are written back to back.

    Written so, they wake the clients once. With the work of a request between two writes, the
    other side goes to sleep in between, and waking it costs more than the write.
    """
    try:
        bodies = encode_rows(response, [(entry.rows, entry.request.id) for entry in entries])
    except PenstockError:
        _render_apart(response, entries)
        return
    for entry, body in zip(entries, bodies, strict=True):
        if not entry.done:
            entry.done = True
            cast(Exchange, entry.sink).reply_json(body)


def _render_binary_together(response: InferResponse, entries: Sequence[Entry]) -> None:
    """The same for answers that are binary."""
    shares = [(entry.rows, entry.request.id) for entry in entries]
    bodies = encode_binary_rows(response, shares)
    for entry, (json_bytes, body) in zip(entries, bodies, strict=True):
        if not entry.done:
            entry.done = True
            cast(Exchange, entry.sink).reply_binary(json_bytes, body)


def _render_apart(response: InferResponse, entries: Sequence[Entry]) -> None:
    """Render each answer by itself, because one of them cannot be."""
    start = 0
    for entry in entries:
        stop = start + entry.rows
        own = response
        if len(entries) > 1:
            own = InferResponse(
                response.model_name,
                response.model_version,
                [
                    Tensor(output.name, output.datatype, output.array[start:stop])
                    for output in response.outputs
                ],
                entry.request.id,
            )
        start = stop
        if not entry.done:
            entry.done = True
            entry.sink.answered(own)
