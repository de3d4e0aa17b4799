"""Before anything is timed: do the contenders give the same answer?"""

from __future__ import annotations

import http.client
import json
import math
from typing import Any

from benchmarks.payloads import Payload
from benchmarks.process import Server

__all__ = ["WrongAnswerError", "ask", "same_answers"]


class WrongAnswerError(RuntimeError):
    """A server does not answer, or not what the other one answers."""


def ask(server: Server, payload: Payload) -> bytes:
    """One request; returns the body of the answer.

    Raises:
        WrongAnswerError: the status is not 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30.0)
    try:
        connection.request("POST", payload.path, payload.body, dict(payload.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise WrongAnswerError(f"{server.name} answered {response.status}: {body[:500]!r}")
    return body


def same_answers(first: Server, second: Server, payload: Payload) -> None:
    """Compare the first output of two servers' JSON answers.

    Raises:
        WrongAnswerError: they differ by more than rounding.
    """
    values = [_values(json.loads(ask(server, payload))) for server in (first, second)]
    if len(values[0]) != len(values[1]) or not all(
        math.isclose(a, b, rel_tol=1e-5) for a, b in zip(*values, strict=True)
    ):
        raise WrongAnswerError(
            f"{first.name} answered {values[0][:3]}, {second.name} {values[1][:3]}"
        )


def _values(answer: Any) -> list[float]:
    return list(answer["outputs"][0]["data"])
