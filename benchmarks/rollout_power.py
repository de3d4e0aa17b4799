"""How soon the guards of a rollout tell a bad version, and how rarely they blame a good one.

``python -m benchmarks.rollout_power`` simulates traffic and prints two tables, in two minutes. No
server is asked: counts are drawn, and given to the judge, twice a second of simulated time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from statistics import median

import msgspec
import numpy as np

from serve.config.traffic import Guards
from serve.traffic.judge import Verdict, Watch, watch_of
from serve.traffic.samples import Sample, latency_bin, score_bins
from serve.traffic.state import Rollout

__all__ = ["Behaviour", "breached_after", "drawn", "false_alarm", "main", "soon", "watch_at"]

LOOKS_PER_S = 2
SLO_MS = 10.0
PER_LOOK = 5.0
STEPS = (0.01, 0.05, 0.25, 0.5)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How a version answers: shares of requests, a typical latency in ms, the mean of scores.
    ``stalled``: share of the looks in which all requests are slow."""

    failed: float = 0.001
    refused: float = 0.0
    slow: float = 0.0
    slow_ms: float = 20.0
    stalled: float = 0.0
    typical_ms: float = 2.0
    score: float = 0.0


def drawn(random: np.random.Generator, requests: int, how: Behaviour) -> Sample:
    """The counts of so many requests, all of one look: latencies are log-normal, p99 twice the
    typical one, and scores normal with a deviation of 1."""
    refused = int(random.binomial(requests, how.refused))
    failed = int(random.binomial(requests - refused, how.failed))
    answered = requests - refused - failed
    latencies_ms = how.typical_ms * np.exp(0.3 * random.standard_normal(answered))
    slow = 1.0 if how.stalled and random.random() < how.stalled else how.slow
    latencies_ms[random.random(answered) < slow] = how.slow_ms
    bins: dict[int, int] = {}
    for latency_ms in latencies_ms.tolist():
        number = latency_bin(round(latency_ms * 1e6))
        bins[number] = bins.get(number, 0) + 1
    return Sample(
        answered=answered,
        failed=failed,
        refused=refused,
        latencies=bins,
        scores=score_bins(random.standard_normal(answered) + how.score),
    )


def breached_after(
    random: np.random.Generator,
    watch: Watch,
    *,
    new: Behaviour,
    stable: Behaviour,
    share: float,
    per_look: float = PER_LOOK,
    looks: int,
) -> tuple[int, Verdict | None]:
    """How many requests the new version has had when a guard is breached, and its verdict; None if
    none is in so many looks. ``per_look``: requests of the new version between two, on average."""
    mine = theirs = Sample()
    watch.see(0.0, mine, theirs)
    requests = 0
    for look in range(1, looks + 1):
        arrived = int(random.poisson(per_look))
        others = int(random.poisson(per_look * (1 - share) / share))
        requests += arrived
        mine = mine.plus(drawn(random, arrived, new))
        theirs = theirs.plus(drawn(random, others, stable))
        for verdict in watch.see(look / LOOKS_PER_S, mine, theirs):
            if verdict.state == "breached":
                return requests, verdict
    return requests, None


def watch_at(number: int, guards: Guards) -> Watch:
    """The watch of one of STEPS."""
    steps = tuple(100 * share for share in (*STEPS, 1.0))
    return watch_of(
        Rollout(version=4, stable=3, steps=steps, hold_s=0.0, step=number), guards, SLO_MS, number
    )


def false_alarm(
    random: np.random.Generator,
    guards: Guards,
    new: Behaviour,
    stable: Behaviour,
    looks: int,
    per_look: float = PER_LOOK,
) -> Verdict | None:
    """The breach in a rollout of STEPS, each of so many looks; None if there was none."""
    for number, share in enumerate(STEPS):
        _, verdict = breached_after(
            random,
            watch_at(number, guards),
            new=new,
            stable=stable,
            share=share,
            per_look=per_look,
            looks=looks,
        )
        if verdict is not None:
            return verdict
    return None


FAULTS: Mapping[str, Behaviour] = {
    "20 % errors": Behaviour(failed=0.2),
    "5 % errors": Behaviour(failed=0.05),
    "20 % refused": Behaviour(refused=0.2),
    "half over the SLO": Behaviour(slow=0.5),
    "5 % over the SLO": Behaviour(slow=0.05),
    "2.5 times as slow as stable": Behaviour(typical_ms=5.0),
    "scores 0.5 apart": Behaviour(score=1.349),
    "scores 0.3 apart": Behaviour(score=0.771),
}
GOOD: Mapping[str, tuple[Behaviour, Behaviour]] = {
    "the same as stable": (Behaviour(), Behaviour()),
    "1 % more errors": (Behaviour(failed=0.02), Behaviour(failed=0.01)),
    "1 % over the SLO": (Behaviour(slow=0.01), Behaviour()),
    "scores 0.2 apart": (Behaviour(score=0.507), Behaviour()),
    "0.8 % in stalls of half a second": (Behaviour(stalled=0.008), Behaviour()),
}
"""All but the first are at the limit of a guard, or next to it."""


def main(runs: int = 20) -> None:
    """Print both tables in Markdown."""
    random = np.random.default_rng(20261201)
    print("| the new version | " + " | ".join(f"at {100 * share:g} %" for share in STEPS) + " |")
    print("|---" * (len(STEPS) + 1) + "|")
    for name, how in FAULTS.items():
        cells = [soon(random, how, number, runs) for number in range(len(STEPS))]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("\n| the new version | rolled back |\n|---|---|")
    for name, (new, stable) in GOOD.items():
        alarms = sum(
            false_alarm(random, Guards(confidence=0.8), new, stable, looks=100) is not None
            for _ in range(2 * runs)
        )
        print(f"| {name} | {alarms} of {2 * runs} |", flush=True)
    print(f"\nA look costs {look_ms(random):.2f} ms of CPU.")


def look_ms(random: np.random.Generator, looks: int = 100) -> float:
    """What a look costs, in ms of CPU: 500 requests since the one before, 5 % of them new."""
    watch = watch_at(1, Guards())
    mine, theirs = drawn(random, 10_000, Behaviour()), drawn(random, 200_000, Behaviour())
    spent_s = 0.0
    for look in range(looks):
        mine = mine.plus(drawn(random, 25, Behaviour()))
        theirs = theirs.plus(drawn(random, 475, Behaviour()))
        began_s = time.process_time()
        watch.see(look / LOOKS_PER_S, mine, theirs)
        spent_s += time.process_time() - began_s
    return 1000 * spent_s / looks


def soon(
    random: np.random.Generator, how: Behaviour, number: int, runs: int, looks: int = 1000
) -> str:
    """After how many requests a fault is found at one of STEPS: the median, and that of nine runs
    in ten; if it is in as many."""
    found = []
    for _ in range(runs):
        requests, verdict = breached_after(
            random,
            watch_at(number, Guards()),
            new=how,
            stable=Behaviour(),
            share=STEPS[number],
            per_look=PER_LOOK,
            looks=looks,
        )
        found.append(requests if verdict else sys.maxsize)
    late = sorted(found)[round(0.9 * (runs - 1))]
    if late == sys.maxsize:
        return f"not in {round(PER_LOOK * looks):,}"
    return f"{round(median(found)):,} ({late:,})"


if __name__ == "__main__":
    main()
