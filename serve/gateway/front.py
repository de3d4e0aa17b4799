"""What answers the requests that name no version, where rules divide them among versions.

A request is given to the endpoint of one version, and all else is that endpoint's affair. Of a
block each version gets the requests that are its own, still together.
"""

from __future__ import annotations

import asyncio
import logging
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

import numpy as np

from serve.clock import Clock
from serve.errors import InternalError, NotReady, PenstockError
from serve.gateway.agreement import misfit
from serve.gateway.arms import ArmCounter, score_output
from serve.gateway.endpoint import Endpoint
from serve.gateway.interface import Sink, Ticket, Together
from serve.gateway.shadowing import Chance, Shadowing
from serve.gateway.sticky import Key, read_key
from serve.tensors import Array, InferRequest, RequestBlock, Tensor
from serve.traffic.rules import Rules, place_of

__all__ = ["Counters", "Front", "FrontMaker"]

log = logging.getLogger("penstock.traffic")

Counters = Callable[[int], ArmCounter]
"""Gives the counter of a version."""


class FrontMaker:
    """Makes the front of one model, whenever its versions are others; see ``MakeFront``.

    Until it is closed, it has the versions counted that the rules name, and gives copies of
    requests to the shadow. Belongs to the event loop.
    """

    def __init__(
        self,
        rules: Rules,
        counters: Counters,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        chance: Chance = random.random,
    ) -> None:
        # shared
        self.rules = rules
        self._counters = counters
        self._clock = clock
        self._loop = loop
        self._chance = chance
        # state
        self._watched: list[Endpoint] = []
        self._shadowing: Shadowing | None = None
        self._said = ""

    def __call__(self, ready: Mapping[int, Endpoint], default: Endpoint | None) -> Endpoint | None:
        """What answers; None: ``default`` does, or nobody."""
        self.close()
        rules = self.rules
        answering = {arm.version for arm in rules.arms} & ready.keys()
        default = ready.get(rules.default, default)
        if default is not None and len(answering) < max(1, len(rules.arms)):
            answering.add(int(default.live.version))
        self._watch(ready, answering)
        if not rules.arms:
            return default
        if len(rules.arms) == 1 and answering:
            return ready[min(answering)]
        speaker = default
        if speaker is None:
            heaviest = sorted(rules.arms, key=lambda arm: -arm.weight)
            speaker = next((ready[a.version] for a in heaviest if a.version in ready), None)
        if speaker is None:
            return None
        return Front(rules, ready, default, speaker, self._counters, self._clock, self._chance)

    def close(self) -> None:
        """Have nobody counted any more, and make no copies."""
        for endpoint in self._watched:
            endpoint.observer = None
        self._watched = []
        if self._shadowing is not None:
            self._shadowing.close()
            self._shadowing = None
        if self.rules.shadow_version:
            self._counters(self.rules.shadow_version).note = ""

    def _watch(self, ready: Mapping[int, Endpoint], answering: Iterable[int]) -> None:
        rules = self.rules
        for version in {*rules.watched, *answering} & ready.keys():
            endpoint, counter = ready[version], self._counters(version)
            counter.score_index = score_output(endpoint.live.signature, rules.score)
            endpoint.observer = counter.observe
            self._watched.append(endpoint)
        shadow = ready.get(rules.shadow_version)
        if rules.shadow is None or shadow is None:
            return
        counter = self._counters(rules.shadow_version)
        copied = [ready[v] for v in answering if v != rules.shadow_version]
        why = next(filter(None, [misfit(one.live, shadow.live) for one in copied]), "")
        if why:
            counter.note = f"it gets no copies: {why}"
            if why != self._said:
                named = shadow.live.name, shadow.live.version
                log.warning("model '%s': version %s gets no copies: %s", *named, why)
            self._said = why
            return
        self._shadowing = Shadowing(
            rules.shadow, shadow.live, counter, self._clock, self._loop, self._chance
        )
        for one in copied:
            self._shadowing.follow(one)


class Front(Endpoint):
    """Gives each request to one version: always the same for a caller with a key, else by chance.

    Where no one version is meant, as for the signature, it speaks for ``speaker``.
    """

    def __init__(
        self,
        rules: Rules,
        ready: Mapping[int, Endpoint],
        default: Endpoint | None,
        speaker: Endpoint,
        counters: Counters,
        clock: Clock,
        chance: Chance = random.random,
    ) -> None:
        """``default`` stands in for versions that are not ready; None: they refuse."""
        super().__init__(speaker.live, clock)
        versions = [arm.version for arm in rules.arms]
        self._bounds = list(accumulate(arm.weight for arm in rules.arms))[:-1]
        self._read_key = None if rules.sticky is None else read_key(rules.sticky)
        self._salt = rules.salt
        self._chance = chance
        # by arm, and behind them that of who stands in, if it has none
        self._instead: dict[int, int] = {}
        if default is not None and not ready.keys() >= set(versions):
            stand_in = int(default.live.version)
            if stand_in not in versions:
                versions.append(stand_in)
            index = versions.index(stand_in)
            self._instead = {arm: index for arm, v in enumerate(versions) if v not in ready}
        self._endpoints = [ready.get(version) for version in versions]
        self._counters = [counters(version) for version in versions]
        self._versions = versions

    def submit(self, request: InferRequest, sink: Sink, together: Together | None = None) -> Ticket:
        """See ``Endpoint.submit``.

        Raises:
            NotReady: the version that it falls to is not, and none stands in for it.
        """
        if self._read_key is None:
            arm = bisect_right(self._bounds, self._chance())
        else:
            arm = self._arm_of(self._read_key.of(request))
        if self._instead:
            arm = self._who_answers(arm)
        endpoint = self._endpoints[arm]
        if endpoint is None:
            raise self._refusal(arm)
        return endpoint.submit(request, sink, together)

    def submit_block(
        self, block: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> Sequence[Ticket | PenstockError]:
        """See ``Endpoint.submit_block``."""
        number = len(block.requests)
        if self._read_key is None:
            bounds, chance = self._bounds, self._chance
            arms = [bisect_right(bounds, chance()) for _ in range(number)]
        else:
            arms = [self._arm_of(key) for key in self._read_key.of_block(block)]
        if self._instead:
            arms = [self._who_answers(arm) for arm in arms]
        if arms.count(arms[0]) == number:
            return self._submit_share(arms[0], block, sinks, together)
        shares: dict[int, list[int]] = {}
        for index, arm in enumerate(arms):
            shares.setdefault(arm, []).append(index)
        outcomes: dict[int, Ticket | PenstockError] = {}
        for arm, indices in shares.items():
            own = [sinks[index] for index in indices]
            told = self._submit_share(arm, _share(block, indices), own, together)
            outcomes.update(zip(indices, told, strict=True))
        return [outcomes[index] for index in range(number)]

    def _arm_of(self, key: Key) -> int:
        if key is not None:
            return bisect_right(self._bounds, place_of(self._salt, key))
        arm = bisect_right(self._bounds, self._chance())
        self._counters[arm].unkeyed += 1
        return arm

    def _who_answers(self, arm: int) -> int:
        """The arm itself, or who stands in for it."""
        instead = self._instead.get(arm)
        if instead is None:
            return arm
        self._counters[instead].stood_in += 1
        return instead

    def _submit_share(
        self, arm: int, share: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> Sequence[Ticket | PenstockError]:
        """Give one version its requests; whatever it raises concerns those alone."""
        endpoint = self._endpoints[arm]
        if endpoint is None:
            return [self._refusal(arm) for _ in sinks]
        try:
            return endpoint.submit_block(share, sinks, together)
        except PenstockError as error:
            return [error for _ in sinks]
        except Exception:
            log.exception("model '%s': unexpected error in a block", self.live.name)
            return [InternalError("internal error") for _ in sinks]

    def _refusal(self, arm: int) -> NotReady:
        return NotReady(
            f"model '{self.live.name}' version {self._versions[arm]}, which this request falls"
            " to, is not ready, and no version stands in for it: retry later"
        )


def _share(block: RequestBlock, indices: Sequence[int]) -> RequestBlock:
    """Some of the requests of a block, in their order, as a block of their own."""
    rows = block.rows
    picked = np.array(indices)
    if rows > 1:
        picked = (picked[:, None] * rows + np.arange(rows)).ravel()

    def some(array: Array) -> Array:
        return array.take(picked, 0)

    inputs = []
    for tensor in block.inputs:
        missing = None if tensor.missing is None else some(tensor.missing)
        if missing is not None and not missing.any():
            missing = None
        inputs.append(Tensor(tensor.name, tensor.datatype, some(tensor.array), missing))
    return RequestBlock([block.requests[index] for index in indices], inputs, rows)
