"""Time."""

from __future__ import annotations

from serve.clock import NS_PER_MS, FakeClock, monotonic_ns


def test_real_clock_never_goes_back() -> None:
    assert monotonic_ns() <= monotonic_ns()


def test_fake_clock_moves_only_when_told_to() -> None:
    clock = FakeClock(5)
    assert clock() == clock() == 5
    clock.advance_ms(1.5)
    assert clock() == 5 + 3 * NS_PER_MS // 2
