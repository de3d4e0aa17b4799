"""One round of closed-loop load, and rounds of several contenders turn by turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from benchmarks.context import Context
from benchmarks.loadgen.launch import closed_loop
from benchmarks.machine import ForeignLoad
from benchmarks.payloads import Payload
from benchmarks.process import Server

__all__ = ["Sample", "Samples", "interleave", "load", "noise_note", "samples_json"]

NOISY_SHARE = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of load on one server."""

    ok_per_s: float
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Server CPU per answered request."""
    user_cpu_us: float
    """The part of it outside the kernel; coarse, so only for requests that cost much."""
    foreign_share: float
    """Part of the machine that others used meanwhile."""
    tool: str


Samples = Sequence[Sample]


def load(context: Context, server: Server, payload: Payload, connections: int) -> Sample:
    """Load a server for one round."""
    foreign = ForeignLoad()
    cpu_start_s, user_start_s = server.cpu_s(), server.user_cpu_s()
    result = closed_loop(
        server.port,
        payload,
        context.folder,
        connections=connections,
        duration_s=context.round_s,
    )
    cpu_s, user_s = server.cpu_s() - cpu_start_s, server.user_cpu_s() - user_start_s
    answered = max(1, result.requests - result.failed)
    return Sample(
        ok_per_s=round(result.ok_per_s, 1),
        failed=result.failed,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        cpu_us=round(cpu_s / answered * 1e6, 3),
        user_cpu_us=round(user_s / answered * 1e6, 3),
        foreign_share=round(foreign.share(cpu_s), 3),
        tool=result.tool,
    )


def interleave(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run every contender once a round, in turned order each other round (A B, B A, …).

    The first round only warms up and is thrown away.
    """
    names = list(contenders)
    taken: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names if number % 2 else reversed(names):
            sample = contenders[name]()
            if number:
                taken[name].append(sample)
    return taken


def noise_note(samples: Samples) -> tuple[str, ...]:
    """A warning where others used a good part of the machine."""
    share = statistics.median(sample.foreign_share for sample in samples)
    if share < NOISY_SHARE:
        return ()
    return (
        f"others used {share:.0%} of the machine meanwhile: trust ratios and CPU per request,"
        " not throughput or p99",
    )


def samples_json(samples: Mapping[str, Samples]) -> dict[str, list[dict[str, Any]]]:
    """All rounds, for the JSON file."""
    return {name: [asdict(sample) for sample in taken] for name, taken in samples.items()}
