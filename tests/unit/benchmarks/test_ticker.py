"""A ticker works while it is entered."""

import threading

import pytest

from benchmarks.ticker import Ticker


def test_ticker_calls_until_it_is_left_and_may_be_entered_again():
    called = threading.Semaphore(0)
    ticker = Ticker(0.001, called.release)

    for _ in range(2):
        with ticker:
            assert called.acquire(timeout=30) and called.acquire(timeout=30)


def test_ticker_calls_at_once_if_asked():
    called = threading.Event()

    with Ticker(3600.0, called.set, at_once=True):
        assert called.wait(30)


def test_ticker_raises_what_its_work_raised():
    def fail():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), Ticker(3600.0, fail, at_once=True):
        pass
