"""Two servers turn by turn, one number of connections after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from benchmarks.attempt import Attempt
from benchmarks.measure import interleave
from benchmarks.measurement import CurvePoint, Round
from benchmarks.payloads import Payload
from benchmarks.scenarios import rounds
from benchmarks.scenarios.params import Count
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, curve_point, loader, pairs
from benchmarks.subject import Served
from benchmarks.summary import Ratio, medians, ratio

__all__ = [
    "Contender",
    "Level",
    "LevelParams",
    "curve_of",
    "error_rate",
    "planned_s",
    "rounds_of",
    "take_levels",
]

Contender = tuple[Served, Payload]
"""A server, and what it is asked."""


class LevelParams(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers."""

    levels: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Numbers of connections.")
    ] = (8, 64, 256)


@dataclass(frozen=True, slots=True)
class Level:
    """What both servers showed at one number of connections."""

    connections: int
    candidate: list[Seen]
    baseline: list[Seen]

    @property
    def at(self) -> str:
        """What the names of its metrics begin with."""
        return f"at_{self.connections}."

    def both(self, name: str) -> tuple[list[float], list[float]]:
        """One figure of the rounds, of the candidate and of the baseline."""
        return [one[name] for one in self.candidate], [one[name] for one in self.baseline]

    def ratio(self, name: str) -> Ratio:
        """Candidate / baseline."""
        return ratio(*self.both(name))

    def medians(self, names: Sequence[str], baseline: str) -> dict[str, float]:
        """Of these figures, by the names of metrics; the baseline's have its name before them."""
        candidate, other = medians(self.candidate), medians(self.baseline)
        return {f"{self.at}{name}": candidate[name] for name in names} | {
            f"{self.at}{baseline}.{name}": other[name] for name in names
        }


def take_levels(
    attempt: Attempt, params: LevelParams, candidate: Contender, baseline: Contender
) -> list[Level]:
    """The rounds of both, level by level."""
    levels = []
    for connections in params.levels:
        what = f"{connections} connections"
        taken = interleave(
            {
                name: loader(attempt, params, server, payload, connections, what)
                for name, (server, payload) in (("baseline", baseline), ("candidate", candidate))
            },
            params.rounds,
        )
        levels.append(Level(connections, taken["candidate"], taken["baseline"]))
    return levels


def planned_s(params: LevelParams) -> float:
    """About how long both servers and all their rounds take."""
    loads = 2 * len(params.levels) * (params.rounds + 1)
    return 2 * SERVER_S + loads_s(loads, params.round_s)


def rounds_of(levels: Sequence[Level]) -> tuple[Round, ...]:
    """All their rounds, for whoever wants to judge their ratios."""
    return tuple(
        one for level in levels for one in pairs(level.candidate, level.baseline, level.at)
    )


def curve_of(levels: Sequence[Level]) -> tuple[CurvePoint, ...]:
    """The candidate's medians over the number of connections."""
    return tuple(curve_point(level.connections, level.candidate) for level in levels)


def error_rate(levels: Sequence[Level]) -> float:
    """Part of all requests, to both, that were neither answered well nor refused."""
    return rounds.error_rate(
        [one for level in levels for one in (*level.candidate, *level.baseline)]
    )
