"""What a scenario hands back: figures, and checks against thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = ["Check", "Figure", "Result", "Verdict"]


class Verdict(StrEnum):
    """Whether a scenario met its thresholds; ``INVALID``: it did not measure what it should."""

    PASS = "pass"
    FAIL = "fail"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, with the range it moved in where there were several rounds."""

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A figure and the limit it must keep."""

    figure: Figure
    op: Literal["<=", ">="]
    limit: float

    @property
    def passed(self) -> bool:
        """NaN passes nothing."""
        value = self.figure.value
        return value <= self.limit if self.op == "<=" else value >= self.limit


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome of one scenario."""

    scenario: str
    checks: tuple[Check, ...]
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    invalid: str = ""
    """Why the checks mean nothing, if they do."""
    details: dict[str, Any] = field(default_factory=dict)
    """Every round, for the JSON file."""

    @property
    def verdict(self) -> Verdict:
        if self.invalid:
            return Verdict.INVALID
        return Verdict.PASS if all(check.passed for check in self.checks) else Verdict.FAIL
