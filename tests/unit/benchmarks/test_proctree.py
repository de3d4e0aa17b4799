"""What a process and its children use."""

import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from benchmarks.proctree import ProcessTree, process_cpu_s

CHILD = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "print(1, flush=True); input()"])
"""


@pytest.fixture
def family():
    """A process and its child, both waiting."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


def test_tree_sums_over_the_children(family):
    tree = ProcessTree(family.pid)

    assert len(tree.pids()) == 2
    assert tree.threads() == 2
    assert tree.open_files() > psutil.Process(family.pid).num_fds()
    assert tree.rss_bytes() > psutil.Process(family.pid).memory_info().rss
    assert tree.peak_rss_bytes() >= tree.rss_bytes()
    assert 0 < tree.pss_bytes() <= tree.rss_bytes()
    assert tree.cpu_s() > process_cpu_s(family.pid) > 0
    assert {pid for pid, _ in tree.waits_ns()} == set(tree.pids())


def test_process_cpu_s_counts_threads_that_have_ended():
    before_s = process_cpu_s(os.getpid())
    used_s = []

    def work():
        while time.thread_time() < 0.02:
            pass
        used_s.append(time.thread_time())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert process_cpu_s(os.getpid()) - before_s >= used_s[0]
    assert process_cpu_s(os.getpid()) == pytest.approx(time.process_time(), rel=0.1)


def test_process_cpu_s_of_a_process_that_has_ended_is_zero(family):
    family.stdin.close()
    family.wait()

    assert process_cpu_s(family.pid) == 0.0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores to tell them apart")
def test_tree_is_kept_to_cores_with_its_children(family):
    tree = ProcessTree(family.pid)
    cores = {min(os.sched_getaffinity(0))}

    tree.keep_to(cores)

    assert len(tree.pids()) == 2
    assert all(os.sched_getaffinity(pid) == cores for pid in tree.pids())
