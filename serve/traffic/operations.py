"""What can be asked of the authority over a model's traffic: one kind of message each.

They are what the admin port takes, what a gateway on Ray hands on, and what the audit log names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = [
    "AdvanceRollout",
    "ClearTraffic",
    "Operation",
    "PauseRollout",
    "RemoveLabel",
    "ResumeRollout",
    "Rollback",
    "SetLabel",
    "SetShadow",
    "SetSplit",
    "SetTraffic",
    "StartRollout",
]


class _Operation(msgspec.Struct, frozen=True, kw_only=True, tag_field="operation"):
    pass


class SetLabel(_Operation, tag="set_label", frozen=True):
    """Let a label stand for a version, from now on."""

    label: str
    version: int


class RemoveLabel(_Operation, tag="remove_label", frozen=True):
    """Let a label stand for nothing."""

    label: str


class SetTraffic(_Operation, tag="set_traffic", frozen=True):
    """Replace the whole ``traffic`` section; its fields are those of ``model.yaml``."""

    traffic: Mapping[str, Any]


class SetSplit(_Operation, tag="set_split", frozen=True):
    """Divide requests by these weights, by version or label; none: all go to stable."""

    split: Mapping[str, float]
    sticky: Mapping[str, Any] | None = None
    """None: as it was."""


class SetShadow(_Operation, tag="set_shadow", frozen=True):
    """Copy requests to a version (the fields of ``traffic.shadow``), or with None to nobody."""

    shadow: Mapping[str, Any] | None


class ClearTraffic(_Operation, tag="clear_traffic", frozen=True):
    """Go back to what ``model.yaml`` says of labels and traffic."""


class StartRollout(_Operation, tag="start_rollout", frozen=True):
    """Give version ``to`` these percentages of the traffic, each for ``hold_s`` at least.

    ``guards`` are fields of ``traffic.guards`` that stand in for the model's.
    """

    to: int
    steps: tuple[float, ...] = (1.0, 5.0, 25.0, 100.0)
    hold_s: float = 300.0
    guards: Mapping[str, Any] | None = None


class PauseRollout(_Operation, tag="pause_rollout", frozen=True):
    """Stay at the step that holds; guards still roll back."""


class ResumeRollout(_Operation, tag="resume_rollout", frozen=True):
    """Go on after a pause; the step is held anew."""


class AdvanceRollout(_Operation, tag="advance_rollout", frozen=True):
    """Go to the next step now, whatever the guards have seen so far, unless one is breached."""


class Rollback(_Operation, tag="rollback", frozen=True):
    """Give all traffic to the version before.

    That is stable, if a rollout is active or a split divides the requests (without such a label,
    the version with the largest share); else the version with the label ``previous``. Refused where
    the last rollout was rolled back, and nothing has moved since.
    """


Operation = (
    SetLabel
    | RemoveLabel
    | SetTraffic
    | SetSplit
    | SetShadow
    | ClearTraffic
    | StartRollout
    | PauseRollout
    | ResumeRollout
    | AdvanceRollout
    | Rollback
)
