"""When the store is asked, and when not."""

from __future__ import annotations

from serve.cache.breaker import Breaker
from serve.clock import NS_PER_S


def failing(times: int, now_ns: int = 0) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker.failed(now_ns)
    return breaker


def test_breaker_lets_everyone_through_until_it_opens() -> None:
    breaker = failing(2)
    assert breaker.lets_through(0) and breaker.lets_through(0)
    breaker.failed(0)
    assert breaker.open and not breaker.lets_through(0)


def test_success_between_failures_keeps_it_closed() -> None:
    breaker = failing(2)
    breaker.succeeded()
    breaker.failed(0)
    assert not breaker.open


def test_open_breaker_lets_one_through_after_a_pause() -> None:
    breaker = failing(3)
    assert [breaker.lets_through(NS_PER_S * s // 2) for s in (1, 2, 2, 3)] == [
        False,
        True,
        False,
        False,
    ]
    breaker.succeeded()
    assert breaker.lets_through(NS_PER_S) and breaker.lets_through(NS_PER_S)


def test_pauses_double_up_to_half_a_minute() -> None:
    breaker, now_ns, pauses_s = failing(2), 0, []
    for _ in range(7):
        breaker.failed(now_ns)
        pause_s = next(s for s in range(1, 100) if breaker.lets_through(now_ns + s * NS_PER_S))
        pauses_s.append(pause_s)
        now_ns += pause_s * NS_PER_S
    assert pauses_s == [1, 2, 4, 8, 16, 30, 30]


def test_pause_is_short_again_after_a_success() -> None:
    breaker = failing(6)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(0)
    assert breaker.lets_through(NS_PER_S)
