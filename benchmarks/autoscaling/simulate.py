"""Second by second: the load, the replicas that the server's own policy asks for, and the answers.

A second is one step: rates within it are even, and what waits is a number of predictions, not a
list of requests. So a day takes a second or two, and what it says of latency is what queueing
theory says of such rates (``Capacity.wait``), plus what a shortage adds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import accumulate, pairwise

import msgspec

from benchmarks.autoscaling.capacity import Capacity
from benchmarks.autoscaling.trace import Trace
from serve.config import ModelConfig
from serve.executors.ray.scaling import Load, Pending, Rules, decide
from serve.scheduling.policy import HEADROOM

__all__ = ["Answers", "Second", "simulate"]


class Answers(msgspec.Struct, frozen=True):
    """Predictions of which each takes ``base_s``, and ``waits`` of them longer by ``mean_s`` on
    average, exponentially spread."""

    count: float
    base_s: float
    waits: float = 0.0
    mean_s: float = 0.0

    def later_than(self, limit_s: float) -> float:
        """How many take longer."""
        over_s = limit_s - self.base_s
        if over_s < 0:
            return self.count
        tail = math.exp(-over_s / self.mean_s) if self.mean_s else 0.0
        return self.count * self.waits * tail


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """What was so in one second. ``paid``: replicas that there should be, those that start too."""

    asked: float
    ready: int
    paid: int
    utilisation: float
    refused: float
    answers: tuple[Answers, ...]


def simulate(trace: Trace, config: ModelConfig, capacity: Capacity, start_s: float) -> list[Second]:
    """Every second of a trace. A replica answers ``start_s`` seconds after it was asked for.

    Predictions come whole: a rate of 0.01 is one every hundred seconds, and nothing in between.
    """
    world = _World(config, capacity, start_s, trace.rates[0])
    come = [math.floor(total) for total in accumulate(trace.rates, initial=1e-9)]
    return [world.second(now, until - of) for now, (of, until) in enumerate(pairwise(come))]


class _World:
    """The replicas of one model, and what waits for them."""

    def __init__(
        self, config: ModelConfig, capacity: Capacity, start_s: float, first_per_s: float
    ) -> None:
        self._rules = rules = Rules.of(config)
        self._capacity = capacity
        self._start_s = start_s
        self._look_back = max(1, round(config.autoscaling.look_back_s))
        slo_s = (config.slo.latency_ms or math.inf) / 1e3
        timeout_s = config.slo.timeout_ms / 1e3
        self._patience_s = min(timeout_s, config.autoscaling.cold_start_timeout_s)
        # As admission has it: what is predicted to take longer is refused.
        self._budget_s = min(slo_s, timeout_s) * HEADROOM
        self._most_rows = config.batching.max_queue_rows
        # As if it had always been as in the first second.
        needed = math.ceil(first_per_s / (capacity.per_s * rules.target_utilisation) - 1e-9)
        self._ready_at = [-math.inf] * min(max(needed, rules.min_replicas), rules.max_replicas)
        self._pending: Pending | None = None
        self._backlog = 0.0
        self._cold: deque[tuple[int, float]] = deque()
        self._used_sums = [0.0]
        self._waiting_sums = [0.0]

    def second(self, now: int, asked: float) -> Second:
        """Go on by one."""
        ready = sum(at <= now for at in self._ready_at)
        refused = self._forget_late(now) if self._cold and not ready else 0.0
        answers: list[Answers] = []
        used = waiting_s = 0.0
        if ready:
            answers += self._woken(now, ready)
            done, late = self._serve(asked, ready)
            refused += late
            used = done / (ready * self._capacity.per_s)
            answer, random_s = self._answers(done, asked - late, ready)
            answers.append(answer)
            waiting_s = self._backlog * self._capacity.row_s + random_s
        elif asked:
            room = self._room(1) - sum(count for _, count in self._cold)
            taken = min(asked, max(0.0, room))
            refused += asked - taken
            self._cold.append((now, taken))
        self._used_sums.append(self._used_sums[-1] + used)
        self._waiting_sums.append(self._waiting_sums[-1] + waiting_s)
        paid = len(self._ready_at)
        self._scale(now)
        return Second(
            asked=asked,
            ready=ready,
            paid=paid,
            utilisation=used,
            refused=refused,
            answers=tuple(answers),
        )

    def _room(self, replicas: int) -> float:
        """Predictions that may wait for so many replicas."""
        return min(self._most_rows, max(1.0, self._budget_s * replicas * self._capacity.per_s))

    def _forget_late(self, now: int) -> float:
        """Refuse what has waited in vain for a first replica."""
        refused = 0.0
        while self._cold and now - self._cold[0][0] >= self._patience_s:
            refused += self._cold.popleft()[1]
        return refused

    def _woken(self, now: int, ready: int) -> list[Answers]:
        """Answer what waited for the first replica, one after the other."""
        answers, ahead = [], 0.0
        for since, count in self._cold:
            behind_s = (ahead + count / 2) / (ready * self._capacity.per_s)
            answers.append(Answers(count, now - since - 0.5 + behind_s))
            ahead += count
        self._backlog += ahead
        self._cold.clear()
        return answers

    def _serve(self, asked: float, ready: int) -> tuple[float, float]:
        """What is answered and what is refused; the rest waits on."""
        wanted = self._backlog + asked
        done = min(wanted, ready * self._capacity.per_s)
        left = wanted - done
        refused = min(asked, max(0.0, left - self._room(ready)))
        self._backlog = left - refused
        return done, refused

    def _answers(self, done: float, taken: float, ready: int) -> tuple[Answers, float]:
        """How long those take that came in this second, and the work that waits by chance."""
        capacity = self._capacity
        _, batch_s = capacity.batch(done / ready)
        waits, mean_s = capacity.wait(done, ready)
        behind_s = self._backlog / (ready * capacity.per_s)
        queued = done * waits * mean_s  # Little's law
        return Answers(taken, batch_s + behind_s, waits, mean_s), queued * capacity.row_s

    def _scale(self, now: int) -> None:
        """Ask the policy, and do as it says."""
        loads = self._loads(now)
        current = len(self._ready_at)
        demand = bool(self._cold)
        target, self._pending = decide(
            loads, current, self._pending, now, self._rules, demand=demand
        )
        self._ready_at.sort()
        del self._ready_at[target:]
        self._ready_at += [now + 1 + self._start_s] * (target - len(self._ready_at))

    def _loads(self, now: int) -> Sequence[Load]:
        """What the replicas report: means over the look-back, or since they are there."""
        ages = [now + 1 - max(0.0, at) for at in self._ready_at if at <= now]
        seconds = [max(1, int(min(self._look_back, age))) for age in ages]
        known = {each: self._load(each) for each in set(seconds)}
        return [known[each] for each in seconds]

    def _load(self, seconds: int) -> Load:
        return Load(
            (self._used_sums[-1] - self._used_sums[-1 - seconds]) / seconds,
            gateways_s=(self._waiting_sums[-1] - self._waiting_sums[-1 - seconds]) / seconds,
            batch_s=self._capacity.batch(0)[1],
            slots=self._capacity.slots,
        )
