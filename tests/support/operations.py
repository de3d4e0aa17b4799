"""Operations on models that are noted, and answered as a server would."""

from __future__ import annotations

from typing import Any

from serve.errors import NotFound, PenstockError
from serve.traffic.operations import Operation
from serve.traffic.report import ModelTraffic
from serve.traffic.state import Audit, ModelState

STATE = ModelState(labels={"stable": 3}, basis="b")
REPORT = ModelTraffic(model="fraud", revision=7, labels={"stable": 3}, default=3, arms=())
LINE = Audit(number=1, time_s=1.5, who="alice@127.0.0.1", model="fraud", what="rollback")


class FakeOperations:
    """Knows one model, ``fraud``; raises ``refusal`` where there is one."""

    def __init__(self, refusal: PenstockError | None = None) -> None:
        self.refusal = refusal
        self.calls: list[tuple[Any, ...]] = []

    def _take(self, *call: Any) -> None:
        self.calls.append(call)
        if self.refusal is not None:
            raise self.refusal

    def _known(self, model: str) -> None:
        if model != "fraud":
            raise NotFound(f"Request for unknown model: {model!r:.80} is not found")

    async def apply(
        self, model: str, operation: Operation, *, who: str, why: str = ""
    ) -> ModelState:
        self._known(model)
        self._take(operation, who, why)
        return STATE

    async def traffic_report(self, model: str) -> ModelTraffic:
        self._known(model)
        self._take("traffic_report")
        return REPORT

    async def audit(self, model: str = "", limit: int = 100, before: int = 0) -> list[Audit]:
        self._take("audit", model, limit, before)
        return [LINE]

    async def load(self, model: str, *, who: str, why: str = "") -> None:
        self._known(model)
        self._take("load")

    async def unload(self, model: str, *, who: str, why: str = "") -> None:
        self._known(model)
        self._take("unload")
