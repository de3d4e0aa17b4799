"""Loads to try settings on: made up, or from a file."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import msgspec

__all__ = ["SHAPES", "Trace", "made", "read_csv"]

DAY_S = 86_400
LOWEST_S = 4 * 3600
"""A day's load is lowest at four in the morning, and highest twelve hours later."""
MOST_S = 14 * DAY_S


class Trace(msgspec.Struct, frozen=True):
    """``rates``: predictions a second, one figure for each second."""

    name: str
    rates: tuple[float, ...]

    @property
    def peak_per_s(self) -> float:
        """The highest rate."""
        return max(self.rates)

    @property
    def asked(self) -> float:
        """Predictions in all."""
        return sum(self.rates)


def steady(second: int) -> float:
    """An hour at the peak."""
    return 1.0


def daily(second: int) -> float:
    """A day from one midnight to the next."""
    return (1 - math.cos((second - LOWEST_S) / DAY_S * 2 * math.pi)) / 2


def burst(second: int) -> float:
    """An hour with ten minutes at the peak, at once and over at once, and two bursts of 20 s."""
    return float(600 <= second < 1200 or 2400 <= second < 2420 or 2460 <= second < 2480)


SHAPES: dict[str, tuple[Callable[[int], float], int]] = {
    "steady": (steady, 3600),
    "daily": (daily, DAY_S),
    "burst": (burst, 3600),
}
"""By name: the share of the way from the base to the peak, and for how many seconds."""


def made(name: str, peak_per_s: float, base_per_s: float) -> Trace:
    """One of ``SHAPES`` between two rates.

    Raises:
        ValueError: a rate is no number, or negative, or the base is above the peak.
    """
    if not (math.isfinite(peak_per_s) and 0 <= base_per_s <= peak_per_s and peak_per_s > 0):
        raise ValueError(
            f"--peak {peak_per_s:g} --base {base_per_s:g}: predictions a second, the peak above 0"
            " and the base from 0 to the peak"
        )
    shape, seconds = SHAPES[name]
    rise = peak_per_s - base_per_s
    return Trace(name, tuple([base_per_s + rise * shape(second) for second in range(seconds)]))


def read_csv(path: Path) -> Trace:
    """A file of ``seconds,per_s`` lines, the seconds rising; a rate holds until the next line.

    The last line ends the trace: its rate does not count. A first line of words is passed over.

    Raises:
        ValueError: names the line that is wrong, and says what it should be.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file that can be read ({error})") from error
    points: list[tuple[float, float]] = []
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and not _is_number(row[0])):
            continue
        points.append(_point(path, number, row))
        if len(points) > 1 and points[-1][0] <= points[-2][0]:
            raise ValueError(f"{path}:{number}: the seconds must rise from line to line")
    if len(points) < 2:
        raise ValueError(f"{path}: needs two lines `seconds,per_s` or more, the last one its end")
    start = points[0][0]
    length = round(points[-1][0] - start)
    if not 1 <= length <= MOST_S:
        raise ValueError(
            f"{path}: lasts {length:,} s; give it 1 s to {MOST_S:,} s (the first column is seconds)"
        )
    rates = []
    index = 0
    for second in range(length):
        while points[index + 1][0] - start <= second:
            index += 1
        rates.append(points[index][1])
    if not any(rates):
        raise ValueError(f"{path}: all rates are 0; there is nothing to scale for")
    return Trace(path.name, tuple(rates))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _point(path: Path, number: int, row: list[str]) -> tuple[float, float]:
    wrong = f"{path}:{number}: {','.join(row)[:60]!r} is not `seconds,per_s`, two numbers"
    if len(row) != 2:
        raise ValueError(wrong)
    try:
        at_s, per_s = float(row[0]), float(row[1])
    except ValueError:
        raise ValueError(wrong) from None
    if not (math.isfinite(at_s) and math.isfinite(per_s) and per_s >= 0):
        raise ValueError(f"{wrong}, the second one 0 or more")
    return at_s, per_s
