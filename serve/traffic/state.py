"""What the traffic of a model is at a moment: plain data, as it is kept, sent and shown.

One authority changes it (``serve.traffic.authority``); gateways follow what it says. A state is
immutable: a change is another one, with ``revision`` one higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

__all__ = ["Audit", "ModelState", "Rollout", "RolloutStatus", "TrafficState"]


class RolloutStatus(StrEnum):
    """Where a rollout is. The last three are its end."""

    LOADING = "loading"
    HOLDING = "holding"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is given more and more of the traffic.

    ``steps`` are percentages, ascending, the last of them 100; ``step`` is the index of the one
    that holds, -1 before the first. Times are seconds since the epoch, 0 if not yet.
    ``guards``: fields of ``traffic.guards`` that stand in for the model's; ``by``: who began it;
    ``holds``: how often a step was begun, or begun anew.
    """

    version: int
    stable: int
    steps: tuple[float, ...]
    hold_s: float
    status: RolloutStatus = RolloutStatus.LOADING
    step: int = -1
    began_s: float = 0.0
    step_began_s: float = 0.0
    ended_s: float = 0.0
    reason: str = ""
    by: str = ""
    guards: Mapping[str, Any] | None = None
    holds: int = 0

    @property
    def active(self) -> bool:
        """Whether it goes on, or could."""
        return self.status in (RolloutStatus.LOADING, RolloutStatus.HOLDING, RolloutStatus.PAUSED)

    @property
    def percent(self) -> float:
        """The share of the new version, in percent, as long as it is active."""
        return self.steps[self.step] if self.step >= 0 else 0.0


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic of one model, where it differs from ``model.yaml``.

    ``labels`` and ``traffic`` (a ``Traffic`` in JSON form) stand in for those of ``model.yaml``
    where they are not None. ``basis`` is a digest of what ``model.yaml`` said when they were set:
    once it says something else of either, it has the last word on that (``rules.current``).
    """

    labels: Mapping[str, int] | None = None
    traffic: Mapping[str, Any] | None = None
    rollout: Rollout | None = None
    basis: str = ""


class TrafficState(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic of all models that differ from their ``model.yaml``."""

    revision: int = 0
    models: Mapping[str, ModelState] = {}

    def of(self, model: str) -> ModelState:
        """The state of a model; nothing, for one that is as its ``model.yaml`` says."""
        return self.models.get(model, ModelState())


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log. ``before`` and ``after`` are states of the model."""

    number: int
    time_s: float
    who: str
    model: str
    what: str
    why: str = ""
    before: ModelState = ModelState()
    after: ModelState = ModelState()
