"""A gate: a limit, what was measured, and whether that holds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Gate", "Verdict", "verdict_of"]

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Gate:
    """One gate's outcome. ``bound`` is what was held against the limit, where it is not the value
    itself; ``detail`` says where it was worst, or why it cannot be told."""

    name: str
    verdict: Verdict
    limit: float | None = None
    value: float | None = None
    bound: float | None = None
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Without what does not apply; JSON has no infinities, so these are strings."""
        return {
            key: str(value) if isinstance(value, float) and not abs(value) < float("inf") else value
            for key, value in asdict(self).items()
            if value is not None and value != ""
        }


def verdict_of(gates: Iterable[Gate]) -> Verdict:
    """The worst: one failure fails, one that cannot be told leaves it open."""
    verdicts = {gate.verdict for gate in gates}
    for worst in ("fail", "inconclusive"):
        if worst in verdicts:
            return worst
    return "pass"
