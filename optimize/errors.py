"""What stops an optimisation.

PenstockError
└── OptimizeError     names the step, what went wrong in it and the remedy
    └── Interrupted   the user stopped it
"""

from __future__ import annotations

from serve.errors import PenstockError

__all__ = ["Interrupted", "OptimizeError"]


class OptimizeError(PenstockError):
    """A step cannot do its work; nothing was added to the repository."""

    def __init__(self, *, step: str, problem: str, remedy: str) -> None:
        self.step = step
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"step {step}: {problem} ({remedy})")


class Interrupted(OptimizeError):
    """Ctrl-C."""
