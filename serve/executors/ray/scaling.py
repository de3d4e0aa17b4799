"""How many replicas a version needs: a pure function of what they report. Imports no ray.

Serve calls ``UtilisationPolicy`` in its controller, about ten times a second, and holds what it
says against ``upscale_delay_s`` and ``downscale_delay_s`` before it acts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Load", "UtilisationPolicy", "wanted_replicas"]

SLACK = 0.05
"""So much of a replica is not worth another one."""
STANDING = 1.0
"""Batches that wait for each slot, on average, when a replica has more than it can do at once."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a replica reported: its slots' share in use, and batches that waited for each slot."""

    utilisation: float
    queued: float


def wanted_replicas(
    loads: Sequence[Load], current: int, target_utilisation: float, fewest: int, most: int
) -> int:
    """Replicas that would bring utilisation to the target.

    A slot cannot be more than all in use: where batches stand in line, the need is at least one
    replica more than there are, and with all slots in use half as many again.
    """
    if not loads:  # none has reported yet
        return min(max(current, fewest), most)
    used = sum(load.utilisation for load in loads)
    wanted = math.ceil(used / target_utilisation - SLACK)
    standing = sum(load.queued for load in loads) / len(loads)
    if standing >= STANDING:
        wanted = max(wanted, len(loads) + 1, math.ceil(len(loads) * 1.5))
    return min(max(wanted, fewest), most)


class UtilisationPolicy:
    """``wanted_replicas`` as Serve calls a policy: with its context, for a number and a state."""

    def __init__(self, target_utilisation: float) -> None:
        self._target_utilisation = target_utilisation

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Called by Serve in its controller, which may not be held up."""
        metrics = context.aggregated_metrics or {}
        queued = metrics.get("queued", {})
        loads = [
            Load(value, queued.get(replica, 0.0))
            for replica, value in metrics.get("utilisation", {}).items()
        ]
        wanted = wanted_replicas(
            loads,
            context.target_num_replicas,
            self._target_utilisation,
            context.capacity_adjusted_min_replicas,
            context.capacity_adjusted_max_replicas,
        )
        return wanted, {}
