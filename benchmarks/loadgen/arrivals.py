"""When requests are due: the whole schedule of an open-loop run, made before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.loadgen.spec import Phase

__all__ = ["Schedule", "schedule"]

Schedule = tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]
"""Times of arrival in seconds from the start, ascending, and the phase each belongs to."""


def schedule(
    phases: Sequence[Phase],
    kind: Literal["poisson", "constant"],
    seed: int,
    process: int = 0,
    processes: int = 1,
) -> Schedule:
    """The arrivals that fall to one of several processes.

    In a Poisson process with a given number of arrivals, these are independent of each other; so
    each phase draws its number, then its times. Each arrival falls to a process by lot, and what
    one process gets is Poisson again; together they always send the same arrivals. ``constant``
    spaces them evenly and deals them out in turn.
    """
    rng = np.random.default_rng(seed)
    times, owners = [], []
    start_s = 0.0
    for index, phase in enumerate(phases):
        mean = _expected(phase)
        if kind == "poisson":
            counts = np.sort(rng.uniform(0.0, mean, rng.poisson(mean)))
        else:
            counts = np.arange(round(mean), dtype=np.float64)
        times.append(start_s + _when(phase, counts))
        owners.append(np.full(len(counts), index))
        start_s += phase.duration_s
    due_s, owner = np.concatenate(times), np.concatenate(owners)
    if processes == 1:
        return due_s, owner
    lot = (
        rng.integers(0, processes, len(due_s))
        if kind == "poisson"
        else np.arange(len(due_s)) % processes
    )
    mine = lot == process
    return due_s[mine], owner[mine]


def _expected(phase: Phase) -> float:
    """Arrivals that a phase has on average."""
    end = phase.rate_per_s if phase.end_rate_per_s is None else phase.end_rate_per_s
    return (phase.rate_per_s + end) / 2 * phase.duration_s


def _when(phase: Phase, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """When so many arrivals are expected to have been: the inverse of the rate's integral.

    With the rate a + s·t, that integral is a·t + s·t²/2; the root is written so that it holds for
    a slope of nothing as well.
    """
    start, slope = phase.rate_per_s, 0.0
    if phase.end_rate_per_s is not None:
        slope = (phase.end_rate_per_s - start) / phase.duration_s
    root = np.sqrt(np.maximum(0.0, start * start + 2 * slope * counts))
    with np.errstate(invalid="ignore"):  # 0/0: the first arrival of a ramp from nothing
        when = np.nan_to_num(2 * counts / (start + root))
    return np.minimum(when, phase.duration_s)
