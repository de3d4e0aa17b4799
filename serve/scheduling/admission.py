"""Admission to the queue of one model: what its costs say of a new request."""

from __future__ import annotations

from serve.clock import NS_PER_MS, NS_PER_S
from serve.errors import DeadlineExceeded, Overloaded
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling import policy
from serve.scheduling.cost import CostModel
from serve.scheduling.policy import Limits, Load

__all__ = ["Admission"]

FREE_NS = 50 * NS_PER_MS
"""Work that an idle executor clears in less needs no prediction for requests due later."""


class Admission:
    """Holds the cost model, and what follows from it until it changes.

    ``max_batch_rows``: most rows that the next batch should have.
    """

    def __init__(self, name: str, limits: Limits, cost: CostModel, metrics: VersionMetrics) -> None:
        self._name = name
        self._limits = limits
        self._cost = cost
        self._metrics = metrics
        self._recount()

    def free(self, queued_rows: int, time_left_ns: int) -> bool:
        """Whether an idle executor takes so many rows without a closer look at each request."""
        return queued_rows <= self._free_rows and time_left_ns >= FREE_NS

    def check(self, rows: int, deadline_ns: int, load: Load, now_ns: int) -> None:
        """Let a request in.

        Raises:
            DeadlineExceeded: it is late already.
            Overloaded: it would be late, or the queue is full; counted, with a retry hint.
        """
        if deadline_ns <= now_ns:
            raise DeadlineExceeded(f"the deadline passed before model '{self._name}' was reached")
        refusal = policy.admit(now_ns, rows, deadline_ns, load, self._cost, self._limits)
        if refusal is None:
            return
        self._metrics.refusals[refusal.reason] += 1
        problem = (
            f"is overloaded ({refusal.reason}): an answer would take about"
            f" {refusal.predicted_ns / 1e6:.0f} ms"
            if load.slots
            else f"has no replica now, and enough waits for the next one ({refusal.reason})"
        )
        raise Overloaded(
            f"model '{self._name}' {problem}; retry later",
            reason=refusal.reason,
            retry_after_s=refusal.retry_after_ns / NS_PER_S,
        )

    def admits(self, rows: int, deadline_ns: int, load: Load, now_ns: int) -> bool:
        """Whether ``check`` would let a request in; nothing is counted."""
        if deadline_ns <= now_ns:
            return False
        return policy.admit(now_ns, rows, deadline_ns, load, self._cost, self._limits) is None

    def work_ns(self, rows: int) -> int:
        """Time in which one slot executes so many rows, in batches as they would be made."""
        return policy.work_ns(rows, self.max_batch_rows, self._cost)

    def learn(self, rows: int, execute_ns: int) -> None:
        """Follow what a batch took."""
        if self._cost.learn(rows, execute_ns):
            self._recount()

    def _recount(self) -> None:
        limits = self._limits
        best = self.max_batch_rows = policy.batch_limit(self._cost, limits)
        budget_ns = min(FREE_NS, limits.slo_ns or FREE_NS) * policy.HEADROOM
        batches = int(budget_ns / max(1, self._cost.batch_ns(best)))
        self._free_rows = min(batches * best, limits.max_queue_rows)
