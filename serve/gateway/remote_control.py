"""Versions whose replicas are elsewhere: the table follows a plan, batches go to the replicas."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from serve.clock import Clock
from serve.config import ModelConfig
from serve.errors import PenstockError
from serve.executors.live import LiveModel
from serve.executors.ray.plan import Plan, Served
from serve.executors.remote.executor import RemoteExecutor, ReplicaStatus
from serve.executors.remote.live import go_live_remote
from serve.executors.remote.options import Endpoint as Address
from serve.executors.remote.options import RemoteOptions, WantedModel
from serve.executors.remote.replica import State
from serve.gateway.cold_start import ColdStart
from serve.gateway.endpoint import Endpoint
from serve.gateway.overview import Member, Replicas
from serve.monitoring.metrics import ReplicaMetrics, ServerMetrics
from serve.repository.manifest import Manifest
from serve.repository.table import WHOLE_MODEL, ModelTable

__all__ = ["RemoteController", "ReplicaFinder"]

log = logging.getLogger("penstock.models")

SETTLE_S = 20.0
"""So long ``apply`` waits for replicas to answer that are said to be ready."""
RETIRE_POLL_S = 0.02

Key = tuple[str, int]


class ReplicaFinder(Protocol):
    """Who knows where the replicas of an application are."""

    def find(
        self,
        application: str,
        loop: asyncio.AbstractEventLoop,
        listener: Callable[[Mapping[str, Address]], None],
    ) -> None:
        """Call ``listener`` on ``loop`` with them, now and whenever they are others."""

    def wake(self, application: str) -> None:
        """Someone waits for a replica, and there is none: have one started."""

    def forget(self, application: str) -> None:
        """Nobody wants to know any more."""


@dataclass(slots=True, eq=False)
class _Running:
    """An application that is used, or about to be; ``endpoint`` once a replica has answered.

    Until then ``replaces``, if there is one, goes on answering.
    """

    application: str
    executor: RemoteExecutor
    ready: asyncio.Task[None] | None = None
    endpoint: Endpoint | None = None
    replaces: _Running | None = None
    cold: ColdStart | None = None

    @property
    def answers(self) -> bool:
        """Whether requests are answered, by it or by what it replaces."""
        return self.endpoint is not None or self.replaces is not None


class RemoteController:
    """Keeps the table of versions as plans say. Belongs to the event loop."""

    def __init__(
        self,
        table: ModelTable[Endpoint],
        metrics: ServerMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        *,
        finder: ReplicaFinder,
        options: RemoteOptions,
        drain_timeout_s: float,
        make_endpoint: Callable[[LiveModel, Clock], Endpoint] = Endpoint,
        place: Callable[[str, ModelConfig], None] | None = None,
        settle: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``place`` is called with the settings of a model that count from then on, and sets its
        labels; by default to what they say. ``settle`` is called with a model of which a version
        has become ready."""
        # shared
        self._make_endpoint = make_endpoint
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._loop = loop
        self._finder = finder
        self._options = options
        self._drain_timeout_s = drain_timeout_s
        self._place = place or (lambda name, config: table.set_labels(name, config.labels))
        self._settle = settle
        # state
        self._plan = Plan()
        self._used: dict[Key, _Running] = {}
        self._known: set[Key] = set()
        self._wanted: dict[Key, tuple[int, int]] = {}
        """Least and most replicas of each version of the last plan."""
        self._retiring: set[_Running] = set()
        self._applying = asyncio.Lock()

    async def apply(self, plan: Plan) -> None:
        """Serve what a plan says.

        Returns when every version that the plan calls READY answers, or ``SETTLE_S`` later, and
        when what the plan no longer has is answered and closed.
        """
        async with self._applying:
            self._plan = plan
            self._wanted = {
                (served.name, served.version): _bounds(served.config) for served in plan.versions
            }
            begun: list[asyncio.Task[None]] = []
            self._place_models(plan, first=True)
            for served in plan.versions:
                key = (served.name, served.version)
                running = self._used.get(key)
                if served.state == "READY":
                    if running is None or running.application != served.application:
                        begun.append(self._begin(key, served))
                elif running is None or not running.answers:
                    self._say(served)
            wanted = {(served.name, served.version) for served in plan.versions}
            gone, self._known = self._known - wanted, wanted
            leaving = [self._leave(key) for key in gone]
            if begun:
                _, late = await asyncio.wait(begun, timeout=SETTLE_S)
                if late:
                    self._say_unreachable()
            self._place_models(plan)
            leaving += [self._retire(running) for running in self._retiring]
            await asyncio.gather(*leaving)

    def replicas(self) -> dict[tuple[str, str], Replicas]:
        """The replicas of each version of the plan, by model and version ("": none is known)."""
        found = {}
        for key, (least, most) in self._wanted.items():
            members = []
            if (running := self._used.get(key)) is not None:
                members = [_member(status) for status in running.executor.replicas()]
            ready = sum(member.state in (State.READY, State.RESTING) for member in members)
            name, version = key
            text = "" if version == WHOLE_MODEL else str(version)
            found[name, text] = Replicas(
                least=least, most=most, ready=ready, members=tuple(members)
            )
        return found

    def manifests(self, name: str) -> dict[str, Manifest]:
        """The manifests of a model's versions, as far as the plan has them."""
        found = {}
        for served in self._plan.versions:
            if served.name == name and (manifest := served.read_manifest()) is not None:
                found[str(served.version)] = manifest
        return found

    def idle(self) -> bool:
        """Whether every accepted request has been answered."""
        return all(endpoint.live.batcher.idle for endpoint in self._table.handles())

    def close(self) -> None:
        """Hang up on every replica; what was not answered gets an error."""
        for running in (*self._used.values(), *self._retiring):
            self._close(running)
        self._used.clear()
        self._retiring.clear()

    # inside

    def _place_models(self, plan: Plan, *, first: bool = False) -> None:
        """Let the settings of a plan count, for models of which all that it has is ready.

        With ``first``, only for models that nothing answers for yet.
        """
        models: dict[str, list[Served]] = {}
        for served in plan.versions:
            models.setdefault(served.name, []).append(served)
        for name, versions in models.items():
            ready = set(self._table.versions(name))
            answers = ready >= {str(s.version) for s in versions if s.state == "READY"}
            whole = answers and all(s.state == "READY" for s in versions)
            if (first and not ready) or (not first and whole):
                self._place(name, versions[0].config)

    def _say(self, served: Served) -> None:
        if served.state == "UNAVAILABLE":
            self._table.set_unavailable(served.name, served.version, served.reason)
        elif served.version != WHOLE_MODEL:
            self._table.set_loading(served.name, served.version)

    def _begin(self, key: Key, served: Served) -> asyncio.Task[None]:
        """Connect to an application's replicas; it takes over when one has answered."""
        name, version = served.name, str(served.version)
        metrics = self._metrics.version(name, version)
        replicas = metrics.replicas = metrics.replicas or ReplicaMetrics()
        executor = RemoteExecutor(
            WantedModel(name, version), self._options, replicas, self._clock, self._loop
        )
        running = _Running(served.application, executor)
        before = self._used.get(key)
        if before is None:
            self._table.set_loading(name, served.version)
        elif before.endpoint is not None:
            running.replaces = before
        else:  # it never answered
            running.replaces, before.replaces = before.replaces, None
            self._close(before)
        self._used[key] = running
        self._finder.find(served.application, self._loop, executor.update)
        if not served.config.autoscaling.min_replicas:
            self._finder.wake(served.application)  # only a replica knows what it serves
        running.ready = self._loop.create_task(self._take_over(key, running, served.config))
        return running.ready

    async def _take_over(self, key: Key, running: _Running, config: ModelConfig) -> None:
        name, version = key
        try:
            description = await running.executor.described()
            metrics = self._metrics.version(name, str(version))
            live = go_live_remote(
                description, config, running.executor, metrics, self._clock, self._loop
            )
            if not config.autoscaling.min_replicas:
                wake = partial(self._finder.wake, running.application)
                running.cold = ColdStart(live, wake, self._clock, self._loop)
                running.executor.on_starved = running.cold.starved
            running.endpoint = self._make_endpoint(live, self._clock)
        except PenstockError as error:
            log.error("model '%s' version %d is not served: %s", name, version, error)
            if running.replaces is None:
                self._table.set_unavailable(name, version, str(error))
            return
        self._table.set_ready(name, version, running.endpoint)
        self._settle(name)
        if running.replaces is not None:
            self._retiring.add(running.replaces)
            running.replaces = None
        log.info("model '%s' version %d is ready (%s)", name, version, description.platform)

    def _say_unreachable(self) -> None:
        """Of versions that should be ready, and do not answer, say why."""
        for (name, version), running in self._used.items():
            if running.endpoint is None and running.ready is not None and not running.ready.done():
                problems = [r.problem for r in running.executor.replicas() if r.problem]
                reason = "; ".join(problems) or "none has been announced"
                log.error("model '%s' version %d: no replica answers: %s", name, version, reason)
                if running.replaces is None:
                    self._table.set_unavailable(name, version, f"no replica answers: {reason}")

    async def _leave(self, key: Key) -> None:
        """Take a version out of the table, once it has answered what it has."""
        running = self._used.pop(key, None)
        if running is not None and running.endpoint is None and running.replaces is not None:
            self._close(running)
            running = running.replaces
        if running is not None and running.endpoint is not None:
            self._table.set_unloading(*key)
            self._retiring.add(running)
            await self._retire(running)
        elif running is not None:
            self._close(running)
        if key not in self._used:
            self._table.remove(*key)

    async def _retire(self, running: _Running) -> None:
        """Close what takes no more requests, once it has answered those that it has."""
        give_up_s = self._loop.time() + self._drain_timeout_s
        batcher = running.endpoint.live.batcher if running.endpoint is not None else None
        # Polled, because an event would have to be set on the path of every request.
        while batcher is not None and not batcher.idle and self._loop.time() < give_up_s:  # noqa: ASYNC110
            await asyncio.sleep(RETIRE_POLL_S)
        if running in self._retiring:
            self._retiring.discard(running)
            self._close(running)

    def _close(self, running: _Running) -> None:
        self._finder.forget(running.application)
        if running.replaces is not None:
            self._close(running.replaces)
        if running.ready is not None:
            running.ready.cancel()
        if running.cold is not None:
            running.cold.close()
        if running.endpoint is not None:
            running.endpoint.live.close()
        else:
            running.executor.close()


def _bounds(config: ModelConfig) -> tuple[int, int]:
    wanted = config.autoscaling
    return wanted.min_replicas, wanted.most


def _member(status: ReplicaStatus) -> Member:
    endpoint = status.endpoint
    return Member(
        name=status.name,
        state=str(status.state),
        problem=status.problem,
        slots=status.slots,
        batches=status.in_flight,
        address=str(endpoint),
        admin=endpoint.admin,
        node=endpoint.node,
        pid=endpoint.pid,
    )
