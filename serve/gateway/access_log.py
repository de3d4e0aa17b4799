"""One log line for each inference request, where ``--access-log`` asks for it."""

from __future__ import annotations

import asyncio
import logging

from serve.clock import NS_PER_MS, Clock
from serve.errors import PenstockError
from serve.tensors import InferRequest, InferResponse

__all__ = ["AccessLog"]

log = logging.getLogger("penstock.access")


class AccessLog:
    """Logs requests when they end. Refused ones are logged by the transport that refused them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def follow(self, request: InferRequest, answer: asyncio.Future[InferResponse]) -> None:
        """Log the request when its answer is known."""

        def ended(future: asyncio.Future[InferResponse]) -> None:
            error = None if future.cancelled() else future.exception()
            if future.cancelled():
                status = "cancelled"
            elif error is None:
                status = "ok"
            else:
                status = str(error.code) if isinstance(error, PenstockError) else "internal"
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

        answer.add_done_callback(ended)
