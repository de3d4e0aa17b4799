"""Many visits into one line a row, and who is ahead of Penstock at what."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.peers.catalogue import PENSTOCK, ROWS, Row
from benchmarks.peers.results import Loaded, Results, Visit

__all__ = ["Ahead", "Line", "ahead", "lines"]


@dataclass(frozen=True, slots=True)
class Line:
    """A row with one model: medians over its visits."""

    row: Row
    visits: Sequence[Visit]

    @property
    def failure(self) -> str:
        """The last reason, where no visit was without one."""
        reasons = [visit.failure for visit in self.visits]
        return reasons[-1] if all(reasons) else ""

    @property
    def start_s(self) -> float:
        return statistics.median(visit.start_s for visit in self._good())

    @property
    def memory_mib(self) -> float:
        return statistics.median(visit.memory_mib for visit in self._good())

    def loaded(self, name: str) -> list[Loaded]:
        """One load of every visit that reached it."""
        found = (visit.load(name) for visit in self._good())
        return [loaded for loaded in found if loaded is not None]

    def median(self, name: str, figure: Callable[[Loaded], float]) -> float:
        """Of one load; NaN where it was never reached."""
        values = [figure(loaded) for loaded in self.loaded(name)]
        return statistics.median(values) if values else math.nan

    def kept(self, name: str) -> bool:
        """Whether an open loop's rate was kept in most visits."""
        loads = self.loaded(name)
        return 2 * sum(loaded.kept for loaded in loads) > len(loads)

    def _good(self) -> list[Visit]:
        return [visit for visit in self.visits if not visit.failure]


@dataclass(frozen=True, slots=True)
class Ahead:
    """A row that does better than Penstock at one thing."""

    row: str
    what: str
    theirs: float
    ours: float


def lines(results: Results, model: str) -> list[Line]:
    """The rows of a model that were visited, in the catalogue's order."""
    return [
        Line(row, mine)
        for row in ROWS
        if (
            mine := [
                visit
                for visit in results.visits
                if (visit.peer, visit.row, visit.model) == (row.peer, row.row, model)
            ]
        )
    ]


def ahead(found: Sequence[Line], loads: Iterable[str]) -> list[Ahead]:
    """Every figure in which a row's median is better than Penstock's, by whatever margin."""
    own = next((line for line in found if line.row.peer == PENSTOCK and not line.failure), None)
    if own is None:
        return []
    loads = list(loads)
    better = []
    for line in found:
        if line is own or line.failure:
            continue
        for what, figure, more_is_better in _figures(loads):
            theirs, ours = figure(line), figure(own)
            if theirs > ours if more_is_better else theirs < ours:
                better.append(Ahead(line.row.name, what, theirs, ours))
    return better


_Figure = tuple[str, Callable[[Line], float], bool]


def _figures(loads: Sequence[str]) -> list[_Figure]:
    """What a team would choose by: name, value, and whether more is better."""
    figures: list[_Figure] = [
        ("memory (MiB)", lambda line: line.memory_mib, False),
        ("start (s)", lambda line: line.start_s, False),
    ]
    for name in loads:
        kind, _, size = name.partition("-")
        if kind == "closed":
            at = f"at {size} connections"
            figures += [
                (f"requests/s {at}", _median(name, _ok_per_s), True),
                (f"p99 {at} (ms)", _median(name, _p99_ms), False),
                (f"CPU {at} (µs/request)", _median(name, _cpu_us), False),
            ]
        else:
            figures.append((f"p99 at {size} requests/s (ms)", _open_p99(name), False))
    return figures


def _median(name: str, figure: Callable[[Loaded], float]) -> Callable[[Line], float]:
    return lambda line: line.median(name, figure)


def _open_p99(name: str) -> Callable[[Line], float]:
    """A rate that is not kept has no p99 to speak of."""
    return lambda line: line.median(name, _p99_ms) if line.kept(name) else math.inf


def _ok_per_s(loaded: Loaded) -> float:
    return loaded.ok_per_s


def _p99_ms(loaded: Loaded) -> float:
    return loaded.p99_ms


def _cpu_us(loaded: Loaded) -> float:
    return loaded.cpu_us
