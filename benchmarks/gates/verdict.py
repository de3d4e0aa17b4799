"""The words a verdict can be, which of several wins, and what the shell is told."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["EXIT_CODES", "INTERRUPTED", "Verdict", "combined"]


class Verdict(StrEnum):
    """How a gate, an attempt, a scenario or a run ended."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    """Something did not run: no verdict on the server's speed."""
    INVALID = "invalid"
    """It ran, but the machine or the generator was too disturbed for it to prove anything."""
    INCONCLUSIVE = "inconclusive"
    """It was measured honestly, but the interval holds the limit."""
    UNSUPPORTED = "unsupported"
    """The server cannot do what the scenario asks for."""
    SKIPPED = "skipped"
    """The gate file says not to judge this under these circumstances."""


WORST_FIRST = (
    Verdict.ERROR,
    Verdict.FAIL,
    Verdict.INVALID,
    Verdict.UNSUPPORTED,
    Verdict.INCONCLUSIVE,
)
EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.ERROR: 2,
    Verdict.INVALID: 3,
    Verdict.UNSUPPORTED: 3,
    Verdict.INCONCLUSIVE: 4,
}
INTERRUPTED = 130
"""What a shell expects of a command that SIGINT ended; the result says what was measured."""


def combined(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of all. Skipped ones do not count, and nothing judged is invalid, not a pass."""
    seen = set(verdicts)
    for verdict in WORST_FIRST:
        if verdict in seen:
            return verdict
    return Verdict.PASS if Verdict.PASS in seen else Verdict.INVALID
