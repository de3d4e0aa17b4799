"""Whether an answer is a right one: compared with those that were known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson

__all__ = ["Checker"]

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""Rounding of FP32 in batches of other sizes passes, and nothing more."""
MOST_KNOWN = 256
"""Bodies of a payload that are kept as right, so that they need not be read again."""


class Checker:
    """Knows the right answers to each payload: JSON bodies of inference, any of which will do.

    Outputs are compared, by name, shape, type and value; the model's version and what else is in
    the body are not.
    """

    def __init__(self, expected: Sequence[Sequence[bytes]]) -> None:
        self._right = [[_outputs(body) for body in bodies] for bodies in expected]
        self._known = [
            {body: at for at, body in reversed(list(enumerate(bodies)))} for bodies in expected
        ]

    def is_right(self, number: int, body: bytes) -> bool:
        """Whether ``body`` answers request ``number``; payloads take turns by it."""
        return self.which(number, body) is not None

    def which(self, number: int, body: bytes) -> int | None:
        """Which of the right answers to request ``number`` it is, from 0; None: it is none."""
        turn = number % len(self._right)
        known = self._known[turn]
        if body in known:
            return known[body]
        try:
            outputs = _outputs(body)
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return None
        for at, right in enumerate(self._right[turn]):
            if _alike(outputs, right):
                if len(known) < MOST_KNOWN:
                    known[body] = at
                return at
        return None


def _outputs(body: bytes) -> list[dict[str, Any]]:
    return [
        {key: output[key] for key in ("name", "datatype", "shape", "data")}
        for output in orjson.loads(body)["outputs"]
    ]


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    return bool(one == other)
