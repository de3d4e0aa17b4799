from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from serve.backends.thread_trial import faster_run
from serve.clock import FakeClock
from serve.tensors import Array

INPUTS = [np.zeros(1)]


class TimedRun:
    """A run that takes a given time on a fake clock."""

    def __init__(self, clock: FakeClock, ms: float) -> None:
        self._clock = clock
        self._ms = ms

    def __call__(self, arrays: Sequence[Array], run_options: Any) -> list[Array]:
        self._clock.advance_ms(self._ms)
        return list(arrays)


@pytest.mark.parametrize(
    ("single_ms", "several_ms", "several_wins"),
    [(0.3, 0.1, False), (8.0, 4.0, True), (8.0, 7.0, False), (20.0, 60.0, True)],
)
def test_faster_run_keeps_several_threads_only_if_a_long_batch_gains(
    single_ms: float, several_ms: float, several_wins: bool
) -> None:
    clock = FakeClock()
    single, several = TimedRun(clock, single_ms), TimedRun(clock, several_ms)
    chosen = faster_run(INPUTS, single, lambda: several, clock)
    assert chosen is (several if several_wins else single)


def test_faster_run_takes_several_threads_when_made_up_values_are_refused() -> None:
    clock = FakeClock()
    several = TimedRun(clock, 1.0)

    def refuses(_arrays: Sequence[Array], _options: Any) -> list[Array]:
        raise ValueError("no such category")

    assert faster_run(INPUTS, refuses, lambda: several, clock) is several
