"""What gateways have reported, added up: how the versions of all models fare."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from serve.traffic.rollout import LOADING, READY
from serve.traffic.samples import Sample

__all__ = ["Reports", "VersionSeen"]

RECENT_S = 10.0
"""A gateway that was silent for longer says nothing about what is ready."""
GONE_S = 60.0
"""One that was silent for longer is gone, as far as anybody knows; its counts stay."""
MOST_GONE = 256
"""So many of those may come back: of the others only the counts are remembered."""
NOTHING = Sample()


class VersionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A version at a gateway: the protocol's state, and all that was counted since it started."""

    state: str
    reason: str = ""
    sample: Sample = Sample()


Models = Mapping[str, Mapping[int, VersionSeen]]


class Reports:
    """The last report of every gateway. ``now_s`` is of any clock that does not jump."""

    def __init__(self) -> None:
        # Both in the order of the last reports.
        self._last: dict[str, tuple[float, Models]] = {}
        self._gone: dict[str, Models] = {}
        self._gone_sums: dict[tuple[str, int], Sample] = {}

    def take(self, gateway: str, models: Models, now_s: float) -> None:
        """A gateway has reported."""
        if (back := self._gone.pop(gateway, None)) is not None:
            for model, version, sample in _samples(back):
                known = self._gone_sums[model, version]
                self._gone_sums[model, version] = known.minus(sample)
        self._last.pop(gateway, None)
        self._last[gateway] = (now_s, models)
        while (oldest := next(iter(self._last))) != gateway:
            said_s, last = self._last[oldest]
            if now_s - said_s <= GONE_S:
                break
            del self._last[oldest]
            self._gone[oldest] = last
            for model, version, sample in _samples(last):
                known = self._gone_sums.get((model, version), NOTHING)
                self._gone_sums[model, version] = known.plus(sample)
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]

    def sample(self, model: str, version: int) -> Sample:
        """All that was counted of a version, by every gateway there ever was."""
        total = self._gone_sums.get((model, version), NOTHING)
        for _, models in self._last.values():
            seen = models.get(model, {}).get(version)
            if seen is not None and seen.sample != NOTHING:
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


def _samples(models: Models) -> list[tuple[str, int, Sample]]:
    """What a gateway has counted, of which model and version."""
    return [
        (model, version, seen.sample)
        for model, versions in models.items()
        for version, seen in versions.items()
        if seen.sample != NOTHING
    ]
