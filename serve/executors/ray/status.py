"""From what Serve says of an application to the state of a version. Imports no ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve.executors.ray.failure import last_line, reason_in

__all__ = ["Progress", "Seen", "state_of"]


@dataclass(frozen=True, slots=True)
class Seen:
    """An application as Serve tells of it, and for how long we have waited for it.

    ``status`` and the names of ``replicas`` are Serve's. ``unmet``: why no node can have one.
    """

    status: str
    message: str
    replicas: Mapping[str, int]
    needed: int
    unmet: str
    waited_s: float
    load_timeout_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a version is. ``final``: nothing but a change of it would make it another."""

    state: str
    reason: str = ""
    final: bool = False


def state_of(seen: Seen) -> Progress:
    """How far a version is that has never been ready."""
    running = seen.replicas.get("RUNNING", 0)
    needed = max(1, seen.needed)
    # One that may have no replica starts with one; RUNNING without any, it has had that.
    rests = not seen.needed and seen.status == "RUNNING"
    if rests or running >= needed:
        return Progress("READY")
    if reason := reason_in(seen.message):
        return Progress("UNAVAILABLE", reason, final=True)
    if seen.status == "DEPLOY_FAILED":
        reason = f"its replicas do not start: {last_line(seen.message)}"
        return Progress("UNAVAILABLE", reason, final=True)
    if seen.unmet:
        return Progress("UNAVAILABLE", seen.unmet)
    if seen.waited_s > seen.load_timeout_s:
        reason = (
            f"{running} of {needed} replicas are ready after {seen.load_timeout_s:g} s; see"
            " what they wait for, or allow more time with --load-timeout"
        )
        return Progress("UNAVAILABLE", reason)
    return Progress("LOADING", f"{running} of {needed} replicas are ready")
