"""What came of one gate."""

from __future__ import annotations

import math

import msgspec

from benchmarks.gates.spec import Gate
from benchmarks.gates.verdict import Verdict

__all__ = ["Finding"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A gate, what was found, and why that is the verdict."""

    metric: str
    text: str
    """The limit as people write it."""
    why: str = ""
    """What the gate file says of it."""
    is_relative: bool = False
    limit: float = math.nan
    at_least: bool = False
    """Whether the limit is the least that the figure may be, and not the most."""
    value: float = math.nan
    """The metric, or candidate / baseline."""
    low: float = math.nan
    high: float = math.nan
    pairs: int = 0
    verdict: Verdict = Verdict.INVALID
    reason: str = ""

    @classmethod
    def of(cls, gate: Gate, value: float = math.nan) -> Finding:
        """Not judged yet."""
        limits = (gate.value, gate.max_ratio, gate.min_ratio)
        return cls(
            metric=gate.metric,
            text=gate.text(),
            why=gate.why,
            is_relative=gate.is_relative,
            at_least=gate.min_ratio is not None or ">" in str(gate.op),
            limit=next(limit for limit in limits if limit is not None),
            value=math.nan if gate.is_relative else value,
        )

    def ended(self, verdict: Verdict, reason: str) -> Finding:
        """The same with its verdict."""
        return msgspec.structs.replace(self, verdict=verdict, reason=reason)
