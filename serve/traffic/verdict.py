"""What a guard of a rollout says."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

__all__ = ["GuardName", "State", "Verdict"]

State = Literal["holds", "breached", "waiting", "off"]


class GuardName(StrEnum):
    """What is guarded."""

    ERRORS = "errors"
    P99_SLO = "p99_slo"
    P99_STABLE = "p99_stable"
    REFUSALS = "refusals"
    DISAGREEMENT = "disagreement"
    SCORES = "scores"
    READINESS = "readiness"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one guard says of a step so far.

    ``holds``: enough was seen, and nothing against the new version. ``breached``: not by chance,
    at the confidence asked for. ``waiting``: ``samples`` are fewer than ``needed``, or too little
    is known of stable. ``off``: nobody asked for it, or it cannot be told.

    ``new`` and ``stable`` are what was seen of the two, ``limit`` what is allowed, in the guard's
    unit: a share, or ms for p99; a distance for scores, which is ``new``, from 0 to 1.
    ``samples`` are requests of the new version (of ``disagreement``: copies). ``text`` is a
    sentence for people.
    """

    guard: GuardName
    state: State
    new: float | None = None
    stable: float | None = None
    limit: float | None = None
    samples: int = 0
    needed: int = 0
    text: str = ""
