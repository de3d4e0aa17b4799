"""Logs: one event a line, as text for people or JSON for machines, with the request's identity."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

__all__ = ["JsonFormatter", "TextFormatter", "set_up_logs"]

FIELDS = ("model", "version", "protocol", "request_id", "traceparent", "status", "duration_ms")
"""Attributes that a record may carry through ``extra``; absent and empty ones are left out."""


def set_up_logs(level: str, form: Literal["text", "json"], stream: TextIO | None = None) -> None:
    """Send the records of ``penstock`` and of warnings to ``stream`` (standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(level.upper())
    logging.captureWarnings(True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; control characters of clients cannot forge a second one."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(event, default=str).decode()
        except TypeError:  # half of a surrogate pair, as in a traceback that shows a file's name
            return json.dumps(event, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message, then ``name=value`` for what the record carries."""

    def format(self, record: logging.LogRecord) -> str:
        message = _printable(record.getMessage())
        fields = "".join(
            f" {name}={_printable(str(value))}" for name, value in _fields(record).items()
        )
        line = f"{_time(record)} {record.levelname:<7} {message}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name in FIELDS if (value := getattr(record, name, None))}


def _printable(text: str) -> str:
    """Line breaks and escapes shown, not obeyed."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
