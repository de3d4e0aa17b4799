"""Nothing that a kept command starts outlives it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

KEEPER = [sys.executable, "-m", "benchmarks.peers.keeper", sys.executable, "-c"]
# A daemon as they are made: forked twice, in a session of its own, deaf to SIGTERM.
DAEMON = """
import os, signal, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(600)
os.wait()
"""


def keep(code):
    return subprocess.Popen([*KEEPER, code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("status", "seen"), [("raise SystemExit(3)", 3), ("pass", 0)])
def test_keeper_ends_with_the_command_and_its_status(status, seen):
    with keep(status) as keeper:
        assert keeper.wait() == seen


def test_keeper_names_the_signal_that_ended_the_command():
    with keep("import os; os.kill(os.getpid(), 9)") as keeper:
        assert keeper.wait() == 128 + signal.SIGKILL


def test_keeper_ends_a_daemon_when_the_command_ends():
    with keep(DAEMON) as keeper:
        daemon = int(keeper.stdout.readline())
        keeper.wait()

    assert not psutil.pid_exists(daemon)


def test_keeper_counts_a_daemon_among_its_processes_and_ends_it_when_asked():
    with keep(DAEMON + "time.sleep(600)") as keeper:
        daemon = int(keeper.stdout.readline())
        kept = {child.pid for child in psutil.Process(keeper.pid).children(recursive=True)}
        os.kill(keeper.pid, signal.SIGTERM)
        keeper.wait()

    assert daemon in kept
    assert not any(map(psutil.pid_exists, kept))
