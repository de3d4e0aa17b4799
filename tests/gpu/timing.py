"""How long a call takes, for the figures."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

__all__ = ["ROWS", "median_us"]

ROWS = (1, 8, 32, 128)
SECONDS = 0.5


def median_us(call: Callable[[], object]) -> float:
    """Median time of a call, over about half a second and at least 5 calls, after 3 unmeasured."""
    for _ in range(3):
        call()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6
