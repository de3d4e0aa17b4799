"""``penstock serve --ray`` as its users run it, on a cluster of its own, and load on it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

PENSTOCK = str(Path(sys.executable).with_name("penstock"))
START_S = 180
STOP_S = 60
POLL_S = 0.1
AGAIN_S = 0.02
LOST = "ConnectionReset|RemoteDisconnected|IncompleteRead|ConnectionRefused|BrokenPipe|CannotSend"
"""What a client sees whose gateway is gone, as a regular expression."""


class RayServer:
    """The server's process, with what it and its replicas log in a file."""

    def __init__(
        self,
        repository: Path,
        log: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        ports = [f"--{name}-port=0" for name in ("http", "grpc", "admin")]
        command = [PENSTOCK, "serve", str(repository), "--ray", "--host=127.0.0.1"]
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [*command, *ports, *flags],
                stdout=out,
                stderr=out,
                env={**os.environ, **(environment or {})},
            )

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """The line that matches, once there are so many."""
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            found = list(re.finditer(pattern, self.log()))
            if len(found) >= times:
                return found[times - 1]
            assert self.process.poll() is None, f"the server ended: {self.log()[-4000:]}"
            time.sleep(POLL_S)
        raise AssertionError(f"no {pattern!r} in {self.log()[-4000:]}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_serving(self) -> None:
        """Read from the log where it listens."""
        found = self.wait_for(
            r"serving HTTP on (\S+), gRPC on (\S+), admin on (\S+) after (\d+) ms"
        )
        self.http, self.grpc, self.admin = found[1], found[2], found[3]

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def replicas(self, model: str) -> list[psutil.Process]:
        """The worker processes of a model."""
        return replicas_among(self.descendants(), model)

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)

    def index(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(model, version) → (state, reason)."""
        rows = post(self.http, "/v2/repository/index", {})
        return {(row["name"], row["version"]): (row["state"], row["reason"]) for row in rows}

    def status(self) -> dict[str, Any]:
        """What a gateway tells of itself, its models and their replicas."""
        with urllib.request.urlopen(f"http://{self.admin}/status", timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
        return told


def replicas_among(processes: Iterable[psutil.Process], model: str) -> list[psutil.Process]:
    """Those that are replicas of a model, or with ``gateways`` the gateways."""
    return _called(processes, rf"ray::ServeReplica:[^:]*:{model}(:|[.]|$)")


def authorities_among(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that have the traffic rules: one of each server."""
    return _called(processes, r"ray::TrafficAuthority([.]|$)")


def _called(processes: Iterable[psutil.Process], name: str) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.Error):
            if re.match(name, " ".join(process.cmdline()).rstrip()):
                found.append(process)
    return found


@contextmanager
def ray_server(
    repository: Path, log: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[RayServer]:
    """Serve ``repository`` until the block ends, and leave no process whatever happens."""
    server = RayServer(repository, log, *flags, environment=environment)
    try:
        server.wait_until_serving()
        yield server
    finally:
        if server.process.poll() is None:
            left = server.descendants()
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
            for process in left:
                if process.is_running():
                    process.kill()


def post(address: str, path: str, body: Any) -> Any:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


class Clients:
    """Threads that ask one request after the other until the block ends."""

    def __init__(self, ask: Callable[[int], None], clients: int) -> None:
        """``ask`` is called with the number of a client, and returns when ``over`` is set."""
        self.over = threading.Event()
        self._threads = [
            threading.Thread(target=ask, args=(number,), daemon=True) for number in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(STOP_S)
            assert not thread.is_alive(), "a request was not answered"


class Load:
    """Clients that ask an identity model, each after the answer to its last, and check them all."""

    def __init__(self, address: str, model: str, clients: int = 8) -> None:
        self._address = address
        self._path = f"/v2/models/{model}/infer"
        self._answered = threading.Condition()
        self.right = 0
        self.wrong: list[str] = []
        self._clients = Clients(self._ask, clients)

    def __enter__(self) -> Load:
        self._clients.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.stop()

    def more(self, answers: int) -> None:
        """Wait for so many further answers."""
        with self._answered:
            until = self.right + len(self.wrong) + answers
            enough = self._answered.wait_for(lambda: self.right + len(self.wrong) >= until, START_S)
        assert enough, f"no {answers} further answers; wrong: {self.wrong[:3]}"

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        count = 0
        while not self._clients.over.is_set():
            count += 1
            row = [float(number), float(count), 1.0, -1.0]
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": row}
            try:
                connection.request("POST", self._path, json.dumps({"inputs": [tensor]}))
                text = connection.getresponse().read().decode()
                good = json.loads(text).get("outputs", [{}])[0].get("data") == row
            except (OSError, http.client.HTTPException) as error:
                text, good = repr(error), False
                connection.close()
                self._clients.over.wait(AGAIN_S)
            with self._answered:
                if good:
                    self.right += 1
                else:
                    self.wrong.append(text)
                self._answered.notify_all()
        connection.close()
