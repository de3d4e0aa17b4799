"""Scales of plots: where a number lies, and which round numbers are written beside the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Axis", "shown"]

MARGIN = 0.07
ROUND = (1, 2, 5, 10)


class Axis:
    """From values to places between ``low`` and ``high``, in pixels; logarithmic or linear."""

    def __init__(
        self,
        values: Sequence[float],
        low: float,
        high: float,
        *,
        log: bool,
        ticks: Sequence[float] = (),
    ) -> None:
        self._log = log
        found = [self._place(value) for value in values] or [0.0]
        least, most = min(found), max(found)
        margin = (most - least) * MARGIN or (0.15 if log else abs(most) * 0.05 or 0.5)
        self._least, self._most = least - margin, most + margin
        self._low, self._high = low, high
        self.ticks = [tick for tick in ticks or self._round_numbers() if self._inside(tick)]

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (self._place(value) - self._least) / (self._most - self._least)
        return self._low + share * (self._high - self._low)

    def _place(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self._log else value

    def _inside(self, tick: float) -> bool:
        return self._least <= self._place(tick) <= self._most

    def _round_numbers(self) -> list[float]:
        if self._log:
            powers = range(math.floor(self._least), math.ceil(self._most) + 1)
            many = self._most - self._least > 2
            found = [
                part * 10.0**power for power in powers for part in ((1,) if many else (1, 2, 5))
            ]
            if sum(map(self._inside, found)) >= 2:
                return found
        low, high = (10**self._least, 10**self._most) if self._log else (self._least, self._most)
        step = _round_step((high - low) / 4)
        first = math.ceil(low / step)
        return [index * step for index in range(first, math.floor(high / step) + 1)]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(part for part in ROUND if part * power >= step * 0.999)


def shown(value: float) -> str:
    """A tick for people: 0.05, 20, 3k, 2M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.4g}"
