"""How many replicas a version has: pure functions of what they report. Imports no ray.

Two things ask for replicas: the share of what the slots can do that is used, which should be at
its target; and work that waits, in gateways and in engines, which should be begun within a quarter
of the model's latency target (without one: no more than a batch should wait for each slot). An
answer is acted upon when it has stood for the delay of its direction: up to the fewest, and down to
the most, that was asked for meanwhile, so that a load that comes and goes moves nothing.

Serve calls ``ScalingPolicy`` in its controller, about ten times a second, with means over
``look_back_s``. ``benchmarks/autoscaling`` calls ``decide`` with a load that it makes up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from serve.config import ModelConfig

__all__ = [
    "Load",
    "Pending",
    "Rules",
    "ScalingPolicy",
    "decide",
    "queue_delay_s",
    "wanted_replicas",
]

SLACK = 0.05
"""So much of a replica is not worth another one."""
QUEUE_SHARE = 0.25
"""Share of the latency target for which work should wait at most."""
GROWTH = 1.5
"""At most so many times the replicas there are, if work waits: what it is worth is a guess."""
DELAY_EPSILON_S = 1e-6


@dataclass(frozen=True, slots=True)
class Rules:
    """What a model's settings ask for; ``latency_s`` 0: it has no latency target."""

    min_replicas: int
    max_replicas: int
    target_utilisation: float = 0.6
    latency_s: float = 0.0
    upscale_delay_s: float = 5.0
    downscale_delay_s: float = 120.0

    @classmethod
    def of(cls, config: ModelConfig) -> Rules:
        """Those of a model."""
        wanted = config.autoscaling
        return cls(
            min_replicas=wanted.min_replicas,
            max_replicas=wanted.most,
            target_utilisation=wanted.target_utilisation,
            latency_s=(config.slo.latency_ms or 0.0) / 1e3,
            upscale_delay_s=wanted.upscale_delay_s,
            downscale_delay_s=wanted.downscale_delay_s,
        )


@dataclass(frozen=True, slots=True)
class Load:
    """What one replica reported, as means.

    ``utilisation``: share of what its slots could do in batches of the best size. ``gateways_s``:
    seconds of execution of what waits in the gateways that it knows; other replicas of the version
    report the same again. ``queued_s``: of what waits in the replica itself. ``batch_s``: what a
    batch takes.
    """

    utilisation: float
    gateways_s: float = 0.0
    queued_s: float = 0.0
    batch_s: float = 0.0
    slots: int = 1


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that is asked for since ``since_s``: to ``wanted`` at least, or at most."""

    wanted: int
    since_s: float


def queue_delay_s(loads: Sequence[Load]) -> float:
    """Seconds until a slot begins with what comes last, predicted from what waits."""
    slots = sum(load.slots for load in loads)
    if not slots:
        return 0.0
    waiting_s = max(load.gateways_s for load in loads) + sum(load.queued_s for load in loads)
    return waiting_s / slots


def wanted_replicas(loads: Sequence[Load], current: int, rules: Rules, *, demand: bool) -> int:
    """Replicas that would bring utilisation and waiting to their targets.

    ``loads`` of those that have reported, ``current``: those that there should be now; ``demand``:
    a request waits for the first of all. What waits is taken to be shared by those there will be;
    it may be far more than they need, so the answer is at most ``GROWTH`` times those there are.
    """
    if not current:
        wanted = int(demand)
    elif not loads:  # none has reported yet
        wanted = current
    else:
        used = sum(load.utilisation for load in loads)
        wanted = math.ceil(used / rules.target_utilisation - SLACK)
        delay_s = queue_delay_s(loads)
        if used or delay_s or demand:
            wanted = max(wanted, 1)  # nothing at all is what ends the last replica
        allowed_s = rules.latency_s * QUEUE_SHARE or max(load.batch_s for load in loads)
        if allowed_s:
            running = len(loads)
            most = max(running + 1, math.ceil(running * GROWTH))
            wanted = max(wanted, min(most, math.ceil(running * delay_s / allowed_s)))
    return min(max(wanted, rules.min_replicas), rules.max_replicas)


def decide(
    loads: Sequence[Load],
    current: int,
    pending: Pending | None,
    now_s: float,
    rules: Rules,
    *,
    demand: bool = False,
) -> tuple[int, Pending | None]:
    """Replicas that there should be from now on, and the change that is waited for.

    The first replica is started at once. The last one is ended by itself: from several the way
    to none leads over one, and a delay more.
    """
    wanted = wanted_replicas(loads, current, rules, demand=demand)
    if wanted == current:
        return current, None
    if not current:
        return wanted, None
    up = wanted > current
    if not up and current > 1:
        wanted = max(wanted, 1)
    if pending is None or (pending.wanted > current) != up:
        pending = Pending(wanted, now_s)
    else:
        nearest = min if up else max
        pending = Pending(nearest(pending.wanted, wanted), pending.since_s)
    delay_s = rules.upscale_delay_s if up else rules.downscale_delay_s
    if now_s - pending.since_s + DELAY_EPSILON_S < delay_s:
        return current, pending
    return pending.wanted, None


class ScalingPolicy:
    """``decide`` as Serve calls a policy: with its context, for a number and what to remember.

    Delays are ours, so Serve's own must be 0.
    """

    def __init__(self, **rules: Any) -> None:
        """``rules``: the fields of ``Rules``, as Serve keeps arguments in JSON."""
        self._rules = Rules(**rules)

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Called by Serve in its controller, which may not be held up."""
        state = context.policy_state or {}
        pending = state.get("pending")
        number, after = decide(
            loads_of(context.aggregated_metrics or {}),
            context.target_num_replicas,
            Pending(**pending) if pending else None,
            context.current_time,
            self._rules,
            demand=context.total_num_requests > 0,
        )
        return number, {"pending": asdict(after) if after else None}


def loads_of(metrics: dict[str, dict[Any, float]]) -> list[Load]:
    """What replicas report, by name and replica, as loads."""
    names = ("gateways_s", "queued_s", "batch_s")
    return [
        Load(
            utilisation,
            **{name: metrics.get(name, {}).get(replica, 0.0) for name in names},
            slots=max(1, round(metrics.get("slots", {}).get(replica, 1))),
        )
        for replica, utilisation in metrics.get("utilisation", {}).items()
    ]
