"""A question to a server that is under test, outside any load: JSON back, or what is lacking."""

from __future__ import annotations

import http.client
import json
from typing import Any

from benchmarks.subject import UnsupportedError

__all__ = ["ask_json"]

TIMEOUT_S = 10.0


def ask_json(host: str, port: int, method: str, path: str, who: str, body: Any = None) -> Any:
    """The JSON of an answer with status 200; ``who`` is asked, for people. ``body`` goes as JSON.

    Raises:
        UnsupportedError: nobody answers, or with another status.
    """
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        if body is None:
            connection.request(method, path)
        else:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
    except OSError as error:
        raise UnsupportedError(f"{who} cannot be asked for {path}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise UnsupportedError(f"{who} answers {response.status} to {path}: {answer[:200]!r}")
    return json.loads(answer)
