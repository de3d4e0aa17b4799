"""When requests are due: the whole schedule of an open-loop run, made before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.loadgen.spec import Phase

__all__ = ["schedule"]


def schedule(
    phases: Sequence[Phase], kind: Literal["poisson", "constant"], seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Times of arrival in seconds from the start, ascending, and the phase each belongs to.

    In a Poisson process with a given number of arrivals, these are uniform over the phase; so
    each phase draws its number, then its times. ``constant`` spaces them evenly.
    """
    rng = np.random.default_rng(seed)
    times, owners = [], []
    start_s = 0.0
    for index, phase in enumerate(phases):
        mean = phase.rate_per_s * phase.duration_s
        if kind == "poisson":
            offsets = np.sort(rng.uniform(0.0, phase.duration_s, rng.poisson(mean)))
        else:
            offsets = np.arange(round(mean)) / phase.rate_per_s
        times.append(start_s + offsets)
        owners.append(np.full(len(offsets), index))
        start_s += phase.duration_s
    return np.concatenate(times), np.concatenate(owners)
