"""Several servers turn by turn, one number of connections after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from benchmarks.attempt import Attempt
from benchmarks.measure import interleave
from benchmarks.measurement import CurvePoint, Round
from benchmarks.payloads import Payload
from benchmarks.scenarios.params import Count
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, error_rate, loader, pairs
from benchmarks.subject import Served
from benchmarks.summary import medians, ratio

__all__ = [
    "Contender",
    "Level",
    "LevelParams",
    "compared",
    "curve_of",
    "planned_s",
    "rounds_of",
    "take_levels",
]

CANDIDATE = "candidate"
Contender = tuple[Served, Payload | tuple[Payload, ...]]
"""A server, and what it is asked."""


class LevelParams(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers."""

    levels: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Numbers of connections.")
    ] = (8, 64, 256)


@dataclass(frozen=True, slots=True)
class Level:
    """What all servers showed at one number of connections."""

    connections: int
    candidate: list[Seen]
    others: Mapping[str, list[Seen]]
    """By name; the first is the baseline of the rounds."""

    @property
    def at(self) -> str:
        """What the names of its metrics begin with."""
        return f"at_{self.connections}."

    def both(self, name: str, other: str) -> tuple[list[float], list[float]]:
        """One figure of the rounds, of the candidate and of another."""
        return [one[name] for one in self.candidate], [one[name] for one in self.others[other]]

    def ratio(self, name: str, other: str) -> float:
        """The median of candidate / other."""
        return ratio(*self.both(name, other)).median

    def interval(self, label: str, name: str, other: str) -> dict[str, float]:
        """That ratio as a metric of this label, with the ends of its 95 % interval."""
        found = ratio(*self.both(name, other))
        return {
            f"{self.at}{label}": found.median,
            f"{self.at}{label}.low": found.low,
            f"{self.at}{label}.high": found.high,
        }

    def medians(self, names: Sequence[str]) -> dict[str, float]:
        """Of these figures, as metrics; those of others have their names before them."""
        of_each = {"": self.candidate, **{f"{name}.": seen for name, seen in self.others.items()}}
        return {
            f"{self.at}{whose}{name}": value
            for whose, seen in of_each.items()
            for name, value in medians(seen).items()
            if name in names
        }


def take_levels(
    attempt: Attempt,
    params: LevelParams,
    candidate: Contender,
    others: Mapping[str, Contender],
) -> list[Level]:
    """The rounds of all, level by level."""
    levels = []
    for connections in params.levels:
        what = f"{connections} connections"
        taken = interleave(
            {
                name: loader(attempt, params, server, payload, connections, what)
                for name, (server, payload) in {CANDIDATE: candidate, **others}.items()
            },
            params.rounds,
        )
        levels.append(Level(connections, taken.pop(CANDIDATE), taken))
    return levels


def planned_s(params: LevelParams, servers: int = 2) -> float:
    """About how long the servers and all their rounds take."""
    loads = servers * len(params.levels) * (params.rounds + 1)
    return servers * SERVER_S + loads_s(loads, params.round_s)


def compared(
    levels: Sequence[Level], compare: Callable[[Level], Mapping[str, float]]
) -> dict[str, float]:
    """The metrics of every level, and the ``error_rate`` of all requests to all servers."""
    metrics = {name: value for level in levels for name, value in compare(level).items()}
    every = [seen for level in levels for seen in (level.candidate, *level.others.values())]
    return {**metrics, "error_rate": error_rate([one for seen in every for one in seen])}


def rounds_of(levels: Sequence[Level]) -> tuple[Round, ...]:
    """The rounds of candidate and baseline, for whoever wants to judge their ratios."""
    return tuple(
        one
        for level in levels
        for one in pairs(level.candidate, next(iter(level.others.values())), level.at)
    )


def curve_of(levels: Sequence[Level]) -> tuple[CurvePoint, ...]:
    """The candidate's medians over the number of connections."""
    seen = [(level.connections, medians(level.candidate)) for level in levels]
    return tuple(
        CurvePoint(
            x=connections,
            achieved_per_s=one["rate_per_s.ok"],
            p50_ms=one["latency_ms.p50"],
            p99_ms=one["latency_ms.p99"],
        )
        for connections, one in seen
    )
