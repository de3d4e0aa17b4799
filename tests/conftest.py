"""What every test may rely on."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Hear Ctrl-C even where a shell started the tests in the background, with SIGINT ignored.

    Children inherit that, and a test that interrupts one would wait for its time-out.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
