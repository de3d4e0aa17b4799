"""One log line for each inference request, where ``--access-log`` asks for it."""

from __future__ import annotations

import logging

from serve.clock import NS_PER_MS, Clock
from serve.errors import PenstockError
from serve.gateway.interface import Sink, Ticket
from serve.tensors import InferRequest, InferResponse

__all__ = ["AccessLog", "Logged"]

log = logging.getLogger("penstock.access")


class AccessLog:
    """Logs requests when they end. Refused ones are logged by the transport that refused them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def follow(self, request: InferRequest, sink: Sink) -> Logged:
        """What to submit in place of ``sink``, so that the request is logged when it ends."""
        return Logged(self, request, sink)

    def ended(self, request: InferRequest, status: str) -> None:
        """Log one request."""
        log.info(
            "infer",
            extra={
                "model": request.model_name,
                "version": request.model_version,
                "protocol": request.protocol,
                "request_id": request.id,
                "traceparent": request.traceparent,
                "status": status,
                "duration_ms": (self._clock() - request.received_ns) / NS_PER_MS,
            },
        )


class Logged:
    """Sink and ticket of one request: passes everything on, and logs the end.

    ``ticket`` is set by whoever submits the request.
    """

    __slots__ = ("_log", "_request", "_sink", "ticket")

    def __init__(self, log: AccessLog, request: InferRequest, sink: Sink) -> None:
        self._log = log
        self._request = request
        self._sink = sink
        self.ticket: Ticket | None = None

    def answered(self, response: InferResponse) -> None:
        """See ``Sink``."""
        self._log.ended(self._request, "ok")
        self._sink.answered(response)

    def failed(self, error: PenstockError) -> None:
        """See ``Sink``."""
        self._log.ended(self._request, str(error.code))
        self._sink.failed(error)

    def cancel(self) -> None:
        """See ``Ticket``; called once at most."""
        self._log.ended(self._request, "cancelled")
        if self.ticket is not None:
            self.ticket.cancel()
