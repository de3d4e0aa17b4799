"""Why a replica did not start, through Serve, which hands on text alone. Imports no ray."""

from __future__ import annotations

import json
import re

__all__ = ["ReplicaNotStartedError", "last_line", "reason_in"]

_MARKED = re.compile(r"penstock-reason:(\"(?:[^\"\\]|\\.)*\")")
_DIED = re.compile(r"(ray\.exceptions\.)?ActorDiedError\(")
LONGEST = 1000


class ReplicaNotStartedError(Exception):
    """A model cannot be loaded, and trying again would not help; its text can be found again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"penstock-reason:{json.dumps(reason)}")


def reason_in(message: str) -> str:
    """The reason that a replica gave, if Serve's message has one; else ""."""
    found = _MARKED.search(message)
    if found is None:
        return ""
    reason: str = json.loads(found[1])
    return reason


def last_line(message: str) -> str:
    """What Serve's message comes to, where no replica gave a reason."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    if _DIED.match(lines[-1]):
        return "its process ended: see what it logged, and whether the system was out of memory"
    return lines[-1][:LONGEST]
