"""What the admin port may ask for: the same in one process and on Ray."""

from __future__ import annotations

from typing import Protocol

from serve.traffic.authority import ModelTraffic
from serve.traffic.operations import Operation
from serve.traffic.state import Audit, ModelState

__all__ = ["Operations"]


class Operations(Protocol):
    """Called on the event loop. Every method raises a PenstockError that says what is wrong."""

    async def apply(
        self, model: str, operation: Operation, *, who: str, why: str = ""
    ) -> ModelState:
        """Change a model's traffic; see ``Authority.apply``."""

    async def traffic_report(self, model: str) -> ModelTraffic:
        """The rules of a model, and how its versions fare."""

    async def audit(self, model: str = "", limit: int = 100, before: int = 0) -> list[Audit]:
        """Lines of the audit log, the newest first."""

    async def load(self, model: str, *, who: str, why: str = "") -> None:
        """Load a model, or load it again, as the repository has it; returns when it answers."""

    async def unload(self, model: str, *, who: str, why: str = "") -> None:
        """Take a model out of service; returns when it is freed."""
