"""Is the candidate slower than the baseline? The two turn by turn, on the same machine.

Both servers run at once, one idle while the other is loaded for a round by a closed loop. Each pair
of rounds begins with either at random, as often with the one as with the other (ABBA, shuffled), so
that a drift of the machine hits both alike. The generator has a core to itself: a server that may
move between all cores costs half as much again in some rounds as in others. Server CPU per request
then repeats within some 8 % where throughput and p99 vary by half; rounds say whether the machine
was quiet enough to compare those as well. Two processes of the same build differ a little for as
long as they live (memory layout), so that the pairs are spread over several starts of both.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import statistics
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.loadgen.spec import ClosedLoop
from benchmarks.measurement import Measurement, Round
from benchmarks.payloads import Payload
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.subject import Served, UnsupportedError

NAME = "ab_cpu"
ROUND_METRICS = {
    "server_cpu_us_per_req": "CPU of all the server's threads and processes, a request.",
    "rate_per_s.ok": "Good answers.",
    "latency_ms.p50": "Latency.",
    "latency_ms.p99": "Latency.",
    "error_rate": "Part of the requests that were neither answered well nor refused.",
}
METRICS = {
    **{name: f"{text} Candidate's median over the rounds." for name, text in ROUND_METRICS.items()},
    "baseline.server_cpu_us_per_req": "Baseline's median.",
    "ratio.server_cpu_us_per_req": "Median of candidate / baseline over the pairs.",
}
Contender = Literal["candidate", "baseline"]


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many rounds; to be fixed beforehand, not raised until the answer pleases."""

    rounds: Annotated[int, Meta(ge=1, description="Pairs of rounds.")] = 24
    round_s: Annotated[float, Meta(gt=0, description="Load that counts, a round.")] = 1.0
    warmup_s: Annotated[float, Meta(ge=0, description="Load before it, each round.")] = 0.1
    starts: Annotated[
        int, Meta(ge=1, description="Fresh processes over which the pairs are spread.")
    ] = 8
    own_core: Annotated[
        bool,
        Meta(
            description="The generator has the last core to itself: servers that were started for"
            " the run keep to the others."
        ),
    ] = True


def planned_s(params: Params) -> float:
    """About how long it takes."""
    loads = 2 * (params.rounds + params.starts)
    return 2 * params.starts * SERVER_S + loads_s(loads, params.round_s + params.warmup_s)


def run(context: Context, params: Params) -> Measurement:
    """Pairs of rounds, some to each start of the two servers."""
    rounds: list[Round] = []
    with Attempt(context, NAME, params) as attempt:
        orders = shuffled_orders(params.rounds, context.seed)
        for number, block in enumerate(_blocks(params.rounds, params.starts), 1):
            with _servers(context) as servers:
                for contender, server in servers.items():
                    if server.tree is None:
                        raise UnsupportedError(f"the process of the {contender} is not known")
                if params.own_core:
                    _leave_a_core(servers.values())
                payloads = payloads_for(context, params, servers["candidate"])
                for contender in servers:  # the first load of a process is not like the others
                    _round(attempt, params, servers, payloads, contender, "warm-up")
                for pair in block:
                    for contender in orders[pair]:
                        what = f"pair {pair + 1} of {params.rounds}, start {number}, {contender}"
                        metrics, quiet = _round(attempt, params, servers, payloads, contender, what)
                        rounds.append(
                            Round(
                                contender=contender,
                                number=pair,
                                start=number,
                                metrics=metrics,
                                quiet=quiet,
                            )
                        )
        return attempt.measurement(_summary(rounds), rounds=tuple(rounds))


def shuffled_orders(pairs: int, seed: int) -> list[tuple[Contender, ...]]:
    """Who goes first in each pair: each as often as the other (but for one), in random order."""
    orders: list[tuple[Contender, ...]] = [
        ("candidate", "baseline") if number % 2 else ("baseline", "candidate")
        for number in range(pairs)
    ]
    random.Random(seed).shuffle(orders)
    return orders


def _blocks(pairs: int, starts: int) -> list[range]:
    """The pairs, divided among the starts as evenly as it goes."""
    bounds = [round(pairs * number / starts) for number in range(starts + 1)]
    spans = [range(low, high) for low, high in itertools.pairwise(bounds)]
    return [span for span in spans if span]


@contextlib.contextmanager
def _servers(context: Context) -> Iterator[dict[Contender, Served]]:
    with context.candidate() as candidate, context.reference() as baseline:
        yield {"candidate": candidate, "baseline": baseline}


def _leave_a_core(servers: Collection[Served]) -> None:
    """Where there are two cores at least, and no server runs for others as well."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1 and all(server.process for server in servers):
        for server in servers:
            assert server.tree is not None
            server.tree.keep_to(cores[:-1])


def _round(
    attempt: Attempt,
    params: Params,
    servers: dict[Contender, Served],
    payloads: tuple[Payload, ...],
    contender: Contender,
    what: str,
) -> tuple[dict[str, float], bool]:
    server = servers[contender]
    load = ClosedLoop(duration_s=params.round_s, warmup_s=params.warmup_s)
    driven = attempt.drive(server, load_spec(params, server, payloads, load), what)
    metrics = {name: driven.metrics[name] for name in ROUND_METRICS}
    return metrics, driven.quiet and not driven.report.health.reasons


def _summary(rounds: Sequence[Round]) -> dict[str, float]:
    def of(contender: Contender, name: str) -> list[float]:
        return [one.metrics[name] for one in rounds if one.contender == contender]

    cpu = "server_cpu_us_per_req"
    by_pair: dict[int, dict[str, float]] = {}
    for one in rounds:
        by_pair.setdefault(one.number, {})[one.contender] = one.metrics[cpu]
    return {
        **{name: statistics.median(of("candidate", name)) for name in ROUND_METRICS},
        f"baseline.{cpu}": statistics.median(of("baseline", cpu)),
        f"ratio.{cpu}": statistics.median(
            pair["candidate"] / pair["baseline"] for pair in by_pair.values()
        ),
    }
