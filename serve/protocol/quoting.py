"""How what a client sent appears in an error message: printable and short."""

from __future__ import annotations

__all__ = ["quoted", "shown_int"]

MAX_CHARS = 64


def quoted(text: str) -> str:
    """``text`` in quotes, its control characters escaped, at most 64 characters of it."""
    if len(text) <= MAX_CHARS:
        return repr(text)
    return f"{text[:MAX_CHARS]!r}... ({len(text)} characters)"


def shown_int(number: int) -> str:
    """``number`` in digits, unless it has so many that Python refuses to write them."""
    return str(number) if number.bit_length() <= 64 else "an integer beyond 64 bits"
