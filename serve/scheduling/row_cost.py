"""What a row is worth: the time that it takes in batches of the best size."""

from __future__ import annotations

from serve.scheduling import policy
from serve.scheduling.cost import CostModel
from serve.scheduling.policy import Limits

__all__ = ["RowCost"]


class RowCost:
    """``ns``: nanoseconds of a row in the batches that make the most of a slot.

    A slot that has time runs small batches, which cost more by the row. How long it is busy
    therefore says little of how much more it could do; how many rows it ran does.
    """

    def __init__(self, cost: CostModel, limits: Limits) -> None:
        self._cost = cost
        self._limits = limits
        self._recount()

    def learn(self, rows: int, took_ns: int) -> None:
        """Follow what a batch took."""
        if self._cost.learn(rows, took_ns):
            self._recount()

    def _recount(self) -> None:
        best = policy.batch_limit(self._cost, self._limits)
        self.ns = self._cost.batch_ns(best) / best
