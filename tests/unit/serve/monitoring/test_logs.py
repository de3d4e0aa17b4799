from __future__ import annotations

import json
import logging
import sys

import orjson

from serve.monitoring.logs import JsonFormatter, TextFormatter


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("penstock.x", logging.WARNING, "f.py", 1, message, (), None)
    made.__dict__.update(extra)
    return made


def test_json_carries_the_requests_identity() -> None:
    line = JsonFormatter().format(record("slow", request_id="r1", traceparent="00-a", model=""))
    event = orjson.loads(line)
    assert (event["message"], event["level"]) == ("slow", "warning")
    assert (event["request_id"], event["traceparent"]) == ("r1", "00-a")
    assert "model" not in event


def test_text_is_one_line_whatever_a_client_sent() -> None:
    line = TextFormatter().format(record("bad\nname", request_id="a\r\nforged\x1b[0m"))
    assert "\n" not in line and "\x1b" not in line
    assert "request_id=a\\r\\nforged" in line


def test_json_has_the_exception() -> None:
    made = record("failed")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: why" in orjson.loads(JsonFormatter().format(made))["exception"]


def test_json_parses_whatever_the_text_is() -> None:
    event = json.loads(JsonFormatter().format(record("no file caf\udce9")))
    assert event["message"] == "no file caf\udce9"
