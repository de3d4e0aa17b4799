"""One line for each request, when it ends; whoever waits is told all the same."""

from __future__ import annotations

import logging

import pytest

from serve.errors import NotReady, PenstockError
from serve.gateway.access_log import AccessLog, Logged
from serve.tensors import InferRequest, InferResponse

RESPONSE = InferResponse("m", "1", [])


class Waiter:
    """A sink and a ticket that keep what they are told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def answered(self, response: InferResponse) -> None:
        self.told.append(response)

    def failed(self, error: PenstockError) -> None:
        self.told.append(error)

    def cancel(self) -> None:
        self.told.append("cancelled")


@pytest.fixture
def waiter() -> Waiter:
    return Waiter()


@pytest.fixture
def logged(waiter: Waiter) -> Logged:
    request = InferRequest("m", "1", [], id="7", received_ns=1_000_000)
    logged = AccessLog(lambda: 3_500_000).follow(request, waiter)
    logged.ticket = waiter
    return logged


def test_answer_is_logged_with_its_duration(
    logged: Logged, waiter: Waiter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "penstock.access"):
        logged.answered(RESPONSE)
    (record,) = caplog.records
    fields = [getattr(record, name) for name in ("model", "request_id", "status", "duration_ms")]
    assert fields == ["m", "7", "ok", 2.5]
    assert waiter.told == [RESPONSE]


def test_failure_is_logged_by_its_code(
    logged: Logged, waiter: Waiter, caplog: pytest.LogCaptureFixture
) -> None:
    error = NotReady("loading")
    with caplog.at_level(logging.INFO, "penstock.access"):
        logged.failed(error)
    assert caplog.records[0].status == "unavailable"
    assert waiter.told == [error]


def test_cancellation_is_logged_and_passed_on(
    logged: Logged, waiter: Waiter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "penstock.access"):
        logged.cancel()
    assert caplog.records[0].status == "cancelled"
    assert waiter.told == ["cancelled"]
