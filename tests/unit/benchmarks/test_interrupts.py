"""The first signal interrupts, its echo does not."""

import signal

import pytest

from benchmarks.interrupts import interruptible, uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_interrupts_and_its_echo_does_not(number):
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(number)


def test_signals_are_ignored_while_a_report_is_written():
    with interruptible(), uninterrupted():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)

    with interruptible(), uninterrupted():
        pass

    assert signal.getsignal(signal.SIGTERM) is before
