"""A real Redis for tests, on a free port, with nothing on disk."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.running import PATIENCE_S

__all__ = ["RedisServer", "need_redis"]


def need_redis() -> None:
    """Skip the test where there is no Redis, or nothing that speaks to it."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server: install Debian's package of that name")
    if importlib.util.find_spec("redis") is None:
        pytest.skip("redis-py is not installed: pip install 'penstock[redis]'")


class RedisServer:
    """Started and stopped as often as a test wants, at one address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty; returns when it answers."""
        self._process = subprocess.Popen(
            [
                *("redis-server", "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            ],
            stdout=subprocess.DEVNULL,
        )
        give_up_s = time.monotonic() + PATIENCE_S
        while self._ask("PING") != "+PONG":
            assert time.monotonic() < give_up_s, "Redis does not answer"
            assert self._process.poll() is None, "Redis did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, at once; what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None

    def keys(self) -> int:
        """How many answers it holds."""
        return int(self._ask("DBSIZE").removeprefix(":"))

    def overwrite(self, value: str) -> None:
        """Put ``value`` in place of everything that it holds."""
        script = (
            "for _, k in ipairs(redis.call('KEYS', '*')) do redis.call('SET', k, ARGV[1]) end"
            " return 'done'"
        )
        self._ask("EVAL", script, "0", value)

    def _ask(self, *words: str) -> str:
        """The first line of the reply to a command; empty if there is none."""
        command = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
                connection.sendall(command.encode())
                return connection.makefile("rb").readline().decode().rstrip()
        except OSError:
            return ""
