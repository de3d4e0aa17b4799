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
from serve.errors import InvalidRequest, PenstockError, Unavailable
from serve.traffic.audit import check_told, line_of, words_of
from serve.traffic.changes import Situation, change, completed
from serve.traffic.ledger import Ledger, Listener
from serve.traffic.operations import Operation, Rollback
from serve.traffic.report import ModelTraffic, traffic_report
from serve.traffic.rules import basis_of, current, rules_of
from serve.traffic.state import Audit, ModelState, Rollout, RolloutStatus, TrafficState
from serve.traffic.store import StaleError, Store
from serve.traffic.sums import Reports, VersionSeen
from serve.traffic.watching import Watching

__all__ = ["Authority", "Catalogue", "ModelTraffic", "VersionSeen"]

log = logging.getLogger("penstock.traffic")

OURSELVES = "penstock"
"""Who does what nobody has asked for, in the audit log."""
MOST_LINES = 10_000
TRIES = 5
LEASE_S = 10.0
IDLE_TICKS = 4
"""Models without a rollout are looked at that seldom: whether ``model.yaml`` has changed."""
PATIENCE_S = 1.0
"""A tick waits so long for the disk; the next one judges whether or not that is done."""

Moves = Mapping[str, tuple[Rollout, Rollout]]
"""Rollouts as they were looked at, and what should become of them, by model."""


class Catalogue(Protocol):
    """What the repository says now. Every method blocks on the disk; both raise NotFound."""

    def config(self, model: str) -> ModelConfig:
        """The settings of a model; raises RepositoryError if they are wrong."""

    def versions(self, model: str) -> tuple[int, ...]:
        """The versions that a model has on disk."""


class Authority:
    """Belongs to an event loop; blocks it never, as all that may take long has a thread.

    Rolling back waits for no disk, whether by hand or because of a breach.
    """

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
        self._watching = Watching(self._reports)
        self._configs: dict[str, ModelConfig] = {}
        self._judges = False
        self._ticks = 0
        self._upkeep: asyncio.Task[None] | None = None

    @property
    def state(self) -> TrafficState:
        """The rules as they count."""
        return self._ledger.state

    async def start(self) -> None:
        """Read the rules; rollouts go on at their step, which is held anew.

        Raises:
            RepositoryError: the file is damaged, of a newer release, or cannot be read.
        """
        await self._ledger.load()
        self._watching.start(self._clock_s())

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called, on the loop, with the rules after each change."""
        self._ledger.listen(listener)

    def report(self, gateway: str, models: Mapping[str, Mapping[int, VersionSeen]]) -> None:
        """How versions fare at a gateway, counted since that was started.

        A gateway that is started again has another name.
        """
        self._reports.take(gateway, models, self._clock_s())

    async def apply(
        self, model: str, operation: Operation, *, who: str, why: str = ""
    ) -> ModelState:
        """Do as asked, and say how the model is then.

        All operations are written before anybody follows them. A rollback is followed at once,
        and tried to be written for as long as it takes.

        Raises:
            InvalidRequest, NotFound, AlreadyExists, NotReady: it cannot be done, and why.
            RepositoryError: the model's settings are wrong, or the file of the rules is.
            Unavailable: it cannot be written; a rollback has taken effect all the same.
        """
        check_told(who, why)
        if not isinstance(operation, Rollback):
            # Whoever asked may give up waiting; what is written is followed nevertheless.
            return await asyncio.shield(
                self._loop.create_task(self._apply(model, operation, who, why))
            )
        config = self._configs.get(model)
        if config is None:
            config = await self._read_config(model)
        at = self._situation(model, config, who, why=why)
        after = change(operation, at)
        self._ledger.change_now(line_of(at, after, words_of(operation)))
        log.warning("model '%s': rolled back, as asked for by %s", model, who)
        problem = await asyncio.shield(self._loop.create_task(self._write()))
        if problem:
            raise Unavailable(
                f"rolled back, and all follow; but this is not written yet, and tried again:"
                f" {problem}"
            )
        return after

    async def note(self, model: str, what: str, *, who: str, why: str = "") -> None:
        """Put into the audit log what somebody has done to a model besides its rules.

        Raises:
            InvalidRequest: ``who`` or ``why`` cannot be kept.
            Unavailable: it cannot be written.
        """
        check_told(who, why)
        async with self._changing:
            state = self.state.of(model)
            await self._ledger.change(
                Audit(
                    number=0,
                    time_s=self._clock_s(),
                    who=who,
                    model=model,
                    what=what,
                    why=why,
                    before=state,
                    after=state,
                )
            )

    async def tick(self, now_s: float | None = None) -> None:
        """Judge what is under way, follow other servers, write what could not be.

        To be called twice a second, not to overlap.
        """
        now_s = self._clock_s() if now_s is None else now_s
        moves = self._judge(now_s)
        if self._upkeep is None:
            self._upkeep = self._loop.create_task(self._keep_up(moves, now_s))
        done, _ = await asyncio.wait({self._upkeep}, timeout=PATIENCE_S)
        if done:
            upkeep, self._upkeep = self._upkeep, None
            upkeep.result()

    async def audit(self, model: str = "", limit: int = 100, before: int = 0) -> list[Audit]:
        """Lines of the audit log, the newest first: at most ``limit``, 1 to 10,000.

        Those of all models, or of one; ``before``: only lines with lower numbers.
        """
        if not 1 <= limit <= MOST_LINES:
            raise InvalidRequest(f"limit: should be from 1 to {MOST_LINES}")
        return await self._ledger.audit(model, limit, before)

    async def traffic_report(self, model: str) -> ModelTraffic:
        """The rules of a model, and how its versions fare.

        Raises:
            NotFound: there is no such model.
        """
        try:
            config = await self._read_config(model)
        except PenstockError:
            if model not in self._configs:
                raise
            config = self._configs[model]
        state = self.state.of(model)
        return traffic_report(
            model,
            config,
            state,
            rules_of(model, config, state),
            self._reports.versions(model, self._clock_s()),
            lambda version: self._reports.sample(model, version),
            self._watching.verdicts(model),
            self.state.revision,
        )

    async def close(self) -> None:
        """Let go of the file."""
        if self._upkeep is not None:
            await asyncio.wait({self._upkeep}, timeout=PATIENCE_S)
        await self._ledger.close()

    # judging

    def _judge(self, now_s: float) -> Moves:
        """Look at all rollouts; those are rolled back that have to be."""
        moves: dict[str, tuple[Rollout, Rollout]] = {}
        active = self._active()
        self._watching.forget_but(active)
        for name, state in active.items():
            config = self._configs.get(name)
            if config is None or current(config, state) != state:
                continue
            after = self._watching.look(name, config, state, now_s, judges=self._judges)
            if after is None or state.rollout is None:
                continue
            if after.status is not RolloutStatus.ROLLED_BACK:
                moves[name] = (state.rollout, after)
                continue
            at = self._situation(name, config, OURSELVES, now_s=now_s)
            what = f"roll back version {after.version}"
            log.warning("model '%s': %s: %s", name, what, after.reason)
            line = line_of(at, at.new(rollout=after), what, after.reason)
            self._ledger.change_now(line)
        return moves

    def _active(self) -> dict[str, ModelState]:
        """The models with a rollout under way."""
        return {name: state for name, state in self.state.models.items() if _is_active(state)}

    async def _keep_up(self, moves: Moves, now_s: float) -> None:
        """All of a tick that needs the disk."""
        async with self._changing:
            await self._ledger.follow_others()
            active = self._active()
            everybody = self._ticks % IDLE_TICKS == 0
            self._ticks += 1
            looked_at = list(self.state.models if everybody else active)
            folders = await self._ledger.on_disk(partial(self._look_up, looked_at))
            for name, (config, versions) in folders.items():
                try:
                    if isinstance(config, ModelConfig):
                        self._configs[name] = config
                        await self._follow_model_yaml(name, config)
                        self._ledger.say_once(name, "")
                    else:
                        self._ledger.say_once(name, f"model '{name}' counts as it was: {config}")
                    self._watching.set_versions(name, versions)
                    if name in moves and self._judges:
                        await self._move(name, *moves[name], now_s)
                except StaleError:
                    await self._ledger.load()
                except PenstockError as error:
                    self._ledger.say_once(
                        name, f"model '{name}': its rules stay as they are: {error}"
                    )
            self._judges = bool(active) and await self._ledger.lease(self._me, now_s, LEASE_S)

    def _look_up(self, names: list[str]) -> dict[str, tuple[ModelConfig | str, tuple[int, ...]]]:
        """The settings of models, or what is wrong with them, and their versions."""
        found: dict[str, tuple[ModelConfig | str, tuple[int, ...]]] = {}
        for name in names:
            versions: tuple[int, ...] = ()
            try:
                versions = self._catalogue.versions(name)
                found[name] = self._catalogue.config(name), versions
            except PenstockError as error:
                found[name] = str(error), versions
        return found

    async def _follow_model_yaml(self, name: str, config: ModelConfig) -> None:
        """Let ``model.yaml`` have the last word, if it has changed since the rules were set."""
        state = self.state.of(name)
        after = current(config, state)
        if after == state:
            return
        rollout = state.rollout
        if rollout is not None and rollout.active:
            ended = msgspec.structs.replace(
                rollout,
                status=RolloutStatus.SUPERSEDED,
                ended_s=self._clock_s(),
                reason="model.yaml says something else of labels or traffic",
            )
            after = msgspec.structs.replace(after, rollout=ended, basis=basis_of(config))
        what = "follow model.yaml, which has changed"
        log.info("model '%s': %s: what was set before is dropped", name, what)
        at = self._situation(name, config, OURSELVES)
        await self._ledger.change(line_of(at, after, what))

    async def _move(self, name: str, before: Rollout, after: Rollout, now_s: float) -> None:
        """Go on with a rollout, if nothing has happened to it since it was looked at."""
        at = self._situation(name, self._configs[name], OURSELVES, now_s=now_s)
        if at.rollout != before:
            return
        what = f"go on with the rollout of version {after.version} at {after.percent:g} %"
        if after.status is RolloutStatus.COMPLETED:
            what = f"complete the rollout of version {after.version}"
        await self._ledger.change(line_of(at, completed(at, after), what))
        log.info("model '%s': %s", name, what)

    # changing

    async def _apply(self, model: str, operation: Operation, who: str, why: str) -> ModelState:
        async with self._changing:
            for _ in range(TRIES):
                config = await self._read_config(model)
                versions = await self._ledger.on_disk(partial(self._catalogue.versions, model))
                at = self._situation(model, config, who, why=why, versions=versions)
                after = change(operation, at)
                what = words_of(operation)
                try:
                    await self._ledger.change(line_of(at, after, what))
                except StaleError:
                    await self._ledger.load()
                    continue
                log.info("model '%s': %s, as asked for by %s", model, what, who)
                return after
        raise Unavailable("other servers change the same rules all the time: try again")

    async def _write(self) -> str:
        async with self._changing:
            return await self._ledger.write()

    def _situation(
        self,
        model: str,
        config: ModelConfig,
        who: str,
        *,
        why: str = "",
        versions: tuple[int, ...] = (),
        now_s: float | None = None,
    ) -> Situation:
        now_s = self._clock_s() if now_s is None else now_s
        state = self.state.of(model)
        problem = ""
        if state.rollout is not None and state.rollout.active:
            problem = self._watching.problem(model, state.rollout, now_s)
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

    async def _read_config(self, model: str) -> ModelConfig:
        config = await self._ledger.on_disk(partial(self._catalogue.config, model))
        self._configs[model] = config
        return config


def _is_active(state: ModelState) -> bool:
    return state.rollout is not None and state.rollout.active
