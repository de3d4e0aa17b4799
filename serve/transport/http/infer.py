"""POST .../infer: the path that nearly every request takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from serve.errors import PenstockError
from serve.gateway.interface import DataPlane, Entry
from serve.protocol.http_request import decode, decode_raw, parse_json_bytes
from serve.protocol.http_response import encode, encode_rows
from serve.tensors import InferResponse
from serve.transport.http.exchange import Exchange
from serve.transport.http.headers import INFERENCE_LENGTH, TRACEPARENT, traceparent
from serve.transport.http.response import OCTETS

__all__ = ["InferHandler"]


class InferHandler:
    """Decodes a request, hands it to the data plane, and encodes the answer when it comes."""

    __slots__ = ("_signature", "_submit")

    def __init__(self, plane: DataPlane) -> None:
        self._submit = plane.submit
        self._signature = plane.signature

    def __call__(self, exchange: Exchange) -> None:
        """Begin one inference."""
        route = exchange.route
        headers, body = exchange.head.headers, exchange.body
        model_name, model_version = route.model_name, route.model_version
        if INFERENCE_LENGTH in headers:
            json_bytes = parse_json_bytes(headers[INFERENCE_LENGTH], len(body))
            if json_bytes:
                request = decode(body, json_bytes, model_name, model_version)
            else:
                signature = self._signature(model_name, model_version)
                request = decode_raw(body, model_name, model_version, signature)
        else:
            request = decode(body, None, model_name, model_version)
        request.received_ns = exchange.received_ns
        if TRACEPARENT in headers:
            request.traceparent = traceparent(headers)
        exchange.request = request
        exchange.body = b""  # where tensors are views of it, they keep it alive
        exchange.then = _render
        ticket = self._submit(request, exchange, _render_together)
        if exchange.connection is not None:
            exchange.ticket = ticket  # to withdraw it if the client goes before its answer


def _render(exchange: Exchange, response: InferResponse) -> None:
    assert exchange.request is not None
    encoded = encode(exchange.request, response)
    if encoded.json_bytes is None:
        exchange.reply(encoded.parts)
    else:
        length = b"Inference-Header-Content-Length: %d\r\n" % encoded.json_bytes
        exchange.reply(encoded.parts, content_type=OCTETS, extra=length)


def _render_together(response: InferResponse, entries: Sequence[Entry]) -> None:
    """See ``Together``: all answers of a batch are JSON, and are written back to back.

    Written so, they wake the clients once. With the work of a request between two writes, the
    other side goes to sleep in between, and waking it costs more than the write.
    """
    try:
        bodies = encode_rows(response, [(entry.rows, entry.request.id) for entry in entries])
    except PenstockError as error:
        for entry in entries:
            entry.fail(error)
        return
    for entry, body in zip(entries, bodies, strict=True):
        if not entry.done:
            entry.done = True
            exchange = cast(Exchange, entry.sink)
            exchange.ticket = None
            exchange.reply_json(body)
