"""What grpc logs with a traceback although nothing is wrong: that a client went away."""

from __future__ import annotations

import logging

import grpc

__all__ = ["leave_out_lost_clients"]


def leave_out_lost_clients() -> None:
    """Log no answer that could not be sent, which any client could bring about at will."""
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError))
