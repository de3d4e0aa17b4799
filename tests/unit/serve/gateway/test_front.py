"""Requests divided among versions: who gets which, and each its own answer once."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from serve.clock import FakeClock
from serve.config.traffic import Shadow, Sticky
from serve.errors import BackendError, NotReady, PenstockError
from serve.gateway.arms import ArmCounter
from serve.gateway.endpoint import Endpoint
from serve.gateway.front import FrontMaker
from serve.gateway.future_answer import FutureAnswer
from serve.gateway.interface import Sink, Ticket, Together
from serve.monitoring.metrics import VersionMetrics
from serve.tensors import InferRequest, RequestBlock, Signature, TensorSpec
from serve.traffic.rules import Arm, Rules, place_of
from tests.support.endpoints import SPEC, Bench, block, data, request
from tests.support.endpoints import Together as Notes

NUMBER = 100_000


class Tally(Endpoint):
    """Counts its requests, and answers none."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.live, bench.clock)
        self.ids: list[str] = []

    def submit(self, request: InferRequest, sink: Sink, together: Together | None = None) -> Ticket:
        self.ids.append(request.id)
        return FutureAnswer()

    def submit_block(
        self, block: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> Sequence[Ticket | PenstockError]:
        assert block.inputs[0].array.ravel().tolist() == [float(one.id) for one in block.requests]
        self.ids += [one.id for one in block.requests]
        return [FutureAnswer() for _ in sinks]


class Counters(defaultdict[int, ArmCounter]):
    def __missing__(self, version: int) -> ArmCounter:
        counter = ArmCounter(VersionMetrics("m", str(version)), FakeClock())
        self[version] = counter
        return counter


def rules(weights: dict[int, float], **fields: Any) -> Rules:
    """A split, as ``rules_of`` makes it; the last version is the default."""
    total = sum(weights.values())
    arms = tuple(Arm(str(version), version, weight / total) for version, weight in weights.items())
    options: dict[str, Any] = {"default": list(weights)[-1], "salt": "m", "watched": tuple(weights)}
    return Rules(arms=arms, **(options | fields))


def maker(of: Rules, counters: Counters | None = None) -> FrontMaker:
    made = Counters() if counters is None else counters
    chance = random.Random(7).random
    return FrontMaker(of, made.__getitem__, FakeClock(), asyncio.get_running_loop(), chance)


def front(of: Rules, ready: dict[int, Endpoint], counters: Counters | None = None) -> Endpoint:
    made = maker(of, counters)(ready, ready.get(of.default))
    assert made is not None
    return made


def assert_within(counts: dict[int, int], weights: dict[int, float]) -> None:
    """Five standard errors: a false alarm in a million."""
    total = sum(weights.values())
    assert sum(counts.values()) == NUMBER
    for version, weight in weights.items():
        share = weight / total
        error = math.sqrt(share * (1 - share) / NUMBER)
        assert abs(counts[version] / NUMBER - share) <= 5 * error


WEIGHTS = {4: 5.0, 5: 25.0, 3: 70.0}


@pytest.mark.parametrize("sticky", [None, Sticky(input="x")])
async def test_blocks_are_divided_by_weight(sticky: Sticky | None) -> None:
    ready = {version: Tally(Bench(str(version))) for version in WEIGHTS}
    made = front(rules(WEIGHTS, sticky=sticky), dict(ready))
    for start in range(0, NUMBER, 100):
        values = block(*range(start, start + 100))
        made.submit_block(values, [FutureAnswer()] * 100, Notes())
    assert_within({version: len(tally.ids) for version, tally in ready.items()}, WEIGHTS)
    assert len({one for tally in ready.values() for one in tally.ids}) == NUMBER


@pytest.mark.parametrize("sticky", [None, Sticky(header="x-user")])
async def test_requests_are_divided_by_weight(sticky: Sticky | None) -> None:
    ready = {version: Tally(Bench(str(version))) for version in WEIGHTS}
    made = front(rules(WEIGHTS, sticky=sticky), dict(ready))
    for number in range(NUMBER):
        headers = {b"x-user": b"user-%d" % number}
        made.submit(InferRequest("m", "", [], headers=headers), FutureAnswer())
    assert_within({version: len(tally.ids) for version, tally in ready.items()}, WEIGHTS)


async def test_caller_meets_the_same_version_alone_and_in_a_block() -> None:
    ready = {version: Tally(Bench(str(version))) for version in WEIGHTS}
    split = rules(WEIGHTS, sticky=Sticky(input="x"))
    made = front(split, dict(ready))
    for number in range(200):
        made.submit(request(number, id=f"{number}"), FutureAnswer())
    alone = {version: list(tally.ids) for version, tally in ready.items()}
    for tally in ready.values():
        tally.ids.clear()
    made.submit_block(block(*range(200)), [FutureAnswer()] * 200, Notes())
    assert {version: tally.ids for version, tally in ready.items()} == alone
    said = {
        v: [n for n in range(200) if split.version_at(place_of("m", b"%d" % n)) == v]
        for v in WEIGHTS
    }
    assert {version: list(map(int, ids)) for version, ids in alone.items()} == said


@pytest.mark.parametrize("order", [(4, 3), (3, 4)])
@pytest.mark.parametrize("rows", [1, 2])
async def test_each_request_of_a_mixed_block_gets_its_own_answer_once(
    order: tuple[int, int], rows: int
) -> None:
    benches = {version: Bench(str(version), max_rows=8) for version in (4, 3)}
    split = rules({4: 50, 3: 50}, sticky=Sticky(input="x"))
    made = front(split, {version: bench.endpoint for version, bench in benches.items()})
    values, notes = [float(value) for value in range(8 * rows)], Notes()
    made.submit_block(block(*values, rows=rows), [FutureAnswer()] * 8, notes)
    for version in order:
        factor = {4: 40, 3: 3}[version]
        while benches[version].executor.batches:
            batch, _ = benches[version].executor.batches[0]
            benches[version].executor.finish([batch.inputs[0] * factor])
    for value in values[::rows]:
        version = split.version_at(place_of("m", b"%d" % value))
        own = [(value + row) * {4: 40, 3: 3}[version] for row in range(rows)]
        assert notes.answers[str(value)] == (str(version), own)
    assert Counter(version for version, _ in notes.answers.values()).keys() == {"3", "4"}
    assert len(notes.calls) < 8  # still rendered together


async def test_error_of_one_version_does_not_touch_the_other() -> None:
    benches = {version: Bench(str(version), max_rows=8) for version in (4, 3)}
    made = front(rules({4: 50, 3: 50}), {v: bench.endpoint for v, bench in benches.items()})
    sinks, notes = [FutureAnswer() for _ in range(8)], Notes()
    made.submit_block(block(*range(8)), sinks, notes)
    await benches[3].finish()
    while benches[4].executor.batches:
        benches[4].executor.fail(error=BackendError("version 4 is broken"))
    failed = [answer for answer in sinks if answer.done()]
    assert 0 < len(failed) < 8
    assert all(str(answer.exception()) == "version 4 is broken" for answer in failed)
    assert len(notes.answers) == 8 - len(failed)
    assert {version for version, _ in notes.answers.values()} == {"3"}


class Broken(Tally):
    """Has a bug."""

    def submit_block(self, *_: Any) -> Any:
        raise RuntimeError("bug")


async def test_bug_in_one_version_does_not_touch_the_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ready = {4: Broken(Bench("4")), 3: Tally(Bench("3"))}
    made = front(rules({4: 50, 3: 50}), dict(ready))
    outcomes = made.submit_block(block(*range(20)), [FutureAnswer()] * 20, Notes())
    taken = [index for index, one in enumerate(outcomes) if not isinstance(one, PenstockError)]
    assert taken == [int(float(one)) for one in ready[3].ids]
    assert {str(one) for one in outcomes if isinstance(one, PenstockError)} == {"internal error"}
    assert "bug" in caplog.text


async def test_default_stands_in_for_a_version_that_is_not_ready() -> None:
    tally, counters = Tally(Bench("3")), Counters()
    made = front(rules({4: 50, 3: 50}), {3: tally}, counters)
    made.submit_block(block(*range(50)), [FutureAnswer()] * 50, Notes())
    for number in range(50):
        made.submit(request(number), FutureAnswer())
    assert len(tally.ids) == 100
    assert 25 < counters[3].sample().stood_in < 75


async def test_default_outside_the_split_stands_in_too() -> None:
    ready = {version: Tally(Bench(str(version))) for version in (3, 5)}
    split = rules({4: 50, 5: 50}, default=3)
    made = front(split, dict(ready))
    for number in range(50):
        made.submit(request(number), FutureAnswer())
    assert len(ready[3].ids) + len(ready[5].ids) == 50
    assert ready[3].ids
    assert ready[5].ids


async def test_share_of_a_version_that_is_not_ready_is_refused_without_a_default() -> None:
    tally = Tally(Bench("4"))
    made = front(rules({4: 50, 3: 50}), {4: tally})
    outcomes = made.submit_block(block(*range(50)), [FutureAnswer()] * 50, Notes())
    refused = [one for one in outcomes if isinstance(one, NotReady)]
    assert len(refused) + len(tally.ids) == 50
    assert "version 3, which this request falls to, is not ready" in str(refused[0])
    with pytest.raises(NotReady):
        for _ in range(64):
            made.submit(request(1), FutureAnswer())
    assert maker(rules({4: 50, 3: 50}))({}, None) is None


async def test_request_without_a_key_is_divided_by_chance_and_counted() -> None:
    ready = {version: Tally(Bench(str(version))) for version in (4, 3)}
    counters = Counters()
    made = front(rules({4: 50, 3: 50}, sticky=Sticky(header="x-user")), dict(ready), counters)
    for number in range(50):
        made.submit(request(number), FutureAnswer())
    for version in (4, 3):
        assert 0 < len(ready[version].ids) == counters[version].sample().unkeyed


async def test_a_single_version_is_asked_directly() -> None:
    ready = {version: Bench(str(version)).endpoint for version in (4, 3)}
    assert maker(rules({4: 1}, default=3))(ready, ready[3]) is ready[4]
    assert maker(rules({4: 1}, default=3))({3: ready[3]}, ready[3]) is ready[3]
    assert maker(Rules(default=3, watched=(3,)))(ready, ready[4]) is ready[3]


async def test_versions_are_counted_until_the_rules_are_others() -> None:
    benches = {version: Bench(str(version)) for version in (5, 4, 3)}
    ready = {version: bench.endpoint for version, bench in benches.items()}
    counters = Counters()
    made = maker(rules({4: 50, 3: 50}), counters)
    made(ready, ready[3])
    assert [ready[v].observer is not None for v in (5, 4, 3)] == [False, True, True]
    answer = FutureAnswer()
    ready[4].submit(request(1), answer)  # it names the version, and counts as well
    await benches[4].finish()
    assert sum(counters[4].sample().latencies.values()) == 1
    made.close()
    assert not any(endpoint.observer for endpoint in ready.values())


async def test_shadow_that_does_not_fit_is_refused_and_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = Signature((SPEC, TensorSpec("z", "FP32", (-1, 1))), (SPEC,), batched=True)
    ready = {3: Bench("3").endpoint, 4: Bench("4", signature=other).endpoint}
    counters = Counters()
    shadowed = Rules(default=3, shadow=Shadow(to="4"), shadow_version=4, watched=(3, 4))
    made = maker(shadowed, counters)
    assert made(ready, ready[4]) is ready[3]
    made(ready, ready[4])
    assert counters[4].note == "it gets no copies: input 'z' is not one of version 3"
    assert caplog.text.count("version 4 gets no copies") == 1
    made.close()
    assert counters[4].note == ""


async def test_shadow_is_given_copies_of_all_that_answer() -> None:
    benches = {version: Bench(str(version)) for version in (5, 4, 3)}
    ready = {version: bench.endpoint for version, bench in benches.items()}
    counters = Counters()
    split = rules({4: 50, 3: 50}, shadow=Shadow(to="5"), shadow_version=5, watched=(3, 4, 5))
    made = front(split, ready, counters)
    answers = [FutureAnswer() for _ in range(4)]
    for number, answer in enumerate(answers):
        made.submit(request(number), answer)
    await benches[3].finish()
    await benches[4].finish()
    while counters[5].compared < 4:
        await benches[5].finish()
    assert sorted(data(answer)[0][0] for answer in answers) == [0, 2, 4, 6]
    assert counters[5].disagreed == 0
