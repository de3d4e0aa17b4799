"""From values to positions on an axis, and the ticks that people read it by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Linear", "Log", "Nines", "Scale", "Tick", "short"]

Tick = tuple[float, str]
NINES = ((0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99"))


def short(value: float) -> str:
    """A number as an axis has room for: 0.25, 7, 2.5k, 30k, 4M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


class Scale(Protocol):
    """One axis. ``start`` and ``end`` are positions; for a vertical axis start is the lower."""

    def at(self, value: float) -> float:
        """The position of a value, kept on the axis."""

    def ticks(self) -> Sequence[Tick]:
        """Values with labels, ascending."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal distances are equal differences; the high end is rounded up to a tick."""

    low: float
    high: float
    start: float
    end: float
    about: int = 4
    """How many ticks there is room for."""
    exact: bool = False
    """End at the high end itself, tick or not."""

    def at(self, value: float) -> float:
        step = self._step()
        steps = math.ceil((self.high - self.low) / step - 1e-9)
        top = self.high if self.exact else self.low + step * steps
        part = (value - self.low) / (top - self.low)
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)

    def ticks(self) -> Sequence[Tick]:
        steps = (self.high - self.low) / self._step()
        count = math.floor(steps + 1e-9) if self.exact else math.ceil(steps - 1e-9)
        values = [self.low + number * self._step() for number in range(count + 1)]
        return [(value, short(round(value, 9))) for value in values]

    def _step(self) -> float:
        rough = max(self.high - self.low, 1e-9) / self.about
        power = 10.0 ** math.floor(math.log10(rough))
        return next(power * times for times in (1, 2, 5, 10) if power * times >= rough * 0.999)


@dataclass(frozen=True, slots=True)
class Log:
    """Equal distances are equal ratios; both ends widened to 1, 2 or 5 times a power of ten."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        low, high = (math.log10(bound) for bound in self._bounds())
        part = (math.log10(max(value, 1e-12)) - low) / (high - low)
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)

    def ticks(self) -> Sequence[Tick]:
        low, high = self._bounds()
        decades = math.log10(high / low)
        factors = (1, 2, 5) if decades <= 3.1 else (1,)
        first = math.floor(math.log10(low))
        values = [
            factor * 10.0**power
            for power in range(first, math.ceil(math.log10(high)) + 1)
            for factor in factors
        ]
        return [(v, short(v)) for v in values if low * 0.999 <= v <= high * 1.001]

    def _bounds(self) -> tuple[float, float]:
        low = max(self.low, 1e-6)
        high = max(self.high, low * 1.5)
        return _round(low, up=False), _round(high, up=True)


@dataclass(frozen=True, slots=True)
class Nines:
    """Parts of a whole, stretched towards 1 so that each further nine has the same room."""

    high: float
    """Where the axis ends, below 1: 1 - 1 / requests, say."""
    start: float
    end: float

    def at(self, value: float) -> float:
        part = _nines(min(value, self.high)) / max(_nines(self.high), 1e-9)
        return self.start + max(0.0, part) * (self.end - self.start)

    def ticks(self) -> Sequence[Tick]:
        return [(value, label) for value, label in NINES if value <= self.high]


def _nines(part: float) -> float:
    return -math.log10(max(1e-12, 1 - part))


def _round(value: float, *, up: bool) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    steps = [power * factor for factor in (1, 2, 5, 10)]
    if up:
        return next(step for step in steps if step >= value * 0.999)
    return max(step for step in steps if step <= value * 1.001)
