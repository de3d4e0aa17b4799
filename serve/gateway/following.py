"""How one process follows the traffic rules: labels and fronts in its table, and what it reports.

The authority says what the rules are; this makes them so here, and tells it how the versions fare.
Belongs to the event loop, except for ``needed``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from serve.clock import Clock
from serve.config import ModelConfig
from serve.gateway.arms import ArmCounter
from serve.gateway.endpoint import Endpoint
from serve.gateway.front import FrontMaker
from serve.monitoring.metrics import ServerMetrics, TrafficMetrics
from serve.repository.table import ModelTable
from serve.traffic.authority import VersionSeen
from serve.traffic.rules import effective, needed_versions, rules_of
from serve.traffic.samples import Sample
from serve.traffic.state import TrafficState

__all__ = ["Follower"]


class Follower:
    """Keeps the table as settings and rules say."""

    def __init__(
        self,
        table: ModelTable[Endpoint],
        metrics: ServerMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        reload: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``reload`` is called with a model whose rules may need other versions by now."""
        # shared
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._loop = loop
        self._reload = reload
        # state
        self._state = TrafficState()
        self._configs: dict[str, ModelConfig] = {}
        self._makers: dict[str, FrontMaker] = {}
        self._counters: dict[tuple[str, int], ArmCounter] = {}

    def needed(self, name: str, config: ModelConfig) -> Mapping[str, int]:
        """The versions of a model that its rules need; called in any thread."""
        return needed_versions(config, self._state.of(name))

    def place(self, name: str, config: ModelConfig) -> None:
        """These settings of a model count from now on, and all that they need is there."""
        self._configs[name] = config
        labels, _ = effective(config, self._state.of(name))
        self._table.set_labels(name, labels)
        self._make_front(name)

    def follow(self, state: TrafficState) -> None:
        """These are the rules from now on.

        What can be done with the versions that are ready is done at once; a label that moves to
        another one waits for it.
        """
        before, self._state = self._state, state
        for name in self._changed(before, state):
            if name in self._configs:
                self.settle(name)
                self._make_front(name)
                self._reload(name)

    def settle(self, name: str) -> None:
        """Let labels move, if all versions that they wait for are ready by now."""
        config = self._configs.get(name)
        if config is None:
            return
        labels, _ = effective(config, self._state.of(name))
        ready = {int(version) for version in self._table.versions(name)}
        moved = labels.items() - self._table.labels(name).items()
        if all(version in ready for _, version in moved):
            self._table.set_labels(name, labels)

    def report(self) -> dict[str, dict[int, VersionSeen]]:
        """How all versions fare, for the authority; counts are kept for models with rules."""
        report: dict[str, dict[int, VersionSeen]] = {}
        states = self._table.reasons()
        for name, versions in states.items():
            report[name] = {}
            for version, (state, reason) in versions.items():
                counter = self._counters.get((name, version))
                sample = Sample() if counter is None else counter.sample()
                note = "" if counter is None else counter.note
                seen = VersionSeen(state=state, reason=reason or note, sample=sample)
                report[name][version] = seen
        return report

    def metrics(self) -> dict[tuple[str, str], TrafficMetrics]:
        """What Prometheus is told, by model and version; called in any thread."""
        told: dict[tuple[str, str], TrafficMetrics] = {}
        for name, maker in list(self._makers.items()):
            rules = maker.rules
            weights = {arm.version: arm.weight for arm in rules.arms} or {rules.default: 1.0}
            for version in {*weights, *rules.watched} - {0}:
                counter = self._counter(name, version)
                told[name, str(version)] = counter.metrics(weights.get(version, 0.0))
        return told

    def count_outcome(self, name: str, version: int, outcome: float) -> None:
        """A caller has said what became of a prediction of this version."""
        self._counter(name, version).count_outcome(outcome)

    # inside

    def _changed(self, before: TrafficState, now: TrafficState) -> Iterable[str]:
        return [
            name
            for name in before.models.keys() | now.models.keys()
            if before.of(name) != now.of(name)
        ]

    def _make_front(self, name: str) -> None:
        """Put the rules of a model between its requests and its versions."""
        config, state = self._configs[name], self._state.of(name)
        rules = rules_of(name, config, state)
        if (before := self._makers.pop(name, None)) is not None:
            before.close()
        if rules.plain:
            self._table.set_front(name, None)
            return
        maker = FrontMaker(
            rules, lambda version: self._counter(name, version), self._clock, self._loop
        )
        self._makers[name] = maker
        self._table.set_front(name, maker)

    def _counter(self, name: str, version: int) -> ArmCounter:
        counter = self._counters.get((name, version))
        if counter is None:
            metrics = self._metrics.version(name, str(version))
            counter = self._counters[name, version] = ArmCounter(metrics, self._clock)
        return counter
