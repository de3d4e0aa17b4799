"""Servers under measurement: start, wait until ready, stop by pid."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.child import start_child
from benchmarks.proctree import ProcessTree

__all__ = ["Server", "StartError", "free_port", "running"]

READY_PATH = "/v2/health/ready"
POLL_S = 0.002
STOP_S = 20.0


class StartError(RuntimeError):
    """A server did not become ready; carries the end of what it printed."""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server process on this machine, and its ports."""

    host = "127.0.0.1"

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        log: Path,
        admin_port: int = 0,
        grpc_port: int = 0,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self.admin_port = admin_port
        self.grpc_port = grpc_port
        self._log = log
        self._started_s = time.perf_counter()
        with log.open("wb") as output:
            self._process = start_child(
                command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd
            )
        self.pid = self._process.pid
        self.tree = ProcessTree(self.pid)

    def wait_ready(self, timeout_s: float = 60.0, path: str | None = READY_PATH) -> float:
        """Seconds from the start of the process to ready; ``path`` None: until it listens.

        Raises:
            StartError: it ended, or took too long.
        """
        while time.perf_counter() - self._started_s < timeout_s:
            if self._process.poll() is not None:
                raise StartError(f"{self.name} ended at start: {self._tail()}")
            if _answers(self.port, path):
                return time.perf_counter() - self._started_s
            time.sleep(POLL_S)
        raise StartError(f"{self.name} was not ready within {timeout_s:.0f} s: {self._tail()}")

    def cpu_s(self) -> float:
        """CPU, user and system, of the process and its children so far."""
        return self.tree.cpu_s()

    def seconds_since_start(self) -> float:
        """Since the process was started."""
        return time.perf_counter() - self._started_s

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if that does not help; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:].strip()


@contextlib.contextmanager
def running(server: Server, path: str | None = READY_PATH) -> Iterator[Server]:
    """A server that is ready, and is stopped at the end."""
    try:
        server.wait_ready(path=path)
        yield server
    finally:
        server.stop()


def _answers(port: int, path: str | None) -> bool:
    if path is None:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
