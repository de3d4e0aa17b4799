"""A gateway's side of the authority over traffic rules. Imports no ray.

Requests never wait for it. While the authority does not answer, its last rules count.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from serve.errors import Unavailable, Unsupported
from serve.executors.ray.traffic_authority import Told
from serve.executors.remote.messages import Failure
from serve.traffic.authority import ModelTraffic, VersionSeen
from serve.traffic.operations import Operation
from serve.traffic.state import Audit, ModelState, TrafficState

__all__ = ["AuthorityLink", "Calls", "Pace", "Unreachable"]

log = logging.getLogger("penstock.traffic")

Listener = Callable[[TrafficState], None]
Report = Callable[[], Mapping[str, Mapping[int, VersionSeen]]]


class Unreachable(ConnectionError):
    """The authority did not answer; what was asked of it may have been done all the same."""


class Calls(Protocol):
    """How the methods of ``TrafficAuthority`` are called."""

    async def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """What the method gives.

        Raises:
            Unreachable: nothing came back.
        """


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds.

    ``poll``: longest wait for a change in one call; ``answer``: for an answer, beyond that;
    ``again``: pauses after none, first and longest; ``first``: a gateway waits so long for its
    first rules, and an operation for an authority that is being restarted; ``report``: between
    two reports; ``work``: longest operation.
    """

    poll: float = 10.0
    answer: float = 5.0
    again: tuple[float, float] = (0.1, 1.0)
    first: float = 10.0
    report: float = 0.5
    work: float = 15.0


class AuthorityLink:
    """Follows the authority, reports to it, and hands on to it what is asked of the gateway."""

    def __init__(self, calls: Calls, gateway: str, pace: Pace | None = None) -> None:
        # shared
        self._calls = calls
        self._gateway = gateway
        self._pace = pace or Pace()
        # state
        self._tasks: list[asyncio.Task[None]] = []
        self._answered = asyncio.Event()
        self._problem = ""

    async def start(self, follow: Listener, report: Report) -> None:
        """Have ``follow`` called with the rules, now and whenever they are others, and ``report``
        for what is reported.

        Returns with the first rules, or without them after ``Pace.first``.
        """
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._follow(follow)),
            loop.create_task(self._send_reports(report)),
        ]
        with suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), self._pace.first)
        if not self._answered.is_set():
            log.warning(
                "labels and traffic are those of model.yaml until the authority over them answers"
            )

    def close(self) -> None:
        """Follow and report no more."""
        for task in self._tasks:
            task.cancel()

    # what is asked of a gateway's admin port

    async def apply(
        self, model: str, operation: Operation, *, who: str, why: str = ""
    ) -> ModelState:
        """See ``Authority.apply``.

        Raises:
            PenstockError: as the authority says; Unavailable: it does not answer.
        """
        state: ModelState = await self._ask("apply", model, operation, who, why)
        return state

    async def traffic_report(self, model: str) -> ModelTraffic:
        """See ``Authority.traffic_report``, and ``apply`` for errors."""
        report: ModelTraffic = await self._ask("traffic_report", model)
        return report

    async def audit(self, model: str = "", limit: int = 100, before: int = 0) -> list[Audit]:
        """See ``Authority.audit``, and ``apply`` for errors."""
        lines: list[Audit] = await self._ask("audit", model, limit, before)
        return lines

    async def load(self, model: str, *, who: str, why: str = "") -> None:
        """Models are not loaded one by one here."""
        raise _no_control(model)

    async def unload(self, model: str, *, who: str, why: str = "") -> None:
        """Models are not unloaded one by one here."""
        raise _no_control(model)

    # inside

    async def _reach(self) -> None:
        """Return when the authority answers: to ask that twice does no harm, unlike what follows.

        Raises:
            Unavailable: it does not, and nothing was asked of it.
        """
        loop, pace = asyncio.get_running_loop(), self._pace
        give_up_s = loop.time() + pace.first
        while True:
            try:
                await self._calls.call("spec", timeout_s=max(0.0, give_up_s - loop.time()))
                return
            except Unreachable as error:
                if loop.time() + pace.again[0] >= give_up_s:
                    raise Unavailable(
                        f"the authority over traffic rules does not answer ({error}); all rules"
                        " stay as they are: try again, and see the log of the server's command"
                    ) from None
            await asyncio.sleep(pace.again[0])

    async def _ask(self, method: str, *arguments: Any) -> Any:
        await self._reach()
        try:
            outcome = await self._calls.call(method, *arguments, timeout_s=self._pace.work)
        except Unreachable as error:
            raise Unavailable(
                f"the authority over traffic rules was lost before it answered ({error}): look at"
                " the model's traffic to see whether anything was done"
            ) from None
        if isinstance(outcome, Failure):
            raise outcome.error()
        return outcome

    async def _follow(self, follow: Listener) -> None:
        pace = self._pace
        known, pause_s = "", pace.again[0]
        while True:
            try:
                told = await self._calls.call(
                    "changes", known, pace.poll, timeout_s=pace.poll + pace.answer
                )
                problem = told.message if isinstance(told, Failure) else ""
            except Unreachable as error:
                told, problem = None, str(error)
            self._say(problem, first=not known)
            if problem:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, pace.again[1])
                continue
            pause_s = pace.again[0]
            if isinstance(told, Told):
                known = told.mark
                try:
                    follow(told.state)
                except Exception:
                    log.exception("the rules of revision %d are not followed", told.state.revision)
            self._answered.set()

    def _say(self, problem: str, *, first: bool) -> None:
        """Log once that the authority does not answer, and once that it does again."""
        if problem and not self._problem:
            rules = "those of model.yaml" if first else "the last ones"
            log.warning("no traffic rules from their authority, %s count: %s", rules, problem)
        elif not problem and self._problem:
            log.info("traffic rules come from their authority again")
        self._problem = problem

    async def _send_reports(self, report: Report) -> None:
        """A report that is lost is made good by the next: counts grow from the start."""
        last: Mapping[str, Mapping[int, VersionSeen]] = {}
        while True:
            await asyncio.sleep(self._pace.report)
            try:
                now = report()
            except Exception:
                log.exception("no report for the authority over traffic rules")
                continue
            if now or last:
                with suppress(Unreachable):
                    await self._calls.call(
                        "report", self._gateway, now, timeout_s=self._pace.answer
                    )
            last = now


def _no_control(model: str) -> Unsupported:
    return Unsupported(
        f"model '{model}' cannot be loaded or unloaded by itself with --ray: change the repository"
        " and send SIGHUP to the server's command"
    )
