"""Children of a run: out of the way of signals, and gone when the run is."""

import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from benchmarks.child import start_child

DEAF = "from benchmarks.child import leave_signals_to_parent; leave_signals_to_parent();"
ECHO = "import sys; [print(line, end='', flush=True) for line in sys.stdin]"
PARENT = """
import sys
from benchmarks.child import start_child
start_child([sys.executable, "-c", sys.argv[1]])
sys.stdin.read()
"""


def echoing(code):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = start_child([sys.executable, "-c", code], **pipes)
    child.stdin.write(b"ready\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"ready\n"
    return child


def test_child_is_in_a_group_of_its_own_and_ends_when_it_is_asked_to():
    with echoing(ECHO) as child:
        assert os.getpgid(child.pid) == child.pid
        child.terminate()

        assert child.wait() == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_child_that_leaves_signals_to_its_parent_goes_on(number):
    with echoing(DEAF + ECHO) as child:
        child.send_signal(number)
        answer, _ = child.communicate(b"still here\n")

    assert (answer, child.returncode) == (b"still here\n", 0)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux's setpriv is not installed")
@pytest.mark.parametrize("before", ["", DEAF])
def test_child_does_not_outlive_a_parent_that_was_killed(before):
    code = before + "print(__import__('os').getpid(), flush=True); import signal; signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    assert child.wait(20) is None
