"""A model without a replica: it is woken, and requests wait for its first one, up to a limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from serve.clock import NS_PER_S, Clock
from serve.errors import NotReady
from serve.executors.live import LiveModel

__all__ = ["ColdStart"]

log = logging.getLogger("penstock.models")

ASK_AGAIN_S = 5.0
"""So often a replica is asked for while requests wait for one."""
RETRY_AFTER_S = 10.0
"""What a request that has waited in vain is told: replicas take seconds to start, at best."""


class ColdStart:
    """``wake`` asks whoever has the replicas for one; it may be asked more than once."""

    def __init__(
        self,
        live: LiveModel,
        wake: Callable[[], None],
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._live = live
        self._wake = wake
        self._clock = clock
        self._loop = loop
        self._timeout_s = live.config.autoscaling.cold_start_timeout_s
        self._timer: asyncio.TimerHandle | None = None

    def starved(self) -> None:
        """Something waits and there is no replica; called at every attempt to run it."""
        if self._timer is None:
            log.info("model '%s' version %s has no replica: asking for one", *self._name)
            self._ask(self._timeout_s)

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _name(self) -> tuple[str, str]:
        return self._live.name, self._live.version

    def _ask(self, left_s: float) -> None:
        """Ask, and look again when the first that waits has waited for long enough."""
        self._wake()
        self._timer = self._loop.call_later(min(left_s, ASK_AGAIN_S), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._live.executor.slots:
            return
        now_ns = self._clock()
        limit_ns = int(self._timeout_s * NS_PER_S)
        since_ns = self._live.batcher.refuse_waiting(now_ns - limit_ns, self._error())
        if since_ns:
            self._ask(max(0.0, (since_ns + limit_ns - now_ns) / NS_PER_S))

    def _error(self) -> NotReady:
        error = NotReady(
            f"model '{self._live.name}' has no replica, and none has started within"
            f" {self._timeout_s:g} s (autoscaling.cold_start_timeout_s): retry later, raise that"
            " limit, or keep one with autoscaling.min_replicas: 1"
        )
        error.retry_after_s = RETRY_AFTER_S
        return error
