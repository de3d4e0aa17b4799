"""A client that goes away is not worth a traceback; all else is."""

from __future__ import annotations

import logging

import grpc
import pytest

from serve.transport.grpc.quiet import leave_out_lost_clients


@pytest.mark.parametrize(
    ("error", "logged"), [(grpc.aio.InternalError("batch failed"), 0), (ValueError("news"), 1)]
)
def test_only_lost_clients_are_left_out(
    error: Exception, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    leave_out_lost_clients()
    leave_out_lost_clients()
    logger = logging.getLogger("grpc._cython.cygrpc")
    logger.error("raised in core", exc_info=error)
    assert len(caplog.records) == logged
    assert len(logger.filters) == 1
