"""What gateways have reported, added up: how the versions of all models fare."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from serve.traffic.rollout import LOADING, READY
from serve.traffic.samples import Sample

__all__ = ["Reports", "VersionSeen"]

RECENT_S = 10.0
"""A gateway that was silent for longer says nothing about what is ready."""
MOST_GATEWAYS = 256
"""Whose counts are kept apart; those of the ones that were silent longest are added up."""


class VersionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A version at a gateway: the protocol's state, and all that was counted since it started."""

    state: str
    reason: str = ""
    sample: Sample = Sample()


class Reports:
    """The last report of every gateway. ``now_s`` is of any clock that does not jump."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, Mapping[str, Mapping[int, VersionSeen]]]] = {}
        self._gone: dict[tuple[str, int], Sample] = {}

    def take(
        self, gateway: str, models: Mapping[str, Mapping[int, VersionSeen]], now_s: float
    ) -> None:
        """A gateway has reported."""
        self._last.pop(gateway, None)  # so that they are in the order of their reports
        self._last[gateway] = (now_s, models)
        if len(self._last) > MOST_GATEWAYS:
            oldest = next(iter(self._last))
            _, last = self._last.pop(oldest)
            for name, versions in last.items():
                for version, seen in versions.items():
                    known = self._gone.get((name, version), Sample())
                    self._gone[name, version] = known.plus(seen.sample)

    def sample(self, model: str, version: int) -> Sample:
        """All that was counted of a version, by every gateway there ever was."""
        total = self._gone.get((model, version), Sample())
        for _, models in self._last.values():
            seen = models.get(model, {}).get(version)
            if seen is not None:
                total = total.plus(seen.sample)
        return total

    def readiness(self, model: str, version: int, now_s: float) -> str:
        """``READY`` everywhere, ``LOADING`` somewhere, or why it failed."""
        states = [
            models.get(model, {}).get(version)
            for said_s, models in self._last.values()
            if now_s - said_s <= RECENT_S
        ]
        for seen in states:
            if seen is not None and seen.state == "UNAVAILABLE":
                return seen.reason or "it is not served"
        everywhere = bool(states) and all(s is not None and s.state == "READY" for s in states)
        return READY if everywhere else LOADING

    def versions(self, model: str, now_s: float) -> dict[int, VersionSeen]:
        """The versions of a model at the gateway that has reported last; version 0: the model."""
        for said_s, models in reversed(self._last.values()):
            if now_s - said_s <= RECENT_S and model in models:
                return dict(models[model])
        return {}

    def highest_ready(self, model: str, now_s: float) -> int:
        """The highest version that is ready; 0: none is."""
        ready = (n for n, seen in self.versions(model, now_s).items() if seen.state == "READY")
        return max(ready, default=0)
