"""Signals as orders, in a process of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.executors.ray.orders import Orders

LOOK = """
import sys
from pathlib import Path
from serve.executors.ray.orders import Orders, follow_signals
orders = Orders()
follow_signals(orders, lambda: Path(sys.argv[1]).touch())
print("ready", flush=True)
while True:
    orders.wait(60)
    print("stop" if orders.stop.is_set() else "again", flush=True)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOOK, str(tmp_path / "left")], stdout=subprocess.PIPE, text=True
    )
    assert said(process) == "ready"
    yield process
    process.kill()
    process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_first_signal_is_an_order_and_the_second_ends_the_process(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    process.send_signal(signal.SIGHUP)
    assert said(process) == "again"
    process.send_signal(signal.SIGTERM)
    assert said(process) == "stop"
    assert not (tmp_path / "left").exists()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (tmp_path / "left").exists()


def test_order_ends_the_wait() -> None:
    orders = Orders()
    orders.order_again()
    orders.wait(60)
    assert orders.again.is_set()
    assert not orders.stop.is_set()
