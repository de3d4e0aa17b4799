"""Who decides over the traffic of all models: takes operations, judges rollouts, keeps the rules.

There is one in each server, in its process or, on Ray, in an actor that all gateways follow.
Several servers on one machine may share its file: then each follows the changes of the others, and
one of them judges.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol
from uuid import uuid4

import msgspec

from serve.config import ModelConfig
from serve.errors import InvalidRequest, NotFound, PenstockError, Unavailable
from serve.traffic.changes import Situation, change, completed
from serve.traffic.judge import Watch, watch_of
from serve.traffic.ledger import Ledger, Listener
from serve.traffic.operations import Operation, Rollback
from serve.traffic.report import ModelTraffic, traffic_report
from serve.traffic.rollout import LOADING, READY, advance, readiness_verdict, step_anew
from serve.traffic.rules import basis_of, rules_of
from serve.traffic.state import Audit, ModelState, Rollout, RolloutStatus, TrafficState
from serve.traffic.store import StaleError, Store
from serve.traffic.sums import Reports, VersionSeen
from serve.traffic.verdict import Verdict

__all__ = ["Authority", "Catalogue", "ModelTraffic", "VersionSeen"]

log = logging.getLogger("penstock.traffic")

OURSELVES = "penstock"
"""Who does what nobody has asked for, in the audit log."""
MOST_TEXT = 1000
TRIES = 5
LEASE_S = 10.0
SETTLE_S = 5.0
"""So long after a rollout began, a version that failed before may still be tried again."""
MOST_LINES = 10_000
IDLE_TICKS = 4
"""Models without a rollout are looked at that seldom: whether model.yaml has changed."""


class Catalogue(Protocol):
    """What the repository says now. Every method blocks on the disk; both raise NotFound."""

    def config(self, model: str) -> ModelConfig:
        """The settings of a model; raises RepositoryError if they are wrong."""

    def versions(self, model: str) -> tuple[int, ...]:
        """The versions that a model has on disk."""


class _Watched(msgspec.Struct):
    """A step that is being judged: the rollout as it was when the watch was made."""

    holds: int
    version: int
    watch: Watch
    verdicts: tuple[Verdict, ...] = ()


class Authority:
    """Belongs to an event loop; blocks it never, as all that may take long has a thread."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        clock_s: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """``clock_s``: seconds since the epoch, of a clock that does not jump."""
        # shared
        self._catalogue = catalogue
        self._clock_s = clock_s
        self._loop = loop
        self._me = uuid4().hex
        # state
        self._ledger = Ledger(store, loop)
        self._changing = asyncio.Lock()
        self._reports = Reports()
        self._configs: dict[str, ModelConfig] = {}
        self._watched: dict[str, _Watched] = {}
        self._ticks = 0

    @property
    def state(self) -> TrafficState:
        """The rules as they count."""
        return self._ledger.state

    async def start(self) -> None:
        """Read the rules; rollouts go on at their step, which is held anew.

        Raises:
            RepositoryError: the file is damaged, or of a newer release.
        """
        await self._ledger.load()

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called, on the loop, with the rules after each change."""
        self._ledger.listen(listener)

    def report(self, gateway: str, models: Mapping[str, Mapping[int, VersionSeen]]) -> None:
        """How versions fare at a gateway, counted since that was started."""
        self._reports.take(gateway, models, self._clock_s())

    async def apply(
        self, model: str, operation: Operation, *, who: str, why: str = ""
    ) -> ModelState:
        """Do as asked, and say how the model is then.

        All operations are written before anybody follows them. A rollback is followed at once,
        and tried to be written for as long as it takes.

        Raises:
            InvalidRequest, NotFound, AlreadyExists, NotReady: it cannot be done, and why.
            RepositoryError: the model's settings are wrong.
            Unavailable: it cannot be written; a rollback has taken effect all the same.
        """
        if len(why) > MOST_TEXT or not why.isprintable():
            raise InvalidRequest(f"why: should be printable, of {MOST_TEXT} characters at most")
        if not who or len(who) > MOST_TEXT or not who.isprintable():
            raise InvalidRequest("who: should be printable, and not empty")
        at_once = isinstance(operation, Rollback)
        async with self._changing:
            for _ in range(TRIES):
                at = await self._situation(model, who=who, why=why, from_disk=not at_once)
                after = change(operation, at)
                line = self._line(at, after, _words(operation))
                try:
                    return await self._ledger.change(line, at_once=at_once)
                except StaleError:
                    await self._ledger.load()
        raise Unavailable("other servers change the same rules all the time: try again")

    async def tick(self, now_s: float | None = None) -> None:
        """Judge what is under way, follow other servers, write what could not be.

        To be called twice a second.
        """
        now_s = self._clock_s() if now_s is None else now_s
        self._ticks += 1
        async with self._changing:
            await self._ledger.follow_others()
            names = [n for n, state in self.state.models.items() if self._is_due(n, state)]
            judges = bool(names) and await self._ledger.lease(self._me, now_s, LEASE_S)
            for name in names:
                try:
                    await self._look(name, now_s, judges=judges)
                except StaleError:
                    await self._ledger.load()
                    return
                except PenstockError as error:
                    self._ledger.say_once(f"the traffic of '{name}' is not looked after: {error}")
            for name in self._watched.keys() - set(names):
                del self._watched[name]

    async def audit(self, model: str = "", limit: int = 100, before: int = 0) -> list[Audit]:
        """Lines of the audit log, the newest first."""
        if not 1 <= limit <= MOST_LINES:
            raise InvalidRequest(f"limit: should be from 1 to {MOST_LINES}")
        return await self._ledger.audit(model, limit, before)

    async def traffic_report(self, model: str) -> ModelTraffic:
        """The rules of a model, and how its versions fare.

        Raises:
            NotFound: there is no such model.
        """
        try:
            config = await self._config(model, from_disk=True)
        except PenstockError:
            if model not in self._configs:
                raise
            config = self._configs[model]
        now_s, state = self._clock_s(), self.state.of(model)
        rules = rules_of(model, config, state)
        watched = self._watched.get(model)
        return traffic_report(
            model,
            config,
            state,
            rules,
            self._reports.versions(model, now_s),
            lambda version: self._reports.sample(model, version),
            watched.verdicts if watched is not None else (),
            self.state.revision,
        )

    async def close(self) -> None:
        """Let go of the file."""
        await self._ledger.close()

    # judging

    def _is_due(self, name: str, state: ModelState) -> bool:
        """Whether a model has anything to look after."""
        active = state.rollout is not None and state.rollout.active
        return active or self._ticks % IDLE_TICKS == 0

    async def _look(self, name: str, now_s: float, *, judges: bool) -> None:
        try:
            config = await self._config(name, from_disk=True)
        except NotFound:
            return  # the rules wait for its folder to come back
        state = self.state.of(name)
        if state.basis != basis_of(config):
            if judges:
                await self._overrule(name, config, state)
            return
        rollout = state.rollout
        if rollout is None or not rollout.active:
            self._watched.pop(name, None)
            return
        at = await self._situation(name, who=OURSELVES, now_s=now_s)
        readiness = self._readiness(name, rollout, now_s)
        watched = self._watch(name, rollout, config, now_s)
        if watched is None:
            if judges:  # after a restart: what was seen of the step is forgotten
                again = at.new(rollout=step_anew(rollout, now_s))
                await self._ledger.change(self._line(at, again, f"go on with {_shown(rollout)}"))
            return
        new = self._reports.sample(name, rollout.version)
        stable = self._reports.sample(name, rollout.stable)
        verdicts = watched.watch.see(now_s, new, stable)
        watched.verdicts = (readiness_verdict(rollout.version, readiness), *verdicts)
        after = advance(rollout, now_s, readiness, verdicts)
        if after is rollout or not judges:
            return
        if after.status is RolloutStatus.ROLLED_BACK:
            what = f"roll back version {rollout.version}"
            log.warning("model '%s': %s: %s", name, what, after.reason)
        else:
            what = f"go on with {_shown(after)}"
            log.info("model '%s': %s", name, what)
        line = self._line(at, completed(at, after), what, after.reason)
        await self._ledger.change(line, at_once=after.status is RolloutStatus.ROLLED_BACK)

    def _watch(
        self, name: str, rollout: Rollout, config: ModelConfig, now_s: float
    ) -> _Watched | None:
        """What watches the step; None: it was begun in another life of this process."""
        watched = self._watched.get(name)
        known = watched is not None and watched.version == rollout.version
        if known and watched is not None and watched.holds == rollout.holds:
            return watched
        if not known and rollout.step >= 0:
            self._watched[name] = _Watched(-1, rollout.version, _no_watch(rollout, config))
            return None
        rules = rules_of(name, config, self.state.of(name))
        watch = watch_of(rollout, rules.guards, config.slo.latency_ms, max(0, rollout.holds - 1))
        watched = self._watched[name] = _Watched(rollout.holds, rollout.version, watch)
        return watched

    def _readiness(self, name: str, rollout: Rollout, now_s: float) -> str:
        readiness = self._reports.readiness(name, rollout.version, now_s)
        young = rollout.status is RolloutStatus.LOADING and now_s < rollout.began_s + SETTLE_S
        if readiness not in (READY, LOADING) and young:
            return LOADING
        return readiness

    async def _overrule(self, name: str, config: ModelConfig, state: ModelState) -> None:
        """``model.yaml`` has changed since the rules were set: it has the last word."""
        rollout, after = state.rollout, None
        if rollout is not None and rollout.active:
            why = "model.yaml says something else of labels or traffic"
            ended = msgspec.structs.replace(
                rollout, status=RolloutStatus.SUPERSEDED, ended_s=self._clock_s(), reason=why
            )
            after = ModelState(rollout=ended, basis=basis_of(config))
        elif rollout is not None:
            after = ModelState(rollout=rollout, basis=basis_of(config))
        what = "follow model.yaml, which has changed"
        log.info("model '%s': %s: rules that were set before are dropped", name, what)
        line = Audit(
            number=0,
            time_s=self._clock_s(),
            who=OURSELVES,
            model=name,
            what=what,
            before=state,
            after=after or ModelState(),
        )
        await self._ledger.change(line)

    # changing

    async def _situation(
        self,
        model: str,
        *,
        who: str,
        why: str = "",
        now_s: float | None = None,
        from_disk: bool = True,
    ) -> Situation:
        config = await self._config(model, from_disk=from_disk)
        now_s = self._clock_s() if now_s is None else now_s
        versions: tuple[int, ...] = ()
        if from_disk:
            versions = await self._ledger.on_disk(partial(self._catalogue.versions, model))
        state = self.state.of(model)
        rollout, watched = state.rollout, self._watched.get(model)
        problem = ""
        if rollout is not None and rollout.active:
            breached = [
                v.text for v in (watched.verdicts if watched else ()) if v.state == "breached"
            ]
            readiness = self._reports.readiness(model, rollout.version, now_s)
            problem = "; ".join(breached) or readiness_verdict(rollout.version, readiness).text
            problem = problem if breached or readiness != READY else ""
        return Situation(
            model=model,
            config=config,
            state=state,
            versions=versions,
            answers=self._reports.highest_ready(model, now_s),
            now_s=now_s,
            who=who,
            why=why,
            problem=problem,
        )

    async def _config(self, model: str, *, from_disk: bool) -> ModelConfig:
        """The settings of a model, or without ``from_disk`` the last that were read, if any."""
        if not from_disk and model in self._configs:
            return self._configs[model]
        config = await self._ledger.on_disk(partial(self._catalogue.config, model))
        self._configs[model] = config
        return config

    def _line(self, at: Situation, after: ModelState, what: str, why: str = "") -> Audit:
        return Audit(
            number=0,
            time_s=at.now_s,
            who=at.who,
            model=at.model,
            what=what,
            why=(why or at.why)[:MOST_TEXT],
            before=at.state,
            after=after,
        )


def _no_watch(rollout: Rollout, config: ModelConfig) -> Watch:
    return watch_of(rollout, config.traffic.guards, None, rollout.holds)


def _shown(rollout: Rollout) -> str:
    name = f"the rollout of version {rollout.version}"
    if rollout.status is RolloutStatus.COMPLETED:
        return f"{name}, which is complete"
    return f"{name} at {rollout.percent:g} %"


def _words(operation: Operation) -> str:
    """An operation as the audit log has it."""
    fields = {name: value for name, value in msgspec.to_builtins(operation).items() if value}
    kind = str(fields.pop("operation")).replace("_", " ")
    said = ", ".join(f"{name} {msgspec.json.encode(v).decode()}" for name, v in fields.items())
    return f"{kind}: {said}"[:MOST_TEXT] if said else kind
