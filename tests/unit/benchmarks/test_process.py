"""Processes are started, measured and ended by pid."""

import sys

import pytest

from benchmarks.process import Server, StartError, free_port, running

LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
SPIN = LISTEN + "exec('while True: pass')"


def server(tmp_path, code):
    port = free_port()
    return Server("toy", [sys.executable, "-c", code, str(port)], port, tmp_path / "log")


def test_running_waits_and_ends_the_process(tmp_path):
    with running(server(tmp_path, LISTEN + "time.sleep(60)"), path=None) as toy:
        assert toy.tree.pid == toy.pid
        assert toy.seconds_since_start() > 0

    assert toy.stop() != 0


def test_cpu_s_grows_while_the_process_works(tmp_path):
    with running(server(tmp_path, SPIN), path=None) as toy:
        start_s = toy.cpu_s()
        while toy.cpu_s() <= start_s:
            pass


def test_wait_ready_shows_the_log_when_the_process_ends(tmp_path):
    with (
        pytest.raises(StartError, match="no such model"),
        running(server(tmp_path, "raise SystemExit('no such model')")),
    ):
        pass
